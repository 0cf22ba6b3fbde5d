"""A shard's side of previews: links that are committed are taken out once, by the leader alone, and tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.core.errors import OverloadedError
from actors.core.levels import LEVEL
from actors.core.outbound import SendVerdict
from actors.metrics import ShardMetrics
from actors.shard import previewing
from actors.shard.previewing import Previewing
from actors.shard.storage import Storage
from configs.settings import load_settings
from tests.actors.test_commits import GatedDisk, lone_leader
from tests.actors.test_outgoing import until
from tests.core.hostile_previews import URL, links, page

DONE, LATER, _, DROPPED = map(int, SendVerdict)


class Shard:
    """One shard with its journal, an account, and a dispatcher that answers as it is told."""

    def __init__(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        overrides = {"storage": {"data_dir": data_dir}, "cluster": {"shards": 1}}
        self.storage = Storage(load_settings("test", overrides=overrides, environ={}), 0)
        self.commits = lone_leader(self.storage, ShardMetrics(), 4)
        self.now_ms, self.leads = 1_700_000_000_000, True
        monkeypatch.setattr(previewing, "LOOK_S", 0.005)
        self.previewing = Previewing(self.commits, lambda: self.leads, True)
        self.calls: list[list[list[Any]]] = []
        self.answers: list[Any] = []  # of calls to come: an error, a verdict
        self.previewing.connect(self.dispatch)
        self.running = asyncio.create_task(self.previewing.run())

    async def dispatch(self, rows: list[list[Any]]) -> list[list[int]]:
        self.calls.append(rows)
        answer = self.answers.pop(0) if self.answers else DONE
        if isinstance(answer, Exception):
            raise answer
        return [[answer, 0] for _ in rows]

    def begin(self, level: int = LEVEL) -> None:
        self.commits.run(["level", level])
        self.commits.write("register", ["ada", 1, "", "", None, []], self.now_ms)

    def post(self, *urls: str) -> int:
        """Post a tweet with links; return its id."""
        self.now_ms += 1
        args = [1, " ".join(urls) or "no link", 0, 0, 0, links(*urls), [], [], None]
        self.commits.write("post", args, self.now_ms)
        state = self.commits.state
        return int(state.tweets.log.view(state.people.row_of[1])[-1])

    @property
    def told(self) -> list[list[Any]]:
        """What dispatchers were given, in order."""
        return [row for rows in self.calls for row in rows]

    async def end(self) -> None:
        self.running.cancel()
        self.previewing.stop()
        await self.commits.abandon()
        self.storage.close()


@pytest.fixture
async def shard(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    made = Shard(data_dir, monkeypatch)
    made.begin()
    yield made
    await made.end()


async def test_a_link_is_taken_out_once_and_nothing_else_is(shard):
    shard.post()
    tweet_id = shard.post(URL, "https://other.example/")
    await until(lambda: shard.previewing.figures()["shown"] == 1)
    assert shard.told == [["previews", 1, tweet_id, 0, URL]]


async def test_nothing_is_taken_out_before_it_is_durable(shard):
    await until(lambda: shard.commits.durable_position == shard.commits.state.position)
    disk = GatedDisk(shard.commits)
    shard.post(URL)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert shard.told == []
    disk.open()
    await until(lambda: shard.told != [])


async def test_what_could_not_leave_is_tried_again_for_a_while(shard, monkeypatch):
    monkeypatch.setattr(previewing, "RETRY_S", 0.0)
    shard.answers = [OverloadedError("not joined"), LATER, DONE]
    shard.post(URL)
    await until(lambda: shard.previewing.figures()["shown"] == 1)
    assert [row[3] for row in shard.told] == [0, 1, 2]
    shard.answers = [LATER] * 99
    shard.post(URL)
    await until(lambda: shard.previewing.figures()["dropped"] == 1)
    assert len(shard.told) == 3 + previewing.ATTEMPTS_MAX


async def test_a_follower_keeps_what_it_meets_and_asks_for_what_is_missing_once_it_leads(shard):
    shard.leads = False
    shown, missing = shard.post(URL), shard.post(URL)
    shard.leads = True
    shard.previewing.connect(shard.dispatch)
    shard.commits.write("preview", [shown, URL, 0, page()], shard.now_ms)
    await until(lambda: shard.told != [])
    assert [row[2] for row in shard.told] == [missing]


async def test_a_cluster_that_is_being_upgraded_and_one_without_previews_ask_for_nothing(data_dir, monkeypatch):
    made = Shard(data_dir, monkeypatch)
    made.begin(3)
    made.post(URL)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert made.told == []
    made.commits.run(["level", LEVEL])
    await until(lambda: made.told != [])
    made.commits.state.met_links = None
    off = Previewing(made.commits, lambda: True, False)
    await off.run()
    assert (off.figures(), made.commits.state.met_links) == ({}, None)
    await made.end()
