"""Searches over HTTP, on the real index over the real core: what docs/search.md and docs/api.md promise."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.errors import MalformedError, OverloadedError, RookeryError
from actors.core.ids import ID_MAX, bucket_of_account
from actors.text.query import parse
from api.search.reads import parsed
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster


@pytest.fixture(scope="module")
def core() -> Iterator[CoreCluster]:
    cluster = CoreCluster()
    yield cluster
    cluster.end_search()


@pytest.fixture(scope="module")
def server(core: CoreCluster) -> Iterator[LiveServer]:
    """Nothing is repeated here, so that each answer is of its moment; `repeating` has the cache."""
    with ServerThread({"search_cache_s": 0}, core) as live:
        live.fake = None
        yield live


@pytest.fixture(scope="module")
def repeating(core: CoreCluster, server: LiveServer) -> Iterator[LiveServer]:
    with ServerThread({"search_cache_s": 60.0}, core) as live:
        yield live


@pytest.fixture
def impatient(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no shard longer than a cluster does."""
    monkeypatch.setattr(server.worker._services.search, "_timeout_s", 1.0)


@pytest.fixture(autouse=True)
def healthy(core: CoreCluster) -> Iterator[None]:
    yield
    core.down.clear()
    core.slow.clear()
    core.searched.clear()


@pytest.fixture
def cat(register: Any) -> User:
    return register()


def answer(who: User | httpx.Client, query: str, **more: Any) -> dict[str, Any]:
    http = who.http if isinstance(who, User) else who
    reply = http.get("/api/v1/search", params={"query": query, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def found(who: User | httpx.Client, query: str, **more: Any) -> list[str]:
    return [tweet["tweet_id"] for tweet in answer(who, query, **more)["tweets"]]


def exactly(who: User | httpx.Client, query: str, **more: Any) -> list[str]:
    return found(who, query, exact="true", **more)


def tagged(who: User | httpx.Client, tag: str, query: str = "") -> list[str]:
    http = who.http if isinstance(who, User) else who
    reply = http.get(f"/search/tags/{urllib.parse.quote(tag)}?{query}")
    assert reply.status_code == 200, reply.text
    return [tweet["tweet_id"] for tweet in reply.json()]


def relate(who: User, kind: str, whom: User, on: bool = True) -> None:
    call = who.http.post if on else who.http.delete
    assert call(f"/{who.user_id}/{kind}/{whom.user_id}").status_code == 200


def like(who: User, tweet_id: str) -> None:
    assert who.http.post(f"/api/v1/tweet/{tweet_id}/like", json={"user_id": who.user_id}).status_code == 200


def shards_of(core: CoreCluster, register: Any) -> list[User]:
    """Return one user on each shard, in the order of shards."""
    by_shard: dict[int, User] = {}
    while len(by_shard) < core.shard_count:
        user = register()
        by_shard.setdefault(shard_of(core, user), user)
    return [by_shard[shard] for shard in range(core.shard_count)]


def shard_of(core: CoreCluster, user: User) -> int:
    return core.shard_of(bucket_of_account(int(user.user_id)))


# ---- the language of queries --------------------------------------------------------------------------------------


def test_every_operator_finds_what_the_documentation_says(ada, bob):
    first = ada.tweet(f"Blue WHALES are running past @{bob.username} #Ocean $TSLA café")["tweet_id"]
    second = bob.tweet("a whale and a dolphin, see https://example.org/x #ocean #Jazz")["tweet_id"]
    third = bob.tweet("@x a dolphin sings", in_reply_to=first)["tweet_id"]
    media = ada.tweet("walrus portrait", media_ids=[ada.upload()])["tweet_id"]
    german = ada.tweet("Der Wal schwimmt heute wieder durch das große blaue Meer und singt dabei")["tweet_id"]
    mine = f"(from:{ada.username} OR from:{bob.username})"
    both = [second, first]
    for query, ids in [
        ("whale", both), ("whales", both), ("WHALE", both), ("whale blue", [first]), ("run", [first]),
        ("whale AND blue", [first]), ("walrus OR dolphin", [media, third, second]), ("whale -blue", [second]),
        ("whale NOT blue", [second]), ("(walrus OR whale) dolphin", [second]), ('"blue whales"', [first]),
        ('"whales blue"', []), ("whal*", both), ("#ocean", both), ("#OCEAN -#jazz", [first]), ("$tsla", [first]),
        (f"@{bob.username} whale", [first]), (f"mentions:{bob.username} whale", [first]), ("cafe", [first]),
        ("CAFÉ", [first]), (f"from:@{bob.username} whale", [second]), (f"to:{ada.username}", [third]),
        ("wal lang:de", [german]), ("whale has:links", [second]), ("walrus has:media", [media]),
        ("dolphin is:reply", [third]), ("whale since:2012-01-01", both), ("whale until:2012-01-01", []),
        ("whale since:2099-01-01", []), ("whale from:nobody_at_all", []), ("whale -from:nobody_at_all", both),
        ("whale min_likes:1", []), ("whale and", [second]), ("whale is:repost", []), ("whale since:0001-01-01", both),
    ]:  # fmt: skip
        assert exactly(ada, f"{query} {mine}") == ids, query


def test_text_without_blanks_between_words_is_found_by_any_run_of_it(ada):
    tweet = ada.tweet("昨日は東京マラソンを走った👍🏽")["tweet_id"]
    for query in ("東京", "京マ", "マラソン", "走っ", "👍🏽", "昨"):
        assert tweet in exactly(ada, query), query
    assert tweet not in exactly(ada, "京東")


def test_a_repost_is_found_only_where_it_is_asked_for(ada, bob):
    original = ada.tweet("quotable ostrich")["tweet_id"]
    reply = bob.http.post(f"/api/v1/tweet/{original}/repost", json={"user_id": bob.user_id})
    assert found(ada, "ostrich") == [original]
    assert found(ada, "ostrich is:repost") == [reply.json()["tweet_id"]]


def test_likes_count_at_once_and_follows_are_the_readers(ada, bob, cat, anonymous):
    plain, liked = ada.tweet("popular #gecko")["tweet_id"], bob.tweet("popular #gecko, too")["tweet_id"]
    like(ada, liked)
    like(cat, liked)
    assert exactly(cat, "gecko min_likes:2") == [liked]
    assert found(cat, "#gecko", order="top")[0] == liked
    relate(cat, "follow", ada)
    assert exactly(cat, "gecko filter:follows") == [plain]
    assert exactly(cat, "gecko -filter:follows") == [liked]
    assert_error(anonymous.get("/api/v1/search?query=gecko+filter:follows"), 422, "query")


def test_top_prefers_whom_the_reader_follows_among_equals(ada, bob, cat):
    # By hashtag: a word's worth depends on the shard's other tweets, of which there may be few or many.
    first, second = ada.tweet("equal #heron")["tweet_id"], bob.tweet("equal #heron")["tweet_id"]
    assert set(found(cat, "#heron", order="top")) == {first, second}
    for friend, tweet in ((ada, first), (bob, second)):
        relate(cat, "follow", friend)
        assert found(cat, "#heron", order="top")[0] == tweet
        relate(cat, "follow", friend, on=False)


# ---- pages --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def herd(core, server) -> list[str]:
    """45 tweets of three accounts on both shards, newest first."""
    ids = []
    with httpx.Client(base_url=server.base_url, verify=False) as http:
        people = []
        for name in ("herd_one", "herd_two", "herd_three"):
            body = {"username": name, "password": "correct horse battery"}
            people.append(http.post("/api/v1/users", json=body).json())
        for n in range(45):
            who = people[n % 3]
            headers = {"authorization": f"Bearer {who['auth_token']}"}
            status = f"wildebeest number{n} #migration{' #calf' if n % 5 == 0 else ''}"
            body = {"user_id": who["user_id"], "status": status}
            ids.append(http.post("/api/v1/tweet", json=body, headers=headers).json()["tweet_id"])
    return ids[::-1]


@pytest.mark.parametrize("order", ["latest", "top"])
@pytest.mark.parametrize("count", [1, 7, 20, 45, 46])
def test_cursors_lead_through_everything_once(anonymous, herd, order, count):
    seen, cursor, pages = [], None, 0
    while cursor is not None or not pages:
        page = answer(anonymous, "wildebeest", order=order, count=count, **({"cursor": cursor} if cursor else {}))
        assert len(page["tweets"]) <= count
        seen += [tweet["tweet_id"] for tweet in page["tweets"]]
        cursor, pages = page["next_cursor"], pages + 1
        assert pages < 60
    assert (seen if order == "latest" else sorted(seen, reverse=True)) == herd
    assert pages in (-(-45 // count), -(-45 // count) + 1)


def test_windows_are_those_of_timelines(anonymous, herd):
    for query, ids in [
        ({"max_id": herd[9]}, herd[10:30]), ({"since_id": herd[5]}, herd[:5]), ({"min_id": herd[30]}, herd[10:30]),
        ({"min_id": herd[30], "max_id": herd[25]}, herd[26:30]), ({"since_id": herd[30], "count": 5}, herd[:5]),
        ({"min_id": herd[40], "since_id": herd[30], "count": 5}, herd[25:30]),
        ({"min_id": herd[30], "since_id": herd[40], "count": 5}, herd[25:30]),
        ({"max_id": herd[20], "since_id": herd[23]}, herd[21:23]), ({"max_id": 1}, []), ({"max_id": ID_MAX}, herd[:20]),
        ({"min_id": ID_MAX}, []), ({"since_id": ID_MAX}, []), ({"since_id": 0}, herd[:20]), ({"min_id": 0}, herd[:20]),
        ({"min_id": herd[0]}, []), ({"since_id": herd[0]}, []), ({"cursor": herd[9]}, herd[10:30]),
    ]:  # fmt: skip
        assert exactly(anonymous, "wildebeest", **query) == ids, query
        if "cursor" not in query and not query.keys() >= {"min_id", "max_id"}:
            assert tagged(anonymous, "migration", urllib.parse.urlencode(query)) == ids, query


def test_a_window_of_a_hashtag_between_two_tweets_is_between_both(anonymous, herd):
    assert tagged(anonymous, "migration", f"min_id={herd[30]}&max_id={herd[25]}") == herd[26:30]


def test_a_cursor_with_since_id_ends_where_since_id_says(anonymous, herd):
    seen, cursor = [], {}
    while True:
        page = answer(anonymous, "wildebeest", since_id=herd[25], count=5, **cursor)
        seen += [tweet["tweet_id"] for tweet in page["tweets"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == herd[:25]
    assert answer(anonymous, "wildebeest", since_id=herd[25], count=26)["next_cursor"] is None


def test_a_query_as_long_as_may_be_has_room_for_since_id(anonymous, herd):
    query = " ".join(["wildebeest", *(f"-w{n}" for n in range(49))])
    assert exactly(anonymous, query, since_id=herd[2]) == herd[:2]


@pytest.mark.parametrize("path", ["/api/v1/search?query=wildebeest", "/search/tags/migration?none=calf&none=ox"])
def test_links_lead_to_the_pages_beside_this_one(anonymous, herd, path):
    wanted = herd if "query" in path else [t for i, t in enumerate(herd[::-1]) if i % 5][::-1]
    reply = anonymous.get(f"{path}&count=10&max_id={wanted[9]}")
    ids = [tweet["tweet_id"] for tweet in (reply.json()["tweets"] if "query" in path else reply.json())]
    assert ids == wanted[10:20]
    older, newer = reply.links["next"]["url"], reply.links["prev"]["url"]
    for url, expected in ((older, wanted[20:30]), (newer, wanted[:10])):
        body = httpx.get(url).json()
        assert [tweet["tweet_id"] for tweet in (body["tweets"] if "query" in path else body)] == expected


def test_links_hold_no_token_and_top_has_none(ada, anonymous, herd):
    reply = anonymous.get("/api/v1/search", params={"query": "wildebeest", "auth_token": ada.token})
    assert ada.token not in reply.headers["link"]
    assert "link" not in anonymous.get("/api/v1/search?query=wildebeest&order=top").headers
    assert "link" not in anonymous.get("/api/v1/search?query=nothingofthesort&exact=1").headers


def test_the_first_link_back_from_a_later_page_has_no_cursor(anonymous, herd):
    reply = anonymous.get(f"/api/v1/search?query=wildebeest&count=5&cursor={herd[9]}")
    back = httpx.get(reply.links["prev"]["url"]).json()["tweets"]
    assert [tweet["tweet_id"] for tweet in back] == herd[5:10]


# ---- typos and highlights -----------------------------------------------------------------------------------------


def test_a_typo_is_corrected_and_said_unless_exact_is_asked_for(ada, bob):
    ids = [who.tweet(f"magnificent hippopotamus {n}")["tweet_id"] for n, who in enumerate((ada, bob, ada))][::-1]
    deadline = time.monotonic() + 60
    while not (page := answer(ada, "magnificant hippopotamos"))["corrected"]:  # the vocabulary is read once a second
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert page["corrected"] == "magnificent hippopotamus"
    assert [tweet["tweet_id"] for tweet in page["tweets"]] == ids
    page = answer(ada, "magnificant -blue hippopotamos", highlights=True)
    assert page["corrected"] == "magnificent -blue hippopotamus"
    assert page["highlights"][ids[0]] == [[0, 11], [12, 24]]
    page = answer(ada, "magnificant hippopotamos", exact="true")
    assert (page["corrected"], page["tweets"], page["next_cursor"]) == (None, [], None)
    assert answer(ada, "magnificent hippopotamus")["corrected"] is None
    assert answer(ada, '"magnificant hippopotamos"')["corrected"] is None
    assert answer(ada, "#magnificant")["corrected"] is None


def test_what_was_found_is_answered_if_no_shard_can_correct(core, ada, monkeypatch):
    tweet = ada.tweet("lonesome okapi")["tweet_id"]
    real = CoreCluster.call_shard

    async def call_shard(self: Any, shard: int, op: str, *rest: Any) -> Any:
        if op == "corrections":
            raise OverloadedError("busy")
        return await real(self, shard, op, *rest)

    monkeypatch.setattr(CoreCluster, "call_shard", call_shard)
    assert found(ada, "okapi") == [tweet]


def test_highlights_count_code_points_of_the_status(ada):
    status = "<3 👩‍👩‍👧 Lemurs & a lemur's café; lemurs!"
    tweet = ada.tweet(status)["tweet_id"]
    for order in ("latest", "top"):
        spans = answer(ada, "lemurs cafe", highlights="true", order=order)["highlights"][tweet]
        assert [status[start:end] for start, end in spans] == ["Lemurs", "lemur's", "café", "lemurs"]
    assert "highlights" not in answer(ada, "lemur")


def test_what_is_found_by_something_else_than_words_has_no_highlights(ada):
    tweet = ada.tweet("plain tapir")["tweet_id"]
    assert answer(ada, f"from:{ada.username}", highlights="true")["highlights"][tweet] == []


# ---- who may see what ---------------------------------------------------------------------------------------------


def test_only_public_tweets_are_found_even_by_their_authors(ada, bob):
    relate(bob, "follow", ada)
    public = ada.tweet("secretive zebra #hush")["tweet_id"]
    for visibility in ("followers", "direct"):
        ada.tweet(f"secretive zebra #hush @{bob.username}", visibility=visibility)
    for who in (ada, bob):
        assert exactly(who, "zebra") == exactly(who, "zebra", order="top") == tagged(who, "hush") == [public]


def test_a_block_hides_both_from_each_other_at_once(ada, bob, cat, anonymous):
    hers, his = ada.tweet("walled yak #wall")["tweet_id"], bob.tweet("walled yak #wall")["tweet_id"]
    relate(ada, "block", bob)
    for path in ("yak", "yak #wall"):
        for order in ("latest", "top"):
            assert exactly(ada, path, order=order) == [hers]
            assert exactly(bob, path, order=order) == [his]
            assert sorted(exactly(cat, path, order=order)) == [hers, his]
    assert (tagged(ada, "wall"), tagged(bob, "wall")) == ([hers], [his])
    assert tagged(anonymous, "wall") == exactly(anonymous, "yak") == [his, hers]
    for who, other in ((ada, bob), (bob, ada)):
        users = who.http.get("/api/v1/search/accounts", params={"query": other.username}).json()["users"]
        assert other.user_id not in [user["user_id"] for user in users]
        given = who.http.get("/api/v1/suggest", params={"query": f"@{other.username}"}).json()["accounts"]
        assert other.user_id not in [user["user_id"] for user in given]
    relate(ada, "block", bob, on=False)
    assert exactly(bob, "yak") == [his, hers]


def test_a_mute_hides_the_other_and_reposts_of_the_other_from_the_muter_only(ada, bob, cat):
    tweet = bob.tweet("noisy gnu #noise")["tweet_id"]
    repost = cat.http.post(f"/api/v1/tweet/{tweet}/repost", json={"user_id": cat.user_id}).json()["tweet_id"]
    assert exactly(ada, "gnu is:repost") == [repost]
    relate(ada, "mute", bob)
    assert exactly(ada, "gnu") == exactly(ada, "gnu is:repost") == tagged(ada, "noise") == []
    assert exactly(bob, "gnu") == tagged(bob, "noise") == [tweet]
    assert exactly(cat, "gnu is:repost") == [repost]
    relate(ada, "mute", bob, on=False)
    assert exactly(ada, "gnu") == [tweet]


def test_what_is_deleted_is_gone_from_everything(ada, bob):
    kept, gone = ada.tweet("mortal dodo #extinct")["tweet_id"], ada.tweet("mortal dodo #extinct")["tweet_id"]
    bob.http.post(f"/api/v1/tweet/{gone}/repost", json={"user_id": bob.user_id})
    assert exactly(bob, "dodo") == tagged(bob, "extinct") == [gone, kept]
    assert ada.http.delete(f"/api/v1/tweet/{gone}").status_code == 200
    assert exactly(bob, "dodo") == tagged(bob, "extinct") == exactly(bob, "dodo", order="top") == [kept]
    assert exactly(bob, "dodo is:repost") == []


# ---- partial answers ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["down", "slow"])
def test_the_part_of_a_shard_that_does_not_answer_is_missing_and_the_answer_says_so(
    core, register, anonymous, server, how
):
    word = f"patchy{how}"
    here, there = shards_of(core, register)
    first, second = (who.tweet(f"{word} lynx #{word}")["tweet_id"] for who in (here, there))
    whole = answer(anonymous, word)
    assert (whole["partial"], whole["shards"]) == (False, {"answered": 2, "of": 2})
    assert "rookery-partial" not in anonymous.get(f"/search/tags/{word}").headers
    before = server.worker._services.search.partial_count
    getattr(core, how).add(1)
    for order in ("latest", "top"):
        page = answer(anonymous, word, order=order, exact="true")
        assert (page["partial"], page["shards"]) == (True, {"answered": 1, "of": 2})
        assert [tweet["tweet_id"] for tweet in page["tweets"]] == [first]
    reply = anonymous.get(f"/search/tags/{word}")
    assert reply.headers["rookery-partial"] == "1/2"
    assert [tweet["tweet_id"] for tweet in reply.json()] == [first]
    for path in ("/api/v1/suggest?query=user", "/api/v1/search/accounts?query=user"):
        body = anonymous.get(path).json()
        assert (body["partial"], body["shards"]) == (True, {"answered": 1, "of": 2})
    assert server.worker._services.search.partial_count == before + 5
    getattr(core, how).clear()
    assert exactly(anonymous, word) == [second, first]


SEARCH_PATHS = ["/api/v1/search?query=a1", "/api/v1/search?query=a1&order=top", "/api/v1/suggest?query=a1"]
SEARCH_PATHS += ["/api/v1/search/accounts?query=a1", "/search/tags/a1"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", SEARCH_PATHS)
@pytest.mark.parametrize("how", ["down", "slow"])
def test_if_no_shard_answers_it_is_a_503(core, anonymous, path, how):
    getattr(core, how).update((0, 1))
    assert_error(anonymous.get(path), 503, None)


ENGINE_PATHS = ["/api/v1/search?query=a1*", "/api/v1/search?query=a1*&order=top", *SEARCH_PATHS[2:]]


@pytest.mark.parametrize("path", ENGINE_PATHS)
def test_a_fault_of_one_engine_costs_its_part_only(core, anonymous, path, monkeypatch):
    anonymous.get(path)  # makes the engines
    engine: Any = core.search_of(1).engine

    def fail(op: str, args: Any) -> Any:
        raise RookeryError("the search engine failed")

    monkeypatch.setattr(engine.searches, "answer", fail)
    reply = anonymous.get(path)
    assert reply.status_code == 200
    assert reply.headers.get("rookery-partial") == "1/2" or reply.json()["partial"]


def test_what_a_shard_refuses_a_question_with_is_told(core, anonymous, monkeypatch):
    anonymous.get("/api/v1/search?query=a1")
    engine: Any = core.search_of(0).engine

    def fail(op: str, args: Any) -> Any:
        raise MalformedError("it can't be asked so", "query")

    monkeypatch.setattr(engine.searches, "answer", fail)
    assert_error(anonymous.get("/api/v1/search?query=a1*"), 400, "query")


@pytest.mark.parametrize("path", SEARCH_PATHS)
def test_where_search_is_switched_off_it_is_a_404(path):
    with ServerThread(fake=CoreCluster(has_search=False)) as live, httpx.Client(base_url=live.base_url) as http:
        assert "switched off" in assert_error(http.get(path), 404)["message"]


# ---- repeated answers ---------------------------------------------------------------------------------------------


def test_an_answer_is_repeated_to_whoever_asks_the_same_until_something_is_hidden(core, repeating, ada, bob):
    with httpx.Client(base_url=repeating.base_url, verify=False) as http:
        tweet = ada.tweet("repeated emu")["tweet_id"]
        search_of = repeating.worker._services.search
        hits, misses = search_of.cache.hit_count, search_of.cache.miss_count
        assert exactly(http, "emu", count=1) == exactly(http, "emu", count=1) == [tweet]
        assert core.searched == ["search"] * 2  # one question to each shard
        assert exactly(http, "emu", count=5) == exactly(http, "emu", count=1, order="top") == [tweet]
        assert core.searched == ["search"] * 6  # other questions
        http.headers["authorization"] = f"Bearer {bob.token}"
        assert exactly(http, "emu", count=1) == [tweet]
        assert core.searched == ["search"] * 8  # another reader
        assert (search_of.cache.hit_count, search_of.cache.miss_count) == (hits + 1, misses + 4)
        relate(bob, "mute", ada)
        assert exactly(http, "emu", count=1) == [tweet]  # nobody has told this worker yet
        repeating.worker.drop_searches()
        assert exactly(http, "emu", count=1) == []
        relate(bob, "mute", ada, on=False)
        search_of.cache.check()


def test_a_page_that_is_not_full_is_not_repeated(core, repeating, ada):
    with httpx.Client(base_url=repeating.base_url, verify=False) as http:
        assert exactly(http, "expected rhea", count=2) == []
        tweet = ada.tweet("an expected rhea")["tweet_id"]
        assert exactly(http, "expected rhea", count=2) == [tweet]


def test_gauges_tell_of_repeated_answers(repeating):
    text = httpx.get(f"{repeating.base_url}/metrics").text
    for name in ("search_cache_requests_total", "http_search_partial_total"):
        assert f"rookery_{name}{{" in text


# ---- hashtags -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelt",
    ["{}=reggae,polka", "{}[]=reggae&{}[]=polka", "{}=reggae&{}=polka", "{}%5B%5D=reggae&{}%5b%5d=polka",
     "{}=reggae%2Cpolka", "{}=%23Reggae,%23POLKA", "{}=reggae,,polka,", "{}[]=reggae,polka&{}=",
     "{}[0]=reggae&{}[1]=polka"],
)  # fmt: skip
def test_hashtags_are_combined_in_every_spelling(anonymous, music, spelt):
    plain, reggae, polka, both, other = music
    for name, ids in (("any", [other, both, polka, reggae, plain]), ("all", [both]), ("none", [plain])):
        assert tagged(anonymous, "tune", spelt.replace("{}", name)) == ids, name
    assert tagged(anonymous, "tune", "all=reggae&none=polka") == [reggae]


@pytest.fixture(scope="module")
def music(server) -> list[str]:
    with httpx.Client(base_url=server.base_url, verify=False) as http:
        who = http.post("/api/v1/users", json={"username": "musician", "password": "correct horse battery"}).json()
        http.headers["authorization"] = f"Bearer {who['auth_token']}"
        return [
            http.post("/api/v1/tweet", json={"user_id": who["user_id"], "status": status}).json()["tweet_id"]
            for status in ("#tune", "#Tune #reggae", "#TUNE #polka", "#tune #Polka #reggae", "no t., but #polka")
        ]


def test_a_hashtag_is_the_same_in_whatever_script_and_case(ada):
    tweets = {
        tag: ada.tweet(f"#{tag} x")["tweet_id"] for tag in ("ÅNGSTRÖM_7", "東京マラソン", "हिन्दी", "Ёлка", "ＷＩＤＥ")
    }
    for asked, tag in [
        ("ångström_7", "ÅNGSTRÖM_7"), ("#angstrom_7", "ÅNGSTRÖM_7"), ("東京マラソン", "東京マラソン"),
        ("हिन्दी", "हिन्दी"), ("ёлка", "Ёлка"), ("wide", "ＷＩＤＥ"), ("＃wide", "ＷＩＤＥ"),
    ]:  # fmt: skip
        assert tagged(ada, asked) == [tweets[tag]], asked
    assert tagged(ada, "nobodyeverwrotethis") == []


@pytest.mark.parametrize(
    ("path", "field"),
    [("/search/tags/a%20b", "hashtag"), ("/search/tags/a%E3%80%80b", "hashtag"), ("/search/tags/%23%20b", "hashtag"),
     ("/search/tags/%23", "hashtag"), ("/search/tags/a-b", "hashtag"),
     ("/search/tags/" + "a" * 101, "hashtag"), ("/search/tags/a%00", "hashtag"), ("/search/tags/a?any=b%20c", "any"),
     ("/search/tags/a?none[]=b!", "none"), ("/search/tags/a?all=" + ",".join(f"t{n}" for n in range(16)), "any"),
     ("/search/tags/a?" + "&".join(f"none[]=t{n}" for n in range(16)), "any"), ("/search/tags/a?count=0", "count"),
     ("/search/tags/a?count=201", "count"), ("/search/tags/a?max_id=0", "max_id")],
)  # fmt: skip
def test_what_is_no_hashtag_or_too_many_is_refused(anonymous, path, field):
    assert_error(anonymous.get(path), 422, field)


def test_a_query_string_full_of_hashtags_is_not_read(anonymous):
    assert_error(anonymous.get("/search/tags/a?" + "&".join(["any=b"] * 2_600)), 400)


def test_a_query_of_plain_words_has_the_tree_that_the_parser_gives():
    for query in ("hello world", "a b c", "hello hello world", "one", "x9 9x", "a " * 7 + "a", "and or not"):
        assert parsed(query).tree == parse(query).tree, query


# ---- accounts and suggestions -------------------------------------------------------------------------------------


def test_accounts_are_found_whole_by_their_beginning_and_mistyped_the_popular_first(register, ada, bob, anonymous):
    hans, hanna = register("hanswurst"), register("hannah_wurst")
    for user, name in ((hans, "Hans Wurst"), (hanna, "Hannah Wurst")):
        changes = {"display_name": name, "bio": "sausages of Nuremberg"}
        assert user.http.patch(f"/{user.user_id}/profile", json=changes).status_code == 200

    def users(query: str, **more: Any) -> list[str]:
        reply = anonymous.get("/api/v1/search/accounts", params={"query": query, **more})
        assert reply.headers["cache-control"] == "private, no-store"
        return [user["username"] for user in reply.json()["users"]]

    assert users("hannah_wurst")[0] == users("@hannah_wurst")[0] == users("hannah wurst")[0] == "hannah_wurst"
    assert users("hanah wurts") == ["hannah_wurst"]
    assert sorted(users("wurst")) == sorted(users("nuremberg")) == ["hannah_wurst", "hanswurst"]
    for follower in (ada, bob, hanna):
        relate(follower, "follow", hans)
    assert users("wurst") == ["hanswurst", "hannah_wurst"]
    assert users("wurst", count=1) == ["hanswurst"]
    assert users("nobodyofthatname") == []


def test_suggestions_are_what_begins_so_of_the_kind_that_is_asked_for(register, ada, bob, anonymous):
    register("quokkafan")
    for who, status in ((ada, "#quokka"), (bob, "#Quokka #quokkas"), (ada, "#QUOKKA")):
        who.tweet(status)

    def suggested(query: str, **more: Any) -> tuple[list[str], list[tuple[str, int]]]:
        body = anonymous.get("/api/v1/suggest", params={"query": query, **more}).json()
        assert (body["partial"], body["shards"]) == (False, {"answered": 2, "of": 2})
        return [a["username"] for a in body["accounts"]], [(t["name"], t["tweets"]) for t in body["hashtags"]]

    tags = [("quokka", 3), ("quokkas", 1)]
    assert suggested("quok") == (["quokkafan"], tags)
    assert suggested("QUOK") == (["quokkafan"], tags)
    assert suggested("@quok") == (["quokkafan"], [])
    assert suggested("#quok") == ([], tags)
    assert suggested("#quok", count=1) == ([], tags[:1])
    assert suggested("quokkaxyz")[1] == []
