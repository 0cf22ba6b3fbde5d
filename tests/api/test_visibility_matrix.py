"""Every surface, against the plain rules: who sees which tweets and accounts, who may act on them, and what is counted.

Rules of this file
- A *surface* is an operation of /openapi.json, with each way in which it finds tweets or accounts. All are asked of the
  real core behind a real API worker, on one shard and on two, for every case of `visibility_rules.py`.
- An operation that is neither in SURFACES nor in EXEMPT fails `test_every_operation_is_in_the_matrix`: whoever adds a
  route says here what it may show.
- Worlds are made once a cluster; surfaces that change something undo it.

Costs: 15 s.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from actors.core import ids, limits
from tests.api.conftest import PASSWORD, ServerThread
from tests.api.core_cluster import TUNING, CoreCluster
from tests.api.documents import document_of
from tests.api.visibility_exempt import EXEMPT
from tests.api.visibility_notifications import read_notifications
from tests.api.visibility_rules import ACCOUNTS, AUTHOR, NOBODY, READER, REPOSTER, Case, all_cases
from tests.api.wire import Client

PULLED = limits.Tuning(arrivals_max=1 << 12, timeline_length=1, pull_threshold=0)  # deep pages, all are pull authors
SHORT = limits.Tuning(arrivals_max=1 << 12, timeline_length=1)  # the second page is below every ring
CLUSTERS = {"1 shard": (1, TUNING), "2 shards": (2, PULLED), "short rings": (2, SHORT)}
PATIENT = {"keep_alive_s": 3_600}  # a connection waits meanwhile for the other one's surfaces
CACHED = {**PATIENT, "search_cache_s": 60.0}  # so that what was kept for one reader would be shown to another
OPEN = {**PATIENT, "auth_mode": "open", "wrk2_api": True}


class World:
    """One case in a cluster: its accounts and tweets, which only its own words find."""

    def __init__(self, client: Client, case: Case, core: CoreCluster) -> None:
        self.client, self.case = client, case
        self.word = f"zq{case.number}xj"
        self.user_id: dict[str, str] = {}
        self.token = {NOBODY: ""}
        self.tweet_id: dict[str, str] = {}
        self.username = {name: self._username(core, i) for i, name in enumerate(ACCOUNTS)}
        for name in ACCOUNTS:
            self._register(name)
        for who, whom in itertools.permutations(ACCOUNTS, 2):
            if whom != READER and ((who, whom) != (READER, AUTHOR) or case.follows_author):
                self.act(who, "POST", f"/{self.user_id[who]}/follow/{self.user_id[whom]}")
        self._post()
        if case.relation:
            kind, who, whom = case.relation
            self.act(who, "POST", f"/{self.user_id[who]}/{kind}/{self.user_id[whom]}")
        if case.is_deleted:
            self.act(AUTHOR, "DELETE", f"/api/v1/tweet/{self.tweet_id['X']}")
        self.name_of = {tweet_id: name for name, tweet_id in self.tweet_id.items()}
        self.who_is = {user_id: name for name, user_id in self.user_id.items()}

    def _username(self, core: CoreCluster, i: int) -> str:
        """Return a name that the cluster places where the case wants the account: all placements come in turn."""
        shard = self.case.number >> i & 1 if core.shard_count > 1 else 0
        names = (f"c{self.case.number}n{name}{n}" for name in [ACCOUNTS[i]] for n in itertools.count())
        return next(name for name in names if core.shard_of(ids.bucket_of_name(name)) == shard)

    def _register(self, name: str) -> None:
        body = {"username": self.username[name], "password": PASSWORD, "display_name": f"{self.word} family"}
        status, reply = self.client.ask("POST", "/api/v1/users", body=body)
        assert status == 201, reply
        self.user_id[name], self.token[name] = reply["user_id"], reply["auth_token"]

    def _post(self) -> None:
        case, words = self.case, f"{self.word} blue whale #{self.word}"
        mention = f" @{self.username[READER]}" if case.mentions_reader else ""
        self.tweet_id["X"] = self.tweet(AUTHOR, words + mention, visibility=case.visibility)
        if case.visibility == "public":
            _, reply = self.act(REPOSTER, "POST", f"/api/v1/tweet/{self.tweet_id['X']}/repost")
            self.tweet_id["R"] = reply["tweet_id"]
        answers = {} if case.visibility == "direct" else {"in_reply_to": self.tweet_id["X"]}
        self.tweet_id["P"] = self.tweet(REPOSTER, words, **answers)
        status = f"{words} @{self.username[AUTHOR]}"
        self.tweet_id["Q"] = self.tweet(REPOSTER, status, visibility="direct", **answers)

    def tweet(self, who: str, status: str, **more: str) -> str:
        _, reply = self.act(who, "POST", "/api/v1/tweet", {"status": status, **more})
        return str(reply["tweet_id"])

    def act(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, reply = self.client.ask(method, path, self.token[who], body)
        assert status < 300, (self.case, who, method, path, reply)
        return status, reply

    def ask(self, who: str, path: str) -> Any:
        status, reply = self.client.ask("GET", path, self.token[who])
        assert status == 200, (self.case, who, path, reply)
        return reply

    def names(self, tweets: list[dict[str, Any]]) -> set[str]:
        """Return which of the case's tweets are among some. What a repost shows must be seen by itself as well."""
        names = [self.name_of.get(tweet["tweet_id"]) for tweet in tweets]
        assert len(set(names)) == len(names) or None in names, "a tweet is shown twice"
        return {name for name in names if name}

    def accounts(self, users: list[dict[str, Any]]) -> set[str]:
        return {self.who_is[user["user_id"]] for user in users if user["user_id"] in self.who_is}


class Matrix:
    """A cluster with a world for each case."""

    def __init__(self, core: CoreCluster, base_url: str, open_url: str) -> None:
        self.client, self.open, self.core = Client(base_url), Client(open_url), core
        self.worlds = [World(self.client, case, core) for case in all_cases()]

    def mark(self, op: str, world: World, who: str, names: Iterable[str]) -> None:
        """Have an account like or bookmark tweets, or no longer, behind the API's back: whether it sees them or not."""
        account_id = int(world.user_id[who])
        for name in names:
            args = [account_id, int(world.tweet_id[name])]
            self.core.sim.write(ids.bucket_of_account(account_id), op, args, lambda _: None)
        self.core.sim.drain()

    def readers(self) -> Iterator[tuple[World, str]]:
        """Yield every world with one of the others in turn, and then with its reader, who may be shown less."""
        others = itertools.cycle((NOBODY, AUTHOR, REPOSTER))
        for world in self.worlds:
            yield world, next(others)
            yield world, READER


@pytest.fixture(scope="module")
def matrix(request) -> Iterator[Matrix]:
    shard_count, tuning = CLUSTERS[request.param]
    core = CoreCluster(shard_count, tuning=tuning)
    with ServerThread(CACHED, core) as live, ServerThread(OPEN, core) as wrk2:
        made = Matrix(core, live.base_url, wrk2.base_url)
        yield made
        made.client.close()
        made.open.close()
    core.end_search()


# ---- what is read -------------------------------------------------------------------------------------------------


def all_pages(world: World, who: str, path: str) -> list[dict[str, Any]]:
    """Return what a timeline holds, one tweet a page, until a page is empty."""
    tweets: list[dict[str, Any]] = []
    page = world.ask(who, f"{path}&count=1")
    while page:
        tweets += page
        page = world.ask(who, f"{path}&count=1&max_id={page[-1]['tweet_id']}")
    return tweets


def read_by_id(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        seen = world.case.by_id(who)
        for name, tweet_id in world.tweet_id.items():
            status, tweet = matrix.client.ask("GET", f"/api/v1/tweet/{tweet_id}", world.token[who])
            assert status == (200 if name in seen else 404), (world.case, who, name)
            if status == 200:
                counts = tweet["counts"]
                assert (counts["replies"], counts["reposts"]) == world.case.public_counts(name), (world.case, who, name)


def read_user_timeline(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        for whose in (AUTHOR, REPOSTER):
            path = f"/api/v1/user_timeline?user_id={world.user_id[whose]}"
            expected = world.case.own_timeline(who, whose)
            assert world.names(world.ask(who, path)) == expected, (world.case, who, whose)
            assert world.names(all_pages(world, who, path)) == expected, (world.case, who, whose, "page by page")
            oldest = world.ask(who, f"{path}&min_id=1&count=1")
            assert world.names(oldest) == set(sorted(expected, key=list(world.tweet_id).index)[:1])


def read_home(path: str) -> Callable[[Matrix], None]:
    def read(matrix: Matrix) -> None:
        for world, who in matrix.readers():
            if who != NOBODY:
                own, expected = f"{path}?user_id={world.user_id[who]}", world.case.home(who)
                assert world.names(world.ask(who, own)) == expected, (world.case, who)
                assert world.names(all_pages(world, who, own)) == expected, (world.case, who, "page by page")

    return read


def read_search(matrix: Matrix) -> None:
    orders = itertools.cycle(("latest", "top", "top", "latest", "latest"))  # each of the queries in either
    for world, who in matrix.readers():
        found, reposts = world.case.found(who), world.case.found(who, reposts=True)
        by_author = {name for name in found if world.case.tweets[name].by == AUTHOR}
        queries = {
            world.word: found, f'"{world.word} blue"': found, f"#{world.word}": found,
            f"{world.word} is:repost": reposts, f"from:{world.username[AUTHOR]} {world.word}": by_author,
        }  # fmt: skip
        for query, expected in list(queries.items())[: None if who == READER else 1]:
            order = next(orders)
            full = max(1, len(world.case.found(NOBODY, query.endswith("repost"))))  # only full pages are kept
            page = f"order={order}&exact=true&highlights=true&count={full}"
            reply = world.ask(who, f"/api/v1/search?query={quote(query)}&{page}")
            assert world.names(reply["tweets"]) == expected, (world.case, who, query, order)
            assert set(reply["highlights"]) == {world.tweet_id[name] for name in expected}


def read_tags(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        expected = world.case.found(who)
        full = max(1, len(world.case.found(NOBODY)))
        assert world.names(world.ask(who, f"/search/tags/{world.word}?count={full}")) == expected, (world.case, who)


def read_accounts(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        expected = {name for name in ACCOUNTS if world.case.finds_account(who, name)}
        found = world.ask(who, f"/api/v1/search/accounts?query={world.word}&count=200")["users"]
        assert world.accounts(found) == expected, (world.case, who)


def read_suggestions(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        expected = {name for name in ACCOUNTS if world.case.finds_account(who, name)}
        reply = world.ask(who, f"/api/v1/suggest?query=@c{world.case.number}n&count=50")
        assert world.accounts(reply["accounts"]) == expected, (world.case, who)
        (tag,) = world.ask(who, f"/api/v1/suggest?query=%23{world.word}")["hashtags"]
        assert tag["tweets"] == len(world.case.found(NOBODY)), "hashtags count what is public"


def read_profile(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        for whose in ACCOUNTS:
            status, profile = matrix.client.ask("GET", f"/{world.user_id[whose]}/profile", world.token[who])
            assert status == (200 if world.case.sees_account(who, whose) else 404), (world.case, who, whose)
            if status == 200:
                assert profile["counts"]["tweets"] == world.case.tweet_count(who, whose), (world.case, who, whose)


def read_list(which: str) -> Callable[[Matrix], None]:
    def read(matrix: Matrix) -> None:
        for world, who in matrix.readers():
            case = world.case
            for whose in ACCOUNTS:
                status, page = matrix.client.ask("GET", f"/{world.user_id[whose]}/{which}", world.token[who])
                assert status == (200 if case.sees_account(who, whose) else 404), (case, who, whose)
                if status == 200:
                    edges = {
                        name for name in ACCOUNTS
                        if (case.follows(name, whose) if which == "followers" else case.follows(whose, name))
                    }  # fmt: skip
                    expected = {name for name in edges if case.sees_account(who, name)}
                    assert world.accounts(page["users"]) == expected, (case, who, whose)

    return read


def read_kept(which: str) -> Callable[[Matrix], None]:
    """Of all that an account has liked or bookmarked, before something came between, only what it may see is shown."""
    op = which.removesuffix("s")

    def read(matrix: Matrix) -> None:
        for world, who in matrix.readers():
            if who == NOBODY:
                continue
            matrix.mark(op, world, who, world.tweet_id)
            path, expected = f"/{world.user_id[who]}/{which}", world.case.by_id(who)
            assert world.names(world.ask(who, path)["tweets"]) == expected, (world.case, who)
            shown, cursor, newest_first = [], "0", [name for name in reversed(world.tweet_id) if name in expected]
            while cursor:
                page = world.ask(who, f"{path}?count=1&cursor={cursor}")
                cursor, shown = page["next_cursor"], shown + [world.name_of[t["tweet_id"]] for t in page["tweets"]]
            assert shown == newest_first, (world.case, who, "page by page")
            matrix.mark(f"un{op}", world, who, world.tweet_id)

    return read


def read_likers(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        for name, tweet_id in world.tweet_id.items():
            for account in ACCOUNTS:
                matrix.mark("like", world, account, [name])
            status, page = matrix.client.ask("GET", f"/api/v1/tweet/{tweet_id}/likes", world.token[who])
            assert status == (200 if name in world.case.by_id(who) else 404), (world.case, who, name)
            if status == 200:
                expected = {account for account in ACCOUNTS if world.case.sees_account(who, account)}
                assert world.accounts(page["users"]) == expected, (world.case, who, name)
            for account in ACCOUNTS:
                matrix.mark("unlike", world, account, [name])


def read_reposters(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        for name, tweet_id in world.tweet_id.items():
            status, page = matrix.client.ask("GET", f"/api/v1/tweet/{tweet_id}/reposts", world.token[who])
            assert status == (200 if name in world.case.by_id(who) else 404), (world.case, who, name)
            if status == 200:
                has_it = name == "X" and "R" in world.case.tweets and world.case.sees_account(who, REPOSTER)
                assert world.accounts(page["users"]) == ({REPOSTER} if has_it else set()), (world.case, who, name)


def read_thread(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        seen, tweets = world.case.by_id(who), world.case.tweets
        for name, tweet_id in world.tweet_id.items():
            status, page = matrix.client.ask("GET", f"/api/v1/tweet/{tweet_id}/thread", world.token[who])
            assert status == (200 if name in seen else 404), (world.case, who, name)
            if status == 200:
                above = {"X"} & seen if tweets[name].answers else set()
                below = {each for each in seen if tweets[each].answers} if name == "X" else set()
                assert page["tweet"]["tweet_id"] == tweet_id
                assert world.names(page["ancestors"]) == above, (world.case, who, name)
                assert world.names(page["replies"]) == below, (world.case, who, name)


def read_wrk2_home(matrix: Matrix) -> None:
    for world in matrix.worlds:
        query = f"user_id={int(world.user_id[READER]) - 1}&start=0&stop=10"
        _, posts = matrix.open.ask("GET", f"/wrk2-api/home-timeline/read?{query}")
        assert {world.name_of[post["post_id"]] for post in posts} == world.case.home(READER), world.case


def read_wrk2_own(matrix: Matrix) -> None:
    for world in matrix.worlds:
        for whose in (AUTHOR, REPOSTER):
            query = f"user_id={int(world.user_id[whose]) - 1}&start=0&stop=10"
            _, posts = matrix.open.ask("GET", f"/wrk2-api/user-timeline/read?{query}")
            expected = world.case.own_timeline(NOBODY, whose)
            assert {world.name_of[post["post_id"]] for post in posts} == expected, world.case


# ---- what is done to a tweet --------------------------------------------------------------------------------------


def check_counts(world: World, name: str, what: str, expected: int) -> None:
    """Compare one of a tweet's counts with what whoever wrote it reads, if the tweet is there and he may see it."""
    tweet = world.case.tweets.get(name)
    if tweet is not None and world.case.may_see(tweet.by, tweet):
        counts = world.ask(tweet.by, f"/api/v1/tweet/{world.tweet_id[name]}")["counts"]
        assert counts[what] == expected, (world.case, name, what)


def acted(matrix: Matrix) -> Iterator[tuple[World, str, str, str, bool]]:
    """Yield (world, who acts, tweet, its id, whether it may be seen)."""
    for world, who in matrix.readers():
        if who != NOBODY:
            for name, tweet_id in world.tweet_id.items():
                yield world, who, name, tweet_id, name in world.case.by_id(who)


def like(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        status, _ = matrix.client.ask("POST", f"/api/v1/tweet/{tweet_id}/like", world.token[who])
        assert status == (200 if is_seen else 404), (world.case, who, name)
        check_counts(world, name, "likes", int(is_seen))
        world.act(who, "DELETE", f"/api/v1/tweet/{tweet_id}/like")
        check_counts(world, name, "likes", 0)


def take_back(mark: str, member: str) -> Callable[[Matrix], None]:
    """Taking back what isn't there tells nothing. member: what the answer says of it."""

    def taken_back(matrix: Matrix) -> None:
        for world, who, name, tweet_id, _ in acted(matrix):
            status, reply = matrix.client.ask("DELETE", f"/api/v1/tweet/{tweet_id}/{mark}", world.token[who])
            assert (status, reply[member]) == (200, False), (world.case, who, name)
            check_counts(world, name, "likes", 0)

    return taken_back


def bookmark(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        status, _ = matrix.client.ask("POST", f"/api/v1/tweet/{tweet_id}/bookmark", world.token[who])
        assert status == (200 if is_seen else 404), (world.case, who, name)
        kept = world.ask(who, f"/{world.user_id[who]}/bookmarks")["tweets"]
        assert world.names(kept) == ({name} if is_seen else set()), (world.case, who, name)
        world.act(who, "DELETE", f"/api/v1/tweet/{tweet_id}/bookmark")


def pin(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        tweet = world.case.tweets.get(name)
        own = tweet is not None and tweet.by == who and not tweet.reposts and tweet.visibility != "direct"
        status, _ = matrix.client.ask("POST", f"/api/v1/tweet/{tweet_id}/pin", world.token[who])
        assert status == (200 if own else 403 if is_seen else 404), (world.case, who, name)
        shown = world.ask(who, f"/{world.user_id[who]}/pins")
        assert world.names(shown) == ({name} if own else set()), (world.case, who, name)
        world.act(who, "DELETE", f"/api/v1/tweet/{tweet_id}/pin")


def read_pins(matrix: Matrix) -> None:
    for world, who in matrix.readers():
        for whose, name in ((AUTHOR, "X"), (REPOSTER, "P")):
            matrix.mark("pin", world, whose, [name])
            pinned = {name} if name in world.case.tweets and world.case.tweets[name].visibility != "direct" else set()
            shown = world.names(world.ask(who, f"/{world.user_id[whose]}/pins"))
            assert shown == pinned & world.case.own_timeline(who, whose), (world.case, who, whose)
            matrix.mark("unpin", world, whose, [name])


def repost(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        tweet = world.case.tweets.get(name)
        expected = 404 if not is_seen or tweet is None else 403 if tweet.visibility != "public" else 200
        status, reply = matrix.client.ask("POST", f"/api/v1/tweet/{tweet_id}/repost", world.token[who])
        assert status == expected, (world.case, who, name)
        if tweet is None:
            continue
        original = tweet.reposts or name
        is_own = who == REPOSTER and original == "X"
        standing = world.case.public_counts(original)[1]
        check_counts(world, original, "reposts", standing + (status == 200 and not is_own))
        if status == 200 and not is_own:
            assert reply["repost_of"]["tweet_id"] == world.tweet_id[original]
            world.act(who, "DELETE", f"/api/v1/tweet/{world.tweet_id[original]}/repost")
            check_counts(world, original, "reposts", standing)


def unrepost(matrix: Matrix) -> None:
    for world, who, name, tweet_id, _ in acted(matrix):
        if who != REPOSTER:
            status, reply = matrix.client.ask("DELETE", f"/api/v1/tweet/{tweet_id}/repost", world.token[who])
            assert (status, reply["reposted"]) == (200, False), (world.case, name)


def delete(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        if name not in world.case.tweets or world.case.tweets[name].by != who:
            status, _ = matrix.client.ask("DELETE", f"/api/v1/tweet/{tweet_id}", world.token[who])
            assert status == (403 if is_seen else 404), (world.case, who, name)


def edit(matrix: Matrix) -> None:
    for world, who, name, tweet_id, is_seen in acted(matrix):
        path, tweet = f"/api/v1/tweet/{tweet_id}", world.case.tweets.get(name)
        own = tweet is not None and tweet.by == who and not tweet.reposts
        before = world.ask(who, path)["status"] if own else ""
        status, said = matrix.client.ask("PATCH", path, world.token[who], {"status": f"{before} and more"})
        if own:
            assert (status, said["status"]) == (200, f"{before} and more"), (world.case, who, name)
            world.act(who, "PATCH", path, {"status": before})
        else:
            assert status == (403 if is_seen else 404), (world.case, who, name)


def told_who_sees(path: str) -> Callable[[Matrix], None]:
    def ask(matrix: Matrix) -> None:
        for world, who, name, tweet_id, is_seen in acted(matrix):
            address = path.format(tweet_id=tweet_id, user_id=world.user_id[who])
            assert matrix.client.ask("GET", address, world.token[who])[0] == (200 if is_seen else 404), (who, name)

    return ask


def reply(path: str) -> Callable[[Matrix], None]:
    def answer(matrix: Matrix) -> None:
        visibilities = itertools.cycle(("public", "followers", "direct"))
        for world, who, name, tweet_id, is_seen in acted(matrix):
            standing = world.case.public_counts(name)[0] if name in world.case.tweets else 0
            visibility = next(visibilities)
            body = {"status": "an answer", "in_reply_to": tweet_id, "visibility": visibility}
            status, made = matrix.client.ask("POST", path, world.token[who], body)
            assert status == (201 if is_seen else 404), (world.case, who, name)
            check_counts(world, name, "replies", standing + (status == 201 and visibility == "public"))
            if status == 201:
                world.act(who, "DELETE", f"/api/v1/tweet/{made['tweet_id']}")
                check_counts(world, name, "replies", standing)

    return answer


# ---- all of them --------------------------------------------------------------------------------------------------

TWEET, EXPLAINED = "/api/v1/tweet/{tweet_id}", "/api/v1/home_timeline/explain"
SURFACES: dict[tuple[str, str], Callable[[Matrix], None]] = {
    ("get", TWEET): read_by_id,
    ("get", "/api/v1/user_timeline"): read_user_timeline,
    ("get", "/api/v1/home_timeline"): read_home("/api/v1/home_timeline"),
    ("get", "/feed"): read_home("/feed"),
    ("get", "/api/v1/search"): read_search,
    ("get", "/search/tags/{hashtag}"): read_tags,
    ("get", "/api/v1/search/accounts"): read_accounts,
    ("get", "/api/v1/suggest"): read_suggestions,
    ("get", "/{user_id}/profile"): read_profile,
    ("get", "/{user_id}/followers"): read_list("followers"),
    ("get", "/{user_id}/following"): read_list("following"),
    ("get", "/{user_id}/likes"): read_kept("likes"),
    ("get", "/{user_id}/bookmarks"): read_kept("bookmarks"),
    ("get", "/{user_id}/notifications"): read_notifications,
    ("get", "/{user_id}/pins"): read_pins,
    ("get", f"{TWEET}/likes"): read_likers,
    ("get", f"{TWEET}/reposts"): read_reposters,
    ("get", f"{TWEET}/thread"): read_thread,
    ("get", "/wrk2-api/home-timeline/read"): read_wrk2_home,
    ("get", "/wrk2-api/user-timeline/read"): read_wrk2_own,
    ("post", f"{TWEET}/like"): like,
    ("delete", f"{TWEET}/like"): take_back("like", "liked"),
    ("post", f"{TWEET}/bookmark"): bookmark,
    ("delete", f"{TWEET}/bookmark"): take_back("bookmark", "bookmarked"),
    ("post", f"{TWEET}/pin"): pin,
    ("delete", f"{TWEET}/pin"): take_back("pin", "pinned"),
    ("post", f"{TWEET}/repost"): repost,
    ("delete", f"{TWEET}/repost"): unrepost,
    ("post", "/api/v1/tweet"): reply("/api/v1/tweet"),
    ("post", "/tweet"): reply("/tweet"),
    ("delete", TWEET): delete,
    ("patch", TWEET): edit,
    ("get", f"{TWEET}/history"): told_who_sees(f"{TWEET}/history"),
    ("get", EXPLAINED): told_who_sees(f"{EXPLAINED}?user_id={{user_id}}&tweet_id={{tweet_id}}"),
}
SHOWN = re.compile(r'"(?:Tweet|AccountCard|Profile|Wrk2Post)"')  # titles of what may not be shown to everybody

PLACES = [
    (cluster, surface)
    for cluster, surface in itertools.product(CLUSTERS, SURFACES)
    if cluster != "short rings" or SURFACES[surface].__qualname__.startswith("read_home")  # nothing else differs there
]


@pytest.mark.parametrize(
    ("matrix", "surface"), PLACES, ids=[f"{cluster} {' '.join(surface)}" for cluster, surface in PLACES],
    indirect=["matrix"], scope="module",
)  # fmt: skip
def test_each_surface_shows_what_its_reader_may_see(matrix, surface):
    SURFACES[surface](matrix)


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    """Return every operation there is, the benchmark's paths included."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for settings in ({}, OPEN):
        document = document_of(**settings)
        for path, item in document["paths"].items():
            found |= {(method, path): with_schemas(described, document) for method, described in item.items()}
    return found


def with_schemas(value: Any, document: dict[str, Any]) -> Any:
    """Return a part of the document with what it refers to in its place."""
    if isinstance(value, list):
        return [with_schemas(each, document) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return with_schemas(document["components"]["schemas"][value["$ref"].rpartition("/")[2]], document)
    return {name: with_schemas(each, document) for name, each in value.items()}


def test_every_operation_is_in_the_matrix():
    operations = documents()
    assert set(operations) == set(SURFACES) | set(EXEMPT), "say what a new operation may show: SURFACES, or EXEMPT why"
    assert not set(SURFACES) & set(EXEMPT)
    for operation in EXEMPT:
        answers = {status: a for status, a in operations[operation]["responses"].items() if str(status) < "3"}
        if operation[0] != "patch":
            assert not SHOWN.search(orjson.dumps(answers).decode()), f"{operation} shows tweets or accounts"


def test_the_cases_are_of_every_kind():
    cases = all_cases()
    assert {(case.relation, case.visibility) for case in cases} == set(
        itertools.product({case.relation for case in cases}, ("public", "followers", "direct"))
    )
    assert len({case.relation for case in cases}) == 13
    for reader in (READER, AUTHOR, REPOSTER, NOBODY):
        seen = [case.by_id(reader) for case in cases]
        assert {name for names in seen for name in names} >= {"X", "R", "P"}
    assert any(case.is_deleted for case in cases)
