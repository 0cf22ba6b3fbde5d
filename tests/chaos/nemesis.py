"""Carries out the plan of faults.py on a running cluster, and undoes at the end what can be undone.

Rules of this file
- Faults that last overlap with those that come next; a second fault of the disk or the network waits for no first,
  it is left out and noted.
- Whatever happens, `heal` is called: nobody stays stopped, the disk is freed, the network and the clocks are right.
- A damaged journal takes the one copy that acknowledgements can spare: it is done only to a shard that is wholly in
  sync, and until it is so again, the shard's processes, lanes and disks are left alone.
- Nothing happens between the look whether a copy can be spared, its damage and its kill: its process stands still from
  before the look (copies.can_be_spared says why that is enough). A leader is let go as soon as another has been elected
  in its place. What a journal that goes bad under a running process leads to is tested in tests/ray_cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from actors.shard.places import shard_directory
from tests.chaos.availability import Availability, Kill
from tests.chaos.copies import can_be_spared, is_in_sync, is_whole, map_on_disk, promised_term
from tests.chaos.damage import flip_byte
from tests.chaos.disk import SmallDisk
from tests.chaos.faults import Fault
from tests.chaos.lanes import LaneProxies
from tests.chaos.processes import Processes, has_lived, stands_still
from tests.chaos.proxy import Proxy
from tests.chaos.skew.sitecustomize import OFFSET

REFILL_S = 0.05  # between looks whether somebody has freed a part of the full disk
CALM_S = 4.0  # without other harm before a copy may be damaged: the map still counts copies that have just died
SPARE_TIMEOUT_S = 6.0  # for a leader that stands still to be replaced: the router pings for 2.5 s, then elects
SPARE_POLL_S = 0.05
HEAL_TIMEOUT_S = 120.0  # for a damaged replica to be filled anew, other faults meanwhile
HEAL_POLL_S = 0.2
_LIVES = partial(has_lived, age_s=CALM_S)


@contextlib.contextmanager
def _halted(process: psutil.Process) -> Iterator[None]:
    """Stop a process while the block runs. It may end before."""
    try:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


class Nemesis:
    """One run's faults. data: the cluster's folder; disks: of the replicas, by index; disks, proxy, lanes, clocks:
    nothing if that kind isn't wanted.
    """

    def __init__(
        self, processes: Processes, data: Path, availability: Availability, proxy: Proxy | None,
        lanes: LaneProxies | None, disks: list[SmallDisk], clocks: Path | None,
    ) -> None:  # fmt: skip
        self._processes, self._data, self._availability = processes, data, availability
        self._proxy, self._lanes, self._disks, self._clocks = proxy, lanes, disks, clocks
        self._begin = time.monotonic()
        self._lasting: set[asyncio.Task[None]] = set()
        self._damages: set[asyncio.Task[None]] = set()
        self._stopped: set[psutil.Process] = set()
        self._disk_busy, self._disk_freed_at = False, -CALM_S
        self._healing: set[int] = set()  # shards with a damaged replica
        self.problems: list[str] = []
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
        """End every fault. A damaged replica is waited for."""
        for task in self._lasting - self._damages:
            task.cancel()
        await asyncio.gather(*(self._lasting - self._damages), return_exceptions=True)
        for process in list(self._stopped):
            self._go_on(process)
        if self._proxy is not None:
            self._proxy.set_mode("")
        if self._lanes is not None:
            self._lanes.heal()
        for disk in self._disks:
            disk.free()
        if self._clocks is not None:
            for file in self._clocks.iterdir():
                file.write_bytes(OFFSET.pack(0.0))
        await asyncio.gather(*self._damages)
        self._note("healed")

    def seconds_at(self, monotonic: float) -> float:
        """Return a moment as events name it."""
        return monotonic - self._begin

    def _note(self, what: str) -> None:
        self.events.append(f"{self.seconds_at(time.monotonic()):8.2f} s  {what}")

    def _begin_fault(self, fault: Fault) -> None:
        if fault.kind in ("net", "disk"):
            self._last(fault, self._spoil_net(fault) if fault.kind == "net" else self._fill_disk(fault))
            return
        victim, place = self._choose(fault)
        if victim is None:
            self._note(f"{fault.kind} {fault.role}: nobody there")
            return
        role, name = fault.role, f"{fault.role} {victim.pid}"
        if place is not None:
            role = "leader" if place in self._processes.leaders() else "follower"
            name = f"{role} of shard {place[0]}, replica {place[1]} ({victim.pid})"
        if fault.kind == "kill":
            self._kill(role, victim, place, name)
        elif fault.kind == "stop":
            self._last(fault, self._stop(role, fault.seconds, victim, name))
        elif fault.kind == "lanes":
            self._last(fault, self._spoil_lanes(fault, role, place, name))
        elif fault.kind == "damage":
            self._begin_damage(fault, role, victim, place, name)
        else:
            self._skew(fault, victim, name)

    def _choose(self, fault: Fault) -> tuple[psutil.Process | None, tuple[int, int] | None]:
        """Return the victim, and which replica it is, if it is one."""
        found = self._processes.find(fault.role)
        if fault.role != "shard":
            return (found[int(fault.draw * len(found))] if found else None), None
        leaders = self._processes.leaders()
        places = [(process, self._processes.replica_of(process)) for process in found]
        left = [
            (process, place) for process, place in places
            if (not self._healing if place is None else place[0] not in self._healing)
        ]  # fmt: skip
        chosen = [(process, place) for process, place in left if (place in leaders) == fault.leader] or left
        return chosen[int(fault.draw * len(chosen))] if chosen else (None, None)

    def _last(self, fault: Fault, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=fault.kind)
        self._lasting.add(task)
        return task

    def _kill(self, role: str, victim: psutil.Process, place: tuple[int, int] | None, name: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            self._availability.kills.append(Kill(role, time.monotonic(), None if place is None else place[0]))
            self.kill_count += 1
            self.counts[f"kill {role}"] += 1
            self._note(f"kill -9 {name}")

    async def _stop(self, role: str, seconds: float, victim: psutil.Process, name: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.suspend()
            self._stopped.add(victim)
            self.counts[f"stop {role}"] += 1
            self._note(f"SIGSTOP {name} for {seconds:.1f} s")
            await asyncio.sleep(seconds)
            self._go_on(victim)

    def _begin_damage(
        self, fault: Fault, role: str, victim: psutil.Process, place: tuple[int, int] | None, name: str
    ) -> None:
        """Set out to damage a replica's journal, if its shard is well."""
        if place is None or not self._is_calm(place[0]) or not is_whole(map_on_disk(self._data), place[0], _LIVES):
            self._note(f"damage {name}: left out, it may be one of too few copies")
            return
        self._healing.add(place[0])
        task = self._last(fault, self._damage(fault, role, victim, place, name))
        self._damages.add(task)
        task.add_done_callback(self._damages.discard)

    def _is_calm(self, shard: int) -> bool:
        """Whether no fault is under way, or has just ended, that harms a shard's copies."""
        spoiled = self._lanes is not None and any(lane.mode for at, lane in self._lanes.of.items() if at[0] == shard)
        full = self._disk_busy or time.monotonic() - self._disk_freed_at < CALM_S
        return not (spoiled or full or self._stopped)

    async def _damage(self, fault: Fault, role: str, victim: psutil.Process, place: tuple[int, int], name: str) -> None:
        """Stop a replica; once it can be spared, flip a bit in its journal, kill it, wait until it is in sync again."""
        shard, index = place
        begin = time.monotonic()
        try:
            with _halted(victim):
                if not await self._comes_to_be_spared(victim, place):
                    self._note(f"damage {name}: left out, it stood still and the others didn't go on without it")
                    return
                where = flip_byte(shard_directory(self._data, shard, index), fault.place)
                after_s = time.monotonic() - begin
                self._note(f"a bit of {name} is flipped, which stands still since {after_s:.2f} s: {where}")
                self.counts[f"damage {role}"] += 1
                self._kill("follower", victim, place, name)  # whatever it was: a leader is no copy to spare
            await self._comes_back_in_sync(victim, place, name)
        finally:
            self._healing.discard(shard)

    async def _comes_to_be_spared(self, victim: psutil.Process, place: tuple[int, int]) -> bool:
        """Wait until a process that was stopped stands still and its copy can be spared. No, if that takes long."""
        deadline = time.monotonic() + SPARE_TIMEOUT_S
        while time.monotonic() < deadline:
            if stands_still(victim) and self._is_spared(victim, place):
                return True
            await asyncio.sleep(SPARE_POLL_S)
        return False

    def _is_spared(self, victim: psutil.Process, place: tuple[int, int]) -> bool:
        shard_map = map_on_disk(self._data)
        if shard_map.replica(*place).pid != victim.pid:
            return False
        return can_be_spared(shard_map, *place, promised_term(self._data, *place), _LIVES)

    async def _comes_back_in_sync(self, victim: psutil.Process, place: tuple[int, int], name: str) -> None:
        shard, index = place
        deadline = time.monotonic() + HEAL_TIMEOUT_S
        while time.monotonic() < deadline:
            await asyncio.sleep(HEAL_POLL_S)
            shard_map = map_on_disk(self._data)
            if shard_map.replica(shard, index).pid != victim.pid and is_in_sync(shard_map, shard):
                self._note(f"replica {index} of shard {shard} is in sync again")
                return
        self.problems.append(f"damaged, {name} was not in sync again after {HEAL_TIMEOUT_S:.0f} s")

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

    async def _spoil_lanes(self, fault: Fault, role: str, place: tuple[int, int] | None, name: str) -> None:
        assert self._lanes is not None
        if place is None or self._lanes.of[place].mode:
            self._note(f"lanes {fault.mode} of {name}: not there, or spoiled already")
            return
        self.counts[f"lanes {fault.mode} {role}"] += 1
        self._note(f"lanes {fault.mode} for {fault.seconds:.1f} s: {name}")
        self._lanes.of[place].set_mode(fault.mode)
        await asyncio.sleep(fault.seconds)
        self._lanes.of[place].set_mode("")

    async def _fill_disk(self, fault: Fault) -> None:
        """Fill one replica's disk, or all. Not while a damaged copy is the one that can be spared."""
        if self._disk_busy or self._healing:
            self._note("disk: one is full already, or a copy is damaged")
            return
        turn = int(fault.draw * (len(self._disks) + 1))
        full = self._disks[turn : turn + 1] or self._disks
        which = "all disks are" if full is self._disks else f"the disk of the replicas {turn} is"
        self._disk_busy = True
        try:
            self.counts["disk"] += 1
            self._note(f"{which} full for {fault.seconds:.1f} s")
            until = time.monotonic() + fault.seconds
            while time.monotonic() < until:
                for disk in full:
                    disk.fill()
                await asyncio.sleep(REFILL_S)
        finally:
            for disk in full:
                disk.free()
            self._disk_busy, self._disk_freed_at = False, time.monotonic()
