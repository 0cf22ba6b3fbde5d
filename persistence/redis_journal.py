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

Costs: an append 0.2 us; a flush is one round trip for up to PIPELINE_FRAME_COUNT frames; opening reads one entry.
It doesn't decide when to flush or how long to try (group_commit.py), when to roll or trim (checkpointer.py, the shard).
"""

from __future__ import annotations

import secrets
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import RedisError

from persistence.errors import (
    FencedError,
    JournalClosedError,
    JournalCorruptError,
    JournalLostError,
    JournalUnavailableError,
    PositionGapError,
    ServerUnfitError,
    StorageError,
)
from persistence.protocols import TailCut
from persistence.record_buffer import RecordBuffer, check_beginning, check_new_epoch
from persistence.redis_journal_scripts import APPEND, BEGIN_EPOCH, CUT, OPEN, RESTART, TRIM
from persistence.redis_server import RedisServer, Script, shard_key
from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    LENGTH_BYTES,
    DefectError,
    FrameHeader,
    decode_frame_header,
    decode_payload,
    encode_frame,
)

FORMAT = "1"
SYNC = b"RKREDIS\x01"  # begins every frame; entries are apart already, so it needn't be random
FRAME_BYTES_MAX = (
    1024 * 1024
)  # bytes of records in one entry, unless a record alone is longer; the server stops for one
PIPELINE_FRAME_COUNT = 16  # frames sent before the first reply: 16 MiB, well below the server's limit of 1 GB a client
REPLAY_ENTRY_COUNT = 16  # entries fetched at once: 16 MiB
RESEND_SECONDS = 5.0  # s that acknowledged frames are kept: everysec syncs within 2 s, even behind a slow fsync
RESEND_BYTES_MAX = 64 * 1024 * 1024  # bytes of acknowledged frames kept at most


@dataclass(frozen=True, slots=True)
class _Frame:
    """One entry, encoded: sent as often as it takes, behind the frame whose mark is before_mark."""

    first: int
    last: int
    record_bytes: int
    before_mark: str
    mark: str
    data: bytes
    acknowledged_at: float = 0.0


def stored_epoch(server: RedisServer, namespace: str, shard: int) -> int:
    """Return the epoch of whoever owns a shard's journal now; 0 if there is none. Raises JournalUnavailableError."""
    with server.translating("reading who owns a journal"):
        return int(server.client.hget(shard_key(namespace, shard, "owner"), "epoch") or 0)


class RedisJournal(RecordBuffer):
    """A `Journal` in a stream of a Redis server.

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
        self._server, self._shard, self._epoch = server, shard, epoch
        self._keys = (shard_key(namespace, shard, "owner"), shard_key(namespace, shard, "journal"))
        self._where = f"{server.name} {self._keys[1]}"
        self._token = secrets.token_hex(16)
        self._keep_acknowledged = keep_acknowledged
        self._buffer: deque[bytes] = deque()
        self._pending: deque[_Frame] = deque()  # encoded, maybe sent, maybe landed
        self._resend: deque[_Frame] = deque()  # acknowledged lately
        self._resend_bytes = 0
        self._write_lock = threading.Lock()
        self._removal_lock = threading.Lock()  # taken after the write lock
        self._list_lock = threading.Lock()  # taken last
        self._failure: StorageError | None = None
        self._closed = False
        self.tail_cut: TailCut | None = None  # an entry is there or isn't: nothing can be torn
        last, self.store_id, self._encoded_mark = self._open(layout, store_id, after)
        self._durable, self._next = last, last + 1
        self._first = self._check_ends(last)
        self._appended_bytes = self._flushed_bytes = 0
        self._encoded = last  # the last position that went from the buffer into a frame, which has _encoded_mark
        self._segment_bytes = 0

    def _open(self, layout: str, store_id: str, after: int) -> tuple[int, str, str]:
        """Return the last position, the id of the store, and the mark of the last frame."""
        args = (self._token, self._epoch, FORMAT, layout, secrets.token_hex(8), store_id, after)
        status, *found = _texts(self._server.run(OPEN, self._keys, args))
        if status == "ok":
            return int(found[0]), found[1], found[2]
        if status == "fenced":
            raise FencedError(f"{self._where}: epoch {found[0]} has written here, this owner has epoch {self._epoch}")
        if status == "mismatch":
            raise ServerUnfitError(
                f"{self._where}: it has format {found[0]} and {found[1] or 'no layout'}, this shard needs format"
                f" {FORMAT} and {layout or 'no layout'}"
            )
        if status == "other":
            raise JournalLostError(
                f"{self._where}: not the journal {store_id} that this data folder was served from: another server or"
                " database, or one that lost its files"
            )
        missing = self._keys[0] if status == "ownerless" else self._keys[1]
        raise JournalCorruptError(f"{self._server.name}: the key {missing} is missing", path=missing)

    def _check_ends(self, last: int) -> int:
        """Return the first position held. Raises JournalCorruptError if the stream doesn't end where it should."""
        with self._server.translating("reading the journal's ends"):
            newest = self._server.client.xrevrange(self._keys[1], count=1)
            oldest = self._server.client.xrange(self._keys[1], count=1) if newest else []
        if newest and _positions(newest[0][0])[1] != last:
            raise self._corrupt(newest[0][0], f"it is the newest entry, the journal should end at {last}")
        return _positions(oldest[0][0])[0] if oldest else last + 1

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
            last, oldest = self._change(TRIM, limit + 1)
            self._first = _positions(oldest)[0] if oldest else int(last) + 1

    def begin_epoch(self, epoch: int) -> None:
        """Flush, then raise the epoch on the server. Two round trips."""
        with self._write_lock:
            self._refuse()
            if check_new_epoch(epoch, self._epoch):
                self._flush_buffer()
                self._change(BEGIN_EPOCH, epoch)
                self._epoch = epoch

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
                mark, base, entry, frame = self._new_end(position)
                self._cut_count += 1
                before, above = (self._durable, self._encoded_mark), f"{position + 1}-0"
                self._change(CUT, self._epoch, *before, position, mark, above, base, entry, frame)
                self._go_on_after(position, mark)

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
                self._change(RESTART, self._epoch, after)
                self._pending.clear()
                self._go_on_after(after, "")
                self._first = after + 1

    def _new_end(self, position: int) -> tuple[str, int, str, bytes]:
        """Return the mark of the frame that will end at `position`; and, if it must be made, its base, entry and bytes.

        base: the position before that frame, or `position`.
        """
        if position < self._first:
            return "", position, "", b""
        with self._server.translating("reading the journal"):
            found = self._server.client.xrange(self._keys[1], min=f"{position}-0", count=1)
        if not found:
            raise JournalCorruptError(f"{self._where}: position {position} is missing",
                                      path=self._keys[1], offset=position)  # fmt: skip
        [(entry, fields)] = found
        first, last = _positions(entry)
        if first > position:
            raise self._corrupt(entry, f"position {position} before it is missing")
        data = fields.get(b"f", b"")
        header, records = self._frame(entry, data)
        if last == position:
            return f"{zlib.crc32(data):08x}", position, "", b""
        kept = records[: position + 1 - first]
        data = encode_frame(kept, first, header.epoch, SYNC)
        return f"{zlib.crc32(data):08x}", first - 1, f"{position}-{len(kept)}", data

    def _go_on_after(self, position: int, mark: str) -> None:
        self._durable = self._encoded = position
        self._next, self._encoded_mark, self._segment_bytes = position + 1, mark, 0
        self._first = min(self._first, position + 1)
        self._keep_resendable(position)

    def _change(self, script: Script, *args: object) -> list[str]:
        """Run a script of the owner's; returns what follows its first word."""
        status, *found = _texts(self._server.run(script, self._keys, (self._token, *args)))
        if status == "ok":
            return found
        if status == "fenced":
            raise self._final(self._fenced(found[0]))
        if status == "at":
            raise self._final(self._lost(f"it ends at position {found[0]}, and had acknowledged {self._durable}"))
        raise self._final(self._lost("it has no journal any more"))

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) above `after`, up to what is durable now. 1 million records/s."""
        self._refuse()
        cut_count, first, last = self._cut_count, self._first, self._durable
        if not first - 1 <= after <= last:
            raise PositionGapError(
                f"{self._where}: asked for what follows position {after}, but the journal holds {first} to"
                f" {last}. A checkpoint ahead of its journal means that the server lost acknowledged writes"
            )
        return self._replay(after, last, cut_count)

    def _replay(self, after: int, last: int, cut_count: int) -> Iterator[tuple[int, bytes]]:
        reached = after
        while reached < last:
            with self._server.translating("reading the journal"):
                entries = self._server.client.xrange(self._keys[1], min=f"{reached + 1}-0", count=REPLAY_ENTRY_COUNT)
            if self._cut_count != cut_count:
                raise self._gone("cut", reached, last)
            if not entries:
                raise self._missing(f"{self._where}: positions {reached + 1} to {last} are missing", reached, last)
            for entry, fields in entries:
                first, end = _positions(entry)
                if first > reached + 1:
                    reason = f"positions {reached + 1} to {first - 1} before it are missing"
                    raise self._missing(f"{self._where}: entry {entry.decode()}: {reason}", reached, last, end)
                _, records = self._frame(entry, fields.get(b"f", b""))
                for position in range(reached + 1, min(end, last) + 1):
                    yield position, records[position - first]
                reached = end

    def _missing(self, message: str, reached: int, last: int, offset: int = 0) -> StorageError:
        """Return the error for positions above `reached` that aren't there: trimmed meanwhile, or lost."""
        if self._first > reached + 1:
            return self._gone("trimmed", reached, last)
        return JournalCorruptError(message, path=self._keys[1], offset=offset or reached + 1)

    def _gone(self, how: str, reached: int, last: int) -> PositionGapError:
        return PositionGapError(
            f"{self._where}: the journal was {how} while positions {reached + 1} to {last} were read; it holds"
            f" {self._first} to {self._durable}"
        )

    def _frame(self, entry: bytes, data: bytes) -> tuple[FrameHeader, list[bytes]]:
        first, end = _positions(entry)
        try:
            header = decode_frame_header(data, SYNC, len(data))
            records = decode_payload(header, data[FRAME_HEADER_BYTES:])
        except DefectError as error:
            raise self._corrupt(entry, str(error)) from error
        if (header.first_position, header.record_count) != (first, end - first + 1):
            raise self._corrupt(entry, f"its frame has {header.record_count} records from {header.first_position}")
        return header, records

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
        while self._durable < target or self._pending:
            while len(self._pending) < PIPELINE_FRAME_COUNT and self._encoded < target:
                self._pending.append(self._encode(target - self._encoded))
            self._send()

    def _encode(self, count_max: int) -> _Frame:
        """Take the oldest buffered records that fit into one frame: at least one, at most count_max."""
        records: list[bytes] = []
        payload_bytes, buffer = 0, self._buffer
        while len(records) < count_max:
            payload_bytes += LENGTH_BYTES + len(buffer[0])
            if records and payload_bytes > FRAME_BYTES_MAX:
                break
            records.append(buffer.popleft())
        first = self._encoded + 1
        self._encoded += len(records)
        data = encode_frame(records, first, self._epoch, SYNC)
        before_mark, self._encoded_mark = self._encoded_mark, f"{zlib.crc32(data):08x}"
        return _Frame(first, self._encoded, sum(map(len, records)), before_mark, self._encoded_mark, data)

    def _send(self) -> None:
        """Send the pending frames in order; those that are there leave the queue. Raises at the first that isn't."""
        frames = list(self._pending)[:PIPELINE_FRAME_COUNT]
        calls = []
        for f in frames:
            entry = f"{f.last}-{f.last - f.first + 1}"
            args = (self._token, self._epoch, f.first - 1, f.before_mark, f.last, f.mark, entry, f.data)
            calls.append((self._keys, args))
        for frame, reply in zip(frames, self._server.run_all(APPEND, calls), strict=True):
            if isinstance(reply, RedisError):
                error = self._server.translated(reply, "writing the journal")
                if not isinstance(error, JournalUnavailableError):
                    raise self._final(error)
                raise error
            status, *found = _texts(reply)
            if status == "fenced":
                raise self._final(self._fenced(found[0]))
            if status == "lost":
                raise self._final(self._lost("it has no journal any more"))
            if status == "at" and (int(found[0]), found[1]) != (frame.last, frame.mark):
                self._catch_up(int(found[0]), found[1])
                return
            self._acknowledged(frame)

    def _catch_up(self, there: int, mark: str) -> None:
        """Find out why the server doesn't end before our oldest frame: replies were lost, or it lost its tail."""
        landed = [frame for frame in self._pending if frame.last <= there]
        if landed and (landed[-1].last, landed[-1].mark) == (there, mark):
            for frame in landed:
                self._acknowledged(frame)
            return
        lost = [frame for frame in self._resend if frame.first > there]
        if lost and lost[0].first == there + 1:
            for frame in reversed(lost):
                self._pending.appendleft(frame)
            self._keep_resendable(there)
            return
        raise self._final(self._lost(f"it ends at position {there}, and had acknowledged {self._durable}"))

    def _acknowledged(self, frame: _Frame) -> None:
        if not self._pending or self._pending[0] is not frame:
            raise RuntimeError(f"frame {frame.first} to {frame.last} was acknowledged out of order")
        self._pending.popleft()
        if frame.last > self._durable:  # else it was sent again
            self._segment_bytes += len(frame.data)
            self._flushed_bytes += frame.record_bytes
            self._durable = frame.last
        if self._keep_acknowledged:
            self._keep(frame)

    def _keep(self, frame: _Frame) -> None:
        now = time.monotonic()
        self._resend.append(replace(frame, acknowledged_at=now))
        self._resend_bytes += len(frame.data)
        while self._resend_bytes > RESEND_BYTES_MAX or self._resend[0].acknowledged_at < now - RESEND_SECONDS:
            self._resend_bytes -= len(self._resend.popleft().data)
            if not self._resend:
                return

    def _keep_resendable(self, position: int) -> None:
        """Forget acknowledged frames that don't end at or below `position`."""
        self._resend = deque(frame for frame in self._resend if frame.last <= position)
        self._resend_bytes = sum(len(frame.data) for frame in self._resend)

    # ---- refusing ---------------------------------------------------------------------------------------------

    def _final(self, error: StorageError) -> StorageError:
        """Remember what ends this object."""
        self._failure = error
        return error

    def _fenced(self, epoch: str) -> FencedError:
        return FencedError(f"{self._where}: opened by another owner with epoch {epoch}; this one has {self._epoch}")

    def _lost(self, what: str) -> JournalLostError:
        return JournalLostError(f"{self._where}: the server lost acknowledged writes: {what}")

    def _corrupt(self, entry: bytes | str, reason: str) -> JournalCorruptError:
        name = entry.decode() if isinstance(entry, bytes) else entry
        return JournalCorruptError(
            f"{self._where}: entry {name}: {reason}", path=self._keys[1], offset=_positions(entry)[1]
        )

    def _refuse(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(self._failure.message)
        if self._closed:
            raise JournalClosedError(f"{self._where}: the journal is closed")


def _positions(entry: bytes | str) -> tuple[int, int]:
    """Return the first and the last position that an entry's id names."""
    last, _, count = (entry.decode() if isinstance(entry, bytes) else entry).partition("-")
    return int(last) - int(count) + 1, int(last)


def _texts(reply: list[Any]) -> list[str]:
    """Return a script's reply as texts; nil comes as an empty one."""
    return ["" if part is None else part.decode() if isinstance(part, bytes) else str(part) for part in reply]
