"""Shards of the simulation that are listened to, as `ServedReplica` has it: the shell's own `Listening` over each.

What has happened is pushed whenever `look` is called; nothing of it is under way by then, so it is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack

from actors.core.errors import RookeryError
from actors.core.features.cards import learn_accounts
from actors.metrics import ShardMetrics
from actors.shard.listening import OPERATIONS, Listening

__all__ = ["OPERATIONS", "ListenedShards"]


class _Commits:
    """What `Listening` looks at of a shard's commits."""

    def __init__(self, shard: Any) -> None:
        self.replica, self._shard = shard.replica, shard
        self.on_committed: list[Callable[[], None]] = []
        self.on_refused: list[Callable[[Any], None]] = []

    @property
    def state(self) -> Any:
        return self.replica.state

    @property
    def committed_position(self) -> int:
        return int(self.state.position)

    def run(self, command: list[Any]) -> None:
        self._shard.run(command)


class _Questions:
    """Asks other shards for accounts."""

    def __init__(self, sim: Any, state: Any) -> None:
        self._sim, self._state = sim, state

    async def ask(self, questions: dict[int, list[int]]) -> None:
        for shard, account_ids in questions.items():
            body = self._sim.shards[shard].replica.read("accounts", [account_ids])
            learn_accounts(self._state, shard, account_ids, body)


class _Connection:
    """A worker's lane to a shard."""

    def __init__(self, push: Callable[[str, Any], None]) -> None:
        self._push = push

    def push(self, topic: str, value: Any) -> None:
        packed = msgpack.packb(value)
        asyncio.get_running_loop().call_soon(lambda: self._push(topic, msgpack.unpackb(packed, strict_map_key=False)))

    def when_gone(self, call: Any) -> None:
        """It stays."""


class _Request:
    def __init__(self, op: str, args: list[Any], connection: _Connection) -> None:
        self.op, self.args, self.connection = op, args, connection
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, body: Any) -> None:
        self.answer.set_result(msgpack.unpackb(msgpack.packb(body)))

    def fail(self, error: RookeryError) -> None:
        self.answer.set_exception(error)


class ListenedShards:
    """All shards of a simulation. take: what is called with each push, once it is known."""

    def __init__(self, sim: Any) -> None:
        self._sim = sim
        self.take: Callable[[str, Any], None] = lambda topic, value: None
        self._shards: dict[int, tuple[Listening, _Commits, _Connection]] = {}

    async def ask(self, shard: int, op: str, args: list[Any]) -> Any:
        """Carry out a request of a worker. Raises RookeryError."""
        if shard not in self._shards:
            commits = _Commits(self._sim.shards[shard])
            questions: Any = _Questions(self._sim, commits.state)
            listening = Listening(commits, questions, ShardMetrics(), lambda: True)  # type: ignore[arg-type]
            self._shards[shard] = listening, commits, _Connection(lambda *push: self.take(*push))
        listening, _, connection = self._shards[shard]
        request = _Request(op, msgpack.unpackb(msgpack.packb(args)), connection)
        listening.handle(request)  # type: ignore[arg-type]
        return await request.answer

    def look(self) -> None:
        """Push what has happened."""
        for listening, _, _ in self._shards.values():
            listening.look()
