"""What `mastodon` is measured on: Rookery and the peer with one network, and readers who have what some readers have.

Rules of this file
- Both sides hold the same statuses, taken from Rookery as it serves them, and serve the same home timelines: compared
  before anything is measured. Numbers in accounts may differ, as the peer's are those of one moment.
- Everything is made through Rookery's own write path: lists, favourites and filters as their owners make them.
- Readers of one kind are the same accounts for all who are compared, so that all read the same statuses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces, join_tweets
from actors.core.shape_table import MASTODON
from api.mastodon.statuses import ENDS
from bench.dataset import Network, make_network
from bench.peer_mastodon import load_favourites, load_peer
from bench.peer_redis import RedisPeer, redis_peer
from bench.processes import BenchError
from bench.rookery import RookeryCluster, load_network
from bench.scenarios import SHARDS, Options, Progress
from cluster.client.connect import NamedActors, api_names
from cluster.ray_options import ROUTER_NAME
from commands.checking import for_each
from commands.loading import BulkLoader

HOME: Final = "/api/v1/timelines/home"
COMPARED: Final = 50  # home timelines
PAGE: Final = 20  # statuses
FAVOURITES: Final = 1_000  # of each of those who have many
SIZE, SIZE_QUICK = (5_000, 75, 40_000), (200, 20, 2_000)  # accounts, followees of each, tweets
READERS, READERS_QUICK = (500, 40), (50, 4)  # whose pages are read; of which so many have favourites
FILTER_READERS: Final = 20
WORDS: Final = ("crypto", "spoilers", "election", "football", "giveaway", "horoscope", "airdrop", "diet", "nft", "vote")
KNOWN_WITHIN_S, PAUSE_S = 10.0, 0.1
_OF_NUMBERS: Final = ("followers_count", "following_count", "statuses_count", "last_status_at")


@dataclass(frozen=True, slots=True)
class Stage:
    """Both contestants with the network.

    readers: who read home and, each, the list of that id in `lists`; fond: others, with FAVOURITES; strict: others,
    with a filter of WORDS; crowd: all the others. shard_of: of each account; statuses: (id, author), by id; pids: of
    Rookery's processes that answer, its API worker first; peer_pids: the peer's, its HTTP worker first.
    """

    network: Network
    rookery: RookeryCluster
    peer: RedisPeer
    pids: list[int]
    peer_pids: list[int]
    readers: list[int]
    fond: list[int]
    strict: list[int]
    crowd: list[int]
    lists: dict[int, int]
    shard_of: dict[int, int]
    statuses: list[tuple[int, int]]

    def token(self, account: int) -> str:
        """Return the header that says who asks."""
        return f"Authorization: Bearer {self.network.tokens[account][0]}"


@contextmanager
def staged(options: Options, progress: Progress) -> Iterator[Stage]:
    """Start both, load both, and see that they serve the same."""
    network = make_network(*(SIZE_QUICK if options.quick else SIZE), first_account=options.first_account)
    accounts = network.accounts.tolist()
    random.Random(3).shuffle(accounts)
    many, few = READERS_QUICK if options.quick else READERS
    ends = (many, many + few, many + few + (few if options.quick else FILTER_READERS))
    readers, fond, strict, crowd = (accounts[a:b] for a, b in zip((0, *ends), (*ends, len(accounts)), strict=True))
    progress("starting Rookery and the peer")
    with options.cluster(SHARDS, auth="token") as rookery, redis_peer(
        options.folder, "token", "bench.peer_mastodon"
    ) as peer:  # fmt: skip
        progress("loading through the write path")

        async def load(loader: BulkLoader) -> tuple[Any, ...]:
            await load_network(loader, network)
            statuses = await statuses_of(loader, accounts)
            shards = {account: loader.client.shard_of(bucket_of_account(account)) for account in accounts}
            lists = await make_lists(loader, readers, network.followees_of())
            return statuses, shards, lists, await pids_of(rookery.namespace)

        statuses, shards, lists, pids = rookery.with_loader(load)
        progress("loading the peer")
        load_peer(peer.store, network, statuses)
        names = [(status_id, author) for status_id, author, _ in statuses]
        theirs = [peer.pid, int(peer.store.info("server")["process_id"])]
        stage = Stage(network, rookery, peer, pids, theirs, readers, fond, strict, crowd, lists, shards, names)
        progress("comparing home timelines")
        compare_homes(stage)
        progress("favourites and filters of readers")
        load_favourites(peer.store, rookery.with_loader(lambda loader: favour(loader, stage)))
        filter_words(stage)
        yield stage


async def pids_of(namespace: str) -> list[int]:
    """Return the processes of the cluster's API worker and of its shards."""
    actors = NamedActors(namespace)
    (name,) = api_names(namespace)
    worker, status = await actors.call(name, "ping"), await actors.call(ROUTER_NAME, "status")
    return [int(each["pid"]) for each in (worker, *status["replicas"])]


async def statuses_of(loader: BulkLoader, accounts: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Return (id, author, JSON as its author is shown it) of everything that those accounts wrote, by id."""
    found: list[tuple[int, int, bytes]] = []

    async def read(account: int) -> None:
        max_id = 0
        while True:
            args = [MASTODON, "user_timeline", [account, account, max_id, 0, 0, 200, 0, [b"", b""]]]
            pieces, _, oldest = await loader.client.call(bucket_of_account(account), "shaped", args)
            tweets = [TweetPieces.of(each) for each in pieces]
            bodies = join_tweets(ENDS, tweets, None)
            found.extend((t.tweet_id, account, body) for t, body in zip(tweets, bodies, strict=True))
            if len(pieces) < 200:
                return
            max_id = oldest

    await for_each(list(accounts), read)
    return sorted(found)


async def make_lists(loader: BulkLoader, readers: Sequence[int], followees: dict[int, list[int]]) -> dict[int, int]:
    """Give each reader a list of every other account that he follows; returns their ids."""
    lists: dict[int, int] = {}

    async def make(reader: int) -> None:
        lists[reader], *_ = await loader.client.account(reader, "put_list", 0, "friends", 0, False)
        chosen = sorted(followees.get(reader, []))[::2]
        await loader.client.account(reader, "set_members", lists[reader], chosen, True)

    await for_each(list(readers), make)
    return lists


async def favour(loader: BulkLoader, stage: Stage) -> dict[int, list[int]]:
    """Let those who are fond favourite FAVOURITES statuses each: of their first page every other one, and any others.

    Returns the statuses' ids by account.
    """
    every = [status_id for status_id, _ in stage.statuses]
    chosen: dict[int, list[int]] = {}

    async def like(account: int) -> None:
        body, *_ = await loader.client.account(account, "home", 0, 0, 0, PAGE)
        shown = [int(tweet["tweet_id"]) for tweet in orjson.loads(body)][::2]
        others = random.Random(account).sample(every, min(len(every), FAVOURITES + PAGE))
        chosen[account] = list(dict.fromkeys([*shown, *others]))[:FAVOURITES]
        for status_id in chosen[account]:
            await loader.client.account(account, "like", status_id)

    await for_each(stage.fond, like)
    await loader.wait_until_drained()
    return chosen


def filter_words(stage: Stage) -> None:
    """Give those who are strict a filter of WORDS, which acts everywhere."""
    form = {
        "title": "words", "context": ["home", "notifications", "public", "thread", "account"],
        "keywords_attributes": [{"keyword": word, "whole_word": True} for word in WORDS],
    }  # fmt: skip
    with httpx.Client(base_url=f"http://127.0.0.1:{stage.rookery.port}", timeout=30.0) as client:
        for account in stage.strict:
            headers = {"authorization": stage.token(account).removeprefix("Authorization: ")}
            client.post("/api/v2/filters", json=form, headers=headers).raise_for_status()


def compare_homes(stage: Stage) -> None:
    """Raise BenchError unless both serve the same home timelines.

    An account of another shard is shown without its name where that shard was busy: it is, a moment later.
    """
    with httpx.Client(timeout=30.0) as client:
        for account in random.Random(1).sample(stage.readers, min(COMPARED, len(stage.readers))):
            headers = {"authorization": stage.token(account).removeprefix("Authorization: ")}
            deadline = time.monotonic() + KNOWN_WITHIN_S
            while True:
                ours, theirs = (
                    without_numbers(client.get(f"http://127.0.0.1:{port}{HOME}", headers=headers).json())
                    for port in (stage.rookery.port, stage.peer.port)
                )
                if ours and ours == theirs:
                    break
                if time.monotonic() > deadline:
                    raise BenchError(f"home timelines of {account} differ:\n{str(ours)[:1500]}\n{str(theirs)[:1500]}")
                time.sleep(PAUSE_S)


def without_numbers(statuses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return statuses without the numbers of their accounts."""
    for status in statuses:
        status["account"] = {name: value for name, value in status["account"].items() if name not in _OF_NUMBERS}
    return statuses
