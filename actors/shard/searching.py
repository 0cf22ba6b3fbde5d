"""The search engine of a shard replica, seen from the shard: its process, what it is fed, and whether it has all of it.

    News of the core --(committed)--> rows --> feed, one under way --> engine
    at start, after a crash, after a new map: contents of the index <-> memory, the difference is fed

Rules of this file
- The engine is a child process: it ends with this one, and is started again when it ends. Whatever it forgets is fed
  again, because contents are compared, not positions.
- Nothing is fed before it is committed.
- Until it first answers, an engine has the priority of its shard: the cluster isn't ready before. Then it steps back.
- A turn of the loop reads at most ROWS_PER_TURN rows; what isn't fed yet waits as keys.

Costs: 3 us a tweet fed, 0.1 s to compare 1,000,000 tweets (on another thread, but for 30 ms).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from actors.core.entries import unpack
from actors.core.errors import MalformedError, OverloadedError, RookeryError
from actors.core.facts import read_facts
from actors.core.features.edits import HISTORY
from actors.core.news import News, Taken
from actors.core.postings.found import HIDDEN_FLAGS, FoundTweets
from actors.search.documents import CHANGED, CONTENTS_MAX, EDITED, FOUND, NEW, band_of, digest_of
from actors.shard.commits import Commits
from actors.shard.engine_process import EngineProcess
from actors.shard.fed_popularity import FedPopularity
from actors.shard.search_postings import TweetPostings
from actors.shard.search_rows import SearchRows
from cluster.lane.client import LaneClient
from cluster.lane.protocol import LaneDisconnected

Ints = npt.NDArray[np.int64]
Ask = Callable[[str, list[Any]], Awaitable[Any]]
FEED_ROWS = 400  # rows in one feed: 15 ms of the engine's indexing thread
FEED_BYTES = 1 << 20  # of bodies in one feed: a lane's frame takes 8 MiB, of which 400 profiles may fill 6.5
ROWS_PER_TURN = 50  # read in one turn of the loop: 0.2 ms
IDLE_S = 0.02  # between two looks for news
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 30.0  # pause before an engine is started again, doubling
HEALTHY_S = 60.0  # an engine that ran so long was healthy: the next pause is short again
FACTS_S = 2.0  # between two looks at the engine's figures
POPULARITY_S = 30.0  # between two looks for accounts whose followers have doubled
_COMPARED = ("flags", "author_id", "likes", "reposts", "replies")


class Comparison(NamedTuple):
    """What the index lacks, has too much, or has otherwise than memory; tweet ids newest first."""

    missing: Ints
    extra: Ints
    stale: Ints
    accounts_missing: list[int]
    accounts_extra: list[int]
    indexed: int

    def counts(self) -> dict[str, int]:
        """Return how many of each."""
        return {
            "indexed": self.indexed, "missing": len(self.missing), "extra": len(self.extra), "stale": len(self.stale),
            "accounts_missing": len(self.accounts_missing), "accounts_extra": len(self.accounts_extra),
        }  # fmt: skip


class SearchEngine:
    """Runs and feeds the search engine of one replica."""

    def __init__(self, commits: Commits, found: FoundTweets, directory: Path, commit_ms: int) -> None:
        self.commits, self.state, self.rows = commits, commits.state, SearchRows(found)
        self.process = EngineProcess(directory, commit_ms)
        self.log = structlog.get_logger()
        self.facts: dict[str, Any] = {}
        self.backlog_count = 0
        self._lane: LaneClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._popularity = FedPopularity(self.state)
        self.postings = TweetPostings(self.rows, self._committed)
        self._compare = asyncio.Event()  # asked for, by `check --search`
        self._state_of_start = "starting"
        self.came_up = asyncio.Event()  # searches have been answered since this process began

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engine, and keep it running."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End the engine and wait for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(self, op: str, args: list[Any], timeout_s: float, done: Callable[[Any, Exception | None], None]) -> None:
        """Ask the engine; done(body, None) or done(None, error) is called later. Raises OverloadedError: it is away.

        The engine doesn't begin what it gets to later than timeout_s from now.
        """
        if self._lane is None:
            raise OverloadedError(f"the search engine of shard {self.state.shard} is {self._state_of_start}", None, 1.0)
        try:
            self._lane.send("within", [time.monotonic() + timeout_s, op, args], timeout_s, done)
        except LaneDisconnected as error:
            raise OverloadedError(f"the search engine of shard {self.state.shard} has ended", None, 1.0) from error

    async def _run(self) -> None:
        pause_s = RESTART_FIRST_S
        while True:
            begin = time.monotonic()
            try:
                await self._serve()
            except (OSError, TimeoutError, RookeryError, LaneDisconnected) as error:
                self.log.warning("the search engine has ended; it is started again", reason=str(error)[:300])
            except Exception as error:
                self.log.error("the search feeder failed; it starts again", reason=repr(error), exc_info=True)
            finally:
                self._lane = None
                self.state.news = None
                self._state_of_start = "starting again"
            if time.monotonic() - begin > HEALTHY_S:
                pause_s = RESTART_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)

    async def _serve(self) -> None:
        """Run one engine as long as it lives."""
        async with self.process.started(self.came_up.is_set()) as lane:
            filling = asyncio.get_running_loop().create_task(self.postings.run(partial(self.process.ask, lane)))
            try:
                await self._feed_on(lane)
            finally:
                filling.cancel()
                await asyncio.gather(filling, return_exceptions=True)

    # ---- feeding ----------------------------------------------------------------------------------------------

    async def _feed_on(self, lane: LaneClient) -> None:
        """Bring the index to what memory has, and keep it there."""
        self.state.news = News()
        await self._catch_up(lane, at_start=True)
        if self._lane is None:
            await self._open(lane)
        self.log.info("search is ready", documents=len(self.state.tweets), starts=self.process.start_count)
        facts_at = popularity_at = 0.0
        while not lane.closed:
            now = time.monotonic()
            if now - facts_at >= FACTS_S:
                facts_at = now
                self.facts = await self.process.ask(lane, "facts", [])
            if now - popularity_at >= POPULARITY_S:
                popularity_at = now
                self._popularity.note_changes()
            if self._compare.is_set() or not self.state.news:
                if self._compare.is_set():
                    await self._catch_up(lane)
                await asyncio.sleep(IDLE_S)
                continue
            await self._feed_news(lane)
        raise OSError("the search engine has closed its lane")

    async def _open(self, lane: LaneClient) -> None:
        """Let searches come, to an engine that goes behind home reads from now on."""
        self._lane = lane
        self.came_up.set()
        await self.process.ask(lane, "step_back", [])

    async def _feed_news(self, lane: LaneClient) -> None:
        news = self.state.news
        assert news is not None
        position, taken = self.state.position, news.take(FEED_ROWS)
        self.backlog_count = len(news)
        await self._committed(position)
        if taken.everything:
            self.postings.drop()
            await self._catch_up(lane)
        # What has come since there were too many was in the difference as well: then nothing is new to the index.
        new = FOUND if taken.everything else NEW
        await self._feed(lane, _wanted(taken, new), taken.accounts, with_terms=True)

    async def _committed(self, position: int) -> None:
        """Wait until everything up to a position is committed. (`when_committed` may be refused; this may not.)

        The last record may be one that would wait up to a second for the next flush, so one is asked for.
        """
        if self.commits.committed_position < position:
            self.commits.flush_soon()
        while self.commits.committed_position < position:  # noqa: ASYNC110  it is looked at fifty times a second at most
            await asyncio.sleep(IDLE_S)

    async def _feed(
        self, lane: LaneClient, wanted: list[tuple[int, int]], accounts: list[int], committed: bool = False,
        with_terms: bool = False,
    ) -> None:  # fmt: skip
        """with_terms: the tweets come in the order of their ids, and may be new to the posting lists."""
        with_terms = with_terms and self.postings.wants_terms
        rows: list[list[Any]] = []
        gone: list[int] = []
        size = 0
        for i, (tweet_id, news) in enumerate(wanted):
            row = self.rows.tweet(tweet_id, news)
            if row is None:
                gone.append(tweet_id)
            else:
                rows.append(row)
                size += sum(len(body) for body in row[7:9] if body)
            if size >= FEED_BYTES:
                await self._send(lane, [rows, gone, [], [], False, with_terms])
                rows, gone, size = [], [], 0
            elif i % ROWS_PER_TURN == ROWS_PER_TURN - 1:
                await asyncio.sleep(0)
        account_rows, gone_accounts = [], []
        for i, account_id in enumerate(accounts):
            row = self.rows.account(account_id)
            if row is None:
                gone_accounts.append(account_id)
            else:
                self._popularity.fed(self.state.people.row_of[account_id], band_of(row[-1]))
                account_rows.append(row)
            if i % ROWS_PER_TURN == ROWS_PER_TURN - 1:
                await asyncio.sleep(0)
        await self._send(lane, [rows, gone, account_rows, gone_accounts, committed, with_terms])

    async def _send(self, lane: LaneClient, feed: list[Any]) -> None:
        """Have a feed taken in. What the engine can't read is left out; the rest is to be found all the same."""
        try:
            edited_ids = {row[0] for row in feed[0] if row[-1] == EDITED}
            self.postings.take(await self.process.ask(lane, "feed", feed), edited_ids)
            self.postings.gone(feed[1])
        except MalformedError as error:
            self.log.error("some tweets or accounts can't be indexed", reason=str(error)[:300])
            self.postings.refill()

    # ---- comparing --------------------------------------------------------------------------------------------

    async def compare(self) -> dict[str, int]:
        """Say how far the index is from memory now; what is fed meanwhile counts as missing.

        Not so accounts whose followers have doubled since the last look for them: these are due within POPULARITY_S.
        """
        if self._lane is None:
            raise OverloadedError(f"the search engine of shard {self.state.shard} is {self._state_of_start}", None, 1.0)
        counts = (await self._difference(self._lane, popularity_as_fed=True)).counts()
        return {**counts, "unlisted": await self.postings.missing_count()}

    def repair(self) -> None:
        """Have the difference fed."""
        self._compare.set()

    async def _catch_up(self, lane: LaneClient, at_start: bool = False) -> None:
        """Feed the difference between the index and memory, the newest first."""
        self._compare.clear()
        found = await self._difference(lane, forget_news=True)
        await self._committed(self.state.position)
        if any(value for name, value in found.counts().items() if name != "indexed"):
            self.log.info("the search index is brought up to date", **found.counts())
        work = [(t, CHANGED) for t in found.extra.tolist()] + [(t, CHANGED) for t in found.stale.tolist()]
        work += [(t, FOUND) for t in found.missing.tolist()]
        accounts = found.accounts_missing + found.accounts_extra
        self.backlog_count = len(work) + len(accounts)
        if at_start and self.backlog_count > FEED_ROWS:
            await self._open(lane)  # it answers with what it has
        for tweets, some in _parts(work, accounts):
            self.backlog_count = len(tweets) + len(some) + len(work) + len(accounts)
            await self._feed(lane, tweets, some)
            if self.state.news and at_start:
                await self._feed_news_once(lane)
        edited = await self._edited()  # last, so that the lists hear of what was taken as news meanwhile
        for tweets, _ in _parts(edited, []):
            self.backlog_count = len(tweets) + len(edited)
            await self._feed(lane, tweets, [], with_terms=True)
        self.backlog_count = 0
        await self._feed(lane, [], [], committed=True)
        self.postings.refill()

    async def _edited(self) -> list[tuple[int, int]]:
        """Return what was ever edited, with reposts of such: which text the index has of those it doesn't say.

        3 us a repost, and 40 us of the engine's time an edited tweet.
        """
        tweets, edited = self.state.tweets, self.state.papers.dump(HISTORY.number)[0].tolist()
        reposts = []
        for i, (slot, packed) in enumerate(list(tweets.orig.items())):
            if read_facts(unpack(packed)[9]).edited_ms and tweets.orig.get(slot) == packed:
                reposts.append(tweets.columns["tweet_id"].item(slot))
            if i % ROWS_PER_TURN == ROWS_PER_TURN - 1:
                await asyncio.sleep(0)
        return [(t, CHANGED) for t in reposts] + [(t, EDITED) for t in edited]

    async def _feed_news_once(self, lane: LaneClient) -> None:
        """While a long difference is fed: new tweets don't wait for its end."""
        news = self.state.news
        assert news is not None
        position, taken = self.state.position, news.take(FEED_ROWS)
        if taken.everything:
            news.all()  # later
        await self._committed(position)
        # What is in the difference as well is fed twice; so nothing is taken for new to the index. The posting lists
        # wait for the end: they lack what came while no engine ran, and must not get what is newer before.
        await self._feed(lane, _wanted(taken, FOUND), taken.accounts)

    async def _difference(
        self, lane: LaneClient, forget_news: bool = False, popularity_as_fed: bool = False
    ) -> Comparison:
        """Compare. forget_news: what has changed so far is in the difference, and needs no other feed.

        popularity_as_fed: an account's popularity is to be what the index was fed, not what it is now.
        """
        await self._feed(lane, [], [], committed=True)
        ask = partial(self.process.ask, lane)
        columns = [column for kind in ("tweets", "accounts") for column in await _contents(ask, kind)]
        if forget_news:
            self.state.news = News()
        tweets = self.state.tweets
        ids = np.fromiter(tweets.slot_of, dtype=np.int64, count=len(tweets.slot_of))
        slots = np.fromiter(tweets.slot_of.values(), dtype=np.int64, count=len(ids))
        facts = {name: tweets.columns[name][slots] for name in _COMPARED}
        away = np.array([*self.state.people.away, *self.state.people.leaving], dtype=np.int64)
        missing, extra, stale = await asyncio.to_thread(_compare_tweets, ids, facts, away, *columns[:3])
        accounts_missing, accounts_extra = await self._compare_accounts(columns[3], columns[4], popularity_as_fed)
        return Comparison(missing, extra, stale, accounts_missing, accounts_extra, len(columns[0]))

    async def _compare_accounts(self, ids: Ints, digests: Ints, as_fed: bool) -> tuple[list[int], list[int]]:
        known = dict(zip(ids.tolist(), digests.tolist(), strict=True))
        missing = []
        for i, (account_id, row) in enumerate(list(self.state.people.row_of.items())):
            account = self.state.people.accounts[row]
            band = self._popularity.of(row) if as_fed else None
            band = band_of(self.rows.followers(row)) if band is None else band
            if known.pop(account_id, None) != digest_of(account.username, account.display_name, account.bio, band):
                missing.append(account_id)
            else:
                self._popularity.fed(row, band)
            if i % (ROWS_PER_TURN * 4) == 0:
                await asyncio.sleep(0)
        return missing, list(known)

    @property
    def state_name(self) -> str:
        """`starting`, or `starting again`; `catching up` while it answers with what it has; `ready`."""
        return self._state_of_start if self._lane is None else "catching up" if self.backlog_count else "ready"

    def readiness(self) -> dict[str, Any]:
        """Return what `/readyz` judges by: whether it answers, whether it has since this process began, what is left.

        From any thread.
        """
        state = self.state_name
        serves = state in ("ready", "catching up")
        return {"state": state, "left": self.backlog_count, "serves": serves, "has_served": self.came_up.is_set()}

    def figures(self) -> dict[str, Any]:
        """Return what `status` shows of search."""
        counted = {"backlog": self.backlog_count, "starts": self.process.start_count}
        return {"state": self.state_name, **counted, "postings": self.postings.figures(), **self.facts}


async def _contents(ask: Ask, kind: str) -> list[Ints]:
    """Return what the index has of tweets (ids, likes, engagement) or accounts (ids, digests)."""
    parts: list[list[Ints]] = []
    below = 0
    while True:
        packed = await ask("contents", [kind, below])
        parts.append([np.frombuffer(column, dtype="<i8").astype(np.int64) for column in packed])
        ids = parts[-1][0]
        if len(ids) < CONTENTS_MAX:
            return [np.concatenate(column) for column in zip(*parts, strict=True)]
        below = int(ids[-1])


def _compare_tweets(
    ids: Ints, facts: dict[str, Any], away: Ints, indexed: Ints, likes: Ints, engagement: Ints
) -> tuple[Ints, Ints, Ints]:
    """Return (missing, extra, stale) ids, newest first. What is indexed twice is stale."""
    searchable = (facts["flags"] & HIDDEN_FLAGS) == 0
    if len(away):
        searchable &= ~np.isin(facts["author_id"], away)
    wanted = ids[searchable]
    missing = np.setdiff1d(wanted, indexed)
    extra = np.setdiff1d(indexed, wanted)
    order = np.argsort(ids)
    places = order[np.searchsorted(ids, indexed, sorter=order).clip(max=max(len(ids) - 1, 0))] if len(ids) else order
    if len(ids) and len(indexed):
        same = ids[places] == indexed
        now_likes = facts["likes"][places].astype(np.int64)
        weight = now_likes + 2 * facts["reposts"][places].astype(np.int64) + facts["replies"][places]
        twice = np.append(indexed[1:] == indexed[:-1], False)  # they come sorted
        stale = indexed[same & ((now_likes != likes) | (weight != engagement) | twice)]
        stale = np.setdiff1d(stale, extra)
    else:
        stale = indexed[:0]
    return missing[::-1], extra[::-1], stale[::-1]


def _wanted(taken: Taken, new: int) -> list[tuple[int, int]]:
    """Return (tweet id, what is new about it). new: of those that have come."""
    edited = taken.edited
    return [(t, new if is_new else EDITED if t in edited else CHANGED) for t, is_new in taken.tweets.items()]


def _parts(tweets: list[tuple[int, int]], accounts: list[int]) -> Iterator[tuple[list[tuple[int, int]], list[int]]]:
    """Yield both lists in pieces that fit into a feed, and empty them on the way."""
    tweets.reverse()
    while tweets or accounts:
        some, tweets[-FEED_ROWS:] = tweets[-FEED_ROWS:][::-1], []
        few, accounts[-FEED_ROWS:] = accounts[-FEED_ROWS:], []
        yield some, few
