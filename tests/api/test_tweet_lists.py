"""Likes, bookmarks, who likes and reposts, threads: in pages, over the real core on two shards."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.ids import bucket_of_name
from api.limits import ANCESTOR_COUNT_MAX
from tests.api.conftest import LiveServer, ServerThread, User, assert_error
from tests.api.core_cluster import CoreCluster

_numbers = itertools.count(1)
LISTS = ("/{user_id}/likes", "/{user_id}/bookmarks")
OF_TWEET = ("likes", "reposts", "thread")


@pytest.fixture(scope="module")
def core() -> CoreCluster:
    return CoreCluster(has_search=False)


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live


@pytest.fixture
def register_on(register, core) -> Any:
    def make(shard: int) -> User:
        names = (f"listed_{n}" for n in _numbers)
        return register(next(name for name in names if core.shard_of(bucket_of_name(name)) == shard))

    return make


@pytest.fixture
def ada(register_on) -> User:
    return register_on(0)


@pytest.fixture
def bob(register_on) -> User:
    return register_on(1)


def act(who: User, what: str, tweet_id: str, method: str = "POST") -> dict[str, Any]:
    reply = who.http.request(method, f"/api/v1/tweet/{tweet_id}/{what}")
    assert reply.status_code == 200, reply.text
    return reply.json()


def block(who: User, whom: User) -> None:
    assert who.http.post(f"/{who.user_id}/block/{whom.user_id}").status_code == 200


def read(who: User, path: str, **query: Any) -> dict[str, Any]:
    reply = who.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def ids(tweets: list[dict[str, Any]]) -> list[str]:
    return [tweet["tweet_id"] for tweet in tweets]


def kept(who: User, which: str, **query: Any) -> list[str]:
    return ids(read(who, f"/{who.user_id}/{which}", **query)["tweets"])


def users(who: User, tweet_id: str, which: str) -> list[str]:
    return [user["user_id"] for user in read(who, f"/api/v1/tweet/{tweet_id}/{which}")["users"]]


def thread(who: User, tweet_id: str, **query: Any) -> dict[str, Any]:
    return read(who, f"/api/v1/tweet/{tweet_id}/thread", **query)


def pages(who: User, path: str, member: str, count: int) -> list[list[dict[str, Any]]]:
    """Follow `Link` from page to page, and see that `next_cursor` says the same."""
    found, url = [], f"{path}?count={count}"
    while url:
        reply = who.http.get(url)
        body = reply.json()
        found.append(body[member])
        link = re.search(r'<([^>]+)>; rel="next"', reply.headers.get("link", ""))
        assert (link is None) == (body["next_cursor"] is None)
        url = link[1] if link else ""
        assert f"cursor={body['next_cursor']}" in url or not url
        assert f"count={count}" in url or not url
    return found


def asked_for(core: CoreCluster, who: User, path: str, method: str = "GET") -> list[str]:
    core.asked.clear()
    assert who.http.request(method, path).status_code == 200
    return [op for op in core.asked if op != "token"]


# ---- what an account keeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "which"), [("like", "likes"), ("bookmark", "bookmarks")])
def test_marked_tweets_are_listed_with_the_newest_action_first_in_pages(ada, bob, mark, which):
    tweets = [author.tweet("x")["tweet_id"] for author in (ada, bob, ada, bob, ada)]
    for tweet_id in tweets:
        act(ada, mark, tweet_id)
    act(ada, mark, tweets[0], "DELETE")
    act(ada, mark, tweets[0])
    act(ada, mark, tweets[3])  # again, which changes nothing
    expected = [tweets[0], *tweets[:0:-1]]
    assert kept(ada, which) == expected
    found = pages(ada, f"/{ada.user_id}/{which}", "tweets", 2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [tweet_id for page in found for tweet_id in ids(page)] == expected
    assert kept(bob, which) == []


def test_a_listed_tweet_is_the_whole_tweet_as_it_is_now(ada, bob):
    tweet_id = bob.tweet("hello world")["tweet_id"]
    repost_id = act(ada, "repost", tweet_id)["tweet_id"]
    for each in (tweet_id, repost_id):
        act(ada, "like", each)
    shown = read(ada, f"/{ada.user_id}/likes")["tweets"]
    assert shown == [ada.http.get(f"/api/v1/tweet/{each}").json() for each in (repost_id, tweet_id)]
    assert shown[1]["counts"] == {"replies": 0, "reposts": 1, "likes": 1}
    assert shown[0]["repost_of"]["tweet_id"] == tweet_id


@pytest.mark.parametrize(("mark", "which"), [("like", "likes"), ("bookmark", "bookmarks")])
def test_what_is_gone_or_hidden_meanwhile_is_left_out_and_the_pages_go_on(ada, bob, register_on, mark, which):
    eve = register_on(1)
    stays, gone, hidden = (author.tweet("x")["tweet_id"] for author in (bob, bob, eve))
    for tweet_id in (stays, gone, hidden):
        act(ada, mark, tweet_id)
    assert bob.http.delete(f"/api/v1/tweet/{gone}").status_code == 200
    block(eve, ada)
    assert kept(ada, which) == [stays]
    assert [ids(page) for page in pages(ada, f"/{ada.user_id}/{which}", "tweets", 1)][:3] == [[], [], [stays]]
    eve.http.delete(f"/{eve.user_id}/block/{ada.user_id}")
    assert kept(ada, which) == [hidden, stays]


def test_a_bookmark_is_for_oneself_alone_and_counts_nowhere(ada, bob):
    tweet_id = bob.tweet("x")["tweet_id"]
    state = {"user_id": ada.user_id, "tweet_id": tweet_id}
    for _ in range(2):
        assert act(ada, "bookmark", tweet_id) == {**state, "bookmarked": True}
    assert bob.http.get(f"/api/v1/tweet/{tweet_id}").json()["counts"] == {"replies": 0, "reposts": 0, "likes": 0}
    assert_error(bob.http.get(f"/{ada.user_id}/bookmarks"), 403)
    assert_error(bob.http.get(f"/{ada.user_id}/likes"), 403)
    for _ in range(2):
        assert act(ada, "bookmark", tweet_id, "DELETE") == {**state, "bookmarked": False}
    assert kept(ada, "bookmarks") == []


def test_only_what_is_seen_can_be_bookmarked_and_anything_taken_back(ada, bob):
    private = bob.tweet("x", visibility="followers")["tweet_id"]
    direct = bob.tweet(f"@{ada.username} x", visibility="direct")["tweet_id"]
    for tweet_id in (private, "117648624382367552"):
        assert_error(ada.http.post(f"/api/v1/tweet/{tweet_id}/bookmark"), 404, "tweet_id")
        assert act(ada, "bookmark", tweet_id, "DELETE")["bookmarked"] is False
    act(ada, "bookmark", direct)
    assert kept(ada, "bookmarks") == [direct]


def test_a_page_of_tweets_is_two_requests_one_after_the_other(ada, bob, core):
    for author in (ada, bob, ada, bob):
        act(ada, "like", author.tweet("x")["tweet_id"])
    assert asked_for(core, ada, f"/{ada.user_id}/likes") == ["likes", "tweets", "tweets"], "one for each shard"


def test_a_tweet_whose_bucket_has_just_moved_is_asked_for_by_itself(ada, bob, core, monkeypatch):
    tweets = [bob.tweet("x")["tweet_id"] for _ in range(4)]
    for tweet_id in tweets:
        act(ada, "like", tweet_id)
    assert bob.http.delete(f"/api/v1/tweet/{tweets[2]}").status_code == 200
    call = core.call

    async def moved(bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        reply = await call(bucket, op, args, timeout_s)
        return [[reply[0][0], False, False, reply[0][3]]] if op == "tweets" else reply

    monkeypatch.setattr(core, "call", moved)
    assert kept(ada, "likes") == [tweets[3], tweets[1], tweets[0]]


def test_a_like_and_a_bookmark_ask_only_whether_the_tweet_is_seen(ada, bob, core):
    tweet_id = bob.tweet("x")["tweet_id"]
    for what in ("like", "bookmark"):
        assert asked_for(core, ada, f"/api/v1/tweet/{tweet_id}/{what}", "POST") == ["if_seen", "shard asks seen"]
        assert asked_for(core, ada, f"/api/v1/tweet/{tweet_id}/{what}", "DELETE") == [f"un{what}"]


# ---- who likes and reposts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "which"), [("like", "likes"), ("repost", "reposts")])
def test_who_likes_or_reposts_comes_newest_first_in_pages(ada, register_on, anonymous, what, which):
    tweet_id = ada.tweet("x")["tweet_id"]
    fans = [register_on(n % 2) for n in range(5)]
    for fan in fans:
        act(fan, what, tweet_id)
    act(fans[1], what, tweet_id, "DELETE")
    act(fans[1], what, tweet_id)
    expected = [fans[n].user_id for n in (1, 4, 3, 2, 0)]
    assert users(ada, tweet_id, which) == expected
    found = pages(ada, f"/api/v1/tweet/{tweet_id}/{which}", "users", 2)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [user["user_id"] for page in found for user in page] == expected
    open_to_all = anonymous.get(f"/api/v1/tweet/{tweet_id}/{which}").json()
    assert [user["username"] for user in open_to_all["users"]] == [fans[n].username for n in (1, 4, 3, 2, 0)]


@pytest.mark.parametrize(("what", "which"), [("like", "likes"), ("repost", "reposts")])
def test_whom_a_block_hides_is_not_among_them_and_the_pages_go_on(ada, bob, register_on, what, which):
    tweet_id = ada.tweet("x")["tweet_id"]
    first, second = register_on(0), register_on(1)
    for fan in (first, second, bob):
        act(fan, what, tweet_id)
    block(bob, second)
    block(first, bob)
    assert users(bob, tweet_id, which) == [bob.user_id]
    assert users(second, tweet_id, which) == [second.user_id, first.user_id]
    found = pages(bob, f"/api/v1/tweet/{tweet_id}/{which}", "users", 1)[:3]
    assert [[user["user_id"] for user in page] for page in found] == [[bob.user_id], [], []]


def test_lists_of_a_tweet_that_is_not_seen_or_gone_are_404(ada, bob, anonymous):
    private, gone = ada.tweet("x", visibility="followers")["tweet_id"], ada.tweet("x")["tweet_id"]
    ada.http.delete(f"/api/v1/tweet/{gone}")
    for which, tweet_id in itertools.product(OF_TWEET, (private, gone)):
        for http in (bob.http, anonymous):
            assert_error(http.get(f"/api/v1/tweet/{tweet_id}/{which}"), 404, "tweet_id")
        assert ada.http.get(f"/api/v1/tweet/{tweet_id}/{which}").status_code == (200 if tweet_id == private else 404)


# ---- threads ------------------------------------------------------------------------------------------------------


def test_a_thread_is_what_a_tweet_answers_and_what_answers_it(ada, bob, anonymous):
    line = [ada.tweet("first")["tweet_id"]]
    for author in (bob, ada, ada, bob):
        line.append(author.tweet("next", in_reply_to=line[-1])["tweet_id"])
    answers = [who.tweet("me too", in_reply_to=line[2])["tweet_id"] for who in (bob, ada)]
    found = thread(ada, line[2])
    assert list(found) == ["ancestors", "tweet", "replies", "next_cursor"]
    assert ids(found["ancestors"]) == line[:2]
    assert found["tweet"] == ada.http.get(f"/api/v1/tweet/{line[2]}").json()
    assert ids(found["replies"]) == [answers[1], answers[0], line[3]], "newest first, and only what answers this one"
    assert found["next_cursor"] is None
    assert anonymous.get(f"/api/v1/tweet/{line[2]}/thread").json() == found
    assert ids(thread(bob, line[4])["ancestors"]) == line[:4]
    assert thread(bob, line[0])["ancestors"] == []


def test_further_pages_of_a_thread_have_more_replies_and_no_ancestors(ada, bob):
    root = ada.tweet("root")["tweet_id"]
    tweet_id = bob.tweet("x", in_reply_to=root)["tweet_id"]
    answers = [(ada, bob)[n % 2].tweet("y", in_reply_to=tweet_id)["tweet_id"] for n in range(5)]
    found = pages(ada, f"/api/v1/tweet/{tweet_id}/thread", "replies", 2)
    assert [ids(page) for page in found] == [answers[:2:-1], answers[2:0:-1], answers[:1]]
    first = thread(ada, tweet_id, count=2)
    second = thread(ada, tweet_id, count=2, cursor=first["next_cursor"])
    assert (ids(first["ancestors"]), second["ancestors"]) == ([root], [])
    assert second["tweet"] == first["tweet"]


def test_a_thread_shows_each_reader_the_replies_for_him(ada, bob, register_on, anonymous):
    eve, fan = register_on(0), register_on(1)
    fan.http.post(f"/{fan.user_id}/follow/{bob.user_id}")
    tweet_id = ada.tweet("x")["tweet_id"]
    public = bob.tweet("a", in_reply_to=tweet_id)["tweet_id"]
    private = bob.tweet("b", in_reply_to=tweet_id, visibility="followers")["tweet_id"]
    direct = bob.tweet(f"@{ada.username} c", in_reply_to=tweet_id, visibility="direct")["tweet_id"]
    for who, expected in ((bob, [direct, private, public]), (ada, [direct, public]), (fan, [private, public])):
        assert ids(thread(who, tweet_id)["replies"]) == expected
    assert ids(anonymous.get(f"/api/v1/tweet/{tweet_id}/thread").json()["replies"]) == [public]
    block(eve, bob)
    assert thread(eve, tweet_id)["replies"] == []
    assert [ids(page) for page in pages(eve, f"/api/v1/tweet/{tweet_id}/thread", "replies", 1)][:3] == [[], [], []]
    block(bob, fan)
    assert thread(fan, tweet_id)["replies"] == []
    bob.http.delete(f"/api/v1/tweet/{public}")
    assert ids(thread(ada, tweet_id)["replies"]) == [direct]


@pytest.mark.parametrize("how", ["deleted", "for followers", "blocked"])
def test_the_ancestors_end_where_one_is_gone_or_not_for_the_reader(ada, bob, register_on, how):
    reader = register_on(1)
    first = ada.tweet("x")["tweet_id"]
    visibility = "followers" if how == "for followers" else "public"
    middle = bob.tweet("y", in_reply_to=first, visibility=visibility)["tweet_id"]
    bob.http.post(f"/{ada.user_id}/follow/{bob.user_id}")
    ada.http.post(f"/{ada.user_id}/follow/{bob.user_id}")
    last = ada.tweet("z", in_reply_to=middle)["tweet_id"]
    assert ids(thread(ada, last)["ancestors"]) == [first, middle]
    if how == "deleted":
        bob.http.delete(f"/api/v1/tweet/{middle}")
        assert thread(ada, last)["ancestors"] == []
    if how == "blocked":
        block(bob, reader)
    assert thread(reader, last)["ancestors"] == []
    assert thread(reader, last)["tweet"]["in_reply_to"] == middle


def test_a_thread_goes_up_by_forty_at_most_and_asks_a_shard_once_for_what_it_has_in_a_row(ada, bob, core):
    line = [ada.tweet("0")["tweet_id"]]
    for n in range(1, 44):
        line.append((ada if n < 30 else bob).tweet(f"{n}", in_reply_to=line[-1])["tweet_id"])
    assert ids(thread(ada, line[-1])["ancestors"]) == line[-1 - ANCESTOR_COUNT_MAX : -1]
    asked = asked_for(core, ada, f"/api/v1/tweet/{line[-1]}/thread")
    assert sorted(asked) == ["lineage", "lineage", "replies"]
    assert len(thread(ada, line[ANCESTOR_COUNT_MAX])["ancestors"]) == ANCESTOR_COUNT_MAX


def test_a_reply_to_a_repost_has_the_repost_above_it_unless_its_original_is_hidden(ada, bob, register_on):
    author = register_on(1)
    x = author.tweet("x")["tweet_id"]
    repost = act(ada, "repost", x)["tweet_id"]
    reply = ada.tweet("indeed", in_reply_to=repost)["tweet_id"]
    (above,) = thread(bob, reply)["ancestors"]
    assert (above["tweet_id"], above["repost_of"]["tweet_id"]) == (repost, x)
    assert ids(thread(bob, repost)["replies"]) == [reply]
    block(author, bob)
    assert thread(bob, reply)["ancestors"] == []
    assert_error(bob.http.get(f"/api/v1/tweet/{repost}/thread"), 404)


# ---- while the cluster is upgraded --------------------------------------------------------------------------------


@pytest.fixture
def at_level_0(monkeypatch) -> None:
    monkeypatch.setattr(CoreCluster, "level", 0)


def test_below_level_1_lists_are_503_and_say_why(ada, at_level_0):
    tweet_id = ada.tweet("x")["tweet_id"]
    calls = [("GET", path.format(user_id=ada.user_id)) for path in LISTS]
    calls += [("GET", f"/api/v1/tweet/{tweet_id}/{which}") for which in OF_TWEET]
    calls += [(method, f"/api/v1/tweet/{tweet_id}/bookmark") for method in ("POST", "DELETE")]
    for method, path in calls:
        assert "is being upgraded" in assert_error(ada.http.request(method, path), 503, None)["message"]


def test_below_level_1_a_like_asks_what_older_shards_know(ada, bob, core, at_level_0):
    tweet_id = bob.tweet("x")["tweet_id"]
    assert asked_for(core, ada, f"/api/v1/tweet/{tweet_id}/like", "POST") == ["tweet_ref", "like"]
    private = bob.tweet("x", visibility="followers")["tweet_id"]
    assert_error(ada.http.post(f"/api/v1/tweet/{private}/like"), 404, "tweet_id")
    assert ada.tweet("y", in_reply_to=tweet_id)["in_reply_to"] == tweet_id
