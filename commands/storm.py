"""A storm of writes on a running cluster, while its shards are killed: is everything that was acknowledged there, once?

Rules of this file
- Writes go over the lane as an API worker sends them, posts with keys. A write is sent until it is answered, so at the
  end each has a known outcome; what was acknowledged is remembered here and nowhere else.
- One account does one thing at a time, as a person would: the last acknowledged follow or unfollow decides a pair.
- Decisions follow from the seed; the order in which shards answer doesn't.

How it works: CLIENT_COUNT clients take turns at a list of accounts, each busy account being left out. Afterwards the
facts of all shards (`export`) are compared with the facts from before plus what was acknowledged:

    follows   the last acknowledged state of every pair that was touched; all others as before
    tweets    those from before, those posted and those reposted, without those deleted and the reposts of these
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from actors.core.errors import NotFoundError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account, bucket_of_tweet
from cluster.client.cluster_client import ClusterClient
from commands.checking import Outcome
from commands.loading import OnCount
from commands.oracle import REPOST, Fact, NetworkFacts

CLIENT_COUNT = 48  # writes in flight: what three API workers have under load
ATTEMPT_TIMEOUT_S = 5.0  # as the API's
GIVE_UP_AFTER_S = 120.0  # a shard that is away for so long is a finding, not a wait
REPEATED_POST_COUNT = 200  # posts sent a second time at the end: each must give the tweet that it made
KILL_POLL_S = 0.1
KINDS, WEIGHTS = ("follow", "unfollow", "post", "delete", "repost"), (35, 15, 30, 8, 12)

FetchPids = Callable[[], Awaitable[dict[int, int]]]
"""Returns the process of each live shard's primary on this machine."""


@dataclass(slots=True)
class Acknowledged:
    """What the cluster has said "done" to. posts: tweet -> (author, key); reposts: (account, original) -> repost."""

    follows: dict[tuple[int, int], bool] = field(default_factory=dict)
    posts: dict[int, tuple[int, bytes, str]] = field(default_factory=dict)
    reposts: dict[tuple[int, int], int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    retry_count: int = 0
    doubled: list[str] = field(default_factory=list)


class Storm:
    """One storm. facts: of the cluster before it; nobody else may write meanwhile."""

    def __init__(self, client: ClusterClient, facts: NetworkFacts, seed: int) -> None:
        self.client, self.facts, self.seed = client, facts, seed
        self.done = Acknowledged()
        self._rng = random.Random(seed)
        self._run = os.urandom(4).hex()  # a second storm with the same seed posts its own tweets
        self._accounts = sorted(facts.following)
        self._following = {u: sorted(vs) for u, vs in facts.following.items()}
        self._tweets: list[tuple[int, int]] = [
            (f.tweet_id, f.author_id) for fs in facts.tweets_by.values() for f in fs if not f.flags & REPOST
        ]
        self._busy: set[int] = set()
        self._number = 0

    async def run(self, operations: int, on_count: OnCount) -> None:
        """Make that many writes."""

        async def client() -> None:
            while self._number < operations:
                self._number += 1
                number, me = self._number, self._idle()
                self._busy.add(me)
                try:
                    await getattr(self, f"_{self._rng.choices(KINDS, WEIGHTS)[0]}")(me, number)
                finally:
                    self._busy.discard(me)
                on_count(1)

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENT_COUNT):
                group.create_task(client())

    def _idle(self) -> int:
        while True:
            me = self._rng.choice(self._accounts)
            if me not in self._busy:
                return me

    async def _send(self, bucket: int, op: str, args: list[Any]) -> Any:
        """Send until answered. Raises a refusal; a NotFoundError after a lost answer is one too."""
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                return await self.client.call(bucket, op, args, ATTEMPT_TIMEOUT_S)
            except OverloadedError as error:
                if time.monotonic() > deadline:
                    raise
                self.done.retry_count += 1
                await asyncio.sleep(min(error.retry_after_s or 0.2, 0.2))

    async def _follow(self, me: int, number: int) -> None:
        other = self._rng.choice(self._accounts)
        if other != me:
            await self._send(bucket_of_account(me), "follow", [me, other])
            self.done.follows[me, other] = True

    async def _unfollow(self, me: int, number: int) -> None:
        mine = [*self._following[me], *(v for u, v in self.done.follows if u == me)]
        if mine:
            other = self._rng.choice(mine)
            await self._send(bucket_of_account(me), "unfollow", [me, other])
            self.done.follows[me, other] = False

    async def _post(self, me: int, number: int) -> None:
        key = hashlib.blake2b(f"{self._run}:{number}".encode(), digest_size=16).digest()
        text = f"storm {self._run} number {number}"
        tweet_id = await self._send_post(me, text, key)
        if tweet_id in self.done.posts:
            self.done.doubled.append(f"two posts were given the id {tweet_id}")
        self.done.posts[tweet_id] = (me, key, text)
        self._tweets.append((tweet_id, me))

    async def _send_post(self, me: int, text: str, key: bytes) -> int:
        args = [me, text, 0, 0, 0, b"", [], [], key]
        return int(orjson.loads(await self._send(bucket_of_account(me), "post", args))["tweet_id"])

    async def _delete(self, me: int, number: int) -> None:
        if not self._tweets:
            return
        tweet_id, author = self._tweets.pop(self._rng.randrange(len(self._tweets)))
        with contextlib.suppress(NotFoundError):  # an attempt before had deleted it; its answer was lost with the shard
            await self._send(bucket_of_tweet(tweet_id), "delete", [tweet_id, author])
        self.done.deleted.add(tweet_id)

    async def _repost(self, me: int, number: int) -> None:
        if not self._tweets:
            return
        tweet_id, _ = self._rng.choice(self._tweets)
        with contextlib.suppress(
            NotFoundError
        ):  # another client is deleting it, before or after the reference was read
            reference = await self._send(bucket_of_tweet(tweet_id), "tweet_ref", [tweet_id, me])
            made = orjson.loads(await self._send(bucket_of_account(me), "repost", [me, reference[3]]))
            self.done.reposts[me, tweet_id] = int(made["tweet_id"])

    # ---- afterwards -------------------------------------------------------------------------------------------

    async def repeat_posts(self) -> list[str]:
        """Send some posts once more with their keys; returns what went wrong."""
        problems = list(self.done.doubled)
        kept = sorted(set(self.done.posts) - self.done.deleted)
        for tweet_id in self._rng.sample(kept, min(REPEATED_POST_COUNT, len(kept))):
            author, key, text = self.done.posts[tweet_id]
            again = await self._send_post(author, text, key)
            if again != tweet_id:
                problems.append(f"post {tweet_id} of {author}, sent again with its key, became {again}")
        return problems

    def compare(self, after: NetworkFacts, outcome: Outcome) -> None:
        """Compare the facts after the storm with those before it and what was acknowledged."""
        done = self.done
        for (u, v), on in done.follows.items():
            if (v in after.following.get(u, set())) != on:
                outcome.add([f"{'follow' if on else 'unfollow'} of {v} by {u} was acknowledged, but isn't so"])
        for u, before in self.facts.following.items():
            strange = (before ^ after.following.get(u, set())) - {v for v in after.following.get(u, set()) | before
                                                                  if (u, v) in done.follows}  # fmt: skip
            outcome.add(f"{u} -> {v} changed, and nobody asked for it" for v in sorted(strange))
        self._compare_tweets(after, outcome)

    def _compare_tweets(self, after: NetworkFacts, outcome: Outcome) -> None:
        done, gone = self.done, self.done.deleted
        now = {f.tweet_id: f for fs in after.tweets_by.values() for f in fs}
        before: list[Fact] = [f for fs in self.facts.tweets_by.values() for f in fs]
        expected = {f.tweet_id for f in before if f.tweet_id not in gone and f.orig_id not in gone}
        expected |= set(done.posts) - gone
        expected |= {repost for (_, original), repost in done.reposts.items() if original not in gone}
        reposts_by_pair = {(f.author_id, f.orig_id): f.tweet_id for f in now.values() if f.flags & REPOST}
        outcome.add(f"tweet {t} was acknowledged, but is gone" for t in sorted(expected - set(now)))
        extra = sorted(set(now) - expected)
        outcome.add(f"tweet {t} by {now[t].author_id} exists, but nobody was told of it" for t in extra)
        pair_count = sum(bool(f.flags & REPOST) for f in now.values())
        if pair_count != len(reposts_by_pair):
            outcome.add([f"{pair_count - len(reposts_by_pair)} reposts exist twice"])
        outcome.figures |= {
            "acknowledged_follows": sum(done.follows.values()), "acknowledged_posts": len(done.posts),
            "acknowledged_unfollows": len(done.follows) - sum(done.follows.values()),
            "acknowledged_deletes": len(gone), "acknowledged_reposts": len(done.reposts), "retries": done.retry_count,
        }  # fmt: skip


async def kill_in_turn(pids: FetchPids, progress: Callable[[], float], killed: list[int]) -> None:
    """Kill -9 every shard once, spread over the storm; progress(): its done part, 0..1. Waits for each to come back."""
    shards = sorted(await pids())
    for turn, shard in enumerate(shards):
        while progress() < (turn + 0.5) / (len(shards) + 0.5):  # noqa: ASYNC110  another task's count, not an event
            await asyncio.sleep(KILL_POLL_S)
        pid = (await pids())[shard]
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while (await pids()).get(shard, pid) == pid:
            if time.monotonic() > deadline:
                raise RookeryError(f"shard {shard} did not come back within {GIVE_UP_AFTER_S:.0f} s of being killed")
            await asyncio.sleep(KILL_POLL_S)
