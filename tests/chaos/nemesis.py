"""Carries out the plan of faults.py on a running cluster, and undoes at the end what can be undone.

Rules of this file
- Faults that last overlap with those that come next; a second fault of the disk or the network waits for no first,
  it is left out and noted.
- Whatever happens, `heal` is called: nobody stays stopped, the disk is freed, the network and the clocks are right.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.chaos.availability import Availability, Kill
from tests.chaos.disk import SmallDisk
from tests.chaos.faults import Fault
from tests.chaos.processes import Processes
from tests.chaos.proxy import Proxy
from tests.chaos.skew.sitecustomize import OFFSET

REFILL_S = 0.05  # between looks whether somebody has freed a part of the full disk


class Nemesis:
    """One run's faults. disk, proxy, clocks: None if that kind isn't wanted."""

    def __init__(
        self, processes: Processes, availability: Availability, proxy: Proxy | None, disk: SmallDisk | None,
        clocks: Path | None,
    ) -> None:  # fmt: skip
        self._processes, self._availability = processes, availability
        self._proxy, self._disk, self._clocks = proxy, disk, clocks
        self._begin = time.monotonic()
        self._lasting: set[asyncio.Task[None]] = set()
        self._stopped: set[psutil.Process] = set()
        self._disk_busy = False
        self.counts: Counter[str] = Counter()
        self.events: list[str] = []
        self.kill_count = 0

    async def run(self, plan: Iterator[Fault], is_over: Callable[[], bool]) -> None:
        """Carry out faults until is_over(), then heal."""
        try:
            for fault in plan:
                await asyncio.sleep(fault.after_s)
                if is_over():
                    break
                self._begin_fault(fault)
                for task in [task for task in self._lasting if task.done()]:
                    self._lasting.discard(task)
                    task.result()
                if is_over():
                    break
        finally:
            await self.heal()

    async def heal(self) -> None:
        """End every fault."""
        for task in self._lasting:
            task.cancel()
        await asyncio.gather(*self._lasting, return_exceptions=True)
        for process in list(self._stopped):
            self._go_on(process)
        if self._proxy is not None:
            self._proxy.set_mode("")
        if self._disk is not None:
            self._disk.free()
        if self._clocks is not None:
            for file in self._clocks.iterdir():
                file.write_bytes(OFFSET.pack(0.0))
        self._note("healed")

    def _note(self, what: str) -> None:
        self.events.append(f"{time.monotonic() - self._begin:8.2f} s  {what}")

    def _begin_fault(self, fault: Fault) -> None:
        if fault.kind in ("net", "disk"):
            self._last(fault, self._spoil_net(fault) if fault.kind == "net" else self._fill_disk(fault))
            return
        victims = self._processes.find(fault.role)
        if not victims:
            self._note(f"{fault.kind} {fault.role}: nobody there")
            return
        victim = victims[int(fault.draw * len(victims))]
        shard = self._processes.shard_of(victim.pid) if fault.role == "shard" else None
        name = f"{fault.role} {victim.pid}" if shard is None else f"shard {shard} ({victim.pid})"
        if fault.kind == "kill":
            self._kill(fault, victim, shard, name)
        elif fault.kind == "stop":
            self._last(fault, self._stop(fault, victim, name))
        else:
            self._skew(fault, victim, name)

    def _last(self, fault: Fault, work: object) -> None:
        self._lasting.add(asyncio.create_task(work))  # type: ignore[arg-type]

    def _kill(self, fault: Fault, victim: psutil.Process, shard: int | None, name: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            self._availability.kills.append(Kill(fault.role, time.monotonic(), shard))
            self.kill_count += 1
            self.counts[f"kill {fault.role}"] += 1
            self._note(f"kill -9 {name}")

    async def _stop(self, fault: Fault, victim: psutil.Process, name: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.suspend()
            self._stopped.add(victim)
            self.counts[f"stop {fault.role}"] += 1
            self._note(f"SIGSTOP {name} for {fault.seconds:.1f} s")
            await asyncio.sleep(fault.seconds)
            self._go_on(victim)

    def _go_on(self, process: psutil.Process) -> None:
        self._stopped.discard(process)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()

    def _skew(self, fault: Fault, victim: psutil.Process, name: str) -> None:
        assert self._clocks is not None
        file = self._clocks / str(victim.pid)
        if file.exists():
            file.write_bytes(OFFSET.pack(fault.skew_s))
            self.counts[f"clock {fault.role}"] += 1
            self._note(f"the clock of {name} is wrong by {fault.skew_s:+.0f} s")

    async def _spoil_net(self, fault: Fault) -> None:
        assert self._proxy is not None
        if self._proxy.mode:
            self._note(f"net {fault.mode}: another one is under way")
            return
        self.counts[f"net {fault.mode}"] += 1
        self._note(f"net {fault.mode} for {fault.seconds:.1f} s")
        self._proxy.set_mode(fault.mode)
        await asyncio.sleep(fault.seconds)
        self._proxy.set_mode("")

    async def _fill_disk(self, fault: Fault) -> None:
        assert self._disk is not None
        if self._disk_busy:
            self._note("disk: it is full already")
            return
        self._disk_busy = True
        try:
            self.counts["disk"] += 1
            self._note(f"the disk is full for {fault.seconds:.1f} s")
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until:
                self._disk.fill()
                await asyncio.sleep(REFILL_S)
        finally:
            self._disk.free()
            self._disk_busy = False
