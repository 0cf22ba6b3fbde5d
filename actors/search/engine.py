"""The search engine of one shard replica: a child process that indexes what it is fed and searches.

    shard --stdin--> {"directory", "secret", ...}          once; the engine ends when its standard input does
    shard --lane---> search.sock: feed, latest, top, accounts, suggest, tag, corrections, highlight, trends, ...
                                  within [until, operation, arguments]: the same, but dropped once it is late

    loop thread       lane, searches (one a turn: `line.py`), tag rings
    indexing thread   fed rows -> documents -> tantivy; commits        (the lowest priority, with tantivy's own)
    helper thread     what takes long and is rare: contents, corrections
    counting thread   the sketches of trends
    reading thread    the terms of tweets for the shard's posting lists (lowest priority)

Rules of this file
- Nothing here is true by itself: the shard feeds, and checks each answer against its memory.
- One shard, one connection, one feed under way: what isn't taken in yet waits in the shard, as keys. The shard has
  checked what a client said; here only the shape is looked at.
- Priorities are low from the first `step_back` on: until it answers, the cluster waits for it.
- A fault of the index ends the process; the shard starts another one. A row that can't be read is no such fault: it is
  left out, the rest of its feed taken in, and the feed refused.

Not here: who may see what, counts of this moment, JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop

from actors.core.arguments import an_id
from actors.core.errors import InvalidError, MalformedError, RookeryError
from actors.log_bound import LogBound
from actors.search.accounts import AccountIndex
from actors.search.documents import CHANGED, EDITED, ENGINE_NAME, FOUND, NEW, SOCKET, UNTOLD, TweetFacts, read_tweet
from actors.search.index import TweetIndex, disk_bytes
from actors.search.line import SearchLine, late
from actors.search.priorities import NICE_BEHIND, set_back, step_back
from actors.search.searches import LONG, Searches
from actors.search.terms import terms_of
from actors.search.trends import ShardTrends
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneRequest, LaneServer
from cluster.life import heartbeat as heartbeats
from cluster.life.heartbeat import NO_HANGS, Heartbeat, busy, end_with_parent, tell_where_on_signal

logger = logging.getLogger("rookery.search")

SWITCH_INTERVAL_S = 0.0005  # a search waits no longer for the indexing thread's Python
TRENDS_FILE = "trends.bin"
TRENDS_SAVE_S = 60.0  # what a crash may make trends forget
PAUSE_TIMES = 3.0  # a commit takes at most a quarter of the processor's time: under a bulk load they come less often
FEED_ROWS_MAX = 2_000  # rows in one feed
SEARCH_S_MAX = 30.0  # of one search: 50 ms an index of 500,000 tweets, and no reason to kill an engine with a huge one
BEHIND = frozenset(("indexing", "reading_0"))  # threads that others go before


@dataclass(slots=True)
class Feed:
    """What the indexing thread takes in at once. done(error) is called on the loop."""

    tweets: list[list[Any]]
    gone: list[int]
    accounts: list[list[Any]]
    gone_accounts: list[int]
    done: Callable[[RookeryError | None], None]
    committed: bool = False  # tell `done` only after a commit
    with_terms: bool = False  # answer with the terms of its tweets
    facts: list[TweetFacts] = field(default_factory=list)
    terms: list[list[Any]] = field(default_factory=list)  # what is answered: see `terms.py`
    refused: list[RookeryError] = field(default_factory=list)  # one for each row that can't be read

    def end(self) -> None:
        """Tell whoever fed it."""
        if self.refused:
            rows = len(self.tweets) + len(self.gone) + len(self.accounts) + len(self.gone_accounts)
            self.done(MalformedError(f"{len(self.refused)} of {rows} rows are left out: {self.refused[0]}"))
        else:
            self.done(None)


class Indexer(threading.Thread):
    """The indexing thread: owns both writers."""

    def __init__(self, directory: Path, commit_s: float, engine: Engine) -> None:
        super().__init__(name="indexing", daemon=True)
        self.directory, self.commit_s, self.engine = directory, commit_s, engine
        self.queue: queue.Queue[Feed | None] = queue.Queue()
        self.tweets: TweetIndex
        self.accounts: AccountIndex
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self.seq = 0  # tweets fed so far
        self.unreadable_count = 0  # rows left out
        self._waiting: list[Feed] = []  # to be told after the next commit
        self._due_s = 0.0  # from when on the next commit may be

    def run(self) -> None:
        """Index until None comes; the first fault ends the process."""
        try:
            self.tweets, self.accounts = TweetIndex(self.directory), AccountIndex(self.directory)
            self.ready.set()
            while self._step():
                pass
            self._commit()
            self.tweets.close()
            self.accounts.close()
        except BaseException as error:  # noqa: BLE001  whatever it is, the engine can't go on without this thread
            logger.critical("indexing failed; this process ends: %r", error)
            self.failure = error
            if self.ready.is_set():
                os._exit(1)
            self.ready.set()

    def _step(self) -> bool:
        """Take in feeds until a commit is due; commit. False: it was the last.

        After a quiet time the first feed is committed at once; then commits keep their distance.
        """
        while True:
            left = self._due_s - time.monotonic()
            if left <= 0 and self._dirty:
                self._commit()
                return True
            try:
                feed = self.queue.get(timeout=max(left, 0.0) if self._dirty else None)
            except queue.Empty:
                continue
            if feed is None:
                return False
            self._take(feed)

    @property
    def _dirty(self) -> bool:
        return bool(self.tweets.uncommitted_count or self.accounts.uncommitted_count or self._waiting)

    def _take(self, feed: Feed) -> None:
        parts: tuple[tuple[list[Any], Callable[[Any], None]], ...] = (
            (feed.tweets, lambda row: self._add(feed, row)),
            (feed.gone, lambda tweet_id: self.tweets.remove(an_id(tweet_id, "tweet_id"))),
            (feed.accounts, self.accounts.add),
            (feed.gone_accounts, lambda account_id: self.accounts.remove(an_id(account_id, "account_id"))),
        )
        for rows, take in parts:
            for row in rows:
                try:
                    take(row)
                except RookeryError as error:
                    feed.refused.append(error)
        if feed.refused:
            self.unreadable_count += len(feed.refused)
            logger.error("%d rows of a feed can't be read: %s", len(feed.refused), feed.refused[0])
        first = self.seq + 1
        self.seq += len(feed.facts)
        self.engine.tell(self.engine.taken_in, feed, first)
        if feed.committed:
            self._waiting.append(feed)

    def _add(self, feed: Feed, row: Any) -> None:
        facts = read_tweet(row)
        self.tweets.add(facts)
        feed.facts.append(facts)
        if feed.with_terms and facts.news != CHANGED and "repost" not in facts.marks:
            feed.terms.append(terms_of(facts))

    def _commit(self) -> None:
        begin, worked = time.monotonic(), time.process_time()
        seq, waiting = self.seq, self._waiting
        self._waiting = []
        if self.tweets.uncommitted_count:
            self.tweets.commit()
        if self.accounts.uncommitted_count:
            self.accounts.commit()
        now = time.monotonic()
        # Of a commit that waited for a processor that others had, only its own work counts: it took nobody's time.
        took_s = min(now - begin, time.process_time() - worked)
        self._due_s = now + max(self.commit_s, PAUSE_TIMES * took_s)
        self.engine.tell(self.engine.committed, seq, waiting)


class Engine:
    """The loop's side."""

    def __init__(self, directory: Path, secret: bytes, commit_ms: int) -> None:
        self.directory = directory
        self.loop = asyncio.get_running_loop()
        self.indexer = Indexer(directory, commit_ms / 1000, self)
        self.helper, self.counting = ThreadPoolExecutor(1, "helper"), ThreadPoolExecutor(1, "counting")
        self.reading = ThreadPoolExecutor(1, "reading", self._begin_reading)
        self._has_stepped_back = False
        self.lane = LaneServer(self.handle, LaneKeys(secret), ENGINE_NAME, connection_count_max=4)
        self.trends = ShardTrends(_now_ms())
        self.searches: Searches
        self.hangs = dict(NO_HANGS)  # of the engines before this one
        self.line = SearchLine()
        self.search_count = 0
        self.search_seconds = 0.0
        self._saved_at = time.monotonic()
        self._asked: set[asyncio.Future[Any]] = set()

    async def start(self) -> None:
        """Open the index and listen. Raises what the index can't be opened for."""
        self._restore_trends()
        self.indexer.start()
        await asyncio.to_thread(self.indexer.ready.wait)
        if self.indexer.failure is not None:
            raise self.indexer.failure
        self.searches = Searches(self.indexer.tweets, self.indexer.accounts)
        await self.lane.start_unix(str(self.directory / SOCKET))

    async def stop(self) -> None:
        """Commit and close."""
        await self.lane.close()
        self.indexer.queue.put(None)
        await asyncio.to_thread(self.indexer.join)
        await self.loop.run_in_executor(self.counting, self._save_trends)

    def tell(self, callback: Callable[..., None], *args: Any) -> None:
        """Have something done on the loop; from the indexing thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self.loop.call_soon_threadsafe(callback, *args)

    # ---- feeding ----------------------------------------------------------------------------------------------

    def taken_in(self, feed: Feed, first: int) -> None:
        """A feed is in the index, uncommitted: its tweets are in rings and sketches from now on."""
        for seq, facts in enumerate(feed.facts, first):
            if facts.news == EDITED:
                self.searches.tags.edit(seq, facts.tweet_id, facts.hashtags)
            elif facts.hashtags and "repost" not in facts.marks:
                self.searches.tags.add(seq, facts.tweet_id, facts.hashtags)
        if feed.facts:
            self._have_counted(self._count, feed.facts)
        if feed.gone:
            self.searches.tags.remove(feed.gone)
        if not feed.committed:
            feed.end()

    def committed(self, seq: int, waiting: list[Feed]) -> None:
        """The index finds everything up to that number."""
        self.searches.tags.committed(seq)
        for feed in waiting:
            feed.end()
        if time.monotonic() - self._saved_at >= TRENDS_SAVE_S:
            self._saved_at = time.monotonic()
            self._have_counted(self._save_trends)

    def _have_counted(self, work: Callable[..., None], *args: Any) -> None:
        """Have the counting thread do something; what fails there costs some trends, and no search."""

        def look(done: Future[None]) -> None:
            error = done.exception()
            if error is not None:
                logger.error("counting for trends failed: %r", error)

        self.counting.submit(work, *args).add_done_callback(look)

    def _count(self, fed: list[TweetFacts]) -> None:
        """Count tweets for the trends; on the counting thread, which is faster than the indexing thread feeds it."""
        self.trends.advance(_now_ms())
        for facts in fed:
            if facts.news in (NEW, FOUND, UNTOLD) and "repost" not in facts.marks:
                said = ([], []) if facts.news == UNTOLD else (facts.plain, facts.links)
                self.trends.add(facts.tweet_id >> 16, facts.author_id, facts.lang, facts.hashtags, *said)

    def _save_trends(self) -> None:
        path = self.directory / TRENDS_FILE
        temporary = path.with_suffix(".new")
        temporary.write_bytes(self.trends.state())
        temporary.replace(path)

    def _restore_trends(self) -> None:
        try:
            self.trends = ShardTrends.from_state((self.directory / TRENDS_FILE).read_bytes(), _now_ms())
        except FileNotFoundError:
            return
        except ValueError as error:
            logger.warning("trends begin anew: %s", error)

    # ---- requests ---------------------------------------------------------------------------------------------

    def handle(self, request: LaneRequest) -> None:
        """Answer one request of the shard, or have it answered."""
        op, args, until_s = request.op, request.args, math.inf
        try:
            if op == "within":
                until_s, op, args = _within(*args)
            if op == "feed":
                self._feed(request, *args)
            elif op == "facts":
                request.reply(self._facts())
            elif op == "step_back":
                self._has_stepped_back = True
                step_back(BEHIND)
                request.reply(True)
            elif op == "trends":
                self._start(request, self.counting, until_s, self._trends)
            elif op == "terms":
                self._start(request, self.reading, until_s, lambda: _terms_of_rows(*args))
            elif op in LONG:
                self._start(request, self.helper, until_s, lambda: self.searches.answer(op, args))
            else:
                self.line.put(request, until_s, lambda: self._search(request, op, args))
        except RookeryError as error:
            request.fail(error)
        except TypeError as error:
            request.fail(MalformedError(f"arguments of {op[:40]} don't fit: {str(error)[:200]}"))

    def _search(self, request: LaneRequest, op: str, args: list[Any]) -> None:
        """Answer a search when it is its turn. Raises RookeryError."""
        begin = time.perf_counter()
        with busy("a search", SEARCH_S_MAX):
            answer = self.searches.answer(op, args)
        request.reply(answer)
        self.search_count += 1
        self.search_seconds += time.perf_counter() - begin

    def _start(
        self, request: LaneRequest, thread: ThreadPoolExecutor, until_s: float, answer: Callable[[], Any]
    ) -> None:
        """Have another thread answer, unless it is too late by then."""

        def answer_in_time() -> Any:
            if time.monotonic() >= until_s:
                self.tell(self._note_late)
                raise late()
            return answer()

        future = self.loop.run_in_executor(thread, answer_in_time)
        self._asked.add(future)

        def tell(done: asyncio.Future[Any]) -> None:
            self._asked.discard(done)
            error = done.exception()
            if error is None:
                request.reply(done.result())
            elif isinstance(error, RookeryError):
                request.fail(error)
            else:
                logger.error("%s failed: %r", request.op, error)
                request.fail(RookeryError(f"the search engine failed on {request.op}"))

        future.add_done_callback(tell)

    def _feed(
        self, request: LaneRequest, tweets: list[list[Any]], gone: list[int], accounts: list[list[Any]],
        gone_accounts: list[int], committed: bool, with_terms: bool = False,
    ) -> None:  # fmt: skip
        rows = len(tweets) + len(gone) + len(accounts) + len(gone_accounts)
        if rows > FEED_ROWS_MAX:
            raise InvalidError(f"a feed has at most {FEED_ROWS_MAX} rows, not {rows}")

        def done(error: RookeryError | None) -> None:
            if error is None:
                request.reply(feed.terms)
            else:
                request.fail(error)

        feed = Feed(tweets, gone, accounts, gone_accounts, done, committed, with_terms)
        self.indexer.queue.put(feed)

    def _note_late(self) -> None:
        self.line.late_count += 1

    def _begin_reading(self) -> None:
        if self._has_stepped_back:
            set_back(0, NICE_BEHIND)

    def _trends(self) -> bytes:
        return self.trends.snapshot(_now_ms())

    def _facts(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "hangs": self.hangs,
            "rss_bytes": psutil.Process().memory_info().rss,
            "disk_bytes": disk_bytes(self.directory),
            **self.indexer.tweets.figures(),
            "accounts": self.indexer.accounts.document_count,
            "feeds_waiting": self.indexer.queue.qsize(),
            "unreadable": self.indexer.unreadable_count,
            "tag_rings": len(self.searches.tags),
            "searches": self.search_count,
            "searches_waiting": len(self.line),
            "late": self.line.late_count,
            "search_seconds": self.search_seconds,
        }


def _within(until_s: Any, op: Any, args: Any) -> tuple[float, str, list[Any]]:
    """Return the arguments of `within`. Raises MalformedError."""
    if type(until_s) is not float or type(op) is not str or not isinstance(args, list):
        raise MalformedError("within takes a time, an operation and its arguments")
    return until_s, op, args


def _terms_of_rows(rows: list[Any]) -> list[list[Any]]:
    """Return the terms of tweet rows; of those that can't be read nothing."""
    found = []
    for row in rows:
        try:
            facts = read_tweet(row)
        except MalformedError as error:
            logger.error("a tweet has no posting lists: %s", error)
            continue
        if "repost" not in facts.marks:
            found.append(terms_of(facts))
    return found


def _now_ms() -> int:
    return int(time.time() * 1000)


async def serve(given: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    engine = Engine(Path(given["directory"]), bytes.fromhex(given["secret"]), given["commit_ms"])
    heartbeat = None
    if given.get("heartbeat"):
        folder, name = given["heartbeat"]
        heartbeat = Heartbeat(Path(folder), name)
        heartbeats.take(heartbeat)
        heartbeat.start()
        engine.hangs = heartbeat.hangs
    await engine.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="parent", daemon=True).start()
    await ended.wait()
    await engine.stop()
    if heartbeat is not None:
        heartbeat.close()


def main() -> None:
    """Read what the shard says, and serve."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; we end when our shard has let us
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    tell_where_on_signal()
    given = json.loads(sys.stdin.buffer.readline())
    if given.get("nice", True):
        step_back(BEHIND)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logging.basicConfig(level=logging.WARNING, format="search %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogBound())
    uvloop.run(serve(given))
