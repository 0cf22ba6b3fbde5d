"""What a shard tells of its search engine, and when the engine steps back behind home reads: with the real process."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from actors.search.priorities import NICE_BEHIND, NICE_ENGINE, NICE_MAX
from actors.shard import searching
from actors.shard.searching import SearchEngine
from tests.actors.test_searching import EVENTUALLY_S, WORD, Shard, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def unstarted(data_dir):
    made = Shard(data_dir)
    yield made
    await made.stop()


class Held:
    """Engines that don't get as far as to answer before a test lets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on, self.came = asyncio.Event(), asyncio.Event()
        real = SearchEngine._open

        async def opened(engine: SearchEngine, lane: Any) -> None:
            self.came.set()
            await self.go_on.wait()
            await real(engine, lane)

        monkeypatch.setattr(SearchEngine, "_open", opened)


def engine_process() -> psutil.Process:
    """Return the engine that was started last."""
    engines = [process for process in psutil.Process().children() if "actors.search" in process.cmdline()]
    return max(engines, key=lambda process: process.create_time())


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="priorities are by thread on Linux only")
async def test_an_engine_is_as_quick_as_its_shard_until_it_answers_and_behind_it_from_then_on(unstarted, monkeypatch):
    own, held = os.getpriority(os.PRIO_PROCESS, 0), Held(monkeypatch)
    unstarted.post(WORD)
    unstarted.search.start()
    await asyncio.wait_for(held.came.wait(), EVENTUALLY_S)
    assert set(niceness_of(engine_process())) == {own}
    held.go_on.set()
    await unstarted.ready()
    await eventually(
        lambda: set(niceness_of(engine_process())) == {min(own + nice, NICE_MAX) for nice in (NICE_ENGINE, NICE_BEHIND)}
    )
    assert engine_process().nice() == min(own + NICE_ENGINE, NICE_MAX)
    held.go_on.clear()
    held.came.clear()
    engine_process().kill()
    await asyncio.wait_for(held.came.wait(), EVENTUALLY_S)
    assert min(niceness_of(engine_process())) == min(own + NICE_ENGINE, NICE_MAX)  # home reads are served meanwhile
    held.go_on.set()
    await unstarted.ready(2)


def niceness_of(process: psutil.Process) -> list[int]:
    return [os.getpriority(os.PRIO_PROCESS, thread.id) for thread in process.threads()]


async def test_it_tells_whether_it_answers_and_whether_it_ever_has(unstarted, monkeypatch):
    held = Held(monkeypatch)
    search = unstarted.search
    assert search.readiness() == {"state": "starting", "left": 0, "serves": False, "has_served": False}
    search.start()
    await asyncio.wait_for(held.came.wait(), EVENTUALLY_S)
    assert (search.readiness()["serves"], search.readiness()["has_served"]) == (False, False)
    held.go_on.set()
    await unstarted.ready()
    assert search.readiness() == {"state": "ready", "left": 0, "serves": True, "has_served": True}
    held.go_on.clear()
    engine_process().kill()
    await eventually(lambda: search.readiness()["state"] == "starting again")
    assert search.readiness() == {"state": "starting again", "left": 0, "serves": False, "has_served": True}
    held.go_on.set()
    await unstarted.ready(2)


@pytest.mark.parametrize("what", ["tweets", "accounts"])
async def test_an_engine_that_has_much_to_take_in_answers_meanwhile_and_tells_how_much_is_left(
    unstarted, monkeypatch, what
):
    monkeypatch.setattr(searching, "FEED_ROWS", 5)
    for n in range(40):
        if what == "tweets":
            unstarted.post(f"{WORD} {n}")
        else:
            unstarted.core.register(100 + n)
    seen: list[dict[str, Any]] = []
    real = SearchEngine._feed

    async def feed(engine: SearchEngine, *args: Any, **more: Any) -> None:
        seen.append(engine.readiness())
        await real(engine, *args, **more)

    monkeypatch.setattr(SearchEngine, "_feed", feed)
    await unstarted.start()
    await unstarted.agrees()
    filling = [said for said in seen if said["state"] == "catching up"]
    assert all(said["serves"] for said in filling)
    assert [said["left"] for said in filling] == sorted((said["left"] for said in filling), reverse=True)
    assert filling[0]["left"] > 20
    assert unstarted.search.readiness()["state"] == "ready"
