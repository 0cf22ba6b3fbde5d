"""Buckets that move from one shard to another while both serve: what a shard gives, takes, and forgets.

    giver                          taker                          everybody
    give: watch what changes       take: expect these buckets
    parts: all accounts  ------->  away, found by nobody
    tail: what changed   ------->                                 freeze: no new commands; messages drain
    last tail            ------->  facts are equal?               (the new map is on disk: decided)
                                                                  remap: owners, counts per shard, pull logs
                                                                  thaw
    sweep: forgets the accounts

Theory
- While all shards are frozen and no message is under way, nothing refers to the old owner: no order between two ways of
  a message has to be kept, and nothing needs forwarding. A freeze is a journaled command, so it outlives a process, and
  ends by a `thaw` of its number or a higher one; a `freeze` that arrives after that does nothing.
- The map of buckets is part of the state and changes by `remap` alone: every replica and every replay handles each
  message under the same map. `remap` and `thaw` are repeated until all have done them.
- An account that is here but another shard's is in `people.away`: it has no ring, and nobody finds it.
  The taker has arriving accounts there, the giver those that have left, until `sweep` has forgotten them.
- What is given is read from the state at the moment of each part. Whatever changes after the beginning is noted, so
  that the tail brings what a part was too early for.
- A ring doesn't move: it is a cache. An account that has moved is dormant, and its first read wakes it.

Costs: giving and taking about 3 us a tweet and 0.1 us an edge; `remap` 0.05 us an account and 3 ns a follower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from actors.core import ids
from actors.core.arrays import restore_kernels
from actors.core.checkpoints.changes import Changes
from actors.core.entries import Entry, pack, unpack
from actors.core.features.follows import drop_edge
from actors.core.features.likes import LIKE
from actors.core.features.pull_authors import start_pull_logs
from actors.core.features.reposts import unlist_repost
from actors.core.features.tag_readers import tell_shards_of_tags
from actors.core.moves.sweeping import forget_account, sweep, tweet_ids_of
from actors.core.moves.transfers import Incoming
from actors.core.stores.people import Account
from actors.core.terms import FULL_FROM_LEVEL, Kind, Owner, PaperKind

if TYPE_CHECKING:
    from actors.core.state import ShardState

Ints = npt.NDArray[np.int64]
PART_BYTES = 256 * 1024  # of a part, about; one huge list of followers may be more
PART_ITEMS_BYTES = 200  # what an account without anything counts for
SCAN_NAMES = 20_000  # names looked at for one part: 5 ms
EDGES_OF_PART = PART_BYTES // 8
MARKS_OF_PART = PART_BYTES // 16


def mask_of(buckets: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Return which of the 1,024 buckets are among some."""
    mask = np.zeros(ids.BUCKET_COUNT, dtype=np.bool_)
    mask[list(buckets)] = True
    return mask


# ---- commands: freezing, and the map ----------------------------------------------------------------------


def freeze(state: ShardState, number: int) -> bool:
    """Take no more commands of our own until the `thaw` of this number. False: that has come already."""
    if number <= state.thawed:
        return False
    state.frozen = max(state.frozen, number)
    return True


def thaw(state: ShardState, number: int) -> bool:
    """End every freeze up to a number."""
    state.thawed = max(state.thawed, number)
    if state.frozen <= number:
        state.frozen = 0
    return True


def remap(state: ShardState, epoch: int, shard_count: int, owners: bytes) -> bool:
    """Install a newer map of buckets. False: it isn't newer.

    The buckets may only change while all shards are frozen and have nothing in their outboxes.
    """
    if epoch <= state.map_epoch:
        return False
    old, new = state.owner, np.frombuffer(owners, dtype=np.uint8).astype(np.int64)
    state.map_epoch, state.owner, state.incoming = epoch, new, None
    state.born_epoch = state.born_epoch or epoch
    count_before = state.shard_count
    state.resize(shard_count)
    tell_shards_of_tags(state, count_before)
    moved = old != new
    if moved.any():
        _hand_over(state)
        state.papers.follow_things(state.things.in_buckets(moved))
        _recount(state, moved, old)
        _mend_pull_logs(state)
        if state.news is not None:
            state.news.all()
        if state.heard is not None:
            state.heard.came(state.position, np.flatnonzero(moved & (new == state.shard)).tolist())
    return True


def _hand_over(state: ShardState) -> None:
    """Let accounts go that are others' now, and take in those that have become this shard's."""
    people = state.people
    here = np.array(people.owned(), dtype=np.int64)
    for account_id in here[state.owner[ids.buckets_of_accounts(here)] != state.shard].tolist():
        row = people.depart(account_id)
        state.rings.sleep(row)
        state.waking.pop(account_id, None)
        state.pull_shards.pop(account_id, None)
        for orig_id, repost_id in state.reposts.get(row, {}).items():
            unlist_repost(state, orig_id, repost_id)
        state.changes.accounts.add(row)
        state.changes.arrivals.update(tweet_ids_of(state, row))
        state.papers.follow_account(account_id, tweet_ids_of(state, row))
    there = np.fromiter(people.away, dtype=np.int64, count=len(people.away))
    for account_id in there[state.owner[ids.buckets_of_accounts(there)] == state.shard].tolist():
        row = people.arrive(account_id)
        for orig_id, repost_id in state.reposts.get(row, {}).items():
            state.reposts_of.setdefault(orig_id, set()).add(repost_id)
        state.changes.accounts.add(row)
        state.changes.adopted.update(tweet_ids_of(state, row))
        state.papers.follow_account(account_id, tweet_ids_of(state, row))
    state.dirty_counts = {t: None for t in state.dirty_counts if state.shard_of_tweet(t) == state.shard}


def _recount(state: ShardState, moved: npt.NDArray[np.bool_], old: Ints) -> None:
    """Followers in buckets that have moved count for their new shard."""
    f = state.graph.followers
    restore_kernels.move_counts(
        f.data, f.start, f.length, f.klass, state.people.row_count, moved, old, state.owner, state.graph.shard_followers
    )


def _mend_pull_logs(state: ShardState) -> None:
    """Every shard that follows a pull author has its log, and no other counts as having one."""
    for author_id in sorted(state.pull_shards):
        row = state.people.row_of.get(author_id)
        if row is not None:
            state.pull_shards[author_id] &= set(state.graph.destinations(row))
            start_pull_logs(state, row)
            state.changes.accounts.add(row)


# ---- giving -----------------------------------------------------------------------------------------------


def is_in_account_item(kind: Kind) -> bool:
    """Whether givers of level 0 give a kind of marks within an account's item, as before there were shelves."""
    return kind.number == LIKE.number or kind.relation is not None


class Outgoing:
    """What a shard gives: parts of packed items, each item absolute and right whenever it was read.

    It lives at the leader alone, beside the state: if that process ends, the move begins anew.
    """

    def __init__(self, state: ShardState, number: int, buckets: list[int]) -> None:
        self.state, self.number, self.buckets = state, number, buckets
        self._mask = mask_of(buckets)
        self.accounts = set(self._of_buckets(state.people.owned()))
        self._dirty = _nothing_dirty()
        self._names = iter(list(state.people.names))
        self._parts = self._packed(self._items())
        self._tail: Iterator[bytes] = iter(())

    def _of_buckets(self, account_ids: list[int]) -> list[int]:
        every = np.array(account_ids, dtype=np.int64)
        return every[self._mask[ids.buckets_of_accounts(every)]].tolist() if len(every) else []

    def note_all(self) -> None:
        """Remember what of it has changed since the last time."""
        self._note(self.state.changes)
        self.state.unsealed.absorb(self.state.changes)
        self.state.changes = Changes()

    def _note(self, changes: Changes) -> None:
        state, dirty = self.state, self._dirty
        touched = [state.people.accounts[row].account_id for row in changes.accounts]
        if state.level < FULL_FROM_LEVEL:
            kinds = state.shelves.kinds
            touched += [owner for number, owner, _ in changes.marks if is_in_account_item(kinds[number])]
        ours = self._of_buckets([a for a in touched if a])
        dirty["accounts"].update(ours)
        self.accounts.update(a for a in ours if state.people.own(a) is not None)
        dirty["gone"].update(self._of_buckets(list(changes.gone)))
        for name, log in (("following", changes.following), ("followers", changes.followers)):
            for own, _, _ in log.items:
                dirty[name].update(own[self._mask[ids.buckets_of_accounts(own)]].tolist())
        for kind, owner, _ in changes.marks:
            if self._mask[state.shelves.kinds[kind].owner.bucket_of(owner)]:
                dirty["marks"].add((kind, owner))
        dirty["notices"].update(self._of_buckets([account_id for account_id, _ in changes.notices]))
        for number, owner, _ in changes.papers:
            if self._mask[state.papers.kinds[number].owner.bucket_of(owner)]:
                dirty["papers"].add((number, owner))
        dirty["tweets"].update(t for t in changes.tweets if self._mask[ids.bucket_of_tweet(t)])
        dirty["names"].update(n for n in changes.names if self._mask[ids.bucket_of_name(n)])
        dirty["keys"].update(dict.fromkeys(k for k in changes.idempotency if self._mask[ids.bucket_of_account(k[0])]))

    def part(self) -> bytes:
        """Return the next part of everything; b"" once all has been given."""
        return next(self._parts, b"")

    def tail(self) -> bytes:
        """Return the next part of what has changed since it was given; b"" once nothing has."""
        part = next(self._tail, b"")
        if not part:
            self.note_all()
            if any(self._dirty.values()):
                dirty, self._dirty = self._dirty, _nothing_dirty()
                self._tail = self._packed(self._changed(dirty))
                part = next(self._tail)
        return part

    def _changed(self, dirty: dict[str, Any]) -> Iterator[tuple[list[Any], int]]:
        """Yield (item, its bytes, about) for everything that is noted."""
        state = self.state
        own, tweets, held = state.people.own, state.tweets, state.people.names
        for account_id in sorted(a for a in dirty["accounts"] if own(a) is not None):
            yield from self._account(account_id)
        for name in ("following", "followers"):
            for account_id in sorted(a for a in dirty[name] if own(a) is not None):
                yield from self._edges(name, account_id)
        for tweet_id in sorted(dirty["tweets"]):
            entry = tweets.get(tweet_id)
            if entry is None:
                yield ["tweets", [], [tweet_id]], PART_ITEMS_BYTES
            else:
                yield ["tweets", [list(entry)], []], PART_ITEMS_BYTES + len(entry.body) + len(entry.orig or b"")
        founding = {(number, owner) for number, owner in dirty["papers"] if state.papers.kinds[number].founds}
        for number, owner in sorted(founding):
            yield from self._papers(state.papers.kinds[number], owner)
        for kind, owner in sorted(dirty["marks"]):
            if state.shelves.kinds[kind].owner is not Owner.ACCOUNT or own(owner) is not None:
                yield from self._shelf(state.shelves.kinds[kind], owner)
        for number, owner in sorted(dirty["papers"] - founding):
            if state.papers.kinds[number].owner is not Owner.ACCOUNT or own(owner) is not None:
                yield from self._papers(state.papers.kinds[number], owner)
        for account_id in sorted(a for a in dirty["notices"] if own(a) is not None):
            yield self._notices(account_id)
        for name in sorted(dirty["names"]):
            yield ["names", [[name, *held.get(name, (0, False))]]], PART_ITEMS_BYTES
        for key in dirty["keys"]:
            yield ["keys", [[*key, self.state.idempotency.get(key, 0)]]], PART_ITEMS_BYTES
        for account_id in sorted(a for a in dirty["gone"] if own(a) is None):
            yield ["gone", account_id], PART_ITEMS_BYTES

    def _clock(self) -> list[Any]:
        state = self.state
        counts = [t for t in state.dirty_counts if self._mask[ids.bucket_of_tweet(t)]]
        return ["clock", [[b, state.clock.last[b]] for b in self.buckets if b in state.clock.last], counts]

    def _account(self, account_id: int) -> Iterator[tuple[list[Any], int]]:
        """Yield an account's item; nothing if it has been deleted since."""
        state, row = self.state, self.state.people.own(account_id)
        pulled = state.pull_shards.get(account_id)
        if row is None:
            return
        relations, likes = None, None  # from level 1 on they are marks as any
        if state.level < FULL_FROM_LEVEL:
            relations = [sorted(kind.get(row, ())) for kind in state.graph.hiding]
            likes = state.shelves.view(LIKE, account_id)[0].tolist()
        yield [
            "account", state.people.accounts[row].to_row(), int(state.people.last_read_day[row]),
            None if pulled is None else sorted(pulled), relations, likes,
        ], PART_ITEMS_BYTES  # fmt: skip

    def _packed(self, items: Iterator[tuple[list[Any], int]]) -> Iterator[bytes]:
        """Yield items in parts of PART_BYTES, about; the last one has what the tweets' clock says."""
        part: list[Any] = []
        size = 0
        for item, nbytes in items:
            part.append(item)
            size += nbytes
            if size >= PART_BYTES:
                yield pack(part)
                part, size = [], 0
        yield pack([*part, self._clock()])

    def _edges(self, name: str, account_id: int) -> Iterator[tuple[list[Any], int]]:
        arena, begin = getattr(self.state.graph, name), 0
        while (row := self.state.people.own(account_id)) is not None:
            every = arena.view(row)
            view = every[begin : begin + EDGES_OF_PART]
            yield [name, account_id, begin, len(every), view.tobytes()], view.nbytes + PART_ITEMS_BYTES
            begin += len(view)
            if begin >= len(every) or not len(view):
                return

    def _shelf(self, kind: Kind, owner: int) -> Iterator[tuple[list[Any], int]]:
        """Yield a shelf in pieces, one at least: an empty one may have been given fuller."""
        if self.state.level < FULL_FROM_LEVEL and is_in_account_item(kind):
            return
        begin = 0
        while True:
            keys, stamps = self.state.shelves.view(kind, owner)
            both = [side[begin : begin + MARKS_OF_PART].tobytes() for side in (keys, stamps)]
            yield ["marks", kind.number, owner, begin, *both], 2 * len(both[0]) + PART_ITEMS_BYTES
            begin += MARKS_OF_PART
            if begin >= len(keys):
                return

    def _shelves(self, owner: Owner, owner_id: int) -> Iterator[tuple[list[Any], int]]:
        for paper_kind in self.state.papers.kinds_of(owner):  # first, as they found things
            if self.state.papers.keys(paper_kind, owner_id):
                yield from self._papers(paper_kind, owner_id)
        shelves = self.state.shelves
        for kind in shelves.kinds_of(owner):
            if shelves.count(kind, owner_id):
                yield from self._shelf(kind, owner_id)

    def _papers(self, kind: PaperKind, owner: int) -> Iterator[tuple[list[Any], int]]:
        """Yield an owner's documents of a kind in pieces, one at least, of which the first says that it is."""
        for is_first, rows, size in self.state.papers.pieces(kind, owner, PART_BYTES // 4):
            yield ["papers", kind.number, owner, is_first, rows], size + PART_ITEMS_BYTES

    def _notices(self, account_id: int) -> tuple[list[Any], int]:
        packed = self.state.notices.view(account_id).astype("<i8").tobytes()
        return ["notices", account_id, packed], len(packed) + PART_ITEMS_BYTES

    def _items(self) -> Iterator[tuple[list[Any], int]]:
        """Yield (item, its bytes, about)."""
        state = self.state
        for account_id in sorted(self.accounts):
            yield from self._account(account_id)
            for name in ("following", "followers"):
                yield from self._edges(name, account_id)
            yield from self._shelves(Owner.ACCOUNT, account_id)
            if state.notices.count(account_id):
                yield self._notices(account_id)
            row = state.people.own(account_id)
            tweet_ids, done = [] if row is None else tweet_ids_of(state, row), 0
            while done < len(tweet_ids):
                begun, entries, size = done, [], 0
                while done < len(tweet_ids) and size < PART_BYTES // 4:
                    entry = state.tweets.get(tweet_ids[done])
                    done += 1
                    if entry is not None:
                        entries.append(list(entry))
                        size += 100 + len(entry.body) + len(entry.orig or b"")
                yield ["tweets", entries, []], size
                for tweet_id in tweet_ids[begun:done]:
                    yield from self._shelves(Owner.TWEET, tweet_id)
        for thing_id in state.things.in_buckets(self._mask):
            yield from self._shelves(Owner.THING, thing_id)
        names: list[Any] = []
        for number, name in enumerate(self._names, 1):
            if self._mask[ids.bucket_of_name(name)] and name in state.people.names:
                names.append([name, *state.people.names[name]])
            if number % SCAN_NAMES == 0:
                yield ["names", names], PART_BYTES
                names = []
        yield ["names", names], PART_BYTES
        keys = list(state.idempotency)
        owners = np.array([account_id for account_id, _ in keys], dtype=np.int64)
        ours = np.nonzero(self._mask[ids.buckets_of_accounts(owners)])[0].tolist() if keys else []
        known = state.idempotency
        yield ["keys", [[*keys[i], known[keys[i]]] for i in ours if keys[i] in known]], PART_BYTES


_DIRTY = ("accounts", "following", "followers", "tweets", "marks", "papers", "notices", "names", "gone")


def _nothing_dirty() -> dict[str, Any]:
    """Return keys by kind; those of idempotency in the order in which they were learnt."""
    return {**{name: set() for name in _DIRTY}, "keys": {}}


def facts(state: ShardState, account_ids: Iterable[int], buckets: Iterable[int]) -> list[int]:
    """Sum up some accounts that are here, and the things of their buckets, so that giver and taker can compare.

    Blocks and mutes count from level 1 on: what was marks before there were shelves is what older code counts. Of two
    shards that rise just then the figures may differ; the move is undone then, as any that lacks something.
    """
    order = sorted(account_ids)
    rows = np.array([state.people.find(a) for a in order], dtype=np.int64)
    every = np.array(order, dtype=np.int64)
    arenas = (state.graph.following, state.graph.followers, state.tweets.log)
    lengths = [int(arena.length[rows].sum()) for arena in arenas]
    shelves = state.shelves
    kinds = [k for k in shelves.kinds_of(Owner.ACCOUNT) if k.relation is None or state.level >= FULL_FROM_LEVEL]
    marks = sum(shelves.count(kind, a) for kind in kinds for a in order)
    papers = sum(len(state.papers.keys(kind, a)) for kind in state.papers.kinds_of(Owner.ACCOUNT) for a in order)
    things = state.things.in_buckets(mask_of(buckets))
    marks += sum(shelves.count(kind, thing) for kind in shelves.kinds_of(Owner.THING) for thing in things)
    papers += sum(len(state.papers.keys(kind, t)) for kind in state.papers.kinds_of(Owner.THING) for t in things)
    notices = sum(state.notices.count(a) for a in order)
    return [len(order), int((every & 0xFFFFFFFF).sum()), *lengths, marks + papers + notices]


# ---- commands: taking -------------------------------------------------------------------------------------


def take(state: ShardState, number: int, buckets: list[int]) -> bool:
    """Expect the parts of a move."""
    state.incoming = Incoming(number, frozenset(buckets))
    return True


def take_part(state: ShardState, number: int, part: bytes) -> bool:
    """Take over one part. False: that move is not expected (any more)."""
    if state.incoming is None or state.incoming.number != number:
        return False
    for name, *fields in unpack(part):
        _TAKERS[name](state, *fields)
    return True


def _take_account(
    state: ShardState,
    fields: list[Any],
    day: int,
    pulled: list[int] | None,
    relations: list[list[int]] | None,
    likes: list[int] | None,
) -> None:
    account, people = Account.from_row(fields), state.people
    row = people.away.get(account.account_id)
    if row is None:
        row = people.add(account, away=True)
        state.ensure_rows(row + 1)
    else:
        people.replace(row, account)
    people.last_read_day[row] = day
    if pulled is not None:
        state.pull_shards[account.account_id] = set(pulled)
    if relations is not None:
        for kind, relation in state.shelves.relations():
            if relation < len(relations):
                _replace_unstamped(state, kind, account.account_id, sorted(relations[relation]))
    if likes is not None:
        _replace_unstamped(state, LIKE, account.account_id, likes)
    state.changes.accounts.add(row)


def _replace_unstamped(state: ShardState, kind: Kind, account_id: int, keys: list[int]) -> None:
    """Make a shelf what a giver of level 0 says, which tells no stamps."""
    stamps = np.arange(1, len(keys) + 1, dtype=np.int64)
    state.shelves.replace(kind, account_id, 0, np.array(keys, dtype=np.int64), stamps)


def _new_edges(view: Ints, begin: int, total: int, packed: bytes) -> tuple[Ints, bool]:
    """Compare a slice of an account's edges with what is here: (those to append, whether to cut at `begin` first)."""
    given = np.frombuffer(packed, dtype="<i8").astype(np.int64)
    known = view[begin : begin + len(given)]
    same = bool((known == given[: len(known)]).all())
    return (given[len(known) :], False) if same and len(view) <= total else (given, True)


def _take_following(state: ShardState, account_id: int, begin: int, total: int, packed: bytes) -> None:
    row = state.people.away[account_id]
    view = state.graph.following.view(row)
    added, cut = _new_edges(view, begin, total, packed)
    for target in view[begin:].tolist() if cut else []:
        drop_edge(state, row, account_id, target)
    if len(added):
        own = np.full(len(added), account_id, dtype=np.int64)
        state.graph.add_following(np.full(len(added), row, dtype=np.int64), own, added)
        state.changes.following.log(own, added, True)


def _take_followers(state: ShardState, account_id: int, begin: int, total: int, packed: bytes) -> None:
    row = state.people.away[account_id]
    view = state.graph.followers.view(row)
    added, cut = _new_edges(view, begin, total, packed)
    if cut:
        kept, gone = view[:begin].copy(), view[begin:].copy()
        state.graph.forget_followers(row)
        _add_followers(state, row, kept)
        state.changes.followers.log(np.full(len(gone), account_id, dtype=np.int64), gone, False)
    _add_followers(state, row, added)
    state.changes.followers.log(np.full(len(added), account_id, dtype=np.int64), added, True)


def _add_followers(state: ShardState, row: int, sources: Ints) -> None:
    rows = np.full(len(sources), row, dtype=np.int64)
    state.graph.followers.append_many(rows, sources)
    restore_kernels.count_owners(rows, sources, state.owner, state.graph.shard_followers)


def _take_tweets(state: ShardState, entries: list[list[Any]], gone: list[int]) -> None:
    changed = state.changes
    for fields in entries:
        entry = Entry(*fields)
        if entry.tweet_id in state.tweets:
            state.tweets.replace(entry)
        else:
            row = state.people.away[entry.author_id]
            state.tweets.add(row, entry)
            state.clock.observe(entry.tweet_id)
            if entry.is_repost:
                state.reposts.setdefault(row, {})[entry.orig_id] = entry.tweet_id
        changed.tweets.add(entry.tweet_id)
    for tweet_id in gone:
        known = state.tweets.get(tweet_id)
        if known is not None:
            row = state.people.away[known.author_id]
            state.shelves.clear_tweet(tweet_id)
            state.tweets.remove(row, tweet_id)
            if known.is_repost:
                state.reposts.get(row, {}).pop(known.orig_id, None)
            changed.tweets.add(tweet_id)


def _take_marks(state: ShardState, kind: int, owner: int, begin: int, keys: bytes, stamps: bytes) -> None:
    sides = [np.frombuffer(side, dtype="<i8").astype(np.int64) for side in (keys, stamps)]
    state.shelves.replace(state.shelves.kinds[kind], owner, begin, *sides)


def _take_notices(state: ShardState, account_id: int, packed: bytes) -> None:
    state.notices.replace(account_id, np.frombuffer(packed, dtype="<i8").astype(np.int64))


def _take_names(state: ShardState, rows: list[list[Any]]) -> None:
    for name, account_id, confirmed in rows:
        if account_id:
            state.people.names[name] = (account_id, confirmed)
        else:
            state.people.names.pop(name, None)
        state.changes.names.add(name)


def _take_keys(state: ShardState, rows: list[list[Any]]) -> None:
    for account_id, key, made in rows:
        state.idempotency.pop((account_id, key), None)
        if made:
            state.idempotency[account_id, key] = made
        state.changes.idempotency.pop((account_id, key), None)
        state.changes.idempotency[account_id, key] = None


def _take_clock(state: ShardState, last: list[list[int]], counts: list[int]) -> None:
    for bucket, tweet_id in last:
        state.clock.last[bucket] = max(tweet_id, state.clock.last.get(bucket, 0))
    state.dirty_counts.update(dict.fromkeys(counts))


def _take_gone(state: ShardState, account_id: int) -> None:
    if account_id in state.people.away:
        forget_account(state, account_id)


_TAKERS: dict[str, Callable[..., None]] = {
    "account": _take_account, "following": _take_following, "followers": _take_followers, "tweets": _take_tweets,
    "marks": _take_marks, "papers": lambda state, *piece: state.shelves.take_papers(*piece),
    "notices": _take_notices,
    "names": _take_names, "keys": _take_keys, "clock": _take_clock, "gone": _take_gone,
}  # fmt: skip


COMMANDS: dict[str, Callable[..., Any]] = {
    "freeze": freeze, "thaw": thaw, "remap": remap, "take": take, "take_part": take_part, "sweep": sweep,
}  # fmt: skip
WHILE_FROZEN = frozenset(("freeze", "thaw", "remap", "level", "take", "take_part", "receive", "acked"))
