"""A client for tests that send tens of thousands of requests: one connection, and no more of HTTP than they need.

http.client parses the head of each answer as if it were a mail: 0.1 ms of the processor, of 0.8 that a request takes.

What it doesn't do: redirects, answers in chunks, a connection that the other side has closed.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

ANSWER_S = 60.0  # that an answer may take: a bound for what hangs
LENGTH = b"content-length:"


class Wire:
    """A connection to a worker at http://HOST:PORT."""

    def __init__(self, base_url: str) -> None:
        where = urlsplit(base_url)
        assert where.hostname is not None
        assert where.port is not None
        self._head = f"host: {where.netloc}\r\n"
        self._socket = socket.create_connection((where.hostname, where.port), ANSWER_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return an answer's status and body."""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if body is not None:
            more += f"content-length: {len(body)}\r\n"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode("latin-1") + (body or b""))
        first = self._answers.readline()
        assert first.startswith(b"HTTP/1.1 "), f"{method} {path}: {first!r}"
        length = 0
        while (line := self._answers.readline().lower()) != b"\r\n":
            assert line, f"{method} {path}: the answer ends in its head"
            assert not line.startswith(b"transfer-encoding:"), f"{method} {path}: {line!r}"
            if line.startswith(LENGTH):
                length = int(line[len(LENGTH) :])
        return int(first[9:12]), self._answers.read(length)

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()


class Client:
    """A connection over which JSON goes both ways."""

    def __init__(self, base_url: str) -> None:
        self._wire = Wire(base_url)

    def ask(self, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["content-type"] = "application/json"
        status, said = self._wire.ask(method, path, headers, None if body is None else orjson.dumps(body))
        return status, orjson.loads(said)

    def close(self) -> None:
        self._wire.close()
