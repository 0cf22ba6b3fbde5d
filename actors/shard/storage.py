"""A shard's journal and checkpoint, and the replica recovered from them: what an actor serves, and `check` opens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from actors.core import limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.checkpoints.tables import TableChange
from actors.core.replica import Replica
from actors.shard.places import FIRST_EPOCH, JOURNAL_DIRECTORY, REPLICA_FILE, shard_directory
from cluster.placement.shard_map import even_buckets
from configs.settings import Settings
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from persistence.errors import CheckpointDamagedError, JournalCorruptError, PositionGapError, ReplicaFileError
from persistence.file_journal import FileJournal
from persistence.private import make_private
from persistence.protocols import CheckpointStore, Journal
from persistence.recovery import RecoveryReport, recover
from persistence.replica_file import ReplicaFile
from persistence.snapshot_pieces import table_of_piece, unpack_piece
from persistence.table_versions import PieceUpgrades

if TYPE_CHECKING:
    from actors.shard.redis_storage import SharedFacts


def tuning_of(settings: Settings) -> limits.Tuning:
    """Return the core's bounds as the configuration sets them."""
    return limits.Tuning(
        timeline_length=settings.timeline.length,
        pull_threshold=settings.timeline.pull_threshold,
        dormant_after_days=settings.timeline.dormant_after_days,
        arrivals_max=settings.timeline.arrivals_max,
        pieces_bytes_max=settings.timeline.pieces_mb << 20,
        cards_max=settings.timeline.cards_max,
        accounts_max=settings.limits.accounts_per_shard_max,
        tweets_max=settings.limits.tweets_per_shard_max,
        marks_max=settings.limits.marks_per_shard_max,
        papers_bytes_max=settings.limits.papers_bytes_per_shard_max,
        outbox_messages_max=settings.limits.outbox_messages_max,
        outbox_bytes_max=settings.limits.outbox_bytes_max,
        public_url=settings.server.address,
        media_url=settings.media.public_url,
    )


class Storage:
    """A replica with its journal and checkpoint store, recovered."""

    def __init__(self, settings: Settings, shard: int, index: int = 0) -> None:
        """Open and recover one replica. Raises StorageError that names what is damaged, in use or out of reach."""
        self.directory = shard_directory(settings.storage.data_dir, shard, index)
        make_private(self.directory)
        self._shard = shard
        self.journal: Journal
        self.store: CheckpointStore
        self.replica_file: ReplicaFile | SharedFacts
        self.journal, self.store, self.replica_file, self._release = self._open(settings)
        try:
            self.replica = Replica(shard, list(even_buckets(settings.cluster.shards)), tuning_of(settings))
            self.report: RecoveryReport = recover(
                self.store, self.journal, self.replica.load, self.replica.replay, time.perf_counter, self.journal.epoch
            )
            self.replica.state.deliveries.drain()  # nobody has waited for these yet: readers begin with whole timelines
        except BaseException:
            self.close()
            raise

    def _open(self, settings: Settings) -> Opened:
        if settings.storage.backend != "redis":
            return open_files(self.directory, self._shard)
        from actors.shard.redis_storage import open_redis  # 0.1 s of the processor that nobody else needs to spend

        return open_redis(settings, self._shard)

    def open_incoming(self) -> SnapshotFile:
        """Begin to take a snapshot from the leader."""
        return SnapshotFile(self.directory / "snapshot.incoming")

    def install(self, incoming: SnapshotFile, term: int, position: int) -> None:
        """Replace journal and checkpoint by a snapshot of the leader of a term; the process must end afterwards.

        A crash on the way leaves an older state of this replica, or the new one with an empty journal, and in its file
        that the log belongs to no term: then the leader sends another snapshot.
        """
        assert isinstance(self.replica_file, ReplicaFile), "replicas on a shared server need no snapshots"
        self.replica_file.save(promised=max(term, self.replica_file.promised), term=0)
        self.journal.close()
        journal = self.directory / JOURNAL_DIRECTORY
        for path in sorted(journal.glob("*.seg"), reverse=True):  # the newest first: what stays is a log's beginning
            path.unlink()
        self.store.replace(position, term, incoming.pieces())
        self.store.close()
        FileJournal(journal, self._shard, self.replica_file.promised, position).close()
        self.replica_file.save(term=term)
        incoming.remove()

    def close(self) -> None:
        """Release the files, or the connections."""
        try:
            self.journal.close()
        finally:
            self.store.close()
            self._release()


def open_storage(settings: Settings, shard: int, index: int) -> Storage:
    """Open a replica for serving. Damaged files are put aside if other replicas can fill it anew.

    Raises StorageError as `Storage` does. What is put aside stays in `damaged-N`; the replica comes back empty, with
    another store id, so that no election takes it for the one that it was.
    """
    try:
        return Storage(settings, shard, index)
    except (JournalCorruptError, CheckpointDamagedError, PositionGapError, ReplicaFileError) as error:
        if settings.cluster.replicas == 1 or settings.storage.backend == "redis":
            raise
        directory = shard_directory(settings.storage.data_dir, shard, index)
        number = 1 + len(list(directory.glob("damaged-*")))
        aside = directory / f"damaged-{number}"
        aside.mkdir()
        for name in (REPLICA_FILE, JOURNAL_DIRECTORY, "checkpoint.duckdb", "checkpoint.duckdb.wal"):
            if (directory / name).exists():
                (directory / name).rename(aside / name)
        structlog.get_logger().critical(
            "damaged files were put aside; the other replicas fill this one anew", folder=str(aside), reason=str(error)
        )
        return Storage(settings, shard, index)


class SnapshotFile:
    """Pieces of a snapshot on their way in, in a file: length, piece, length, piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._tables = {table.name: table for table in TABLES}
        self._upgrades = PieceUpgrades(TABLES, "a snapshot of the leader's")
        self.bytes_written = 0

    def write(self, piece: bytes) -> None:
        """Add one packed piece. Raises InvalidError, CheckpointMismatchError for a table that a newer version has.

        Refused here, as `install` has dropped the journal by the time that it reads the pieces.
        """
        self._upgrades.require(table_of_piece(self._tables, piece))
        self._file.write(len(piece).to_bytes(4, "little") + piece)
        self.bytes_written += len(piece)

    def pieces(self) -> Iterator[TableChange]:
        """Yield what was written, unpacked, as rows of this version's tables."""
        self._file.close()
        with self._path.open("rb") as file:
            while head := file.read(4):
                yield self._upgrades.carry(unpack_piece(self._tables, file.read(int.from_bytes(head, "little"))))

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()


Opened = tuple[Journal, CheckpointStore, "ReplicaFile | SharedFacts", Callable[[], None]]
"""A journal, a store, the replica's facts, and what to call when all are closed."""


def open_files(directory: Path, shard: int) -> Opened:
    """Open a replica's files."""
    facts = ReplicaFile.load_or_create(directory / REPLICA_FILE, lambda: secrets.token_hex(8))
    store = DuckDBCheckpointStore(directory / "checkpoint.duckdb", shard, TABLES)
    try:
        # Killed while a snapshot replaced it: the journal may be gone.
        after = store.load().position if facts.promised > 0 and facts.term == 0 else 0
        journal = FileJournal(directory / JOURNAL_DIRECTORY, shard, max(facts.promised, FIRST_EPOCH), after)
    except BaseException:
        store.close()
        raise
    return journal, store, facts, lambda: None
