"""A tweet as it travels between shards and rests in columns.

An *entry* is a list, packed once with msgpack and passed on unread wherever possible:

    [tweet_id, author_id, flags, reply_author, orig_id, orig_author, replies, reposts, likes, body, mention_ids, orig]

flags          FLAG_* of kernels.py (reply, repost, followers-only, direct)
reply_author   author of the tweet that this one answers, 0 for none
orig_id        the tweet itself, or what it reposts; orig_author likewise (its own author when it is no repost)
body           msgpack [text, username, in_reply_to, media_ids, entities, edited_ms]: facts, not a rendering; never
               parsed on the way
mention_ids    accounts mentioned (who may see a direct tweet)
orig           for a repost: the packed entry of the original, else None
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from actors.core import kernels

NUMBERS = ("tweet_id", "author_id", "flags", "reply_author", "orig_id", "orig_author", "replies", "reposts", "likes")
NO_MENTIONS = msgpack.packb([])
BYTES_OBJECT = 41  # what CPython adds to the bytes of a body, with its place in a list
VISIBILITY_FLAGS = {0: 0, 1: kernels.FLAG_FOLLOWERS, 2: kernels.FLAG_DIRECT}


class Entry(NamedTuple):
    """One tweet or repost; see the header for the fields."""

    tweet_id: int
    author_id: int
    flags: int
    reply_author: int
    orig_id: int
    orig_author: int
    replies: int
    reposts: int
    likes: int
    body: bytes
    mention_ids: list[int]
    orig: bytes | None

    @property
    def is_repost(self) -> bool:
        return bool(self.flags & kernels.FLAG_REPOST)


def visibility_of(flags: int) -> int:
    """Return 0 public, 1 followers, 2 direct."""
    return 2 if flags & kernels.FLAG_DIRECT else 1 if flags & kernels.FLAG_FOLLOWERS else 0


def pack(value: Any) -> bytes:
    """Encode with msgpack as everywhere in Rookery: bytes as bin, text as str."""
    return msgpack.packb(value, use_bin_type=True)  # type: ignore[no-any-return]


def unpack(data: bytes) -> Any:
    """Decode what `pack` made. 64-bit integer map keys are allowed."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)


def pack_body(text: str, username: str, in_reply_to: int, media_ids: list[int], entities: bytes) -> bytes:
    """Pack the facts of a tweet that only a renderer looks at."""
    return pack([text, username, in_reply_to, media_ids, entities, 0])
