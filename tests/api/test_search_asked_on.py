"""Shards that fail when they are asked a second time for one page (`TweetSearch`), over HTTP, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from actors.core.errors import InvalidError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account
from api.search.scatter import Search
from tests.api.conftest import LiveServer
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import both_ways, wait_for_in_flight
from tests.api.test_search_exchange import register, searching, services_of, tweet

TWEETS, COUNT, SHARE = 10, 8, 7  # of the one who writes; on a page; that each of two shards is asked first
URL = f"/api/v1/search?query=word&count={COUNT}"


class Stumbling(FakeCluster):
    """Its shards answer the first question for a page, and fail with `error` on the second."""

    error: RookeryError | None = None

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op == "search" and any(args[3]) and self.error is not None:  # the cursor
            self.calls.append(op)
            raise self.error
        return await super().call_shard(shard, op, args, timeout_s)

    def search_corrections(self, shard: int, words: list[str]) -> dict[str, Any]:
        return {word: [0, [["other", 1, 9]]] for word in words}


@contextmanager
def stumbling(shard_count: int = 2, **settings: Any) -> Iterator[tuple[LiveServer, httpx.Client, list[str], int]]:
    """Run a worker; yields it, a client, the ids of the tweets of one author, newest first, and her shard."""
    with searching(Stumbling(shard_count), **settings) as (live, http):
        made = register(http, "one")
        ids = [tweet(http, made, f"word {n}") for n in range(TWEETS)][::-1]
        assert live.fake is not None
        live.fake.calls.clear()
        yield live, http, ids, live.fake.shard_of(bucket_of_account(int(made["user_id"])))


def search_of(live: LiveServer) -> Search:
    return services_of(live).search


def ids_of(page: dict[str, Any]) -> list[str]:
    return [each["tweet_id"] for each in page["tweets"]]


BUSY = OverloadedError("busy", None, 1.0)


@pytest.mark.parametrize("order", ["latest", "top"])
def test_a_page_that_ends_where_a_shard_failed_when_asked_on_says_so(order: str):
    with stumbling() as (live, http, ids, _):
        url = f"{URL}&order={order}"
        whole = http.get(url).json()
        assert (ids_of(whole), whole["partial"], whole["shards"]["answered"]) == (ids[:COUNT], False, 2)
        live.fake.error = BUSY
        before = search_of(live).partial_count
        page = http.get(url).json()
        assert (page["partial"], page["shards"]) == (True, {"answered": 1, "of": 2})
        assert search_of(live).partial_count == before + 1
        assert ids_of(page) == ids[:SHARE]
        live.fake.error = None
        rest = http.get(url, params={"query": "word", "order": order, "cursor": page["next_cursor"]}).json()
        assert (ids_of(rest), rest["partial"]) == (ids[SHARE:], False)


def test_both_ways_say_that_a_shard_failed_when_asked_on():
    with stumbling() as (live, http, _, _):
        live.fake.error = BUSY
        short, long = both_ways(http, URL, {})
        assert short == long
        assert json.loads(short[2])["partial"]


def test_a_search_that_one_shard_fails_at_first_and_one_when_asked_on_is_counted_once():
    with stumbling(3) as (live, http, _, shard):
        live.fake.error, live.fake.down = BUSY, {(shard + 1) % 3}
        before = search_of(live).partial_count
        assert http.get(URL).json()["shards"] == {"answered": 1, "of": 3}
        assert search_of(live).partial_count == before + 1


def test_what_a_shard_refuses_when_asked_on_is_told_as_at_first():
    with stumbling() as (live, http, _, _):
        live.fake.error = InvalidError("no such word", "query")
        short, long = both_ways(http, URL, {"x-request-id": "mine"})
        assert (short[0], sorted(short[1]), short[2]) == (long[0], sorted(long[1]), long[2])
        assert (short[0], json.loads(short[2])["error"]["field"]) == (422, "query")
        assert search_of(live).partial_count == 0
        wait_for_in_flight(services_of(live), 0)


def test_a_page_that_ends_where_a_shard_failed_when_asked_on_is_not_kept():
    with stumbling(search_cache_s=60.0) as (live, http, ids, _):
        live.fake.error = BUSY
        assert http.get(URL).json()["partial"]
        live.fake.error = None
        whole = http.get(URL).json()
        assert (ids_of(whole), whole["partial"]) == (ids[:COUNT], False)


def test_a_page_that_ends_where_a_shard_failed_when_asked_on_is_corrected_by_nothing():
    """It has few tweets, but not because there are few."""
    with stumbling(8) as (live, http, ids, _):
        live.fake.error = BUSY
        page = http.get(URL.replace(f"count={COUNT}", "count=3")).json()
        assert (ids_of(page), page["partial"], page["corrected"]) == (ids[:2], True, None)
        assert "corrections" not in live.fake.calls
