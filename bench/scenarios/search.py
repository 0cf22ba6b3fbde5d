"""`search`: two-word queries over a million tweets at 8 clients, the newest first and by rank.

Beside it in the same run: PostgreSQL's full-text search and SQLite's FTS5, each behind FastAPI, over the same tweets.
Then how soon a new tweet is found, how many can be added, and what home reads feel of 8 clients that search.

- Tweets are made of those of `--tweets` (or of the project's own sample), `--count` of them. Queries are thousands of
  different ones, so that no cache of results answers a second time within a run.
- Before anything is timed all must find what is there, hold both words and keep the order.
- Rookery's tweets go in through the loader, that is, journalled and delivered to followers too. What it takes until
  the last is found is its rate of building; peers are filled as fast as they can (COPY, one transaction).
- Adding is over HTTP, each tweet on the disk before its answer, by as many clients.
"""

from __future__ import annotations

import asyncio
import functools
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as package_version
from operator import attrgetter
from pathlib import Path

import httpx
import orjson

from api.text.entities import find_entities, pack_entities
from bench.contest import WARM_UP_S
from bench.dataset import Network, make_network
from bench.load_generator import Sample, get_request, post_request, run_load, write_requests
from bench.machine import busy_percent
from bench.pairs import Spread, Turns, alternate
from bench.peer_fts5 import fts5_peer
from bench.peer_postgres import postgres_peer, require_binaries
from bench.peer_postgres import version as postgres_version
from bench.peer_search_app import SearchPeer
from bench.processes import BenchError
from bench.results import Plot, Result, Row
from bench.rookery import RookeryCluster, edges_of, load_accounts
from bench.scenarios import Options, Progress, counting
from bench.search_measures import (
    COUNT,
    LOAD_TIMEOUT_S,
    ORDERS,
    PATH,
    Contestant,
    Homes,
    check_agreement,
    client_of,
    home_reads,
    new_word,
    post,
    time_until_found,
    wait_until_found,
)
from bench.search_queries import Corpus, count_hits, describe_hits, make_corpus, make_queries, read_sources
from commands.loading import BulkLoader, Post, chunks

TWEETS, TWEETS_QUICK = 1_000_000, 20_000
QUERIES, QUERIES_QUICK = 20_000, 1_000  # different ones: several seconds' worth, so a run hardly meets one twice
CHECKED, CHECKED_QUICK = 300, 50  # queries that are looked at closely before anything is timed
COUNTED = 1_000  # queries whose number of hits is counted for the distribution
CLIENTS = 8
ACCOUNTS, FOLLOWEES = 5_000, 20
ACCOUNTS_QUICK = 500
POSTS, POSTS_QUICK = 200, 10  # whose way into the index is timed
MARKERS = 16  # tweets written last, over all shards: when they are found, so is everything before them
LOAD_SLICE = 20_000  # tweets that are prepared for the loader at a time
HOME_RATE = 200.0  # home reads a second: a twentieth or so of what one API worker can do
ROOKERY, POSTGRES, FTS5 = "Rookery", "PostgreSQL", "SQLite FTS5"
PEERS = {"postgres": POSTGRES, "fts5": FTS5}
LABELS = {"latest": "newest first", "top": "by rank"}


@dataclass(slots=True)
class Stage:
    """Everyone who takes part, with the tweets in. built: tweets a second until all were found."""

    corpus: Corpus
    network: Network
    contestants: dict[str, Contestant] = field(default_factory=dict)
    built: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, Callable[[], dict[str, int]]] = field(default_factory=dict)

    def add_peer(self, name: str, peer: SearchPeer) -> None:
        """Let a peer take part."""
        self.contestants[name] = Contestant(peer.port, int(self.network.accounts[0]), {})
        self.built[name] = len(self.corpus.texts) / peer.build_s
        self.sizes[name] = lambda: peer.sizes


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    peers = peers_of(options.peers)
    if POSTGRES in peers:
        require_binaries()
    count = options.count or (TWEETS_QUICK if options.quick else TWEETS)
    result = Result(
        "search", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds, "tweets": count,
                   "sources": [path.name for path in options.tweets], "peers": peers,
                   "shards": options.shards},
    )  # fmt: skip
    progress(f"making {count:,} tweets")
    accounts = options.accounts or (ACCOUNTS_QUICK if options.quick else ACCOUNTS)
    network = make_network(accounts, FOLLOWEES, 0, first_account=options.first_account)
    corpus = make_corpus(read_sources(options.tweets), count, network.accounts, network.followees)
    stage = Stage(corpus, network)
    with ExitStack() as running:
        for name, peer in (("postgres", postgres_peer), ("fts5", fts5_peer)):
            if PEERS[name] in peers:
                progress(f"loading {PEERS[name]}")
                stage.add_peer(PEERS[name], running.enter_context(peer(options.folder / name, corpus.tweets())))
        cluster = running.enter_context(rookery_side(options, progress, stage, result))
        result.facts |= describe(options, stage, cluster)
        measure(options, progress, stage, result)
        measure_homes(options, progress, stage, cluster, result)
    return result


def peers_of(given: str) -> list[str]:
    """Return the peers of a list like `postgres,fts5`. Raises BenchError for one that isn't there."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PEERS]:
        raise BenchError(f"--peers takes {', '.join(PEERS)}, not {unknown[0]!r}")
    return [PEERS[name] for name in PEERS if name in names]


def describe(options: Options, stage: Stage, cluster: RookeryCluster) -> dict[str, str]:
    """Return what a reader of the figures must know."""
    versions = {"tantivy": package_version("tantivy"), "asyncpg": package_version("asyncpg")}
    if POSTGRES in stage.contestants:
        versions["PostgreSQL"] = postgres_version()
    return {
        "network": f"{len(stage.network.accounts)} accounts, {len(stage.network.followers)} follows; "
        f"{cluster.shards} shards, 1 API worker; each peer 1 worker",
        "versions": ", ".join(f"{name} {found}" for name, found in versions.items())
        + f", SQLite {sqlite3.sqlite_version}",
        "generator": options.generator,
        "turns": f"{options.pairs} of {options.seconds} s",
    }


# ---- Rookery ----------------------------------------------------------------------------------------------------


@contextmanager
def rookery_side(options: Options, progress: Progress, stage: Stage, result: Result) -> Iterator[RookeryCluster]:
    """Start a cluster, load the tweets, and wait until they are found."""
    progress("starting Rookery")
    network, corpus = stage.network, stage.corpus
    tokens = network.tokens
    with options.cluster(options.shards) as cluster:
        on_count = counting(progress, "loading Rookery", len(corpus.texts))
        accounts = network.accounts.tolist()

        async def load(loader: BulkLoader) -> tuple[float, float]:
            await load_accounts(loader, accounts, tokens)
            await loader.follows(edges_of(network.followers, network.followees), lambda _: None)
            return time.perf_counter(), await load_tweets(loader, corpus, on_count)

        begin, posting_s = cluster.with_loader(load)
        author = int(network.accounts[0])
        contestant = Contestant(cluster.port, author, bearer(network, author, options.auth))
        progress("waiting until all tweets are found")
        with client_of(contestant) as client:
            word = new_word(random.Random(7))
            ids = {
                post(client, Contestant(cluster.port, a, bearer(network, a, options.auth)), f"a marker: {word} {a}")
                for a in accounts[:MARKERS]
            }
            wait_until_found(client, word, ids, LOAD_TIMEOUT_S)
        stage.contestants = {ROOKERY: contestant, **stage.contestants}  # the first in every table
        stage.built[ROOKERY] = len(corpus.texts) / (time.perf_counter() - begin)
        progress("waiting until the posting lists are ready")
        lists_bytes = cluster.with_loader(wait_for_lists)
        per_tweet = lists_bytes / len(corpus.texts)
        result.facts["Rookery's posting lists"] = (
            f"{lists_bytes / 1e6:,.0f} MB in memory, {per_tweet:,.0f} bytes a tweet"
        )
        stage.sizes[ROOKERY] = lambda: index_sizes(cluster.data)
        result.facts["Rookery's load"] = f"posting {len(corpus.texts) / posting_s:,.0f} tweets/s, not yet found"
        yield cluster


async def wait_for_lists(loader: BulkLoader) -> int:
    """Return the bytes of all posting lists, once all shards have theirs. Raises BenchError after LOAD_TIMEOUT_S."""
    deadline = time.monotonic() + LOAD_TIMEOUT_S
    while True:
        shards = range(loader.client.shard_count)
        found = [(await loader.client.call_shard(s, "status", [], 10.0))["search"]["postings"] for s in shards]
        if all(each["state"] == "ready" for each in found):
            return sum(int(each["bytes"]) for each in found)
        if time.monotonic() > deadline:
            raise BenchError(f"posting lists aren't ready after {LOAD_TIMEOUT_S:.0f} s: {found}")
        await asyncio.sleep(0.1)


async def load_tweets(loader: BulkLoader, corpus: Corpus, on_count: Callable[[int], None]) -> float:
    """Post all tweets as the loader of files does; returns the seconds without the search for entities."""
    seconds = 0.0
    numbered = list(enumerate(zip(corpus.authors, corpus.texts, strict=True), 1))
    for part in chunks(numbered, LOAD_SLICE):
        entities = [find_entities(text) for _, (_, text) in part]
        ids = await loader.ids_of_names(name for found in entities for name, _, _ in found.mentions)
        posts = []
        for (number, (author, text)), found in zip(part, entities, strict=True):
            mentioned = dict.fromkeys(ids[name.lower()] for name, _, _ in found.mentions if name.lower() in ids)
            packed = pack_entities(found, ids)
            posts.append(Post(author, text, packed, list(mentioned), number.to_bytes(16, "big")))
        seconds += (await loader.tweets(posts, on_count)).seconds
    return seconds


def bearer(network: Network, account: int, auth: str) -> dict[str, str]:
    """Return the headers with which an account may write."""
    return {"Authorization": f"Bearer {network.tokens[account][0]}"} if auth == "token" else {}


def index_sizes(data: Path) -> dict[str, int]:
    """Return the bytes of all search indexes in a data folder."""
    files = [path for folder in data.rglob("search") if folder.is_dir() for path in folder.rglob("*")]
    return {"index": sum(path.stat().st_size for path in files if path.is_file())}


# ---- measuring --------------------------------------------------------------------------------------------------


def measure(options: Options, progress: Progress, stage: Stage, result: Result, ours: str = ROOKERY) -> None:
    """Measure what every contestant can do. ours: whose ratio to the others is shown."""
    quick, texts = options.quick, stage.corpus.texts
    progress("making queries")
    queries = make_queries(texts, QUERIES_QUICK if quick else QUERIES)
    hits = count_hits(texts, queries[:COUNTED])
    checked = min(CHECKED_QUICK if quick else CHECKED, len(hits))
    progress("comparing answers")
    agreed = check_agreement(stage.contestants, queries[:checked], hits[:checked], texts)
    result.facts |= {
        "queries": f"{len(queries):,} different ones of two words; caches of results don't help",
        "tweets with both words": describe_hits(hits, COUNT),
        f"found, pages of {COUNT}": "; ".join(f"{name} {found}" for name, found in agreed.items()),
    }
    add_building(result, stage)
    throughput = result.plot(Plot("throughput", "Searches", "clients", "searches per second"))
    busy: list[float] = []
    for order in ORDERS:
        progress(f"searching, {LABELS[order]}")
        path = write_requests(options.folder / f"searches-{order}", (search_request(q.text, order) for q in queries))
        turns = in_turn(options, {name: (c.port, path) for name, c in stage.contestants.items()}, busy)
        add_load_rows(result, f"{LABELS[order]}, {CLIENTS} clients", turns, "searches", ours)
        latency = result.plot(
            Plot(f"latency-{order}", f"Latency of searches, {LABELS[order]}", "clients", "latency (us)", y_log=True)
        )
        for name in turns.samples:
            throughput.add(name, CLIENTS, turns.spread(name, attrgetter("per_second")), LABELS[order])
            for figure in ("p50", "p99"):
                spread = turns.spread(name, attrgetter(f"{figure}_us"))
                latency.add(name, CLIENTS, spread, figure)
    measure_finding(options, progress, stage, result)
    progress("adding tweets")
    added = {name: (c.port, post_requests(options, stage, name)) for name, c in stage.contestants.items()}
    add_load_rows(result, f"adding, {CLIENTS} clients", in_turn(options, added, busy), "tweets", ours)
    result.facts["machine busy before a turn"] = f"{min(busy):.0f} to {max(busy):.0f} %"


def in_turn(options: Options, targets: Mapping[str, tuple[int, Path]], busy: list[float]) -> Turns[Sample]:
    """Load each contestant (port, requests) in turn with CLIENTS clients."""

    def load(name: str, seconds: float) -> Sample:
        port, requests = targets[name]
        sample = run_load(options.generator, port, requests, CLIENTS, seconds)
        if sample.errors:
            raise BenchError(f"{name}: {sample.errors} of {sample.requests} requests failed")
        return sample

    options.warm_up([functools.partial(load, name) for name in targets], WARM_UP_S)
    contestants = {name: (lambda _, name=name: load(name, options.seconds)) for name in targets}
    return alternate(contestants, options.pairs, lambda: busy.append(busy_percent()))


def add_load_rows(result: Result, case: str, turns: Turns[Sample], what: str, ours: str) -> None:
    """Add rate and latencies of every contestant, with our ratio to each."""
    result.keep(case, turns)
    for name in turns.samples:
        for figure, label, unit in (("per_second", what, "/s"), ("p50_us", "p50", "us"), ("p99_us", "p99", "us")):
            value = attrgetter(figure)
            ratio = None if name == ours else turns.ratio(ours, name, value)
            result.rows.append(Row(case, name, label, unit, turns.spread(name, value), ratio))


def add_building(result: Result, stage: Stage) -> None:
    """Add how fast the tweets came in, and what they take on the disk."""
    for name in stage.contestants:
        result.rows.append(Row("building", name, "tweets", "/s", Spread.of([stage.built[name]])))
        for what, size in stage.sizes[name]().items():
            result.rows.append(Row("building", name, f"{what} on disk", "MB", Spread.of([size / 1e6])))


def measure_finding(options: Options, progress: Progress, stage: Stage, result: Result) -> None:
    """Add how soon a tweet is found."""
    case, posts = "until a new tweet is found", POSTS_QUICK if options.quick else POSTS
    for name, contestant in stage.contestants.items():
        progress(f"waiting for tweets to be found, {name}")
        found = time_until_found(contestant, posts)
        result.samples.setdefault(case, {})[name] = [asdict(found)]
        for label, value in (("p50", found.p50_ms), ("p99", found.p99_ms), ("most", found.most_ms)):
            result.rows.append(Row(case, name, label, "ms", Spread.of([value])))
    result.facts["until found"] = f"{posts} posts, one after the other; a look every few ms, from the post's answer on"


def measure_homes(options: Options, progress: Progress, stage: Stage, cluster: RookeryCluster, result: Result) -> None:
    """Add what home reads feel of searches beside them."""
    accounts = stage.network.accounts.tolist()
    random.Random(2).shuffle(accounts)
    path = "/api/v1/home_timeline?user_id="
    signed = {a: [f"{k}: {v}" for k, v in bearer(stage.network, a, options.auth).items()] for a in accounts}
    homes = write_requests(options.folder / "homes", (get_request(f"{path}{a}", signed[a]) for a in accounts))
    progress("waking every home timeline")
    run_home_once(cluster.port, [(f"{path}{a}", bearer(stage.network, a, options.auth)) for a in accounts])
    cases = {"home reads alone": None} | {
        f"home reads beside searches, {LABELS[order]}": options.folder / f"searches-{order}" for order in ORDERS
    }
    progress("home reads beside searches")

    def read(searches: Path | None, _: int) -> Homes:
        return home_reads(cluster.port, homes, HOME_RATE, options.seconds, options.generator, searches, CLIENTS)

    turns = alternate({case: functools.partial(read, searches) for case, searches in cases.items()}, options.pairs)
    result.keep("home reads", turns)
    for case, searches in cases.items():
        result.rows += [
            Row(case, ROOKERY, "p50", "us", turns.spread(case, attrgetter("p50_us"))),
            Row(case, ROOKERY, "p99", "us", turns.spread(case, attrgetter("p99_us"))),
        ]
        if searches is not None:
            rate = turns.spread(case, attrgetter("searches_per_second"))
            result.rows.append(Row(case, ROOKERY, "searches", "/s", rate))
    result.facts["home reads"] = f"{HOME_RATE:.0f} a second by the clock, {CLIENTS} clients searching beside them"


# ---- requests ---------------------------------------------------------------------------------------------------


def search_request(query: str, order: str) -> bytes:
    """Return a search as it goes over the wire. Nobody is signed in, and typos aren't corrected: peers do neither."""
    return get_request(f"{PATH}?query={query.replace(' ', '+')}&order={order}&count={COUNT}&exact=true")


def post_requests(options: Options, stage: Stage, name: str) -> Path:
    """Write the requests that add tweets: texts of the corpus by authors drawn from the network."""
    rng, network = random.Random(6), stage.network
    accounts = network.accounts.tolist()
    auth = options.auth if name == ROOKERY else "open"
    requests = []
    for text in rng.sample(stage.corpus.texts, min(len(stage.corpus.texts), QUERIES)):
        author = rng.choice(accounts)
        body = orjson.dumps({"user_id": str(author), "status": text})
        signed = [f"{k}: {v}" for k, v in bearer(network, author, auth).items()]
        requests.append(post_request("/api/v1/tweet", body, signed))
    return write_requests(options.folder / f"posts-{name.split()[0].lower()}", requests)


def run_home_once(port: int, requests: list[tuple[str, dict[str, str]]]) -> None:
    """Ask each once, so that no timeline is dormant when it is timed."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30.0) as client:
        for path, headers in requests:
            answer = client.get(path, headers=headers)
            if answer.status_code != 200:
                raise BenchError(f"{path}: {answer.status_code} {answer.text[:300]}")
