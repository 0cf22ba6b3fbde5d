"""Floods of strangers at a lane, and who has to go when they are too many.

Nothing here measures the machine: what counts is that honest lanes are made at all, and that others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cluster.lane import door as lane_door
from cluster.lane.client import LaneClient
from cluster.lane.handshake import OK, ClientHandshake, Meant
from cluster.lane.lobby import Lobby
from cluster.lane.protocol import LaneProtocolError
from tests.cluster.conftest import KEYS, NAME, TLS_KEYS, until

LOOPBACK = "127.0.0.1"
FLOOD = Path(__file__).with_name("lane_flood.py")
FLOOD_S, FLOOD_RATE = 300.0, 4_000.0  # it is ended once the honest have had what they want
FLOOD_LEAST = 250  # strangers who are turned away; fewer would be no flood
READS, LANES = 30, 4  # of the honest, meanwhile
ENOUGH_S = 60.0  # for all of that, on a busy machine


# ---- the lobby beside a list ----------------------------------------------------------------------------------------


class LobbyBesideAList(RuleBasedStateMachine):
    """Each step is done to a lobby and to a list of (item, group), oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.lobby: Lobby[int] = Lobby(5)
        self.listed: list[tuple[int, str]] = []
        self.next = 0

    @rule(group=st.sampled_from("abcd"))
    def come(self, group: str) -> None:
        self.next += 1
        gone = self.lobby.add(self.next, group, float(self.next))
        self.listed.append((self.next, group))
        if len(self.listed) <= 5:
            assert gone is None
            return
        sizes = {name: sum(g == name for _, g in self.listed) for _, name in self.listed}
        group_of = dict(self.listed)
        assert gone is not None
        assert sizes[group_of[gone]] == max(sizes.values())
        assert gone == next(item for item, g in self.listed if g == group_of[gone])
        self.listed = [(item, g) for item, g in self.listed if item != gone]

    @rule(at=st.integers(0, 8))
    def go(self, at: int) -> None:
        item = self.listed.pop(at)[0] if at < len(self.listed) else -1
        assert self.lobby.remove(item) == (item > 0)

    @rule(ago=st.integers(0, 8))
    def look_for_the_late(self, ago: int) -> None:
        before = self.next - ago
        assert self.lobby.late(float(before)) == [item for item, _ in self.listed if item < before]

    @invariant()
    def they_agree(self) -> None:
        assert self.lobby.check() == []
        assert list(self.lobby) == [item for item, _ in self.listed]
        assert len(self.lobby) == len(self.listed)


TestLobby = LobbyBesideAList.TestCase
TestLobby.settings = settings(max_examples=60, deadline=None)


def test_who_only_waits_keeps_nobody_out_and_who_comes_last_has_time():
    lobby: Lobby[int] = Lobby(100)
    for stranger in range(10_000):  # each from another address, none ever leaves
        lobby.add(stranger, str(stranger), 0.0)
    lobby.add(-1, "honest", 0.0)
    pushed_out = [lobby.add(stranger, str(stranger), 0.0) for stranger in range(20_000, 20_099)]
    assert -1 not in pushed_out


def test_a_flood_from_one_address_pushes_out_nobody_of_another():
    lobby: Lobby[int] = Lobby(100)
    honest = range(-20, 0)
    for stranger in honest:
        lobby.add(stranger, "another", 0.0)
    gone = {lobby.add(stranger, "flood", 0.0) for stranger in range(10_000)}
    assert not gone.intersection(honest)


# ---- floods ---------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def flood(kind, address):
    """Flood a TCP port meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(FLOOD), kind, address[0], str(address[1]), str(FLOOD_S), str(FLOOD_RATE),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"begun\n"
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def make_lanes(address, keys, count):
    """Make lanes one after the other, each used once; returns how many tries that took."""
    made = tries = 0
    while made < count:
        lane = LaneClient(address, keys, NAME)
        tries += 1
        with contextlib.suppress(OSError, LaneProtocolError):
            await lane.connect(10.0)
            assert await lane.request("n", [tries]) == ["n", [tries]]
            made += 1
        lane.close()
        await asyncio.sleep(0.02)
    return tries


async def read(lane, count):
    """Have so many requests answered one after the other."""
    for _ in range(count):
        await lane.request("n", [])
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("wordless", KEYS),
        ("wordless", TLS_KEYS),
        ("many", KEYS),
        ("begun", KEYS),
        ("hello", TLS_KEYS),
        ("garbage", KEYS),
    ],
    ids=["wordless", "wordless, TLS", "many addresses", "half a hello", "hello, TLS", "garbage"],
)
async def test_beside_a_flood_honest_lanes_are_made_and_the_others_go_on(make_server, connect, kind, keys, caplog):
    server = make_server(keys=keys)
    address = (LOOPBACK, await server.start_tcp(LOOPBACK))
    lane = await connect(address, keys)
    async with flood(kind, address), asyncio.timeout(ENOUGH_S):
        await until(lambda: server.turned_away_count)
        _, tries = await asyncio.gather(read(lane, READS), make_lanes(address, keys, LANES))
        await until(lambda: server.turned_away_count >= FLOOD_LEAST)
    assert tries <= 2 * LANES
    assert not lane.closed
    assert not caplog.records  # nothing is logged for a stranger


async def test_strangers_at_the_tcp_port_are_none_of_the_unix_sockets(make_server, connect, tmp_path):
    server, path = make_server(silent_count_max=2), str(tmp_path / "lane.sock")
    await server.start_unix(path)
    address = (LOOPBACK, await server.start_tcp(LOOPBACK))
    silent = [await asyncio.open_unix_connection(path) for _ in range(2)]
    strangers = [await asyncio.open_connection(*address) for _ in range(20)]
    await until(lambda: server.strangers()["crowded"] == 18)
    reader, writer = silent[0]
    handshake = ClientHandshake(KEYS.secret, Meant(NAME, path))
    writer.write(handshake.hello)
    while not handshake.accepted:
        writer.write(handshake.receive(await reader.read(1000)))
    for _, writer in [*silent, *strangers]:
        writer.close()


async def test_of_one_address_the_flood_pushes_out_only_its_own(make_server):
    server = make_server(silent_count_max=8)
    port = await server.start_tcp("0.0.0.0", known_as=LOOPBACK)
    door = server._doors[0]

    def came_from(host):
        ours, theirs = socket.socketpair()
        door._receive(theirs, (host, 1))
        return ours

    honest = [came_from("10.0.0.1"), came_from("10.0.0.2")]
    flood = [came_from("10.0.0.66") for _ in range(100)]
    assert server.strangers()["crowded"] == 94
    for sock in honest:
        sock.setblocking(False)
        handshake = ClientHandshake(KEYS.secret, Meant(NAME, (LOOPBACK, port)))
        answer, loop = handshake.hello, asyncio.get_running_loop()
        while not handshake.accepted:
            await loop.sock_sendall(sock, answer)
            answer = handshake.receive(await loop.sock_recv(sock, 1000))
    for sock in [*honest, *flood]:
        sock.close()


async def test_without_descriptors_a_door_waits_and_goes_on(make_server, connect, tmp_path, monkeypatch):
    server, path = make_server(), str(tmp_path / "lane.sock")
    await server.start_unix(path)
    door, failures = server._doors[0], [errno.EMFILE, errno.ECONNABORTED]

    class Failing:
        def __init__(self, listener):
            self.listener = listener

        def accept(self):
            if failures:
                raise OSError(failures.pop(0), "no")
            return self.listener.accept()

        def __getattr__(self, name):
            return getattr(self.listener, name)

    monkeypatch.setattr(door, "listener", Failing(door.listener))
    monkeypatch.setattr(lane_door, "NO_FILES_PAUSE_S", 0.01)
    assert await (await connect(path)).request("n", [1]) == ["n", [1]]
    assert failures == []


async def test_who_has_proved_itself_and_then_stalls_in_tls_is_sent_away(make_server):
    server = make_server(keys=TLS_KEYS, handshake_timeout_s=0.1, connection_count_max=1)
    address = (LOOPBACK, await server.start_tcp(LOOPBACK))
    for words in (b"", b"\x16\x03\x01\x01\x00", b"GET / HTTP/1.1\r\n\r\n"):
        reader, writer = await asyncio.open_connection(*address)
        handshake = ClientHandshake(TLS_KEYS.secret, Meant(NAME, address))
        writer.write(handshake.hello)
        writer.write(handshake.receive(await reader.read(1000)) + words)
        if not words.startswith(b"GET"):  # it takes a place until its time is over
            await until(lambda: not server.has_room)
        assert OK not in await reader.read()
        await until(lambda: server.has_room)
        writer.close()
    assert server.connection_count == 0


async def test_closing_a_server_ends_strangers_and_those_who_come_in(make_server):
    server = make_server(keys=TLS_KEYS)
    address = (LOOPBACK, await server.start_tcp(LOOPBACK))
    silent = await asyncio.open_connection(*address)
    reader, writer = await asyncio.open_connection(*address)
    handshake = ClientHandshake(TLS_KEYS.secret, Meant(NAME, address))
    writer.write(handshake.hello)
    writer.write(handshake.receive(await reader.read(1000)))
    await until(lambda: server._coming)
    await server.close()
    for source in (silent[0], reader):
        with contextlib.suppress(ConnectionResetError):
            assert await source.read() == b""
    assert (server.strangers()["waiting"], len(server._coming)) == (0, 0)
    with pytest.raises(OSError, match="refused"):
        await asyncio.open_connection(*address)
    for _, sink in (silent, (reader, writer)):
        sink.close()
