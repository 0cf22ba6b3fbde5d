"""Identifiers: which shard owns what, readable from the id alone.

A tweet id is 64 bits:  48 bits Unix ms | 10 bits bucket of the author | 6 bits sequence
so ids sort by time, any id says which bucket its tweet lives in, and a time turns into an id with `ms << 16`
(clients of the Mastodon API do exactly that).

An account id is any positive signed 64-bit integer. `bucket = splitmix64(id) % 1024`; a user name has a bucket too
(where its reservation lives). New accounts get an id whose bucket equals that of their name, so that registering
touches one shard; imported accounts may have any id.

A thing is what owns shelves and is neither an account nor a tweet: a list, a filter, an app. Its id has its bucket
where a tweet's has it, and says which of two makes it is:
    of an account   0 | 47 bits Unix ms | 10 bits bucket of the account | 6 bits sequence     drawn as a tweet's is
    named           1 | 46 bits of a hash | 10 bits of it, the bucket | 6 bits of it          SHA-256 of its name
So whoever knows an app's client id knows where the app is. A drawn id is no tweet's, as one clock draws both, and no
named one before the year 4199. Whether a number is a thing's, a tweet's or an account's, it doesn't say: whoever keeps
one declares of whom it is (`terms.Owner`).

Costs: everything here is O(1); `buckets_of_accounts` is vectorised, 8 ns an id.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
import numpy.typing as npt

BUCKET_COUNT = 1024
SHARD_COUNT_MAX = 256  # a bucket's shard is one byte; 256 shards are 4 buckets each
SEQUENCE_COUNT = 64  # tweets of one bucket in one millisecond
ID_MAX = (1 << 63) - 1
NAMED_THING = 1 << 62  # the bit that ids of named things have, and no drawn one
_MASK64 = (1 << 64) - 1


def bucket_of_account(account_id: int) -> int:
    """Return the bucket (0..1023) that owns an account; splitmix64's finaliser (Steele et al., OOPSLA 2014)."""
    x = (account_id + 0x9E3779B97F4A7C15) & _MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return (x ^ (x >> 31)) & (BUCKET_COUNT - 1)


def buckets_of_accounts(account_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the bucket of each account id: the vectorised `bucket_of_account`."""
    with np.errstate(over="ignore"):
        x = account_ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x & np.uint64(BUCKET_COUNT - 1)).astype(np.int64)


def distinct_shards(owners: npt.NDArray[np.int64]) -> list[int]:
    """Return which shards there are among some, ascending."""
    return np.nonzero(np.bincount(owners))[0].tolist()


def bucket_of_name(username: str) -> int:
    """Return the bucket (0..1023) that holds the reservation of a user name; names compare without case."""
    return zlib.crc32(username.lower().encode()) & (BUCKET_COUNT - 1)


def bucket_of_tweet(tweet_id: int) -> int:
    """Return the bucket (0..1023) of a tweet's author, read from the id."""
    return (tweet_id >> 6) & (BUCKET_COUNT - 1)


def buckets_of_tweets(tweet_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """As `bucket_of_tweet` for many."""
    return (tweet_ids >> 6) & (BUCKET_COUNT - 1)


def bucket_of_thing(thing_id: int) -> int:
    """Return the bucket (0..1023) that owns a thing: it is where a tweet's is."""
    return bucket_of_tweet(thing_id)


def buckets_of_things(thing_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """As `bucket_of_thing` for many."""
    return buckets_of_tweets(thing_ids)


def thing_of_name(name: str) -> int:
    """Return the id of a named thing; two names have one id by a chance of 1 in 2**62. 1 us."""
    return NAMED_THING | int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) & (NAMED_THING - 1)


def ms_of_tweet(tweet_id: int) -> int:
    """Return the Unix time of a tweet in milliseconds, read from the id."""
    return tweet_id >> 16


def make_tweet_id(ms: int, bucket: int, sequence: int) -> int:
    """Compose a tweet id. ms: Unix ms < 2**47; bucket: 0..1023; sequence: 0..63."""
    return (ms << 16) | (bucket << 6) | sequence


class TweetIdClock:
    """Hands out tweet ids that only ever grow within a bucket, whatever the wall clock does.

    The 65th tweet of a bucket in one millisecond takes the next millisecond. `observe` is called for every applied
    tweet, so after a recovery (or on a replica that is promoted) ids go on above all that exist.
    """

    def __init__(self) -> None:
        self.last: dict[int, int] = {}  # bucket -> highest id handed out, also of tweets that were deleted since

    def observe(self, tweet_id: int) -> None:
        """Remember that this id is taken."""
        bucket = bucket_of_tweet(tweet_id)
        if tweet_id > self.last.get(bucket, 0):
            self.last[bucket] = tweet_id

    def observe_many(self, tweet_ids: list[int]) -> None:
        """As `observe` for each."""
        last = self.last
        for tweet_id in tweet_ids:
            bucket = (tweet_id >> 6) & (BUCKET_COUNT - 1)
            if tweet_id > last.get(bucket, 0):
                last[bucket] = tweet_id

    def take(self, bucket: int, now_ms: int) -> int:
        """Return an unused id as `next_id` does, and remember that it is taken."""
        tweet_id = self.last[bucket] = self.next_id(bucket, now_ms)
        return tweet_id

    def next_id(self, bucket: int, now_ms: int) -> int:
        """Return an unused id for a tweet of that bucket: at now_ms, or just above the bucket's last id."""
        last = self.last.get(bucket, 0)
        tweet_id = make_tweet_id(now_ms, bucket, 0)
        if tweet_id <= last:
            ms, sequence = last >> 16, (last & (SEQUENCE_COUNT - 1)) + 1
            if sequence == SEQUENCE_COUNT:
                ms, sequence = ms + 1, 0
            tweet_id = make_tweet_id(ms, bucket, sequence)
        return tweet_id
