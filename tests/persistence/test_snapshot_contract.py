"""What every checkpoint store does with snapshots: read in pieces beside writes, replaced whole or not at all."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.core.checkpoints.tables import Table, TableChange
from actors.core.errors import InvalidError
from persistence import duckdb_rows, redis_chunks, redis_manifest, snapshot_pieces
from persistence.errors import CheckpointFailedError, FencedError
from persistence.snapshot_pieces import PIECE_BYTES_MAX, pack_piece, unpack_piece
from tests.persistence.backends import STORES
from tests.persistence.test_store_contract import ACCOUNTS, FOLLOWS, NAMES, TABLES, accounts, ints, longs, rows_of


def many_accounts(begin, end, level=0, text="x"):
    ids = np.arange(begin, end, dtype=np.int64)
    count = len(ids)
    levels = np.full(count, level, np.int32)
    columns = {"id": ids, "level": levels, "name": [text] * count, "blob": [None] * count}
    return TableChange(ACCOUNTS, columns if count else {})


def rows_in(pieces, table=ACCOUNTS):
    """The rows of a table in pieces, sorted as rows_of sorts; each key must come once."""
    rows = []
    for piece in pieces:
        assert not piece.deletes
        piece.check()
        if piece.table == table:
            columns = [piece.upserts[name] for name in table.column_names]
            rows += zip(*(c.tolist() if isinstance(c, np.ndarray) else c for c in columns), strict=True)
    width = len(table.key)
    assert table.column_names[:width] == table.key
    assert len({row[:width] for row in rows}) == len(rows)
    return sorted(rows, key=repr)


@pytest.fixture
def small_batches(monkeypatch):
    """What a store takes or keeps at once, as small as the tables here are: a tenth."""
    for module, name in (
        (duckdb_rows, "LOAD_BATCH_ROWS"), (duckdb_rows, "SNAPSHOT_BATCH_ROWS"), (redis_chunks, "CHUNK_BYTES_MAX"),
        (redis_manifest, "FOLD_BYTES_MIN"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name) // 10)


small = pytest.mark.usefixtures("small_batches")


def test_a_snapshot_of_a_new_store_is_empty(open_store):
    store = open_store(TABLES)
    reader = store.read_pieces(10)
    assert (reader.position, reader.epoch, list(reader)) == (0, 0, [])
    store.close()


def test_a_snapshot_holds_all_rows_in_pieces_of_the_asked_size(open_store):
    store = open_store(TABLES)
    rows = [(n, -n, None if n % 3 else f"näme\x00{n}", None if n % 2 else bytes([n])) for n in range(25)]
    follows = {"follower": longs(1, 1), "followee": longs(1, 2), "order": ints(1, 2)}
    store.write(7, 3, [accounts(*rows), TableChange(FOLLOWS, follows)])
    store.write(8, 4, [TableChange(NAMES, {"name": ["", "b"], "owner": longs(1, 2)})])
    for rows_max in (1, 7, 25, 1_000_000):
        with store.read_pieces(rows_max) as reader:
            assert (reader.position, reader.epoch) == (8, 4)
            pieces = list(reader)
        assert all(1 <= piece.upsert_count <= rows_max for piece in pieces)
        assert rows_in(pieces) == sorted(rows, key=repr)
        assert rows_in(pieces, FOLLOWS) == [(1, 1, 1), (1, 2, 2)]
        assert rows_in(pieces, NAMES) == [("", 1), ("b", 2)]
        order = [piece.table.name for piece in pieces]
        assert len(dict.fromkeys(order)) == 1 + sum(a != b for a, b in itertools.pairwise(order))
    with pytest.raises(ValueError, match="at least 1"):
        store.read_pieces(0)
    store.close()


def test_pieces_are_bounded_in_bytes(open_store):
    store = open_store(TABLES)
    sizes = [10, PIECE_BYTES_MAX // 3, 5, PIECE_BYTES_MAX // 2, PIECE_BYTES_MAX * 2, 7, PIECE_BYTES_MAX // 3] * 3
    rows = [(n, 0, None, bytes([n]) * size) for n, size in enumerate(sizes)]
    store.write(1, 0, [accounts(*rows)])
    pieces = list(store.read_pieces(1000))
    assert rows_in(pieces) == sorted(rows, key=repr)
    for piece in pieces:
        assert piece.upsert_count == 1 or sum(map(len, piece.upserts["blob"])) <= PIECE_BYTES_MAX
    assert len(pieces) < len(rows)
    store.close()


@small
def test_a_snapshot_is_as_of_its_opening_while_writes_go_on(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [many_accounts(0, 10_000)])
    store.write(2, 0, [many_accounts(500, 9_000, level=1), accounts(deletes=tuple(range(100)))])
    expected = rows_of(store.load(), ACCOUNTS)
    with store.read_pieces(2_000) as reader:
        pieces = [next(iter(reader))]
        for position in range(3, 8):  # upserts, deletes and new rows between pieces, folded by some backends
            store.write(position, 1, [many_accounts(0, 6_000, position), accounts(deletes=tuple(range(6_000, 7_000)))])
            store.write(position, 1, [many_accounts(position * 1_000_000, position * 1_000_000 + 100)])
            pieces.extend(piece for _, piece in zip(range(1), reader, strict=False))
        pieces += reader
    assert (reader.position, reader.epoch) == (2, 0)
    assert rows_in(pieces) == expected
    checkpoint = store.load()
    assert checkpoint.position == 7
    assert rows_in(store.read_pieces(5_000)) == rows_of(checkpoint, ACCOUNTS)
    store.close()


@small
def test_a_snapshot_is_read_by_another_thread_while_this_one_writes(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [many_accounts(0, 5_000, level=1)])
    seen, failures, done = [], [], threading.Event()

    def read():
        try:
            while len(seen) < 5:
                with store.read_pieces(500) as reader:
                    levels = {row[1] for row in rows_in(reader)}
                assert levels == {reader.position}
                seen.append(reader.position)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            done.set()

    thread = threading.Thread(target=read)
    thread.start()
    position = 1
    while not done.is_set():
        position += 1
        store.write(position, 0, [many_accounts(0, 5_000, level=position)])
    thread.join()
    assert (failures, seen) == ([], sorted(seen))
    store.close()


@small
def test_a_refused_write_does_not_end_a_snapshot(open_store):
    store = open_store(TABLES)
    store.write(5, 1, [many_accounts(0, 8_000)])
    with store.read_pieces(1_000) as reader:
        pieces = [next(iter(reader))]
        with pytest.raises(ValueError, match="position 5 is stored"):
            store.write(4, 1, [])
        store.write(6, 1, [many_accounts(0, 10, level=1)])
        pieces += reader
    assert len(rows_in(pieces)) == 8_000
    store.close()


@small
def test_a_closed_snapshot_or_store_gives_no_more_pieces(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [many_accounts(0, 20_000)])
    for close in (lambda reader: reader.close(), lambda reader: store.close()):
        reader = store.read_pieces(100)
        assert next(iter(reader)).upsert_count == 100
        close(reader)
        with pytest.raises(CheckpointFailedError, match="closed"):
            list(reader)
        reader.close()
    store = open_store(TABLES)
    assert len(rows_in(store.read_pieces(5_000))) == 20_000
    store.close()


# ---- replacing ----------------------------------------------------------------------------------------------------


def test_replacing_leaves_the_snapshot_and_nothing_else(open_store):
    store = open_store(TABLES)
    store.write(9, 2, [accounts((1, 1, "old", b"")), TableChange(NAMES, {"name": ["old"], "owner": longs(1)})])
    store.replace(4, 2, iter([accounts((2, 2, "new", None)), accounts((3, 3, "", b"\x00"))]))
    for _ in range(2):
        checkpoint = store.load()
        assert (checkpoint.position, checkpoint.epoch) == (4, 2)
        assert rows_of(checkpoint, ACCOUNTS) == [(2, 2, "new", None), (3, 3, "", b"\x00")]
        assert rows_of(checkpoint, NAMES) == []
        store.close()
        store = open_store(TABLES)
    store.write(5, 3, [accounts((2, 9, "newer", None), deletes=(3,))])
    assert rows_of(store.load(), ACCOUNTS) == [(2, 9, "newer", None)]
    store.replace(50, 3, iter([]))
    checkpoint = store.load()
    assert (checkpoint.position, rows_of(checkpoint, ACCOUNTS)) == (50, [])
    store.close()


def test_a_snapshot_travels_from_any_store_to_another_as_bytes(open_store, tmp_path_factory):
    source, target = open_store(TABLES), STORES["duckdb"](tmp_path_factory.mktemp("target"))(TABLES)
    target.write(99, 1, [accounts((7, 7, "gone", b""))])
    rows = [(n, n % 100, f"n{n}", None) for n in range(5000)]
    source.write(1, 0, [accounts(*rows), TableChange(NAMES, {"name": ["a"], "owner": longs(1)})])
    source.write(2, 5, [accounts(*[(n, -1, "again", b"b") for n in range(0, 5000, 3)], deletes=(1, 4))])
    by_name = {table.name: table for table in TABLES}
    with source.read_pieces(700) as reader:
        pieces = (unpack_piece(by_name, pack_piece(piece)) for piece in reader)
        target.replace(reader.position, reader.epoch, pieces)
    there, here = target.load(), source.load()
    assert (there.position, there.epoch) == (here.position, here.epoch) == (2, 5)
    assert [rows_of(there, table) for table in TABLES] == [rows_of(here, table) for table in TABLES]
    source.close()
    target.close()


@small
def test_a_store_may_be_replaced_by_its_own_snapshot(open_store):
    store = open_store(TABLES)
    store.write(3, 1, [many_accounts(0, 5_000)])
    store.write(4, 1, [many_accounts(100, 200, level=1)])
    before = rows_of(store.load(), ACCOUNTS)
    with store.read_pieces(900) as reader:
        store.replace(9, 1, iter(reader))
    assert rows_of(store.load(), ACCOUNTS) == before
    store.close()


def failing(pieces, error):
    yield from pieces
    raise error


class BrokenStreamError(Exception):
    """What an iterator of pieces may raise."""


@small
def test_a_snapshot_that_breaks_off_or_is_malformed_or_fenced_changes_nothing(open_store):
    store = open_store(TABLES)
    store.write(5, 3, [accounts((1, 1, "a", b""))])
    good = [many_accounts(0, 15_000), many_accounts(15_000, 30_000)]
    other = Table("accounts", (("id", "BIGINT"),), ("id",))
    tries = [
        (BrokenStreamError, 3, failing(good, BrokenStreamError())),
        (ConnectionResetError, 3, failing(good, ConnectionResetError())),
        (InvalidError, 3, iter([*good, accounts((2, 1, "b", b""), deletes=(3,))])),
        (InvalidError, 3, iter([*good, TableChange(other, {"id": longs(1)})])),
        (InvalidError, 3, iter([*good, TableChange(ACCOUNTS, {"id": longs(1)})])),
        (FencedError, 2, iter(good)),
    ]
    for error, epoch, pieces in tries:
        with pytest.raises(error):
            store.replace(6, epoch, pieces)
        checkpoint = store.load()
        assert (checkpoint.position, checkpoint.epoch) == (5, 3)
        assert rows_of(checkpoint, ACCOUNTS) == [(1, 1, "a", b"")]
        store.write(5, 3, [accounts((1, 1, "a", b""))])
    with pytest.raises(ValueError, match="position -1"):
        store.replace(-1, 3, iter(good))
    store.close()
    store = open_store(TABLES)
    assert rows_of(store.load(), ACCOUNTS) == [(1, 1, "a", b"")]
    store.replace(6, 3, iter(good))
    assert len(rows_of(store.load(), ACCOUNTS)) == 30_000
    store.close()


@small
def test_a_snapshot_that_is_being_read_outlives_a_replacement(open_store):
    store = open_store(TABLES)
    store.write(5, 1, [many_accounts(0, 10_000)])
    with store.read_pieces(100) as reader:
        pieces = [next(iter(reader))]
        store.replace(2, 1, iter([many_accounts(7, 9)]))
        store.write(3, 1, [many_accounts(9, 10)])
        pieces += reader
    assert len(rows_in(pieces)) == 10_000
    assert len(rows_in(store.read_pieces(100))) == 3
    store.close()
    store = open_store(TABLES)
    assert len(rows_in(store.read_pieces(100))) == 3
    store.close()


_keys = st.lists(st.integers(0, 6), unique=True, max_size=5)
_step = st.one_of(
    st.tuples(st.just("write"), _keys, _keys), st.tuples(st.just("replace"), _keys), st.tuples(st.just("read"))
)


@pytest.mark.parametrize("backend", STORES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_step, max_size=8), rows_max=st.integers(1, 4))
def test_any_writes_and_replacements_leave_what_a_dict_would_hold(backend, tmp_path_factory, steps, rows_max):
    store = STORES[backend](tmp_path_factory.mktemp("store"))(TABLES)
    model, readers = {}, []
    for position, (kind, *keys) in enumerate(steps, 1):
        level = position
        if kind == "read":
            readers.append((store.read_pieces(rows_max), sorted(model.values(), key=repr)))
        elif kind == "write":
            deletes, upserts = keys
            rows = {key: (key, level, str(level), None) for key in upserts}
            store.write(position, 0, [accounts(*rows.values(), deletes=tuple(deletes))])
            model = {key: row for key, row in model.items() if key not in deletes} | rows
        else:
            rows = {key: (key, level, "replaced", None) for key in keys[0]}
            store.replace(position, 0, (accounts(row) for row in rows.values()))
            model = rows
    readers.append((store.read_pieces(rows_max), sorted(model.values(), key=repr)))
    for reader, expected in reversed(readers):
        assert rows_in(reader) == expected
    assert rows_of(store.load(), ACCOUNTS) == sorted(model.values(), key=repr)
    store.close()


def test_pieces_are_cut_where_the_bytes_are_enough_in_every_store(open_store, monkeypatch):
    monkeypatch.setattr(snapshot_pieces, "PIECE_BYTES_MAX", 2000)
    store = open_store(TABLES)
    store.write(1, 0, [many_accounts(0, 1000, text="y" * 100)])
    pieces = list(store.read_pieces(1_000_000))
    assert len(rows_in(pieces)) == 1000
    assert all(piece.upsert_count <= 20 for piece in pieces)
    assert sum(piece.upsert_count >= 10 for piece in pieces) > 50
    store.close()
