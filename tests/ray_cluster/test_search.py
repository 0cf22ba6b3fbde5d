"""Search on a real cluster: what is written is found, what is deleted or hidden isn't, whatever dies on the way."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest

from tests.serving import START_TIMEOUT_S, ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

ANSWER_S = 60.0  # that an answer may take: a bound for what hangs, on a machine that does something else
EVERYTHING = (
    "/api/v1/search?query=word", "/api/v1/search?query=%22a+phrase%22", "/api/v1/search?query=liked+min_likes:1",
    "/api/v1/search?query=pre*&order=top", "/api/v1/search/accounts?query=ada", "/api/v1/suggest?query=a",
    "/search/tags/hello", "/api/v1/trends",
)  # fmt: skip


class Client:
    """One account over HTTP."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name, self.token = port, name, ""
        found = self.call(
            "POST", "/api/v1/users", {"username": name, "password": "correct horse", "display_name": name}
        )
        self.id, self.token = found["user_id"], found["auth_token"]

    def call(self, method: str, path: str, body: dict | None = None) -> Any:
        """Return the JSON of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        data = None if body is None else json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, data, timeout=ANSWER_S) as answer:
            raw = answer.read()
        return json.loads(raw) if raw else None

    def post(self, status: str, **more: Any) -> str:
        """Tweet; returns the id."""
        return self.call("POST", "/api/v1/tweet", {"user_id": self.id, "status": status, **more})["tweet_id"]

    def answer(self, query: str, **more: Any) -> dict[str, Any]:
        """Return the whole answer of a search."""
        return self.call("GET", "/api/v1/search?" + urllib.parse.urlencode({"query": query, **more}))

    def found(self, query: str, **more: Any) -> list[str]:
        """Return the ids that a search finds."""
        return [tweet["tweet_id"] for tweet in self.answer(query, **more)["tweets"]]

    def tagged(self, tag: str, **more: Any) -> list[str]:
        """Return the ids of a hashtag's timeline."""
        query = urllib.parse.urlencode(more)
        return [t["tweet_id"] for t in self.call("GET", f"/search/tags/{urllib.parse.quote(tag)}?{query}")]


@pytest.fixture(scope="module")
def cluster(watched: ServedCluster) -> ServedCluster:
    for path in EVERYTHING:  # in the moment in which it says that it is ready
        with urllib.request.urlopen(f"http://127.0.0.1:{watched.port}{path}", timeout=ANSWER_S) as answer:
            assert b'"partial":true' not in answer.read()
    return watched


def readiness(cluster: ServedCluster) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer of /readyz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/readyz", timeout=ANSWER_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def people(cluster: ServedCluster) -> tuple[Client, Client, Client]:
    return tuple(Client(cluster.port, name) for name in ("ada_lovelace", "grace_h", "linus"))  # type: ignore[return-value]


def soon(look: Callable[[], Any], wanted: Any) -> None:
    """Wait until look() is what is wanted; an engine goes behind everything else that a machine does."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (last := look()) != wanted:
        assert time.monotonic() < deadline, f"still {last}, not {wanted}"
        time.sleep(0.05)


def test_a_tweet_is_found_by_words_tags_names_and_where_it_is_from(people):
    ada, grace, _ = people
    first = ada.post("Engines are running on the #analytical machine, @grace_h")
    second = grace.post("The engine runs: see https://example.org #machine")
    soon(lambda: ada.found("engine"), [second, first])  # from memory
    soon(lambda: ada.found("engin*"), [second, first])  # from the index
    for query, ids in [
        ("run engine", [second, first]), ('"the engine"', [second]), ("engine -see", [first]), ("#analytical", [first]),
        ("#machine OR #analytical", [second, first]), ("@grace_h engines", [first]), ("from:ada_lovelace", [first]),
        ("from:GRACE_H engine", [second]), ("engine has:links", [second]), ("anal*", [first]), ("nothingness", []),
        ("from:nobody_at_all", []), ("engine until:2012-01-01", []), ("engine since:2012-01-01", [second, first]),
    ]:  # fmt: skip
        assert ada.found(query, exact="true") == ids, query
    assert set(ada.found("engine", order="top")) == {first, second}


def test_pages_go_on_where_the_last_one_ended(people):
    ada = people[0]
    ids = [ada.post(f"paging number {i}") for i in range(7)][::-1]
    soon(lambda: ada.found("paging"), ids)
    page = ada.answer("paging", count=3)
    assert [t["tweet_id"] for t in page["tweets"]] == ids[:3]
    assert ada.found("paging", count=3, cursor=page["next_cursor"]) == ids[3:6]
    assert ada.found("paging", count=3, max_id=ids[5]) == ids[6:]
    assert ada.found("paging", count=2, min_id=ids[4]) == ids[2:4]
    assert ada.found("paging", since_id=ids[3]) == ids[:3]
    seen, cursor = [], ""
    while cursor is not None:
        page = ada.answer("paging", order="top", count=3, **({"cursor": cursor} if cursor else {}))
        seen += [t["tweet_id"] for t in page["tweets"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(ids)


def test_typos_are_corrected_and_said(people):
    ada, grace, _ = people
    for who in (ada, grace):
        who.post("wonderful elephants everywhere")
    soon(lambda: len(ada.found("elephants")), 2)
    soon(lambda: ada.answer("wonderfull elefants")["corrected"], "wonderful elephants")
    assert len(ada.found("wonderfull elefants")) == 2
    assert ada.answer("wonderfull elefants", exact="true")["tweets"] == []


def test_what_may_not_be_seen_is_not_found(people):
    ada, grace, linus = people
    secret = grace.post("confidential zebra", visibility="followers")
    public = grace.post("open zebra")
    doomed = ada.post("doomed zebra")
    soon(lambda: linus.found("zebra"), [doomed, public])
    assert secret not in grace.found("zebra")
    ada.call("DELETE", f"/api/v1/tweet/{doomed}")
    assert linus.found("zebra") == [public]
    grace.call("POST", f"/{grace.id}/block/{linus.id}")
    soon(lambda: linus.found("zebra"), [])
    assert linus.found("zebra", order="top") == []
    assert ada.found("zebra") == [public]
    grace.call("DELETE", f"/{grace.id}/block/{linus.id}")
    linus.call("POST", f"/{linus.id}/mute/{grace.id}")
    assert linus.found("zebra") == []
    linus.call("DELETE", f"/{linus.id}/mute/{grace.id}")


def test_likes_and_follows_decide(people):
    ada, grace, linus = people
    plain, liked = ada.post("ranking giraffe"), ada.post("ranking giraffe tall")
    theirs = grace.post("ranking giraffe other")
    soon(lambda: len(ada.found("giraffe")), 3)
    for who in (ada, grace, linus):
        who.call("POST", f"/api/v1/tweet/{plain}/like", {"user_id": who.id})
    soon(lambda: ada.found("giraffe min_likes:3"), [plain])
    assert ada.found("giraffe from:ada_lovelace", order="top")[0] == plain
    linus.call("POST", f"/{linus.id}/follow/{grace.id}")
    soon(lambda: linus.found("giraffe filter:follows"), [theirs])
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{ada.port}/api/v1/search?query=filter:follows", timeout=ANSWER_S)
    assert refused.value.code == 422
    assert liked in ada.found("giraffe")


def test_hashtag_timelines_combine_tags(people):
    ada, grace, _ = people
    both, one = ada.post("x #Kafka #jazz"), grace.post("y #kafka")
    other = ada.post("z #jazz #blues")
    soon(lambda: ada.tagged("kafka"), [one, both])
    soon(lambda: ada.tagged("blues"), [other])
    assert ada.tagged("%23KAFKA".replace("%23", "#")) == [one, both]
    assert ada.tagged("kafka", any="blues") == [other, one, both]
    assert ada.tagged("kafka", all="jazz") == [both]
    assert ada.tagged("kafka", none="jazz") == [one]
    assert ada.tagged("kafka", count=1) == [one]
    assert ada.tagged("kafka", count=1, max_id=one) == [both]


def test_reposts_are_found_only_when_they_are_asked_for(people):
    ada, grace, _ = people
    original = ada.post("quotable walrus")
    repost = grace.call("POST", f"/api/v1/tweet/{original}/repost", {"user_id": grace.id})["tweet_id"]
    soon(lambda: ada.found("walrus is:repost"), [repost])
    soon(lambda: ada.found("walrus"), [original])


def test_accounts_are_suggested_and_found(people):
    ada = people[0]

    def names(path: str, key: str) -> list[str]:
        return [user["username"] for user in ada.call("GET", path)[key]]

    soon(lambda: names("/api/v1/suggest?query=ada", "accounts"), ["ada_lovelace"])
    assert names("/api/v1/suggest?query=@gra", "accounts") == ["grace_h"]
    assert names("/api/v1/search/accounts?query=lovelace", "users") == ["ada_lovelace"]
    assert names("/api/v1/search/accounts?query=lovelcae", "users") == ["ada_lovelace"]
    ada.post("hello #suggestible")
    soon(lambda: [t["name"] for t in ada.call("GET", "/api/v1/suggest?query=%23sugg")["hashtags"]], ["suggestible"])


def test_highlights_say_where_the_words_stand(people):
    ada = people[0]
    tweet = ada.post("<3 Pandas: a panda's life & café")
    soon(lambda: ada.found("panda"), [tweet])
    spans = ada.answer("panda cafe", highlights="true")["highlights"][tweet]
    assert ["<3 Pandas: a panda's life & café"[start:end] for start, end in spans] == ["Pandas", "panda's", "café"]


@pytest.mark.parametrize(
    "query",
    ["query=", "query=(a", "query=a&order=odd", "query=-a", "query=a&exact=perhaps", "query=a&order=top&cursor=1_2"],
)
def test_a_malformed_search_is_told_what_is_wrong(people, query):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{people[0].port}/api/v1/search?{query}", timeout=ANSWER_S)
    assert refused.value.code in (400, 422)
    assert json.loads(refused.value.read())["error"]["message"]


def test_an_engine_that_is_killed_comes_back_with_everything(cluster, people):
    ada = people[0]
    before = ada.post("resilient octopus")
    soon(lambda: ada.found("octopus"), [before])
    processes = cluster.run("status")["processes"]
    assert len([p for p in processes if p["role"] == "search"]) == 2
    shards = [psutil.Process(p["pid"]) for p in processes if p["role"] == "shard"]
    told: list[dict[str, Any]] = []

    def is_degraded() -> bool:
        """Kill what engines there are: one is back so soon that it may not have been missed."""
        for engine in (child for shard in shards for child in shard.children()):
            with suppress(psutil.NoSuchProcess):
                engine.kill()
        status, body = readiness(cluster)
        assert (status, body["ready"]) == (200, True), "home timelines are served: no balancer may leave this out"
        told.extend(each for each in body["degraded"] if each["part"] == "search")
        return bool(told)

    wait_for(is_degraded)
    assert {(each["part"], each["state"]) for each in told} <= {("search", "starting again"), ("search", "catching up")}
    during = ada.post("resilient octopus again")

    def found() -> list[str]:
        try:
            return ada.found("octopus")
        except urllib.error.HTTPError as error:
            return [] if error.code == 503 else [str(error)]

    soon(found, [during, before])
    checked = cluster.run("check", "--search")
    assert checked["ok"]
    assert checked["figures"]["search_documents"] > 10
    wait_for(lambda: readiness(cluster)[1]["degraded"] == [])


def test_what_many_suddenly_write_about_is_a_trend_and_what_one_repeats_is_not(people):
    ada, grace, linus = people
    for who in people:
        who.post("everybody says #supernova tonight")
    for i in range(10):
        ada.post(f"only me #selfish {i}")

    def names() -> list[str]:
        return [trend["name"] for trend in ada.call("GET", "/api/v1/trends?window=10m&kind=hashtag&count=50")["trends"]]

    soon(lambda: "#supernova" in names(), True)
    assert "#selfish" not in names()
    found = ada.call("GET", "/api/v1/trends?window=1h&kind=hashtag&count=50")
    trend = next(each for each in found["trends"] if each["name"] == "#supernova")
    assert (trend["authors"], len(trend["history"]), trend["query"]) == (3, 24, "#supernova")
    assert len(grace.found(trend["query"])) == 3
    assert linus.call("GET", "/api/v1/trends?lang=xx")["trends"] == []


def test_what_moves_to_another_shard_is_found_there(cluster, people):
    ada, grace, _ = people
    ids = [who.post(f"migrating geese {i}") for i in range(6) for who in people][::-1]
    soon(lambda: ada.found("geese"), ids)
    cluster.run("rebalance", "--shards", "3")
    soon(lambda: ada.found("geese"), ids)
    last = grace.post("migrating geese arrive")
    soon(lambda: ada.found("geese"), [last, *ids])
    answer = ada.answer("geese")
    assert (answer["partial"], answer["shards"]) == (False, {"answered": 3, "of": 3})
    checked = cluster.run("check", "--search")
    assert checked["ok"], checked
