"""The benchmarks' command line: one command a scenario, the same options for all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.load_generator import generators
from bench.processes import BenchError
from bench.results import new_path
from bench.scenarios import SCENARIOS, SHARDS, Options, Scenario
from commands.ray_token import TOKEN_FILE, write_private

app = typer.Typer(
    help="Benchmarks: Rookery beside what a user would pick instead, in one run.", no_args_is_help=True,
    add_completion=False, pretty_exceptions_show_locals=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
QUICK_SECONDS = 0.3
out, err = Console(), Console(stderr=True)
if not out.is_terminal:
    out.width = 140  # a file has no width; a table must not be squeezed for it

QuickOption = Annotated[bool, typer.Option("--quick", help="Tiny data and short runs: does it work at all?")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="File for the results.", show_default="bench/results/")]
PairsOption = Annotated[int, typer.Option("--pairs", min=1, help="Alternating turns of each measurement.")]
SecondsOption = Annotated[float, typer.Option("--seconds", min=1.0, help="Length of each run.")]
GeneratorOption = Annotated[str, typer.Option("--generator", help="auto, wrk or builtin.")]
AuthOption = Annotated[str, typer.Option("--auth", help="token; open: neither side checks who is calling.")]
GraphOption = Annotated[Path | None, typer.Option("--graph", help="`load`: edges file.", show_default="synthetic")]
AccountsOption = Annotated[
    int | None,
    typer.Option("--accounts", min=1_000, help="Instead of a scenario's own number.", show_default="see docs"),
]
TweetsOption = Annotated[
    list[Path] | None,
    typer.Option("--tweets", help="`search`: texts to make tweets of; may be repeated.", show_default="the sample's"),
]
CountOption = Annotated[
    int | None, typer.Option("--count", min=1_000, help="`search`: tweets.", show_default="1,000,000")
]
ShardsOption = Annotated[int, typer.Option("--shards", min=1, max=64, help="`search`: Rookery's shards.")]
PartsOption = Annotated[str, typer.Option("--parts", help="`stream`: parts of it, as a,b.", show_default="all")]
SearchPeersOption = Annotated[str, typer.Option("--peers", help="`search`: whom it is measured beside.")]


def run_scenario(scenario: Scenario, options: Options, json_path: Path | None) -> None:
    """Run one scenario, print it, save it."""
    with err.status(f"bench {scenario.name}") as status:

        def progress(text: str) -> None:
            status.update(f"bench {scenario.name}: {text}")
            if not err.is_terminal:
                err.print(text, highlight=False)

        path = json_path or new_path(scenario.name)
        result = scenario.run(replace(options, keep=lambda found: found.save(path)), progress)
    result.show(out)
    err.print(f"results: {result.save(path)}", highlight=False, soft_wrap=True)


def be_quick() -> None:
    """Let the clusters that this process starts do without what takes time and no scenario needs."""
    os.environ.setdefault("ROOKERY_CLUSTER__DASHBOARD", "false")  # a fifth of what a cluster takes to start
    os.environ.setdefault("ROOKERY_CLUSTER__SPARES", "0")  # nobody waits for them, and each takes 2 s of a core


def use_own_ray_token(folder: Path) -> None:
    """Let this process join the clusters that it starts: Ray reads its token's place once, when it is imported."""
    if "RAY_AUTH_MODE" not in os.environ:
        path = folder / TOKEN_FILE
        write_private(path, secrets.token_hex(32))
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}


def _command(scenarios: list[Scenario]) -> Callable[..., None]:
    def bench(
        quick: QuickOption = False, json: JsonOption = None, pairs: PairsOption = 5, seconds: SecondsOption = 3.0,
        generator: GeneratorOption = "auto", auth: AuthOption = "token", graph: GraphOption = None,
        accounts: AccountsOption = None, tweets: TweetsOption = None, count: CountOption = None,
        peers: SearchPeersOption = "postgres,fts5", shards: ShardsOption = SHARDS,
        parts: PartsOption = "",
    ) -> None:  # fmt: skip
        available = generators()
        chosen = available[0] if generator == "auto" else generator
        if chosen not in available or auth not in ("token", "open"):
            err.print(f"[red]error:[/] --generator is auto or one of {available}, --auth token or open")
            raise typer.Exit(2)
        if quick:
            pairs, seconds = min(pairs, 2), QUICK_SECONDS
            be_quick()
        with tempfile.TemporaryDirectory(prefix="rkb-", ignore_cleanup_errors=True) as scratch:
            use_own_ray_token(Path(scratch))
            for scenario in scenarios:
                folder = Path(scratch, scenario.name)
                folder.mkdir()
                options = Options(
                    folder, quick, pairs, seconds, chosen, auth, graph, accounts, tuple(tweets or ()), count, peers,
                    shards, tuple(filter(None, parts.split(","))),
                )  # fmt: skip
                try:
                    run_scenario(scenario, options, json if len(scenarios) == 1 else None)
                except BenchError as error:
                    err.print(f"error: {error}", style="red", highlight=False, soft_wrap=True, markup=False)
                    raise typer.Exit(1) from error

    return bench


for _scenario in SCENARIOS.values():
    app.command(_scenario.name, help=_scenario.summary)(_command([_scenario]))
app.command("all", help="Every scenario, one after the other.")(_command(list(SCENARIOS.values())))
