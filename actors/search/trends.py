"""Trends of one shard: which hashtags, phrases and links its tweets have, when, and by how many accounts.

Rules of this file
- No Ray, no event loop, no clock: time is what `advance` and `snapshot` are told. A tweet can't move it, so one with a
  wrong date does no harm: beyond AHEAD_MS it is left out.
- What is counted are accounts: a term's entry in a slice is the set of its authors (one number, then a HyperLogLog
  sketch: exact up to 48, then within 4.6%). So an account counts once a slice, and a tweet fed twice changes nothing.
- Whatever is thrown at it, memory stays below a bound: each slice keeps its most frequent terms.
- The formula is not here (trend_scores.py).

How it works
      now                 10 min                       1 h                                    26 h
      | 24 slices of 25 s  | 24 slices of 150 s         | 26 slices of 1 h                     | the long memory
      |--------------------|----------------------------|--------------------------------------|---- - - -
A tweet's terms go into the slice of its time. A slice that leaves its window is folded into the coarser one. So each
moment is in one place, a window is a sum over slices (with 24 points for a sparkline), and its distinct authors are
the union of sketches, over slices here and over shards in `merge`. Hours that leave go to `LongMemory`, a
frequent-items sketch in which weights halve every three days.

The usual level of a term, per hour: its mentions outside the window, in the hours kept and in the long memory, by the
hours seen; for 10 min and 1 h what there was at this time yesterday, if that is more (every morning is a good one).

Terms: hashtags, links, and runs of two and three words that neither begin nor end with a stop word, a number or an
emoji. Keys are kind, language, blank, text: "#en worldcup", "_en good morning", ">de https://rookery.dev/". In every
list that is cut short each language has some places of its own, so that small ones don't drown.

Bounds: 201,000 entries in slices that are over, 98,000 in those that grow; the former twice until the next roll if old
tweets come in bulk. 41 MB at 80 tweets/s, 180 MB if every entry were a crowd's (590 bytes); the long memory 2 MB more.
Error: a slice that overflows drops its least frequent terms. What a term may have had there (half the slice's `floor`)
passes for usual, so that one which now and then gets into an hour's list isn't taken for new. In the first hour or two,
without hours to compare with, a busy shard loses up to half of what is written once in 150 s, and usual is too low.
What a shard doesn't list in its snapshot is missing from the sum, so the least frequent trends of a large cluster are
told too low.

Costs, on a busy core: 15 us a tweet of ten words with all folding; a snapshot 0.1 s, just after a roll 0.3 s; merging
10 ms a shard and window, for 24h up to 40 ms.
Not here: taking a deleted tweet out. Sets of authors can't forget one; its mention fades with its slice.
"""

from __future__ import annotations

import heapq
import itertools
import zlib
from collections.abc import Container, Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgpack
from datasketches import HLL_4, hll_sketch, hll_union  # type: ignore[import-untyped]

from actors.search.trend_scores import AUTHORS_MIN, KIND_OF_SIGN, LONG_REBASE_HOURS, LongMemory, TermCounts, term_keys

WINDOWS: Final = ("10m", "1h", "24h")
SLICE_MS: Final = (25_000, 150_000, 3_600_000)  # of each level; 24 of them are the window, 6 or 24 one of the next
SLICE_COUNT: Final = 24  # slices in a window; the points of a sparkline
HOUR_COUNT: Final = 26  # hours kept: 24 and those around this time yesterday
HOUR_MS: Final = SLICE_MS[2]
DAY_MS: Final = 24 * HOUR_MS  # tweets older than this are not counted
AHEAD_MS: Final = 60_000  # that a tweet may be ahead of the time told; clocks of nodes differ by less
KEEP_COUNT: Final = (2_048, 4_096, 2_048)  # terms of a slice of each level after a roll; twice as many before the next
GROWING_COUNT_MAX: Final = (32_768, 8_192, 16_384)  # the same while it is the newest, or finer slices are yet to come
HLL_LG: Final = 9  # 512 registers of 4 bits: 4.6% standard error at 300 bytes, exact up to 48 authors
LEADERS_COUNT: Final = 512  # terms of each slice that may become trends, and
LEADERS_PER_LANG_COUNT: Final = 16  # at least so many of each language
ONCE_COUNT_MAX: Final = 4_096  # phrases used once in a slice; if there are more none of them can become a trend
CANDIDATE_COUNT: Final = 500  # terms of each window in a snapshot, and
CANDIDATE_PER_LANG_COUNT: Final = 16  # at least so many of each language
SNAPSHOT_BYTES_MAX: Final = 900_000  # a lane frame may have 8 MB, but this is asked for every few seconds

_STATE, _SNAPSHOT = b"RkTs\x01", b"RkTn\x01"  # what bytes begin with; the last is the format's version

Authors = Any  # one account id, or a hll_sketch of several
Place = tuple["Slice", int, list[tuple[int, int]]]  # a slice, its narrowest window, (level, slices ago) at its levels


class Slice:
    """The terms of a span of time, with their authors. count_max: terms above which it is cut to `keep`."""

    __slots__ = ("_leaders", "count_max", "floor", "keep", "sums", "terms")

    def __init__(self, keep: int, count_max: int) -> None:
        self.keep, self.count_max = keep, count_max
        self.terms: dict[str, Authors] = {}
        self.sums: dict[str, int] = {}  # mentions in slices folded into this, where they are more than the authors
        self.floor = 0  # what terms that aren't here may have had: the sum of the least kept at each cut
        self._leaders: list[tuple[int, str]] | None = None

    def add(self, keys: Iterable[str], author_id: int) -> None:
        """Note that an account has used some terms. Cost: 0.15 us a term."""
        terms = self.terms
        for key in keys:
            seen = terms.get(key)
            if seen is None:
                terms[key] = author_id
            elif type(seen) is not int:
                seen.update(author_id)
            elif seen != author_id:
                terms[key] = both = hll_sketch(HLL_LG, HLL_4)
                both.update(seen)
                both.update(author_id)
        self._leaders = None
        if len(terms) > self.count_max:
            self.cut()

    def mentions(self, key: str) -> int:
        """Return how often a term was used: once for each account and finest slice."""
        seen = self.terms.get(key)
        if seen is None:
            return 0
        count = 1 if type(seen) is int else round(seen.get_estimate())
        return max(count, self.sums[key]) if key in self.sums else count

    def fold(self, other: Slice, known: Container[str]) -> None:
        """Take over a finer slice, which is not to be used any more. Cost: 0.2 us a new term, 3 us a known one."""
        for key, seen in other.terms.items():
            if key in self.terms:
                total = self.mentions(key) + other.mentions(key)
                self.terms[key] = union([self.terms[key], seen])
                if total > author_count(self.terms[key]):
                    self.sums[key] = total
            else:
                self.terms[key] = seen
                if key in other.sums:
                    self.sums[key] = other.sums[key]
        self._leaders = None
        if len(self.terms) > self.count_max:
            self.cut(known)

    def cut(self, known: Container[str] = ()) -> None:
        """Keep the `keep` most frequent terms; of those used once known ones, hashtags and links, then the newest.

        known: terms of other slices. Most phrases never come again; those that do would be lost one by one.
        """
        if len(self.terms) <= self.keep:
            return
        often = self._used_often()[: self.keep]
        kept = [key for _, key in often]
        if len(often) < self.keep:
            chosen = set(kept)
            once = [key for key in self.terms if key not in chosen]
            once.sort(key=lambda key: key in known or key[0] != "_")  # stable: the newest stay last
            kept += once[len(kept) - self.keep :]
        self.floor += -often[-1][0] if len(often) == self.keep else 1
        self.terms = {key: self.terms[key] for key in kept}
        self.sums = {key: total for key, total in self.sums.items() if key in self.terms}
        self._leaders = None

    def leaders(self) -> list[tuple[int, str]]:
        """Return (minus its mentions, term) of the most frequent ones, best first; kept until something changes.

        Of terms used once all shards take the same ones, by checksum: a term with one author on each of three shards
        is then told by all of them or by none. Cost: 5 ms for a full newest slice.
        """
        if self._leaders is None:
            often = self._used_often()
            self._leaders = _best(often, LEADERS_COUNT, LEADERS_PER_LANG_COUNT)
            if len(often) < LEADERS_COUNT:
                known = {key for _, key in often}
                once = [key for key in self.terms if key not in known]
                if len(once) > ONCE_COUNT_MAX:
                    once = [key for key in once if key[0] != "_"]
                chosen = heapq.nsmallest(LEADERS_COUNT - len(often), once, key=lambda key: zlib.crc32(key.encode()))
                self._leaders += [(-1, key) for key in chosen]
        return self._leaders

    def _used_often(self) -> list[tuple[int, str]]:
        """Return (minus its mentions, term) of all that were used more than once, best first."""
        sums = self.sums
        return sorted(
            (-self.mentions(key), key) for key, seen in self.terms.items() if type(seen) is not int or key in sums
        )


class ShardTrends:
    """See the module header. now_ms: Unix ms; to feed a day anew, start a day back and `advance` along the tweets."""

    def __init__(self, now_ms: int) -> None:
        self._start(now_ms)

    def _start(self, now_ms: int) -> None:
        self.now_ms = self.since_ms = now_ms  # since: from when on everything has been seen that the slices cover
        self.last_ms = 0  # time of the newest tweet
        self.added_count = self.ignored_count = 0  # tweets
        self._levels: tuple[dict[int, Slice], ...] = ({}, {}, {})
        self._long = LongMemory(now_ms // HOUR_MS)
        self._totals: dict[str, list[int]] | None = None  # see _candidates; None: to be made anew
        self._roll()

    def advance(self, now_ms: int) -> None:
        """Tell the time. Cost: 0.1 us; every 25 s some ms, for folding.

        A step back is ignored; one of more than a day says that time was wrong before: everything is forgotten.
        """
        if now_ms < self.now_ms - DAY_MS:
            self._start(now_ms)
        elif now_ms > self.now_ms:
            self.now_ms = now_ms
            if now_ms // SLICE_MS[0] != self._open_index:
                self._roll()

    def add(
        self, at_ms: int, author_id: int, lang: str, hashtags: list[str], words: list[str], links: list[str]
    ) -> None:
        """Count a tweet, in any order of time. Cost: see the module header.

        lang: two or three letters, what follows is cut ("pt-BR"), else "und"; hashtags: with or without #; words: in
        the order of the text, without hashtags, names and links. Ignored: what is older than DAY_MS, or more than
        AHEAD_MS ahead.
        """
        slice_ = self._open if at_ms // SLICE_MS[0] == self._open_index else self._slice_of(at_ms)
        if slice_ is None:
            self.ignored_count += 1
            return
        self.added_count += 1
        self.last_ms, self.since_ms = max(self.last_ms, at_ms), min(self.since_ms, at_ms)
        slice_.add(term_keys(lang, hashtags, words, links), author_id)

    def snapshot(self, now_ms: int) -> bytes:
        """Return what `read_snapshot` takes: the terms that may be trends. Cost: see the module header."""
        self.advance(now_ms)
        hour = self.now_ms // HOUR_MS
        places = [
            (slice_, self._window_of(number, index), self._agos(number, index))
            for number, level in enumerate(self._levels)
            for index, slice_ in level.items()
        ]
        records, size = [], 0
        for key, counts, authors, missed in _facts(self._candidates(places), places):
            record = msgpack.packb([key, counts, authors, missed, self._long.mentions(key, hour)])
            size += len(record)
            if size > SNAPSHOT_BYTES_MAX:
                break
            records.append(record)
        return seal(_SNAPSHOT, [[self.now_ms, self.since_ms, self._long.hours(hour)], records])

    def state(self) -> bytes:
        """Return everything, for `from_state`. Cost: 0.2 s when full."""
        levels = [
            [[index, s.floor, s.sums, list(s.terms), [_pack(seen) for seen in s.terms.values()]] for index, s in slices]
            for slices in (level.items() for level in self._levels)
        ]
        head = [self.now_ms, self.since_ms, self.last_ms, self.added_count, self.ignored_count]
        return seal(_STATE, [head, levels, self._long.to_wire()])

    @classmethod
    def from_state(cls, data: bytes, now_ms: int) -> ShardTrends:
        """Return what `state` was made from, advanced to now. Raises ValueError for bytes that are anything else."""
        body = unseal(_STATE, data)
        try:
            self = cls._from_body(body)
        except (TypeError, LookupError, RuntimeError) as error:
            raise ValueError(f"this is no state of trends: {error}") from error
        self.advance(now_ms)
        return self

    @classmethod
    def _from_body(cls, body: Any) -> ShardTrends:
        head, levels, long = body
        self = cls(head[0])
        _, self.since_ms, self.last_ms, self.added_count, self.ignored_count = head
        for number, packed in enumerate(levels):
            for index, floor, sums, keys, authors in packed:
                found = self._slice(number, index)
                found.floor, found.sums = floor, sums
                found.terms = dict(zip(keys, map(_unpack, authors), strict=True))
        self._long = LongMemory.from_wire(long)
        return self

    def term_count(self) -> int:
        """Return how many entries are held."""
        return sum(len(slice_.terms) for level in self._levels for slice_ in level.values())

    def check(self) -> None:
        """Assert that slices are where they belong and within their bounds."""
        for number, level in enumerate(self._levels):
            now = self.now_ms // SLICE_MS[number]
            for index, slice_ in level.items():
                assert now - (HOUR_COUNT if number == 2 else SLICE_COUNT) < index <= now, "a slice is out of its window"
                assert len(slice_.terms) <= slice_.count_max, "a slice has outgrown its bound"
                growing = self._is_growing(number, index)
                assert growing or slice_.count_max <= 2 * KEEP_COUNT[number], "a slice was left open"
                assert slice_.sums.keys() <= slice_.terms.keys(), "a sum without its term"
        assert self._levels[0][self._open_index] is self._open

    # -- slices ----------------------------------------------------------------------------------------------------

    def _slice_of(self, at_ms: int) -> Slice | None:
        """Return where a tweet of a time outside the newest slice goes; None: nowhere."""
        if at_ms > self.now_ms:
            return self._open if at_ms <= self.now_ms + AHEAD_MS else None
        if at_ms <= self.now_ms - DAY_MS:
            return None
        self._totals = None
        level = min(self._window_of(0, at_ms // SLICE_MS[0]), 2)
        return self._slice(level, at_ms // SLICE_MS[level])

    def _slice(self, level: int, index: int) -> Slice:
        found = self._levels[level].get(index)
        if found is None:
            count_max = GROWING_COUNT_MAX[level] if self._is_growing(level, index) else 2 * KEEP_COUNT[level]
            found = self._levels[level][index] = Slice(count_max // 2, count_max)
        return found

    def _roll(self) -> None:
        """Open the newest slice, fold what has left its window, cut what has grown."""
        self._totals = None
        self._open_index = self.now_ms // SLICE_MS[0]
        self._open = self._slice(0, self._open_index)
        known = {key for _, slice_ in sorted(self._levels[2].items())[-2:] for key in slice_.terms}
        for level in (0, 1):
            fine, span = self._levels[level], SLICE_MS[level]
            for old in sorted(index for index in fine if index <= self.now_ms // span - SLICE_COUNT):
                self._slice(level + 1, old * span // SLICE_MS[level + 1]).fold(fine.pop(old), known)
        self._remember_hours()
        for level, slices in enumerate(self._levels):
            for index, slice_ in slices.items():
                if self._is_growing(level, index):
                    slice_.keep, slice_.count_max = GROWING_COUNT_MAX[level] // 2, GROWING_COUNT_MAX[level]
                else:
                    slice_.keep, slice_.count_max = KEEP_COUNT[level], 2 * KEEP_COUNT[level]
                    slice_.cut(known)

    def _is_growing(self, level: int, index: int) -> bool:
        """Whether a slice is the newest, or one into which finer ones will be folded."""
        if level == 0:
            return index == self._open_index
        last_ms = (index + 1) * SLICE_MS[level] - 1
        return last_ms // SLICE_MS[level - 1] > self.now_ms // SLICE_MS[level - 1] - SLICE_COUNT

    def _remember_hours(self) -> None:
        """Move the hours that have left to the long memory, empty ones between them too."""
        hours, first_kept = self._levels[2], self.now_ms // HOUR_MS - HOUR_COUNT + 1
        if self.since_ms // HOUR_MS >= first_kept:
            return
        for hour in range(max(self.since_ms // HOUR_MS, first_kept - LONG_REBASE_HOURS), first_kept):
            left = hours.pop(hour, None)
            self._long.add_hour(
                hour, ((key, left.mentions(key)) for key in left.terms) if left else (), left.floor if left else 0
            )
        for hour in [hour for hour in hours if hour < first_kept]:
            del hours[hour]
        self.since_ms = first_kept * HOUR_MS

    def _window_of(self, level: int, index: int) -> int:
        """Return the narrowest window (0 to 2) that a slice lies in; 3: none."""
        for window in range(level, 3):
            if self._ago(level, index, window) < SLICE_COUNT:
                return window
        return 3

    def _ago(self, level: int, index: int, coarser: int) -> int:
        return self.now_ms // SLICE_MS[coarser] - index * SLICE_MS[level] // SLICE_MS[coarser]

    def _agos(self, level: int, index: int) -> list[tuple[int, int]]:
        """Return (level, slices ago) for a slice's own level and the coarser ones."""
        return [(coarser, self._ago(level, index, coarser)) for coarser in range(level, 3)]

    def _candidates(self, places: list[Place]) -> list[str]:
        """Return the terms that may be trends, the likeliest first."""
        if self._totals is None:
            self._totals = {}
            for place in places:
                if place[0] is not self._open:
                    _add_leaders(self._totals, place)
        totals = self._totals.copy()
        for place in places:
            if place[0] is self._open:
                for _, key in place[0].leaders():
                    if key in totals:
                        totals[key] = totals[key].copy()
                _add_leaders(totals, place)
        hour = self.now_ms // HOUR_MS
        seen_hours = (self.now_ms - self.since_ms) / HOUR_MS + self._long.hours(hour)
        before = {key: total[3] + self._long.mentions(key, hour) for key, total in totals.items()}
        best: list[list[str]] = []
        for window, span in enumerate(SLICE_MS):
            hours = span * SLICE_COUNT / HOUR_MS
            share = hours / max(seen_hours - hours, hours)
            gains = []
            for key, total in totals.items():
                if count := total[window]:
                    usual = (before[key] - count) * share
                    gains.append(((usual - count) / (1.0 + usual) ** 0.5, key))
            if len(gains) > ONCE_COUNT_MAX:
                gains = [gain for gain in gains if gain[0] < 0.0 and totals[gain[1]][window] > 1]
            gains.sort()
            best.append([key for _, key in _best(gains, CANDIDATE_COUNT, CANDIDATE_PER_LANG_COUNT)])
        mixed = itertools.chain.from_iterable(itertools.zip_longest(*best))
        return list(dict.fromkeys(key for key in mixed if key is not None))


def _add_leaders(totals: dict[str, list[int]], place: Place) -> None:
    """Add a slice's leaders to each term's mentions in the three windows and in all that the slices cover."""
    slice_, narrowest, _ = place
    for less, key in slice_.leaders():
        total = totals.get(key)
        if total is None:
            total = totals[key] = [0, 0, 0, 0]
        for window in range(narrowest, 4):
            total[window] -= less


class _Facts:
    """What the slices know of one term."""

    __slots__ = ("authors", "counts", "known_floors")

    def __init__(self) -> None:
        self.counts: tuple[dict[int, int], ...] = ({}, {}, {})  # by level: mentions by slices ago
        self.authors: tuple[list[Authors], ...] = ([], [], [], [])  # by narrowest window
        self.known_floors = [0, 0, 0, 0]  # by narrowest window: floors of slices that do have the term


def _facts(keys: list[str], places: list[Place]) -> Iterator[tuple[str, list[list[int]], list[Any], list[int]]]:
    """Yield for each term: itself, its mentions, its authors, and what may be missing.

    Mentions: at each level, flat pairs of slices ago and count. Authors: in each window; 0: as in the narrower one.
    Missing: outside each window, the floors of the slices that don't have it.
    """
    found = {key: _Facts() for key in keys}
    wanted = found.keys()
    floors = [0, 0, 0, 0]
    for slice_, window, agos in places:
        floors[window] += slice_.floor
        for key in wanted & slice_.terms.keys():
            facts = found[key]
            facts.authors[window].append(slice_.terms[key])
            facts.known_floors[window] += slice_.floor
            mentions = slice_.mentions(key)
            for level, ago in agos:
                counts = facts.counts[level]
                counts[ago] = counts.get(ago, 0) + mentions
    for key, facts in found.items():
        packed: list[Any] = []
        wider: list[Authors] = []
        for window in range(3):
            if facts.authors[window]:
                wider = [union(wider + facts.authors[window])]
                packed.append(_pack(wider[0]))
            else:
                packed.append(0 if wider else None)
        missed = [sum(floors[window + 1 :]) - sum(facts.known_floors[window + 1 :]) for window in range(3)]
        yield key, [[n for pair in level.items() for n in pair] for level in facts.counts], packed, missed


def _best(ranked: list[tuple[Any, str]], count: int, count_per_lang: int) -> list[tuple[Any, str]]:
    """Return the first `count` of a sorted list, and of each language the first count_per_lang, in order."""
    if len(ranked) <= count:
        return ranked
    taken: dict[str, int] = {}
    chosen = []
    for at, item in enumerate(ranked):
        lang = item[1][1:4]
        taken[lang] = taken.get(lang, 0) + 1
        if at < count or taken[lang] <= count_per_lang:
            chosen.append(item)
    return chosen


def union(parts: list[Authors]) -> Authors:
    """Return the authors of several sets, at least one. Cost: 1.5 us for two small sketches, 4 us for large ones."""
    if len(parts) == 1:
        return parts[0]
    sketches = [part for part in parts if type(part) is not int]
    ids = {part for part in parts if type(part) is int}
    if sketches:
        joined = hll_union(HLL_LG)
        for part in itertools.chain(sketches, ids):
            joined.update(part)
        return joined.get_result(HLL_4)
    if len(ids) == 1:
        return ids.pop()
    sketch = hll_sketch(HLL_LG, HLL_4)
    for author_id in ids:
        sketch.update(author_id)
    return sketch


def author_count(authors: Authors) -> int:
    """Return how many there are in a set."""
    return 1 if type(authors) is int else round(authors.get_estimate())


def _pack(authors: Authors) -> int | bytes:
    return authors if type(authors) is int else bytes(authors.serialize_compact())


def _unpack(packed: int | bytes) -> Authors:
    return packed if type(packed) is int else hll_sketch.deserialize(packed)


def seal(mark: bytes, body: Any) -> bytes:
    """Return a body, packed, as bytes that `unseal` tells from damaged and from foreign ones."""
    packed: bytes = msgpack.packb(body)
    return mark + zlib.crc32(packed).to_bytes(4, "big") + packed


def unseal(mark: bytes, data: bytes) -> Any:
    """Return what was sealed. Raises ValueError for anything else, of which nothing but the checksum is looked at."""
    at = len(mark)
    if type(data) is not bytes or data[:at] != mark:
        raise ValueError(f"these are no trends of this version: they don't begin with {mark!r}")
    if zlib.crc32(data[at + 4 :]) != int.from_bytes(data[at : at + 4], "big"):
        raise ValueError(f"{len(data)} bytes of trends are damaged: their checksum is wrong")
    return msgpack.unpackb(data[at + 4 :], strict_map_key=False)


class Snapshot(NamedTuple):
    """What a shard said."""

    now_ms: int
    since_ms: int
    long_hours: float
    terms: list[list[Any]]  # what _facts yields of each, and its mentions in the long memory


def read_snapshot(data: bytes) -> Snapshot:
    """Return what `ShardTrends.snapshot` was made from. Raises ValueError for bytes that are anything else."""
    body = unseal(_SNAPSHOT, data)
    try:
        (now_ms, since_ms, long_hours), records = body
        terms = [msgpack.unpackb(record) for record in records]
    except (TypeError, LookupError, msgpack.UnpackException) as error:
        raise ValueError(f"these are no trends of a shard: {error}") from error
    return Snapshot(now_ms, since_ms, long_hours, terms)


class _Gathered:
    """One term of one language, over the shards."""

    __slots__ = ("authors", "counts", "mean", "yesterday")

    def __init__(self) -> None:
        self.counts = [0] * SLICE_COUNT
        self.mean = 0.0
        self.yesterday = [0] * (HOUR_COUNT - SLICE_COUNT + 1)  # mentions in the hours around this one, a day ago
        self.authors: list[int | bytes] = []


def merge(
    snapshots: Iterable[Snapshot], now_ms: int, window: str, authors_min: int = AUTHORS_MIN
) -> dict[str | None, list[TermCounts]]:
    """Return the terms of each language (None: of all together) with authors_min mentions in a window or more.

    An author's tweets are all on one shard, so mentions add up; one who uses a term in two languages counts twice
    among the mentions of all, once among the authors. Cost: see the module header.
    """
    level = WINDOWS.index(window)
    by_term: dict[tuple[str, str], dict[str, _Gathered]] = {}
    for snapshot in snapshots:
        _gather(by_term, snapshot, now_ms, level)
    terms: dict[str | None, list[TermCounts]] = {None: []}
    for (sign, text), by_lang in by_term.items():
        if sum(sum(found.counts) for found in by_lang.values()) < authors_min:
            continue
        counted = {lang: _count(sign, text, [found], level) for lang, found in by_lang.items()}
        for lang, term in counted.items():
            if term.tweets >= authors_min:
                terms.setdefault(lang, []).append(term)
        alone = len(counted) == 1
        terms[None].append(*counted.values() if alone else [_count(sign, text, list(by_lang.values()), level)])
    return terms


def _gather(by_term: dict[tuple[str, str], dict[str, _Gathered]], snapshot: Snapshot, now_ms: int, level: int) -> None:
    window_hours = SLICE_MS[level] * SLICE_COUNT / HOUR_MS
    seen_hours = (snapshot.now_ms - snapshot.since_ms) / HOUR_MS + snapshot.long_hours
    share = window_hours / max(seen_hours - window_hours, window_hours)
    later = now_ms // SLICE_MS[level] - snapshot.now_ms // SLICE_MS[level]  # slices begun since
    for key, counts, authors, missed, long_mentions in snapshot.terms:
        lang, _, text = key[1:].partition(" ")
        by_lang = by_term.setdefault((key[0], text), {})
        found = by_lang.get(lang)
        if found is None:
            found = by_lang[lang] = _Gathered()
        outside = sum(counts[2][1::2]) + missed[level] / 2 + long_mentions
        for ago, count in zip(counts[level][::2], counts[level][1::2], strict=True):
            if ago < SLICE_COUNT:
                outside -= count
                if ago + later < SLICE_COUNT:
                    found.counts[min(SLICE_COUNT - 1 - ago - later, SLICE_COUNT - 1)] += count
        found.mean += outside * share
        if level < 2:
            for ago, count in zip(counts[2][::2], counts[2][1::2], strict=True):
                if ago >= SLICE_COUNT - 1:
                    found.yesterday[ago - SLICE_COUNT + 1] += count
        packed = next((authors[at] for at in range(level, -1, -1) if authors[at] != 0), None)
        if packed is not None:
            found.authors.append(packed)


def _count(sign: str, text: str, gathered: list[_Gathered], level: int) -> TermCounts:
    """Return the counts of a term over some languages."""
    counts = [sum(column) for column in zip(*(found.counts for found in gathered), strict=True)]
    tweets = sum(counts)
    packed = [authors for found in gathered for authors in found.authors]
    authors = min(author_count(union([_unpack(one) for one in packed])), tweets) if packed else 0
    yesterday = [sum(column) for column in zip(*(found.yesterday for found in gathered), strict=True)]
    usual = max(sum(found.mean for found in gathered), max(yesterday) * SLICE_MS[level] * SLICE_COUNT / HOUR_MS)
    return TermCounts(KIND_OF_SIGN[sign], text, tuple(counts), tweets, authors, usual)
