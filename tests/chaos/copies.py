"""Are all copies of a shard the same? Asked over their lanes while they serve, or read from the files of a stopped one.

Rules of this file
- Without Ray and without the router: addresses, and who is there, come from the map on disk.
- Digests are compared at one journal position, the same before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.core.verify import digest
from actors.shard.places import REPLICA_FILE, shard_directory
from actors.shard.storage import Storage
from cluster.lane.client import LaneClient
from cluster.lane.handshake import LaneKeys
from cluster.placement.shard_map import ReplicaPlace, ShardMap
from cluster.router.elections import UNREACHABLE
from cluster.router.files import SECRET_NAME, load_state
from commands.checking import Outcome as Found
from configs.settings import load_settings
from persistence.replica_file import ReplicaFile

SETTLE_TIMEOUT_S = 120.0  # a replica that was killed last is filled anew
LOOK_S = 0.2
ASK_TIMEOUT_S = 60.0  # a digest walks the whole state


def map_on_disk(data: Path) -> ShardMap:
    """Return the map that the router wrote last."""
    state = load_state(data)
    assert state is not None, f"{data} holds no map"
    return state[1]


def is_in_sync(shard_map: ShardMap, shard: int) -> bool:
    """Whether the map counts all replicas of a shard as in sync."""
    return all(replica.in_sync for replica in shard_map.replicas_of(shard))


def is_whole(shard_map: ShardMap, shard: int, lives: Callable[[int], bool]) -> bool:
    """Whether all replicas of a shard are in sync and live. lives(pid): whether a process does."""
    return all(replica.in_sync and lives(replica.pid) for replica in shard_map.replicas_of(shard))


def can_be_spared(shard_map: ShardMap, shard: int, index: int, promised: int, lives: Callable[[int], bool]) -> bool:
    """Whether a shard goes on without this copy, whatever is under way, if its process does nothing any more.

    promised: the term in its replica file. lives(pid): as in is_whole. Why that is certain:
    - The map is on disk before the router, or anybody, goes by it: it may be ahead of what they know, never behind.
    - What this copy asked the router for before it was stopped may still be carried out. Only a leader asks, and the
      router refuses those of a term that is over. So a copy that leads by the map, which could still put all others out
      of sync, can't be spared; once the map names another leader, it can ask for nothing more.
    - No election can choose it: a vote counts in its own term, and a promise is on disk before the vote is given. It
      votes no more before it lives again, and then from another disk, which no election counts.
    - So from now on a leader is always another copy. A leader is in sync, and its answer alone decides an election.
    """
    others = [replica for replica in shard_map.replicas_of(shard) if replica.index != index]
    leads = shard_map.replica(shard, index).primary
    whole = all(replica.in_sync and lives(replica.pid) for replica in others)
    return not leads and promised <= shard_map.term_of(shard) and whole


def promised_term(data: Path, shard: int, index: int) -> int:
    """Return the highest term that a replica has promised, as its file says. Raises FileNotFoundError."""

    def there_is_none() -> str:
        raise FileNotFoundError(f"replica {index} of shard {shard} has no file")

    return ReplicaFile.load_or_create(shard_directory(data, shard, index) / REPLICA_FILE, there_is_none).promised


async def _ask(replica: ReplicaPlace, keys: LaneKeys, *ops: str) -> list[Any]:
    lane = LaneClient(replica.unix_path or (replica.host, replica.port), keys, replica.actor_name)
    await lane.connect()
    try:
        return [await lane.request(op, [], ASK_TIMEOUT_S) for op in ops]
    finally:
        lane.close()


async def compare_copies(data: Path, found: Found) -> int:
    """Compare the digests of all replicas that serve, once all are in sync and at rest; returns how many there are."""
    keys = LaneKeys((data / SECRET_NAME).read_bytes())
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        shard_map = map_on_disk(data)
        answers: list[list[Any]] = []
        with contextlib.suppress(*UNREACHABLE):
            answers = [await _ask(replica, keys, "status", "digest", "status") for replica in shard_map.replicas]
        seen = [(before["shard"], before["position"], after["position"], value) for before, value, after in answers]
        at_rest = bool(seen) and all(before == after for _, before, after, _ in seen)
        alike = len({(shard, position) for shard, position, _, _ in seen}) == shard_map.shard_count
        if at_rest and alike and all(is_in_sync(shard_map, shard) for shard in range(shard_map.shard_count)):
            break
        if time.monotonic() > deadline:
            missing = [r.actor_name for r in shard_map.replicas if not r.in_sync]
            found.add([f"after {SETTLE_TIMEOUT_S:.0f} s not all copies are in sync ({missing}) and at rest: {seen}"])
            return len(seen)
        await asyncio.sleep(LOOK_S)
    for shard in range(shard_map.shard_count):
        digests = [value for of_shard, _, _, value in seen if of_shard == shard]
        if len(set(digests)) > 1:
            found.add([f"the copies of shard {shard} differ: {digests}"])
    return len(seen)


def digests_on_disk(data: Path, shards: int, replicas: int) -> list[list[str]]:
    """Per shard, the digest of each replica of a stopped cluster."""
    overrides = {"storage": {"data_dir": data}, "cluster": {"shards": shards, "replicas": replicas}}
    settings = load_settings("test", overrides=overrides, environ={})
    found: list[list[str]] = []
    for shard in range(shards):
        found.append([])
        for index in range(replicas):
            storage = Storage(settings, shard, index)
            found[-1].append(digest(storage.replica.state))
            storage.close()
    return found
