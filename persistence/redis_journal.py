"""The journal as one Redis stream a shard: appended to by whoever opened it last, one entry a batch.

Rules of this file
- Acknowledged first, then told: `durable_position` moves only after the server's reply to that very frame.
- Every change goes through a script that checks the owner's token first. Whoever opens takes the shard over: the owner
  before gets FencedError at its next call, whatever its epoch. There is no lock, so none can be left behind.
- A frame that may have landed is sent again as it is, until the server says that it is there. The script appends only
  to the frame that it follows (by position and checksum), so it lands once, and never on a tail that was cut. Hence no
  failure of connection or server is final here: JournalUnavailableError means that nothing more is durable yet, and
  the next `flush` goes on with the same bytes.
- What was acknowledged within the last RESEND_SECONDS is kept, and sent again to a server that lost it in a crash
  (appendfsync everysec). A server that lost more, or everything, is JournalLostError, which is final.

    {rookery:<namespace>:<shard>}:journal   stream   <last position>-<record count>   f = frame of segment_format.py
    {rookery:<namespace>:<shard>}:owner     hash     format, layout, id, epoch, token, last, mark (CRC of last frame)

An entry's id says which positions it holds, so a gap is seen without reading frames, and `XTRIM MINID` is a trim.
A segment is only a count here: each entry goes as soon as a checkpoint covers it.

    redis_journal.py         what is durable, held, retained; what excludes what; what ends it all
    redis_frames.py          records to frames; those that are on their way, those that may have to be sent again
    redis_journal_owner.py   token and epoch; each change on the server
    redis_stream.py          entries read and verified

Costs: an append 0.2 us; a flush is one round trip for up to PIPELINE_FRAME_COUNT frames; opening reads one entry.
It doesn't decide when to flush or how long to try (group_commit.py), when to roll or trim (checkpointer.py, the shard).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from persistence.errors import (
    FencedError,
    JournalClosedError,
    JournalCorruptError,
    JournalLostError,
    JournalUnavailableError,
    PositionGapError,
    StorageError,
)
from persistence.protocols import TailCut
from persistence.record_buffer import RecordBuffer, check_beginning, check_new_epoch
from persistence.redis_frames import Frame, FrameQueue, JournalEnd
from persistence.redis_journal_owner import JournalOwner
from persistence.redis_server import RedisServer, shard_key
from persistence.redis_stream import NewEnd, RedisStream


def stored_epoch(server: RedisServer, namespace: str, shard: int) -> int:
    """Return the epoch of whoever owns a shard's journal now; 0 if there is none. Raises JournalUnavailableError."""
    with server.translating("reading who owns a journal"):
        return int(server.client.hget(shard_key(namespace, shard, "owner"), "epoch") or 0)


class RedisJournal(RecordBuffer):
    """A `Journal` in a stream of a Redis server: what is durable and held there, whichever threads ask.

    namespace, shard: which keys; layout: what must be the same on every open, such as the number of shards; store_id:
    what `store_id` of an earlier opening was, to notice another or an emptied server ("" for don't know).
    after: where a journal that never held a record begins (its first is after + 1); any other ignores it.
    keep_acknowledged: whether the server may lose what it acknowledged, so that it is worth keeping for a while.
    Opening takes the shard over from whoever has it. Raises FencedError (nothing changed) if a higher epoch has opened
    it, JournalLostError, JournalCorruptError, ServerUnfitError, JournalUnavailableError, JournalFailedError.
    """

    def __init__(
        self,
        server: RedisServer,
        namespace: str,
        shard: int,
        epoch: int,
        layout: str = "",
        store_id: str = "",
        keep_acknowledged: bool = True,
        after: int = 0,
    ) -> None:
        check_beginning(after)
        self._owner = JournalOwner(server, namespace, shard, epoch)
        self._stream = RedisStream(server, namespace, shard)
        self._buffer: deque[bytes] = deque()
        self._write_lock = threading.Lock()
        self._removal_lock = threading.Lock()  # taken after the write lock
        self._list_lock = threading.Lock()  # taken last
        self._failure: StorageError | None = None
        self._closed = False
        self.tail_cut: TailCut | None = None  # an entry is there or isn't: nothing can be torn
        self.store_id, end = self._owner.open(layout, store_id, after)
        self._frames = FrameQueue(self._buffer, end, keep_acknowledged)
        self._durable, self._next = end.last, end.last + 1
        self._first = self._stream.first_position(end.last)
        self._appended_bytes = self._flushed_bytes = 0
        self._segment_bytes = 0

    @property
    def epoch(self) -> int:
        """The epoch that records are written under: the owner's."""
        return self._owner.epoch

    @property
    def first_position(self) -> int:
        """The oldest position still held, or `next_position` when none is."""
        return self._first

    def flush(self) -> int:
        """Send what was appended before this call, wait for the server, return the durable position.

        Raises JournalUnavailableError (nothing is lost: the next flush goes on), FencedError, JournalLostError or
        JournalFailedError (the journal then stays failed).
        """
        with self._write_lock:
            self._refuse()
            self._flush_buffer()
            return self._durable

    def roll(self) -> int:
        """Flush, count a new segment from here; return the last position of what was closed."""
        with self._write_lock:
            self._refuse()
            self._flush_buffer()
            self._segment_bytes = 0
            return self._durable

    def trim(self, position: int) -> None:
        """Drop the entries whose records are all at or below `position`.

        Raises StorageError if the server doesn't; the journal goes on.
        """
        self._refuse()
        if position > self._durable:
            raise ValueError(f"trim to {position}, but only {self._durable} is durable")
        with self._removal_lock:
            with self._list_lock:
                limit = self._trim_limit(position)
                self._first = max(self._first, limit + 1)  # readers are told before it goes
            with self._owning():
                self._first = self._owner.trim(limit + 1)

    def begin_epoch(self, epoch: int) -> None:
        """Flush, then raise the epoch on the server. Two round trips."""
        with self._write_lock:
            self._refuse()
            if check_new_epoch(epoch, self.epoch):
                self._flush_buffer()
                with self._owning():
                    self._owner.begin_epoch(epoch)

    def cut_after(self, position: int) -> None:
        """Drop the records above `position`. Two round trips; the server stops for what it drops: 2 ms a MB.

        Raises JournalUnavailableError: it may have happened or not; call it again before anything else.
        """
        with self._write_lock:
            self._refuse()
            self._check_cut(position, self._first)
            self._flush_buffer()  # what a server that lost its tail must get again
            if position == self._durable:
                return
            with self._removal_lock:
                is_empty = position < self._first
                new = NewEnd(position, "", position) if is_empty else self._stream.new_end(position)
                self._cut_count += 1
                with self._owning():
                    self._owner.cut(self._frames.end, new)
                self._go_on_after(JournalEnd(position, new.mark))

    def restart(self, after: int) -> None:
        """Drop every record; the next one is after + 1. One round trip.

        Raises JournalUnavailableError: it may have happened or not; call it again before anything else.
        """
        check_beginning(after)
        with self._write_lock:
            self._refuse()
            self._check_settled()
            if (self._first, self._durable) == (after + 1, after):
                return
            with self._removal_lock:
                self._cut_count += 1
                with self._owning():
                    self._owner.restart(after)
                self._go_on_after(JournalEnd(after, ""))
                self._first = after + 1

    def _go_on_after(self, end: JournalEnd) -> None:
        self._frames.go_on_after(end)
        self._durable, self._next = end.last, end.last + 1
        self._first = min(self._first, self._next)
        self._segment_bytes = 0

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) above `after`, up to what is durable now. 1 million records/s."""
        self._refuse()
        cut_count, first, last = self._cut_count, self._first, self._durable
        if not first - 1 <= after <= last:
            raise PositionGapError(
                f"{self._stream.where}: asked for what follows position {after}, but the journal holds {first} to"
                f" {last}. A checkpoint ahead of its journal means that the server lost acknowledged writes"
            )
        return self._replay(after, last, cut_count)

    def _replay(self, after: int, last: int, cut_count: int) -> Iterator[tuple[int, bytes]]:
        reached = after
        while reached < last:
            entries = self._stream.entries_from(reached + 1)
            if self._cut_count != cut_count:
                raise self._gone("cut", reached, last)
            if not entries:
                raise self._missing(f"positions {reached + 1} to {last} are missing", reached, last)
            for entry in entries:
                if entry.first > reached + 1:
                    reason = f"positions {reached + 1} to {entry.first - 1} before it are missing"
                    raise self._missing(f"entry {entry.name}: {reason}", reached, last, entry.last)
                records, first = self._stream.records(entry), entry.first
                for position in range(reached + 1, min(entry.last, last) + 1):
                    yield position, records[position - first]
                reached = entry.last

    def _missing(self, reason: str, reached: int, last: int, offset: int = 0) -> StorageError:
        """Return the error for positions above `reached` that aren't there: trimmed meanwhile, or lost."""
        if self._first > reached + 1:
            return self._gone("trimmed", reached, last)
        message = f"{self._stream.where}: {reason}"
        return JournalCorruptError(message, path=self._stream.key, offset=offset or reached + 1)

    def _gone(self, how: str, reached: int, last: int) -> PositionGapError:
        return PositionGapError(
            f"{self._stream.where}: the journal was {how} while positions {reached + 1} to {last} were read; it holds"
            f" {self._first} to {self._durable}"
        )

    def close(self) -> None:
        """Flush (unless failed). The server keeps the token: it stops nobody. Idempotent."""
        with self._write_lock:
            if self._closed:
                return
            try:
                if self._failure is None:
                    self._flush_buffer()
            finally:
                self._closed = True

    # ---- writing ----------------------------------------------------------------------------------------------

    def _flush_buffer(self) -> None:
        target = self._next - 1
        while self._durable < target or self._frames.pending_count:
            self._frames.fill(target, self.epoch)
            self._send()

    def _send(self) -> None:
        """Send the pending frames in order; those that are there leave the queue. Raises at the first that isn't."""
        frames = self._frames.next_frames()
        for frame, there in zip(frames, self._owner.append(frames), strict=True):
            if isinstance(there, StorageError):
                if not isinstance(there, JournalUnavailableError):
                    self._failure = there
                raise there
            if there != frame.end:
                self._catch_up(there)
                return
            self._acknowledge(frame)

    def _catch_up(self, there: JournalEnd) -> None:
        """Find out why the server doesn't end before our oldest frame: replies were lost, or it lost its tail."""
        if landed := self._frames.landed(there):
            for frame in landed:
                self._acknowledge(frame)
        elif not self._frames.send_again_after(there.last):
            what = f"it ends at position {there.last}, and had acknowledged {self._durable}"
            self._failure = self._owner.lost(what)
            raise self._failure

    def _acknowledge(self, frame: Frame) -> None:
        self._frames.acknowledge(frame)
        if frame.end.last > self._durable:  # else it was sent again
            self._segment_bytes += len(frame.data)
            self._flushed_bytes += frame.record_bytes
            self._durable = frame.end.last

    # ---- refusing ---------------------------------------------------------------------------------------------

    @contextmanager
    def _owning(self) -> Iterator[None]:
        """Remember that this object's ownership has ended, if the block raises that."""
        try:
            yield
        except (FencedError, JournalLostError) as error:
            self._failure = error
            raise

    def _refuse(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(self._failure.message)
        if self._closed:
            raise JournalClosedError(f"{self._stream.where}: the journal is closed")
