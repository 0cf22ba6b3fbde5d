"""ShardMap: lookups, the wire form, and what check() notices."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError
from actors.core.ids import BUCKET_COUNT, SHARD_COUNT_MAX
from cluster.placement.shard_map import ReplicaPlace, ShardMap, shard_actor_name


@given(st.integers(1, SHARD_COUNT_MAX), st.integers(1, 3))
def test_an_even_map_meets_every_invariant_and_its_shards_differ_by_one_bucket_at_most(shard_count, replica_count):
    shard_map = ShardMap.even("c", shard_count, replica_count)
    assert shard_map.check() == []
    sizes = [len(shard_map.buckets_of_shard(shard)) for shard in range(shard_count)]
    assert sum(sizes) == BUCKET_COUNT
    assert max(sizes) - min(sizes) <= 1
    for shard in range(shard_count):
        assert all(shard_map.shard_of_bucket(bucket) == shard for bucket in shard_map.buckets_of_shard(shard))
        assert shard_map.primary_of(shard).index == 0


@given(st.integers(1, 16), st.integers(1, 3), st.text(max_size=10), st.integers(0, 65535))
def test_a_map_survives_its_wire_form(shard_count, replica_count, host, port):
    shard_map = ShardMap.even("c", shard_count, replica_count)
    shard_map = shard_map.with_replica(replace(shard_map.replicas[-1], host=host, port=port, pid=7))
    assert ShardMap.from_wire(msgpack.unpackb(msgpack.packb(shard_map.to_wire()))) == shard_map


def test_changing_a_replica_makes_the_next_epoch_and_leaves_the_old_map_alone():
    old = ShardMap.even("c", 2)
    new = old.with_replica(replace(old.replicas[1], port=1234))
    assert (old.epoch, new.epoch) == (1, 2)
    assert (old.replica(1, 0).port, new.replica(1, 0).port) == (0, 1234)
    assert new.replica(1, 0).registered
    assert not new.replica(0, 0).registered


def test_actor_names_are_readable_and_sort_by_shard():
    assert shard_actor_name(3, 1) == "rookery:shard-03:replica-1"


@pytest.mark.parametrize("shard_count", [0, -1, SHARD_COUNT_MAX + 1])
def test_an_impossible_shard_count_is_refused_with_the_number(shard_count):
    with pytest.raises(InvalidError, match=str(shard_count)):
        ShardMap.even("c", shard_count)


def test_check_says_what_is_wrong():
    good = ShardMap.even("c", 2)
    first, second = good.replicas
    broken = {
        "epochs start at 1": replace(good, epoch=0),
        "have an owner": replace(good, buckets=bytes(10)),
        "belongs to shard 9": replace(good, buckets=bytes([9]) * BUCKET_COUNT),
        "listed twice": replace(good, replicas=(first, first, second)),
        "share an actor name": replace(good, replicas=(first, replace(second, actor_name=first.actor_name))),
        "shard 1 has 0 primaries": replace(good, replicas=(first, replace(second, primary=False))),
        "does not exist": replace(good, replicas=(first, second, ReplicaPlace("x", 5, 0))),
        "only 1 to": replace(good, shard_count=0, buckets=b""),
    }
    for sentence, shard_map in broken.items():
        assert any(sentence in problem for problem in shard_map.check()), sentence
        with pytest.raises(InvalidError):
            ShardMap.from_wire(shard_map.to_wire())


@given(
    st.recursive(
        st.none() | st.integers() | st.binary() | st.text(),
        lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=3),
    )
    | st.lists(st.none() | st.integers() | st.binary() | st.just([]), min_size=6, max_size=6).map(
        lambda rest: ["rookery-map", *rest]
    )
)
def test_anything_else_on_the_wire_is_refused(wire):
    with pytest.raises(InvalidError):
        ShardMap.from_wire(wire)


def test_a_shard_that_was_given_up_has_no_term_any_more():
    both = ShardMap.even("c", 2)
    one = both.with_buckets(dict.fromkeys(range(BUCKET_COUNT), 0)).with_shard_count(1)
    assert one.term_of(1) == 0
