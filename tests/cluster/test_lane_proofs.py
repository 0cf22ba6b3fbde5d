"""Attacks on the lane's handshake: relays, replays, reflections, downgrades, other users, wrong certificates.

`Relay` is the attacker: it listens where a shard listened once, and passes on, to a shard that lives, what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from actors.core.errors import ConflictError
from cluster.lane import door as lane_door
from cluster.lane import handshake as lane_handshake
from cluster.lane import peers as lane_peers
from cluster.lane.certificates import make_authority
from cluster.lane.handshake import (
    ANSWER_BYTES,
    ANSWER_HEAD,
    FAREWELL,
    HELLO_BYTES,
    LANE_VERSION,
    PROOF_HEAD,
    PROOF_MESSAGE_BYTES,
    ClientHandshake,
    LaneKeys,
    Meant,
    ServerHandshake,
)
from cluster.lane.protocol import LaneImpostorError, LaneProtocolError, LaneRefusedError
from cluster.lane.tls import Channel, client_context, server_context
from cluster.placement.shard_map import shard_actor_name
from tests.cluster.conftest import KEYS, NAME, TLS_KEYS, until

OTHER = shard_actor_name(1, 0)
SECRET = KEYS.secret
LOOPBACK = "127.0.0.1"


class Relay:
    """Passes on what comes to its own port or path, and remembers it."""

    def __init__(self, target):
        self.target = target
        self.heard = b""  # of the client
        self.obtained = b""  # of the shard that it was passed on to
        self.tasks = set()

    async def start(self, path=None):
        self.server = await (
            asyncio.start_unix_server(self.serve, path) if path else asyncio.start_server(self.serve, LOOPBACK, 0)
        )
        return path or self.server.sockets[0].getsockname()

    async def serve(self, reader, writer):
        if isinstance(self.target, str):
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        else:
            far_reader, far_writer = await asyncio.open_connection(*self.target)

        async def pump(source, sink, note):
            with contextlib.suppress(ConnectionError):
                while data := await source.read(4096):
                    setattr(self, note, getattr(self, note) + data)
                    sink.write(data)
            sink.close()

        for ends in ((reader, far_writer, "heard"), (far_reader, writer, "obtained")):
            self.tasks.add(asyncio.create_task(pump(*ends)))

    async def close(self):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def make_relay():
    made = []

    async def make(target, path=None):
        made.append(Relay(target))
        return made[-1], await made[-1].start(path)

    yield make
    for relay in made:
        await relay.close()


@pytest.fixture(params=["plain", "tls"])
def keys(request):
    return TLS_KEYS if request.param == "tls" else KEYS


async def listening(make_server, keys, actor_name=NAME):
    """Start a shard at a TCP port; returns it and its address."""
    server = make_server(keys=keys, actor_name=actor_name)
    return server, (LOOPBACK, await server.start_tcp(LOOPBACK))


async def try_to_get_in(address, *messages):
    """Say some messages to a shard; return all that it answers until it hangs up."""
    reader, writer = await (
        asyncio.open_unix_connection(address) if isinstance(address, str) else asyncio.open_connection(*address)
    )
    for message in messages:
        writer.write(message)
        await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


# ---- relays ---------------------------------------------------------------------------------------------------------


async def test_who_took_a_dead_shards_port_gets_nowhere_by_way_of_another_shard(make_server, connect, make_relay, keys):
    other, address_of_other = await listening(make_server, keys, OTHER)
    relay, taken = await make_relay(address_of_other)
    with pytest.raises(LaneImpostorError):
        await connect(taken, keys)
    assert other.connection_count == 0
    assert len(relay.heard) == HELLO_BYTES  # a nonce: nothing that the secret went into
    assert len(relay.obtained) == ANSWER_BYTES
    proof = relay.obtained[-32:]  # of the other shard, for a nonce of the client's
    for address in (address_of_other, taken):
        await try_to_get_in(address, relay.heard[:HELLO_BYTES], PROOF_HEAD + proof)
    assert other.connection_count == 0


async def test_nor_by_way_of_the_shard_itself_which_listens_elsewhere_now(make_server, connect, make_relay, keys):
    server, address = await listening(make_server, keys)
    relay, taken = await make_relay(address)
    with pytest.raises(LaneImpostorError, match="doesn't prove that it is"):
        await connect(taken, keys)
    assert server.connection_count == 0
    assert len(relay.heard) == HELLO_BYTES
    assert await (await connect(address, keys)).request("n", [1]) == ["n", [1]]


async def test_a_path_that_leads_to_another_shards_socket_is_noticed(make_server, connect, make_relay, tmp_path):
    server = make_server(actor_name=OTHER)
    await server.start_unix(str(tmp_path / "other.sock"))
    relay, _ = await make_relay(str(tmp_path / "other.sock"), str(tmp_path / "lane.sock"))
    with pytest.raises(LaneImpostorError):
        await connect(str(tmp_path / "lane.sock"))
    assert len(relay.heard) == HELLO_BYTES
    assert server.connection_count == 0


async def test_a_client_tells_a_silent_or_hanging_up_impostor_nothing_but_a_nonce(connect):
    for hangs_up in (False, True):
        heard = []

        async def serve(reader, writer, heard=heard, hangs_up=hangs_up):
            heard.append(await reader.read(4096))
            if hangs_up:
                writer.close()
            else:
                heard.append(await reader.read(4096))
                writer.close()

        server = await asyncio.start_server(serve, LOOPBACK, 0)
        connecting = asyncio.ensure_future(connect(server.sockets[0].getsockname()))
        await until(lambda heard=heard: heard)
        if not hangs_up:
            connecting.cancel()
        with pytest.raises((LaneProtocolError, asyncio.CancelledError)):
            await connecting
        server.close()
        await until(lambda heard=heard, hangs_up=hangs_up: len(heard) == (1 if hangs_up else 2))
        assert len(b"".join(heard)) == HELLO_BYTES


# ---- what a proof is of ---------------------------------------------------------------------------------------------

MEANT = Meant(NAME, (LOOPBACK, 4000))


def shake(client, server):
    """Let both ends talk until the client is accepted."""
    answer = client.hello
    while answer:
        said = server.receive(answer)
        answer = client.receive(said or lane_handshake.OK)


def test_honest_ends_agree():
    client, server = ClientHandshake(SECRET, MEANT), ServerHandshake(SECRET, MEANT)
    shake(client, server)
    assert client.accepted
    assert server.proved


@pytest.mark.parametrize(
    "change",
    [{"actor_name": OTHER}, {"address": (LOOPBACK, 4001)}, {"address": ("127.0.0.2", 4000)},
     {"address": f"{LOOPBACK}:4000"}],
)  # fmt: skip
def test_a_proof_is_good_for_one_actor_at_one_address(change):
    server, theirs = ServerHandshake(SECRET, MEANT), replace(MEANT, **change)
    client = ClientHandshake(SECRET, theirs)
    answer = server.receive(client.hello)
    with pytest.raises(LaneImpostorError):
        client.receive(answer)
    said = lane_handshake._proof(SECRET, False, theirs, client.hello[-32:], answer[len(ANSWER_HEAD) :][:32])
    with pytest.raises(LaneProtocolError):  # were the client to go on all the same
        server.receive(PROOF_HEAD + said)


def test_another_secret_is_noticed_by_both_ends():
    other = bytes(32)
    client, server = ClientHandshake(other, MEANT), ServerHandshake(SECRET, MEANT)
    answer = server.receive(client.hello)
    with pytest.raises(LaneImpostorError):
        client.receive(answer)
    with pytest.raises(LaneProtocolError):
        server.receive(PROOF_HEAD + lane_handshake._proof(other, False, MEANT, client.hello[-32:], answer[16:48]))


def test_a_servers_proof_sent_back_lets_nobody_in_and_a_clients_is_no_servers():
    server = ServerHandshake(SECRET, MEANT)
    answer = server.receive(ClientHandshake(SECRET, MEANT).hello)
    with pytest.raises(LaneProtocolError):
        server.receive(PROOF_HEAD + answer[-32:])
    client = ClientHandshake(SECRET, MEANT)
    nonce = os.urandom(32)
    reflected = lane_handshake._proof(SECRET, False, MEANT, client.hello[-32:], nonce)
    with pytest.raises(LaneImpostorError):
        client.receive(ANSWER_HEAD + nonce + b"\xc4\x20" + reflected)


async def test_an_old_transcript_is_worth_nothing_to_either_end(make_server, connect, make_relay, tmp_path):
    path, recorded = str(tmp_path / "lane.sock"), str(tmp_path / "recorded.sock")
    server = make_server()
    await server.start_unix(path)
    client, side = ClientHandshake(SECRET, Meant(NAME, path)), ServerHandshake(SECRET, Meant(NAME, path))
    answer = side.receive(client.hello)
    proof = client.receive(answer)
    said = await try_to_get_in(path, client.hello, proof)  # to a server with a nonce of its own
    assert len(said) == ANSWER_BYTES
    assert server.connection_count == 0

    async def play(reader, writer):
        writer.write(answer)
        await reader.read()

    player = await asyncio.start_unix_server(play, recorded)
    with pytest.raises(LaneImpostorError):
        await connect(recorded)
    player.close()


def test_nonces_are_fresh_and_of_both_ends():
    hellos = {ClientHandshake(SECRET, MEANT).hello for _ in range(100)}
    hello = hellos.pop()
    answers = {ServerHandshake(SECRET, MEANT).receive(hello) for _ in range(100)}
    assert (len(hellos), len(answers)) == (99, 100)
    proofs = {
        lane_handshake._proof(SECRET, True, MEANT, *nonces)
        for nonces in itertools.product((b"a" * 32, b"b" * 32), repeat=2)
    }
    assert len(proofs) == 4


# ---- other versions -------------------------------------------------------------------------------------------------


async def test_a_server_of_the_old_version_gets_a_nonce_and_no_proof(connect):
    heard = []

    async def serve(reader, writer):
        writer.write(msgpack.packb(["rookery-lane", 1, bytes(32)], use_bin_type=True))
        heard.append(await reader.read(4096))
        heard.append(await reader.read(4096))

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    with pytest.raises(LaneProtocolError, match=f"speaks lane version 1, this client {LANE_VERSION}"):
        await connect(server.sockets[0].getsockname())
    server.close()
    await until(lambda: len(heard) == 2)
    assert [len(said) for said in heard] == [HELLO_BYTES, 0]


async def test_a_client_of_the_old_version_is_told_the_new_one_and_not_let_in(make_server, tmp_path):
    server, path = make_server(handshake_timeout_s=0.2), str(tmp_path / "lane.sock")
    await server.start_unix(path)
    assert await try_to_get_in(path) == FAREWELL
    name, version, nonce = msgpack.unpackb(FAREWELL)
    assert (name, version, nonce) == ("rookery-lane", LANE_VERSION, None)
    for nonce in (bytes(32), b"", FAREWELL):
        old_proof = hmac.digest(SECRET, nonce, hashlib.sha256)
        assert await try_to_get_in(path, msgpack.packb(["auth", old_proof], use_bin_type=True)) == b""
    assert server.connection_count == 0


def test_no_key_of_today_can_be_asked_of_a_process_of_the_old_version():
    # It answers HMAC(secret, x) for any x of 32 bytes. A key is HMAC(secret, label + 1): so these have another length.
    for label in (lane_handshake._SERVER_KEY, lane_handshake._CLIENT_KEY):
        assert len(label) + 1 != 32
    assert lane_handshake._SERVER_KEY != lane_handshake._CLIENT_KEY


def test_keys_of_another_version_are_refused_with_what_to_do():
    assert LaneKeys.from_join({"lane": TLS_KEYS.to_wire()}) == TLS_KEYS
    for joined in ({"secret": SECRET}, {"lane": {**KEYS.to_wire(), "version": 3}}):
        with pytest.raises(ConflictError, match="stop the cluster, and start all of it with one version"):
            LaneKeys.from_join(joined)
    assert "secret" not in {"lane": KEYS.to_wire()}
    assert repr(SECRET) not in repr(TLS_KEYS)


# ---- other users ----------------------------------------------------------------------------------------------------

RELAY_SCRIPT = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
path, target = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.chmod(path, 0o777)
print("ready", flush=True)
peer, _ = listener.accept()
peer.settimeout(3)
try:
    print(len(peer.recv(4096)), flush=True)
except OSError:
    print(0, flush=True)
shard = socket.socket(socket.AF_UNIX)
try:
    shard.connect(target)
    shard.sendall(b"hello")
    print(len(shard.recv(4096)), flush=True)
except OSError as error:
    print("refused", flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user; the next test does without")
async def test_another_user_who_listens_in_a_writable_folder_is_told_nothing_and_not_let_in(make_server, connect):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        server, real, taken = make_server(), f"{folder}/real.sock", f"{folder}/lane.sock"
        await server.start_unix(real)
        os.chmod(real, 0o777)  # as if the folder's and the socket's modes were of no help
        attacker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RELAY_SCRIPT, taken, real, stdout=subprocess.PIPE, cwd="/"
        )
        assert attacker.stdout is not None
        try:
            assert await attacker.stdout.readline() == b"ready\n"
            with pytest.raises(LaneImpostorError, match="user 65534 listens"):
                await connect(taken)
            assert await attacker.stdout.readline() == b"0\n"
            assert await attacker.stdout.readline() in (b"0\n", b"refused\n")
            assert server.strangers()["other_user"] == 1
        finally:
            with contextlib.suppress(ProcessLookupError):
                attacker.kill()
            await attacker.wait()


async def test_the_users_at_both_ends_of_a_unix_socket_are_looked_at(make_server, connect, tmp_path, monkeypatch):
    server, path = make_server(), str(tmp_path / "lane.sock")
    await server.start_unix(path)
    ours, stranger = socket.socketpair()
    with ours, stranger:
        assert lane_peers.peer_user(ours) == os.geteuid()  # Linux and macOS say it
    monkeypatch.setattr(lane_peers, "peer_user", lambda sock: os.geteuid() + 1)
    with pytest.raises(LaneImpostorError, match="listens at"):
        await connect(path)
    monkeypatch.undo()
    await until(lambda: server.strangers()["gone"] == 1)
    monkeypatch.setattr(lane_door, "peer_user", lambda sock: os.geteuid() + 1)
    with pytest.raises((LaneProtocolError, OSError)):
        await connect(path)
    assert server.strangers()["other_user"] == 1
    monkeypatch.setattr(lane_door, "peer_user", lambda sock: None)  # the system doesn't say
    assert await (await connect(path)).request("n", [1]) == ["n", [1]]


def test_addresses_of_one_machine_and_of_one_network_of_ipv6_count_as_one():
    groups = [
        {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.9"}, {"10.0.0.1", "::ffff:10.0.0.1"}, {"10.0.0.2"},
        {"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:1::"}, {"2001:db8:0:1::1"}, {"fe80::1%eth0", "fe80::2"},
    ]  # fmt: skip
    named = [{lane_peers.address_group(host) for host in group} for group in groups]
    assert [len(names) for names in named] == [1] * len(groups)
    assert len(set.union(*named)) == len(groups)


# ---- certificates ---------------------------------------------------------------------------------------------------


async def test_there_is_no_way_back_from_tls(make_server, connect):
    plain, address = await listening(make_server, KEYS)
    with pytest.raises(LaneProtocolError, match="doesn't go on with TLS"):
        await connect(address, TLS_KEYS)
    secured = make_server(keys=TLS_KEYS, handshake_timeout_s=0.2)
    address = (LOOPBACK, await secured.start_tcp(LOOPBACK))
    with pytest.raises(LaneRefusedError):
        await connect(address, KEYS)
    await until(lambda: (plain.connection_count, secured.connection_count, len(secured._coming)) == (0, 0, 0))


async def test_another_clusters_authority_is_refused(make_server, connect):
    server, address = await listening(make_server, TLS_KEYS)
    with pytest.raises(LaneImpostorError, match="certificate"):
        await connect(address, replace(TLS_KEYS, authority=make_authority("another")))
    await until(lambda: not server._coming)
    assert server.connection_count == 0


class ManInTheMiddle(Relay):
    """Passes the proofs on, between a client and the very shard that it means, and then takes the shard's place."""

    def __init__(self, target, context):
        super().__init__(target)
        self.context = context

    async def serve(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        far_writer.write(await reader.readexactly(HELLO_BYTES))
        writer.write(await far_reader.readexactly(ANSWER_BYTES))
        far_writer.write(await reader.readexactly(PROOF_MESSAGE_BYTES))
        if self.context is None:
            writer.write(lane_handshake.OK)
        else:
            channel = Channel(self.context)
            with contextlib.suppress(LaneProtocolError):
                while not channel.established:
                    channel.receive(await reader.read(4096))
                    writer.write(channel.outgoing())
                writer.write(channel.send(lane_handshake.OK))
        self.heard += await reader.read(4096)
        far_writer.close()
        writer.close()


@pytest.mark.parametrize("how", ["in the clear", "of its own", "with another shard's certificate"])
async def test_who_sits_between_a_client_and_its_shard_is_noticed(make_server, connect, how):
    server, address = await listening(make_server, TLS_KEYS)
    context = {
        "in the clear": lambda: None, "of its own": lambda: server_context(make_authority("mine"), NAME),
        "with another shard's certificate": lambda: server_context(TLS_KEYS.authority, OTHER),
    }[how]()  # fmt: skip
    man = ManInTheMiddle(address, context)
    taken = await man.start()
    server._doors[0]._meant = replace(server._doors[0]._meant, address=taken)  # as if it sat on the way there
    with pytest.raises(LaneProtocolError):
        await connect(taken, TLS_KEYS)
    await man.close()
    await until(lambda: not server._coming)
    assert server.connection_count == 0


def secure(client, server):
    """Let both ends of TLS talk until both are content."""
    client.start()
    for _ in range(5):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
        if server.established and client.established:
            client.send(b"x")
            return
    raise AssertionError("no end of the handshake")


def test_the_certificate_must_name_the_actor_that_is_meant():
    server = server_context(TLS_KEYS.authority, OTHER)
    with pytest.raises(LaneImpostorError, match="Hostname mismatch"):
        secure(Channel(client_context(TLS_KEYS.authority), NAME), Channel(server))
    secure(Channel(client_context(TLS_KEYS.authority), OTHER), Channel(server))


def test_a_clients_certificate_is_no_servers_and_a_servers_no_clients(monkeypatch):
    from cluster.lane import certificates as lane_certificates

    right, real = lane_certificates.Use, lane_certificates.issue
    swapped = {right.SERVER: right.CLIENT, right.CLIENT: right.SERVER}
    monkeypatch.setattr(lane_certificates, "issue", lambda authority, use, *rest: real(authority, swapped[use], *rest))
    wrong_server = server_context(TLS_KEYS.authority, NAME)
    client_context.cache_clear()
    wrong_client = client_context(TLS_KEYS.authority)
    monkeypatch.undo()
    client_context.cache_clear()
    server = server_context(TLS_KEYS.authority, NAME)
    with pytest.raises(LaneImpostorError, match="purpose"):
        secure(Channel(client_context(TLS_KEYS.authority), NAME), Channel(wrong_server))
    with pytest.raises(LaneProtocolError):
        secure(Channel(wrong_client, NAME), Channel(server))


@pytest.mark.parametrize("how", ["no certificate", "TLS 1.2"])
def test_a_client_must_have_a_certificate_and_tls_1_3(how):
    server = server_context(TLS_KEYS.authority, NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if how == "TLS 1.2":
        context = client_context(TLS_KEYS.authority)
        client_context.cache_clear()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(LaneProtocolError):
        secure(Channel(context, NAME), Channel(server))


def test_no_key_of_a_certificate_is_left_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = []
    monkeypatch.setattr(os, "unlink", lambda path, real=os.unlink: (kept.append(Path(path).read_bytes()), real(path)))
    server_context(TLS_KEYS.authority, NAME)
    assert list(tmp_path.iterdir()) == []
    assert len(kept) == 1
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in kept[0]


async def test_a_lane_over_tls_says_nothing_that_can_be_read(make_server, connect, make_relay):
    server = make_server(keys=TLS_KEYS)
    port = await server.start_tcp(LOOPBACK)
    relay, address = await make_relay((LOOPBACK, port))
    server._doors[0]._meant = replace(server._doors[0]._meant, address=address)  # as if it listened there
    client = await connect(address, TLS_KEYS)
    assert await client.request("credentials", ["a password's hash"]) == ["credentials", ["a password's hash"]]
    for said in (relay.heard, relay.obtained):
        assert len(said) > ANSWER_BYTES
        assert b"password" not in said
        assert b"credentials" not in said


async def test_a_lane_over_tls_that_is_tampered_with_ends(make_server, connect, make_relay):
    server = make_server(keys=TLS_KEYS)
    port = await server.start_tcp(LOOPBACK)
    _, address = await make_relay((LOOPBACK, port))
    server._doors[0]._meant = replace(server._doors[0]._meant, address=address)
    client = await connect(address, TLS_KEYS)
    assert server.connection_count == 1
    client._transport._below.write(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that nobody encrypted
    await until(lambda: server.connection_count == 0)


async def test_a_refusal_reaches_the_client_over_tls_too(make_server, connect):
    server = make_server(keys=TLS_KEYS, connection_count_max=1)
    address = (LOOPBACK, await server.start_tcp(LOOPBACK))
    await connect(address, TLS_KEYS)
    with pytest.raises(LaneRefusedError, match="1 connections are open already"):
        await connect(address, TLS_KEYS)
