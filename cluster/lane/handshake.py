"""The lane's handshake: both ends prove that they hold the cluster's secret, before anything else is said.

    client -> ["rookery-lane", 2, client nonce]              32 fresh random bytes
    server -> ["rookery-lane", 2, server nonce, proof]       32 more, and what the secret makes of both
    client -> ["proof", proof]                               sent only if the server's is right
    server -> ["ok"] | ["refused", reason]                   or it closes

A proof is HMAC-SHA256, under a key of that direction, of everything that both ends must mean alike:

    [name, version, "server" | "client", actor name, address, client nonce, server nonce]

Between nodes TLS follows the client's proof, and the `ok` comes inside (lane/tls.py): strangers don't get so far, and
cost some microseconds of HMAC instead of some milliseconds of certificates.

Rules of this file
- No sockets and no event loop: both ends are objects that are fed bytes and return bytes.
- The server proves first, so whoever took a dead shard's port gets a nonce out of a client and nothing else.
- The client says which actor it means, and where it dialled, by what it expects in the proof: these are the map's
  words, and the shard's own, so neither wildcard listeners nor translated addresses matter. What one shard says is
  worth nothing in another's name, nor where it doesn't listen.
- Until the peer has proved itself, each message has one length and one way to write it: nothing is decoded.
- Proofs are compared in constant time.

Not here: who is at the other end of a Unix socket (lane/peers.py), encryption (lane/tls.py). Without these somebody who
passes everything on between a client and the very shard that it means would go unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Any

import msgpack

from actors.core.errors import ConflictError
from cluster.lane.protocol import DECODE_ERRORS, LaneImpostorError, LaneProtocolError, LaneRefusedError, pack

Address = str | tuple[str, int]  # a Unix socket's path, or (host, port)

LANE_NAME = "rookery-lane"
LANE_VERSION = 2
NONCE_BYTES = PROOF_BYTES = SECRET_BYTES = 32
REASON_BYTES_MAX = 200  # of a refusal: a sentence

_HEAD = pack(LANE_NAME)
_BIN32 = b"\xc4\x20"  # msgpack: 32 bytes follow
HELLO_HEAD = b"\x93" + _HEAD + bytes([LANE_VERSION]) + _BIN32
ANSWER_HEAD = b"\x94" + _HEAD + bytes([LANE_VERSION]) + _BIN32
PROOF_HEAD = b"\x92" + pack("proof") + _BIN32
HELLO_BYTES = len(HELLO_HEAD) + NONCE_BYTES
ANSWER_BYTES = len(ANSWER_HEAD) + NONCE_BYTES + len(_BIN32) + PROOF_BYTES
PROOF_MESSAGE_BYTES = len(PROOF_HEAD) + PROOF_BYTES
VERSION_AT = 1 + len(_HEAD)
OK = pack(["ok"])
FAREWELL = pack([LANE_NAME, LANE_VERSION, None])  # version 1 waits for the server's word, and can read this one

# What the secret is used for, each with a key of its own (HKDF-Expand of RFC 5869; the secret is uniform, so there is
# nothing to extract). Version 1 answered any 32 bytes with their HMAC under the secret itself, so none of these, with
# the byte that HKDF adds, may have 32.
_SERVER_KEY = b"rookery lane version 2, the server's proof"
_CLIENT_KEY = b"rookery lane version 2, the client's proof"


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """What makes a process a member of the cluster.

    secret: 32 bytes; authority: certificate and key of the cluster's certificate authority (PEM), b"" where lanes
    between nodes aren't encrypted; vapid: the key (PEM) that signs push messages, b"" from an older router.
    """

    secret: bytes = field(repr=False)
    authority: bytes = field(default=b"", repr=False)
    vapid: bytes = field(default=b"", repr=False)

    def to_wire(self) -> dict[str, Any]:
        """Return what `join` hands out."""
        return {"version": LANE_VERSION, "secret": self.secret, "authority": self.authority, "vapid": self.vapid}

    @classmethod
    def from_join(cls, joined: dict[str, Any]) -> LaneKeys:
        """Take them from the answer to `join`. Raises ConflictError if the router speaks another version."""
        wire = joined.get("lane", {"version": 1})
        if wire["version"] != LANE_VERSION:
            raise ConflictError(
                f"the cluster speaks lane version {wire['version']}, this code {LANE_VERSION}: stop the cluster, "
                "and start all of it with one version"
            )
        return cls(wire["secret"], wire["authority"], wire.get("vapid", b""))


@dataclass(frozen=True, slots=True)
class Meant:
    """What both ends of a lane must mean alike.

    actor_name: of the shard replica; address: where its lane listens, in the map's words.
    """

    actor_name: str
    address: Address


def key_for(secret: bytes, purpose: bytes) -> bytes:
    """Return a key of 32 bytes for something else that members of a cluster do. purpose: not of 31 bytes."""
    return _expand(secret, b"rookery " + purpose)


def _expand(secret: bytes, info: bytes) -> bytes:
    """Return a key of 32 bytes: HKDF-Expand of RFC 5869 with SHA-256, one block."""
    return hmac.digest(secret, info + b"\x01", hashlib.sha256)


def _proof(secret: bytes, of_server: bool, meant: Meant, client_nonce: bytes, server_nonce: bytes) -> bytes:
    role, info = ("server", _SERVER_KEY) if of_server else ("client", _CLIENT_KEY)
    address = list(meant.address) if isinstance(meant.address, tuple) else meant.address
    said = [LANE_NAME, LANE_VERSION, role, meant.actor_name, address, client_nonce, server_nonce]
    return hmac.digest(_expand(secret, info), pack(said), hashlib.sha256)


def refusal(reason: str) -> bytes:
    """Return the server's last word to a client that has proved itself and can't be served all the same."""
    return pack(["refused", reason[:REASON_BYTES_MAX]])


class ServerHandshake:
    """The server's end: feed it with `receive`, send what that returns; `proved` once the client may come in."""

    __slots__ = ("_buffer", "_client_nonce", "_meant", "_nonce", "_secret", "proved")

    def __init__(self, secret: bytes, meant: Meant) -> None:
        self._secret, self._meant = secret, meant
        self._nonce, self._client_nonce = b"", b""
        self._buffer = b""
        self.proved = False

    @property
    def greeted(self) -> bool:
        """Whether the client has said its hello."""
        return bool(self._nonce)

    @property
    def missing_count(self) -> int:
        """Bytes that are missing of the client's next message; what comes behind it is for others to read."""
        return (PROOF_MESSAGE_BYTES if self._nonce else HELLO_BYTES) - len(self._buffer)

    def receive(self, data: bytes) -> bytes:
        """Take what the client sent, return what to send. Raises LaneProtocolError at the first byte that is wrong.

        Cost: 10 to 20 us for each of the client's two messages.
        """
        self._buffer += data
        head, length = (PROOF_HEAD, PROOF_MESSAGE_BYTES) if self._nonce else (HELLO_HEAD, HELLO_BYTES)
        if self.proved or not head.startswith(self._buffer[: len(head)]):
            raise LaneProtocolError("the peer doesn't speak this version of the lane")
        if len(self._buffer) > length:
            raise LaneProtocolError("the peer doesn't wait for its turn")
        if len(self._buffer) < length:
            return b""
        said, self._buffer = self._buffer[len(head) :], b""
        if not self._nonce:
            self._client_nonce, self._nonce = said, os.urandom(NONCE_BYTES)
            return ANSWER_HEAD + self._nonce + _BIN32 + self._expected(of_server=True)
        if not hmac.compare_digest(said, self._expected(of_server=False)):
            raise LaneProtocolError("the peer does not hold the cluster secret")
        self.proved = True
        return b""

    def _expected(self, of_server: bool) -> bytes:
        return _proof(self._secret, of_server, self._meant, self._client_nonce, self._nonce)


class ClientHandshake:
    """The client's end: send `hello`, feed it with `receive`, send what that returns, until `accepted`.

    rest: what the server has sent behind its `ok`.
    """

    __slots__ = ("_buffer", "_meant", "_nonce", "_secret", "_server_proved", "accepted", "hello", "rest")

    def __init__(self, secret: bytes, meant: Meant) -> None:
        self._secret, self._meant = secret, meant
        self._nonce = os.urandom(NONCE_BYTES)
        self._buffer = b""
        self._server_proved = False
        self.hello = HELLO_HEAD + self._nonce
        self.accepted = False
        self.rest = b""

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent, return what to send.

        Raises LaneImpostorError if it can't prove that it is the actor that is meant, LaneRefusedError if it doesn't
        let us in, LaneProtocolError if it is no lane of this version.
        """
        self._buffer += data
        if self._server_proved:
            self._read_verdict()
            return b""
        self._look_at_version()
        if len(self._buffer) < ANSWER_BYTES:
            return b""
        said, self._buffer = self._buffer[len(ANSWER_HEAD) : ANSWER_BYTES], self._buffer[ANSWER_BYTES:]
        nonce, proof = said[:NONCE_BYTES], said[-PROOF_BYTES:]
        expected = _proof(self._secret, True, self._meant, self._nonce, nonce)
        if self._buffer or said[NONCE_BYTES:-PROOF_BYTES] != _BIN32 or not hmac.compare_digest(proof, expected):
            raise LaneImpostorError(
                f"whoever listens at {self._meant.address} doesn't prove that it is {self._meant.actor_name} and holds "
                "the cluster's secret"
            )
        self._server_proved = True
        return PROOF_HEAD + _proof(self._secret, False, self._meant, self._nonce, nonce)

    @property
    def server_proved(self) -> bool:
        """Whether the server has proved itself."""
        return self._server_proved

    def _look_at_version(self) -> None:
        """Raise LaneProtocolError as soon as this can't become an answer any more."""
        start = self._buffer[: len(ANSWER_HEAD)]
        name, version = start[1:VERSION_AT], start[VERSION_AT : VERSION_AT + 1]
        if ANSWER_HEAD.startswith(start) or (_HEAD.startswith(name) and not version):
            return
        if name != _HEAD:
            raise LaneProtocolError("this is not a Rookery lane")
        if version[0] == LANE_VERSION:
            raise LaneProtocolError("the server didn't hear from us in time")
        raise LaneProtocolError(
            f"the server speaks lane version {version[0]}, this client {LANE_VERSION}: a cluster runs one version"
        )

    def _read_verdict(self) -> None:
        if self._buffer.startswith(OK):
            self.rest, self._buffer = self._buffer[len(OK) :], b""
            self.accepted = True
            return
        try:
            unpacker = msgpack.Unpacker(raw=False, max_buffer_size=2 * REASON_BYTES_MAX, max_array_len=2)
            unpacker.feed(self._buffer)
            verdict = next(unpacker, None)
        except DECODE_ERRORS as error:
            raise LaneProtocolError("the server's last word of the handshake can't be read") from error
        if isinstance(verdict, list) and len(verdict) == 2 and verdict[0] == "refused":
            raise LaneRefusedError(f"the shard doesn't take this lane: {verdict[1]}")
        if verdict is not None:
            raise LaneProtocolError("the server must answer the proof with ok or refused")
