"""The chunks of a checkpoint's tables in Redis: written behind their logs, read, and removed.

Rules of this file
- A chunk is written under a number that no manifest names yet, and never changed. So a write that breaks off leaves
  chunks that nothing names, from the log's end on and without a hole; they are removed, at the latest on opening.
- A log is given, and one that names more comes back: what counts is the manifest's (redis_manifest.py).
- A table is read whole, each key's last word winning; or from its newest chunk to its oldest, leaving out what a newer
  one has a word on, which holds only keys.

    {rookery:<namespace>:<shard>}:checkpoint:<table>:<n>  a chunk of redis_chunks.py

Costs: PIPELINE_CHUNK_COUNT chunks in a round trip; `rows` holds one table as Arrow columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import structlog

from actors.core.checkpoints.tables import Table, TableChange
from persistence.errors import CheckpointDamagedError, CheckpointFailedError, StorageError
from persistence.redis_checkpoint_owner import CheckpointOwner
from persistence.redis_checkpoint_scripts import DROP, PUT
from persistence.redis_chunks import (
    UPSERT,
    arrow_schema,
    arrow_table,
    chunk_slices,
    decode_chunk,
    encode_chunk,
    fold_rows,
    without_keys,
)
from persistence.redis_manifest import ChunkLog

PIPELINE_CHUNK_COUNT = 4  # chunks on their way at once, both ways: 16 MiB
DROP_CHUNK_COUNT = 256  # chunks removed in one script: only their keys go meanwhile, the server frees memory later


class ChunkLogs:
    """The chunks of all tables of one checkpoint. Reading: any thread.

    Methods that write or remove raise what `CheckpointOwner.run_all` raises; those that read, what
    `RedisServer.translating` raises, and CheckpointDamagedError, which names the key.
    """

    def __init__(self, owner: CheckpointOwner) -> None:
        self._owner = owner
        self._log = structlog.get_logger()

    # ---- writing ----------------------------------------------------------------------------------------------

    def put(self, name: str, log: ChunkLog, kind: int, rows: pa.Table) -> ChunkLog:
        """Write rows as chunks behind a table's log; returns the log that names them."""
        number, written = log.next, log.change_bytes
        batch: list[tuple[list[str], list[Any]]] = []
        for part in chunk_slices(rows):
            chunk = encode_chunk(part, kind, f"{name}:{number}")
            batch.append(([self._key(name, number)], [chunk]))
            number, written = number + 1, written + len(chunk)
            if len(batch) == PIPELINE_CHUNK_COUNT:
                self._owner.run_all(PUT, batch)
                batch = []
        if batch:
            self._owner.run_all(PUT, batch)
        return replace(log, next=number, change_bytes=written)

    def put_piece(self, log: ChunkLog, piece: TableChange) -> ChunkLog:
        """Write the rows of a piece, if it has any, behind its table's log; returns the log that names them.

        Raises CheckpointFailedError, too, for rows that don't fit the table.
        """
        if not piece.upsert_count:
            return log
        try:
            rows = arrow_table(piece.table.columns, piece.upserts)
        except pa.ArrowException as error:
            message = f"{self._owner.where}: rows of table {piece.table.name!r} that don't fit it: {error}"
            raise CheckpointFailedError(message) from error
        return self.put(piece.table.name, log, UPSERT, rows)

    @contextmanager
    def dropping_unnamed(self, logs: dict[str, ChunkLog]) -> Iterator[None]:
        """If the block raises, remove what it has written behind the logs; it may put other logs in their place."""
        before = dict(logs)
        try:
            yield
        except BaseException:
            self.try_to_drop(
                {name: range(log.next, logs[name].next + PIPELINE_CHUNK_COUNT) for name, log in before.items()}
            )
            raise

    # ---- removing ---------------------------------------------------------------------------------------------

    def drop(self, name: str, numbers: range) -> None:
        """Remove these chunks of a table; those that aren't there do no harm."""
        for start in range(numbers.start, numbers.stop, DROP_CHUNK_COUNT):
            part = range(start, min(start + DROP_CHUNK_COUNT, numbers.stop))
            self._owner.run_all(DROP, [([self._key(name, n) for n in part], ())])

    def try_to_drop(self, chunks: dict[str, range]) -> None:
        """Remove chunks that nothing names. If it fails, the next opening does it."""
        try:
            for name, numbers in chunks.items():
                self.drop(name, numbers)
        except StorageError as error:
            self._log.warning("chunks that nothing names stay until the next start", reason=str(error))

    def drop_leftovers(self, name: str, log: ChunkLog) -> None:
        """Remove what an earlier owner folded away of a table, or wrote behind its log and never named."""
        self.drop(name, log.folded_away)
        number = log.next  # a log is written without a hole, so the first number that is free ends it
        with self._owner.server.translating("looking for left-overs"):
            while self._owner.server.client.exists(self._key(name, number)):
                number += 1
        self.drop(name, range(log.next, number))

    # ---- reading ----------------------------------------------------------------------------------------------

    def rows(self, table: Table, log: ChunkLog) -> pa.Table:
        """Return a table's rows: of all chunks, what the last word on each key leaves."""
        kinds, parts = [], []
        for kind, rows in self._chunks(table.name, range(log.first, log.next)):
            kinds.append((kind, rows.num_rows))
            parts.append(rows)
        if not parts:
            return arrow_schema(table.columns).empty_table()
        if log.next == log.base:
            return pa.concat_tables(parts)
        return fold_rows(table, kinds, parts)

    def rows_newest_first(self, table: Table, log: ChunkLog) -> Iterator[pa.Table]:
        """Yield a table's rows chunk by chunk, without those that a newer chunk replaces or deletes."""
        newer: list[pa.Table] = []
        numbers = range(log.next - 1, log.first - 1, -1)
        for number, (kind, rows) in zip(numbers, self._chunks(table.name, numbers), strict=True):
            left = without_keys(rows, table.key, newer)
            if number >= log.base:
                newer = [pa.concat_tables([*newer, left.select(table.key)]).combine_chunks()]
            if kind == UPSERT and left.num_rows:
                yield left

    def _chunks(self, name: str, wanted: range) -> Iterator[tuple[int, pa.Table]]:
        """Yield (kind, rows) of these chunks of a table, in order."""
        for start in range(0, len(wanted), PIPELINE_CHUNK_COUNT):
            numbers = wanted[start : start + PIPELINE_CHUNK_COUNT]
            keys = [self._key(name, number) for number in numbers]
            with self._owner.server.translating("reading the checkpoint"):
                found = self._owner.server.client.mget(keys)
            for number, key, data in zip(numbers, keys, found, strict=True):
                try:
                    yield decode_chunk(data, f"{name}:{number}")
                except (ValueError, pa.ArrowException) as error:
                    message = f"{self._owner.server.name} {key}: can't be read as a part of a checkpoint: {error}"
                    raise CheckpointDamagedError(message) from error

    def _key(self, name: str, number: int) -> str:
        return f"{self._owner.key}:{name}:{number}"
