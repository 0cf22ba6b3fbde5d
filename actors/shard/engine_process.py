"""The process of a search engine, seen from its shard: how it is started, reached, asked, and ended.

Rules of this file
- It is a child: it ends with this process, on the end of its standard input.
- Whether it lives, its heartbeat says, and nothing else: what hangs is ended by a watchdog (life/watchdog.py). An
  engine that is asked for more than it can answer is slow, and lives. Only where nobody watches does its silence count.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from actors.search.documents import ENGINE_NAME, SOCKET
from cluster.lane.client import LaneClient
from cluster.lane.handshake import LaneKeys
from cluster.life.heartbeat import beats_of, slot_for_child

FEED_TIMEOUT_S = 60.0  # a feed may wait for a merge of segments; longer, if the engine lives
FEED_MAX_S = 600.0  # its heart beats, and yet it takes nothing in: it is started again
START_TIMEOUT_S = 60.0  # of an engine: opening an index of some GB takes seconds
SEARCH_SUFFIX = "-search"  # of the engine's name, as `status` shows it
REPOSITORY = Path(__file__).resolve().parents[2]


class EngineProcess:
    """One engine after the other, in one folder. commit_ms: how long what it is fed may wait for the index's commit."""

    def __init__(self, directory: Path, commit_ms: int) -> None:
        self.directory, self.commit_ms = directory, commit_ms
        self.start_count = 0
        self.pid = 0  # of the last one

    @asynccontextmanager
    async def started(self, is_nice: bool) -> AsyncIterator[LaneClient]:
        """Have an engine, and a lane to it, while the block runs. is_nice: it goes behind its shard from the start.

        Raises OSError or TimeoutError if it doesn't come up.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_bytes(32)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "actors.search", cwd=REPOSITORY, stdin=asyncio.subprocess.PIPE
        )
        self.start_count += 1
        self.pid = process.pid
        lane: LaneClient | None = None
        try:
            assert process.stdin is not None
            given = {
                "directory": str(self.directory), "secret": secret.hex(), "commit_ms": self.commit_ms,
                "heartbeat": slot_for_child(SEARCH_SUFFIX), "nice": is_nice,
            }  # fmt: skip
            process.stdin.write(json.dumps(given).encode() + b"\n")
            lane = await self._connect(process, secret)
            if slot_for_child(SEARCH_SUFFIX):
                lane.stall_timeout_s = math.inf
            yield lane
        finally:
            if lane is not None:
                lane.close()
            await _end(process)

    async def _connect(self, process: asyncio.subprocess.Process, secret: bytes) -> LaneClient:
        path = self.directory / SOCKET
        path.unlink(missing_ok=True)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if process.returncode is not None:
                raise OSError(f"the search engine ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the search engine didn't start within {START_TIMEOUT_S} s")
            await asyncio.sleep(0.02)
            if path.exists():
                lane = LaneClient(str(path), LaneKeys(secret), ENGINE_NAME)
                await lane.connect()
                return lane

    async def ask(self, lane: LaneClient, op: str, args: list[Any]) -> Any:
        """Ask the engine what isn't a search, and wait for it as long as it lives.

        Without a heartbeat that could be looked at: for FEED_TIMEOUT_S. Raises RookeryError, LaneDisconnected, or
        TimeoutError once its heart stands still.
        """
        reply, beats = asyncio.ensure_future(lane.request(op, args, FEED_MAX_S)), self.beats()
        try:
            while not (await asyncio.wait([reply], timeout=FEED_TIMEOUT_S))[0]:
                before, beats = beats, self.beats()
                if beats == before:
                    raise TimeoutError(f"the search engine's heart stands still, and it doesn't answer {op}")
            return reply.result()
        finally:
            reply.cancel()

    def beats(self) -> int:
        """Return how often the engine's heart has beaten, -1 where nobody counts."""
        slot = slot_for_child(SEARCH_SUFFIX)
        return beats_of(Path(slot[0]), slot[1], self.pid) if slot else -1


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the engine's standard input, on which it ends; kill it if it doesn't."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(10.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
