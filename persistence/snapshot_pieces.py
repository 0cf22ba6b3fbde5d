"""A checkpoint in pieces: read without holding it whole, sent as bytes, and put together elsewhere.

Rules of this file
- Bounded: a piece is the rows of one table, at most `rows_max` of them and about PIECE_BYTES_MAX bytes, unless a row
  alone is larger.
- Rows only: a snapshot has no deletes, and each key comes once in all of its pieces.
- What `unpack_piece` is given may come from anywhere: it returns rows that fit the declared table or raises
  InvalidError, and never holds more than a small multiple of the bytes it was given. Hence the reader that walks item
  by item: msgpack makes room for as many items as a header claims, in every array of a nest of them.

    msgpack [table name, row count, [column, ...]]              of a table of version 1; columns in its order
    msgpack [table name, row count, version, [column, ...]]     of a later one
    BIGINT, INTEGER column   bin: little-endian values
    BLOB, VARCHAR column     array of bin or str; nil outside the key

A piece doesn't say what its columns are: who reads it knows the table in that version (`LAYOUTS` of `upgrades.py`, a
backup's manifest), or refuses it. So a process of the version before takes what it knows, and nothing else for it.

Costs: see DESIGN.md. The checksum is the transport's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import pyarrow as pa

from actors.core.checkpoints.tables import DTYPES, Columns, Table, TableChange
from actors.core.checkpoints.upgrades import LAYOUTS
from actors.core.errors import InvalidError
from persistence.checkpoint_rules import check_piece

PIECE_BYTES_MAX = 2 * 1024 * 1024  # bytes of a piece's columns: 20 ms on a gigabit network, and a few of them in memory
VALUE_BYTES = 8  # bytes that a value of any type counts for, besides what a text or blob holds
HEAD_BYTES_MAX = 1024  # bytes of a piece before its columns, at most: the name is a short identifier
Layouts = Mapping[tuple[str, int], Table]
_TYPES: Mapping[str, type] = {"BLOB": bytes, "VARCHAR": str}


@dataclass(slots=True)
class SnapshotReader:
    """A checkpoint as of one moment, piece by piece. Read by one thread, which need not be the one that opened it.

    Iterate to the end, or `close` (or leave its `with` block): the store keeps what the snapshot needs until then.
    Iterating raises CheckpointDamagedError, or CheckpointFailedError once the reader or its store was closed.
    """

    position: int
    epoch: int
    pieces: Iterator[TableChange]
    on_close: Callable[[], None]

    def __iter__(self) -> Iterator[TableChange]:
        return self.pieces

    def close(self) -> None:
        """Let go of the snapshot. Idempotent. Any thread; waits for the piece that is being read."""
        self.on_close()

    def __enter__(self) -> SnapshotReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def row_bytes(table: Table, rows: pa.Table | pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return what each row counts for, in bytes. rows: as Arrow columns."""
    import pyarrow.compute as pc  # 0.04 s of the processor, which a shard that starts needs for other things

    sizes = np.full(rows.num_rows, VALUE_BYTES * len(table.columns), np.int64)
    for name, kind in table.columns:
        if kind not in DTYPES:
            sizes += pc.fill_null(pc.binary_length(rows.column(name)), 0).to_numpy(zero_copy_only=False)
    return sizes


def piece_ends(row_bytes: np.ndarray[Any, np.dtype[np.int64]], rows_max: int) -> Iterator[int]:
    """Yield where each piece ends, as a number of rows, ascending to the last row.

    row_bytes: the bytes of each row; rows_max: >= 1. O(rows).
    """
    sums = np.cumsum(row_bytes)
    begin, sent = 0, 0
    while begin < len(sums):
        end = int(np.searchsorted(sums, sent + PIECE_BYTES_MAX, side="right"))
        begin = min(max(end, begin + 1), begin + rows_max)
        sent = int(sums[begin - 1])
        yield begin


def pack_piece(piece: TableChange) -> bytes:
    """Return a piece as bytes. Raises InvalidError if it has deletes or its columns don't fit its table."""
    check_piece({piece.table.name: piece.table}, piece)
    columns = [
        piece.upserts[name].astype(_wire_type(kind), copy=False).tobytes() if kind in DTYPES else piece.upserts[name]
        for name, kind in (piece.table.columns if piece.upserts else ())
    ]
    version = [] if piece.table.version == 1 else [piece.table.version]
    packed: bytes = msgpack.packb([piece.table.name, piece.upsert_count, *version, columns])
    return packed


def unpack_piece(tables: Mapping[str, Table], data: bytes, layouts: Layouts = LAYOUTS) -> TableChange:
    """Return the piece in these bytes, of the table in the version that the piece says.

    tables: by name; layouts: tables of other versions, by name and version. Raises InvalidError for anything that isn't
    a piece of one of them.
    """
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(len(data), 1), max_array_len=0, max_map_len=0, max_ext_len=0, strict_map_key=True
    )
    try:
        unpacker.feed(data)
        piece = _read_rows(*_read_table(tables, layouts, unpacker), unpacker)
        if unpacker.tell() != len(data):
            raise InvalidError(f"a snapshot piece of {unpacker.tell()} bytes in {len(data)}", "piece")
    except (ValueError, msgpack.UnpackException) as error:
        raise InvalidError(f"a snapshot piece that is not msgpack as it should be: {error}", "piece") from error
    return piece


def table_of_piece(tables: Mapping[str, Table], data: bytes, layouts: Layouts = LAYOUTS) -> Table:
    """Return the table of a piece without reading its rows. Raises InvalidError as `unpack_piece` does. O(1)."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1), max_array_len=0, max_map_len=0, max_ext_len=0)
    try:
        unpacker.feed(data[:HEAD_BYTES_MAX])
        return _read_table(tables, layouts, unpacker)[0]
    except (ValueError, msgpack.UnpackException) as error:
        raise InvalidError(f"a snapshot piece that is not msgpack as it should be: {error}", "piece") from error


def _read_table(tables: Mapping[str, Table], layouts: Layouts, unpacker: msgpack.Unpacker) -> tuple[Table, int]:
    """Return the table of a piece, and the number of its rows."""
    items = unpacker.read_array_header()
    if items not in (3, 4):
        raise InvalidError(f"a piece of {items} items, 3 or 4 expected", "piece")
    name, rows = unpacker.unpack(), unpacker.unpack()
    version = unpacker.unpack() if items == 4 else 1
    table = tables.get(name) if isinstance(name, str) else None
    if table is None:
        raise InvalidError(f"a snapshot piece of an unknown table {str(name)[:40]!r}", "table")
    if type(rows) is not int or rows < 0:
        raise InvalidError(f"table {table.name}: a row count that is no number", "rows")
    if type(version) is not int or version < 1:
        raise InvalidError(f"table {table.name}: a version that is no number", "version")
    if version == table.version:
        return table, rows
    if (table.name, version) not in layouts:
        raise InvalidError(
            f"a snapshot piece of table {table.name!r} of version {version}, which this version doesn't know",
            "version",
        )
    return layouts[table.name, version], rows


def _read_rows(table: Table, rows: int, unpacker: msgpack.Unpacker) -> TableChange:
    _read_header(unpacker, len(table.columns) if rows else 0, "columns")
    columns: Columns = {}
    for column, kind in table.columns if rows else ():
        where = f"table {table.name}, column {column}"
        columns[column] = (
            _read_numbers(unpacker, rows, kind, where)
            if kind in DTYPES
            else _read_list(unpacker, rows, _TYPES[kind], column not in table.key, where)
        )
    return TableChange(table, columns)


def _read_header(unpacker: msgpack.Unpacker, wanted: int, what: str) -> None:
    found = unpacker.read_array_header()
    if found != wanted:
        raise InvalidError(f"{what} of {found} items, {wanted} expected", "piece")


def _read_numbers(unpacker: msgpack.Unpacker, rows: int, kind: str, where: str) -> np.ndarray[Any, Any]:
    data = unpacker.unpack()
    wire_type = _wire_type(kind)
    if not isinstance(data, bytes) or len(data) != rows * wire_type.itemsize:
        raise InvalidError(f"{where}: not the bytes of {rows} values", "columns")
    return np.frombuffer(data, wire_type).astype(DTYPES[kind])


def _read_list(unpacker: msgpack.Unpacker, rows: int, item_type: type, may_be_none: bool, where: str) -> list[Any]:
    _read_header(unpacker, rows, where)
    items: list[Any] = []
    for _ in range(rows):
        item = unpacker.unpack()
        if type(item) is not item_type and not (item is None and may_be_none):
            raise InvalidError(f"{where}: an item that is no {item_type.__name__}", "columns")
        items.append(item)
    return items


def _wire_type(kind: str) -> np.dtype[Any]:
    return np.dtype(DTYPES[kind]).newbyteorder("<")
