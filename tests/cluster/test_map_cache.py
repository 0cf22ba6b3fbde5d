"""The map of a client: an epoch that was announced is fetched, however long the router is away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.client import map_cache
from cluster.client.map_cache import MapCache
from cluster.placement.shard_map import ShardMap
from tests.cluster.conftest import until


@pytest.mark.parametrize("answer", ["an error", "nothing new", "the old one"])
async def test_an_announced_map_is_fetched_until_the_router_gives_it(monkeypatch, answer):
    monkeypatch.setattr(map_cache, "MAP_FETCH_TIMEOUT_S", 0.001)  # and so all pauses
    monkeypatch.setattr(map_cache, "MAP_REFRESH_INTERVAL_S", 0.0)
    old = ShardMap.even("test", 2)
    new, fetched = replace(old, epoch=7), []

    async def fetch():
        fetched.append(answer)
        if len(fetched) == 1:
            return old.to_wire()
        if len(fetched) > 40:
            return new.to_wire()
        if answer == "an error":
            raise OSError("the router is away")
        return None if answer == "nothing new" else old.to_wire()

    maps = MapCache(fetch, lambda old, new: None)
    await maps.refresh()
    maps.want(7)
    await until(lambda: maps.map is not None and maps.map.epoch == 7)
    assert len(fetched) == 41
    maps.close()
