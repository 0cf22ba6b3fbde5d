"""Who is next to have a password hashed: a bounded line that no single address can fill.

Rules of this file
- An address has ADDRESS_PLACES places, those at work included, and one name of it half of them: who sends more at once
  is told 429 and waits by itself. Addresses take turns, whoever has more in line.
- Where the account has been logged in to from that address before goes first; of four turns one is for the others.
- When the line is full, who comes takes the place of the newest in line of the address that has the most there, or, if
  it goes first, of one that doesn't. That one is told 503. If nobody has more, the one who comes is.
- Hashing runs on a few threads (argon2 releases the GIL) with low priority: it takes what requests and shards leave of
  the processor. Their own Python is microseconds, so that the event loop hardly ever waits for a thread that was put
  aside while it held the GIL.

Use from one event loop. Cost: 20 us a password, beside the hashing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from actors.core.errors import OverloadedError, RateLimitedError

T = TypeVar("T")
ADDRESS_PLACES, NAME_PLACES = 4, 2
NICENESS = 10  # of the hashing threads, above the worker's own: a tenth of the weight of an ordinary thread
FIRSTS_IN_A_ROW = 3
_RETRY_AFTER_S = 1.0


class Asker(NamedTuple):
    """For whom a password is hashed. address: "" for nobody's, which has no places of its own."""

    address: str = ""
    name: str = ""
    goes_first: bool = False


class _Job:
    __slots__ = ("answer", "asker", "work")

    def __init__(self, asker: Asker, work: Callable[[], Any], answer: asyncio.Future[Any]) -> None:
        self.asker, self.work, self.answer = asker, work, answer


Line = OrderedDict[str, deque[_Job]]  # by address, whose turn is next first


class PasswordLine:
    """See the head of the file."""

    def __init__(self, threads: int, waiting_max: int, bounds_addresses: bool = True) -> None:
        self._threads, self._waiting_max, self._bounds_addresses = threads, waiting_max, bounds_addresses
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_be_nice)
        self._lines: dict[bool, Line] = {True: OrderedDict(), False: OrderedDict()}
        self._places: Counter[Any] = Counter()  # taken, by address, and by address and name
        self._firsts = 0  # turns in a row of those who go first
        self.waiting_count = self.running_count = 0

    async def run(self, asker: Asker, work: Callable[[], T]) -> T:
        """Return what `work` returns on a thread. Raises RateLimitedError or OverloadedError when there is no place."""
        self._require_place(asker)
        if self.running_count >= self._threads and self.waiting_count >= self._waiting_max:
            self._make_room(asker)
        job = _Job(asker, work, asyncio.get_running_loop().create_future())
        self._lines[asker.goes_first].setdefault(asker.address, deque()).append(job)
        self.waiting_count += 1
        self._count(asker, 1)
        self._work_on()
        try:
            answer: T = await job.answer
            return answer
        finally:
            if not job.answer.done() or job.answer.cancelled():  # whoever asked has given up
                self._leave(job)

    def close(self) -> None:
        """Let running work end and start no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _require_place(self, asker: Asker) -> None:
        if not self._bounds_addresses:
            return
        for key, places in ((asker.address, ADDRESS_PLACES), (asker[:2], NAME_PLACES)):
            if self._places[key] >= places:
                reason = "passwords of this address are being checked already; try again when they are"
                raise RateLimitedError(reason, None, _RETRY_AFTER_S)

    def _make_room(self, asker: Asker) -> None:
        """Send the newest of the address away that has the most in line; OverloadedError if that is nobody else."""
        line = self._lines[False]
        address, most = max(((a, len(jobs)) for a, jobs in line.items()), key=lambda pair: pair[1], default=("", 0))
        if not most or (not asker.goes_first and most <= len(line.get(asker.address, ())) + 1):
            raise OverloadedError("too many passwords are being checked; try again", None, _RETRY_AFTER_S)
        job = line[address][-1]
        self._leave(job)
        job.answer.set_exception(OverloadedError("others wait for fewer passwords; try again", None, _RETRY_AFTER_S))

    def _count(self, asker: Asker, step: int) -> None:
        if not asker.address:
            return
        for key in (asker.address, asker[:2]):
            self._places[key] += step
            if not self._places[key]:
                del self._places[key]

    def _leave(self, job: _Job) -> None:
        """Take a job out of the line, if it is there still."""
        line = self._lines[job.asker.goes_first]
        jobs = line.get(job.asker.address, deque())
        with contextlib.suppress(ValueError):
            jobs.remove(job)
            self.waiting_count -= 1
            self._count(job.asker, -1)
        if not jobs:
            line.pop(job.asker.address, None)

    def _work_on(self) -> None:
        while self.waiting_count and self.running_count < self._threads:
            job = self._next()
            self.waiting_count -= 1
            self.running_count += 1
            done = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            done.add_done_callback(lambda ended, job=job: self._ended(job, ended))  # type: ignore[misc]

    def _next(self) -> _Job:
        first, others = self._lines[True], self._lines[False]
        goes_first = bool(first) and (not others or self._firsts < FIRSTS_IN_A_ROW)
        self._firsts = self._firsts + 1 if goes_first else 0
        line = first if goes_first else others
        address, jobs = next(iter(line.items()))
        job = jobs.popleft()
        line.move_to_end(address)
        if not jobs:
            del line[address]
        return job

    def _ended(self, job: _Job, done: asyncio.Future[Any]) -> None:
        self.running_count -= 1
        self._count(job.asker, -1)
        if not job.answer.done():
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            if error is not None:
                job.answer.set_exception(error)
            else:
                job.answer.set_result(done.result())
        elif not done.cancelled():
            done.exception()  # nobody waits for it any more
        self._work_on()

    def check(self) -> None:
        """Assert the invariants: counts are those of the line; everything is within its bound."""
        jobs = [job for line in self._lines.values() for of_address in line.values() for job in of_address]
        assert all(of_address for line in self._lines.values() for of_address in line.values())
        assert len(jobs) == self.waiting_count <= self._waiting_max
        assert 0 <= self.running_count <= self._threads
        for key, count in self._places.items():
            places = ADDRESS_PLACES if isinstance(key, str) else NAME_PLACES
            assert 0 < count <= (places if self._bounds_addresses else self._waiting_max + self._threads)


def _be_nice() -> None:
    """Run this thread with a lower priority than the process; never a higher one."""
    lowered = min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), lowered)
