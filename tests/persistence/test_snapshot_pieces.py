"""Pieces of a snapshot as bytes: back as they were, or refused, whatever the bytes."""

from __future__ import annotations

import tracemalloc

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.checkpoints.tables import Table, TableChange
from actors.core.errors import InvalidError
from persistence.snapshot_pieces import PIECE_BYTES_MAX, pack_piece, piece_ends, table_of_piece, unpack_piece

ACCOUNTS = Table("accounts", (("id", "BIGINT"), ("level", "INTEGER"), ("name", "VARCHAR"), ("blob", "BLOB")), ("id",))
NAMES = Table("names", (("name", "VARCHAR"), ("owner", "BIGINT")), ("name",))
TABLES = {table.name: table for table in (ACCOUNTS, NAMES)}

_texts = st.text(max_size=20)
_rows = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**31), 2**31 - 1),
        st.one_of(st.none(), _texts),
        st.one_of(st.none(), st.binary(max_size=20)),
    ),
    max_size=8,
)


def accounts(rows):
    if not rows:
        return TableChange(ACCOUNTS)
    ids, levels, names, blobs = (list(values) for values in zip(*rows, strict=True))
    columns = {"id": np.array(ids, np.int64), "level": np.array(levels, np.int32), "name": names, "blob": blobs}
    return TableChange(ACCOUNTS, columns)


def plain(piece):
    return piece.table, {name: (getattr(c, "dtype", list), list(c)) for name, c in piece.upserts.items()}


@given(_rows)
def test_a_piece_comes_back_as_it_was(rows):
    piece = accounts(rows)
    unpacked = unpack_piece(TABLES, pack_piece(piece))
    assert plain(unpacked) == plain(piece)
    unpacked.check()
    assert all(column.flags.writeable for column in unpacked.upserts.values() if isinstance(column, np.ndarray))


@given(st.lists(st.tuples(_texts, st.integers(0, 9)), max_size=5))
def test_a_text_key_comes_back_as_it_was(rows):
    columns = {"name": [name for name, _ in rows], "owner": np.array([owner for _, owner in rows], np.int64)}
    piece = TableChange(NAMES, columns if rows else {})
    assert plain(unpack_piece(TABLES, pack_piece(piece))) == plain(piece)


def unpacked_or_refused(data):
    """Return what was unpacked, which must be what packs into these bytes' meaning, or None."""
    try:
        piece = unpack_piece(TABLES, data)
    except InvalidError:
        return None
    piece.check()
    assert plain(unpack_piece(TABLES, pack_piece(piece))) == plain(piece)
    return piece


@given(st.binary(max_size=100))
def test_noise_is_refused(noise):
    unpacked_or_refused(noise)


@given(_rows, st.data())
@settings(max_examples=300)
def test_a_changed_piece_is_refused_or_other_rows(rows, data):
    packed = bytearray(pack_piece(accounts(rows)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(packed)))
        cut = data.draw(st.integers(0, 3))
        packed[at : at + cut] = data.draw(st.binary(max_size=4))
    unpacked_or_refused(bytes(packed))


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | _texts | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.one_of(_values, st.tuples(st.sampled_from(["accounts", "names", "other"]), st.integers(-1, 3), _values)))
@settings(max_examples=300)
def test_any_msgpack_is_refused_unless_it_is_a_piece(value):
    unpacked_or_refused(msgpack.packb(value))


@given(_rows.filter(bool), st.data())
def test_a_piece_cut_anywhere_or_with_more_behind_it_is_refused(rows, data):
    packed = pack_piece(accounts(rows))
    assert unpacked_or_refused(packed[: data.draw(st.integers(0, len(packed) - 1))]) is None
    assert unpacked_or_refused(packed + data.draw(st.binary(min_size=1, max_size=5))) is None


def later(table: Table, version: int) -> Table:
    return Table(table.name, table.columns, table.key, version)


def test_a_piece_of_a_later_version_says_so_and_is_taken_by_who_knows_that_version():
    piece = TableChange(later(NAMES, 2), {"name": ["a"], "owner": np.array([1], np.int64)})
    packed = pack_piece(piece)
    assert msgpack.unpackb(packed)[:3] == ["names", 1, 2]
    assert plain(unpack_piece({"names": later(NAMES, 2)}, packed)) == plain(piece)
    assert plain(unpack_piece({"names": later(NAMES, 3)}, packed, {("names", 2): later(NAMES, 2)})) == plain(piece)
    for known in (NAMES, later(NAMES, 3)):
        with pytest.raises(InvalidError, match="table 'names' of version 2, which this version doesn't know"):
            unpack_piece({"names": known}, packed)


def test_a_piece_without_a_version_is_of_the_first():
    wider = Table("names", (*NAMES.columns, ("more", "BIGINT")), ("name",), 2)
    piece = TableChange(NAMES, {"name": ["a"], "owner": np.array([1], np.int64)})
    packed = pack_piece(piece)
    assert len(msgpack.unpackb(packed)) == 3
    layouts = {("names", 1): NAMES}
    assert plain(unpack_piece({"names": wider}, packed, layouts)) == plain(piece)
    assert table_of_piece({"names": wider}, packed, layouts) == NAMES


@given(_rows, st.data())
def test_the_table_of_a_piece_is_told_without_its_rows_or_it_is_no_piece(rows, data):
    packed = bytearray(pack_piece(accounts(rows)))
    assert table_of_piece(TABLES, bytes(packed)) == ACCOUNTS
    for _ in range(data.draw(st.integers(0, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        piece = unpack_piece(TABLES, bytes(packed))
    except InvalidError:
        return
    assert table_of_piece(TABLES, bytes(packed)) == piece.table


ARRAY, MAP, BYTES, TEXT, EXTENSION = b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"
HUGE = (0xFFFF_FFF0).to_bytes(4, "big")


@pytest.mark.parametrize("size", [(60_000).to_bytes(4, "big"), HUGE])  # below and above the bytes that are there
@pytest.mark.parametrize("kind", [ARRAY, MAP, BYTES, TEXT, EXTENSION])
@pytest.mark.parametrize("place", ["whole", "name", "rows", "columns", "numbers", "list", "item"])
def test_a_nest_of_headers_that_claim_more_than_is_there_takes_no_memory(place, kind, size):
    before = {
        "whole": b"",
        "name": b"\x93",
        "rows": b"\x93\xa5names",
        "columns": b"\x93\xa5names\x01",
        "list": b"\x93\xa5names\x01\x92",
        "item": b"\x93\xa5names\x01\x92\x91",
        "numbers": b"\x93\xa5names\x01\x92\x91\xa1a",
    }[place]
    data = before + (kind + size) * 13_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidError):
            unpack_piece(TABLES, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(data) + 1_000_000


def test_a_row_count_that_the_bytes_do_not_hold_takes_no_memory():
    for rows in (2**62, 10**9):
        columns = [b"", b"", [], []]
        assert unpacked_or_refused(msgpack.packb(["accounts", rows, columns])) is None
        assert unpacked_or_refused(msgpack.packb(["names", rows, [[], b""]])) is None


@pytest.mark.parametrize(
    "value",
    [
        ["names", 1, [[None], bytes(8)]],  # a key is never None
        ["names", 1, [[b"a"], bytes(8)]],
        ["names", 1, [["a"], bytes(4)]],
        ["names", 1, [["a"], "12345678"]],
        ["names", 1, [["a"], bytes(8), []]],
        ["names", 0, [[], b""]],
        ["names", True, [["a"], bytes(8)]],
        ["other", 1, [["a"], bytes(8)]],
        ["accounts", 1, [bytes(8), bytes(4), ["a"], ["a"]]],
    ],
)
def test_what_does_not_fit_the_table_is_refused(value):
    assert unpacked_or_refused(msgpack.packb(value)) is None


def test_what_is_no_piece_is_not_packed():
    with pytest.raises(InvalidError, match="no deletes"):
        pack_piece(TableChange(NAMES, {}, {"name": ["a"]}))
    with pytest.raises(InvalidError, match="different lengths"):
        pack_piece(TableChange(NAMES, {"name": ["a"], "owner": np.zeros(2, np.int64)}))


@given(st.lists(st.integers(0, PIECE_BYTES_MAX * 2), max_size=30), st.integers(1, 8))
def test_pieces_end_where_rows_or_bytes_are_enough(row_bytes, rows_max):
    ends = list(piece_ends(np.array(row_bytes, np.int64), rows_max))
    pieces = [row_bytes[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    assert [size for piece in pieces for size in piece] == row_bytes
    for number, piece in enumerate(pieces, 1):
        following = pieces[number] if number < len(pieces) else []
        assert 1 <= len(piece) <= rows_max
        assert len(piece) == 1 or sum(piece) <= PIECE_BYTES_MAX
        assert not following or len(piece) == rows_max or sum(piece) + following[0] > PIECE_BYTES_MAX
