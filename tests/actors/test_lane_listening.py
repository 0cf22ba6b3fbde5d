"""Where a shard's lane listens: no TCP in a cluster of one node, and under the map's words in one of several."""

from __future__ import annotations

import os
import socket

import pytest
import ray

from actors.shard.lane_listening import LOOPBACK, listen
from cluster.lane.client import LaneClient
from cluster.lane.protocol import LaneImpostorError
from cluster.lane.server import LaneServer
from cluster.placement.shard_map import ReplicaPlace
from configs.settings import load_settings
from tests.cluster.conftest import KEYS, NAME, TLS_KEYS, echo


def settings_of(data, ray_address="", host="127.0.0.1"):
    overrides = {"storage": {"data_dir": data}, "cluster": {"ray_address": ray_address}, "lane": {"host": host}}
    return load_settings("test", overrides=overrides, environ={})


@pytest.fixture
async def lane():
    made = LaneServer(echo, TLS_KEYS, NAME)
    yield made
    await made.close()


def listening(lane):
    return [(door.listener.family, door.listener.getsockname()) for door in lane._doors]


async def asked(address, keys):
    client = LaneClient(address, keys, NAME)
    await client.connect()
    try:
        return await client.request("n", [1])
    finally:
        client.close()


async def test_a_cluster_of_one_node_has_no_tcp(lane, tmp_path):
    said = await listen(lane, settings_of(tmp_path, host="0.0.0.0"), tmp_path)
    assert listening(lane) == [(socket.AF_UNIX, f"{tmp_path}/lane.sock.{os.getpid() % 100000}")]
    assert (said["unix_path"], said["port"]) == (f"{tmp_path}/lane.sock", 0)
    assert await asked(said["unix_path"], KEYS) == ["n", [1]]


async def test_a_path_that_is_too_long_is_made_up_for_on_loopback_alone(lane, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    said = await listen(lane, settings_of(tmp_path, host="0.0.0.0"), deep)
    assert listening(lane) == [(socket.AF_INET, (LOOPBACK, said["port"]))]
    assert (said["unix_path"], said["host"]) == ("", LOOPBACK)


async def test_a_joined_ray_has_tcp_under_the_address_that_nodes_know(lane, tmp_path, monkeypatch):
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.7")
    said = await listen(lane, settings_of(tmp_path, "auto", "0.0.0.0"), tmp_path)
    assert (said["host"], said["unix_path"]) == ("127.0.0.7", f"{tmp_path}/lane.sock")
    assert listening(lane)[1] == (socket.AF_INET, ("0.0.0.0", said["port"]))
    assert await asked(("127.0.0.7", said["port"]), TLS_KEYS) == ["n", [1]]
    with pytest.raises(LaneImpostorError):  # the same socket, but nobody would dial it there
        await asked((LOOPBACK, said["port"]), TLS_KEYS)


def test_on_its_own_node_nobody_dials_a_shard_by_tcp():
    replica = ReplicaPlace(NAME, 0, 0, "/data/lane.sock", "10.0.0.1", 4000, "node", 1)
    assert replica.address("node") == "/data/lane.sock"
    assert replica.address("another") == ("10.0.0.1", 4000)
    assert ReplicaPlace(NAME, 0, 0, "", "127.0.0.1", 4000, "node").address("node") == ("127.0.0.1", 4000)
    assert ReplicaPlace(NAME, 0, 0, "/data/lane.sock", "10.0.0.1", 0, "node").address("another") is None
