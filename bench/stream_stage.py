"""What `stream` is measured on: an author with followers who are connected, on Rookery and on the peer.

Rules of this file
- Both send the same status: the peer's is a copy of what Rookery serves, with another id and text.
- Everything is written over HTTP by its author's token, on one connection that stays open, and timed around that.
"""

from __future__ import annotations

import http.client
import itertools
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from api.access.auth import make_token
from bench.peer_redis import START_TIMEOUT_S, redis_server
from bench.peer_streaming import STATUSES, STREAMING, load_streaming
from bench.processes import BenchError, accepts, free_port, python_module, running
from bench.rookery import RookeryCluster, edges_of, load_accounts, wake_all
from bench.scenarios import SHARDS, Options, Progress
from bench.streaming import sse_request, websocket_request
from cluster.client.connect import NamedActors, api_names
from cluster.ray_options import ROUTER_NAME
from commands.loading import BulkLoader

OURS, OURS_SSE, PEER = "Rookery", "Rookery, SSE", "uvicorn + Redis"
PATH: Final = f"{STREAMING}?stream=user"
WRITTEN_BEFORE: Final = 40  # statuses of the author: two pages of everybody's home
REQUEST_TIMEOUT_S: Final = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """One contestant's processes. workers: those that hold the streams; others: shards, or Redis."""

    name: str
    port: int
    workers: list[int]
    others: list[int]
    request: Callable[[str], bytes]  # for a stream of `user` by a token

    def beside(self, name: str, request: Callable[[str], bytes]) -> Server:
        """Return the same processes under another name, asked for streams in another way."""
        return Server(name, self.port, self.workers, self.others, request)


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer, and when its request was sent and it had come, in monotonic nanoseconds."""

    sent_ns: int
    answered_ns: int
    body: Any


class Writer:
    """Somebody who writes, on a connection that stays open."""

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, body: Any = None) -> Timed:
        """Send a request and wait for its answer. Raises BenchError for anything but success."""
        sent_ns = time.monotonic_ns()
        self._http.request(method, path, None if body is None else orjson.dumps(body), self._headers)
        reply = self._http.getresponse()
        answer = reply.read()
        answered_ns = time.monotonic_ns()
        if reply.status != 200:
            raise BenchError(f"{method} {path}: {reply.status} {answer[:300]!r}")
        return Timed(sent_ns, answered_ns, orjson.loads(answer))

    def post(self, text: str) -> Timed:
        """Post a status."""
        return self.ask("POST", STATUSES, {"status": text})

    def favourite(self, status_id: str) -> Timed:
        """Favourite a status."""
        return self.ask("POST", f"{STATUSES}/{status_id}/favourite", {})

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


@dataclass(frozen=True, slots=True)
class Stage:
    """author, fans: accounts; fans[:followers] follow the author. tokens: of all of them. rookery: the cluster."""

    author: int
    fans: list[int]
    followers: int
    tokens: dict[int, str]
    rookery: RookeryCluster
    servers: dict[str, Server]

    def requests(self, server: Server, count: int) -> list[bytes]:
        """Return requests for the streams of so many fans, those who follow first."""
        return [server.request(self.tokens[fan]) for fan in self.fans[:count]]

    @contextmanager
    def writer(self, server: Server, account: int) -> Iterator[Writer]:
        """Have an account write while the block runs."""
        made = Writer(server.port, self.tokens[account])
        try:
            yield made
        finally:
            made.close()


def new_text() -> str:
    """Return a text that nobody has posted; its last word is of this text alone."""
    return f"{'the morning train goes over the river and on to the harbour ' * 2}mark{next(_numbers):06d}x"


def marker_of(text: str) -> str:
    """Return what is in a status with that text once, and in no other."""
    return text.rpartition(" ")[2]


@contextmanager
def staged(
    options: Options, progress: Progress, workers: int, fans: int, followers: int, sets: Sequence[str] = ()
) -> Iterator[Stage]:
    """Start both contestants with so many workers and load them. fans: accounts beside the author; sets: of Rookery."""
    author, *others = range(options.first_account, options.first_account + 1 + fans)
    made = {account: make_token(account) for account in (author, *others)}
    tokens = {account: token for account, (token, _) in made.items()}
    sets = [*sets, *([] if workers == 1 else [f"cluster.workers={workers}"])]
    with ExitStack() as running_now:
        progress(f"starting Rookery with {workers} workers, and the peer")
        folder = options.folder / f"{workers}-workers"
        folder.mkdir(exist_ok=True)
        rookery = running_now.enter_context(options.cluster(SHARDS, sets, auth="token", folder=folder))
        progress(f"loading {fans:,} accounts, {followers:,} follows")

        async def load(loader: BulkLoader) -> tuple[list[int], list[int]]:
            await load_accounts(loader, [author, *others], made)
            follower_ids = np.array(others[:followers], dtype=np.int64)
            await loader.follows(edges_of(follower_ids, np.full_like(follower_ids, author)), lambda _: None)
            await wake_all(loader, others[:followers])
            return await pids_of(rookery.namespace)

        api, shards = rookery.with_loader(load)
        ours = Server(OURS, rookery.port, api, shards, lambda token: websocket_request(PATH, token))
        by_sse = ours.beside(OURS_SSE, lambda token: sse_request(f"{STREAMING}/user", token))
        stage = Stage(author, others, followers, tokens, rookery, {OURS: ours, OURS_SSE: by_sse})
        with stage.writer(ours, author) as writer:
            written = [writer.post(new_text()).body for _ in range(WRITTEN_BEFORE)]
        peer, store = running_now.enter_context(streaming_peer(folder, workers))
        load_streaming(store, written[-1], ((fan, author) for fan in others[:followers]), tokens)
        stage.servers[PEER] = peer
        yield stage


async def pids_of(namespace: str) -> tuple[list[int], list[int]]:
    """Return the processes of the cluster's API workers, and of its shards."""
    actors = NamedActors(namespace)
    workers = [int((await actors.call(name, "ping"))["pid"]) for name in api_names(namespace)]
    status = await actors.call(ROUTER_NAME, "status")
    return workers, [int(replica["pid"]) for replica in status["replicas"]]


@contextmanager
def streaming_peer(folder: Path, workers: int) -> Iterator[tuple[Server, Any]]:
    """Run the peer's workers over a Redis of their own; yields them with a client of that Redis."""
    with (
        redis_server(folder / "redis", "--appendonly", "yes", "--appendfsync", "everysec") as (path, store),
        ExitStack() as run,
    ):
        port, pids = free_port(), []
        command = python_module("bench.peer_streaming", "--port", port, "--redis", path)
        for number in range(workers):
            ready = subscribers_at_least(store, number + 1, port)
            process = run.enter_context(running(command, folder / f"peer-{number}.log", ready, START_TIMEOUT_S))
            pids.append(process.pid)
        redis_pid = int(store.info("server")["process_id"])
        yield Server(PEER, port, pids, [redis_pid], lambda token: websocket_request(PATH, token)), store


def subscribers_at_least(store: Any, count: int, port: int) -> Callable[[], bool]:
    """Return what says whether so many workers have subscribed and the port accepts."""

    def ready() -> bool:
        ((_, found),) = store.pubsub_numsub("events")
        return int(found) >= count and accepts(("127.0.0.1", port))

    return ready


def favourites_of(fans: Sequence[int], statuses: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield (fan, status), each fan once: whose name says which favourite it was."""
    yield from zip(fans, itertools.cycle(statuses))
