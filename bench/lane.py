"""How fast is the lane itself? Server and client in two processes, 4 KB bodies.

    python -m bench.lane [--seconds 3] [--depth 32] [--tcp [--tls]] [--client plain|cluster]

`bench lane` measures home reads of a real shard with the same client.

Prints how long a new lane takes, p50 and p99 of one request at a time, and requests per second at the given depth.
`--client cluster` measures ClusterClient.call (routing, deadline) on top of the same lane. `--tls` encrypts it, as
between nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgpack
import uvloop

from bench.processes import BenchError
from cluster.client.cluster_client import ClusterClient
from cluster.lane.certificates import make_authority
from cluster.lane.client import Address, LaneClient
from cluster.lane.handshake import ClientHandshake, LaneKeys, Meant
from cluster.lane.protocol import REPLY_BODY, pack
from cluster.lane.server import LaneRequest, LaneServer
from cluster.placement.shard_map import ReplicaPlace, ShardMap, shard_actor_name

KEYS = LaneKeys(bytes(32))
NAME = shard_actor_name(0, 0)
BODY = os.urandom(4096)
REQUEST_TIMEOUT_S = 5.0

Call = Callable[[], Awaitable[Any]]


class LaneTarget(NamedTuple):
    """What a lane leads to."""

    address: Address
    keys: LaneKeys
    actor_name: str


def serve(path: str, keys: LaneKeys, ready: Any) -> None:
    """Run a server that answers everything with 4 KB, until killed."""

    def handler(request: LaneRequest) -> None:
        request.reply(BODY)

    async def main() -> None:
        server = LaneServer(handler, keys, NAME)
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


async def dial_once(address: Address, keys: LaneKeys) -> None:
    """Make a lane and close it."""
    lane = LaneClient(address, keys, NAME)
    await lane.connect()
    lane.close()


async def make_call(client: str, path: str, port: int, tcp: bool, keys: LaneKeys) -> Call:
    """Return a function that makes one request through the chosen client."""
    if client == "plain":
        lane = LaneClient(("127.0.0.1", port) if tcp else path, keys, NAME)
        await lane.connect()
        return request_in_turn(lane, "home", [[123, 0, 0, 0, 20]])
    replica = ReplicaPlace(NAME, 0, 0, "" if tcp else path, "127.0.0.1", port, "node", os.getpid(), True)
    shard_map = ShardMap.even("bench", 1, 1).with_replica(replica)

    async def fetch_map() -> Any:
        return shard_map.to_wire()

    cluster = ClusterClient(fetch_map, keys, "node")
    return lambda: cluster.account(123, "home", 0, 0, 0, 20)


async def measure(path: str, port: int, keys: LaneKeys, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    dials = await time_alone(lambda: dial_once(("127.0.0.1", port) if arguments.tcp else path, keys), 0.5)
    print(f"a new lane: p50 {statistics.median(dials) / 1000:.2f} ms")
    call = await make_call(arguments.client, path, port, arguments.tcp, keys)
    await time_alone(call, 0.3)
    samples = await time_alone(call, arguments.seconds)
    p50, p99 = statistics.median(samples), statistics.quantiles(samples, n=100)[98]
    print(f"alone: p50 {p50:.1f} us, p99 {p99:.1f} us, {len(samples)} requests")
    print(f"depth {arguments.depth}: {await rate_at_depth(call, arguments.seconds, arguments.depth):,.0f} requests/s")


# ---- a client that costs next to nothing ------------------------------------------------------------------------


@contextmanager
def lane_socket(target: LaneTarget) -> Iterator[socket.socket]:
    """Yield a blocking socket that a lane server has let in."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(target.address)
        handshake = ClientHandshake(target.keys.secret, Meant(target.actor_name, target.address))
        sock.sendall(handshake.hello)
        while not handshake.accepted:
            said = sock.recv(1 << 12)
            if not said:
                raise BenchError("the lane server has closed the connection")
            sock.sendall(handshake.receive(said))
        yield sock


def _answer(sock: socket.socket) -> tuple[Any, int]:
    """Return the only answer that is on its way, and its size in bytes."""
    unpacker, received = msgpack.Unpacker(), 0
    while True:
        data = sock.recv(1 << 20)
        if not data:
            raise BenchError("the lane server has closed the connection")
        received += len(data)
        unpacker.feed(data)
        for value in unpacker:
            return value, received


def lane_requests(op: str, arguments: Sequence[list[Any]]) -> list[bytes]:
    """Return ready-made requests, numbered from 1."""
    return [pack([number, op, args]) for number, args in enumerate(arguments, 1)]


class Job:
    """Ready-made requests, and how many bytes each is answered with: answers are counted by their bytes, not read.

    Good for any server that answers in order, the same each time. A few us a request, as little as a client in C.
    """

    def __init__(self, requests: list[bytes], answer_bytes: list[int]) -> None:
        self.requests, self.answer_bytes = requests, answer_bytes

    @classmethod
    def learn(cls, sock: socket.socket, requests: list[bytes]) -> Job:
        """Ask everything once, one by one, for the sizes. Raises BenchError if something is refused."""
        sizes = []
        for request in requests:
            sock.sendall(request)
            answer, size = _answer(sock)
            if answer[1] != REPLY_BODY:
                raise BenchError(f"the shard refuses {request!r}: {answer[2]}")
            sizes.append(size)
        return cls(requests, sizes)

    def run(self, sock: socket.socket, depth: int, seconds: float) -> float:
        """Return answers per second with `depth` requests under way at all times."""
        requests, sizes, count = self.requests, self.answer_bytes, len(self.requests)
        buffer = bytearray(1 << 20)
        at = answered = received = 0
        sock.sendall(b"".join(requests[:depth]))
        begin = time.perf_counter()
        end = begin + seconds
        while time.perf_counter() < end:
            received += sock.recv_into(buffer)
            first = at
            while received >= sizes[at % count]:
                received -= sizes[at % count]
                at += 1
            answered += at - first
            sock.sendall(b"".join([requests[(n + depth) % count] for n in range(first, at)]))
        rate = answered / (time.perf_counter() - begin)
        left = sum(sizes[n % count] for n in range(at, at + depth)) - received
        while left > 0:
            left -= sock.recv_into(buffer)
        return rate


def main() -> None:
    """Parse the command line, start the server process, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--tls", action="store_true", help="with --tcp")
    parser.add_argument("--client", choices=("plain", "cluster"), default="plain")
    arguments = parser.parse_args()
    if arguments.tls and not arguments.tcp:
        parser.error("--tls needs --tcp: a Unix socket is never encrypted")
    keys = LaneKeys(KEYS.secret, make_authority("bench")) if arguments.tls else KEYS
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lane.sock")
        ready: Any = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(path, keys, ready), daemon=True)
        server.start()
        try:
            uvloop.run(measure(path, ready.get(timeout=20), keys, arguments))
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
