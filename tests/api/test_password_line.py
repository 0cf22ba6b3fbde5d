"""Who is next to have a password hashed: floods of one address, of many, and those who were there before."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.password_line import NICENESS, Asker, PasswordLine

FLOOD, HONEST = "198.51.100.9", "192.0.2.1"


class Work:
    """A line whose work is done when a test says so; notes in which order it began."""

    def __init__(self, threads=1, waiting_max=32):
        self.line = PasswordLine(threads, waiting_max)
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
            self._may_end.acquire(timeout=60)
            return name

        task = asyncio.create_task(self.line.run(Asker(address, name, goes_first), work))
        self.tasks.append(task)
        for _ in range(3):  # also whoever was displaced for it hears of it
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
        self.line.close()


@pytest.fixture
async def work():
    made = Work()
    yield made
    await made.close()


def statuses(tasks) -> list[int]:
    """200 for those who wait or are at work, else what they were told."""
    return [task.exception().status if task.done() and not task.cancelled() else 200 for task in tasks]


async def test_a_flood_of_one_address_waits_behind_itself(work):
    flood = [await work.ask(FLOOD, f"user{n}") for n in range(40)]
    assert statuses(flood) == [200] * 33 + [429] * 7
    honest = await work.ask(HONEST, "ada")
    assert statuses(flood) == [200] * 32 + [429] * 8
    await work.end(2)
    assert work.began[:3] == [f"{FLOOD} user0", f"{FLOOD} user1", f"{HONEST} ada"]
    await work.end()
    assert await honest == "ada"


async def test_a_flood_for_one_name_waits_behind_itself_at_its_own_address_too(work):
    flood = [await work.ask(FLOOD, "loop") for _ in range(40)]
    assert statuses(flood) == [200] * 33 + [429] * 7
    honest = await work.ask(FLOOD, "ada")
    await work.end(2)
    assert work.began[:3] == [f"{FLOOD} loop", f"{FLOOD} loop", f"{FLOOD} ada"]
    await work.end()
    assert await honest == "ada"


async def test_addresses_take_turns_and_so_do_their_names(work):
    for address in ("a", "b", "c"):
        for name in "xxxy":
            await work.ask(address, name)
    await work.end(12)
    assert work.began == ["a x", "a x", "b x", "c x", "a y", "b y", "c y", "a x", "b x", "c x", "b x", "c x"]


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
    crowd = {address: [await work.ask(address, str(n)) for n in range(3)] for address in "ab"}
    for address in ("c", "d"):
        await work.ask(address)
    assert {address: statuses(tasks) for address, tasks in crowd.items()} == {key: [200, 200, 429] for key in "ab"}
    for address in ("e", "f"):
        await work.ask(address)
    late = await work.ask("g")  # six addresses are in line, each with one
    again = await work.ask("c")
    assert statuses([late, again]) == [503, 429]
    known = await work.ask("h", "owner", goes_first=True)
    assert sorted(statuses(work.tasks)) == [200] * 7 + [429] * 5 + [503] * 2
    assert not known.done()
    await work.end(2)
    assert work.began[:2] == ["at work", "h owner"]
    await work.close()


async def test_a_hundred_addresses_that_were_there_before_are_bounded_too():
    work = Work(waiting_max=6)
    for n in range(100):
        await work.ask(f"a{n}", goes_first=True)
    assert sorted(statuses(work.tasks)) == [200] * 7 + [503] * 93
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
        assert niceness == NICENESS >= 10
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
