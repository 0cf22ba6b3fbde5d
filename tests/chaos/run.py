"""One chaos run: a real cluster, clients, a nemesis; then the comparison of everything with what was acknowledged.

    clients --(proxy)--> API workers --> shards        nemesis: kills, stops, skews, fills, spoils
       |                                                  |
       v                                                  v
    ledger ----------------> verify.py <-------------- healed and drained

Rules of this file
- The cluster has a folder, a port and a Ray of its own, and is taken down whatever happens.
- Of several replicas, each index has a disk of its own: replica 1 of both shards on one, replica 2 on another.
- What is found wrong is returned, never raised: a run that found something keeps its folder, and says how to repeat it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from actors.core.ids import bucket_of_account
from actors.shard.places import shard_directory
from bench.processes import REPOSITORY, tail_of
from cluster.placement.shard_map import even_buckets
from commands.checking import Outcome as Found
from commands.http_api import HttpApi
from tests.chaos import verify
from tests.chaos.availability import Availability
from tests.chaos.clients import Client, LoopWatch, ReadProbe
from tests.chaos.copies import compare_copies, digests_on_disk
from tests.chaos.disk import SmallDisk, small_disk
from tests.chaos.faults import KINDS, OF_REPLICAS, ROLES, plan
from tests.chaos.lanes import LaneProxies
from tests.chaos.ledger import Ledger, Register
from tests.chaos.nemesis import Nemesis
from tests.chaos.processes import Processes
from tests.chaos.proxy import Proxy
from tests.serving import COMMAND_TIMEOUT_S, PATIENT, ServedCluster

SHARDS = 2  # what ServedCluster serves
TIMELINE_LENGTH = 300  # short enough that rings overflow within a run
SETTINGS = (
    f"timeline.length={TIMELINE_LENGTH}", "timeline.pull_threshold=20", "storage.segment_records_max=500",
    "checkpoint.interval_s=3",
)  # fmt: skip
BEGIN_FOLLOWS = 10  # of each account; the popular ones cross the pull threshold during a run
PROBE = {"post": 1}  # one client a shard does nothing else, so that gaps between writes are measured finely
PROBE_PAUSE_S = 0.05
CALM_S = 5.0  # of load without faults at the end: what a gap of the last kill ends with
RETURN_TIMEOUT_S = 180.0  # a shard whose constructor failed again and again is tried every 30 s
LATE_REQUEST_S = 6.0  # requests that nobody waits for end with the API's deadline of 5 s
RESTART_COUNT = 5  # kills of an empty actor
SKEW_FOLDER = Path(__file__).with_name("skew")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line takes. kills: 0 for a run of `minutes`, else until so many kills were done."""

    seed: int = 0
    minutes: float = 5.0
    kills: int = 0
    kinds: tuple[str, ...] = KINDS
    processes: tuple[str, ...] = ROLES
    replicas: int = 1
    workers: int = 2
    spares: int = 1
    clients: int = 8
    accounts: int = 40
    pace: float = 1.0

    def command(self) -> str:
        """Return the command that repeats this run, as far as the seed decides it."""
        length = f"--kills {self.kills}" if self.kills else f"--minutes {self.minutes:g}"
        return (
            f"python -m tests.chaos --seed {self.seed} {length} --kinds {','.join(self.kinds)} "
            f"--processes {','.join(self.processes)} --replicas {self.replicas} --workers {self.workers} "
            f"--spares {self.spares} --clients {self.clients} --accounts {self.accounts} --pace {self.pace:g}"
        )


@dataclass(slots=True)
class Report:
    """What a run did and found. Empty `problems`: everything acknowledged is there, once, and timelines are right."""

    command: str
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    unknown_share: float = 0.0
    figures: dict[str, int] = field(default_factory=dict)
    availability: dict[str, Any] = field(default_factory=dict)
    unavailable_reads: list[str] = field(default_factory=list)
    empty_restarts_s: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def run(options: Options) -> Report:
    """Carry out a run."""
    report = Report(options.command())
    folder = Path(tempfile.mkdtemp(prefix="rk-chaos-"))
    with _disks(folder, options, report) as disks:
        clocks = folder / "clocks"
        environ: dict[str, str] = {}
        if "clock" in options.kinds:
            clocks.mkdir()
            environ = {"PYTHONPATH": str(SKEW_FOLDER), "ROOKERY_CHAOS_CLOCKS": str(clocks)}
        cluster_sets = {"workers": options.workers, "replicas": options.replicas, "spares": options.spares}
        sets = [*SETTINGS, *(f"cluster.{name}={value}" for name, value in cluster_sets.items())]
        if options.replicas > 1:
            sets.append("durability.ack=replica")
            if "damage" in options.kinds:  # a replica stands still until it can be spared, and nobody brings it back
                sets.append(PATIENT)
        else:
            report.left_out += [f"{kind}: there is a single copy" for kind in OF_REPLICAS if kind in options.kinds]
        cluster = ServedCluster(folder / "data", *sets, environ=environ)
        _put_replicas_on(disks, cluster.data)
        found = Found()
        try:
            cluster.start()
            whole = _Run(options, cluster, disks, clocks if environ else None, report)
            asyncio.run(whole.carry_out(found))
            _compare_with_the_stopped(cluster, options.replicas, found)
        except AssertionError as error:  # a command of the cluster's, or its start, failed
            found.add([str(error)])
        finally:
            cluster.end()
            report.problems, report.problem_count = found.problems, found.problem_count
            if found.problem_count:
                _keep(cluster, disks, report)
    if not found.problem_count:
        shutil.rmtree(folder)
    return report


@contextmanager
def _disks(folder: Path, options: Options, report: Report) -> Iterator[list[SmallDisk]]:
    """Mount a small disk for each index of replicas, if it can be done and is wanted."""
    with contextlib.ExitStack() as mounts:
        disks: list[SmallDisk] = []
        for index in range(options.replicas if "disk" in options.kinds else 0):
            disk = mounts.enter_context(small_disk(folder / f"disk-{index}"))
            if isinstance(disk, str):
                report.left_out.append(f"disk: a small disk can't be mounted here ({disk}); this needs root")
                break
            disks.append(disk)
        yield disks


def _put_replicas_on(disks: list[SmallDisk], data: Path) -> None:
    """Make a replica's folder a link to one on its disk."""
    for index, disk in enumerate(disks):
        for shard in range(SHARDS):
            link, folder = shard_directory(data, shard, index), disk.folder / f"shard-{shard:02d}"
            folder.mkdir()
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(folder)


def _keep(cluster: ServedCluster, disks: list[SmallDisk], report: Report) -> None:
    """Take the shards' files off the small disks, and say where everything is."""
    if disks:
        for link in cluster.data.glob("shard-*"):
            folder = link.resolve()
            link.unlink()
            shutil.copytree(folder, link, ignore=shutil.ignore_patterns("*.sock"))
    report.kept += [f"data folder: {cluster.data}", f"log of serve: {cluster.log}"]


class _Run:
    """The part of a run during which the cluster serves."""

    def __init__(
        self, options: Options, cluster: ServedCluster, disks: list[SmallDisk], clocks: Path | None, report: Report
    ) -> None:
        assert cluster.process is not None
        self._options, self._cluster, self._report = options, cluster, report
        self._disks, self._clocks = disks, clocks
        self._processes = Processes(cluster.process.pid, cluster.data)
        self._ledger, self._availability = Ledger(), Availability()
        self._loop_watch = LoopWatch()
        self._proxy = Proxy(cluster.port, options.seed) if "net" in options.kinds else None
        places = list(itertools.product(range(SHARDS), range(options.replicas)))
        folders = {place: shard_directory(cluster.data, *place) for place in places}
        spoils_lanes = "lanes" in options.kinds and options.replicas > 1
        self._lanes = LaneProxies(folders, options.seed) if spoils_lanes else None
        self._url = f"http://127.0.0.1:{cluster.port}"
        report.kept.append(f"logs of the actors: {self._processes.log_folder()}")

    async def carry_out(self, found: Found) -> None:
        """Load, harm, heal, compare."""
        begin = time.monotonic()
        if self._proxy is not None:
            await self._proxy.start()
        if self._lanes is not None:
            await self._lanes.start()
        accounts = await self._register()
        clients, probes = self._make_clients(accounts)
        nemesis = Nemesis(
            self._processes, self._cluster.data, self._availability, self._proxy, self._lanes, self._disks,
            self._clocks,
        )  # fmt: skip
        try:
            await asyncio.gather(*(client.begin(BEGIN_FOLLOWS) for client in clients))
            async with asyncio.TaskGroup() as group:
                for client in (*clients, *probes):
                    group.create_task(client.run())
                await self._harm(nemesis)
                if not await self._comes_back():
                    found.add([f"the cluster was not back {RETURN_TIMEOUT_S:.0f} s after the last fault"])
                await asyncio.gather(asyncio.sleep(CALM_S), self._time_empty_restarts())
                for client in (*clients, *probes):
                    client.stop()
        finally:
            if self._proxy is not None:
                await self._proxy.close()
            if self._lanes is not None:
                await self._lanes.close()
            self._fill_report(nemesis, time.monotonic() - begin)
        await asyncio.sleep(LATE_REQUEST_S)
        found.add(self._ledger.problems)
        found.add(nemesis.problems)
        await self._compare(accounts, found)

    async def _register(self) -> list[int]:
        async with httpx.AsyncClient(base_url=self._url, timeout=60.0) as http:
            answers = [
                await http.post("/api/v1/users", json={"username": f"user_{n}", "password": "long enough"})
                for n in range(self._options.accounts + SHARDS * 4)
            ]
        accounts = [int(answer.json()["user_id"]) for answer in answers]
        for account in accounts:
            self._ledger.names[account] = Register({""})
        return accounts

    def _make_clients(self, accounts: list[int]) -> tuple[list[Client], list[Client | ReadProbe | LoopWatch]]:
        """Return the clients, every second of them behind the proxy, and what only posts or reads, for each shard."""
        options, buckets = self._options, even_buckets(SHARDS)
        of_probes: list[int] = []
        for shard in range(SHARDS):
            of_probes.append(next(a for a in accounts if buckets[bucket_of_account(a)] == shard))
        others = [a for a in accounts if a not in of_probes]

        def make(number: int, mine: list[int], direct: bool, **more: Any) -> Client:
            port = self._cluster.port if direct or self._proxy is None else self._proxy.port
            availability = self._availability if direct else None
            return Client(number, port, mine, others, SHARDS, self._ledger, availability, options.seed, **more)

        clients = [
            make(n, others[n :: options.clients], self._proxy is None or n % 2 == 0) for n in range(options.clients)
        ]
        probes: list[Client | ReadProbe | LoopWatch] = [self._loop_watch]
        for shard, account in enumerate(of_probes):
            probes.append(make(options.clients + shard, [account], True, weights=PROBE, pause_s=PROBE_PAUSE_S))
            theirs = [a for a in others if buckets[bucket_of_account(a)] == shard]
            probes.append(ReadProbe(self._cluster.port, shard, theirs, self._availability))
        return clients, probes

    async def _harm(self, nemesis: Nemesis) -> None:
        options = self._options
        cannot = set() if options.replicas > 1 else set(OF_REPLICAS)
        cannot |= set() if self._disks else {"disk"}
        kinds = [kind for kind in options.kinds if kind not in cannot]
        deadline = time.monotonic() + options.minutes * 60

        def is_over() -> bool:
            return nemesis.kill_count >= options.kills if options.kills else time.monotonic() > deadline

        await nemesis.run(plan(options.seed, kinds, options.processes, options.pace), is_over)

    async def _time_empty_restarts(self) -> None:
        """Time Ray's restarts of an empty actor, under the same load; only for runs that measure gaps."""
        if not self._options.kills:
            return
        measure = [sys.executable, "-m", "tests.chaos.ray_restarts", str(self._cluster.data), str(RESTART_COUNT)]
        done = await asyncio.to_thread(
            subprocess.run, measure, capture_output=True, cwd=REPOSITORY, timeout=COMMAND_TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        self._report.empty_restarts_s = [round(s, 3) for s in json.loads(done.stdout)]

    async def _comes_back(self) -> bool:
        """Wait until every bucket is served again."""
        deadline = time.monotonic() + RETURN_TIMEOUT_S
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self._is_ready):
                return True
            await asyncio.sleep(0.5)
        return False

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self._url}/readyz", timeout=5) as answer:
            return answer.status == 200
        return False

    def _fill_report(self, nemesis: Nemesis, seconds: float) -> None:
        report, ledger = self._report, self._ledger
        report.seconds = round(seconds, 1)
        report.faults, report.events = dict(sorted(nemesis.counts.items())), nemesis.events
        report.outcomes, report.statuses = dict(sorted(ledger.outcomes.items())), dict(sorted(ledger.statuses.items()))
        report.unknown_share = round(ledger.unknown_share(), 5)
        report.availability = self._availability.report()
        report.unavailable_reads = [
            f"{nemesis.seconds_at(r.begin):.2f} s: shard {r.shard}, {r.end - r.begin:.2f} s, repeats {r.repeats}, "
            f"the client itself late by {self._loop_watch.longest_s(r.begin, r.end):.2f} s  {r.why}"
            for r in self._availability.unavailable_reads()
        ]
        if self._proxy is not None:
            report.figures["connections_spoiled"] = self._proxy.spoiled_count
        if self._lanes is not None:
            report.figures["lanes_spoiled"] = sum(proxy.spoiled_count for proxy in self._lanes.of.values())

    async def _compare(self, accounts: list[int], found: Found) -> None:
        """Compare the drained cluster with the ledger and the definition."""
        checked = await asyncio.to_thread(self._cluster.run, "check", "--oracle", "--http", statuses=(0, 1))
        found.add(f"check: {problem}" for problem in checked["problems"])
        api = HttpApi(self._url)
        served = await asyncio.to_thread(verify.read_all, api, accounts)
        verify.compare(self._ledger, served, found)
        await asyncio.to_thread(verify.check_deleted, api, self._ledger, found)
        await verify.check_timelines(self._url, verify.facts_of(self._ledger, served), TIMELINE_LENGTH, found)
        copies = await compare_copies(self._cluster.data, found)
        self._report.figures |= found.figures | {
            "copies": copies, "tweets": len(served.tweets), "follows": sum(map(len, served.follows.values())),
        }  # fmt: skip


def _compare_with_the_stopped(cluster: ServedCluster, replicas: int, found: Found) -> None:
    """Stop the cluster and recover it from its files once more: it must hold the same."""
    running = cluster.run("check", statuses=(0, 1))["digests"]
    cluster.stop()
    stopped = cluster.run("check", "--oracle", statuses=(0, 1))
    found.add(f"check of the stopped cluster: {problem}" for problem in stopped["problems"])
    if stopped["digests"] != running:
        found.add([f"running it had the digests {running}, stopped it has {stopped['digests']}"])
    on_disk = digests_on_disk(cluster.data, SHARDS, replicas)
    found.add(f"stopped, the copies of a shard differ: {digests}" for digests in on_disk if len(set(digests)) > 1)


def log_tail(report: Report) -> str:
    """Return the end of the log of a failed run."""
    logs = [Path(line.split(": ", 1)[1]) for line in report.kept if line.startswith("log of serve")]
    return tail_of(logs[0]) if logs else ""
