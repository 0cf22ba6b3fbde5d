"""The load of a chaos run: a few clients, each with some accounts, doing over HTTP what users do.

Rules of this file
- A client does one thing at a time, and nobody else acts for its accounts. It sends back the position of its writes, as
  whoever wants to read them through any API worker must.
- Every answer is looked at: what it alone shows to be wrong goes to the ledger's problems at once.
- A write is repeated until its outcome is known or PATIENCE_S is over, with the same Idempotency-Key; a post without a
  key is sent once. Now and then a client is impatient, so that a repetition meets its own first attempt.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from actors.core.ids import bucket_of_account
from api.positions import POSITION_HEADER
from cluster.placement.shard_map import even_buckets
from tests.chaos.availability import SLOW_S, Availability, Request
from tests.chaos.ledger import Ledger, Outcome, Post, Register

ATTEMPT_TIMEOUT_S = 8.0  # above the API's own deadline (5 s in the profile `test`), so that its 503 is seen
IMPATIENT_SHARE, IMPATIENT_TIMEOUT_S = 0.04, 0.004  # half of the writes take longer
PATIENCE_S = 40.0  # of one write
RETRY_S = (0.05, 0.4)
READ_EVERY_S = 0.025  # of each shard, whether or not the reads before were answered
RECONNECT_S = 0.02  # before a read whose connection broke is repeated; doubled each time
LOOP_LOOK_S, LATE_LOOP_S = 0.02, 0.05  # how often the harness looks at its own lateness, and what it notes
LATE_S = 30.0  # an attempt that was given up takes effect by then: held 5 s, stopped 5 s, a deadline of 5 s, twice
PAGE_COUNT = 40
WEIGHTS = {
    "home": 30, "user_timeline": 8, "post": 22, "reply": 8, "post_without_key": 6, "follow": 8, "unfollow": 4,
    "like": 7, "unlike": 2, "delete": 4, "profile": 2,
}  # fmt: skip


class Client:
    """One client. number: names its texts; direct: whether its requests count for availability."""

    def __init__(
        self, number: int, port: int, accounts: Sequence[int], everyone: Sequence[int], shards: int, ledger: Ledger,
        availability: Availability | None, seed: int, weights: dict[str, int] = WEIGHTS, pause_s: float = 0.02,
    ) -> None:  # fmt: skip
        self._number, self._accounts, self._everyone = number, list(accounts), list(everyone)
        self._ledger, self._availability, self._pause_s = ledger, availability, pause_s
        self._rng = random.Random(f"client:{seed}:{number}")
        self._kinds, self._weights = list(weights), list(weights.values())
        self._buckets = even_buckets(shards)
        self._text_count = 0
        self._position = ""
        self._stopping = False
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=ATTEMPT_TIMEOUT_S, limits=httpx.Limits(max_connections=1)
        )

    def stop(self) -> None:
        """Let what is under way end; nothing new begins."""
        self._stopping = True

    async def begin(self, follow_count: int) -> None:
        """Let each account follow some others, so that there are timelines from the start."""
        for me in self._accounts:
            for other in self._rng.sample(self._everyone, min(follow_count, len(self._everyone))):
                if other != me:
                    await self._set_follow(me, other, True)

    async def run(self) -> None:
        """Act until told to stop."""
        try:
            while not self._stopping:
                kind = self._rng.choices(self._kinds, self._weights)[0]
                await getattr(self, f"_{kind}")(self._rng.choice(self._accounts))
                await asyncio.sleep(self._pause_s * self._rng.uniform(0.5, 1.5))
        finally:
            await self._http.aclose()

    # ---- requests ---------------------------------------------------------------------------------------------

    def _shard(self, account: int) -> int:
        return self._buckets[bucket_of_account(account)]

    async def _send(
        self, method: str, path: str, account: int, body: Any = None, key: str = "", timeout_s: float | None = None
    ) -> tuple[int, Any]:
        """Send once. Returns (status, JSON), or (0, None) if no whole answer came. account: whose shard is measured."""
        headers = {"Idempotency-Key": key, POSITION_HEADER: self._position}
        headers = {name: value for name, value in headers.items() if value}
        begin, status, answer = time.monotonic(), 0, None
        try:
            reply = await self._http.request(
                method, path, json=body, headers=headers, timeout=timeout_s or ATTEMPT_TIMEOUT_S
            )
            status, answer = reply.status_code, orjson.loads(reply.content)
            self._position = reply.headers.get(POSITION_HEADER, self._position)
        except httpx.HTTPError:
            pass
        self._ledger.statuses[status] += 1
        if status == 500:
            self._ledger.problems.append(f"{method} {path} was answered 500: {answer}")
        if self._availability is not None and timeout_s is None and method != "GET":
            request = Request(self._shard(account), begin, time.monotonic(), 200 <= status < 300)
            self._availability.writes.append(request)
        return status, answer

    async def _until_known(
        self, method: str, path: str, account: int, body: Any = None, key: str = ""
    ) -> tuple[Outcome, int, Any, bool]:
        """Repeat until the outcome is known: (outcome, last status, JSON, whether an attempt went unanswered)."""
        deadline, unanswered = time.monotonic() + PATIENCE_S, False
        while True:
            impatient = self._rng.random() < IMPATIENT_SHARE
            status, answer = await self._send(
                method, path, account, body, key, IMPATIENT_TIMEOUT_S if impatient else None
            )
            if 200 <= status < 300:
                return Outcome.ACKNOWLEDGED, status, answer, unanswered
            if 400 <= status < 500:
                return (Outcome.UNKNOWN if unanswered else Outcome.REFUSED), status, answer, unanswered
            unanswered = True
            if time.monotonic() > deadline:
                return Outcome.UNKNOWN, status, answer, unanswered
            await asyncio.sleep(self._rng.uniform(*RETRY_S))

    # ---- writes -----------------------------------------------------------------------------------------------

    async def _post(self, me: int, answers: int = 0) -> None:
        self._text_count += 1
        text = f"chaos {self._number} {self._text_count}"
        post = Post(me, text, f"key {text}", answers)
        self._ledger.posts.append(post)
        body = {"user_id": str(me), "status": text, **({"in_reply_to": str(answers)} if answers else {})}
        outcome, status, answer, _ = await self._until_known("POST", "/api/v1/tweet", me, body, post.key)
        self._ledger.posted(post, outcome, int(answer["tweet_id"]) if outcome is Outcome.ACKNOWLEDGED else 0)
        if 400 <= status < 500 and not (answers and self._may_be_gone(answers)):
            self._wrong(f"{text!r} by {me} was refused with {status}: {answer}")

    async def _reply(self, me: int) -> None:
        tweet_id = self._any_tweet()
        if tweet_id:
            await self._post(me, tweet_id)

    async def _post_without_key(self, me: int) -> None:
        self._text_count += 1
        post = Post(me, f"chaos {self._number} {self._text_count}", "", 0)
        self._ledger.posts.append(post)
        status, answer = await self._send("POST", "/api/v1/tweet", me, {"user_id": str(me), "status": post.text})
        if status == 201:
            self._ledger.posted(post, Outcome.ACKNOWLEDGED, int(answer["tweet_id"]))
        else:
            self._ledger.posted(post, Outcome.UNKNOWN, 0)
            if 400 <= status < 500:
                self._wrong(f"{post.text!r} by {me} was refused with {status}: {answer}")

    async def _delete(self, me: int) -> None:
        mine = [i for i in self._ledger.acknowledged_ids.get(me, ()) if self._ledger.by_id[i].deleted is None]
        if not mine:
            return
        tweet_id = self._rng.choice(mine)
        post = self._ledger.by_id[tweet_id]
        post.deleted = Outcome.UNKNOWN  # from now on others may find it or not
        outcome, status, answer, unanswered = await self._until_known(
            "DELETE", f"/api/v1/tweet/{tweet_id}", me, {"user_id": str(me)}
        )
        if status == 404 and (unanswered or await self._was_deleted(post)):  # by an attempt before
            outcome = Outcome.ACKNOWLEDGED
        elif 400 <= status < 500:
            self._wrong(f"tweet {tweet_id} by {me} was acknowledged, but deleting it gave {status}: {answer}")
        post.deleted = outcome
        self._ledger.note("delete", outcome)

    async def _was_deleted(self, post: Post) -> bool:
        """Whether a post that isn't there is known to its shard: the API's own attempt may have met its first one.

        Its key says so: `404` again. A post that was lost would be made again, and be found as doubled.
        """
        if not post.key:
            return False
        body = {"user_id": str(post.author), "status": post.text}
        body |= {"in_reply_to": str(post.answers)} if post.answers else {}
        _, status, _, _ = await self._until_known("POST", "/api/v1/tweet", post.author, body, post.key)
        return status == 404

    async def _follow(self, me: int) -> None:
        other = self._rng.choice(self._everyone)
        if other != me:
            await self._set_follow(me, other, True)

    async def _unfollow(self, me: int) -> None:
        mine = [v for (u, v), register in self._ledger.follows.items() if u == me and register.value is True]
        if mine:
            await self._set_follow(me, self._rng.choice(mine), False)

    async def _set_follow(self, me: int, other: int, on: bool) -> None:
        register = self._ledger.follows.setdefault((me, other), Register({False}))
        answer = await self._set("follow", register, on, f"/{me}/follow/{other}", me)
        if answer is not None:
            self._wrong(f"{me} could not {'follow' if on else 'unfollow'} {other}: {answer}")

    async def _like(self, me: int) -> None:
        tweet_id = self._any_tweet()
        if tweet_id:
            await self._set_like(me, tweet_id, True)

    async def _unlike(self, me: int) -> None:
        mine = [t for (u, t), register in self._ledger.likes.items() if u == me and register.value is True]
        if mine:
            await self._set_like(me, self._rng.choice(mine), False)

    async def _set_like(self, me: int, tweet_id: int, on: bool) -> None:
        register = self._ledger.likes.setdefault((me, tweet_id), Register({False}))
        answer = await self._set("like", register, on, f"/api/v1/tweet/{tweet_id}/like", me)
        if answer is not None and not self._may_be_gone(tweet_id):
            self._wrong(f"{me} could not like tweet {tweet_id}: {answer}")

    async def _set(self, what: str, register: Register, on: bool, path: str, me: int) -> Any:
        """Switch a register on or off; returns the refusal, if it was one."""
        if register.settled_until > time.monotonic() and register.value is not on:
            return None
        method = "POST" if on else "DELETE"
        outcome, status, answer, unanswered = await self._until_known(method, path, me, {"user_id": str(me)})
        late_until = time.monotonic() + LATE_S if unanswered else 0.0
        self._ledger.set(what, register, on, outcome, late_until)
        return answer if 400 <= status < 500 else None

    async def _profile(self, me: int) -> None:
        register = self._ledger.names[me]
        if register.settled_until > time.monotonic():
            return
        self._text_count += 1
        name = f"name {self._number} {self._text_count}"
        outcome, status, answer, unanswered = await self._until_known(
            "PATCH", f"/{me}/profile", me, {"user_id": str(me), "display_name": name}
        )
        self._ledger.set("profile", register, name, outcome, time.monotonic() + LATE_S if unanswered else 0.0)
        if 400 <= status < 500:
            self._wrong(f"the profile of {me} could not be changed: {status} {answer}")

    def _any_tweet(self) -> int:
        living = self._ledger.acknowledged_ids
        author = self._rng.choice(self._everyone)
        ids = [i for i in living.get(author, ())[-PAGE_COUNT:] if self._ledger.by_id[i].deleted is None]
        return self._rng.choice(ids) if ids else 0

    def _may_be_gone(self, tweet_id: int) -> bool:
        return self._ledger.by_id[tweet_id].deleted is not None

    def _wrong(self, problem: str) -> None:
        self._ledger.problems.append(problem)

    # ---- reads ------------------------------------------------------------------------------------------------

    async def _home(self, me: int) -> None:
        await self._read("/api/v1/home_timeline", me)

    async def _user_timeline(self, me: int) -> None:
        await self._read("/api/v1/user_timeline", me)

    async def _read(self, path: str, me: int) -> None:
        """Read a page: newest first, nothing twice, and of the reader's own tweets all and no deleted one."""
        status, answer = await self._send("GET", f"{path}?user_id={me}&count={PAGE_COUNT}", me)
        if 400 <= status < 500:
            self._wrong(f"GET {path} of {me} was refused with {status}: {answer}")
        if status != 200:
            return
        ids = [int(tweet["tweet_id"]) for tweet in answer]
        if any(a <= b for a, b in itertools.pairwise(ids)):
            self._wrong(f"{path} of {me} is out of order, or shows a tweet twice: {ids}")
        oldest = ids[-1] if len(ids) == PAGE_COUNT else 0
        for tweet_id in self._ledger.acknowledged_ids.get(me, ())[-PAGE_COUNT:]:
            deleted = self._ledger.by_id[tweet_id].deleted
            if deleted is None and tweet_id >= oldest and tweet_id not in ids:
                self._wrong(f"{path} of {me} doesn't show tweet {tweet_id} of {me}, which was acknowledged")
            if deleted is Outcome.ACKNOWLEDGED and tweet_id in ids:
                self._wrong(f"{path} of {me} shows tweet {tweet_id} of {me}, whose delete was acknowledged")


class LoopWatch:
    """How late the harness itself is: a read that took long while its client had no processor says little."""

    def __init__(self) -> None:
        self.pauses: list[tuple[float, float]] = []  # (when it ended, by how much longer than LOOP_LOOK_S it was)
        self._stopping = False

    def stop(self) -> None:
        """End soon."""
        self._stopping = True

    async def run(self) -> None:
        """Watch until told to stop."""
        while not self._stopping:
            begin = time.monotonic()
            await asyncio.sleep(LOOP_LOOK_S)
            now = time.monotonic()
            if now - begin > LOOP_LOOK_S + LATE_LOOP_S:
                self.pauses.append((now, now - begin - LOOP_LOOK_S))

    def longest_s(self, begin: float, end: float) -> float:
        """Return by how much the harness was late in that time."""
        return max((late for at, late in self.pauses if begin <= at and at - late - LOOP_LOOK_S <= end), default=0.0)


class ReadProbe:
    """Reads home timelines of one shard at fixed times, as users do who don't wait for each other."""

    def __init__(self, port: int, shard: int, accounts: Sequence[int], availability: Availability) -> None:
        self._shard, self._accounts, self._availability = shard, list(accounts), availability
        self._stopping = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=ATTEMPT_TIMEOUT_S, limits=httpx.Limits(max_connections=None)
        )

    def stop(self) -> None:
        """Let what is under way end; nothing new begins."""
        self._stopping = True

    async def run(self) -> None:
        """Read until told to stop."""
        turns = itertools.cycle(self._accounts)
        while not self._stopping:
            task = asyncio.create_task(self._read(next(turns)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(READ_EVERY_S)
        await asyncio.gather(*self._under_way)
        await self._http.aclose()

    async def _read(self, account: int) -> None:
        """Read once; again, within the time that a read may take, each time that the connection breaks."""
        begin, repeats, pause, why = time.monotonic(), 0, RECONNECT_S, ""
        while True:
            try:
                answer = await self._http.get("/api/v1/home_timeline", params={"user_id": account, "count": PAGE_COUNT})
                why = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"
                break
            except httpx.TimeoutException as error:
                why = repr(error)
                break
            except httpx.TransportError as error:  # the API worker behind the connection has gone
                why = repr(error)
            await asyncio.sleep(pause)
            pause *= 2
            if time.monotonic() - begin > SLOW_S:
                break
            repeats += 1
        self._availability.reads.append(Request(self._shard, begin, time.monotonic(), not why, repeats, why))
