"""The search engine of one shard replica: a child process that indexes what it is fed and searches.

    shard --stdin--> {"directory", "secret", ...}          once; the engine ends when its standard input does
    shard --lane---> search.sock: feed, latest, top, accounts, suggest, tag, corrections, highlight, trends, ...

    loop thread       lane, searches, tag rings
    indexing thread   fed rows -> documents -> tantivy; commits        (the lowest priority)
    helper thread     what takes long and is rare: contents, corrections
    counting thread   the sketches of trends

Rules of this file
- Nothing here is true by itself: the shard feeds, and checks each answer against its memory.
- One shard, one connection, one feed under way: what isn't taken in yet waits in the shard, as keys. The shard has
  checked what a client said; here only the shape is looked at.
- A fault of the index ends the process; the shard starts another one.

Not here: who may see what, counts of this moment, JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import psutil
import uvloop

from actors.core.arguments import an_id_or_zero, whole
from actors.core.errors import InvalidError, MalformedError, RookeryError
from actors.search import text
from actors.search.accounts import AccountIndex
from actors.search.corrections import Vocabulary
from actors.search.documents import CHANGED, SOCKET, TweetFacts, read_tweet
from actors.search.highlight import highlights
from actors.search.index import TweetIndex, disk_bytes
from actors.search.tags import TagRings, Wanted
from actors.search.trends import ShardTrends
from cluster.lane_server import LaneRequest, LaneServer

logger = logging.getLogger("rookery.search")

NICE_ENGINE, NICE_INDEXING = 10, 15  # home reads first, then searches, then the index
SWITCH_INTERVAL_S = 0.0005  # a search waits no longer for the indexing thread's Python
COUNT_MAX = 2_000  # ids in one answer
WORDS_MAX = 50  # words in one question for corrections
TEXTS_MAX = 1_000  # texts in one question for highlights
TAGS_MAX = 20  # hashtags in one question
TRENDS_FILE = "trends.bin"
TRENDS_SAVE_S = 30.0  # what a crash may make trends forget
FEED_ROWS_MAX = 2_000  # rows in one feed


@dataclass(slots=True)
class Feed:
    """What the indexing thread takes in at once. done(error) is called on the loop."""

    tweets: list[list[Any]]
    gone: list[int]
    accounts: list[list[Any]]
    gone_accounts: list[int]
    done: Callable[[Exception | None], None]
    committed: bool = False  # tell `done` only after a commit
    facts: list[TweetFacts] = field(default_factory=list)


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
        self._waiting: list[Feed] = []  # to be told after the next commit

    def run(self) -> None:
        """Index until None comes; the first fault ends the process."""
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE_INDEXING)
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
        """Take in feeds until a commit is due; commit. False: it was the last."""
        due = time.monotonic() + self.commit_s
        while True:
            left = due - time.monotonic()
            if left <= 0 and self._dirty:
                self._commit()
                return True
            try:
                feed = self.queue.get(timeout=max(left, 0.0) if self._dirty else None)
            except queue.Empty:
                continue
            if feed is None:
                return False
            if not self._dirty:
                due = time.monotonic() + self.commit_s
            self._take(feed)

    @property
    def _dirty(self) -> bool:
        return bool(self.tweets.uncommitted_count or self.accounts.uncommitted_count or self._waiting)

    def _take(self, feed: Feed) -> None:
        for row in feed.tweets:
            facts = read_tweet(row)
            feed.facts.append(facts)
            self.tweets.add(facts)
        for tweet_id in feed.gone:
            self.tweets.remove(tweet_id)
        for row in feed.accounts:
            self.accounts.add(row)
        for account_id in feed.gone_accounts:
            self.accounts.remove(account_id)
        first = self.seq + 1
        self.seq += len(feed.facts)
        self.engine.tell(self.engine.taken_in, feed, first)
        if feed.committed:
            self._waiting.append(feed)

    def _commit(self) -> None:
        seq, waiting = self.seq, self._waiting
        self._waiting = []
        if self.tweets.uncommitted_count:
            self.tweets.commit()
        if self.accounts.uncommitted_count:
            self.accounts.commit()
        self.engine.tell(self.engine.committed, seq, waiting)


class Engine:
    """The loop's side."""

    def __init__(self, directory: Path, secret: bytes, commit_ms: int) -> None:
        self.directory = directory
        self.loop = asyncio.get_running_loop()
        self.indexer = Indexer(directory, commit_ms / 1000, self)
        self.helper, self.counting = ThreadPoolExecutor(1, "helper"), ThreadPoolExecutor(1, "counting")
        self.lane = LaneServer(self.handle, secret, connection_count_max=4)
        self.trends = ShardTrends(_now_ms())
        self.tags: TagRings
        self.vocabulary: Vocabulary
        self.search_count = 0
        self.search_seconds = 0.0
        self._saved_at = time.monotonic()
        self._asked: set[asyncio.Future[Any]] = set()
        self._operations: dict[str, Callable[..., Any]] = {
            "latest": self._latest, "top": self._top, "accounts": self._accounts, "suggest": self._suggest,
            "tag": self._tag, "facts": self._facts, "highlight": self._highlight,
        }  # fmt: skip
        self._long: dict[str, Callable[..., Any]] = {
            "contents": self._contents, "corrections": self._corrections, "trends": self._trends,
        }  # fmt: skip

    async def start(self) -> None:
        """Open the index and listen. Raises what the index can't be opened for."""
        self._restore_trends()
        self.indexer.start()
        await asyncio.to_thread(self.indexer.ready.wait)
        if self.indexer.failure is not None:
            raise self.indexer.failure
        index = self.indexer.tweets
        self.tags = TagRings(index.tagged, index.latest)
        self.vocabulary = Vocabulary(index.vocabulary)
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
            if facts.hashtags and "repost" not in facts.marks:
                self.tags.add(seq, facts.tweet_id, facts.hashtags)
        if feed.facts:
            self.counting.submit(self._count, feed.facts)
        if feed.gone:
            self.tags.remove(feed.gone)
        if not feed.committed:
            feed.done(None)

    def committed(self, seq: int, waiting: list[Feed]) -> None:
        """The index finds everything up to that number."""
        self.tags.committed(seq)
        for feed in waiting:
            feed.done(None)
        if time.monotonic() - self._saved_at >= TRENDS_SAVE_S:
            self._saved_at = time.monotonic()
            self.counting.submit(self._save_trends)

    def _count(self, fed: list[TweetFacts]) -> None:
        """Count tweets for the trends; on the counting thread, which is faster than the indexing thread feeds it."""
        self.trends.advance(_now_ms())
        for facts in fed:
            if facts.news != CHANGED and "repost" not in facts.marks:
                self.trends.add(
                    facts.tweet_id >> 16, facts.author_id, facts.lang, facts.hashtags, facts.words, facts.links
                )

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
        """Answer one request of the shard."""
        op, args = request.op, request.args
        try:
            if op == "feed":
                self._feed(request, *args)
                return
            if op in self._long:
                self._start(request, op, args)
                return
            begin = time.perf_counter()
            if op not in self._operations:
                raise InvalidError(f"the search engine has no operation {op!r}")
            request.reply(self._operations[op](*args))
            self.search_count += 1
            self.search_seconds += time.perf_counter() - begin
        except RookeryError as error:
            request.fail(error)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            request.fail(MalformedError(f"arguments of {op[:40]} don't fit: {str(error)[:200]}"))

    def _start(self, request: LaneRequest, op: str, args: list[Any]) -> None:
        """Have the helper thread answer."""
        thread = self.counting if op == "trends" else self.helper
        future = self.loop.run_in_executor(thread, lambda: self._long[op](*args))
        self._asked.add(future)

        def answer(done: asyncio.Future[Any]) -> None:
            self._asked.discard(done)
            error = done.exception()
            if error is None:
                request.reply(done.result())
            elif isinstance(error, RookeryError):
                request.fail(error)
            else:
                request.fail(MalformedError(f"arguments of {op} don't fit: {str(error)[:200]}"))

        future.add_done_callback(answer)

    def _feed(
        self, request: LaneRequest, tweets: list[list[Any]], gone: list[int], accounts: list[list[Any]],
        gone_accounts: list[int], committed: bool,
    ) -> None:  # fmt: skip
        rows = len(tweets) + len(gone) + len(accounts) + len(gone_accounts)
        if rows > FEED_ROWS_MAX:
            raise InvalidError(f"a feed has at most {FEED_ROWS_MAX} rows, not {rows}")

        def done(error: Exception | None) -> None:
            request.reply(True)

        self.indexer.queue.put(Feed(tweets, gone, accounts, gone_accounts, done, committed))

    def _latest(self, tree: Any, max_id: Any, count: Any, min_id: Any, follows: Any) -> list[int]:
        return self.indexer.tweets.latest(tree, max_id, count, min_id, follows)

    def _top(self, tree: Any, count: Any, follows: Any) -> list[bytes]:
        """Candidates: [ids, BM25], as int64 and float64."""
        ids, scores = self.indexer.tweets.candidates(tree, count, follows)
        return [ids.tobytes(), scores.tobytes()]

    def _accounts(self, words: Any, count: Any) -> list[list[Any]]:
        return [list(each) for each in self.indexer.accounts.search(_words(words), whole(count, 1, COUNT_MAX, "count"))]

    def _suggest(self, query: Any, count: Any) -> list[list[list[Any]]]:
        """[accounts with scores, hashtags with how many tweets have them]."""
        if type(query) is not str:
            raise MalformedError("suggest takes a text")
        count = whole(count, 1, COUNT_MAX, "count")
        prefix = text.fold(query.strip().lstrip("#@"))
        tags = [] if not prefix or query.startswith("@") else self.indexer.tweets.hashtags(prefix, count)
        words = text.words(query)[:WORDS_MAX]
        accounts = [] if query.startswith("#") else self.indexer.accounts.suggest(words, count)
        return [[list(each) for each in accounts], [list(each) for each in tags]]

    def _tag(self, any_of: Any, all_of: Any, none_of: Any, max_id: Any, min_id: Any, count: Any) -> list[int]:
        wanted = Wanted(*(tuple(_words(tags, TAGS_MAX)) for tags in (any_of, all_of, none_of)))
        if not wanted.any_of:
            raise InvalidError("a hashtag's timeline needs a hashtag")
        return self.tags.page(
            wanted, an_id_or_zero(max_id, "max_id"), an_id_or_zero(min_id, "min_id"),
            whole(count, 1, COUNT_MAX, "count"),
        )  # fmt: skip

    def _corrections(self, words: Any) -> dict[str, list[Any]]:
        now = time.monotonic()
        return {word: list(self.vocabulary.suggest(word, now)) for word in _words(words)}

    def _highlight(self, tree: Any, bodies: Any) -> list[list[list[int]]]:
        """Where the tree's words stand in texts, given as packed bodies; of an empty one nowhere."""
        if not isinstance(bodies, list) or len(bodies) > TEXTS_MAX or any(type(body) is not bytes for body in bodies):
            raise MalformedError(f"expected a list of at most {TEXTS_MAX} bodies")
        return [highlights(msgpack.unpackb(body)[0], tree) if body else [] for body in bodies]

    def _trends(self) -> bytes:
        return self.trends.snapshot(_now_ms())

    def _contents(self) -> list[bytes]:
        """[tweet ids, likes, engagement, account ids, digests], each as int64: what the index has."""
        tweets, accounts = self.indexer.tweets.contents(), self.indexer.accounts.contents()
        return [column.tobytes() for column in (*tweets, *accounts)]

    def _facts(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "rss_bytes": psutil.Process().memory_info().rss,
            "disk_bytes": disk_bytes(self.directory),
            **self.indexer.tweets.figures(),
            "accounts": self.indexer.accounts.document_count,
            "feeds_waiting": self.indexer.queue.qsize(),
            "tag_rings": len(self.tags),
            "searches": self.search_count,
            "search_seconds": self.search_seconds,
        }


def _now_ms() -> int:
    return int(time.time() * 1000)


def _words(values: Any, count_max: int = WORDS_MAX) -> list[str]:
    if not isinstance(values, list) or len(values) > count_max or any(type(value) is not str for value in values):
        raise MalformedError(f"expected a list of at most {count_max} texts")
    return values


async def serve(given: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    engine = Engine(Path(given["directory"]), bytes.fromhex(given["secret"]), given["commit_ms"])
    await engine.start()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="parent", daemon=True).start()
    await ended.wait()
    await engine.stop()


def main() -> None:
    """Read what the shard says, and serve."""
    given = json.loads(sys.stdin.buffer.readline())
    os.nice(NICE_ENGINE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logging.basicConfig(level=logging.WARNING, format="search %(levelname)s %(message)s")
    uvloop.run(serve(given))
