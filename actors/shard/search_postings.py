"""The posting lists of a replica: filled from its tweets, kept up to date with what is fed, asked by searches.

    tweets of memory, ids ascending --> rows --> engine ("terms": words, language, stems) --> posting lists
    every feed of new tweets        --> its answer brings their terms                     --> posting lists

The shard's process has the lists, so that most searches need no engine and find a tweet before it is indexed; taking a
text apart is the engine's work, as that takes longer than everything else together.

Rules of this file
- They answer when they have every tweet that may be found, or nothing: while they are filled, the engine answers.
- Derived, never saved. A tweet that comes long behind newer ones (its account has moved here) makes them begin anew.
- What has gone stays in the lists until a quarter has; memory decides what may be seen.
- What was edited stays as it was, and lies in lists beside as it is: a search that finds such a tweet in either is the
  engine's, whose index has it as it is.

Costs: 60 us of the engine's time a tweet to be filled, at its lowest priority; of the shard's, 8 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from actors.core.errors import MalformedError
from actors.core.flags import FLAG_REPOST
from actors.core.ids import ID_MAX
from actors.core.postings.found import HIDDEN_FLAGS, Viewer, Weights
from actors.core.postings.kernels import LANGUAGES_MAX, ranked
from actors.core.postings.lists import LATE_MAX, Asked, Document, Lists, Postings, Steps
from actors.search.documents import FOUND
from actors.search.terms import PostingsQuery, query_of
from actors.shard.search_rows import SearchRows
from actors.text import text
from cluster.lane.protocol import LaneDisconnected

Ints = npt.NDArray[np.int64]
Ask = Callable[[str, list[Any]], Awaitable[Any]]
FILL_ROWS = 200  # whose terms are asked for at a time: 10 ms of the engine's
FILL_BYTES = 1 << 20  # of their bodies: a lane's frame takes 8 MiB
APPEND_ROWS = 50  # added in one turn of the loop: 0.3 ms
ROWS_PER_TURN = 50
BUFFER_MAX = 100_000  # tweets that come while the lists are filled and are kept: 50 MB
AFTER_MAX = 2_000  # tweets newer than a given one among which the oldest are looked for
RETRY_S = 5.0  # after a defect
GONE_MIN, GONE_SHARE = 10_000, 0.25  # that have gone before the lists are made anew
EDITED_MAX = 3_000  # that were edited, likewise: a list beside has no order, and room for LATE_MAX
_NO_WORDS: Lists = np.empty((0, LANGUAGES_MAX), dtype=np.int32)
_NO_TERMS: Ints = np.empty(0, dtype=np.int64)
_by_id = attrgetter("tweet_id")


class Matches(NamedTuple):
    """Tweets that match, in order. arrivals: where they lie (`FoundTweets.rows`); scores: if by these."""

    ids: list[int]
    arrivals: list[int] | None
    scores: list[float] | None = None


NOTHING = Matches([], [])


class TweetPostings:
    """Posting lists of one replica."""

    def __init__(self, rows: SearchRows, committed: Callable[[int], Awaitable[None]]) -> None:
        """committed(position): waits until everything up to it is committed."""
        self.state, self.rows, self._committed = rows.state, rows, committed
        self.log = structlog.get_logger()
        self.lists: Postings | None = None  # that answer
        self.filled: Callable[[], None] | None = None  # is called whenever they are ready
        self.fill_count = 0
        self.answered_count = 0
        self._target: Postings | None = None  # that are being filled
        self._buffer: list[Document] = []  # that have come meanwhile
        self._edits: list[Document] = []  # what tweets say that were edited meanwhile
        self._wanted = asyncio.Event()
        self._unreadable: set[int] = set()  # tweets that the engine can't take apart: nothing is missing without them

    # ---- filling ----------------------------------------------------------------------------------------------

    def refill(self) -> None:
        """Have everything added that is missing; lists that are being filled aren't ready before."""
        self._wanted.set()

    def drop(self) -> None:
        """Answer nothing any more: there may be tweets that the lists lack. `refill` ends it."""
        self.lists = self._target = None

    async def run(self, ask: Ask) -> None:
        """Fill whenever it is wanted, until the engine ends. ask(op, args): the engine."""
        while True:
            await self._wanted.wait()
            try:
                await self._fill(ask)
            except (LaneDisconnected, OSError, TimeoutError) as error:
                self._wanted.set()  # for the next engine
                self.log.warning("filling the posting lists was interrupted", reason=str(error)[:300])
                return
            except Exception as error:
                self.drop()
                self.log.error("filling the posting lists failed; it is tried again", reason=repr(error), exc_info=True)
                await asyncio.sleep(RETRY_S)
                self._wanted.set()
            finally:
                self._target, self._buffer, self._edits = None, [], []

    async def _fill(self, ask: Ask) -> None:
        """Fill lists as long as it is wanted, and have them answer; not if they are dropped meanwhile."""
        self.fill_count += 1
        begin = asyncio.get_running_loop().time()
        lists = self.lists
        target = Postings() if lists is None or self._is_worn(lists) else lists
        self._edits = []
        while self._wanted.is_set():
            # What has come is in the state, what comes from here on in the buffer: nothing may wait between the two.
            self._wanted.clear()
            self._target, self._buffer = target, []
            ids = self._searchable()
            missing = await asyncio.to_thread(target.missing, ids)
            late = missing[missing <= target.last_id]
            if self._target is target and not self._unreadable.issuperset(late.tolist()):
                if self.lists is target:
                    self.lists = None
                if target.lateness(int(late[0])) + len(late) > LATE_MAX:
                    target, missing = Postings(), ids
                    self._target = target
            ids, done = missing, 0
            while done < len(ids) and self._target is target:
                done += await self._fill_some(ask, target, ids[done:])
            await self._take_buffer(target)
            if self._target is not target:
                return
        edits, self._edits = self._edits, []
        if not self._note_edits(target, edits):  # some may have been read before they were edited
            self.drop()
            self._wanted.set()
            return
        self._target, self.lists = None, target
        if self.filled is not None:
            self.filled()
        seconds = round(asyncio.get_running_loop().time() - begin, 3)
        self.log.info("posting lists are ready", tweets=target.count, terms=target.term_count, seconds=seconds)

    async def missing_count(self) -> int:
        """Return how many tweets may be found that the lists lack; 0 while there are none, as the engine answers."""
        return 0 if self.lists is None else len(await asyncio.to_thread(self.lists.missing, self._searchable()))

    async def _fill_some(self, ask: Ask, target: Postings, ids: Ints) -> int:
        """Add as many tweets as the engine is asked about at a time; return how many of `ids` these are."""
        rows: list[list[Any]] = []
        size = done = 0
        for tweet_id in ids[:FILL_ROWS].tolist():
            done += 1
            row = self.rows.tweet(tweet_id, FOUND)
            if row is not None:
                rows.append(row)
                size += len(row[7])
                if size >= FILL_BYTES:
                    break
            if done % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
        position = self.state.position
        documents = self._documents(await self._terms(ask, rows)) if rows else []
        await self._committed(position)
        for first in range(0, len(documents), APPEND_ROWS):
            target.append(documents[first : first + APPEND_ROWS])
            await asyncio.sleep(0)
        return done

    async def _terms(self, ask: Ask, rows: list[list[Any]]) -> list[list[Any]]:
        """Return the engine's answer, and remember which tweets it can't read."""
        found: list[list[Any]] = await ask("terms", [rows])
        asked, answered = {row[0] for row in rows}, {each[0] for each in found}
        if not answered <= asked:
            raise MalformedError(f"the engine has terms of {list(answered - asked)[:3]}, which it wasn't asked for")
        self._unreadable |= asked - answered
        return found

    async def _take_buffer(self, target: Postings) -> None:
        """Add what has come meanwhile, and what comes while that is added."""
        while self._buffer and self._target is target and not self._wanted.is_set():
            some, self._buffer = self._buffer[:APPEND_ROWS], self._buffer[APPEND_ROWS:]
            self._append(target, some)
            if self._buffer:
                await asyncio.sleep(0)

    @staticmethod
    def _is_worn(lists: Postings) -> bool:
        return lists.gone_count > max(GONE_MIN, GONE_SHARE * lists.count) or len(lists.edited_ids) > EDITED_MAX

    def _searchable(self) -> Ints:
        """Return the ids of all tweets that may be found, ascending. 50 ns each."""
        tweets, away = self.state.tweets, self.state.people.away
        slots = tweets.slots()
        columns = {name: tweets.columns[name][slots] for name in ("tweet_id", "flags", "author_id")}
        wanted = (columns["flags"] & (HIDDEN_FLAGS | FLAG_REPOST)) == 0
        if away:
            wanted &= ~np.isin(columns["author_id"], np.fromiter(away, dtype=np.int64, count=len(away)))
        return np.sort(columns["tweet_id"][wanted])

    def _documents(self, found: list[list[Any]]) -> list[Document]:
        """Return what the engine has found in tweets, of those that are still here; by id."""
        slot_of = self.state.tweets.slot_of
        documents = [Document(tweet_id, slot_of[tweet_id], *rest) for tweet_id, *rest in found if tweet_id in slot_of]
        documents.sort(key=_by_id)
        return documents

    # ---- what is fed ------------------------------------------------------------------------------------------

    @property
    def wants_terms(self) -> bool:
        """Whether feeds should bring the terms of their tweets."""
        return self.lists is not None or self._target is not None

    def take(self, found: list[list[Any]], edited_ids: AbstractSet[int] = frozenset()) -> None:
        """Take in the terms of tweets that were fed, and are committed. edited_ids: those that say something else now.

        Of an edited tweet that the lists lack nothing is noted: it is missing, and is filled in as it is then.
        """
        documents = self._documents(found)
        if edited_ids:
            edits = [document for document in documents if document.tweet_id in edited_ids]
            documents = [document for document in documents if document.tweet_id not in edited_ids]
            if self._target is not None:
                self._edits += edits
            if self.lists is not None and not self._note_edits(self.lists, edits):
                self.drop()
                self._wanted.set()
        if self._target is not None:
            if len(self._buffer) + len(documents) > BUFFER_MAX:
                self._buffer = []
                self._wanted.set()
            self._buffer += documents
        if self.lists is not None and self.lists is not self._target:
            self._append(self.lists, documents)

    def _note_edits(self, lists: Postings, edits: list[Document]) -> bool:
        """Note what tweets say now; False if there is no room for that, and the lists can't answer any more."""
        if not all(lists.edit(document) for document in edits if lists.place(document.tweet_id) >= 0):
            return False
        if self._is_worn(lists) and self._target is None:
            self._wanted.set()
        return True

    def gone(self, tweet_ids: list[int]) -> None:
        """Note that tweets can't be found any more."""
        if self.lists is not None:
            self.lists.gone_count += sum(self.lists.place(tweet_id) >= 0 for tweet_id in tweet_ids)
            if self._is_worn(self.lists) and self._target is None:
                self._wanted.set()

    def _append(self, lists: Postings, documents: Iterable[Document]) -> None:
        """Add what is new. What is known may have moved to another place; what is too old can't be added any more."""
        new: list[Document] = []
        for document in sorted(documents, key=_by_id):  # of one that came twice the last is as it is now
            place = lists.place(document.tweet_id)
            if place >= 0:
                lists.moved(place, document.slot)
            elif new and document.tweet_id == new[-1].tweet_id:
                new[-1] = document
            elif not (late := lists.lateness(document.tweet_id)) or late + len(new) <= LATE_MAX:
                new.append(document)
            else:
                self.drop()
                self._wanted.set()
        lists.append(new)

    # ---- asking -----------------------------------------------------------------------------------------------

    def newest(self, tree: list[Any], max_id: int, min_id: int, count: int) -> Steps[Matches | None]:
        """Return up to `count` matching tweets older than max_id (0: the newest), newest first.

        min_id: only newer than that one, and of those the oldest; 0: no bound. None: that is for the engine to answer.
        """
        lists = self.lists
        query = query_of(tree) if lists is not None else None
        if query is None or lists is None:
            return None
        bounds = _least(max_id, query.max_id), max(query.since_id, min_id + 1 if min_id else 0)
        if (yield from _finds_edit(lists, query, *bounds)):
            return None
        asked = lists_of(lists, query)
        if asked is None or min_id >= ID_MAX:
            self.answered_count += 1
            return NOTHING
        found = yield from lists.newest(asked, *bounds, AFTER_MAX if min_id else count)
        if found is None or (min_id and len(found) == AFTER_MAX):  # the oldest may be beyond these
            return None
        return self._matches(lists, found[-count:] if min_id else found)

    def best(self, tree: list[Any], at_ms: int, count: int, viewer: Viewer, weights: Weights) -> Steps[Matches | None]:
        """Return the best `count` matching tweets with their scores, the best first, as `FoundTweets.ranked`.

        None: that is for the engine to answer.
        """
        lists = self.lists
        query = query_of(tree) if lists is not None else None
        if query is None or lists is None:
            return None
        if (yield from _finds_edit(lists, query, query.max_id, query.since_id)):
            return None
        asked = lists_of(lists, query)
        if asked is None:
            self.answered_count += 1
            return NOTHING
        rank = partial(self._rank, at_ms, viewer, weights)
        found = yield from lists.best(asked, query.max_id, query.since_id, count, rank)
        if found is None:
            return None
        return self._matches(lists, *found)

    def _matches(
        self, lists: Postings, documents: Ints, scores: npt.NDArray[np.float64] | None = None
    ) -> Matches | None:
        """Return the tweets of some documents, and where they lie among the arrivals, looked up once for each.

        None if one of them was edited.
        """
        arrivals, columns = self.state.arrivals, self.state.tweets.columns
        ids = lists.ids(documents)
        if lists.edited_ids and not lists.edited_ids.isdisjoint(ids):
            return None
        self.answered_count += 1
        places = lists.arrivals(documents, columns["tweet_id"], columns["flags"], HIDDEN_FLAGS, arrivals.tweet_id)
        if -1 in places:
            for i, place in enumerate(places):
                if place < 0 and (n := arrivals.number_of.get(ids[i])) is not None:
                    lists.arrived(documents.item(i), n & arrivals.mask)
        return Matches(ids, places, None if scores is None else scores.tolist())

    def _rank(
        self, at_ms: int, viewer: Viewer, weights: Weights, found: Ints, scores: npt.NDArray[np.float64], count: int,
        ids: Ints, slots: Ints,
    ) -> int:  # fmt: skip
        c = self.state.tweets.columns
        left: int = ranked(
            found, scores, count, ids, slots, c["tweet_id"], c["likes"], c["reposts"], c["replies"], c["author_id"],
            viewer.following, at_ms, weights.freshness_floor, -1 / weights.half_life_ms, 1 + weights.closeness_bonus,
            np.empty(count),
        )  # fmt: skip
        return left

    def figures(self) -> dict[str, Any]:
        """Return what `status` shows."""
        lists = self.lists or self._target
        if lists is None:
            return {"state": "empty"}
        return {
            "state": "ready" if self.lists is not None else "filling", "tweets": lists.count, "gone": lists.gone_count,
            "terms": lists.term_count, "bytes": lists.nbytes(), "answered": self.answered_count,
            "fills": self.fill_count,
        }  # fmt: skip


def _finds_edit(lists: Postings, query: PostingsQuery, max_id: int, since_id: int) -> Steps[bool]:
    """Whether a tweet that was edited matches by what it says now, or may: it would take too long."""
    asked = None if lists.edits is None else lists_of(lists.edits, query)
    if asked is None or lists.edits is None:
        return False
    found = yield from lists.edits.newest(asked, max_id, since_id, 1)
    return found is None or len(found) > 0


def _least(first: int, second: int) -> int:
    """Return the smaller of two upper bounds, of which 0 is none."""
    return min(first, second) if first and second else first or second


def lists_of(postings: Postings, query: PostingsQuery) -> Asked | None:
    """Return the lists of a query, None if nothing can match."""
    terms = [postings.row(term) for term in query.terms]
    if -1 in terms:
        return None
    no_terms = [row for term in query.no_terms if (row := postings.row(term)) >= 0]
    return Asked(
        _words(postings, query.words), np.array(terms, dtype=np.int64) if terms else _NO_TERMS,
        _words(postings, query.no_words), np.array(no_terms, dtype=np.int64) if no_terms else _NO_TERMS,
    )  # fmt: skip


def _words(postings: Postings, words: tuple[str, ...]) -> Lists:
    if not words:
        return _NO_WORDS
    lists = np.empty((len(words), LANGUAGES_MAX), dtype=np.int32)
    for i, word in enumerate(words):
        lists[i] = postings.lists_of(word, partial(_stems_of, word), text.query_stems)
    return lists


def _stems_of(word: str) -> dict[str, str]:
    """Return the stem of a word by language, where it isn't the word itself. 30 us."""
    stems = {lang: text.stems([word], lang)[0] for lang in text.STEMMERS}
    return {lang: stem for lang, stem in stems.items() if stem != word}
