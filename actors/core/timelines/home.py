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

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core import ids, limits
from actors.core.arrays import kernels
from actors.core.entries import Entry, unpack
from actors.core.errors import MovedError
from actors.core.hashtags import tags_in
from actors.core.shapes import Item, Shape
from actors.core.timelines.wishes import Wishes, wishes_of
from actors.core.visibility import is_for

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
        if not query.min_id and not state.pull_logs.logs and row not in state.graph.wishful:
            ring, others = state.rings.arena, state.graph.following
            found, below = kernels.page_of_row(
                ring.data, ring.start, ring.length, state.rings.floor, state.rings.ordered,
                others.data, others.start, others.length,
                a.tweet_id, a.author_id, a.flags, a.reply_author, a.orig_id, a.orig_author,
                a.next_n, a.capacity, a.lost_max_id, row, query.account_id, self._hidden(row),
                query.max_id or ids.ID_MAX, query.since_id, limits.REPOST_WINDOW_COUNT, self._out[: query.count],
            )  # fmt: skip
            return self._out[:found], below
        return self._page_of_entries(row, query)

    def _page_of_entries(self, row: int, query: HomeQuery) -> tuple[npt.NDArray[np.uint32], int]:
        """As `page`, of whatever entries there are."""
        a = self.state.arrivals
        ns, floor, following = self._entries(row)
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

    def _entries(self, row: int) -> tuple[npt.NDArray[np.uint32], int, npt.NDArray[np.int64]]:
        """Return (entries ascending by tweet id, the id above which they are all, whom one may answer to be shown)."""
        state = self.state
        following = state.graph.following.view(row)
        ns = state.rings.view(row)  # before its floor, which settling may raise
        floor = int(state.rings.floor[row])
        logs = state.pull_logs.followed_by(following)
        logs += [log for tag in self._tags(row) if (log := state.tag_logs.logs.get(tag)) is not None]
        ns, floor = state.pull_logs.merge(ns, floor, logs)
        wishes = self._wishes(row)
        if wishes is not None:
            ns, floor = state.arrivals.above_lost(ns, floor)
            ns = wishes.kept(state.arrivals, ns)
        return ns, floor, following

    def _wishes(self, row: int) -> Wishes | None:
        """Return what an account wants none of beside what it hides."""
        return wishes_of(self.state, row, with_lists=True)

    def _tags(self, row: int) -> Collection[int]:
        """Return the hashtags whose tweets may be in a timeline."""
        return self.state.graph.tags_of.get(row, ())

    def _hidden(self, row: int) -> npt.NDArray[np.int64]:
        """Return what an account doesn't see (`FollowGraph.unshown`). Most have hidden nobody: 0.1 us for them."""
        for related in self.state.graph.leaving_out:
            if row in related:
                return self.state.graph.unshown(row)
        return _NOBODY

    # ---- one tweet that has just arrived -----------------------------------------------------------------------

    def reaches(self, row: int, me: int, e: Entry) -> bool:
        """Whether a tweet's author, or a hashtag of it, is among what a timeline is made of."""
        if e.author_id == me or self.state.graph.following.contains(row, e.author_id):
            return True
        tags = self._tags(row)
        return bool(tags) and not set(tags).isdisjoint(tags_in(e.flags, e.body))

    def wants(self, row: int, me: int, e: Entry) -> bool:
        """Whether a tweet in reach passes every rule but that of reposts."""
        if not is_for(me, e.author_id, e.flags, e.mention_ids):
            return False
        return self._is_candidate(row, me, self._wishes(row), e)

    def shows(self, row: int, me: int, n: int, e: Entry) -> bool:
        """Whether a timeline shows an arrival that is in reach, in its ring already or on the way there.

        A repost for whose rule other shards would have to be asked, below the ring's floor, is shown. 3 us, a repost
        10.
        """
        if not self.wants(row, me, e):
            return False
        if not e.is_repost:
            return True
        a = self.state.arrivals
        ns, floor, following = self._entries(row)
        tweet_ids = a.tweet_id[ns & np.uint32(a.mask)]
        place = int(np.searchsorted(tweet_ids, e.tweet_id))
        if e.tweet_id <= floor:
            return False
        if place == len(ns) or int(tweet_ids[place]) != e.tweet_id:
            ns = np.insert(ns, place, np.uint32(n))
        out = np.empty(1, dtype=np.uint32)
        found, below = kernels.page(
            ns, a.tweet_id, a.author_id, a.flags, a.reply_author, a.orig_id, a.orig_author, a.next_n, a.capacity,
            floor, me, following, self._hidden(row), e.tweet_id + 1, e.tweet_id - 1, limits.REPOST_WINDOW_COUNT, out,
        )  # fmt: skip
        return bool(found == 1 or below >= 0)

    def try_page(self, query: HomeQuery, show: Callable[[list[int], int], Any] | None = None) -> list[Any] | None:
        """Return the finished reply `[json, newest_id, oldest_id]`, or None when `steps` is needed. Asks nobody.

        show: what makes of slots, one at least, and the reader what the reply has in place of an array.
        """
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
        shown = (show or self.shape.array)(slots, query.account_id)
        return [shown, tweet_id.item(slots[0]), tweet_id.item(slots[-1])]

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
        return self.shape.pulled((yield from self.entries_below(row, query)))

    def entries_below(self, row: int, query: HomeQuery) -> Generator[Ask, Any, list[Entry]]:
        """Collect a page from the authors' own logs, newest first, ids below query.max_id. No ring is looked at."""
        candidates: list[Entry] = []
        cursor, exhausted = query.max_id, False
        want, wishes = query.count + limits.REPOST_WINDOW_COUNT, self._wishes(row)
        for _ in range(PULL_ROUNDS_MAX):
            chosen, decided = self._choose(candidates, query, exhausted)
            if decided:
                break
            want = min(want, limits.PULL_COUNT_MAX)
            answers = yield self._asked("pull", row, query.account_id, cursor, want)
            cursor = max((above for _, above in answers.values()), default=0) + 1
            exhausted = cursor == 1
            found = [Entry(*f) for packed, _ in answers.values() for f in unpack(packed) if f[0] >= cursor]
            found.sort(key=lambda e: e.tweet_id, reverse=True)
            candidates += [e for e in found if self._is_candidate(row, query.account_id, wishes, e)]
            want *= 2
        return chosen

    def _after(self, row: int, query: HomeQuery) -> Generator[Ask, Any, list[Item]]:
        """Collect the entries right after query.min_id from the authors' own logs."""
        want = query.count * 2 + limits.REPOST_WINDOW_COUNT
        top = query.max_id or ids.ID_MAX
        while True:
            want = min(want, limits.PULL_COUNT_MAX)
            answers = yield self._asked("pull_after", row, query.account_id, query.min_id, want)
            ceiling = min((above for _, above in answers.values() if above), default=top)
            ceiling = min(ceiling, top)
            span = replace(query, max_id=ceiling, since_id=query.min_id, min_id=0, count=limits.PULL_COUNT_MAX)
            items = yield from self._before(row, span)
            if len(items) >= query.count or ceiling == top or want == limits.PULL_COUNT_MAX:
                return items[-query.count :]
            want *= 4

    def _asked(self, op: str, row: int, reader: int, bound: int, want: int) -> Ask:
        """Return the question to the shards that may have tweets of a timeline: all of them, if it follows a tag."""
        authors, tags = self._authors(row), sorted(self._tags(row))
        if not tags:
            return Ask({shard: (op, [reader, some, bound, want]) for shard, some in authors.items()})
        packed, shards = np.array(tags, dtype="<i8").tobytes(), ids.distinct_shards(self.state.owner)
        return Ask({s: (op, [reader, authors.get(s, b""), bound, want, packed]) for s in shards})

    def _read_authors(self, row: int) -> npt.NDArray[np.int64]:
        """Return the accounts whose tweets may be in a timeline, hidden ones too."""
        return self.state.graph.read_by(row, self.state.people.accounts[row].account_id)

    def _answered(self, row: int) -> npt.NDArray[np.int64]:
        """Return whom one may answer to be shown."""
        return self.state.graph.following.view(row)

    def _authors(self, row: int) -> dict[int, bytes]:
        """Return the accounts whose tweets may be in a timeline, as int64 bytes per shard."""
        state = self.state
        authors = self._read_authors(row)
        hidden = state.graph.hidden(row)
        if len(hidden):
            authors = authors[~np.isin(authors, hidden)]
        owners = state.owner[ids.buckets_of_accounts(authors)]
        return {s: authors[owners == s].tobytes() for s in ids.distinct_shards(owners)}

    def _is_candidate(self, row: int, me: int, wishes: Wishes | None, e: Entry) -> bool:
        if wishes is not None and not wishes.keeps(e.author_id, e.body):
            return False
        following, hidden = self._answered(row), self.state.graph.unshown(row)
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
