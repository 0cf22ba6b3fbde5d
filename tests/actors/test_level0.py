"""What level 0 left on disk opens in this version, says what it said, and goes on.

Rules of this file
- `tests/data/level0` was made by that version's code (make_level0.py, make_level0_journal.py) and is never made again.
- What it answered is compared as a whole, part by part. An answer that has to change is named where it is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from rich.console import Console

from actors.core import limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.checkpoints.tables import Table, TableChange
from actors.core.entries import unpack
from actors.core.replica import Replica
from actors.core.verify import check, digest
from actors.shard import redis_storage, storage
from commands import restore
from commands.launch import ClusterInfo
from commands.offline import StoppedCluster, check_stopped, stopped_settings
from configs.settings import load_settings
from persistence.errors import CheckpointMismatchError
from tests.core.harness import NOW_MS, memory_store
from tests.data.level0_answers import answers_of, deliver, home, owner_of
from tests.data.level0_files import expected, lived, unpack_folder, unpack_redis
from tests.persistence.redis_processes import RedisProcess

SHARDS = 2
SILENT = Console(quiet=True)
LATER_MS = NOW_MS + 10 * 365 * limits.DAY_MS  # after everything in the files


@pytest.fixture(scope="module")
def redis_process() -> Iterator[RedisProcess]:
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    yield process
    process.close()


@pytest.fixture(params=["stopped", "killed", "redis"])
def data(request: Any, tmp_path: Path) -> tuple[str, Path]:
    """The name of what was kept, and a data folder with it."""
    if request.param != "redis":
        return request.param, unpack_folder(request.param, tmp_path)
    process = request.getfixturevalue("redis_process")
    process.client.flushall()
    return request.param, unpack_redis(process, tmp_path)


def opened(data: Path) -> StoppedCluster:
    return StoppedCluster(stopped_settings(data, ClusterInfo.load(data), SHARDS), SHARDS)


def require_same(found: dict[str, Any], name: str) -> None:
    """Compare answers part by part, so that a difference can be read."""
    wanted = expected()[name]
    assert found["shards"] == wanted["shards"]
    assert found["accounts"].keys() == wanted["accounts"].keys()
    for account_id, answers in wanted["accounts"].items():
        for question, answer in answers.items():
            assert found["accounts"][account_id][question] == answer, f"{question} of {account_id}"


# ---- opening, and going on ----------------------------------------------------------------------------------------


def test_a_cluster_of_level_0_says_what_it_said(data):
    name, folder = data
    cluster = opened(folder)
    try:
        require_same(answers_of(cluster.replicas), name)
    finally:
        cluster.close()


def test_a_cluster_of_level_0_takes_writes_seals_and_opens_again(data):
    name, folder = data
    cluster = opened(folder)
    try:
        replicas = cluster.replicas
        authors = [int(account_id) for account_id in list(expected()[name]["accounts"])[::5]]
        posted = [write_on(cluster, author, number) for number, author in enumerate(authors)]
        for shard in cluster.storages:
            shard.store.write(shard.replica.state.position, shard.journal.epoch, shard.replica.seal())
        posted += [write_on(cluster, author, -number) for number, author in enumerate(authors, 1)]  # behind the seal
        before = [digest(replica.state) for replica in replicas]
    finally:
        cluster.close()
    cluster = opened(folder)
    try:
        assert [digest(replica.state) for replica in cluster.replicas] == before
        assert [problem for replica in cluster.replicas for problem in check(replica.state)] == []
        deliver(cluster.replicas)
        for author, tweet_id in zip(authors * 2, posted, strict=True):
            assert tweet_id in [int(tweet["tweet_id"]) for tweet in home(cluster.replicas, author)]
    finally:
        cluster.close()


def test_a_cluster_of_level_0_that_rises_hides_whom_it_hid_and_opens_again(data):
    name, folder = data
    cluster = opened(folder)
    try:
        for shard in cluster.storages:
            record, _ = shard.replica.move("level", [1])
            assert record is not None
            shard.journal.append(record)
            shard.journal.flush()
            shard.store.write(shard.replica.state.position, shard.journal.epoch, shard.replica.seal())
            tables = shard.store.load().tables
            assert len(tables["relations"]["kind"]) == len(tables["likes"]["place"]) == 0, "all are marks"
        before = [digest(replica.state) for replica in cluster.replicas]
    finally:
        cluster.close()
    cluster = opened(folder)
    try:
        assert [digest(replica.state) for replica in cluster.replicas] == before
        accounts = answers_of(cluster.replicas)["accounts"]
    finally:
        cluster.close()
    assert accounts == expected()[name]["accounts"]
    assert any(any(answers["relations"]) for answers in accounts.values())


MARKS = Table("kept_docs", (("owner", "BIGINT"), ("key", "BIGINT"), ("stamp", "BIGINT")), ("owner", "key"))


def test_a_cluster_of_level_0_opens_with_a_table_more_which_then_keeps_rows(data, monkeypatch):
    name, folder = data
    for opens in (storage, redis_storage):
        monkeypatch.setattr(opens, "TABLES", (*TABLES, MARKS))
    rows = {column: np.array([7], np.int64) for column in MARKS.column_names}
    cluster = opened(folder)
    try:
        for shard in cluster.storages:
            store = shard.store
            before = store.load()
            assert [len(values) for values in before.tables["kept_docs"].values()] == [0, 0, 0]
            store.write(before.position, before.epoch, [TableChange(MARKS, rows)])
    finally:
        cluster.close()
    cluster = opened(folder)
    try:
        for shard in cluster.storages:
            assert shard.store.load().tables["kept_docs"]["stamp"].tolist() == [7]
        require_same(answers_of(cluster.replicas), name)
    finally:
        cluster.close()
    monkeypatch.undo()
    with pytest.raises(
        CheckpointMismatchError, match=r"table 'kept_docs' of version 1 is unknown.* a newer Rookery wrote it"
    ):
        opened(folder)


def write_on(cluster: StoppedCluster, author: int, number: int) -> int:
    """Post as a shard does, durable; return the tweet id."""
    replica = owner_of(cluster.replicas, author)
    journal = cluster.storages[replica.state.shard].journal
    arguments = [author, f"later, number {number}", 0, 0, 0, b"", [], [], b"later %d" % number + author.to_bytes(8)]
    record, _ = replica.write("post", arguments, LATER_MS + replica.state.position)
    assert record is not None
    assert journal.append(record) == replica.state.position
    journal.flush()
    state = replica.state
    return int(state.tweets.log.view(state.people.row_of[author])[-1])


def test_a_check_of_a_stopped_cluster_of_level_0_finds_nothing_wrong(data):
    name, folder = data
    outcome = check_stopped(folder, ClusterInfo.load(folder), True, SILENT)
    assert outcome.problems == []
    assert list(outcome.digests.values()) == [shard["digest"] for shard in expected()[name]["shards"]]
    assert outcome.figures["homes"] == len(expected()[name]["accounts"])


def test_a_cluster_json_with_more_in_it_is_read_for_what_this_version_knows(tmp_path):
    folder = unpack_folder("stopped", tmp_path)
    before = ClusterInfo.load(folder)
    written = json.loads((folder / "cluster.json").read_text())
    (folder / "cluster.json").write_text(json.dumps(written | {"level": 7}))
    assert before is not None
    assert ClusterInfo.load(folder) == before
    for unreadable in ("[]", "{}", "7", "{"):
        (folder / "cluster.json").write_text(unreadable)
        assert ClusterInfo.load(folder) is None


# ---- backups ------------------------------------------------------------------------------------------------------


def test_a_backup_of_level_0_is_checked_and_restored_to_what_it_was_of(tmp_path):
    backup = unpack_folder("backup", tmp_path)
    folder = tmp_path / "restored"
    settings = load_settings("test", overrides={"storage": {"data_dir": folder}}, environ={})
    outcome = restore.check_backup(backup, settings, SILENT)
    assert outcome.problems == []
    assert list(outcome.digests.values()) == [shard["digest"] for shard in expected()["backup"]["shards"]]
    restore.restore(backup, settings, SILENT)
    cluster = opened(folder)
    try:
        require_same(answers_of(cluster.replicas), "backup")
    finally:
        cluster.close()


# ---- the journal of all kinds -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replayed() -> list[Replica]:
    made = lived()
    replicas = [Replica(shard, list(made["owner"]), limits.Tuning(**made["tuning"])) for shard in range(SHARDS)]
    for replica, shard in zip(replicas, made["shards"], strict=True):
        state, other = replica.state, 1 - replica.state.shard
        for position, (record, numbers) in enumerate(zip(shard["records"], shard["numbers"], strict=True), start=1):
            replica.replay(position, record)
            kind = unpack(record)[0]
            assert [state.outboxes[other].next_seq, state.inbox[other]] == numbers, f"after record {position}: {kind}"
        assert [[seq, message] for seq, _, message in state.outboxes[other].waiting] == shard["waiting"]
    return replicas


def test_a_journal_of_every_command_and_message_of_level_0_comes_to_what_it_came_to(replayed):
    copies = []
    for replica in replayed:
        store = memory_store()
        store.write(replica.state.position, 1, replica.seal())
        copies.append(Replica(replica.state.shard, list(lived()["owner"]), replica.state.tuning))
        copies[-1].load(store.load())
    found = msgpack.unpackb(msgpack.packb(answers_of(replayed)))
    for question, answer in lived()["answers"].items():
        assert found[question] == answer, question
    restored = answers_of(copies)
    assert [shard["digest"] for shard in restored["shards"]] == [shard["digest"] for shard in found["shards"]]
