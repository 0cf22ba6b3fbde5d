"""Pages of `order=top` while likes come and go: nothing comes twice, nothing that stays is left out. Over HTTP, on the
real index over the real core, of two shards, asked of two workers by turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.core.limits import RANKED_COUNT_MAX
from actors.shard import search_pages
from tests.api.conftest import LiveServer, ServerThread, User, assert_error, open_http
from tests.api.core_cluster import CoreCluster
from tests.api.test_search import relate, shards_of

QUERIES = ("{}", "#{}", "{}*", "{} OR nothing", "{} -absent")  # by posting lists, and by the engine
_words = itertools.count(1)


@pytest.fixture(scope="module")
def core() -> Iterator[CoreCluster]:
    cluster = CoreCluster()
    yield cluster
    cluster.end_search()


@pytest.fixture(scope="module")
def server(core: CoreCluster) -> Iterator[LiveServer]:
    with ServerThread({"search_cache_s": 0}, core) as live:
        live.fake = None
        yield live


@pytest.fixture(scope="module")
def workers(core: CoreCluster, server: LiveServer) -> Iterator[list[httpx.Client]]:
    """Clients of two workers of one cluster."""
    with ServerThread({"search_cache_s": 0}, core) as other:
        clients = [open_http(live.base_url) for live in (server, other)]
        yield clients
        for client in clients:
            client.close()


class Walk:
    """Reads page after page, each of another worker."""

    def __init__(self, workers: list[httpx.Client], query: str, count: int) -> None:
        self._workers, self._query = itertools.cycle(workers), {"query": query, "order": "top", "exact": "true"}
        self.count, self.cursor, self.pages, self.seen = count, "", 0, list[str]()

    @property
    def is_over(self) -> bool:
        return self.cursor is None

    def step(self) -> list[str]:
        query = {**self._query, "count": self.count, **({"cursor": self.cursor} if self.cursor else {})}
        reply = next(self._workers).get("/api/v1/search", params=query)
        assert reply.status_code == 200, reply.text
        ids = [tweet["tweet_id"] for tweet in reply.json()["tweets"]]
        assert len(ids) <= self.count
        self.seen += ids
        self.cursor = reply.json()["next_cursor"]
        self.pages += 1
        assert self.pages < 100
        return ids


def like(who: User, tweet_id: str, is_liked: bool = True) -> None:
    body = {"user_id": who.user_id}
    call = who.http.post if is_liked else who.http.delete
    path = f"/api/v1/tweet/{tweet_id}/like"
    reply = call(path, json=body) if is_liked else who.http.request("DELETE", path, json=body)
    assert reply.status_code == 200, reply.text


@pytest.fixture(scope="module")
def people(core: CoreCluster, server: LiveServer) -> Iterator[list[User]]:
    """One on each shard, and two who like."""
    made: list[User] = []

    def register() -> User:
        http = open_http(server.base_url)
        name = f"ranked_{len(made)}"
        body = http.post("/api/v1/users", json={"username": name, "password": "correct horse battery"}).json()
        http.headers["authorization"] = f"Bearer {body['auth_token']}"
        made.append(User(body["user_id"], name, body["auth_token"], http))
        return made[-1]

    yield [*shards_of(core, register), register(), register()]
    for user in made:
        user.http.close()


def word() -> str:
    return f"rank{'abcdefghij'[next(_words) % 10]}{next(_words)}x"


@pytest.mark.parametrize("query", QUERIES)
def test_likes_that_come_and_go_between_two_pages_repeat_nothing_and_skip_nothing(workers, people, query):
    """24 tweets that match, in pages of 8."""
    mine = word()
    ids = [people[n % 2].tweet(f"{mine} #{mine} number {n}")["tweet_id"] for n in range(24)]
    for tweet_id in ids[::3]:
        like(people[2], tweet_id)
    walk = Walk(workers, query.format(mine), 8)
    first = walk.step()
    for tweet_id in [i for i in first if i in ids[::3]][:3]:
        like(people[2], tweet_id, False)
    for tweet_id in [i for i in ids if i not in first][:3]:
        like(people[2], tweet_id)
        like(people[3], tweet_id)
    second = walk.step()
    for tweet_id in first[:2] + [i for i in ids if i not in first + second][-2:]:
        like(people[3], tweet_id)
    while not walk.is_over:
        walk.step()
    assert sorted(walk.seen) == sorted(ids)


STEPS = st.lists(
    st.tuples(st.sampled_from(("like", "like", "unlike", "post", "delete", "other")), st.integers(0, 40)), max_size=5
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(query="{}", n=24, counts=[8], between=[[("like", 20), ("like", 21)], [("unlike", 20), ("like", 1)]])
@given(
    query=st.sampled_from(QUERIES), n=st.integers(1, 24), counts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    between=st.lists(STEPS, max_size=8),
)  # fmt: skip
def test_whatever_happens_between_pages_what_stays_comes_once(workers, people, query, n, counts, between):
    mine = word()
    ids = [people[i % 2].tweet(f"{mine} #{mine} number {i}")["tweet_id"] for i in range(n)]
    author = {tweet_id: people[i % 2] for i, tweet_id in enumerate(ids)}
    gone: set[str] = set()
    walk = Walk(workers, query.format(mine), 1)
    for at in itertools.count():
        walk.count = counts[at % len(counts)]
        walk.step()
        if walk.is_over:
            break
        for step, number in between[at] if at < len(between) else ():
            tweet_id, who = ids[number % len(ids)], people[2 + number % 2]
            if step == "post":
                author[people[0].tweet(f"{mine} #{mine} new {number}")["tweet_id"]] = people[0]
            elif step == "other":  # a word's worth changes with every tweet
                people[1].tweet(f"something else {number}")
            elif step == "delete" and tweet_id not in gone:
                assert author[tweet_id].http.delete(f"/api/v1/tweet/{tweet_id}").status_code == 200
                gone.add(tweet_id)
            elif tweet_id not in gone:
                like(who, tweet_id, step == "like")
    assert len(walk.seen) == len(set(walk.seen))
    assert set(ids) - gone <= set(walk.seen) <= set(author)


@pytest.mark.parametrize("query", ["{}", "{}*"])
def test_a_list_by_rank_ends_after_so_many_tweets(workers, people, query, monkeypatch):
    for module in ("api.search.pages", "api.search.cursor"):
        monkeypatch.setattr(f"{module}.RANKED_COUNT_MAX", 20)
    mine = word()
    for n in range(26):
        people[n % 2].tweet(f"{mine} {n}")
    walk = Walk(workers, query.format(mine), 7)
    sizes = [len(walk.step()) for _ in range(3)]
    assert (sizes, walk.is_over) == ([7, 7, 6], True)
    assert len(set(walk.seen)) == 20


def test_pages_go_through_all_that_an_index_has_though_it_gives_few_candidates(workers, people, core, monkeypatch):
    mine = word()
    ids = [people[n % 2].tweet(f"{mine} {n}")["tweet_id"] for n in range(60)]
    for shard in range(core.shard_count):
        monkeypatch.setattr(core.search_of(shard), "candidates", 5)
    walk = Walk(workers, f"{mine}*", 7)
    while not walk.is_over:
        walk.step()
        like(people[2], ids[walk.pages % 60])
    assert sorted(walk.seen) == sorted(ids)


def test_candidates_that_may_not_be_shown_do_not_end_the_list(workers, people, core, monkeypatch, register):
    mine, reader, loud = word(), register(), shards_of(core, register)
    ids = [people[n % 2].tweet(f"{mine} {n}")["tweet_id"] for n in range(12)]
    for n in range(40):
        like(people[2], loud[n % 2].tweet(f"{mine} {mine} loud {n}")["tweet_id"])
    for who in loud:
        relate(reader, "mute", who)
    for shard in range(core.shard_count):
        monkeypatch.setattr(core.search_of(shard), "candidates", 5)
    walk = Walk([reader.http], f"{mine}*", 5)
    while not walk.is_over:
        walk.step()
    assert sorted(walk.seen) == sorted(ids)
    monkeypatch.setattr(search_pages, "CANDIDATES_MAX", 5)
    assert reader.http.get(f"/api/v1/search?query={mine}*&order=top").status_code == 200


def test_what_a_shard_had_that_was_away_for_a_page_that_had_all_else_comes_on_the_next(workers, people, core):
    mine = word()
    ids = [people[n % 2].tweet(f"{mine} {n}")["tweet_id"] for n in range(6)]
    walk = Walk(workers, mine, 6)
    core.down.add(1)
    try:
        assert sorted(walk.step()) == ids[::2]
        assert not walk.is_over
        assert (walk.step(), walk.is_over) == ([], True)  # nothing to go on with: whoever wants to may ask again
    finally:
        core.down.clear()
    walk = Walk(workers, mine, 6)
    core.down.add(1)
    try:
        walk.step()
    finally:
        core.down.clear()
    assert sorted(walk.step()) == ids[1::2]


def test_what_a_shard_had_that_was_away_for_a_page_comes_on_the_next(workers, people, core):
    mine = word()
    ids = [people[n % 2].tweet(f"{mine} {n}")["tweet_id"] for n in range(12)]
    for tweet_id in ids[1::2]:
        like(people[2], tweet_id)  # the better ones
    walk = Walk(workers, mine, 4)
    core.down.add(1)
    try:
        assert set(walk.step()) <= set(ids[::2])
    finally:
        core.down.clear()
    assert set(walk.step()) <= set(ids[1::2])
    while not walk.is_over:
        walk.step()
    assert sorted(walk.seen) == sorted(ids)


@pytest.mark.parametrize("cursor", ["1790000000000_0x1.8p+0_117309440000000000", "1_2", "5", "t", "tAAAA", "~" * 3_000])
def test_what_is_no_cursor_of_top_is_refused(anonymous, cursor):
    error = assert_error(
        anonymous.get("/api/v1/search", params={"query": "x", "order": "top", "cursor": cursor}), 400, "cursor"
    )
    assert ("older version" in error["message"]) == ("0x1.8p" in cursor)


def test_the_longest_list_can_be_read_to_its_end(workers, people):
    """Over HTTP, with the longest cursors that there are."""
    mine = word()
    for n in range(RANKED_COUNT_MAX + 5):
        people[n % 2].tweet(f"{mine} {n}")
    walk = Walk(workers, mine, 83)
    while not walk.is_over:
        walk.step()
    assert len(walk.seen) == len(set(walk.seen)) == RANKED_COUNT_MAX
