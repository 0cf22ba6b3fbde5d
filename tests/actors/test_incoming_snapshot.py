"""Pieces of a leader's snapshot that a follower takes in: what it can't read is refused before it gives anything up."""

from __future__ import annotations

import msgpack
import pytest

from actors.core.checkpoints.snapshot import NAMES, TABLES
from actors.core.checkpoints.tables import Table, TableChange
from actors.core.errors import InvalidError
from actors.shard.storage import SnapshotFile
from persistence.snapshot_pieces import pack_piece
from tests.core.harness import Shards


@pytest.fixture
def incoming(tmp_path):
    return SnapshotFile(tmp_path / "snapshot.incoming")


def test_what_a_leader_sends_comes_back_as_it_was(incoming):
    shards = Shards(1)
    shards.register(*(shards.account_on(0, n) for n in range(5)))
    sent = [change for change in shards.replicas[0].seal() if change.upserts]
    for change in sent:
        incoming.write(pack_piece(TableChange(change.table, change.upserts)))
    found = list(incoming.pieces())
    assert [pack_piece(piece) for piece in found] == [pack_piece(TableChange(c.table, c.upserts)) for c in sent]
    assert incoming.bytes_written > 0


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (Table(NAMES.name, NAMES.columns, NAMES.key, 2), "table 'names' of version 2"),
        (Table("later", NAMES.columns, NAMES.key), "unknown table 'later'"),
    ],
    ids=["a later version", "another table"],
)
def test_a_table_of_a_newer_leader_is_refused_by_name_when_it_comes(incoming, table, reason):
    columns = NAMES.empty() | {"username": []}
    with pytest.raises(InvalidError, match=reason):
        incoming.write(pack_piece(TableChange(table, columns)))
    assert incoming.bytes_written == 0
    assert list(incoming.pieces()) == []


def test_what_is_no_piece_is_refused_when_it_comes(incoming):
    for data in (b"", b"\x93", msgpack.packb([TABLES[0].name]), msgpack.packb([TABLES[0].name, -1, []])):
        with pytest.raises(InvalidError):
            incoming.write(data)
    assert list(incoming.pieces()) == []
