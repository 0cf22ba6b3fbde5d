"""The real core behind the API, without Ray, sockets or disks: the simulation's cluster with faults off.

After each write everything under way arrives, so reads see it at once. Searches go through the real `SearchRequests` to
the real index (`tests/search/in_process.py`), which is made when it is first asked.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from actors.core import ids, limits
from actors.core.errors import OverloadedError, RookeryError
from actors.core.features import ASKING, READS
from actors.core.features.cards import learn_accounts
from actors.core.levels import LEVEL
from actors.core.postings.found import FoundTweets, Weights
from actors.core.replica import home_reply
from actors.core.shaped_reads import AskAccounts
from actors.core.timelines.home import Ask, HomeQuery, Wake
from actors.metrics.figure import Told
from actors.shard.search_requests import OPERATIONS as SEARCH
from actors.shard.search_requests import SearchRequests
from actors.turns import Turns
from api.outgoing_keys import OutgoingKeys
from tests.api.listened import OPERATIONS as LISTENING
from tests.api.listened import ListenedShards
from tests.api.media_port import MemoryMedia
from tests.search.in_process import InProcessEngine
from tests.sim.cluster import SimCluster

TUNING = limits.Tuning(arrivals_max=1 << 12)
STEPS = 30  # events of the simulation at a request: enough for a message to arrive
CANDIDATES = 200  # as by default
SEARCH_TIMEOUT_S = 5.0
VAPID = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


def all_served(shard_count: int) -> dict[str, Any]:
    """Return what `Cluster.readiness` tells of a cluster that lacks nothing."""
    search = {"state": "ready", "left": 0, "serves": True, "has_served": True}
    replicas = [
        {"shard": shard, "replica": 0, "live": True, "in_sync": True, "search": search} for shard in range(shard_count)
    ]
    return {"unserved_shards": [], "replicas": replicas, "trends": True}


def tell_when_called(call: Any, done: Any) -> None:
    """Make `Cluster.send` of a call: its outcome goes to `done`."""

    def settled(task: Any) -> None:
        if task.exception() is None:
            done(task.result(), None)
        else:
            done(None, task.exception())

    asyncio.get_running_loop().create_task(call).add_done_callback(settled)


class TrendsAndSends:
    """What doesn't come from shards."""

    call_shard: Any

    def share_places(self, reads: Any, writes: Any) -> None:
        """It never hangs."""

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        tell_when_called(self.call_shard(shard, op, args, timeout_s), done)

    async def trends(self, window: str, lang: str | None, kind: str | None, count: int) -> bytes:
        trend = {"name": "#hello", "kind": "hashtag", "score": 2.5, "tweets": 7, "authors": 5, "usual": 1.0,
                 "history": [0] * 24, "query": "#hello"}  # fmt: skip
        return orjson.dumps(
            {
                "window": window,
                "lang": lang,
                "as_of": "Wed Sep 05 00:37:15 +0000 2012",
                "trends": [trend][:count],
                "partial": False,
                "shards": {"answered": 2, "of": 2},
            }
        )


class SearchRequest:
    """A lane request of a search, of which the answer is waited for."""

    is_abandoned = False

    def __init__(self) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, body: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(msgpack.unpackb(msgpack.packb(body)))

    def fail(self, error: RookeryError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class CoreCluster(TrendsAndSends):
    """Shards of the simulation, asked one request at a time."""

    def __init__(self, shard_count: int = 2, has_search: bool = True, tuning: limits.Tuning = TUNING) -> None:
        self.sim = SimCluster(1, shard_count, tuning, faults=False, level=LEVEL)
        self.on_revoked: Any = None
        self.outgoing_keys = OutgoingKeys(b"c" * 32, b"l" * 32, b"s" * 32, VAPID)
        self.media = MemoryMedia()
        self.listened = ListenedShards(self.sim)
        self.has_search = has_search
        self.down: set[int] = set()  # shards that answer no search
        self.slow: set[int] = set()  # shards whose searches take longer than anybody waits
        self.searched: list[str] = []  # operations asked of shards
        self.asked: list[str] = []  # operations asked by bucket
        self.inquires = True  # shards ask each other before writes; else whoever asks for one is to ask himself
        self.drains = True  # after a write; else messages stay under way, and go on with each request
        self._requests: dict[int, SearchRequests] = {}
        self._engines: list[InProcessEngine] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def level(self) -> int:
        return self.sim.router.map.level

    @property
    def shard_count(self) -> int:
        return len(self.sim.shards)

    def shard_of(self, bucket: int) -> int:
        return self.sim.owner[bucket]

    def hangs(self) -> dict[str, int]:
        return {"rookery:router": 1}

    def figures(self) -> dict[str, float]:
        return {}

    async def neighbours(self, led: Mapping[int, Any]) -> list[Told]:
        return [Told.from_wire(each) for status in led.values() if status for each in status.get("told", ())]

    async def readiness(self) -> dict[str, Any] | None:
        return all_served(self.shard_count)

    def end_search(self) -> None:
        """Give the indexes' folders back. (`close` is what a worker calls when it ends; several may share this.)"""
        for engine in self._engines:
            engine.close()
        if self._folder is not None:
            self._folder.cleanup()

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        if op in ("token_owner", "usage", "directory", "activity", "indexed"):
            return self.sim.shards[shard].replica.read(op, args)
        if op in LISTENING:
            return await self.listened.ask(shard, op, args)
        if op == "shaped":
            return self._shaped(self.sim.shards[shard].replica, *msgpack.unpackb(msgpack.packb(args)))
        if op in SEARCH:
            return await self._search(shard, op, args, timeout_s or SEARCH_TIMEOUT_S)
        return {"position": self.sim.shards[shard].replica.state.position}

    async def _search(self, shard: int, op: str, args: list[Any], timeout_s: float) -> Any:
        self.searched.append(op)
        if shard in self.down:
            raise OverloadedError(f"shard {shard} is down", None, 1.0)
        if shard in self.slow:
            await asyncio.sleep(timeout_s)
            raise OverloadedError(f"shard {shard} did not answer {op} within {timeout_s} s", None, 1.0)
        request = SearchRequest()
        self.search_of(shard).handle(request, op, msgpack.unpackb(msgpack.packb(args)))
        return await asyncio.wait_for(request.answer, timeout_s)

    def search_of(self, shard: int) -> SearchRequests:
        """Return what answers a shard's searches."""
        requests = self._requests.get(shard)
        if requests is None:
            found = FoundTweets(self.sim.shards[shard].replica.lookups)
            engine: Any = self._engine(shard, found) if self.has_search else None
            requests = SearchRequests(engine, found, Weights(), CANDIDATES, SEARCH_TIMEOUT_S, Turns())
            self._requests[shard] = requests
        return requests

    def _engine(self, shard: int, found: FoundTweets) -> InProcessEngine:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="rookery-search-")
        engine = InProcessEngine(found, Path(self._folder.name, str(shard)), _later, has_lists=True)
        self._engines.append(engine)
        return engine

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Any) -> None:
        tell_when_called(self.call(bucket, op, args, timeout_s), done)

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float | None = None) -> Any:
        self.asked.append(op)
        return self.answer(bucket, op, args)

    async def settled(self, bucket: int, op: str, args: list[Any], timeout_s: float) -> Any:
        body = await self.call(bucket, op, args, timeout_s)
        self.sim.drain()
        self.listened.look()
        return body

    def answer(self, bucket: int, op: str, args: list[Any]) -> Any:
        """Return what the shard of a bucket answers to a request. Raises RookeryError."""
        args = msgpack.unpackb(msgpack.packb(args))  # as if it had crossed the lane
        for _ in range(0 if self.drains else STEPS):
            self.sim.step()
        replica = self.sim.shards[self.shard_of(bucket)].replica
        if op == "home":
            return self._home(args)
        if op == "shaped":
            return self._shaped(replica, *args)
        if op == "home_ids":
            query = replica.query([*args[:2], 0, 0, args[2]])
            return [item[0] for item in self._driven(replica.home_steps(query), replica, args[0])]
        if op == "explain":
            return self._driven(replica.explain_steps(args), replica).packed()
        if op in READS:
            return replica.read(op, args)
        if op in ASKING and self.inquires:
            args = self._inquire(replica, op, args)
        answers: list[Any] = []
        self.sim.write(bucket, op, args, answers.append)
        if self.drains:
            self.sim.drain()
        else:
            self.sim.run_until(lambda: bool(answers))
        self._tell_of_revoked()
        self.listened.look()
        if isinstance(answers[0], RookeryError):
            raise answers[0]
        return answers[0]

    def _inquire(self, replica: Any, op: str, args: list[Any]) -> list[Any]:
        """Return a write's arguments once its shard has asked the others, as `InquiringWrites` does."""
        steps = replica.inquiries(op, args)
        try:
            inquiry = next(steps)
            while True:
                self.asked.append(f"shard asks {inquiry.op}")
                try:
                    body = self.sim.shards[self.shard_of(inquiry.bucket)].replica.read(inquiry.op, inquiry.args)
                except RookeryError as refusal:
                    inquiry = steps.throw(refusal)
                else:
                    inquiry = steps.send(body)
        except StopIteration as found:
            return found.value

    def _tell_of_revoked(self) -> None:
        """Tell the API's worker of tokens that have ended, as a shard does."""
        for shard in self.sim.shards:
            revoked = shard.replica.state.revoked
            if self.on_revoked is not None:
                for account_id, secret_hash in revoked:
                    self.on_revoked(account_id, secret_hash)
            revoked.clear()

    def _shaped(self, replica: Any, number: int, op: str, args: list[Any]) -> Any:
        """Return what the shard answers to a read in a shape, as `CarriedReads` does."""
        shaped = replica.shaped(number)
        if shaped is None:
            return self.answer(ids.bucket_of_account(args[0]), op, args) if op == "home" else replica.read(op, args)
        query = replica.timeline_query(op, args)
        if query is None:
            return self._driven(shaped.steps(partial(replica.read, op, args)), replica)
        return self._driven(shaped.home_steps(query), replica, args[0])

    def _home(self, args: list[int]) -> list[Any]:
        replica = self.sim.shards[self.shard_of(ids.bucket_of_account(args[0]))].replica
        query: HomeQuery = replica.query(args)
        ready = replica.try_home(query)
        return ready if ready is not None else home_reply(self._driven(replica.home_steps(query), replica, args[0]))

    def _driven(self, steps: Any, replica: Any, reader: int = 0) -> Any:
        """Return what the steps of a read end with, once they have been given what they ask for."""
        answer: Any = None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = None
            if isinstance(need, Wake):
                if need.start:
                    self.sim.shards[replica.state.shard].run(["wake", reader])
                self.sim.run_until(lambda: reader not in replica.state.waking)
            elif isinstance(need, Ask):
                answer = {s: self.sim.shards[s].replica.read(op, asked) for s, (op, asked) in need.questions.items()}
            elif isinstance(need, AskAccounts):
                for shard, account_ids in need.questions.items():
                    body = self.sim.shards[shard].replica.read("accounts", [account_ids])
                    learn_accounts(replica.state, shard, account_ids, body)


def _later(done: Any, body: Any, error: Exception | None) -> None:
    asyncio.get_running_loop().call_soon(done, body, error)
