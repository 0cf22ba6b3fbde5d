"""Rookery's command line: start, load, inspect, check and stop a timeline cluster.

This is the composition root: it names the parts and prints what they say. Messages go to stderr, data to stdout; exit
status 0 for success, 1 for a failed check or a cluster that can't be had, 2 for wrong usage.

Whatever imports Ray is imported inside the commands: Ray reads its token's place at its import (commands/ray_token.py),
and `--help` is quick.
"""

from __future__ import annotations

import sys

from actors.garbage import seldom
from commands.signals import end_at_once_when_told

if __name__ == "__main__":  # before half a second of imports, of which nothing is garbage
    seldom()
    if sys.argv[1:2] == ["serve"]:
        end_at_once_when_told()

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from actors.core.errors import RookeryError
from commands import options as shared
from commands.observability.command import dashboards
from commands.ray_token import use_ray_token
from configs.settings import Settings, SettingsError, load_settings

app = typer.Typer(
    help="Rookery: an actor-based, in-memory timeline cluster.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_show_locals=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.command()(dashboards)
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True)


class Joined(NamedTuple):
    """A running cluster that this process has joined. length: entries of a home timeline."""

    namespace: str
    url: str
    length: int


def fail(message: object, status: int = 1) -> typer.Exit:
    """Say what is wrong on stderr; the caller raises what comes back."""
    err.print("[bold red]error:[/]", end=" ")
    err.print(message, highlight=False, soft_wrap=True, markup=False)
    return typer.Exit(status)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn what can go wrong outside this program's power into a message and status 1."""
    try:
        yield
    except RookeryError as error:
        raise fail(error.message) from error
    except ConnectionError as error:
        raise fail(error) from error
    except Exception as error:
        if type(error).__module__.startswith("ray."):
            raise fail(f"Ray: {error}") from error
        raise


def settings_of(profile: str, sets: list[str] | None, **overrides: Any) -> Settings:
    """Load the settings or end with status 2."""
    try:
        return load_settings(profile, sets or [], overrides)
    except SettingsError as error:
        raise fail(error, 2) from error


def joined(data: Path | None, address: str | None) -> Joined:
    """Join the Ray of a running cluster, or end with status 1."""
    directory = (data or Path("data")).resolve()
    use_ray_token(directory, create=False)
    from cluster.client.connect import connect
    from commands.launch import ClusterInfo, serving_pid
    from configs.sections import TimelineSection

    info = ClusterInfo.load(directory)
    serving = serving_pid(directory)
    if address is None and serving and (info is None or info.pid != serving):
        raise fail(f"the cluster of {directory} is still starting (process {serving}); try again when it serves")
    if address is None and not serving:
        state = "is not running" if info else "was never started"
        raise fail(f"the cluster of {directory} {state}; start it with: run_cluster.py serve --data {directory}")
    logging.getLogger("ray").setLevel(logging.ERROR)
    where = address or (info.ray_address if info else None)
    try:
        connect(where, info.namespace if info else "rookery")
    except (ConnectionError, RuntimeError) as error:
        raise fail(f"can't join Ray at {where}: {error}") from error
    return (
        Joined(info.namespace, info.url, info.timeline_length)
        if info
        else Joined("rookery", "", TimelineSection().length)
    )


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


# ---- life -------------------------------------------------------------------------------------------------------


@app.command()
def serve(
    profile: shared.ProfileOption = "laptop",
    host: Annotated[str | None, typer.Option(help="Address of the API.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API.", show_default="8000")] = None,
    data: shared.DataOption = None,
    shards: Annotated[int | None, typer.Option(help="Shards that own the 1,024 buckets.", show_default="2")] = None,
    replicas: Annotated[int | None, typer.Option(help="Copies of each shard.", show_default="1")] = None,
    workers: Annotated[int | None, typer.Option(help="API workers per node.", show_default="1")] = None,
    address: shared.AddressOption = None,
    sample: Annotated[bool, typer.Option(help="Load a small sample network into an empty cluster.")] = True,
    sets: shared.SetOption = None,
) -> None:
    """Start a cluster (or join the Ray cluster at --address), recover what is in --data, and serve until Ctrl-C."""
    settings = settings_of(
        profile, sets,
        server={"host": host, "port": port}, storage={"data_dir": data}, cluster={
            "shards": shards, "replicas": replicas, "workers": workers, "ray_address": address},
    )  # fmt: skip
    if not settings.cluster.ray_address:
        use_ray_token(settings.storage.data_dir, create=True)
    from commands.serving import serve as serve_until_told

    with reporting():
        serve_until_told(settings, sample, out, err)


@app.command()
def stop(data: shared.DataOption = None, address: shared.AddressOption = None) -> None:
    """Stop the cluster that serves a data folder, as Ctrl-C would."""
    directory = (data or Path("data")).resolve()
    if address is not None:
        cluster = joined(data, address)
    from commands.launch import stop_actors, stop_serving

    with reporting(), err.status(f"stopping the cluster of {address or directory}"):
        if address is not None:
            stop_actors(cluster.namespace)
        else:
            pid = stop_serving(directory)
            if not pid:
                raise fail(f"nothing serves {directory}")
    err.print("stopped", highlight=False)


@app.command()
def status(
    data: shared.DataOption = None, address: shared.AddressOption = None, as_json: shared.JsonOption = False
) -> None:
    """Show processes, shards, figures and lags of a running cluster."""
    cluster = joined(data, address)
    from commands.bulk import with_client
    from commands.status_report import collect_status, print_status

    with reporting():
        report = asyncio.run(with_client(cluster.namespace, lambda c: collect_status(c, cluster.namespace)))
    report["url"] = cluster.url
    print_json(report) if as_json else print_status(report, out)


@app.command()
def roll(
    with_pauses: Annotated[bool, typer.Option("--with-pauses", help="Also if something is away meanwhile.")] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Restart every process one after the other, on the code that is on disk now, while clients read and write."""
    cluster = joined(data, address)
    from commands import maintenance

    with reporting():
        done = maintenance.roll(cluster.namespace, with_pauses, _say)
    print_json(done) if as_json else _say(f"restarted {len(done['restarted'])} processes in {done['seconds']} s")


@app.command()
def drain(
    node: Annotated[str, typer.Argument(help="The node's address, or its id as `status` shows it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take part again.")] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Move leaders, replicas and API workers off a node, and keep new ones away, so that it can be switched off."""
    cluster = joined(data, address)
    from commands import maintenance

    with reporting():
        if undo:
            done = maintenance.undo_drain(cluster.namespace, node)
        else:
            done = maintenance.drain(cluster.namespace, node, _say)
    print_json(done) if as_json else _say(f"drained: {', '.join(done['drained']) or 'no node'}")


@app.command()
def rebalance(
    shards: Annotated[int | None, typer.Option(help="How many shards there are to be.", show_default=False)] = None,
    at_once: Annotated[int, typer.Option("--at-once", help="Buckets, of 1,024, that move together.")] = 8,
    cancelled: Annotated[bool, typer.Option("--cancel", help="Stop after the move that is under way.")] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Add or give up shards, moving accounts between them while clients read and write. Ctrl-C only stops watching."""
    if (shards is None) != cancelled:
        raise fail("give --shards N, or --cancel", 2)
    cluster = joined(data, address)
    from commands import rebalance as rebalancing

    with reporting():
        if shards is None:
            done = rebalancing.cancel(cluster.namespace)
        else:
            done = rebalancing.rebalance(cluster.namespace, shards, at_once, err)
    if as_json:
        print_json(done)
    elif done is None:
        _say("there was no rebalance")
    else:
        longest = max(done["freeze_ms"], default=0.0)
        _say(f"{done['moved_buckets']} buckets moved, {done['left_buckets']} left")
        _say(f"writes waited {len(done['freeze_ms'])} times, for {longest} ms at most")


def _say(line: str) -> None:
    err.print(line, highlight=False, soft_wrap=True, markup=False)


# ---- data -------------------------------------------------------------------------------------------------------


@app.command()
def load(
    graph: shared.GraphOption = None,
    tweets: shared.TweetsOption = None,
    accounts: shared.AccountsOption = None,
    apps: shared.AppsOption = None,
    seed: shared.SeedOption = 0,
    data: shared.DataOption = None,
    url: shared.UrlOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Load a follow graph, tweets, accounts and apps into a running cluster. Loading the same again changes nothing."""
    if graph is None and accounts is None and apps is None:
        raise fail("give --graph FILE, --accounts FILE, or --apps FILE", 2)
    if apps is not None and url is not None:
        raise fail("--apps can't go through --url: the HTTP API draws credentials itself", 2)
    settings = settings_of("laptop", None)
    with reporting():
        if url is None:
            cluster = joined(data, address)
        from commands import bulk

        given = bulk.read_input(graph, tweets, accounts, seed, settings.tweet.max_chars, err, apps)
        if url is None:
            done = asyncio.run(bulk.load(given, cluster.namespace, bulk.password_settings(settings), err))
        else:
            done = bulk.load_http(url, given, err)
    _print_summary(bulk.summary_of(done), as_json)


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    table = Table("", "in the files", "new", "seconds", "per second")
    for name, phase in summary.items():
        figures = (f"{phase['given']:,}", f"{phase['new']:,}", f"{phase['seconds']:.2f}", f"{phase['per_second']:,.0f}")
        table.add_row(name, *figures)
    out.print(table)
    if not any(phase["new"] for phase in summary.values()):
        out.print("nothing was new: the cluster had it all")


def media_store(directory: Path) -> Any:
    """Return the store of a cluster's media."""
    from commands.media_checking import store_of

    return store_of(directory)


def _report(outcome: Any, as_json: bool) -> None:
    """Print what a check found; end with status 1 if that is a problem."""
    from commands import bulk

    print_json(bulk.outcome_values(outcome)) if as_json else bulk.print_outcome(outcome, out)
    if outcome.problem_count:
        raise typer.Exit(1)


@app.command()
def check(
    oracle: Annotated[bool, typer.Option(help="Compare every home timeline with its definition.")] = False,
    graph: shared.GraphOption = None,
    tweets: shared.TweetsOption = None,
    seed: shared.SeedOption = 0,
    extra_ok: Annotated[bool, typer.Option(help="The cluster may hold more than the files.")] = False,
    http: Annotated[bool, typer.Option(help="Read timelines over HTTP (auth.mode=open, or --tokens).")] = False,
    mastodon: Annotated[
        bool, typer.Option(help="Compare what Mastodon's API serves to each account of --tokens.")
    ] = False,
    tokens: Annotated[Path | None, typer.Option(help="Accounts file whose tokens --http and --mastodon use.")] = None,
    homes: Annotated[int, typer.Option(min=0, help="Homes of so many accounts, evenly spread; 0: of all.")] = 0,
    search: Annotated[bool, typer.Option(help="Compare every search index with its shard's memory.")] = False,
    media: Annotated[bool, typer.Option(help="Compare the store of media with what is shown of it.")] = False,
    repair: Annotated[
        bool, typer.Option(help="With --search: feed the index what differs; with --media: remove orphans.")
    ] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Check invariants and digests of a running or stopped cluster; with --oracle every timeline too."""
    directory = (data or Path("data")).resolve()
    use_ray_token(directory, create=False)
    from commands import bulk
    from commands.launch import ClusterInfo, serving_pid

    with reporting():
        given = bulk.read_input(graph, tweets, None, seed, settings_of("laptop", None).tweet.max_chars, err)
        if repair and not (search or media):
            raise typer.BadParameter("it belongs to --search and --media", param_hint="--repair")
        if mastodon and tokens is None:
            raise typer.BadParameter("it needs --tokens FILE, with one of each account", param_hint="--mastodon")
        store = media_store(directory) if media else None
        if address is None and not serving_pid(directory):
            if search or mastodon:
                hint = "--search" if search else "--mastodon"
                raise typer.BadParameter("it needs a cluster that serves; none does here", param_hint=hint)
            from commands.offline import check_stopped

            outcome = check_stopped(directory, ClusterInfo.load(directory), oracle, err, store, repair)
        else:
            cluster = joined(data, address)
            page = bulk.http_page(cluster.url, tokens) if http or (tokens and not mastodon) else None
            read = bulk.mastodon_read(cluster.url, tokens) if mastodon and tokens else None
            files, folder = given if graph or tweets else None, directory if address is None else None
            options = bulk.CheckOptions(oracle, files, extra_ok, page, search, repair, folder, read, homes, store)
            outcome = asyncio.run(bulk.check_running(cluster.namespace, cluster.length, options, err))
    _report(outcome, as_json)


@app.command()
def explain(
    account: Annotated[str, typer.Argument(help="Whose home timeline: @name, or an id.")],
    tweet_id: Annotated[int, typer.Argument(min=1, help="The tweet.")],
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Say why a tweet is, or isn't, in an account's home timeline: rule by rule, and where it is."""
    cluster = joined(data, address)
    from commands import explaining
    from commands.bulk import with_client

    with reporting():
        told = asyncio.run(with_client(cluster.namespace, lambda c: explaining.explain(c, account, tweet_id)))
    print_json(explaining.as_json(told)) if as_json else explaining.print_explanation(told, out)


@app.command()
def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder for the backup.")],
    media: Annotated[bool, typer.Option(help="Copy the files of media, too.")] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Back a cluster up, serving or stopped: one consistent cut over all shards. A serving one goes on meanwhile."""
    data_dir = (data or Path("data")).resolve()
    use_ray_token(data_dir, create=False)
    from commands import backup as backups
    from commands.launch import serving_pid

    with reporting():
        store = media_store(data_dir) if media else None
        if address is None and not serving_pid(data_dir):
            done = backups.backup_stopped(data_dir, directory.resolve(), err, store)
        else:
            cluster = joined(data, address)
            work = backups.backup_serving(cluster.namespace, cluster.length, directory.resolve(), err, data_dir, store)
            done = asyncio.run(work)
    if as_json:
        print_json(done)
    else:
        state, size = done["source"], done["bytes"] / 2**20
        out.print(f"backed the {state} cluster up: {size:,.1f} MiB in {done['seconds']:.1f} s", highlight=False)


@app.command()
def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a backup.")],
    profile: shared.ProfileOption = "laptop",
    data: shared.DataOption = None,
    replicas: Annotated[int | None, typer.Option(help="Copies of each shard.", show_default="1")] = None,
    only_check: Annotated[bool, typer.Option("--check", help="Only look whether the backup is good.")] = False,
    media: Annotated[bool, typer.Option(help="Put back the files of media that it has.")] = True,
    sets: shared.SetOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Restore a backup into an empty data folder (and an empty Redis); start the cluster with `serve` afterwards."""
    settings = settings_of(profile, sets, storage={"data_dir": data}, cluster={"replicas": replicas})
    from commands import restore as restores

    with reporting():
        if only_check:
            outcome = restores.check_backup(directory.resolve(), settings, err)
        else:
            done = restores.restore(directory.resolve(), settings, err, media)
    if only_check:
        _report(outcome, as_json)
    elif as_json:
        print_json(done)
    else:
        shards, where = len(done["positions"]), settings.storage.data_dir
        out.print(
            f"restored; start it with the same settings: run_cluster.py serve --shards {shards} --data {where}",
            soft_wrap=True,
        )


@app.command()
def approve(
    account: Annotated[str, typer.Argument(help="Its id or user name; without it, who waits is listed.")] = "",
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Let an account in that waits for approval (registrations.mode=approval); to turn it down, delete it."""
    cluster = joined(data, address)
    from commands import bulk

    with reporting():
        if account:
            account_id, username = asyncio.run(bulk.approve(cluster.namespace, account))
        else:
            accounts = asyncio.run(bulk.waiting(cluster.namespace))
    if account and as_json:
        print_json({"user_id": str(account_id), "username": username})
    elif account:
        out.print(f"account {account_id}, @{username}, is let in", highlight=False)
    elif as_json:
        print_json({"waiting": [{**asdict(each), "account_id": str(each.account_id)} for each in accounts]})
    else:
        for each in accounts:
            why = " ".join(each.reason.split())
            out.print(f"{each.account_id}  @{each.username}  {why}", highlight=False, markup=False)
        out.print(f"{len(accounts)} waiting", highlight=False)


@app.command()
def notify(
    channel: Annotated[str, typer.Argument(help="mail, push or webhooks.")],
    who: Annotated[str, typer.Argument(help="An e-mail address; of the others the id or user name of an account.")],
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Send one test by mail, push or webhooks, as everything leaves, and say what the other side has answered."""
    if channel not in ("mail", "push", "webhooks"):
        raise typer.BadParameter(f"it is mail, push or webhooks, not {channel}", param_hint="CHANNEL")
    cluster = joined(data, address)
    from commands import notifying

    with reporting():
        outcome = asyncio.run(notifying.notify_test(cluster.namespace, channel, who))
    if as_json:
        print_json({**outcome._asdict(), "done": outcome.is_done})
    else:
        words = ", ".join(f"{word} ({count})" for word, count in outcome.said.items()) or "nothing yet"
        out.print(f"{channel}: {outcome.sent} sent; the other side has said: {words}", highlight=False, markup=False)
    raise typer.Exit(0 if outcome.is_done else 1)


@app.command()
def reports(
    after: Annotated[int, typer.Option(help="Only those that came after this report, by its id.", min=0)] = 0,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """List what people have reported of each other, the oldest first."""
    cluster = joined(data, address)
    from commands import bulk

    with reporting():
        made = asyncio.run(bulk.reports(cluster.namespace, after))
    if as_json:
        ids = ("report_id", "by", "account_id")
        print_json({"reports": [{**asdict(each), **{name: str(getattr(each, name)) for name in ids}} for each in made]})
        return
    for each in made:
        comment = " ".join(each.comment.split())
        tweets = " ".join(map(str, each.tweet_ids))
        out.print(
            f"{each.report_id}  {each.by} of {each.account_id}  {each.category}  {tweets}  {comment}",
            highlight=False, markup=False,
        )  # fmt: skip
    out.print(f"{len(made)} reports", highlight=False)


@app.command()
def delete(
    account: Annotated[str, typer.Argument(help="Its id, or its user name with or without an @.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until nothing of it is left.")] = True,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Delete an account for good, without its password; all that is of it goes. Its name is given to nobody else."""
    cluster = joined(data, address)
    from commands import bulk

    def confirm(whose: str) -> None:
        if not yes:
            typer.confirm(f"delete {whose}, and all that is of it? This can't be undone", abort=True, err=True)

    with reporting():
        deleted = asyncio.run(bulk.delete_account(cluster.namespace, account, confirm, wait))
    if as_json:
        print_json({"user_id": str(deleted.account_id), "username": deleted.username, "seconds": deleted.seconds})
    else:
        left = f"; nothing was left of it after {deleted.seconds:.1f} s" if wait else ""
        out.print(f"account {deleted.account_id}, @{deleted.username}, is deleted{left}", highlight=False)


@app.command()
def storm(
    operations: Annotated[int, typer.Option(min=1, help="Writes to make.")] = 20_000,
    seed: shared.SeedOption = 0,
    kill: Annotated[bool, typer.Option(help="kill -9 each shard in turn meanwhile.")] = False,
    data: shared.DataOption = None,
    address: shared.AddressOption = None,
    as_json: shared.JsonOption = False,
) -> None:
    """Write at random as many clients would, kill shards if told to; nothing acknowledged may be lost or doubled."""
    cluster = joined(data, address)
    from commands import bulk

    with reporting():
        outcome = asyncio.run(bulk.run_storm(cluster.namespace, cluster.length, operations, seed, kill, err))
    _report(outcome, as_json)


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many simulations.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Client actions in each.")] = 250,
) -> None:
    """Simulate whole clusters in one thread with faults (lost messages, crashes, torn writes), one per seed."""
    from commands.simulation import run_seeds

    with reporting():
        failed = run_seeds(first, seeds, steps, out, err)
    raise typer.Exit(1 if failed else 0)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def bench(context: typer.Context) -> None:
    """Measure Rookery beside what a user would pick instead, in one run; `bench --help` lists the scenarios."""
    from bench.cli import app as scenarios

    scenarios(args=context.args, prog_name="run_cluster.py bench")


if __name__ == "__main__":
    os.umask(0o077)  # journals, backups and tokens are for whoever started this, and nobody else
    app()
