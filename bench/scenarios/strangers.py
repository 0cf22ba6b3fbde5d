"""`strangers`: what honest clients notice of those who try to keep them from reading and writing.

A few clients read home timelines and post, so many times a second by the clock (`bench/honest.py`). First they are
alone; then each attack of `bench/strangers.py` goes on beside them, from one address that is the attacker's and from
many. Their p99 may be three times what it was alone, and none of their requests may fail. Then the same cluster on a
joined Ray, where shards listen at TCP ports, too, and strangers there.

There is nothing beside it: the peer has none of these defences.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import orjson

from actors.core.ids import bucket_of_account
from bench.dataset import Network, make_network
from bench.honest import KINDS, READS_PER_S, WRITES_PER_S, Noticed, be_honest
from bench.machine import busy_percent
from bench.pairs import Spread
from bench.processes import REPOSITORY, BenchError, accepts, end, free_port, python_module, running
from bench.results import Claim, Plot, Result, Row
from bench.rookery import RookeryCluster, get_home, load_network, rookery_cluster
from bench.scenarios import SHARDS, Options, Progress
from bench.strangers import ATTACKS, BEGUN
from cluster.client.connect import NamedActors
from cluster.ray_options import ROUTER_NAME
from commands.loading import BulkLoader

PLACES = ("one", "many")
QUICK = (("send a byte of a body", "many"), ("searches of as many prefixes as may be", "one"))
HUNG = "read an account"  # of a shard that hangs meanwhile
LANE_ATTACKS = ("hang up at once", "say nothing")
NODE = "127.0.0.2"  # Ray would put an outer address in the place of 127.0.0.1
RAY_START_S = 60.0
PERCENTS = (50, 99)
TIMES_QUIET_MAX = 3.0
BACK_S = 60.0  # until a shard that hung answers again
ISSUE = 15
# A handful of accounts, and one address, are all the honest ones.
RATES = [f"{who}_{kind}" for who in ("account", "address") for kind in ("reads_per_min", "reads_burst",
         "writes_per_min", "writes_burst")]  # fmt: skip
# A shard that hangs is to hang for a whole turn, and not to be started again.
SETS = ["limits.enabled=true", "cluster.hang_ms=600000", *(f"limits.{rate}=1000000" for rate in RATES)]
HONEST_ACCOUNTS = 20


@dataclass(frozen=True, slots=True)
class Scene:
    """A loaded cluster: honest accounts of one shard, an account of another one, and that one's process.

    attacked_port: the API's, or that of the honest accounts' shard's lane.
    """

    rookery: RookeryCluster
    network: Network
    honest: list[int]
    victim: int
    victim_pid: int
    attacked_port: int

    def quiet(self, seconds: float) -> Noticed:
        """Return what honest clients notice when nobody attacks."""
        return be_honest(self.rookery.port, self.network, self.honest, seconds)


@dataclass(frozen=True, slots=True)
class Turn:
    """Honest clients alone and beside an attack. came_of_it: what the attackers say, load: the machine's average."""

    quiet: Noticed
    beside: Noticed
    came_of_it: dict[str, object]
    load: float


def run(options: Options, progress: Progress) -> Result:
    """Carry out the scenario."""
    result = Result("strangers", {"quick": options.quick, "pairs": options.pairs, "seconds": options.seconds})
    accounts, followees, tweets = (200, 20, 2_000) if options.quick else (2_000, 50, 20_000)
    network = make_network(accounts, followees, tweets, first_account=options.first_account)
    cases = QUICK if options.quick else tuple((what, place) for what in ATTACKS for place in PLACES)
    plot = result.plot(Plot("p99", "Beside attacks: p99 of honest clients", "attack, by its number", "ms", y_log=True))
    busy = [busy_percent()]

    def attack(scene: Scene, what: str, place: str, where: str) -> None:
        turns = []
        for turn in range(options.pairs):
            progress(f"{what}, from {place}, {where}, turn {turn + 1}")
            busy.append(busy_percent())
            turns.append(take_turn(scene, what, place, options.seconds))
        add_turns(result, plot, f"{what}; {place}; {where}", turns)

    with options.cluster(SHARDS, SETS) as rookery:
        progress("loading")
        scene = rookery.with_loader(lambda loader: set_up(loader, rookery, network))
        scene.quiet(options.seconds)  # the first ones warm everything up
        for what, place in cases:
            attack(scene, what, place, "HTTP")
    if not options.quick:
        with joined_cluster(options, network) as scene:
            scene.quiet(options.seconds)
            for what in LANE_ATTACKS:
                for place in PLACES:
                    attack(scene, what, place, "lane")
    result.facts |= {
        "network": f"{accounts} accounts; {SHARDS} shards, 1 API worker, limits of a laptop",
        "honest clients": f"{READS_PER_S:.0f} reads and {WRITES_PER_S:.0f} posts a second, by the clock",
        "machine busy before a turn": f"{min(busy):.0f} to {max(busy):.0f} %",
    }
    return result


@contextlib.contextmanager
def joined_cluster(options: Options, network: Network) -> Iterator[Scene]:
    """Have a cluster on a Ray that it joins while the block runs: its shards have lanes at TCP ports."""
    folder, port = options.folder / "joined", free_port()
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--node-ip-address={NODE}",
               f"--port={port}", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder / 'ray'}",
               f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}",
               "--min-worker-port=0", "--max-worker-port=0"]  # fmt: skip
    sets = [*SETS, f"cluster.ray_address={NODE}:{port}", f"cluster.ray_node_ip={NODE}", "cluster.code_on_nodes=true"]
    environ = {"PYTHONPATH": str(REPOSITORY)}
    with (
        running(command, folder / "ray.log", lambda: accepts((NODE, port)), RAY_START_S, environ),
        rookery_cluster(folder, SHARDS, options.auth, sets) as rookery,
    ):
        yield rookery.with_loader(lambda loader: set_up(loader, rookery, network, True))


async def set_up(loader: BulkLoader, rookery: RookeryCluster, network: Network, at_lane: bool = False) -> Scene:
    """Load the network, and find out who lives where. at_lane: what is attacked is the honest accounts' shard."""
    await load_network(loader, network)
    shards = {int(account): loader.client.shard_of(bucket_of_account(int(account))) for account in network.accounts}
    honest = [account for account, shard in shards.items() if shard == 0][:HONEST_ACCOUNTS]
    victim = next(account for account, shard in shards.items() if shard == 1)
    status = await NamedActors(rookery.namespace).call(ROUTER_NAME, "status")
    pid = next(replica["pid"] for replica in status["replicas"] if replica["shard"] == 1 and replica["primary"])
    scene = Scene(rookery, network, honest, victim, pid, rookery.port)
    return replace(scene, attacked_port=loader.client.shard_map.primary_of(0).port) if at_lane else scene


def take_turn(scene: Scene, what: str, place: str, seconds: float) -> Turn:
    """Let honest clients be alone, and then beside an attack."""
    load, quiet = os.getloadavg()[0], scene.quiet(seconds)
    with hanging(scene) if what == HUNG else contextlib.nullcontext(), attacking(scene, what, place, seconds) as ended:
        beside = scene.quiet(seconds)
        came_of_it = ended()
    return Turn(quiet, beside, came_of_it, load)


@contextlib.contextmanager
def attacking(scene: Scene, what: str, place: str, seconds: float) -> Iterator[Callable[[], dict[str, object]]]:
    """Attack while the block runs, from when all attackers are there on; gives what waits for their own words."""
    command = python_module(
        "bench.strangers", "--port", scene.attacked_port, "--attack", what, "--from", place, "--account", scene.victim,
        "--seconds", seconds,
    )  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as strangers:
        assert strangers.stdout is not None
        try:
            if strangers.stdout.readline().strip() != BEGUN.encode():
                raise BenchError(f"{' '.join(command)} failed")
            yield lambda: orjson.loads(strangers.communicate()[0])
        finally:
            end(strangers)


@contextlib.contextmanager
def hanging(scene: Scene) -> Iterator[None]:
    """Have the other shard's process stand still while the block runs, and wait until it answers again."""
    os.kill(scene.victim_pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(scene.victim_pid, signal.SIGCONT)
    deadline_s = time.monotonic() + BACK_S
    with httpx.Client(timeout=BACK_S) as client:
        while True:
            try:
                get_home(client, scene.rookery.port, scene.victim, scene.network.tokens[scene.victim][0])
                return
            except BenchError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)


def add_turns(result: Result, plot: Plot, case: str, turns: list[Turn]) -> None:
    """Add rows, points and claims of one attack."""
    number = len(result.samples) + 1
    case = f"{number}. {case}"
    result.samples[case] = {
        "Rookery": [
            {"load": turn.load, "attackers": turn.came_of_it, "quiet": described(turn.quiet),
             "beside": described(turn.beside)}
            for turn in turns
        ]
    }  # fmt: skip
    for kind in KINDS:
        for percent in PERCENTS:
            quiet = [turn.quiet.percentile_ms(kind, percent) for turn in turns]
            beside = [turn.beside.percentile_ms(kind, percent) for turn in turns]
            times = Spread.of([during / alone for during, alone in zip(beside, quiet, strict=True)])
            figure = f"p{percent} of {kind}"
            result.rows += [
                Row(case, "Rookery", f"{figure}, quiet", "ms", Spread.of(quiet)),
                Row(case, "Rookery", f"{figure}, beside", "ms", Spread.of(beside), times),
            ]
        claim = f"{case}: p99 of {kind} to the quiet one"
        result.claims.append(Claim(claim, "at_most", TIMES_QUIET_MAX, times, ISSUE))  # of the last percentile
        plot.add("quiet", number, Spread.of(quiet), kind)
        plot.add("beside", number, Spread.of(beside), kind)
    for count, of in (("failed", Noticed.failed_count), ("were refused", Noticed.refused_count)):
        spread = Spread.of([float(of(turn.beside)) for turn in turns])
        result.claims.append(Claim(f"{case}: honest requests that {count}", "at_most", 0.0, spread, ISSUE))


def described(noticed: Noticed) -> dict[str, object]:
    """Return what honest clients saw, for the JSON."""
    return {
        kind: {
            "statuses": dict(noticed.statuses[kind]),
            **{f"p{percent}_ms": round(noticed.percentile_ms(kind, percent), 2) for percent in (50, 99, 100)},
        }
        for kind in KINDS
    }
