"""ClusterClient against the replicas of one shard over real lanes: who answers, and what happens when one doesn't."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from actors.core.errors import InvalidError, NotFoundError, OverloadedError, UnauthorizedError
from actors.core.features import READS, WRITES
from actors.core.ids import bucket_of_account
from actors.shard.search_requests import OPERATIONS as SEARCH
from cluster.client import replica_lanes
from cluster.client.map_cache import MAP_REFRESH_INTERVAL_S
from cluster.client.replica_group import FOLLOWER_READS, TRACKED_WRITES
from tests.cluster.conftest import until
from tests.cluster.fake_replicas import FakeReplicaSet

TRIES = 5  # of what a machine that does something else may spoil
ACCOUNT = 7
BUCKET = bucket_of_account(ACCOUNT)


@pytest.fixture
async def shard(tmp_path):
    made = FakeReplicaSet(tmp_path, 3)
    for index in range(3):
        await made.start(index)
    yield made
    for index in range(3):
        await made.stop(index)


@pytest.fixture
async def client(shard):
    made = await shard.open_client()
    await made.account(ACCOUNT, "account")
    await until(lambda: made._groups[0].reads.complete)
    yield made
    await until(lambda: in_flight(made) == 0)
    made._groups[0].reads.check()
    assert not len(made._groups[0].to_primary)
    made.close()


def in_flight(client) -> int:
    return sum(len(load.waiting) for load in client._groups[0].reads.loads)


async def answering(client) -> set[int]:
    """Return which replicas answer some of 100 reads at once."""
    answers = await asyncio.gather(*(client.account(ACCOUNT, "home") for _ in range(100)))
    return {answer[0] for answer in answers}


def loads(client) -> list:
    return client._groups[0].reads.loads


def test_the_operations_are_those_of_the_shard():
    assert {*READS, "home", "shaped", *SEARCH} - {
        "activity",
        "export",
        "media_held",
        "referred",
        "search_check",
        "waiting",
    } == FOLLOWER_READS
    assert set(WRITES) == TRACKED_WRITES


# ---- who answers -----------------------------------------------------------------------------------------------------


async def test_reads_are_spread_over_the_replicas_and_writes_are_not(shard, client):
    answers = await asyncio.gather(*(client.account(ACCOUNT, "home", 0, 0, 0, 20) for _ in range(300)))
    assert {answer[0] for answer in answers} == {0, 1, 2}
    for _ in range(20):
        assert (await client.account(ACCOUNT, "follow", 8))[0] == 0
    figures = client.figures()
    assert figures["primary_reads"] + figures["follower_reads"] == 301
    assert figures["follower_reads"] > 50


async def test_a_read_without_a_task_goes_the_same_ways(shard, client):
    ends = []
    for _ in range(100):
        client.send(BUCKET, "home", [ACCOUNT], 5.0, lambda *end: ends.append(end))
    client.send(BUCKET, "follow", [ACCOUNT, 8], 5.0, lambda *end: ends.append(end))
    assert not ends
    await until(lambda: len(ends) == 101)
    assert {body[0] for body, _ in ends} == {0, 1, 2}
    assert all(error is None for _, error in ends)


async def test_a_slow_replica_is_avoided(shard, client):
    shard.replicas[1].delay_s = 0.03
    for _ in range(100):
        await client.account(ACCOUNT, "home")
    shard.replicas[1].asked.clear()
    for _ in range(200):
        await client.account(ACCOUNT, "home")
    assert len(shard.asked(1, "home")) < 20


async def test_what_is_no_read_goes_to_the_primary_as_it_is(shard, client):
    assert (await client.call_shard(0, "status", []))[0] == 0
    assert shard.asked(0, "status") == [[]]


async def test_a_replica_that_is_not_in_sync_is_asked_only_when_no_other_is_there(shard, client):
    shard.set_replica(2, in_sync=False)
    shard.announce()
    await until(lambda: client.shard_map.epoch == shard.shard_map.epoch)
    shard.replicas[2].asked.clear()
    for _ in range(100):
        await client.account(ACCOUNT, "home")
    assert not shard.replicas[2].asked
    await shard.stop(0)
    await shard.stop(1)
    assert (await client.account(ACCOUNT, "home"))[0] == 2


# ---- replicas that die, stop, or lag ---------------------------------------------------------------------------------


async def test_reads_go_on_at_once_while_the_primary_is_down(shard, client):
    await shard.stop(0)
    await until(lambda: loads(client)[0].lane.closed)
    shard.fetch_delay_s = 120.0  # the router is busy, too
    loop = asyncio.get_running_loop()
    start = loop.time()
    for _ in range(50):
        assert (await client.account(ACCOUNT, "home"))[0] in (1, 2)
    assert loop.time() - start < 60.0, "reads waited for the router"
    shard.fetch_delay_s = 0.0


async def test_a_dial_that_hangs_delays_no_read(shard, client, tmp_path, monkeypatch):
    monkeypatch.setattr(replica_lanes, "DIAL_TIMEOUT_S", 120.0)

    async def never_greet(reader, writer):
        await reader.read()

    hanging = await asyncio.start_unix_server(never_greet, str(tmp_path / "hangs"))
    await shard.stop(0)
    shard.set_replica(0, unix_path=str(tmp_path / "hangs"))
    shard.announce()
    await until(lambda: client.shard_map.epoch == shard.shard_map.epoch)
    async with asyncio.timeout(60):
        for _ in range(50):
            assert (await client.account(ACCOUNT, "home"))[0] in (1, 2)
    assert client._owners.replica_lanes._dials, "there is no dial that could have delayed anything"
    hanging.close()


async def test_a_request_in_flight_on_a_lane_that_drops_is_answered_by_another_replica(shard, client):
    shard.replicas[1].silent = True
    calls = [asyncio.create_task(client.account(ACCOUNT, "home")) for _ in range(30)]
    await asyncio.sleep(0)
    await shard.stop(1)
    assert {answer[0] for answer in await asyncio.gather(*calls)} <= {0, 2}


async def test_a_replica_that_never_answers_costs_a_hedge_and_is_then_passed_over(shard, client):
    for _ in range(50):
        await client.account(ACCOUNT, "home")
    shard.replicas[2].silent = True
    assert await answering(client) <= {0, 1}
    assert client.figures()["hedges_won"] >= 1
    await until(lambda: client.figures()["stalled_lanes"] == 1)
    shard.replicas[2].resume()
    await until(lambda: client.figures()["stalled_lanes"] == 0)
    assert await answering(client) == {0, 1, 2}


async def test_one_stalled_replica_of_three_hardly_shows_in_the_99th_percentile(shard, client):
    loop = asyncio.get_running_loop()

    async def p99() -> float:
        taken = []

        async def reader():
            for _ in range(250):
                start = loop.time()
                await client.account(ACCOUNT, "home", timeout_s=5.0)
                taken.append(loop.time() - start)

        await asyncio.gather(*(reader() for _ in range(4)))
        return statistics.quantiles(taken, n=100)[98]

    for replica in shard.replicas:
        replica.delay_s = 0.005  # so that what this machine does besides is small against it
    await p99()
    reads = client._groups[0].reads
    for _ in range(TRIES):
        shard.replicas[2].resume()
        normal = await p99()
        shard.replicas[2].silent = True
        stalled = await p99()
        if stalled <= 2 * normal + reads.latencies.hedge_delay_s:
            return
    raise AssertionError(f"{stalled * 1000:.1f} ms with a stalled replica, {normal * 1000:.1f} ms without")
    shard.replicas[2].resume()


async def test_hedges_are_few_when_nobody_is_stalled(shard, client):
    for number in range(400):
        for replica in shard.replicas:
            replica.delay_s = 0.02 if number % 5 == 0 else 0.0  # every fifth read is slow, everywhere
        await client.account(ACCOUNT, "home")
    assert client.figures()["hedges_sent"] <= 400 * 0.05 + 10


# ---- refusals --------------------------------------------------------------------------------------------------------


async def test_what_a_follower_refuses_is_asked_again_at_the_primary(shard, client):
    for index in (1, 2):
        shard.replicas[index].refuses["home"] = NotFoundError("not here yet")
    answers = {(await client.account(ACCOUNT, "home"))[0] for _ in range(50)}
    assert answers == {0}
    assert client.figures()["follower_refusals"] >= 1


async def test_the_primarys_refusal_is_final(shard, client):
    shard.replicas[0].refuses["home"] = NotFoundError("nowhere")
    for index in (1, 2):
        shard.replicas[index].refuses["home"] = NotFoundError("not here yet")
    for _ in range(20):
        with pytest.raises(NotFoundError, match="nowhere"):
            await client.account(ACCOUNT, "home")


async def test_a_followers_refusal_counts_when_the_primary_stays_away(shard, client):
    await shard.stop(0)
    for index in (1, 2):
        shard.replicas[index].refuses["home"] = NotFoundError("not here yet")
    with pytest.raises(NotFoundError, match="not here yet"):
        await client.account(ACCOUNT, "home", timeout_s=0.4)


async def test_a_followers_refusal_counts_when_the_primary_is_silent_and_comes_before_the_deadline(shard, client):
    shard.replicas[0].silent = True
    for index in (1, 2):
        shard.replicas[index].refuses["home"] = NotFoundError("not here yet")
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(NotFoundError, match="not here yet"):
        await client.account(ACCOUNT, "home", timeout_s=3.0)
    assert loop.time() - start < 3.0 + 60.0
    shard.replicas[0].resume()


async def test_when_nobody_is_left_the_end_is_an_overload_at_the_deadline(shard, client):
    for index in range(3):
        await shard.stop(index)
    for op in ("home", "follow", "token", "status"):
        with pytest.raises(OverloadedError) as caught:
            await client.account(ACCOUNT, op, timeout_s=0.3)
        assert caught.value.retry_after_s


# ---- read your writes ------------------------------------------------------------------------------------------------


async def test_a_read_after_a_write_asks_followers_at_its_position(shard, client):
    assert (await client.account(ACCOUNT, "follow", 8)) == [0, 1, ACCOUNT, 8]
    assert shard.asked(0, "tracked") == [["follow", [ACCOUNT, 8]]]
    for _ in range(60):
        assert (await client.account(ACCOUNT, "home"))[1] == 1, "the write isn't seen"
    assert [1, "home", [ACCOUNT]] in shard.asked(1, "at") + shard.asked(2, "at"), "no follower was asked"
    shard.replicas[1].position = shard.replicas[2].position = 5
    assert await answering(client) == {0, 1, 2}


async def test_a_read_in_a_shape_is_one_of_what_it_wraps(shard, client):
    """It goes to followers, at the position of a write, and to the primary alone if it carries a token."""

    def home(*more):
        return client.call(BUCKET, "shaped", [9, "home", [ACCOUNT, *more]])

    assert {body[0] for body in await asyncio.gather(*(home() for _ in range(100)))} == {0, 1, 2}
    with_token = [ACCOUNT, 0, 0, 0, 20, 0, b"hash"]
    assert {(await home(*with_token[1:]))[0] for _ in range(60)} == {0}
    await client.account(ACCOUNT, "follow", 8)
    for _ in range(60):
        assert (await home())[1] == 1, "the write isn't seen"
    assert [1, "shaped", [9, "home", [ACCOUNT]]] in shard.asked(1, "at") + shard.asked(2, "at")


async def test_many_tweets_in_a_shape_may_be_of_any_bucket(shard, client):
    await client.account(ACCOUNT, "follow", 8)
    other = bucket_of_account(next(n for n in range(1, 100) if bucket_of_account(n) != BUCKET))
    for op, asks_at in (("user_timeline", False), ("tweets", True)):
        for _ in range(50):
            await client.call(other, "shaped", [9, op, [[1]]])
        assert bool(shard.asked(1, "at") or shard.asked(2, "at")) is asks_at


@pytest.mark.parametrize("args", [[], [9], [9, "home"], [9, 5, []], [9, "home", 5], [9, "home", [], 1]])
async def test_a_shape_that_wraps_nothing_is_refused_before_it_is_sent(shard, client, args):
    with pytest.raises(InvalidError, match="shaped takes"):
        await client.call(BUCKET, "shaped", args)


async def test_other_buckets_are_read_as_before(shard, client):
    await client.account(ACCOUNT, "follow", 8)
    other = next(n for n in range(1, 100) if bucket_of_account(n) != BUCKET)
    for _ in range(50):
        await client.account(other, "home")
    assert not shard.asked(1, "at")
    for _ in range(50):
        await client.account(other, "cards", [ACCOUNT])  # names and cards may be of any bucket
    assert shard.asked(1, "at") or shard.asked(2, "at")


async def test_positions_are_carried_from_one_client_to_another(shard, client):
    seen: dict[int, int] = {}
    await client.call(BUCKET, "follow", [ACCOUNT, 8], seen=seen)
    assert seen == {0: 1}
    other = await shard.open_client()
    for _ in range(60):
        assert (await other.call(BUCKET, "home", [ACCOUNT], seen=seen))[1] == 1
    behind = [(await other.call(BUCKET, "home", [ACCOUNT]))[1] for _ in range(60)]
    assert 0 in behind, "nobody was behind, so nothing was shown"
    other.close()


async def test_a_position_that_nobody_has_is_read_at_the_primary(shard, client):
    for _ in range(20):
        assert (await client.call(BUCKET, "home", [ACCOUNT], seen={0: 1 << 62, 200: 3}))[0] == 0


async def test_a_position_holds_after_a_failover(shard, client):
    await client.account(ACCOUNT, "follow", 8)
    shard.replicas[1].position = 1
    await shard.stop(0)
    shard.promote(1)
    for _ in range(30):
        assert (await client.account(ACCOUNT, "home", timeout_s=3.0))[1] == 1


# ---- fresh reads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "args", "fresh"),
    [
        ("token", [b"hash"], False), ("credentials", [], False), ("token_owner", [], False), ("names", [], False),
        ("home", [0, 0, 0, 20, 0, b"hash"], False), ("home", [0, 0, 0, 20, 0, b"hash", 8], False),
        ("token_scopes", [b"hash"], False), ("app", [], False), ("profile", [], True),
    ],
)  # fmt: skip
async def test_what_decides_about_access_comes_from_the_primary(shard, client, op, args, fresh):
    for _ in range(30):
        assert (await client.call(BUCKET, op, [ACCOUNT, *args], fresh=fresh))[0] == 0
    assert not shard.asked(1, op) + shard.asked(2, op)


@pytest.mark.parametrize("how", ["dead", "silent"])
async def test_a_fresh_read_turns_to_a_follower_when_the_primary_is_out_of_reach(shard, client, how):
    if how == "dead":
        await shard.stop(0)
    else:
        shard.replicas[0].silent = True
    for index in (1, 2):
        shard.replicas[index].refuses["token"] = UnauthorizedError("revoked")
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert (await client.account(ACCOUNT, "credentials", timeout_s=5.0))[0] in (1, 2)
    assert loop.time() - start >= 0.199  # uvloop's clock counts whole milliseconds, and 0.2 is no binary fraction
    assert (await client.account(ACCOUNT, "credentials", timeout_s=5.0))[0] in (1, 2)
    with pytest.raises(UnauthorizedError, match="revoked"):
        await client.account(ACCOUNT, "token", b"hash", timeout_s=5.0)
    shard.replicas[0].resume()


# ---- writes during a failover ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["follow", "status"])
async def test_what_waits_on_a_stopped_primary_goes_to_the_new_one_once_the_map_changes(shard, client, op):
    shard.replicas[0].silent = True
    call = asyncio.create_task(client.account(ACCOUNT, op, 8, timeout_s=60.0))
    sent = []
    client.send(BUCKET, op, [ACCOUNT, 9], 60.0, lambda *end: sent.append(end))
    await until(lambda: len(shard.replicas[0].held) == 2)
    shard.promote(1)
    assert (await call)[0] == 1
    await until(lambda: sent)
    assert sent[0][0][0] == 1
    assert not loads(client)[0].lane.closed, "the old primary is still good for reads"
    shard.replicas[0].resume()
    await asyncio.sleep(0.05)
    assert len(sent) == 1


async def test_a_new_map_that_nobody_announces_is_found_too(shard, client):
    shard.replicas[0].silent = True
    call = asyncio.create_task(client.account(ACCOUNT, "follow", 8, timeout_s=60.0))
    await until(lambda: len(shard.replicas[0].held) == 1)
    shard.promote(1, announce=False)
    assert (await call)[0] == 1
    shard.replicas[0].resume()


async def test_a_write_waits_for_the_promotion_and_fetches_few_maps(shard, client):
    await shard.stop(0)
    before, start = shard.fetch_count, time.monotonic()
    calls = [asyncio.create_task(client.account(ACCOUNT, "follow", n, timeout_s=120.0)) for n in range(50)]
    await asyncio.sleep(0.5)
    assert not any(call.done() for call in calls)
    assert shard.fetch_count - before <= (time.monotonic() - start) / MAP_REFRESH_INTERVAL_S + 1
    shard.promote(2)
    async with asyncio.timeout(60):
        assert {answer[0] for answer in await asyncio.gather(*calls)} == {2}


async def test_a_write_that_a_deposed_primary_refuses_is_retried_at_the_new_one(shard, client):
    shard.promote(1, announce=False)
    assert (await client.account(ACCOUNT, "follow", 8))[0] == 1


async def test_a_refused_write_is_refused_and_the_answer_to_tracked_is_checked(shard, client):
    shard.replicas[0].refuses["follow"] = NotFoundError("no such account")
    with pytest.raises(NotFoundError):
        await client.account(ACCOUNT, "follow", 8)
    shard.replicas[0].result = lambda op, args: "no position"
    with pytest.raises(Exception, match="without a position"):
        await client.account(ACCOUNT, "like", 8)


async def test_an_actor_call_to_a_dead_primary_is_given_up_when_another_is_promoted(shard):
    async def actor_call(actor_name, op, args):
        await asyncio.sleep(180)

    client = await shard.open_client(actor_call=actor_call)
    await shard.stop(0)
    call = asyncio.create_task(client.account(ACCOUNT, "follow", 8, timeout_s=120.0))
    await asyncio.sleep(0.2)
    await client.account(ACCOUNT, "home")  # so that there is a lane to hear the news on
    await until(lambda: client._groups[0].reads.usable())
    shard.promote(1)
    async with asyncio.timeout(60):  # the actor would have taken as long, too
        assert (await call)[0] == 1
    client.close()


async def test_the_actor_takes_tracked_writes_as_the_lane_does(shard):
    async def actor_call(actor_name, op, args):
        return shard.replicas[0].result(op, args)

    client = await shard.open_client(actor_call=actor_call)
    await shard.stop(0)
    seen: dict[int, int] = {}
    assert (await client.call(BUCKET, "follow", [ACCOUNT, 8], seen=seen))[0] == 0
    assert seen == {0: 1}
    client.close()


# ---- maps ------------------------------------------------------------------------------------------------------------


async def test_an_announced_epoch_is_fetched_once_and_other_news_is_passed_on(shard):
    pushed = []
    client = await shard.open_client(on_push=lambda *push: pushed.append(push))
    await client.account(ACCOUNT, "home")
    await until(lambda: client._groups[0].reads.complete)
    await asyncio.sleep(0.06)
    before = shard.fetch_count
    pushed.clear()  # of the lanes that have been opened
    shard.change()
    shard.announce()
    shard.replicas[0].server.push("map", "nonsense")
    shard.replicas[0].server.push("revoked", [1, b"hash"])
    await until(lambda: client.shard_map.epoch == shard.shard_map.epoch)
    await until(lambda: pushed == [("revoked", [1, b"hash"])])
    await asyncio.sleep(0.1)
    assert shard.fetch_count == before + 1
    client.close()


async def test_replicas_come_and_go_with_the_map(shard, client):
    alone = tuple(r for r in shard.shard_map.replicas if r.index == 0)
    everybody = shard.shard_map.replicas
    for replicas, several in ((alone, False), (everybody, True)) * 2:
        shard.change(replicas=replicas)
        await asyncio.sleep(0.06)
        await client._maps.refresh()
        assert (client._groups[0] is not None) is several
        for _ in range(20):
            assert (await client.account(ACCOUNT, "home"))[0] in (0, 1, 2)
        assert (await client.account(ACCOUNT, "follow", 8))[0] == 0
