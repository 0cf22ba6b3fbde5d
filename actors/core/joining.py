"""A tweet in pieces, and how they become the JSON that one reader is shown: for shards and for API workers.

    piece (the tweet, counts at its end)  +  account (its author)  +  end (what the reader has done; what it reposts)

Rules of this file
- The three lie one behind the other: a tweet is shown by joining bytes, and nothing is made on the way. What stands
  between them is the renderer's, as parts of them. A repost has what it reposts in its end, all of it once more.
- `ends` is by the byte of `features/viewer_flags.py`, whose highest bit is nobody's yet.
- The author's shard has the pieces, the reader's shard the flags. Where these are two, whoever asked both joins:
  `flagged` says of what the flags are asked for (`viewer_flags`), `join_tweets` takes both.

Cost: 20 tweets of 1.9 KB 6 us; a repost among them 0.3 us more (`python -m tests.core.measure_shapes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from actors.core.pieces import PieceMaker
from actors.core.stores.people import Account, AccountCounts

Ints = npt.NDArray[np.int64]


class Ends(Protocol):
    """What tweets end with: all that whoever joins has to know of a renderer. Constants, the lists by flags."""

    ends: Sequence[bytes]
    """Of tweets that repost nothing."""
    opening: bytes
    """Of a repost, before what it reposts, which follows as the reader is shown it by itself."""
    closings: Sequence[bytes]
    """Of a repost, behind that."""


class JoiningRenderer(PieceMaker, Ends, Protocol):
    """How tweets are shown with their author's account and what the reader has done about them."""

    def account(self, account: Account, counts: AccountCounts) -> bytes:
        """Return what is shown of an author. Where he isn't known: an account of an id and a name, and nothing else."""
        ...


class TweetPieces(NamedTuple):
    """A tweet in pieces. On the lane it is a list of these values; original: what a repost reposts, as one again.

    orig_id: of a tweet that reposts nothing its own.
    """

    tweet_id: int
    author_id: int
    orig_id: int
    piece: bytes
    account: bytes
    original: TweetPieces | None

    @classmethod
    def of(cls, values: list[Any]) -> Self:
        """Take what came over the lane. Raises TypeError, ValueError."""
        tweet_id, author_id, orig_id, piece, account, original = values
        return cls(tweet_id, author_id, orig_id, piece, account, None if original is None else cls.of(original))


def flagged(tweets: Sequence[TweetPieces]) -> tuple[list[int], list[int], list[int]]:
    """Return (tweet ids, ids of originals, author ids) of tweets, and of what they repost behind them, in order."""
    every = [*tweets, *(tweet.original for tweet in tweets if tweet.original is not None)]
    return [t.tweet_id for t in every], [t.orig_id for t in every], [t.author_id for t in every]


def join_tweets(renderer: Ends, tweets: Sequence[TweetPieces], flags: bytes | None) -> list[bytes]:
    """Return the JSON of each tweet. flags: as many as `flagged` names; None: there are none of any."""
    none, opening = renderer.ends[0], renderer.opening
    if flags is None:
        flags = bytes(2 * len(tweets))
    of_originals = iter(flags[len(tweets) :])
    joined = []
    for tweet, flag in zip(tweets, flags, strict=False):
        inner = tweet.original
        if inner is None:
            end = renderer.ends[flag] if flag else none
        else:
            whole = (opening, inner.piece, inner.account, renderer.ends[next(of_originals)], renderer.closings[flag])
            end = b"".join(whole)
        joined.append(tweet.piece + tweet.account + end)
    return joined
