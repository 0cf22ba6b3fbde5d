"""Accounts that are deleted: in pieces, across moves, seals and messages under way, until nothing is left of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.core import ids, leaving, limits
from actors.core.entries import unpack
from actors.core.errors import ConflictError, NotFoundError, OverloadedError, UnauthorizedError
from actors.core.features.deletion import delete_account
from actors.core.moves import moving
from actors.core.stores.people import FIRST_FIELDS, NO_LONGER
from actors.core.terms import Owner
from actors.core.verify import check, digest
from tests.core.harness import SMALL, Shards, memory_store, packed_original
from tests.core.test_moving import Moving

KEY, PRINT = b"leaving", b"print"


def clear(shards, count=3, rounds=1_000):
    """Do what the shells do: pieces, and what they tell, until nobody is leaving."""
    for _ in range(rounds):
        pieces = [(shard, replica.leavings.next_piece()) for shard, replica in enumerate(shards.replicas)]
        if not any(piece for _, piece in pieces):
            return
        for shard, piece in pieces:
            if piece is not None:
                shards.run(shard, [*piece[:2], count])
        shards.exchange()
    raise AssertionError("it goes on for ever")


def referred(replica):
    """Return every account that a shard has something of, or about."""
    state = replica.state
    found = {*state.people.row_of, *state.people.leaving, *state.people.away, *state.waking, *state.pull_shards}
    found |= {*state.people.token_owner.values()} | {held for held, _ in state.people.names.values()}
    for arena in (state.graph.following, state.graph.followers):
        found |= {other for row in range(state.people.row_count) for other in arena.view(row).tolist()}
    found |= {other for kind in state.graph.relations for others in kind.values() for other in others}
    found |= set(state.tweets.columns["author_id"][state.tweets.slots()].tolist())
    for kind in state.shelves.kinds.values():
        places, keys, _ = state.shelves.marks.dump(kind.number)
        found |= set(state.shelves.owners_of(kind, places).tolist()) if kind.owner is Owner.ACCOUNT else set()
        found |= set(keys.tolist()) if kind.key is Owner.ACCOUNT else set()
    return found | {owner for (owner, key) in state.idempotency if key != KEY}


def is_whole(shards):
    """Every shard is sound, and its journal and its checkpoint give the same state."""
    shards.check()
    for shard, before in enumerate(shards.digests()):
        assert digest(shards.replayed(shard).state) == before
        store = memory_store()
        fresh = shards.replayed(shard)
        store.write(fresh.state.position, 1, fresh.seal())
        restored = type(fresh)(shard, shards.owner, shards.tuning)
        restored.load(store.load())
        assert digest(restored.state) == before
        assert check(restored.state) == []


def entangled(shards):
    """Make ada, and four others who have to do with her in every way there is."""
    count, send = len(shards.replicas), shards.send
    shards.everybody = [shards.account_on(n % count, 1 + n // count) for n in range(4)]
    shards.ada = shards.account_on(0)
    shards.do("register", "ada", shards.ada, "Ada", "Poet", "hash", [b"phone"])
    shards.register(*shards.everybody)
    for one in (shards.ada, *shards.everybody):
        for other in (shards.ada, *shards.everybody):
            if one != other:
                send("follow", one, other)
    shards.exchange()
    shards.of_ada = [shards.post(shards.ada, f"tweet {n}", key=b"key %d" % n) for n in range(3)]
    shards.of_ada.append(shards.post(shards.ada, "for you", visibility=2, mentions=shards.everybody[:2]))
    shards.of_others = [shards.post(other, "mine") for other in shards.everybody]
    for other, tweet in list(zip(shards.everybody, shards.of_others, strict=True)):
        send("like", other, shards.of_ada[0])
        send("like", shards.ada, tweet)
        send("bookmark", shards.ada, tweet)
        send("bookmark", other, shards.of_ada[1])
        shards.of_ada.append(shards.post(shards.ada, "indeed", in_reply_to=tweet, reply_author=other))
        shards.of_others.append(shards.post(other, "no", in_reply_to=shards.of_ada[0], reply_author=shards.ada))
        send("repost", shards.ada, shards.read("tweet_ref", tweet, shards.ada)[3])
        send("repost", other, shards.read("tweet_ref", shards.of_ada[1], other)[3])
    send("block", shards.ada, shards.everybody[0])
    send("block", shards.everybody[1], shards.ada)
    send("mute", shards.ada, shards.everybody[2])
    send("mute", shards.everybody[3], shards.ada)
    shards.exchange()
    for other in shards.everybody:
        shards.home(other)
    shards.run(0, ["flush_counts"])
    shards.exchange()
    return shards


def nothing_is_left(shards):
    for replica in shards.replicas:
        assert shards.ada not in referred(replica)
        for tweet in shards.of_ada:
            n = replica.state.arrivals.number_of.get(tweet)
            assert n is None or replica.state.arrivals.entry(n).flags & 16
    for other in shards.everybody:
        state, row = shards.state_of(other), shards.row_of(other)
        others = [o for o in shards.everybody if o != other]
        hidden = {shards.ada} if other in shards.everybody[:2] else set()
        assert set(state.graph.following.view(row).tolist()) == set(others) - hidden
        for tweet in state.tweets.log.view(row).tolist():
            entry = state.tweets.get(tweet)
            assert not entry.is_repost, "a repost outlived what it reposts"
            assert entry[6:9] == (0, 0, 0)


@pytest.fixture
def shards():
    return entangled(Shards(3))


@pytest.mark.parametrize("count", [1, 2, 7, 1_000])
def test_an_account_goes_in_pieces_of_any_size_and_leaves_nothing(shards, count):
    assert shards.do("delete_account", shards.ada, "hash") is True
    clear(shards, count)
    nothing_is_left(shards)
    is_whole(shards)
    for other in shards.everybody:
        assert set(shards.home(other)) <= set(shards.of_others)


def test_a_piece_is_never_larger_than_it_may_be(shards, monkeypatch):
    shards.do("delete_account", shards.ada)
    state, before = shards.state_of(shards.ada), None
    while shards.ada in state.people.leaving:
        row = state.people.leaving[shards.ada]
        arenas = (state.tweets.log, state.graph.following, state.graph.followers)
        things = sum(len(arena.view(row)) for arena in arenas)
        things += sum(state.shelves.count(kind, shards.ada) for kind in state.shelves.kinds_of(Owner.ACCOUNT))
        things += sum(len(kind.get(row, ())) for kind in state.graph.relations)
        assert before is None or before - things in (5, 0) or things < 5
        before = things
        shards.run(0, ["clear_left", shards.ada, 5])


def test_from_the_answer_on_nobody_finds_it_though_its_pieces_have_still_to_go(shards):
    waiting = shards.of_others[0]
    shards.do("delete_account", shards.ada, "hash")
    reads = [(op, shards.ada) for op in ("account", "credentials", "tokens")]
    reads += [("profile", shards.ada, 0), ("followers", shards.ada, 0, 0, 20), ("likes", shards.ada, 0, 20)]
    reads += [("user_timeline", shards.ada, 0, 0, 0, 0, 20)]
    reads += [(op, shards.of_ada[0], 0) for op in ("tweet", "seen", "tweet_ref")]
    reads += [("lineage", shards.of_ada[0], 0, 5), ("likers", shards.of_ada[0], 0, 0, 20)]
    for read in reads:
        with pytest.raises(NotFoundError):
            shards.read(*read)
    for write in (("post", shards.ada, "x", 0, 0, 0, b"", [], [], None), ("like", shards.ada, waiting)):
        with pytest.raises(NotFoundError):
            shards.do(*write)
    with pytest.raises(UnauthorizedError):
        shards.read("token", shards.ada, b"phone")
    assert shards.replicas[0].read("token_owner", [b"phone"]) == 0
    assert shards.replicas[0].read("cards", [[shards.ada]]) == [None]
    assert shards.read("tweets", [shards.of_ada[0]], shards.everybody[3]) == [[None]]
    assert shards.state_of(shards.ada).revoked[-1] == (shards.ada, None)
    row = shards.state_of(shards.ada).people.accounts[shards.state_of(shards.ada).people.leaving[shards.ada]].to_row()
    assert row[3:FIRST_FIELDS] == ["", "", "", "", "", [], None, []]
    is_whole(shards)


def test_its_name_belongs_to_nobody_for_ever(shards):
    shards.do("delete_account", shards.ada)
    owner = shards.replicas[shards.shard_for("register", ["ada"])]
    assert owner.state.people.names["ada"] == (NO_LONGER, False)
    clear(shards)
    for account_id in (shards.ada, 12_345):
        with pytest.raises(ConflictError):
            shards.do("register", "Ada", account_id, "", "", None, [])
    assert owner.read("names", [["ada"]]) == [0]
    is_whole(shards)


def test_its_id_is_not_given_to_another_while_it_is_leaving(shards):
    shards.do("delete_account", shards.ada)
    name = next(n for n in (f"n{i}" for i in range(99)) if shards.shard_for("register", [n]) != 0)
    shards.do("register", name, shards.ada, "", "", None, [])
    assert name not in shards.replicas[shards.shard_for("register", [name])].state.people.names
    assert shards.ada not in shards.state_of(shards.ada).people.row_of
    clear(shards)
    nothing_is_left(shards)
    is_whole(shards)


def test_asked_twice_it_is_deleted_once_and_by_its_key_the_answer_is_the_same(shards):
    request = ("keyed", shards.ada, KEY, PRINT, "delete_account", [shards.ada, "hash"])
    assert shards.do(*request) is True
    records = len(shards.journals[0])
    assert shards.do(*request) is True
    assert shards.do("delete_account", shards.ada, "wrong") is True  # it is on its way
    assert len(shards.journals[0]) == records
    clear(shards)
    assert shards.do(*request) is True
    assert shards.read("answered", shards.ada, KEY, PRINT) == [True]
    with pytest.raises(ConflictError):
        shards.read("answered", shards.ada, KEY, b"another")
    for op, args in (("delete_account", [shards.ada]), ("answered", [shards.ada, b"key 0", PRINT])):
        with pytest.raises(NotFoundError):
            shards.do(op, *args) if op == "delete_account" else shards.read(op, *args)
    nothing_is_left(shards)
    is_whole(shards)


def test_another_password_meanwhile_is_a_conflict(shards):
    with pytest.raises(ConflictError):
        shards.do("delete_account", shards.ada, "old hash")
    assert shards.read("credentials", shards.ada) == ["hash"]


def test_below_level_1_nothing_is_deleted():
    world = Shards(level=0)
    world.register(1)
    with pytest.raises(OverloadedError, match="upgraded"):
        world.do("delete_account", 1)
    world.do("mute", 1, 2)
    commands = [unpack(record)[0] for journal in world.journals for record in journal]
    assert not {"delete_account", "clear_left"} & set(commands)
    assert not any(
        b"muted" in message for r in world.replicas for o in r.state.outboxes.values() for *_, message in o.waiting
    )


@pytest.mark.parametrize("when", ["leaving", "gone"])
def test_what_is_under_way_to_it_leaves_nothing_behind(shards, when):
    late = shards.account_on(1, 9)
    shards.register(late)
    before = shards.of_ada[0], packed_original(shards.ada, shards.of_ada[1])
    shards.send("delete_account", shards.ada)
    if when == "gone":
        for _ in range(99):
            shards.run(0, ["clear_left", shards.ada, 100])
        assert shards.ada not in shards.state_of(shards.ada).people.leaving
    shards.send("follow", late, shards.ada)
    shards.send("like", late, before[0])
    shards.send("bookmark", late, before[0])
    shards.send("repost", late, before[1])
    shards.send("mute", late, shards.ada)
    shards.send("post", late, "reply", 0, before[0], shards.ada, b"", [], [shards.ada], None)
    shards.send("block", shards.everybody[3], shards.ada)
    shards.exchange()
    clear(shards)
    nothing_is_left(shards)
    state, row = shards.state_of(late), shards.row_of(late)
    assert state.graph.following.view(row).tolist() == []
    assert not state.reposts.get(row)
    is_whole(shards)


def test_two_who_follow_each_other_go_at_once(shards):
    other = shards.everybody[0]
    shards.send("delete_account", shards.ada)
    shards.send("delete_account", other)
    clear(shards, 2)
    assert not {shards.ada, other} & set().union(*map(referred, shards.replicas))
    is_whole(shards)


def test_whoever_waits_for_its_timeline_is_not_left_waiting(shards):
    state = shards.state_of(shards.ada)
    shards.run(0, ["wake", shards.ada])
    state.woken.clear()
    shards.send("delete_account", shards.ada)
    assert state.woken == [shards.ada]
    clear(shards)
    assert shards.ada not in state.waking
    is_whole(shards)


def test_an_author_of_pull_logs_goes_with_them():
    world = Shards(3, replace(SMALL, pull_threshold=1))
    world.register(*range(1, 9))
    for fan in range(2, 9):
        world.do("follow", fan, 1)
    tweets = [world.post(1) for _ in range(3)]
    assert world.home(3) == tweets[::-1]
    world.do("delete_account", 1)
    clear(world, 2)
    assert all(1 not in replica.state.pull_logs.logs for replica in world.replicas)
    assert [world.home(fan) for fan in range(2, 9)] == [[]] * 7
    is_whole(world)


@pytest.mark.parametrize("pieces", range(6))
def test_a_recovery_in_the_middle_goes_on_where_the_journal_ends(shards, pieces):
    shards.do("delete_account", shards.ada)
    for _ in range(pieces):
        shards.run(0, ["clear_left", shards.ada, 4])
    shards.exchange()
    before, store = shards.digests(), memory_store()
    shards.seal_into(0, store)
    shards.run(0, ["clear_left", shards.ada, 4])
    after = shards.digests()[0]
    restored = shards.restore_from(0, store)
    assert digest(restored.state) == before[0]
    restored.replay(restored.state.position + 1, shards.journals[0][-1])
    assert digest(restored.state) == after
    assert restored.leavings.next_piece() == ["clear_left", shards.ada, leaving.PIECE_COUNT]
    shards.exchange()
    clear(shards)
    nothing_is_left(shards)
    shards.check()


@pytest.mark.parametrize("count", [2, 1_000])
@pytest.mark.parametrize("step", range(1, 30, 2))
def test_an_account_that_moves_while_it_is_deleted_is_gone_wherever_it_was(step, count, monkeypatch):
    """It is deleted before, between and after the steps of a move, and pieces go on between all of them."""
    monkeypatch.setattr(moving, "EDGES_OF_PART", 2)
    monkeypatch.setattr(moving, "MARKS_OF_PART", 2)
    monkeypatch.setattr(moving, "PART_BYTES", 300)
    world = entangled(Moving(3))
    steps, deleted = 0, []

    def between():
        nonlocal steps
        steps += 1
        shard = world.shard_of(world.ada)
        state = world.replicas[shard].state
        if steps >= step and not state.frozen and world.ada in state.people.row_of:
            deleted.append(world.write_on(shard, "delete_account", [world.ada]))
        elif not state.frozen and world.ada in state.people.leaving:
            world.run(shard, ["clear_left", world.ada, count])
        world.exchange()

    world.between = between
    between()
    world.move(1, world.ada, world.everybody[0])
    world.between = lambda: None
    assert deleted == [True]
    clear(world)
    world.sweep()
    nothing_is_left(world)
    world.check()
    for shard, before in enumerate(world.digests()):
        assert digest(world.replayed(shard).state) == before


def test_pieces_wait_while_a_shard_is_frozen_or_another_one_is_too_slow(shards, monkeypatch):
    shards.do("delete_account", shards.ada)
    replica = shards.replicas[0]
    monkeypatch.setattr(replica.state, "frozen", 5)
    assert replica.leavings.next_piece() is None
    monkeypatch.setattr(replica.state, "frozen", 0)
    monkeypatch.setattr(leaving, "WAITING_COUNT_MAX", 1)
    assert replica.leavings.next_piece() is not None
    shards.send("post", shards.everybody[0], "x", 0, 0, 0, b"", [], [], None)
    assert replica.leavings.next_piece() is None


def test_a_large_account_holds_up_no_small_one(shards):
    other = shards.everybody[0]
    shards.send("delete_account", shards.ada)
    shards.send("delete_account", other)
    pieces = [shards.replicas[0].leavings.next_piece()[1] for _ in range(4)]
    assert pieces == [shards.ada, other] * 2


def test_many_followers_go_without_a_look_at_those_that_stay():
    """Each piece cuts the end off the list, and tells each shard once."""
    world = Shards(2)
    star, fans = world.account_on(0), np.arange(1_000, 4_000, dtype=np.int64)
    world.register(star)
    here = fans[np.isin(ids.buckets_of_accounts(fans) % 2, [1])]
    for first in range(0, len(here), 500):
        rows = [[f"fan{a}", int(a), "", "", None, []] for a in here[first : first + 500]]
        for shard in (0, 1):
            part = [row for row in rows if world.shard_for("register", row) == shard]
            world.write_on(shard, "register_many", [part])
    world.exchange()
    world.write_on(1, "follow_many", [here.astype("<i8").tobytes(), np.full(len(here), star, "<i8").tobytes()])
    world.exchange()
    assert world.read("profile", star, 0).count(b'"followers":%d' % len(here)) == 1
    world.do("delete_account", star)
    sent = world.replicas[0].state.outboxes[1].next_seq
    pieces = 0
    while star in world.replicas[0].state.people.leaving:
        world.run(0, ["clear_left", star, 100])
        pieces += 1
    assert pieces == len(here) // 100 + 1
    assert world.replicas[0].state.outboxes[1].next_seq - sent == len(here) // 100 + 2
    world.exchange()
    assert star not in referred(world.replicas[1])
    world.check()


def test_keys_of_others_stay_and_its_own_go(shards):
    shards.do("keyed", shards.everybody[0], b"theirs", PRINT, "unmute", [shards.everybody[0], 5])
    shards.do("keyed", shards.ada, b"earlier", PRINT, "unmute", [shards.ada, 5])
    shards.now_ms += 1
    shards.do("keyed", shards.ada, KEY, PRINT, "delete_account", [shards.ada])
    clear(shards)
    keys = {known for replica in shards.replicas for known in replica.state.idempotency}
    assert keys == {(shards.everybody[0], b"theirs"), (shards.ada, KEY)}
    is_whole(shards)


def test_check_finds_what_a_shard_would_have_forgotten(shards):
    state = shards.state_of(shards.ada)
    delete_account(state, shards.ada, limits.DAY_MS)
    row = state.people.leaving[shards.ada]
    state.people.leaving.pop(shards.ada)
    found = " ".join(check(state))
    assert f"there are tweets of account {shards.ada}, which isn't here" in found
    assert state.people.accounts[row].account_id == shards.ada


def test_a_shard_tells_whom_it_refers_to_so_that_leftovers_are_found(shards):
    def told():
        parts = [replica.read("referred", [first, 512]) for replica in shards.replicas for first in (0, 512)]
        return {account_id for part in parts for account_id in np.frombuffer(part, "<i8").tolist()}

    assert told() == {shards.ada, *shards.everybody}
    shards.do("delete_account", shards.ada)
    clear(shards)
    assert told() == set(shards.everybody)
    muter = shards.everybody[2]
    shards.state_of(muter).graph.relate(shards.row_of(muter), 2, shards.ada, True)
    assert shards.ada in told()
