"""A stream over a WebSocket: any number of channels, which the client subscribes to and leaves.

    {"type":"subscribe","stream":"hashtag","tag":"cats"[,"since":CURSOR]}       what a client says
    {"type":"unsubscribe","stream":"hashtag","tag":"cats"}
    {"stream":["hashtag","cats"],"event":"update","payload":"{...}","id":CURSOR}    what it is told
    {"error":"Missing tag name parameter","status":400}                             why it is not
    {"event":"heartbeat","stream":["user"],"id":CURSOR}                             after `since`: scripts see no pings

Rules of this file
- RFC 6455 is kept (`frames.py`): pings are answered, a close is answered with its own code and ends the connection,
  whoever breaks the rules is told by which code. Behind a close nothing is looked at.
- What a client says is done in the order in which it was said, also where a shard is asked first, for a list's owner.
- A subscription twice is one; so is what isn't understood in a message: nothing, or an error, and the rest goes on.
- Pings every HEARTBEAT_S; who leaves SILENT_BEATS of them unanswered, and says nothing else, is gone.
- Frames of a client between two heartbeats are bounded, and orders that wait, and subscriptions.

Cost: a subscription 40 us; 400 bytes beside it while nothing of a client is incomplete.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Final

import orjson
from websockets.frames import CLOSE, PING, TEXT, CloseCode

from actors.core.errors import MalformedError, RateLimitedError, RookeryError
from api.errors import log_unexpected
from api.streaming.channels import StreamChannel, channel_of
from api.streaming.connection import StreamConnection
from api.streaming.events import FILTERS_CHANGED, Event
from api.streaming.frames import (
    HEARTBEAT,
    PING_FRAME,
    ClientBytes,
    FrameError,
    Said,
    close_code_of,
    close_frame,
    escaped,
    message,
    pong_frame,
    text_frame,
)
from api.streaming.subscription import Subscription

SILENT_BEATS: Final = 3
FRAMES_PER_BEAT_MAX: Final = 2_500  # 100 a second
SUBSCRIPTIONS_MAX: Final = 100
ORDERS_MAX: Final = 100
TOO_MANY_FRAMES: Final = "too many frames"


class WebSocketConnection(StreamConnection):
    """See the head of the file."""

    __slots__ = ("_frame_count", "_incoming", "_orders", "_silent_beats", "_subscriptions", "_working")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._subscriptions: tuple[Subscription, ...] = ()  # one a label; nearly all have one
        self._incoming: ClientBytes | None = None  # while a frame or message is incomplete
        self._orders: deque[dict[str, Any]] | None = None  # what the client wants and waits
        self._working: asyncio.Task[None] | None = None
        self._frame_count = self._silent_beats = 0

    # -- frames --------------------------------------------------------------------------------------------------------

    def frame_key(self, channel: StreamChannel) -> Hashable:
        """See `StreamConnection`."""
        return channel.label

    def frame(self, channel: StreamChannel, event: str, payload: bytes, cursor: str) -> bytes:
        """See `StreamConnection`."""
        return message(channel.label, event, None if event == FILTERS_CHANGED else escaped(payload), cursor)

    def shared_frame(self, channel: StreamChannel, event: Event, payload: bytes, cursor: str) -> bytes:
        """See `StreamConnection`."""
        if event.kind == FILTERS_CHANGED:
            return message(channel.label, event.kind, None, cursor)
        text = event.frames.get("escaped")
        if text is None:
            text = event.frames["escaped"] = escaped(payload)
        return message(channel.label, event.kind, text, cursor)

    def subscriptions(self) -> Iterable[Subscription]:
        """See `StreamConnection`."""
        return self._subscriptions

    def farewell(self, code: int, reason: str) -> bytes:
        """See `StreamConnection`."""
        return close_frame(code, reason)

    def _end_listening(self) -> None:
        super()._end_listening()
        self._subscriptions = ()
        self._orders = self._incoming = None
        if self._working is not None:
            self._working.cancel()
            self._working = None

    # -- what comes in -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what a client says."""
        if self.is_closing:
            return
        incoming = self._incoming or ClientBytes()
        self._incoming, self._silent_beats = None, 0
        try:
            for said in incoming.feed(data):
                self._frame_count += 1
                if self._frame_count > FRAMES_PER_BEAT_MAX:
                    raise FrameError(CloseCode.POLICY_VIOLATION, TOO_MANY_FRAMES)
                if not self._take(said):
                    return
        except FrameError as error:
            self.cut("protocol", error.code, error.reason)
            return
        if not incoming.is_empty:
            self._incoming = incoming

    def _take(self, said: Said) -> bool:
        """Do what a client has said; returns whether what comes behind it is looked at. Raises FrameError."""
        if said.opcode == PING:
            self.send(pong_frame(said.data))
        elif said.opcode == CLOSE:
            self.close_with(close_frame(close_code_of(said.data)))
        elif said.opcode == TEXT:
            self._take_text(said.data)
        return said.opcode != CLOSE

    def _take_text(self, text: bytes) -> None:
        try:
            order = orjson.loads(text)
        except orjson.JSONDecodeError:
            order = None
        if not isinstance(order, dict):
            self._refuse(MalformedError("a message must be a JSON object"))
            return
        if self._orders is not None:
            if len(self._orders) >= ORDERS_MAX:
                raise FrameError(CloseCode.POLICY_VIOLATION, "too many subscriptions at once")
            self._orders.append(order)
            return
        channel = self._carry_out(order)
        if channel is not None:
            self._orders = deque()
            self._working = asyncio.get_running_loop().create_task(self._carry_out_asking(channel, order))

    def _carry_out(self, order: dict[str, Any]) -> StreamChannel | None:
        """Do what a message wants; or return the channel of which its owner has to be asked for first."""
        wanted = order.get("type")
        try:
            if wanted == "subscribe":
                channel = channel_of(order.get("stream"), order)
                channel.check(self.viewer.account_id, self.scopes, bool(self.secret_hash))
                if channel.list_id and self._heard(channel) is None:
                    return channel
                self._subscribe(channel, order)
            elif wanted == "unsubscribe":
                self._unsubscribe(channel_of(order.get("stream"), order))
            else:
                raise MalformedError("type must be subscribe or unsubscribe", "type")
        except RookeryError as error:
            self._refuse(error)
        return None

    async def _carry_out_asking(self, channel: StreamChannel | None, order: dict[str, Any]) -> None:
        """Subscribe to a list, if it is the account's; then do what was wanted meanwhile."""
        while True:
            try:
                if channel is not None:
                    await self.streams.check_list(self.viewer.account_id, channel)
                    self._subscribe(channel, order)
            except RookeryError as error:
                self._refuse(error)
            except Exception as error:  # noqa: BLE001 - a defect of ours; nobody waits for this task
                log_unexpected(error, "")
                self._working = None
                self.cut("behind", CloseCode.INTERNAL_ERROR, "something went wrong on our side")
                return
            if not self._orders:
                break
            order = self._orders.popleft()
            channel = self._carry_out(order)
        self._orders = self._working = None

    def _subscribe(self, channel: StreamChannel, order: dict[str, Any]) -> None:
        since = order.get("since")
        if since is not None and not isinstance(since, str):
            raise MalformedError("since must be a text", "since")
        self.listen(channel, since, since is not None)

    def listen(self, channel: StreamChannel, since: str | None, knows_cursors: bool) -> None:
        """Hear a channel. since: a cursor, "" from now on, None for a client that knows nothing of those.

        Raises RookeryError.
        """
        if self._heard(channel) is not None:
            return
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise RateLimitedError(f"{SUBSCRIPTIONS_MAX} streams are subscribed to already")
        self.streams.check_rate(self.viewer.account_id)
        subscription = Subscription(self, channel, knows_cursors)
        self.streams.hub.listen(subscription, (channel.topic,), since)
        self._subscriptions = (*self._subscriptions, subscription)
        if knows_cursors:
            self.streams.wheel.expect_cursor(self)

    def _unsubscribe(self, channel: StreamChannel) -> None:
        subscription = self._heard(channel)
        if subscription is not None:
            self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)
            subscription.end()

    def _heard(self, channel: StreamChannel) -> Subscription | None:
        return next((each for each in self._subscriptions if each.channel.label == channel.label), None)

    def _refuse(self, error: RookeryError) -> None:
        self.send(text_frame(orjson.dumps({"error": error.message, "status": error.status})))

    # -- heartbeats ----------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """See `StreamConnection`."""
        self._frame_count = 0
        self._silent_beats += 1
        if self._silent_beats > SILENT_BEATS:
            self.cut("silent", CloseCode.GOING_AWAY, "no ping was answered")
            return
        self.send(PING_FRAME)
        self._show_cursors()

    def show_cursor(self) -> bool:
        """See `StreamConnection`. Called until all have one."""
        return self._show_cursors()

    def _show_cursors(self) -> bool:
        """Send heartbeats of all streams whose client knows cursors; returns whether all have one."""
        are_all_known = True
        for subscription in self._subscriptions:
            if subscription.knows_cursors:
                cursor = subscription.cursor()
                are_all_known = are_all_known and bool(cursor)
                self.send(_heartbeat(subscription.channel.label, cursor) if cursor else text_frame(HEARTBEAT))
        return are_all_known


def _heartbeat(label: bytes, cursor: str) -> bytes:
    return text_frame(b'%b,"stream":%b,"id":"%b"}' % (HEARTBEAT[:-1], label, cursor.encode()))
