"""Folders that only their owner can enter."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from persistence.private import make_private, open_folders


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        assert make_private(tmp_path / "a" / "b") == ""
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o710, 0o701, 0o2770])
def test_a_folder_that_is_open_is_told_of_and_closed(tmp_path, mode):
    folder = tmp_path / "data"
    (folder / "shard-00").mkdir(parents=True)
    folder.chmod(mode)
    (folder / "shard-00").chmod(0o755)
    told = list(open_folders(folder))
    assert len(told) == 2
    assert str(folder) in told[0]
    assert "chmod go= " in told[0]
    assert make_private(folder) == ""
    assert mode_of(folder) & 0o077 == 0
    assert list(open_folders(folder)) == [], "nobody reaches what lies below a closed folder"


def test_a_folder_of_somebody_else_is_told_of_and_used(tmp_path, monkeypatch):
    folder = tmp_path / "volume"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError("not the owner")

    monkeypatch.setattr(Path, "chmod", refuse)
    assert "can't be closed: it belongs to user" in make_private(folder)
