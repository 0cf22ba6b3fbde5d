"""All streams of one worker: the hub that they listen to, their places, their heartbeats, and who listens.

opening.py --enter--> Streams --> hub (who listens to what), places (how many), wheel (heartbeats), viewers
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any, Final

from websockets.frames import CloseCode

from actors.core.errors import ForbiddenError, NotFoundError, RookeryError, UnauthorizedError
from actors.core.scopes import covers
from api.access.auth import ParsedToken
from api.errors import log_unexpected
from api.services import Services
from api.streaming.channels import StreamChannel
from api.streaming.connection import REVOKED, StreamConnection
from api.streaming.events import Hub
from api.streaming.places import SHED_SHARE, StreamPlaces
from api.streaming.polled import StreamPoll
from api.streaming.rendering import MastodonRendering, NativeRendering, StreamViewer, stamp_of
from api.streaming.wheel import Wheel

ASKING_COUNT_MAX: Final = 64  # questions to shards for streams, under way at once: requests go before them
RECHECK_S: Final = 1.0  # until a token is looked up again of which its shard can't be asked now
NOT_YOURS: Final = "Not authorized to stream this list"


class Streams:
    """See the head of the file."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self.hub = services, hub
        settings = services.settings
        self.places = StreamPlaces(
            settings.stream_count_max, settings.account_stream_count_max, settings.address_stream_count_max
        )
        self.wheel, self.poll = Wheel(), StreamPoll()
        self.asking = asyncio.Semaphore(ASKING_COUNT_MAX)
        self.mastodon, self.native = MastodonRendering(services), NativeRendering(services)
        self.is_stopping = False
        self._open: dict[StreamConnection, None] = {}
        self._viewers: dict[int, StreamViewer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._nobody = StreamViewer(0)

    # -- a stream's way in and out -------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether this worker takes new streams: not while requests need what it has."""
        services = self._services
        busy = services.in_flight_count >= SHED_SHARE * services.settings.in_flight_count_max
        return not (busy or self.is_stopping or services.any_full())

    def viewer_of(self, account_id: int) -> StreamViewer:
        """Return who listens, one for all streams of an account."""
        return self._viewers.get(account_id) or StreamViewer(account_id) if account_id else self._nobody

    def enter(self, connection: StreamConnection) -> None:
        """A connection is a stream from now on; its place was taken."""
        viewer = connection.viewer
        self._open[connection] = None
        self.wheel.add(connection)
        if viewer.account_id:
            viewer = connection.viewer = self._viewers.setdefault(viewer.account_id, viewer)
            viewer.stream_count += 1
            if viewer.stamp is None:
                self._begin(self._read_filters(viewer))

    def leave(self, connection: StreamConnection) -> None:
        """A stream has ended; once is enough."""
        if connection not in self._open:
            return
        del self._open[connection]
        self.wheel.remove(connection)
        self.places.give(connection.sort, connection.owner)
        viewer = connection.viewer
        if viewer.account_id:
            viewer.stream_count -= 1
            if not viewer.stream_count:
                del self._viewers[viewer.account_id]

    def stop(self) -> None:
        """Close all streams at once, and take no new ones."""
        self.is_stopping = True
        for connection in list(self._open):
            connection.stop()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Close all streams, whatever they haven't read."""
        self.stop()
        self.poll.close()

    # -- what streams ask ----------------------------------------------------------------------------------------------

    def check_rate(self, account_id: int) -> None:
        """Count a subscription among the account's reads. Raises RateLimitedError."""
        if account_id:
            self._services.limiter.check_account(account_id, False)

    async def check_list(self, account_id: int, channel: StreamChannel) -> None:
        """See that a list is an account's own. Raises UnauthorizedError, as Mastodon's server has it."""
        rows = await self._services.ask_account(account_id, "lists")
        if all(row[0] != channel.list_id for row in rows):
            raise UnauthorizedError(NOT_YOURS)

    def recheck(self, connection: StreamConnection) -> None:
        """Look up a stream's token again: it may have been revoked without our being told."""
        if connection.secret_hash and connection.viewer.account_id:
            self._begin(self._recheck(connection))

    async def _recheck(self, connection: StreamConnection) -> None:
        account_id = connection.viewer.account_id
        while not connection.is_closing:
            try:
                async with self.asking:
                    grant = await self._services.auth.grant_of(ParsedToken(account_id, connection.secret_hash))
                    scopes = grant.scopes
            except (UnauthorizedError, NotFoundError, ForbiddenError):
                scopes = 0
            except RookeryError:  # nobody can say now; the shard's events don't come, either
                await asyncio.sleep(RECHECK_S)
                continue
            if not covers(scopes, connection.scopes):
                connection.cut("revoked", CloseCode.POLICY_VIOLATION, REVOKED)
            return

    async def _read_filters(self, viewer: StreamViewer) -> None:
        """Find out whether an account has filters before its first event comes."""
        try:
            async with self.asking:
                await stamp_of(self._services, viewer)
        except RookeryError:  # asked again when there is something to compare
            return

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log_unexpected(error, "")

    def check(self) -> None:
        """Assert the invariants: everything open has its place and its beat; viewers are those of what is open."""
        self.places.check()
        self.wheel.check()
        assert len(self._open) <= self.places.open_count
        by_account: dict[Hashable, int] = {}
        for connection in self._open:
            by_account[connection.viewer.account_id] = by_account.get(connection.viewer.account_id, 0) + 1
        by_account.pop(0, None)
        assert by_account == {each: viewer.stream_count for each, viewer in self._viewers.items()}
