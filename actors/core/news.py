"""What has changed since somebody who keeps a copy of tweets and accounts last asked: the search feeder.

    commands -> tweet(id), edited(id), account(id), all() -> take() -> what to compare with the copy

Rules of this file
- Keys only; whoever takes them reads the rows from the state, as they are then.
- The newest that came or were edited are remembered after they are taken, too: what the copy may not show yet.
- Bounded: beyond KEYS_COUNT_MAX keys nothing is kept but that everything has to be compared.
- No part of the state: a replica whose copy nobody keeps has none (`ShardState.news` is None).

Costs: 60 ns a key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

KEYS_COUNT_MAX = 500_000  # 40 MB; about what a copy takes in within half a minute

RECENT_COUNT_MAX = 256  # tweets
RECENT_MS = 5_000  # older than the newest of them: a copy shows these


class Taken(NamedTuple):
    """Keys in the order in which they first changed; everything: there were too many, or the map has changed.

    tweets: id -> whether it has come since it was last taken, rather than gone or changed; edited: those among them
    that say something else than when they were last taken.
    """

    tweets: dict[int, bool]
    accounts: list[int]
    everything: bool
    edited: frozenset[int] = frozenset()


class News:
    """Changed tweets and accounts."""

    __slots__ = ("_accounts", "_edited", "_everything", "_recent", "_recently_edited", "_tweets")

    def __init__(self) -> None:
        self._tweets: dict[int, bool] = {}
        self._accounts: dict[int, None] = {}
        self._edited: set[int] = set()
        self._everything = False
        self._recent: deque[int] = deque(maxlen=RECENT_COUNT_MAX)
        self._recently_edited: deque[int] = deque(maxlen=RECENT_COUNT_MAX)

    def __bool__(self) -> bool:
        return bool(self._tweets or self._accounts or self._everything)

    def __len__(self) -> int:
        """Keys that wait."""
        return len(self._tweets) + len(self._accounts)

    def tweet(self, tweet_id: int, is_new: bool) -> None:
        """Note that a tweet has come (is_new), gone, or changed its counts."""
        self._tweets[tweet_id] = is_new or self._tweets.get(tweet_id, False)
        if is_new:
            self._recent.append(tweet_id)
        if len(self._tweets) > KEYS_COUNT_MAX:
            self.all()

    def tweets(self, tweet_ids: Iterable[int]) -> None:
        """As `tweet`, for many new ones."""
        new = dict.fromkeys(tweet_ids, True)
        self._tweets.update(new)
        self._recent.extend(new)
        if len(self._tweets) > KEYS_COUNT_MAX:
            self.all()

    def edited(self, tweet_id: int) -> None:
        """Note that a tweet says something else."""
        self._edited.add(tweet_id)
        self._recently_edited.append(tweet_id)
        self.tweet(tweet_id, False)

    def account(self, account_id: int) -> None:
        """Note that an account has come or changed what it shows."""
        self._accounts[account_id] = None
        if len(self._accounts) > KEYS_COUNT_MAX:
            self.all()

    def all(self) -> None:
        """Note that anything may have changed."""
        self._tweets.clear()
        self._accounts.clear()
        self._edited.clear()
        self._everything = True

    def recent(self) -> set[int]:
        """Return tweets that came last, or were edited last: at most RECENT_COUNT_MAX of each. 10 us."""
        since = (max(self._recent, default=0) >> 16) - RECENT_MS << 16
        return {*(tweet_id for tweet_id in self._recent if tweet_id > since), *self._recently_edited}

    def take(self, count_max: int) -> Taken:
        """Return and forget up to count_max keys of each kind, the oldest first."""
        everything, self._everything = self._everything, False
        tweets = _first(self._tweets, count_max)
        edited = frozenset(self._edited.intersection(tweets)) if self._edited else frozenset()
        self._edited -= edited
        return Taken(tweets, list(_first(self._accounts, count_max)), everything, edited)


def _first(keys: dict[int, Any], count_max: int) -> dict[int, Any]:
    if len(keys) <= count_max:
        found = dict(keys)
        keys.clear()
        return found
    found = dict(islice(keys.items(), count_max))
    for key in found:
        del keys[key]
    return found
