"""The checkpointer: folds sealed batches into the store in the background, then lets the journal's segments go.

Rules of this file
- In order, exactly the batches that were accepted. A batch leaves the queue only when its write has returned; the
  journal is trimmed only after that. So at every instant checkpoint + journal hold everything.
- A failed write is tried again, for ever, with a growing pause; it is counted and reported. Meanwhile the queue fills
  and `submit` says no: the shard keeps its segment and merges its changes into the next batch.
- Waiting batches are written in one transaction, as the concatenation of their changes under the last position: the
  store applies changes in order, so that is the same state with one commit instead of several.

It never touches the shard's state: a batch owns its arrays from `submit` on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.core.checkpoints.tables import TableChange
from persistence.protocols import CheckpointStore, Journal

QUEUE_BATCHES_MAX = 4  # batches: each holds up to a segment's changed rows in memory
MERGE_ROWS_MAX = 500_000  # rows in one transaction: about 50 MB of Arrow beside DuckDB's own memory limit
RETRY_SECONDS_MIN = 0.1  # s before the first retry: a lock or a full disk that goes away by itself
RETRY_SECONDS_MAX = 30.0  # s between retries at most: an operator who frees the disk doesn't wait long


@dataclass(frozen=True, slots=True)
class _Batch:
    position: int
    epoch: int
    changes: tuple[TableChange, ...]
    submitted_at: float

    @property
    def row_count(self) -> int:
        return sum(change.upsert_count + change.delete_count for change in self.changes)


@dataclass(frozen=True, slots=True)
class CheckpointerStats:
    """How far the checkpoint is behind, and how it fares."""

    written_position: int
    lag_positions: int  # accepted or not: the journal's durable position less the checkpoint's
    lag_seconds: float  # age of the oldest batch not written yet; 0 when there is none
    queued_batches: int
    write_count: int
    rows_written: int
    last_write_seconds: float
    failure_count: int
    last_error: str | None  # of the newest try; None when it went well


class Checkpointer:
    """Writes accepted batches to a store on its own thread.

    written_position: what the store holds already. on_error(error): a write or trim failed; it goes on by itself.
    clock: seconds, monotonic.
    """

    def __init__(
        self,
        store: CheckpointStore,
        journal: Journal,
        written_position: int,
        on_error: Callable[[Exception], None] | None = None,
        queue_batches_max: int = QUEUE_BATCHES_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._journal, self._clock = store, journal, clock
        self._on_error = on_error
        self._queue_batches_max = queue_batches_max
        self._queue: deque[_Batch] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._written = self._accepted = written_position
        self._writes = self._rows = self._failures = 0
        self._last_write_seconds = 0.0
        self._last_error: str | None = None
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
        self._thread.start()

    def submit(self, position: int, epoch: int, changes: Sequence[TableChange]) -> bool:
        """Accept the changes that lead from the last accepted position to this one; False if the queue is full.

        position: durable in the journal, above the last accepted one (ValueError otherwise). The arrays belong to the
        checkpointer if True is returned, and stay the caller's if not. Never blocks on I/O.
        """
        with self._changed:
            if position <= self._accepted:
                raise ValueError(f"batch at position {position}, but {self._accepted} was accepted already")
            if self._closing or len(self._queue) >= self._queue_batches_max:
                return False
            self._queue.append(_Batch(position, epoch, tuple(changes), self._clock()))
            self._accepted = position
            self._changed.notify_all()
            return True

    def wait_idle(self, timeout_s: float) -> bool:
        """Block until everything accepted is written (True) or the time is over (False)."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout_s)

    def close(self) -> int:
        """End the thread once the queue is written, or once a write fails; return the batches left unwritten.

        Nothing is lost by those: the journal still holds their records. Idempotent.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        return len(self._queue)

    def stats(self) -> CheckpointerStats:
        """Return lag and counts. O(1)."""
        with self._changed:
            age = self._clock() - self._queue[0].submitted_at if self._queue else 0.0
            return CheckpointerStats(
                self._written,
                self._journal.durable_position - self._written,
                age,
                len(self._queue),
                self._writes,
                self._rows,
                self._last_write_seconds,
                self._failures,
                self._last_error,
            )

    def _run(self) -> None:
        pause = RETRY_SECONDS_MIN
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                batches = self._oldest_batches()
            if self._write(batches):
                pause = RETRY_SECONDS_MIN
                continue
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, pause):
                    return
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    def _oldest_batches(self) -> list[_Batch]:
        """Return the oldest batch, and those after it that fit into the same transaction."""
        batches = [self._queue[0]]
        rows = batches[0].row_count
        for batch in list(self._queue)[1:]:
            rows += batch.row_count
            if rows > MERGE_ROWS_MAX or batch.epoch != batches[0].epoch:
                break
            batches.append(batch)
        return batches

    def _write(self, batches: list[_Batch]) -> bool:
        """Write the batches as one transaction, take them off the queue, trim. Return False if the write failed."""
        newest = batches[-1]
        begin = self._clock()
        try:
            self._store.write(newest.position, newest.epoch, [c for batch in batches for c in batch.changes])
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch must stay and be tried again
            self._report(error)
            return False
        with self._changed:
            for _ in batches:
                self._queue.popleft()
            self._written = newest.position
            self._writes += 1
            self._rows += sum(batch.row_count for batch in batches)
            self._last_write_seconds = self._clock() - begin
            self._last_error = None
            self._changed.notify_all()
        try:
            self._journal.trim(newest.position)
        except Exception as error:  # noqa: BLE001 - the batch is safe; the next trim takes these segments too
            self._report(error)
        return True

    def _report(self, error: Exception) -> None:
        with self._changed:
            self._failures += 1
            self._last_error = f"{type(error).__name__}: {error}"
        if self._on_error is not None:
            self._on_error(error)
