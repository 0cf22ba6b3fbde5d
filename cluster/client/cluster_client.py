"""The client of the whole cluster: finds the shard that owns a key and asks it, whatever happens to shards meanwhile.

Rules of this file
- The common case (map cached, lane up) adds two lookups and one clock read to LaneClient.request: no task, no timer,
  no lock. Everything else is in the slow path and may take its time. A shard with several replicas has no entry in
  `_lanes`, so that one with a single replica pays nothing for them.
- Every operation of docs/lane.md may be sent again after a lost connection: they are idempotent by nature, and `post`
  by its idempotency key. So a call is retried until its deadline even when the outcome of an attempt is unknown. A
  caller who posts without a key accepts that such a retry may post twice.
- Of the places that requests have (`share_places`), those to one shard hold half, and a shard that doesn't answer is
  asked no more but for a probe a second: shard_places.py. Tools that share nothing wait.
- Only "not the owner" and "can't be reached" are retried. A refusal, OverloadedError included, goes to the caller:
  repeating what a full queue has refused makes the queue no shorter. (What a follower refuses is asked again at the
  primary: read_routing.py.)

How it works
    call -> lane of the bucket's shard? -> request -> body
                   | no / moved / dropped
                   v
            retried_calls.py: refresh the map, connect, request, wait, again, until the deadline

The map, and the lanes and groups that follow from it, are those of shard_owners.py. A shard with several replicas is a
ReplicaGroup (replica_group.py): reads go to any of them, everything else to the primary.

Costs: 1.7 us over LaneClient.request (bench/lane.py --client cluster).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from actors.core.errors import MovedError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_thing, bucket_of_tweet
from cluster.client.map_cache import FetchMap
from cluster.client.positions import SeenPositions, WritePositions
from cluster.client.read_routing import ReadFigures, Unanswered
from cluster.client.replica_group import FOLLOWER_READS, ReplicaGroup, Request
from cluster.client.retried_calls import ActorCall, RetriedCalls
from cluster.client.shard_owners import RETRY_AFTER_S, ShardOwners
from cluster.client.shard_places import LATE_SHARE, PROBE_PATIENCE_S, Places, PlacesBound, ShardPlaces
from cluster.lane.client import Done, LaneClient, PushCallback
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import LaneDisconnected
from cluster.placement.shard_map import ShardMap

logger = logging.getLogger("rookery.client")

SETTLED_FROM_LEVEL = 2  # of the cluster
CALL_TIMEOUT_S = 5.0  # longer than a shard's restart and short recovery; a caller that knows better says so

_TRY_AGAIN = (MovedError, LaneDisconnected, Unanswered)


class ClusterClient:
    """Routes requests to shards.

    fetch_map(): the router's current map in wire form, or None for "no news"; keys: the cluster's;
    local_node_id: Ray's id of this node, which decides between Unix socket and TCP; actor_call(actor_name, op, args):
    the way round a broken lane, raising RookeryError for refusals and anything else for "no answer";
    on_push(topic, value): what shards push, but for news of the map, and OPENED with a shard's number when there is a
    lane where there was none, so that what was pushed meanwhile has been missed; follower_reads: the operations that
    any replica may be asked; positions: of writes, where others' count, too. Use from one event loop; `await open()`
    first, `close()` last.
    """

    def __init__(
        self,
        fetch_map: FetchMap,
        keys: LaneKeys,
        local_node_id: str,
        actor_call: ActorCall | None = None,
        on_push: PushCallback | None = None,
        follower_reads: frozenset[str] = FOLLOWER_READS,
        positions: WritePositions | None = None,
    ) -> None:
        self.keys = keys
        self._positions = positions or WritePositions()
        self._figures = ReadFigures()
        self._places = ShardPlaces(follower_reads, time.monotonic)
        self._owners = ShardOwners(
            fetch_map, keys, local_node_id, on_push, follower_reads, self._positions, self._figures, self._places
        )
        self._maps = self._owners.maps
        self._lanes, self._groups, self._buckets = self._owners.lanes, self._owners.groups, self._owners.buckets
        self._retries = RetriedCalls(self._owners, actor_call, follower_reads)
        self._finishing: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly

    # -- what callers use ------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float = 30.0) -> None:
        """Fetch the first map. Raises OverloadedError if the router gives none in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        for attempt in range(1_000_000):
            await self._maps.refresh()
            if self._maps.map is not None:
                return
            if not await self._retries.back_off(attempt, deadline):
                break
        raise OverloadedError(f"no shard map from the router: {self._maps.error}", None, RETRY_AFTER_S)

    def close(self) -> None:
        """Close every lane; calls in flight fail with OverloadedError."""
        self._retries.close()
        self._owners.close()

    @property
    def shard_map(self) -> ShardMap:
        """The cached map. Raises OverloadedError before open()."""
        if self._maps.map is None:
            raise OverloadedError(f"no shard map yet: {self._maps.error}", None, RETRY_AFTER_S)
        return self._maps.map

    @property
    def level(self) -> int:
        """The map's level: what is new up to there may be asked for (actors/core/levels.py)."""
        return self.shard_map.level

    @property
    def shard_count(self) -> int:
        """Shards in the cached map."""
        return self.shard_map.shard_count

    def shard_of(self, bucket: int) -> int:
        """Return the shard that owns a bucket, as far as this client knows."""
        return self.shard_map.shard_of_bucket(bucket)

    def figures(self) -> dict[str, int]:
        """Return what was counted of shards with several replicas; the names are those of docs/operations.md."""
        stalled_count = sum(group.reads.stalled_count for group in self._groups if group is not None)
        return {**asdict(self._figures), "stalled_lanes": stalled_count, **self._places.figures()}

    def share_places(self, reads: PlacesBound, writes: PlacesBound) -> None:
        """Have so many requests under way at most, of which those to one shard hold half; see shard_places.py."""
        self._places.share(reads, writes)

    async def call(
        self,
        bucket: int,
        op: str,
        args: list[Any],
        timeout_s: float = CALL_TIMEOUT_S,
        fresh: bool = False,
        seen: SeenPositions | None = None,
    ) -> Any:
        """Ask the owner of a bucket and return the body.

        fresh: a read that may not come from a follower unless the primary can't be reached; seen: what a read must see,
        shard -> journal position, to which the position of a write is added.
        Raises what the shard refuses with (a RookeryError), or OverloadedError with retry_after_s when no owner could
        be reached in time; then the outcome of a write is unknown, and sending it again is safe (module header).
        """
        return await self._ask(self._buckets[bucket], bucket, op, args, timeout_s, fresh, seen)

    async def settled(
        self, bucket: int, op: str, args: list[Any], timeout_s: float = CALL_TIMEOUT_S,
        seen: SeenPositions | None = None,
    ) -> tuple[bool, Any]:  # fmt: skip
        """Have the owner of a bucket carry out a write, and wait until the other shards have what it tells them.

        Returns whether they have, and the write's body; False: it is done, but not all of them have said so within
        0.4 s. seen: as for `call`; the other shards' positions are added as well. Errors are those of `call`. The
        cluster's level must be SETTLED_FROM_LEVEL.
        """
        answer = await self.call(bucket, "settled", [op, args], timeout_s, seen=seen)
        is_settled, position, others, body = answer
        self._owners.note_write(bucket, position)
        if seen is not None:
            for shard, there in [(self._buckets[bucket], position), *others]:
                seen[shard] = max(there, seen.get(shard, 0))
        return is_settled, body

    def send(
        self,
        bucket: int,
        op: str,
        args: list[Any],
        timeout_s: float,
        done: Done,
        fresh: bool = False,
        seen: SeenPositions | None = None,
    ) -> None:
        """Ask as `call` does, for callers that want no task: done(body, None) or done(None, error) is called, later.

        Raises OverloadedError at once, and calls nobody, if its shard has no place for the request: who asked needn't
        hold one of his own for that long. The other errors are what `call` would raise. Cost: 1.3 us over
        LaneClient.send while the lane is up and the map right.
        """
        shard = self._buckets[bucket]
        places = self._places.of(shard, op)
        if places.enter():
            timeout_s = min(timeout_s, PROBE_PATIENCE_S)
        self._send(places, shard, bucket, op, args, timeout_s, done, fresh, seen)

    def send_shard(
        self, shard: int, op: str, args: list[Any], timeout_s: float, done: Done, seen: SeenPositions | None = None
    ) -> None:
        """As `send`, to a shard by number, for questions that all shards are asked at once; it doesn't raise."""
        places = self._places.of(shard, op)
        try:
            if places.enter():
                timeout_s = min(timeout_s, PROBE_PATIENCE_S)
        except OverloadedError as error:
            asyncio.get_running_loop().call_soon(done, None, error)
            return
        self._send(places, shard, None, op, args, timeout_s, done, False, seen)

    async def call_shard(
        self,
        shard: int,
        op: str,
        args: list[Any],
        timeout_s: float = CALL_TIMEOUT_S,
        fresh: bool = False,
        seen: SeenPositions | None = None,
    ) -> Any:
        """Ask a shard by number; for operations on many keys. Arguments and errors are those of `call`."""
        return await self._ask(shard, None, op, args, timeout_s, fresh, seen)

    def account(
        self, account_id: int, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S
    ) -> Coroutine[Any, Any, Any]:
        """Call the owner of an account with `[account_id, *args]`."""
        return self.call(bucket_of_account(account_id), op, [account_id, *args], timeout_s)

    def tweet(self, tweet_id: int, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Coroutine[Any, Any, Any]:
        """Call the owner of a tweet with `[tweet_id, *args]`."""
        return self.call(bucket_of_tweet(tweet_id), op, [tweet_id, *args], timeout_s)

    def thing(self, thing_id: int, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Coroutine[Any, Any, Any]:
        """Call the owner of a thing (a list, a filter, an app) with `[thing_id, *args]`."""
        return self.call(bucket_of_thing(thing_id), op, [thing_id, *args], timeout_s)

    def name(self, username: str, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Coroutine[Any, Any, Any]:
        """Call the holder of a user name with `[username, *args]`."""
        return self.call(bucket_of_name(username), op, [username, *args], timeout_s)

    # -- the quick path --------------------------------------------------------------------------------------------

    async def _ask(
        self, shard: int, bucket: int | None, op: str, args: list[Any], timeout_s: float, fresh: bool,
        seen: SeenPositions | None,
    ) -> Any:  # fmt: skip
        """Ask what is connected; if that settles nothing, go the slow way. The request holds a place meanwhile.

        bucket: None if the shard was asked for by its number. Whoever waits may be cancelled: the request is given up.
        """
        places = self._places.of(shard, op)
        if places.enter():
            timeout_s = min(timeout_s, PROBE_PATIENCE_S)
        lane = self._lane(shard)
        deadline = asyncio.get_running_loop().time() + timeout_s
        request = Request(bucket, shard if bucket is None else None, op, args, deadline, fresh, seen)
        try:
            try:
                if lane is not None:
                    body = await lane.request(op, args, timeout_s)
                else:
                    group = self._group(shard)
                    body = await (self._retries.call(request, None) if group is None else group.ask(request))
            except _TRY_AGAIN as error:
                body = await self._retries.call(request, error)
        except asyncio.CancelledError:
            left_s = deadline - asyncio.get_running_loop().time()
            places.give_up(op, left_s <= (1.0 - LATE_SHARE) * timeout_s)
            raise
        except BaseException as error:
            places.leave(op, error)
            raise
        places.leave(op, None)
        return body

    def _send(
        self, places: Places, shard: int, bucket: int | None, op: str, args: list[Any], timeout_s: float, done: Done,
        fresh: bool, seen: SeenPositions | None,
    ) -> None:  # fmt: skip
        """As `_ask`, without a task unless the slow way is needed. places: those that the request has entered."""
        lane = self._lane(shard)
        deadline = (asyncio.get_running_loop() if lane is None else lane).time() + timeout_s

        def take(body: Any, error: Exception | None) -> None:
            if isinstance(error, _TRY_AGAIN):
                self._finish(self._retries.call(request(), error), places, op, done)
            else:
                places.leave(op, error)
                done(body, error)

        def request() -> Request:
            return Request(bucket, shard if bucket is None else None, op, args, deadline, fresh, seen)

        if lane is not None:
            try:
                lane.send(op, args, timeout_s, take)
                return
            except RookeryError as error:  # nothing was sent: the slow way finds out the same, and what to do about it
                logger.debug("lane to shard %d takes no request: %s", shard, error)
        group = self._group(shard)
        if group is None:
            self._finish(self._retries.call(request(), None), places, op, done)
            return
        try:
            group.send(request(), take)
        except _TRY_AGAIN as error:
            take(None, error)
        except RookeryError as error:
            asyncio.get_running_loop().call_soon(take, None, error)

    def _lane(self, shard: int) -> LaneClient | None:
        """Return the open lane to a shard with a single replica; None for any other number."""
        lane = self._lanes[shard] if 0 <= shard < len(self._lanes) else None
        return None if lane is None or lane.closed else lane

    def _group(self, shard: int) -> ReplicaGroup | None:
        return self._groups[shard] if 0 <= shard < len(self._groups) else None

    def _finish(self, call: Coroutine[Any, Any, Any], places: Places, op: str, done: Done) -> None:
        """Carry out a call in a task of its own, give its place back, and tell `done` how it ended."""

        async def run() -> None:
            try:
                body = await call
            except Exception as error:  # noqa: BLE001  it is done's to judge
                places.leave(op, error)
                done(None, error)
            else:
                places.leave(op, None)
                done(body, None)

        task = asyncio.get_running_loop().create_task(run())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
