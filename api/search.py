"""Scatter-gather: a search goes to every shard at once; what comes back in time is merged.

    parse -> tree -> names and reader resolved -> all shards, each with its deadline -> merge -> JSON
                                                     | too little found
                                                     +-> corrections of all shards -> the corrected search

Rules of this file
- A shard that doesn't answer in time, or fails, is left out, and the answer says so; only if none answers it is a 503.
  The reader's shard, and those of names in the query, must answer: without them nobody knows what may be shown.
- Tweets come as ready JSON, which is joined and never parsed.
- Answers are repeated for `search_cache_s` to whoever asks the same, each reader apart (`search_cache.py`); all are
  dropped when a shard says that a tweet was deleted or somebody blocked.
- There are two ways to search tweets, and both are made of the same steps: `tweets`, for coroutines, and `ask_tweets`
  with a callback, for `search_exchange.py`. A `TweetSearch` is what they have in common.

Costs, of this worker's time: see `search_exchange.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from actors.core.errors import MalformedError, OverloadedError, RookeryError
from actors.core.ids import ID_MAX, bucket_of_account
from actors.search.corrections import choose
from actors.search.query import corrected_text, names_of, replace_words, resolve, words_of
from api.entities import resolve_names
from api.ports import Cluster
from api.search_cache import Answer, SearchCache, Shards, Told, answer_of, tell
from cluster.turns import Turns

TOO_FEW_COUNT = 3  # found tweets below which a typo is suspected
SERVER_FAULT_STATUS = 500  # and above: the shard's fault, not the question's
NOBODY: list[Any] = [0, b"", b""]
Row = list[Any]  # [score, id, JSON]
_by_id, _by_score = itemgetter(1), itemgetter(0, 1)


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


class Found(NamedTuple):
    """A page of tweets, merged."""

    rows: list[Row]
    cursor: str | None  # of the next page
    spans: dict[str, Any]  # highlights by tweet id
    shards: Shards


class Search:
    """The searches of one API worker."""

    def __init__(self, cluster: Cluster, timeout_s: float, cache_s: float, clock: Callable[[], float]) -> None:
        """timeout_s: how long a shard is waited for."""
        self._cluster = cluster
        self._timeout_s = timeout_s
        self.cache = SearchCache(cache_s, clock)
        self.turns = Turns()  # searches are begun and ended in; home reads go first
        self.partial_count = 0
        self._correcting: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly

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
        answer: Answer = await answer_of(lambda done: TweetSearch(self, asked, tree, done).ask(reader))
        return answer

    def ask_tweets(self, asked: Question, tree: list[Any], done: Told) -> None:
        """As `tweets`, with a callback: done(answer, None) or done(None, error) is called once, at once or later.

        For trees without names, and requests that carry no positions (`positions.py`).
        """
        self.cache.ask(asked, partial(self._begin, asked, tree), done)

    def _begin(self, asked: Question, tree: list[Any], done: Told) -> None:
        search = TweetSearch(self, asked, tree, done)
        if asked.reader:
            bucket = bucket_of_account(asked.reader)
            self._cluster.send(bucket, "reader", [asked.reader], self._timeout_s, search.take_reader)
        else:
            search.ask(NOBODY)

    def correct(self, search: TweetSearch, found: Found) -> None:
        """Look for what may have been meant, and end the search with what is more: found, or that.

        In a task: it is rare, and takes two rounds.
        """
        work = tell(self._corrected(search.asked, search.tree, found, search.reader), search.done)
        task = asyncio.get_running_loop().create_task(work, context=search.context)
        self._correcting.add(task)
        task.add_done_callback(self._correcting.discard)

    async def _corrected(self, asked: Question, tree: list[Any], found: Found, reader: list[Any]) -> Answer:
        replaced = await self._corrections(tree)
        again = await self._find_corrected(asked, replace_words(tree, replaced), reader) if replaced else None
        if again is not None and len(again.rows) > len(found.rows):
            return answer_with(asked, again, corrected_text(asked.text, replaced))
        return answer_with(asked, found)

    async def _find_corrected(self, asked: Question, tree: list[Any], reader: list[Any]) -> Found | None:
        """Return what a corrected search finds; None if that can't be asked now, or not at all: several words for one
        may be too many."""
        try:
            return merged(asked, *await self._ask_all("search", question(asked, tree, reader)))
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
        outcome: tuple[list[Any], Shards] = await answer_of(partial(self.ask_all, op, args))
        return outcome

    def ask_all(self, op: str, args: list[Any], done: Told) -> None:
        """As `_ask_all`, with a callback: done((answers, shards), None) or done(None, error) is called once, later.

        Without a task a shard, which would cost 20 us more. Raises OverloadedError, with nothing asked, if nobody knows
        how many shards there are.
        """
        count = left = self._cluster.shard_count
        results: list[Any] = [None] * count

        def take(shard: int, body: Any, error: Exception | None) -> None:
            nonlocal left
            results[shard] = body if error is None else error
            left -= 1
            if left:
                return
            self.turns.put(end)

        def end() -> None:
            try:
                outcome = self._outcome(results)
            except Exception as failure:  # noqa: BLE001 - whatever a shard has failed with
                done(None, failure)
            else:
                done(outcome, None)

        for shard in range(count):
            self._cluster.send_shard(shard, op, args, self._timeout_s, partial(take, shard))

    def _outcome(self, results: list[Any]) -> tuple[list[Any], Shards]:
        """Return the answers among bodies and errors of all shards. Raises as `_ask_all`."""
        answers: list[Any] = []
        late: RookeryError | None = None
        for result in results:
            if not isinstance(result, Exception):
                answers.append(result)
            elif isinstance(result, RookeryError) and result.status >= SERVER_FAULT_STATUS:
                late = result
            else:
                raise result
        if not answers and late is not None:
            raise OverloadedError(f"no shard answers the search: {late.message}", None, late.retry_after_s or 1.0)
        if late is not None:
            self.partial_count += 1
        return answers, Shards(len(answers), len(results))


class TweetSearch:
    """One search for tweets under way, which ends with one call of `done`.

    context: the context variables of whoever began it. Replies come in another context, and what is asked then must
    see the same positions.
    """

    __slots__ = ("_search", "asked", "context", "done", "reader", "tree")

    def __init__(self, search: Search, asked: Question, tree: list[Any], done: Told) -> None:
        """tree: of asked.text, without names."""
        self._search = search
        self.asked, self.tree, self.done = asked, tree, done
        self.context = copy_context()
        self.reader: list[Any] = NOBODY  # what shards have to know of whoever reads

    def take_reader(self, reply: Any, error: Exception | None) -> None:
        """Go on with what the reader's shard said of him."""
        if error is None:
            try:
                reader = [self.asked.reader, *reply]
            except TypeError as failure:
                error = failure
            else:
                self.context.run(self.ask, reader)
                return
        self.done(None, error)

    def ask(self, reader: list[Any]) -> None:
        """Ask all shards, for that reader."""
        self.reader = reader
        try:
            self._search.ask_all("search", question(self.asked, self.tree, reader), self._take)
        except RookeryError as error:
            self.done(None, error)

    def _take(self, outcome: Any, error: Exception | None) -> None:
        if error is not None:
            self.done(None, error)
            return
        try:
            found = merged(self.asked, *outcome)
            answer = None if is_suspect(self.asked, found) else answer_with(self.asked, found)
        except Exception as failure:  # noqa: BLE001 - a shard has answered something else than rows
            self.done(None, failure)
            return
        if answer is None:
            self._search.correct(self, found)
        else:
            self.done(answer, None)


def question(asked: Question, tree: list[Any], reader: list[Any]) -> list[Any]:
    """Return the arguments of the lane's `search`."""
    window = [asked.max_id, _bounds(asked.since_id, asked.min_id)[0]]
    begin: list[Any] = window if asked.order == "latest" else list(asked.below)
    return [tree, asked.order, asked.count_max, begin, asked.at_ms, reader, asked.highlights]


def merged(asked: Question, answers: list[Any], shards: Shards) -> Found:
    """Return the page that the answers of all shards make."""
    min_id, since_id = _bounds(asked.since_id, asked.min_id)
    rows: list[Row] = []
    for answer in answers:
        rows += answer[0]
    if since_id:
        rows = [row for row in rows if row[1] > since_id]
    edges = [answer[1] for answer in answers if answer[1]]
    cursor = None
    if asked.order == "top":
        rows.sort(key=_by_score, reverse=True)
        page = rows[: asked.count_max]
        if page and (len(rows) > len(page) or edges):
            cursor = cursor_of_top(asked.at_ms, page[-1][0], page[-1][1])
    else:
        rows.sort(key=_by_id, reverse=True)
        page, edge = cut(rows, edges, asked.count_max, bool(min_id))
        if edge > since_id and not min_id:
            cursor = str(edge)
    spans: dict[str, Any] = {}
    if asked.highlights:
        places = {row[1]: place for answer in answers for row, place in zip(answer[0], answer[2], strict=False)}
        spans = {str(row[1]): places.get(row[1], []) for row in page}
    return Found(page, cursor, spans, shards)


def is_suspect(asked: Question, found: Found) -> bool:
    """Return whether so little was found that something may be mistyped. Of a full page there can't be more."""
    return (
        len(found.rows) < min(TOO_FEW_COUNT, asked.count_max)
        and not asked.exact
        and not (asked.max_id or asked.since_id or asked.min_id or asked.below[1])  # only on the first page
    )


def answer_with(asked: Question, found: Found, corrected: str | None = None) -> Answer:
    """Return the answer to a search. corrected: the query that it is of, if not of the one that was asked."""
    rows, cursor, spans, shards = found
    tail = b'],"next_cursor":%b,"corrected":%b,%b%b}' % (
        b"null" if cursor is None else b'"%b"' % cursor.encode(),
        b"null" if corrected is None else orjson.dumps(corrected),
        shards.members(),
        b',"highlights":' + orjson.dumps(spans) if asked.highlights else b"",
    )
    body = b'{"tweets":[' + b",".join([row[2] for row in rows]) + tail
    newest_id, oldest_id = (rows[0][1], rows[-1][1]) if rows and asked.order == "latest" else (0, 0)
    return Answer(body, newest_id, oldest_id, shards, len(rows) >= asked.count_max)


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
        rows = rows[: count + 1]  # the rest matters only for whether there is one
        if rows and rows[-1][1] < edge:
            rows = [row for row in rows if row[1] >= edge]
        page = rows[:count]
    if len(rows) > len(page):
        edge = page[0 if forward else -1][1]
    return page, edge


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
