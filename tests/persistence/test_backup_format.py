"""A backup's files: what is written is what comes back from every backend, and whatever is damaged is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.checkpoints.tables import Columns, Table, TableChange
from actors.core.errors import InvalidError
from persistence.backup_format import (
    MANIFEST_NAME,
    PART_BYTES,
    SUM_NAME,
    BackupError,
    BackupWriter,
    ItemStream,
    Manifest,
    ShardFacts,
    load_manifest,
    read_items,
    verify,
)
from persistence.backup_shard import BackupTables, ShardReader, checkpoint_of, describe, records_of, write_shard
from persistence.memory import MemoryCheckpointStore, MemoryDisk, MemoryJournal
from persistence.snapshot_pieces import pack_piece

THINGS = Table("things", (("id", "BIGINT"), ("size", "INTEGER"), ("data", "BLOB"), ("name", "VARCHAR")), ("id",))
TABLES = (THINGS, Table("empty", (("id", "BIGINT"),), ("id",)))
READ = BackupTables("a backup", describe(TABLES), TABLES)
CHECKPOINT, CUT = 5, 9


def things(count: int) -> TableChange:
    return TableChange(
        THINGS,
        {
            "id": np.arange(count, dtype=np.int64),
            "size": np.arange(count, dtype=np.int32),
            "data": [None if n % 7 == 3 else b"x" * n for n in range(count)],
            "name": [f"thing {n}" for n in range(count)],
        },
    )


def fill(store, journal, rows: int = 100) -> list[bytes]:
    """Write CHECKPOINT records that a checkpoint covers, and some more up to behind the CUT; return all."""
    records = [f"record {n}".encode() * n for n in range(1, CUT + 3)]
    for record in records:
        journal.append(record)
    journal.flush()
    store.write(CHECKPOINT, 0, [things(rows)])
    return records


def parts(part_at: Callable[[int], bytes]) -> bytes:
    found = b""
    while part := part_at(len(found)):
        assert len(part) <= PART_BYTES
        found += part
    return found


def back_up(directory: Path, store, journal) -> Manifest:
    reader = ShardReader(store, journal)
    with BackupWriter(directory) as writer:
        files = []
        for name, data in (
            ("shard-00.rows", parts(reader.rows)),
            ("shard-00.journal", parts(lambda offset: reader.records(offset, CUT))),
        ):
            file = writer.create(name)
            file.write(data)
            files.append(file.close())
        facts = ShardFacts(0, reader.position, CUT, *files)
        manifest = Manifest(
            cluster="test", cluster_id="0" * 16, software="1", source="serving", begun_at="", cut_at="",
            timeline_length=800, tables=describe(TABLES), map_epoch=3, buckets=(0,) * 1024, shards=(facts,),
        )  # fmt: skip
        writer.finish(manifest)
    reader.close()
    return manifest


def memory() -> tuple[MemoryCheckpointStore, MemoryJournal]:
    return MemoryCheckpointStore(TABLES), MemoryJournal(MemoryDisk(), 0, 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A backup as it should be."""
    directory = tmp_path_factory.mktemp("backups") / "whole"
    store, journal = memory()
    fill(store, journal)
    back_up(directory, store, journal)
    return directory


def rows_of(checkpoint) -> dict[int, tuple]:
    columns = checkpoint.tables["things"]
    return {int(n): (int(s), d, t) for n, s, d, t in zip(*(columns[c] for c in THINGS.column_names), strict=True)}


# ---- there and back -----------------------------------------------------------------------------------------------


def test_every_backend_is_backed_up_as_of_its_checkpoint_and_the_cut(open_store, open_journal, tmp_path):
    store, journal = open_store(TABLES), open_journal()
    records = fill(store, journal)
    back_up(tmp_path / "backup", store, journal)
    manifest = load_manifest(tmp_path / "backup")
    verify(tmp_path / "backup", manifest, lambda count: None)
    [facts] = manifest.shards
    assert rows_of(checkpoint_of(tmp_path / "backup", facts, READ)) == rows_of(store.load())
    expected = list(enumerate(records[CHECKPOINT:CUT], CHECKPOINT + 1))
    assert list(records_of(tmp_path / "backup", facts)) == expected
    journal.close()
    store.close()


def test_every_backend_is_filled_from_a_backup_and_opens_with_it_again(open_store, open_journal, whole):
    manifest, done = load_manifest(whole), []
    store, journal = open_store(TABLES), open_journal(1)
    write_shard(store, journal, whole, manifest.shards[0], READ, done.append)
    assert sum(done) == manifest.size
    journal.close()
    store.close()
    store, journal = open_store(TABLES), open_journal(1)
    loaded, expected = store.load(), checkpoint_of(whole, manifest.shards[0], READ)
    assert (loaded.position, rows_of(loaded)) == (CHECKPOINT, rows_of(expected))
    assert list(journal.replay(CHECKPOINT)) == list(records_of(whole, manifest.shards[0]))
    assert (journal.durable_position, journal.first_position) == (CUT, CHECKPOINT + 1)
    journal.close()
    store.close()


def test_a_cut_at_the_checkpoint_has_no_records():
    store, journal = memory()
    fill(store, journal)
    assert ShardReader(store, journal).records(0, CHECKPOINT) == b""


def test_a_cut_that_is_not_durable_is_refused():
    store, journal = memory()
    fill(store, journal)
    with pytest.raises(ValueError, match="durable is only"):
        ShardReader(store, journal).records(0, 99)


def test_what_is_written_after_the_opening_is_not_in_the_rows():
    store, journal = memory()
    fill(store, journal, rows=3)
    reader = ShardReader(store, journal)
    store.write(CUT, 0, [things(50)])
    assert reader.position == CHECKPOINT
    assert b"thing 3" not in parts(reader.rows)


# ---- streams ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3 * PART_BYTES), max_size=6), st.data())
def test_a_stream_gives_bounded_parts_and_the_last_one_again(sizes, data):
    items = [bytes([n]) * size for n, size in enumerate(sizes)]
    stream, found = ItemStream(iter(items)), b""
    while part := stream.part(len(found)):
        assert 0 < len(part) <= PART_BYTES
        if data.draw(st.booleans()):
            assert stream.part(len(found)) == part
        found += part
    assert found == b"".join(len(item).to_bytes(4, "little") + item for item in items)


def test_a_reader_that_lost_more_than_a_part_is_refused():
    stream = ItemStream(iter([b"x" * PART_BYTES * 3]))
    stream.part(0)
    stream.part(PART_BYTES)
    with pytest.raises(ValueError, match="not at 0"):
        stream.part(0)


@pytest.mark.parametrize("data", [b"\x01\x00", b"\x05\x00\x00\x00abc", b"\xff\xff\xff\xff"])
def test_a_file_that_ends_within_an_item_is_refused(data, tmp_path):
    path = tmp_path / "shard-00.rows"
    path.write_bytes(data)
    with pytest.raises(BackupError, match=r"shard-00\.rows"):
        list(read_items(path))


# ---- damage -------------------------------------------------------------------------------------------------------


@given(st.data())
def test_any_damage_is_refused_by_an_error_that_names_the_file(whole, tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("damaged") / "backup"
    shutil.copytree(whole, directory)
    name = data.draw(st.sampled_from(sorted(path.name for path in directory.iterdir())))
    path = directory / name
    content = path.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "more", "gone", "folder"]))
    if kind == "flip":
        at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    elif kind == "cut":
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    elif kind == "more":
        path.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    with pytest.raises(BackupError) as caught:
        verify(directory, load_manifest(directory), lambda count: None)
    assert str(path) in caught.value.message


def rewrite_manifest(directory: Path, change: Callable[[dict], None]) -> None:
    """Change a manifest as somebody would who also mends its checksum."""
    values = json.loads((directory / MANIFEST_NAME).read_bytes())
    change(values)
    data = json.dumps(values).encode()
    (directory / MANIFEST_NAME).write_bytes(data)
    (directory / SUM_NAME).write_text(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST_NAME}\n")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v.update(version=3), "version 3, this program reads 'rookery-backup' up to version 2"),
        (lambda v: v.pop("shards"), "shards"),
        (lambda v: v.update(shards=[]), "not 0 to the last"),
        (lambda v: v["shards"][0].update(cut_position=1), "a cut at 1"),
        (lambda v: v["shards"][0]["rows"].update(name="../elsewhere"), "no file's name"),
        (lambda v: v.update(surprise=1), "surprise"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(whole, tmp_path, change, reason):
    directory = tmp_path / "backup"
    shutil.copytree(whole, directory)
    rewrite_manifest(directory, change)
    with pytest.raises(BackupError, match=reason):
        load_manifest(directory)


def test_records_that_end_before_the_cut_are_refused(whole, tmp_path):
    directory = tmp_path / "backup"
    shutil.copytree(whole, directory)
    rewrite_manifest(directory, lambda v: v["shards"][0].update(cut_position=CUT + 1))
    store, journal = memory()
    with pytest.raises(BackupError, match=r"shard-00\.journal"):
        write_shard(store, journal, directory, load_manifest(directory).shards[0], READ, lambda count: None)


def test_rows_that_are_no_pieces_are_refused_by_name(whole, tmp_path):
    directory = tmp_path / "backup"
    shutil.copytree(whole, directory)
    (directory / "shard-00.rows").write_bytes(b"\x01\x00\x00\x00\xc1")
    store, journal = memory()
    with pytest.raises(BackupError, match=r"shard-00\.rows"):
        write_shard(store, journal, directory, load_manifest(directory).shards[0], READ, lambda count: None)


# ---- the folder -----------------------------------------------------------------------------------------------------


def test_a_backup_that_is_interrupted_leaves_nothing(tmp_path):
    def interrupted() -> None:
        with BackupWriter(tmp_path / "b") as writer:
            writer.create("shard-00.rows").write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_backup_left_is_replaced(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "b.partial")
    store, journal = memory()
    fill(store, journal)
    back_up(tmp_path / "b", store, journal)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    verify(tmp_path / "b", load_manifest(tmp_path / "b"), lambda count: None)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").touch()
    with pytest.raises(BackupError, match="not an empty folder"), BackupWriter(tmp_path / "b"):
        pass
    (tmp_path / "c.partial").mkdir()
    (tmp_path / "c.partial" / "mine").touch()
    with pytest.raises(BackupError, match="holds mine"), BackupWriter(tmp_path / "c"):
        pass
    assert (tmp_path / "b" / "mine").exists()
    assert (tmp_path / "c.partial" / "mine").exists()


def test_two_backups_to_one_place_at_once_are_refused(tmp_path):
    with (
        BackupWriter(tmp_path / "b"),
        pytest.raises(BackupError, match="another backup"),
        BackupWriter(tmp_path / "b"),
    ):
        pass


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    with BackupWriter(tmp_path / "b") as writer, open("/dev/full", "wb", buffering=0) as full:
        file = writer.create("shard-00.rows")
        monkeypatch.setattr(file, "_file", full)
        with pytest.raises(BackupError, match=r"shard-00\.rows.*no room"):
            file.write(b"x")


# ---- tables of other versions -------------------------------------------------------------------------------------

WIDER = Table("things", (*THINGS.columns, ("more", "BIGINT")), THINGS.key, 2)


def widened(rows: Columns) -> Columns:
    return {**rows, "more": rows["id"] + 1}


def test_a_manifest_of_version_1_says_the_same_of_its_tables(whole, tmp_path):
    directory = shutil.copytree(whole, tmp_path / "old")

    def as_version_1(values: dict) -> None:
        values["version"] = 1
        values["tables"] = {
            t.name: [*(f"{c} {kind}" for c, kind in t.columns), f"key {' '.join(t.key)}"] for t in TABLES
        }

    rewrite_manifest(directory, as_version_1)
    manifest = load_manifest(directory)
    read = BackupTables("here", manifest.tables, TABLES)
    found = checkpoint_of(directory, manifest.shards[0], read)
    assert rows_of(found) == rows_of(checkpoint_of(whole, load_manifest(whole).shards[0], READ))


def test_rows_of_an_older_table_are_restored_as_rows_of_this_versions(whole):
    [facts] = load_manifest(whole).shards
    read = BackupTables("here", describe(TABLES), (WIDER, TABLES[1]), {("things", 1): widened})
    found, before = checkpoint_of(whole, facts, read), checkpoint_of(whole, facts, READ)
    assert rows_of(found) == rows_of(before)
    assert (found.tables["things"]["more"] == found.tables["things"]["id"] + 1).all()
    store, journal = MemoryCheckpointStore((WIDER, TABLES[1])), MemoryJournal(MemoryDisk(), 0, 0)
    write_shard(store, journal, whole, facts, read, lambda count: None)
    assert rows_of(store.load()) == rows_of(before)
    assert len(store.load().tables["things"]["more"]) == len(rows_of(before))


def test_a_backup_that_two_versions_wrote_together_is_read_piece_by_piece():
    """As one of a cluster is, while it rolls to a version with another table."""
    read = BackupTables("here", describe([WIDER]), [WIDER], {("things", 1): widened})
    old = things(1)
    new = TableChange(WIDER, {**old.upserts, "more": np.array([7], np.int64)})
    with pytest.raises(InvalidError, match="version 1, which this version doesn't know"):
        read.piece(pack_piece(old))  # nothing says what it was: LAYOUTS would
    assert read.piece(pack_piece(new)).upserts["more"].tolist() == [7]
    read = BackupTables("here", describe([THINGS]), [WIDER], {("things", 1): widened})
    assert read.piece(pack_piece(old)).upserts["more"].tolist() == [1]
    assert read.piece(pack_piece(new)).upserts["more"].tolist() == [7]


@pytest.mark.parametrize(
    ("described", "reason"),
    [
        (describe([*TABLES, Table("later", (("id", "BIGINT"),), ("id",))]), "table 'later' of version 1 is unknown"),
        (describe([WIDER, TABLES[1]]), "table 'things' of version 2, this version reads up to 1"),
        ({"things": ["id BIGINT", "key id"]}, "table 'things' of version 1 has the columns"),
        ({"things": ["id", "key id"]}, "can't be read"),
        ({"things": []}, "can't be read"),
        ([{"name": "things"}], "can't be read"),
        (7, "can't be read"),
    ],
)
def test_tables_that_this_version_cannot_read_are_refused_by_name(described, reason):
    with pytest.raises(BackupError, match=f"^here: .*{reason}"):
        BackupTables("here", described, TABLES)
