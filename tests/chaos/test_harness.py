"""The harness itself: it finds what it is there to find, follows from its seed, and spoils connections as told."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from functools import partial

import pytest

from actors.shard.places import shard_directory
from bench.processes import free_port
from commands.checking import Outcome as Found
from tests.chaos.availability import Availability, Kill, Request
from tests.chaos.clients import ReadProbe
from tests.chaos.disk import small_disk
from tests.chaos.faults import KINDS, ROLES, plan
from tests.chaos.lanes import DELAY_S, LaneProxy
from tests.chaos.ledger import Ledger, Outcome, Post, Register
from tests.chaos.processes import place_of
from tests.chaos.proxy import Proxy
from tests.chaos.verify import Served, compare

ADA, BEN = 11, 12


def a_run() -> tuple[Ledger, Served]:
    """Ada wrote three tweets, deleted one, and Ben follows her and likes one; all acknowledged and served."""
    ledger = Ledger(names={ADA: Register({"Ada"}), BEN: Register({""})})
    for tweet_id, text in ((101, "one"), (102, "two"), (103, "three")):
        post = Post(ADA, text, f"key {text}", 0)
        ledger.posts.append(post)
        ledger.posted(post, Outcome.ACKNOWLEDGED, tweet_id)
    ledger.by_id[103].deleted = Outcome.ACKNOWLEDGED
    ledger.follows[BEN, ADA] = Register({True})
    ledger.likes[BEN, 101] = Register({True})
    served = Served(
        tweets={i: _tweet(i, text, likes) for i, text, likes in ((101, "one", 1), (102, "two", 0))},
        follows={ADA: [], BEN: [ADA]}, followers={ADA: [BEN], BEN: []},
        profiles={ADA: _profile("Ada", 1, 0, 2), BEN: _profile("", 0, 1, 0)},
    )  # fmt: skip
    served.listed.update((101, 102))
    return ledger, served


def _tweet(tweet_id, text, likes):
    return {"tweet_id": str(tweet_id), "user_id": str(ADA), "status": text, "in_reply_to": None,
            "counts": {"likes": likes}}  # fmt: skip


def _profile(name, followers, following, tweets):
    return {"display_name": name, "counts": {"followers": followers, "following": following, "tweets": tweets}}


def problems_of(ledger, served):
    found = Found()
    compare(ledger, served, found)
    return found.problems


def test_what_is_as_acknowledged_is_no_problem():
    assert problems_of(*a_run()) == []


def drop_a_tweet(ledger, served):
    del served.tweets[102], served.listed[102]
    served.profiles[ADA] = _profile("Ada", 1, 0, 1)


def double_a_tweet(ledger, served):
    served.tweets[104] = _tweet(104, "two", 0)
    served.profiles[ADA] = _profile("Ada", 1, 0, 3)


def bring_back_a_deleted_tweet(ledger, served):
    served.tweets[103] = _tweet(103, "three", 0)
    served.profiles[ADA] = _profile("Ada", 1, 0, 3)


def lose_a_follow(ledger, served):
    served.follows[BEN] = served.followers[ADA] = []
    served.profiles |= {ADA: _profile("Ada", 0, 0, 2), BEN: _profile("", 0, 0, 0)}


def forget_a_follower(ledger, served):
    served.followers[ADA] = []
    served.profiles[ADA] = _profile("Ada", 0, 0, 2)


def invent_a_tweet(ledger, served):
    served.tweets[105] = _tweet(105, "never written", 0)
    served.profiles[ADA] = _profile("Ada", 1, 0, 3)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (drop_a_tweet, "was acknowledged, and is gone"),
        (double_a_tweet, "'two' exists 2 times"),
        (bring_back_a_deleted_tweet, "whose delete was acknowledged, is there"),
        (invent_a_tweet, "'never written' exists, and nobody wrote it"),
        (lose_a_follow, "12 -> 11 should be True, and is not"),
        (forget_a_follower, "11 doesn't list its follower 12"),
        (lambda ledger, served: served.listed.update([101]), "tweet 101 is listed 2 times"),
        (lambda ledger, served: served.follows[BEN].append(ADA), "is listed 2 times"),
        (lambda ledger, served: served.tweets[101]["counts"].update(likes=0), "has 0 likes, not 1 to 1"),
        (lambda ledger, served: served.tweets[101]["counts"].update(likes=2), "has 2 likes, not 1 to 1"),
        (lambda ledger, served: served.profiles[ADA].update(display_name="Eve"), "the name of 11 should be 'Ada'"),
    ],
)
def test_every_kind_of_loss_is_found(spoil, problem):
    ledger, served = a_run()
    spoil(ledger, served)
    assert any(problem in found for found in problems_of(ledger, served)), problems_of(ledger, served)


def test_what_is_unknown_may_be_either_way_but_not_twice():
    ledger, served = a_run()
    unsure = Post(ADA, "perhaps", "", 0)
    ledger.posts.append(unsure)
    ledger.posted(unsure, Outcome.UNKNOWN, 0)
    assert problems_of(ledger, copy.deepcopy(served)) == []
    for count, tweet_id in enumerate((201, 202), 3):
        served.tweets[tweet_id] = _tweet(tweet_id, "perhaps", 0)
        served.profiles[ADA] = _profile("Ada", 1, 0, count)
        assert len(problems_of(ledger, served)) == count - 3


def test_ids_of_an_author_that_repeat_or_fall_are_a_problem():
    ledger, _ = a_run()
    for tweet_id in (103, 50):
        ledger.posted(Post(ADA, f"late {tweet_id}", "", 0), Outcome.ACKNOWLEDGED, tweet_id)
    assert [problem.split(":")[0] for problem in ledger.problems] == [
        "'late 103' and 'three' were given the same id 103", "11 was given the id 103 after 103",
        "11 was given the id 50 after 103",
    ]  # fmt: skip


def test_the_plan_follows_from_the_seed_and_holds_what_was_chosen():
    def first(seed, kinds=KINDS, roles=ROLES):
        return list(itertools.islice(plan(seed, kinds, roles), 300))

    assert first(1) == first(1) != first(2)
    assert {fault.kind for fault in first(3)} == set(KINDS)
    assert {(fault.kind, fault.role) for fault in first(3, ["kill"], ["api"])} == {("kill", "api")}
    assert min(fault.after_s for fault in first(4)) < 0.1, "faults come close together, too"


def test_a_gap_runs_from_the_kill_to_the_first_write_that_was_sent_later_and_acknowledged():
    measured = Availability(kills=[Kill("shard", 10.0, 0), Kill("shard", 20.0, 1), Kill("api", 30.0, None)])
    measured.writes = [
        Request(0, 9.9, 10.1, True),  # sent before the kill
        Request(0, 10.2, 10.3, False),
        Request(0, 10.4, 13.0, True),
        Request(0, 10.6, 12.5, True),
        Request(1, 31.0, 31.5, True),
    ]
    measured.reads = [Request(0, 10.0, 12.0, True), Request(0, 13.0, 13.1, False), Request(1, 12.0, 12.1, True)]
    report = measured.report()
    assert report["write gaps"]["shard"] == {"kills": 2, "median_s": 7.0, "p99_s": 11.5, "worst_s": 11.5, "open": 0}
    assert report["write gaps"]["api"]["worst_s"] == 1.5
    assert report["reads"]["of a shard under a kill"]["unavailable_share"] == 1.0
    assert report["reads"]["all"] == {
        "count": 3, "repeated": 0, "failed_share": 0.333333, "slow_share": 0.333333, "unavailable_share": 0.666667,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "heard", "answered"),
    [
        ("", b"request", b"answer"),
        ("delay", b"request", b"answer"),
        ("cut_request", None, b""),
        ("cut_answer", b"request", None),
        ("half_close", b"request", None),
    ],
)
async def test_the_proxy_spoils_the_part_of_an_exchange_that_its_mode_says(mode, heard, answered):
    """None: a part of it, perhaps nothing."""
    arrived = bytearray()

    async def serve(reader, writer):
        arrived.extend(await reader.read(100))
        if arrived == b"request":
            writer.write(b"answer")
        await writer.drain()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    proxy = Proxy(port, 1)
    await proxy.start()
    proxy.set_mode(mode)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"request")
    got = await reader.read(-1)
    writer.close()
    await proxy.close()
    server.close()
    assert bytes(arrived) == heard if heard is not None else len(arrived) < len(b"request")
    assert got == answered if answered is not None else b"answer".startswith(got)
    assert proxy.spoiled_count == (mode not in ("", "delay"))


async def test_a_held_connection_goes_on_and_a_cut_one_ends():
    async def echo(reader, writer):
        while piece := await reader.read(100):
            writer.write(piece)

    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    proxy = Proxy(port, 1)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.set_mode("hold")
    writer.write(b"waits")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(100), 0.2)
    proxy.set_mode("")
    assert await reader.readexactly(5) == b"waits"
    proxy.set_mode("cut")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    await proxy.close()
    server.close()


@pytest.mark.parametrize("mode", ["hold", "cut", "delay"])
async def test_a_lane_proxy_takes_the_place_of_a_socket_and_of_the_one_that_replaces_it(tmp_path, mode):
    async def answer(name, reader, writer):
        while piece := await reader.read(100):
            writer.write(name + piece)

    async def listen(name):
        """Put a socket at the path as LaneServer does."""
        server = await asyncio.start_unix_server(partial(answer, name), tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "lane.sock")
        return server

    async def ask(patience_s=60.0):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "lane.sock")
        writer.write(b" here")
        return reader, await asyncio.wait_for(reader.read(100), patience_s)

    servers = [await listen(b"first")]
    proxy = LaneProxy(tmp_path / "lane.sock", 1)
    await proxy.take_place()
    reader, said = await ask()
    assert said == b"first here"
    servers.append(await listen(b"second"))
    await proxy.take_place()
    assert (await ask())[1] == b"second here"
    proxy.set_mode(mode)
    if mode == "hold":
        with pytest.raises(TimeoutError):
            await ask(2 * DELAY_S[1])
    elif mode == "cut":
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(100) == b"", "it ends"
        assert (await ask())[1] == b"second here"
    else:
        assert (await ask())[1] == b"second here"
    proxy.set_mode("")
    assert (await ask())[1] == b"second here"
    await proxy.close()
    assert (await ask())[1] == b"second here"
    for server in servers:
        server.close()


@pytest.mark.parametrize("place", [(0, 0), (7, 2), (12, 10)])
def test_a_replicas_folder_says_which_it_is(tmp_path, place):
    assert place_of(shard_directory(tmp_path, *place)) == place


async def test_a_read_whose_connection_breaks_is_repeated_and_counts_once():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        nonlocal count
        count += 1
        if count > 2:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
        writer.close()

    count, port, measured = 0, free_port(), Availability()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    probe = ReadProbe(port, 0, [ADA], measured)
    await probe._read(ADA)
    assert [(read.served, read.repeats, read.why) for read in measured.reads] == [(True, 2, "")]
    server.close()
    await probe._read(ADA)
    failed = measured.unavailable_reads()
    assert [(read.served, read.slow) for read in failed] == [(False, True)], "nobody listens"
    probe.stop()
    await probe.run()


def test_a_small_disk_is_full_until_it_is_freed_or_says_why_it_is_not_there(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        if isinstance(disk, str):
            assert disk
            return
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "file").write_bytes(bytes(4096))
        disk.free()
        (disk.folder / "file").write_bytes(bytes(4096))
