"""Contestants measured in turn, and what may be said of them: medians, extremes, and ratios within each turn.

Rules of this file
- On a shared machine absolute figures drift by half within minutes; two runs a second apart see the same machine. So
  contestants alternate (A B C, then C B A, ...), and a ratio is taken within a turn before anything is summed up.
- No figure is thrown away, not even an outlier: median, least and most are all shown.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of repetitions."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value or more."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Turns(Generic[S]):
    """Samples by contestant; the i-th samples of all contestants come from the same turn."""

    samples: dict[str, list[S]]

    def spread(self, name: str, figure: Callable[[S], float]) -> Spread:
        """Return the spread of one contestant's figure."""
        return Spread.of([figure(sample) for sample in self.samples[name]])

    def ratio(self, name: str, to: str, figure: Callable[[S], float]) -> Spread:
        """Return the spread of name / to, turn by turn."""
        pairs = zip(self.samples[name], self.samples[to], strict=True)
        return Spread.of([figure(a) / figure(b) for a, b in pairs])


def alternate(
    contestants: Mapping[str, Callable[[int], S]], turns: int, before: Callable[[], None] = lambda: None,
    within_s: float = math.inf,
) -> Turns[S]:  # fmt: skip
    """Let each contestant run once a turn, in alternating order. A contestant gets the turn's number.

    before: called ahead of each turn. within_s: as many turns as fit, by what the first one took; one at least.
    """
    samples: dict[str, list[S]] = {name: [] for name in contestants}
    begin_s = time.monotonic()
    for turn in range(turns):
        if turn and (time.monotonic() - begin_s) * (turn + 1) / turn > within_s:
            break
        before()
        names = list(contestants) if turn % 2 == 0 else list(reversed(contestants))
        for name in names:
            samples[name].append(contestants[name](turn))
    return Turns(samples)
