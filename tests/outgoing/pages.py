"""A site on loopback that has pages as people have them, and such as are made to do harm."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

OPEN_GRAPH = b"""<!doctype html><html><head><title>Not this <b>one</b></title>
<meta property="og:title" content="A kite &amp; a  field"><meta property="og:description" content="Two\nlines">
<meta property="og:site_name" content="The Site"><meta name=author content="Ada">
<meta property="article:published_time" content="2023-11-14T22:13:20Z">
<meta property="og:image" content="/kite.jpg"><meta property="og:image" content="/second.jpg">
<script>document.write("<title>x</title><meta property='og:title' content='from a script'>")</script>
</head><body onload="alert(1)"><svg><title>an icon</title></svg></body></html>"""
PAGES = {
    "/page": OPEN_GRAPH,
    "/plain": b"<title>Only a title</title><meta name=description content='and a few words'>",
    "/untitled": b"<html><head><title> \n </title></head><body><p>nothing</p></body>",
    "/latin": b"<meta charset=iso-8859-1><title>Caf\xe9</title>",
    "/broken": b"<meta charset=unheard-of><title>Caf\xe9 \xff\xfe</title>",
    "/zlib": b"<meta charset=zlib_codec><title>packed</title>",
    "/utf16": "\ufeff<title>Zw\u00f6lf</title>".encode("utf-16-le"),
    "/script": b"<title>&lt;script&gt;alert(1)&lt;/script&gt;\x00\xe2\x80\xae</title>"
    b"<meta property=og:image content='javascript:1'>",
    "/nested": b"<div>" * 60_000 + b"<title>Deep down</title>",
    "/unclosed": b"<title>" + b"a" * 400_000,
    "/attributes": b"<title>Many</title><meta " + b"a=1 " * 100_000 + b">",
    "/long": b"<title>" + b"word " * 1_000 + b"</title><meta name=description content='" + b"x" * 9_000 + b"'>",
    "/inside": b"<title>Inside</title><meta property=og:image content='http://169.254.169.254/latest/meta-data'>",
    "/picture-missing": b"<title>No picture</title><meta property=og:image content='/nowhere.jpg'>",
    "/picture-html": b"<title>No picture</title><meta property=og:image content='/plain'>",
    "/picture-huge": b"<title>No picture</title><meta property=og:image content='/endless'>",
}  # fmt: skip
LEADS = {
    "/moved": "/page", "/elsewhere": "//localhost:{port}/page", "/loop": "/loop", "/three": "/two", "/two": "/one",
    "/one": "/moved", "/cloud": "http://169.254.169.254/latest/", "/mine": "http://127.0.0.2:{port}/page",
    "/file": "file:///etc/passwd", "/mail": "http://127.0.0.1:25/", "/named": "http://a:b@127.0.0.1:{port}/page",
}  # fmt: skip


@cache
def bomb() -> bytes:
    return gzip.compress(b"<title>Bomb</title>" + bytes(64 << 20))


class Site:
    """The server. asked: paths, in order; headers: those of the last request; sent: bytes of what never ends."""

    def __init__(self, picture: bytes) -> None:
        self.asked: list[str] = []
        self.headers = ""
        self.sent = self.port = 0
        self.let_go = asyncio.Event()
        self._picture = picture

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = self.headers.split(" ")[1]
            self.asked.append(path)
            await self._answer(path.partition("?")[0], writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path in LEADS:
            where = LEADS[path].replace("{port}", str(self.port))
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())
        elif path in PAGES:
            writer.write(_head("text/html", len(PAGES[path])) + PAGES[path])
        elif path == "/kite.jpg":
            writer.write(_head("application/octet-stream", len(self._picture)) + self._picture)
        elif path == "/bomb":
            writer.write(_head("text/html", len(bomb()), "Content-Encoding: gzip\r\n") + bomb())
        elif path == "/not-packed":
            writer.write(_head("text/html", 5, "Content-Encoding: gzip\r\n") + b"plain")
        elif path == "/odd":
            writer.write(_head("text/html", 5, "Content-Encoding: br\r\n") + b"plain")
        elif path == "/pdf":
            writer.write(_head("application/pdf", 4) + b"%PDF")
        elif path == "/endless":  # 10 MB, or as much as anybody reads
            writer.write(_head("text/html", 10 << 20) + b"<title>Endless</title>")
            for _ in range(160):
                writer.write(b" " * 65_536)
                await writer.drain()
                self.sent += 65_536
        elif path == "/drip":
            writer.write(_head("text/html", 1 << 20))
            while not self.let_go.is_set():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif path == "/hang":
            await self.let_go.wait()
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def _head(content_type: str, size: int, more: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{more}Content-Length: {size}\r\n\r\n".encode()


@asynccontextmanager
async def a_site(picture: bytes) -> AsyncIterator[Site]:
    """Give a site on a free port of loopback."""
    site = Site(picture)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        site.let_go.set()
        server.close()
