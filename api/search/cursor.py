"""Cursors of `order=top`: as of when ages count, and which tweets the pages before had.

    t base64url( ms  count  id  difference  difference ...  CRC-32 )          numbers as LEB128, ids ascending

A rank moves with every like, and with every tweet that makes a word less rare. So where the last page ended says
nothing about what was shown; the tweets themselves do. The next page is the best of all others.

Rules of this file
- Everything is in it: any worker goes on with it, also after a restart.
- Nothing is believed of it but which tweets aren't wanted: whoever makes one up spoils his own pages only. The checksum
  is there for those that were cut or mixed up on the way.
- Bounded, so that it fits into a URL: a list by rank has RANKED_COUNT_MAX tweets (`actors/core/limits.py`).

How it works
An id is 48 bits of time, 10 of the author's bucket, 6 of a sequence that is nearly always 0. Of the sequence one bit is
kept, and the number behind it if that is set: 5 bytes a tweet if 500 lie within a month, 7 at most.

Costs: 0.5 us a tweet to make one, 0.8 to read it.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable

from actors.core.errors import MalformedError
from actors.core.ids import ID_MAX, SEQUENCE_COUNT
from actors.core.limits import RANKED_COUNT_MAX

MARK = "t"  # of this form; those that were a time, a score and an id began with a digit
CHARS_MAX = 6_100  # RANKED_COUNT_MAX tweets of whatever times; those of a month take 3,400, of ten years 4,100
_CRC_BYTES = 4
_NUMBER_BYTES_MAX = 9  # of 63 bits
_SEQUENCE_BITS = SEQUENCE_COUNT.bit_length() - 1
_OLD_FORM = re.compile(r"[0-9]{1,20}_[0-9a-fx.p+-]{1,30}_[0-9]{1,20}", re.ASCII)


def cursor_of_top(at_ms: int, shown: bytes, more: Iterable[int]) -> str:
    """Return the cursor of the page after one. at_ms: of when ages count; shown: as in `Question`; more: the page's."""
    ids = sorted([*unpack_ids(shown), *more])
    data = bytearray()
    _append(data, at_ms)
    _append(data, len(ids))
    before = 0
    for tweet_id in ids:
        sequence = tweet_id & (SEQUENCE_COUNT - 1)
        number = tweet_id >> _SEQUENCE_BITS << 1 | (sequence > 0)
        _append(data, number - before)
        before = number
        if sequence:
            data.append(sequence)
    data += zlib.crc32(data).to_bytes(_CRC_BYTES, "little")
    return MARK + urlsafe_b64encode(data).rstrip(b"=").decode()


def parse_cursor_of_top(cursor: str) -> tuple[int, bytes]:
    """Return (at_ms, shown) of a cursor. Raises MalformedError."""
    if _OLD_FORM.fullmatch(cursor):
        raise MalformedError("this cursor is of an older version: begin again, without one", "cursor")
    try:
        at_ms, ids = _read(cursor)
    except (ValueError, IndexError) as error:
        raise MalformedError("cursor must be a `next_cursor` of a page of order=top", "cursor") from error
    return at_ms, pack_ids(ids)


def pack_ids(ids: Iterable[int]) -> bytes:
    """Return tweet ids as int64 bytes, as the lane's `search` takes them."""
    listed = list(ids)
    return struct.pack(f"<{len(listed)}q", *listed)


def unpack_ids(packed: bytes) -> tuple[int, ...]:
    """Return what was packed."""
    return struct.unpack(f"<{len(packed) // 8}q", packed)


def _append(data: bytearray, number: int) -> None:
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)


def _read(cursor: str) -> tuple[int, list[int]]:
    """Raises ValueError, IndexError for what `cursor_of_top` doesn't make."""
    if len(cursor) > CHARS_MAX or not cursor.isascii() or cursor[:1] != MARK:
        raise ValueError("no cursor of top")
    coded = cursor[1:].encode()
    data = b64decode(coded + b"=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    data, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if zlib.crc32(data).to_bytes(_CRC_BYTES, "little") != crc:
        raise ValueError("another checksum")
    at_ms, at = _number(data, 0)
    count, at = _number(data, at)
    if not (0 < at_ms <= ID_MAX and 0 < count < RANKED_COUNT_MAX):
        raise ValueError("out of range")
    ids: list[int] = []
    number = 0
    for _ in range(count):
        difference, at = _number(data, at)
        number += difference
        sequence = 0
        if number & 1:
            sequence, at = data[at], at + 1
            if not 0 < sequence < SEQUENCE_COUNT:
                raise ValueError("no sequence")
        ids.append(number >> 1 << _SEQUENCE_BITS | sequence)
    if at != len(data) or ids[0] <= 0 or ids[-1] > ID_MAX:
        raise ValueError("out of range, or something behind it")
    return at_ms, ids


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins there, and where the next one does."""
    number = 0
    for shift in range(0, 7 * _NUMBER_BYTES_MAX, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return number, at
    raise ValueError("a number without an end")
