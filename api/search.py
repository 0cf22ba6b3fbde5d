"""Scatter-gather: a search goes to every shard at once; what comes back in time is merged.

    parse -> tree -> names and reader resolved -> all shards, each with its deadline -> merge -> JSON
                                                     | too little found
                                                     +-> corrections of all shards -> the corrected search

Rules of this file
- A shard that doesn't answer in time, or fails, is left out, and the answer says so; only if none answers it is a 503.
  The reader's shard, and those of names in the query, must answer: without them nobody knows what may be shown.
- Tweets come as ready JSON, which is joined and never parsed.
- Answers are repeated for `search_cache_s` to whoever asks the same, each reader apart; all are dropped when a shard
  says that a tweet was deleted or somebody blocked. Whoever leaves meanwhile takes nothing from the others who wait.

Costs, of this worker's time: 60 us a search with two shards, of which 20 let others share it; 10 us if it is repeated.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

import orjson

from actors.core.errors import InvalidError, MalformedError, OverloadedError, RookeryError
from actors.core.ids import ID_MAX, bucket_of_account
from actors.search.corrections import choose
from actors.search.query import corrected_text, has_follows, names_of, replace_words, resolve, words_of
from api.entities import resolve_names
from api.ports import Cluster

TOO_FEW_COUNT = 3  # found tweets below which a typo is suspected
CACHE_ENTRIES_MAX = 2_000
CACHE_BYTES_MAX = 32 * 1024 * 1024
KEEP_AGAIN_S = 0.05  # after all was forgotten: other shards and followers hear of a delete or block milliseconds later
SERVER_FAULT_STATUS = 500  # and above: the shard's fault, not the question's
NOBODY: list[Any] = [0, b"", b""]
Row = list[Any]  # [score, id, JSON]


class Question(NamedTuple):
    """A search for tweets as it was asked; the key of what is repeated."""

    text: str
    order: str
    count_max: int
    max_id: int
    since_id: int
    min_id: int
    at_ms: int
    below: tuple[float, int]  # of `top`: score and id of the last page's last
    exact: bool
    highlights: bool
    reader: int


class Shards(NamedTuple):
    """How many shards answered, of how many."""

    answered: int
    of: int

    @property
    def is_partial(self) -> bool:
        """Whether a shard is missing."""
        return self.answered < self.of

    def members(self) -> bytes:
        """Return the members of an answer that tell it."""
        partial = b"true" if self.is_partial else b"false"
        return b'"partial":%s,"shards":{"answered":%d,"of":%d}' % (partial, self.answered, self.of)


class Answer(NamedTuple):
    """A finished answer. newest_id, oldest_id: of a page of `latest`, for links.

    is_full: a page with as many tweets as fit. Only such answers are repeated: they are those of popular queries, and
    whoever waits for a tweet with a rare word finds it as soon as the index does.
    """

    body: bytes
    newest_id: int
    oldest_id: int
    shards: Shards
    is_full: bool = True


class _Kept:
    """An answer, or the work on one. body_bytes: 0 until it is there; to_be_kept: or only shared while it is made."""

    __slots__ = ("body_bytes", "task", "to_be_kept", "until_s")

    def __init__(self, task: asyncio.Task[Answer], until_s: float, to_be_kept: bool) -> None:
        self.task, self.until_s, self.to_be_kept = task, until_s, to_be_kept
        self.body_bytes = 0


class SearchCache:
    """Answers, repeated for a moment. Those under way are shared."""

    def __init__(self, keep_s: float, clock: Callable[[], float]) -> None:
        """keep_s: 0 makes each answer anew."""
        self._keep_s, self._clock = keep_s, clock
        self._kept: OrderedDict[Any, _Kept] = OrderedDict()
        self._bytes = 0
        self._keep_from_s = -math.inf  # what is asked before isn't kept
        self.hit_count = self.miss_count = 0

    async def get(self, key: Any, make: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Return what is kept, or make it. What fails isn't kept, but told to all who wait for it.

        The work is a task of its own: it goes on if whoever asked first is gone, as others may wait for it too.
        """
        if not self._keep_s:
            return await make()
        kept = self._kept.get(key)
        if kept is not None and kept.until_s > self._clock():
            self.hit_count += 1
            return await asyncio.shield(kept.task)
        self._drop(key)
        self.miss_count += 1
        task, now_s = asyncio.get_running_loop().create_task(make()), self._clock()
        kept = self._kept[key] = _Kept(task, now_s + self._keep_s, now_s >= self._keep_from_s)
        self._trim()
        task.add_done_callback(partial(self._settle, key, kept))
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Forget everything. What is under way, or asked within KEEP_AGAIN_S, is answered and not kept."""
        self._kept.clear()
        self._bytes = 0
        self._keep_from_s = self._clock() + KEEP_AGAIN_S

    def check(self) -> None:
        """Assert the invariants: the bounds hold, and the bytes are those of what is kept."""
        assert self._bytes == sum(kept.body_bytes for kept in self._kept.values())
        assert len(self._kept) <= CACHE_ENTRIES_MAX
        assert self._bytes <= CACHE_BYTES_MAX

    def _settle(self, key: Any, kept: _Kept, task: asyncio.Task[Answer]) -> None:
        """Count an answer that has come, or forget one that won't."""
        failed = task.cancelled() or task.exception() is not None
        if self._kept.get(key) is not kept:
            return  # forgotten meanwhile
        if failed or not kept.to_be_kept or not task.result().is_full or task.result().shards.is_partial:
            self._drop(key)
            return
        kept.body_bytes = len(task.result().body)
        self._bytes += kept.body_bytes
        self._trim()

    def _trim(self) -> None:
        """Drop the oldest beyond the bounds; those under way among them are no longer shared with who comes now."""
        while len(self._kept) > CACHE_ENTRIES_MAX or self._bytes > CACHE_BYTES_MAX:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Any) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.body_bytes


class Search:
    """The searches of one API worker."""

    def __init__(self, cluster: Cluster, timeout_s: float, cache_s: float, clock: Callable[[], float]) -> None:
        """timeout_s: how long a shard is waited for."""
        self._cluster = cluster
        self._timeout_s = timeout_s
        self.cache = SearchCache(cache_s, clock)
        self.partial_count = 0

    def figures(self) -> dict[str, float]:
        """Return this worker's gauges."""
        return {
            "search_cache_hits": self.cache.hit_count,
            "search_cache_misses": self.cache.miss_count,
            "search_partial": self.partial_count,
        }

    # ---- tweets -----------------------------------------------------------------------------------------------

    async def tweets(self, asked: Question, tree: list[Any]) -> Answer:
        """Search tweets. tree: of asked.text. Raises RookeryError; OverloadedError if no shard answers."""
        return await self.cache.get(asked, lambda: self._tweets(asked, tree))

    async def _tweets(self, asked: Question, tree: list[Any]) -> Answer:
        names = names_of(tree)
        if names:
            found = await resolve_names(self._cluster, sorted(names), self._timeout_s)
            tree = resolve(tree, {name: found.get(name.lower()) for name in names})
        reader = await self._reader(asked.reader)
        rows, cursor, spans, shards = await self._find(asked, tree, reader)
        corrected = None
        first_page = not (asked.max_id or asked.since_id or asked.min_id or asked.below[1])
        if first_page and not asked.exact and len(rows) < TOO_FEW_COUNT:
            replaced = await self._corrections(tree)
            again = await self._find_corrected(asked, replace_words(tree, replaced), reader) if replaced else None
            if again is not None and len(again[0]) > len(rows):
                (rows, cursor, spans, shards), corrected = again, corrected_text(asked.text, replaced)
        return self._answer(asked, rows, cursor, spans, corrected, shards)

    def _answer(
        self, asked: Question, rows: list[Row], cursor: str | None, spans: dict[str, Any], corrected: str | None,
        shards: Shards,
    ) -> Answer:  # fmt: skip
        body = b"".join(
            (
                b'{"tweets":[', b",".join([row[2] for row in rows]), b'],"next_cursor":', orjson.dumps(cursor),
                b',"corrected":', orjson.dumps(corrected), b",", shards.members(),
                b',"highlights":' + orjson.dumps(spans) if asked.highlights else b"", b"}",
            )
        )  # fmt: skip
        linked = bool(rows) and asked.order == "latest"
        ends = (rows[0][1], rows[-1][1]) if linked else (0, 0)
        return Answer(body, *ends, shards, len(rows) >= asked.count_max)

    async def _find(
        self, asked: Question, tree: list[Any], reader: list[Any]
    ) -> tuple[list[Row], str | None, dict[str, Any], Shards]:
        """Return (rows, cursor of the next page, highlights by tweet id, shards)."""
        min_id, since_id = _bounds(asked.since_id, asked.min_id)
        begin = [asked.max_id, min_id] if asked.order == "latest" else list(asked.below)
        args = [tree, asked.order, asked.count_max, begin, asked.at_ms, reader, asked.highlights]
        answers, shards = await self._ask_all("search", args)
        rows: list[Row] = [row for answer in answers for row in answer[0] if row[1] > since_id]
        spans = {str(row[1]): places for answer in answers for row, places in zip(answer[0], answer[2], strict=False)}
        if asked.order == "latest":
            rows.sort(key=_by_id, reverse=True)
        else:
            rows.sort(key=_by_score, reverse=True)
        edges = [answer[1] for answer in answers if answer[1]]
        if asked.order == "top":
            page = rows[: asked.count_max]
            cursor = None
            if page and (len(rows) > len(page) or edges):
                cursor = cursor_of_top(asked.at_ms, page[-1][0], page[-1][1])
        else:
            page, edge = cut(rows, edges, asked.count_max, bool(min_id))
            cursor = str(edge) if edge > since_id and not min_id else None
        return (
            page,
            cursor,
            {str(row[1]): spans.get(str(row[1]), []) for row in page} if asked.highlights else {},
            shards,
        )

    async def _find_corrected(
        self, asked: Question, tree: list[Any], reader: list[Any]
    ) -> tuple[list[Row], str | None, dict[str, Any], Shards] | None:
        """As `_find`; None if that can't be asked now, or not at all: several words for one may be too many."""
        try:
            return await self._find(asked, tree, reader)
        except (OverloadedError, MalformedError):
            return None

    async def _corrections(self, tree: list[Any]) -> dict[str, str]:
        """Return what may have been meant; nothing if no shard can tell: what was found is an answer without it."""
        words = words_of(tree)
        if not words:
            return {}
        try:
            answers, _ = await self._ask_all("corrections", [words])
        except OverloadedError:
            return {}
        return choose({word: [answer[word] for answer in answers if word in answer] for word in words})

    # ---- hashtags, accounts, suggestions ----------------------------------------------------------------------

    async def tagged(
        self, tags: list[list[str]], max_id: int, since_id: int, min_id: int, count: int, reader_id: int
    ) -> Answer:
        """Return a page of tweets with any, all and none of some hashtags: a JSON array."""
        min_id, since_id = _bounds(since_id, min_id)

        async def make() -> Answer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("tagged", [*tags, max_id, min_id, count, reader])
            rows = sorted((row for rows, _, _ in answers for row in rows), key=_by_id, reverse=True)
            rows, edge = cut(rows, [edge for _, edge, _ in answers if edge], count, bool(min_id))
            if not min_id:
                rows = [row for row in rows if row[1] > since_id]
            body = b"[" + b",".join([row[2] for row in rows]) + b"]"
            newest, oldest = (rows[0][1], rows[-1][1]) if rows else (edge, edge)
            oldest = oldest if min_id or not edge else min(oldest, edge)
            return Answer(body, newest, oldest, shards, len(rows) >= count)

        key = ("tags", *(tuple(group) for group in tags), max_id, since_id, min_id, count, reader_id)
        return await self.cache.get(key, make)

    async def accounts(self, query: str, words: list[str], count: int, reader_id: int) -> Answer:
        """Search accounts: `{"users": [...], ...}`, the best first."""

        async def make() -> Answer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("search_accounts", [words, count, reader])
            rows = sorted((row for answer in answers for row in answer), key=_by_score, reverse=True)[:count]
            cards = b",".join([row[2] for row in rows])
            return Answer(b'{"users":[%s],%s}' % (cards, shards.members()), 0, 0, shards)

        return await self.cache.get(("accounts", query, count, reader_id), make)

    async def suggest(self, query: str, count: int, reader_id: int) -> Answer:
        """Complete what somebody types: `{"accounts": [...], "hashtags": [{"name", "tweets"}], ...}`."""

        async def make() -> Answer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("suggest", [query, count, reader])
            rows = sorted((row for answer in answers for row in answer[0]), key=_by_score, reverse=True)[:count]
            tweets: dict[str, int] = {}
            for answer in answers:
                for tag, found in answer[1]:
                    tweets[tag] = tweets.get(tag, 0) + found
            best = sorted(tweets.items(), key=lambda each: (-each[1], each[0]))[:count]
            tags = orjson.dumps([{"name": tag, "tweets": found} for tag, found in best])
            cards = b",".join([row[2] for row in rows])
            body = b'{"accounts":[%s],"hashtags":%s,%s}' % (cards, tags, shards.members())
            return Answer(body, 0, 0, shards)

        return await self.cache.get(("suggest", query, count, reader_id), make)

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        """Return the JSON of what rises. Raises OverloadedError."""

        async def make() -> Answer:
            return Answer(await self._cluster.trends(window, lang, kind, count), 0, 0, Shards(1, 1))

        return (await self.cache.get(("trends", window, lang, kind, count), make)).body

    # ---- all shards -------------------------------------------------------------------------------------------

    async def _reader(self, account_id: int) -> list[Any]:
        """Return what the shards have to know of a reader."""
        if not account_id:
            return NOBODY
        bucket = bucket_of_account(account_id)
        return [account_id, *await self._cluster.call(bucket, "reader", [account_id], self._timeout_s)]

    async def _ask_all(self, op: str, args: list[Any]) -> tuple[list[Any], Shards]:
        """Ask every shard; returns the answers that came in time.

        Raises OverloadedError if none came, and what a shard refuses the question itself with.
        """
        count = self._cluster.shard_count
        results = await self._gather(op, args, count)
        answers: list[Any] = []
        late: RookeryError | None = None
        for result in results:
            if isinstance(result, RookeryError) and result.status >= SERVER_FAULT_STATUS:
                late = result
            elif isinstance(result, BaseException):
                raise result
            else:
                answers.append(result)
        if not answers and late is not None:
            raise OverloadedError(f"no shard answers the search: {late.message}", None, late.retry_after_s or 1.0)
        if late is not None:
            self.partial_count += 1
        return answers, Shards(len(answers), count)

    def _gather(self, op: str, args: list[Any], count: int) -> asyncio.Future[list[Any]]:
        """Ask `count` shards; the future has the body or the error of each. Without a task a shard: 20 us less."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        results: list[Any] = [None] * count
        left = count

        def take(shard: int, body: Any, error: Exception | None) -> None:
            nonlocal left
            results[shard] = body if error is None else error
            left -= 1
            if not left and not future.done():
                future.set_result(results)

        for shard in range(count):
            self._cluster.send_shard(shard, op, args, self._timeout_s, partial(take, shard))
        return future


def _bounds(since_id: int, min_id: int) -> tuple[int, int]:
    """Return (min_id, since_id) of a page for which both may be given, as on timelines: of them only one is left.

    The shards know min_id only; of the newest page those up to since_id are left out here. No tweet has the id ID_MAX.
    """
    return (min(max(min_id, since_id), ID_MAX - 1), 0) if min_id else (0, since_id)


def cut(rows: list[Row], edges: list[int], count: int, forward: bool) -> tuple[list[Row], int]:
    """Return a page of rows, which are newest first, and where the next one begins, 0 if there is none.

    edges: how far shards have looked that had more. Beyond the nearest of them there may be others' tweets in between,
    so the page ends there. forward: it is of what is right after a tweet, and grows towards the newest.
    """
    if forward:
        edge = min(edges, default=0)
        rows = [row for row in rows if row[1] <= edge] if edge else rows
        page = rows[-count:]
    else:
        edge = max(edges, default=0)
        rows = [row for row in rows if row[1] >= edge]
        page = rows[:count]
    if len(rows) > len(page):
        edge = page[0 if forward else -1][1]
    return page, edge


def _by_id(row: Row) -> Any:
    return row[1]


def _by_score(row: Row) -> Any:
    return (row[0], row[1])


def cursor_of_top(at_ms: int, score: float, tweet_id: int) -> str:
    """Return where the next page of `top` begins: as of when, below which score and id."""
    return f"{at_ms}_{score.hex()}_{tweet_id}"


def parse_cursor_of_top(cursor: str) -> tuple[int, float, int]:
    """Return (at_ms, score, tweet id) of a cursor. Raises MalformedError."""
    try:
        at_ms, score, tweet_id = cursor.split("_")
        return int(at_ms), float.fromhex(score), int(tweet_id)
    except (ValueError, OverflowError) as error:
        raise MalformedError("cursor must be a `next_cursor` of a page of order=top", "cursor") from error


def require_reader(tree: list[Any], reader_id: int) -> None:
    """Refuse filter:follows from nobody. Raises InvalidError."""
    if not reader_id and has_follows(tree):
        raise InvalidError("filter:follows needs a token: whose follows are meant?", "query")
