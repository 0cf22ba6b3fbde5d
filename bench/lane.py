"""How fast is the lane itself? Server and client in two processes, 4 KB bodies.

    python -m bench.lane [--seconds 3] [--depth 32] [--tcp] [--client plain|cluster]

`bench lane` measures home reads of a real shard with the same client.

Prints p50 and p99 of one request at a time, and requests per second at the given depth. `--client cluster` measures
ClusterClient.call (routing, deadline) on top of the same lane.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from cluster.client import ClusterClient
from cluster.lane_client import LaneClient
from cluster.lane_server import LaneRequest, LaneServer
from cluster.shard_map import Replica, ShardMap

SECRET = bytes(32)
BODY = os.urandom(4096)
REQUEST_TIMEOUT_S = 5.0

Call = Callable[[], Awaitable[Any]]


def serve(path: str, ready: Any) -> None:
    """Run a server that answers everything with 4 KB, until killed."""

    def handler(request: LaneRequest) -> None:
        request.reply(BODY)

    async def main() -> None:
        server = LaneServer(handler, SECRET)
        await server.start_unix(path)
        ready.put(await server.start_tcp("127.0.0.1"))
        await asyncio.Event().wait()

    uvloop.run(main())


async def time_alone(call: Call, seconds: float) -> list[float]:
    """Return the duration of each call, one after the other, in microseconds."""
    samples, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await call()
        samples.append((time.perf_counter() - start) * 1e6)
    return samples


async def rate_at_depth(call: Call, seconds: float, depth: int) -> float:
    """Return calls per second with `depth` callers."""
    count, end = 0, time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call()
            count += 1

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(depth)))
    return count / (time.perf_counter() - start)


def request_in_turn(lane: LaneClient, op: str, arguments: Sequence[list[Any]]) -> Call:
    """Return a function that asks for the next of `arguments`, round and round."""
    endless = itertools.cycle(arguments)
    return lambda: lane.request(op, next(endless), REQUEST_TIMEOUT_S)


async def make_call(client: str, path: str, port: int, tcp: bool) -> Call:
    """Return a function that makes one request through the chosen client."""
    if client == "plain":
        lane = LaneClient(("127.0.0.1", port) if tcp else path, SECRET)
        await lane.connect()
        return request_in_turn(lane, "home", [[123, 0, 0, 0, 20]])
    replica = Replica("bench", 0, 0, "" if tcp else path, "127.0.0.1", port, "node", os.getpid(), True)
    shard_map = ShardMap.even("bench", 1, 1).with_replica(replica)

    async def fetch_map() -> Any:
        return shard_map.to_wire()

    cluster = ClusterClient(fetch_map, SECRET, "node")
    return lambda: cluster.account(123, "home", 0, 0, 0, 20)


async def measure(path: str, port: int, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    call = await make_call(arguments.client, path, port, arguments.tcp)
    await time_alone(call, 0.3)
    samples = await time_alone(call, arguments.seconds)
    p50, p99 = statistics.median(samples), statistics.quantiles(samples, n=100)[98]
    print(f"alone: p50 {p50:.1f} us, p99 {p99:.1f} us, {len(samples)} requests")
    print(f"depth {arguments.depth}: {await rate_at_depth(call, arguments.seconds, arguments.depth):,.0f} requests/s")


def main() -> None:
    """Parse the command line, start the server process, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--client", choices=("plain", "cluster"), default="plain")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lane.sock")
        ready: Any = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(path, ready), daemon=True)
        server.start()
        try:
            uvloop.run(measure(path, ready.get(timeout=20), arguments))
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
