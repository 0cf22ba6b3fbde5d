"""Scheduled tweets, and with them papers and what falls due: once each, whatever dies, wherever the account lives."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.entries import pack, unpack
from actors.core.errors import InvalidError, MovedError, NotFoundError, OverloadedError
from actors.core.features.scheduled import SCHEDULED
from actors.core.levels import LEVEL
from actors.core.moves import moving
from actors.core.replica import Replica
from actors.core.stores.papers import pack_document
from actors.core.verify import check, digest
from persistence.duckdb_checkpoint import DuckDBCheckpointStore
from tests.core.harness import NOW_MS, SMALL, Shards, memory_store
from tests.core.test_moving import Moving

SOON, LATER = NOW_MS + 60_000, NOW_MS + 120_000


class World(Shards):
    def __init__(self, level: int = LEVEL, tuning: limits.Tuning = SMALL) -> None:
        super().__init__(2, tuning, level)
        set_up(self)


def set_up(world: Any) -> None:
    world.ada, world.eve, world.bob = world.account_on(0), world.account_on(0, 1), world.account_on(1)
    world.register(world.ada, world.eve, world.bob)
    world.do("follow", world.bob, world.ada)
    world.home(world.bob)


def schedule(world: Shards, account: int, at_ms: int, text: str = "later", **more: Any) -> int:
    """Schedule a tweet; return its scheduled id."""
    args = (account, at_ms, text, more.get("visibility", 0), more.get("in_reply_to", 0), more.get("reply_author", 0))
    return int(orjson.loads(world.do("schedule", *args, b"", [], more.get("mentions", [])))["scheduled_id"])


def listed(world: Shards, account: int, before: int = 0, count: int = 20) -> list[int]:
    shown, _ = world.read("scheduled", account, before, count)
    return [int(orjson.loads(each)["scheduled_id"]) for each in shown]


def let_fall_due(world: Shards, now_ms: int) -> int:
    """Do what the leaders' clocks do; return how many things fell due."""
    world.now_ms, count = max(now_ms, world.now_ms), 0
    for shard, replica in enumerate(world.replicas):
        while (command := replica.due_command(now_ms)) is not None:
            count += world.run(shard, command)
    world.exchange()
    return count


def texts(world: Shards, account: int, viewer: int = 0) -> list[str]:
    """Return what an account's timeline says, newest first."""
    body, _, _ = world.read("user_timeline", account, viewer or account, 0, 0, 0, 50)
    return [tweet["status"] for tweet in orjson.loads(body)]


@pytest.fixture
def world():
    made = World()
    yield made
    made.check()
    for shard in (0, 1):
        assert digest(made.replayed(shard).state) == digest(made.replicas[shard].state)


def test_a_scheduled_tweet_is_published_at_its_time_and_not_before(world):
    scheduled_id = schedule(world, world.ada, SOON)
    assert (texts(world, world.ada), listed(world, world.ada)) == ([], [scheduled_id])
    assert let_fall_due(world, SOON - 1) == 0
    assert let_fall_due(world, SOON) == 1
    assert (texts(world, world.ada), listed(world, world.ada)) == (["later"], [])
    (tweet_id,) = world.home(world.bob)
    assert tweet_id >> 16 == SOON, "its id is of the moment when it was published"
    assert let_fall_due(world, LATER) == 0


def test_it_is_all_that_a_post_is(world):
    first = world.post(world.bob)
    schedule(
        world, world.ada, SOON, "for bob", visibility=2, in_reply_to=first, reply_author=world.bob, mentions=[world.bob]
    )
    let_fall_due(world, SOON)
    (tweet_id,) = (t for t in world.home(world.bob) if t != first)
    shown = orjson.loads(world.read("tweet", tweet_id, world.bob))
    assert (shown["status"], shown["visibility"], shown["in_reply_to"]) == ("for bob", "direct", str(first))
    assert texts(world, world.ada, world.eve) == []
    assert world.read("replies", first, world.bob, 0, 20) == [[tweet_id], 0]


def test_its_time_can_be_changed_and_it_can_be_cancelled(world):
    kept, gone = schedule(world, world.ada, SOON, "kept"), schedule(world, world.ada, SOON, "gone")
    assert (
        orjson.loads(world.do("reschedule", world.ada, kept, LATER))["scheduled_at"] == "Tue Nov 14 22:15:20 +0000 2023"
    )
    assert orjson.loads(world.do("unschedule", world.ada, gone))["status"] == "gone"
    assert let_fall_due(world, LATER - 1) == 0
    assert let_fall_due(world, LATER) == 1
    assert texts(world, world.ada) == ["kept"]
    for op, args in (("reschedule", [kept, LATER + 60_000]), ("unschedule", [gone]), ("scheduled_one", [kept])):
        call = world.read if op == "scheduled_one" else world.do
        with pytest.raises(NotFoundError, match="does not exist"):
            call(op, world.ada, *args)


def test_it_is_listed_in_pages_with_the_last_written_first_and_nobody_elses_is(world):
    made = []
    for _ in range(5):
        world.now_ms += 1
        made.append(schedule(world, world.ada, LATER))
    schedule(world, world.eve, LATER)
    first, before = world.read("scheduled", world.ada, 0, 2)
    assert (len(first), before) == (2, made[3])
    assert listed(world, world.ada, before) == made[2::-1]
    assert world.read("scheduled", world.ada, made[2], 2)[1] == 0
    with pytest.raises(NotFoundError):
        world.read("scheduled_one", world.eve, made[0])
    with pytest.raises(NotFoundError):
        world.do("unschedule", world.eve, made[0])


@pytest.mark.parametrize(
    ("ahead_ms", "right"),
    [(limits.SCHEDULED_LEAD_MS - 1, "or later"), (-1, "or later"), (limits.SCHEDULED_AHEAD_MS + 1, "at the latest")],
    ids=["too near", "gone by", "too far"],
)
def test_a_time_that_is_too_near_or_too_far_is_refused_and_the_right_one_named(world, ahead_ms, right):
    with pytest.raises(InvalidError, match=f"scheduled_at must be .* {right}, not "):
        schedule(world, world.ada, world.now_ms + ahead_ms)
    scheduled_id = schedule(world, world.ada, SOON)
    with pytest.raises(InvalidError, match="scheduled_at must be"):
        world.do("reschedule", world.ada, scheduled_id, world.now_ms + ahead_ms)


def test_an_account_has_a_bounded_number_and_a_shard_bounded_bytes(monkeypatch):
    monkeypatch.setattr("actors.core.features.scheduled.SCHEDULED", replace(SCHEDULED, limit=2))
    world = World(tuning=replace(SMALL, papers_bytes_max=2_000))
    first, _ = schedule(world, world.ada, SOON), schedule(world, world.ada, SOON)
    with pytest.raises(InvalidError, match="an account may have 2 scheduled tweets; take some back"):
        schedule(world, world.ada, SOON)
    world.do("unschedule", world.ada, first)
    schedule(world, world.ada, SOON)
    with pytest.raises(OverloadedError, match="this shard holds 2000 bytes of papers, its limit"):
        schedule(world, world.eve, SOON, "x" * 2_000)


def test_nothing_is_scheduled_until_the_whole_cluster_knows_of_it():
    world = World(level=0)
    with pytest.raises(OverloadedError, match="being upgraded"):
        schedule(world, world.ada, SOON)
    store = memory_store()
    world.seal_into(0, store)
    assert not len(store.load().tables["papers"]["owner"])
    for shard in (0, 1):
        world.run(shard, ["level", LEVEL])
    assert listed(world, world.ada) == []
    assert schedule(world, world.ada, SOON)


def test_a_full_shard_publishes_once_it_has_room(world):
    schedule(world, world.ada, SOON)
    world.replicas[0].state.tuning = replace(SMALL, tweets_max=0)
    with pytest.raises(OverloadedError, match="holds 0 tweets"):
        let_fall_due(world, SOON)
    world.replicas[0].state.tuning = SMALL
    assert let_fall_due(world, LATER) == 1
    assert texts(world, world.ada) == ["later"]


def test_many_that_are_due_at_once_are_published_some_at_a_time_in_their_order(world, monkeypatch):
    monkeypatch.setattr(limits, "DUE_COUNT_MAX", 2)
    for number, at_ms in enumerate((SOON + 1, SOON, SOON, SOON + 2, SOON)):
        world.now_ms += 1
        schedule(world, world.ada, at_ms, str(number))
    assert len(world.replicas[0].due_command(LATER)[2]) == 2
    assert let_fall_due(world, LATER) == 5
    assert texts(world, world.ada) == ["3", "0", "4", "2", "1"]


def test_a_command_that_comes_twice_publishes_once(world):
    schedule(world, world.ada, SOON)
    command = world.replicas[0].due_command(SOON)
    assert (world.run(0, command), world.run(0, command)) == (1, 0)
    world.exchange()
    assert texts(world, world.ada) == ["later"]


def test_what_was_put_off_or_cancelled_since_the_leader_looked_is_left_alone(world):
    off, gone = schedule(world, world.ada, SOON), schedule(world, world.ada, SOON)
    command = world.replicas[0].due_command(SOON)
    world.do("reschedule", world.ada, off, LATER)
    world.do("unschedule", world.ada, gone)
    assert world.run(0, command) == 0
    assert listed(world, world.ada) == [off]


def test_a_journal_cut_anywhere_publishes_each_once_after_the_next_leader_has_looked(world):
    """Whatever a kill leaves of the journal: who comes back looks again, and nothing is published twice or never."""
    tweets = {"one": SOON, "two": SOON, "three": LATER}
    for text, at_ms in tweets.items():
        schedule(world, world.ada, at_ms, text)
    scheduled_at = len(world.journals[0])
    let_fall_due(world, SOON)
    world.post(world.ada, "between")
    let_fall_due(world, LATER)
    journal = world.journals[0]
    for cut in range(scheduled_at, len(journal) + 1):
        back = Replica(0, world.owner, world.tuning)
        for position, record in enumerate(journal[:cut], start=1):
            back.replay(position, record)
        while (command := back.due_command(LATER + 1)) is not None:
            back.command(command)
        shown = [tweet["status"] for tweet in orjson.loads(back.read("user_timeline", [world.ada, 0, 0, 0, 0, 50])[0])]
        assert sorted(text for text in shown if text != "between") == sorted(tweets), cut
        assert (back.read("scheduled", [world.ada, 0, 20]), check(back.state)) == ([[], 0], []), cut


def test_a_key_that_is_repeated_schedules_once(world):
    args = [world.ada, SOON, "later", 0, 0, 0, b"", [], []]
    first = world.do("keyed", world.ada, b"key", b"print", "schedule", args)
    assert world.do("keyed", world.ada, b"key", b"print", "schedule", args) == first
    assert len(listed(world, world.ada)) == 1
    let_fall_due(world, SOON)
    assert world.do("keyed", world.ada, b"key", b"print", "schedule", args) == first, "also once it is published"
    assert texts(world, world.ada) == ["later"]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(("schedule", "schedule", "later", "cancel", "wait", "seal", "recover")),
        st.integers(0, 2), st.integers(0, 5),
    ), max_size=20,
)  # fmt: skip


def live_through(stores: list[Any], acts: list[tuple[str, int, int]]) -> None:
    """Do random acts beside a dict that says what is to be published when; recover from checkpoint and journal."""
    world = World()
    people, waiting, published = (world.ada, world.eve, world.bob), dict[tuple[int, int], tuple[int, str]](), []
    sealed_at = [0, 0]
    for number, (what, who, which) in enumerate(acts):
        account, world.now_ms = people[who], world.now_ms + 1
        mine = [place for place in waiting if place[0] == account]
        place = mine[which % len(mine)] if mine else None
        at_ms = world.now_ms + limits.SCHEDULED_LEAD_MS + 2_000 * which
        if what == "schedule":
            waiting[account, schedule(world, account, at_ms, str(number))] = at_ms, str(number)
        elif what == "later" and place:
            world.do("reschedule", *place, at_ms)
            waiting[place] = at_ms, waiting[place][1]
        elif what == "cancel" and place:
            world.do("unschedule", *place)
            del waiting[place]
        elif what == "wait":
            now_ms = world.now_ms + 4_000 * which
            due = [place for place, (at_ms, _) in waiting.items() if at_ms <= now_ms]
            published += [waiting.pop(place)[1] for place in due]
            assert let_fall_due(world, now_ms) == len(due)
        elif what == "seal":
            world.seal_into(which % 2, stores[which % 2])
            sealed_at[which % 2] = len(world.journals[which % 2])
        elif what == "recover":
            shard = which % 2
            before, at = digest(world.replicas[shard].state), sealed_at[shard]
            fresh = world.restore_from(shard, stores[shard]) if at else Replica(shard, world.owner, SMALL)
            for position, record in enumerate(world.journals[shard][at:], start=at + 1):
                fresh.replay(position, record)
            world.replicas[shard] = fresh
            assert digest(fresh.state) == before
        world.check()
    for account in people:
        assert sorted(listed(world, account)) == sorted(key for owner, key in waiting if owner == account)
    assert sorted(text for account in people for text in texts(world, account)) == sorted(published)


@given(ACTS)
@settings(max_examples=40)
def test_whatever_happens_each_is_published_once_and_a_restore_knows_the_times(acts):
    live_through([memory_store(), memory_store()], acts)


def test_papers_rest_in_duckdb_too(tmp_path):
    acts = [("schedule", i % 3, i % 6) for i in range(9)]
    acts = [*acts, ("seal", 0, 0), ("seal", 0, 1), ("cancel", 0, 1), ("wait", 0, 3), ("schedule", 1, 2)]
    acts += [("recover", 0, 0), ("recover", 0, 1), ("seal", 0, 0), ("recover", 0, 0), ("wait", 0, 5)]
    stores = [DuckDBCheckpointStore(tmp_path / f"{shard}.duckdb", shard, TABLES) for shard in (0, 1)]
    live_through(stores, acts)
    for store in stores:
        store.close()


def test_what_is_scheduled_moves_with_its_account_and_is_published_there_alone(monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", 300)  # so that a piece holds one document
    world = Moving()
    world.run(0, ["level", LEVEL])
    set_up(world)
    for text, at_ms in (("soon", SOON), ("later", LATER)):
        schedule(world, world.ada, at_ms, text)
    before = listed(world, world.ada)
    steps = itertools.count()
    since: list[int] = []

    def between() -> None:
        """Write one more while the others are under way; ask both shards at each step what is due."""
        if next(steps) == 3:
            since.append(schedule(world, world.ada, LATER, "between"))
        assert [replica.due_command(SOON - 1) for replica in world.replicas] == [None, None]
        looked = [replica.state.papers.due.next_ms for replica in world.replicas if not replica.state.frozen]
        assert looked.count(SOON) == len(looked) // 2, "of two that may act one knows, and none while one is frozen"

    world.between = between
    world.move(1, world.ada)
    world.between = lambda: None
    assert world.shard_of(world.ada) == 1
    assert listed(world, world.ada) == since + before
    world.sweep()
    world.check()
    assert world.replicas[0].due_command(LATER) is None
    assert let_fall_due(world, SOON) == 1
    world.move(0, world.ada)
    world.sweep()
    assert world.replicas[1].due_command(LATER) is None
    assert let_fall_due(world, LATER) == 2
    assert sorted(texts(world, world.ada)) == ["between", "later", "soon"]
    world.check()


def test_a_part_with_papers_that_are_none_is_refused():
    world = Moving()
    set_up(world)
    number, buckets = 7, [world.owner.index(0)]
    world.ask(1, "take", number, buckets)
    bad: list[list[Any]] = [
        ["papers", 99, world.ada, True, []], ["papers", 6, world.ada, True, []], ["papers", 6, 1, 1, []],
    ]  # fmt: skip
    good = {0: SOON, 1: 0, 2: 0, 3: 0, 4: b"x", 5: []}
    for spoilt in ({**good, 0: 0}, {**good, 4: b""}, {**good, 1: 1 << 9}, {0: SOON}, "x"):
        bad.append(["papers", 6, world.ada, True, [[1, pack_document(spoilt)]]])
    for item in bad:
        answer = world.ask(1, "take_part", number, pack([item]))
        assert isinstance(answer, Exception), item


def test_a_checkpoint_with_papers_of_a_kind_that_this_code_does_not_know_is_refused(world):
    schedule(world, world.ada, SOON)
    store = memory_store()
    world.seal_into(0, store)
    checkpoint = store.load()
    checkpoint.tables["papers"]["kind"][:] = 99
    with pytest.raises(ValueError, match=r"papers of kinds \[99\], which a newer version wrote"):
        Replica(0, world.owner, SMALL).load(checkpoint)


def test_papers_go_with_their_account(world):
    schedule(world, world.ada, SOON)
    state = world.replicas[0].state
    copy = world.replayed(0).state
    copy.shelves.clear_account(world.ada)
    assert (copy.papers.keys(SCHEDULED, world.ada), len(copy.papers.due)) == ([], 0)
    assert copy.papers.check() == []
    assert len(state.papers.due) == 1


def test_a_request_for_another_shards_account_is_answered_with_moved(world):
    for op, args in (("scheduled", [0, 20]), ("scheduled_one", [5])):
        with pytest.raises(MovedError):
            world.replicas[0].read(op, [world.bob, *args])
    with pytest.raises(MovedError):
        world.write_on(0, "unschedule", [world.bob, 5])


def test_a_scheduled_id_is_never_a_tweets(world):
    scheduled_id = schedule(world, world.ada, SOON)
    command = unpack(world.journals[0][-1])
    assert command[:3] == ["schedule", world.ada, scheduled_id]
    world.do("unschedule", world.ada, scheduled_id)
    fresh = world.replayed(0)
    assert fresh.lookups.next_tweet_id(world.ada, NOW_MS) > scheduled_id
