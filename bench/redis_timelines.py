"""Home timelines in Redis as they are commonly kept, to measure their memory and how fast a Redis comes back with them.

- *17-byte entries*: a list of tweet id (8), author id (8) and a byte of flags, in binary;
- *ids*: a list of tweet ids, which Redis keeps as 64-bit integers;
- *sorted set*: score and member are the id. (A score has 53 bits: a real one would need another scheme for its ids.
  Its memory is the same.)

Redis's defaults throughout: lists in 8 KB nodes, no compression; nothing else is stored beside a timeline.
"""

from __future__ import annotations

import signal
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.pairs import Spread
from bench.peer_redis import Batches
from bench.processes import BenchError, end, tail_of

Timeline = Sequence[tuple[int, int]]
"""(tweet id, author), ascending."""

ENTRIES, IDS, SORTED = "Redis, list of 17-byte entries", "Redis, list of ids", "Redis, sorted set"
SAMPLED = 100  # keys asked for their memory
READY_POLL_S = 0.002
START_TIMEOUT_S = 600.0


def entries_command(key: str, timeline: Timeline) -> list[Any]:
    """Return what makes a list of 17-byte entries, newest first."""
    return ["RPUSH", key, *(struct.pack(">qqB", tweet_id, author, 0) for tweet_id, author in reversed(timeline))]


def ids_command(key: str, timeline: Timeline) -> list[Any]:
    """Return what makes a list of ids, newest first."""
    return ["RPUSH", key, *(tweet_id for tweet_id, _ in reversed(timeline))]


def sorted_command(key: str, timeline: Timeline) -> list[Any]:
    """Return what makes a sorted set."""
    return ["ZADD", key, *(part for tweet_id, _ in timeline for part in (tweet_id, tweet_id))]


KINDS: dict[str, Callable[[str, Timeline], list[Any]]] = {
    ENTRIES: entries_command, IDS: ids_command, SORTED: sorted_command,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RedisBytes:
    """Bytes of a timeline. usage: of the sampled keys, as MEMORY USAGE says; used: growth of used_memory, per key."""

    usage: Spread
    used: float

    @property
    def least(self) -> float:
        """The smaller of the two: the one that is worse for whoever claims to need less."""
        return min(self.usage.median, self.used)


def timeline_bytes(store: Any, kind: str, timelines: Sequence[Timeline]) -> RedisBytes:
    """Fill an emptied Redis with those timelines and return what each takes."""
    store.flushall()
    before = int(store.info("memory")["used_memory"])
    batch = Batches(store)
    for number, timeline in enumerate(timelines):
        batch.add(*KINDS[kind](f"home:{number}", timeline))
    batch.flush()
    used = (int(store.info("memory")["used_memory"]) - before) / len(timelines)
    step = max(1, len(timelines) // SAMPLED)
    sampled = [store.memory_usage(f"home:{number}", samples=0) for number in range(0, len(timelines), step)]
    return RedisBytes(Spread.of(sampled), used)


class SavedRedis:
    """A redis-server that is saved to an RDB file, killed and started again. `close` ends it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.path = folder, str(folder / "redis.sock")
        self.store = redis.Redis(unix_socket_path=self.path)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, key: str) -> float:
        """Start it; returns the seconds until it has answered PING and an LRANGE of `key`, its data loaded."""
        begin = time.perf_counter()
        with (self.folder / "redis.log").open("wb") as log:
            command = ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", str(self.folder)]
            command += ["--save", ""]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while not self._answers(key):
            if self.process.poll() is not None or time.perf_counter() - begin > START_TIMEOUT_S:
                raise BenchError(f"redis-server doesn't serve:\n{tail_of(self.folder / 'redis.log')}")
            time.sleep(READY_POLL_S)
        return time.perf_counter() - begin

    def _answers(self, key: str) -> bool:
        try:
            self.store.ping()
            self.store.lrange(key, 0, -1)
        except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
            return False
        return True

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def close(self) -> None:
        """End it for good."""
        self.store.close()
        if self.process is not None:
            end(self.process)
