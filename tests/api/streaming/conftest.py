"""A live worker whose streams hear what a test says; accounts with tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.streaming.streams import Streams
from tests.api.conftest import LiveServer, ServerThread
from tests.api.streaming.clients import SseClient, WsClient
from tests.api.streaming.fake_hub import FakeHub


class World:
    """A server, and its hub. `do` runs something on the server's loop, and waits for it."""

    def __init__(self, live: LiveServer) -> None:
        self.live, self.hub = live, FakeHub()
        assert live.worker is not None
        self.services: Any = live.worker._services
        self.do(self._put)

    def _put(self) -> None:
        self.services.streams = Streams(self.services, self.hub)

    @property
    def streams(self) -> Streams:
        return self.services.streams

    def do(self, work: Callable[..., Any], *args: Any, **more: Any) -> Any:
        async def run() -> Any:
            return work(*args, **more)

        assert self.live.loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self.live.loop).result(60)

    def tell(self, *args: Any, **more: Any) -> None:
        self.do(self.hub.tell, *args, **more)

    def ws(self) -> WsClient:
        return WsClient(self.live.base_url)

    def sse(self) -> SseClient:
        return SseClient(self.live.base_url)


@pytest.fixture
def world(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("api.streaming.wheel.TICK_S", 1e6)  # hearts beat when a test says so
    made = World(server)
    yield made
    made.do(made.streams.check)
    made.do(made.streams.stop)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with ServerThread() as live:
        yield live


@pytest.fixture
def token(register: Any) -> str:
    return register().token


@pytest.fixture
def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
