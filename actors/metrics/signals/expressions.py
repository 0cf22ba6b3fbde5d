"""Conditions over figures that are said once: PromQL's text for Prometheus, a value over a history for ourselves.

    Expression --promql(prefix)--> 'max by (shard) (rookery_router_shard_served) < 1'
               --value(history, at_s)--> {(("shard", "1"),): 0.0}

Rules of this file
- Values are Prometheus', to the last rule: rates are extrapolated, a comparison filters, 0 / 0 is nothing. A test holds
  every row of the table to what `promtool` says of the same series.
- Figures are named without prefix: `rookery_` as the API shows them, `ray_rookery_` as Ray does. Whoever counts is
  another process after a restart, which Ray shows as another series: take gauges by `max_by`, counters by `sum_by`.

Cost: 20 us a row and series; windows are read from the history, nothing is kept.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Final, Protocol

LOOKBACK_S: Final = 300.0  # how old a number may be that counts as the present one: Prometheus' own
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq,
}  # fmt: skip
_AGGREGATE: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "sum": sum, "max": max, "min": min, "count": lambda values: float(len(values)),
}  # fmt: skip

Labelled = tuple[tuple[str, str], ...]  # by name
Vector = dict[Labelled, float]
Samples = Sequence[tuple[float, float]]  # (seconds, number), oldest first


class History(Protocol):
    """What figures have been. NaN stands for "gone": a figure that isn't told any more."""

    def series(self, name: str, since_s: float, until_s: float) -> Iterable[tuple[Mapping[str, str], Samples]]:
        """Return the series of a figure, without prefix, with their labels and numbers of that time, both ends in."""
        ...


class Expression(ABC):
    """A vector: a number for each set of labels."""

    @abstractmethod
    def promql(self, prefix: str) -> str:
        """Return it for Prometheus. prefix: of the figures' names."""

    @abstractmethod
    def value(self, history: History, at_s: float) -> Vector:
        """Return what it is at a time."""

    def sum_by(self, *labels: str) -> Expression:
        """Return sums over what differs in other labels."""
        return Aggregate("sum", self, labels)

    def max_by(self, *labels: str) -> Expression:
        """Return the greatest of what differs in other labels."""
        return Aggregate("max", self, labels)

    def min_by(self, *labels: str) -> Expression:
        """Return the least of what differs in other labels."""
        return Aggregate("min", self, labels)

    def count_by(self, *labels: str) -> Expression:
        """Return how many there are that differ in other labels."""
        return Aggregate("count", self, labels)

    def __truediv__(self, other: Expression) -> Expression:
        return Quotient(self, other)

    def __gt__(self, bound: float) -> Expression:
        return Compared(self, ">", bound)

    def __lt__(self, bound: float) -> Expression:
        return Compared(self, "<", bound)

    def is_(self, number: float) -> Expression:
        """Keep what equals a number."""
        return Compared(self, "==", number)

    def __and__(self, other: Expression) -> Expression:
        return Combined(self, "and", other)

    def unless(self, other: Expression) -> Expression:
        """Keep what the other one has nothing for."""
        return Combined(self, "unless", other)


@dataclass(frozen=True, slots=True, eq=False)
class SeriesOf:
    """Series by name and labels. where: (label, operator, value) each; operators are Prometheus'."""

    name: str
    where: tuple[tuple[str, str, str], ...] = ()

    def promql(self, prefix: str) -> str:
        """Return the selector."""
        inner = ",".join(f'{label}{how}"{value}"' for label, how, value in self.where)
        return f"{prefix}{self.name}" + (f"{{{inner}}}" if inner else "")

    def between(self, history: History, since_s: float, until_s: float) -> Iterable[tuple[Labelled, Samples]]:
        """Return the series with numbers of that time; what is gone meanwhile is no number."""
        for labels, samples in history.series(self.name, since_s, until_s):
            if all(_fits(labels.get(label, ""), how, value) for label, how, value in self.where):
                kept = [(time_s, number) for time_s, number in samples if since_s <= time_s <= until_s]
                if kept:
                    yield tuple(sorted(labels.items())), kept


def _fits(found: str, how: str, value: str) -> bool:
    is_equal = bool(re.fullmatch(value, found)) if how.endswith("~") else found == value
    return is_equal != how.startswith("!")


@dataclass(frozen=True, slots=True, eq=False)
class Latest(Expression):
    """The present numbers."""

    figures: SeriesOf

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return self.figures.promql(prefix)

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        found = self.figures.between(history, at_s - LOOKBACK_S, at_s)
        return {labels: samples[-1][1] for labels, samples in found if not isnan(samples[-1][1])}


@dataclass(frozen=True, slots=True, eq=False)
class Windowed(Expression):
    """A function of the numbers of the last window_s seconds."""

    function: str
    figures: SeriesOf
    window_s: int
    argument: int | None = None

    def promql(self, prefix: str) -> str:
        """As in the base."""
        more = "" if self.argument is None else f", {self.argument}"
        return f"{self.function}({self.figures.promql(prefix)}[{duration(self.window_s)}]{more})"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        results: Vector = {}
        for labels, samples in self.figures.between(history, at_s - self.window_s, at_s):
            numbers = [sample for sample in samples if not isnan(sample[1])]
            if not numbers:
                continue
            result = self._of(numbers, at_s)
            if result is not None:
                results[labels] = result
        return results

    def _of(self, samples: Samples, at_s: float) -> float | None:
        if self.function == "last_over_time":
            return samples[-1][1]
        if len(samples) < 2:
            return None
        if self.function == "predict_linear":
            return _predicted(samples, at_s, self.argument or 0)
        grown = _grown(samples, at_s - self.window_s, at_s)
        return grown / self.window_s if self.function == "rate" else grown


def _grown(samples: Samples, start_s: float, end_s: float) -> float:
    """Return by how much a counter has grown in a window: extrapolated to its ends, as Prometheus does."""
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    grown, before = last - first, first
    for _, number in samples:
        if number < before:  # it began anew
            grown += before
        before = number
    taken_s = last_s - first_s
    if not taken_s:
        return 0.0
    mean_s = taken_s / (len(samples) - 1)
    to_start_s, to_end_s = first_s - start_s, end_s - last_s
    if grown > 0 and first >= 0:
        to_start_s = min(to_start_s, taken_s * first / grown)  # no counter was below 0
    far_s = mean_s * 1.1
    all_s = taken_s + sum(each if each < far_s else mean_s / 2 for each in (to_start_s, to_end_s))
    return grown * all_s / taken_s


def _predicted(samples: Samples, at_s: float, ahead_s: float) -> float:
    """Return where a straight line through the numbers is in ahead_s seconds."""
    if all(number == samples[0][1] for _, number in samples):
        return samples[0][1]
    count = len(samples)
    mean_x = sum(time_s - at_s for time_s, _ in samples) / count
    mean_y = sum(number for _, number in samples) / count
    below = sum((time_s - at_s - mean_x) ** 2 for time_s, _ in samples)
    slope = sum((time_s - at_s - mean_x) * (number - mean_y) for time_s, number in samples) / below
    return mean_y - slope * mean_x + slope * ahead_s


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate(Expression):
    """One number for all that differs in other labels than these."""

    function: str
    inner: Expression
    labels: tuple[str, ...]

    def promql(self, prefix: str) -> str:
        """As in the base."""
        by = f" by ({', '.join(self.labels)}) " if self.labels else ""
        return f"{self.function}{by}({self.inner.promql(prefix)})"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        groups: dict[Labelled, list[float]] = {}
        for labels, number in self.inner.value(history, at_s).items():
            groups.setdefault(tuple(each for each in labels if each[0] in self.labels), []).append(number)
        return {labels: _AGGREGATE[self.function](numbers) for labels, numbers in groups.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Quotient(Expression):
    """What has the same labels, divided."""

    above: Expression
    below: Expression

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return f"{_within(self.above, prefix)} / {_within(self.below, prefix)}"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        below = self.below.value(history, at_s)
        return {
            labels: _quotient(number, below[labels])
            for labels, number in self.above.value(history, at_s).items()
            if labels in below
        }


def _quotient(above: float, below: float) -> float:
    if below:
        return above / below
    return nan if not above or isnan(above) else inf if above > 0 else -inf


@dataclass(frozen=True, slots=True, eq=False)
class Age(Expression):
    """Seconds since a moment in Unix time."""

    moment: Expression

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return f"time() - {_within(self.moment, prefix)}"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        return {labels: at_s - moment for labels, moment in self.moment.value(history, at_s).items()}


@dataclass(frozen=True, slots=True, eq=False)
class Absent(Expression):
    """1 if there is no such figure."""

    figures: SeriesOf

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return f"absent({self.figures.promql(prefix)})"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        return {} if Latest(self.figures).value(history, at_s) else {(): 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Compared(Expression):
    """Those numbers of which the comparison is true."""

    inner: Expression
    how: str
    bound: float

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return f"{_within(self.inner, prefix, divided=False)} {self.how} {self.bound:.15g}"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        is_so = _COMPARE[self.how]
        return {labels: n for labels, n in self.inner.value(history, at_s).items() if is_so(n, self.bound)}


@dataclass(frozen=True, slots=True, eq=False)
class Combined(Expression):
    """Those numbers of the first for whose labels the second has something, too; or, `unless`, nothing."""

    first: Expression
    how: str
    second: Expression

    def promql(self, prefix: str) -> str:
        """As in the base."""
        return f"({self.first.promql(prefix)}) {self.how} ({self.second.promql(prefix)})"

    def value(self, history: History, at_s: float) -> Vector:
        """As in the base."""
        there = self.second.value(history, at_s)
        wants = self.how == "and"
        return {labels: n for labels, n in self.first.value(history, at_s).items() if (labels in there) == wants}


def _within(inner: Expression, prefix: str, *, divided: bool = True) -> str:
    """Return an operand, in brackets if it needs them. divided: as the operand of an arithmetic operator."""
    loose = (Compared, Combined, Age, Quotient) if divided else (Compared, Combined)
    return f"({inner.promql(prefix)})" if isinstance(inner, loose) else inner.promql(prefix)


def duration(seconds: int) -> str:
    """Return a time as PromQL has it."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and not seconds % length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def figures(name: str, *where: str) -> SeriesOf:
    """Return series of a figure. where: 'label=value', 'label!=value', 'label=~pattern' or 'label!~pattern' each."""
    found = []
    for each in where:
        match = re.fullmatch(r"(\w+?)(=~|!~|!=|=)(.*)", each)
        if match is None:
            raise ValueError(f"{each!r} isn't a condition on a label, such as 'kind=read'")
        found.append((match[1], match[2], match[3]))
    return SeriesOf(name, tuple(found))


def latest(name: str, *where: str) -> Expression:
    """Return the present numbers of a figure."""
    return Latest(figures(name, *where))


def rate(name: str, window_s: int, *where: str) -> Expression:
    """Return by how much a counter grows a second."""
    return Windowed("rate", figures(name, *where), window_s)


def increase(name: str, window_s: int, *where: str) -> Expression:
    """Return by how much a counter has grown."""
    return Windowed("increase", figures(name, *where), window_s)


def last(name: str, window_s: int, *where: str) -> Expression:
    """Return the last number of a time, also of who has gone meanwhile."""
    return Windowed("last_over_time", figures(name, *where), window_s)


def predicted(name: str, window_s: int, ahead_s: int, *where: str) -> Expression:
    """Return what a figure will be if it goes on as in the window."""
    return Windowed("predict_linear", figures(name, *where), window_s, ahead_s)


def within(name: str, bound: str, window_s: int, *labels: str, where: tuple[str, ...] = ()) -> Expression:
    """Return the share of a histogram's values that is within a bound, one of its own. Ray says 1.0 where we say 1."""
    le = f"le={bound}" if "." in bound else f"le=~{bound}(.0)?"
    quick = rate(f"{name}_bucket", window_s, le, *where).sum_by(*labels)
    return quick / rate(f"{name}_count", window_s, *where).sum_by(*labels)
