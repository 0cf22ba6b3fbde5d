"""Cuts and delays the lanes of replicas: a proxy takes the place of each replica's Unix socket.

    leader, router, API workers --connect by path--> lane.sock (ours) --> lane.sock.real (the replica's)

Rules of this file
- The product knows nothing of it, and no privileges are needed: whoever dials goes by the path, the replica's listening
  socket goes by its inode. A replica that restarts puts its own socket back; `watch` takes its place again.
- Bytes pass as they are or not at all: a lane is authenticated, and what a wrong byte does to it is tested elsewhere.
- Lanes that were dialled before a socket was taken aren't met: few go through here at first, after some restarts most.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

PIECE_BYTES = 1 << 16
LOOK_S = 0.02  # between looks for sockets of replicas that have restarted
DELAY_S = (0.05, 0.5)  # a follower that takes a second is put out of the in-sync set
REAL, OURS = ".real", ".ours"  # the replica's socket, and ours before it takes its place


class LaneProxy:
    """One replica's lanes. mode: `cut` ends all that there are, `hold` lets nothing pass, `delay` lets it pass late."""

    def __init__(self, path: Path, seed: int) -> None:
        self.mode = ""
        self.spoiled_count = 0
        self._path, self._real, self._ours = path, path.with_name(path.name + REAL), path.with_name(path.name + OURS)
        self._rng = random.Random(f"lanes:{seed}:{path}")
        self._inode = 0
        self._server: asyncio.Server | None = None
        self._moving = asyncio.Event()
        self._moving.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def take_place(self) -> None:
        """Listen in the replica's place, if its own socket is there."""
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return
        if inode == self._inode:
            return
        if self._server is not None:
            self._server.close()
        self._real.unlink(missing_ok=True)
        os.link(self._path, self._real)
        self._server = await asyncio.start_unix_server(self._serve, self._ours)
        self._inode = self._ours.stat().st_ino
        os.rename(self._ours, self._path)

    def set_mode(self, mode: str) -> None:
        """Begin or end a fault."""
        self.mode = mode
        if mode == "hold":
            self._moving.clear()
        else:
            self._moving.set()
        if mode == "cut":
            for writer in self._writers:
                self.spoiled_count += 1
                writer.transport.abort()

    async def close(self) -> None:
        """End every connection and give the replica its path back."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                os.rename(self._real, self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_unix_connection(self._real)
            self._writers |= {writer, there}
            pumps = [asyncio.create_task(self._pump(reader, there)), asyncio.create_task(self._pump(back, writer))]
            _, waiting = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in waiting:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:  # the replica is dead
            self.spoiled_count += bool(self.mode)
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)
            self._tasks.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(PIECE_BYTES):
            await self._moving.wait()
            if self.mode == "delay":
                await asyncio.sleep(self._rng.uniform(*DELAY_S))
            sink.write(piece)
            await sink.drain()


class LaneProxies:
    """The proxies of all replicas, by (shard, index)."""

    def __init__(self, folders: dict[tuple[int, int], Path], seed: int) -> None:
        self.of = {place: LaneProxy(folder / "lane.sock", seed) for place, folder in folders.items()}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take all places, and again those of replicas that restart."""
        await self._take_places()
        self._watching = asyncio.create_task(self._watch())

    async def _take_places(self) -> None:
        for proxy in self.of.values():
            await proxy.take_place()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._take_places()

    def heal(self) -> None:
        """End every fault."""
        for proxy in self.of.values():
            proxy.set_mode("")

    async def close(self) -> None:
        """Give all paths back."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for proxy in self.of.values():
            await proxy.close()
