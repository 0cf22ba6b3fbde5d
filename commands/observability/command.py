"""`run_cluster.py dashboards`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def dashboards(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the files.")],
    source: Annotated[str, typer.Option(help="Whose figures Prometheus has: api (of /metrics) or ray.")] = "api",
) -> None:
    """Write boards for Grafana, alerts and a configuration for Prometheus. `serve` writes them in its data folder."""
    from commands.observability.scraping import PREFIXES  # `--help` of all commands needs none of it
    from commands.observability.written import write_files

    chosen = next((each for each in PREFIXES if each == source), None)
    if chosen is None:
        raise _fail(f"--source is {source!r}; it must be one of: {', '.join(PREFIXES)}", 2)
    try:
        written = write_files(directory, chosen)
    except OSError as error:
        raise _fail(f"{directory} can't be written: {error.strerror or error}", 1) from error
    for path in written:
        print(path)


def _fail(message: str, status: int) -> typer.Exit:
    err = Console(stderr=True)
    err.print("[bold red]error:[/]", end=" ")
    err.print(message, highlight=False, soft_wrap=True, markup=False)
    return typer.Exit(status)
