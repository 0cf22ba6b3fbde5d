"""What only the DuckDB file can meet: another shard's file, damage, a second process, a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from actors.core.checkpoints.tables import Table, TableChange
from persistence import duckdb_tables
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.duckdb_rows import SNAPSHOT_BATCH_ROWS
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    CheckpointMismatchError,
)

REPOSITORY = Path(__file__).parents[2]
COUNTS = Table("counts", (("id", "BIGINT"), ("value", "BIGINT")), ("id",))


def put(begin, end, value):
    ids = np.arange(begin, end, dtype=np.int64)
    return TableChange(COUNTS, {"id": ids, "value": np.full(len(ids), value, np.int64)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shard.duckdb"


def test_a_file_of_another_shard_or_schema_version_is_refused(path):
    DuckDBCheckpointStore(path, 3, [COUNTS], schema_version=2).close()
    for shard, version, message in (
        (4, 2, "it has shard 3, this shard needs 4"),
        (3, 1, "it has schema version 2, this shard needs 1"),
    ):
        with pytest.raises(CheckpointMismatchError, match=message) as caught:
            DuckDBCheckpointStore(path, shard, [COUNTS], schema_version=version)
        assert str(path) in caught.value.message
    DuckDBCheckpointStore(path, 3, [COUNTS], schema_version=2).close()


def test_a_file_of_a_later_format_is_refused_and_stays_as_it_was(path):
    DuckDBCheckpointStore(path, 3, [COUNTS]).close()
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE rookery_checkpoint SET format_version = 3, tables = 'something else'")
    with pytest.raises(CheckpointMismatchError, match="format version 3, this version reads up to 2; a newer Rookery"):
        DuckDBCheckpointStore(path, 3, [COUNTS])
    with duckdb.connect(str(path)) as db:
        assert db.execute("SELECT format_version, tables FROM rookery_checkpoint").fetchall() == [(3, "something else")]


@pytest.mark.parametrize("text", ["[", "{}", '[{"name": "counts"}]', "null"])
def test_a_file_that_says_nonsense_of_its_tables_is_named(path, text):
    DuckDBCheckpointStore(path, 3, [COUNTS]).close()
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE rookery_checkpoint SET tables = ?", [text])
    with pytest.raises(CheckpointDamagedError, match=str(path)):
        DuckDBCheckpointStore(path, 3, [COUNTS])


def test_an_upgrade_of_many_rows_holds_few_of_them_and_gives_their_room_back(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    random = np.random.default_rng(1)
    values = random.integers(0, 1 << 60, 300_000)
    store.write(1, 0, [TableChange(COUNTS, {"id": np.arange(300_000), "value": values})])
    store.close()
    before, seen = path.stat().st_size, []

    def widened(rows):
        seen.append(len(rows["id"]))
        return {**rows, "more": rows["value"] + 1}

    wide = Table("counts", (*COUNTS.columns, ("more", "BIGINT")), ("id",), 2)
    store = DuckDBCheckpointStore(path, 0, [wide], memory_limit="16MB", upgrades={("counts", 1): widened})
    loaded = store.load().tables["counts"]
    order = np.argsort(loaded["id"])
    assert (loaded["more"][order] == values + 1).all()
    store.close()
    assert sum(seen) == 300_000
    assert max(seen) <= SNAPSHOT_BATCH_ROWS
    with duckdb.connect(str(path)) as db:
        [(size, used)] = db.execute("SELECT block_size, used_blocks FROM pragma_database_size()").fetchall()
    assert size * used < 2.5 * before  # what the old rows took is free


WIDE = Table("counts", (*COUNTS.columns, ("more", "BIGINT")), ("id",), 2)
WIDENED = {("counts", 1): lambda rows: {**rows, "more": rows["value"] + 1}}


def test_a_disk_that_refuses_an_upgrade_leaves_the_file_as_it_was(path, monkeypatch):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    store.write(1, 0, [put(0, 100, 5)])
    store.close()
    insert, calls = duckdb_tables.insert_rows, []

    def full(db, change):
        insert(db, change)
        calls.append(change)
        raise duckdb.IOException("there is no room left")

    monkeypatch.setattr(duckdb_tables, "insert_rows", full)
    with pytest.raises(CheckpointFailedError, match="as it was: there is no room left") as caught:
        DuckDBCheckpointStore(path, 0, [WIDE], upgrades=WIDENED)
    assert str(path) in caught.value.message
    assert len(calls) == 1
    monkeypatch.undo()
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    assert store.load().tables["counts"]["value"].tolist() == [5] * 100
    store.close()
    store = DuckDBCheckpointStore(path, 0, [WIDE], upgrades=WIDENED)
    assert store.load().tables["counts"]["more"].tolist() == [6] * 100
    store.close()


def test_damage_that_an_upgrade_meets_is_damage_of_the_file(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    random = np.random.default_rng(1)
    values = random.integers(0, 1 << 60, 200_000)
    store.write(1, 0, [TableChange(COUNTS, {"id": random.permutation(200_000).astype(np.int64), "value": values})])
    store.close()
    data = bytearray(path.read_bytes())
    for offset in range(12_288 + 4096, len(data), 8192):
        data[offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointDamagedError, match=str(path)):
        DuckDBCheckpointStore(path, 0, [WIDE], upgrades=WIDENED).load()


def test_somebody_elses_duckdb_file_is_refused(path):
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE theirs (a INTEGER)")
    with pytest.raises(CheckpointMismatchError, match="not a checkpoint"):
        DuckDBCheckpointStore(path, 0, [COUNTS])


def test_a_file_that_is_no_database_is_named(path):
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(CheckpointDamagedError, match=str(path)):
        DuckDBCheckpointStore(path, 0, [COUNTS])


def test_damaged_blocks_are_named_when_loading(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    random = np.random.default_rng(1)
    ids = random.permutation(200_000).astype(np.int64)
    store.write(1, 0, [TableChange(COUNTS, {"id": ids, "value": random.integers(0, 1 << 60, 200_000)})])
    store.close()
    data = bytearray(path.read_bytes())
    for offset in range(12_288 + 4096, len(data), 8192):
        data[offset] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CheckpointDamagedError, match=str(path)):
        DuckDBCheckpointStore(path, 0, [COUNTS]).load()


def test_a_file_that_another_process_holds_is_named(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    program = (
        "import sys; from persistence.duckdb_checkpoint import DuckDBCheckpointStore as S;"
        "from persistence.errors import CheckpointLockedError\n"
        "try: S(sys.argv[1], 0, [])\n"
        "except CheckpointLockedError as error: print(error)"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert str(path) in done.stdout
    store.close()


def test_a_write_that_does_not_fit_into_memory_fails_whole_and_the_store_goes_on(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS], memory_limit="6MB")
    store.write(1, 0, [put(0, 10, 1)])
    random = np.random.default_rng(1)
    many = TableChange(
        COUNTS, {"id": random.permutation(3_000_000).astype(np.int64), "value": random.integers(0, 1 << 60, 3_000_000)}
    )
    with pytest.raises(CheckpointFailedError, match=str(path)):
        store.write(2, 0, [put(0, 5, 2), many])
    checkpoint = store.load()
    assert checkpoint.position == 1
    assert checkpoint.tables["counts"]["value"].tolist() == [1] * 10
    store.write(2, 0, [put(0, 5, 2)])
    assert store.load().position == 2
    store.close()


def test_many_folds_keep_the_file_and_the_log_small(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    store.write(1, 0, [put(0, 200_000, 0)])
    random = np.random.default_rng(1)
    for position in range(2, 40):
        ids = random.choice(200_000, 20_000, replace=False).astype(np.int64)
        values = random.integers(0, 1 << 60, 20_000)
        store.write(position, 0, [TableChange(COUNTS, {"id": ids, "value": values})])
    log = path.with_name(path.name + ".wal")
    assert not log.exists() or log.stat().st_size < 32 * 1024 * 1024
    store.close()
    assert path.stat().st_size < 8 * 200_000 * 16  # a few times the live rows, not 39 times
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    assert sorted(store.load().tables["counts"]["id"].tolist()) == list(range(200_000))
    store.close()


@pytest.mark.parametrize("rows", [0, 10, 200_000])
def test_loaded_columns_are_arrays_of_their_own(path, rows):
    """Arrow's memory is read-only, for which kernels would be compiled once more, in the middle of a recovery."""
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    store.write(1, 0, [put(0, rows, 5)] if rows else [])
    columns = store.load().tables["counts"]
    store.close()
    assert [values.flags.writeable for values in columns.values()] == [True, True]
    assert sorted(columns["id"].tolist()) == list(range(rows))


WRITE_FOR_EVER = """
import os, sys
from tests.persistence.test_duckdb_checkpoint import COUNTS, put
from persistence.duckdb_checkpoint import DuckDBCheckpointStore

store = DuckDBCheckpointStore(sys.argv[1], 0, [COUNTS])
position = store.load().position
while True:
    position += 1
    store.write(position, 0, [put(0, 2000, position)])
    os.write(1, b"%d\\n" % position)
"""


def test_rows_and_position_stay_together_through_kill_9(path):
    acknowledged = 0
    for lines_before_kill in (1, 5, 12):
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(path)]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = (line for line in process.stdout if line.strip().isdigit())  # DuckDB draws bars on a busy machine
            for _ in range(lines_before_kill):
                acknowledged = int(next(lines))
            process.send_signal(signal.SIGKILL)
            rest = [line for line in lines if line.endswith(b"\n")]
        acknowledged = int(rest[-1]) if rest else acknowledged
        store = DuckDBCheckpointStore(path, 0, [COUNTS])
        checkpoint = store.load()
        assert checkpoint.position >= acknowledged
        assert checkpoint.tables["counts"]["value"].tolist() == [checkpoint.position] * 2000
        store.close()


REPLACE_FOR_EVER = """
import os, sys
from tests.persistence.test_duckdb_checkpoint import COUNTS, put
from persistence.duckdb_checkpoint import DuckDBCheckpointStore

def pieces(position):
    for begin in range(0, 300_000, 20_000):
        if begin == 160_000:
            os.write(1, b"%d half\\n" % position)
        yield put(begin, begin + 20_000, position)

store = DuckDBCheckpointStore(sys.argv[1], 0, [COUNTS])
position = store.load().position
while True:
    position += 1
    store.replace(position, 0, pieces(position))
    os.write(1, b"%d whole\\n" % position)
"""


@pytest.mark.parametrize("lines_before_kill", range(1, 7))
def test_a_replacement_is_whole_or_not_at_all_through_kill_9(path, lines_before_kill):
    """Killed half-way through the pieces (odd), or once it has returned (even)."""
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    store.write(0, 0, [put(0, 300_000, 0)])
    store.close()
    command = [sys.executable, "-c", REPLACE_FOR_EVER, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(lines_before_kill)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    acknowledged = [int(line.split()[0]) for line in lines if line.endswith(b"whole\n")]
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    checkpoint = store.load()
    assert checkpoint.position >= max(acknowledged, default=0)
    assert np.unique(checkpoint.tables["counts"]["value"]).tolist() == [checkpoint.position]
    assert np.array_equal(np.sort(checkpoint.tables["counts"]["id"]), np.arange(300_000))
    store.close()


def test_replacing_again_and_again_keeps_the_file_small(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS])
    random = np.random.default_rng(1)
    for position in range(1, 12):
        ids = random.permutation(400_000).astype(np.int64)
        values = random.integers(0, 1 << 60, 400_000)
        whole = TableChange(COUNTS, {"id": ids, "value": values})
        store.replace(position, 0, iter([whole]))
    store.close()
    assert path.stat().st_size < 4 * 400_000 * 16  # a few times the live rows, not 11 times


def test_an_error_of_duckdb_ends_snapshots_and_the_store_goes_on(path):
    store = DuckDBCheckpointStore(path, 0, [COUNTS], memory_limit="16MB")
    store.write(1, 0, [put(0, 200_000, 1)])
    reader = store.read_pieces(1000)
    next(iter(reader))
    random = np.random.default_rng(1)
    many = random.permutation(6_000_000).astype(np.int64)
    with pytest.raises(CheckpointFailedError, match=str(path)):
        store.write(2, 0, [TableChange(COUNTS, {"id": many, "value": many})])
    with pytest.raises(CheckpointFailedError, match="closed"):
        list(reader)
    store.write(2, 0, [put(0, 10, 2)])
    assert store.load().position == 2
    store.close()
