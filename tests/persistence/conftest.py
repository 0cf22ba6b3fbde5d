"""Fixtures that give each contract test every backend in turn."""

from __future__ import annotations

import pytest

from tests.persistence.backends import JOURNALS, STORES
from tests.persistence.redis_processes import close_shared_redis


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
