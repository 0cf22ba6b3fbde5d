"""Loads and checks as run_cluster.py offers them: files in, progress on stderr, a summary out.

Rules of this file
- Glue only: reading is commands/input_files.py's, loading commands/loading.py's, checking commands/checking.py's. What
  needs the API's rules (what a tweet may say, entities, tokens, passwords) comes from `api/`, so that what is loaded
  is what could have been posted.
- Input is read and checked as a whole before the first request.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
from ray.exceptions import RayError
from rich.console import Console

from actors.core.errors import InvalidError
from api import fields
from api.access.auth import parse_token
from api.access.mail_addresses import is_address
from api.access.passwords import Passwords
from api.settings import PasswordSettings
from api.text.texts import is_blank
from cluster.client.cluster_client import ClusterClient
from cluster.client.connect import local_node_id, open_client, router_handle
from commands import approving, deleting, reported
from commands.app_loading import ImportedApp, load_app_tokens, load_apps, read_apps
from commands.checking import (
    SHOWN_COUNT,
    Outcome,
    ReadPage,
    check_edges,
    check_homes,
    check_input_edges,
    check_input_tweets,
    check_references,
    check_shards,
    lane_page,
    read_facts,
)
from commands.deleting import Deleted, find_account
from commands.http_api import HttpApi
from commands.http_loading import HttpInput, HttpLoader, tokens_of
from commands.input_files import Edges, ImportedAccount, TextLine, read_accounts, read_edges, read_texts
from commands.loading import AccountRow, BulkLoader, Loaded, OnCount, Post, draw_authors, idempotency_key
from commands.mastodon_checking import MastodonCheck
from commands.mastodon_reading import Read, read_over_http
from commands.media_checking import check_media
from commands.progress import Bars
from commands.search_checking import ask_by_actor, check_search, has_search
from commands.storm import Storm, kill_in_turn
from configs.settings import Settings
from persistence.objects import ObjectStore
from persistence.private import open_folders

T = TypeVar("T")
NO_EDGES = Edges(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
HASHES_AT_ONCE = 4  # Argon2 takes 19 MiB and 25 ms each


@dataclass(frozen=True, slots=True)
class Input:
    """What the files hold. accounts: every id that must exist, ascending."""

    edges: Edges = NO_EDGES
    texts: list[TextLine] = field(default_factory=list)
    imported: list[ImportedAccount] = field(default_factory=list)
    seed: int = 0
    apps: list[ImportedApp] = field(default_factory=list)

    @property
    def accounts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Every account of the graph and of the accounts file, ascending."""
        return np.union1d(self.edges.accounts(), np.array([a.account_id for a in self.imported], dtype=np.int64))

    def authors(self) -> list[int]:
        """Return the author of each text."""
        if not self.texts:
            return []
        if not len(self.accounts):
            raise InvalidError("tweets need accounts that write them: give --graph or --accounts")
        authors: list[int] = draw_authors(self.accounts, self.edges.followees, len(self.texts), self.seed).tolist()
        return authors

    def written(self) -> Iterator[tuple[int, str]]:
        """Yield (author, text) of each text."""
        return zip(self.authors(), (line.text for line in self.texts), strict=True)


def read_input(
    graph: Path | None, tweets: Path | None, accounts: Path | None, seed: int, max_chars: int, console: Console,
    apps: Path | None = None,
) -> Input:  # fmt: skip
    """Read the files. Raises InvalidError that names file and line."""

    def clean(text: str) -> str:
        if is_blank(text):
            return ""  # as an empty line: there is no tweet in it
        return fields.clean_text(text, "the tweet", max_chars, chars_min=1, lines=True)

    with Bars(console) as bars:
        edges, texts = NO_EDGES, []
        if graph is not None:
            with bars.reading(graph.name) as on_bytes:
                edges = read_edges(graph, on_bytes)
        if tweets is not None:
            with bars.reading(tweets.name) as on_bytes:
                texts = read_texts(tweets, clean, on_bytes)
        imported = read_accounts(accounts, clean_account) if accounts is not None else []
        imported_apps = read_apps(apps) if apps is not None else []
    found = Input(edges, texts, imported, seed, imported_apps)
    found.authors()
    return found


def clean_account(account: ImportedAccount) -> ImportedAccount:
    """Return an imported account as registration would store it; hold it to what that would allow."""
    fields.clean_username(account.username)
    if account.password:
        fields.new_password(account.password)
    if account.email and not is_address(account.email):
        raise InvalidError("email must be an e-mail address, such as ada@example.org")
    token_owner = parse_token(account.token).account_id if account.token else 0
    if token_owner not in (0, account.account_id):
        raise InvalidError(f"its token belongs to account {token_owner}")
    display_name = fields.clean_display_name(account.display_name)
    return replace(account, display_name=display_name, bio=fields.clean_bio(account.bio))


# ---- loading ----------------------------------------------------------------------------------------------------


async def load(given: Input, namespace: str, passwords: PasswordSettings, console: Console) -> dict[str, Loaded]:
    """Load into the running cluster, in the order accounts, follows, tweets. Safe to repeat."""
    client = await open_client(namespace)
    try:
        loader, done = BulkLoader(client), {}
        with Bars(console) as bars:
            if given.apps:
                done["apps"] = await load_apps(client, given.apps, bars.start("apps", len(given.apps)))
            rows = await account_rows(given, loader, passwords, bars)
            done["accounts"] = await loader.accounts(rows, bars.start("accounts", len(rows)))
            owners = {account.email: account.account_id for account in given.imported if account.email}
            if owners:
                done["addresses"] = await loader.addresses(owners, bars.start("addresses", len(owners)))
            if count := sum(1 for account in given.imported if account.app and account.token):
                done["tokens"] = await load_app_tokens(client, given.imported, bars.start("tokens", count))
            if len(given.edges.followers):
                done["follows"] = await loader.follows(given.edges, bars.start("follows", len(given.edges.followers)))
            if given.texts:
                on_count = bars.start("tweets", len(given.texts))
                posts = await make_posts(given, loader)
                done["tweets"] = await loader.tweets(posts, on_count)
        return done
    finally:
        client.close()


async def account_rows(given: Input, loader: BulkLoader, passwords: PasswordSettings, bars: Bars) -> list[AccountRow]:
    """Return what to register: imported accounts that don't exist yet with their secrets, then those of the graph."""
    named = {account.account_id for account in given.imported}
    existing = await loader.ids_of_names(a.username for a in given.imported)
    new = [a for a in given.imported if existing.get(a.username.lower()) != a.account_id]
    on_count = bars.start("passwords", len(new)) if any(a.password for a in new) else lambda _: None
    hasher, slots = Passwords(passwords), asyncio.Semaphore(HASHES_AT_ONCE)

    async def row(account: ImportedAccount) -> AccountRow:
        async with slots:
            hashed = await hasher.hash(account.password) if account.password else None
        on_count(1)
        tokens = [parse_token(account.token).secret_hash] if account.token and not account.app else []
        return [account.username, account.account_id, account.display_name, account.bio, hashed, tokens]

    try:
        rows = list(await asyncio.gather(*(row(account) for account in new)))
    finally:
        hasher.close()
    rows += [[f"user{i}", i, "", "", None, []] for i in given.accounts.tolist() if i not in named]
    return rows


async def make_posts(given: Input, loader: BulkLoader) -> list[Post]:
    """Extract entities as the API does and look up whom the tweets mention."""
    # Here: what finds them takes 0.3 s of the processor to import, which `status` and `check` can spare.
    from api.text.entities import find_entities, pack_entities

    entities = [find_entities(line.text) for line in given.texts]
    ids = await loader.ids_of_names(name for found in entities for name, _, _ in found.mentions)
    posts = []
    for line, author, found in zip(given.texts, given.authors(), entities, strict=True):
        mentioned = dict.fromkeys(ids[n.lower()] for n, _, _ in found.mentions if n.lower() in ids)
        key = idempotency_key(given.seed, line)
        posts.append(Post(author, line.text, pack_entities(found, ids), list(mentioned), key))
    return posts


def summary_of(done: dict[str, Loaded]) -> dict[str, Any]:
    """Return a load's figures for `--json`."""
    return {name: {**asdict(phase), "per_second": round(phase.per_second, 1)} for name, phase in done.items()}


# ---- checking ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """oracle: compare timelines; given: compare with files; page: another way to read home pages than the lane.

    search: compare search indexes with memory; repair: and feed what differs; folder: of the data, if it is here.
    mastodon: compare what Mastodon's API serves, read by this; homes: of so many accounts alone, 0 for all.
    media: compare this store with what is shown of it; with repair what nobody shows is removed.
    """

    oracle: bool = False
    given: Input | None = None
    extra_ok: bool = False
    page: ReadPage | None = None
    search: bool = False
    repair: bool = False
    folder: Path | None = None
    mastodon: Read | None = None
    homes: int = 0
    media: ObjectStore | None = None


async def check_running(namespace: str, length: int, options: CheckOptions, console: Console) -> Outcome:
    """Check the running cluster."""
    client = await open_client(namespace)
    try:
        loader, outcome = BulkLoader(client), Outcome()
        outcome.add(f"router: {problem}" for problem in await router_handle(namespace).check.remote())
        if options.folder is not None:
            outcome.add(open_folders(options.folder))
        statuses = await check_shards(loader, outcome)
        accounts = outcome.figures["accounts"]
        with Bars(console) as bars:
            facts = await read_facts(client, bars.start("facts", accounts))
            await check_edges(client, facts, outcome, bars.start("edges", accounts))
            await check_references(client, facts, outcome)
            edge_count = sum(len(followees) for followees in facts.following.values())
            if edge_count != outcome.figures["edges"]:
                outcome.add([f"shards count {outcome.figures['edges']} edges, but export {edge_count}"])
            if options.given is not None:
                await compare_input(loader, facts, options, outcome, bars)
            if options.oracle:
                page = options.page or lane_page(client)
                count = min(accounts, options.homes or accounts)
                await check_homes(page, facts, length, outcome, bars.start("homes", count), options.homes)
            if options.mastodon is not None:
                written = Counter(options.given.written()) if options.given and options.given.texts else None
                searched = has_search(await router_handle(namespace).readiness.remote())
                check = MastodonCheck(options.mastodon, facts, outcome)
                await check.check_all(written, options.extra_ok, searched, bars.start, options.homes)
            if options.oracle or options.mastodon is not None:
                await note_writes(loader, statuses, outcome)
        if options.search:
            await check_search(client.shard_map, ask_by_actor(namespace), options.repair, outcome)
        if options.media is not None:
            await check_media(client.call_shard, client.shard_count, options.media, outcome, options.repair)
        return outcome
    finally:
        client.close()


async def compare_input(loader: BulkLoader, facts: Any, options: CheckOptions, outcome: Outcome, bars: Bars) -> None:
    """Compare the facts with the files that were loaded."""
    given = options.given
    assert given is not None
    if len(given.edges.followers):
        check_input_edges(facts, given.edges, options.extra_ok, outcome)
    if given.texts:
        wanted = Counter(given.written())
        on_count: OnCount = bars.start("texts", len(facts.tweets_by))
        await check_input_tweets(loader.client, facts, wanted, options.extra_ok, outcome, on_count)


async def note_writes(loader: BulkLoader, before: list[dict[str, Any]], outcome: Outcome) -> None:
    """Say so if clients wrote while timelines were compared: then differences prove nothing."""
    after = await loader.statuses()
    for name in ("tweets", "edges", "accounts"):
        was, now = (sum(int(s[name]) for s in statuses) for statuses in (before, after))
        if was != now:
            outcome.add([f"{name} went from {was} to {now} during the check: check again when nobody writes"])


async def delete_account(namespace: str, who: str, confirm: Callable[[str], None], waits: bool) -> Deleted:
    """Delete an account of the running cluster. confirm: told whose it is; may raise."""

    async def delete(client: ClusterClient) -> Deleted:
        account_id, username = await find_account(client, who)
        confirm(f"account {account_id}, @{username}")
        return await deleting.delete_account(client, account_id, username, waits)

    return await with_client(namespace, delete)


async def approve(namespace: str, who: str) -> tuple[int, str]:
    """Let an account of the running cluster in that waits for approval."""
    return await with_client(namespace, lambda client: approving.approve_account(client, who))


async def waiting(namespace: str) -> list[approving.WaitingAccount]:
    """Return which accounts of the running cluster wait for approval."""
    return await with_client(namespace, approving.list_waiting)


async def reports(namespace: str, after: int) -> list[reported.ReportMade]:
    """Return what people of the running cluster have reported of each other."""
    return await with_client(namespace, lambda client: reported.list_reports(client, after))


async def with_client(namespace: str, work: Callable[[ClusterClient], Awaitable[T]]) -> T:
    """Run something with an open client."""
    client = await open_client(namespace)
    try:
        return await work(client)
    finally:
        client.close()


def password_settings(settings: Settings) -> PasswordSettings:
    """Return how passwords are hashed."""
    auth = settings.auth
    return PasswordSettings(
        time_cost=auth.argon2_time_cost, memory_kib=auth.argon2_memory_kib, parallelism=auth.argon2_parallelism
    )


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return a check's findings for `--json`."""
    return {"ok": not outcome.problem_count, **asdict(outcome)}


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Show a check's findings."""
    for shard, value in sorted(outcome.digests.items()):
        console.print(f"shard {shard}  digest {value}", highlight=False)
    for name, count in outcome.figures.items():
        console.print(f"{name.replace('_', ' ')}: {count:,}", highlight=False)
    for problem in outcome.problems:
        console.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    if outcome.problem_count > len(outcome.problems):
        console.print(f"... and {outcome.problem_count - len(outcome.problems):,} more", style="red")
    console.print(f"{outcome.problem_count:,} differences" if outcome.problem_count else "no differences")


# ---- storms -----------------------------------------------------------------------------------------------------


async def run_storm(namespace: str, length: int, operations: int, seed: int, kill: bool, console: Console) -> Outcome:
    """Write at random, perhaps while shards are killed; then compare everything, timelines included."""
    client = await open_client(namespace)
    try:
        loader, outcome = BulkLoader(client), Outcome()
        killed: list[int] = []
        await loader.wait_until_drained()
        with Bars(console) as bars:
            before = await read_facts(client, bars.start("before", await loader.total("accounts")))
            storm, count = Storm(client, before, seed), 0
            advance = bars.start("storm", operations)

            def on_count(done: int) -> None:
                nonlocal count
                count += done
                advance(done)

            begin = time.perf_counter()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(storm.run(operations, on_count))
                    if kill:
                        pids = functools.partial(shard_pids, namespace)
                        group.create_task(kill_in_turn(pids, lambda: count / operations, killed))
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors
            outcome.figures |= {"operations": count, "seconds": round(time.perf_counter() - begin)}
            outcome.add(await storm.repeat_posts())
            await loader.wait_until_drained()
            outcome.add(await storm.compare_said())
            storm.compare(await read_facts(client, bars.start("after", len(before.following))), outcome)
        outcome.figures["killed"] = len(killed)
    finally:
        client.close()
    checked = await check_running(namespace, length, CheckOptions(oracle=True), console)
    checked.figures = outcome.figures | checked.figures
    checked.problem_count += outcome.problem_count
    checked.problems = (outcome.problems + checked.problems)[:SHOWN_COUNT]
    return checked


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first of the errors of several tasks, out of its groups."""
    error = errors.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error


async def shard_pids(namespace: str) -> dict[int, int]:
    """Return the processes of the live primaries on this machine."""
    try:
        status = await router_handle(namespace).status.remote()
    except RayError:
        return {}
    here = local_node_id()
    return {r["shard"]: r["pid"] for r in status["replicas"] if r["primary"] and r["live"] and r["node"] == here}


# ---- over HTTP --------------------------------------------------------------------------------------------------


def load_http(url: str, given: Input, console: Console) -> dict[str, Loaded]:
    """Load through the HTTP API at `url`."""
    authors = given.authors()
    posts = [
        (author, line.text, idempotency_key(given.seed, line).hex())
        for author, line in zip(authors, given.texts, strict=True)
    ]
    everything = HttpInput(given.edges, given.accounts.tolist(), given.imported, posts, given.seed)
    with Bars(console) as bars:
        return HttpLoader(HttpApi(url), given.seed).load(everything, bars.start)


def http_page(url: str, accounts: Path | None) -> ReadPage:
    """Return a reader of home pages over HTTP; accounts: file with tokens, None for auth.mode=open."""
    api, tokens = HttpApi(url), tokens_of(read_accounts(accounts)) if accounts is not None else {}

    def read(account_id: int, max_id: int, count: int) -> bytes:
        older = f"&max_id={max_id}" if max_id else ""
        path = f"/api/v1/home_timeline?user_id={account_id}&count={count}{older}"
        return orjson.dumps(api.request("GET", path, tokens.get(account_id, "")))

    return lambda *args: asyncio.to_thread(read, *args)


def mastodon_read(url: str, accounts: Path) -> Read:
    """Return a reader of Mastodon's API; accounts: file with a token of every account."""
    return read_over_http(url, tokens_of(read_accounts(accounts)))
