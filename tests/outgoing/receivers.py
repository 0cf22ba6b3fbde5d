"""Receivers outside the cluster: loopback servers that answer, refuse, hang, drip and break off, as paths say."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import NamedTuple

HUGE = b"x" * (4 << 20)
PLAIN = {
    "/ok": b"200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/accepted": b"202 Accepted\r\nContent-Length: 0\r\n\r\n",
    "/broken": b"500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "/gone": b"410 Gone\r\nContent-Length: 0\r\n\r\n",
    "/missing": b"404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "/slower": b"429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
    "/away": b"503 Service Unavailable\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n",
    "/switch": b"101 Switching Protocols\r\nUpgrade: anything\r\nConnection: upgrade\r\n\r\n",
    "/nonsense": b"\x00\x01\x02 nothing that anybody could read\r\n\r\n",
}

ENDLESS = {
    "/headers": b"X-More: 1234567890\r\n" * 100,
    "/line": b"HTTP/1.1 200 " + b"x" * 65_536,
    "/continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
}


@cache
def bomb() -> bytes:
    return gzip.compress(bytes(10 << 20))


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A server on loopback that keeps what it was sent."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = self.at_once = self.at_once_max = self.read_bytes = 0
        self.let_go = asyncio.Event()  # until then /hang answers nothing
        self.port, self.says = 0, b""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read(reader):
                self.received.append(request)
                self.at_once += 1
                self.at_once_max = max(self.at_once_max, self.at_once)
                try:
                    if not await self._answer(request, writer):
                        return
                finally:
                    self.at_once -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.says)
        await self.let_go.wait()
        writer.close()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        path = request.path.partition("?")[0]
        if path == "/reset":
            writer.transport.abort()
            return False
        if path == "/hang":
            await self.let_go.wait()
        if path == "/redirect":
            writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n")
        elif path == "/drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not self.let_go.is_set():
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.01)
            return False
        elif path == "/huge":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(HUGE))
            for begin in range(0, len(HUGE), 65_536):
                writer.write(HUGE[begin : begin + 65_536])
                await writer.drain()
                self.read_bytes = begin
        elif path == "/bomb":  # ten megabytes of nothing in ten kilobytes
            head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(bomb()) + bomb())
        elif path in ENDLESS:
            writer.write(b"HTTP/1.1 200 OK\r\n" if path == "/headers" else b"")
            while not self.let_go.is_set():
                writer.write(ENDLESS[path])
                await writer.drain()
                self.read_bytes += len(ENDLESS[path])
        elif path == "/slowly":
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 " + PLAIN["/ok"])
        else:
            writer.write((b"" if path == "/nonsense" else b"HTTP/1.1 ") + PLAIN.get(path, PLAIN["/ok"]))
        await writer.drain()
        return True


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split(" ")[1], headers, body)


@asynccontextmanager
async def listening(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, says: bytes | None = None
) -> AsyncIterator[Receiver]:
    """Give a receiver on a port of loopback, by default a free one. says: this alone, whoever connects,
    and nothing is read.
    """
    receiver = Receiver()
    receiver.says = says or b""
    server = await asyncio.start_server(receiver.serve if says is None else receiver.say, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.close()
