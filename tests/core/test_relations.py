"""How an account stands to others: options that go with a follow, mutes that end, notes, followers that are removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.core import limits
from actors.core.entries import unpack
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, OverloadedError, TooLargeError
from actors.core.features import relations as bits
from actors.core.features.blocks import MUTE_OPTION
from actors.core.features.followee_options import BELL, ENDORSEMENT, LANGUAGES, NO_REPOSTS, forget_followee
from actors.core.flags import MUTE
from actors.core.moves import moving
from actors.core.stores.account_flags import HIDES_COLLECTIONS
from actors.core.terms import NOTICES_FROM_LEVEL
from actors.core.verify import digest
from commands.oracle import Fact, NetworkFacts
from tests.core.harness import Shards, memory_store
from tests.core.test_deletion import clear
from tests.core.test_moving import Moving

HOUR_MS = 3_600_000


def settled(world: Any) -> Any:
    """Give a world ada and eve on shard 0, bob and cid on shard 1."""
    world.ada, world.eve = world.account_on(0), world.account_on(0, 1)
    world.bob, world.cid = world.account_on(1), world.account_on(1, 1)
    world.register(world.ada, world.eve, world.bob, world.cid)
    return world


def is_whole(world: Any) -> None:
    """A journal and a checkpoint lead to the same state, in which nothing is kept of who isn't followed."""
    world.check()
    for shard, replica in enumerate(world.replicas):
        state, before = replica.state, digest(replica.state)
        for kind in (NO_REPOSTS, BELL, ENDORSEMENT):
            owners, others, _ = state.shelves.marks.dump(kind.number)
            for owner, other in zip(owners.tolist(), others.tolist(), strict=True):
                assert state.graph.following.contains(state.people.row_of[owner], other)
        owners, others, _ = state.papers.dump(LANGUAGES.number)
        for owner, other in zip(owners.tolist(), others.tolist(), strict=True):
            assert state.graph.following.contains(state.people.row_of[owner], other)
        assert digest(world.replayed(shard).state) == before
        store, unshown = (
            memory_store(),
            {row: state.graph.unshown(row).tolist() for row in state.people.row_of.values()},
        )
        world.seal_into(shard, store)
        restored = world.restore_from(shard, store).state
        assert digest(restored) == before
        assert {row: restored.graph.unshown(row).tolist() for row in restored.people.row_of.values()} == unshown


@pytest.fixture
def world():
    made = settled(Shards(2))
    yield made
    is_whole(made)


def stands(world: Any, account: int, other: int) -> tuple[int, str, Any, int]:
    ((said, note, languages, ends_ms),) = world.read("relations", account, [other])
    return said, note, languages, ends_ms


def expected_home(world: Any, account: int) -> list[int]:
    """Return a home timeline as the definition has it, from what the shards export."""
    facts = NetworkFacts()
    for replica in world.replicas:
        for account_id, following, tweets, hidden in replica.read("export", [0, 1 << 30])[1]:
            facts.following[account_id] = set(np.frombuffer(following, dtype="<i8").tolist())
            facts.hidden[account_id] = set(np.frombuffer(hidden, dtype="<i8").tolist())
            facts.add_tweets(Fact(*fields[:6], tuple(fields[6])) for fields in unpack(tweets))
    return facts.home(account, 20)


def test_reposts_that_are_not_wanted_are_left_out_of_home_and_are_no_candidates(world):
    for who in (world.bob, world.eve):
        world.do("follow", world.ada, who)
    world.home(world.ada)
    original = world.post(world.cid)
    first = world.repost(world.bob, original)
    own = world.post(world.bob)
    later = world.repost(world.eve, original)
    assert world.home(world.ada) == [own, first] == expected_home(world, world.ada), "the later one falls to the first"
    assert world.do("follow_as", world.ada, world.bob, False, None, None) is False
    assert world.home(world.ada) == [later, own] == expected_home(world, world.ada)
    world.do("mute", world.ada, world.eve)
    assert world.home(world.ada) == [own] == expected_home(world, world.ada)
    world.do("unmute", world.ada, world.eve)
    world.do("follow_as", world.ada, world.bob, True, None, None)
    assert world.home(world.ada) == [own, first] == expected_home(world, world.ada)


def test_the_reader_s_own_reposts_are_always_shown(world):
    world.home(world.bob)
    original = world.post(world.cid)
    own = world.repost(world.bob, original)
    world.do("follow_as", world.bob, world.eve, False, True, None)
    assert world.home(world.bob) == [own] == expected_home(world, world.bob)


@pytest.mark.parametrize("end", ["unfollow", "block", "blocked", "removed", "deleted"])
def test_what_is_kept_of_a_followee_goes_with_the_follow(world, end):
    assert world.do("follow_as", world.ada, world.bob, False, True, ["en", "de"]) is True
    world.do("endorse", world.ada, world.bob)
    following = bits.FOLLOWING | bits.NOTIFYING | bits.ENDORSED
    assert stands(world, world.ada, world.bob) == (following, "", ["en", "de"], 0)
    if end in ("unfollow", "block"):
        world.do(end, world.ada, world.bob)
    elif end == "blocked":
        world.do("block", world.bob, world.ada)
    elif end == "removed":
        assert world.do("remove_follower", world.bob, world.ada) is True
        assert world.do("remove_follower", world.bob, world.ada) is False
    else:
        world.do("delete_account", world.bob, None)
        clear(world)
    said, _, languages, _ = stands(world, world.ada, world.bob)
    assert (said & following, languages) == (0, None)
    assert -world.bob not in world.state_of(world.ada).graph.unshown(world.row_of(world.ada)).tolist()


def test_options_that_are_not_said_stay_and_nobody_follows_himself(world):
    world.do("follow_as", world.ada, world.bob, False, True, ["en"])
    world.do("follow_as", world.ada, world.bob, None, False, None)
    said, _, languages, _ = stands(world, world.ada, world.bob)
    assert (said, languages) == (bits.FOLLOWING, ["en"])
    world.do("follow_as", world.ada, world.bob, True, None, [])
    assert stands(world, world.ada, world.bob) == (bits.FOLLOWING | bits.SHOWING_REPOSTS, "", None, 0)
    assert stands(world, world.bob, world.ada)[0] == bits.FOLLOWED_BY
    for wrong in (["en", "en"], [""], ["x" * 17], [1], "en"):
        with pytest.raises((InvalidError, TooLargeError)):
            world.do("follow_as", world.ada, world.bob, None, None, wrong)
    with pytest.raises(InvalidError, match="itself"):
        world.do("follow_as", world.ada, world.ada, None, None, None)
    world.do("block", world.bob, world.ada)
    with pytest.raises(ForbiddenError):
        world.do("follow_as", world.ada, world.bob, False, None, None)
    assert world.do("follow_as", world.ada, 399, False, True, ["en"]) is True, "of whom nobody knows yet"
    assert stands(world, world.ada, 399) == (0, "", None, 0), "there is no such account"


def test_a_mute_ends_when_its_time_has_come_and_not_before(world):
    world.do("follow", world.ada, world.bob)
    world.home(world.ada)
    tweet = world.post(world.bob)
    assert world.do("mute_as", world.ada, world.bob, False, HOUR_MS) is True
    ends_ms = world.now_ms + HOUR_MS
    muting = bits.FOLLOWING | bits.SHOWING_REPOSTS | bits.MUTING
    assert stands(world, world.ada, world.bob) == (muting, "", None, ends_ms)
    assert world.home(world.ada) == []
    replica = world.replicas[world.shard_of(world.ada)]
    assert replica.due_command(ends_ms - 1) is None
    world.run(replica.state.shard, replica.due_command(ends_ms))
    assert stands(world, world.ada, world.bob)[0] == bits.FOLLOWING | bits.SHOWING_REPOSTS
    assert world.home(world.ada) == [tweet]


def test_a_mute_that_is_said_anew_is_what_is_said_then(world):
    world.do("mute", world.ada, world.bob)
    assert stands(world, world.ada, world.bob)[0] == bits.MUTING | bits.MUTING_NOTICES
    assert world.do("mute_as", world.ada, world.bob, False, HOUR_MS) is False
    assert stands(world, world.ada, world.bob)[0] == bits.MUTING
    assert world.do("mute_as", world.ada, world.bob, True, 0) is False
    assert stands(world, world.ada, world.bob) == (bits.MUTING | bits.MUTING_NOTICES, "", None, 0)
    world.do("mute_as", world.ada, world.bob, True, HOUR_MS)
    world.do("unmute", world.ada, world.bob)
    assert len(world.state_of(world.ada).papers.due) == 0
    world.do("mute", world.ada, world.bob)
    assert stands(world, world.ada, world.bob)[3] == 0, "the old time is forgotten"
    for wrong in (-1, limits.MUTE_MS_MAX + 1, None):
        with pytest.raises(InvalidError):
            world.do("mute_as", world.ada, world.bob, True, wrong)


def test_a_mute_of_who_is_not_there_goes_with_its_option(world):
    world.do("mute_as", world.ada, 399, False, HOUR_MS)
    state = world.state_of(world.ada)
    assert (state.papers.get(MUTE_OPTION, world.ada, 399), len(state.papers.due)) == (None, 0)
    assert not state.graph.related(world.row_of(world.ada), MUTE, 399)


def test_notes_are_kept_changed_and_taken_away(world):
    assert world.do("note", world.ada, world.bob, "met at a fair") is True
    assert world.do("note", world.ada, world.bob, "met at a fair") is False
    assert stands(world, world.ada, world.bob)[1] == "met at a fair"
    assert stands(world, world.bob, world.ada)[1] == ""
    assert world.do("note", world.ada, world.bob, "") is True
    assert stands(world, world.ada, world.bob)[1] == ""
    with pytest.raises(TooLargeError):
        world.do("note", world.ada, world.bob, "x" * (limits.NOTE_BYTES_MAX + 1))


def test_only_whom_one_follows_is_endorsed(world):
    with pytest.raises(InvalidError, match="must be followed"):
        world.do("endorse", world.ada, world.bob)
    world.do("follow", world.ada, world.bob)
    assert [world.do("endorse", world.ada, world.bob) for _ in range(2)] == [True, False]
    assert world.read("shelf", world.ada, ENDORSEMENT.number, 0, 0, 0, 20)[0] == [world.bob]
    assert [world.do("unendorse", world.ada, world.bob) for _ in range(2)] == [True, False]


def test_followers_among_some_accounts_are_told_to_who_sees_the_account(world):
    for who in (world.ada, world.eve, world.cid):
        world.do("follow", who, world.bob)
    among = b"".join(who.to_bytes(8, "little") for who in (world.ada, world.cid, 399))
    assert world.read("followers_among", world.bob, world.eve, among, 20) == [world.cid, world.ada]
    assert world.read("followers_among", world.bob, world.eve, among, 1) == [world.cid]
    world.do("update_profile", world.bob, {"flags": [HIDES_COLLECTIONS, HIDES_COLLECTIONS]})
    assert world.read("followers_among", world.bob, world.eve, among, 20) == []
    assert world.read("followers_among", world.bob, world.bob, among, 20) == [world.cid, world.ada]
    world.do("block", world.bob, world.eve)
    with pytest.raises(NotFoundError):
        world.read("followers_among", world.bob, world.eve, among, 20)


def test_all_of_it_waits_for_its_level():
    world = settled(Shards(2, level=NOTICES_FROM_LEVEL - 1))
    world.do("follow", world.ada, world.bob)
    for op, *args in (("follow_as", False, None, None), ("mute_as", True, 0), ("endorse",), ("unendorse",),
                      ("note", "x"), ("remove_follower",)):  # fmt: skip
        with pytest.raises(OverloadedError):
            world.do(op, world.ada, world.bob, *args)
    forget_followee(world.state_of(world.ada), world.ada, world.bob)
    is_whole(world)


def test_all_of_it_moves_with_the_account(monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", 100)
    world = settled(Moving())
    world.do("follow_as", world.ada, world.bob, False, True, ["en"])
    world.do("mute_as", world.ada, world.cid, False, HOUR_MS)
    world.do("note", world.ada, world.eve, "a neighbour")
    before = [stands(world, world.ada, other) for other in (world.bob, world.cid, world.eve)]
    unshown = world.state_of(world.ada).graph.unshown(world.row_of(world.ada)).tolist()
    assert unshown == [-world.bob, world.cid]
    world.move(1, world.ada)
    assert world.shard_of(world.ada) == 1
    assert [stands(world, world.ada, other) for other in (world.bob, world.cid, world.eve)] == before
    assert world.state_of(world.ada).graph.unshown(world.row_of(world.ada)).tolist() == unshown
    assert world.state_of(world.ada).papers.due.next_ms == before[1][3]
    world.check()
