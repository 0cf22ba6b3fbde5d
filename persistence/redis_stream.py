"""The journal's stream as it lies on the server: entries read and verified. Nothing is changed here.

Rules of this file
- An entry's id says which positions it holds (<last position>-<record count>), and its frame has to say the same.
- Whatever can't be trusted is JournalCorruptError, with the key and the entry's id.

It doesn't know how far the journal reaches, what was trimmed or cut, or who owns it: redis_journal.py and
redis_journal_owner.py do. Costs: a round trip a call, for up to REPLAY_ENTRY_COUNT entries.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from persistence.errors import JournalCorruptError
from persistence.redis_server import RedisServer, shard_key
from persistence.segment_format import (
    FRAME_HEADER_BYTES,
    DefectError,
    FrameHeader,
    decode_frame_header,
    decode_payload,
    encode_frame,
)

SYNC = b"RKREDIS\x01"  # begins every frame; entries are apart already, so it needn't be random
REPLAY_ENTRY_COUNT = 16  # entries fetched at once: 16 MiB


class StreamEntry(NamedTuple):
    """One entry, its frame not looked at yet. name: its id, which says that it holds the positions first to last."""

    name: str
    first: int
    last: int
    frame: bytes


class NewEnd(NamedTuple):
    """The frame that ends a stream once it is cut after position `last`.

    mark: as `mark_of`, "" if no frame stays. base: the position before that frame, or `last` if it needn't be made:
    then entry (its id) and frame are empty.
    """

    last: int
    mark: str
    base: int
    entry: str = ""
    frame: bytes = b""


class RedisStream:
    """Reads the stream of one shard. Any thread.

    Each method raises JournalUnavailableError or JournalFailedError if the server doesn't answer.
    """

    def __init__(self, server: RedisServer, namespace: str, shard: int) -> None:
        self._server, self.key = server, shard_key(namespace, shard, "journal")
        self.where = f"{server.name} {self.key}"

    def first_position(self, last: int) -> int:
        """Return the oldest position held, or last + 1. Raises JournalCorruptError if it doesn't end at `last`."""
        with self._server.translating("reading the journal's ends"):
            newest = self._server.client.xrevrange(self.key, count=1)
            oldest = self._server.client.xrange(self.key, count=1) if newest else []
        if newest and (entry := _entry(newest[0])).last != last:
            raise self._corrupt(entry, f"it is the newest entry, the journal should end at {last}")
        return _entry(oldest[0]).first if oldest else last + 1

    def entries_from(self, position: int, count: int = REPLAY_ENTRY_COUNT) -> list[StreamEntry]:
        """Return up to `count` entries, in order: the one that holds this position, if any does, and later ones."""
        with self._server.translating("reading the journal"):
            found = self._server.client.xrange(self.key, min=f"{position}-0", count=count)
        return [_entry(each) for each in found]

    def records(self, entry: StreamEntry) -> list[bytes]:
        """Return an entry's records, verified. Raises JournalCorruptError."""
        return self._verified(entry)[1]

    def new_end(self, position: int) -> NewEnd:
        """Return what the stream ends with once it is cut after a position that it holds. Raises JournalCorruptError.

        An entry with records on both sides becomes a frame of those that stay, under its own epoch.
        """
        found = self.entries_from(position, count=1)
        if not found:
            raise JournalCorruptError(f"{self.where}: position {position} is missing", path=self.key, offset=position)
        [entry] = found
        if entry.first > position:
            raise self._corrupt(entry, f"position {position} before it is missing")
        header, records = self._verified(entry)
        if entry.last == position:
            return NewEnd(position, mark_of(entry.frame), position)
        kept = records[: position + 1 - entry.first]
        frame = encode_frame(kept, entry.first, header.epoch, SYNC)
        return NewEnd(position, mark_of(frame), entry.first - 1, f"{position}-{len(kept)}", frame)

    def _verified(self, entry: StreamEntry) -> tuple[FrameHeader, list[bytes]]:
        try:
            header = decode_frame_header(entry.frame, SYNC, len(entry.frame))
            records = decode_payload(header, entry.frame[FRAME_HEADER_BYTES:])
        except DefectError as error:
            raise self._corrupt(entry, str(error)) from error
        if (header.first_position, header.record_count) != (entry.first, entry.last - entry.first + 1):
            raise self._corrupt(entry, f"its frame has {header.record_count} records from {header.first_position}")
        return header, records

    def _corrupt(self, entry: StreamEntry, reason: str) -> JournalCorruptError:
        return JournalCorruptError(f"{self.where}: entry {entry.name}: {reason}", path=self.key, offset=entry.last)


def positions_of(name: str) -> tuple[int, int]:
    """Return the first and the last position that an entry's id names."""
    last, _, count = name.partition("-")
    return int(last) - int(count) + 1, int(last)


def mark_of(frame: bytes) -> str:
    """Return by which a frame is known to those that follow it: its CRC, in hexadecimal."""
    return f"{zlib.crc32(frame):08x}"


def _entry(found: tuple[bytes, dict[bytes, Any]]) -> StreamEntry:
    """Return what redis-py gives for one entry. A frame that isn't there is an empty one, which can't be trusted."""
    name = found[0].decode()
    return StreamEntry(name, *positions_of(name), found[1].get(b"f", b""))
