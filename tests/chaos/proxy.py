"""A TCP proxy between HTTP clients and the API that loses, delays and half-closes connections when told to.

Rules of this file
- It knows nothing of HTTP: it spoils bytes on their way. Which part of an exchange is hit follows from the direction.
- What a client sent before it gave up may still arrive, seconds later, as in a real network.

Modes
    delay        every piece waits for 0.05 to 1 s
    cut          every connection ends at once, new ones after their first piece
    cut_request  a part of the request goes through, then the connection ends: the API sees half a request
    cut_answer   the request goes through, a part of the answer comes back, then the connection ends
    half_close   the request goes through, then the client's side is closed while the answer is under way
    hold         nothing moves, either way
"""

from __future__ import annotations

import asyncio
import contextlib
import random

PIECE_BYTES = 65_536
DELAY_S = (0.05, 1.0)


class Proxy:
    """Listens on a free loopback port; `mode` is the present fault, empty for none."""

    def __init__(self, target_port: int, seed: int) -> None:
        self.port = 0
        self.mode = ""
        self._moving = asyncio.Event()
        self._moving.set()
        self.spoiled_count = 0  # connections that were cut or half-closed
        self._target_port, self._rng = target_port, random.Random(f"proxy:{seed}")
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        self._cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set_mode(self, mode: str) -> None:
        """Begin or end a fault."""
        self.mode = mode
        if mode == "hold":
            self._moving.clear()
        else:
            self._moving.set()
        if mode == "cut":
            self.spoiled_count += len(self._writers) // 2
            self._cut_all()

    def _cut_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError):
                back, there = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._writers.add(there)
                pumps = [
                    asyncio.create_task(self._pump(reader, there, True)),
                    asyncio.create_task(self._pump(back, writer, False)),
                ]
                _, waiting = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in waiting:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()
                    self._writers.discard(end)
            self._tasks.discard(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_request: bool) -> None:
        """Carry one direction until an end or a fault closes it; then the whole connection ends."""
        while piece := await source.read(PIECE_BYTES):
            await self._moving.wait()
            if self.mode == "delay":
                await asyncio.sleep(self._rng.uniform(*DELAY_S))
            mode = self.mode
            if mode == "cut" or mode == ("cut_request" if is_request else "cut_answer"):
                self.spoiled_count += 1
                sink.write(piece[: self._rng.randrange(len(piece))])
                with contextlib.suppress(OSError):
                    await sink.drain()
                return
            sink.write(piece)
            await sink.drain()
            if mode == "half_close" and is_request:
                self.spoiled_count += 1
                sink.write_eof()
                await asyncio.sleep(self._rng.uniform(*DELAY_S))  # the answer may come or not
                return
