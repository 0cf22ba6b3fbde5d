"""Fixtures that give each contract test every backend in turn, and Redis tests their server."""

from __future__ import annotations

import uuid

import pytest

from persistence.redis_server import RedisServer
from tests.persistence.backends import JOURNALS, STORES
from tests.persistence.redis_processes import RedisProcess, close_shared_redis, shared_redis


@pytest.fixture(scope="session", autouse=True)
def no_shared_redis_left():
    yield
    close_shared_redis()


@pytest.fixture(params=JOURNALS)
def open_journal(request, tmp_path):
    return JOURNALS[request.param](tmp_path)


@pytest.fixture(params=STORES)
def open_store(request, tmp_path):
    return STORES[request.param](tmp_path)


@pytest.fixture
def shared():
    """A connection to the shared server, and a namespace of this test's own."""
    server = RedisServer(shared_redis().url)
    yield server, uuid.uuid4().hex
    server.close()


@pytest.fixture
def own():
    """A server that the test may kill and reconfigure; its append-only file is synced with every write."""
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always", "--enable-protected-configs", "yes")
    yield process
    process.close()
