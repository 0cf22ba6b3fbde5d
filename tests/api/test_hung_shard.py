"""A shard that hangs, as HTTP clients see it: they are told so, and clients of the other shards notice nothing.

The API worker is a real one, its way to the shards is the real client over lanes; the shards answer home reads with
next to nothing, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors.api_actor import ApiCluster
from actors.core.ids import bucket_of_account
from bench.strangers import answer, connected
from cluster.client.cluster_client import ClusterClient
from cluster.client.shard_places import PROBE_S
from tests.api.conftest import LiveServer, ServerThread
from tests.api.test_http_abuse import worker_of
from tests.cluster.conftest import KEYS
from tests.cluster.test_client import Cluster

PLACES = 64
READERS = 160  # of one account of the hung shard, as quickly as they are answered
ROUNDS = 40
PATIENCE_S = 60.0


class Answering(Cluster):
    """Three shards, of which some hang."""

    def reply_to(self, shard: int, request: object) -> object:
        return {"home": [b"[]", 0, 0]}.get(request.op, [shard])  # type: ignore[attr-defined]


class LanedServer(ServerThread):
    """An ApiWorker whose cluster is lanes to shards of the same loop."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        super().__init__(settings, SimpleNamespace())
        self._folder = folder

    async def _connect(self, on_revoked):
        self.shards = Answering(self._folder, 3)
        for shard in range(3):
            await self.shards.start_shard(shard)
        client = ClusterClient(self.shards.fetch_map, KEYS, "here")
        await client.open()
        return ApiCluster(client, "test", self._folder)

    def __exit__(self, *more: object) -> None:
        for shard in range(3):
            asyncio.run_coroutine_threadsafe(self.shards.stop_shard(shard), self._loop).result(60)
        super().__exit__(*more)


@pytest.fixture
def laned(tmp_path: Path) -> Iterator[tuple[LiveServer, Cluster]]:
    settings = {"auth_mode": "open", "in_flight_count_max": PLACES, "request_timeout_s": 1.0}
    laned = LanedServer(tmp_path, settings)
    with laned as live:
        yield live, laned.shards


def account_of(shards: Cluster, shard: int) -> int:
    owned = set(shards.shard_map.buckets_of_shard(shard))
    return next(account for account in itertools.count(1) if bucket_of_account(account) in owned)


async def read(port: int, account: int, ended: threading.Event | None, rounds: int = 1 << 30) -> dict[int, int]:
    """Read a home timeline again and again; returns how often each status came."""
    counts: dict[int, int] = {}
    async with connected(port, "127.0.0.1") as (reader, writer):
        for _ in range(rounds):
            if ended is not None and ended.is_set():
                break
            writer.write(b"GET /feed?user_id=%d HTTP/1.1\r\nhost: x\r\n\r\n" % account)
            status = await answer(reader)
            counts[status] = counts.get(status, 0) + 1
            await asyncio.sleep(0.01)
    return counts


def total(counts: list[dict[int, int]]) -> dict[int, int]:
    statuses = {status for each in counts for status in each}
    return {status: sum(each.get(status, 0) for each in counts) for status in statuses}


async def beside_a_hung_shard(port: int, hung: int, live: int) -> tuple[dict[int, int], dict[int, int]]:
    """Return how often each status came from the hung shard, and from the other."""
    ended = threading.Event()
    readers = [asyncio.create_task(read(port, hung, ended)) for _ in range(READERS)]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.sleep(0.3)
        of_others = total(list(await asyncio.gather(*(read(port, live, None, ROUNDS) for _ in range(4)))))
        ended.set()
        return total(list(await asyncio.gather(*readers))), of_others


def test_readers_of_a_hung_shard_leave_others_their_places_and_are_then_told_at_once(laned):
    """2,600 readers of one of its accounts once filled all places: 147 of 168 reads of others' accounts got 503."""
    live, shards = laned
    port = int(live.base_url.rpartition(":")[2])
    hung, other = account_of(shards, 0), account_of(shards, 1)
    assert asyncio.run(read(port, hung, None, 3)) == asyncio.run(read(port, other, None, 3)) == {200: 3}
    shards.hang.add(0)
    for _ in range(2):  # while its requests wait, and after they have timed out
        of_hung, of_others = asyncio.run(beside_a_hung_shard(port, hung, other))
        assert of_others == {200: 4 * ROUNDS}
        assert set(of_hung) == {503}
    assert worker_of(live)._services.cluster.figures()["shards_failing_fast"] == 1
    asked, begin_s = shards.asked.count((0, "home")), time.monotonic()
    assert asyncio.run(read(port, hung, None, 20)) == {503: 20}
    probes = (time.monotonic() - begin_s) / PROBE_S + 1
    assert shards.asked.count((0, "home")) <= asked + probes
    shards.hang.clear()
    with contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(_until_answered(port, hung), PATIENCE_S))
    assert asyncio.run(read(port, hung, None, 3)) == {200: 3}
    assert worker_of(live)._services.in_flight_count == 0


async def _until_answered(port: int, account: int) -> None:
    while (await read(port, account, None, 1)) != {200: 1}:  # noqa: ASYNC110 - there is nobody to set an event
        await asyncio.sleep(0.05)
