"""Posting lists in memory: which tweets have a word, newest first, and how well they match.

A document is a tweet's number in here, ascending with its id. A list's key is a word's stem *in a language*, or
something that has none (a hashtag); its postings lie in one block of an arena, ascending. So the newest tweets with two
words are found from the ends of two lists, and what is old is never looked at: the layout of Earlybird (Busch et al.,
ICDE 2012). A tweet has one language, so a search is a few searches, one for each language that has all its words.

Rules of this file
- Documents come nearly in the order of their ids (tweets of one millisecond don't): at most LATE_MAX places behind the
  one they belong before. Whoever has an older one begins anew.
- Nothing is taken out: a tweet that has gone is found, and its reader finds out. `gone_count` tells when to begin anew.
- Nothing is changed: what an edited tweet says now lies in lists beside (`edits`). Whoever searches asks those as well,
  and where an edited tweet is found, in one or the other, takes the answer from elsewhere.
- A search is a generator, which goes through some STEP_WORK postings a step, from the newest documents on: who has
  other things to do does them in between. One that may go through more than SEARCH_WORK_MAX is refused (None).

Costs: 12 us a tweet added; 180 bytes a tweet of a dozen words (1,000,000 of them). The newest 23 of 1,000,000 with two
words take 14 us, the best 44 (155 have both, at the mean).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from actors.core.arrays.arena import TIDY_FROM_ELEMENTS, BlockArena
from actors.core.arrays.memory import aligned_records
from actors.core.ids import ID_MAX
from actors.core.postings import kernels as kernels
from actors.core.postings.segment_bitmaps import DENSE_COLUMN, SegmentBitmaps

Ints = npt.NDArray[np.int64]
Lists = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float64]
Rank = Callable[[Ints, Scores, int, Ints, Ints], int]
T = TypeVar("T")
Steps = Generator[None, None, T]  # each step takes a moment; what it returns is the result
DOCUMENTS_MAX = 1 << (32 - kernels.TF_BITS)
STEP_WORK = 4_000  # postings gone through in one step, on average: a tenth of a millisecond
SEARCH_WORK_MAX = 250 * STEP_WORK
TERM_BYTES = 170  # of a list's name in a dictionary, about
LATE_MAX = 4_096  # places that a tweet may come late
WORDS_KEPT = 16_384  # words whose lists are kept together: 1 KB each
LENGTH_MAX = 65_535  # words of a tweet that count
# What a search by rank looks at of each match: a cache line in place of three.
_RECORD = np.dtype([("id", "i8"), ("slot", "i4"), ("length", "u2"), ("unused", "u2")])
_NONE: Ints = np.zeros(0, dtype=np.int64)


class Document(NamedTuple):
    """A tweet as it is added. slot: where its shard keeps it; stems: distinct, tfs: how often each; terms: others."""

    tweet_id: int
    slot: int
    lang: str
    length: int
    stems: Sequence[str]
    tfs: Sequence[int]
    terms: Sequence[str]


class Asked(NamedTuple):
    """What a search asks for, as lists (see `postings/kernels.py`). There is a word or a term; no_words need a word, as
    what has no language is in tweets of all."""

    words: Lists
    terms: Ints
    no_words: Lists
    no_terms: Ints


class Postings:
    """The posting lists of one shard's tweets."""

    def __init__(self, tidy_from: int = TIDY_FROM_ELEMENTS) -> None:
        """tidy_from: see `BlockArena`."""
        self.lists = BlockArena(np.uint32, columns=[DENSE_COLUMN], tidy_from=tidy_from)
        self.bitmaps = SegmentBitmaps()
        self.count = 0  # documents
        self.gone_count = 0  # of which have gone, as far as anybody said
        self.edited_ids: set[int] = set()  # of which say something else by now
        self.edits: Postings | None = None  # what those say, in any order, also what was edited once more since
        self.words_total = 0
        self._tops = np.zeros(1024, dtype=np.int64)  # the largest id up to each
        self._late = 0  # places that the latest came late: nobody looks further
        self._arrivals = np.zeros(1024, dtype=np.int64)  # where it lies among the arrivals, as it was last seen
        self._set_records(aligned_records(1024, _RECORD))
        self._places: dict[str, tuple[tuple[str, int], ...]] = {}
        self._row_count = 0
        self._languages: dict[str, int] = {"": 0}
        self._kept: dict[str, tuple[list[tuple[tuple[str, int], ...] | None], Lists, int]] = {}
        self._found = np.zeros(STEP_WORK, dtype=np.int64)
        self._scores = np.zeros(STEP_WORK, dtype=np.float64)
        self._norms = np.zeros(STEP_WORK, dtype=np.float64)

    # ---- adding -----------------------------------------------------------------------------------------------

    @property
    def last_id(self) -> int:
        """The newest tweet's id, 0 if there is none."""
        return int(self._tops[self.count - 1]) if self.count else 0

    def lateness(self, tweet_id: int) -> int:
        """Return how many places a tweet that comes now comes late."""
        return self.count - int(np.searchsorted(self._tops[: self.count], tweet_id))

    def append(self, documents: Iterable[Document]) -> None:
        """Add tweets that aren't there yet. Raises ValueError for one that comes too late, or can't be added otherwise;
        those before it are."""
        rows: list[int] = []
        postings: list[int] = []
        try:
            for tweet_id, slot, lang, length, stems, tfs, terms in documents:
                late = self.lateness(tweet_id)
                if late > LATE_MAX or self.count == DOCUMENTS_MAX or len(stems) != len(tfs):
                    raise ValueError(f"tweet {tweet_id} can't be added behind {self.last_id} as number {self.count}")
                if lang not in self._languages:
                    self._add_language(lang)
                self._late = max(self._late, late)
                base = self.count << kernels.TF_BITS
                rows += [self._row(stem, lang) for stem in stems]
                postings += [base | min(tf, kernels.TF_MAX) for tf in tfs]
                rows += [self._row(term, "") for term in terms]
                postings += [base | 1] * len(terms)
                self._add(tweet_id, slot, min(length, LENGTH_MAX))
        finally:
            self._put(rows, postings)

    def edit(self, document: Document) -> bool:
        """Note what a tweet that is here says now. False: there is no room for more edits, so begin anew."""
        if self.edits is None:
            self.edits = Postings(self.lists.tidy_from)
        if self.edits.count >= LATE_MAX:
            return False
        self.edits.append([document])
        self.edited_ids.add(document.tweet_id)
        return True

    def _put(self, rows: list[int], postings: list[int]) -> None:
        self.lists.ensure_rows(self._row_count)
        self.lists.append_many(np.array(rows, dtype=np.int64), np.array(postings, dtype=np.uint32))
        self.bitmaps.grow(self.lists, self.count)

    def _add(self, tweet_id: int, slot: int, length: int) -> None:
        n = self.count
        if n == len(self._ids):
            records = aligned_records(n + n // 2, _RECORD)
            records[:n] = self._records
            self._set_records(records)
            for name in ("_tops", "_arrivals"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros(n // 2, dtype=column.dtype)]))
        self._tops[n] = max(tweet_id, self.last_id)
        self._ids[n], self._slots[n], self._arrivals[n], self._lengths[n] = tweet_id, slot, -1, length
        self.count = n + 1
        self.words_total += length

    def _set_records(self, records: npt.NDArray[Any]) -> None:
        self._records = records
        self._ids, self._slots, self._lengths = (records[name] for name in ("id", "slot", "length"))

    def _add_language(self, lang: str) -> None:
        if len(self._languages) == kernels.LANGUAGES_MAX:
            raise ValueError(f"there is no room for language {lang!r} beside {len(self._languages)} others")
        self._languages[lang] = len(self._languages)

    def _row(self, term: str, lang: str) -> int:
        places = self._places.get(term, ())
        for language, row in places:
            if language == lang:
                return row
        row = self._row_count
        self._row_count += 1
        self._places[term] = (*places, (lang, row))
        return row

    def place(self, tweet_id: int) -> int:
        """Return a tweet's document, -1 if it was never added."""
        first = int(np.searchsorted(self._tops[: self.count], tweet_id))
        found = np.nonzero(self._ids[first : min(first + self._late + 1, self.count)] == tweet_id)[0]
        return first + int(found[0]) if len(found) else -1

    def moved(self, document: int, slot: int) -> None:
        """Note that the shard keeps a tweet elsewhere now."""
        self._slots[document] = slot

    def missing(self, tweet_ids: Ints) -> Ints:
        """Return those of some tweets that were never added."""
        return np.setdiff1d(tweet_ids, self._ids[: self.count])

    # ---- searching --------------------------------------------------------------------------------------------

    def lists_of(self, key: str, choose: Callable[[], dict[str, str]], stems_of: Callable[[str], list[str]]) -> Lists:
        """Return a word's list in each language, -1 for none: int32[LANGUAGES_MAX].

        key: the word; stems_of(key): its stems in all languages; choose(): language -> stem where that isn't the word
        itself. Kept until one of the stems is met in another language.
        """
        kept = self._kept.get(key)
        if kept is not None and kept[2] == self._row_count:  # nothing has been met since
            return kept[1]
        terms = stems_of(key)
        places = [self._places.get(term) for term in terms]
        if kept is not None and all(a is b for a, b in zip(kept[0], places, strict=True)):
            self._kept[key] = places, kept[1], self._row_count
            return kept[1]
        stems = choose()
        lists = np.full(kernels.LANGUAGES_MAX, -1, dtype=np.int32)
        for term, found in zip(terms, places, strict=True):
            for lang, row in found or ():
                if stems.get(lang, key) == term:
                    lists[self._languages[lang]] = row
        if len(self._kept) >= WORDS_KEPT and key not in self._kept:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = places, lists, self._row_count
        return lists

    def row(self, term: str) -> int:
        """Return the list of a term that has no language, -1 if there is none."""
        places = self._places.get(term)
        return places[0][1] if places else -1

    def newest(self, asked: Asked, max_id: int, since_id: int, count: int) -> Steps[Ints | None]:
        """Return up to `count` matching documents, newest first: older than max_id, since_id or newer; 0: any.

        None: it would take too long.
        """
        lists = self.lists
        work, language = kernels.work(lists.length, asked.words, asked.terms)
        if work > SEARCH_WORK_MAX:
            return None
        low, high = self._bounds(max_id, since_id)
        room, window, newest = _room(asked), _window(high - low, work), _NONE
        while True:
            bottom = max(low, high - window)
            total = kernels.newest(
                *self._parts(), *asked, language, self._ids, self._tops, since_id,
                max_id or ID_MAX, bottom, high, count, room, self._found,
            )  # fmt: skip
            if total < 0:  # more of them than on average
                window = max(1, window // 2)
                continue
            found = np.concatenate([newest, self._found[:total]]) if len(newest) else self._found[:total]
            ids = self._ids[found]
            order = ids.argsort()[: -count - 1 : -1]
            newest = found[order]
            if bottom <= low or (len(newest) == count and ids[order[-1]] > self._tops[bottom - 1]):
                return newest
            high = bottom
            yield

    def best(
        self, asked: Asked, max_id: int, since_id: int, count: int, rank: Rank
    ) -> Steps[tuple[Ints, Scores] | None]:
        """Return the best `count` matching documents and their ranks, the best first. None: it would take too long.

        rank(found, scores, count, ids, slots): turns the BM25 of documents into ranks, in place, and returns how many
        are left.
        """
        lists = self.lists
        work, _ = kernels.work(lists.length, asked.words, asked.terms)
        if work > SEARCH_WORK_MAX:
            return None
        documents, mean_length = self.count, self.words_total / self.count if self.words_total else 1.0
        low, high = self._bounds(max_id, since_id)
        room, weights, window = _room(asked), np.empty(len(asked.words)), _window(high - low, work)
        ranks, ids, best, held = np.empty(count), *np.empty((2, count), dtype=np.int64), 0
        while True:
            bottom = max(low, high - window)
            total = kernels.scored(
                *self._parts(), *asked, self._ids, since_id, max_id or ID_MAX, bottom, high, self._lengths, documents,
                mean_length, room, weights, self._norms, self._found, self._scores,
            )  # fmt: skip
            if total < 0:  # more of them than on average
                window = max(1, window // 2)
                continue
            left = rank(self._found, self._scores, total, self._ids, self._slots)
            held = kernels.kept(self._found, self._scores, left, self._ids, ranks, ids, best, held)
            if bottom <= low:
                kernels.best_first(ranks, ids, best, held)
                return best[:held], ranks[:held]
            high = bottom
            yield

    def ids(self, documents: Ints) -> list[int]:
        """Return the tweets of some documents."""
        ids: list[int] = self._ids[documents].tolist()
        return ids

    def arrivals(self, documents: Ints, tweet_ids: Ints, flags: Any, hidden_flags: int, arrived_ids: Ints) -> list[int]:
        """Return where each of some documents lies among the arrivals; see `postings_kernels.arrived`."""
        found = np.empty(len(documents), dtype=np.int64)
        kernels.arrived(
            documents, self._ids, self._slots, self._arrivals, tweet_ids, flags, hidden_flags, arrived_ids, found
        )
        places: list[int] = found.tolist()
        return places

    def arrived(self, document: int, place: int) -> None:
        """Note where a document lies among the arrivals."""
        self._arrivals[document] = place

    def _parts(self) -> tuple[Any, ...]:
        """Return the arrays that searching kernels take first, in their order."""
        lists, bitmaps = self.lists, self.bitmaps
        return lists.data, lists.start, lists.length, *bitmaps.parts(lists)

    def _bounds(self, max_id: int, since_id: int) -> tuple[int, int]:
        """Return the first document that may have a tweet from since_id on, and the one behind the last before max_id
        (0: any)."""
        tops = self._tops[: self.count]
        low = int(np.searchsorted(tops, since_id)) if since_id else 0
        return low, min(int(np.searchsorted(tops, max_id)) + self._late + 1, self.count) if max_id else self.count

    # ---- figures ----------------------------------------------------------------------------------------------

    @property
    def term_count(self) -> int:
        """Lists."""
        return self._row_count

    def nbytes(self) -> int:
        """Bytes of lists, columns and names."""
        columns = sum(column.nbytes for column in (self._records, self._tops, self._arrivals))
        edits = 0 if self.edits is None else self.edits.nbytes()
        return self.lists.nbytes() + self.bitmaps.nbytes() + columns + TERM_BYTES * self._row_count + edits

    def check(self) -> list[str]:
        """Return violations: ids nearly and lists quite ascending, no posting beyond the documents."""
        problems = self.lists.check() + self.bitmaps.check(self.lists)
        ids, tops = self._ids[: self.count], self._tops[: self.count]
        if (np.maximum.accumulate(ids) != tops).any() if self.count else False:
            problems.append("the largest ids so far are others")
        if len(np.unique(ids)) != self.count:
            problems.append("a tweet is there twice")
        if any(self.place(tweet_id) < 0 for tweet_id in self.edited_ids):
            problems.append("a tweet was edited that isn't there")
        late = np.arange(self.count) - np.searchsorted(tops, ids)
        if self.count and late.max() > self._late:
            problems.append(f"a tweet came {late.max()} places late, not {self._late}")
        rows = [row for places in self._places.values() for _, row in places]
        if sorted(rows) != list(range(self._row_count)):
            problems.append("names and lists don't belong together one by one")
        for row in rows:
            documents = self.lists.view(row).astype(np.int64) >> kernels.TF_BITS
            if not len(documents) or not (np.diff(documents) > 0).all() or documents[-1] >= self.count:
                problems.append(f"list {row} is empty, out of order, or has documents that aren't here")
        return problems


def whole(steps: Steps[T]) -> T:
    """Carry out all steps of a search at once; return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def _window(documents: int, work: int) -> int:
    """Return how many documents are gone through in a step, of so many with so much work."""
    return documents // -(-work // STEP_WORK) + 1 if work else documents


def _room(asked: Asked) -> Ints:
    """Return the scratch of a kernel."""
    return np.empty((6, sum(len(lists) for lists in asked)), dtype=np.int64)
