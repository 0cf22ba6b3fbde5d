"""Searches that reach a shard: asked of its engine, checked against memory, answered with ready JSON.

    lane request -> arguments checked -> engine -> ids -> visible, ranked (actors/core/postings/found.py) -> reply

    search           [tree, order, count, cursor, at_ms, reader, highlight]     [rows, edge, highlights]
    search_accounts  [words, count, reader]            [[score, account id, JSON], ...]
    suggest          [text, count, reader]             [the same, [[hashtag, tweets], ...], is near]
    tagged           [any, all, none, max_id, min_id, count, reader]             rows
    corrections      [words]                           {word: [tweets, [[word, mistakes, tweets], ...]]}
    trends           []                                a sketch
    search_check     [repair]                          how far index and memory differ

    near   = whether no name here begins so, and these accounts only resemble it: the API worker decides for all shards
    reader = [account id, following, hidden]: 0 and two empty byte strings for nobody (`reader` of features/blocks.py)
    row    = [score, tweet id, JSON]
    edge   = 0 if there is no more; else how far was looked: what is beyond this id is another page's (of `top`: 1)
    cursor = [max_id, min_id] for `latest`; for `top` the tweets that were shown, which aren't wanted again, as int64s

Rules of this file
- Any replica answers: its index may lag, its memory decides.
- No task per request: the engine's answer calls back. IN_FLIGHT_MAX at once, and of the engine no more than
  `search_room.py` lets in: the rest is refused at once.
- A search is worked on no longer than API workers wait, which is `search.timeout_ms` there as here, from its coming on:
  it isn't begun, gone on with or asked of the engine when it is late, and the engine is told until when. A lane request
  has no deadline, and its connection outlives clients: a worker has one for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import structlog

from actors.core.arguments import an_id_or_zero, listed, text, whole
from actors.core.errors import InvalidError, MalformedError, NotFoundError, OverloadedError, RookeryError
from actors.core.ids import ID_MAX
from actors.core.limits import PAGE_COUNT_MAX, SHOWN_COUNT_MAX
from actors.core.postings.found import Found, FoundTweets, Viewer, Weights, account_rows
from actors.core.postings.lists import Steps
from actors.shard.search_pages import SPARE_COUNT, PageSearch, TopPage
from actors.shard.search_postings import Matches
from actors.shard.search_room import EngineRoom
from actors.shard.searching import SearchEngine
from actors.text.query import check_tree
from actors.text.text import words as words_in
from actors.turns import Turns
from cluster.lane.protocol import LaneDisconnected, LaneTimeout

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.shard.commits import Commits
    from configs.sections import SearchSection

IN_FLIGHT_MAX = 256  # searches of one shard under way; an engine carries some 10,000 a second
FIRST_OF_OLD_WORKERS = [0.0, 0]  # of API workers that are restarted after their shards: for a first page
QUERY_BYTES_MAX = 4_096
WORDS_MAX = 50
ACCOUNTS_BYTES_MAX = 8 * 400_000  # ids of accounts in a request: more than anybody follows, blocks and mutes

NOBODY_READS: list[Any] = [0, b"", b""]
NOBODY = Viewer(0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

OPERATIONS = frozenset(("search", "search_accounts", "suggest", "tagged", "corrections", "trends", "search_check"))
Reply = Callable[[Any], None]
T = TypeVar("T")


class SearchCall:
    """A lane request for a search. until_s: on the clock of `time.monotonic`; nobody waits for an answer later."""

    __slots__ = ("_request", "until_s")

    def __init__(self, request: Any, until_s: float) -> None:
        self._request, self.until_s = request, until_s

    def reply(self, body: Any) -> None:
        """As `LaneRequest.reply`."""
        self._request.reply(body)

    def fail(self, error: RookeryError) -> None:
        """As `LaneRequest.fail`."""
        self._request.fail(error)

    @property
    def is_abandoned(self) -> bool:
        """Whether whoever asked has gone."""
        return bool(self._request.is_abandoned)


def make_search(settings: SearchSection, commits: Commits, lookups: Lookups, folder: Path) -> SearchRequests:
    """Return what answers a replica's searches. folder: of its index."""
    found, engine = FoundTweets(lookups), None
    weights = Weights(settings.half_life_hours * 3_600_000.0, settings.freshness_floor, settings.closeness_bonus)
    if settings.enabled:
        engine = SearchEngine(commits, found, folder, settings.commit_ms)
        engine.postings.filled = gc.freeze  # half a million names of lists; a collection that meets them takes 50 ms
    return SearchRequests(engine, found, weights, settings.candidates, settings.timeout_ms / 1000, Turns())


class SearchRequests:
    """Answers the searches of one shard replica."""

    def __init__(
        self, engine: SearchEngine | None, found: FoundTweets, weights: Weights, candidates: int, timeout_s: float,
        turns: Turns,
    ) -> None:  # fmt: skip
        """engine: None where search is switched off; turns: in which searches are begun and go on."""
        self.engine, self.found, self.weights = engine, found, weights
        self.candidates, self.timeout_s = candidates, timeout_s
        self.log = structlog.get_logger()
        self.turns = turns
        self.in_flight = 0
        self.room = EngineRoom()
        self.answered = self.failed = self.late = 0
        self._operations: dict[str, Callable[..., None]] = {
            "search": self._search, "search_accounts": self._search_accounts, "suggest": self._suggest,
            "tagged": self._tagged, "corrections": self._corrections, "trends": self._trends,
            "search_check": self._check,
        }  # fmt: skip
        self._checks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the engine, if there is one."""
        if self.engine is not None:
            self.engine.start()

    async def stop(self) -> None:
        """End the engine."""
        if self.engine is not None:
            await self.engine.stop()

    async def wait_until_up(self, timeout_s: float) -> None:
        """Return once the engine has answered, or after so long."""
        if self.engine is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.came_up.wait(), timeout_s)

    def readiness(self) -> dict[str, Any]:
        """Return what `/readyz` judges by; see `SearchEngine.readiness`."""
        if self.engine is None:
            return {"state": "off", "left": 0, "serves": False, "has_served": False}
        return self.engine.readiness()

    def handle(self, request: Any, op: str, args: list[Any]) -> None:
        """Have it answered when it is its turn. Raises RookeryError for what can be refused at once."""
        if self.engine is None:
            raise NotFoundError("search is switched off on this cluster (search.enabled)")
        if self.in_flight + len(self.turns) >= IN_FLIGHT_MAX:
            raise OverloadedError(f"{IN_FLIGHT_MAX} searches are under way on this shard", retry_after_s=0.5)
        asked = SearchCall(request, time.monotonic() + self.timeout_s)
        self.turns.put(partial(self._guarded, asked, op, partial(self._begin, asked, op, args)))

    def _begin(self, request: SearchCall, op: str, args: list[Any]) -> None:
        self._left_s(request)
        try:
            self._operations[op](request, *args)
        except TypeError as error:
            raise MalformedError(f"arguments of {op} don't fit: {str(error)[:200]}") from error

    def _left_s(self, request: SearchCall) -> float:
        """Return how long somebody waits yet. Raises OverloadedError when nobody does."""
        left_s = request.until_s - time.monotonic()
        if left_s <= 0 or request.is_abandoned:
            self.late += 1
            raise OverloadedError(f"the search took more than {self.timeout_s} s", retry_after_s=1.0)
        return left_s

    def _guarded(self, request: Any, op: str, work: Callable[[], None]) -> None:
        """Do some work on a request when it is its turn; whatever it raises is the answer."""
        try:
            work()
        except RookeryError as error:
            request.fail(error)
        except Exception as error:
            self.log.error("a search failed", op=op, reason=repr(error), exc_info=True)
            request.fail(RookeryError("internal error; the shard's log has the details"))

    def figures(self) -> dict[str, Any]:
        """Return what `status` shows."""
        if self.engine is None:
            return {"state": "off"}
        counted = {
            "in_flight": self.in_flight, "answered": self.answered, "failed": self.failed,
            "dropped_late": self.late + int(self.engine.facts.get("late", 0)), "shed": self.room.refused_count,
        }  # fmt: skip
        return {**self.engine.figures(), **counted}

    # ---- tweets -----------------------------------------------------------------------------------------------

    def _search(
        self, request: Any, tree: Any, order: Any, count: Any, cursor: Any, at_ms: Any, reader: Any, highlight: Any
    ) -> None:
        check_tree(tree)
        whole(count, 1, PAGE_COUNT_MAX, "count")
        viewer = _viewer(reader)
        if order == "latest":
            max_id, min_id = (an_id_or_zero(value, "cursor") for value in _pair(cursor))
            page = PageSearch(self, request, tree, viewer, count, bool(highlight))
            if min_id:
                page.ask_after(max_id, min_id)
            else:
                page.ask_before(max_id)
        elif order == "top":
            whole(at_ms, 0, ID_MAX, "at_ms")
            TopPage(self, request, tree, viewer, count, bool(highlight), at_ms, _shown(cursor)).ask()
        else:
            raise InvalidError('order must be "latest" or "top"', "order")

    def reply_page(self, request: Any, tree: Any, rows: list[Found], edge: int, highlight: bool) -> None:
        """Answer with a page; if wanted, with where the query's words stand in each text."""
        if not highlight or not rows:
            request.reply([rows, edge, []])
            return
        bodies = self.found.texts([tweet_id for _, tweet_id, _ in rows])
        self.ask(request, "highlight", [tree, bodies], lambda body: request.reply([rows, edge, body]))

    def _tagged(
        self, request: Any, any_of: Any, all_of: Any, none_of: Any, max_id: Any, min_id: Any, count: Any, reader: Any
    ) -> None:
        for tags in (any_of, all_of, none_of):
            _texts(tags, "hashtags")
        viewer = _viewer(reader)
        whole(count, 1, PAGE_COUNT_MAX, "count")
        page = PageSearch(self, request, None, viewer, count, False)
        page.tags = [any_of, all_of, none_of]
        if an_id_or_zero(min_id, "min_id"):
            page.ask_after(an_id_or_zero(max_id, "max_id"), min_id)
        else:
            page.ask_before(an_id_or_zero(max_id, "max_id"))

    # ---- accounts, words, trends ------------------------------------------------------------------------------

    def _search_accounts(self, request: Any, words: Any, count: Any, reader: Any) -> None:
        _texts(words, "words")
        viewer = _viewer(reader)
        count = whole(count, 1, PAGE_COUNT_MAX, "count")

        def answer(body: Any) -> None:
            request.reply(self._accounts(body, viewer)[:count])

        self.ask(request, "accounts", [words, count + SPARE_COUNT], answer)

    def _suggest(self, request: Any, query: Any, count: Any, reader: Any) -> None:
        text(query, QUERY_BYTES_MAX, "query")
        viewer = _viewer(reader)
        count = whole(count, 1, PAGE_COUNT_MAX, "count")
        words = [] if query.startswith("#") else words_in(query)[:WORDS_MAX]

        def answer(body: Any) -> None:
            accounts, tags = self._accounts(body[0], viewer)[:count], body[1]
            if accounts or not words:
                request.reply([accounts, tags, False])
            else:  # or none that this reader may see
                resembling = partial(answer_near, tags)
                self.ask(request, "accounts", [words, count + SPARE_COUNT], resembling)

        def answer_near(tags: Any, body: Any) -> None:
            request.reply([self._accounts(body, viewer)[:count], tags, True])

        self.ask(request, "suggest", [query, count + SPARE_COUNT], answer)

    def _accounts(self, hits: list[list[Any]], viewer: Viewer) -> list[list[Any]]:
        scores = dict(hits)
        rows = account_rows(self.found.lookups, list(scores), viewer)
        return [[scores[account_id], account_id, card] for account_id, card in rows]

    def _corrections(self, request: Any, words: Any) -> None:
        self.ask(request, "corrections", [_texts(words, "words")], request.reply)

    def _trends(self, request: Any) -> None:
        self.ask(request, "trends", [], request.reply)

    def _check(self, request: Any, repair: Any) -> None:
        if type(repair) is not bool:
            raise MalformedError("search_check takes true or false: whether to repair")

        async def check() -> None:
            assert self.engine is not None
            try:
                counts = await self.engine.compare()
                if repair:
                    self.engine.repair()
                request.reply(counts)
            except RookeryError as error:
                request.fail(error)
            except (LaneDisconnected, TimeoutError) as error:
                request.fail(OverloadedError(f"the search engine didn't answer: {error}", retry_after_s=1.0))

        task = asyncio.get_running_loop().create_task(check())
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    # ---- posting lists ----------------------------------------------------------------------------------------

    def newest(
        self, page: PageSearch, max_id: int, min_id: int, count: int, then: Callable[[Matches | None], None]
    ) -> None:
        """Ask posting lists, and go on with what they have; None: that is for the engine to answer."""
        assert self.engine is not None

        def take(found: Matches | None) -> None:
            self.answered += found is not None
            then(found)

        self.in_turns(page, "latest", self.engine.postings.newest(page.tree, max_id, min_id, count), take)

    def in_turns(self, page: PageSearch | TopPage, op: str, steps: Steps[T], then: Callable[[T], None]) -> None:
        """Carry out the next step of a search, and each of the others in a turn; then go on with what it returns.

        Raises OverloadedError once nobody waits for it any more.
        """
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
        else:
            self._left_s(page.request)
            self.turns.put(partial(self._guarded, page.request, op, partial(self.in_turns, page, op, steps, then)))
            return
        then(found)

    # ---- the engine -------------------------------------------------------------------------------------------

    def ask(self, request: Any, op: str, args: list[Any], then: Reply) -> None:
        """Ask the engine, and go on with its answer. Raises OverloadedError when it is away or full, or it is late."""
        assert self.engine is not None
        left_s = self._left_s(request)
        units = self.room.take(op, args)

        def done(body: Any, error: Exception | None) -> None:
            self.in_flight -= 1
            self.room.give(units)
            if error is None:
                try:
                    then(body)
                    self.answered += 1
                    return
                except RookeryError as refusal:
                    error = refusal
                except (TypeError, ValueError, LookupError, AttributeError) as failure:  # an answer of another shape
                    self.log.error("an answer of the search engine can't be used", op=op, reason=repr(failure))
                    error = RookeryError(f"the search engine's answer to {op} can't be used")
            self.failed += 1
            request.fail(_refusal(error))

        try:
            self.engine.send(op, args, left_s, done)
        except BaseException:
            self.room.give(units)
            raise
        self.in_flight += 1


def _refusal(error: Exception) -> RookeryError:
    if isinstance(error, RookeryError) and not isinstance(error, LaneTimeout):
        return error
    return OverloadedError(f"the search engine didn't answer: {error}", retry_after_s=1.0)


def _pair(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedError("a cursor is a list of two")
    return value


def _shown(cursor: Any) -> frozenset[int]:
    """Return the tweets that a cursor of `top` names. Raises MalformedError."""
    if cursor == FIRST_OF_OLD_WORKERS:
        return frozenset()
    if type(cursor) is not bytes or len(cursor) % 8 or len(cursor) > 8 * SHOWN_COUNT_MAX:
        raise MalformedError(f"a cursor of top is int64 bytes of at most {SHOWN_COUNT_MAX} tweets")
    return frozenset(np.frombuffer(cursor, dtype="<i8").tolist())


def _viewer(reader: Any) -> Viewer:
    if not isinstance(reader, list) or len(reader) != 3:
        raise MalformedError("a reader is [account id, following, hidden]")
    if reader == NOBODY_READS:
        return NOBODY
    account_id, *lists = reader
    an_id_or_zero(account_id, "reader")
    for packed in lists:
        if type(packed) is not bytes or len(packed) % 8 or len(packed) > ACCOUNTS_BYTES_MAX:
            raise MalformedError("following and hidden are int64 bytes")
    following, hidden = (np.frombuffer(packed, dtype="<i8").astype(np.int64) for packed in lists)
    return Viewer(account_id, following, hidden)


def _texts(values: Any, field: str) -> list[str]:
    found = listed(values, WORDS_MAX, field)
    for each in found:
        text(each, QUERY_BYTES_MAX, field)
    return found
