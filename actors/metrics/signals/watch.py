"""Which rows of the table hold now, and for long enough; and the lights made of them.

As Prometheus: a row that holds is *pending* from the first look on that saw it, and *fires* once it has held at every
look for `for_s`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from actors.metrics.signals.expressions import History, Labelled
from actors.metrics.signals.rows import LIGHTS, SIGNALS, Light, Signal

State = Literal["well", "warning", "critical", "starting"]
_WORST: Final[Mapping[str, int]] = {"critical": 0, "warning": 1}


class Firing(NamedTuple):
    """A row that has held for long enough, with what it holds of. since_s: when it began to hold."""

    signal: Signal
    labels: Mapping[str, str]
    since_s: float

    @property
    def says(self) -> str:
        """What clients notice."""
        return self.signal.said_of(self.labels)


class Lit(NamedTuple):
    """A light. says: one sentence; firing: what makes it so, the worst first."""

    light: Light
    state: State
    says: str
    firing: tuple[Firing, ...]


class SignalWatch:
    """Looks at a history every so often, and remembers since when what holds."""

    def __init__(self, signals: Iterable[Signal] = SIGNALS) -> None:
        self._signals = tuple(signals)
        self._since_s: dict[tuple[str, Labelled], float] = {}

    def look(self, history: History, now_s: float) -> list[Firing]:
        """Return what fires now. now_s: of the history's clock."""
        since: dict[tuple[str, Labelled], float] = {}
        firing = []
        for signal in self._signals:
            for labels in sorted(signal.condition.value(history, now_s)):
                key = signal.name, labels
                since[key] = self._since_s.get(key, now_s)
                if now_s - since[key] >= signal.for_s:
                    firing.append(Firing(signal, dict(labels), since[key]))
        self._since_s = since
        return firing


def lights(firing: Iterable[Firing], is_started: bool = True) -> list[Lit]:
    """Return all lights. is_started: whether the cluster was ready once; until then nothing shouts."""
    lit = []
    for light, well in LIGHTS.items():
        found = sorted((each for each in firing if each.signal.light == light), key=_order)
        if not is_started:
            lit.append(Lit(light, "starting", "starting", tuple(found)))
        elif found:
            lit.append(Lit(light, found[0].signal.severity, found[0].says, tuple(found)))
        else:
            lit.append(Lit(light, "well", well, ()))
    return lit


def _order(each: Firing) -> tuple[int, float]:
    return _WORST[each.signal.severity], each.since_s
