"""What every checkpoint store does, whatever it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.core.checkpoints.tables import Table, TableChange
from actors.core.errors import InvalidError
from persistence.errors import FencedError
from tests.persistence.backends import STORES

ACCOUNTS = Table("accounts", (("id", "BIGINT"), ("level", "INTEGER"), ("name", "VARCHAR"), ("blob", "BLOB")), ("id",))
FOLLOWS = Table(
    "follows", (("follower", "BIGINT"), ("followee", "BIGINT"), ("order", "INTEGER")), ("follower", "followee")
)
NAMES = Table("names", (("name", "VARCHAR"), ("owner", "BIGINT")), ("name",))
TABLES = (ACCOUNTS, FOLLOWS, NAMES)


def longs(*values):
    return np.array(values, np.int64)


def ints(*values):
    return np.array(values, np.int32)


def accounts(*rows, deletes=()):
    upserts = {}
    if rows:
        ids, levels, names, blobs = zip(*rows, strict=True)
        upserts = {"id": longs(*ids), "level": ints(*levels), "name": list(names), "blob": list(blobs)}
    return TableChange(ACCOUNTS, upserts, {"id": longs(*deletes)} if deletes else {})


def rows_of(checkpoint, table):
    columns = checkpoint.tables[table.name]
    lists = [c.tolist() if isinstance(c, np.ndarray) else c for c in (columns[n] for n in table.column_names)]
    return sorted(zip(*lists, strict=True), key=repr)


def test_a_new_store_is_at_position_zero_with_empty_typed_tables(open_store):
    store = open_store(TABLES)
    checkpoint = store.load()
    assert (checkpoint.position, checkpoint.epoch) == (0, 0)
    assert set(checkpoint.tables) == {"accounts", "follows", "names"}
    assert checkpoint.tables["accounts"]["id"].dtype == np.int64
    assert checkpoint.tables["accounts"]["level"].dtype == np.int32
    assert checkpoint.tables["accounts"]["name"] == []
    store.close()


def test_what_is_written_comes_back_after_reopening_with_types_and_nones(open_store):
    store = open_store(TABLES)
    rows = [(1, -5, "ünï\x00code", b"\x00\xff"), (2**63 - 1, 2**31 - 1, None, None), (-(2**63), 0, "", b"")]
    store.write(7, 2, [accounts(*rows)])
    store.close()
    store = open_store(TABLES)
    checkpoint = store.load()
    assert (checkpoint.position, checkpoint.epoch) == (7, 2)
    assert rows_of(checkpoint, ACCOUNTS) == sorted(rows, key=repr)
    assert checkpoint.tables["accounts"]["id"].dtype == np.int64
    assert checkpoint.tables["accounts"]["level"].dtype == np.int32
    store.close()


def test_an_upsert_replaces_the_row_of_the_same_key(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [accounts((1, 1, "a", b""), (2, 1, "b", b""))])
    store.write(2, 0, [accounts((2, 9, "z", None), (3, 1, "c", b""))])
    assert rows_of(store.load(), ACCOUNTS) == [(1, 1, "a", b""), (2, 9, "z", None), (3, 1, "c", b"")]
    store.close()


def test_deletes_go_before_upserts_and_unknown_keys_are_ignored(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [accounts((1, 1, "a", b""), (2, 1, "b", b""))])
    store.write(2, 0, [accounts((2, 5, "again", b""), deletes=(1, 2, 99))])
    assert rows_of(store.load(), ACCOUNTS) == [(2, 5, "again", b"")]
    store.close()


def test_a_key_of_two_columns_is_compared_as_a_whole(open_store):
    store = open_store(TABLES)
    store.write(
        1, 0, [TableChange(FOLLOWS, {"follower": longs(1, 1, 2), "followee": longs(1, 2, 1), "order": ints(1, 2, 3)})]
    )
    store.write(2, 0, [TableChange(FOLLOWS, {}, {"follower": longs(1, 2), "followee": longs(2, 2)})])
    assert rows_of(store.load(), FOLLOWS) == [(1, 1, 1), (2, 1, 3)]
    store.close()


def test_a_text_key_works(open_store):
    store = open_store(TABLES)
    store.write(1, 0, [TableChange(NAMES, {"name": ["anna", "ben"], "owner": longs(1, 2)})])
    store.write(2, 0, [TableChange(NAMES, {"name": ["ben"], "owner": longs(3)}, {"name": ["anna"]})])
    assert rows_of(store.load(), NAMES) == [("ben", 3)]
    store.close()


def test_several_changes_of_one_table_are_applied_in_order(open_store):
    store = open_store(TABLES)
    store.write(
        1,
        0,
        [accounts((1, 1, "a", b"")), accounts(deletes=(1,)), accounts((1, 2, "b", b"")), accounts((1, 3, "c", b""))],
    )
    assert rows_of(store.load(), ACCOUNTS) == [(1, 3, "c", b"")]
    store.close()


def test_writing_the_same_position_again_changes_nothing(open_store):
    store = open_store(TABLES)
    changes = [accounts((1, 1, "a", b""), deletes=(2,)), accounts((2, 1, "b", b""))]
    store.write(1, 0, changes)
    store.write(1, 0, changes)
    assert rows_of(store.load(), ACCOUNTS) == [(1, 1, "a", b""), (2, 1, "b", b"")]
    store.close()


def test_a_write_without_changes_moves_the_position(open_store):
    store = open_store(TABLES)
    store.write(5, 1, [])
    assert (store.load().position, store.load().epoch) == (5, 1)
    store.close()


def test_a_refused_write_changes_nothing_and_the_store_goes_on(open_store):
    store = open_store(TABLES)
    store.write(5, 3, [accounts((1, 1, "a", b""))])
    other = Table("accounts", (("id", "BIGINT"),), ("id",))
    refused = [
        (FencedError, 6, 2, [accounts((2, 1, "b", b""))]),
        (ValueError, 4, 3, [accounts((2, 1, "b", b""))]),
        (InvalidError, 6, 3, [accounts((2, 1, "b", b"")), TableChange(other, {"id": longs(1)})]),
        (InvalidError, 6, 3, [accounts((2, 1, "b", b"")), accounts((3, 1, "b", b""), (3, 2, "c", b""))]),
        (InvalidError, 6, 3, [accounts((2, 1, "b", b"")), TableChange(ACCOUNTS, {"id": longs(1)})]),
        (InvalidError, 6, 3, [TableChange(NAMES, {"name": ["a", "b"], "owner": longs(1)})]),
        (InvalidError, 6, 3, [TableChange(NAMES, {"name": ["a"], "owner": ints(1)})]),
    ]
    for error, position, epoch, changes in refused:
        with pytest.raises(error):
            store.write(position, epoch, changes)
    checkpoint = store.load()
    assert (checkpoint.position, checkpoint.epoch) == (5, 3)
    assert rows_of(checkpoint, ACCOUNTS) == [(1, 1, "a", b"")]
    store.write(6, 3, [accounts((2, 1, "b", b""))])
    assert len(rows_of(store.load(), ACCOUNTS)) == 2
    store.close()


_keys = st.lists(st.integers(0, 6), unique=True, max_size=5)
_change = st.tuples(_keys, _keys, st.integers(0, 1000))


@pytest.mark.parametrize("backend", STORES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_change, max_size=3), max_size=4))
def test_any_changes_leave_what_a_dict_would_hold(backend, tmp_path_factory, batches):
    store = STORES[backend](tmp_path_factory.mktemp("store"))(TABLES)
    model = {}
    for position, batch in enumerate(batches, 1):
        changes = []
        for deletes, upserts, level in batch:
            rows = [(key, level, str(level), None) for key in upserts]
            changes.append(accounts(*rows, deletes=tuple(deletes)))
            for key in deletes:
                model.pop(key, None)
            model.update({row[0]: row for row in rows})
        store.write(position, 0, changes)
    checkpoint = store.load()
    assert checkpoint.position == len(batches)
    assert rows_of(checkpoint, ACCOUNTS) == sorted(model.values(), key=repr)
    store.close()
