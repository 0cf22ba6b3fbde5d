"""Measures storage on this machine: `python -m bench.storage [--directory DIR]`. DESIGN.md holds a run.

Prints append, group commit, a cut, replay, fold into a large table, load, and a snapshot; last the alternative that was
turned down, the same rows under a primary key. Takes about a minute and a half, writes about 1 GB and removes it. With
`--redis URL` it measures a Redis server instead, under a namespace of its own, which it removes too; `--rows` makes the
table smaller.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from actors.core.checkpoints.tables import Table, TableChange
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.file_journal import FileJournal
from persistence.group_commit import GroupCommit
from persistence.protocols import CheckpointStore, Journal
from persistence.redis_checkpoint import RedisCheckpointStore
from persistence.redis_journal import RedisJournal
from persistence.redis_server import RedisServer, shard_key
from persistence.snapshot_pieces import pack_piece, unpack_piece

RECORD_COUNT = 300_000  # records of the journal runs
RECORD = b"r" * 200  # bytes of a typical tweet command
ROW_COUNT = 5_000_000  # rows of the table to fold into: the follow edges of a large laptop shard
SNAPSHOT_ROWS = 50_000  # rows of a snapshot's piece at most: their bytes are the tighter bound
CHANGE_COUNT = 50_000  # changed rows of one fold
FOLLOWS = Table("follows", (("a", "BIGINT"), ("b", "BIGINT"), ("n", "INTEGER"), ("x", "BLOB")), ("a", "b"))


def main() -> None:
    """Run every measurement in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default=None, help="where to write (default: the system's temporary directory)")
    parser.add_argument("--redis", default=None, metavar="URL", help="measure this server")
    parser.add_argument("--rows", type=int, default=ROW_COUNT, help="rows of the table to fold into")
    options = parser.parse_args()
    if options.redis:
        _measure_redis(options.redis, options.rows)
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        path = Path(directory)
        _measure_journal(lambda: FileJournal(path / "journal", 0, 0))
        _measure_store(lambda: DuckDBCheckpointStore(path / "shard.duckdb", 0, [FOLLOWS]), options.rows)
        _report("store: file after 50 folds", (path / "shard.duckdb").stat().st_size / 1e6, "MB")
        _measure_primary_key(path)


def _measure_redis(url: str, row_count: int) -> None:
    server = RedisServer(url)
    namespace = f"measure-{uuid.uuid4().hex}"
    print(f"Redis {server.check().version}: {server.check().promise}")
    used = server.client.info("memory")["used_memory"]
    try:
        _measure_journal(lambda: RedisJournal(server, namespace, 0, 0))
        server.client.unlink(shard_key(namespace, 0, "journal"))
        _measure_store(lambda: RedisCheckpointStore(server, namespace, 0, [FOLLOWS]), row_count)
        grown = server.client.info("memory")["used_memory"] - used
        _report("store: memory of the server after 50 folds", grown / 1e6, "MB")
    finally:
        for key in server.client.scan_iter(f"*rookery:{namespace}:*", count=10_000):
            server.client.unlink(key)


def _measure_journal(open_journal: Callable[[], Journal]) -> None:
    journal = open_journal()
    begin = time.perf_counter()
    for _ in range(RECORD_COUNT):
        journal.append(RECORD)
    _report("append", (time.perf_counter() - begin) / RECORD_COUNT * 1e6, "us a record")
    begin = time.perf_counter()
    journal.flush()
    megabytes = RECORD_COUNT * len(RECORD) / 1e6
    _report("flush of one large batch", megabytes / (time.perf_counter() - begin), "MB/s")
    seconds = []
    for _ in range(300):
        journal.append(RECORD)
        begin = time.perf_counter()
        journal.flush()
        seconds.append(time.perf_counter() - begin)
    _report("flush of one record, median", float(np.median(seconds)) * 1e3, "ms")
    _report("flush of one record, p99", float(np.quantile(seconds, 0.99)) * 1e3, "ms")
    _measure_group_commit(journal)
    _measure_cut(journal)
    journal.close()
    begin = time.perf_counter()
    journal = open_journal()
    _report("open and verify", megabytes / (time.perf_counter() - begin), "MB/s")
    begin = time.perf_counter()
    count = sum(1 for _ in journal.replay(0))
    _report("replay", count / (time.perf_counter() - begin) / 1e6, "million records/s")
    journal.close()


def _measure_group_commit(journal: Journal) -> None:
    """Append as fast as 64 writers that each wait for their own record can."""
    durable = threading.Semaphore(64)
    begin, first = time.perf_counter(), journal.durable_position
    reported = [first]

    def on_durable(position: int) -> None:
        durable.release(position - reported[0])
        reported[0] = position

    commit = GroupCommit(journal, on_durable, print)
    for _ in range(20_000):
        durable.acquire()
        journal.append(RECORD)
        commit.notify()
    commit.close()
    stats = commit.stats()
    _report("group commit, 64 writers", 20_000 / (time.perf_counter() - begin), "acknowledged records/s")
    _report("  records in a batch, mean", stats.mean_batch_records, "")


def _measure_store(open_store: Callable[[], CheckpointStore], row_count: int) -> None:
    store = open_store()
    random = np.random.default_rng(1)
    a, b = random.integers(0, 500_000, row_count) * 7919, random.permutation(row_count).astype(np.int64)

    def change(rows: np.ndarray) -> TableChange:
        blobs = [random.bytes(20) for _ in range(len(rows))]
        return TableChange(FOLLOWS, {"a": a[rows], "b": b[rows], "n": rows.astype(np.int32), "x": blobs})

    bulk = [change(np.arange(start, min(start + 500_000, row_count))) for start in range(0, row_count, 500_000)]
    begin = time.perf_counter()
    for position, part in enumerate(bulk, 1):
        store.write(position, 0, [part])
    _report(f"store: first {row_count:,} rows", time.perf_counter() - begin, "s")
    seconds = []
    for position in range(100, 150):
        part = change(random.choice(row_count, CHANGE_COUNT, replace=False))
        begin = time.perf_counter()
        store.write(position, 0, [part])
        seconds.append(time.perf_counter() - begin)
    _report(f"store: fold {CHANGE_COUNT:,} changed rows, median", float(np.median(seconds)), "s")
    _report(f"store: fold {CHANGE_COUNT:,} changed rows, worst (folds the log)", max(seconds), "s")
    store.close()
    store = open_store()
    begin = time.perf_counter()
    store.load()
    _report("store: load", time.perf_counter() - begin, "s")
    _measure_snapshot(store, row_count)
    store.close()


def _measure_snapshot(store: CheckpointStore, row_count: int) -> None:
    """Read a snapshot as bytes, and put it in the place of what it was read from."""
    by_name = {FOLLOWS.name: FOLLOWS}
    begin = time.perf_counter()
    with store.read_pieces(SNAPSHOT_ROWS) as reader:
        count = sum(piece.upsert_count for piece in reader)
    _report("snapshot: read", count / (time.perf_counter() - begin) / 1e6, "million rows/s")
    begin = time.perf_counter()
    with store.read_pieces(SNAPSHOT_ROWS) as reader:
        packed = [pack_piece(piece) for piece in reader]
    _report("snapshot: read and pack", count / (time.perf_counter() - begin) / 1e6, "million rows/s")
    _report("  bytes", sum(map(len, packed)) / 1e6, "MB")
    begin = time.perf_counter()
    store.replace(200, 0, (unpack_piece(by_name, data) for data in packed))
    _report("snapshot: unpack and replace", row_count / (time.perf_counter() - begin) / 1e6, "million rows/s")


def _measure_cut(journal: Journal) -> None:
    """Cut a segment of 16 MiB in the middle, in frames of 64 records."""
    journal.roll()
    begun = journal.durable_position
    while journal.segment_bytes < 16 * 1024 * 1024:
        for _ in range(64):
            journal.append(RECORD)
        journal.flush()
    begin = time.perf_counter()
    journal.cut_after((begun + journal.durable_position) // 2)
    _report("cut half of 16 MiB off", (time.perf_counter() - begin) * 1e3, "ms")


def _measure_primary_key(directory: Path) -> None:
    """The same load and fold, with an index doing the replacing (`INSERT OR REPLACE`)."""
    path = directory / "indexed.duckdb"
    db = duckdb.connect(str(path), config={"memory_limit": "512MB", "threads": 1})
    db.execute("CREATE TABLE follows (a BIGINT, b BIGINT, n INTEGER, x BLOB, PRIMARY KEY (a, b))")
    random = np.random.default_rng(1)
    a, b = random.integers(0, 500_000, ROW_COUNT) * 7919, random.permutation(ROW_COUNT).astype(np.int64)

    def put(rows: np.ndarray) -> float:
        blobs = pa.array([random.bytes(20) for _ in range(len(rows))], pa.binary())
        db.register("change", pa.table({"a": a[rows], "b": b[rows], "n": rows.astype(np.int32), "x": blobs}))
        begin = time.perf_counter()
        db.execute("INSERT OR REPLACE INTO follows SELECT * FROM change").fetchall()
        return time.perf_counter() - begin

    parts = [put(np.arange(start, start + 500_000)) for start in range(0, ROW_COUNT, 500_000)]
    _report(f"primary key: first {ROW_COUNT:,} rows", sum(parts), "s")
    folds = [put(random.choice(ROW_COUNT, CHANGE_COUNT, replace=False)) for _ in range(10)]
    _report(f"primary key: fold {CHANGE_COUNT:,} changed rows, median", float(np.median(folds)), "s")
    db.close()
    _report("primary key: file", path.stat().st_size / 1e6, "MB")


def _report(what: str, figure: float, unit: str) -> None:
    print(f"{what:<60} {figure:12.3f} {unit}")


if __name__ == "__main__":
    main()
