"""The home timeline as it is served: rings first, the authors' logs below.

    ring + pull logs of the reader  ---- page kernel ---->  decided entries | undecided below an id
                                                                                   |
    newest tweets of the followees, from their own shards (one question a shard)  <+   the same filters, in Python

The answer equals the definition in docs/architecture.md at every depth: a ring is complete above its floor, and below
it the authors' own logs are asked. `page` is the hot path and asks nobody; `steps` is a generator that yields what it
needs from elsewhere, so that the actor shell, the simulator and a test drive the same code.
Costs: page about 10 us for 20 entries; steps one round of questions per page as a rule.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core import ids, limits
from actors.core.arrays import kernels
from actors.core.entries import Entry, unpack
from actors.core.errors import MovedError
from actors.core.shapes import Item, Shape

if TYPE_CHECKING:
    from actors.core.state import ShardState

PULL_ROUNDS_MAX = 64  # rounds of questions for one page; only a feed of nothing but filtered replies needs so many

_NOBODY = np.zeros(0, dtype=np.int64)


class Wake(NamedTuple):
    """The reader is dormant: it must be woken (unless that is under way) before `steps` goes on. Answer: None."""

    account_id: int
    start: bool


class Ask(NamedTuple):
    """Questions to shards: {shard: (op, args)}. Answer: {shard: body}."""

    questions: dict[int, tuple[str, list[Any]]]


@dataclass(slots=True)  # not frozen: that would make an instance, one a read, cost 1 us more
class HomeQuery:
    """One page: ids exclusive, 0 = not given; min_id asks for the entries right after it.

    skip: of the count entries the newest so many are left out, for callers that know offsets rather than ids.
    """

    account_id: int
    max_id: int
    since_id: int
    min_id: int
    count: int
    skip: int = 0


class HomeTimelines:
    """Reads of home timelines on one replica, in one shape."""

    def __init__(self, state: ShardState, shape: Shape) -> None:
        self.state, self.shape = state, shape
        self._out = np.empty(limits.PAGE_COUNT_MAX * 2, dtype=np.uint32)

    # ---- the hot path -----------------------------------------------------------------------------------------

    def page(self, row: int, query: HomeQuery) -> tuple[npt.NDArray[np.uint32], int]:
        """Return (slots of the arrivals, newest first; -1 if that is the page, else the id below which it goes on)."""
        state = self.state
        a = state.arrivals
        if not query.min_id and not state.pull_logs.logs:
            ring, others = state.rings.arena, state.graph.following
            found, below = kernels.page_of_row(
                ring.data, ring.start, ring.length, state.rings.floor, state.rings.ordered,
                others.data, others.start, others.length,
                a.tweet_id, a.author_id, a.flags, a.reply_author, a.orig_id, a.orig_author,
                a.next_n, a.capacity, a.lost_max_id, row, query.account_id, self._hidden(row),
                query.max_id or ids.ID_MAX, query.since_id, limits.REPOST_WINDOW_COUNT, self._out[: query.count],
            )  # fmt: skip
            return self._out[:found], below
        following = state.graph.following.view(row)
        ns = state.rings.view(row)  # before its floor, which settling may raise
        floor = int(state.rings.floor[row])
        if state.pull_logs.logs:
            ns, floor = state.pull_logs.merge(ns, floor, state.pull_logs.followed_by(following))
        count, mask = query.count, np.uint32(a.mask)
        if query.min_id:
            count = len(ns)
            if count > len(self._out):
                self._out = np.empty(count * 2, dtype=np.uint32)
        found, below = kernels.page(
            ns, a.tweet_id, a.author_id, a.flags, a.reply_author, a.orig_id, a.orig_author, a.next_n, a.capacity,
            floor, query.account_id, following, self._hidden(row), query.max_id or ids.ID_MAX,
            max(query.since_id, query.min_id), limits.REPOST_WINDOW_COUNT, self._out[:count],
        )  # fmt: skip
        if query.min_id:
            if below < 0 and count == found:
                below = -1 if floor == 0 or query.min_id >= floor else floor
            return self._out[max(0, found - query.count) : found] & mask, below
        return self._out[:found] & mask, below

    def _hidden(self, row: int) -> npt.NDArray[np.int64]:
        """Return whose tweets an account doesn't see. Most have blocked and muted nobody: 0.1 us for them."""
        for related in self.state.graph.relations:
            if row in related:
                return self.state.graph.hidden(row)
        return _NOBODY

    def try_page(self, query: HomeQuery) -> list[Any] | None:
        """Return the finished reply `[json, newest_id, oldest_id]`, or None when `steps` is needed. Asks nobody."""
        state = self.state
        row = state.people.row_of.get(query.account_id)
        if row is None or not state.rings.awake[row] or query.account_id in state.waking:
            return None
        found, below = self.page(row, query)
        if below >= 0:
            return None
        slots = found[query.skip :].tolist()
        if not slots:
            return [b"[]", 0, 0]
        tweet_id = state.arrivals.tweet_id
        return [self.shape.array(slots, query.account_id), tweet_id.item(slots[0]), tweet_id.item(slots[-1])]

    # ---- waking, and below the floor --------------------------------------------------------------------------

    def steps(self, query: HomeQuery) -> Generator[Wake | Ask, Any, list[Item]]:
        """Produce a page, yielding what must be had first. Returns its items, newest first."""
        row_of, steps, answer = self.state.people.row_of, self._unskipped(query), None
        row = row_of.get(query.account_id)
        while True:
            if row is None or row_of.get(query.account_id) != row:
                raise MovedError(f"account {query.account_id} is not on shard {self.state.shard} any more")
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                items: list[Item] = stop.value
                return items[query.skip :]
            answer = yield need

    def _unskipped(self, query: HomeQuery) -> Generator[Wake | Ask, Any, list[Item]]:
        row = self.state.people.row_of[query.account_id]
        while not self.state.rings.awake[row] or query.account_id in self.state.waking:
            yield Wake(query.account_id, not self.state.rings.awake[row])
        slots, below = self.page(row, query)
        if query.min_id:
            if below < 0:
                return self.shape.items(slots.tolist())
            return (yield from self._after(row, query))
        items = self.shape.items(slots.tolist())
        if below >= 0:
            rest = replace(query, max_id=below, count=query.count - len(items))
            items += yield from self._before(row, rest)
        return items

    def _before(self, row: int, query: HomeQuery) -> Generator[Ask, Any, list[Item]]:
        """Collect a page from the authors' own logs, newest first, ids below query.max_id."""
        candidates: list[Entry] = []
        cursor, exhausted = query.max_id, False
        want = query.count + limits.REPOST_WINDOW_COUNT
        for _ in range(PULL_ROUNDS_MAX):
            chosen, decided = self._choose(candidates, query, exhausted)
            if decided:
                break
            want = min(want, limits.PULL_COUNT_MAX)
            answers = yield Ask(
                {s: ("pull", [query.account_id, a, cursor, want]) for s, a in self._authors(row).items()}
            )
            cursor = max((above for _, above in answers.values()), default=0) + 1
            exhausted = cursor == 1
            found = [Entry(*f) for packed, _ in answers.values() for f in unpack(packed) if f[0] >= cursor]
            found.sort(key=lambda e: e.tweet_id, reverse=True)
            candidates += [e for e in found if self._is_candidate(row, query.account_id, e)]
            want *= 2
        return self.shape.pulled(chosen)

    def _after(self, row: int, query: HomeQuery) -> Generator[Ask, Any, list[Item]]:
        """Collect the entries right after query.min_id from the authors' own logs."""
        want = query.count * 2 + limits.REPOST_WINDOW_COUNT
        top = query.max_id or ids.ID_MAX
        while True:
            want = min(want, limits.PULL_COUNT_MAX)
            answers = yield Ask(
                {s: ("pull_after", [query.account_id, a, query.min_id, want]) for s, a in self._authors(row).items()}
            )
            ceiling = min((above for _, above in answers.values() if above), default=top)
            ceiling = min(ceiling, top)
            span = replace(query, max_id=ceiling, since_id=query.min_id, min_id=0, count=limits.PULL_COUNT_MAX)
            items = yield from self._before(row, span)
            if len(items) >= query.count or ceiling == top or want == limits.PULL_COUNT_MAX:
                return items[-query.count :]
            want *= 4

    def _authors(self, row: int) -> dict[int, bytes]:
        """Return the accounts whose tweets may be in a timeline, as int64 bytes per shard."""
        state = self.state
        authors = np.append(state.graph.following.view(row), state.people.accounts[row].account_id)
        hidden = state.graph.hidden(row)
        if len(hidden):
            authors = authors[~np.isin(authors, hidden)]
        owners = state.owner[ids.buckets_of_accounts(authors)]
        return {s: authors[owners == s].tobytes() for s in ids.distinct_shards(owners)}

    def _is_candidate(self, row: int, me: int, e: Entry) -> bool:
        graph = self.state.graph
        following, hidden = graph.following.view(row), graph.hidden(row)
        return bool(kernels.is_candidate(e.author_id, e.flags, e.reply_author, e.orig_author, me, following, hidden))

    @staticmethod
    def _choose(candidates: list[Entry], query: HomeQuery, exhausted: bool) -> tuple[list[Entry], bool]:
        """Apply the repost rule. Returns (the page so far, whether it is final)."""
        chosen: list[Entry] = []
        for i, entry in enumerate(candidates):
            if len(chosen) == query.count or entry.tweet_id <= query.since_id:
                return chosen, True
            if entry.is_repost:
                older = candidates[i + 1 : i + 1 + limits.REPOST_WINDOW_COUNT]
                if any(o.orig_id == entry.orig_id for o in older):
                    continue
                if len(older) < limits.REPOST_WINDOW_COUNT and not exhausted:
                    return chosen, False
            chosen.append(entry)
        return chosen, exhausted or len(chosen) == query.count
