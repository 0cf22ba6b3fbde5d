"""One stream that a client hears, over a connection that may have several: a listener of the hub.

    hub --hear--> ready? --yes--> one write
                    | no
                    +--> waiting: shards are asked, in order; what comes meanwhile waits behind it

Rules of this file
- What is heard is sent in that order, whatever has to be asked for.
- A shard that doesn't answer is asked again ASK_COUNT times. If it doesn't then, or more than WAITING_COUNT_MAX events
  wait, the connection is closed (`behind`): its client comes back with its cursor. Nothing is left out silently.
- Each has a cursor of its own, so that a client may resume one stream of several.
- A frame is made once for all listeners of whom it is the same, and is found in `event.frames`.

Cost: 1.5 us an event and listener, beside the write; 120 bytes while nothing waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.frames import CloseCode

from actors.core.errors import ForbiddenError, NotFoundError, RookeryError
from actors.core.scopes import covers
from api.errors import log_unexpected
from api.positions import reading_fresh
from api.streaming.channels import READ_NOTIFICATIONS, StreamChannel
from api.streaming.events import FILTERS_CHANGED, NOTIFICATION, Event
from api.streaming.rendering import NOTHING, is_shared

if TYPE_CHECKING:
    from api.streaming.connection import StreamConnection

WAITING_COUNT_MAX: Final = 1_000
ASK_COUNT: Final = 5
ASK_AGAIN_S: Final = 0.25  # and twice as long each time: 4 s in all
RECOVERED: Final = "recovered"
UNRECOVERED: Final = b"false"


class _Heard(NamedTuple):
    """What waits. event: None for "something was missed"."""

    event: Event | None
    flags: bytes | None
    cursor: str


class Subscription:
    """See the head of the file."""

    __slots__ = ("_asking", "_connection", "_waiting", "channel", "key", "knows_cursors")

    def __init__(self, connection: StreamConnection, channel: StreamChannel, knows_cursors: bool) -> None:
        """knows_cursors: whether the client has shown that it does."""
        self._connection, self.channel, self.knows_cursors = connection, channel, knows_cursors
        self.key = connection.frame_key(channel)
        self._waiting: deque[_Heard] | None = None
        self._asking: asyncio.Task[None] | None = None

    # -- what the hub calls --------------------------------------------------------------------------------------------

    @property
    def account_id(self) -> int:
        """Whose eyes it hears with; 0 for nobody's."""
        return self._connection.viewer.account_id

    def hear(self, event: Event, flags: bytes | None, cursor: str) -> None:
        """Something has happened."""
        if self._waiting is None:
            frame = self._ready(event, flags, cursor)
            if frame is not None:
                if frame:
                    self._connection.send(frame)
                return
        self._wait(_Heard(event, flags, cursor))

    def recovered(self) -> None:
        """Something was missed, and can't be told: the client reads again."""
        if self._waiting is None:
            self._connection.send(self._connection.frame(self.channel, RECOVERED, UNRECOVERED, ""))
        else:
            self._wait(_Heard(None, None, ""))

    def refilter(self) -> None:
        """The account's filters have changed, or may have."""
        if self.account_id:
            self._connection.viewer.stamp = None

    def revoked(self, secret_hash: bytes | None) -> None:
        """A token of the account is void, or may be."""
        self._connection.revoked(secret_hash)

    def close(self, reason: str) -> None:
        """The hub lets it go."""
        self._connection.cut("gone", CloseCode.GOING_AWAY, reason)

    # -- what the connection calls -------------------------------------------------------------------------------------

    def end(self) -> None:
        """Hear nothing any more, and ask for nothing."""
        self._connection.streams.hub.unlisten(self)
        if self._asking is not None:
            self._asking.cancel()
        self._asking = self._waiting = None

    def cursor(self) -> str:
        """Return what resumes from now on; "" where that isn't known, or something waits."""
        return "" if self._waiting else self._connection.streams.hub.cursor(self)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ready(self, event: Event, flags: bytes | None, cursor: str) -> bytes | None:
        """Return the frame, NOTHING if there is none to send, None if shards have to be asked."""
        connection = self._connection
        viewer = connection.viewer
        if event.kind == FILTERS_CHANGED:
            viewer.stamp = None
        elif event.kind == NOTIFICATION and not covers(connection.scopes, READ_NOTIFICATIONS):
            return NOTHING
        shared = is_shared(event, flags, viewer)
        if shared:
            known = event.frames.get((self.key, cursor))
            if known is not None:
                return known
        payload = connection.rendering.ready(event, flags, viewer, self.channel)
        if not payload:
            return payload
        if not shared:
            return connection.frame(self.channel, event.kind, payload, cursor)
        frame = event.frames[self.key, cursor] = connection.shared_frame(self.channel, event, payload, cursor)
        return frame

    def _wait(self, heard: _Heard) -> None:
        if self._waiting is None:
            self._waiting = deque()
            self._asking = asyncio.get_running_loop().create_task(self._catch_up())
        if len(self._waiting) >= WAITING_COUNT_MAX:
            self._fall_behind()
            return
        self._waiting.append(heard)

    def _fall_behind(self) -> None:
        self._connection.cut("behind", CloseCode.TRY_AGAIN_LATER, "behind: come back with your cursor")

    async def _catch_up(self) -> None:
        """Send what waits, in order."""
        waiting = self._waiting
        try:
            while waiting:
                frame = await self._frame_of(waiting[0])
                if self._waiting is not waiting:  # it has ended meanwhile
                    return
                waiting.popleft()
                if frame:
                    self._connection.send(frame)
        except RookeryError:  # it was asked for again and again
            self._asking = None  # or `end` would have it cancel itself
            self._fall_behind()
        except Exception as error:  # noqa: BLE001 - a defect of ours; nobody waits for this task
            log_unexpected(error, "")
            self._asking = None
            self._connection.cut("behind", CloseCode.INTERNAL_ERROR, "something went wrong on our side")
        self._waiting = self._asking = None

    async def _frame_of(self, heard: _Heard) -> bytes:
        connection = self._connection
        if heard.event is None:
            return connection.frame(self.channel, RECOVERED, UNRECOVERED, "")
        frame = self._ready(heard.event, heard.flags, heard.cursor)
        if frame is not None:
            return frame
        payload = await self._asked(heard.event, heard.flags)
        return payload and connection.frame(self.channel, heard.event.kind, payload, heard.cursor)

    async def _asked(self, event: Event, flags: bytes | None) -> bytes:
        """Return a payload for which shards are asked. Raises RookeryError if they don't answer, often enough."""
        connection = self._connection
        for attempt in range(ASK_COUNT):
            if attempt:
                await asyncio.sleep(ASK_AGAIN_S * (1 << attempt - 1))
            try:
                async with connection.streams.asking:
                    with reading_fresh():  # a shard has told of it, and others may be behind
                        return await connection.rendering.asked(event, flags, connection.viewer, self.channel)
            except (NotFoundError, ForbiddenError):
                return NOTHING
            except RookeryError:
                if attempt == ASK_COUNT - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")
