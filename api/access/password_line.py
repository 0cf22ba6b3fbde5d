"""Who is next to have a password hashed: a bounded line in which nobody keeps others waiting but himself.

Rules of this file
- Addresses take turns, and so do the names that one address asks for. So a flood from one address waits behind itself:
  whoever comes from elsewhere is next when his turn comes, after one of each address that waits.
- Where the account has been logged in to from that address before goes first; of four turns one is for the others.
- The line is bounded. When it is full, who comes takes the place of the newest of the address that has the most in it,
  or of the name that has the most there, if that is more than his own will have; or, if he goes first, of anybody who
  doesn't. Whoever has too much in line is told 429; only where nobody has more than one, 503.
- Hashing runs on threads of the lowest priority (argon2 releases the GIL): it takes what requests and shards leave of
  the processor. Their own Python is microseconds, so that the event loop hardly ever waits for a thread that was put
  aside while it held the GIL.

Use from one event loop. Cost: 20 us a password, beside the hashing.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from actors.core.errors import OverloadedError, RateLimitedError, RookeryError

T = TypeVar("T")
NICENESS = 19  # of the hashing threads: a seventieth of the weight of an ordinary thread; 10 was felt by home reads
FIRSTS_IN_A_ROW = 3
_RETRY_AFTER_S = 1.0


class Asker(NamedTuple):
    """For whom a password is hashed: an address and the user name that it says; empty for nobody's."""

    address: str = ""
    name: str = ""
    goes_first: bool = False


class _Job(NamedTuple):
    asker: Asker
    work: Callable[[], Any]
    answer: asyncio.Future[Any]


class _Turns:
    """Those who wait, by address and name; the ones whose turn is next stand first."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[str, deque[_Job]]] = OrderedDict()
        self._counts: dict[str, int] = {}  # by address

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __iter__(self) -> Iterator[_Job]:
        return (job for names in self._lines.values() for jobs in names.values() for job in jobs)

    def count_of(self, address: str) -> int:
        """How many of an address wait."""
        return self._counts.get(address, 0)

    def fullest(self) -> str:
        """The address of which the most wait; of several the one whose turn is last. There must be one."""
        return max(reversed(self._lines), key=self._counts.__getitem__)

    def fullest_name(self, address: str) -> deque[_Job]:
        """As `fullest`, among the names of an address: those who wait for that name."""
        return max(reversed(self._lines[address].values()), key=len)

    def name_count(self, asker: Asker) -> int:
        """How many wait with the same address and name."""
        names = self._lines.get(asker.address)
        return 0 if names is None or asker.name not in names else len(names[asker.name])

    def add(self, job: _Job) -> None:
        """Let a job wait."""
        address, name, _ = job.asker
        self._lines.setdefault(address, OrderedDict()).setdefault(name, deque()).append(job)
        self._counts[address] = self.count_of(address) + 1

    def take(self) -> _Job:
        """Take out whoever is next. Somebody must wait."""
        address, names = next(iter(self._lines.items()))
        name, jobs = next(iter(names.items()))
        job = jobs[0]
        self._lines.move_to_end(address)
        names.move_to_end(name)
        self.remove(job)
        return job

    def remove(self, job: _Job) -> None:
        """Take a job out that waits."""
        address, name, _ = job.asker
        names = self._lines[address]
        names[name].remove(job)
        if not names[name]:
            del names[name]
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address], self._lines[address]

    def check(self) -> None:
        """Assert the invariants: nobody stands for nothing; counts are those of the lines."""
        assert self._lines.keys() == self._counts.keys()
        for address, names in self._lines.items():
            assert all(names.values())
            assert self._counts[address] == sum(map(len, names.values()))


class PasswordLine:
    """See the head of the file."""

    def __init__(self, threads: int, waiting_max: int) -> None:
        self._threads, self._waiting_max = threads, waiting_max
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_be_nice)
        self._turns = {True: _Turns(), False: _Turns()}  # of those who go first, and of the others
        self._firsts = 0  # turns in a row of those who go first
        self.waiting_count = self.running_count = 0

    async def run(self, asker: Asker, work: Callable[[], T]) -> T:
        """Return what `work` returns on a thread. Raises RateLimitedError or OverloadedError when there is no place."""
        if self.running_count >= self._threads and self.waiting_count >= self._waiting_max:
            self._make_room(asker)
        job = _Job(asker, work, asyncio.get_running_loop().create_future())
        self._turns[asker.goes_first].add(job)
        self.waiting_count += 1
        self._work_on()
        try:
            answer: T = await job.answer
            return answer
        except asyncio.CancelledError:
            if job in self._turns[asker.goes_first]:  # it had not begun, and needn't any more
                self._leave(job)
            raise

    def close(self) -> None:
        """Let running work end and start no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, asker: Asker) -> None:
        """Send somebody away who has more in line than who comes; raise what tells him if nobody has."""
        if not asker.address:
            raise _refusal(0)
        turns, others = self._turns[asker.goes_first], self._turns[False]
        own = turns.count_of(asker.address)
        if asker.goes_first and others:
            self._displace(others, others.fullest(), asker)
        elif turns and turns.count_of(turns.fullest()) > own + 1:
            self._displace(turns, turns.fullest(), asker)
        elif own and len(turns.fullest_name(asker.address)) > turns.name_count(asker) + 1:
            self._displace(turns, asker.address, asker)
        else:
            raise _refusal(self._count_of(asker.address))

    def _displace(self, turns: _Turns, address: str, asker: Asker) -> None:
        job = turns.fullest_name(address)[-1]
        self._leave(job)
        job.answer.set_exception(_refusal(self._count_of(address) + (address == asker.address)))

    def _count_of(self, address: str) -> int:
        return sum(turns.count_of(address) for turns in self._turns.values())

    def _leave(self, job: _Job) -> None:
        self._turns[job.asker.goes_first].remove(job)
        self.waiting_count -= 1

    def _work_on(self) -> None:
        while self.waiting_count and self.running_count < self._threads:
            job = self._next()
            self.waiting_count -= 1
            self.running_count += 1
            done = asyncio.get_running_loop().run_in_executor(self._pool, job.work)
            done.add_done_callback(lambda ended, job=job: self._ended(job, ended))  # type: ignore[misc]

    def _next(self) -> _Job:
        first, others = self._turns[True], self._turns[False]
        goes_first = bool(first) and (not others or self._firsts < FIRSTS_IN_A_ROW)
        self._firsts = self._firsts + 1 if goes_first else 0
        return (first if goes_first else others).take()

    def _ended(self, job: _Job, done: asyncio.Future[Any]) -> None:
        self.running_count -= 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if not job.answer.done():
            if error is not None:
                job.answer.set_exception(error)
            else:
                job.answer.set_result(done.result())
        self._work_on()

    def check(self) -> None:
        """Assert the invariants: counts are those of the line; everything is within its bound."""
        for turns in self._turns.values():
            turns.check()
        assert sum(map(len, self._turns.values())) == self.waiting_count <= self._waiting_max
        assert 0 <= self.running_count <= self._threads
        assert not self.waiting_count or self.running_count == self._threads


def _refusal(own: int) -> RookeryError:
    """Return what somebody is told who has no place. own: others of the same address that have one."""
    if own:
        reason = f"{own} passwords of this address are being checked already; try again when they are"
        return RateLimitedError(reason, None, _RETRY_AFTER_S)
    return OverloadedError("too many passwords are being checked; try again", None, _RETRY_AFTER_S)


def _be_nice() -> None:
    """Run this thread with a low priority, whatever the process has."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
