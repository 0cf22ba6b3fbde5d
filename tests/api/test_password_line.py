"""Who is next to have a password hashed: floods of one address, of many, and those who were there before."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import OverloadedError, RateLimitedError, RookeryError
from api.password_line import ADDRESS_PLACES, NAME_PLACES, NICENESS, Asker, PasswordLine

FLOOD, HONEST = "198.51.100.9", "192.0.2.1"


class Work:
    """A line whose work is done when a test says so; notes in which order it began."""

    def __init__(self, threads=1, waiting_max=32, **more):
        self.line = PasswordLine(threads, waiting_max, **more)
        self.began: list[str] = []
        self._may_end = threading.Semaphore(0)
        self.tasks: list[asyncio.Task] = []
        choose = self.line._next

        def chosen():
            job = choose()
            self.began.append(f"{job.asker.address} {job.asker.name}".strip())
            return job

        self.line._next = chosen

    async def ask(self, address, name="", goes_first=False):
        """Put somebody in line; return the task, perhaps refused already."""

        def work():
            self._may_end.acquire(timeout=10)
            return name

        task = asyncio.create_task(self.line.run(Asker(address, name, goes_first), work))
        self.tasks.append(task)
        await asyncio.sleep(0)
        self.line.check()
        return task

    async def end(self, count=1):
        """Let `count` of those at work end, one by one."""
        for _ in range(count):
            self._may_end.release()
            await asyncio.wait([task for task in self.tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
            self.line.check()

    async def close(self):
        for _ in range(500):
            self._may_end.release()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for _ in range(5_000):  # those whose asker has given up
            if not self.line.running_count:
                break
            await asyncio.sleep(0.001)
        self.line.check()
        assert self.line.waiting_count == self.line.running_count == 0
        assert not self.line._places
        self.line.close()


@pytest.fixture
async def work():
    made = Work()
    yield made
    await made.close()


async def refused(task) -> RookeryError | None:
    await asyncio.sleep(0)
    return task.exception() if task.done() and not task.cancelled() else None


async def test_a_flood_of_one_address_waits_by_itself(work):
    flood = [await work.ask(FLOOD, f"user{n}") for n in range(40)]
    places = [task for task in flood if not task.done()]
    assert len(places) == ADDRESS_PLACES
    assert all(isinstance(task.exception(), RateLimitedError) for task in flood if task.done())
    honest = await work.ask(HONEST, "ada")
    await work.end(2)
    assert work.began[:3] == [f"{FLOOD} user0", f"{FLOOD} user1", f"{HONEST} ada"]
    await work.end()
    assert await honest == "ada"


async def test_one_name_takes_half_of_the_places_of_its_address(work):
    for _ in range(10):
        await work.ask(FLOOD, "loop")
    assert work.line.running_count + work.line.waiting_count == NAME_PLACES
    assert not (await work.ask(FLOOD, "ada")).done()


async def test_addresses_take_turns(work):
    for address in ("a", "b", "c"):
        for n in range(3):
            await work.ask(address, str(n))
    await work.end(9)
    assert work.began == ["a 0", "a 1", "b 0", "c 0", "a 2", "b 1", "c 1", "b 2", "c 2"]


async def test_who_was_there_before_goes_first_but_not_for_ever(work):
    await work.ask("at work")
    for n in range(4):
        await work.ask("stranger", str(n))
    for n in range(8):
        await work.ask(f"known{n}", goes_first=True)
    await work.end(13)
    order = ["k" if each.startswith("known") else "s" for each in work.began[1:]]
    assert order == [*"kkkskkkskkss"]


async def test_a_full_line_gives_way_to_whoever_has_less_in_it():
    work = Work(waiting_max=6)
    await work.ask("at work")
    crowd = [[await work.ask(address, str(n)) for n in range(3)] for address in ("a", "b")]
    late = await work.ask(HONEST, "ada")
    assert not late.done()
    assert isinstance(await refused(crowd[0][2]), OverloadedError)
    assert await refused(crowd[1][2]) is None
    for address in ("c", "d", "e"):
        assert not (await work.ask(address)).done()
    last = await work.ask("f")  # six addresses are in line, each with one
    assert isinstance(await refused(last), OverloadedError)
    known = await work.ask("g", "owner", goes_first=True)
    assert not known.done()
    assert work.line.waiting_count == 6
    await work.end(2)
    assert work.began[:2] == ["at work", "g owner"]
    await work.close()


async def test_who_gives_up_leaves_the_line(work):
    await work.ask("at work")
    waiting = [await work.ask(FLOOD, str(n)) for n in range(4)]
    waiting[1].cancel()
    await asyncio.sleep(0)
    work.line.check()
    assert work.line.waiting_count == 3
    assert not (await work.ask(FLOOD, "again")).done()
    await work.end(2)
    assert f"{FLOOD} 1" not in work.began


async def test_who_gives_up_while_it_is_hashed_keeps_the_thread_busy_and_the_place(work):
    running = await work.ask(FLOOD, "a")
    await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.sleep(0)
    assert work.line.running_count == 1
    assert (await work.ask(HONEST)) in work.tasks
    assert work.line.waiting_count == 1


async def test_without_limits_an_address_may_fill_the_line():
    work = Work(waiting_max=10, bounds_addresses=False)
    asked = [await work.ask(FLOOD, "loop") for _ in range(12)]
    assert sum(task.done() for task in asked) == 1
    await work.close()


async def test_an_error_of_the_work_reaches_who_asked():
    line = PasswordLine(1, 1)
    with pytest.raises(ZeroDivisionError):
        await line.run(Asker(HONEST), lambda: 1 // 0)
    assert await line.run(Asker(HONEST), lambda: 5) == 5
    line.check()
    line.close()


async def test_hashing_has_a_low_priority_and_nothing_else_has():
    line = PasswordLine(2, 4)
    own = os.getpriority(os.PRIO_PROCESS, 0)

    def look():
        return threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    for _ in range(4):
        name, niceness = await line.run(Asker(), look)
        assert name.startswith("argon2")
        assert niceness == min(19, own + NICENESS)
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    line.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "end", "cancel"]), st.integers(0, 4), st.integers(0, 2), st.booleans()
    ),
    max_size=50,
)  # fmt: skip


@given(STEPS)
def test_whatever_comes_the_line_keeps_its_bounds_and_ends_empty(steps):
    async def live() -> None:
        work = Work(threads=2, waiting_max=5)
        for kind, address, name, goes_first in steps:
            if kind == "ask":
                await work.ask(f"a{address}", f"n{name}", goes_first)
            elif kind == "end" and work.line.running_count and not any(t.cancelled() for t in work.tasks):
                await work.end()
            elif kind == "cancel" and work.tasks:
                work.tasks[(address * 7 + name) % len(work.tasks)].cancel()
                await asyncio.sleep(0)
                work.line.check()
        await work.close()

    asyncio.run(live())
