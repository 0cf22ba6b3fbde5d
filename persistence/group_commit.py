"""Group commit: one thread that syncs whatever gathered while the last sync ran.

Rules of this file
- No timers. An idle journal is synced at once when a record comes; a busy one batches by itself, and the batch is as
  large as what arrives during one sync.
- The callbacks run on this thread: they only hand over (`loop.call_soon_threadsafe`).
- After a failure nothing more is reported durable; `on_failure` is called once and the thread ends.
- A journal that is unavailable hasn't failed: the thread tries again, with a growing pause, for as long as it takes
  (CLOSE_PATIENCE_S once it is closing). `on_unavailable` is told of each attempt, so that writes can be refused.

The wake-up is safe without a lock: the thread clears the event *before* it flushes, and a caller appends *before* it
notifies, so a record is either in the flush that runs or leaves the event set for the next one.
Costs: notify 0.1 us while a flush is already due, 1 us otherwise.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from persistence.errors import JournalUnavailableError
from persistence.protocols import Journal

RETRY_SECONDS_MIN = 0.05  # s before the first retry: a connection that broke is made again at once
RETRY_SECONDS_MAX = 1.0  # s between retries at most: writes go on within a second of the server's return
CLOSE_PATIENCE_S = 10.0  # s that closing waits for an unavailable journal; what isn't durable was never acknowledged
FLUSH_SECONDS_BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Upper bounds of the histogram, in seconds: from a laptop's NVMe (0.1 ms) to a disk in trouble (1 s)."""


@dataclass(frozen=True, slots=True)
class GroupCommitStats:
    """What the thread has done so far. `flush_seconds_counts` has one more entry than the buckets: the slower ones."""

    flush_count: int
    record_count: int
    last_batch_records: int
    mean_batch_records: float
    flush_seconds_sum: float
    flush_seconds_counts: tuple[int, ...]


class GroupCommit:
    """Flushes a journal on its own thread.

    on_durable(position): everything up to position is durable; called with growing positions, and anew from where a
    cut of the journal's end went back to.
    on_failure(error): the journal (or on_durable) raised; nothing more will be durable. clock: seconds, monotonic.
    on_flush(records, seconds): what one flush took, for histograms; called on the thread, must be quick.
    on_unavailable(error): nothing can be made durable for now; None once it goes on.
    """

    def __init__(
        self,
        journal: Journal,
        on_durable: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = time.perf_counter,
        on_flush: Callable[[int, float], None] = lambda records, seconds: None,
        on_unavailable: Callable[[JournalUnavailableError | None], None] = lambda error: None,
    ) -> None:
        self._journal = journal
        self._on_flush = on_flush
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._on_unavailable = on_unavailable
        self._clock = clock
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._roll_wanted = False
        self._reported = journal.durable_position
        self._flushes = self._records = self._last_batch = 0
        self._seconds_sum = 0.0
        self._seconds_counts = [0] * (len(FLUSH_SECONDS_BUCKETS) + 1)
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Say that records were appended. Any thread; never blocks."""
        if not self._wake.is_set():
            self._wake.set()

    def roll_soon(self) -> None:
        """Close the journal's segment with the next flush, on the flushing thread. Any thread; never blocks."""
        self._roll_wanted = True
        self._wake.set()

    def close(self) -> None:
        """Flush what was appended, report it, and end the thread. Idempotent. The journal stays open."""
        self._closing.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def stats(self) -> GroupCommitStats:
        """Return what has been measured. O(buckets)."""
        flushes, records = self._flushes, self._records
        return GroupCommitStats(
            flushes,
            records,
            self._last_batch,
            records / flushes if flushes else 0.0,
            self._seconds_sum,
            tuple(self._seconds_counts),
        )

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait()
                self._wake.clear()
                self._commit_patiently()
            self._commit_patiently()  # what came between the last flush and close
        except BaseException as error:
            self._on_failure(error)
            if not isinstance(error, Exception):
                raise

    def _commit_patiently(self) -> None:
        """Commit, again and again while the journal is unavailable. Raises what isn't worth trying again."""
        pause, give_up = RETRY_SECONDS_MIN, float("inf")
        while True:
            rolling, self._roll_wanted = self._roll_wanted, False
            try:
                self._commit(rolling)
            except JournalUnavailableError as error:
                self._roll_wanted |= rolling
                self._report(self._journal.durable_position)  # a part of the batch may have become durable
                self._on_unavailable(error)
                if self._closing.is_set():
                    give_up = min(give_up, self._clock() + CLOSE_PATIENCE_S)
                    if self._clock() >= give_up:
                        raise
                    time.sleep(pause)
                else:
                    self._closing.wait(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
            else:
                if pause > RETRY_SECONDS_MIN:
                    self._on_unavailable(None)
                return

    def _commit(self, rolling: bool) -> None:
        """Flush (or roll) once, measure it, report it. Nothing is written when nothing was appended."""
        durable = self._journal.durable_position
        self._reported = min(self._reported, durable)  # lower after `cut_after`
        self._report(durable)  # higher after `begin_epoch`, which flushes too
        if self._journal.buffered_count:
            begin = self._clock()
            position = self._journal.flush()
            self._measure(position - self._reported, self._clock() - begin)
            self._reported = position
            self._on_durable(position)
        if rolling:
            self._report(self._journal.roll())  # records may have come between the flush and the roll

    def _report(self, position: int) -> None:
        """Report what became durable outside of a measured flush."""
        if position > self._reported:
            self._records += position - self._reported
            self._reported = position
            self._on_durable(position)

    def _measure(self, records: int, seconds: float) -> None:
        self._on_flush(records, seconds)
        self._flushes += 1
        self._records += records
        self._last_batch = records
        self._seconds_sum += seconds
        self._seconds_counts[bisect_left(FLUSH_SECONDS_BUCKETS, seconds)] += 1
