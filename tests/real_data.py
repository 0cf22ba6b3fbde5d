"""A follow graph and tweets of people through Mastodon's API, all of them: `python -m tests.real_data FOLDER`.

    FOLDER: one `*.edges*`, `tweets*` --load, with a token of each account--> a served cluster of two shards
        --> check --mastodon, with the files --> storm (reblogs, favourites, edits ...) --> check again

Rules of this file
- The cluster is one of its own (`tests/serving.py`); its settings are those of tests, so that pages reach deep: few
  bodies are kept, and whoever has a hundred followers is a pull author. Others by `--set`.
- What is printed are the figures of both checks; it ends with 1 if anything differs. The make target is `real`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from api.access.auth import make_token
from commands.input_files import read_edges
from tests.serving import LONG_DEADLINE, ServedCluster, command, served

# Homes are read for the first time, each of which is made then: on a busy machine some take seconds.
SETTINGS = ("search.enabled=true", "cluster.workers=2", "auth.mode=token", "server.wrk2_api=false", LONG_DEADLINE)


def input_files(folder: Path) -> tuple[Path, Path]:
    """Return (the graph, the larger file of tweets) of a folder. Raises typer.BadParameter."""
    graphs, tweets = (
        sorted(folder.glob("*.edges*")),
        sorted(folder.glob("tweets*"), key=lambda path: path.stat().st_size),
    )
    if len(graphs) != 1 or not tweets:
        raise typer.BadParameter(f"{folder} should hold one file *.edges*, and at least one tweets*")
    return graphs[0], tweets[-1]


def write_accounts(graph: Path, to: Path) -> int:
    """Write a file of accounts with a token of each of a graph; return how many they are."""
    ids = read_edges(graph).accounts().tolist()
    to.write_bytes(orjson.dumps([{"id": i, "username": f"user{i}", "token": make_token(i)[0]} for i in ids]))
    to.chmod(0o600)
    return len(ids)


def run(cluster: ServedCluster, *args: str) -> dict[str, Any]:
    """Run a command for as long as it takes; return the JSON that it prints."""
    print(f"--- {' '.join(args)}", flush=True)
    done = subprocess.run([*command(*args), "--data", str(cluster.data), "--json"], stdout=subprocess.PIPE, check=False)
    if not done.stdout:  # it has said on stderr what was the matter
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps({name: value for name, value in found.items() if name != "digests"}, indent=1), flush=True)
    return found


def main(
    folder: Annotated[Path, typer.Argument(help="Where the graph and the tweets are.")],
    operations: Annotated[int, typer.Option("--storm", min=0, help="Writes at random between the checks.")] = 20_000,
    homes: Annotated[int, typer.Option(min=0, help="Homes of so many accounts, evenly spread; 0: of all.")] = 0,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Another setting, SECTION.KEY=VALUE.")] = None,
) -> None:
    """Load everything, and compare what every account is served over Mastodon's API with the definition."""
    graph, tweets = input_files(folder)
    with tempfile.TemporaryDirectory(prefix="rookery-real-") as made, served(*SETTINGS, *(sets or [])) as cluster:
        accounts = Path(made, "accounts.json")
        print(f"{write_accounts(graph, accounts):,} accounts", flush=True)
        files = ["--graph", str(graph), "--tweets", str(tweets)]
        check = ["check", "--mastodon", "--tokens", str(accounts), "--homes", str(homes)]
        run(cluster, "load", *files, "--accounts", str(accounts))
        found = [run(cluster, *check, *files)]
        if operations:
            found += [run(cluster, "storm", "--operations", str(operations)), run(cluster, *check)]
    sys.exit(any(each["problem_count"] for each in found))


if __name__ == "__main__":
    typer.run(main)
