"""Scatter-gather: a search goes to every shard at once; what comes back in time is merged.

    parse -> tree -> names and reader resolved -> all shards, each with its deadline -> merge -> JSON
                                                     | too little found
                                                     +-> corrections of all shards -> the corrected search

Rules of this file
- A shard that doesn't answer in time, or fails, is left out, and the answer says so; only if none answers it is a 503.
  One that fails when it is asked on counts as left out, though its first tweets are in the answer.
  The reader's shard, and those of names in the query, must answer: without them nobody knows what may be shown.
- What is done because nobody has something (a query is corrected, accounts are suggested that only resemble it) is
  decided once, for all shards, and only if all have answered: the one that is missing may have it.
- Tweets come as ready JSON, which is joined and never parsed.
- Answers are repeated for `search_cache_s` to whoever asks the same, each reader apart (`search/cache.py`); all are
  dropped when a shard says that a tweet was deleted or somebody blocked.
- There are two ways to search tweets, and both are made of the same steps: `tweets`, for coroutines, and `ask_tweets`
  with a callback, for `search/fast_read.py`. A `TweetSearch` is what they have in common.

Costs, of this worker's time: see `search/fast_read.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

import orjson

from actors.core.errors import MalformedError, OverloadedError, RookeryError
from actors.core.features.indexing import INDEXING_FROM_LEVEL
from actors.core.ids import bucket_of_account
from actors.text.corrections import choose
from actors.text.query import corrected_text, names_of, replace_words, resolve, wants_reposts, words_of
from actors.turns import Turns
from api.ports import Cluster
from api.search.cache import SearchAnswer, SearchCache, ShardsHeard, Told, answer_of, tell
from api.search.pages import (
    Found,
    Gathering,
    Question,
    answer_with,
    bounds,
    by_id,
    by_score,
    cut,
    is_suspect,
    suggested_accounts,
)
from api.search.queue import SearchQueue
from api.text.entities import resolve_names

SERVER_FAULT_STATUS = 500  # and above: the shard's fault, not the question's
CORRECTED_WORDS_MAX = 8  # of a query; a shard compares each with all that it knows: 10 ms
NOBODY: list[Any] = [0, b"", b""]


class Search:
    """The searches of one API worker."""

    def __init__(
        self, cluster: Cluster, timeout_s: float, cache_s: float, clock: Callable[[], float], beside_home_reads: int = 0
    ) -> None:
        """timeout_s: how long a shard is waited for; beside_home_reads: see `SearchQueue`."""
        self._cluster = cluster
        self._timeout_s = timeout_s
        self.cache = SearchCache(cache_s, clock)
        self.turns = Turns()  # searches are begun and ended in; home reads go first
        self.queue = SearchQueue(self.turns, beside_home_reads, time.perf_counter, _later)
        self.partial_count = 0
        self._correcting: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly

    def figures(self) -> dict[str, float]:
        """Return this worker's gauges."""
        return {
            "search_cache_hits": self.cache.hit_count,
            "search_cache_misses": self.cache.miss_count,
            "search_partial": self.partial_count,
            "search_waiting": self.queue.waiting_count,
            "search_refused": self.queue.refused_count,
        }

    # ---- tweets -----------------------------------------------------------------------------------------------

    async def tweets(self, asked: Question, tree: list[Any]) -> SearchAnswer:
        """Search tweets. tree: of asked.text. Raises RookeryError; OverloadedError if no shard answers."""
        return await self.cache.get(asked, lambda: self._tweets(asked, tree))

    async def _tweets(self, asked: Question, tree: list[Any]) -> SearchAnswer:
        names = names_of(tree)
        if names:
            found = await resolve_names(self._cluster, sorted(names), self._timeout_s)
            tree = resolve(tree, {name: found.get(name.lower()) for name in names})
        reader = await self._reader(asked.reader)
        if wants_reposts(tree):
            return await self._reposts(asked, tree, reader)
        answer: SearchAnswer = await answer_of(lambda done: TweetSearch(self, asked, tree, done).ask(reader))
        return answer

    async def _reposts(self, asked: Question, tree: list[Any], reader: list[Any]) -> SearchAnswer:
        """As `_tweets` where reposts are asked for, which whoever wrote the originals may want to be in no search."""
        found: Found = await answer_of(lambda done: TweetSearch(self, asked, tree, done, False).ask(reader))
        found = await self._indexed(found, asked.reader)
        if self.may_correct() and is_suspect(asked, found):
            return await self._corrected(asked, tree, found, reader)
        return answer_with(asked, found)

    async def _indexed(self, found: Found, reader_id: int) -> Found:
        """Return what was found without reposts of what others want to be in no search, or whose shard is away."""
        originals = {row[1]: author for row in found.rows if (author := _author_of_original(row[2])) != reader_id}
        authors = sorted(set(originals.values()) - {0})
        if not authors or self._cluster.level < INDEXING_FROM_LEVEL:
            return found
        answers, _ = await self._ask_all("indexed", [authors])
        hidden = set(authors).difference(*answers)
        return found._replace(rows=[row for row in found.rows if originals.get(row[1]) not in hidden])

    def ask_tweets(self, asked: Question, tree: list[Any], done: Told) -> None:
        """As `tweets`, with a callback: done(answer, None) or done(None, error) is called once, at once or later.

        For trees without names that ask for no reposts, and requests that carry no positions (`positions.py`).
        """
        self.cache.ask(asked, partial(self._begin, asked, tree), done)

    def _begin(self, asked: Question, tree: list[Any], done: Told) -> None:
        search = TweetSearch(self, asked, tree, done)
        if asked.reader:
            bucket = bucket_of_account(asked.reader)
            self._cluster.send(bucket, "reader", [asked.reader], self._timeout_s, search.take_reader)
        else:
            search.ask(NOBODY)

    def may_correct(self) -> bool:
        """Whether one more search may look for what was meant: they have a quarter of the places for reads."""
        return self.queue.has_places(4, len(self._correcting))

    def correct(self, search: TweetSearch, found: Found) -> None:
        """Look for what may have been meant, and end the search with what is more: found, or that.

        In a task: it is rare, and takes two rounds.
        """
        work = tell(self._corrected(search.asked, search.tree, found, search.reader), search.done)
        task = asyncio.get_running_loop().create_task(work, context=search.context)
        self._correcting.add(task)
        task.add_done_callback(self._correcting.discard)

    async def _corrected(self, asked: Question, tree: list[Any], found: Found, reader: list[Any]) -> SearchAnswer:
        replaced = await self._corrections(tree)
        again = await self._find_corrected(asked, replace_words(tree, replaced), reader) if replaced else None
        if again is not None and len(again.rows) > len(found.rows):
            return answer_with(asked, again, corrected_text(asked.text, replaced))
        return answer_with(asked, found)

    async def _find_corrected(self, asked: Question, tree: list[Any], reader: list[Any]) -> Found | None:
        """Return what a corrected search finds; None if that can't be asked now, or not at all: several words for one
        may be too many."""
        try:
            found: Found = await answer_of(lambda done: TweetSearch(self, asked, tree, done, False).ask(reader))
            return await self._indexed(found, asked.reader) if wants_reposts(tree) else found
        except (OverloadedError, MalformedError):
            return None

    async def _corrections(self, tree: list[Any]) -> dict[str, str]:
        """Return what may have been meant; nothing unless all shards can tell: what was found is an answer without."""
        words = words_of(tree)[:CORRECTED_WORDS_MAX]
        if not words:
            return {}
        try:
            answers, shards = await self._ask_all("corrections", [words])
        except OverloadedError:
            return {}
        if shards.is_partial:
            return {}
        return choose({word: [answer[word] for answer in answers if word in answer] for word in words})

    # ---- hashtags, accounts, suggestions ----------------------------------------------------------------------

    async def tagged(
        self, tags: list[list[str]], max_id: int, since_id: int, min_id: int, count: int, reader_id: int
    ) -> SearchAnswer:
        """Return a page of tweets with any, all and none of some hashtags: a JSON array."""
        min_id, since_id = bounds(since_id, min_id)

        async def make() -> SearchAnswer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("tagged", [*tags, max_id, min_id, count, reader])
            rows = sorted((row for rows, _, _ in answers for row in rows), key=by_id, reverse=True)
            rows, edge = cut(rows, [edge for _, edge, _ in answers if edge], count, bool(min_id))
            if not min_id:
                rows = [row for row in rows if row[1] > since_id]
            body = b"[" + b",".join([row[2] for row in rows]) + b"]"
            newest, oldest = (rows[0][1], rows[-1][1]) if rows else (edge, edge)
            oldest = oldest if min_id or not edge else min(oldest, edge)
            return SearchAnswer(body, newest, oldest, shards, len(rows) >= count)

        if reader_id:  # who has just posted looks for it
            return await make()
        key = ("tags", *(tuple(group) for group in tags), max_id, since_id, min_id, count, reader_id)
        return await self.cache.get(key, make)

    async def accounts(self, query: str, words: list[str], count: int, reader_id: int) -> SearchAnswer:
        """Search accounts: `{"users": [...], ...}`, the best first."""

        async def make() -> SearchAnswer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("search_accounts", [words, count, reader])
            rows = sorted((row for answer in answers for row in answer), key=by_score, reverse=True)[:count]
            cards = b",".join([row[2] for row in rows])
            return SearchAnswer(b'{"users":[%s],%s}' % (cards, shards.members()), 0, 0, shards)

        return await self.cache.get(("accounts", query, count, reader_id), make)

    async def suggest(self, query: str, count: int, reader_id: int) -> SearchAnswer:
        """Complete what somebody types: `{"accounts": [...], "hashtags": [{"name", "tweets"}], ...}`."""

        async def make() -> SearchAnswer:
            reader = await self._reader(reader_id)
            answers, shards = await self._ask_all("suggest", [query, count, reader])
            rows = sorted(suggested_accounts(answers, shards), key=by_score, reverse=True)[:count]
            tweets: dict[str, int] = {}
            for answer in answers:
                for tag, found in answer[1]:
                    tweets[tag] = tweets.get(tag, 0) + found
            best = sorted(tweets.items(), key=lambda each: (-each[1], each[0]))[:count]
            tags = orjson.dumps([{"name": tag, "tweets": found} for tag, found in best])
            cards = b",".join([row[2] for row in rows])
            body = b'{"accounts":[%s],"hashtags":%s,%s}' % (cards, tags, shards.members())
            return SearchAnswer(body, 0, 0, shards)

        return await self.cache.get(("suggest", query, count, reader_id), make)

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        """Return the JSON of what rises. Raises OverloadedError."""

        async def make() -> SearchAnswer:
            return SearchAnswer(await self._cluster.trends(window, lang, kind, count), 0, 0, ShardsHeard(1, 1))

        return (await self.cache.get(("trends", window, lang, kind, count), make)).body

    # ---- all shards -------------------------------------------------------------------------------------------

    async def _reader(self, account_id: int) -> list[Any]:
        """Return what the shards have to know of a reader."""
        if not account_id:
            return NOBODY
        bucket = bucket_of_account(account_id)
        return [account_id, *await self._cluster.call(bucket, "reader", [account_id], self._timeout_s)]

    async def _ask_all(self, op: str, args: list[Any]) -> tuple[list[Any], ShardsHeard]:
        """Ask every shard; returns the answers that came in time.

        Raises OverloadedError if none came, and what a shard refuses the question itself with.
        """
        outcome: tuple[list[Any], ShardsHeard] = await answer_of(partial(self.ask_all, op, args))
        return outcome

    def ask_all(self, op: str, args: list[Any], done: Told) -> None:
        """As `_ask_all`, with a callback: done((answers, shards), None) or done(None, error) is called once, later.

        Raises OverloadedError, with nothing asked, if nobody knows how many shards there are.
        """

        def end(results: list[Any]) -> None:
            try:
                self.judge(results)
            except Exception as failure:  # noqa: BLE001 - whatever a shard has failed with
                done(None, failure)
            else:
                answers = [result for result in results if not isinstance(result, Exception)]
                done((answers, ShardsHeard(len(answers), len(results))), None)

        self.ask_each(op, [(shard, args) for shard in range(self.shard_count)], end)

    @property
    def shard_count(self) -> int:
        """Shards of the cluster. Raises OverloadedError if nobody knows."""
        return self._cluster.shard_count

    def ask_each(self, op: str, asked: Sequence[tuple[int, list[Any]]], done: Callable[[list[Any]], None]) -> None:
        """Ask some shards, each with arguments; done(results) is called once, later, when it is its turn.

        results: bodies and errors, in that order. Without a task a shard, which would cost 20 us more.
        """
        left = len(asked)
        results: list[Any] = [None] * left

        def take(i: int, body: Any, error: Exception | None) -> None:
            nonlocal left
            results[i] = body if error is None else error
            left -= 1
            if not left:
                self.turns.put(partial(done, results))

        for i, (shard, args) in enumerate(asked):
            self._cluster.send_shard(shard, op, args, self._timeout_s, partial(take, i))

    def judge(self, results: list[Any]) -> None:
        """Raise as `_ask_all` if what all shards have said, bodies and errors, makes no answer."""
        late = fault_of(results)
        if late is not None and all(isinstance(result, Exception) for result in results):
            raise OverloadedError(f"no shard answers the search: {late.message}", None, late.retry_after_s or 1.0)
        self.partial_count += late is not None


def _author_of_original(shown: bytes) -> int:
    """Return who wrote what a repost reposts, by its JSON; 0 of what is none."""
    if b'"repost_of":' not in shown:
        return 0
    original = orjson.loads(shown).get("repost_of")
    return 0 if original is None else int(original["user_id"])


def _later(seconds: float, work: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, work)


def fault_of(results: list[Any]) -> RookeryError | None:
    """Return with what a shard has failed, if one has. Raises what a shard refuses the question itself with."""
    fault: RookeryError | None = None
    for result in results:
        if isinstance(result, Exception):
            if not (isinstance(result, RookeryError) and result.status >= SERVER_FAULT_STATUS):
                raise result
            fault = result
    return fault


class TweetSearch:
    """One search for tweets under way, which ends with one call of `done`.

    context: the context variables of whoever began it. Replies come in another context, and what is asked then must
    see the same positions.
    """

    __slots__ = ("_corrects", "_gathering", "_search", "_shards", "asked", "context", "done", "reader", "tree")

    def __init__(self, search: Search, asked: Question, tree: list[Any], done: Told, corrects: bool = True) -> None:
        """tree: of asked.text, without names. corrects: what finds too little is corrected, and `done` gets an Answer;
        else it gets what was Found."""
        self._search, self._corrects = search, corrects
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
        """Ask all shards, for that reader, as soon as it may be done."""
        self.reader = reader
        try:
            self._search.queue.enter(self._ask)
        except RookeryError as error:
            self.done(None, error)

    def _ask(self) -> None:
        try:
            self._gathering = Gathering(self.asked, self._search.shard_count)
            args = self._gathering.question(self.tree, self.reader)
            shards = range(self._gathering.shard_count)
            self._search.ask_each("search", [(shard, args) for shard in shards], self._take)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next must have its turn
            self._tell(None, error)

    def _take(self, results: list[Any]) -> None:
        """Go on with what all shards have said."""
        try:
            self._search.judge(results)
            answered = self._gather(enumerate(results))
            self._shards = ShardsHeard(answered, len(results))
            ends = self._gathering.open_ends()
            if ends:
                self.context.run(self._ask_on, ends)
        except Exception as failure:  # noqa: BLE001 - a shard has failed, or answered something else than rows
            self._tell(None, failure)
            return
        if not ends:
            self._end()

    def _ask_on(self, ends: list[tuple[int, Any, int]]) -> None:
        """Ask shards for what they have beyond their edges."""
        asked = [
            (shard, self._gathering.question_beyond(self.tree, self.reader, shard, edge, count))
            for shard, edge, count in ends
        ]
        self._search.ask_each("search", asked, partial(self._take_on, [shard for shard, _ in asked]))

    def _take_on(self, shards: list[int], results: list[Any]) -> None:
        """Go on with that. The page ends at the edge of one that doesn't answer now, and it counts as missing."""
        try:
            if fault_of(results) is not None:
                self._search.partial_count += not self._shards.is_partial  # else this search is counted already
            answered, of = self._shards
            failed = len(results) - self._gather(zip(shards, results, strict=True))
            self._shards = ShardsHeard(answered - failed, of)
        except Exception as failure:  # noqa: BLE001 - as in _take
            self._tell(None, failure)
            return
        self._end()

    def _gather(self, results: Iterable[tuple[int, Any]]) -> int:
        """Take in the answers among some results; return how many they are."""
        answered = 0
        for shard, result in results:
            if not isinstance(result, Exception):
                self._gathering.take(shard, result)
                answered += 1
        return answered

    def _end(self) -> None:
        try:
            found = self._gathering.found(self._shards)
            if not self._corrects:
                answer: Any = found
            else:
                is_corrected = self._search.may_correct() and is_suspect(self.asked, found)
                answer = None if is_corrected else answer_with(self.asked, found)
        except Exception as failure:  # noqa: BLE001 - as in _take
            self._tell(None, failure)
            return
        if answer is None:
            self._search.queue.leave()
            self._search.correct(self, found)
        else:
            self._tell(answer, None)

    def _tell(self, answer: Any, error: Exception | None) -> None:
        """End it."""
        self._search.queue.leave()
        self.done(answer, error)
