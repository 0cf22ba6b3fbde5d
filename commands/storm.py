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
    texts     of those posted: what was said last
    likes     the last acknowledged state of every pair that was touched, on both sides, but for deleted tweets

Half of the follows and likes are *settled* (docs/lane.md): what such an answer promises is looked for at once, at the
other shard.
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
from actors.core.features.edits import HISTORY
from actors.core.ids import bucket_of_account, bucket_of_tweet
from cluster.client.cluster_client import SETTLED_FROM_LEVEL, ClusterClient
from cluster.client.positions import SeenPositions
from commands.checking import Outcome
from commands.loading import OnCount
from commands.oracle import REPOST, Fact, NetworkFacts

CLIENT_COUNT = 48  # writes in flight: what three API workers have under load
ATTEMPT_TIMEOUT_S = 5.0  # as the API's
GIVE_UP_AFTER_S = 120.0  # a shard that is away for so long is a finding, not a wait
REPEATED_POST_COUNT = 200  # posts sent a second time at the end: each must give the tweet that it made
KILL_POLL_S = 0.1
WEIGHTS = {
    "follow": 30, "unfollow": 13, "post": 25, "delete": 7, "repost": 10, "like": 8, "unlike": 3, "edit": 4,
}  # fmt: skip
SETTLED_SHARE = 0.5  # of follows and likes

PAGE_COUNT = 200  # accounts or tweets asked for at once

Look = Callable[[SeenPositions], Awaitable[bool]]
FetchPids = Callable[[], Awaitable[dict[int, int]]]
"""Returns the process of each live shard's primary on this machine."""


@dataclass(slots=True)
class Acknowledged:
    """What the cluster has said "done" to.

    posts: tweet -> (author, key, text); reposts: (account, original) -> repost; likes: (account, tweet) -> whether;
    edits: tweet -> text; settled_count: writes whose answers said that they were seen everywhere; problems: in which
    this wasn't so, or ids were given twice.
    """

    follows: dict[tuple[int, int], bool] = field(default_factory=dict)
    likes: dict[tuple[int, int], bool] = field(default_factory=dict)
    edits: dict[int, str] = field(default_factory=dict)
    settled_count: int = 0
    posts: dict[int, tuple[int, bytes, str]] = field(default_factory=dict)
    reposts: dict[tuple[int, int], int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    retry_count: int = 0
    problems: list[str] = field(default_factory=list)


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
                    await getattr(self, f"_{self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]}")(me, number)
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

    async def _send_and_see(self, bucket: int, op: str, args: list[Any], seen_by: Look) -> None:
        """Send until answered, by chance as a settled write, whose effect is looked for then."""
        if self._rng.random() >= SETTLED_SHARE or self.client.level < SETTLED_FROM_LEVEL:
            await self._send(bucket, op, args)
            return
        seen: SeenPositions = {}
        is_settled, _ = await self._send(bucket, op, args, seen, is_settled=True)
        self.done.settled_count += is_settled
        if is_settled and not await seen_by(seen):
            self.done.problems.append(f"{op} {args} was said to be settled, and isn't seen at the other shard")

    async def _send(
        self, bucket: int, op: str, args: list[Any], seen: SeenPositions | None = None, *,
        is_settled: bool = False, fresh: bool = False,
    ) -> Any:  # fmt: skip
        """Send until answered. Raises a refusal; a NotFoundError after a lost answer is one too.

        is_settled: the answer is `(whether it is, body)`; fresh: a read that is to come from the primary; seen: what
        the answers show that are wanted.
        """
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                if is_settled:
                    return await self.client.settled(bucket, op, args, ATTEMPT_TIMEOUT_S, seen)
                return await self.client.call(bucket, op, args, ATTEMPT_TIMEOUT_S, fresh, seen)
            except OverloadedError as error:
                if time.monotonic() > deadline:
                    raise
                self.done.retry_count += 1
                await asyncio.sleep(min(error.retry_after_s or 0.2, 0.2))

    async def _follow(self, me: int, number: int) -> None:
        other = self._rng.choice(self._accounts)
        if other != me:
            is_new = not self.done.follows.get((me, other), other in self._following[me])

            async def look(seen: SeenPositions) -> bool:
                args = [other, 0, 0, PAGE_COUNT]
                page, _ = await self._send(bucket_of_account(other), "followers", args, seen, fresh=True)
                return me in page or not is_new  # an old one may be on a later page

            await self._send_and_see(bucket_of_account(me), "follow", [me, other], look)
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
            self.done.problems.append(f"two posts were given the id {tweet_id}")
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

    async def _like(self, me: int, number: int) -> None:
        if not self._tweets:
            return
        tweet_id, _ = self._rng.choice(self._tweets)

        async def look(seen: SeenPositions) -> bool:
            try:
                bucket, args = bucket_of_tweet(tweet_id), [tweet_id, 0, 0, PAGE_COUNT]
                page = (await self._send(bucket, "likers", args, seen, fresh=True))[0]
            except NotFoundError:  # deleted meanwhile
                return True
            return page is None or me in page  # None: who asks mayn't know it without facts of his own

        await self._send_and_see(bucket_of_account(me), "like", [me, tweet_id], look)
        self.done.likes[me, tweet_id] = True

    async def _unlike(self, me: int, number: int) -> None:
        mine = [tweet for (account, tweet), on in self.done.likes.items() if account == me and on]
        if mine:
            tweet_id = self._rng.choice(mine)
            await self._send(bucket_of_account(me), "unlike", [me, tweet_id])
            self.done.likes[me, tweet_id] = False

    async def _edit(self, me: int, number: int) -> None:
        mine = [tweet for tweet, (author, _, _) in self.done.posts.items() if author == me]
        if mine and self.client.level >= HISTORY.from_level:
            tweet_id, text = self._rng.choice(mine), f"storm {self._run} number {number}, another text"
            with contextlib.suppress(NotFoundError):  # somebody has deleted it
                await self._send(bucket_of_tweet(tweet_id), "edit", [tweet_id, me, text, b"", []])
                self.done.edits[tweet_id] = text

    # ---- afterwards -------------------------------------------------------------------------------------------

    async def repeat_posts(self) -> list[str]:
        """Send some posts once more with their keys; returns what went wrong."""
        problems = list(self.done.problems)
        kept = sorted(set(self.done.posts) - self.done.deleted)
        for tweet_id in self._rng.sample(kept, min(REPEATED_POST_COUNT, len(kept))):
            author, key, text = self.done.posts[tweet_id]
            again = await self._send_post(author, text, key)
            if again != tweet_id:
                problems.append(f"post {tweet_id} of {author}, sent again with its key, became {again}")
        return problems

    async def compare_said(self) -> list[str]:
        """Read what was posted, edited and liked; return where it isn't what was acknowledged last."""
        kept = sorted(set(self.done.posts) - self.done.deleted)
        problems: list[str] = []
        for tweet_id in kept:
            said = orjson.loads(await self._send(bucket_of_tweet(tweet_id), "tweet", [tweet_id, 0], fresh=True))[
                "status"
            ]
            expected = self.done.edits.get(tweet_id, self.done.posts[tweet_id][2])
            if said != expected:
                problems.append(f"tweet {tweet_id} says {said!r}, and {expected!r} was acknowledged last")
        liked = {me: await self._all_pages(bucket_of_account(me), "likes", [me]) for me, _ in self.done.likes}
        likers = {
            tweet: await self._all_pages(bucket_of_tweet(tweet), "likers", [tweet, 0])
            for _, tweet in self.done.likes if tweet not in self.done.deleted
        }  # fmt: skip
        for (me, tweet), on in self.done.likes.items():
            if tweet in likers and not (tweet in liked[me]) == (me in likers[tweet]) == on:
                problems.append(f"{'like' if on else 'unlike'} of {tweet} by {me} was acknowledged, but isn't so")
        return problems

    async def _all_pages(self, bucket: int, op: str, args: list[int]) -> set[int]:
        found: set[int] = set()
        before = 0
        while True:
            page, before = await self._send(bucket, op, [*args, before, PAGE_COUNT], fresh=True)
            found.update(page)
            if not before:
                return found

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
            "acknowledged_likes": sum(done.likes.values()), "acknowledged_edits": len(done.edits),
            "settled": done.settled_count,
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
