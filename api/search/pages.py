"""Pages of tweets, made of what the shards answer to a search.

Rules of this file
- Pure: what is asked of whom, and what the answers make. `search.py` asks.
- A shard is asked for as many tweets as it is likely to have on the page, not for a whole page (`share_of`). One whose
  tweets end before the page does is asked on, once, for all that may be missing.
- A page ends where a shard's known tweets end that has more: others of its may come in between.
- Tweets come as ready JSON, which is joined and never parsed.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from actors.core.ids import ID_MAX
from actors.core.limits import RANKED_COUNT_MAX
from api.search.cache import SearchAnswer, ShardsHeard
from api.search.cursor import cursor_of_top, pack_ids

TOO_FEW_COUNT = 3  # found tweets below which a typo is suspected
SHORT_SHARE_MAX = 0.05  # of pages for which a shard has to be asked on, if a tweet is on any shard alike
Row = list[Any]  # [score, id, JSON]
Key = Any  # by which rows are sorted: the id, or (score, id)
by_id, by_score = itemgetter(1), itemgetter(0, 1)
# Neither int nor float.fromhex decides what a number may look like: they take blanks, signs, all scripts, "nan".


class Question(NamedTuple):
    """A search for tweets as it was asked; the key of what is repeated."""

    text: str
    order: str
    count_max: int
    max_id: int
    since_id: int
    min_id: int
    at_ms: int
    shown: bytes  # of `top`: the tweets of the pages before, as int64s (`search/cursor.py`)
    exact: bool
    highlights: bool
    reader: int


class Found(NamedTuple):
    """A page of tweets, merged."""

    rows: list[Row]
    cursor: str | None  # of the next page
    spans: dict[str, Any]  # highlights by tweet id
    shards: ShardsHeard


class Gathering:
    """The tweets of one page as the answers of shards bring them."""

    __slots__ = (
        "_asked", "_count", "_edges", "_first", "_key", "_places", "_rows", "_since_id", "is_forward", "shard_count",
    )  # fmt: skip

    def __init__(self, asked: Question, shard_count: int) -> None:
        min_id, self._since_id = bounds(asked.since_id, asked.min_id)
        self._asked, self.shard_count = asked, shard_count
        self.is_forward = bool(min_id)
        self._key = by_score if asked.order == "top" else by_id
        self._count = min(asked.count_max, RANKED_COUNT_MAX - len(asked.shown) // 8)  # tweets that the page may have
        self._rows: list[Row] = []  # sorted once `open_ends` or `found` was called
        self._edges: dict[int, Key] = {}  # of shards that have more: how far their rows are known
        self._first: dict[int, list[int]] = {}  # of `top`: what a shard has given of the page, if it has more
        self._places: dict[int, Any] = {}  # highlights by tweet id

    def question(self, tree: list[Any], reader: list[Any]) -> list[Any]:
        """Return the arguments of the lane's `search` that every shard is asked first."""
        asked = self._asked
        cursor: Any = asked.shown
        if asked.order != "top":
            cursor = [asked.max_id, bounds(asked.since_id, asked.min_id)[0]]
        share = self._count if self.is_forward else share_of(self._count, self.shard_count)
        return [tree, asked.order, share, cursor, asked.at_ms, reader, asked.highlights]

    def take(self, shard: int, answer: Any) -> None:
        """Take in a shard's answer, [rows, edge, highlights]; of its second what isn't here yet: a tweet may have moved
        to another shard meanwhile."""
        rows, edge, *more = answer
        if self._asked.highlights:
            self._places |= {row[1]: place for row, place in zip(rows, *more, strict=False)}
        if shard in self._edges:
            known = {row[1] for row in self._rows}
            rows = [row for row in rows if row[1] not in known]
        if not edge:
            self._edges.pop(shard, None)
        elif self._key is by_id:
            self._edges[shard] = edge
        elif rows:
            self._edges[shard] = by_score(rows[-1])
            self._first[shard] = [row[1] for row in rows]
        self._rows += [row for row in rows if row[1] > self._since_id] if self._since_id else rows

    def open_ends(self) -> list[tuple[int, Key, int]]:
        """Return (shard, edge, tweets) of the shards that may have tweets of this page beyond their edge, and at most
        how many."""
        if self.is_forward or not self._edges:
            return []
        rows, key, count = self._sorted(), self._key, self._count
        last = key(rows[count - 1]) if len(rows) >= count else None
        ends = []
        for shard, edge in self._edges.items():
            if (last is None or edge > last) and (key is by_score or edge > self._since_id):
                ends.append((shard, edge, count - sum(key(row) >= edge for row in rows)))
        return ends

    def question_beyond(self, tree: list[Any], reader: list[Any], shard: int, edge: Key, count: int) -> list[Any]:
        """Return the arguments of the lane's `search` for what lies beyond a shard's edge: of `top`, for what it hasn't
        given yet."""
        asked = self._asked
        cursor: Any = [edge, 0]
        if self._key is by_score:
            cursor = asked.shown + pack_ids(self._first[shard])
        return [tree, asked.order, count, cursor, asked.at_ms, reader, asked.highlights]

    def found(self, shards: ShardsHeard) -> Found:
        """Return the page."""
        asked, rows = self._asked, self._sorted()
        cursor = None
        if self._key is by_score:
            edge = max(self._edges.values(), default=None)
            page = rows[: self._count]
            if edge is not None and page and by_score(page[-1]) < edge:
                page = [row for row in page if by_score(row) >= edge]
            ends = len(asked.shown) // 8 + len(page) >= RANKED_COUNT_MAX
            if page and not ends and (len(rows) > len(page) or self._edges or shards.is_partial):
                cursor = cursor_of_top(asked.at_ms, asked.shown, [row[1] for row in page])
        else:
            page, edge = cut(rows, list(self._edges.values()), self._count, self.is_forward)
            if edge > self._since_id and not self.is_forward:
                cursor = str(edge)
        spans = {str(row[1]): self._places.get(row[1], []) for row in page} if asked.highlights else {}
        return Found(page, cursor, spans, shards)

    def _sorted(self) -> list[Row]:
        """Sort the rows, the first of the page first."""
        self._rows.sort(key=self._key, reverse=True)
        return self._rows


@lru_cache(1_024)
def share_of(count: int, shard_count: int) -> int:
    """Return for how many tweets of a page of `count` each shard is asked first.

    So many that in all but SHORT_SHARE_MAX of pages no shard has more of them, if each tweet is on any shard alike: the
    tail of a binomial distribution, times the shards.
    """
    tail, share = 0.0, count
    while share > 1:
        ways = comb(count, share) * (shard_count - 1) ** (count - share)
        tail += shard_count * (ways / shard_count**count)
        if tail > SHORT_SHARE_MAX:
            break
        share -= 1
    return share


def is_suspect(asked: Question, found: Found) -> bool:
    """Return whether so little was found that something may be mistyped. Of a full page there can't be more.
    With a cursor there is more: few may be shown. A shard that doesn't answer may have what is missing."""
    return (
        len(found.rows) < min(TOO_FEW_COUNT, asked.count_max)
        and found.cursor is None
        and not found.shards.is_partial
        and not asked.exact
        and not (asked.max_id or asked.since_id or asked.min_id or asked.shown)  # only on the first page
    )


def suggested_accounts(answers: list[Any], shards: ShardsHeard) -> list[Row]:
    """Return the accounts to suggest, in no order: those whose names begin so, on whatever shard; if none does, and all
    shards have said so, those that resemble it.

    answers: [accounts, hashtags, whether the accounts only resemble it]; a shard of an older version hasn't the last.
    """
    begin = [row for accounts, _, *near in answers if not any(near) for row in accounts]
    return begin if begin or shards.is_partial else [row for accounts, *_ in answers for row in accounts]


def answer_with(asked: Question, found: Found, corrected: str | None = None) -> SearchAnswer:
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
    return SearchAnswer(body, newest_id, oldest_id, shards, len(rows) >= asked.count_max, corrected)


def bounds(since_id: int, min_id: int) -> tuple[int, int]:
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
