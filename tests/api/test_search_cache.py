"""Answers of searches that are repeated, and those under way that are shared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import OverloadedError
from api.search import cache as search_cache
from api.search.cache import SearchAnswer, SearchCache, ShardsHeard

ANSWERED = SearchAnswer(b"{}", 0, 0, ShardsHeard(1, 1))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Work:
    """Answers that come when a test says so."""

    def __init__(self) -> None:
        self.begun: list[asyncio.Future[SearchAnswer]] = []

    async def __call__(self) -> SearchAnswer:
        future: asyncio.Future[SearchAnswer] = asyncio.get_running_loop().create_future()
        self.begun.append(future)
        return await future


def together(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_those_who_ask_the_same_at_once_share_the_work():
    async def run() -> None:
        cache, work = SearchCache(1.0, Clock()), Work()
        asking = [asyncio.create_task(cache.get("key", work)) for _ in range(5)]
        await turns()
        assert len(work.begun) == 1
        work.begun[0].set_result(ANSWERED)
        assert await asyncio.gather(*asking) == [ANSWERED] * 5
        assert (cache.hit_count, cache.miss_count) == (4, 1)
        cache.check()

    together(run())


@pytest.mark.parametrize("leaves", [0, 1])
def test_whoever_asks_may_leave_and_the_others_get_their_answer(leaves):
    async def run() -> None:
        cache, work = SearchCache(1.0, Clock()), Work()
        asking = [asyncio.create_task(cache.get("key", work)) for _ in range(2)]
        await turns()
        asking[leaves].cancel()
        await turns()
        assert asking[leaves].cancelled()
        work.begun[0].set_result(ANSWERED)
        assert await asking[1 - leaves] == ANSWERED
        assert await cache.get("key", work) == ANSWERED
        assert len(work.begun) == 1

    together(run())


def test_a_failure_is_told_to_all_who_wait_and_not_kept():
    async def run() -> None:
        for error in (OverloadedError("busy"), KeyError("a defect")):
            cache, work = SearchCache(1.0, Clock()), Work()
            asking = [asyncio.create_task(cache.get("key", work)) for _ in range(3)]
            await turns()
            work.begun[0].set_exception(error)
            assert await asyncio.gather(*asking, return_exceptions=True) == [error] * 3
            await turns()
            asking = [asyncio.create_task(cache.get("key", work))]
            await turns()
            work.begun[1].set_result(ANSWERED)
            assert await asking[0] == ANSWERED
            cache.check()

    together(run())


def test_an_answer_is_repeated_for_its_time_only():
    async def run() -> None:
        clock = Clock()
        cache, made = SearchCache(1.0, clock), []

        async def make() -> SearchAnswer:
            made.append(1)
            return ANSWERED

        for now_s, count in ((0.0, 1), (0.9, 1), (1.0, 2), (1.9, 2), (2.0, 3)):
            clock.now_s = now_s
            await cache.get("key", make)
            assert len(made) == count, now_s
            cache.check()

    together(run())


def test_what_was_under_way_when_all_was_forgotten_is_answered_and_not_kept():
    async def run() -> None:
        clock = Clock()
        cache, work = SearchCache(1.0, clock), Work()
        before = asyncio.create_task(cache.get("key", work))
        await turns()
        cache.clear()
        clock.now_s += search_cache.KEEP_AGAIN_S
        after = asyncio.create_task(cache.get("key", work))
        await turns()
        assert len(work.begun) == 2
        work.begun[0].set_result(ANSWERED)
        assert await before == ANSWERED
        assert not after.done()
        work.begun[1].set_result(newer := ANSWERED._replace(body=b"newer"))
        assert await after == newer
        assert await cache.get("key", work) == newer
        cache.check()

    together(run())


def test_what_is_asked_right_after_all_was_forgotten_is_shared_and_not_kept():
    """A follower, or another shard, may not have heard of the delete yet that the answer must not show for long."""

    async def run() -> None:
        clock = Clock()
        cache, work = SearchCache(1.0, clock), Work()
        cache.clear()
        clock.now_s = search_cache.KEEP_AGAIN_S * 0.9
        asking = [asyncio.create_task(cache.get("key", work)) for _ in range(2)]
        await turns()
        assert len(work.begun) == 1
        work.begun[0].set_result(ANSWERED)
        assert await asyncio.gather(*asking) == [ANSWERED] * 2
        clock.now_s = search_cache.KEEP_AGAIN_S
        for _ in range(2):
            asking = [asyncio.create_task(cache.get("key", work))]
            await turns()
            if not work.begun[-1].done():
                work.begun[-1].set_result(ANSWERED)
            await asking[0]
        assert len(work.begun) == 2
        cache.check()

    together(run())


@given(steps=st.lists(st.tuples(st.sampled_from(["ask", "answer", "fail", "clear", "later"]), st.integers(0, 3))))
def test_the_cache_keeps_its_bounds_and_counts_whatever_happens(steps):
    async def run() -> None:
        clock = Clock()
        cache, work = SearchCache(1.0, clock), Work()
        asking = []
        for step, n in steps:
            if step == "ask":
                asking.append(asyncio.create_task(cache.get(n, work)))
            elif step == "clear":
                cache.clear()
            elif step == "later":
                clock.now_s += n / 2
            elif n < len(work.begun) and not work.begun[n].done():
                if step == "answer":
                    work.begun[n].set_result(ANSWERED._replace(body=b"x" * 40))
                else:
                    work.begun[n].set_exception(OverloadedError("busy"))
            await turns()
            cache.check()
        for future in work.begun:
            if not future.done():
                future.set_result(ANSWERED)
        await asyncio.gather(*asking, return_exceptions=True)
        await turns()
        cache.check()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_cache, "CACHE_ENTRIES_MAX", 2)
        patch.setattr(search_cache, "CACHE_BYTES_MAX", 100)
        together(run())
