"""The state as checkpoint tables: what changed since the last seal, at exactly state.position. Back: `restoring.py`.

Rules of this file
- Sealing is bounded by the changes since the last seal; only the list of floors is compared as a whole (1 ns an
  account).
Costs: sealing about 1.5 us a changed row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core.checkpoints.changes import Changes, EdgeLog
from actors.core.checkpoints.tables import Columns, Table, TableChange
from actors.core.entries import NUMBERS, pack
from actors.core.features.likes import LIKE
from actors.core.state import ShardState
from actors.core.stores.people import NOBODY
from actors.core.terms import FULL_FROM_LEVEL, TAGS_FROM_LEVEL

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
MARKS = Table(
    "marks",
    (("owner", "BIGINT"), ("kind", "INTEGER"), ("key", "BIGINT"), ("stamp", "BIGINT")),
    ("owner", "kind", "key"),
)
PAPERS = Table(
    "papers",
    (("owner", "BIGINT"), ("kind", "INTEGER"), ("key", "BIGINT"), ("doc", "BLOB")),
    ("owner", "kind", "key"),
)
NOTICES = Table(
    "notices",
    (("account_id", "BIGINT"), ("id", "BIGINT"), ("kind", "INTEGER"), ("from_id", "BIGINT"), ("tweet_id", "BIGINT")),
    ("account_id", "id"),
)
"""kind: the low five bits of a notice's first word (`stores/notices.py`)."""
PULLS = Table("pulls", (("author_id", "BIGINT"), ("floor", "BIGINT")), ("author_id",))
IDEMPOTENCY = Table(
    "idempotency",
    (("account_id", "BIGINT"), ("key_hash", "BLOB"), ("tweet_id", "BIGINT"), ("place", "BIGINT")),
    ("account_id", "key_hash"),
)
ANSWERS = Table(
    "answers",
    (("account_id", "BIGINT"), ("key_hash", "BLOB"), ("answer", "BLOB"), ("place", "BIGINT")),
    ("account_id", "key_hash"),
)
OUTBOX = Table("outbox", (("shard", "INTEGER"), ("seq", "BIGINT"), ("message", "BLOB")), ("shard", "seq"))
TABLES = (
    META, ACCOUNTS, FLOORS, NAMES, TWEETS, ARRIVALS, FOLLOWING, FOLLOWERS, RELATIONS, LIKES, PULLS, IDEMPOTENCY, OUTBOX,
    MARKS, ANSWERS, PAPERS, NOTICES,
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
        state.changes, state.unsealed = Changes(), Changes()
        self._floors = state.rings.floor.copy()
        for shard, outbox in state.outboxes.items():
            first = outbox.waiting[0][0] if outbox.waiting else outbox.next_seq
            self._stored_outbox[shard] = (first, outbox.next_seq)

    def seal(self) -> list[TableChange]:
        """Return what changed since the last seal, and start anew. The rows are those of this very position."""
        state = self.state
        if state.outgoing is not None:
            state.outgoing.note_all()
        state.unsealed.absorb(state.changes)
        changes, state.unsealed, state.changes = state.unsealed, Changes(), Changes()
        done = [
            self._accounts(changes),
            self._floor_changes(changes),
            self._keyed(NAMES, [(n,) for n in sorted(changes.names)], self._name),
            self._tweets(changes),
            self._arrivals(changes),
            self._edges(FOLLOWING, changes.following),
            self._edges(FOLLOWERS, changes.followers),
            *self._marks(changes),
            self._keyed(PAPERS, [(o, k, key) for k, o, key in sorted(changes.papers)], self._paper),
            self._keyed(NOTICES, sorted(changes.notices), self._notice),
            self._keyed(PULLS, [(a,) for a in sorted(changes.pulls | set(state.pull_logs.logs))], self._pull),
            *self._keys(changes),
            self._outbox(changes),
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
            if account is NOBODY:
                continue
            wake_number, shards = state.waking.get(account.account_id, (0, set()))
            pulled = state.pull_shards.get(account.account_id)
            extra = [
                int(state.rings.awake[row]), int(state.people.last_read_day[row]), wake_number, sorted(shards),
                None if pulled is None else sorted(pulled),
            ]  # fmt: skip
            rows.append((account.account_id, row, pack([account.to_row(), extra])))
        return TableChange(ACCOUNTS, _columns(ACCOUNTS, rows), self._gone(ACCOUNTS, changes))

    def _gone(self, table: Table, changes: Changes) -> Columns:
        """Return the keys of accounts that are no longer here."""
        return _columns(table, [(a,) for a in sorted(changes.gone) if self.state.people.find(a) is None])

    def _floor_changes(self, changes: Changes) -> TableChange:
        floors, known = self.state.rings.floor, np.zeros(len(self.state.rings.floor), dtype=np.int64)
        known[: len(self._floors)] = self._floors
        known[list(changes.freed)] = 0
        rows = np.nonzero(floors != known)[0]
        self._floors = floors.copy()
        accounts = self.state.people.accounts
        changed = [(accounts[r].account_id, int(floors[r])) for r in rows.tolist()]
        return TableChange(FLOORS, _columns(FLOORS, changed), self._gone(FLOORS, changes))

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
        """Own tweets arrive too, but are stored as tweets: one that has become an own one is deleted here."""
        state = self.state
        here = [t for t in sorted(changes.arrivals) if t in state.arrivals.number_of and not self._is_own(t)]
        gone_ids = {t for t in changes.arrivals.difference(here) if not self._is_own(t)} | changes.adopted
        gone = np.array(sorted(gone_ids.difference(here)), dtype=np.int64)
        return TableChange(
            ARRIVALS, state.arrivals.columns_of(here) if here else {}, {"tweet_id": gone} if len(gone) else {}
        )

    def _is_own(self, tweet_id: int) -> bool:
        """Whether a tweet is here and its author is this shard's, not only on the way here or away."""
        state = self.state
        return tweet_id in state.tweets and (not state.people.away or state.shard_of_tweet(tweet_id) == state.shard)

    def _marks(self, changes: Changes) -> list[TableChange]:
        """Store marks with their stamps, which keep their order; below level 1 what had tables of its own, in those.

        (A follower whose code knows no marks would have to refuse a snapshot with any. Below level 1 there are others
        only if a shard that has risen already has told them, so that all processes know of marks.)
        """
        shelves = self.state.shelves
        rows: list[tuple[int, ...]] = []
        gone: list[tuple[int, ...]] = []
        for number, owner, key in sorted(changes.marks):
            stamp = shelves.stamp_of(shelves.kinds[number], owner, key)
            if stamp:
                rows.append((owner, number, key, stamp))
            else:
                gone.append((owner, number, key))
        if self.state.level < FULL_FROM_LEVEL:
            return self._marks_of_level_0(rows, gone)
        return [
            TableChange(RELATIONS, {}, _columns(RELATIONS, sorted(changes.old_relations))),
            TableChange(LIKES, {}, _columns(LIKES, sorted(changes.old_likes))),
            TableChange(MARKS, _columns(MARKS, rows), _columns(MARKS, gone)),
        ]

    def _marks_of_level_0(self, rows: list[tuple[int, ...]], gone: list[tuple[int, ...]]) -> list[TableChange]:
        """Store likes, blocks and mutes as they were before there were marks; as marks what has been told anyway."""
        relation_of = {kind.number: relation for kind, relation in self.state.shelves.relations()}
        related, unrelated = (
            sorted((row[0], relation_of[row[1]], row[2]) for row in side if row[1] in relation_of)
            for side in (rows, gone)
        )
        liked = [(owner, key, stamp) for owner, number, key, stamp in rows if number == LIKE.number]
        unliked = [(owner, key) for owner, number, key in gone if number == LIKE.number]
        rows, gone = ([row for row in side if row[1] not in {LIKE.number, *relation_of}] for side in (rows, gone))
        return [
            TableChange(RELATIONS, _columns(RELATIONS, related), _columns(RELATIONS, unrelated)),
            TableChange(LIKES, _columns(LIKES, liked), _columns(LIKES, unliked)),
            TableChange(MARKS, _columns(MARKS, rows), _columns(MARKS, gone)),
        ]

    def _paper(self, owner: int, kind: int, key: int) -> tuple[Any, ...] | None:
        packed = self.state.papers.packed(kind, owner, key)
        return None if packed is None else (owner, kind, key, packed)

    def _notice(self, account_id: int, notice_id: int) -> tuple[Any, ...] | None:
        notice = self.state.notices.get(account_id, notice_id)
        if notice is None:
            return None
        kind = notice.type_number << 1 | notice.is_filtered
        return (account_id, notice_id, kind, notice.actor, notice.tweet_id)

    def _pull(self, author_id: int) -> tuple[Any, ...] | None:
        log = self.state.pull_logs.logs.get(author_id)
        return None if log is None else (author_id, log.floor)

    def _keys(self, changes: Changes) -> list[TableChange]:
        """Store what keys made, tweets and answers apart, with their places in the order in which they were learnt."""
        tweets: list[tuple[Any, ...]] = []
        answers: list[tuple[Any, ...]] = []
        gone: list[tuple[Any, ...]] = []
        for account_id, key in changes.idempotency:
            made = self.state.idempotency.get((account_id, key))
            self.place += 1  # not the order of the ids: a clock may go back
            if made is None:
                gone.append((account_id, key))
            else:
                (answers if isinstance(made, bytes) else tweets).append((account_id, key, made, self.place))
        knows_answers = self.state.level >= FULL_FROM_LEVEL
        return [
            TableChange(IDEMPOTENCY, _columns(IDEMPOTENCY, tweets), _columns(IDEMPOTENCY, gone)),
            TableChange(ANSWERS, _columns(ANSWERS, answers), _columns(ANSWERS, gone if knows_answers else [])),
        ]

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

    def _outbox(self, changes: Changes) -> TableChange:
        """Store messages that are new and still wait; delete stored ones that have been acknowledged since."""
        rows: list[Any] = []
        gone: list[Any] = []
        for shard in sorted(changes.dropped_shards):
            gone += [(shard, seq) for seq in range(*self._stored_outbox.pop(shard, (1, 1)))]
        for shard, outbox in self.state.outboxes.items():
            first_stored, next_stored = self._stored_outbox.get(shard, (1, 1))
            first = outbox.waiting[0][0] if outbox.waiting else outbox.next_seq
            gone += [(shard, seq) for seq in range(first_stored, min(first, next_stored))]
            rows += [(shard, seq, message) for seq, _, message in outbox.waiting if seq >= next_stored]
            self._stored_outbox[shard] = (first, outbox.next_seq)
        return TableChange(OUTBOX, _columns(OUTBOX, rows), _columns(OUTBOX, gone))

    def _tags(self) -> list[Any]:
        """Return what is kept of followed hashtags: the floors of their logs, and who wants which."""
        logs = {tag: log.floor for tag, log in self.state.tag_logs.logs.items()}
        return [logs, {tag: sorted(shards) for tag, shards in self.state.tag_shards.items()}]

    def _meta(self) -> TableChange:
        state = self.state
        values = {
            "shard": [state.shard, state.shard_count],
            "map": [state.map_epoch, state.born_epoch, state.owner.astype(np.uint8).tobytes()],
            "frozen": [state.frozen, state.thawed],
            **({"level": state.level} if state.level else {}),  # code from before levels reads level 0
            "incoming": None if state.incoming is None else [state.incoming.number, sorted(state.incoming.buckets)],
            "day": state.day,
            "wake_number": state.wake_number,
            "lost_max_id": state.arrivals.lost_max_id,
            "inbox": state.inbox,
            "next_seq": {s: o.next_seq for s, o in state.outboxes.items()},
            "dirty_counts": list(state.dirty_counts),
            "place": self.place,
            "last_ids": state.clock.last,
            **({"tags": self._tags()} if state.level >= TAGS_FROM_LEVEL else {}),  # none, too: the row of before goes
        }
        return TableChange(META, _columns(META, [(name, pack(value)) for name, value in values.items()]))
