"""A shard's side of what leaves: nothing before it is committed, nothing lost, everything with the id that it has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.core import outbound
from actors.core.errors import OverloadedError
from actors.core.features.webhooks import CHANNEL, TYPES_ALL
from actors.core.levels import LEVEL
from actors.core.outbound import SendVerdict
from actors.metrics import ShardMetrics
from actors.shard import outgoing
from actors.shard.outgoing import OutgoingQueue
from actors.shard.storage import Storage
from configs.settings import load_settings
from tests.actors.test_commits import GatedDisk, lone_leader

DONE, LATER, GONE, _ = map(int, SendVerdict)
ON = frozenset({"webhooks"})
PATIENCE_S = 60.0


class Shard:
    """One shard with its journal, an account, and a dispatcher that answers as it is told."""

    def __init__(self, data_dir: Path, channels: frozenset[str] = ON) -> None:
        overrides = {"storage": {"data_dir": data_dir}, "cluster": {"shards": 1}}
        self.storage = Storage(load_settings("test", overrides=overrides, environ={}), 0)
        self.commits = lone_leader(self.storage, ShardMetrics(), 4)
        self.now_ms, self.leads = 1_700_000_000_000, True
        self.queue = OutgoingQueue(self.commits, lambda: self.leads, channels, lambda: self.now_ms / 1000)
        self.calls: list[list[list[Any]]] = []
        self.answers: list[Any] = []  # of calls to come: an error, a future, a verdict
        self.queue.connect(self.dispatch)
        self.running = asyncio.create_task(self.queue.run())

    async def dispatch(self, rows: list[list[Any]]) -> list[list[int]]:
        self.calls.append(rows)
        answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return [[answer, 0] for _ in rows]

    def write(self, op: str, *args: Any) -> Any:
        return self.commits.write(op, list(args), self.now_ms)

    def begin(self) -> int:
        """Make an account with a webhook; return the webhook's id."""
        self.commits.run(["level", LEVEL])
        self.write("register", "ada", 1, "", "", None, [])
        self.webhook_id = self.write("make_webhook", 1, "https://example.org/", TYPES_ALL, b"s")[0]
        return self.webhook_id

    def put(self) -> int:
        """Have something leave; return its id."""
        return self.write("test_webhook", 1, self.webhook_id)

    @property
    def waiting(self) -> list[int]:
        return self.commits.state.papers.keys(CHANNEL.kind, 1)

    @property
    def told(self) -> list[int]:
        """What dispatchers were given, by id, in order."""
        return [row[2] for rows in self.calls for row in rows]

    async def end(self) -> None:
        self.running.cancel()
        self.queue.stop()
        await self.commits.abandon()
        self.storage.close()


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  many things may make it true
            await asyncio.sleep(0.005)


@pytest.fixture
async def shard(data_dir: Path):
    made = Shard(data_dir)
    made.begin()
    yield made
    await made.end()


async def test_what_is_due_is_taken_once_and_is_there_no_more(shard):
    item_id = shard.put()
    await until(lambda: not shard.waiting)
    assert shard.told == [item_id]
    assert shard.queue.figures()["results"] == {"webhooks done": 1}
    assert shard.calls[0][0][:2] == ["webhooks", 1]


async def test_nothing_leaves_before_it_is_durable(shard):
    await until(lambda: shard.commits.durable_position == shard.commits.state.position)
    disk = GatedDisk(shard.commits)
    item_id = shard.put()
    for _ in range(20):
        shard.queue.wake()
        await asyncio.sleep(0.005)
    assert shard.told == []
    disk.open()
    await until(lambda: shard.told == [item_id])


async def test_while_a_dispatcher_is_away_items_wait_and_go_with_the_ids_that_they_had(shard, monkeypatch):
    monkeypatch.setattr(outgoing, "RETRY_FIRST_S", 0.001)
    shard.answers = [OverloadedError("not joined"), TimeoutError(), DONE]
    item_id = shard.put()
    await until(lambda: not shard.waiting)
    assert shard.told == [item_id] * 3
    assert shard.queue.figures()["calls_failed"] == 2


async def test_a_shard_that_dies_between_sending_and_the_outcome_sends_again_with_the_same_id(data_dir):
    first = Shard(data_dir)
    first.begin()
    first.answers = [asyncio.get_running_loop().create_future()]  # the receiver has it, nobody hears of that
    item_id = first.put()
    await until(lambda: first.told == [item_id])
    await first.end()
    second = Shard(data_dir)
    second.commits.run(["tick", second.now_ms])  # as whoever begins to lead
    await until(lambda: not second.waiting)
    assert second.told == [item_id]
    await second.end()


async def test_a_call_that_hangs_holds_back_its_own_items_alone(shard):
    hangs = asyncio.get_running_loop().create_future()
    shard.answers = [hangs]
    held = shard.put()
    await until(lambda: shard.told == [held])
    shard.now_ms += 1
    others = [shard.put() for _ in range(3)]
    await until(lambda: shard.waiting == [held])
    assert sorted(shard.told) == sorted([held, *others])
    hangs.set_result(DONE)
    await until(lambda: not shard.waiting)


async def test_no_more_than_so_many_calls_are_under_way(shard, monkeypatch):
    monkeypatch.setattr(outgoing, "ITEMS_MAX", 1)
    hangs = asyncio.get_running_loop().create_future()
    shard.answers = [hangs] * 99
    items = [shard.put() for _ in range(9)]
    await until(lambda: len(shard.calls) == outgoing.CALLS_MAX)
    for _ in range(10):
        shard.queue.look()
        await asyncio.sleep(0)
    assert len(shard.calls) == outgoing.CALLS_MAX
    hangs.set_result(DONE)
    await until(lambda: not shard.waiting)
    assert sorted(shard.told) == items


async def test_what_failed_is_due_again_when_its_pause_is_over(shard):
    shard.answers = [LATER]
    item_id = shard.put()
    await until(lambda: shard.queue.figures()["results"] == {"webhooks later": 1})
    assert shard.told == [item_id]
    shard.now_ms += outbound.retry_ms(item_id, 1)
    await until(lambda: not shard.waiting)
    assert shard.told == [item_id] * 2


async def test_what_is_too_old_is_dropped_without_a_call(shard):
    shard_now = shard.now_ms
    shard.answers = [LATER]
    shard.put()
    await until(lambda: len(shard.calls) == 1 and not shard.queue.figures()["under_way"])
    shard.now_ms = shard_now + CHANNEL.lives_ms
    await until(lambda: not shard.waiting)
    assert len(shard.calls) == 1
    assert shard.queue.figures()["results"] == {"webhooks dropped": 1, "webhooks later": 1}


async def test_an_outcome_that_comes_while_the_shard_is_frozen_is_noted_afterwards(shard):
    hangs = asyncio.get_running_loop().create_future()
    shard.answers = [hangs]
    item_id = shard.put()
    await until(lambda: shard.told == [item_id])
    shard.commits.move("freeze", [1])
    hangs.set_result(DONE)
    await asyncio.sleep(0)
    assert shard.waiting == [item_id]
    shard.commits.move("thaw", [1])
    await until(lambda: not shard.waiting)
    assert shard.told == [item_id]


async def test_who_does_not_lead_takes_nothing_out(shard):
    shard.leads = False
    item_id = shard.put()
    shard.queue.look()
    await asyncio.sleep(0)
    assert (shard.calls, shard.waiting) == ([], [item_id])
    shard.leads = True
    await until(lambda: not shard.waiting)


async def test_a_channel_that_is_not_configured_is_as_one_that_nobody_reaches(data_dir):
    off = Shard(data_dir, frozenset())
    off.begin()
    off.put()
    await until(lambda: off.queue.figures()["results"] == {"webhooks later": 1})
    assert (off.calls, len(off.waiting)) == ([], 1)
    await off.end()


async def test_a_receiver_that_is_gone_ends_its_webhook(shard):
    shard.answers = [GONE]
    shard.put()
    await until(lambda: not shard.waiting)
    assert shard.commits.replica.read("webhooks", [1]) == []
