"""`mixed`: DeathStarBench's social-network mix over its own paths, at 1, 8, 32 and 128 clients.

60 % home reads and 30 % reads of one user's posts (ten entries from an offset of 0 to 100), 10 % posts of 256
characters with mentions, links and media; 962 users whose follow graph has the size and the shape of socfb-Reed98. The
peer serves the same paths; it is measured with its append-only file synced before each answer (`always`, what Rookery
promises) and once a second (`everysec`). Neither side checks who is calling, as in the benchmark.

After the load every home timeline of Rookery is compared with its definition; a difference fails the scenario.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from bench.contest import COMPARED, WARM_UP_S, ClientPlots, add_rows
from bench.dataset import Ints
from bench.load_generator import Sample, run_load, write_requests
from bench.machine import busy_percent
from bench.pairs import Turns, alternate
from bench.peer_redis import RedisPeer, redis_peer
from bench.peer_wrk2 import load_peer
from bench.processes import BenchError
from bench.results import Result, Row
from bench.rookery import RookeryCluster, edges_of, wake_all
from bench.scenarios import Options, Progress
from bench.social_network import (
    COMPOSE_PATH,
    HOME_PATH,
    OWN_PATH,
    REED98_EDGES,
    REED98_USERS,
    degrees,
    make_friends,
    make_mix,
    make_postings,
)
from commands.checking import Outcome, check_homes, check_shards, for_each, lane_page, read_facts
from commands.loading import BulkLoader

SHARDS, SHARDS_QUICK = 2, 1
CLIENTS, CLIENTS_QUICK = (1, 8, 32, 128), (1, 32)
ALWAYS, EVERYSEC = "peer, AOF always", "peer, AOF everysec"
HOME_LENGTH = 800  # timeline.length
REQUESTS = 20_000  # of the mix; a run that sends more begins again
FIRST_ACCOUNT_ID = 1  # user 0 (api/native/routes/wrk2.py)


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("mixed", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    users, edges, count = (100, 600, 1_000) if options.quick else (REED98_USERS, REED98_EDGES, REQUESTS)
    friends, shards = make_friends(users, edges), SHARDS_QUICK if options.quick else SHARDS
    progress("starting Rookery and the peer")
    with (
        options.cluster(shards, ["server.wrk2_api=true"], "open") as rookery,
        redis_peer(options.folder, "open", "bench.peer_wrk2") as peer,
    ):
        progress("loading users, follows and posts")
        rookery.with_loader(lambda loader: load_users(loader, users, friends))
        posted = asyncio.run(write_posts(rookery.port, users))
        rookery.with_loader(lambda loader: loader.wait_until_drained())
        load_peer(peer.store, users, friends, asyncio.run(read_posts(rookery.port, users)))
        compare_homes(users, rookery.port, peer.port)
        most = max(degrees(*friends).values())
        result.facts |= {
            "network": f"{users} users, {2 * edges} follows (up to {most} followers), {posted} posts before; "
            f"{shards} shards, 1 API worker",
            "generator": options.generator, "auth": "open",
            "turns": f"{options.pairs} of {options.seconds} s",
        }  # fmt: skip
        requests = write_requests(options.folder / "mix", make_mix(users, count))
        measure(options, progress, result, rookery, peer, requests)
        progress("comparing every home timeline with its definition")
        result.facts["home timelines after the load"] = judge(rookery.with_loader(check_definition))
    return result


def measure(
    options: Options, progress: Progress, result: Result, rookery: RookeryCluster, peer: RedisPeer, requests: Path
) -> None:
    """Load both sides in turn and add the rows."""
    busy: list[float] = []
    plots = ClientPlots.of(result, "Requests")

    def load(port: int, clients: int, seconds: float) -> Sample:
        sample = run_load(options.generator, port, requests, clients, seconds)
        if sample.errors:
            raise BenchError(f"port {port}: {sample.errors} of {sample.requests} requests failed")
        return sample

    def load_peer_with(policy: str, clients: int, seconds: float) -> Sample:
        peer.set_fsync(policy)
        return load(peer.port, clients, seconds)

    for clients in CLIENTS_QUICK if options.quick else CLIENTS:
        progress(f"{clients} clients")
        runs: dict[str, Callable[[float], Sample]] = {
            "Rookery": lambda seconds, c=clients: load(rookery.port, c, seconds),
            ALWAYS: lambda seconds, c=clients: load_peer_with("always", c, seconds),
            EVERYSEC: lambda seconds, c=clients: load_peer_with("everysec", c, seconds),
        }
        options.warm_up(runs.values(), WARM_UP_S)
        contestants = {name: (lambda _, r=r: r(options.seconds)) for name, r in runs.items()}
        turns = alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))
        case = f"{clients} client{'s' * (clients > 1)}"
        add_rows(result, clients, turns)
        plots.add(clients, turns)
        add_path_rows(result, case, turns)
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"


def add_path_rows(result: Result, case: str, turns: Turns[Sample], ours: str = "Rookery") -> None:
    """Add the latencies by kind of request, where the generator can tell (wrk can't)."""
    kinds = {"home reads": HOME_PATH, "own reads": OWN_PATH, "posts": COMPOSE_PATH}
    samples = [sample for of_one in turns.samples.values() for sample in of_one]
    for kind, path in kinds.items():
        if not all(sample.by_path.get(path, {}).get("requests") for sample in samples):
            continue  # a short run may have none of the rarest kind
        for name in turns.samples:
            for figure in ("p50_us", "p99_us"):

                def latency(sample: Sample, path: str = path, figure: str = figure) -> float:
                    return sample.by_path[path][figure]

                ratio = None if name == ours else turns.ratio(ours, name, latency)
                label = f"{figure.removesuffix('_us')} of {kind}"
                result.rows.append(Row(case, name, label, "us", turns.spread(name, latency), ratio))


# ---- before the load ----------------------------------------------------------------------------------------------


async def load_users(loader: BulkLoader, users: int, friends: tuple[Ints, Ints]) -> None:
    """Register the users, let friends follow each other, and wake every account: the peer fans out to everyone."""
    accounts = range(FIRST_ACCOUNT_ID, FIRST_ACCOUNT_ID + users)
    rows = [[f"username_{user}", account, f"User {user}", "", None, []] for user, account in enumerate(accounts)]
    await loader.accounts(rows, lambda _: None)
    a, b = (side + FIRST_ACCOUNT_ID for side in friends)
    await loader.follows(edges_of(np.concatenate([a, b]), np.concatenate([b, a])), lambda _: None)
    await wake_all(loader, accounts)


async def write_posts(port: int, users: int) -> int:
    """Post what there is before anything is measured, through the paths themselves; return how many."""
    postings = list(make_postings(users))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:

        async def post(number: int) -> None:
            form = postings[number]
            answer = await client.post(COMPOSE_PATH, data=form)
            if answer.status_code != 200:
                raise BenchError(f"a post of user {form['user_id']}: {answer.status_code} {answer.text[:300]}")

        await for_each(list(range(len(postings))), post)
    return len(postings)


async def read_posts(port: int, users: int) -> list[tuple[int, int, bytes]]:
    """Return (id, author, JSON as served) of all posts, in the order of ids."""
    found: list[tuple[int, int, bytes]] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:

        async def read(user: int) -> None:
            answer = await client.get(OWN_PATH, params={"user_id": user, "start": 0, "stop": HOME_LENGTH})
            posts = answer.raise_for_status().json()
            found.extend((int(post["post_id"]), user, json.dumps(post).encode()) for post in posts)

        await for_each(list(range(users)), read)
    return sorted(found)


def compare_homes(users: int, *ports: int) -> None:
    """Raise BenchError unless all serve the same home timelines."""
    with httpx.Client(timeout=30.0) as client:
        for user in random.Random(1).sample(range(users), min(COMPARED, users)):
            query = {"user_id": user, "start": 0, "stop": 2 * COMPARED}
            answers = [client.get(f"http://127.0.0.1:{port}{HOME_PATH}", params=query).json() for port in ports]
            if any(answer != answers[0] for answer in answers):
                raise BenchError(f"home timelines of user {user} differ: {[str(answer)[:300] for answer in answers]}")


# ---- after the load -----------------------------------------------------------------------------------------------


async def check_definition(loader: BulkLoader) -> Outcome:
    """Wait until messages have drained; compare shards with each other and all home timelines with their definition."""
    outcome = Outcome()
    await check_shards(loader, outcome)
    facts = await read_facts(loader.client, lambda _: None)
    await check_homes(lane_page(loader.client), facts, HOME_LENGTH, outcome, lambda _: None)
    return outcome


def judge(outcome: Outcome) -> str:
    """Return what was compared. Raises BenchError when anything differed."""
    if outcome.problem_count:
        raise BenchError(f"after the load {outcome.problem_count} things differ:\n" + "\n".join(outcome.problems))
    figures = outcome.figures
    return f"{figures['homes']} with {figures['home_entries']} entries, all as defined ({figures['tweets']} posts)"
