"""Fixtures: a live server, clients, registered accounts.

To run the same tests against another cluster, override the one fixture `server` in a conftest of your own (it yields a
`LiveServer`: base_url, and the faulty cluster or None). Tests that look into it ask for `fake`, and fail where there is
none.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
import uvloop

from api.worker import ApiWorker
from tests.api.core_cluster import CoreCluster
from tests.api.fake_cluster import FakeCluster
from tests.api.media_port import IMAGE

PASSWORD = "correct horse battery"
CHEAP_PASSWORDS = {"time_cost": 1, "memory_kib": 8, "parallelism": 1}
NO_LIMITS = {"enabled": False}
ASKED_ANEW = {"figures_keep_s": 0.0, "readiness_keep_s": 0.0}
account_numbers = itertools.count(1)


@dataclass
class LiveServer:
    base_url: str
    fake: FakeCluster | None
    worker: ApiWorker | None = None
    loop: asyncio.AbstractEventLoop | None = None  # which all of the worker's state belongs to


@dataclass
class User:
    """A registered account with its client, which sends its token."""

    user_id: str
    username: str
    token: str
    http: httpx.Client

    def tweet(self, status: str, **more: Any) -> dict[str, Any]:
        reply = self.http.post("/api/v1/tweet", json={"user_id": self.user_id, "status": status, **more})
        assert reply.status_code == 201, reply.text
        return reply.json()

    def upload(self, data: bytes = IMAGE + b"of a kite") -> str:
        """Bring a file; returns the id of the medium."""
        reply = self.http.post("/api/v1/media", files={"file": ("a", data)})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["media_id"])

    def home(self, **query: Any) -> list[dict[str, Any]]:
        reply = self.http.get("/api/v1/home_timeline", params={"user_id": self.user_id, **query})
        assert reply.status_code == 200, reply.text
        return reply.json()


class ServerThread:
    """An ApiWorker on an event loop of its own, with the core behind it, and faults on demand.

    The loop is uvloop's, as in a cluster. asyncio's leaves Nagle's algorithm on for a listener without a protocol
    number, and answers of two parts then wait for the client's delayed acknowledgement: 44 ms each.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, fake: Any = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.fake, self._host, self._port = fake or FakeCluster(), host, port
        self._settings = {
            "passwords": CHEAP_PASSWORDS,
            "rate_limits": NO_LIMITS,
            **ASKED_ANEW,
            "webhooks": True,
            "search_timeout_s": 20.0,  # no test of another thing is to fail on a machine that is busy
            **(settings or {}),
        }
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def _connect(self, on_revoked: Any) -> FakeCluster:
        self.fake.on_revoked = on_revoked
        if isinstance(self.fake, CoreCluster):
            self.fake.listened.take = self.worker.take_push
        return self.fake

    def __enter__(self) -> LiveServer:
        self._thread.start()
        self.worker = ApiWorker(self._settings, self._connect, self._host, self._port)
        port = asyncio.run_coroutine_threadsafe(self.worker.start(), self._loop).result(60)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return LiveServer(f"http://{host}:{port}", self.fake, self.worker, self._loop)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.worker.stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()
        if isinstance(self.fake, FakeCluster):
            self.fake.end_search()


def open_http(base_url: str) -> httpx.Client:
    """Return a client without certificates: nothing here is TLS, and reading them takes 20 ms a client."""
    return httpx.Client(base_url=base_url, verify=False)


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """Nothing here is TLS, and each of httpx's clients would read all certificates: 20 ms of the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with ServerThread() as live:
        yield live


@pytest.fixture
def base_url(server: LiveServer) -> str:
    return server.base_url


@pytest.fixture
def fake(server: LiveServer) -> FakeCluster:
    assert server.fake is not None, "a test that looks into the fake cluster runs against another one"
    server.fake.calls.clear()
    return server.fake


@pytest.fixture
def anonymous(base_url: str) -> Iterator[httpx.Client]:
    with open_http(base_url) as http:
        yield http


@pytest.fixture
def register(base_url: str) -> Iterator[Any]:
    clients: list[httpx.Client] = []

    def make(username: str | None = None) -> User:
        name = username or f"user_{next(account_numbers)}"
        http = open_http(base_url)
        clients.append(http)
        reply = http.post("/api/v1/users", json={"username": name, "password": PASSWORD})
        assert reply.status_code == 201, reply.text
        body = reply.json()
        http.headers["authorization"] = f"Bearer {body['auth_token']}"
        return User(body["user_id"], name, body["auth_token"], http)

    yield make
    for http in clients:
        http.close()


@pytest.fixture
def ada(register: Any) -> User:
    return register()


@pytest.fixture
def bob(register: Any) -> User:
    return register()


def assert_error(reply: httpx.Response, status: int, field: str | None = ...) -> dict[str, Any]:  # type: ignore[assignment]
    """Assert that an answer is an error of that status in the one shape that errors have."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert set(error) == {"code", "message", "field"}
    assert error["message"]
    if field is not ...:
        assert error["field"] == field
    if status in (429, 503):
        assert int(reply.headers["retry-after"]) >= 1
    return error
