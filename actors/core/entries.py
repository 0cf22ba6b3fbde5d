"""A tweet as it travels between shards and rests in columns.

An *entry* is a list, packed once with msgpack and passed on unread wherever possible:

    [tweet_id, author_id, flags, reply_author, orig_id, orig_author, replies, reposts, likes, body, mention_ids, orig]

flags          FLAG_* of flags.py (reply, repost, followers-only, direct)
reply_author   author of the tweet that this one answers, 0 for none
orig_id        the tweet itself, or what it reposts; orig_author likewise (its own author when it is no repost)
body           packed facts (`facts.py`), not a rendering; never parsed on the way
mention_ids    accounts mentioned (who may see a direct tweet)
orig           for a repost: the packed entry of the original, else None
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import msgpack
import numpy as np
import numpy.typing as npt

from actors.core import flags as bits

Ints = npt.NDArray[np.int64]
NUMBERS = ("tweet_id", "author_id", "flags", "reply_author", "orig_id", "orig_author", "replies", "reposts", "likes")
NO_MENTIONS = msgpack.packb([])
BYTES_OBJECT = 41  # what CPython adds to the bytes of a body, with its place in a list
PUBLIC, UNLISTED = 0, 3  # of visibilities
VISIBILITY_FLAGS = {PUBLIC: 0, 1: bits.FLAG_FOLLOWERS, 2: bits.FLAG_DIRECT, UNLISTED: bits.FLAG_UNLISTED}
REPOSTED_VISIBILITIES = (PUBLIC, UNLISTED)  # of what may be reposted


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
        return bool(self.flags & bits.FLAG_REPOST)


class TweetBatch:
    """Plain tweets (no reposts, nothing direct, no counts yet) as columns: how many travel, and are stored, at once.

    tweet_id, author_id, reply_author int64[k]; flags uint8[k]; bodies: k packed bodies; mentions: by index, where a
    tweet mentions somebody (only its own shard needs that).
    """

    __slots__ = ("author_id", "bodies", "flags", "id_list", "mentions", "reply_author", "tweet_id")

    def __init__(
        self, tweet_id: Ints, author_id: Ints, flags: npt.NDArray[np.uint8], reply_author: Ints, bodies: list[bytes],
        mentions: dict[int, list[int]],
    ) -> None:  # fmt: skip
        self.tweet_id, self.author_id, self.flags, self.reply_author = tweet_id, author_id, flags, reply_author
        self.bodies, self.mentions = bodies, mentions
        self.id_list: list[int] = tweet_id.tolist()

    def __len__(self) -> int:
        return len(self.bodies)

    def columns(self) -> tuple[tuple[str, Any], ...]:
        """Return (name, values) of every number of an entry."""
        return (
            ("tweet_id", self.tweet_id), ("author_id", self.author_id), ("flags", self.flags),
            ("reply_author", self.reply_author), ("orig_id", self.tweet_id), ("orig_author", self.author_id),
            ("replies", 0), ("reposts", 0), ("likes", 0),
        )  # fmt: skip

    def entries(self) -> list[Entry]:
        """Return the tweets one by one."""
        numbers = zip(
            self.id_list, self.author_id.tolist(), self.flags.tolist(), self.reply_author.tolist(), self.bodies,
            strict=True,
        )  # fmt: skip
        return [
            Entry(t, a, f, r, t, a, 0, 0, 0, body, self.mentions.get(i, []), None)
            for i, (t, a, f, r, body) in enumerate(numbers)
        ]

    def take(self, index: npt.NDArray[np.intp]) -> TweetBatch:
        """Return some of the tweets, without their mentions."""
        bodies = self.bodies
        return TweetBatch(
            self.tweet_id[index], self.author_id[index], self.flags[index], self.reply_author[index],
            [bodies[i] for i in index.tolist()], {},
        )  # fmt: skip

    def to_message(self) -> list[Any]:
        """Return the fields of a `tweets` message."""
        numbers = (self.tweet_id, self.author_id, self.reply_author)
        return [*(values.astype("<i8").tobytes() for values in numbers), self.flags.tobytes(), self.bodies]

    @classmethod
    def from_message(cls, ids: bytes, authors: bytes, reply_authors: bytes, flags: bytes, bodies: list[bytes]) -> Self:
        """Make a batch of what `to_message` returned."""
        tweet_id, author_id, reply_author = (
            np.frombuffer(packed, dtype="<i8").astype(np.int64) for packed in (ids, authors, reply_authors)
        )
        return cls(tweet_id, author_id, np.frombuffer(flags, dtype=np.uint8), reply_author, bodies, {})


def visibility_of(flags: int) -> int:
    """Return 0 public, 1 followers, 2 direct, 3 unlisted."""
    if flags & bits.FLAG_DIRECT:
        return 2
    return 1 if flags & bits.FLAG_FOLLOWERS else UNLISTED if flags & bits.FLAG_UNLISTED else PUBLIC


def pack(value: Any) -> bytes:
    """Encode with msgpack as everywhere in Rookery: bytes as bin, text as str.

    What `msgpack.packb` does, without 0.3 us for its keyword arguments. No packer is kept: its buffer would stay as
    large as the largest value, and threads would share it.
    """
    return msgpack.Packer().pack(value)  # type: ignore[no-any-return]


def unpack(data: bytes) -> Any:
    """Decode what `pack` made. 64-bit integer map keys are allowed."""
    return msgpack.unpackb(data, raw=False, strict_map_key=False)
