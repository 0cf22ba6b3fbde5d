"""Stream clients over bare sockets: they send what a test wants them to, well-formed or not."""

from __future__ import annotations

import base64
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.frames import CLOSE, CONT, PING, PONG, TEXT, Close, Frame, Opcode

NOTHING: Mapping[str, str] = {}
ANSWER_S = 60.0  # a bound for what hangs
KEY = base64.b64encode(b"sixteen bytes..!").decode()
UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY,
}  # fmt: skip


class Socket:
    """A connection, and what has come over it. status, headers, body: of the answer that was read last."""

    def __init__(self, base_url: str) -> None:
        where = urlsplit(base_url)
        self.host = where.netloc
        self.sock = socket.create_connection((where.hostname, where.port), ANSWER_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        self.status, self.headers, self.body = 0, dict[str, str](), b""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.sock.close()

    def send_head(
        self, path: str, headers: Mapping[str, str] = NOTHING, method: str = "GET", version: str = "1.1"
    ) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": self.host, **headers}.items())
        self.sock.sendall(f"{method} {path} HTTP/{version}\r\n{lines}\r\n".encode("latin-1"))

    def read_head(self) -> int:
        first = self.file.readline()
        assert first.startswith(b"HTTP/1.1 "), first
        self.status, self.headers = int(first[9:12]), {}
        while (line := self.file.readline()) != b"\r\n":
            assert line, "the answer ends in its head"
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        return self.status

    def ask(self, path: str, headers: Mapping[str, str] = NOTHING, method: str = "GET") -> int:
        """Send a request and read its answer, whole if it says how long that is."""
        self.send_head(path, headers, method)
        return self.read_answer()

    def read_answer(self) -> int:
        self.read_head()
        self.body = self.file.read(int(self.headers.get("content-length", 0)))
        return self.status

    @property
    def error(self) -> str:
        return orjson.loads(self.body)["error"]

    def is_closed(self) -> bool:
        """Whether the server has closed; what it says before is read past."""
        try:
            while self.sock.recv(1 << 16):
                continue
        except ConnectionError:
            return True
        return True


class SseClient(Socket):
    """A stream of server-sent events."""

    def open(self, path: str, headers: Mapping[str, str] = NOTHING) -> SseClient:
        assert self.ask(path, headers) == 200, self.body
        assert self.headers["content-type"] == "text/event-stream"
        assert self.file.readline() == b":)\n"
        return self

    def block(self) -> dict[str, str]:
        """Return the next block of lines that isn't only comments; comments in it are under ""."""
        said: dict[str, str] = {}
        while True:
            line = self.file.readline().decode()
            if not line:
                return {**said, "end": "yes"}
            if line == "\n":
                return said
            if line == ":thump\n":
                continue
            if line.startswith(":"):
                said[""] = line[1:].strip()
            else:
                name, value = line[:-1].split(": ", 1)
                said[name] = value


class WsClient(Socket):
    """A WebSocket. What it says is masked."""

    def open(self, path: str = "/api/v1/streaming", headers: Mapping[str, str] = NOTHING) -> WsClient:
        assert self.ask(path, {**UPGRADE, **headers}) == 101, (self.status, self.body)
        return self

    def send(self, opcode: Opcode, data: bytes, fin: bool = True) -> None:
        self.sock.sendall(Frame(opcode, data, fin).serialize(mask=True))

    def say(self, **order: Any) -> None:
        self.send(TEXT, orjson.dumps(order))

    def subscribe(self, stream: str, **more: Any) -> None:
        self.say(type="subscribe", stream=stream, **more)

    def frame(self, pings: bool = False) -> tuple[Opcode, bytes]:
        """Return the next frame; pings: heartbeats count."""
        while True:
            opcode, data = self._frame()
            if pings or opcode is not PING:
                return opcode, data

    def _frame(self) -> tuple[Opcode, bytes]:
        head = self.file.read(2)
        assert len(head) == 2, "the connection has ended"
        assert head[0] & 0xF0 == 0x80, "whole, and no extension"
        size = head[1]
        if size == 126:
            size = int.from_bytes(self.file.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self.file.read(8), "big")
        return Opcode(head[0] & 15), self.file.read(size)

    def told(self) -> dict[str, Any]:
        """Return the next message."""
        opcode, data = self.frame()
        assert opcode is TEXT, (opcode, data)
        return orjson.loads(data)

    def ponged(self, data: bytes = b"?") -> None:
        """See that the server has taken all that was sent: it answers a ping behind it."""
        self.send(PING, data)
        opcode, said = self.frame()
        assert (opcode, said) == (PONG, data), said[:300]

    def closed(self) -> tuple[int, str]:
        """Return code and reason of the close that comes next; the connection ends behind it."""
        opcode, data = self.frame()
        assert opcode is CLOSE, (opcode, data)
        close = Close.parse(data)
        assert self.file.read() == b""
        return int(close.code), close.reason


__all__ = ["CLOSE", "CONT", "PING", "PONG", "TEXT", "Socket", "SseClient", "WsClient"]
