"""One shard of a real core, its posting lists, and an engine that can be held, made to fail, or cut off: for tests.

Rules of this file
- `World` does what `SearchEngine` does: a feeder that waits for commits, a catch-up that forgets what is new, a task
  that fills.
- Whenever lists begin to answer, they must have all that was fed until then (`Watched`).
- Every text has the word WORD.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgpack
import numpy as np

from actors.core.flags import FLAG_REPOST
from actors.core.news import News
from actors.core.postings.found import HIDDEN_FLAGS, FoundTweets, Viewer, Weights
from actors.core.postings.lists import Postings, whole
from actors.search.documents import FOUND, NEW, read_tweet
from actors.search.terms import terms_of
from actors.shard.search_postings import TweetPostings
from actors.shard.search_rows import SearchRows
from tests.core.harness import Shards

WORD = "whale"
EVERYTHING = 100_000
EVENTUALLY_S = 60.0
NOBODY = Viewer(0, np.zeros(0, np.int64), np.zeros(0, np.int64))


class Engine:
    """Computes terms; `hold` keeps its answers back, `failures` come first."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []  # ids of each request
        self.failures: list[Any] = []  # exceptions raised, anything else answered
        self.unreadable: set[int] = set()
        self._open = asyncio.Event()
        self._open.set()

    def ids(self) -> list[int]:
        """Return all ids that it was asked for, in order."""
        return [tweet_id for ids in self.asked for tweet_id in ids]

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def ask(self, op: str, args: list[Any]) -> Any:
        assert op == "terms"
        rows = msgpack.unpackb(msgpack.packb(args))[0]
        self.asked.append([row[0] for row in rows])
        await asyncio.sleep(0)
        await self._open.wait()
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return self.terms(rows)

    def terms(self, rows: list[Any]) -> Any:
        facts = [read_tweet(row) for row in rows if row[0] not in self.unreadable]
        return msgpack.unpackb(msgpack.packb([terms_of(each) for each in facts if "repost" not in each.marks]))


class Watched(TweetPostings):
    """Posting lists that may only begin to answer with all that was fed."""

    world: World

    @property
    def lists(self) -> Postings | None:
        return self._lists

    @lists.setter
    def lists(self, lists: Postings | None) -> None:
        self._lists = lists
        if lists is not None:
            wanted = self.world.searchable() & self.world.due
            self.world.lacking += [tweet_id for tweet_id in wanted if lists.place(tweet_id) < 0]


class World:
    """One shard of a core, its posting lists, their engine and feeder."""

    def __init__(self, core: Shards | None = None) -> None:
        self.core = core or Shards(1)
        self.core.register(*([] if core else [1, 2, 3]))
        self.state = self.core.replicas[0].state
        self.rows = SearchRows(FoundTweets(self.core.replicas[0].lookups))
        self.due: set[int] = set()  # tweets that lists must have before they answer
        self.lacking: list[int] = []  # that lists began to answer without
        self.engine = Engine()
        self.postings = Watched(self.rows, self.committed)
        self.postings.world = self
        self._held = False
        self._position = 0
        self.loses = 0  # feeds whose answers will be lost
        self._tasks: list[asyncio.Task[None]] = []
        self.is_feeding = False

    # ---- what happens -----------------------------------------------------------------------------------------

    def post(self, text: str = "", author: int = 1, **more: Any) -> int:
        return self.core.post(author, f"{WORD} {text}", **more)

    def posts(self, count: int) -> list[int]:
        return [self.post(f"number {n}") for n in range(count)]

    def delete(self, *tweet_ids: int) -> None:
        for tweet_id in tweet_ids:
            self.core.do("delete", tweet_id, self.state.tweets.get(tweet_id).author_id)

    def edit(self, tweet_id: int, text: str) -> None:
        self.core.now_ms += 1
        self.core.do("edit", tweet_id, self.state.tweets.get(tweet_id).author_id, text, b"", [])

    def listed(self, word: str) -> list[int] | None:
        """Return what the lists find; None if that is for the engine to answer."""
        found = whole(self.postings.newest(["word", word], 0, 0, EVERYTHING))
        return None if found is None else found.ids

    def hold_commits(self) -> None:
        self._held, self._position = True, self.state.position

    def release_commits(self) -> None:
        self._held = False

    async def committed(self, position: int) -> None:
        while self._held and self._position < position:  # noqa: ASYNC110  as in the engine
            await asyncio.sleep(0)

    def refill(self) -> None:
        self.postings.refill()
        self.due |= self.searchable()

    # ---- what SearchEngine does -------------------------------------------------------------------------------

    def start(self) -> World:
        """Begin to fill and to feed, as with a new engine."""
        self.state.news, self.is_feeding = News(), True
        run, feed = self.postings.run(self.engine.ask), self._feed_on()
        self._tasks = [asyncio.get_running_loop().create_task(each) for each in (run, feed)]
        return self

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self.state.news = [], None
        assert self.lacking == []
        assert [end for end in ends if isinstance(end, Exception)] == []

    async def _feed_on(self) -> None:
        await self._catch_up()
        while True:
            self.is_feeding = bool(self.state.news)
            if self.is_feeding:
                await self._feed_news()
            await asyncio.sleep(0)

    async def _catch_up(self) -> None:
        await asyncio.sleep(0)
        self.state.news = News()
        found = self.searchable()
        await self.committed(self.state.position)
        await asyncio.sleep(0)
        self.postings.refill()
        self.due |= found

    async def _feed_news(self) -> None:
        position, taken = self.state.position, self.state.news.take(3)
        await self.committed(position)
        if taken.everything:
            self.postings.drop()
            await self._catch_up()
        with_terms = self.postings.wants_terms
        found = {tweet_id: self.rows.tweet(tweet_id, NEW) for tweet_id in taken.tweets}
        await asyncio.sleep(0)
        new = [row for tweet_id, row in found.items() if row and (taken.tweets[tweet_id] or tweet_id in taken.edited)]
        edited = {tweet_id for tweet_id in taken.edited if not taken.tweets[tweet_id]}
        if self.loses:
            self.loses -= 1
            self.postings.refill()
        else:
            self.postings.take(self.engine.terms(new) if with_terms else [], edited)
            self.postings.gone([tweet_id for tweet_id, row in found.items() if row is None])
        self.due |= {row[0] for row in new}

    # ---- what must be -----------------------------------------------------------------------------------------

    def searchable(self) -> set[int]:
        entries = [self.state.tweets.get(tweet_id) for tweet_id in self.state.tweets.slot_of]
        return {
            entry.tweet_id for entry in entries
            if not entry.flags & (HIDDEN_FLAGS | FLAG_REPOST) and entry.author_id in self.state.people.row_of
        } - self.engine.unreadable  # fmt: skip

    def found(self) -> list[int] | None:
        """Return what is found and may be seen; None if the lists don't answer."""
        found = whole(self.postings.newest(["word", WORD], 0, 0, EVERYTHING))
        if found is None:
            return None
        assert self.postings.lists.check() == []
        ranked = whole(self.postings.best(["word", WORD], self.core.now_ms, EVERYTHING, NOBODY, Weights()))
        seen, best = ([i for i in ids if self.rows.tweet(i, FOUND)] for ids in (found.ids, ranked.ids))
        assert sorted(best, reverse=True) == seen
        return seen

    async def eventually(self, condition: Any) -> None:
        async with asyncio.timeout(EVENTUALLY_S):
            while not condition():  # noqa: ASYNC110  it is looked at
                await asyncio.sleep(0)

    def is_fed(self) -> bool:
        return not self.state.news and not self.is_feeding

    async def turns(self, count: int = 50) -> None:
        for _ in range(count):
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)  # other threads

    async def settled(self) -> World:
        """Wait until everything is fed and filled, and check it."""
        postings = self.postings
        await self.eventually(
            lambda: self.is_fed() and not postings._wanted.is_set() and postings.lists is not None
            and postings._target is None and self.due >= self.searchable()
        )  # fmt: skip
        assert self.found() == sorted(self.searchable(), reverse=True)
        return self


@contextlib.asynccontextmanager
async def running(core: Shards | None = None, before: int = 0):
    world = World(core)
    world.posts(before)
    try:
        yield world.start()
    finally:
        world.release_commits()
        world.engine.release()
        await world.stop()
