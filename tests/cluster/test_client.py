"""ClusterClient against several lane servers in this process: routing, moves, restarts, fall-back, deadlines."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from actors.core.errors import InvalidError, MovedError, NotFoundError, OverloadedError, RookeryError
from actors.core.ids import bucket_of_account, bucket_of_name, bucket_of_tweet, make_tweet_id
from cluster.client.cluster_client import ClusterClient
from cluster.client.shard_owners import OPENED
from cluster.lane.handshake import LaneKeys
from cluster.lane.server import LaneServer
from cluster.placement.shard_map import ShardMap, shard_actor_name
from tests.cluster.conftest import KEYS, until


class Cluster:
    """Shards as lane servers, and a router that is just a map."""

    def __init__(self, folder, shard_count):
        self.folder = folder
        self.shard_map = ShardMap.even("test", shard_count)
        self.servers: dict[int, LaneServer] = {}
        self.fetch_count = 0
        self.router_is_up = True
        self.asked: list[tuple[int, str]] = []
        self.hang: set[int] = set()  # shards that answer nothing
        self.owned: dict[int, set[int]] = {}  # what each shard itself believes that it owns

    async def start_shard(self, shard, tcp=False):
        owned = self.owned.setdefault(shard, set(self.shard_map.buckets_of_shard(shard)))

        def handler(request):
            self.asked.append((shard, request.op))
            if request.op == "missing":
                raise NotFoundError("no such account")
            if request.op == "full":
                raise OverloadedError("queue full", None, 0.5)
            if request.op == "hang" or shard in self.hang:
                return
            if request.args and type(request.args[0]) is int and bucket_of_account(request.args[0]) not in owned:
                raise MovedError("not mine")
            request.reply(self.reply_to(shard, request))

        server = self.servers[shard] = LaneServer(handler, KEYS, shard_actor_name(shard, 0))
        replica = self.shard_map.replica(shard, 0)
        if tcp:
            changed = replace(replica, unix_path="", host="127.0.0.1", port=await server.start_tcp("127.0.0.1"))
        else:
            path = str(self.folder / f"{shard}.sock")
            await server.start_unix(path)
            changed = replace(replica, unix_path=path, node_id="here", pid=replica.pid + 1)
        self.shard_map = self.shard_map.with_replica(changed)

    def reply_to(self, shard, request):
        return [shard, *request.args]

    async def stop_shard(self, shard):
        await self.servers.pop(shard).close()

    def move_bucket(self, bucket, shard):
        old = self.shard_map.shard_of_bucket(bucket)
        self.owned[old].discard(bucket)
        self.owned[shard].add(bucket)
        buckets = bytearray(self.shard_map.buckets)
        buckets[bucket] = shard
        self.shard_map = replace(self.shard_map, epoch=self.shard_map.epoch + 1, buckets=bytes(buckets))

    async def fetch_map(self):
        self.fetch_count += 1
        if not self.router_is_up:
            raise ConnectionError("the router is away")
        return self.shard_map.to_wire()


@pytest.fixture
async def cluster(tmp_path):
    made = Cluster(tmp_path, 3)
    for shard in range(3):
        await made.start_shard(shard)
    yield made
    assert made.shard_map.check() == []
    for server in made.servers.values():
        await server.close()


@pytest.fixture
async def client(cluster):
    made = ClusterClient(cluster.fetch_map, KEYS, "here")
    await made.open()
    yield made
    made.close()


async def test_each_key_reaches_the_shard_that_owns_it(cluster, client):
    assert client.shard_count == 3
    for account_id in range(1, 100):
        shard = client.shard_of(bucket_of_account(account_id))
        assert await client.account(account_id, "home", 0, 20) == [shard, account_id, 0, 20]
    tweet_id = make_tweet_id(1000, 1023, 5)
    cluster.owned[2].add(bucket_of_account(tweet_id))
    assert client.shard_of(bucket_of_tweet(tweet_id)) == 2
    assert await client.tweet(tweet_id, "tweet") == [2, tweet_id]
    shard = client.shard_of(bucket_of_name("Ada"))
    assert await client.name("Ada", "names") == [shard, "Ada"]
    assert cluster.fetch_count == 1


async def test_a_shard_is_asked_by_its_number(client):
    calls = [client.call_shard(shard, "cards", [name]) for shard, name in ((2, "c"), (0, "a"), (1, "b"))]
    assert await asyncio.gather(*calls) == [[2, "c"], [0, "a"], [1, "b"]]
    with pytest.raises(NotFoundError):
        await client.call_shard(0, "missing", [])


async def test_a_shard_that_does_not_exist_is_named(client):
    with pytest.raises(InvalidError, match="no shard 7"):
        await client.call_shard(7, "status", [])


async def test_refusals_go_to_the_caller_and_are_not_repeated(cluster, client):
    with pytest.raises(NotFoundError):
        await client.account(1, "missing")
    with pytest.raises(OverloadedError, match="queue full"):
        await client.account(1, "full")
    assert len(cluster.asked) == 2


async def send(client, account_id, op, timeout_s=3.0):
    """ClusterClient.send as an awaitable; checks that it ends once, and later."""
    ends = []
    client.send(bucket_of_account(account_id), op, [account_id], timeout_s, lambda *end: ends.append(end))
    assert not ends
    for _ in range(int(timeout_s * 200) + 100):
        if ends:
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    assert len(ends) == 1
    return ends[0]


async def test_a_call_without_a_task_ends_as_one_with_a_task_does(cluster, client):
    shard = client.shard_of(bucket_of_account(1))
    assert await send(client, 1, "home") == ([shard, 1], None)  # no lane yet
    assert await send(client, 1, "home") == ([shard, 1], None)
    assert isinstance((await send(client, 1, "missing"))[1], NotFoundError)
    assert isinstance((await send(client, 1, "full"))[1], OverloadedError)
    assert isinstance((await send(client, 1, "hang", 0.1))[1], OverloadedError)
    cluster.move_bucket(bucket_of_account(1), (shard + 1) % 3)
    assert await send(client, 1, "home") == ([(shard + 1) % 3, 1], None)
    asked = asyncio.create_task(send(client, 1, "home"))
    await cluster.stop_shard((shard + 1) % 3)
    await asyncio.sleep(0.05)
    await cluster.start_shard((shard + 1) % 3)
    assert await asked == ([(shard + 1) % 3, 1], None)
    client.close()
    assert isinstance((await send(client, 1, "home"))[1], OverloadedError)


async def test_a_moved_bucket_is_followed(cluster, client):
    bucket = bucket_of_account(1)
    old = client.shard_of(bucket)
    assert await client.account(1, "home") == [old, 1]
    cluster.move_bucket(bucket, (old + 1) % 3)
    assert await client.account(1, "home") == [(old + 1) % 3, 1]
    assert client.shard_of(bucket) == (old + 1) % 3


async def test_a_bucket_between_two_owners_is_retried_until_it_has_one(cluster, client):
    bucket = bucket_of_account(1)
    old = client.shard_of(bucket)
    cluster.owned[old].discard(bucket)
    call = asyncio.create_task(client.account(1, "home"))
    await asyncio.sleep(0.1)
    cluster.move_bucket(bucket, (old + 1) % 3)
    assert await call == [(old + 1) % 3, 1]


async def test_calls_wait_for_a_shard_that_restarts_and_then_succeed(cluster, client):
    shard = client.shard_of(bucket_of_account(1))
    hung = asyncio.create_task(client.account(1, "home"))
    await hung
    await cluster.stop_shard(shard)
    calls = [asyncio.create_task(client.account(1, "home", n)) for n in range(200)]
    await asyncio.sleep(0.2)
    assert not any(call.done() for call in calls)
    await cluster.start_shard(shard)
    assert await asyncio.gather(*calls) == [[shard, 1, n] for n in range(200)]
    assert cluster.fetch_count < 200  # callers share each fetch


async def test_requests_in_flight_on_a_dropped_lane_are_sent_again(cluster, client):
    shard = client.shard_of(bucket_of_account(1))
    call = asyncio.create_task(client.account(1, "hang", timeout_s=60.0))
    await until(lambda: cluster.asked == [(shard, "hang")])
    await cluster.stop_shard(shard)
    await cluster.start_shard(shard)
    await until(lambda: len(cluster.asked) == 2)
    assert cluster.asked == [(shard, "hang"), (shard, "hang")]
    client.close()
    with pytest.raises(OverloadedError):
        await call


async def test_a_shard_that_stays_away_is_an_overload_with_retry_after_at_the_deadline(cluster, client):
    shard = client.shard_of(bucket_of_account(1))
    await cluster.stop_shard(shard)
    with pytest.raises(OverloadedError, match=f"shard {shard} can't be reached") as caught:
        async with asyncio.timeout(60):
            await client.account(1, "home", timeout_s=0.3)
    assert caught.value.retry_after_s


async def test_a_shard_that_hangs_is_given_up_at_the_deadline(client):
    with pytest.raises(OverloadedError):
        await client.account(1, "hang", timeout_s=0.1)
    assert (await client.account(1, "home"))[1] == 1


async def test_the_other_shards_answer_while_one_and_the_router_are_away(cluster, client):
    cluster.router_is_up = False
    for shard in range(3):
        assert await client.call_shard(shard, "status", []) == [shard]
    await cluster.stop_shard(0)
    stuck = asyncio.create_task(client.call_shard(0, "status", []))
    await asyncio.sleep(0.05)
    assert await client.call_shard(1, "status", []) == [1]
    assert await client.call_shard(2, "status", []) == [2]
    await cluster.start_shard(0)  # same path: no new map is needed to find it
    assert await stuck == [0]


async def test_tcp_is_used_for_another_node(cluster):
    await cluster.stop_shard(1)
    await cluster.start_shard(1, tcp=True)
    elsewhere = ClusterClient(cluster.fetch_map, KEYS, "another node")
    await elsewhere.open()
    assert await elsewhere.call_shard(1, "status", []) == [1]
    with pytest.raises(OverloadedError):  # its only address is a socket on a node that this client isn't on
        await elsewhere.call_shard(0, "status", [], timeout_s=0.1)
    elsewhere.close()


async def test_the_actor_answers_when_the_lane_cannot_be_reached(cluster):
    asked = []

    async def actor_call(actor_name, op, args):
        asked.append(actor_name)
        if op == "missing":
            raise NotFoundError("no such account")
        return ["by actor", *args]

    client = ClusterClient(cluster.fetch_map, KEYS, "another node", actor_call)
    await client.open()
    assert await client.call_shard(2, "status", ["x"]) == ["by actor", "x"]
    assert asked == ["rookery:shard-02:replica-0"]
    with pytest.raises(NotFoundError):
        await client.call_shard(2, "missing", [])
    client.close()


async def test_an_actor_that_fails_too_is_an_overload_at_the_deadline(cluster):
    async def actor_call(actor_name, op, args):
        raise RuntimeError("actor is dead")

    client = ClusterClient(cluster.fetch_map, KEYS, "another node", actor_call)
    await client.open()
    with pytest.raises(OverloadedError):
        await client.call_shard(2, "status", [], timeout_s=0.2)
    client.close()


async def test_a_wrong_secret_never_gets_an_answer_and_is_warned_of_once(cluster, caplog):
    client = ClusterClient(cluster.fetch_map, LaneKeys(bytes(32)), "here")
    await client.open()
    for _ in range(2):
        with pytest.raises(OverloadedError, match="secret"):
            await client.call_shard(0, "status", [], timeout_s=1.0)
    client.close()
    assert [record.message[:30] for record in caplog.records] == ["somebody else than a shard lis"]  # a minute


async def test_without_a_router_opening_fails_and_says_why(cluster):
    cluster.router_is_up = False
    client = ClusterClient(cluster.fetch_map, KEYS, "here")
    with pytest.raises(OverloadedError, match="the router is away"):
        await client.open(timeout_s=0.2)
    with pytest.raises(RookeryError):
        client.shard_of(1)


async def test_closing_the_client_ends_a_call_that_is_still_connecting(cluster):
    async def never_greet(reader, writer):
        await reader.read()

    silent = await asyncio.start_server(never_greet, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    replica = replace(cluster.shard_map.replica(0, 0), unix_path="", host="127.0.0.1", port=port)
    cluster.shard_map = cluster.shard_map.with_replica(replica)
    client = ClusterClient(cluster.fetch_map, KEYS, "here")
    await client.open()
    call = asyncio.create_task(client.call_shard(0, "status", []))
    await asyncio.sleep(0.05)
    client.close()
    with pytest.raises(OverloadedError):
        await call
    silent.close()


async def test_an_older_map_never_replaces_a_newer_one(cluster, client):
    old = cluster.shard_map
    cluster.move_bucket(5, 2)
    await asyncio.sleep(0.06)
    await client._maps.refresh()
    cluster.shard_map = old
    await asyncio.sleep(0.06)
    await client._maps.refresh()
    assert client.shard_map.epoch == old.epoch + 1


async def test_pushes_from_every_shard_arrive(cluster):
    got = []
    client = ClusterClient(cluster.fetch_map, KEYS, "here", on_push=lambda topic, value: got.append((topic, value)))
    await client.open()
    await asyncio.gather(*(client.call_shard(shard, "status", []) for shard in range(3)))
    got.clear()
    for shard, server in cluster.servers.items():
        server.push("revoked", [shard])
    await asyncio.gather(*(client.call_shard(shard, "status", []) for shard in range(3)))
    assert sorted(got) == [("revoked", [0]), ("revoked", [1]), ("revoked", [2])]
    client.close()


async def test_a_lane_that_was_away_has_missed_pushes_and_says_so(cluster):
    got = []
    client = ClusterClient(cluster.fetch_map, KEYS, "here", on_push=lambda *push: got.append(push))
    await client.open()
    await client.call_shard(1, "status", [])
    await client.call_shard(1, "status", [])
    assert got == [(OPENED, 1)]
    await cluster.stop_shard(1)
    await cluster.start_shard(1)
    cluster.servers[1].push("revoked", [7, None])  # nobody is connected
    await client.call_shard(1, "status", [])
    assert [what for what in got if what[0] == OPENED] == [(OPENED, 1)] * 2  # between them that it has gone, if seen
    client.close()
