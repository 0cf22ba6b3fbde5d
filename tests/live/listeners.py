"""Clients of streams for soaks: server-sent events and WebSockets, with cursors and without, awake, asleep, stalled.

Rules of this file
- Each listener writes one `Record` (model.py), and draws no conclusions.
- Who keeps cursors sleeps at random: hangs up for a while and resumes, or leaves the connection and reads nothing. Told
  `recovered: false` it reads its timeline and notifications anew, as far as the moment when it was told; once more at
  the end, since what was on its way then may have come to the timelines later. It has its old cursor until it hears of
  something else, and doesn't sleep before: else it would be told the same again, and again.
- Who keeps none stays awake; a connection that the other side ends is made anew at once.
- What is refused for good (401) ends a listener, all else is tried again.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import websockets.asyncio.client
import websockets.exceptions

from tests.live.model import FOREVER, Connection, Heard, Record
from tests.live.people import AGAIN, PATIENCE_S

AWAKE_S, ASLEEP_S, STALLED_S = (0.5, 3.0), (0.1, 2.0), (0.3, 1.5)
STALL_SHARE = 0.3  # of the times that somebody falls asleep
RETRY_S = 0.2
CONNECT_TIMEOUT_S = 10.0
MARGIN_MS = 120_000  # how much older than the newest that it knows a listener reads anew
PAGE = 40
Event = tuple[str, str, str]  # event, data, cursor
_TIMELINES = {"user": "timelines/home", "public": "timelines/public"}


class Revoked(Exception):
    """The stream was refused with 401."""


class Listener:
    """One client. Runs as a task until `stop`; `stay_awake` lets it sleep no more."""

    def __init__(self, port: int, token: str, record: Record, over_websocket: bool, seed: int) -> None:
        self.record = record
        self._port, self._token, self._over_websocket = port, token, over_websocket
        self._dice = random.Random(seed)
        self._cursor = ""
        self._read_to_ms = 0
        self._reads_on = False  # was told to read anew, and of nothing since
        self._is_awake = asyncio.Event()
        self._stopping = False

    # ---- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen until told to stop, or until the token is refused."""
        while not self._stopping:
            connection = None
            try:
                async with self._open() as events:
                    connection = Connection(time.monotonic(), resumed=bool(self._cursor))
                    self.record.connections.append(connection)
                    await self._listen(connection, events)
            except Revoked:
                return
            except (OSError, httpx.HTTPError, websockets.exceptions.WebSocketException, TimeoutError):
                await asyncio.sleep(RETRY_S)
            finally:
                if connection is not None and not self._stopping:
                    connection.closed = time.monotonic()
            if connection is not None and self.record.keeps_cursors and not self._is_awake.is_set():
                await asyncio.sleep(self._dice.uniform(*ASLEEP_S))

    def stay_awake(self) -> None:
        """Sleep no more."""
        self._is_awake.set()

    def stop(self) -> None:
        """Have the run end with what it reads next."""
        self._stopping = True

    async def _listen(self, connection: Connection, events: AsyncIterator[Event]) -> None:
        """Write down what comes, until the connection ends or it is time to sleep."""
        until = asyncio.get_running_loop().time() + self._dice.uniform(*AWAKE_S)
        while True:
            may_sleep = self.record.keeps_cursors and self._cursor and not self._is_awake.is_set()
            if may_sleep and not self._reads_on and asyncio.get_running_loop().time() >= until:
                if self._dice.random() >= STALL_SHARE:
                    return
                await asyncio.sleep(self._dice.uniform(*STALLED_S))  # as a laptop: the connection stays, nobody reads
                until = asyncio.get_running_loop().time() + self._dice.uniform(*AWAKE_S)
            event = await anext(events, None)
            if event is None:
                return
            await self._note(connection, *event)

    async def _note(self, connection: Connection, event: str, data: str, cursor: str) -> None:
        if cursor and self.record.keeps_cursors:
            self._cursor, self._reads_on = cursor, False
        now = time.monotonic()
        connection.heard.append(Heard(now, event, subject_of(event, data), cursor))
        if event == "recovered":
            self.record.recovered.append(now)
            self._reads_on = True
            self._read_to_ms = time.time_ns() // 1_000_000
            await self.read_anew()

    # ---- reading anew -----------------------------------------------------------------------------------------------

    async def read_anew(self) -> None:
        """Read what there was when it was last told to: statuses, and notifications of `user`."""
        if not self._read_to_ms:
            return
        base, headers = f"http://127.0.0.1:{self._port}/api/v1/", {"Authorization": f"Bearer {self._token}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=CONNECT_TIMEOUT_S) as http:
            kind, _, name = self.record.topic.partition(":")
            path = _TIMELINES.get(kind, f"timelines/tag/{name}")
            for status in await self._newer(http, path):
                if int(status["id"]) >> 16 <= self._read_to_ms:
                    self.record.read.add(status["id"])
            if self.record.topic == "user":
                rows = await self._newer(http, "notifications")
                self.record.read.update(subject_of("notification", json.dumps(row)) for row in rows)

    async def _newer(self, http: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
        """Return what a timeline has beyond what was heard some minutes ago, page by page."""
        known = [heard.subject for each in self.record.connections for heard in each.heard if heard.event == "update"]
        newest = max(map(int, (*known, *(each for each in self.record.read if each.isdigit()))), default=0)
        min_id = max(0, (newest >> 16) - MARGIN_MS) << 16
        found: list[dict[str, Any]] = []
        while True:
            page = await _ask(http, path, {"min_id": str(min_id), "limit": str(PAGE)})
            if not page:
                return found
            found += page
            min_id = max(int(row["id"]) for row in page)

    # ---- protocols --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[AsyncIterator[Event]]:
        opened = self._open_websocket() if self._over_websocket else self._open_sse()
        async with opened as events:
            yield events

    @asynccontextmanager
    async def _open_sse(self) -> AsyncIterator[AsyncIterator[Event]]:
        kind, _, name = self.record.topic.partition(":")
        url = f"http://127.0.0.1:{self._port}/api/v1/streaming/{kind}" + (
            f"?{urlencode({'tag': name})}" if name else ""
        )
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Last-Event-ID": self._cursor} if self._cursor else {})
        timeout = httpx.Timeout(CONNECT_TIMEOUT_S, read=None)
        async with httpx.AsyncClient(timeout=timeout) as http, http.stream("GET", url, headers=headers) as reply:
            if reply.status_code == 401:
                raise Revoked
            reply.raise_for_status()
            yield _sse_events(reply)

    @asynccontextmanager
    async def _open_websocket(self) -> AsyncIterator[AsyncIterator[Event]]:
        kind, _, name = self.record.topic.partition(":")
        wanted: dict[str, Any] = {"type": "subscribe", "stream": kind} | ({"tag": name} if name else {})
        if self.record.keeps_cursors:
            wanted["since"] = self._cursor
        try:
            connecting = websockets.asyncio.client.connect(
                f"ws://127.0.0.1:{self._port}/api/v1/streaming", compression=None, open_timeout=CONNECT_TIMEOUT_S,
                additional_headers={"Authorization": f"Bearer {self._token}"}, ping_interval=None, close_timeout=1.0,
                proxy=None,
            )  # fmt: skip
            async with connecting as socket:
                await socket.send(json.dumps(wanted))
                yield _websocket_events(socket)
        except websockets.exceptions.InvalidStatus as error:
            if error.response.status_code == 401:
                raise Revoked from error
            raise


async def _ask(http: httpx.AsyncClient, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return a page, asked for until it is answered: for as long as people are patient, too."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            reply = await http.get(path, params=params)
        except httpx.TransportError:
            await asyncio.sleep(RETRY_S)
            continue
        if reply.status_code == 200:
            page: list[dict[str, Any]] = reply.json()
            return page
        if reply.status_code == 401:
            raise Revoked
        assert reply.status_code in AGAIN, f"{path}: {reply.status_code} {reply.text[:500]}"
        await asyncio.sleep(RETRY_S)
    raise AssertionError(f"{path} isn't answered")


async def _sse_events(reply: httpx.Response) -> AsyncIterator[Event]:
    """Yield the events of a stream, by the rules of the HTML standard."""
    event, data, cursor = "", [], ""
    async for line in reply.aiter_lines():
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            cursor = value
        elif not line:
            if event or data:
                yield event or "message", "\n".join(data), cursor
            elif cursor:  # by itself: it changes where the next connection goes on, and is no event
                yield "heartbeat", "", cursor
            event, data, cursor = "", [], ""


async def _websocket_events(socket: websockets.asyncio.client.ClientConnection) -> AsyncIterator[Event]:
    try:
        async for frame in socket:
            said = json.loads(frame)
            if "error" in said:
                raise OSError(f"the subscription was refused: {said}")
            yield said["event"], str(said.get("payload", "")), said.get("id", "")
    except websockets.exceptions.ConnectionClosed:
        return


def subject_of(event: str, data: str) -> str:
    """Return what an event is about, as records name it."""
    if event in ("update", "status.update"):
        return str(json.loads(data)["id"])
    if event == "notification":
        row = json.loads(data)
        return f"{row['type']}:{row['account']['id']}:{(row.get('status') or {}).get('id', '')}"
    return data


def is_open(record: Record) -> bool:
    """Whether a listener has a connection now."""
    return bool(record.connections) and record.connections[-1].closed == FOREVER
