"""The client of the whole cluster: finds the shard that owns a key and asks it, whatever happens to shards meanwhile.

Rules of this file
- The common case (map cached, lane up) adds two lookups and one clock read to LaneClient.request: no task, no timer,
  no lock. Everything else is in the slow path and may take its time.
- Every operation of docs/lane.md may be sent again after a lost connection: they are idempotent by nature, and `post`
  by its idempotency key. So a call is retried until its deadline even when the outcome of an attempt is unknown. A
  caller who posts without a key accepts that such a retry may post twice.
- Only "not the owner" and "can't be reached" are retried. A refusal, OverloadedError included, goes to the caller:
  repeating what a full queue has refused makes the queue no shorter.

How it works
    call -> lane of the bucket's shard? -> request -> body
                   | no / moved / dropped
                   v
            refresh the map (one fetch for all callers, at most every MAP_REFRESH_INTERVAL_S)
            -> connect (one dial a shard for all callers: Unix socket on the same node, else TCP) -> request
            -> unreachable twice: the actor itself, through Ray
            -> wait 10 ms to 0.5 s, doubling, with jitter -> again, until the deadline -> OverloadedError

Costs: 1.7 us over LaneClient.request (bench/lane.py --client cluster).
Not here: reading from replicas that aren't primary (issue 4).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from actors.core.errors import InvalidError, MovedError, OverloadedError, RookeryError
from actors.core.ids import BUCKET_COUNT, bucket_of_account, bucket_of_name, bucket_of_tweet
from cluster.lane_client import Address, Done, LaneClient, PushCallback
from cluster.lane_protocol import LaneDisconnected, LaneProtocolError
from cluster.shard_map import Replica, ShardMap

logger = logging.getLogger("rookery.client")

CALL_TIMEOUT_S = 5.0  # longer than a shard's restart and short recovery; a caller that knows better says so
MAP_REFRESH_INTERVAL_S = 0.05  # a thousand callers that are told `moved` cost the router 20 calls a second
MAP_FETCH_TIMEOUT_S = 2.0  # a router that is restarting answers the next fetch
DIAL_TIMEOUT_S = 1.0  # connect and authenticate; a live server needs under 1 ms
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.01, 0.5  # between attempts; times 0.5 to 1 so that callers spread out
ACTOR_CALL_TIMEOUT_S = 1.0  # Ray holds a call to a dying actor back; better to look at the lane again
ACTOR_CALL_COUNT_MAX = 64  # actor calls in flight; a core carries a few thousand a second, and shards need them too
RETRY_AFTER_S = 1.0  # what a caller is told to wait: Ray restarts an actor in about that time

FetchMap = Callable[[], Awaitable[Any]]
ActorCall = Callable[[str, str, list[Any]], Awaitable[Any]]

_UNREACHABLE = (OSError, LaneProtocolError)  # what connecting raises; TimeoutError is an OSError
_NO_ANSWER = object()


class ClusterClient:
    """Routes requests to shards.

    fetch_map(): the router's current map in wire form, or None for "no news"; secret: the cluster's 32 bytes;
    local_node_id: Ray's id of this node, which decides between Unix socket and TCP; actor_call(actor_name, op, args):
    the way round a broken lane, raising RookeryError for refusals and anything else for "no answer";
    on_push(topic, value): what shards push. Use from one event loop; `await open()` first, `close()` last.
    """

    def __init__(
        self,
        fetch_map: FetchMap,
        secret: bytes,
        local_node_id: str,
        actor_call: ActorCall | None = None,
        on_push: PushCallback | None = None,
    ) -> None:
        self._fetch_map = fetch_map
        self._secret = secret
        self._local_node_id = local_node_id
        self._actor_call = actor_call
        self._on_push = on_push
        self._map: ShardMap | None = None
        self._buckets = bytes(BUCKET_COUNT)
        self._lanes: list[LaneClient | None] = [None]  # by shard
        self._dials: dict[int, asyncio.Task[LaneClient]] = {}
        self._refresh: asyncio.Task[None] | None = None
        self._refreshed_at = float("-inf")
        self._map_error = "no map was fetched yet"
        self._actor_call_count = 0
        self._finishing: set[asyncio.Task[None]] = set()  # the event loop holds tasks only weakly
        self._closed = False

    # -- what callers use ------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float = 30.0) -> None:
        """Fetch the first map. Raises OverloadedError if the router gives none in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        for attempt in range(1_000_000):
            await self._refresh_map()
            if self._map is not None:
                return
            if not await self._back_off(attempt, deadline):
                break
        raise OverloadedError(f"no shard map from the router: {self._map_error}", None, RETRY_AFTER_S)

    def close(self) -> None:
        """Close every lane; calls in flight fail with OverloadedError."""
        self._closed = True
        for task in [*self._dials.values(), *([self._refresh] if self._refresh else [])]:
            task.cancel()
        for lane in self._lanes:
            if lane is not None:
                lane.close()

    @property
    def shard_map(self) -> ShardMap:
        """The cached map. Raises OverloadedError before open()."""
        if self._map is None:
            raise OverloadedError(f"no shard map yet: {self._map_error}", None, RETRY_AFTER_S)
        return self._map

    @property
    def shard_count(self) -> int:
        """Shards in the cached map."""
        return self.shard_map.shard_count

    def shard_of(self, bucket: int) -> int:
        """Return the shard that owns a bucket, as far as this client knows."""
        return self.shard_map.shard_of_bucket(bucket)

    async def call(self, bucket: int, op: str, args: list[Any], timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Ask the owner of a bucket and return the body.

        Raises what the shard refuses with (a RookeryError), or OverloadedError with retry_after_s when no owner could
        be reached in time; then the outcome of a write is unknown, and sending it again is safe (module header).
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        lane = self._lanes[self._buckets[bucket]]
        if lane is not None and not lane.closed:
            try:
                return await lane.request(op, args, timeout_s)
            except (MovedError, LaneDisconnected) as error:
                return await self._call_until(deadline, bucket, None, op, args, error)
        return await self._call_until(deadline, bucket, None, op, args, None)

    def send(self, bucket: int, op: str, args: list[Any], timeout_s: float, done: Done) -> None:
        """Ask as `call` does, for callers that want no task: done(body, None) or done(None, error) is called, later.

        The error is what `call` would raise. Cost: 1 us over LaneClient.send while the lane is up and the map right.
        """
        lane = self._lanes[self._buckets[bucket]]
        if lane is not None and not lane.closed:
            deadline = lane.time() + timeout_s

            def take(body: Any, error: Exception | None) -> None:
                if isinstance(error, (MovedError, LaneDisconnected)):
                    self._finish(self._call_until(deadline, bucket, None, op, args, error), done)
                else:
                    done(body, error)

            try:
                lane.send(op, args, timeout_s, take)
                return
            except RookeryError as error:  # nothing was sent: `call` finds out the same, and what to do about it
                logger.debug("lane to shard %d takes no request: %s", self._buckets[bucket], error)
        self._finish(self.call(bucket, op, args, timeout_s), done)

    def _finish(self, call: Coroutine[Any, Any, Any], done: Done) -> None:
        """Carry out a call in a task of its own, and tell `done` how it ended."""

        async def run() -> None:
            try:
                body = await call
            except Exception as error:  # noqa: BLE001  it is done's to judge
                done(None, error)
            else:
                done(body, None)

        task = asyncio.get_running_loop().create_task(run())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def call_shard(self, shard: int, op: str, args: list[Any], timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Ask the primary of a shard by number; for operations on many keys. Raises as `call` does."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        lane = self._lanes[shard] if 0 <= shard < len(self._lanes) else None
        if lane is not None and not lane.closed:
            try:
                return await lane.request(op, args, timeout_s)
            except (MovedError, LaneDisconnected) as error:
                return await self._call_until(deadline, None, shard, op, args, error)
        return await self._call_until(deadline, None, shard, op, args, None)

    async def scatter(
        self, op: str, args_by_shard: dict[int, list[Any]], timeout_s: float = CALL_TIMEOUT_S
    ) -> dict[int, Any]:
        """Ask several shards at once and return shard -> body, in the order of args_by_shard.

        Waits for all of them; then raises the first error, if any, as `call` would.
        """
        calls = [self.call_shard(shard, op, args, timeout_s) for shard, args in args_by_shard.items()]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return dict(zip(args_by_shard, results, strict=True))

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

    # -- the slow path ---------------------------------------------------------------------------------------------

    async def _call_until(
        self, deadline: float, bucket: int | None, shard: int | None, op: str, args: list[Any], error: Exception | None
    ) -> Any:
        """Refresh, connect, ask, wait, again; error: what ended the attempt before, if there was one."""
        loop = asyncio.get_running_loop()
        attempt = unreachable_count = 0
        while not self._closed:
            if error is not None or self._map is None:
                await self._refresh_map()
            target = self._target(bucket, shard)
            try:
                async with asyncio.timeout_at(deadline):
                    lane = await self._lane_to(target)
                return await lane.request(op, args, max(deadline - loop.time(), 0.0))
            except (MovedError, LaneDisconnected) as failure:
                error = failure
            except _UNREACHABLE as failure:
                error = failure
                unreachable_count += 1
                if unreachable_count > 1:
                    try:
                        answer = await self._ask_actor(target, op, args, deadline)
                    except MovedError as moved:
                        error, answer = moved, _NO_ANSWER
                    if answer is not _NO_ANSWER:
                        return answer
            if not await self._back_off(attempt, deadline):
                break
            attempt += 1
        why = "this client is closed" if error is None else f"{type(error).__name__}: {error}"
        message = f"shard {self._target(bucket, shard)} can't be reached ({why}); the request may have been carried out"
        raise OverloadedError(message, None, RETRY_AFTER_S) from error

    def _target(self, bucket: int | None, shard: int | None) -> int:
        if bucket is not None:
            return self._buckets[bucket]
        assert shard is not None
        if self._map is not None and not 0 <= shard < self._map.shard_count:
            raise InvalidError(f"there is no shard {shard}; shards are 0 to {self._map.shard_count - 1}", "shard")
        return shard

    async def _back_off(self, attempt: int, deadline: float) -> bool:
        """Wait before the next attempt; False, at once, when it would come after the deadline."""
        pause_s = min(BACKOFF_FIRST_S * 2 ** min(attempt, 10), BACKOFF_MAX_S) * random.uniform(0.5, 1.0)
        if self._closed or asyncio.get_running_loop().time() + pause_s >= deadline:
            return False
        await asyncio.sleep(pause_s)
        return True

    async def _ask_actor(self, shard: int, op: str, args: list[Any], deadline: float) -> Any:
        """Return the actor's answer to a request, or _NO_ANSWER; refusals are raised."""
        loop = asyncio.get_running_loop()
        if self._actor_call is None or self._map is None or self._actor_call_count >= ACTOR_CALL_COUNT_MAX:
            return _NO_ANSWER
        actor_name = self._map.primary_of(shard).actor_name
        self._actor_call_count += 1
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + ACTOR_CALL_TIMEOUT_S)):
                return await self._actor_call(actor_name, op, args)
        except RookeryError:
            raise
        except Exception as error:  # noqa: BLE001  whatever Ray raises: the lane is tried again
            logger.info("actor %s does not answer %s either: %s", actor_name, op, type(error).__name__)
            return _NO_ANSWER
        finally:
            self._actor_call_count -= 1

    # -- the map ---------------------------------------------------------------------------------------------------

    async def _refresh_map(self) -> None:
        """Fetch the map unless somebody just did; all callers wait for the same fetch. Never raises."""
        if self._refresh is None:
            if asyncio.get_running_loop().time() < self._refreshed_at + MAP_REFRESH_INTERVAL_S or self._closed:
                return
            self._refresh = asyncio.create_task(self._fetch_and_install())
        await asyncio.wait([self._refresh])

    async def _fetch_and_install(self) -> None:
        try:
            async with asyncio.timeout(MAP_FETCH_TIMEOUT_S):
                wire = await self._fetch_map()
            if wire is not None:
                self._install(ShardMap.from_wire(wire))
        except Exception as error:  # noqa: BLE001  whatever the way to the router raises: the old map serves on
            self._map_error = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.warning("the router gave no shard map: %s", self._map_error)
        finally:
            self._refreshed_at = asyncio.get_running_loop().time()
            self._refresh = None

    def _install(self, new: ShardMap) -> None:
        """Replace the cached map by a newer one and close the lanes that lead elsewhere.

        A lane to an address of the new primary stays: if the process behind it had died, the lane would be closed.
        """
        old = self._map
        if old is not None and new.epoch <= old.epoch:
            return
        lanes: list[LaneClient | None] = [None] * new.shard_count
        for shard, lane in enumerate(self._lanes):
            if lane is None:
                continue
            if shard < new.shard_count and lane.address in self._addresses(new.primary_of(shard)):
                lanes[shard] = lane
            else:
                lane.close()
        self._map, self._buckets, self._lanes = new, new.buckets, lanes

    # -- lanes -----------------------------------------------------------------------------------------------------

    async def _lane_to(self, shard: int) -> LaneClient:
        """Return the connected lane to a shard's primary, dialling if there is none. Raises one of _UNREACHABLE."""
        lane = self._lanes[shard] if shard < len(self._lanes) else None
        if lane is not None and not lane.closed:
            return lane
        dial = self._dials.get(shard)
        if dial is None:
            if self._map is None:
                raise ConnectionError(f"no shard map: {self._map_error}")
            dial = asyncio.create_task(self._dial(self._map.primary_of(shard)))
            self._dials[shard] = dial
            dial.add_done_callback(lambda done: self._dial_done(shard, done))
        await asyncio.wait([dial])
        if dial.cancelled():
            raise ConnectionError("this client is closed")
        return dial.result()

    def _dial_done(self, shard: int, dial: asyncio.Task[LaneClient]) -> None:
        """Forget a dial; looks at its exception, which nobody may be waiting for any more."""
        self._dials.pop(shard, None)
        if not dial.cancelled():
            dial.exception()

    async def _dial(self, primary: Replica) -> LaneClient:
        """Connect to one replica, by the best address that works, and install the lane."""
        failure: Exception = ConnectionError(f"{primary.actor_name} has not registered a lane")
        for address in self._addresses(primary):
            lane = LaneClient(address, self._secret, self._on_push)
            try:
                await lane.connect(DIAL_TIMEOUT_S)
            except _UNREACHABLE as error:
                failure = error
                continue
            if self._closed or address not in self._addresses(self.shard_map.primary_of(primary.shard)):
                lane.close()
                raise ConnectionError(f"the map changed while connecting to {primary.actor_name}")
            self._lanes[primary.shard] = lane
            return lane
        raise failure

    def _addresses(self, replica: Replica) -> list[Address]:
        addresses: list[Address] = []
        if replica.unix_path and replica.node_id == self._local_node_id and os.path.exists(replica.unix_path):
            addresses.append(replica.unix_path)
        if replica.port:
            addresses.append((replica.host, replica.port))
        return addresses
