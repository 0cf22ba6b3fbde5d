"""What a listener is shown of an event: the payload, in Mastodon's form or in ours.

    event --ready--> payload, made here and now, shared by all who are shown the same
          --asked--> payload, for which shards are asked: notifications, conversations, polls and quotes, filters anew

Rules of this file
- The same renderers as everywhere (`api/mastodon/statuses.py`, `notices.py`, `api/native/notification_json.py`), so
  a stream shows what a request would; who may see what is decided by shards.
- A payload is the same for all who have done nothing about a status and have no filters: it is made once an event.
- b"" is nothing to show: gone, hidden, or apart (`filtered` notifications aren't streamed, nor what is muted).

Costs: ready 3 us a status and event, 0.2 us for each more who shares it; with flags 3 us, with filters 8 us a listener.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

from actors.core.features.viewer_flags import MUTED
from actors.core.joining import join_tweets
from actors.core.renderers.mastodon_marks import has_marks
from api.mastodon.filtering import filtered, known_filters, marked
from api.mastodon.notices import notifications_of
from api.mastodon.operations.conversations import shown_conversations
from api.mastodon.statuses import ENDS, completed
from api.native.notification_json import notifications_by_id
from api.services import Services
from api.streaming.channels import StreamChannel
from api.streaming.events import CONVERSATION, DELETE, FILTERS_CHANGED, NOTIFICATION, STATUS_UPDATE, UPDATE, Event

NOTHING: Final = b""
STATUSES: Final = frozenset((UPDATE, STATUS_UPDATE))
CONVERSATIONS_LOOKED_AT: Final = 40  # the newest: the one that has just changed is among them


class Eyes(NamedTuple):
    """Who is shown something, as `api/mastodon/by_id.py` has it."""

    services: Services
    viewer: int


class StreamViewer:
    """Who listens: all streams of an account share it. stamp: of his filters, 0 for none, None: not known."""

    __slots__ = ("account_id", "stamp", "stream_count")

    def __init__(self, account_id: int) -> None:
        self.account_id, self.stream_count = account_id, 0
        self.stamp: int | None = None if account_id else 0


class Rendering(Protocol):
    """A form of payloads."""

    name: str

    def ready(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes | None:
        """Return the payload, None if shards have to be asked for it."""
        ...

    async def asked(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes:
        """Return the payload, whatever has to be asked for it. Raises RookeryError."""
        ...


def is_shared(event: Event, flags: bytes | None, viewer: StreamViewer) -> bool:
    """Whether a payload is the same for all of whom this is so."""
    return event.kind in (DELETE, FILTERS_CHANGED) or (event.kind in STATUSES and flags is None and viewer.stamp == 0)


class MastodonRendering:
    """Statuses, notifications and conversations as in Mastodon's API."""

    name = "mastodon"

    def __init__(self, services: Services) -> None:
        self._services = services

    def ready(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes | None:
        """See `Rendering`."""
        if event.kind in STATUSES:
            return self._ready_status(event, flags, viewer, channel)
        return _plain(event)

    def _ready_status(
        self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel
    ) -> bytes | None:
        if channel.is_public and flags and flags[0] & MUTED:  # a home has those whom he mutes in no case
            return NOTHING
        body = _joined(event, flags)
        if viewer.stamp is None or has_marks(body):
            return None
        if not viewer.stamp:
            return body
        filters = self._services.filter_sets.get(viewer.account_id, viewer.stamp)
        return None if filters is None else marked(filters, [body], channel.place)[0]

    async def asked(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes:
        """See `Rendering`."""
        eyes = Eyes(self._services, viewer.account_id)
        if event.kind in STATUSES:
            (body,) = await completed(self._services, [_joined(event, flags)], viewer.account_id)
            stamp = await stamp_of(self._services, viewer)
            (body,) = await filtered(self._services, [body], viewer.account_id, stamp, channel.place)
            return body
        if event.kind == NOTIFICATION:
            return b"".join(await notifications_of(eyes, [_row(event)])) if _is_told(event) else NOTHING
        if event.kind == CONVERSATION:
            return await self._conversation(eyes, event.root)
        return _plain(event) or NOTHING

    async def _conversation(self, eyes: Eyes, root: int) -> bytes:
        window = (0, 0, 0, CONVERSATIONS_LOOKED_AT)
        rows, *_ = await self._services.ask_account(eyes.viewer, "conversations", *window)
        shown = await shown_conversations(eyes, [row for row in rows if row[0] == root])
        return b"".join(conversation for conversation, has_status in shown if has_status)


class NativeRendering:
    """Tweets and notifications as our own API shows them. Conversations and filters are nothing of its."""

    name = "native"

    def __init__(self, services: Services) -> None:
        self._services = services

    def ready(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes | None:
        """See `Rendering`."""
        if event.kind in STATUSES:
            return event.native or NOTHING
        return NOTHING if event.kind in (CONVERSATION, FILTERS_CHANGED) else _plain(event)

    async def asked(self, event: Event, flags: bytes | None, viewer: StreamViewer, channel: StreamChannel) -> bytes:
        """See `Rendering`."""
        if event.kind == NOTIFICATION and _is_told(event):
            return b"".join((await notifications_by_id(self._services, viewer.account_id, [_row(event)])).values())
        return NOTHING


async def stamp_of(services: Services, viewer: StreamViewer) -> int:
    """Return the stamp of a viewer's filters, which are asked for if that isn't known; they are remembered then."""
    if viewer.stamp is None:
        told = await services.ask_account(viewer.account_id, "filters")
        viewer.stamp = known_filters(services, viewer.account_id, told).stamp
    return viewer.stamp


def _plain(event: Event) -> bytes | None:
    """Return the payload of what is the same for everybody, None for anything else."""
    if event.kind == DELETE:
        return b"%d" % event.tweet_id
    if event.kind == FILTERS_CHANGED:
        return b"undefined"  # Mastodon's word; of an event without data browsers hear nothing
    return None


def _joined(event: Event, flags: bytes | None) -> bytes:
    """Return a status with what its reader has done; made once for all who have done nothing."""
    if event.tweet is None:
        raise ValueError(f"an event {event.kind} has a tweet")
    if flags is not None:
        return join_tweets(ENDS, [event.tweet], flags)[0]
    body = event.frames.get("joined")
    if body is None:
        body = event.frames["joined"] = join_tweets(ENDS, [event.tweet], None)[0]
    return body


def _row(event: Event) -> list[Any]:
    return list(event.notice or ())


def _is_told(event: Event) -> bool:
    """Whether a notification is one that its reader is to hear of at once: not one that is kept apart."""
    return event.notice is not None and not event.notice[2]
