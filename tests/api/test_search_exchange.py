"""Searches have two ways through the worker; nobody outside may be able to tell which one was taken.

A request with `content-length: 0` takes the long way (edge.py); the same without it the short one (fast_read.py).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Any

import httpx
import pytest

from actors.core.errors import InvalidError, NotFoundError, OverloadedError, TooLargeError
from actors.core.ids import bucket_of_account
from api.access.auth import make_token
from api.http.admission import Gate
from api.http.fast_exchange import FastExchange
from api.positions import positions_of_request
from api.search.cursor import cursor_of_top
from api.services import Services
from api.settings import Rate
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, open_http
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import (
    begin_to_stop,
    both_ways,
    get,
    open_server,
    read_answers,
    wait_for_in_flight,
)

LONG_WAY = {"content-length": "0"}
URL = "/api/v1/search?query=word&count=2"


@pytest.fixture
def short_ways(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `FastExchange.of` said of each request so far."""
    taken: list[Any] = []
    real = FastExchange.of

    def of(*arguments: Any) -> Any:
        exchange = real(*arguments)
        taken.append(exchange)
        return exchange

    monkeypatch.setattr(FastExchange, "of", of)
    return taken


@contextmanager
def searching(fake: FakeCluster | None = None, **settings: Any) -> Iterator[tuple[LiveServer, httpx.Client]]:
    """Run a worker that repeats nothing unless it is told to; yields a client of it."""
    with ServerThread({"search_cache_s": 0, **settings}, fake) as live, open_http(live.base_url) as http:
        yield live, http


def services_of(live: LiveServer) -> Services:
    assert live.worker is not None
    assert live.worker._services is not None
    return live.worker._services


def register(http: httpx.Client, name: str) -> dict[str, str]:
    return http.post("/api/v1/users", json={"username": name, "password": PASSWORD}).json()


def bearer(made: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {made['auth_token']}"}


def tweet(http: httpx.Client, made: dict[str, str], status: str) -> str:
    reply = http.post("/api/v1/tweet", json={"user_id": made["user_id"], "status": status}, headers=bearer(made))
    return reply.json()["tweet_id"]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """`order=top` is of a second, which both ways have to see."""
    now_s = time.time()
    monkeypatch.setattr("api.search.reads.time", type("Still", (), {"time": staticmethod(lambda: now_s)}))
    monkeypatch.setattr("api.search.fast_read.time", type("Still", (), {"time": staticmethod(lambda: now_s)}))


# ---- the same answers ---------------------------------------------------------------------------------------------

FOUND = [
    "query=word", "query=word&count=1", "query=word+number&count=2", "query=word%20number", "query=%77ord&exact=true",
    "query=word&order=top", "query=word&order=top&count=1", "query=word&order=latest&count=200", "query=word&order=",
    "query=word&max_id={middle}", "query=word&min_id={middle}&count=1", "query=word&since_id={middle}",
    "query=word&max_id={middle}&since_id=1", "query=word&cursor={middle}", "query=word&highlights=true&count=2",
    "query=word&highlights=1&order=top", "query=nothing_of_it", "query=nothing&exact=1", "query=word&x=y%20z&count=1",
    "query=word&max_id=1", "query=%23tag", "query=wor*", "query=word+-number", "query=%22word+number%22&count=1",
    "query=(word+OR+x)+number", "query=w%C3%B6rd", "query=since:2012-01-01+word",
    "query=word&order=top&cursor={cursor}",
    "query=word&exact=TRUE", "query=word&", "query=word&count=2&count2=%2B+%26%3D", "query=word&auth_token=",
]  # fmt: skip
REFUSED = [
    "", "query=", "query=%20", "query=-a", "query=a)", "query=!!!", "query=a+OR", "query=" + "a" * 501,
    "query=a&order=odd", "query=a&exact=perhaps", "query=a&highlights=2", "query=a&count=0", "query=a&count=201",
    "query=a&count=x", "query=a&max_id=x", "query=a&max_id=9223372036854775808", "query=a&cursor=1_2",
    "query=a&order=top&max_id=5", "query=a&order=top&cursor=5", "query=a&order=top&cursor=1_nan_5",
    "query=a&order=top&cursor=1_0x1p0_5", "query=a&order=top&cursor=tAAAA", "query=a&query=b",
    "query=%ED%A0%80", "query=%ff", "query=size:3", "query=a&auth_token=nonsense", "count=1",
    "query=a&max_id=&count=", "query=a&cursor=", "query=a&order=top&cursor=",
]  # fmt: skip
NAMED = ["query=from:{name}+word", "query=to:{name}", "query=word+-from:nobody_there"]


@pytest.fixture(scope="module")
def page() -> Iterator[tuple[LiveServer, httpx.Client, dict[str, str], dict[str, str], str]]:
    """A worker, a client, two accounts, and the middle one of five tweets."""
    with searching() as (live, http):
        ada, bob = register(http, "ada"), register(http, "bob")
        ids = [tweet(http, ada if n % 2 else bob, f"word number {n} #tag") for n in range(5)]
        assert http.post(f"/{ada['user_id']}/follow/{bob['user_id']}", headers=bearer(ada)).status_code == 200
        yield live, http, ada, bob, ids[2]


def cursor_after(tweet_id: str) -> str:
    """Return a cursor of `order=top` of a page with that tweet."""
    return cursor_of_top(1_790_000_000_000, b"", [int(tweet_id)])


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("query", [*FOUND, *REFUSED, *NAMED, "query=filter:follows+word"])
def test_both_ways_give_the_same_answer(page, query):
    _, http, ada, bob, middle = page
    url = "/api/v1/search?" + query.format(middle=middle, name="ada", cursor=cursor_after(middle))
    unknown = [make_token(int(ada["user_id"]))[0], "rk_nonsense", "x" * 5_000]
    sent = [{}, bearer(ada), bearer(bob), {"authorization": "Basic x"}]
    for headers in sent + [{"authorization": f"Bearer {token}"} for token in unknown]:
        short, long = both_ways(http, url, headers)
        assert short == long, headers
        if query in FOUND and headers in sent[:3]:
            assert short[0] == 200


@pytest.mark.parametrize("query", FOUND)
def test_what_is_found_without_names_goes_the_short_way(page, short_ways, query):
    _, http, ada, _, middle = page
    url = "/api/v1/search?" + query.format(middle=middle, cursor=cursor_after(middle))
    http.get(url, headers={**bearer(ada), **LONG_WAY})  # so that the token is known
    for headers in ({}, bearer(ada)):
        assert http.get(url, headers=headers).status_code == 200
    assert [exchange is not None for exchange in short_ways] == [False, True, True]


@pytest.mark.parametrize("query", [*REFUSED, *NAMED, "query=filter:follows+word"])
def test_what_is_refused_or_unusual_goes_the_long_way(page, short_ways, query):
    _, http, _, _, middle = page
    http.get("/api/v1/search?" + query.format(middle=middle, name="ada"))
    assert short_ways == [None]


def test_unusual_requests_go_the_long_way(page, short_ways):
    _, http, ada, _, _ = page
    token = make_token(int(ada["user_id"]))[0]
    for headers in (LONG_WAY, {"rookery-position": "0.1"}, {"authorization": f"Bearer {token}"}, {"upgrade": "x"}):
        http.get(URL, headers=headers)
    for call in (http.head, http.post, http.delete):
        call(URL)
    for path in ("/api/v1/search/", "/api/v1/search", "/api/v1/suggest?query=a", "/api/v1/searching?query=a"):
        http.get(path)
    assert short_ways == [None] * 8  # what isn't GET isn't even asked
    assert http.get(URL).status_code == 200
    assert short_ways[-1] is not None


def test_a_token_that_is_known_says_who_reads(page, short_ways):
    live, http, ada, bob, _ = page
    services = services_of(live)
    http.get(URL, headers={**bearer(ada), **LONG_WAY})
    hits = services.auth.hit_count
    for made in (bearer(ada), {}):
        own = f"&auth_token={ada['auth_token']}" if not made else ""
        found = http.get(f"/api/v1/search?query=word+filter:follows&exact=1{own}", headers=made).json()["tweets"]
        assert {each["user_id"] for each in found} == {bob["user_id"]}
        assert short_ways[-1] is not None
    assert services.auth.hit_count == hits + 2


def test_a_token_that_was_revoked_is_not_believed(page):
    _, http, _, _, _ = page
    made = register(http, "eve")
    assert [http.get(URL, headers=bearer(made)).status_code for _ in range(2)] == [200, 200]
    assert http.post("/api/v1/logout", headers=bearer(made)).status_code < 300
    assert http.get(URL, headers=bearer(made)).status_code == 401


# ---- what shards do ------------------------------------------------------------------------------------------------


def refusing(error: BaseException) -> Callable[..., Any]:
    def refuse(*_: object) -> Any:
        raise error

    return refuse


ERRORS = [NotFoundError("search is switched off"), OverloadedError("full", None, 2.5), TooLargeError("huge"),
          InvalidError("no", "query"), TimeoutError(), ZeroDivisionError()]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("operation", ["search_search", "do_reader"])
@pytest.mark.parametrize("cache_s", [0, 1.0])
def test_both_ways_pass_on_what_a_shard_refuses(error: Exception, operation: str, cache_s: float):
    with searching(search_cache_s=cache_s) as (live, http):
        headers = {**bearer(register(http, "one")), "x-request-id": "mine"}
        assert http.get(URL, headers=headers).status_code == 200
        setattr(live.fake, operation, refusing(error))
        short, long = both_ways(http, URL + "&exact=1", headers)
        assert [short[0], sorted(short[1]), short[2]] == [long[0], sorted(long[1]), long[2]]
        assert short[0] >= 400
        wait_for_in_flight(services_of(live), 0)
        services_of(live).search.cache.check()


@pytest.mark.parametrize(
    ("operation", "reply"),
    [("do_reader", None), ("do_reader", 7), ("search_search", None), ("search_search", [None]),
     ("search_search", [[None], 0, []]), ("search_search", [[[0.0, "x", None]], 0, []])],
)  # fmt: skip
def test_a_reply_of_another_make_is_a_500_and_the_connection_lives_on(operation: str, reply: Any):
    with searching() as (live, http):
        headers = bearer(register(http, "one"))
        assert http.get(URL, headers=headers).status_code == 200
        setattr(live.fake, operation, lambda *_: reply)
        assert [http.get(URL, headers=headers).status_code for _ in range(2)] == [500, 500]
        wait_for_in_flight(services_of(live), 0)


def test_the_part_of_a_shard_that_does_not_answer_is_missing_and_the_answer_says_so(short_ways):
    with searching() as (live, http):
        made = register(http, "one")
        tweet(http, made, "word")
        for down, shards in (({1}, {"answered": 1, "of": 2}), ({0}, {"answered": 1, "of": 2})):
            live.fake.down = down
            before = services_of(live).search.partial_count
            short, long = both_ways(http, URL + "&exact=1", {})
            assert short == long
            assert (json.loads(short[2])["partial"], json.loads(short[2])["shards"]) == (True, shards)
            assert services_of(live).search.partial_count == before + 2
        live.fake.down = {0, 1}
        short, long = both_ways(http, URL, {"x-request-id": "mine"})
        assert [short[0], sorted(short[1]), short[2]] == [long[0], sorted(long[1]), long[2]]
        assert (short[0], json.loads(short[2])["error"]["code"]) == (503, "unavailable")


def test_a_partial_answer_is_not_kept():
    with searching(search_cache_s=60.0) as (live, http):
        made = register(http, "one")
        for _ in range(3):
            tweet(http, made, "word")
        live.fake.down = {1 - live.fake.shard_of(bucket_of_account(int(made["user_id"])))}
        partial = http.get(URL).json()
        live.fake.down = set()
        whole = http.get(URL).json()
        assert (len(partial["tweets"]), len(whole["tweets"])) == (2, 2)
        assert (partial["partial"], whole["partial"]) == (True, False)


class Correcting(FakeCluster):
    """Knows one typo."""

    def search_corrections(self, shard: int, words: list[str]) -> dict[str, Any]:
        known = {"wrod": [0, [["word", 1, 9]]]}
        return {word: known.get(word, [0, []]) for word in words}


def test_a_search_that_finds_too_little_is_corrected_as_on_the_long_way(short_ways):
    with searching(Correcting()) as (live, http):
        made = register(http, "one")
        for n in range(4):
            tweet(http, made, f"word {n}")
        http.get(URL, headers={**bearer(made), **LONG_WAY})
        for headers in ({}, bearer(made)):
            for more in ("", "&highlights=1", "&order=top", "&exact=1", "&max_id=5"):
                url = f"/api/v1/search?query=wrod{more}"
                live.fake.calls.clear()
                short, long = both_ways(http, url, headers)
                if "top" not in more:
                    assert short == long
                assert short_ways[-2] is not None
                corrects = more not in ("&exact=1", "&max_id=5")
                assert json.loads(short[2])["corrected"] == ("word" if corrects else None)
                assert live.fake.calls.count("corrections") == (4 if corrects else 0)
        live.fake.search_corrections = refusing(OverloadedError("busy"))
        short, long = both_ways(http, "/api/v1/search?query=wrod", {})
        assert (short, json.loads(short[2])["tweets"]) == (long, [])
        wait_for_in_flight(services_of(live), 0)


def test_the_deadline_of_a_search_is_its_own():
    asked: list[tuple[str, float]] = []

    class Slow(FakeCluster):
        def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
            asked.append((op, timeout_s))
            super().send(bucket, op, args, timeout_s, done)

        def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
            asked.append((op, timeout_s))
            late = OverloadedError("no answer in time", None, 2.0)
            asyncio.get_running_loop().call_later(0.01, done, None, late)

    with searching(Slow(), search_timeout_s=0.25) as (_, http):
        made = register(http, "one")
        http.get(f"/feed?user_id={made['user_id']}", headers=bearer(made))
        asked.clear()
        reply = http.get(URL, headers=bearer(made))
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
        assert asked == [("reader", 0.25), ("search", 0.25), ("search", 0.25)]


def test_if_nobody_knows_the_shards_it_is_a_503_and_the_next_search_tries_anew():
    class Unknown(FakeCluster):
        known = True

        @property
        def shard_count(self) -> int:
            if not self.known:
                raise OverloadedError("no shard map yet", None, 1.0)
            return 2

    for cache_s in (0, 60.0):
        with searching(fake := Unknown(), search_cache_s=cache_s) as (live, http):
            fake.known = False
            short, long = both_ways(http, URL, {})
            assert (short[0], short[2]) == (long[0], long[2])
            assert short[0] == 503
            fake.known = True
            assert http.get(URL).status_code == 200
            services_of(live).search.cache.check()


class Elsewhere(Correcting):
    """Its replies come in the context of another request, as those of a lane do that was dialled for one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any]] = []

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        super().send(bucket, op, args, timeout_s, self._elsewhere(done))

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        self.seen.append((op, positions_of_request.get()))
        super().send_shard(shard, op, args, timeout_s, self._elsewhere(done))

    def _elsewhere(self, done: Any) -> Any:
        context = copy_context()
        context.run(positions_of_request.set, {0: 99})
        return partial(context.run, done)


@pytest.mark.parametrize("position", [None, {0: 5, 1: 6}])
def test_all_that_a_search_asks_must_see_its_own_positions_only(position):
    with searching(Elsewhere()) as (live, http):
        made = register(http, "one")
        tweet(http, made, "word")
        headers = {"rookery-position": "0.5,1.6"} if position else {}
        for more in ({}, bearer(made), bearer(made)):
            live.fake.seen.clear()
            page = http.get("/api/v1/search?query=wrod", headers={**headers, **more}).json()
            assert page["corrected"] == "word"
            asked = ["search", "search", "corrections", "corrections", "search", "search"]
            assert live.fake.seen == [(op, position if headers else live.fake.seen[0][1]) for op in asked]
            assert live.fake.seen[0][1] in ([position] if headers else [None, {}])


# ---- repeated and shared answers -----------------------------------------------------------------------------------


def test_both_ways_repeat_each_others_answers(short_ways):
    with searching(search_cache_s=60.0) as (live, http):
        made = register(http, "one")
        for _ in range(3):
            tweet(http, made, "word")
        cache = services_of(live).search.cache
        live.fake.calls.clear()
        answers = [http.get(URL, headers=headers).content for headers in ({}, LONG_WAY, {}, LONG_WAY)]
        assert len(set(answers)) == 1
        assert live.fake.calls == ["search"] * 2
        assert (cache.hit_count, cache.miss_count) == (3, 1)
        other = [http.get(URL, headers={**bearer(made), **more}).content for more in (LONG_WAY, {}, LONG_WAY, {})]
        assert set(other) == set(answers)
        assert live.fake.calls == ["search"] * 2 + ["reader"] + ["search"] * 2
        live.worker.drop_searches()
        http.get(URL)
        assert live.fake.calls.count("search") == 6
        assert [exchange is None for exchange in short_ways[-9:]] == [False, True] * 2 + [True, False] * 2 + [False]
        cache.check()


class Slow(FakeCluster):
    """Searches take as long as a test says."""

    is_held = False

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op == "search":
            await asyncio.sleep(self.delay_s)
            while self.is_held:  # noqa: ASYNC110 - a test ends it from another thread
                await asyncio.sleep(0.005)
        return await super().call_shard(shard, op, args, timeout_s)


def test_searches_under_way_are_shared_by_both_ways():
    with searching(Slow(), search_cache_s=60.0) as (live, http):
        made = register(http, "one")
        for _ in range(3):
            tweet(http, made, "word")
        live.fake.calls.clear()
        live.fake.is_held = True
        got: list[bytes] = []

        def ask(headers: dict[str, str]) -> None:
            got.append(httpx.get(f"{live.base_url}{URL}", headers=headers, timeout=60).content)

        threads = [threading.Thread(target=ask, args=(headers,)) for headers in ({}, LONG_WAY, {}, LONG_WAY, {})]
        for thread in threads:
            thread.start()
        wait_for_in_flight(services_of(live), 5)
        live.fake.is_held = False
        for thread in threads:
            thread.join()
        assert len(got) == 5
        assert len(set(got)) == 1
        assert live.fake.calls == ["search"] * 2
        wait_for_in_flight(services_of(live), 0)


@pytest.mark.parametrize("cache_s", [0, 60.0])
def test_a_client_that_goes_away_takes_nothing_from_the_others(cache_s):
    with open_server(Slow(), search_cache_s=cache_s) as (live, sock):
        services = services_of(live)
        live.fake.is_held = True
        sock.sendall(get(URL))
        wait_for_in_flight(services, 1)
        got: list[int] = []
        url = f"{live.base_url}{URL}"
        other = threading.Thread(target=lambda: got.append(httpx.get(url, timeout=60).status_code))
        other.start()
        wait_for_in_flight(services, 2)
        sock.close()
        live.fake.is_held = False
        other.join()
        assert got == [200]
        wait_for_in_flight(services, 0)
        services.search.cache.check()
        assert len(live.fake.calls) - live.fake.calls.count("corrections") == (2 if cache_s else 4)


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("cache_s", [0, 60.0])
def test_pipelined_requests_are_answered_in_their_order(pieces: int, cache_s: float):
    with open_server(Slow(), search_cache_s=cache_s) as (live, sock):
        live.fake.delay_s = 0.02
        paths = [URL, "/healthz", URL, URL + "0", "/api/v1/search?query=", "/feed?user_id=1", URL, URL]
        statuses = [200, 200, 200, 200, 422, 200, 200, 200]
        sent = b"".join(get(path, f"x-request-id: r{n}") for n, path in enumerate(paths))
        step = len(sent) // pieces + 1
        for i in range(0, len(sent), step):
            sock.sendall(sent[i : i + step])
            time.sleep(0.005)
        answers = read_answers(sock, len(paths))
        assert [headers["x-request-id"] for _, headers, _ in answers] == [f"r{n}" for n in range(len(paths))]
        assert [status for status, _, _ in answers] == statuses


@pytest.mark.parametrize(
    "query", ["word#x", "w\u00f6rd", 'a"b', "word|x", "word?x", "[word]", "a\\b", "{a}", "word&count=2#"]
)
def test_unusual_characters_in_a_url_mean_the_same_on_both_ways(short_ways, query):
    with open_server(auth_mode="token", search_cache_s=0) as (_, sock):
        for path in (f"/api/v1/search?query={query}", "/api/v1/search?query=plain"):
            answers = []
            for headers in ([], ["content-length: 0"]):
                sock.sendall(get(path, "x-request-id: mine", *headers))
                ((status, told, body),) = read_answers(sock, 1)
                answers.append((status, {**told, "date": ""}, body))
                if told.get("connection") == "close":
                    return  # it can't be read as HTTP at all
            assert answers[0] == answers[1]
    assert short_ways[0] is None
    assert short_ways[-2] is not None


def test_repeated_answers_follow_each_other_on_one_connection():
    with open_server(search_cache_s=60.0, auth_mode="token") as (live, sock):
        with open_http(live.base_url) as http:
            made = register(http, "two")
            for _ in range(3):
                tweet(http, made, "word")
            http.get(URL)
        live.fake.calls.clear()
        sock.sendall(get(URL) * 20)
        assert {status for status, _, _ in read_answers(sock, 20)} == {200}
        assert live.fake.calls == []


# ---- counted once --------------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_long_way_and_are_counted_once():
    limits = {"address_read": Rate(0.001, 1_000), "account_read": Rate(0.001, 4)}
    with searching(rate_limits=limits) as (_, http):
        made = register(http, "one")
        ways = [LONG_WAY, {}, LONG_WAY, {}, {}, LONG_WAY]
        replies = [http.get(URL, headers={**bearer(made), **more}) for more in ways]
        assert [reply.status_code for reply in replies] == [200] * 4 + [429] * 2
        said = [re.sub(rb"\d+", b"some", reply.content) for reply in replies[4:]]  # seconds, which go by
        assert said[0] == said[1]
        assert all(reply.headers["retry-after"].isdigit() for reply in replies[4:])
        assert http.get(URL).status_code == 200
    with searching(rate_limits={"address_read": Rate(0.001, 4)}) as (_, http):
        assert [http.get(URL, headers=more).status_code for more in ways] == [200] * 4 + [429] * 2


def test_a_worker_that_is_full_refuses_searches():
    with searching(in_flight_count_max=0) as (_, http):
        short, long = both_ways(http, URL, {"x-request-id": "mine"})
        assert (short[0], short[2]) == (long[0], long[2])
        assert short[0] == 503


def test_both_ways_are_counted_and_logged_alike():
    with searching(access_log="all") as (live, http):
        services, noted = services_of(live), []
        real = services.requests.note
        services.requests.note = lambda *args: (noted.append((*args[:3], args[4])), real(*args))[1]
        for headers in ({}, LONG_WAY):
            assert http.get(URL, headers={"x-request-id": "mine", **headers}).status_code == 200
        wait_for_in_flight(services, 0)
        assert noted == [("GET", "/api/v1/search", 200, "mine")] * 2
        line = 'rookery_http_requests_total{worker="api-0",method="GET",route="/api/v1/search",status="200"} 2.0'
        assert line in http.get("/metrics").text


def test_a_gate_is_told_how_long_good_answers_took(monkeypatch):
    with searching() as (live, http):
        services, noted = services_of(live), []
        monkeypatch.setattr(Gate, "note", lambda _, seconds, __: noted.append(seconds))
        http.get(URL)
        live.fake.down = {0, 1}
        http.get(URL)
        wait_for_in_flight(services, 0)
        assert len(noted) == 1


def test_a_stop_waits_for_the_search_under_way():
    with open_server(Slow()) as (live, sock):
        live.fake.is_held = True
        sock.sendall(get(URL + "&exact=1"))
        wait_for_in_flight(services_of(live), 1)
        begin_to_stop(live)
        live.fake.is_held = False
        (status, headers, body), = read_answers(sock, 1)  # fmt: skip
        assert (status, headers["connection"], json.loads(body)["tweets"]) == (200, "close", [])
        assert sock.recv(1) == b""
