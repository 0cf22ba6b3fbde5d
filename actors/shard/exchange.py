"""Messages between shards as batched Ray actor calls: the sending loops and the receiving end.

Rules of this file
- One batch under way per destination; what gathers meanwhile is the next batch. So a slow or dead shard costs its
  sender one waiting call and the outbox, whose bound makes the sender refuse writes.
- A batch holds committed messages only, and primaries alone send and receive. It is acknowledged when it is committed
  over there, and repeated until then; the numbers make repeating harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import ray
import structlog
from ray.exceptions import ActorDiedError, RayError

from actors.core.errors import DeposedError, MalformedError, MovedError
from actors.core.messages import require_fitting
from actors.metrics import ShardMetrics
from actors.shard.commits import Commits
from cluster.placement.shard_map import ShardMap, shard_actor_name

TOLD_FROM_LEVEL = 2  # shards answer `deliver_told`
DELIVER_TIMEOUT_S = 30.0  # one batch to another shard: above any recovery; a late answer is harmless (numbers decide)
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 1.0  # between attempts to reach a shard that is down: Ray restarts one in about 1 s


class Exchange:
    """The messages of one shard actor, both ways."""

    def __init__(
        self, commits: Commits, metrics: ShardMetrics, namespace: str, leads: Callable[[], bool] = lambda: True
    ) -> None:
        """leads: whether this replica is its shard's primary now: nobody else sends or receives."""
        self.commits, self.metrics = commits, metrics
        self.state = commits.state
        self.log = structlog.get_logger()
        self._namespace = namespace
        self._map: ShardMap | None = None
        self._peers: dict[str, Any] = {}
        self._send_soon: dict[int, asyncio.Event] = {}
        self._sending: list[asyncio.Task[None]] = []
        self._leads = leads
        # Told (shard, number, what it had told us by then, its position) for every acknowledgement, and
        # (shard, number) for what has come from there and is applied.
        self.on_acknowledged: Callable[[int, int, int, int], None] = lambda shard, seq, heard, position: None
        self.on_heard: Callable[[int, int], None] = lambda shard, seq: None
        commits.on_committed.append(self.wake_senders)

    def start(self) -> None:
        """Begin to send to every shard that there is, also to those that have come since the last time."""
        for dst in [dst for dst in self.state.outboxes if dst not in self._send_soon]:
            self._send_soon[dst] = asyncio.Event()
            self._sending.append(asyncio.create_task(self._send(dst)))

    @property
    def shard_count(self) -> int:
        """Shards that are sent to."""
        return len(self._send_soon)

    def stop(self) -> None:
        """Send nothing any more."""
        for task in self._sending:
            task.cancel()

    def learn(self, shard_map: ShardMap) -> None:
        """Take over a newer map: it names the primaries."""
        self._map = shard_map

    def wake_senders(self) -> None:
        """There may be something to send."""
        for event in self._send_soon.values():
            event.set()

    def _primary_name(self, shard: int) -> str:
        known = self._map is not None and shard < self._map.shard_count
        return self._map.primary_of(shard).actor_name if known and self._map else shard_actor_name(shard, 0)

    async def peer(self, shard: int) -> Any:
        """Return the actor of another shard's primary. Raises ValueError when nobody has its name just now."""
        name = self._primary_name(shard)
        if name not in self._peers:
            self._peers[name] = await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
        return self._peers[name]

    def _forget_peer(self, shard: int) -> None:
        self._peers.pop(self._primary_name(shard), None)

    async def ask(self, shard: int, op: str, args: list[Any], timeout_s: float) -> Any:
        """Put a question to another shard. Raises RayError, TimeoutError or ValueError when it can't be had."""
        try:
            async with asyncio.timeout(timeout_s):
                failed, body = await (await self.peer(shard)).lane_call.remote(op, args)
        except ActorDiedError:
            self._forget_peer(shard)
            raise
        if failed:
            raise ValueError(f"shard {shard}: {body[1]}")
        return body

    async def _send(self, dst: int) -> None:
        """Carry messages to one shard, for ever."""
        event, pause = self._send_soon[dst], RETRY_FIRST_S
        while True:
            outbox = self.state.outboxes.get(dst)  # a shard that was given up may come back with another
            first, messages = (0, []) if outbox is None else outbox.batch(self.commits.committed_position)
            if not messages or not self._leads():
                await event.wait()
                event.clear()
                continue
            try:
                peer = await self.peer(dst)
                async with asyncio.timeout(DELIVER_TIMEOUT_S):
                    seq, heard, position = await self._hand_over(peer, first, messages)
            except (RayError, TimeoutError, ValueError) as error:  # ValueError: nobody has that name just now
                if isinstance(error, ActorDiedError):
                    self._forget_peer(dst)
                self.metrics.batches_failed += 1
                self.log.warning("messages wait", to=dst, count=len(messages), reason=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_S)
                continue
            pause = RETRY_FIRST_S
            if self.state.outboxes.get(dst) is not outbox:
                continue
            if seq < first - 1:
                self.log.critical("another shard has lost messages it had acknowledged", to=dst, seq=seq, first=first)
                await asyncio.sleep(RETRY_MAX_S)
            elif seq >= first and self._leads():
                self.metrics.messages_out += len(messages)
                self.commits.run(["acked", dst, seq], urgent=False)
                self.on_acknowledged(dst, seq, heard, position)

    async def _hand_over(self, peer: Any, first: int, messages: list[bytes]) -> tuple[int, int, int]:
        """Bring one batch; returns what `deliver_told` does, with zeros for what nobody of level 1 is asked."""
        batch = self.state.shard, self.commits.journal.epoch, first, len(messages), b"".join(messages)
        if self.state.level >= TOLD_FROM_LEVEL:
            seq, heard, position = await peer.deliver_told.remote(*batch)
            return seq, heard, position
        return await peer.deliver.remote(*batch), 0, 0

    async def deliver(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> int:
        """Apply a batch from another shard; returns the last number from there that is applied and committed.

        term: the sender's. Raises MovedError if this replica doesn't lead, DeposedError if the sender doesn't any more.
        """
        self._take(source, term, first_seq, count, batch)
        return int(await self._committed(self.state.inbox[source]))

    async def deliver_told(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> list[int]:
        """As `deliver`; returns `[that number, the last number on its way to source, the position here]`.

        Whoever has heard up to the second has all that this shard has answered to the batch; a replica at the third
        shows what the batch has changed.
        """
        self._take(source, term, first_seq, count, batch)
        outbox = self.state.outboxes.get(source)
        heard = 0 if outbox is None else outbox.next_seq - 1
        told: list[int] = await self._committed([self.state.inbox[source], heard, self.state.position])
        return told

    def _committed(self, body: Any) -> asyncio.Future[Any]:
        committed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.commits.when_committed(committed, body)
        return committed

    def _take(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> None:
        if not self._leads():
            raise MovedError(f"this replica doesn't lead shard {self.state.shard}")
        if self._map is not None and term < self._map.term_of(source):
            raise DeposedError(f"shard {source} has a primary of a higher term than {term}")
        if source not in self.state.inbox:
            raise MovedError(f"shard {self.state.shard} has not heard of shard {source} yet")
        applied = self.state.inbox[source]
        if first_seq <= applied + 1 and first_seq + count - 1 > applied:
            self._require_fitting(source, first_seq, batch)
            self._apply(source, first_seq, count, batch)
            self.metrics.messages_in += count
            self.on_heard(source, self.state.inbox[source])
        else:
            self.metrics.messages_repeated += count

    def _require_fitting(self, source: int, first_seq: int, batch: bytes) -> None:
        """Refuse what no shard of ours sends, before it is in the journal. Raises MalformedError."""
        try:
            require_fitting(batch)
        except MalformedError as error:
            self.log.critical("another shard's messages are refused", source=source, first=first_seq, reason=str(error))
            raise

    def _apply(self, source: int, first_seq: int, count: int, batch: bytes) -> None:
        metrics, begin = self.metrics, time.perf_counter()
        self.commits.run(["receive", source, first_seq, batch])
        metrics.receive_seconds.observe(time.perf_counter() - begin)
        metrics.batch_messages.observe(count)
