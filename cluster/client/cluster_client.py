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
            refresh the map (map_cache.py: one fetch for all callers)
            -> connect (replica_lanes.py: one dial a replica: Unix socket on the same node, else TCP) -> request
            -> unreachable twice: the primary's actor itself, through Ray
            -> wait 10 ms to 0.5 s, doubling, with jitter, or until the map changes -> again, until the deadline
            -> OverloadedError

A shard with several replicas is a ReplicaGroup (replica_group.py): reads go to any of them, everything else to the
primary.

Costs: 1.7 us over LaneClient.request (bench/lane.py --client cluster).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import Any

from actors.core.errors import InvalidError, MovedError, OverloadedError, RookeryError
from actors.core.ids import BUCKET_COUNT, bucket_of_account, bucket_of_name, bucket_of_tweet
from actors.turns import Turnstile
from cluster.client.map_cache import FetchMap, MapCache
from cluster.client.positions import SeenPositions, WritePositions
from cluster.client.read_routing import ReadFigures, Unanswered
from cluster.client.replica_group import FOLLOWER_READS, TRACKED_WRITES, ReplicaGroup, Request
from cluster.client.replica_lanes import UNREACHABLE, ReplicaLanes
from cluster.client.shard_places import LATE_SHARE, PROBE_PATIENCE_S, Places, PlacesBound, ShardPlaces, UnreachableError
from cluster.lane.client import Done, LaneClient, PushCallback
from cluster.lane.handshake import LaneKeys
from cluster.lane.protocol import LaneDisconnected
from cluster.placement.shard_map import ReplicaPlace, ShardMap

logger = logging.getLogger("rookery.client")

CALL_TIMEOUT_S = 5.0  # longer than a shard's restart and short recovery; a caller that knows better says so
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.01, 0.5  # between attempts; times 0.5 to 1 so that callers spread out
LAST_ATTEMPT_S = 0.05  # with less time left than this, another attempt is vain
ACTOR_CALL_TIMEOUT_S = 1.0  # Ray holds a call to a dying actor back; better to look at the lane again
ACTOR_CALL_COUNT_MAX = 64  # actor calls in flight; a core carries a few thousand a second, and shards need them too
RETRY_AFTER_S = 1.0  # what a caller is told to wait: Ray restarts an actor in about that time

OPENED = "opened"  # a topic of our own

ActorCall = Callable[[str, str, list[Any]], Awaitable[Any]]

_TRY_AGAIN = (MovedError, LaneDisconnected, Unanswered)
_NO_ANSWER = object()


class ClusterClient:
    """Routes requests to shards.

    fetch_map(): the router's current map in wire form, or None for "no news"; keys: the cluster's;
    local_node_id: Ray's id of this node, which decides between Unix socket and TCP; actor_call(actor_name, op, args):
    the way round a broken lane, raising RookeryError for refusals and anything else for "no answer";
    on_push(topic, value): what shards push, but for news of the map, and OPENED with a shard's number when there is a
    lane where there was none, so that what was pushed meanwhile has been missed; follower_reads: the operations that
    any replica may be asked. Use from one event loop; `await open()` first, `close()` last.
    """

    def __init__(
        self,
        fetch_map: FetchMap,
        keys: LaneKeys,
        local_node_id: str,
        actor_call: ActorCall | None = None,
        on_push: PushCallback | None = None,
        follower_reads: frozenset[str] = FOLLOWER_READS,
    ) -> None:
        self._actor_call = actor_call
        self._on_push = on_push
        self._follower_reads = follower_reads
        self._maps = MapCache(fetch_map, self._take_map)
        self._replica_lanes = ReplicaLanes(keys, local_node_id, self._take_push, self._find, self._take_lane)
        self._replicas: dict[tuple[int, int], ReplicaPlace] = {}  # the map's, by shard and index
        self._buckets = bytes(BUCKET_COUNT)
        self._lanes: list[LaneClient | None] = [None]  # by shard; None also where a shard has several replicas
        self._groups: list[ReplicaGroup | None] = [None]  # by shard; None where it has one replica
        self._figures = ReadFigures()
        self._positions = WritePositions()
        self._places = ShardPlaces(follower_reads, time.monotonic)
        self._actor_call_count = 0
        self._turnstile = Turnstile()  # of the slow path
        self._finishing: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly
        self._closed = False

    # -- what callers use ------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float = 30.0) -> None:
        """Fetch the first map. Raises OverloadedError if the router gives none in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        for attempt in range(1_000_000):
            await self._maps.refresh()
            if self._maps.map is not None:
                return
            if not await self._back_off(attempt, deadline):
                break
        raise OverloadedError(f"no shard map from the router: {self._maps.error}", None, RETRY_AFTER_S)

    def close(self) -> None:
        """Close every lane; calls in flight fail with OverloadedError."""
        self._closed = True
        self._maps.close()
        self._replica_lanes.close()
        for group in self._groups:
            if group is not None:
                group.close()

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
        shard = self._buckets[bucket]
        deadline = asyncio.get_running_loop().time() + timeout_s
        return await self._ask(shard, timeout_s, Request(bucket, None, op, args, deadline, fresh, seen))

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
        self._send(places, shard, bucket, None, op, args, timeout_s, done, fresh, seen)

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
        self._send(places, shard, None, shard, op, args, timeout_s, done, False, seen)

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
        deadline = asyncio.get_running_loop().time() + timeout_s
        return await self._ask(shard, timeout_s, Request(None, shard, op, args, deadline, fresh, seen))

    def account(
        self, account_id: int, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S
    ) -> Coroutine[Any, Any, Any]:
        """Call the owner of an account with `[account_id, *args]`."""
        return self.call(bucket_of_account(account_id), op, [account_id, *args], timeout_s)

    def tweet(self, tweet_id: int, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Coroutine[Any, Any, Any]:
        """Call the owner of a tweet with `[tweet_id, *args]`."""
        return self.call(bucket_of_tweet(tweet_id), op, [tweet_id, *args], timeout_s)

    def name(self, username: str, op: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Coroutine[Any, Any, Any]:
        """Call the holder of a user name with `[username, *args]`."""
        return self.call(bucket_of_name(username), op, [username, *args], timeout_s)

    # -- the quick path --------------------------------------------------------------------------------------------

    async def _ask(self, shard: int, timeout_s: float, request: Request) -> Any:
        """Ask what is connected; if that settles nothing, go the slow way. The request holds a place meanwhile."""
        op = request.op
        places = self._places.of(shard, op)
        if places.enter() and timeout_s > PROBE_PATIENCE_S:
            request.deadline -= timeout_s - PROBE_PATIENCE_S
            timeout_s = PROBE_PATIENCE_S
        try:
            lane = self._lanes[shard] if 0 <= shard < len(self._lanes) else None
            try:
                if lane is not None and not lane.closed:
                    body = await lane.request(op, request.args, timeout_s)
                else:
                    group = self._groups[shard] if 0 <= shard < len(self._groups) else None
                    body = await (self._call_until(request, None) if group is None else group.ask(request))
            except _TRY_AGAIN as error:
                body = await self._call_until(request, error)
        except asyncio.CancelledError:
            left_s = request.deadline - asyncio.get_running_loop().time()
            places.give_up(op, left_s <= (1.0 - LATE_SHARE) * timeout_s)
            raise
        except BaseException as error:
            places.leave(op, error)
            raise
        places.leave(op, None)
        return body

    def _send(
        self, places: Places, shard: int, bucket: int | None, shard_asked: int | None, op: str, args: list[Any],
        timeout_s: float, done: Done, fresh: bool, seen: SeenPositions | None,
    ) -> None:  # fmt: skip
        """As `_ask`, without a task unless the slow way is needed. Either bucket or shard_asked is given.

        places: those that the request has entered.
        """
        lane = self._lanes[shard] if 0 <= shard < len(self._lanes) else None
        if lane is not None and not lane.closed:
            deadline = lane.time() + timeout_s

            def take(body: Any, error: Exception | None) -> None:
                if isinstance(error, (MovedError, LaneDisconnected)):
                    request = Request(bucket, shard_asked, op, args, deadline, fresh, seen)
                    self._finish(self._call_until(request, error), places, op, done)
                else:
                    places.leave(op, error)
                    done(body, error)

            try:
                lane.send(op, args, timeout_s, take)
                return
            except RookeryError as error:  # nothing was sent: the slow way finds out the same, and what to do about it
                logger.debug("lane to shard %d takes no request: %s", shard, error)
        request = Request(
            bucket, shard_asked, op, args, asyncio.get_running_loop().time() + timeout_s, fresh, seen
        )  # fmt: skip
        group = self._groups[shard] if 0 <= shard < len(self._groups) else None
        self._send_to_group(request, group, places, done)

    def _send_to_group(self, request: Request, group: ReplicaGroup | None, places: Places, done: Done) -> None:
        """Ask the replicas of a shard; without any, go the slow way."""
        op = request.op
        if group is None:
            self._finish(self._call_until(request, None), places, op, done)
            return

        def take(body: Any, error: Exception | None) -> None:
            if isinstance(error, _TRY_AGAIN):
                self._finish(self._call_until(request, error), places, op, done)
            else:
                places.leave(op, error)
                done(body, error)

        try:
            group.send(request, take)
        except _TRY_AGAIN as error:
            self._finish(self._call_until(request, error), places, op, done)
        except RookeryError as error:
            asyncio.get_running_loop().call_soon(take, None, error)

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

    # -- the slow path ---------------------------------------------------------------------------------------------

    async def _call_until(self, request: Request, error: Exception | None) -> Any:
        """Refresh, connect, ask, wait, again; error: what ended the attempt before, if there was one."""
        loop = asyncio.get_running_loop()
        attempt = unreachable_count = 0
        refusal: RookeryError | None = None
        while not self._closed:
            if isinstance(error, Unanswered):
                refusal = error.refusal or refusal
            if error is not None or self._maps.map is None:
                fetch = self._maps.refresh_soon()
                if fetch is not None and not (
                    request.op in self._follower_reads and self._groups[self._target(request)]
                ):
                    await asyncio.wait([fetch], timeout=max(request.deadline - loop.time(), 0.0))
            await self._turnstile.enter()
            target = self._target(request)
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
            if not await self._back_off(attempt, request.deadline):
                break
            attempt += 1
        if isinstance(error, Unanswered):
            refusal, error = error.refusal or refusal, error.reason or error
        if refusal is not None:
            raise refusal
        why = "this client is closed" if error is None else f"{type(error).__name__}: {error}"
        message = f"shard {self._target(request)} can't be reached ({why}); the request may have been carried out"
        raise UnreachableError(message, None, RETRY_AFTER_S) from error

    async def _connect_and_ask(self, request: Request, shard: int) -> Any:
        """One attempt, dialling where it must. Raises _TRY_AGAIN or UNREACHABLE for "not this time"."""
        if self._maps.map is None:
            raise ConnectionError(f"no shard map: {self._maps.error}")
        group = self._groups[shard]
        async with asyncio.timeout_at(request.deadline):
            if group is None:
                lane = await self._replica_lanes.connect(self._maps.map.primary_of(shard))
            else:
                await group.connect(request)
        if group is not None:
            return await group.ask(request)
        left_s = request.deadline - asyncio.get_running_loop().time()
        return await lane.request(request.op, request.args, max(left_s, 0.0))

    def _target(self, request: Request) -> int:
        if request.bucket is not None:
            return self._buckets[request.bucket]
        assert request.shard is not None
        count = 0 if self._maps.map is None else self._maps.map.shard_count
        if count and not 0 <= request.shard < count:
            raise InvalidError(f"there is no shard {request.shard}; shards are 0 to {count - 1}", "shard")
        return request.shard

    async def _back_off(self, attempt: int, deadline: float) -> bool:
        """Wait before the next attempt, or until the map changes; False, at once, if no time is left for one."""
        left_s = deadline - asyncio.get_running_loop().time()
        if self._closed or left_s < LAST_ATTEMPT_S:
            return False
        pause_s = min(BACKOFF_FIRST_S * 2 ** min(attempt, 10), BACKOFF_MAX_S) * random.uniform(0.5, 1.0)
        await asyncio.wait([self._maps.changed()], timeout=min(pause_s, left_s - LAST_ATTEMPT_S / 2))
        return True

    async def _ask_actor(self, request: Request, shard: int) -> Any:
        """Return the answer of a primary's actor, or _NO_ANSWER; refusals are raised. A new map ends the wait."""
        loop, group = asyncio.get_running_loop(), self._groups[shard]
        if self._actor_call is None or self._maps.map is None or self._actor_call_count >= ACTOR_CALL_COUNT_MAX:
            return _NO_ANSWER
        tracked = group is not None and request.op in TRACKED_WRITES
        op, args = ("tracked", [request.op, request.args]) if tracked else (request.op, request.args)
        actor_name = self._maps.map.primary_of(shard).actor_name
        self._actor_call_count += 1
        asking = asyncio.ensure_future(self._actor_call(actor_name, op, args))
        try:
            timeout_s = min(request.deadline - loop.time(), ACTOR_CALL_TIMEOUT_S)
            await asyncio.wait(
                (asking, self._maps.changed()), timeout=max(timeout_s, 0.0), return_when=asyncio.FIRST_COMPLETED
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

    # -- news of the map, and of lanes -----------------------------------------------------------------------------

    def _find(self, shard: int, index: int) -> ReplicaPlace | None:
        return self._replicas.get((shard, index))

    def _take_push(self, topic: str, value: Any) -> None:
        if topic == "map":
            if type(value) is int:
                self._maps.want(value)
        elif self._on_push is not None:
            self._on_push(topic, value)

    def _take_map(self, old: ShardMap | None, new: ShardMap) -> None:
        """Bring lanes and groups in line with a newer map; end what waits for a primary that is none any more."""
        self._replicas = {(replica.shard, replica.index): replica for replica in new.replicas}
        self._replica_lanes.keep()
        by_shard: list[list[ReplicaPlace]] = [[] for _ in range(new.shard_count)]
        for replica in new.replicas:
            by_shard[replica.shard].append(replica)
        old_groups, self._groups, self._lanes = self._groups, [], []
        for shard, replicas in enumerate(by_shard):
            group = old_groups[shard] if shard < len(old_groups) else None
            if len(replicas) > 1:
                group = group or ReplicaGroup(
                    self._replica_lanes, self._positions, self._figures, self._follower_reads, self._maps.refresh_soon
                )
                group.take_map(new, sorted(replicas, key=lambda replica: replica.index))
                self._groups.append(group)
                self._lanes.append(None)
            else:
                self._groups.append(None)
                self._lanes.append(self._replica_lanes.get(replicas[0]))
        for group in old_groups:
            if group is not None and group not in self._groups:
                group.close()
        self._places.resize(new.shard_count)
        if old is not None and old.buckets != new.buckets:
            self._positions.forget(b for b in range(BUCKET_COUNT) if old.buckets[b] != new.buckets[b])
        self._buckets = new.buckets

    def _take_lane(self, replica: ReplicaPlace, lane: LaneClient) -> None:
        if self._on_push is not None:
            self._on_push(OPENED, replica.shard)
        if replica.shard >= len(self._groups):  # the shard was given up meanwhile
            return
        self._places.is_new(replica.shard)
        group = self._groups[replica.shard]
        if group is not None:
            group.reads.connect(replica.index, lane)
        elif replica.primary:
            self._lanes[replica.shard] = lane
