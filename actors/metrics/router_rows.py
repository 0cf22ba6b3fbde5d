"""Figures of the router, shown by its node's API workers. What holds them: router_figures.py of cluster/router/."""

from __future__ import annotations

from functools import partial
from typing import Final

from actors.metrics.figure import SECONDS_BOUNDS, Figure

_counter = partial(Figure, kind="counter", source="router", unit="")
_gauge = partial(Figure, kind="gauge", source="router", unit="")
_times = partial(Figure, kind="histogram", source="router", unit="seconds", bounds=SECONDS_BOUNDS)
LOOKS = "the_router_counts_its_looks_and_what_they_find"
MAPS = "the_router_counts_changes_of_the_map_and_elections"

ROUTER_FIGURES: Final[tuple[Figure, ...]] = (
    _gauge(
        name="router_map_epoch", proven=MAPS, held={"map_epoch": ()},
        text="epoch of the shard map: another one for each change",
    ),
    _times(
        name="router_map_write_duration_seconds", proven=MAPS, held={"map_write_seconds": ()},
        text="time to put a changed map on disk",
    ),
    _counter(
        name="router_elections_total", proven=MAPS, held={"elections": ()},
        text="elections that gave a shard a leader, since the router began",
    ),
    _gauge(
        name="router_shard_served", proven=LOOKS, labels=("shard",), held={"served": ()},
        text="1 if the shard is led by a replica that answered the router lately, or owns nothing",
    ),
    Figure(
        name="router_shard_away_seconds_total", kind="counter", unit="seconds", source="router", proven=LOOKS,
        labels=("shard",), held={"away_seconds": ()}, text="time without a leader that answered the router",
    ),
    Figure(
        name="router_backup_timestamp_seconds", kind="gauge", unit="seconds", source="router", proven=MAPS,
        held={"backup_time": ()},
        text="when the last backup of this data folder ended, in Unix time; missing if there was none",
    ),
    _gauge(
        name="router_replica_live", proven=LOOKS, labels=("shard", "replica"), held={"live": ()},
        text="1 if the replica answered the router lately",
    ),
    _gauge(
        name="router_replica_in_sync", proven=LOOKS, labels=("shard", "replica"), held={"in_sync": ()},
        text="1 if the replica has all that is acknowledged, and may lead",
    ),
    _counter(
        name="router_replica_creations_total", proven=LOOKS, labels=("shard", "replica"), held={"creations": ()},
        text="times that the router made the replica's actor, as it was gone",
    ),
    _counter(
        name="router_pings_total", proven=LOOKS, labels=("result",), held={"pings": ()},
        text="questions to replicas whether they are there: answers, silent, gone",
    ),
    _times(
        name="router_look_duration_seconds", proven=LOOKS, held={"look_seconds": ()},
        text="time of one look at all replicas, which are asked at once",
    ),
    _gauge(name="router_level", proven=MAPS, held={"level": ()}, text="level of the cluster"),
    _gauge(
        name="router_next_level", proven=MAPS, held={"next_level": ()},
        text="level that it is being raised to; the same if it isn't",
    ),
    _gauge(
        name="router_nodes_drained", proven=MAPS, held={"drained": ()}, text="nodes that are drained, or being drained",
    ),
    _gauge(
        name="router_rebalance_buckets", proven="a_rebalance_says_what_it_has_done_and_what_is_left",
        labels=("part",), held={"buckets": ()}, text="buckets of the last rebalance: moved, left",
    ),
    _counter(
        name="router_rebalance_failed_moves_total", proven="a_rebalance_says_what_it_has_done_and_what_is_left",
        held={"failed_moves": ()}, text="moves of buckets that were given up and tried again",
    ),
)  # fmt: skip
