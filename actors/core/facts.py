"""The facts of a tweet that only renderers and search look at: packed once, passed on unread, and able to grow.

    version 0   msgpack [text, username, in_reply_to, media_ids, entities, edited_ms]       its first byte is 0x96
    version 1   0x01, then a msgpack map of small numbers: what is 0 or empty is absent

    0 text          1 username     2 in_reply_to   3 media_ids   4 entities (packed)   5 edited_ms

Rules of this file
- One reader, one writer. Numbers are never used again for something else; a number that this code doesn't know is kept
  as it is, in `more`, and written again.
- Version 0 is read for ever: journals, checkpoints and backups hold it. It is written while some process of the cluster
  reads nothing newer (level 0 of `levels.py`), and can hold nothing but the six.

Costs: 1.1 us to read; beyond text and user name a tweet without anything else has 4 bytes, with a reply 13.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

TEXT, USERNAME, IN_REPLY_TO, MEDIA_IDS, ENTITIES, EDITED_MS = range(6)
NUMBER_BYTES_MAX: Final = 9  # of one packed number, for what has to bound a body
VERSION_MAP: Final = 1
MAP_FROM_LEVEL: Final = 1  # of the cluster, see levels.py: from there on facts are written as maps
_MAP: Final = bytes((VERSION_MAP,))
_TUPLE_OF_SIX: Final = 0x96
_NOTHING: Final[dict[int, Any]] = {}


class Facts(NamedTuple):
    """What a tweet says. in_reply_to: tweet id, 0 for none; entities: packed, b"" for none; edited_ms: 0 for never.

    more: facts by number that this version has no name for.
    """

    text: str
    username: str
    in_reply_to: int = 0
    media_ids: list[int] | tuple[int, ...] = ()
    entities: bytes = b""
    edited_ms: int = 0
    more: dict[int, Any] = _NOTHING


def read_facts(body: bytes) -> Facts:
    """Return the facts of a packed body of any version. Raises ValueError or TypeError for what is none."""
    if body[:1] == _MAP:
        found = msgpack.unpackb(memoryview(body)[1:], raw=False, strict_map_key=False)
        if type(found) is not dict:
            raise ValueError(f"a tweet's facts are a map, not a {type(found).__name__}")
        take = found.pop
        return Facts(
            take(TEXT, ""), take(USERNAME, ""), take(IN_REPLY_TO, 0), take(MEDIA_IDS, ()), take(ENTITIES, b""),
            take(EDITED_MS, 0), found,
        )  # fmt: skip
    if body[:1] != b"\x96":
        raise ValueError(f"a tweet's facts begin with {body[:1]!r}, which is no version that this code reads")
    return Facts(*msgpack.unpackb(body, raw=False, strict_map_key=False))


def pack_facts(facts: Facts, as_map: bool = True) -> bytes:
    """Pack facts; as_map: version 1, else version 0. Raises ValueError for what version 0 can't hold."""
    if not as_map:
        if facts.more:
            raise ValueError(f"facts {sorted(facts.more)} need a cluster whose processes all read them")
        six: bytes = msgpack.packb([*facts[:3], list(facts.media_ids), *facts[4:6]], use_bin_type=True)
        return six
    named = {number: value for number, value in enumerate(facts[:6]) if value}
    packed: bytes = msgpack.packb({**named, **facts.more}, use_bin_type=True)
    return _MAP + packed
