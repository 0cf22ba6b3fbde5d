"""Cursors: the text from which a stream goes on, opaque to clients.

    base64url of: version 1 | newest tweet id | shard, incarnation, number | shard, incarnation, number | ...   varints

Rules of this file
- One source a shard that the stream hears; a stream of one account has one. The newest tweet id is for whoever reads
  again because the exact way is lost.
- Whatever a client sends is read, or is no cursor: never an error, never more than CURSOR_BYTES_MAX looked at.
- A cursor is no right: whoever resumes is asked for its rights again.

Cost: 1 us a source.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from api.streaming.events import CURSOR_BYTES_MAX

_VERSION: Final = 1
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_VARINT_BYTES_MAX: Final = 10


class Position(NamedTuple):
    """How far a shard was heard. incarnation 0: nowhere that is known."""

    incarnation: int
    number: int


NOWHERE: Final = Position(0, 0)


class Cursor(NamedTuple):
    """What a cursor says. newest_id: the newest tweet that was heard of, 0 for none."""

    newest_id: int
    sources: Mapping[int, Position]


def _put(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def write_cursor(newest_id: int, sources: Iterable[tuple[int, Position]]) -> str:
    """Return a cursor as text; "" if it would be longer than CURSOR_BYTES_MAX."""
    out = bytearray((_VERSION,))
    _put(out, newest_id)
    for shard, position in sources:
        _put(out, shard)
        _put(out, position.incarnation)
        _put(out, position.number)
    text = base64.urlsafe_b64encode(out).rstrip(b"=").decode()
    return text if len(text) <= CURSOR_BYTES_MAX else ""


def read_cursor(text: str) -> Cursor | None:
    """Return what a text says, None if it is no cursor."""
    if len(text) > CURSOR_BYTES_MAX or not _PLAIN.fullmatch(text):
        return None
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    values = _numbers(packed[1:])
    if packed[:1] != bytes((_VERSION,)) or values is None or len(values) % 3 != 1:
        return None
    rest = values[1:]
    sources = {rest[i]: Position(rest[i + 1], rest[i + 2]) for i in range(0, len(rest), 3)}
    return Cursor(values[0], sources)


def _numbers(packed: bytes) -> list[int] | None:
    """Return varints, each below 2**63; None if there is anything else."""
    values, value, shift = [], 0, 0
    for byte in packed:
        value |= (byte & 127) << shift
        shift += 7
        if shift > 7 * _VARINT_BYTES_MAX or value >= 1 << 63:
            return None
        if byte < 128:
            values.append(value)
            value = shift = 0
    return None if shift else values
