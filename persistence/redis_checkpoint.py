"""The checkpoint store as blobs in Redis: for each table a log of chunks, and one hash that says which of them count.

Rules of this file
- A chunk counts once the manifest names it, and the manifest changes in one script: rows, position and epoch together.
  Chunks are written before, under numbers that nothing names yet; what a crash leaves of them is removed on opening.
- Every change goes through a script that checks the owner's token. Whoever opens takes the store over, and the owner
  before gets FencedError at its next write.
- The manifest is compared before it is changed: if the server went back (a crash under appendfsync everysec), the
  write is refused with JournalLostError, as later changes don't fit onto earlier rows; a recovery puts it right.
- A table is folded when its changes outweigh half of its base, so the server holds at most 1.5 times the rows, 2.5
  times while it folds, and loading reads no more.

    {rookery:<namespace>:<shard>}:checkpoint              hash: format, identity, epoch, token, position, version,
                                                          and for each table t:<table> (see _Log)
    {rookery:<namespace>:<shard>}:checkpoint:<table>:<n>  | magic 4 | crc u32 | kind u8 | Arrow stream, LZ4 |

    chunks of a table:   kept .. first-1     first .. base-1     base .. next-1     next .. written
                         folded away, going      the base         changes since      never committed, going

Costs: see DESIGN.md. Folding holds one table's rows as Arrow columns in memory, on the checkpointer's thread.
It deliberately holds no rows between calls, and knows nothing of what the tables mean.
"""

from __future__ import annotations

import secrets
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import structlog
from redis.exceptions import RedisError

from actors.core.errors import InvalidError
from actors.core.tables import DTYPES, Checkpoint, Columns, Table, TableChange
from persistence.checkpoint_rules import check_write
from persistence.errors import (
    CheckpointDamagedError,
    CheckpointFailedError,
    CheckpointMismatchError,
    FencedError,
    JournalFailedError,
    JournalLostError,
    JournalUnavailableError,
    StorageError,
)
from persistence.redis_server import RedisServer, Script, shard_key

FORMAT = "1"
MAGIC = b"RKCP"
_HEAD = struct.Struct("<4sIB")
UPSERT, DELETE = 0, 1
CHUNK_BYTES_MAX = 4 * 1024 * 1024  # bytes of columns in one chunk, before LZ4; the server stops for one at a time
PIPELINE_CHUNK_COUNT = 4  # chunks on their way at once, both ways: 16 MiB
FOLD_BYTES_MIN = 4 * 1024 * 1024  # bytes of changes that are never folded for their size alone: 10 ms of loading
FOLD_CHUNK_COUNT = 256  # chunks of changes after which a table is folded in any case: each is a key and a round of work
SETTLE_SECONDS = 2.0  # s until a server that syncs every second has synced what it acknowledged
_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BLOB": pa.large_binary(), "VARCHAR": pa.large_string()}

OPEN = Script(
    """
local token, format, identity = unpack(ARGV)
local m = redis.call('HMGET', KEYS[1], 'format', 'identity')
if m[1] and (m[1] ~= format or m[2] ~= identity) then return {'mismatch', m[1], m[2]} end
if not m[1] then
    redis.call('HSET', KEYS[1], 'format', format, 'identity', identity, 'epoch', '0', 'position', '0', 'version', '0')
end
redis.call('HSET', KEYS[1], 'token', token)
return {'ok'}
"""
)

PUT = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
redis.call('SET', KEYS[2], ARGV[2])
return {'ok'}
"""
)

COMMIT = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch', 'version')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
if m[3] ~= ARGV[2] then return {'version', m[3]} end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return {'ok'}
"""
)

DROP = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
redis.call('UNLINK', unpack(KEYS, 2))
return {'ok'}
"""
)


@dataclass(frozen=True, slots=True)
class _Log:
    """Which chunks of one table count; see the picture above."""

    kept: int = 1
    first: int = 1
    base: int = 1
    next: int = 1
    base_bytes: int = 0
    change_bytes: int = 0

    @classmethod
    def parse(cls, text: str) -> _Log:
        return cls(*map(int, text.split()))

    def __str__(self) -> str:
        return f"{self.kept} {self.first} {self.base} {self.next} {self.base_bytes} {self.change_bytes}"

    @property
    def due(self) -> bool:
        """Whether the changes are worth folding into the base."""
        too_many = self.next - self.base > FOLD_CHUNK_COUNT
        return too_many or self.change_bytes > max(FOLD_BYTES_MIN, self.base_bytes // 2)


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the hash says."""

    position: int
    epoch: int
    version: int
    logs: dict[str, _Log]


class RedisCheckpointStore:
    """A `CheckpointStore` in blobs of a Redis server.

    namespace, shard: which keys; tables: all tables, the same on every open; schema_version: what they mean.
    settle_s: how long `write` waits before it looks whether the server still has it (SETTLE_SECONDS if the server syncs
    every second; what is trimmed from the journal after that is on disk). Methods may be called from any thread.
    Opening takes the store over. Raises CheckpointMismatchError, or what `RedisServer.run` raises.
    """

    def __init__(
        self,
        server: RedisServer,
        namespace: str,
        shard: int,
        tables: Sequence[Table],
        schema_version: int = 1,
        settle_s: float = 0.0,
    ) -> None:
        self._server, self._key = server, shard_key(namespace, shard, "checkpoint")
        self._where = f"{server.name} {self._key}"
        self._tables = {table.name: table for table in tables}
        self._token = secrets.token_hex(16)
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._log = structlog.get_logger()
        self._expected = 0  # the version that the server must have, at least
        identity = f"schema {schema_version}\n{_describe(tables)}"
        status, *found = self._run(OPEN, [self._token, FORMAT, identity])
        if status == "mismatch":
            raise CheckpointMismatchError(
                f"{self._where}: it has format {found[0]} and {found[1]!r}, this shard needs {FORMAT} and {identity!r}"
            )
        self._manifest: _Manifest | None = None
        self._remove_leftovers()

    def write(self, position: int, epoch: int, changes: Sequence[TableChange]) -> None:
        """Write the changes as chunks, then name them all at once. See `CheckpointStore.write`."""
        with self._lock, self._failures_named():
            manifest = self._read_manifest()
            check_write(self._tables, position, epoch, changes, manifest.position, manifest.epoch)
            parts = [(change.table.name, kind, rows) for change in changes for kind, rows in _parts(change)]
            logs = dict(manifest.logs)
            for name, kind, rows in parts:
                logs[name] = self._put(name, logs[name], kind, rows)
            self._commit(replace(manifest, position=position, epoch=epoch, logs=logs))
            self._settle()
        for name, log in logs.items():
            if log.due:
                self._try_to_fold(name)

    def load(self) -> Checkpoint:
        """Return all rows."""
        with self._lock:
            manifest = self._read_manifest()
            tables = {name: _columns(self._rows(table, manifest.logs[name]), table)
                      for name, table in self._tables.items()}  # fmt: skip
            return Checkpoint(manifest.position, manifest.epoch, tables)

    def close(self) -> None:
        """Nothing is held; the connections are the server's."""

    # ---- the manifest -----------------------------------------------------------------------------------------

    def _read_manifest(self) -> _Manifest:
        """Return what counts; from the server after opening and after a failure."""
        if self._manifest is None:
            with self._server.translating("reading the checkpoint's manifest"):
                raw: dict[bytes, bytes] = self._server.client.hgetall(self._key)
            found = {name.decode(): value.decode() for name, value in raw.items()}
            if found and found["token"] != self._token:
                raise self._fenced(found["epoch"])
            version = int(found["version"]) if found else -1
            if version < self._expected:
                raise self._lost(f"version {version} of the checkpoint, {self._expected} was acknowledged")
            logs = {name: _Log.parse(found[f"t:{name}"]) if f"t:{name}" in found else _Log() for name in self._tables}
            self._manifest = _Manifest(int(found["position"]), int(found["epoch"]), version, logs)
            self._expected = version
        return self._manifest

    def _commit(self, manifest: _Manifest) -> None:
        """Make this the manifest, if the server has the one that it was made from."""
        before = manifest.version
        fields: list[Any] = ["position", manifest.position, "epoch", manifest.epoch, "version", before + 1]
        for name, log in manifest.logs.items():
            fields += [f"t:{name}", str(log)]
        self._manifest = None  # until the reply is here, nobody knows
        self._expected = before
        status, *found = self._run(COMMIT, [self._token, before, *fields])
        if status == "version":
            raise self._lost(f"version {found[0]} of the checkpoint, {before} was acknowledged")
        self._manifest = replace(manifest, version=before + 1)
        self._expected = before + 1

    def _settle(self) -> None:
        """Give the server time to sync, then see whether it still has what it acknowledged."""
        if self._settle_s:
            time.sleep(self._settle_s)
            committed, self._manifest = self._manifest, None
            try:
                self._read_manifest()
            except JournalLostError:
                if committed is not None:  # nobody was told: go on from what the server has
                    self._expected = committed.version - 1
                    self._read_manifest()
                raise CheckpointFailedError(f"{self._where}: the server lost this write in a crash") from None

    # ---- chunks -----------------------------------------------------------------------------------------------

    def _put(self, name: str, log: _Log, kind: int, rows: pa.Table) -> _Log:
        """Write rows as chunks behind a table's log; returns the log that names them."""
        number, written = log.next, log.change_bytes
        batch: list[tuple[list[str], list[Any]]] = []
        for part in _slices(rows):
            chunk = _encode(part, kind, f"{name}:{number}")
            batch.append(([self._key, self._chunk_key(name, number)], [self._token, chunk]))
            number, written = number + 1, written + len(chunk)
            if len(batch) == PIPELINE_CHUNK_COUNT:
                self._run_all(PUT, batch)
                batch = []
        if batch:
            self._run_all(PUT, batch)
        return replace(log, next=number, change_bytes=written)

    def _chunks(self, name: str, log: _Log) -> Iterator[tuple[int, pa.Table]]:
        """Yield (kind, rows) of a table's chunks, in order. Raises CheckpointDamagedError that names the key."""
        for start in range(log.first, log.next, PIPELINE_CHUNK_COUNT):
            numbers = range(start, min(start + PIPELINE_CHUNK_COUNT, log.next))
            keys = [self._chunk_key(name, number) for number in numbers]
            with self._server.translating("reading the checkpoint"):
                found = self._server.client.mget(keys)
            for number, key, data in zip(numbers, keys, found, strict=True):
                try:
                    yield _decode(data, f"{name}:{number}")
                except (ValueError, pa.ArrowException) as error:
                    message = f"{self._server.name} {key}: can't be read as a part of a checkpoint: {error}"
                    raise CheckpointDamagedError(message) from error

    def _rows(self, table: Table, log: _Log) -> pa.Table:
        """Return a table's rows: of all chunks, what the last word on each key leaves."""
        kinds, parts = [], []
        for kind, rows in self._chunks(table.name, log):
            kinds.append((kind, rows.num_rows))
            parts.append(rows)
        if not parts:
            return _schema(table.columns).empty_table()
        if log.next == log.base:
            return pa.concat_tables(parts)
        return _fold(table, kinds, parts)

    def _try_to_fold(self, name: str) -> None:
        """Fold a table's changes into its base. If it fails, the next write tries again: nothing depends on it."""
        try:
            with self._lock:
                self._fold_table(name)
        except (StorageError, pa.ArrowException) as error:
            self._log.warning("a checkpoint was not folded; the next one tries again", reason=str(error), table=name)

    def _fold_table(self, name: str) -> None:
        manifest = self._read_manifest()
        log = manifest.logs[name]
        rows = self._rows(self._tables[name], log)
        folded = self._put(name, replace(log, change_bytes=0), UPSERT, rows)
        folded = replace(folded, first=log.next, base=folded.next, base_bytes=folded.change_bytes, change_bytes=0)
        self._commit(replace(manifest, logs={**manifest.logs, name: folded}))
        self._settle()
        self._drop(name, range(log.kept, folded.first))
        manifest = self._read_manifest()
        self._commit(replace(manifest, logs={**manifest.logs, name: replace(folded, kept=folded.first)}))

    def _drop(self, name: str, numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, FOLD_CHUNK_COUNT):
            part = range(start, min(start + FOLD_CHUNK_COUNT, numbers.stop))
            self._run_all(DROP, [([self._key, *(self._chunk_key(name, n) for n in part)], [self._token])])

    def _remove_leftovers(self) -> None:
        """Remove what earlier owners folded away, or wrote and never named. Raises StorageError."""
        manifest = self._read_manifest()
        for name, log in manifest.logs.items():
            self._drop(name, range(log.kept, log.first))
            number = log.next  # a log is written without a hole, so the first number that is free ends it
            with self._server.translating("looking for left-overs"):
                while self._server.client.exists(self._chunk_key(name, number)):
                    number += 1
            self._drop(name, range(log.next, number))
        kept = {name: replace(log, kept=log.first) for name, log in manifest.logs.items()}
        if kept != manifest.logs:
            self._commit(replace(manifest, logs=kept))

    def _chunk_key(self, name: str, number: int) -> str:
        return f"{self._key}:{name}:{number}"

    # ---- the server -------------------------------------------------------------------------------------------

    def _run(self, script: Script, args: list[Any]) -> list[str]:
        [reply] = self._run_all(script, [([self._key], args)])
        return reply

    def _run_all(self, script: Script, calls: list[tuple[list[str], list[Any]]]) -> list[list[str]]:
        """Run a script for each call. Raises FencedError, JournalLostError, or what the server's errors become."""
        replies: list[list[str]] = []
        for reply in self._server.run_all(script, calls):
            if isinstance(reply, RedisError):
                raise self._server.translated(reply, "writing the checkpoint") from reply
            replies.append(["" if part is None else part.decode() for part in reply])
            if replies[-1][0] == "fenced":
                raise self._fenced(replies[-1][1])
            if replies[-1][0] == "lost":
                raise self._lost("nothing of the checkpoint")
        return replies

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Turn failures to write into CheckpointFailedError. The manifest is read again: the change may have landed."""
        try:
            yield
        except (JournalUnavailableError, JournalFailedError, pa.ArrowException) as error:
            self._manifest = None
            raise CheckpointFailedError(f"{self._where}: the checkpoint was not written: {error}") from error
        except BaseException:
            self._manifest = None
            raise

    def _fenced(self, epoch: str) -> FencedError:
        return FencedError(f"{self._where}: another owner has opened it, the checkpoint has epoch {epoch}")

    def _lost(self, what: str) -> JournalLostError:
        return JournalLostError(f"{self._where}: the server lost acknowledged writes: it has {what}")


def _parts(change: TableChange) -> list[tuple[int, pa.Table]]:
    """Return a change as (kind, rows), deletes first. Raises InvalidError for a key that comes twice."""
    parts, table = [], change.table
    if change.delete_count:
        parts.append((DELETE, _arrow_table(table.key_columns, change.deletes)))
    if change.upsert_count:
        rows = _arrow_table(table.columns, change.upserts)
        if len(_newest(rows, table.key)) < rows.num_rows:
            raise InvalidError(f"table {table.name}: a key comes twice in one upsert", "upserts")
        parts.append((UPSERT, rows))
    return parts


def _newest(rows: pa.Table, key: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each key the number of the last row that has it, in no particular order."""
    numbered = rows.select(key).append_column("#", pa.array(np.arange(rows.num_rows)))
    newest: np.ndarray[Any, np.dtype[np.int64]] = (
        numbered.group_by(list(key), use_threads=False).aggregate([("#", "max")]).column("#_max").to_numpy()
    )
    return newest


def _fold(table: Table, kinds: list[tuple[int, int]], parts: list[pa.Table]) -> pa.Table:
    """Return the rows that a sequence of upserts and deletes leaves: each key's last word, if that is a row."""
    kept = _newest(pa.concat_tables([part.select(table.key) for part in parts]), table.key)
    is_row = np.repeat([kind == UPSERT for kind, _ in kinds], [count for _, count in kinds])
    rows = [part for (kind, _), part in zip(kinds, parts, strict=True) if kind == UPSERT]
    if not rows:
        return _schema(table.columns).empty_table()
    mask = np.zeros(len(is_row), bool)
    mask[kept] = True
    return pa.concat_tables(rows).filter(pa.array(mask[is_row]))


def _slices(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield rows in parts of CHUNK_BYTES_MAX on average."""
    count = -(-rows.nbytes // CHUNK_BYTES_MAX) or 1
    step = -(-rows.num_rows // count)
    for start in range(0, rows.num_rows, step or 1):
        yield rows.slice(start, step)


def _encode(rows: pa.Table, kind: int, name: str) -> bytes:
    """Return the bytes of a chunk; its checksum covers the name, so that a chunk is known to be where it belongs."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return b"".join((_HEAD.pack(MAGIC, _checksum(data, kind, name), kind), data))


def _decode(chunk: bytes | None, name: str) -> tuple[int, pa.Table]:
    """Return (kind, rows). Raises ValueError or ArrowException."""
    if chunk is None:
        raise ValueError("it is missing")
    if len(chunk) < _HEAD.size:
        raise ValueError(f"{len(chunk)} bytes, at least {_HEAD.size} expected")
    magic, crc, kind = _HEAD.unpack_from(chunk)
    data = chunk[_HEAD.size :]
    if magic != MAGIC or crc != _checksum(data, kind, name):
        raise ValueError("its checksum differs")
    return kind, pa.ipc.open_stream(data).read_all()


def _checksum(data: bytes, kind: int, name: str) -> int:
    return zlib.crc32(data, zlib.crc32(f"{kind}:{name}".encode()))


def _columns(rows: pa.Table, table: Table) -> Columns:
    loaded: Columns = {}
    for name, kind in table.columns:
        column = rows.column(name)
        loaded[name] = column.to_numpy().astype(DTYPES[kind], copy=False) if kind in DTYPES else column.to_pylist()
    return loaded


def _arrow_table(columns: Sequence[tuple[str, str]], values: Columns) -> pa.Table:
    arrays = [pa.array(values[name], _ARROW[kind]) for name, kind in columns]
    return pa.Table.from_arrays(arrays, schema=_schema(columns))


def _schema(columns: Sequence[tuple[str, str]]) -> pa.Schema:
    return pa.schema([(name, _ARROW[kind]) for name, kind in columns])


def _describe(tables: Sequence[Table]) -> str:
    """Return one canonical text of the declared tables; a checkpoint with another one is not read."""
    return "\n".join(sorted(f"{t.name}({', '.join(map(' '.join, t.columns))}; key {', '.join(t.key)})" for t in tables))
