"""Bulk loads through the cluster's own write path: accounts, follows and tweets, over the lane.

Rules of this file
- Nothing here bypasses a shard: what is loaded was validated, journalled and sent to others as any client's write.
- A load may be repeated, or resumed after a failure, and changes nothing that is there: names and follows are sets,
  and a tweet's idempotency key is made of (seed, line number, text). Shards remember a key for a day
  (limits.IDEMPOTENCY_TTL_MS) and the newest 200,000 of them: loading again after that posts again.
- No knowledge of entities, passwords or files: callers hand in what they extracted, hashed and read.

How it works
Rows are grouped with NumPy by the shard that owns their key, cut into batches, and a few batches are under way per
shard, so that a shard journals one while it applies the next and the loader packs a third. A phase ends when every
numbered message has arrived (`wait_until_drained`): then accounts exist, and edges are known on both sides.


"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core.errors import ConflictError, OverloadedError
from actors.core.features.addresses import FROM_LEVEL as ADDRESSES_FROM_LEVEL
from actors.core.features.addresses import thing_of_address
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_thing, buckets_of_accounts
from api.access.mail_addresses import hash_of_address
from cluster.client.cluster_client import ClusterClient
from commands.input_files import Edges, TextLine

Ints = npt.NDArray[np.int64]
REGISTER_BATCH_COUNT = 1_000  # accounts a request: 2 ms of a shard's time, so that its replies to others stay prompt
FOLLOW_BATCH_COUNT = 10_000  # follows a request: larger ones gain nothing and hold the shard's loop for longer
POST_BATCH_COUNT = 250  # tweets a request: 150 KB
IN_FLIGHT_PER_SHARD = 3  # one being applied, one being flushed, one on its way
ADDRESSES_AT_ONCE = 64
NAMES_BATCH_COUNT = 64  # limits.NAMES_COUNT_MAX
REQUEST_TIMEOUT_S = 60.0  # one batch, also while its shard recovers
GIVE_UP_AFTER_S = 180.0  # a shard that took no batch for so long is not coming back by itself
DRAIN_POLL_S = 0.02  # between looks at the outboxes; a look costs each shard 0.2 ms
DRAIN_TIMEOUT_S = 300.0
AUTHOR_EXPONENT = 0.8  # tweets an account, by rank, of the real sample's order of magnitude
KEY_BYTES = 16

AccountRow = list[Any]
"""[username, account_id, display_name, bio, password_hash or None, [secret_hash, ...]]: what `register` takes."""

OnCount = Callable[[int], None]
"""Called with the number of things done since the last call."""


class Batch(NamedTuple):
    """One request to one shard."""

    op: str
    args: list[Any]
    row_count: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a phase did. given: how many were in the input; new: how many of them were not there before."""

    given: int
    new: int
    seconds: float

    @property
    def per_second(self) -> float:
        """How many of the input a second, delivery to other shards included."""
        return self.given / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Post:
    """A tweet to load, its entities extracted. entities: msgpack as docs/lane.md says."""

    author_id: int
    text: str
    entities: bytes
    mention_ids: list[int]
    key: bytes
    in_reply_to: int = 0
    reply_author: int = 0

    def to_args(self) -> list[Any]:
        """Return the nine arguments of the lane's `post`, public."""
        return [
            self.author_id, self.text, 0, self.in_reply_to, self.reply_author, self.entities, [], self.mention_ids,
            self.key,
        ]  # fmt: skip


# ---- who wrote what ---------------------------------------------------------------------------------------------


def draw_authors(accounts: Ints, followees: Ints, count: int, seed: int) -> Ints:
    """Return an author for each of `count` tweets: a power law over the accounts, those with most followers first.

    accounts: ascending, each once; followees: the right-hand side of the graph's edges, every one an account. A
    function of its arguments alone; fewer tweets get the same first authors. Accounts with as many followers are in
    random order.
    """
    if not len(accounts):
        raise ValueError("tweets need accounts that write them")
    rng = np.random.default_rng(seed)
    followers = np.bincount(np.searchsorted(accounts, followees), minlength=len(accounts))
    order = np.lexsort((rng.random(len(accounts)), -followers))
    weights = np.cumsum(np.arange(1, len(accounts) + 1, dtype=np.float64) ** -AUTHOR_EXPONENT)
    ranks = np.searchsorted(weights, rng.random(count) * weights[-1], side="right")
    drawn: Ints = accounts[order[np.minimum(ranks, len(accounts) - 1)]]
    return drawn


def idempotency_key(seed: int, line: TextLine) -> bytes:
    """Return the key of a tweet of a file. With the text in it, another file with the same seed isn't passed over."""
    return hashlib.blake2b(f"{seed}:{line.number}:{line.text}".encode(), digest_size=KEY_BYTES).digest()


# ---- batches ----------------------------------------------------------------------------------------------------


def chunks(rows: Sequence[Any] | Ints, size: int) -> Iterator[Any]:
    """Cut a sequence (or array) into slices of at most `size`."""
    return (rows[at : at + size] for at in range(0, len(rows), size))


def account_batches(rows: Iterable[AccountRow], shard_of: Callable[[int], int]) -> dict[int, list[Batch]]:
    """Group account rows by the shard of the NAME's bucket, which takes the reservation."""
    groups: dict[int, list[AccountRow]] = {}
    for row in rows:
        groups.setdefault(shard_of(bucket_of_name(row[0])), []).append(row)
    return {
        shard: [Batch("register_many", [part], len(part)) for part in chunks(group, REGISTER_BATCH_COUNT)]
        for shard, group in groups.items()
    }


def follow_batches(edges: Edges, owners: Ints, batch_count: int = FOLLOW_BATCH_COUNT) -> dict[int, list[Batch]]:
    """Group edges by the follower's shard; owners: shard of each bucket.

    Within a shard a follower's edges stand together, in the file's order: it is looked up once a batch.
    """
    shard_of = owners[buckets_of_accounts(edges.followers)]
    order = np.lexsort((edges.followers, shard_of))  # stable
    shard_of, followers, followees = shard_of[order], edges.followers[order], edges.followees[order]
    shards, starts = np.unique(shard_of, return_index=True)
    bounds = [*starts.tolist(), len(order)]
    grouped: dict[int, list[Batch]] = {}
    for i, shard in enumerate(shards.tolist()):
        us, vs = followers[bounds[i] : bounds[i + 1]], followees[bounds[i] : bounds[i + 1]]
        parts = zip(chunks(us, batch_count), chunks(vs, batch_count), strict=True)
        grouped[shard] = [
            Batch("follow_many", [u.astype("<i8").tobytes(), v.astype("<i8").tobytes()], len(u)) for u, v in parts
        ]
    return grouped


def post_batches(posts: Iterable[Post], shard_of: Callable[[int], int]) -> dict[int, list[Batch]]:
    """Group tweets by their author's shard, in the order given."""
    groups: dict[int, list[list[Any]]] = {}
    for post in posts:
        groups.setdefault(shard_of(bucket_of_account(post.author_id)), []).append(post.to_args())
    return {
        shard: [Batch("post_many", [part], len(part)) for part in chunks(group, POST_BATCH_COUNT)]
        for shard, group in groups.items()
    }


# ---- the way to the shards --------------------------------------------------------------------------------------


class BulkLoader:
    """Loads through one ClusterClient. Use from its event loop."""

    def __init__(self, client: ClusterClient) -> None:
        self.client = client

    async def accounts(self, rows: Sequence[AccountRow], on_count: OnCount) -> Loaded:
        """Register accounts that don't exist, and wait until they do. Raises ConflictError for a name that is taken."""
        begin, before = time.perf_counter(), await self.total("accounts")
        taken: list[Any] = []

        def note(batch: Batch, result: Any) -> None:
            taken.extend(row for row, account_id in zip(batch.args[0], result, strict=True) if not account_id)
            on_count(batch.row_count)

        await self.send(account_batches(rows, self.client.shard_of), note)
        if taken:
            raise ConflictError(
                f"{len(taken)} user names belong to other accounts already, {taken[0][0]!r} among them", "username"
            )
        await self.wait_until_drained()
        new = await self.total("accounts") - before
        return Loaded(len(rows), new, time.perf_counter() - begin)

    async def addresses(self, owners: Mapping[str, int], on_count: OnCount) -> Loaded:
        """Have e-mail addresses be those accounts'. Raises ConflictError for one that is another account's."""
        begin = time.perf_counter()
        if self.client.level < ADDRESSES_FROM_LEVEL:
            raise OverloadedError("the cluster is being upgraded; addresses can be loaded once all of it is")
        for part in chunks(list(owners.items()), ADDRESSES_AT_ONCE):
            await asyncio.gather(*(self._claim(address, account_id) for address, account_id in part))
            on_count(len(part))
        return Loaded(len(owners), len(owners), time.perf_counter() - begin)

    async def _claim(self, address: str, account_id: int) -> None:
        address_hash = hash_of_address(address)
        thing_id = thing_of_address(address_hash)
        args = [thing_id, address_hash, account_id]
        await self.client.call(bucket_of_thing(thing_id), "claim_address", args, REQUEST_TIMEOUT_S)

    async def follows(self, edges: Edges, on_count: OnCount, batch_count: int = FOLLOW_BATCH_COUNT) -> Loaded:
        """Add edges that don't exist, and wait until both sides know them."""
        begin, new = time.perf_counter(), 0
        owners = np.frombuffer(self.client.shard_map.buckets, dtype=np.uint8).astype(np.int64)

        def note(batch: Batch, result: Any) -> None:
            nonlocal new
            new += result
            on_count(batch.row_count)

        await self.send(follow_batches(edges, owners, batch_count), note)
        await self.wait_until_drained()
        return Loaded(len(edges.followers), new, time.perf_counter() - begin)

    async def tweets(self, posts: Sequence[Post], on_count: OnCount) -> Loaded:
        """Post tweets whose keys aren't known, and wait until all followers' shards have them."""
        begin, before = time.perf_counter(), await self.total("tweets")
        await self.send(post_batches(posts, self.client.shard_of), lambda batch, _: on_count(batch.row_count))
        await self.wait_until_drained()
        new = await self.total("tweets") - before
        return Loaded(len(posts), new, time.perf_counter() - begin)

    async def ids_of_names(self, names: Iterable[str]) -> dict[str, int]:
        """Return the account ids of those names (lower case) that exist."""
        groups: dict[int, list[str]] = {}
        for name in dict.fromkeys(name.lower() for name in names):
            groups.setdefault(self.client.shard_of(bucket_of_name(name)), []).append(name)
        found: dict[str, int] = {}

        def note(batch: Batch, result: Any) -> None:
            found.update((name, i) for name, i in zip(batch.args[0], result, strict=True) if i)

        batches = {
            shard: [Batch("names", [part], len(part)) for part in chunks(group, NAMES_BATCH_COUNT)]
            for shard, group in groups.items()
        }
        await self.send(batches, note)
        return found

    async def send(self, batches: dict[int, list[Batch]], on_reply: Callable[[Batch, Any], None]) -> None:
        """Send all batches, IN_FLIGHT_PER_SHARD at a time to each shard. Raises the first error that no retry mends."""

        async def carry(shard: int, queue: Iterator[Batch]) -> None:
            for batch in queue:
                on_reply(batch, await self.ask(shard, batch))

        try:
            async with asyncio.TaskGroup() as group:
                for shard, queue in batches.items():
                    shared = iter(queue)
                    for _ in range(IN_FLIGHT_PER_SHARD):
                        group.create_task(carry(shard, shared))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def ask(self, shard: int, batch: Batch) -> Any:
        """Send one batch until it is answered. Every bulk operation may be sent twice."""
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                return await self.client.call_shard(shard, batch.op, batch.args, REQUEST_TIMEOUT_S)
            except OverloadedError as error:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(error.retry_after_s or 1.0)

    async def statuses(self) -> list[dict[str, Any]]:
        """Return every shard's figures, by shard."""
        shards = range(self.client.shard_count)
        return list(await asyncio.gather(*(self.ask(shard, Batch("status", [], 1)) for shard in shards)))

    async def total(self, name: str) -> int:
        """Return the sum of one figure over the shards."""
        return sum(int(status[name]) for status in await self.statuses())

    async def wait_until_drained(self, timeout_s: float = DRAIN_TIMEOUT_S) -> list[dict[str, Any]]:
        """Wait until no numbered message is under way, all have landed, and of accounts that were deleted nothing is
        left; returns the shards' figures then.

        Shards are asked one after the other, so one look proves nothing; but if two looks in a row see the same numbers
        sent, and all of them applied, then none was under way between the two. Raises OverloadedError after timeout_s.
        """
        deadline, before = time.monotonic() + timeout_s, None
        while True:
            statuses = await self.statuses()
            sent, arrived = message_numbers(statuses)
            busy = any(s["delivery_backlog"] or s.get("leaving", 0) for s in statuses)
            if sent == arrived and sent == before and not busy:
                return statuses
            before = sent
            if time.monotonic() > deadline:
                waiting = {link: n - arrived.get(link, 0) for link, n in sent.items() if n != arrived.get(link)}
                waiting |= {f"leaving {s['shard']}": s["leaving"] for s in statuses if s.get("leaving", 0)}
                raise OverloadedError(f"messages between shards are still waiting after {timeout_s:.0f} s: {waiting}")
            await asyncio.sleep(DRAIN_POLL_S)


def message_numbers(statuses: list[dict[str, Any]]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the last message number sent, and applied, per link "source>destination"."""
    sent = {f"{s['shard']}>{dst}": number for s in statuses for dst, number in s["sent"].items()}
    arrived = {f"{src}>{s['shard']}": number for s in statuses for src, number in s["inbox"].items()}
    return dict(sorted(sent.items())), dict(sorted(arrived.items()))
