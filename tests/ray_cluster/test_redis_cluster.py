"""Three Ray nodes whose tables are in Redis, and a cluster on them whose shards are, in another one.

The head is killed; a shard comes back without its files; an outage of the shards' Redis passes; and the cluster
outlives its `serve`.
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.persistence.redis_processes import RedisProcess
from tests.ray_cluster.ray_nodes import (
    ADDRESSES,
    HEAD,
    SECOND,
    THIRD,
    Load,
    ManyNodes,
    Person,
    RayNodes,
    people_of,
    serving_on,
)
from tests.serving import command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("three_nodes"),
]  # fmt: skip

HEAD_AWAY_S = 8.0  # with neither head nor control store
OUTAGE_S = 3.0


@pytest.fixture(scope="module")
def shards_redis() -> Iterator[RedisProcess]:
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    yield process
    process.close()


@pytest.fixture(scope="module")
def durable(three_nodes: RayNodes, shards_redis: RedisProcess) -> Iterator[ManyNodes]:
    with serving_on(
        three_nodes, "storage.backend=redis", f"storage.redis_url={shards_redis.url}",
        "cluster.outlive_serve=true", "server.deadline_ms=5000", "search.enabled=false", keeps_head=False,
    ) as made:  # fmt: skip
        yield made
    three_nodes.close()  # nobody uses them after this file, and the session goes on for minutes


@pytest.fixture(scope="module")
def people(durable: ManyNodes) -> Iterator[list[Person]]:
    made = people_of(durable, "ben")
    yield made
    for person in made:
        person.close()


def all_can_tweet(people: list[Person]) -> bool:
    return all(person.tweet(SECOND, "again") == 201 for person in people)


def least(counts: dict[str, Counter[int]], owners: set[str]) -> int:
    """Return how many answers those have who have the fewest, by the node that owns them."""
    return min(sum(counts[owner].values()) for owner in owners)


def test_a_killed_head_stops_nothing_on_the_other_nodes_and_comes_back(durable, people, capsys):
    load = Load(durable, people, (SECOND, THIRD))
    try:
        wait_for(lambda: sum(counts[201] for counts in load.writes.values()) > 50)
        load.forget()
        begin = time.monotonic()
        durable.nodes.kill(HEAD)
        time.sleep(HEAD_AWAY_S)
        reads, writes, slowest_s = copy.deepcopy((load.reads, load.writes, load.slowest_read_s))
        durable.nodes.add(HEAD)
        wait_for(lambda: durable.is_ready(SECOND) and durable.is_ready(THIRD))
        back_s = time.monotonic() - begin
        wait_for(lambda: durable.is_ready(HEAD))
        durable.has_console = True  # nobody kills this one
    finally:
        load.stop()
    with capsys.disabled():
        for owner in ADDRESSES:
            share = reads[owner][200] / max(sum(reads[owner].values()), 1)
            print(
                f"\nhead away, shard on {owner}: {share:.1%} of {sum(reads[owner].values())} home reads answered, "
                f"slowest {slowest_s[owner]:.2f} s; writes {dict(writes[owner])}", end="",
            )  # fmt: skip
        print(f"\nevery shard served again {back_s:.1f} s after the kill")
    for address in (SECOND, THIRD):
        assert set(reads[address]) == {200}, "a shard on a node that lives answers everybody"
        assert set(writes[address]) == {201}
    assert {person.tweet(address, "after") for person in people for address in ADDRESSES} == {201}
    assert [person.lost(SECOND) for person in people] == [[]] * len(people)
    assert durable.run("check", "--oracle")["problem_count"] == 0


def test_a_killed_shard_comes_back_without_its_local_files(durable, people):
    for number in range(100):
        assert people[number % len(people)].tweet(SECOND, f"number {number}") == 201
    shard = next(p for p in durable.run("status")["processes"] if p["role"] == "shard")
    os.kill(shard["pid"], signal.SIGKILL)
    shutil.rmtree(durable.data / f"shard-{shard['shard']:02d}")
    wait_for(lambda: all_can_tweet(people))
    assert [person.lost(SECOND) for person in people] == [[]] * len(people)


def test_an_outage_of_redis_under_load_stops_writes_only_and_passes_by_itself(durable, people, shards_redis):
    owners = {durable.owner_of(person.id).host for person in people}  # without the head's, perhaps
    load = Load(durable, people, ADDRESSES)
    try:
        wait_for(lambda: least(load.writes, owners) > 5)
        shards_redis.kill()
        time.sleep(0.3)
        begin = least(load.reads, owners)
        time.sleep(OUTAGE_S)
        wait_for(lambda: least(load.reads, owners) > begin + 20)  # reading never stopped
        assert {person.tweet(SECOND, "no") for person in people} == {503}
        before = [len(person.acknowledged) for person in people]
        shards_redis.start()
        wait_for(lambda: all_can_tweet(people))
    finally:
        load.stop()
    for owner in owners:
        assert set(load.reads[owner]) == {200}
        assert {201} <= set(load.writes[owner]) <= {201, 503}  # one that was under way may have waited for the end
    refusals = {refusal for person in people for refusal in person.refusals}
    assert any("the server can't be reached" in refusal for refusal in refusals), refusals
    assert all(len(person.acknowledged) > count for person, count in zip(people, before, strict=True))
    assert [person.lost(SECOND) for person in people] == [[]] * len(people)


def test_what_outlives_serve_is_found_by_the_next_one_and_ended_by_stop_and_checked_on_the_server(durable):
    before = durable.run("status")
    durable.stop()
    assert all(map(durable.is_ready, ADDRESSES))
    durable.start()
    after = durable.run("status")
    assert [p["pid"] for p in after["processes"]] == [p["pid"] for p in before["processes"]]
    running = durable.run("check")
    durable.stop()
    where = f"{HEAD}:{durable.nodes.head_port}"
    subprocess.run(command("stop", "--address", where, "--data", str(durable.data)), capture_output=True, check=True)
    assert not any(map(durable.is_ready, ADDRESSES))
    for folder in durable.data.glob("shard-*"):
        shutil.rmtree(folder)
    stopped = durable.run("check", "--oracle")
    assert stopped["digests"] == running["digests"]
    assert stopped["problem_count"] == running["problem_count"] == 0
