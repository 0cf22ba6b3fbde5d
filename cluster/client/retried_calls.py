"""Calls whose shard isn't there, or is another one: asked again, on whatever way there is, until their deadline.

    refresh the map (map_cache.py: one fetch for all callers)
    -> connect (replica_lanes.py: one dial a replica: Unix socket on the same node, else TCP) -> request
    -> unreachable twice: the primary's actor itself, through Ray
    -> wait 10 ms to 0.5 s, doubling, with jitter, or until the map changes -> again, until the deadline
    -> UnreachableError

Rules of this file
- This is the slow path of `cluster_client.py`: it may take its time. What may be sent again, and what is, stands there.
- Calls that have waited for the same dial go on a few a turn of the event loop (`Turnstile`): thousands may.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

from actors.core.errors import MovedError, RookeryError
from actors.turns import Turnstile
from cluster.client.read_routing import Unanswered
from cluster.client.replica_group import TRACKED_WRITES, Request
from cluster.client.replica_lanes import UNREACHABLE
from cluster.client.shard_owners import RETRY_AFTER_S, ShardOwners
from cluster.client.shard_places import UnreachableError
from cluster.lane.protocol import LaneDisconnected

logger = logging.getLogger("rookery.client")

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.01, 0.5  # between attempts; times 0.5 to 1 so that callers spread out
LAST_ATTEMPT_S = 0.05  # with less time left than this, another attempt is vain
ACTOR_CALL_TIMEOUT_S = 1.0  # Ray holds a call to a dying actor back; better to look at the lane again
ACTOR_CALL_COUNT_MAX = 64  # actor calls in flight; a core carries a few thousand a second, and shards need them too

ActorCall = Callable[[str, str, list[Any]], Awaitable[Any]]
_NO_ANSWER = object()


class RetriedCalls:
    """The calls of one client that need patience. actor_call, follower_reads: as `ClusterClient` has them."""

    def __init__(self, owners: ShardOwners, actor_call: ActorCall | None, follower_reads: frozenset[str]) -> None:
        self._owners, self._actor_call, self._follower_reads = owners, actor_call, follower_reads
        self._actor_call_count = 0
        self._turnstile = Turnstile()
        self._closed = False

    def close(self) -> None:
        """Try nothing again from now on."""
        self._closed = True

    async def call(self, request: Request, error: Exception | None) -> Any:
        """Refresh, connect, ask, wait, again; error: what ended the attempt before, if there was one.

        Raises what the shard refuses with; UnreachableError when no owner could be reached by the request's deadline.
        """
        loop = asyncio.get_running_loop()
        attempt = unreachable_count = 0
        refusal: RookeryError | None = None
        while not self._closed:
            if isinstance(error, Unanswered):
                refusal = error.refusal or refusal
            if error is not None or self._owners.maps.map is None:
                fetch = self._owners.maps.refresh_soon()
                if fetch is not None and not (
                    request.op in self._follower_reads and self._owners.groups[self._owners.target(request)]
                ):
                    await asyncio.wait([fetch], timeout=max(request.deadline - loop.time(), 0.0))
            await self._turnstile.enter()
            target = self._owners.target(request)
            try:
                return await self._connect_and_ask(request, target)
            except (MovedError, LaneDisconnected) as failure:
                error = failure
            except (*UNREACHABLE, Unanswered) as failure:
                error = failure
                unreachable_count += 1
                if unreachable_count > 1:
                    try:
                        answer = await self._ask_actor(request, target)
                    except MovedError as moved:
                        error, answer = moved, _NO_ANSWER
                    if answer is not _NO_ANSWER:
                        return answer
            await self._turnstile.enter()  # all that waited for the same dial have learned now that it has failed
            if not await self.back_off(attempt, request.deadline):
                break
            attempt += 1
        if isinstance(error, Unanswered):
            refusal, error = error.refusal or refusal, error.reason or error
        if refusal is not None:
            raise refusal
        why = "this client is closed" if error is None else f"{type(error).__name__}: {error}"
        message = (
            f"shard {self._owners.target(request)} can't be reached ({why}); the request may have been carried out"
        )
        raise UnreachableError(message, None, RETRY_AFTER_S) from error

    async def _connect_and_ask(self, request: Request, shard: int) -> Any:
        """One attempt, dialling where it must. Raises _TRY_AGAIN or UNREACHABLE for "not this time"."""
        if self._owners.maps.map is None:
            raise ConnectionError(f"no shard map: {self._owners.maps.error}")
        group = self._owners.groups[shard]
        async with asyncio.timeout_at(request.deadline):
            if group is None:
                lane = await self._owners.replica_lanes.connect(self._owners.maps.map.primary_of(shard))
            else:
                await group.connect(request)
        if group is not None:
            return await group.ask(request)
        left_s = request.deadline - asyncio.get_running_loop().time()
        return await lane.request(request.op, request.args, max(left_s, 0.0))

    async def back_off(self, attempt: int, deadline: float) -> bool:
        """Wait before the next attempt, or until the map changes; False, at once, if no time is left for one."""
        left_s = deadline - asyncio.get_running_loop().time()
        if self._closed or left_s < LAST_ATTEMPT_S:
            return False
        pause_s = min(BACKOFF_FIRST_S * 2 ** min(attempt, 10), BACKOFF_MAX_S) * random.uniform(0.5, 1.0)
        await asyncio.wait([self._owners.maps.changed()], timeout=min(pause_s, left_s - LAST_ATTEMPT_S / 2))
        return True

    async def _ask_actor(self, request: Request, shard: int) -> Any:
        """Return the answer of a primary's actor, or _NO_ANSWER; refusals are raised. A new map ends the wait."""
        loop, group = asyncio.get_running_loop(), self._owners.groups[shard]
        if self._actor_call is None or self._owners.maps.map is None or self._actor_call_count >= ACTOR_CALL_COUNT_MAX:
            return _NO_ANSWER
        tracked = group is not None and request.op in TRACKED_WRITES
        op, args = ("tracked", [request.op, request.args]) if tracked else (request.op, request.args)
        actor_name = self._owners.maps.map.primary_of(shard).actor_name
        self._actor_call_count += 1
        asking = asyncio.ensure_future(self._actor_call(actor_name, op, args))
        try:
            timeout_s = min(request.deadline - loop.time(), ACTOR_CALL_TIMEOUT_S)
            await asyncio.wait(
                (asking, self._owners.maps.changed()), timeout=max(timeout_s, 0.0), return_when=asyncio.FIRST_COMPLETED
            )
            if not asking.done():
                return _NO_ANSWER
            answer = asking.result()
            return answer if group is None or not tracked else group.note_write(request, answer)
        except RookeryError:
            raise
        except Exception as error:  # noqa: BLE001  whatever Ray raises: the lane is tried again
            logger.info("actor %s does not answer %s either: %s", actor_name, op, type(error).__name__)
            return _NO_ANSWER
        finally:
            self._actor_call_count -= 1
            asking.cancel()
