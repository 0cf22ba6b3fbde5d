"""`mastodon`: what Mastodon's API costs beside our own, over the same network, and beside a peer on FastAPI and Redis.

    pages        home at 1 and 32 clients: Rookery, our own API's, the peer's; a list's; of readers with favourites
    operations   processor time of the API worker, one request after the other on each of CPU_CLIENTS connections
    favourites   one client, accounts and statuses of different shards: answered when both shards have it
    profiles     from the request that changes a name until a follower on the other shard reads it

Rules of this file
- Processor times are the process's own (user and system), divided by the requests of a run: they hold on a machine that
  others use, too. Latencies and rates don't; their ratios within a turn do.
- With the defaults, five turns of 3 s, it is meant to take 8 minutes at most, of which less than five are measuring;
  each step says when it began.
- Readers with favourites or filters are others than the rest; what filters cost is the difference to plain readers.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

import httpx
import psutil

from bench.contest import ClientPlots, add_rows, load_in_turn
from bench.load_generator import Sample, get_request, post_request, run_load, write_requests
from bench.machine import busy_percent
from bench.mastodon_stage import FAVOURITES, HOME, WORDS, Stage, staged
from bench.pairs import Spread, Turns, alternate
from bench.processes import BenchError
from bench.results import Claim, Result, Row
from bench.scenarios import SHARDS, Options, Progress

CLIENTS: Final = (1, 32)
CPU_CLIENTS: Final = 8
OURS, NATIVE, PEER = "Rookery", "own API", "FastAPI + Redis"
LIST, FOND, STRICT = "list timeline", "1,000 favourites", "10 filter words"
PLAIN: Final = "home, as many without"  # readers as have filters: so few pages that they stay in the processor's caches
PAIRS_MARKED: Final = (
    20_000  # (account, status) that are favourited, one after the other; a run that sends more repeats
)
CHANGES: Final = 10  # profiles that are changed in a turn
SEEN_WITHIN_S: Final = 10.0
TICK_S: Final = 0.01  # of the clock of processor time
COST_S: Final = (
    1.0  # of a run for that, at most: 100 ticks and some 5,000 requests, and there are twenty of them a turn
)
ONCE_S: Final = 0.3  # of what an operation does for the first time
ISSUE: Final = 17


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("mastodon", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    busy: list[float] = []
    progress = timed(progress)
    with staged(options, progress) as stage:
        network = stage.network
        result.facts |= {
            "network": f"{len(network.accounts)} accounts, {len(network.followers)} follows, "
            f"{len(stage.statuses)} statuses; {SHARDS} shards, 1 API worker; the peer: 1 worker, 1 redis-server",
            "readers": f"{len(stage.readers)}; {len(stage.fond)} with {FAVOURITES} favourites",
            "generator": options.generator,
            "turns": f"{options.pairs} of {options.seconds} s, of processor time {min(options.seconds, COST_S)} s",
        }  # fmt: skip
        measure_pages(options, progress, result, stage, busy)
        measure_operations(options, progress, result, stage, busy)
        progress("favourites")
        measure_favourites(options, result, stage, busy)
        progress("profiles")
        measure_profiles(options, result, stage)
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"
    return result


def timed(progress: Progress) -> Progress:
    """Return what says, with each step, how long it has been since the start."""
    begun_s = time.monotonic()
    return lambda text: progress(f"{time.monotonic() - begun_s:.0f} s: {text}")


# ---- pages ------------------------------------------------------------------------------------------------------


def measure_pages(options: Options, progress: Progress, result: Result, stage: Stage, busy: list[float]) -> None:
    """Read timelines in turn."""
    readers = stage.readers
    homes = requests_of(stage, options.folder / "homes", ((a, HOME) for a in readers))
    requests = {
        OURS: homes,
        NATIVE: requests_of(
            stage, options.folder / "own", ((a, f"/api/v1/home_timeline?user_id={a}") for a in readers)
        ),
        PEER: homes,
        LIST: requests_of(
            stage, options.folder / "lists", ((a, f"/api/v1/timelines/list/{stage.lists[a]}") for a in readers)
        ),
        FOND: requests_of(stage, options.folder / "fond", ((a, HOME) for a in stage.fond)),
    }
    ports = dict.fromkeys(requests, stage.rookery.port) | {PEER: stage.peer.port}
    plots = ClientPlots.of(result, "Timelines")
    for clients in CLIENTS:
        took_s = len(requests) * (options.pairs * options.seconds + 1)
        progress(f"pages, {clients} clients: {options.pairs} turns, {took_s:.0f} s")
        turns = load_in_turn(options, ports, requests, clients, busy)
        add_rows(result, clients, turns)
        plots.add(clients, turns)
    result.claims += page_claims(turns)


def page_claims(turns: Turns[Sample]) -> list[Claim]:
    """Return what is said of pages at 32 clients."""
    to_native, fond = (turns.ratio(name, NATIVE, lambda s: s.per_second) for name in (OURS, FOND))
    p99 = turns.ratio(OURS, NATIVE, lambda s: s.p99_us)
    to_home = turns.ratio(LIST, OURS, lambda s: s.per_second)
    return [
        Claim("home reads/s at 32 clients, to our own API's", "at_least", 0.6, to_native, ISSUE),
        Claim("the same of readers with 1,000 favourites", "at_least", 0.5, fond, ISSUE),
        Claim("home read p99 at 32 clients, to our own API's", "at_most", 2.0, p99, ISSUE),
        Claim("list timelines/s at 32 clients, to home's", "at_least", 0.8, to_home, ISSUE),
    ]


def requests_of(stage: Stage, path: Path, asked: Iterable[tuple[int, str]]) -> Path:
    """Write a file of GETs. asked: (account, path)."""
    return write_requests(path, [get_request(url, [stage.token(account)]) for account, url in asked])


# ---- processor time ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """One run: requests, and the processor time for each: of the HTTP worker, and of all processes that take part."""

    requests: int
    cpu_us: float
    all_us: float


def operations_of(stage: Stage) -> dict[str, list[tuple[int, str]]]:
    """Return what is asked for, by what it is called: (account, path); account 0: without a token."""
    readers, statuses = stage.readers, random.Random(4).sample(stage.statuses, min(500, len(stage.statuses)))
    same = {
        "verify_credentials": "/api/v1/accounts/verify_credentials", "bookmarks, none": "/api/v1/bookmarks",
        "lists": "/api/v1/lists", "filters": "/api/v2/filters", "preferences": "/api/v1/preferences",
        "markers": "/api/v1/markers?timeline[]=home", "home": HOME,
    }  # fmt: skip
    return {name: [(account, path) for account in readers] for name, path in same.items()} | {
        "status, no token": [(0, f"/api/v1/statuses/{status_id}") for status_id, _ in statuses],
        "account": [(author, f"/api/v1/accounts/{author}") for _, author in statuses],
        f"home, {STRICT}": [(account, HOME) for account in stage.strict],
        PLAIN: [(account, HOME) for account in readers[: len(stage.strict)]],
        f"home, {FOND}": [(account, HOME) for account in stage.fond],
        LIST: [(account, f"/api/v1/timelines/list/{stage.lists[account]}") for account in readers],
        "home, own API": [(account, f"/api/v1/home_timeline?user_id={account}") for account in readers],
    }


PEERS_TOO: Final = ("home", "verify_credentials", "status, no token")  # operations that the peer has as well
PAGES: Final = (
    "home",
    f"home, {STRICT}",
    PLAIN,
    f"home, {FOND}",
    LIST,
    "home, own API",
)  # operations that answer a page


def measure_operations(
    options: Options, progress: Progress, result: Result, stage: Stage, busy: list[float]
) -> None:  # fmt: skip
    """Measure what operations cost the worker."""
    cost_s = min(options.seconds, COST_S)
    operations = operations_of(stage)
    contestants = {}
    ours, theirs = (stage.rookery.port, processes(stage.pids)), (stage.peer.port, processes(stage.peer_pids))
    for number, (name, asked) in enumerate(operations.items()):
        requests = write_requests(
            options.folder / f"operation-{number}",
            [get_request(path, [stage.token(account)] if account else []) for account, path in asked],
        )
        for who, place in ((OURS, ours), *([(PEER, theirs)] if name in PEERS_TOO else [])):
            contestants[name, who] = lambda _, at=(*place, requests): cost_of(options.generator, *at, cost_s)
            cost_of(options.generator, *place, requests, min(cost_s, ONCE_S))  # not again
    named = {f"{name}|{who}": measure for (name, who), measure in contestants.items()}
    turn = itertools.count(1)

    def begin_turn() -> None:
        progress(f"operations, turn {next(turn)} of {options.pairs}, {len(named) * cost_s:.0f} s each")
        busy.append(busy_percent())

    turns = alternate(named, options.pairs, begin_turn)
    result.keep("worker's processor time", turns)
    for name, who in contestants:
        for case, figure in (("worker's processor time", "cpu_us"), ("all processes' time", "all_us")):
            if figure == "all_us" and name not in PAGES:
                continue
            value, of_ours = turns.spread(f"{name}|{who}", attrgetter(figure)), None
            if who == PEER:
                of_ours = turns.ratio(f"{name}|{OURS}", f"{name}|{who}", attrgetter(figure))
            result.rows.append(Row(case, who, name, "us", value, of_ours))
        if who == OURS and name not in PAGES:
            value = turns.spread(f"{name}|{who}", attrgetter("cpu_us"))
            result.claims.append(Claim(f"{name}: worker's processor time, us", "at_most", 150.0, value, ISSUE))
    result.rows.sort(key=lambda row: row.case == "all processes' time")
    result.claims += time_claims(turns)


def time_claims(turns: Turns[Cost]) -> list[Claim]:
    """Return what is said of pages by processor time, which other processes of the machine disturb less."""

    def pages_for_the_same(name: str, to: str) -> Spread:
        return turns.ratio(f"{to}|{OURS}", f"{name}|{OURS}", attrgetter("all_us"))

    own, filtered = "home, own API", difference(turns, f"home, {STRICT}|{OURS}", f"{PLAIN}|{OURS}")
    same = "for the same processor time of all processes"
    return [
        Claim(f"home reads {same}, to our own API's", "at_least", 0.6, pages_for_the_same("home", own), ISSUE),
        Claim(
            f"the same of readers with {FAVOURITES:,} favourites", "at_least", 0.5,
            pages_for_the_same(f"home, {FOND}", own), ISSUE,
        ),
        Claim(f"list timelines {same}, to home's", "at_least", 0.8, pages_for_the_same(LIST, "home"), ISSUE),
        Claim(f"{len(WORDS)} filter words: worker's processor time a page, us", "at_most", 30.0, filtered, ISSUE),
    ]  # fmt: skip


def processes(pids: list[int]) -> list[psutil.Process]:
    """Return processes by their ids."""
    return [psutil.Process(pid) for pid in pids]


def cost_of(generator: str, port: int, those: list[psutil.Process], requests: Path, seconds: float) -> Cost:
    """Ask for so long, and see what processes have used, the first of which is the HTTP worker."""
    before = used_s(those)
    sample = run_load(generator, port, requests, CPU_CLIENTS, seconds)
    used = [after - at for after, at in zip(used_s(those), before, strict=True)]
    if sample.errors:
        raise BenchError(f"{requests.name} on port {port}: {sample.errors} of {sample.requests} requests failed")
    return Cost(sample.requests, *(1e6 * max(s, TICK_S) / sample.requests for s in (used[0], sum(used))))


def used_s(those: list[psutil.Process]) -> list[float]:
    """Return the processor time that each process has used."""
    return [times.user + times.system for times in (each.cpu_times() for each in those)]


def difference(turns: Turns[Cost], name: str, to: str) -> Spread:
    """Return by how much one costs more than the other, turn by turn."""
    pairs = zip(turns.samples[name], turns.samples[to], strict=True)
    return Spread.of([a.cpu_us - b.cpu_us for a, b in pairs])


# ---- favourites ---------------------------------------------------------------------------------------------------


def measure_favourites(options: Options, result: Result, stage: Stage, busy: list[float]) -> None:
    """Favourite statuses of the other shard, one client, each another pair of account and status."""
    requests = write_requests(options.folder / "favourites", favourites_of(stage))
    ports = {OURS: stage.rookery.port, PEER: stage.peer.port}
    case = "favourites, 1 client"
    turns = load_in_turn(options, ports, dict.fromkeys(ports, requests), 1, busy)
    result.keep(case, turns)
    for name in ports:
        for figure in ("p50_us", "p99_us"):
            value = scaled(turns.spread(name, lambda s, f=figure: getattr(s, f)))
            ratio = None if name == OURS else turns.ratio(OURS, name, lambda s, f=figure: getattr(s, f))
            result.rows.append(Row(case, name, figure.removesuffix("_us"), "ms", value, ratio))
    median = scaled(turns.spread(OURS, lambda s: s.p50_us))
    result.claims.append(Claim("favourite on another shard settled, median, ms", "at_most", 10.0, median, ISSUE))


def scaled(spread: Spread) -> Spread:
    """Return ms for us."""
    return Spread(spread.median / 1e3, spread.least / 1e3, spread.most / 1e3)


def favourites_of(stage: Stage) -> Iterator[bytes]:
    """Yield favourites of statuses on another shard than the account's, none twice."""
    draw = random.Random(5)
    pairs: dict[tuple[int, int], None] = {}
    most = min(PAIRS_MARKED, len(stage.crowd) * len(stage.statuses) // 8)
    while len(pairs) < most:
        account, (status_id, author) = draw.choice(stage.crowd), draw.choice(stage.statuses)
        if stage.shard_of[account] != stage.shard_of[author]:
            pairs[account, status_id] = None
    for account, status_id in pairs:
        yield post_request(f"/api/v1/statuses/{status_id}/favourite", b"{}", [stage.token(account)])


# ---- profiles -----------------------------------------------------------------------------------------------------


def measure_profiles(options: Options, result: Result, stage: Stage) -> None:
    """Change names, and read home timelines of the other shard until they say so."""
    took_ms: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{stage.rookery.port}", timeout=30.0) as client:
        for number, (follower, author) in enumerate(edges_between(stage, CHANGES * options.pairs)):
            took_ms.append(1e3 * seen_after(client, stage, follower, author, f"Name {number} of {author}"))
    case = "profile change, seen on the other shard"
    result.samples[case] = {OURS: took_ms}
    result.rows.append(Row(case, OURS, "p50", "ms", Spread.of(took_ms)))
    longest = statistics.quantiles(took_ms, n=20)[-1]
    said = Spread(longest, min(took_ms), max(took_ms))
    result.claims.append(Claim("a changed name is seen on the other shard, p95, ms", "at_most", 100.0, said, ISSUE))


def edges_between(stage: Stage, count: int) -> list[tuple[int, int]]:
    """Return up to so many (follower, followee) of different shards."""
    pairs = zip(stage.network.followers.tolist(), stage.network.followees.tolist(), strict=True)
    between = [(u, v) for u, v in pairs if stage.shard_of[u] != stage.shard_of[v]]
    return random.Random(6).sample(between, min(count, len(between)))


def seen_after(client: httpx.Client, stage: Stage, follower: int, author: int, name: str) -> float:
    """Return the seconds from an author's request for another name until a follower's home has it."""
    as_author, as_follower = (
        {"authorization": stage.token(account).removeprefix("Authorization: ")} for account in (author, follower)
    )
    shown = client.post("/api/v1/statuses", json={"status": f"for {name}"}, headers=as_author).raise_for_status().json()
    deadline = time.perf_counter() + SEEN_WITHIN_S
    while client.get(f"{HOME}?limit=1", headers=as_follower).json()[0]["id"] != shown["id"]:
        if time.perf_counter() > deadline:
            raise BenchError(f"status {shown['id']} isn't in the home timeline of {follower}")
    begun = time.perf_counter()
    body = {"display_name": name}
    client.patch("/api/v1/accounts/update_credentials", json=body, headers=as_author).raise_for_status()
    wanted = json.dumps(name).encode()
    while wanted not in client.get(f"{HOME}?limit=1", headers=as_follower).content:
        if time.perf_counter() > begun + SEEN_WITHIN_S:
            raise BenchError(f"the new name of {author} isn't in the home timeline of {follower}")
    return time.perf_counter() - begun
