"""Recovery: checkpoint first, then the journal's tail, through the caller's own apply.

Rules of this file
- Generic: it knows neither commands nor tables. `load` gets the rows, `apply` one record at a time.
- Every position from the checkpoint's to the journal's last comes exactly once, or it raises.
- A checkpoint ahead of the journal means that the journal lost acknowledged records: it raises, it doesn't guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.core.checkpoints.tables import Checkpoint
from persistence.errors import FencedError, PositionGapError
from persistence.protocols import CheckpointStore, Journal, TailCut


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What a recovery did, for the log and the operator."""

    checkpoint_position: int
    checkpoint_epoch: int
    checkpoint_rows: int
    records_replayed: int
    position: int  # the state is as of this one
    read_seconds: float
    load_seconds: float
    replay_seconds: float
    tail_cut: TailCut | None

    @property
    def cut_bytes(self) -> int:
        """Return how many bytes of a torn write were cut off the journal's end."""
        return self.tail_cut.cut_bytes if self.tail_cut else 0


def recover(
    store: CheckpointStore,
    journal: Journal,
    load: Callable[[Checkpoint], None],
    apply: Callable[[int, bytes], None],
    clock: Callable[[], float],
    epoch: int | None = None,
) -> RecoveryReport:
    """Bring a state back: load the checkpoint, apply every record behind it.

    clock: seconds, monotonic; epoch: this owner's, refused (FencedError) below the checkpoint's.
    Raises PositionGapError, JournalCorruptError, CheckpointDamagedError, or what load and apply raise; the state is
    then useless, storage is unchanged.
    """
    begin = clock()
    checkpoint = store.load()
    if epoch is not None and epoch < checkpoint.epoch:
        raise FencedError(f"the checkpoint has epoch {checkpoint.epoch}, this owner has epoch {epoch}")
    read = clock()
    records = journal.replay(checkpoint.position)
    rows = sum(len(next(iter(columns.values()))) for columns in checkpoint.tables.values())
    load(checkpoint)
    loaded = clock()
    position = checkpoint.position
    for position_of_record, record in records:
        if position_of_record != position + 1:
            raise PositionGapError(f"the journal gave position {position_of_record} after {position}")
        apply(position_of_record, record)
        position = position_of_record
    if position != journal.durable_position:
        raise PositionGapError(f"the journal's replay ended at {position}, it holds up to {journal.durable_position}")
    return RecoveryReport(
        checkpoint.position,
        checkpoint.epoch,
        rows,
        position - checkpoint.position,
        position,
        read - begin,
        loaded - read,
        clock() - loaded,
        journal.tail_cut,
    )
