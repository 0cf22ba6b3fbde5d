"""The file of a replica's promises: durable, never half, never forgotten, never trusted when damaged."""

from __future__ import annotations

import os
import shutil

import msgpack
import pytest

from persistence import disk
from persistence.errors import NewerFormatError, ReplicaFileError, StorageError
from persistence.replica_file import TERM_MAX, ReplicaFile

STORE_ID = "0123456789abcdef"


def opened(path, store_id=STORE_ID):
    return ReplicaFile.load_or_create(path, lambda: store_id)


def facts(file):
    return file.store_id, file.promised, file.term


@pytest.fixture
def path(tmp_path):
    return tmp_path / "replica" / "replica.msgpack"


def test_a_new_file_has_the_given_id_and_no_promise(path):
    assert facts(opened(path)) == (STORE_ID, 0, 0)
    assert facts(opened(path, "f" * 16)) == (STORE_ID, 0, 0)


@pytest.mark.parametrize(
    "store_id", ["", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "../../../../etc1"]
)
def test_an_id_of_another_form_is_refused_and_no_file_is_left(path, store_id):
    with pytest.raises(ValueError, match="16 hex digits"):
        opened(path, store_id)
    assert not path.exists()


def test_what_was_saved_is_there_after_opening_again(path):
    file = opened(path)
    file.save(promised=7)
    assert facts(opened(path)) == (STORE_ID, 7, 0)
    file.save(term=7)
    assert facts(file) == facts(opened(path)) == (STORE_ID, 7, 7)
    file.save(promised=TERM_MAX, term=8)
    assert facts(opened(path)) == (STORE_ID, TERM_MAX, 8)


@pytest.mark.parametrize(
    "change", [{"promised": 6}, {"term": 4}, {"promised": 9, "term": 4}, {"promised": TERM_MAX + 1}]
)
def test_neither_fact_goes_back(path, change):
    file = opened(path)
    file.save(promised=7, term=5)
    with pytest.raises(ValueError, match="neither goes back"):
        file.save(**change)
    assert facts(file) == facts(opened(path)) == (STORE_ID, 7, 5)


def test_saving_what_is_there_already_writes_nothing(path):
    file = opened(path)
    file.save(promised=7)
    before = path.stat()
    file.save(promised=7, term=0)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_crash_at_any_step_leaves_the_old_facts_or_the_new(path, tmp_path, monkeypatch):
    file = opened(path)
    file.save(promised=3)
    copies = []
    for name in ("open", "write", "fsync", "rename"):
        monkeypatch.setattr(disk.os, name, copying_before(getattr(os, name), path.parent, tmp_path, copies))
    file.save(promised=4)
    monkeypatch.undo()
    found = [facts(opened(copy / path.name))[1] for copy in copies]
    assert len(found) >= 6
    assert found == sorted(found)
    assert set(found) == {3, 4}


def copying_before(call, folder, target, copies):
    def wrapped(*args):
        copies.append(shutil.copytree(folder, target / f"copy-{len(copies)}"))
        return call(*args)

    return wrapped


def test_a_disk_that_refuses_leaves_the_old_facts(path, monkeypatch):
    file = opened(path)
    monkeypatch.setattr(disk.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        file.save(promised=1)
    monkeypatch.undo()
    assert facts(file) == facts(opened(path)) == (STORE_ID, 0, 0)


def test_a_damaged_file_is_named_with_what_to_do_and_left_alone(path):
    opened(path).save(promised=7, term=5)
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(len(whole))]
    damaged += [
        bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]]) for at in range(len(whole)) for bit in range(8)
    ]
    damaged += [whole + b"\x00", b"\xdd\xff\xff\xff\xff"]
    newer = 0
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(StorageError, match=r"replica\.msgpack: ") as caught:
            opened(path)
        if isinstance(caught.value, NewerFormatError):  # a bit of the version was lost
            newer += 1
        else:
            assert isinstance(caught.value, ReplicaFileError)
            assert "move its whole folder away" in caught.value.message
        assert path.read_bytes() == data
    assert newer <= 6


@pytest.mark.parametrize("rest", [[0, b""], [b"something", {"else": 1}, None]])
def test_a_file_of_a_later_version_is_named_as_such_and_left_alone(path, rest):
    opened(path).save(promised=7, term=5)
    data = msgpack.packb(["rookery-replica", 2, *rest])
    path.write_bytes(data)
    with pytest.raises(
        NewerFormatError, match=r"replica\.msgpack: format version 2, this version reads up to 1; a newer"
    ):
        opened(path)
    assert path.read_bytes() == data
