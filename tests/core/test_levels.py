"""Levels of a shard: taken by a command, kept by replicas, replays and checkpoints, never lowered, never guessed."""

from __future__ import annotations

import pytest

from actors.core.entries import pack, unpack
from actors.core.errors import ConflictError, InvalidError
from actors.core.levels import BRINGS, LEVEL
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards, memory_store

TOO_NEW = LEVEL + 1


@pytest.fixture
def shards():
    made = Shards(1, level=0)
    made.register(1)
    yield made
    made.check()


def ask(shards: Shards, level: object) -> object:
    """Ask the shard for a level, as the router does."""
    record, body = shards.replicas[0].move("level", [level])
    if record is not None:
        shards.journals[0].append(record)
    return body


def test_every_level_says_what_it_brings():
    assert sorted(BRINGS) == list(range(LEVEL + 1))


def test_a_shard_begins_at_level_0_and_takes_a_level_once(shards):
    state = shards.replicas[0].state
    assert state.level == 0
    assert ask(shards, 1) is True
    assert (state.level, unpack(shards.journals[0][-1])) == (1, ["level", 1])
    position = state.position
    assert ask(shards, 1) is True  # a router that died doesn't know that it has asked
    assert ask(shards, 0) is True
    assert (state.level, state.position) == (1, position)


def test_a_level_is_never_lowered_by_what_a_journal_holds(shards):
    assert shards.run(0, ["level", 1]) is True
    assert shards.run(0, ["level", 0]) is False
    assert shards.replicas[0].state.level == 1


def test_a_frozen_shard_takes_a_level(shards):
    shards.replicas[0].move("freeze", [1])
    assert ask(shards, 1) is True
    assert shards.replicas[0].state.level == 1


def test_a_replay_and_a_checkpoint_come_to_the_same_level_and_digest(shards):
    before = digest(shards.replicas[0].state)
    ask(shards, 1)
    after = digest(shards.replicas[0].state)
    assert before != after
    replayed = shards.replayed(0)
    assert (replayed.state.level, digest(replayed.state)) == (1, after)
    store = memory_store()
    shards.seal_into(0, store)
    restored = shards.restore_from(0, store)
    assert (restored.state.level, digest(restored.state)) == (1, after)


def test_a_checkpoint_of_level_0_says_nothing_of_levels(shards):
    """Code of before levels takes it for its own."""
    store = memory_store()
    shards.seal_into(0, store)
    assert "level" not in store.load().tables["meta"]["name"]
    assert shards.restore_from(0, store).state.level == 0


@pytest.mark.parametrize("level", [TOO_NEW, TOO_NEW + 100])
def test_a_shard_refuses_a_level_that_this_code_does_not_know(shards, level):
    position = shards.replicas[0].state.position
    with pytest.raises(ConflictError, match=f"level {level}.* up to {LEVEL} only.*Run the newer version"):
        ask(shards, level)
    assert shards.replicas[0].state.position == position


@pytest.mark.parametrize("level", [-1, 1.0, "1", None, True, 1 << 80])
def test_what_is_no_level_is_refused(shards, level):
    with pytest.raises(InvalidError, match="level"):
        ask(shards, level)


def test_a_journal_of_a_higher_level_is_not_replayed(shards):
    fresh = shards.replayed(0)
    with pytest.raises(ConflictError, match=rf"the journal of shard 0 is at level {TOO_NEW}"):
        fresh.replay(fresh.state.position + 1, pack(["level", TOO_NEW]))


def test_a_checkpoint_of_a_higher_level_is_not_loaded(shards, monkeypatch):
    shards.replicas[0].state.level = TOO_NEW
    store = memory_store()
    shards.seal_into(0, store)
    shards.replicas[0].state.level = 0
    with pytest.raises(ConflictError, match=rf"the checkpoint of shard 0 is at level {TOO_NEW}"):
        type(shards.replicas[0])(0, shards.owner, SMALL).load(store.load())


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_taken_back_just_before_a_level_rose_does_not_come_back(sealed):
    """It lies in the old table of likes, and the next seal writes the new one."""
    world, store = Shards(1, level=0), memory_store()
    world.register(1, 2)
    kept, taken_back = world.post(2), world.post(2)
    for tweet in (kept, taken_back):
        world.do("like", 1, tweet)
    world.seal_into(0, store)
    world.do("unlike", 1, taken_back)
    if sealed:
        world.seal_into(0, store)
    world.run(0, ["level", LEVEL])
    world.seal_into(0, store)
    before = world.digests()[0]
    assert digest(world.restore_from(0, store).state) == before
    assert world.read("likes", 1, 0, 20)[0] == [kept]


def test_what_a_shard_that_has_risen_tells_one_that_has_not_is_kept_where_it_belongs():
    """Levels of two shards differ for a moment, and a checkpoint may be written just then."""
    world = Shards(2, level=0)
    ada, bob = world.account_on(0), world.account_on(1)
    world.register(ada, bob)
    tweet = world.post(ada)
    world.run(1, ["level", LEVEL])
    world.exchange()
    world.do("like", bob, tweet)
    world.repost(bob, tweet)
    reply = world.post(bob, in_reply_to=tweet, reply_author=ada)
    lists = [world.read(op, tweet, 0, 0, 20)[0] for op in ("likers", "reposters", "replies")]
    assert lists == [[bob], [bob], [reply]]
    for shard in (0, 1):
        before, store = world.digests()[shard], memory_store()
        world.seal_into(shard, store)
        assert digest(world.restore_from(shard, store).state) == before
    world.check()
    assert [world.read(op, tweet, 0, 0, 20)[0] for op in ("likers", "reposters", "replies")] == lists
    world.run(0, ["level", LEVEL])
    world.exchange()
    assert [world.read(op, tweet, 0, 0, 20)[0] for op in ("likers", "reposters", "replies")] == lists
