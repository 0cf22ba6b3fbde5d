"""The command line of chaos runs: `python -m tests.chaos --minutes 5 --seed 7`; the make target is `chaos`."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable

import typer
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import KINDS, ROLES
from tests.chaos.run import Options, Report, log_tail, run

EVENTS_SHOWN = 30
READS_SHOWN = 40
out = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def _chosen(text: str, known: tuple[str, ...], option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or not set(names) <= set(known):
        raise typer.BadParameter(f"{option} takes some of {','.join(known)}, not {text!r}")
    return names


def main(
    minutes: float = typer.Option(5.0, min=0.05, help="How long faults are injected."),
    seed: int = typer.Option(0, help="Decides the faults, and what each client tries to do."),
    kills: int = typer.Option(0, min=0, help="Go on until so many processes were killed; replaces --minutes."),
    kinds: str = typer.Option(",".join(KINDS), help="Kinds of faults."),
    processes: str = typer.Option(",".join(ROLES), help="Whose processes are killed, stopped and skewed."),
    replicas: int = typer.Option(1, min=1, help="Copies of each shard; more than one sets durability.ack=replica."),
    workers: int = typer.Option(2, min=1, help="API workers."),
    spares: int = typer.Option(1, min=0, help="Idle processes that a killed one comes back in."),
    clients: int = typer.Option(8, min=1, help="Concurrent clients, besides one a shard that only posts."),
    accounts: int = typer.Option(40, min=16, help="Accounts that the clients share."),
    pace: float = typer.Option(1.0, min=0.1, help="How many times as long the pauses between faults are."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole report as JSON."),
) -> None:
    """Run a real cluster under load, harm it, heal it, and compare everything with what was acknowledged.

    Exit status: 0 nothing wrong, 1 something was found, 2 wrong usage.
    """
    options = Options(
        seed, minutes, kills, _chosen(kinds, KINDS, "--kinds"), _chosen(processes, ROLES, "--processes"), replicas,
        workers, spares, clients, accounts, pace,
    )  # fmt: skip
    if kills and "kill" not in options.kinds:
        raise typer.BadParameter("--kills needs `kill` among --kinds")
    report = run(options)
    if as_json:
        sys.stdout.write(json.dumps(report.values(), indent=2) + "\n")
    else:
        show(report)
    raise typer.Exit(1 if report.problem_count else 0)


def show(report: Report) -> None:
    """Print a report as tables."""
    for line in report.left_out:
        out.print(f"LEFT OUT {line}", style="yellow")
    _table("faults", ("fault", "times"), report.faults.items())
    _table("writes", ("outcome", "times"), report.outcomes.items())
    statuses = {str(status or "none"): count for status, count in report.statuses.items()}
    _table("answers", ("status", "times"), statuses.items())
    if report.availability:
        _figures("reads", report.availability["reads"])
        _figures("from a kill to the next acknowledged write", report.availability["write gaps"])
    if report.empty_restarts_s:
        median = statistics.median(report.empty_restarts_s)
        out.print(f"Ray's restart of an empty actor: median {median:.3f} s of {report.empty_restarts_s}")
    for line in report.unavailable_reads[:READS_SHOWN]:
        out.print(f"unavailable read at {line}", markup=False, soft_wrap=True)
    figures = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in report.figures.items())
    out.print(f"{report.seconds:.0f} s; unknown outcomes {report.unknown_share:.2%}; compared: {figures}")
    for problem in report.problems:
        out.print(problem, style="red", markup=False, soft_wrap=True)
    if not report.problem_count:
        out.print("nothing acknowledged was lost or doubled; every timeline is as defined")
        return
    out.print(f"{report.problem_count} problems; the last faults:", style="red")
    for line in (*report.events[-EVENTS_SHOWN:], *report.kept, log_tail(report), f"repeat: {report.command}"):
        out.print(line, markup=False, soft_wrap=True)


def _table(title: str, columns: tuple[str, str], rows: Iterable[tuple[str, int]]) -> None:
    table = Table(*columns, title=title)
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    out.print(table)


def _figures(title: str, groups: dict[str, dict[str, float]]) -> None:
    if groups:
        table = Table("", *next(iter(groups.values())), title=title)
        for name, figures in groups.items():
            table.add_row(name, *(f"{value:,}" for value in figures.values()))
        out.print(table)


if __name__ == "__main__":
    typer.run(main)
