"""A figure: how it is declared, what holds its numbers, and how they travel from process to process.

Rules of this file
- Whoever counts has a *holder* (an object, or a dict): a row names where in it the numbers are, so that hot code only
  increments an attribute. No locks, no labels, no Ray.
- A label's values are a closed set, or name processes and shards; never accounts, buckets, paths.
- A snapshot can be packed by msgpack. Who reads one passes over what it doesn't know: the other end may be older or
  newer.

    snapshot    {figure's name: [[label values, number], ...]}     of a histogram: [label values, [counts, sum]]

Costs: a counter 40 ns, an observation 150 ns; a snapshot of a shard 60 us.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple

NAME_PREFIX: Final = "rookery_"
Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["shard", "api", "router", "process", "node"]
# Labels that say who has counted; a figure's own come behind them. "node": whichever worker of a node is asked.
SOURCE_LABELS: Final[Mapping[Source, tuple[str, ...]]] = {
    "shard": ("shard", "replica"), "api": ("worker",), "router": (), "process": ("process",), "node": (),
}  # fmt: skip
WHO: Final[Mapping[Source, str]] = {
    "shard": "shard replica", "api": "API worker", "router": "router", "process": "every process", "node": "node",
}  # fmt: skip

# Upper bounds of buckets. Kernels and lane reads take microseconds, fsync milliseconds, a lagging delivery seconds.
SECONDS_BOUNDS: Final = (
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
)  # fmt: skip
SIZE_BOUNDS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0, 20_000.0)

Values = tuple[str, ...]
Snapshot = dict[str, list[list[Any]]]


class Histogram:
    """Counts of values in fixed buckets; `counts[i]` holds values in (bounds[i-1], bounds[i]], the last all above."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = SECONDS_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value. Cost: 150 ns."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Count the seconds that a block takes, if it ends well. Cost: 1 us; hot code takes the time itself."""
        begin = perf_counter()
        yield
        self.observe(perf_counter() - begin)

    @property
    def count(self) -> int:
        """Values counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return the upper bound of the bucket that holds this share of the values (0.5 = median); 0 if none."""
        rank = share * sum(self.counts)
        if rank <= 0:
            return 0.0
        seen = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= rank:
                return bound
        return self.bounds[-1]


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table.

    name: without the prefix, with unit and, of counters, `_total`; unit: "seconds", "bytes" or "" for plain numbers;
    held: where in the holder its numbers are: {key there: values of its own labels}. What a key holds may be a dict,
    too: {values of the labels that are left: number}. proven: the test, without `test_`, that moves it by a known
    amount.
    """

    name: str
    kind: Kind
    unit: str
    source: Source
    text: str
    held: Mapping[str, Values]
    proven: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = field(default=())

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return NAME_PREFIX + self.name

    @property
    def all_labels(self) -> tuple[str, ...]:
        """Labels of whoever has counted, then its own."""
        return (*SOURCE_LABELS[self.source], *self.labels)


class Told(NamedTuple):
    """What somebody has counted. values: of the labels of its source."""

    source: Source
    values: Values
    snapshot: Mapping[str, Any]

    @classmethod
    def from_wire(cls, wire: Any) -> Told:
        """Rebuild from what msgpack or Ray made of it."""
        source, values, snapshot = wire
        return cls(source, tuple(values), snapshot)


def numbers_of(figure: Figure, get: Callable[[str], Any]) -> Iterable[tuple[Values, Any]]:
    """Return (own labels' values, number or Histogram) of a figure. get(key): of the holder, None if it has none."""
    for key, values in figure.held.items():
        held = get(key)
        if held is None:
            continue
        if isinstance(held, Mapping):
            for more, number in list(held.items()):
                yield (*values, *((more,) if isinstance(more, str) else more)), number
        else:
            yield values, held


def snapshot(figures: Iterable[Figure], get: Callable[[str], Any]) -> Snapshot:
    """Return what a holder has counted, exact and since its start."""
    told: Snapshot = {}
    for figure in figures:
        told[figure.name] = [
            [list(values), [list(held.counts), held.sum] if isinstance(held, Histogram) else held]
            for values, held in numbers_of(figure, get)
        ]
    return told
