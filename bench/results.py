"""What a scenario found: rows of spreads, claims that hold or don't, plots; a table for people and JSON for programs.

Rules of this file
- A `Plot` says what is to be seen and nothing about how: `plots.py` draws all of them alike.
- Where a result comes from (commit, command, machine's load) is noted when the scenario begins.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine, describe_run
from bench.pairs import Spread, Turns

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one contestant. ratio: ours to theirs, turn by turn, where there is one to compare with."""

    case: str
    contestant: str
    figure: str
    unit: str
    value: Spread
    rookery_ratio: Spread | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the project says of itself. bound: `at_most` or `at_least` target."""

    text: str
    bound: str
    target: float
    measured: Spread
    issue: int

    @property
    def holds(self) -> bool:
        """Whether the median meets the target."""
        return self.measured.median <= self.target if self.bound == "at_most" else self.measured.median >= self.target


@dataclass(slots=True)
class Series:
    """One line of a plot: y[i], with its extremes, at x[i]. figure: which of the contestant's, if it has more."""

    contestant: str
    figure: str = ""
    x: list[float] = field(default_factory=list)
    y: list[Spread] = field(default_factory=list)


@dataclass(slots=True)
class Plot:
    """Lines over one axis. Labels name their unit; x_log, y_log: logarithmic instead of linear from zero."""

    name: str
    title: str
    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    series: list[Series] = field(default_factory=list)

    def add(self, contestant: str, x: float, y: Spread, figure: str = "") -> None:
        """Add a point to a contestant's line; the line begins with its first point."""
        for line in self.series:
            if (line.contestant, line.figure) == (contestant, figure):
                break
        else:
            line = Series(contestant, figure)
            self.series.append(line)
        line.x.append(x)
        line.y.append(y)


@dataclass(slots=True)
class Result:
    """One scenario's outcome."""

    scenario: str
    options: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    plots: list[Plot] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=describe_run)

    def keep(self, case: str, turns: Turns[Any]) -> None:
        """Keep every sample of a case for the JSON."""
        self.samples[case] = {
            name: [asdict(s) if is_dataclass(s) else s for s in samples] for name, samples in turns.samples.items()
        }

    def plot(self, plot: Plot) -> Plot:
        """Have a plot drawn when the result is saved; returns it, to be filled."""
        self.plots.append(plot)
        return plot

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        claims = [{**asdict(claim), "holds": claim.holds} for claim in self.claims]
        return {
            "scenario": self.scenario, "run": self.run, "machine": describe_machine(), "options": self.options,
            "facts": self.facts, "rows": [asdict(row) for row in self.rows], "claims": claims, "samples": self.samples,
            "plots": [asdict(plot) for plot in self.plots if plot.series],
        }  # fmt: skip

    @property
    def origin(self) -> str:
        """What a plot says about where it comes from."""
        changed = ", uncommitted changes" if self.run["uncommitted_changes"] else ""
        return f"bench {self.scenario}, commit {self.run['commit'][:10] or 'unknown'}{changed}, {self.run['started']}"

    def save(self, path: Path | None = None) -> Path:
        """Write JSON to a path, or to a file of its own under bench/results/, and plots beside it. Returns the path."""
        from bench.plots import draw  # here, because matplotlib takes half a second that `--help` needn't

        path = path or new_path(self.scenario)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), indent=2, default=str) + "\n", encoding="utf-8")
        for plot in filter(attrgetter("series"), self.plots):  # of one that isn't measured yet, or not at all, none
            draw(plot, path.with_name(f"{path.stem}-{plot.name}"), self.origin)
        return path

    def show(self, console: Console) -> None:
        """Print the rows and the claims."""
        table = Table(title=f"bench {self.scenario}", title_justify="left")
        for heading, justify in (("case", "left"), ("contestant", "left"), ("figure", "left")):
            table.add_column(heading, justify=justify, no_wrap=True)
        for heading in ("median", "least to most", "Rookery / this", "least to most"):
            table.add_column(heading, justify="right", no_wrap=True)
        before = ""
        for row in self.rows:
            if before and before != row.case:
                table.add_section()
            case, before = ("" if row.case == before else row.case), row.case
            table.add_row(
                case, row.contestant, row.figure, *_cells(row.value, row.unit), *_cells(row.rookery_ratio, "")
            )
        console.print(table)
        for name, value in self.facts.items():
            console.print(f"  {name}: {value}", highlight=False, soft_wrap=True)
        for claim in self.claims:
            mark = "[green]holds[/]" if claim.holds else "[red]does not hold[/]"
            m = claim.measured
            console.print(
                f"  {mark}  {claim.text}: {m.median:.2f} ({m.least:.2f} to {m.most:.2f}), "
                f"{claim.bound.replace('_', ' ')} {claim.target} (issue {claim.issue})",
                highlight=False, soft_wrap=True,
            )  # fmt: skip


def new_path(scenario: str) -> Path:
    """Return a place under bench/results/ that is named after the second."""
    return RESULTS / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}.json"


def _cells(spread: Spread | None, unit: str) -> tuple[str, str]:
    if spread is None:
        return "", ""
    return f"{_shown(spread.median)} {unit}".rstrip(), f"{_shown(spread.least)} to {_shown(spread.most)}"


def _shown(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:,.2f}M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
