"""The API's way to shards with several replicas: the positions of a request, and the figures."""

from __future__ import annotations

import orjson
import pytest

from actors.api_actor import ApiCluster
from actors.core.ids import bucket_of_account
from actors.dispatch_actor import AskingShards
from api.positions import positions_of_request, reading_fresh
from tests.cluster.fake_replicas import FakeReplicaSet


async def test_a_request_reads_on_one_worker_what_it_wrote_on_another(tmp_path):
    shard = FakeReplicaSet(tmp_path, 3)
    for index in range(3):
        await shard.start(index)
    one, other = [ApiCluster(await shard.open_client(), "test", tmp_path) for _ in range(2)]
    bucket = bucket_of_account(7)

    written: dict[int, int] = {}
    positions_of_request.set(written)
    await one.call(bucket, "follow", [7, 8])
    assert written == {0: 1}

    positions_of_request.set(dict(written))
    for _ in range(50):
        assert (await other.call(bucket, "home", [7]))[1] == 1
        assert (await other.call_shard(0, "cards", [[7]]))[1] == 1
    positions_of_request.set({})
    assert 0 in [(await other.call(bucket, "home", [7]))[1] for _ in range(50)], "nobody was behind"

    assert other.figures()["follower_reads"] > 0
    with reading_fresh():
        assert {(await other.call(bucket, "home", [7]))[1] for _ in range(50)} == {1}
        assert {(await other.call_shard(0, "cards", [[7]]))[1] for _ in range(50)} == {1}
    assert {(await AskingShards(other.client).ask_bucket(bucket, "cards", [[7]]))[1] for _ in range(50)} == {1}
    one.close()
    other.close()
    for index in range(3):
        await shard.stop(index)


@pytest.mark.parametrize(("shards", "counts"), [(0, False), (2, True)])
async def test_trends_that_have_asked_nobody_yet_are_not_there_yet(tmp_path, monkeypatch, shards, counts):
    async def trends(*_: object) -> bytes:
        return orjson.dumps({"partial": True, "shards": {"answered": 0, "of": shards}, "trends": []})

    shard = FakeReplicaSet(tmp_path, 1)
    await shard.start(0)
    api = ApiCluster(await shard.open_client(), "test", tmp_path)
    monkeypatch.setattr(api, "trends", trends)
    assert await api._counts_trends() is counts
    api.close()
    await shard.stop(0)
