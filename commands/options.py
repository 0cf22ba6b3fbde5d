"""Options that several commands of `run_cluster.py` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the cluster's data.", show_default="data")]
AddressOption = Annotated[str | None, typer.Option("--address", help="Ray cluster (HOST:PORT or auto).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting.")]
ProfileOption = Annotated[str, typer.Option(help="laptop, cluster, test, or a TOML file.")]
GraphOption = Annotated[Path | None, typer.Option("--graph", help="`follower followee` lines: plain, .gz or .zst.")]
TweetsOption = Annotated[Path | None, typer.Option("--tweets", help="One tweet a line: plain, .gz or .zst.")]
AccountsOption = Annotated[
    Path | None,
    typer.Option(
        "--accounts", help="JSON list of {id, username, password?, token?, app?, email?, display_name?, bio?}."
    ),
]
AppsOption = Annotated[
    Path | None,
    typer.Option("--apps", help="JSON list of {client_id, client_secret, name, redirect_uris, scopes?, website?}."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Decides who wrote which tweet.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="Go through the HTTP API there instead of the lane.")]
