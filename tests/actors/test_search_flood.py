"""A flood of searches against a real engine process: it lives, the cheap is answered, what is late isn't begun.

Rules of this file
- Counts and order decide, never how long something took: EVENTUALLY_S is a deadline.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from actors.core.errors import OverloadedError
from actors.core.postings.found import FoundTweets, Weights
from actors.shard import engine_process
from actors.shard.search_requests import SearchRequests
from actors.turns import Turns
from cluster.lane import client as lane_client
from tests.actors.test_searching import EVENTUALLY_S, WORD, Shard, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shard():
    with tempfile.TemporaryDirectory(prefix="rk-") as directory:
        made = await Shard(Path(directory)).start()
        yield made
        await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def unstarted(data_dir):
    made = Shard(data_dir)
    yield made
    await made.stop()


class Answered:
    """A lane request of which it is noted when it was answered, and with what."""

    is_abandoned = False

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order = name, order
        self.body: Any = None
        self.error: Exception | None = None

    def reply(self, body: Any) -> None:
        self.body = body
        self.order.append(self.name)

    def fail(self, error: Exception) -> None:
        self.error = error
        self.order.append(self.name)


PREFIXES = ["or", *(["prefix", f"q{letter}"] for letter in "abcdefgh")]
PHRASE = ["phrase", [WORD, "again"]]
NOBODY: list[Any] = [0, b"", b""]


async def test_beside_a_flood_of_dear_searches_a_cheap_one_is_answered_and_the_rest_refused_at_once(shard):
    tweet_id = shard.post(f"{WORD} again")
    await shard.finds([tweet_id])
    found = FoundTweets(shard.replica.lookups)
    requests = SearchRequests(shard.search, found, Weights(), 200, EVENTUALLY_S, Turns())
    order: list[str] = []

    def ask(name: str, tree: list[Any], by: str) -> Answered:
        request = Answered(name, order)
        requests.handle(request, "search", [tree, by, 5, [0, 0] if by == "latest" else b"", 0, NOBODY, False])
        return request

    flood = [ask("dear", PREFIXES, "top") for _ in range(200)]
    honest = ask("honest", PHRASE, "latest")
    await eventually(lambda: len(order) == 201)
    assert [row[1] for row in honest.body[0]] == [tweet_id]
    refused = [request for request in flood if request.error is not None]
    assert all(isinstance(request.error, OverloadedError) for request in refused)
    assert len(refused) == requests.figures()["shed"] >= 190
    assert (requests.in_flight, requests.room.units, shard.search.process.start_count) == (0, 0, 1)


async def test_what_is_late_when_its_turn_comes_is_dropped_by_the_engine(shard):
    await shard.agrees()
    await eventually(lambda: "late" in shard.search.facts)
    lane = shard.search._lane
    before = await lane.request("facts", [], EVENTUALLY_S)
    for op, args in (("latest", [PREFIXES, 0, 5, 0, b""]), ("corrections", [[WORD]]), ("suggest", ["w", 5])):
        for _ in range(20):
            lane.send("within", [time.monotonic() - 0.001, op, args], EVENTUALLY_S, lambda body, error: None)
    with pytest.raises(OverloadedError, match="late"):
        await lane.request("within", [0.0, "latest", [PREFIXES, 0, 5, 0, b""]], EVENTUALLY_S)
    in_time = [time.monotonic() + EVENTUALLY_S, "latest", [PREFIXES, 0, 5, 0, b""]]
    assert type(await lane.request("within", in_time)) is list  # of what the index has by now
    await lane.request("corrections", [["whalee"]], EVENTUALLY_S)
    after = await lane.request("facts", [], EVENTUALLY_S)
    assert after["late"] - before["late"] == 61
    assert after["searches"] - before["searches"] == 1


async def test_the_engine_answers_other_things_between_two_searches(shard):
    """One search a turn: what is asked behind many of them isn't answered behind all of them."""
    lane, order = shard.search._lane, []

    def note(name: str) -> Callable[[Any, Any], None]:
        return lambda body, error: order.append(name)

    until_s = time.monotonic() + EVENTUALLY_S
    for _ in range(50):
        lane.send("within", [until_s, "latest", [PREFIXES, 0, 5, 0, b""]], EVENTUALLY_S, note("search"))
    lane.send("facts", [], EVENTUALLY_S, note("facts"))
    lane.send("feed", [[], [], [], [], False], EVENTUALLY_S, note("feed"))
    await eventually(lambda: len(order) == 52)
    assert order.index("facts") <= 1
    assert order.index("feed") < 50
    assert shard.search.process.start_count == 1


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """The engine has a slot for its heartbeat, as in a cluster."""
    monkeypatch.setattr(engine_process, "slot_for_child", lambda suffix: [str(tmp_path), f"shard{suffix}"])
    return tmp_path


async def test_an_engine_that_lives_and_is_slow_is_not_taken_for_dead(watched, unstarted, monkeypatch):
    """No answer for long: its heart beats, so nobody starts another one; it stands still, and it is started again."""
    monkeypatch.setattr(lane_client, "STALL_TIMEOUT_S", 0.1)
    await unstarted.start()
    lane = unstarted.search._lane
    process = psutil.Process(unstarted.search.process.pid)
    monkeypatch.setattr(engine_process, "FEED_TIMEOUT_S", 0.05)
    beats = iter(range(1_000_000))
    with monkeypatch.context() as alive:
        alive.setattr(unstarted.search.process, "beats", lambda: next(beats))
        process.suspend()  # stands for an engine that has more to do than it can
        try:
            with pytest.raises(OverloadedError):
                await unstarted.ask("latest", [PREFIXES, 0, 5, 0, b""], 0.3)
            await asyncio.sleep(0.5)
        finally:
            process.resume()
        assert not lane.closed
        assert await unstarted.ask("latest", [PREFIXES, 0, 5, 0, b""], EVENTUALLY_S) == []
    assert unstarted.search.process.start_count == 1
    monkeypatch.setattr(unstarted.search.process, "beats", lambda: 7)
    process.suspend()
    unstarted.post(WORD)
    with pytest.raises(TimeoutError, match="heart stands still"):
        await unstarted.search.process.ask(lane, "facts", [])
    process.kill()
    await eventually(lambda: unstarted.search.process.start_count == 2)


async def test_a_heartbeat_is_read_by_name_and_process(watched, unstarted):
    await unstarted.start()
    before = unstarted.search.process.beats()
    assert before >= 0
    await eventually(lambda: unstarted.search.process.beats() > before)
    unstarted.search.process.pid = 0
    assert unstarted.search.process.beats() == -1
