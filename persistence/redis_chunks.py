"""The rows of a checkpoint as blobs: from changes to Arrow tables, to bytes with a checksum, and back; folding them.

Rules of this file
- Pure: no server, no keys. What a chunk is called is part of its checksum, so a chunk in another's place is seen.
- A log is a sequence of chunks of upserts and deletes; each key's last word wins. Rows in a chunk have no order.

    chunk   "RKCP" | crc u32 of kind, name, stream | kind u8 (0 upserts, 1 deletes) | Arrow IPC stream, LZ4
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actors.core.checkpoints.tables import DTYPES, Columns, Table, TableChange
from actors.core.errors import InvalidError

MAGIC = b"RKCP"
_HEAD = struct.Struct("<4sIB")
UPSERT, DELETE = 0, 1
CHUNK_BYTES_MAX = 4 * 1024 * 1024  # bytes of columns in one chunk, before LZ4; the server stops for one at a time
_ARROW = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BLOB": pa.large_binary(), "VARCHAR": pa.large_string()}


def change_parts(change: TableChange) -> list[tuple[int, pa.Table]]:
    """Return a change as (kind, rows), deletes first. Raises InvalidError for a key that comes twice."""
    parts, table = [], change.table
    if change.delete_count:
        parts.append((DELETE, arrow_table(table.key_columns, change.deletes)))
    if change.upsert_count:
        rows = arrow_table(table.columns, change.upserts)
        if len(newest_rows(rows, table.key)) < rows.num_rows:
            raise InvalidError(f"table {table.name}: a key comes twice in one upsert", "upserts")
        parts.append((UPSERT, rows))
    return parts


def newest_rows(rows: pa.Table, key: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each key the number of the last row that has it, in no particular order."""
    numbered = rows.select(key).append_column("#", pa.array(np.arange(rows.num_rows)))
    newest: np.ndarray[Any, np.dtype[np.int64]] = (
        numbered.group_by(list(key), use_threads=False).aggregate([("#", "max")]).column("#_max").to_numpy()
    )
    return newest


def fold_rows(table: Table, kinds: list[tuple[int, int]], parts: list[pa.Table]) -> pa.Table:
    """Return the rows that a sequence of upserts and deletes leaves: each key's last word, if that is a row."""
    kept = newest_rows(pa.concat_tables([part.select(table.key) for part in parts]), table.key)
    is_row = np.repeat([kind == UPSERT for kind, _ in kinds], [count for _, count in kinds])
    rows = [part for (kind, _), part in zip(kinds, parts, strict=True) if kind == UPSERT]
    if not rows:
        return arrow_schema(table.columns).empty_table()
    mask = np.zeros(len(is_row), bool)
    mask[kept] = True
    return pa.concat_tables(rows).filter(pa.array(mask[is_row]))


def without_keys(rows: pa.Table, key: Sequence[str], others: Sequence[pa.Table]) -> pa.Table:
    """Return the rows whose key is in none of the other tables, in no particular order. Keys of `rows` are unique."""
    if not others:
        return rows
    last = newest_rows(pa.concat_tables([rows.select(key), *others]), key)
    return rows.take(pa.array(last[last < rows.num_rows]))


def chunk_slices(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield rows in parts of CHUNK_BYTES_MAX on average."""
    count = -(-rows.nbytes // CHUNK_BYTES_MAX) or 1
    step = -(-rows.num_rows // count)
    for start in range(0, rows.num_rows, step or 1):
        yield rows.slice(start, step)


def encode_chunk(rows: pa.Table, kind: int, name: str) -> bytes:
    """Return the bytes of a chunk; its checksum covers the name, so that a chunk is known to be where it belongs."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return b"".join((_HEAD.pack(MAGIC, _checksum(data, kind, name), kind), data))


def decode_chunk(chunk: bytes | None, name: str) -> tuple[int, pa.Table]:
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


def columns_of(rows: pa.Table, table: Table) -> Columns:
    loaded: Columns = {}
    for name, kind in table.columns:
        column = rows.column(name)
        loaded[name] = column.to_numpy().astype(DTYPES[kind], copy=False) if kind in DTYPES else column.to_pylist()
    return loaded


def arrow_table(columns: Sequence[tuple[str, str]], values: Columns) -> pa.Table:
    arrays = [pa.array(values[name], _ARROW[kind]) for name, kind in columns]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(columns))


def arrow_schema(columns: Sequence[tuple[str, str]]) -> pa.Schema:
    return pa.schema([(name, _ARROW[kind]) for name, kind in columns])
