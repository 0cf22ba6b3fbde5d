"""A receiver of webhooks in a thread: it takes whatever comes, and keeps it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Message(NamedTuple):
    """One message: its webhook-id, and what it says."""

    message_id: str
    said: dict[str, Any]


class HookServer(ThreadingHTTPServer):
    """A server on a free port of loopback. answers: while it isn't set nothing is answered."""

    daemon_threads = True

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers = threading.Event()
        self.answers.set()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.messages.append(Message(self.headers["webhook-id"], json.loads(body)))
        self.server.answers.wait()
        with suppress(ConnectionError):  # who has sent it isn't there any more
            self.send_response(204)
            self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[HookServer]:
    server = HookServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.answers.set()
        server.shutdown()
        server.server_close()
        thread.join(60)
