"""The state as checkpoint tables, and back.

    seal(state)      -> what changed since the last seal, as table changes at exactly state.position
    restore(...)     <- all rows; the rings are built again by the delivery kernel

Rules of this file
- Rings, pull logs' contents and arrival numbers are not stored: they follow from the arrivals, the edges and the
  floors. What left the arrivals window before is covered by raising every floor to `lost_max_id`.
- Sealing is bounded by the changes since the last seal; only the list of floors is compared as a whole (1 ns an
  account).
Costs: sealing about 1.5 us a changed row; restoring 1M edges about 0.3 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import ids, kernels
from actors.core.changes import Changes, EdgeLog
from actors.core.entries import NUMBERS, Entry, pack, unpack
from actors.core.graph import BLOCK, BLOCKED_BY, MUTE
from actors.core.people import Account
from actors.core.state import ShardState
from actors.core.tables import Checkpoint, Columns, Table, TableChange

Ints = npt.NDArray[np.int64]

_TWEET = (*((name, "BIGINT") for name in NUMBERS), ("body", "BLOB"), ("mentions", "BLOB"), ("orig", "BLOB"))

META = Table("meta", (("name", "VARCHAR"), ("value", "BLOB")), ("name",))
ACCOUNTS = Table("accounts", (("account_id", "BIGINT"), ("row_number", "BIGINT"), ("data", "BLOB")), ("account_id",))
FLOORS = Table("floors", (("account_id", "BIGINT"), ("floor", "BIGINT")), ("account_id",))
NAMES = Table("names", (("username", "VARCHAR"), ("account_id", "BIGINT"), ("confirmed", "INTEGER")), ("username",))
TWEETS = Table("tweets", _TWEET, ("tweet_id",))
ARRIVALS = Table("arrivals", _TWEET, ("tweet_id",))
_EDGE = (("account_id", "BIGINT"), ("other_id", "BIGINT"), ("place", "BIGINT"))
FOLLOWING = Table("following", _EDGE, ("account_id", "other_id"))
FOLLOWERS = Table("followers", _EDGE, ("account_id", "other_id"))
RELATIONS = Table(
    "relations",
    (("account_id", "BIGINT"), ("kind", "INTEGER"), ("other_id", "BIGINT")),
    ("account_id", "kind", "other_id"),
)
LIKES = Table(
    "likes", (("account_id", "BIGINT"), ("tweet_id", "BIGINT"), ("place", "BIGINT")), ("account_id", "tweet_id")
)
PULLS = Table("pulls", (("author_id", "BIGINT"), ("floor", "BIGINT")), ("author_id",))
IDEMPOTENCY = Table(
    "idempotency",
    (("account_id", "BIGINT"), ("key_hash", "BLOB"), ("tweet_id", "BIGINT"), ("place", "BIGINT")),
    ("account_id", "key_hash"),
)
OUTBOX = Table("outbox", (("shard", "INTEGER"), ("seq", "BIGINT"), ("message", "BLOB")), ("shard", "seq"))
TABLES = (
    META, ACCOUNTS, FLOORS, NAMES, TWEETS, ARRIVALS, FOLLOWING, FOLLOWERS, RELATIONS, LIKES, PULLS, IDEMPOTENCY, OUTBOX,
)  # fmt: skip


def _columns(table: Table, rows: list[tuple[Any, ...]]) -> Columns:
    """Turn rows into columns of the table's types; {} for none."""
    if not rows:
        return {}
    types = dict(table.columns)
    names = [name for name, _ in table.columns] if len(rows[0]) == len(table.columns) else list(table.key)
    dtypes: dict[str, Any] = {"BIGINT": np.int64, "INTEGER": np.int32}
    return {
        name: np.array(values, dtype=dtypes[types[name]]) if types[name] in dtypes else list(values)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


class Sealer:
    """Takes the changes of a state since the last seal. One per state; `baseline` after a restore."""

    def __init__(self, state: ShardState) -> None:
        self.state = state
        self.place = 0
        self._floors = np.zeros(0, dtype=np.int64)
        self._stored_outbox: dict[int, tuple[int, int]] = {}
        self.baseline()

    def baseline(self) -> None:
        """Take the present state as stored: only later changes are sealed."""
        state = self.state
        state.changes = Changes()
        self._floors = state.rings.floor.copy()
        for shard, outbox in state.outboxes.items():
            first = outbox.waiting[0][0] if outbox.waiting else outbox.next_seq
            self._stored_outbox[shard] = (first, outbox.next_seq)

    def seal(self) -> list[TableChange]:
        """Return what changed since the last seal, and start anew. The rows are those of this very position."""
        state, changes = self.state, self.state.changes
        state.changes = Changes()
        done = [
            self._accounts(changes),
            self._floor_changes(),
            self._keyed(NAMES, [(n,) for n in sorted(changes.names)], self._name),
            self._tweets(changes),
            self._arrivals(changes),
            self._edges(FOLLOWING, changes.following),
            self._edges(FOLLOWERS, changes.followers),
            self._keyed(RELATIONS, sorted(changes.relations), self._relation),
            self._keyed(LIKES, list(changes.likes), self._like),
            self._keyed(PULLS, [(a,) for a in sorted(changes.pulls | set(state.pull_logs.logs))], self._pull),
            self._keyed(IDEMPOTENCY, list(changes.idempotency), self._key),
            self._outbox(),
            self._meta(),
        ]
        return [change for change in done if change.upserts or change.deletes]

    def _keyed(self, table: Table, keys: list[Any], row_of: Any) -> TableChange:
        rows = [row_of(*key) for key in keys]
        gone = [key for key, row in zip(keys, rows, strict=True) if row is None]
        return TableChange(table, _columns(table, [r for r in rows if r is not None]), _columns(table, gone))

    def _accounts(self, changes: Changes) -> TableChange:
        state, rows = self.state, []
        for row in sorted(changes.accounts):
            account = state.people.accounts[row]
            wake_number, shards = state.waking.get(account.account_id, (0, set()))
            pulled = state.pull_shards.get(account.account_id)
            extra = [
                int(state.rings.awake[row]), int(state.people.last_read_day[row]), wake_number, sorted(shards),
                None if pulled is None else sorted(pulled),
            ]  # fmt: skip
            rows.append((account.account_id, row, pack([account.to_row(), extra])))
        return TableChange(ACCOUNTS, _columns(ACCOUNTS, rows))

    def _floor_changes(self) -> TableChange:
        floors, known = self.state.rings.floor, np.zeros(len(self.state.rings.floor), dtype=np.int64)
        known[: len(self._floors)] = self._floors
        rows = np.nonzero(floors != known)[0]
        self._floors = floors.copy()
        accounts = self.state.people.accounts
        return TableChange(FLOORS, _columns(FLOORS, [(accounts[r].account_id, int(floors[r])) for r in rows.tolist()]))

    def _name(self, name: str) -> tuple[Any, ...] | None:
        held = self.state.people.names.get(name)
        return None if held is None else (name, held[0], int(held[1]))

    def _tweets(self, changes: Changes) -> TableChange:
        here = [t for t in sorted(changes.tweets) if t in self.state.tweets]
        gone = np.array(sorted(changes.tweets.difference(here)), dtype=np.int64)
        return TableChange(
            TWEETS, self.state.tweets.columns_of(here) if here else {}, {"tweet_id": gone} if len(gone) else {}
        )

    def _arrivals(self, changes: Changes) -> TableChange:
        """Own tweets arrive too, but are stored as tweets."""
        state = self.state
        here = [t for t in sorted(changes.arrivals) if t in state.arrivals.number_of and t not in state.tweets]
        gone = np.array(sorted(changes.arrivals.difference(here)), dtype=np.int64)
        return TableChange(
            ARRIVALS, state.arrivals.columns_of(here) if here else {}, {"tweet_id": gone} if len(gone) else {}
        )

    def _relation(self, account_id: int, kind: int, other: int) -> tuple[Any, ...] | None:
        row = self.state.people.row_of[account_id]
        return (account_id, kind, other) if self.state.graph.related(row, kind, other) else None

    def _like(self, account_id: int, tweet_id: int) -> tuple[Any, ...] | None:
        row = self.state.people.row_of[account_id]
        self.place += 1
        return (account_id, tweet_id, self.place) if tweet_id in self.state.likes.get(row, ()) else None

    def _pull(self, author_id: int) -> tuple[Any, ...] | None:
        log = self.state.pull_logs.logs.get(author_id)
        return None if log is None else (author_id, log.floor)

    def _key(self, account_id: int, key: bytes) -> tuple[Any, ...] | None:
        tweet_id = self.state.idempotency.get((account_id, key))
        self.place += 1  # the order in which keys are forgotten, which is not that of the ids: a clock may go back
        return None if tweet_id is None else (account_id, key, tweet_id, self.place)

    def _edges(self, table: Table, log: EdgeLog) -> TableChange:
        """Reduce an edge log to the last word on each edge; places keep the order of following."""
        if not log.items:
            return TableChange(table)
        own = np.concatenate([o for o, _, _ in log.items])
        other = np.concatenate([o for _, o, _ in log.items])
        added = np.concatenate([np.full(len(o), on) for o, _, on in log.items])
        place = np.arange(self.place, self.place + len(own), dtype=np.int64)
        self.place += len(own)
        order = np.lexsort((place, other, own))
        own, other, added, place = own[order], other[order], added[order], place[order]
        last = np.ones(len(own), dtype=np.bool_)
        last[:-1] = (own[1:] != own[:-1]) | (other[1:] != other[:-1])
        put, gone = last & added, last & ~added
        upserts = {"account_id": own[put], "other_id": other[put], "place": place[put]} if put.any() else {}
        deletes = {"account_id": own[gone], "other_id": other[gone]} if gone.any() else {}
        return TableChange(table, upserts, deletes)

    def _outbox(self) -> TableChange:
        """Store messages that are new and still wait; delete stored ones that have been acknowledged since."""
        rows: list[Any] = []
        gone: list[Any] = []
        for shard, outbox in self.state.outboxes.items():
            first_stored, next_stored = self._stored_outbox[shard]
            first = outbox.waiting[0][0] if outbox.waiting else outbox.next_seq
            gone += [(shard, seq) for seq in range(first_stored, min(first, next_stored))]
            rows += [(shard, seq, message) for seq, _, message in outbox.waiting if seq >= next_stored]
            self._stored_outbox[shard] = (first, outbox.next_seq)
        return TableChange(OUTBOX, _columns(OUTBOX, rows), _columns(OUTBOX, gone))

    def _meta(self) -> TableChange:
        state = self.state
        values = {
            "shard": [state.shard, state.shard_count],
            "day": state.day,
            "wake_number": state.wake_number,
            "lost_max_id": state.arrivals.lost_max_id,
            "inbox": state.inbox,
            "next_seq": {s: o.next_seq for s, o in state.outboxes.items()},
            "dirty_counts": list(state.dirty_counts),
            "place": self.place,
            "last_ids": state.clock.last,
        }
        return TableChange(META, _columns(META, [(name, pack(value)) for name, value in values.items()]))


def restore(state: ShardState, checkpoint: Checkpoint) -> Sealer:
    """Fill an empty state with a checkpoint's rows. Returns the sealer that goes on from there.

    Raises ValueError if the rows are those of another shard or of another number of shards.
    """
    t = checkpoint.tables
    meta = {name: unpack(value) for name, value in zip(t["meta"]["name"], t["meta"]["value"], strict=True)}
    if meta:
        if meta["shard"] != [state.shard, state.shard_count]:
            raise ValueError(
                f"the checkpoint is of shard {meta['shard'][0]} of {meta['shard'][1]}, "
                f"not of shard {state.shard} of {state.shard_count}"
            )
        state.position = checkpoint.position
        state.day, state.wake_number = meta["day"], meta["wake_number"]
        state.inbox.update(meta["inbox"])
        state.clock.last.update(meta["last_ids"])
        state.dirty_counts = dict.fromkeys(meta["dirty_counts"])
        _restore_accounts(state, t)
        _restore_edges(state, t)
        own = _restore_tweets(state, t["tweets"])
        _restore_small(state, t, meta)
        _rebuild_timelines(state, own + _entries(t["arrivals"]), meta["lost_max_id"])
    sealer = Sealer(state)
    sealer.place = meta.get("place", 0)
    stored = set(t["arrivals"]["tweet_id"].tolist())
    state.changes.arrivals |= stored.difference(state.arrivals.number_of)  # no longer here: the next seal deletes them
    return sealer


def _restore_accounts(state: ShardState, t: dict[str, Columns]) -> None:
    accounts = t["accounts"]
    for i in np.argsort(accounts["row_number"]).tolist():
        fields, (awake, read_day, wake_number, shards, pulled) = unpack(accounts["data"][i])
        account = Account(*fields)
        row = state.people.add(account)
        state.graph.ensure_rows(row + 1)
        state.rings.ensure_rows(row + 1)
        state.tweets.log.ensure_rows(row + 1)
        state.rings.awake[row] = awake
        state.people.last_read_day[row] = read_day
        if wake_number:
            state.waking[account.account_id] = (wake_number, set(shards))
        if pulled is not None:
            state.pull_shards[account.account_id] = set(pulled)
    for account_id, floor in zip(t["floors"]["account_id"].tolist(), t["floors"]["floor"].tolist(), strict=True):
        state.rings.floor[state.people.row_of[account_id]] = floor
    names = t["names"]
    for name, account_id, confirmed in zip(
        names["username"], names["account_id"].tolist(), names["confirmed"], strict=True
    ):
        state.people.names[name] = (account_id, bool(confirmed))


def _rows_of(state: ShardState, account_ids: Ints) -> Ints:
    return np.array([state.people.row_of[a] for a in account_ids.tolist()], dtype=np.int64)


def _restore_edges(state: ShardState, t: dict[str, Columns]) -> None:
    graph = state.graph
    order = np.argsort(t["following"]["place"])
    own, other = t["following"]["account_id"][order], t["following"]["other_id"][order]
    graph.edge_count = len(own)
    rows = _rows_of(state, own)
    graph.following.append_many(rows, other)
    linked = own != other
    authors = np.array([graph.author(a) for a in other[linked].tolist()], dtype=np.int64)
    graph.local_followers.append_many(authors, rows[linked].astype(np.int32))
    order = np.argsort(t["followers"]["place"])
    own, other = t["followers"]["account_id"][order], t["followers"]["other_id"][order]
    owners = state.owner[ids.buckets_of_accounts(other)]
    rows = _rows_of(state, own)
    graph.followers.append_many(rows, other)
    np.add.at(graph.shard_followers, (rows, owners), 1)
    relations = t["relations"]
    for account_id, kind, other_id in zip(
        relations["account_id"].tolist(), relations["kind"].tolist(), relations["other_id"].tolist(), strict=True
    ):
        graph.relate(
            state.people.row_of[account_id], {BLOCK: BLOCK, BLOCKED_BY: BLOCKED_BY, MUTE: MUTE}[kind], other_id, True
        )


def _entries(columns: Columns) -> list[Entry]:
    numbers = zip(*(columns[name].tolist() for name in NUMBERS), strict=True)
    texts = zip(columns["body"], columns["mentions"], columns["orig"], strict=True)
    return [
        Entry(*(*n, body, unpack(mentions), orig)) for n, (body, mentions, orig) in zip(numbers, texts, strict=True)
    ]


def _restore_tweets(state: ShardState, columns: Columns) -> list[Entry]:
    entries = sorted(_entries(columns))
    for entry in entries:
        state.tweets.restore(entry)
        if entry.is_repost:
            row = state.people.row_of[entry.author_id]
            state.reposts.setdefault(row, {})[entry.orig_id] = entry.tweet_id
            state.reposts_of.setdefault(entry.orig_id, set()).add(entry.tweet_id)
    rows = _rows_of(state, np.array([e.author_id for e in entries], dtype=np.int64))
    state.tweets.log.append_many(rows, np.array([e.tweet_id for e in entries], dtype=np.int64))
    return entries


def _restore_small(state: ShardState, t: dict[str, Columns], meta: dict[str, Any]) -> None:
    likes = t["likes"]
    for i in np.argsort(likes["place"]).tolist():
        row = state.people.row_of[int(likes["account_id"][i])]
        state.likes.setdefault(row, {})[int(likes["tweet_id"][i])] = None
    keys = t["idempotency"]
    for i in np.argsort(keys["place"]).tolist():
        state.idempotency[int(keys["account_id"][i]), keys["key_hash"][i]] = int(keys["tweet_id"][i])
    for author_id, floor in zip(t["pulls"]["author_id"].tolist(), t["pulls"]["floor"].tolist(), strict=True):
        state.pull_logs.start(author_id, floor)
    waiting = t["outbox"]
    for i in np.lexsort((waiting["seq"], waiting["shard"])).tolist():
        outbox = state.outboxes[int(waiting["shard"][i])]
        outbox.next_seq = int(waiting["seq"][i])
        outbox.push(0, waiting["message"][i])
    for shard, next_seq in meta["next_seq"].items():
        state.outboxes[shard].next_seq = next_seq


def _rebuild_timelines(state: ShardState, entries: list[Entry], lost_max_id: int) -> None:
    """Deliver the newest arrivals again, oldest first; floors cover what the window has lost."""
    entries.sort()
    excess = len(entries) - state.arrivals.capacity
    if excess > 0:
        lost_max_id = max(lost_max_id, entries[excess - 1].tweet_id)
        entries = entries[excess:]
    state.arrivals.lost_max_id = lost_max_id
    rings = state.rings
    np.maximum(rings.floor, lost_max_id, out=rings.floor, where=rings.awake == 1)
    for log in state.pull_logs.logs.values():
        log.floor = max(log.floor, lost_max_id)
    for entry in entries:
        own_row = state.people.row_of.get(entry.author_id, -1)
        log_kept = state.pull_logs.logs.get(entry.author_id)
        if log_kept is not None and entry.tweet_id <= log_kept.floor and not entry.flags & kernels.FLAG_DIRECT:
            state.deliver_to_author(entry, own_row)  # followers read it below the log's floor, the author in the ring
        else:
            state.deliver(entry, own_row)
    state.deliveries.drain()
    state.arrivals.evicted.clear()
