"""How fast does one shard answer home reads? Decode, handle, page, reply: no HTTP and no Ray, beside bare Redis.

    python -m bench.shard [--accounts 2000] [--tweets 20000] [--depth 32] [--seconds 1] [--pairs 5] [--profile]

Prints the CPU time of a read inside one process (the transport throws bytes away, so no system calls), and the home
reads a second of a server process that one client keeps at that depth over a Unix socket; in turn with it, what Redis
answers the same client in home reads (LRANGE 20 + MGET 20 of the ids that the list holds, without waiting in between).
The client is a blocking socket with ready-made requests that only counts the bytes of the answers, so that it costs
little in Python too. `--profile` prints where the time goes instead.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import multiprocessing
import os
import pstats
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from actors.core import ids, limits
from actors.core.features import READS, WRITES
from actors.core.replica import Replica
from actors.metrics import ShardMetrics
from actors.shard_actor import ShardActor
from bench.dataset import Network, make_network
from bench.lane import KEYS, NAME, Job, LaneTarget, lane_requests, lane_socket
from bench.pairs import Spread, alternate
from bench.peer_redis import load_peer, redis_server
from cluster.lane.connection import LaneConnection
from cluster.lane.protocol import frame_page, pack
from cluster.lane.server import LaneServer

REQUESTS = 20_000  # made beforehand, then sent again and again
START_MS = 1_700_000_000_000
NO_ENTITIES = pack({"mentions": [], "hashtags": [], "urls": []})


class BareShard(ShardActor):
    """A shard actor without a disk, a clock, a lane of its own and peers: what is left answers reads."""

    def __init__(self, replica: Replica) -> None:
        self.replica, self.metrics = replica, ShardMetrics()
        self._reads, self._writes = frozenset(READS), frozenset(WRITES)


def make_replica(network: Network) -> Replica:
    """Return one shard that owns the whole network, everybody awake."""
    replica = Replica(0, [0] * ids.BUCKET_COUNT, limits.Tuning())
    for account in network.accounts.tolist():
        replica.write("register", [f"user{account}", account, "", "", None, []], START_MS)
        replica.command(["wake", account])
    for u, v in zip(np.array_split(network.followers, 40), np.array_split(network.followees, 40), strict=True):
        replica.write("follow_many", [u.tobytes(), v.tobytes()], START_MS)
    for number, (author, text) in enumerate(network.tweets):
        replica.write("post", [author, text, 0, 0, 0, NO_ENTITIES, [], [], None], START_MS + number)
    return replica


def lane_job(shard: BareShard, accounts: list[int]) -> Job:
    """Return home reads over the lane."""
    arguments = [[random.choice(accounts), 0, 0, 0, 20] for _ in range(REQUESTS)]
    bodies = (shard.replica.try_home(shard.replica.query(args)) for args in arguments)
    sizes = [len(_frame(number, body)) for number, body in enumerate(bodies, 1)]
    return Job(lane_requests("home", arguments), sizes)


def _frame(number: int, body: Any) -> bytes:
    parts = frame_page(number, body)
    return pack([number, 0, body]) if parts is None else b"".join(parts)


def redis_job(store: Any, accounts: list[int]) -> Job:
    """Return home reads as Redis answers them, of the same accounts."""
    requests, sizes = [], []
    for account in random.choices(accounts, k=REQUESTS // 10):
        tweet_ids = store.lrange(f"home:{account}", 0, 19)
        bodies = store.mget([b"tweet:" + t for t in tweet_ids])
        requests.append(
            _command(b"LRANGE", b"home:%d" % account, b"0", b"19")
            + _command(b"MGET", *(b"tweet:" + t for t in tweet_ids))
        )
        sizes.append(sum(len(b"*%d\r\n" % len(part)) + _bulk_bytes(part) for part in (tweet_ids, bodies)))
    return Job(requests, sizes)


def _bulk_bytes(values: list[bytes]) -> int:
    return sum(len(b"$%d\r\n" % len(v)) + len(v) + 2 for v in values)


def _command(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


# ---- in one process ---------------------------------------------------------------------------------------------


class NullTransport(asyncio.Transport):
    """Takes everything, keeps nothing."""

    def write(self, data: Any) -> None:
        """Throw bytes away."""

    def writelines(self, list_of_data: Any) -> None:
        """Throw bytes away."""

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Never."""
        return False


async def cpu_us(shard: BareShard, job: Job, depth: int, seconds: float) -> Spread:
    """Return CPU times of one read in this process, `depth` of them in each chunk from the peer."""
    server = LaneServer(shard.handle, KEYS, NAME)
    server.loop = asyncio.get_running_loop()
    connection = LaneConnection(server)
    connection.connection_made(NullTransport())
    chunks = [b"".join(job.requests[i : i + depth]) for i in range(0, len(job.requests), depth)]
    rounds, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        some = random.sample(chunks, 20)
        begin = time.process_time()
        for chunk in some:
            connection.data_received(chunk)
        rounds.append((time.process_time() - begin) / (20 * depth) * 1e6)
    return Spread.of(rounds)


# ---- over a socket ----------------------------------------------------------------------------------------------


def serve(shard: BareShard, path: str) -> None:
    """Answer until killed."""
    gc.freeze()

    async def main() -> None:
        server = LaneServer(shard.handle, KEYS, NAME)
        await server.start_unix(path)
        await asyncio.Event().wait()

    uvloop.run(main())


@contextmanager
def served(shard: BareShard, path: str) -> Iterator[socket.socket]:
    """Run the shard in a process of its own; yields an authenticated socket."""
    process = multiprocessing.get_context("fork").Process(target=serve, args=(shard, path), daemon=True)
    process.start()
    try:
        while not os.path.exists(path):
            time.sleep(0.01)
        with lane_socket(LaneTarget(path, KEYS, NAME)) as sock:
            yield sock
    finally:
        process.terminate()
        process.join()


def compare(shard: BareShard, network: Network, job: Job, options: argparse.Namespace) -> None:
    """Measure shard and Redis in turn, and print."""
    accounts = network.accounts.tolist()
    tweets = [(t, a, shard.replica.read("tweet", [t, 0])) for a in accounts for t in _own(shard.replica, a)]
    with (
        tempfile.TemporaryDirectory(prefix="rks-") as folder,
        served(shard, f"{folder}/lane.sock") as ours,
        redis_server(Path(folder, "redis")) as (path, store),
        socket.socket(socket.AF_UNIX) as theirs,
    ):
        load_peer(store, network, sorted(tweets))
        theirs.connect(path)
        other = redis_job(store, accounts)
        contestants: dict[str, Callable[[int], float]] = {
            "shard": lambda _: job.run(ours, options.depth, options.seconds),
            "Redis": lambda _: other.run(theirs, options.depth, options.seconds),
        }
        turns = alternate(contestants, options.pairs)
    for name in contestants:
        spread = turns.spread(name, float)
        print(f"{name}: {spread.median:,.0f} home reads/s ({spread.least:,.0f} to {spread.most:,.0f})")
    ratio = turns.ratio("shard", "Redis", float)
    print(f"ratio: {ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})")


def _own(replica: Replica, account: int) -> list[int]:
    log, row = replica.state.tweets.log, replica.state.people.row_of[account]
    return [int(t) for t in log.view(row)] if log.klass[row] >= 0 else []


def main() -> None:
    """Parse the command line, load, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--tweets", type=int, default=20_000)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    network = make_network(options.accounts, 75, options.tweets)
    shard = BareShard(make_replica(network))
    job = lane_job(shard, network.accounts.tolist())
    gc.collect()
    gc.freeze()
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(asyncio.run, cpu_us(shard, job, options.depth, options.seconds))
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    mean = sum(job.answer_bytes) / len(job.answer_bytes)
    cpu = asyncio.run(cpu_us(shard, job, options.depth, options.seconds))
    print(f"CPU of a read: {cpu.median:.2f} us ({cpu.least:.2f} to {cpu.most:.2f}); {mean:.0f} bytes")
    compare(shard, network, job, options)


if __name__ == "__main__":
    main()
