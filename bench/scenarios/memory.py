"""`memory`: bytes of an account, a follow, a light ring and a full one, measured twice; and of Redis's timelines.

A cluster of two shards is filled in phases, through its own write path (crowd.py): accounts; follows; every second
reader wakes; light rings of 15 entries; full rings of 800 to 880. After each phase, once the shards have tidied:

- *structures*: the shards' own figures (`edge_bytes`, `ring_bytes`, ...): blocks with their slack, waste, and records;
- *resident*: how much the shard processes' own memory (USS) has grown. It holds everything: Python objects, the
  allocator's and the checkpoint's buffers, tweets. If the structures' figures are to be believed, it explains them.

A ring's bytes are the growth of `ring_bytes` since nobody had a ring, plus its own record; the records of accounts
without rings count as theirs. That the rings are full is checked: the deliveries are as many as they should be, and
all timelines of a sample are read.

Redis holds the timelines of a sample of the same accounts, one kind after the other; a timeline's bytes are the
smaller of what MEMORY USAGE says and what used_memory grew by.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import crowd as network
from bench.crowd import LENGTH, ROUNDS_FULL, ROUNDS_LIGHT, Crowd, served_ids, timeline_of
from bench.machine import busy_percent
from bench.pairs import Spread
from bench.peer_redis import redis_server
from bench.processes import BenchError
from bench.redis_timelines import ENTRIES, IDS, KINDS, RedisBytes, timeline_bytes
from bench.results import Claim, Plot, Result, Row
from bench.rookery import RookeryCluster
from bench.scenarios import Options, Progress
from commands.checking import for_each
from commands.loading import BulkLoader

SIZES, SIZES_QUICK = (10_000, 100_000), (500, 1_000)
FOLLOWS, FOLLOWS_QUICK = 100, 20
LARGE_ACCOUNTS = 1_000_000  # from which on "10 GB or less" is a claim
LARGE_BYTES = 10 * 10**9
SHARDS = 2
REDIS_TIMELINES, REDIS_TIMELINES_QUICK = 2_000, 100
SEEN = 2_000  # accounts whose rings are read to see that they are full
SETTLE_POLL_S, SETTLE_POLL_QUICK_S = 1.2, 0.4  # shards tidy once a second
SETTLED_LOOKS = 2  # that see the same as the one before
SETTLE_TIMEOUT_S = 300.0
RESOLUTION_BYTES = 1_000_000  # a process that grows by less may have grown for any reason
STRUCTURES = ("edge_bytes", "ring_bytes", "tweet_bytes", "arrival_bytes")
OURS, RESIDENT = "Rookery", "Rookery, resident"
LIGHT, FULL = "light ring", "full ring"


@dataclass(frozen=True, slots=True)
class Look:
    """One shard after a phase. peak_rss: the most that its process ever had, 0 where the system doesn't say."""

    accounts: int
    edges: int
    awake: int
    structures: dict[str, int]
    rss: int
    uss: int
    peak_rss: int

    @property
    def structure_bytes(self) -> int:
        """Bytes of all structures that count their own."""
        return sum(self.structures.values())


Phases = dict[str, list[Look]]
"""The shards after each phase: start, accounts, follows, awake, light ring, full ring."""


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    sizes = (options.accounts,) if options.accounts else SIZES_QUICK if options.quick else SIZES
    result = Result("memory", {"quick": options.quick, "accounts": list(sizes)})
    plots = [
        result.plot(Plot(name, title, "accounts", "bytes", x_log=True, y_log=y_log))
        for name, title, y_log in (
            ("account", "Memory of an account that follows nobody", False),
            ("edge", "Memory of a follow, both directions", False),
            ("rings", "Memory of a home timeline", True),
        )
    ]
    busy = [busy_percent()]
    for accounts in sizes:
        follows = FOLLOWS_QUICK if options.quick else FOLLOWS
        crowd = Crowd(accounts, follows, first_id=options.first_account)
        progress(f"{accounts:,} accounts: starting Rookery and Redis")
        folder = options.folder / str(accounts)
        folder.mkdir()
        redis = redis_server(folder / "redis")
        with options.cluster(SHARDS, folder=folder) as cluster, redis as (_, store):
            report = lambda text, n=accounts: progress(f"{n:,} accounts: {text}")  # noqa: E731
            measured = Measured(crowd, cluster, report, options.quick)
            measured.fill()
            beside = measured.redis(store, REDIS_TIMELINES_QUICK if options.quick else REDIS_TIMELINES)
        _add(result, measured, beside, plots, accounts == max(sizes))
        busy.append(busy_percent())
    result.facts |= {
        "cluster": f"{SHARDS} shards; half of the readers awake",
        "machine busy between sizes": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


class Measured:
    """One cluster, filled and looked at."""

    def __init__(self, crowd: Crowd, cluster: RookeryCluster, progress: Progress, quick: bool) -> None:
        self.crowd, self.cluster, self.progress = crowd, cluster, progress
        self.poll_s = SETTLE_POLL_QUICK_S if quick else SETTLE_POLL_S
        self.phases: Phases = {}
        self.posted: dict[int, list[int]] = {}
        self.follows = self.compared = 0
        self.restless: list[str] = []

    def fill(self) -> None:
        """Go through all phases. Raises BenchError if the rings aren't what they should be."""
        self.cluster.with_loader(self._fill)

    async def _fill(self, loader: BulkLoader) -> None:
        crowd, progress = self.crowd, self.progress
        await self._look(loader, "start")
        await network.register(loader, crowd, progress)
        await self._look(loader, "accounts")
        self.follows = await network.follow(loader, crowd, progress)
        await self._look(loader, "follows")
        await network.wake(loader, crowd, progress)
        await self._look(loader, "awake")
        await network.write_rounds(loader, crowd, ROUNDS_LIGHT, self.posted, progress)
        await self._look(loader, LIGHT)
        await network.write_rounds(loader, crowd, ROUNDS_FULL - ROUNDS_LIGHT, self.posted, progress)
        await self._look(loader, FULL)
        progress("seeing that rings are full, comparing home timelines with their definition")
        await self._see_full(loader)
        self.compared = await network.check_definition(loader, crowd)

    async def _look(self, loader: BulkLoader, phase: str) -> None:
        """Wait until the shards have tidied, and note their figures."""
        self.progress(f"{phase}: waiting until shards have tidied")
        end, same, before = time.monotonic() + SETTLE_TIMEOUT_S, 0, None
        while same < SETTLED_LOOKS:
            statuses = await loader.wait_until_drained()
            figures = [(s["edge_bytes"], s["ring_bytes"], s["checkpoint_lag"]) for s in statuses]
            restless = figures != before or any(s["tidying"] for s in statuses)
            same, before = (0 if restless else same + 1), figures
            if time.monotonic() > end:
                self.restless.append(phase)
                break
            await asyncio.sleep(self.poll_s)
        self.phases[phase] = [look_at(status) for status in statuses]

    async def _see_full(self, loader: BulkLoader) -> None:
        """Raise BenchError unless rings of a sample serve the newest 800 tweets, and all awake accounts are awake."""
        awake = self.crowd.awake
        woken = sum(look.awake for look in self.phases[FULL]) - sum(look.awake for look in self.phases["start"])
        if woken != len(awake):
            raise BenchError(f"{len(awake)} accounts should be awake, the shards say {self.phases[FULL]}")

        async def see(account: int) -> None:
            served = await served_ids(loader, account)
            if len(served) != LENGTH or served[::-1] != [i for i, _ in timeline_of(self.crowd, self.posted, account)]:
                raise BenchError(f"the home timeline of {account} isn't full: {len(served)} entries")

        await for_each(awake[:: max(1, len(awake) // SEEN)], see)

    def redis(self, store: Any, count: int) -> dict[str, dict[str, RedisBytes]]:
        """Return kind -> ring -> bytes of the timelines of a sample of the same accounts."""
        awake = self.crowd.awake
        full = [timeline_of(self.crowd, self.posted, a) for a in awake[:: max(1, len(awake) // count)][:count]]
        light = [timeline[-ROUNDS_LIGHT * network.AUTHORS :] for timeline in full]
        found: dict[str, dict[str, RedisBytes]] = {}
        for kind in KINDS:
            self.progress(f"{kind}, {len(full)} timelines")
            found[kind] = {ring: timeline_bytes(store, kind, some) for ring, some in ((LIGHT, light), (FULL, full))}
        return found

    # ---- quotients, shard by shard ----------------------------------------------------------------------------

    def growth(self, since: str, until: str, what: Callable[[Look], float], per: Callable[[Look], int]) -> Spread:
        """Return what each shard grew by between two phases, divided by the things that came since the start."""
        looks = zip(self.phases["start"], self.phases[since], self.phases[until], strict=True)
        return Spread.of([(what(b) - what(a)) / (per(b) - per(start)) for start, a, b in looks])

    def resident(self, since: str, until: str, per: Callable[[Look], int]) -> Spread | None:
        """Return the same of the processes' own memory, None if it grew by too little to say anything."""
        pairs = zip(self.phases[since], self.phases[until], strict=True)
        if any(b.uss - a.uss < RESOLUTION_BYTES for a, b in pairs):
            return None
        return self.growth(since, until, lambda look: look.uss, per)

    def ring(self, phase: str) -> Spread:
        """Return bytes of a ring: the growth since nobody had one, and its record."""
        record = self.growth("start", "accounts", _rings, lambda look: look.accounts).median
        grown = self.growth("accounts", phase, _rings, lambda look: look.awake)
        return Spread(grown.median + record, grown.least + record, grown.most + record)

    @property
    def rss(self) -> dict[str, int]:
        """The shards' resident memory together, by phase."""
        return {phase: sum(look.rss for look in looks) for phase, looks in self.phases.items()}


def _rings(look: Look) -> int:
    return look.structures["ring_bytes"]


def look_at(status: dict[str, Any]) -> Look:
    """Return a shard's figures and those of its process."""
    memory = psutil.Process(int(status["pid"])).memory_full_info()
    return Look(
        int(status["accounts"]), int(status["edges"]), int(status["awake"]),
        {name: int(status[name]) for name in STRUCTURES}, memory.rss, memory.uss, peak_rss_bytes(int(status["pid"])),
    )  # fmt: skip


def peak_rss_bytes(pid: int) -> int:
    """Return the most resident memory that a process ever had; 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _add(
    result: Result, measured: Measured, beside: dict[str, dict[str, RedisBytes]], plots: list[Plot], largest: bool
) -> None:  # fmt: skip
    """Add rows, points, facts and (of the largest size) claims."""
    accounts, phases = measured.crowd.accounts, measured.phases
    case = f"{accounts:,} accounts"
    by_account, by_edge, by_awake = (lambda s: s.accounts), (lambda s: s.edges), (lambda s: s.awake)
    things: list[tuple[Plot, str, Spread, Spread | None]] = [
        (plots[0], "account", measured.growth("start", "accounts", lambda s: s.structure_bytes, by_account),
         measured.resident("start", "accounts", by_account)),
        (plots[1], "follow", measured.growth("accounts", "follows", lambda s: s.structures["edge_bytes"], by_edge),
         measured.resident("accounts", "follows", by_edge)),
        (plots[2], LIGHT, measured.ring(LIGHT), measured.resident("follows", LIGHT, by_awake)),
        (plots[2], FULL, measured.ring(FULL), measured.resident("follows", FULL, by_awake)),
    ]  # fmt: skip
    for plot, thing, structures, resident in things:
        figure = thing if plot is plots[2] else ""
        for name, value in ((OURS, structures), (RESIDENT, resident)):
            if value is not None:
                result.rows.append(Row(case, name, thing, "B", value))
                plot.add(name, accounts, value, figure)
    for kind, rings in beside.items():
        for ring, found in rings.items():
            ours = measured.ring(ring)
            ratio = Spread(*(value / found.least for value in (ours.median, ours.least, ours.most)))
            value = Spread.of([found.usage.median, found.used])
            result.rows.append(Row(case, kind, ring, "B", value, ratio))
            plots[2].add(kind, accounts, value, ring)
            if ring == FULL and largest and kind in (ENTRIES, IDS):
                target = 0.25 if kind == ENTRIES else 0.45
                result.claims.append(Claim(f"bytes of a full ring, to {kind}", "at_most", target, ratio, 3))
    if largest:
        result.claims += [
            Claim(f"bytes of a full ring, {case}", "at_most", 3_600, measured.ring(FULL), 3),
            Claim(f"bytes of a light ring (15 entries), {case}", "at_most", 200, measured.ring(LIGHT), 3),
        ]
    most = max(measured.rss.values())
    if accounts >= LARGE_ACCOUNTS:
        held = Spread.of([most])
        result.claims.append(Claim(f"bytes of all shard processes, {case}", "at_most", LARGE_BYTES, held, 3))
    every, full = measured.growth("start", FULL, lambda s: s.structure_bytes, by_account), phases[FULL]
    result.rows.append(Row(case, OURS, "everything, per account", "B", every))
    whole = Spread.of([look.rss / look.accounts for look in full])
    result.rows.append(Row(case, RESIDENT, "whole process, per account", "B", whole))
    result.samples[case] = {phase: [asdict(look) for look in looks] for phase, looks in phases.items()}
    result.facts[case] = (
        f"{measured.follows:,} follows, {sum(look.awake for look in full):,} rings, "
        f"{sum(map(len, measured.posted.values())):,} tweets; shard processes {_megabytes(measured.rss['start'])} "
        f"empty, {_megabytes(most)} after the largest phase, "
        f"{_megabytes(sum(look.peak_rss for look in full))} at their peaks; "
        f"{measured.compared} home timelines compared with their definition, no differences"
    )
    if measured.restless:
        result.facts[f"{case}, still tidying"] = f"after {SETTLE_TIMEOUT_S:.0f} s: {', '.join(measured.restless)}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
