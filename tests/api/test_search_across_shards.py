"""What is decided once for all shards, and not by each of them: typos, look-alikes, and which hashtags are the best."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.api.conftest import LiveServer, ServerThread, User
from tests.api.core_cluster import CoreCluster
from tests.api.test_home_exchange import LONG_WAY
from tests.api.test_search import answer, found, relate, shards_of


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


@pytest.fixture
def cat(register: Any) -> User:
    return register()


def corrected(
    http: httpx.Client, text: str, wanted: str | None, more: Mapping[str, Any] = {}, headers: Mapping[str, str] = {}
) -> httpx.Response:
    """Search until that is corrected as it should be, and return the answer: vocabularies are read once a second."""
    deadline = time.monotonic() + 60
    while True:
        reply = http.get("/api/v1/search", params={"query": text, **more}, headers=headers)
        if reply.json()["corrected"] == wanted:
            return reply
        assert time.monotonic() < deadline, reply.text
        time.sleep(0.1)


def named(user: User, name: str) -> str:
    assert user.http.patch(f"/{user.user_id}/profile", json={"display_name": name}).status_code == 200
    return user.user_id


def suggested_accounts(who: User | httpx.Client, query: str, **more: Any) -> tuple[list[str], bool]:
    http = who.http if isinstance(who, User) else who
    body = http.get("/api/v1/suggest", params={"query": query, **more}).json()
    return sorted(account["user_id"] for account in body["accounts"]), body["partial"]


@pytest.mark.parametrize(
    ("query", "resembles", "begins", "has_it"),
    [("grimbald", "Grimbold", "Grimbaldine", 0), ("@marvolo", "Marvalo", "Marvolo", 1),
     ("anna wexley", "Anna Wexlay", "Annabel Wexleys", 0), ("ködderitz", "Koddaritz", "Ködderitzer", 1)],
)  # fmt: skip
def test_accounts_that_resemble_it_are_suggested_only_if_on_no_shard_one_begins_so(
    core, register, anonymous, query, resembles, begins, has_it
):
    users = shards_of(core, register)
    resembling = named(users[1 - has_it], resembles)
    assert suggested_accounts(anonymous, query) == ([resembling], False)
    exact = named(users[has_it], begins)
    assert suggested_accounts(anonymous, query) == ([exact], False)


def test_accounts_that_resemble_it_are_not_suggested_while_a_shard_is_away_that_may_have_it(core, register, anonymous):
    here, there = shards_of(core, register)
    begins, resembling = named(there, "Thistlewood"), named(here, "Thistlewoad")
    core.down.add(1)
    assert suggested_accounts(anonymous, "thistlewood") == ([], True)
    assert suggested_accounts(anonymous, "thistlewoad") == ([resembling], True)
    core.down.clear()
    assert suggested_accounts(anonymous, "thistlewood") == ([begins], False)


def test_a_name_that_its_reader_may_not_see_is_suggested_as_if_it_were_not_there(core, register, cat):
    here, there = shards_of(core, register)
    hidden, resembling = named(here, "Periwinkle"), named(there, "Periwinkla")
    assert suggested_accounts(cat, "periwinkle") == ([hidden], False)
    relate(here, "block", cat)
    assert suggested_accounts(cat, "periwinkle") == ([resembling], False)
    both = named(there, "Periwinkle")
    assert suggested_accounts(cat, "periwinkle") == ([both], False)


def test_hashtags_are_counted_on_all_shards_before_the_best_are_chosen(core, register, anonymous):
    users = shards_of(core, register)
    for who, own in zip(users, ("left", "right"), strict=True):
        for n in range(12):
            for _ in range(3):
                who.tweet(f"#vexillum{own}{n}")
        who.tweet("#vexillumboth")
        who.tweet("#vexillumboth again")
    body = anonymous.get("/api/v1/suggest", params={"query": "#vexillum", "count": 1}).json()
    assert body["hashtags"] == [{"name": "vexillumboth", "tweets": 4}]


def test_nothing_is_corrected_while_a_shard_is_away_that_may_have_it(core, register, ada):
    here, there = shards_of(core, register)
    wanted = there.tweet("an unmistakable flibbertigibbet")["tweet_id"]
    for _ in range(3):
        here.tweet("an unmistakable flibbertigibbot")
    corrected(ada.http, "flibbertigibbut", "flibbertigibbot")
    core.down.add(1)
    page = answer(ada, "flibbertigibbet")
    assert (page["tweets"], page["corrected"], page["partial"]) == ([], None, True)
    core.down.clear()
    assert wanted in found(ada, "flibbertigibbet", exact="true")


def test_a_word_is_one_if_all_shards_together_have_it_often_enough(core, register, ada):
    here, there = shards_of(core, register)
    for n in range(130):
        (here, there)[n % 2].tweet("glimmering quaverlings")
    ids = [who.tweet("glimmering quaverlinks")["tweet_id"] for who in (here, there)]
    corrected(ada.http, "quaverlinks from:" + here.username, "quaverlings from:" + here.username)
    ids += [who.tweet("glimmering quaverlinks")["tweet_id"] for who in (there, here, there)]
    page = corrected(ada.http, "quaverlinks from:" + here.username, None).json()
    assert sorted(tweet["tweet_id"] for tweet in page["tweets"]) == sorted([ids[0], ids[3]])


@pytest.mark.parametrize("way", [{}, LONG_WAY])
def test_the_links_of_a_corrected_page_lead_on_with_what_was_searched(core, register, anonymous, way):
    mine = f"persnickety{'short' if way else 'long'}"
    ids = [who.tweet(f"{mine} & the rest")["tweet_id"] for who in shards_of(core, register) * 3][::-1]
    reply = corrected(anonymous, f"{mine[:-1]}k rest", f"{mine} rest", {"count": 2}, way)
    body = reply.json()
    assert [t["tweet_id"] for t in body["tweets"]] == ids[:2]
    older = anonymous.get(reply.links["next"]["url"], headers=way).json()["tweets"]
    assert [tweet["tweet_id"] for tweet in older] == ids[2:4]
    more = {"query": body["corrected"], "count": 2, "cursor": body["next_cursor"]}
    assert [t["tweet_id"] for t in anonymous.get("/api/v1/search", params=more).json()["tweets"]] == ids[2:4]
