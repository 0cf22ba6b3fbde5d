"""Does a running cluster say the truth? Invariants of each shard, agreement between shards, every timeline against its
definition.

Rules of this file
- Everything is asked over the lane, as API workers do; only `export`, `check` and `digest` are for operators.
- Differences are returned, never raised, and each says what was expected, what was served, and why that may be.
- The oracle shares no code with what serves (oracle.py).

How the oracle check works: wait until messages have drained, read the facts of all shards, compute home(u) for every
account by brute force, read home(u) as an API worker does (pages of 200 by max_id), compare. Writes meanwhile would
show up as differences, so the shards' totals are compared before and after.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from actors.core.facts import MORE_FROM_LEVEL
from actors.core.ids import BUCKET_COUNT, bucket_of_account
from actors.core.terms import FULL_FROM_LEVEL
from cluster.client.cluster_client import ClusterClient
from commands.exported import add_rows
from commands.input_files import Edges
from commands.loading import Batch, BulkLoader, OnCount
from commands.oracle import NetworkFacts

T = TypeVar("T")
Ints = npt.NDArray[np.int64]
EXPORT_ACCOUNT_COUNT = 200  # per request: 8 MiB hold 200 accounts of 5,000 follows each
EDGE_PAGE_COUNT = 800  # limits.PAGE_COUNT_MAX
REFERRED_BUCKETS = 64  # asked for at once: a sixteenth of the accounts of a cluster of 16 million fill 8 MiB
PAGE_COUNT = 200  # what the HTTP API allows at most
IN_FLIGHT_COUNT = 64  # accounts looked at at once: enough to keep every shard busy, not enough to starve clients
SHOWN_COUNT = 20  # differences worth listing
READ_TIMEOUT_S = 30.0

ReadPage = Callable[[int, int, int], Awaitable[bytes]]
"""(account, max_id or 0, count) -> the JSON array of one page of its home timeline."""


@dataclass(slots=True)
class Outcome:
    """What a check found. problems: the first ones in words; problem_count: all of them."""

    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    digests: dict[int, str] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)

    def add(self, problems: Iterable[str]) -> None:
        """Note problems."""
        for problem in problems:
            self.problem_count += 1
            if len(self.problems) < SHOWN_COUNT:
                self.problems.append(problem)


# ---- invariants and agreement -----------------------------------------------------------------------------------


async def check_shards(loader: BulkLoader, outcome: Outcome) -> list[dict[str, Any]]:
    """Ask every shard for its violated invariants and its digest, once messages have drained; returns the figures."""
    statuses = await loader.wait_until_drained()
    for shard in range(loader.client.shard_count):
        outcome.add(await loader.ask(shard, Batch("check", [], 1)))
        outcome.digests[shard] = await loader.ask(shard, Batch("digest", [], 1))
    for name in ("accounts", "tweets", "edges"):
        outcome.figures[name] = sum(int(status[name]) for status in statuses)
    return statuses


async def read_facts(client: ClusterClient, on_count: OnCount) -> NetworkFacts:
    """Read the facts of every shard, in pages."""
    facts = NetworkFacts()
    wanted = [EXPORT_ACCOUNT_COUNT, *([True] if client.level >= MORE_FROM_LEVEL else [])]

    async def one(shard: int) -> None:
        first = 0
        while True:
            first, rows = await client.call_shard(shard, "export", [first, *wanted], READ_TIMEOUT_S)
            add_rows(facts, rows)
            on_count(len(rows))
            if not first:
                return

    await asyncio.gather(*(one(shard) for shard in range(client.shard_count)))
    return facts


async def check_edges(client: ClusterClient, facts: NetworkFacts, outcome: Outcome, on_count: OnCount) -> None:
    """Compare both sides of every follow edge: following(u) on u's shard, followers(v) on v's."""
    theirs: dict[int, list[int]] = {}

    async def one(account_id: int) -> None:
        cursor, followers = 0, []
        while True:
            page, cursor = await client.account(
                account_id, "followers", 0, cursor, EDGE_PAGE_COUNT, timeout_s=READ_TIMEOUT_S
            )
            followers += page
            if not cursor:
                break
        theirs[account_id] = followers
        on_count(1)

    await for_each(list(facts.following), one)
    known = _pairs((u, v) for u, vs in facts.following.items() for v in vs)
    mirrored = _pairs((u, v) for v, us in theirs.items() for u in us)
    missing, extra = _difference(known, mirrored), _difference(mirrored, known)
    outcome.add(f"{u} follows {v}, but the shard of {v} doesn't know" for u, v in missing)
    outcome.add(f"the shard of {v} lists the follower {u}, who doesn't follow" for u, v in extra)
    outcome.add([f"{len(mirrored) - len(np.unique(mirrored))} followers are listed twice"]
                if len(mirrored) != len(np.unique(mirrored)) else [])  # fmt: skip


async def check_references(client: ClusterClient, facts: NetworkFacts, outcome: Outcome) -> None:
    """See that whoever a shard refers to exists: of a deleted account nothing may be left. From level 1 on."""
    if client.level < FULL_FROM_LEVEL:
        return
    known = np.array(sorted(facts.following), dtype=np.int64)
    for shard in range(client.shard_count):
        for first in range(0, BUCKET_COUNT, REFERRED_BUCKETS):
            packed = await client.call_shard(shard, "referred", [first, REFERRED_BUCKETS], READ_TIMEOUT_S)
            missing = np.setdiff1d(np.frombuffer(packed, dtype="<i8"), known).tolist()
            outcome.add(
                f"shard {shard} has a block, mute, like, repost or name of account {account_id}, which doesn't exist"
                for account_id in missing
            )


_PAIR = np.dtype([("u", np.int64), ("v", np.int64)])


def _pairs(edges: Iterable[tuple[int, int]]) -> npt.NDArray[np.void]:
    return np.fromiter(edges, dtype=_PAIR)


def _difference(left: npt.NDArray[np.void], right: npt.NDArray[np.void]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = np.setdiff1d(left, right).tolist()
    return found


async def for_each(items: list[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Run `work` for every item, IN_FLIGHT_COUNT at a time. Raises the first error."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(IN_FLIGHT_COUNT, len(items))):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


# ---- timelines --------------------------------------------------------------------------------------------------


def lane_page(client: ClusterClient) -> ReadPage:
    """Return a reader of home pages that asks exactly as an API worker does."""

    async def read(account_id: int, max_id: int, count: int) -> bytes:
        args = [account_id, max_id, 0, 0, count]
        body, _, _ = await client.call(bucket_of_account(account_id), "home", args, READ_TIMEOUT_S)
        return bytes(body)

    return read


async def read_home(read_page: ReadPage, account_id: int, length: int) -> list[int]:
    """Return the ids of the newest `length` entries of a home timeline, read page by page."""
    served: list[int] = []
    while len(served) < length:
        count = min(PAGE_COUNT, length - len(served))
        page = [
            int(tweet["tweet_id"])
            for tweet in orjson.loads(await read_page(account_id, served[-1] if served else 0, count))
        ]
        served += page
        if len(page) < count:
            break
    return served


def spread(items: Sequence[T], count: int) -> Sequence[T]:
    """Return at most `count` of some items, evenly from first to last; all of them if that is 0."""
    step = max(1, -(-len(items) // count)) if count else 1
    return items[::step]


async def check_homes(
    read_page: ReadPage, facts: NetworkFacts, length: int, outcome: Outcome, on_count: OnCount, count: int = 0
) -> None:
    """Compare the served home timeline of every account with its definition. count: of so many alone, 0 for all."""
    entries = 0

    async def one(account_id: int) -> None:
        nonlocal entries
        served = await read_home(read_page, account_id, length)
        expected = facts.home(account_id, length)
        entries += len(expected)
        if served != expected:
            outcome.add([explain(facts, account_id, expected, served)])
        on_count(1)

    readers = list(spread(sorted(facts.following), count))
    await for_each(readers, one)
    outcome.figures["homes"] = len(readers)
    outcome.figures["home_entries"] = entries


def explain(facts: NetworkFacts, account_id: int, expected: list[int], served: list[int]) -> str:
    """Say where two timelines part, and what could be the matter."""
    at = next((i for i, pair in enumerate(zip(expected, served, strict=False)) if pair[0] != pair[1]),
              min(len(expected), len(served)))  # fmt: skip
    want, have = expected[at : at + 1], served[at : at + 1]
    why = "the order differs"
    if have and have[0] in served[:at]:
        why = f"{have[0]} is served twice"
    elif have and have[0] not in facts.existing():
        why = f"{have[0]} does not exist (any more)"
    elif have and have[0] not in set(expected):
        why = f"{have[0]} should not be seen: author not followed, hidden, or older than the newest {len(expected)}"
    elif want and want[0] not in set(served):
        fact = next(f for fs in facts.tweets_by.values() for f in fs if f.tweet_id == want[0])
        why = f"{want[0]} by {fact.author_id} (flags {fact.flags}) is missing"
    return (
        f"account {account_id}, position {at}: expected {want[0] if want else 'the end'}, "
        f"served {have[0] if have else 'the end'} ({len(expected)} expected, {len(served)} served): {why}"
    )


# ---- against the input ------------------------------------------------------------------------------------------


def check_input_edges(facts: NetworkFacts, edges: Edges, extra_ok: bool, outcome: Outcome) -> None:
    """Compare the follow edges with the file that was loaded."""
    given = _pairs(zip(edges.followers.tolist(), edges.followees.tolist(), strict=True))
    known = _pairs((u, v) for u, vs in facts.following.items() for v in vs)
    outcome.add(f"the graph has {u} -> {v}, the cluster doesn't" for u, v in _difference(given, known))
    if not extra_ok:
        outcome.add(f"the cluster has {u} -> {v}, the graph doesn't" for u, v in _difference(known, given))
        strangers = sorted(set(facts.following) - set(edges.accounts().tolist()))
        outcome.add(f"account {stranger} is not in the graph" for stranger in strangers)


async def check_input_tweets(
    client: ClusterClient, facts: NetworkFacts, given: Counter[tuple[int, str]], extra_ok: bool, outcome: Outcome,
    on_count: OnCount,
) -> None:  # fmt: skip
    """Compare (author, text) of every tweet with the file that was loaded, over user timelines."""
    found: Counter[tuple[int, str]] = Counter()

    async def one(author_id: int) -> None:
        max_id = 0
        while True:
            body, _, oldest = await client.account(
                author_id, "user_timeline", author_id, max_id, 0, 0, PAGE_COUNT, timeout_s=READ_TIMEOUT_S
            )
            page = orjson.loads(body)
            found.update((author_id, tweet["status"]) for tweet in page if not tweet.get("repost_of"))
            if len(page) < PAGE_COUNT:
                break
            max_id = oldest
        on_count(1)

    await for_each(sorted(facts.tweets_by), one)
    for (author, text), count in given.items():
        if found[author, text] != count:
            outcome.add([f"{author} wrote {text[:40]!r} {count} times in the file, {found[author, text]} here"])
    if not extra_ok:
        outcome.add(f"{author} wrote {text[:40]!r}, which is not in the file" for author, text in found - given)
