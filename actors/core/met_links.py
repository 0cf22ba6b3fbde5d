"""Tweets whose first link is to be looked at, for whoever has previews made: the newest that were posted or edited.

    commands -> met(tweet, body) -> take(count) -> wanted(tweet): is there still a link without its preview?

Rules of this file
- Ids only; whoever takes them reads the tweets from the state, as they are then.
- Bounded: the oldest go first. A preview is no promise, and a tweet without one is whole.
- No part of the state: a replica where nobody wants previews has none (`ShardState.met_links` is None).

Cost: 0.1 us a tweet, 0.2 us one with a link.
"""

from __future__ import annotations

from collections import deque

from actors.core.limits import PREVIEW_WISHES_COUNT_MAX
from actors.core.link_previews import may_link


class MetLinks:
    """Tweets with links, oldest first."""

    __slots__ = ("_tweets", "passed_over")

    def __init__(self) -> None:
        self._tweets: deque[int] = deque()
        self.passed_over = 0  # tweets for which there was no room

    def __len__(self) -> int:
        return len(self._tweets)

    def met(self, tweet_id: int, body: bytes) -> None:
        """Note that a tweet says something, or something else than before."""
        if not may_link(body):
            return
        if len(self._tweets) >= PREVIEW_WISHES_COUNT_MAX:
            self._tweets.popleft()
            self.passed_over += 1
        self._tweets.append(tweet_id)

    def take(self, count: int) -> list[int]:
        """Return and forget up to count tweets, the oldest first."""
        return [self._tweets.popleft() for _ in range(min(count, len(self._tweets)))]
