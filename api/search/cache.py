"""Answers of searches, repeated for a moment to whoever asks the same.

Rules of this file
- Those under way are shared: who asks the same meanwhile waits for the same work. Whoever leaves takes nothing from the
  others, as the work belongs to nobody who waits.
- Only full and whole pages are kept, and failures never, but all who wait are told of them.
- `clear` forgets everything. What is under way then, or is asked a moment later, is answered and not kept: other shards
  and followers hear of a delete or block milliseconds later.

How it works
`ask` takes two callbacks: what begins the work, and who wants the answer. Without a time to keep answers it only passes
the one to the other. `get` is the same for coroutines.

Costs: 2.5 us to share an answer, and some 5 for the memory of 8 KB that are kept; 0.5 us to repeat it; 0.1 us if
answers aren't repeated.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from actors.core.errors import OverloadedError

logger = logging.getLogger("rookery.api")

CACHE_ENTRIES_MAX = 2_000
CACHE_BYTES_MAX = 32 * 1024 * 1024
KEEP_AGAIN_S = 0.05  # after all was forgotten: other shards and followers hear of a delete or block milliseconds later
T = TypeVar("T")


class ShardsHeard(NamedTuple):
    """How many shards answered, of how many."""

    answered: int
    of: int

    @property
    def is_partial(self) -> bool:
        """Whether a shard is missing."""
        return self.answered < self.of

    def members(self) -> bytes:
        """Return the members of an answer that tell it."""
        partial = b"true" if self.is_partial else b"false"
        return b'"partial":%s,"shards":{"answered":%d,"of":%d}' % (partial, self.answered, self.of)


class SearchAnswer(NamedTuple):
    """A finished answer. newest_id, oldest_id: of a page of `latest`, for links; corrected: the query that these are to
    repeat, if not the one that was asked.

    is_full: a page with as many tweets as fit. Only such answers are repeated: they are those of popular queries, and
    whoever waits for a tweet with a rare word finds it as soon as the index does.
    """

    body: bytes
    newest_id: int
    oldest_id: int
    shards: ShardsHeard
    is_full: bool = True
    corrected: str | None = None


Told = Callable[[Any, Exception | None], None]  # (body, None) or (None, error), once
Begin = Callable[[Told], None]  # begins work that tells its outcome, now or later


class _Kept:
    """An answer, or the work on one.

    answer: None until it is there; waiting: who is to be told, None once they have been; to_be_kept: or only shared
    while it is made.
    """

    __slots__ = ("answer", "to_be_kept", "until_s", "waiting")

    def __init__(self, done: Told, until_s: float, to_be_kept: bool) -> None:
        self.waiting: list[Told] | None = [done]
        self.answer: SearchAnswer | None = None
        self.until_s, self.to_be_kept = until_s, to_be_kept

    @property
    def body_bytes(self) -> int:
        """Bytes of the answer, 0 until it is there."""
        return 0 if self.answer is None else len(self.answer.body)


class SearchCache:
    """See the head of the file."""

    def __init__(self, keep_s: float, clock: Callable[[], float]) -> None:
        """keep_s: 0 makes each answer anew."""
        self._keep_s, self._clock = keep_s, clock
        self._kept: OrderedDict[Any, _Kept] = OrderedDict()
        self._bytes = 0
        self._keep_from_s = -math.inf  # what is asked before isn't kept
        self._making: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly
        self.hit_count = self.miss_count = 0

    def ask(self, key: Any, begin: Begin, done: Told) -> None:
        """Tell `done` what is kept, at once; or what the work comes to that is under way, or that `begin` begins."""
        if not self._keep_s:
            begin(done)
            return
        now_s, kept = self._clock(), self._kept.get(key)
        if kept is not None and kept.until_s > now_s:
            self.hit_count += 1
            if kept.waiting is not None:
                kept.waiting.append(done)
            else:
                done(kept.answer, None)
            return
        self._drop(key)
        self.miss_count += 1
        kept = self._kept[key] = _Kept(done, now_s + self._keep_s, now_s >= self._keep_from_s)
        self._trim()
        settle = partial(self._settle, key, kept)
        try:
            begin(settle)
        except Exception as error:  # noqa: BLE001 - who waits must hear of it, and the next is to try anew
            settle(None, error)

    async def get(self, key: Any, make: Callable[[], Coroutine[Any, Any, SearchAnswer]]) -> SearchAnswer:
        """Return what is kept, or make it: in a task of its own, which goes on if whoever asked first is gone."""
        if not self._keep_s:
            return await make()
        answer: SearchAnswer = await answer_of(partial(self.ask, key, lambda done: self._make(make, done)))
        return answer

    def clear(self) -> None:
        """Forget everything. What is under way, or asked within KEEP_AGAIN_S, is answered and not kept."""
        self._kept.clear()
        self._bytes = 0
        self._keep_from_s = self._clock() + KEEP_AGAIN_S

    def check(self) -> None:
        """Assert the invariants: the bounds hold, the bytes are those of what is kept, which is under way or there."""
        assert self._bytes == sum(kept.body_bytes for kept in self._kept.values())
        assert len(self._kept) <= CACHE_ENTRIES_MAX
        assert self._bytes <= CACHE_BYTES_MAX
        assert all((kept.waiting is None) == (kept.answer is not None) for kept in self._kept.values())

    def _make(self, make: Callable[[], Coroutine[Any, Any, SearchAnswer]], done: Told) -> None:
        task = asyncio.get_running_loop().create_task(tell(make(), done))
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    def _settle(self, key: Any, kept: _Kept, answer: SearchAnswer | None, error: Exception | None) -> None:
        """Count an answer that has come, or forget one that won't; tell all who wait."""
        waiting, kept.waiting = kept.waiting, None
        if waiting is None:
            return
        if self._kept.get(key) is kept:  # else forgotten meanwhile
            if answer is None or not kept.to_be_kept or not answer.is_full or answer.shards.is_partial:
                self._drop(key)
            else:
                kept.answer = answer
                self._bytes += kept.body_bytes
                self._trim()
        for done in waiting:
            try:
                done(answer, error)
            except Exception:  # not the fault of the others
                logger.exception("what was to be done with a search's answer failed")

    def _trim(self) -> None:
        """Drop the oldest beyond the bounds; those under way among them are no longer shared with who comes now."""
        while len(self._kept) > CACHE_ENTRIES_MAX or self._bytes > CACHE_BYTES_MAX:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Any) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.body_bytes


async def tell(work: Coroutine[Any, Any, Any], done: Told) -> None:
    """Carry out some work and tell `done` how it ended."""
    try:
        outcome = await work
    except Exception as error:  # noqa: BLE001 - it is done's to judge
        done(None, error)
    except asyncio.CancelledError:
        done(None, OverloadedError("this worker ends", None, 1.0))
        raise
    else:
        done(outcome, None)


async def answer_of(begin: Begin) -> Any:
    """Begin some work and return what it tells, or raise it. Who is cancelled meanwhile is no longer told."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(outcome: Any, error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(outcome)
        else:
            future.set_exception(error)

    begin(settle)
    return await future
