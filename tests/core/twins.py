"""Plain twins of the core's structures and kernels: dicts, lists and loops that say what those must do.

Rules of this file
- Nothing from the core but constants; slow on purpose; a twin keeps whole histories where the real thing forgets.
- Where the real thing may give up more than it must (floors may be higher than needed), a twin says what it may not.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

REPLY, REPOST, FOLLOWERS, DIRECT, DELETED = 1, 2, 4, 8, 16
WINDOW = 40


class Tweet(NamedTuple):
    """What the filters look at."""

    tweet_id: int
    author: int
    flags: int = 0
    reply_author: int = 0
    orig: int = 0
    orig_author: int = 0


class TwinArena:
    """A `BlockArena`: a dict of lists."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def append_many(self, rows: list[int], values: list[int]) -> None:
        for row, value in zip(rows, values, strict=True):
            if row >= 0:
                self.rows.setdefault(row, []).append(value)

    def append_many_absent(self, rows: list[int], values: list[int]) -> list[bool]:
        added = []
        for row, value in zip(rows, values, strict=True):
            new = row >= 0 and value not in self.rows.get(row, [])
            added.append(new)
            if new:
                self.rows.setdefault(row, []).append(value)
        return added

    def remove(self, row: int, value: int) -> int:
        if value not in self.rows.get(row, []):
            return -1
        index = self.rows[row].index(value)
        del self.rows[row][index]
        return index

    def view(self, row: int) -> list[int]:
        return self.rows.get(row, [])


class TwinArrivals:
    """The window of arrivals: the newest `capacity` in order of arrival, each with the tweet it brought."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.window: OrderedDict[int, Tweet] = OrderedDict()  # count of arrivals -> tweet
        self.count = 0
        self.lost_max_id = 0
        self.deleted: set[int] = set()  # counts of arrivals

    def number_of(self, tweet_id: int) -> int | None:
        for count, tweet in reversed(self.window.items()):
            if tweet.tweet_id == tweet_id:
                return None if count in self.deleted else count
        return None

    def add(self, tweet: Tweet) -> tuple[int, bool, int | None]:
        """Return (count, whether it is new, the tweet id that left for it and can't be found any more)."""
        known = self.number_of(tweet.tweet_id)
        if known is not None:
            return known, False, None
        gone = None
        if len(self.window) == self.capacity:
            oldest = next(iter(self.window))
            if self.number_of(self.window[oldest].tweet_id) == oldest:
                gone = self.window[oldest].tweet_id
            self.lost_max_id = max(self.lost_max_id, self.window.pop(oldest).tweet_id)
        count, self.count = self.count, self.count + 1
        self.window[count] = tweet
        return count, True, gone

    def mark_deleted(self, tweet_id: int) -> bool:
        count = self.number_of(tweet_id)
        if count is None:
            return False
        self.deleted.add(count)
        return True


class TwinRings:
    """All that was ever to be in a ring. A real one must hold just what of it is above its floor."""

    def __init__(self) -> None:
        self.wanted: dict[int, set[int]] = {}  # awake row -> tweet ids

    def wake(self, row: int) -> None:
        self.wanted[row] = set()

    def sleep(self, row: int) -> None:
        self.wanted.pop(row, None)

    def insert(self, row: int, tweet_id: int) -> None:
        if row in self.wanted:
            self.wanted[row].add(tweet_id)

    def above(self, row: int, floor: int) -> list[int]:
        return sorted(t for t in self.wanted.get(row, ()) if t > floor)


class TwinGraph:
    """Follow edges and relations as sets."""

    def __init__(self) -> None:
        self.following: dict[int, list[int]] = {}  # own id -> targets in order
        self.followers: dict[int, list[tuple[int, int]]] = {}  # row -> (source, its shard)
        self.relations: set[tuple[int, int, int]] = set()

    def follow(self, own_id: int, target: int) -> bool:
        mine = self.following.setdefault(own_id, [])
        if target in mine:
            return False
        mine.append(target)
        return True

    def unfollow(self, own_id: int, target: int) -> bool:
        if target not in self.following.get(own_id, []):
            return False
        self.following[own_id].remove(target)
        return True

    def local_followers(self, target: int) -> set[int]:
        return {own for own, targets in self.following.items() if target in targets and own != target}


def is_candidate(tweet: Tweet, me: int, following: list[int], hidden: list[int]) -> bool:
    """The rules for one tweet that is in reach, one after the other."""
    if tweet.flags & DELETED:
        return False
    if tweet.author != me and tweet.author in hidden:
        return False
    if tweet.flags & REPOST and (tweet.orig_author in hidden or (tweet.author != me and -tweet.author in hidden)):
        return False
    if tweet.flags & REPLY and tweet.author != me:
        return tweet.reply_author in (me, tweet.author) or tweet.reply_author in following
    return True


def home(tweets: list[Tweet], me: int, following: list[int], hidden: list[int]) -> list[int]:
    """Return the whole timeline by the definition, newest first. tweets: all that are in reach."""
    newest_first = sorted(tweets, reverse=True)
    candidates = [t for t in newest_first if is_candidate(t, me, following, hidden)]
    return [
        tweet.tweet_id
        for i, tweet in enumerate(candidates)
        if not (tweet.flags & REPOST and any(o.orig == tweet.orig for o in candidates[i + 1 : i + 1 + WINDOW]))
    ]


class TwinClock:
    """Tweet ids of a bucket: the first unused one at or after the time."""

    def __init__(self) -> None:
        self.used: dict[int, int] = {}

    def next_id(self, bucket: int, now_ms: int) -> int:
        last = self.used.get(bucket, -1)
        ms, sequence = now_ms, 0
        while True:
            candidate = ms * 65536 + bucket * 64 + sequence
            if candidate > last:
                return candidate
            ms, sequence = (ms, sequence + 1) if sequence < 63 else (ms + 1, 0)

    def observe(self, bucket: int, tweet_id: int) -> None:
        self.used[bucket] = max(self.used.get(bucket, -1), tweet_id)


def newest_of_logs(logs: list[list[int]], max_id: int, since_id: int, count: int) -> list[int]:
    """Per log, its newest `count` ids within the two, one log after the other."""
    return [t for log in logs for t in [x for x in reversed(log) if since_id < x < max_id][:count]]


def oldest_of_logs(logs: list[list[int]], min_id: int, count: int) -> list[int]:
    """Per log, the `count` ids just above min_id."""
    return [t for log in logs for t in [x for x in log if x > min_id][:count]]


class TwinPostings:
    """Posting lists: every document whole, looked at one by one.

    A document is (tweet id, slot, language, length, stems, tfs, terms); a wanted word is (word, {language: stem where
    that isn't the word itself}).
    """

    def __init__(self, tf_max: int, length_max: int) -> None:
        self.tf_max, self.length_max = tf_max, length_max
        self.documents: list[tuple] = []

    def frequency(self, document: tuple, word: tuple[str, dict[str, str]]) -> int:
        lang, stems, tfs = document[2], document[4], document[5]
        return min(dict(zip(stems, tfs, strict=True)).get(word[1].get(lang, word[0]), 0), self.tf_max)

    def matching(self, words, terms, no_words=(), no_terms=(), since_id: int = 0, max_id: int = 0) -> list[tuple]:
        """Return documents, newest first."""
        return [
            d for d in reversed(self.documents)
            if since_id <= d[0] < (max_id or d[0] + 1)
            and all(self.frequency(d, word) for word in words) and set(terms) <= set(d[6])
            and not any(self.frequency(d, word) for word in no_words) and not set(no_terms) & set(d[6])
        ]  # fmt: skip

    def score(self, document: tuple, words) -> float:
        """Return the BM25 of the words, each weighed by how many documents of that language have it; 1 without any."""
        if not words:
            return 1.0
        count = len(self.documents)
        lengths = [min(d[3], self.length_max) for d in self.documents]
        mean = sum(lengths) / count or 1.0
        norm = 1.2 * (0.25 + 0.75 * min(document[3], self.length_max) / mean)
        score = 0.0
        for word in words:
            having = sum(d[2] == document[2] and self.frequency(d, word) > 0 for d in self.documents)
            tf = self.frequency(document, word)
            score += math.log(1 + (count - having + 0.5) / (having + 0.5)) * 2.2 * tf / (tf + norm)
        return score


def next_stamp(last: int, first: int, own: int) -> int:
    """The lowest stamp above `last`, at least `first`, that has the bits of `first` where `own` has ones."""
    stamp = max(first, last + 1)
    while stamp & own != first & own:
        stamp += 1
    return stamp


class TwinMarks:
    """`Marks`: a dict of dicts, key -> stamp in the order of their putting. own: mask of the own bits, by kind."""

    def __init__(self, own: dict[int, int]) -> None:
        self.own = own
        self.shelves: dict[tuple[int, int], dict[int, int]] = {}

    def shelf(self, kind: int, place: int) -> dict[int, int]:
        return self.shelves.get((kind, place), {})

    def put(self, kind: int, place: int, key: int, at_ms: int, low: int) -> bool:
        shelf = self.shelves.setdefault((kind, place), {})
        if key in shelf:
            return False
        shelf[key] = next_stamp(max(shelf.values(), default=0), (at_ms << 16) + low, self.own[kind])
        return True

    def drop(self, kind: int, place: int, key: int) -> bool:
        shelf = self.shelf(kind, place)
        was_there = shelf.pop(key, None) is not None
        if not shelf:
            self.shelves.pop((kind, place), None)
        return was_there

    def clear(self, kind: int, place: int) -> list[int]:
        return list(self.shelves.pop((kind, place), {}))

    def page(self, kind: int, place: int, before: int, count: int) -> list[tuple[int, int]]:
        newest_first = reversed(self.shelf(kind, place).items())
        return [(key, stamp) for key, stamp in newest_first if not before or stamp < before][:count]

    def dump(self, kind: int) -> list[tuple[int, int, int]]:
        return [(p, key, s) for (k, p), shelf in sorted(self.shelves.items()) if k == kind for key, s in shelf.items()]
