"""Work that lets others go first."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from actors.turns import PASS_COUNT, Turns, Turnstile

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def drained(turns: Turns) -> None:
    while len(turns):  # noqa: ASYNC110  a few turns
        await asyncio.sleep(0)


@pytest.mark.parametrize("turn_s", [0.0, 60.0])
async def test_a_turn_has_one_piece_or_more_if_there_is_time_and_what_comes_meanwhile_goes_first(monkeypatch, turn_s):
    monkeypatch.setattr("actors.turns.TURN_S", turn_s)
    turns, done = Turns(), []
    loop = asyncio.get_running_loop()

    def search(name: str) -> None:
        done.append(name)
        loop.call_soon(done.append, f"read that came with {name}")

    for name in "abc":
        turns.put(lambda name=name: search(name))
    assert (done, len(turns)) == ([], 3)
    await drained(turns)
    await asyncio.sleep(0)
    reads = [f"read that came with {name}" for name in "abc"]
    assert done == ([*"abc", *reads] if turn_s else [part for pair in zip("abc", reads, strict=True) for part in pair])


async def test_what_fails_is_told_to_the_loop_and_keeps_no_other_from_its_turn():
    turns, done, told = Turns(), [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    turns.put(lambda: 1 / 0)
    turns.put(lambda: done.append("after"))
    await drained(turns)
    assert done == ["after"]
    assert [type(error) for error in told] == [ZeroDivisionError]


async def test_each_piece_has_the_context_of_whoever_put_it():
    turns, seen = Turns(), []
    for name in ("ada", "bob"):
        token = WHO.set(name)
        turns.put(lambda: seen.append(WHO.get()))
        WHO.reset(token)
    turns.put(lambda: turns.put(lambda: seen.append(WHO.get())))
    await drained(turns)
    assert seen == ["ada", "bob", "nobody"]


async def test_a_few_tasks_pass_a_turnstile_in_each_turn_in_the_order_of_their_coming():
    turnstile, passed = Turnstile(), list[int]()

    async def enter(number: int) -> None:
        await turnstile.enter()
        passed.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(5 * PASS_COUNT)]
    tasks[1].cancel()  # one that has gone keeps nobody
    counts = []
    while len(passed) < len(tasks) - 1:
        await asyncio.sleep(0)
        counts.append(len(passed))
    assert max(after - before for before, after in zip([0, *counts], counts, strict=False)) <= PASS_COUNT
    assert passed == [0, *range(2, len(tasks))]
    await asyncio.wait_for(turnstile.enter(), 60)
