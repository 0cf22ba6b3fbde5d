"""Fixtures of the cluster tests: the event loop that the actors use, and lane servers that end with their test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from cluster.lane.certificates import make_authority
from cluster.lane.client import LaneClient
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneRequest, LaneServer
from cluster.placement.shard_map import shard_actor_name

HOLDS_WITHIN_S = 60.0  # a bound for what never comes
KEYS = LaneKeys(bytes(range(32)))
TLS_KEYS = LaneKeys(KEYS.secret, make_authority("tests"))
NAME = shard_actor_name(0, 0)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable]:
    """Ray actors and API workers run on uvloop, so the tests do."""
    return {"uvloop": uvloop.new_event_loop}


def echo(request: LaneRequest) -> None:
    """Answer with what was asked."""
    request.reply([request.op, request.args])


async def until(holds: Callable) -> None:
    """Let the loop run until a condition holds."""
    deadline = time.monotonic() + HOLDS_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.001)


@pytest.fixture
async def make_server() -> AsyncIterator[Callable[..., LaneServer]]:
    """Make lane servers; all are closed at the end, and none may keep a connection then."""
    servers: list[LaneServer] = []

    def make(handler=echo, keys: LaneKeys = KEYS, actor_name: str = NAME, **limits) -> LaneServer:
        servers.append(LaneServer(handler, keys, actor_name, **limits))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()
    await asyncio.sleep(0.02)
    assert all(server.connection_count == 0 for server in servers)


@pytest.fixture
async def connect() -> AsyncIterator[Callable]:
    """Connect lane clients; all are closed at the end."""
    clients: list[LaneClient] = []

    async def make(address, keys: LaneKeys = KEYS, on_push=None, actor_name: str = NAME) -> LaneClient:
        clients.append(LaneClient(address, keys, actor_name, on_push))
        await clients[-1].connect(2.0)
        return clients[-1]

    yield make
    for client in clients:
        client.close()
