"""The filters of readers, ready to be compared with statuses: what an API worker remembers of them.

    (account, stamp) --> FilterSet     words folded once     status --> what is said of it, remembered

Rules of this file
- A stamp names one state of an account's filters (`actors/core/features/filters.py`), so what is remembered under it is
  never out of date. Whoever has no filters is nowhere here.
- A word is looked for as a part of the folded text; one that has to stand alone, where it begins or ends with a letter
  or a digit, has none beside it. No patterns: what a reader writes is never run.
- What a status meets is found here, and said by whoever shows it (`api/mastodon/filtering.py`); that is remembered.
- Bounded in bytes and in verdicts; who was asked for longest ago goes first.

Costs: a status 0.06 us a word (1,000 at most) and 1 us for each that occurs; one that was seen before 0.05 us.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from actors.core.normal_form import normalize

BYTES_MAX: Final = 32 << 20  # of all sets: some 100,000 words
VERDICTS_COUNT_MAX: Final = 400  # of one set: what a reader scrolls through, and comes back to
VERDICTS_BYTES_MAX: Final = 64 << 10  # of one set: what is said of some 300 statuses that meet a filter
SET_BYTES: Final = 64_000  # of one beside its words and what is said: 400 verdicts and their names
WORD_BYTES: Final = 250  # beside its text


class StatusVerdict(NamedTuple):
    """What is said of a status. results: of each filter that it meets where that acts, and what is said of it.

    is_plain: whether it neither quotes nor reblogs anything, which an edit alone may change.
    """

    results: tuple[tuple[int, bytes], ...]
    is_plain: bool

    @property
    def nbytes(self) -> int:
        """The bytes of what is said. O(filters that are met)."""
        return sum(len(said) for _, said in self.results)


NOTHING: Final = StatusVerdict((), True)  # of most statuses


class Met(NamedTuple):
    """A filter that a status meets. row: of the filter; words, status_ids: what it has met."""

    row: list[Any]
    words: list[str]
    status_ids: list[int]


class _Word(NamedTuple):
    place: int  # of its filter among all
    said: str
    folded: str
    stands_alone: bool


def fold(text: str) -> str:
    """Return a text as it is compared."""
    return normalize("NFC", text).casefold()


def occurs(word: str, text: str, stands_alone: bool) -> bool:
    """Whether a folded word is in a folded text. O(length of the text)."""
    at = text.find(word)
    if not stands_alone or at < 0:
        return at >= 0
    begins, ends = _is_letter(word[0]), _is_letter(word[-1])
    while at >= 0:
        end = at + len(word)
        is_apart = not (begins and at and _is_letter(text[at - 1]))
        if is_apart and not (ends and end < len(text) and _is_letter(text[end])):
            return True
        at = text.find(word, at + 1)
    return False


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


class FilterSet:
    """All filters of one account, as they were under a stamp. rows: as the shard answers `filters`."""

    def __init__(self, stamp: int, rows: list[list[Any]]) -> None:
        self.stamp, self.rows = stamp, rows
        self._words = [
            _Word(place, word, fold(word.strip()), stands_alone)
            for place, row in enumerate(rows) for _, word, stands_alone in row[5]
        ]  # fmt: skip
        self._places_of: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            for _, status_id in row[6]:
                self._places_of.setdefault(status_id, []).append(place)
        self._verdicts: OrderedDict[bytes, StatusVerdict] = OrderedDict()
        self.known: Callable[[bytes], StatusVerdict | None] = self._verdicts.get
        """What is said of a status, by its name; None if it wasn't looked at. After an edit it has another name."""
        self._said_bytes = 0
        texts = sum(3 * len(word.said) + WORD_BYTES for word in self._words)
        self.nbytes = SET_BYTES + VERDICTS_BYTES_MAX + texts + WORD_BYTES * (len(rows) + len(self._places_of))

    def judge(self, status_id: int, text: str) -> list[Met]:
        """Return which filters a status meets. text: all that it says."""
        folded = fold(text)
        words: dict[int, list[str]] = {}
        for place, said, word, stands_alone in self._words:
            if word in folded and occurs(word, folded, stands_alone):
                words.setdefault(place, []).append(said)
        named = self._places_of.get(status_id, ())
        return [
            Met(row, words.get(place, []), [status_id] if place in named else [])
            for place, row in enumerate(self.rows)
            if place in words or place in named
        ]

    def remember(self, name: bytes, verdict: StatusVerdict) -> None:
        """Keep what is said of a status, in place of what is known longest if there is no room."""
        before = self._verdicts.pop(name, None)
        self._said_bytes += verdict.nbytes - (0 if before is None else before.nbytes)
        self._verdicts[name] = verdict
        while len(self._verdicts) > VERDICTS_COUNT_MAX or self._said_bytes > VERDICTS_BYTES_MAX:
            self._said_bytes -= self._verdicts.popitem(last=False)[1].nbytes


class FilterSets:
    """The sets of one API worker."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._sets: OrderedDict[int, FilterSet] = OrderedDict()
        self._bytes_max, self.bytes_held = bytes_max, 0

    def get(self, account_id: int, stamp: int) -> FilterSet | None:
        """Return an account's filters as of a stamp, None if they have to be asked for."""
        found = self._sets.get(account_id)
        if found is None or found.stamp != stamp:
            return None
        self._sets.move_to_end(account_id)
        return found

    def keep(self, account_id: int, filters: FilterSet) -> None:
        """Remember an account's filters in place of those of before."""
        before = self._sets.pop(account_id, None)
        self.bytes_held += filters.nbytes - (0 if before is None else before.nbytes)
        self._sets[account_id] = filters
        while self.bytes_held > self._bytes_max and len(self._sets) > 1:
            self.bytes_held -= self._sets.popitem(last=False)[1].nbytes
