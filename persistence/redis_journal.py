"""The journal as one Redis stream a shard: appended to by whoever opened it last, one entry a batch.

Rules of this file
- Acknowledged first, then told: `durable_position` moves only after the server's reply to that very frame.
- Every change goes through a script that checks the owner's token first. Whoever opens takes the shard over: the owner
  before gets FencedError at its next call, whatever its epoch. There is no lock, so none can be left behind.
- A frame that may have landed is sent again as it is, until the server says that it is there. The script appends only
  to the position that the frame follows, so it lands once. Hence no failure of connection or server is final here:
  JournalUnavailableError means that nothing more is durable yet, and the next `flush` goes on with the same bytes.
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
from dataclasses import dataclass
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
from persistence.record_buffer import RecordBuffer
from persistence.redis_server import RedisServer, Script, shard_key
from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    LENGTH_BYTES,
    DefectError,
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

# Numbers are compared as texts of digits: Lua's are doubles, which are exact up to 2^53 only.
_LESS = "local function less(a, b) return #a < #b or (#a == #b and a < b) end\n"

OPEN = Script(
    _LESS
    + """
local token, epoch, format, layout, id, expected = unpack(ARGV)
local m = redis.call('HMGET', KEYS[1], 'format', 'layout', 'id', 'epoch', 'last')
if not m[1] and redis.call('EXISTS', KEYS[2]) == 1 then return {'ownerless'} end
if expected ~= '' and m[3] ~= expected then return {'other'} end
if not m[1] then
    redis.call('HSET', KEYS[1], 'format', format, 'layout', layout, 'id', id, 'epoch', epoch, 'token', token,
               'last', '0', 'mark', '')
    return {'ok', '0', id}
end
if m[1] ~= format or m[2] ~= layout then return {'mismatch', m[1], m[2]} end
if less(epoch, m[4]) then return {'fenced', m[4]} end
if m[5] ~= '0' and redis.call('EXISTS', KEYS[2]) == 0 then return {'streamless', m[5]} end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'token', token)
return {'ok', m[5], m[3]}
"""
)

APPEND = Script(
    """
local token, before, last, entry, mark, frame = unpack(ARGV)
local m = redis.call('HMGET', KEYS[1], 'token', 'last', 'mark', 'epoch')
if not m[1] then return {'lost'} end
if m[1] ~= token then return {'fenced', m[4]} end
if m[2] == before then
    redis.call('XADD', KEYS[2], entry, 'f', frame)
    redis.call('HSET', KEYS[1], 'last', last, 'mark', mark)
    return {'ok', last, mark}
end
return {'at', m[2], m[3]}
"""
)

TRIM = Script(
    """
local m = redis.call('HMGET', KEYS[1], 'token', 'epoch', 'last')
if not m[1] then return {'lost'} end
if m[1] ~= ARGV[1] then return {'fenced', m[2]} end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
return {'ok', m[3], oldest[1] and oldest[1][1] or ''}
"""
)


@dataclass(frozen=True, slots=True)
class _Frame:
    """One entry, encoded: sent as often as it takes."""

    first: int
    last: int
    record_bytes: int
    mark: str
    data: bytes
    acknowledged_at: float = 0.0


class RedisJournal(RecordBuffer):
    """A `Journal` in a stream of a Redis server.

    namespace, shard: which keys; layout: what must be the same on every open, such as the number of shards; store_id:
    what `store_id` of an earlier opening was, to notice another or an emptied server ("" for don't know).
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
    ) -> None:
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
        self._failure: StorageError | None = None
        self._closed = False
        self.tail_cut: TailCut | None = None  # an entry is there or isn't: nothing can be torn
        last, self.store_id = self._open(layout, store_id)
        self._durable, self._next = last, last + 1
        self._first = self._check_ends(last)
        self._appended_bytes = self._flushed_bytes = 0
        self._encoded = last  # the last position that went from the buffer into a frame
        self._segment_bytes = 0

    def _open(self, layout: str, store_id: str) -> tuple[int, str]:
        args = (self._token, self._epoch, FORMAT, layout, secrets.token_hex(8), store_id)
        status, *found = _texts(self._server.run(OPEN, self._keys, args))
        if status == "ok":
            return int(found[0]), found[1]
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
        status, *found = _texts(self._server.run(TRIM, self._keys, (self._token, position + 1)))
        if status != "ok":
            raise self._fenced(found[0]) if status == "fenced" else self._lost("it has no journal any more")
        self._first = _positions(found[1])[0] if found[1] else int(found[0]) + 1

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) above `after`, up to what is durable now. 1 million records/s."""
        self._refuse()
        if not self._first - 1 <= after <= self._durable:
            raise PositionGapError(
                f"{self._where}: asked for what follows position {after}, but the journal holds {self._first} to"
                f" {self._durable}. A checkpoint ahead of its journal means that the server lost acknowledged writes"
            )
        return self._replay(after, self._durable)

    def _replay(self, after: int, last: int) -> Iterator[tuple[int, bytes]]:
        reached = after
        while reached < last:
            with self._server.translating("reading the journal"):
                entries = self._server.client.xrange(self._keys[1], min=f"{reached + 1}-0", count=REPLAY_ENTRY_COUNT)
            if not entries:
                raise JournalCorruptError(f"{self._where}: positions {reached + 1} to {last} are missing",
                                          path=self._keys[1], offset=reached + 1)  # fmt: skip
            for entry, fields in entries:
                first, end = _positions(entry)
                if first > reached + 1:
                    raise self._corrupt(entry, f"positions {reached + 1} to {first - 1} before it are missing")
                records = self._records(entry, fields.get(b"f", b""))
                for position in range(reached + 1, min(end, last) + 1):
                    yield position, records[position - first]
                reached = end

    def _records(self, entry: bytes, data: bytes) -> list[bytes]:
        first, end = _positions(entry)
        try:
            header = decode_frame_header(data, SYNC, len(data))
            records = decode_payload(header, data[FRAME_HEADER_BYTES:])
        except DefectError as error:
            raise self._corrupt(entry, str(error)) from error
        if (header.first_position, header.record_count) != (first, end - first + 1):
            raise self._corrupt(entry, f"its frame has {header.record_count} records from {header.first_position}")
        return records

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
        return _Frame(first, self._encoded, sum(map(len, records)), f"{zlib.crc32(data):08x}", data)

    def _send(self) -> None:
        """Send the pending frames in order; those that are there leave the queue. Raises at the first that isn't."""
        frames = list(self._pending)[:PIPELINE_FRAME_COUNT]
        calls = [
            (self._keys, (self._token, f.first - 1, f.last, f"{f.last}-{f.last - f.first + 1}", f.mark, f.data))
            for f in frames
        ]
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
            self._resend = deque(frame for frame in self._resend if frame.first <= there)
            self._resend_bytes = sum(len(frame.data) for frame in self._resend)
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
        self._resend.append(
            _Frame(frame.first, frame.last, frame.record_bytes, frame.mark, frame.data, acknowledged_at=now)
        )
        self._resend_bytes += len(frame.data)
        while self._resend_bytes > RESEND_BYTES_MAX or self._resend[0].acknowledged_at < now - RESEND_SECONDS:
            self._resend_bytes -= len(self._resend.popleft().data)
            if not self._resend:
                return

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
