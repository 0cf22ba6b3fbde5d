"""A stream of server-sent events: one channel, and a client that has nothing to say.

Rules of this file
- The answer has no length and ends with its connection: so it has neither chunks nor an end that a frame could share
  with another, and what a client sends behind its request is read past. More than DISCARD_BYTES_MAX of that is no
  client's.
- Mastodon's clients take a block without an event for a mistake. So a cursor by itself, before anything has happened,
  is sent only to who has shown to know them: browsers, and whoever came with one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from api.streaming.channels import StreamChannel
from api.streaming.connection import StreamConnection
from api.streaming.frames import THUMP, sse_comment, sse_cursor, sse_event
from api.streaming.subscription import Subscription

GREETING: Final = b":)\n"  # what Mastodon's server begins with
DISCARD_BYTES_MAX: Final = 64 * 1024


class SseConnection(StreamConnection):
    """See the head of the file."""

    __slots__ = ("_discarded_bytes", "_subscription")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._discarded_bytes = 0
        self._subscription: Subscription | None = None

    def listen(self, channel: StreamChannel, since: str | None, knows_cursors: bool) -> None:
        """Hear a channel. since: of `Hub.listen`. Raises what that raises."""
        self._subscription = Subscription(self, channel, knows_cursors)
        self.streams.hub.listen(self._subscription, (channel.topic,), since)
        if knows_cursors:
            self.streams.wheel.expect_cursor(self)

    def frame_key(self, channel: StreamChannel) -> Hashable:
        """See `StreamConnection`."""
        return self.rendering.name

    def frame(self, channel: StreamChannel, event: str, payload: bytes, cursor: str) -> bytes:
        """See `StreamConnection`."""
        return sse_event(event, payload, cursor)

    def subscriptions(self) -> Iterable[Subscription]:
        """See `StreamConnection`."""
        return () if self._subscription is None else (self._subscription,)

    def farewell(self, code: int, reason: str) -> bytes:
        """See `StreamConnection`."""
        return sse_comment(f" {reason}")

    def _end_listening(self) -> None:
        super()._end_listening()
        self._subscription = None

    def data_received(self, data: bytes) -> None:
        """Read past what comes."""
        self._discarded_bytes += len(data)
        if self._discarded_bytes > DISCARD_BYTES_MAX:
            self._transport.abort()

    def beat(self) -> None:
        """See `StreamConnection`."""
        self.send(THUMP)

    def show_cursor(self) -> bool:
        """See `StreamConnection`."""
        if self._subscription is None:
            return True
        cursor = self._subscription.cursor()
        if cursor:
            self.send(sse_cursor(cursor))
        return bool(cursor)
