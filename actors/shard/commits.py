"""From "applied" to "durable" to "committed" to "told": journal, group commit and checkpoints of one shard actor.

    run(command) --> replica --> journal.append --> [group commit thread: write + fdatasync] --> _durable(position)
                                      |                                                                |  committed_at
                                      +--> on_record: followers (replication.py) --- acknowledge --> settle(committed)
                                                                                                       |
                                                                        replies, senders, sealed batches <--+

Rules of this file
- Everything runs on the actor's event loop, but for the journal's flush and the checkpoint's writes, which have threads
  of their own and only hand results back.
- Nobody is answered, nothing leaves, and nothing goes into the checkpoint, before its position is committed: durable
  here and on as many other replicas as the acknowledgement level asks for (replication.py says when).
- Fail-stop: if a command fails half-way, or the journal can't be written, memory is ahead of the disk for good; the
  process ends, and Ray starts a recovery. A journal that is unavailable for a while is another matter: what was applied
  waits for it, reads go on, and new writes are refused until it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import structlog

from actors.core.errors import MovedError, OverloadedError, RookeryError
from actors.metrics import ShardMetrics
from actors.shard.storage import Storage
from cluster.life.heartbeat import busy
from persistence.checkpointer import Checkpointer
from persistence.errors import FencedError, JournalLostError, JournalUnavailableError
from persistence.group_commit import GroupCommit

FOLD_TIMEOUT_S = (
    60.0  # for the last checkpoint of a clean stop; what isn't folded by then is replayed at the next start
)
SEAL_S = 120.0  # that collecting what has changed may hold the loop: a second for a million rows
WORTH_REPLAYING = 50  # a tail below this share of a segment is replayed within 0.1 s, and isn't worth a fold


class Commits:
    """The write side of a shard actor."""

    def __init__(self, storage: Storage, metrics: ShardMetrics, queue_batches_max: int) -> None:
        """queue_batches_max: sealed batches that may wait for the checkpoint."""
        self.storage, self.replica, self.journal = storage, storage.replica, storage.journal
        self.state = storage.replica.state
        self.metrics = metrics
        self.log = structlog.get_logger()
        self.durable_position = self.journal.durable_position
        self.committed_position = storage.report.checkpoint_position  # what is above, a leader says
        # How far everything is committed once so much is durable here: by a leader's rules, or as the leader has said.
        self.committed_at: Callable[[int], int] = lambda durable: 0
        self.on_committed: list[Callable[[], None]] = []  # told whenever committed_position may have grown
        self.on_record: Callable[[bytes], None] | None = None  # given every record of our own, for the followers
        self.on_applied: Callable[[], None] = lambda: None  # told after every command
        self.on_refused: list[Callable[[RookeryError], None]] = []  # told when nobody here leads any more
        self.leads: Callable[[], bool] = lambda: True
        self.waiting: deque[tuple[int, Any, Any]] = deque()  # (position, LaneRequest or Future, body), to be committed
        self._wait_for_thaw: list[asyncio.Future[None]] = []
        self._waiting_for_disk: deque[tuple[int, Any, Any]] = deque()  # the same, to be durable here
        self._sealed: deque[tuple[int, list[Any]]] = deque()
        self._sealed_position = storage.report.checkpoint_position
        self._sealed_s = time.monotonic()
        self.unavailable = ""  # why the journal takes nothing just now
        self._loop = asyncio.get_running_loop()
        self.checkpointer = Checkpointer(
            storage.store, self.journal, storage.report.checkpoint_position, self._checkpoint_failed, queue_batches_max
        )
        self.group_commit = GroupCommit(
            self.journal,
            self._durable_soon,
            self._journal_failed,
            on_flush=self._flushed,
            on_unavailable=self._unavailable_soon,
        )

    # ---- applying ---------------------------------------------------------------------------------------------

    def write(self, op: str, args: list[Any], now_ms: int) -> Any:
        """Carry out a write request; returns the reply's body, to be given through `when_durable`.

        Raises OverloadedError while the journal is unavailable; nothing was changed.
        """
        if self.unavailable:
            raise OverloadedError(f"storage takes no writes: {self.unavailable}; try again later", retry_after_s=1.0)
        with self._fail_stop():
            record, body = self.replica.write(op, args, now_ms)
        if record is not None:
            self._append(record, urgent=True)
        return body

    def move(self, op: str, args: list[Any]) -> Any:
        """Carry out a request of a move; returns the reply's body, as `write` does."""
        with self._fail_stop():
            record, body = self.replica.move(op, args)
        if record is not None:
            self._append(record, urgent=True)
        return body

    async def thawed(self) -> None:
        """Return once the shard isn't frozen."""
        while self.state.frozen:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._wait_for_thaw.append(waiter)
            await waiter

    def run(self, command: list[Any], urgent: bool = True) -> Any:
        """Apply and journal a command of our own; returns its result. Not urgent: it may go with the next flush.

        Raises MovedError, and changes nothing, when this replica doesn't lead (any more); FrozenError, while the shard
        is frozen, for what has to wait then.
        """
        if not self.leads():
            raise MovedError(f"this replica doesn't lead shard {self.state.shard}")
        with self._fail_stop():
            record, result = self.replica.command(command)
        self._append(record, urgent)
        return result

    @contextlib.contextmanager
    def _fail_stop(self) -> Iterator[None]:
        position = self.state.position
        try:
            yield
        except Exception as error:
            if self.state.position != position:
                self.log.critical("a command failed while it was applied; this process ends", reason=repr(error))
                os._exit(1)
            raise

    def _append(self, record: bytes, urgent: bool) -> None:
        position = self.journal.append(record)
        if position != self.state.position:
            raise RuntimeError(f"the journal is at {position}, the state at {self.state.position}")
        self.metrics.journal_bytes += len(record)
        if self.on_record is not None:
            self.on_record(record)
        if urgent:
            self.group_commit.notify()
        self.on_applied()
        if self._wait_for_thaw and not self.state.frozen:
            waiters, self._wait_for_thaw = self._wait_for_thaw, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def follow(self, records: list[bytes]) -> None:
        """Apply and journal records of the leader, which continue this replica's own."""
        for record in records:
            position = self.state.position + 1
            try:
                self.replica.follow(position, record)
            except Exception as error:  # noqa: BLE001  whatever it is, memory is no longer the journal's
                self.log.critical("a leader's record failed; this process ends", position=position, reason=repr(error))
                os._exit(1)
            self.journal.append(record)
        if records:
            self.metrics.journal_bytes += sum(map(len, records))
            self.group_commit.notify()
            self.on_applied()

    # ---- durable and committed --------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Have everything applied so far made durable now, what isn't urgent too."""
        self.group_commit.notify()

    def when_committed(self, waiter: Any, body: Any) -> None:
        """Answer a LaneRequest, or resolve a future, once everything applied so far is committed."""
        if self.committed_position >= self.state.position and not self.waiting:
            _answer(waiter, body)
        else:
            self.waiting.append((self.state.position, waiter, body))
            self.group_commit.notify()

    def when_durable(self, waiter: Any, body: Any) -> None:
        """Answer a LaneRequest, or resolve a future, once everything applied so far is durable on this disk."""
        if self.durable_position >= self.state.position and not self._waiting_for_disk:
            _answer(waiter, body)
        else:
            self._waiting_for_disk.append((self.state.position, waiter, body))
            self.group_commit.notify()

    def refuse_waiting(self, error: RookeryError) -> None:
        """Tell everyone who waits for a commit that it won't be said here; they ask the new leader."""
        for tell in self.on_refused:
            tell(error)
        waiting, self.waiting = self.waiting, deque()
        for _, waiter, _ in waiting:
            if isinstance(waiter, asyncio.Future):
                if not waiter.done():
                    waiter.set_exception(error)
            else:
                waiter.fail(error)

    def _durable_soon(self, position: int) -> None:
        """Hand over from the flushing thread."""
        self._loop.call_soon_threadsafe(self._durable, position)

    def _durable(self, position: int) -> None:
        self.durable_position = position
        _answer_up_to(self._waiting_for_disk, position)
        self.settle(self.committed_at(position))

    def settle(self, position: int) -> None:
        """Everything up to `position` is committed: tell. What isn't durable here waits for that."""
        position = min(position, self.durable_position)
        if position > self.committed_position:
            self.committed_position = position
        _answer_up_to(self.waiting, self.committed_position)
        for tell in self.on_committed:
            tell()
        self._submit_sealed()

    def _journal_failed(self, error: BaseException) -> None:
        self.log.critical("the journal can't be written; this process ends", reason=str(error))
        os._exit(1)

    def _unavailable_soon(self, error: JournalUnavailableError | None) -> None:
        """Hand over from the flushing thread."""
        self._loop.call_soon_threadsafe(self._note_unavailable, error)

    def _note_unavailable(self, error: JournalUnavailableError | None) -> None:
        reason = "" if error is None else error.reason or "it is unavailable"
        if error is not None and reason != self.unavailable:
            self.log.error("the journal can't be written for now; writes are refused", reason=str(error))
        if error is None:
            self.log.info("the journal can be written again", durable_position=self.journal.durable_position)
        self.unavailable = reason

    def _flushed(self, records: int, seconds: float) -> None:
        """Note one flush; runs on the flushing thread, the only writer of these three."""
        self.metrics.journal_records += records
        self.metrics.commit_records.observe(records)
        self.metrics.fsync_seconds.observe(seconds)

    # ---- checkpoints ------------------------------------------------------------------------------------------

    def tend(self, records_max: int, bytes_max: int, interval_s: float = math.inf) -> None:
        """Flush what isn't urgent, and seal a batch for the checkpoint when the segment has grown enough.

        interval_s: once the last seal is so long ago, a WORTH_REPLAYING-th of that is enough.
        """
        if self.journal.buffered_count:
            self.group_commit.notify()
        behind = self.state.position - self._sealed_position
        share = WORTH_REPLAYING if time.monotonic() - self._sealed_s >= interval_s else 1
        full = behind >= records_max // share or self.journal.segment_bytes >= bytes_max // share
        if behind and full and not self._sealed:
            self._seal()
            self.group_commit.roll_soon()
        self._submit_sealed()

    def _seal(self) -> None:
        self._sealed_position, self._sealed_s = self.state.position, time.monotonic()
        with busy("seal", SEAL_S):
            changes = self.replica.seal()
        self._sealed.append((self.state.position, changes))

    def _submit_sealed(self) -> None:
        while self._sealed and self._sealed[0][0] <= self.committed_position:
            if not self.checkpointer.submit(self._sealed[0][0], self.journal.epoch, self._sealed[0][1]):
                return
            self._sealed.popleft()

    def _checkpoint_failed(self, error: Exception) -> None:
        if isinstance(error, FencedError | JournalLostError):
            self._journal_failed(error)
        self.log.error("a checkpoint was not written; it is tried again", reason=str(error))

    async def close(self) -> None:
        """Make everything durable, fold what is committed into the checkpoint, and close the files."""
        await asyncio.to_thread(self.group_commit.close)
        self._durable(self.journal.durable_position)
        if self.state.position > self._sealed_position:
            self._seal()
        await asyncio.to_thread(self._fold_and_close)

    async def abandon(self) -> None:
        """End both threads as they are: what is on disk is about to be replaced."""
        await asyncio.to_thread(self.group_commit.close)
        self._sealed.clear()
        await asyncio.to_thread(self.checkpointer.close)

    def _fold_and_close(self) -> None:
        for position, changes in self._sealed:
            if position > self.committed_position:
                break
            while not self.checkpointer.submit(position, self.journal.epoch, changes):
                if not self.checkpointer.wait_idle(FOLD_TIMEOUT_S):
                    break
        self.checkpointer.wait_idle(FOLD_TIMEOUT_S)
        self.checkpointer.close()
        self.storage.close()

    def figures(self) -> dict[str, Any]:
        """Return positions, lags and sync times for `status`."""
        flushed, folded = self.group_commit.stats(), self.checkpointer.stats()
        return {
            "durable_position": self.durable_position,
            "committed_position": self.committed_position,
            "journal_lag": self.state.position - self.durable_position,
            "journal_segment_bytes": self.journal.segment_bytes,
            "fsync_count": flushed.flush_count,
            "fsync_seconds": flushed.flush_seconds_sum,
            "records_per_fsync": flushed.mean_batch_records,
            "checkpoint_position": folded.written_position,
            "checkpoint_lag": self.state.position - folded.written_position,
            "checkpoint_rows": folded.rows_written,
            "checkpoint_error": folded.last_error or "",
            "journal_error": self.unavailable,
            "mailbox": len(self.waiting),
        }


def _answer_up_to(waiting: deque[tuple[int, Any, Any]], position: int) -> None:
    while waiting and waiting[0][0] <= position:
        _, waiter, body = waiting.popleft()
        _answer(waiter, body)


def _answer(waiter: Any, body: Any) -> None:
    if isinstance(waiter, asyncio.Future):
        if not waiter.done():
            waiter.set_result(body)
    elif isinstance(body, RookeryError):
        waiter.fail(body)
    else:
        waiter.reply(body)
