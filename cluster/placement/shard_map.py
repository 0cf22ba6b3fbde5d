"""The shard map: bucket -> shard -> replicas, numbered by an epoch; and each shard's terms and in-sync set.

Rules of this file
- Pure: no clock, no I/O. A ShardMap never changes; a change makes a new one with a higher epoch.
- Only the router makes new maps. Everyone else caches one and replaces it by one with a higher epoch.

How it works
`buckets` is 1,024 bytes, the shard number of each bucket, so a lookup is one index into bytes (30 ns) and the whole map
packs into a few KB. A replica without addresses (port 0 and no path) has been planned but has not registered yet.
`primary` names the leader of the last term; until a shard's first election it is replica 0, which then doesn't lead.

On the wire: ["rookery-map", 3, epoch, cluster, shard_count, buckets: bin, [[actor_name, shard, index, unix_path, host,
port, node_id, pid, primary, in_sync, store_id], ...], [[[term, begin, copies], ...] per shard], {"levels": [level,
next_level]}]; other keys of the last are passed over. Version 2 ends before it: its level is 0, and a map of level 0 is
written so, for processes that know nothing else. Version 1, of before there were replicas, had neither the last two
fields of a replica nor the terms: its primaries are in sync.
"""

from __future__ import annotations

import zlib
from dataclasses import astuple, dataclass, replace
from typing import Any

from actors.core.errors import InvalidError
from actors.core.ids import BUCKET_COUNT, SHARD_COUNT_MAX
from actors.core.levels import require_known
from actors.core.replication import Candidate, Member, Term

WIRE_NAME = "rookery-map"
WIRE_VERSION, WIRE_VERSION_BEFORE_LEVELS = 3, 2
TERMS_KEPT = 64  # per shard: a log that is older than so many elections is replaced whole
SHARD_PREFIX = "rookery:shard-"  # of the names of all replicas' actors


def shard_actor_name(shard: int, index: int) -> str:
    """Return the name of a replica's actor, such as `rookery:shard-00:replica-0`."""
    return f"{SHARD_PREFIX}{shard:02d}:replica-{index}"


def shard_of_actor(name: str) -> int:
    """Return the shard of which that actor is a replica."""
    return int(name.removeprefix(SHARD_PREFIX).partition(":")[0])


@dataclass(frozen=True, slots=True)
class ReplicaPlace:
    """One copy of a shard: who it is and where its lane listens."""

    actor_name: str
    shard: int
    index: int
    unix_path: str = ""  # "" = no Unix socket
    host: str = ""
    port: int = 0  # 0 = no TCP lane
    node_id: str = ""
    pid: int = 0
    primary: bool = False
    in_sync: bool = False
    store_id: str = ""  # whose disk is in sync; "" = not known

    @property
    def registered(self) -> bool:
        """Whether it has said where it listens."""
        return bool(self.unix_path) or self.port > 0

    def address(self, node_id: str) -> str | tuple[str, int] | None:
        """Return where to dial its lane from a node: the Unix socket on its own, and nothing else there; else TCP.

        None if no lane leads there. Anybody on the node may listen at a TCP port, and only we at the socket.
        """
        if self.unix_path and self.node_id == node_id:
            return self.unix_path
        return (self.host, self.port) if self.port else None


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Who owns what, as of one epoch; and what of the code may be used (actors/core/levels.py).

    level: every shard has taken it, or does before its first write: what is new up to there may be asked for.
    next_level: no process knows less, and the shards are being raised to it; the same number when nothing rises.
    """

    epoch: int
    cluster: str
    shard_count: int
    buckets: bytes
    replicas: tuple[ReplicaPlace, ...]
    terms: tuple[tuple[Term, ...], ...]
    level: int = 0
    next_level: int = 0

    @classmethod
    def even(cls, cluster: str, shard_count: int, replica_count: int = 1, level: int = 0) -> ShardMap:
        """Return the first map of a cluster: epoch 1, buckets in equal runs (within one), replica 0 primary.

        Raises InvalidError unless 1 <= shard_count <= 256 and replica_count >= 1.
        """
        if not 1 <= shard_count <= SHARD_COUNT_MAX:
            raise InvalidError(f"shard_count is {shard_count}; it must be 1 to {SHARD_COUNT_MAX}", "shard_count")
        if replica_count < 1:
            raise InvalidError(f"replica_count is {replica_count}; it must be 1 or more", "replica_count")
        replicas = tuple(
            ReplicaPlace(shard_actor_name(shard, index), shard, index, primary=index == 0)
            for shard in range(shard_count)
            for index in range(replica_count)
        )
        terms: tuple[tuple[Term, ...], ...] = ((),) * shard_count
        return cls(1, cluster, shard_count, even_buckets(shard_count), replicas, terms, level, level)

    def shard_of_bucket(self, bucket: int) -> int:
        """Return the shard that owns a bucket (0..1023)."""
        return self.buckets[bucket]

    def buckets_of_shard(self, shard: int) -> list[int]:
        """Return a shard's buckets, ascending. Cost: 20 us."""
        return [bucket for bucket, owner in enumerate(self.buckets) if owner == shard]

    def replicas_of(self, shard: int) -> list[ReplicaPlace]:
        """Return a shard's replicas, by index."""
        return sorted((r for r in self.replicas if r.shard == shard), key=lambda replica: replica.index)

    def in_sync_of(self, shard: int) -> list[Member]:
        """Return the members of a shard's in-sync set."""
        return [Member(r.index, r.store_id) for r in self.replicas_of(shard) if r.in_sync]

    def term_of(self, shard: int) -> int:
        """Return the number of a shard's newest term; 0 before the first election, and once it is given up."""
        return self.terms[shard][-1].term if 0 <= shard < self.shard_count and self.terms[shard] else 0

    def primary_of(self, shard: int) -> ReplicaPlace:
        """Return the primary of a shard. Raises InvalidError for a shard that doesn't exist."""
        for candidate in self.replicas:
            if candidate.shard == shard and candidate.primary:
                return candidate
        raise InvalidError(f"shard {shard} has no primary; shards are 0 to {self.shard_count - 1}", "shard")

    def replica(self, shard: int, index: int) -> ReplicaPlace:
        """Return one replica. Raises InvalidError if the map has no such replica."""
        for candidate in self.replicas:
            if candidate.shard == shard and candidate.index == index:
                return candidate
        raise InvalidError(f"the map has no replica {index} of shard {shard}", "shard")

    def with_replica(self, changed: ReplicaPlace) -> ShardMap:
        """Return the map of the next epoch, in which the replica of the same shard and index is replaced."""
        self.replica(changed.shard, changed.index)
        replicas = tuple(
            changed if (old.shard, old.index) == (changed.shard, changed.index) else old for old in self.replicas
        )
        return replace(self, epoch=self.epoch + 1, replicas=replicas)

    def with_replica_count(self, count: int) -> ShardMap:
        """Return the map of the next epoch with so many replicas a shard: more begin empty, or some go.

        Raises InvalidError if a primary would go. Where any goes, only the primary stays in sync: the others may lack
        what those that go have acknowledged.
        """
        kept = []
        for shard in range(self.shard_count):
            primary, replicas = self.primary_of(shard), self.replicas_of(shard)
            if primary.index >= count:
                raise InvalidError(
                    f"replica {primary.index} of shard {shard} leads it; with {count} replicas a shard it would go",
                    "replicas",
                )
            if len(replicas) > count:
                replicas = [r if r.primary else replace(r, in_sync=False, store_id="") for r in replicas[:count]]
            have = {replica.index for replica in replicas}
            kept += replicas
            kept += [ReplicaPlace(shard_actor_name(shard, i), shard, i) for i in range(count) if i not in have]
        return replace(self, epoch=self.epoch + 1, replicas=tuple(kept))

    def with_leader(self, shard: int, leader: Candidate, term: int, copies: int) -> ShardMap:
        """Return the map of the next epoch, in which an election has made `leader` the primary of a new term.

        It is in sync alone: the others join again once they have acknowledged everything in the new term.
        """
        replicas = tuple(
            old if old.shard != shard else replace(
                old, primary=old.index == leader.replica, in_sync=old.index == leader.replica,
                store_id=leader.store_id if old.index == leader.replica else "",
            )
            for old in self.replicas
        )  # fmt: skip
        history = (*self.terms[shard], Term(term, leader.position, copies))[-TERMS_KEPT:]
        terms = (*self.terms[:shard], history, *self.terms[shard + 1 :])
        return replace(self, epoch=self.epoch + 1, replicas=replicas, terms=terms)

    def with_in_sync(self, shard: int, members: list[Member]) -> ShardMap:
        """Return the map of the next epoch, in which these replicas of a shard are in sync."""
        disks = dict(members)
        replicas = tuple(
            old if old.shard != shard else replace(old, in_sync=old.index in disks, store_id=disks.get(old.index, ""))
            for old in self.replicas
        )
        return replace(self, epoch=self.epoch + 1, replicas=replicas)

    def with_buckets(self, owners: dict[int, int]) -> ShardMap:
        """Return the map of the next epoch, in which some buckets have other owners."""
        buckets = bytes(owners.get(bucket, owner) for bucket, owner in enumerate(self.buckets))
        return replace(self, epoch=self.epoch + 1, buckets=buckets)

    def with_next_level(self, level: int) -> ShardMap:
        """Return the map of the next epoch, which processes that know less refuse. Levels only grow."""
        return replace(self, epoch=self.epoch + 1, next_level=max(level, self.next_level))

    def with_level_reached(self) -> ShardMap:
        """Return the map of the next epoch, in which every shard has the next level."""
        return replace(self, epoch=self.epoch + 1, level=self.next_level)

    def with_shard_count(self, count: int) -> ShardMap:
        """Return the map of the next epoch with more shards, which own nothing, or without the last ones.

        Raises InvalidError if a shard that would go owns buckets, or for a count out of range.
        """
        if not 1 <= count <= SHARD_COUNT_MAX:
            raise InvalidError(f"shards is {count}; it must be 1 to {SHARD_COUNT_MAX}", "shards")
        if max(self.buckets) >= count:
            raise InvalidError(f"shard {max(self.buckets)} owns buckets and can't go", "shards")
        per_shard = len(self.replicas_of(0))
        new = tuple(
            ReplicaPlace(shard_actor_name(shard, index), shard, index, primary=index == 0)
            for shard in range(self.shard_count, count)
            for index in range(per_shard)
        )
        kept = tuple(replica for replica in self.replicas if replica.shard < count)
        terms = (*self.terms[:count], *((),) * (count - self.shard_count))
        return replace(self, epoch=self.epoch + 1, shard_count=count, replicas=kept + new, terms=terms)

    def to_wire(self) -> list[Any]:
        """Return the map as msgpack-able values; see the module header."""
        replicas = [list(astuple(replica)) for replica in self.replicas]
        terms = [[list(term) for term in history] for history in self.terms]
        fields = [self.epoch, self.cluster, self.shard_count, self.buckets, replicas, terms]
        if self.next_level == 0:
            return [WIRE_NAME, WIRE_VERSION_BEFORE_LEVELS, *fields]
        return [WIRE_NAME, WIRE_VERSION, *fields, {"levels": [self.level, self.next_level]}]

    @classmethod
    def from_wire(cls, wire: Any) -> ShardMap:
        """Rebuild a map.

        Raises InvalidError that says what is wrong with the wire value; ConflictError if the cluster's level is above
        what this code knows: whoever reads a map is to take no part then.
        """
        if not isinstance(wire, list | tuple) or len(wire) < 2 or wire[0] != WIRE_NAME:
            raise InvalidError("this is not a shard map", "map")
        if wire[1] == 1 and len(wire) == 7:
            wire = _from_version_1(wire)
        if wire[1] == WIRE_VERSION_BEFORE_LEVELS and len(wire) == 8:
            wire = [WIRE_NAME, WIRE_VERSION, *wire[2:], {}]
        if wire[1] != WIRE_VERSION or len(wire) != 9:
            raise InvalidError(f"the shard map has format {wire[1]!r}; this version reads {WIRE_VERSION}", "map")
        _, _, epoch, cluster, shard_count, buckets, replicas, terms, more = wire
        types_hold = (
            type(epoch) is int and type(cluster) is str and type(shard_count) is int
            and type(buckets) is bytes and isinstance(replicas, list | tuple) and all(map(_is_replica_wire, replicas))
            and isinstance(terms, list | tuple) and all(map(_is_history_wire, terms))
            and isinstance(more, dict) and _is_levels_wire(more.get("levels", _LEVELS_BEFORE))
        )  # fmt: skip
        if not types_hold:
            raise InvalidError("a value in the shard map has the wrong type", "map")
        histories = tuple(tuple(Term(*term) for term in history) for history in terms)
        level, next_level = more.get("levels", _LEVELS_BEFORE)
        require_known(next_level, f"cluster {cluster!r}")
        members = tuple(ReplicaPlace(*fields) for fields in replicas)
        built = cls(epoch, cluster, shard_count, buckets, members, histories, level, next_level)
        problems = built.check()
        if problems:
            raise InvalidError(f"the shard map is inconsistent: {'; '.join(problems)}", "map")
        return built

    def check(self) -> list[str]:
        """Return what is wrong with this map, one sentence each; empty when every invariant holds."""
        problems = []
        if self.epoch < 1:
            problems.append(f"the epoch is {self.epoch}, but epochs start at 1")
        if not 1 <= self.shard_count <= SHARD_COUNT_MAX:
            problems.append(f"there are {self.shard_count} shards, but only 1 to {SHARD_COUNT_MAX} are possible")
        if len(self.buckets) != BUCKET_COUNT:
            problems.append(f"{len(self.buckets)} buckets have an owner, but there are {BUCKET_COUNT}")
        if self.buckets and max(self.buckets) >= self.shard_count:
            problems.append(f"a bucket belongs to shard {max(self.buckets)}, but there are {self.shard_count} shards")
        keys = [(replica.shard, replica.index) for replica in self.replicas]
        if len(set(keys)) != len(keys):
            problems.append("a replica is listed twice")
        if len({replica.actor_name for replica in self.replicas}) != len(keys):
            problems.append("two replicas share an actor name")
        for shard in range(min(self.shard_count, SHARD_COUNT_MAX)):
            primaries = sum(replica.primary for replica in self.replicas if replica.shard == shard)
            if primaries != 1:
                problems.append(f"shard {shard} has {primaries} primaries, but needs exactly one")
        for shard, history in enumerate(self.terms):
            numbers = [term.term for term in history]
            if numbers != sorted(set(numbers)) or any(term < 1 for term in numbers):
                problems.append(f"the terms of shard {shard} don't grow: {numbers[-5:]}")
            if history and not any(r.shard == shard and r.primary and r.in_sync for r in self.replicas):
                problems.append(f"the primary of shard {shard} is not in sync")
        if len(self.terms) != self.shard_count:
            problems.append(f"{len(self.terms)} shards have terms, but there are {self.shard_count}")
        if not 0 <= self.level <= self.next_level:
            problems.append(f"the level is {self.level} and the next one {self.next_level}, but levels only grow")
        if any(not 0 <= shard < self.shard_count for shard, _ in keys):
            problems.append("a replica belongs to a shard that does not exist")
        return problems


_LEVELS_BEFORE = (0, 0)  # of maps that say nothing of levels
_REPLICA_TYPES = (str, int, int, str, str, int, str, int, bool, bool, str)


def _is_replica_wire(fields: Any) -> bool:
    """Whether this is the wire form of a Replica."""
    if not isinstance(fields, list | tuple) or len(fields) != len(_REPLICA_TYPES):
        return False
    return all(type(value) is expected for value, expected in zip(fields, _REPLICA_TYPES, strict=True))


def _is_history_wire(history: Any) -> bool:
    """Whether this is the wire form of a shard's terms."""
    return isinstance(history, list | tuple) and all(
        isinstance(term, list | tuple) and len(term) == 3 and all(type(value) is int for value in term)
        for term in history
    )


def _is_levels_wire(levels: Any) -> bool:
    """Whether this is the wire form of level and next level."""
    return isinstance(levels, list | tuple) and len(levels) == 2 and all(type(level) is int for level in levels)


def _from_version_1(wire: Any) -> list[Any]:
    """Return a map of before there were replicas in the form of version 2."""
    replicas, shard_count = wire[6], wire[4]
    if isinstance(replicas, list | tuple):
        replicas = [[*r, r[-1], ""] if isinstance(r, list | tuple) and len(r) == 9 else r for r in replicas]
    terms: list[Any] = [[]] * shard_count if type(shard_count) is int and 0 <= shard_count <= SHARD_COUNT_MAX else []
    return [WIRE_NAME, WIRE_VERSION_BEFORE_LEVELS, *wire[2:6], replicas, terms]


def crc_of_buckets(buckets: bytes) -> int:
    """Return a short form of who owns what, to compare."""
    return zlib.crc32(buckets)


def even_buckets(shard_count: int) -> bytes:
    """Return an owner for each of the 1,024 buckets: equal runs, whose sizes differ by one at most."""
    return bytes(bucket * shard_count // BUCKET_COUNT for bucket in range(BUCKET_COUNT))
