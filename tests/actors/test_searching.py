"""SearchEngine: the real engine process beside a real core, without Ray: what is fed when, and that all of it is.

Rules of this file
- `Committed` stands for a shard's commits: it says of everything that it is committed, or of nothing more.
- One engine serves the tests that start none; each finds it without tweets (`shard`). The others have one of their own
  (`unstarted`).
- No assertion on time: EVENTUALLY_S is a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from actors.core import news
from actors.core.errors import OverloadedError
from actors.core.postings.found import FoundTweets
from actors.core.postings.lists import whole
from actors.core.replica import Replica
from actors.search.index import VERSION
from actors.shard import searching
from actors.shard.searching import SearchEngine
from api.search.cache import answer_of
from tests.core.harness import Shards

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVENTUALLY_S = 60.0
COMMIT_MS = 20
WORD = "whale"
TWEETS = f"tweets-{VERSION}"
NOTHING = {"missing": 0, "extra": 0, "stale": 0, "accounts_missing": 0, "accounts_extra": 0, "unlisted": 0}


class Committed:
    """What SearchEngine knows of a shard's commits."""

    def __init__(self, replica: Replica) -> None:
        self.state = replica.state
        self._held: int | None = None

    @property
    def committed_position(self) -> int:
        return self.state.position if self._held is None else self._held

    def flush_soon(self) -> None:
        """What isn't held is committed already."""

    def hold(self) -> None:
        """Commit nothing that comes from now on."""
        self._held = self.state.position

    def release(self) -> None:
        self._held = None


class Shard:
    """One shard, its engine, and questions to it."""

    def __init__(self, directory: Path) -> None:
        self.core = Shards(1)
        self.replica = self.core.replicas[0]
        self.commits = Committed(self.replica)
        self.directory = directory / "search"
        self.search = SearchEngine(self.commits, FoundTweets(self.replica.lookups), self.directory, COMMIT_MS)
        self.core.register(1, 2, 3)

    async def ready(self, starts: int = 1) -> Shard:
        """Wait until the engine that was started so many times is fed and asked."""
        await eventually(
            lambda: self.search.process.start_count >= starts and self.search.figures()["state"] == "ready"
        )
        return self

    async def start(self) -> Shard:
        self.search.start()
        return await self.ready()

    async def without_tweets(self) -> Shard:
        """Delete everything, and wait until the index has."""
        tweets = self.replica.state.tweets
        for tweet_id in list(tweets.slot_of):
            entry = tweets.get(tweet_id)
            if entry is not None:
                self.core.do("delete", tweet_id, entry.author_id)
        await self.agrees()
        assert await self.indexed() == []
        return self

    async def stop(self) -> None:
        """Stop; nothing may be left."""
        pid = self.search.facts.get("pid")
        await self.search.stop()
        assert pid is None or not psutil.pid_exists(pid)
        assert self.replica.state.news is None

    def post(self, text: str, author: int = 1, **more: Any) -> int:
        return self.core.post(author, text, **more)

    async def ask(self, op: str, args: list[Any], timeout_s: float) -> Any:
        """Return what the engine answers. Raises what it refuses that with, or OverloadedError."""
        return await answer_of(partial(self.search.send, op, args, timeout_s))

    async def found(self, tree: list[Any] | None = None) -> list[int]:
        """Return the ids that the engine finds; none while it is away."""
        try:
            return await self.ask("latest", [tree or ["word", WORD], 0, 2_000, 0, b""], 5.0)
        except OverloadedError:
            return []

    async def finds(self, wanted: list[int], tree: list[Any] | None = None) -> None:
        """Wait until exactly these tweets are found."""
        found: list[int] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVENTUALLY_S):
                while (found := await self.found(tree)) != sorted(wanted, reverse=True):  # noqa: ASYNC110  it is asked
                    await asyncio.sleep(0.01)
        assert found == sorted(wanted, reverse=True)

    def listed(self, tree: list[Any] | None = None) -> list[int] | None:
        """Return the ids that the posting lists find and that are still here; None if they don't answer."""
        found = whole(self.search.postings.newest(tree or ["word", WORD], 0, 0, 2_000))
        return None if found is None else [i for i in found.ids if self.replica.state.tweets.get(i) is not None]

    async def lists_find(self, wanted: list[int]) -> None:
        """Wait until lists and index find exactly these tweets, and hold some other queries against both."""
        await self.finds(wanted)
        await eventually(lambda: self.listed() == sorted(wanted, reverse=True))
        ids = sorted(self.replica.state.tweets.slot_of)
        for tree in (
            ["word", "back"], ["tag", "ocean"], ["and", ["word", WORD], ["not", ["word", "again"]]],
            ["and", ["word", WORD], ["ids", ids[len(ids) // 3], ids[-1]]], ["and", ["word", "nosuch"], ["word", WORD]],
        ):  # fmt: skip
            assert self.listed(tree) == await self.found(tree)
        postings = self.search.postings
        assert postings.lists is not None
        assert postings.lists.check() == []
        assert self.search.figures()["postings"]["state"] == "ready"

    async def indexed(self) -> list[int]:
        """Return the ids of all that is in the index, as often as it is there."""
        return np.frombuffer((await self.ask("contents", ["tweets", 0], 5.0))[0], dtype="<i8").tolist()

    async def handles(self, word: str) -> list[int]:
        return [hit[0] for hit in await self.ask("accounts", [[word], 9], 5.0)]

    async def differs(self) -> dict[str, int]:
        """Compare; returns what isn't as it should be."""
        return {name: count for name, count in (await self.search.compare()).items() if count and name != "indexed"}

    async def agrees(self) -> None:
        """Wait until the index has what memory has."""
        differs: dict[str, int] = {"never": 1}
        begin = time.monotonic()
        while differs and time.monotonic() - begin < EVENTUALLY_S:
            with contextlib.suppress(OverloadedError):
                differs = await self.differs()
            await asyncio.sleep(0.01)
        assert differs == {}


async def eventually(condition) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < EVENTUALLY_S, "it never happened"
        await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running():
    with tempfile.TemporaryDirectory(prefix="rk-") as directory:
        made = await Shard(Path(directory)).start()
        yield made
        await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def shard(running):
    return await running.without_tweets()


@pytest_asyncio.fixture(loop_scope="module")
async def unstarted(data_dir):
    made = Shard(data_dir)
    yield made
    await made.stop()


# ---- what is fed -----------------------------------------------------------------------------------------------------


async def test_what_was_there_before_and_what_comes_after_is_found(unstarted):
    before = [unstarted.post(f"{WORD} {n}") for n in range(5)]
    await unstarted.start()
    await unstarted.finds(before)
    after = [unstarted.post(f"{WORD} again"), unstarted.post("the whales are back", 2)]
    unstarted.post("nothing of that kind")
    await unstarted.finds(before + after)
    assert await unstarted.differs() == {}
    figures = unstarted.search.figures()
    assert (figures["state"], figures["backlog"], figures["starts"]) == ("ready", 0, 1)
    assert figures["documents"] >= 5


async def test_nothing_is_fed_before_it_is_committed(shard):
    shard.commits.hold()
    tweet_id = shard.post(WORD)
    shard.core.do("update_profile", 1, {"display_name": "Captain"})
    await asyncio.sleep(0.3)
    assert await shard.found() == []
    assert await shard.handles("captain") == []
    shard.commits.release()
    await shard.finds([tweet_id])
    await shard.agrees()
    assert await shard.handles("captain") == [1]


async def test_nothing_that_is_there_at_the_start_is_fed_before_it_is_committed(unstarted):
    unstarted.commits.hold()
    tweet_id = unstarted.post(WORD)
    unstarted.search.start()
    await eventually(lambda: (unstarted.directory / TWEETS / "meta.json").exists())
    await asyncio.sleep(0.3)
    with pytest.raises(OverloadedError):
        await unstarted.ask("latest", [["word", WORD], 0, 5, 0, b""], 1.0)
    unstarted.commits.release()
    await unstarted.finds([tweet_id])


async def test_what_is_deleted_goes_and_what_is_liked_counts(shard):
    ids = [shard.post(f"{WORD} {n}") for n in range(6)]
    shard.core.do("delete", ids[0], 1)
    shard.core.do("like", 2, ids[1])
    shard.core.do("like", 3, ids[1])
    shard.core.do("like", 2, ids[2])
    await shard.finds(ids[1:])
    await shard.finds([ids[1]], ["likes", 2])
    shard.core.do("unlike", 2, ids[1])
    await shard.finds([ids[1], ids[2]], ["likes", 1])
    await shard.finds([], ["likes", 2])
    assert await shard.differs() == {}


async def test_a_tweet_that_comes_and_goes_before_it_is_fed_is_never_there(shard):
    shard.commits.hold()
    gone, stays = shard.post(WORD), shard.post(WORD)
    shard.core.do("delete", gone, 1)
    shard.commits.release()
    await shard.finds([stays])
    assert await shard.indexed() == [stays]


async def test_what_is_not_public_is_not_fed(shard):
    hidden = [shard.post(WORD, visibility=1)]
    public = shard.post(WORD)
    hidden += [shard.post(WORD, visibility=1), shard.post(WORD, visibility=2, mentions=[2])]
    await shard.finds([public])
    assert await shard.indexed() == [public]
    assert await shard.differs() == {}


async def test_a_repost_is_found_by_its_originals_text_and_goes_with_it(shard):
    original = shard.post(f"{WORD} of all whales")
    repost = shard.core.repost(2, original)
    asks = ["and", ["word", WORD], ["is", "repost"]]
    await shard.finds([repost], asks)
    await shard.finds([original])
    shard.core.do("delete", original, 1)
    await shard.finds([], asks)
    await shard.agrees()
    assert await shard.indexed() == []


async def test_changed_profiles_and_new_accounts_are_found(shard):
    assert (await shard.handles("user2"))[0] == 2
    shard.core.do("update_profile", 2, {"display_name": "Ada Lovelace", "bio": "numbers"})
    shard.core.register(77)
    await shard.agrees()
    assert await shard.handles("lovelace") == [2]
    assert await shard.handles("numbers") == [2]
    assert 77 in await shard.handles("user77")
    shard.core.do("update_profile", 2, {"display_name": "Grace"})
    await shard.agrees()
    assert await shard.handles("lovelace") == []
    assert await shard.handles("grace") == [2]


async def test_accounts_whose_followers_double_are_fed_again(shard, monkeypatch):
    soon = 0.05
    monkeypatch.setattr(searching, "POPULARITY_S", soon)
    shard.core.register(*range(10, 20))
    shard.core.do("follow", 10, 1)
    await shard.agrees()
    score = await score_of(shard, 1)
    monkeypatch.setattr(searching, "POPULARITY_S", 1_000)
    for follower in range(11, 18):
        shard.core.do("follow", follower, 1)
    assert (await shard.differs(), await score_of(shard, 1)) == ({}, score)  # it is due, and nothing is wrong with it
    monkeypatch.setattr(searching, "POPULARITY_S", soon)
    await scores(shard, 1, lambda now: now > score)
    for follower in range(10, 18):
        shard.core.do("unfollow", follower, 1)
    await scores(shard, 1, lambda now: now < score)
    await shard.agrees()


async def scores(shard: Shard, account_id: int, is_right: Callable[[float], bool]) -> None:
    """Wait until an account's score is right."""
    async with asyncio.timeout(EVENTUALLY_S):
        while not is_right(await score_of(shard, account_id)):  # noqa: ASYNC110  it is asked
            await asyncio.sleep(0.01)


async def score_of(shard: Shard, account_id: int) -> float:
    return dict(await shard.ask("accounts", [[f"user{account_id}"], 9], 5.0))[account_id]


async def test_the_longest_tweets_are_fed_in_parts_that_a_frame_takes(unstarted):
    long = [unstarted.post(f"{WORD} {n} " + "x" * 60_000) for n in range(150)]  # 9 MB
    await unstarted.start()
    unstarted.commits.hold()
    long += [unstarted.post(f"{WORD} {n} " + "x" * 60_000) for n in range(150)]
    unstarted.commits.release()
    await unstarted.finds(long)
    assert await unstarted.differs() == {}
    assert unstarted.search.process.start_count == 1


async def test_a_row_that_the_engine_cannot_read_keeps_no_other_from_being_found(unstarted, monkeypatch):
    poison = unstarted.post(f"{WORD} poison")
    ids = [unstarted.post(WORD) for _ in range(5)]
    plain = unstarted.search.rows.tweet

    def row_of(tweet_id: int, kind: int) -> list[Any] | None:
        row = plain(tweet_id, kind)
        return [*row[:7], b"\xc1", *row[8:]] if tweet_id == poison else row

    monkeypatch.setattr(unstarted.search.rows, "tweet", row_of)
    await unstarted.start()
    await unstarted.finds(ids)
    await unstarted.lists_find(ids)
    ids.append(unstarted.post(WORD))
    unstarted.core.do("like", 2, poison)  # in the same feed, which is refused
    ids.append(unstarted.post(WORD))
    await unstarted.finds(ids)
    await unstarted.lists_find(ids)
    assert await unstarted.differs() == {"missing": 1, "unlisted": 1}
    assert unstarted.search.process.start_count == 1


# ---- comparing and mending -------------------------------------------------------------------------------------------


async def test_what_was_changed_behind_its_back_is_found_by_comparing_and_mended(shard):
    ids = [shard.post(f"{WORD} {n}") for n in range(10)]
    await shard.finds(ids)
    row = shard.search.rows.tweet(ids[5], 0)
    liked, never = [*row[:6], 99, *row[7:]], [ids[9] + 65_536, *row[1:]]
    stranger = [999, "stranger", "", "", 0]
    renamed = [2, "user2", "Nobody", "", 0]
    await shard.ask("feed", [[liked, never], ids[:3], [stranger, renamed], [3], True], 5.0)
    assert await shard.search.compare() == {
        "indexed": 8, "missing": 3, "extra": 1, "stale": 1, "accounts_missing": 2, "accounts_extra": 1,
        "unlisted": 0,
    }  # fmt: skip
    shard.search.repair()
    await shard.agrees()
    assert await shard.search.compare() == NOTHING | {"indexed": 10}
    assert sorted(await shard.indexed()) == ids
    assert await shard.handles("stranger") == await shard.handles("nobody") == []


async def test_a_tweet_that_is_indexed_twice_is_seen_and_mended(shard):
    ids = [shard.post(f"{WORD} {n}") for n in range(4)]
    await shard.finds(ids)
    await shard.ask("feed", [[shard.search.rows.tweet(ids[1], 1)], [], [], [], True], EVENTUALLY_S)  # as a new one
    assert sorted(await shard.indexed()) == sorted([*ids, ids[1]])
    assert await shard.differs() == {"stale": 1}
    shard.search.repair()
    await shard.agrees()
    assert sorted(await shard.indexed()) == ids


async def test_too_many_news_lead_to_a_comparison_and_nothing_is_there_twice(shard, monkeypatch):
    monkeypatch.setattr(news, "KEYS_COUNT_MAX", 8)
    shard.commits.hold()
    shard.post("this one is taken, and waits")
    await asyncio.sleep(0.2)
    ids = [shard.post(f"{WORD} {n}") for n in range(12)]  # too many
    shard.core.do("delete", ids.pop(4), 1)
    monkeypatch.undo()
    ids += [shard.post(f"{WORD} later {n}") for n in range(4)]  # new since
    shard.core.do("like", 2, ids[0])
    shard.commits.release()
    await shard.finds(ids)
    await shard.agrees()
    indexed = await shard.indexed()
    assert len(indexed) == len(set(indexed)) == len(ids) + 1
    await shard.finds([ids[0]], ["likes", 1])


async def test_contents_are_asked_for_in_parts(shard, monkeypatch):
    ids = [shard.post(f"{WORD} {n}") for n in range(30)]
    await shard.finds(ids)
    asked = []
    plain = shard.search._lane.request

    async def part(op: str, args: list[Any], timeout_s: float) -> Any:
        answer = await plain(op, args, timeout_s)
        if op != "contents":
            return answer
        asked.append(args)
        return [column[: 8 * 7] for column in answer]  # as if an engine gave no more at once

    monkeypatch.setattr(shard.search._lane, "request", part)
    monkeypatch.setattr(searching, "CONTENTS_MAX", 7)
    assert await shard.search.compare() == NOTHING | {"indexed": 30}
    assert [args[1] for args in asked if args[0] == "tweets"] == [0, ids[23], ids[16], ids[9], ids[2]]


# ---- posting lists ---------------------------------------------------------------------------------------------------


async def test_after_a_start_the_lists_answer_as_the_index_does(unstarted):
    ids = [unstarted.post(f"{WORD} {n}") for n in range(450)]
    unstarted.post("the whales are private", visibility=1)
    unstarted.core.repost(2, ids[0])
    assert unstarted.listed() is None
    await unstarted.start()
    await unstarted.lists_find(ids)
    ids += [unstarted.post("the whales are back"), unstarted.post(f"{WORD} again")]
    unstarted.post("nothing of that kind")
    unstarted.core.do("delete", ids.pop(7), 1)
    await unstarted.lists_find(ids)
    assert unstarted.search.postings.lists.count == 453


async def test_the_longest_tweets_come_into_the_lists(unstarted):
    long = [unstarted.post(f"{WORD} {n} " + "x" * 60_000) for n in range(150)]  # more than a frame takes
    await unstarted.start()
    await unstarted.lists_find(long)
    assert unstarted.search.postings.fill_count == 1


async def test_after_the_engine_was_killed_the_lists_get_what_came_meanwhile(unstarted):
    ids = [unstarted.post(f"{WORD} {n}") for n in range(50)]
    await unstarted.start()
    await unstarted.lists_find(ids)
    lists = unstarted.search.postings.lists
    await eventually(lambda: "pid" in unstarted.search.facts)
    os.kill(unstarted.search.facts["pid"], signal.SIGKILL)
    unstarted.search.facts = {}
    await eventually(lambda: unstarted.search._lane is None)
    had = list(ids)
    ids += [unstarted.post(f"{WORD} while it is away") for _ in range(5)]
    assert unstarted.listed() == had[::-1]  # without an engine
    await unstarted.ready(starts=2)
    ids.append(unstarted.post("the whales are back"))
    await unstarted.lists_find(ids)
    assert unstarted.search.postings.lists is lists  # nothing was missing but the newest


async def test_what_comes_while_a_long_difference_is_fed_makes_no_gap_in_the_lists(unstarted, monkeypatch):
    monkeypatch.setattr(searching, "FEED_ROWS", 10)
    ids = [unstarted.post(f"{WORD} {n}") for n in range(50)]
    await unstarted.start()
    await unstarted.lists_find(ids)
    lists = unstarted.search.postings.lists
    plain, came = unstarted.search._feed_news_once, []

    async def feed_news_once(lane: Any) -> None:
        came.append(lane)
        await plain(lane)
        ids.append(unstarted.post(f"{WORD} during the difference"))

    monkeypatch.setattr(unstarted.search, "_feed_news_once", feed_news_once)
    await eventually(lambda: "pid" in unstarted.search.facts)
    os.kill(unstarted.search.facts["pid"], signal.SIGKILL)
    unstarted.search.facts = {}
    await eventually(lambda: unstarted.search._lane is None)
    shutil.rmtree(unstarted.directory)
    ids += [unstarted.post(f"{WORD} while it is away") for _ in range(30)]
    send = unstarted.search._feed

    async def feed(*args: Any, **more: Any) -> None:
        if not came and len(args[1]):  # the first part: something comes meanwhile
            ids.append(unstarted.post(f"{WORD} at last"))
        await send(*args, **more)

    monkeypatch.setattr(unstarted.search, "_feed", feed)
    await eventually(lambda: len(came) >= 3)
    await unstarted.ready(starts=2)
    await unstarted.lists_find(ids)
    assert unstarted.search.postings.lists is lists


async def test_after_news_of_everything_the_lists_have_it(shard):
    ids = [shard.post(f"{WORD} {n}") for n in range(20)]
    await shard.lists_find(ids)
    shard.commits.hold()
    ids += [shard.post(f"{WORD} before") for _ in range(5)]
    shard.replica.state.news.all()
    ids += [shard.post(f"{WORD} after") for _ in range(5)]
    shard.core.do("delete", ids.pop(3), 1)
    shard.commits.release()
    await shard.lists_find(ids)


# ---- ends and beginnings ---------------------------------------------------------------------------------------------


async def test_a_killed_engine_comes_back_with_everything(unstarted):
    ids = [unstarted.post(f"{WORD} {n}") for n in range(50)]
    await unstarted.start()
    await unstarted.finds(ids)
    liked = ids[10:12]
    for kills, forgets in ((1, False), (2, True)):
        await eventually(lambda: "pid" in unstarted.search.facts)
        os.kill(unstarted.search.facts["pid"], signal.SIGKILL)
        unstarted.search.facts = {}
        if forgets:
            shutil.rmtree(unstarted.directory)
        ids += [unstarted.post(f"{WORD} while it is away"), unstarted.post(f"{WORD} and away")]
        unstarted.core.do("delete", ids.pop(0), 1)
        unstarted.core.do("like", 2, liked[kills - 1])
        await unstarted.ready(starts=kills + 1)
        await unstarted.finds(ids)
        await unstarted.finds(liked[:kills], ["likes", 1])
        await unstarted.agrees()


async def test_an_engine_that_is_away_is_said_to_be(unstarted):
    with pytest.raises(OverloadedError, match="starting"):
        unstarted.search.send("facts", [], 1.0, lambda body, error: None)
    with pytest.raises(OverloadedError, match="starting"):
        await unstarted.search.compare()
    await unstarted.start()
    await eventually(lambda: "pid" in unstarted.search.facts)
    os.kill(unstarted.search.facts["pid"], signal.SIGSTOP)
    try:
        with pytest.raises(OverloadedError):
            await unstarted.ask("facts", [], 0.1)
    finally:
        os.kill(unstarted.search.facts["pid"], signal.SIGCONT)


async def test_an_engine_that_cannot_start_is_tried_again_until_it_can(unstarted, monkeypatch):
    monkeypatch.setattr(searching, "RESTART_FIRST_S", 0.05)
    tweet_id = unstarted.post(WORD)
    unstarted.directory.mkdir()
    (unstarted.directory / TWEETS).write_text("where a folder should be")
    unstarted.search.start()
    await eventually(lambda: unstarted.search.process.start_count >= 2)
    assert unstarted.search.figures()["state"] == "starting again"
    (unstarted.directory / TWEETS).unlink()
    await unstarted.finds([tweet_id])


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.3])
async def test_stopped_at_any_moment_it_leaves_no_process(data_dir, after_s):
    shard = Shard(data_dir)
    shard.post(WORD)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    shard.search.start()
    await asyncio.sleep(after_s)
    await shard.search.stop()
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert [child for child in left if "actors.search" in " ".join(child.cmdline())] == []
    assert shard.replica.state.news is None


async def test_stopped_before_it_was_started_nothing_happens(data_dir):
    await Shard(data_dir).search.stop()
