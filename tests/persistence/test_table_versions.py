"""Tables of an older or newer version: what every store and every backup does with them, whatever it is made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.core.checkpoints.snapshot import TABLES
from actors.core.checkpoints.tables import Columns, Table, TableChange
from actors.core.checkpoints.upgrades import LAYOUTS, UPGRADES, Upgrade
from actors.core.errors import InvalidError
from persistence.errors import CheckpointFailedError, CheckpointMismatchError
from persistence.redis_checkpoint import RedisCheckpointStore
from persistence.table_versions import Upgrades, plan_tables, tables_of_format_1, tables_of_json, tables_to_json
from tests.persistence.backends import STORES
from tests.persistence.redis_processes import shared_redis
from tests.persistence.test_store_contract import ints, longs, rows_of

REPOSITORY = Path(__file__).parents[2]
OLD = Table("things", (("id", "BIGINT"), ("name", "VARCHAR"), ("size", "INTEGER")), ("id",))
WIDER = Table("things", (*OLD.columns, ("half", "BIGINT")), ("id",), 2)
NEWEST = Table("things", (("id", "BIGINT"), ("label", "BLOB"), ("half", "BIGINT")), ("id", "half"), 3)
OTHER = Table("others", (("a", "BIGINT"), ("b", "BIGINT")), ("a", "b"))
NEW = Table("kept_docs", (("owner", "BIGINT"), ("doc", "BLOB")), ("owner",))


def widened(rows: Columns) -> Columns:
    return {**rows, "half": rows["size"].astype(np.int64) // 2}


def renamed(rows: Columns) -> Columns:
    labels = [None if name is None else name.encode() for name in rows["name"]]
    return {"id": rows["id"], "label": labels, "half": rows["half"]}


STEPS = {("things", 1): widened, ("things", 2): renamed}
ROWS = [(1, "one", 10), (2, None, 21), (3, "ünï", -4), (-(2**63), "", 2**31 - 1)]
CARRIED = [(i, None if name is None else name.encode(), size // 2) for i, name, size in ROWS]


def things(*rows: tuple[Any, ...], deletes: tuple[int, ...] = ()) -> TableChange:
    ids, names, sizes = zip(*rows, strict=True) if rows else ((), (), ())
    upserts = {"id": longs(*ids), "name": list(names), "size": ints(*sizes)} if rows else {}
    return TableChange(OLD, upserts, {"id": longs(*deletes)} if deletes else {})


def others(*rows: tuple[int, int]) -> TableChange:
    return TableChange(OTHER, {"a": longs(*(a for a, _ in rows)), "b": longs(*(b for _, b in rows))})


def fill_as_before(open_store: Any) -> None:
    """Leave rows as the version before would, some of them changed and deleted since."""
    store = open_store([OLD, OTHER])
    store.write(3, 2, [things(*ROWS, (5, "gone", 1)), others((1, 2), (3, 4))])
    store.write(4, 2, [things((2, "old", 0), deletes=(5,))])
    store.write(5, 2, [things(ROWS[1])])
    store.close()


@pytest.fixture
def old(open_store):
    """A way to open a store in which the version before has left rows."""
    fill_as_before(open_store)
    return open_store


def untouched(open_store) -> bool:
    """Whether the version before still finds all that it has left."""
    store = open_store([OLD, OTHER])
    checkpoint = store.load()
    store.close()
    return (
        (checkpoint.position, checkpoint.epoch) == (5, 2)
        and rows_of(checkpoint, OLD) == sorted(ROWS, key=repr)
        and rows_of(checkpoint, OTHER) == [(1, 2), (3, 4)]
    )


# ---- what a later version finds -----------------------------------------------------------------------------------


def test_a_table_that_a_store_lacks_is_made_empty_and_takes_rows(old):
    store = old([OLD, OTHER, NEW])
    checkpoint = store.load()
    assert checkpoint.tables["kept_docs"]["doc"] == []
    assert checkpoint.tables["kept_docs"]["owner"].dtype == np.int64
    assert rows_of(checkpoint, OLD) == sorted(ROWS, key=repr)
    store.write(6, 2, [TableChange(NEW, {"owner": longs(7), "doc": [b"x"]})])
    store.close()
    store = old([NEW, OTHER, OLD])
    assert rows_of(store.load(), NEW) == [(7, b"x")]
    assert store.load().position == 6
    store.close()


def test_rows_go_through_every_step_to_the_declared_version_once(old):
    for _ in range(2):
        store = old([NEWEST, OTHER], STEPS)
        checkpoint = store.load()
        assert (checkpoint.position, checkpoint.epoch) == (5, 2)
        assert rows_of(checkpoint, NEWEST) == sorted(CARRIED, key=repr)
        assert rows_of(checkpoint, OTHER) == [(1, 2), (3, 4)]
        store.close()


def test_an_upgraded_store_goes_on_as_one_of_its_version(old):
    store = old([WIDER, OTHER, NEW], STEPS)
    upserts = {"id": longs(2, 9), "name": ["two", "nine"], "size": ints(1, 2), "half": longs(0, 1)}
    store.write(6, 2, [TableChange(WIDER, upserts, {"id": longs(1)})])
    expected = [(2, "two", 1, 0), (9, "nine", 2, 1), (3, "ünï", -4, -2), (-(2**63), "", 2**31 - 1, 2**30 - 1)]
    for _ in range(2):
        assert rows_of(store.load(), WIDER) == sorted(expected, key=repr)
        with store.read_pieces(2) as reader:
            assert sum(piece.upsert_count for piece in reader) == len(expected) + 2
        store.close()
        store = old([WIDER, OTHER, NEW], STEPS)
    store.close()
    store = old([NEWEST, OTHER, NEW], STEPS)
    assert rows_of(store.load(), NEWEST) == sorted(((i, n.encode(), h) for i, n, _, h in expected), key=repr)
    store.close()


def test_a_step_may_leave_rows_out(old):
    store = old([WIDER, OTHER], {("things", 1): lambda rows: {n: v[:0] for n, v in widened(rows).items()}})
    assert rows_of(store.load(), WIDER) == []
    assert rows_of(store.load(), OTHER) == [(1, 2), (3, 4)]
    store.close()


def test_a_step_is_not_asked_about_a_table_without_rows(open_store):
    open_store([OLD]).close()
    store = open_store([WIDER], {("things", 1): lambda rows: pytest.fail("there was nothing to bring up")})
    assert rows_of(store.load(), WIDER) == []
    store.close()


# ---- what is refused ----------------------------------------------------------------------------------------------


def test_a_table_that_this_version_does_not_know_is_refused_by_name(old):
    with pytest.raises(
        CheckpointMismatchError, match=r"table 'others' of version 1 is unknown.* a newer Rookery wrote it"
    ):
        old([OLD])
    assert untouched(old)


def test_a_table_of_a_higher_version_is_refused_by_name(old):
    old([WIDER, OTHER], STEPS).close()
    with pytest.raises(
        CheckpointMismatchError, match="table 'things' of version 2, this version reads up to 1; a newer"
    ):
        old([OLD, OTHER])
    store = old([WIDER, OTHER], STEPS)
    assert len(rows_of(store.load(), WIDER)) == len(ROWS)
    store.close()


def test_a_step_that_is_missing_is_named(old):
    with pytest.raises(CheckpointMismatchError, match=r"table 'things' of version 1 .*lacks the step from 2 to 3"):
        old([NEWEST, OTHER], {("things", 1): widened})
    assert untouched(old)


@pytest.mark.parametrize(
    "other",
    [
        Table("things", (*OLD.columns, ("more", "BLOB")), ("id",)),
        Table("things", OLD.columns, ("id", "size")),
        Table("things", (("id", "BIGINT"), ("name", "BLOB"), ("size", "INTEGER")), ("id",)),
    ],
    ids=["another column", "another key", "another type"],
)
def test_the_same_version_with_other_columns_is_refused(old, other):
    with pytest.raises(CheckpointMismatchError, match=r"table 'things' of version 1 has the columns .*name VARCHAR"):
        old([other, OTHER], STEPS)
    assert untouched(old)


def test_whoever_is_refused_leaves_the_owner_alone(open_store):
    store = open_store([OLD, OTHER])
    store.write(1, 1, [things((1, "one", 1))])
    with pytest.raises(Exception, match=r"table 'others'|open"):  # DuckDB doesn't open a file twice
        open_store([OLD])
    store.write(2, 1, [things((2, "two", 2))])
    assert len(rows_of(store.load(), OLD)) == 2
    store.close()


# ---- what fails on the way ----------------------------------------------------------------------------------------


class Crash(BaseException):
    """Not an error that anybody handles: the process ends here."""


LATER = Table("others", OTHER.columns, OTHER.key, 2)


def crashing_at(call: int, crash: Callable[[], Any]) -> Upgrades:
    """Return the steps to LATER and NEWEST, of which the call-th is the last."""
    calls = iter(range(1, 1_000))

    def counted(step: Upgrade) -> Upgrade:
        return lambda rows: crash() if next(calls) == call else step(rows)

    return {name: counted(step) for name, step in {("others", 1): dict, **STEPS}.items()}


def raise_crash() -> None:
    raise Crash


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_crash_in_the_middle_leaves_the_old_store_whole(old, call):
    with pytest.raises(Crash):
        old([LATER, NEWEST, NEW], crashing_at(call, raise_crash))
    assert untouched(old)
    require_upgraded(old)


def require_upgraded(open_store: Any) -> None:
    store = open_store([LATER, NEWEST, NEW], crashing_at(0, raise_crash))
    assert rows_of(store.load(), NEWEST) == sorted(CARRIED, key=repr)
    assert rows_of(store.load(), LATER) == [(1, 2), (3, 4)]
    assert rows_of(store.load(), NEW) == []
    store.close()


KILLED = """
import os, sys
from tests.persistence.test_table_versions import LATER, NEW, NEWEST, crashing_at
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.redis_checkpoint import RedisCheckpointStore
from persistence.redis_server import RedisServer
place, *more = sys.argv[1:]
upgrades = crashing_at(3, lambda: os._exit(9))
if more:
    RedisCheckpointStore(RedisServer(place), more[0], 0, [LATER, NEWEST, NEW], upgrades=upgrades)
else:
    DuckDBCheckpointStore(place, 0, [LATER, NEWEST, NEW], upgrades=upgrades)
"""


def killed_in_the_middle(*place: str) -> None:
    """Let another process begin the upgrade and end in the middle of it, as `kill -9` would end it."""
    command = [sys.executable, "-c", KILLED, *place]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120, check=False)
    assert done.returncode == 9, done.stderr.decode()


def test_a_process_that_is_killed_in_the_middle_leaves_the_old_file_whole(tmp_path):
    open_store = STORES["duckdb"](tmp_path)
    fill_as_before(open_store)
    killed_in_the_middle(str(tmp_path / "shard.duckdb"))
    assert untouched(open_store)
    killed_in_the_middle(str(tmp_path / "shard.duckdb"))
    require_upgraded(open_store)


def test_a_process_that_is_killed_in_the_middle_leaves_the_old_keys_whole_and_nothing_else(shared):
    server, namespace = shared

    def open_store(tables: Sequence[Table], upgrades: Upgrades = UPGRADES) -> RedisCheckpointStore:
        return RedisCheckpointStore(server, namespace, 0, tables, upgrades=upgrades)

    def keys() -> set[bytes]:
        return set(server.client.scan_iter(match=f"*{namespace}*", count=1_000))

    fill_as_before(open_store)
    before = keys()
    killed_in_the_middle(shared_redis().url, namespace)
    assert keys() > before
    assert untouched(open_store)
    assert keys() == before
    killed_in_the_middle(shared_redis().url, namespace)
    require_upgraded(open_store)
    assert len(keys()) == 1 + 1 + 2  # the manifest, one chunk of what was one, the base of two or three newest first


@pytest.mark.parametrize(
    "step",
    [
        lambda rows: dict(rows),
        lambda rows: {**rows, "half": rows["size"]},
        lambda rows: {**rows, "half": [1]},
        lambda rows: {**rows, "half": longs(1, 2, 3, 4, 5, 6, 7)},
        lambda rows: {**rows, "half": rows["no such column"]},
        lambda rows: None,
    ],
    ids=["a column less", "another type", "a list", "another length", "an error of its own", "nothing"],
)
def test_a_step_that_makes_no_such_rows_is_named_and_nothing_changes(old, step):
    with pytest.raises(CheckpointFailedError, match="table 'things' can't be brought from version 1 to 2"):
        old([WIDER, OTHER], {("things", 1): step})
    assert untouched(old)


@pytest.mark.parametrize("value", [7, "text", None], ids=["a number", "a text", "None in a key"])
def test_values_that_the_table_cannot_hold_are_named_and_nothing_changes(old, value):
    table = Table("things", (("id", "BIGINT"), ("label", "BLOB")), ("id", "label"), 2)
    steps = {("things", 1): lambda rows: {"id": rows["id"], "label": [value] * len(rows["id"])}}
    with pytest.raises(CheckpointFailedError, match=r"column label is BLOB, a value is (int|str|NoneType)"):
        old([table, OTHER], steps)
    assert untouched(old)


# ---- what is written down -----------------------------------------------------------------------------------------


def test_tables_are_the_same_after_writing_them_down():
    tables = [NEWEST, OTHER, NEW, *TABLES]
    assert sorted(tables_of_json(tables_to_json(tables)), key=str) == sorted(tables, key=str)
    assert tables_to_json(tables) == tables_to_json(tables[::-1])


def test_both_texts_of_format_1_are_read():
    in_duckdb = (
        'others("a" BIGINT NOT NULL, "b" BIGINT NOT NULL; key a, b)\n'
        'things("id" BIGINT NOT NULL, "name" VARCHAR, "size" INTEGER NOT NULL; key id)'
    )
    in_redis = "others(a BIGINT, b BIGINT; key a, b)\nthings(id BIGINT, name VARCHAR, size INTEGER; key id)"
    assert tables_of_format_1(in_duckdb) == tables_of_format_1(in_redis) == [OTHER, OLD]
    for damaged in (
        "others",
        "others(a BIGINT)",
        "others(a; key a)",
        "others(a BIGINT; key b)",
        "others(a BIT; key a)",
    ):
        with pytest.raises((ValueError, InvalidError), match=r"others|BIT|key"):
            tables_of_format_1(damaged)


def test_every_upgrade_has_its_layout_and_leads_to_what_is_declared():
    assert set(UPGRADES) == set(LAYOUTS)
    for (name, version), layout in LAYOUTS.items():
        assert (layout.name, layout.version) == (name, version)
    for table in TABLES:
        before = [LAYOUTS[table.name, version] for version in range(1, table.version)]
        for layout in before:
            plan_tables([layout], [table], "here")
