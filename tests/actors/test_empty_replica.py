"""A replica that began empty answers no reads before it has what its shard has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from actors.core.errors import MovedError
from actors.shard.served_replica import OTHER_READS
from actors.shard_actor import ShardActor
from cluster.placement.shard_map import ShardMap
from cluster.router.elections import Member

OLD, NEW = "0" * 16, "1" * 16


def replica(role: str, store_id: str, shard_map: ShardMap | None) -> SimpleNamespace:
    """Return what `_require_contents` looks at: replica 1 of shard 0."""
    replication = SimpleNamespace(role=role, shard_map=shard_map, file=SimpleNamespace(store_id=store_id))
    return SimpleNamespace(shard=0, index=1, replication=replication, _hollow=True)


def map_with(store_id: str) -> ShardMap:
    """Return a map that counts replica 1 with these files as in sync."""
    return ShardMap.even("c", 1, 2).with_in_sync(0, [Member(0, OLD), Member(1, store_id)])


def test_while_the_map_means_the_files_that_were_put_aside_it_refuses():
    for shard_map in (None, ShardMap.even("c", 1, 2), map_with(OLD)):
        began_empty = replica("follower", NEW, shard_map)
        with pytest.raises(MovedError, match="is being filled"):
            ShardActor._require_contents(began_empty)
        assert began_empty._hollow


@pytest.mark.parametrize(("role", "shard_map"), [("follower", map_with(NEW)), ("primary", map_with(OLD))])
def test_once_it_is_in_sync_or_leads_it_answers(role, shard_map):
    filled = replica(role, NEW, shard_map)
    ShardActor._require_contents(filled)
    assert not filled._hollow


def test_reads_in_any_wrapping_are_meant():
    assert {"home", "at", "shaped", "search", "tagged"} <= OTHER_READS
