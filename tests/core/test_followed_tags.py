"""Hashtags that are followed: their public tweets are in home timelines, whoever wrote them, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.entries import pack
from actors.core.errors import OverloadedError, RookeryError
from actors.core.features.own_tags import FOLLOWED_TAG
from actors.core.folding import fold
from actors.core.hashtags import named_in, tag_id_of, tags_in
from actors.core.stores.tag_index import TagIndex
from actors.core.verify import digest
from commands.exported import add_rows
from commands.oracle import NetworkFacts
from tests.core.harness import SMALL, Shards, memory_store
from tests.core.test_moving import Moving

PUBLIC, FOLLOWERS, DIRECT, UNLISTED = range(4)
CATS, DOGS = tag_id_of("cats"), tag_id_of("dogs")


def settled(world: Any) -> Any:
    """Give a world ada, who follows nobody, and others on both shards."""
    world.ada, world.bob = world.account_on(0), world.account_on(0, 1)
    world.cyd, world.dee = world.account_on(1), world.account_on(1, 1)
    world.register(world.ada, world.bob, world.cyd, world.dee)
    world.stores = [memory_store() for _ in world.replicas]
    return world


@pytest.fixture
def world():
    made = settled(Moving())
    yield made
    made.sweep()
    made.check()
    for shard in (0, 1):
        before = digest(made.replicas[shard].state)
        assert digest(made.replayed(shard).state) == before
        assert digest(recovered(made, shard)) == before
        made.check()


def recovered(world: Any, shard: int) -> Any:
    """Seal a shard, and put what a recovery makes of it in its place."""
    world.seal_into(shard, world.stores[shard])
    return world.restore_from(shard, world.stores[shard]).state


def entities(*tags: str) -> bytes:
    return pack({"hashtags": [[tag, 0, 1] for tag in tags]}) if tags else b""


def says(world: Shards, author: int, *tags: str, visibility: int = PUBLIC, answers: tuple[int, int] = (0, 0)) -> int:
    """Post with some hashtags and let it arrive; return the tweet. answers: (tweet, author)."""
    world.now_ms += 1
    world.do("post", author, "hello", visibility, *answers, entities(*tags), [], [], None)
    state = world.state_of(author)
    return int(state.tweets.log.view(state.people.row_of[author])[-1])


def follow(world: Shards, account_id: int, name: str, on: bool = True) -> bool:
    world.now_ms += 1
    changed: bool = world.do("follow_tag", account_id, fold(name), name, on)
    return changed


def edit(world: Shards, author: int, tweet_id: int, *tags: str) -> None:
    world.now_ms += 1
    world.do("edit", tweet_id, author, f"edited at {world.now_ms}", entities(*tags), [])


def wanting(world: Shards) -> list[dict[int, set[int]]]:
    return [replica.state.tag_shards for replica in world.replicas]


def test_tweets_with_a_followed_tag_come_from_every_shard_and_old_ones_too(world):
    old = [says(world, world.bob, "Cats"), says(world, world.cyd, "cats", "dogs")]
    says(world, world.cyd, "dogs")
    assert world.home(world.ada) == []
    follow(world, world.ada, "CATS")
    assert world.home(world.ada) == old[::-1]
    new = [says(world, world.dee, "cats"), says(world, world.bob, "x", "Cáts"), says(world, world.cyd)]
    assert world.home(world.ada) == [*new[1::-1], *old[::-1]], "Cáts folds to cats"


def test_a_tag_that_is_followed_no_longer_brings_nothing(world):
    follow(world, world.ada, "cats")
    says(world, world.cyd, "cats")
    follow(world, world.ada, "cats", False)
    assert world.home(world.ada) == []
    assert wanting(world) == [{}, {}]
    tweet_id = says(world, world.cyd, "cats")
    assert tweet_id not in world.replicas[0].state.arrivals.number_of


def test_only_what_is_public_comes_by_its_tag(world):
    follow(world, world.ada, "cats")
    for visibility in (FOLLOWERS, DIRECT, UNLISTED):
        says(world, world.cyd, "cats", visibility=visibility)
    assert world.home(world.ada) == []
    public = says(world, world.cyd, "cats")
    world.repost(world.dee, public)
    assert world.home(world.ada) == [public], "a repost doesn't, either"


def test_what_comes_by_its_tag_and_by_its_author_is_there_once(world):
    follow(world, world.ada, "cats")
    follow(world, world.ada, "dogs")
    world.do("follow", world.ada, world.cyd)
    tweet_id, own = says(world, world.cyd, "cats", "dogs"), says(world, world.ada, "cats")
    assert world.home(world.ada) == [own, tweet_id]
    world.do("unfollow", world.ada, world.cyd)
    assert world.home(world.ada) == [own, tweet_id]


def test_blocks_mutes_and_the_reply_rule_hold_for_what_comes_by_a_tag(world):
    follow(world, world.ada, "cats")
    first = says(world, world.cyd, "cats")
    says(world, world.dee, "cats", answers=(first, world.cyd))
    thread = says(world, world.cyd, "cats", answers=(first, world.cyd))
    assert world.home(world.ada) == [thread, first]
    world.do("mute", world.ada, world.cyd)
    assert world.home(world.ada) == []
    world.do("unmute", world.ada, world.cyd)
    world.do("block", world.cyd, world.ada)
    assert world.home(world.ada) == []


def test_an_edit_adds_a_tag_and_takes_it(world):
    follow(world, world.ada, "cats")
    for author in (world.bob, world.cyd):
        tweet_id = says(world, author, "dogs")
        assert world.home(world.ada) == []
        edit(world, author, tweet_id, "Cats")
        assert world.home(world.ada) == [tweet_id]
        edit(world, author, tweet_id, "cats", "dogs")
        assert world.home(world.ada) == [tweet_id]
        edit(world, author, tweet_id)
        assert world.home(world.ada) == []


def test_a_tag_that_an_edit_takes_goes_even_if_a_repost_brought_other_words_meanwhile(world):
    """The copy that a repost brought said something else than the log's tweet; what counts is what the author says."""
    follow(world, world.ada, "cats")
    tweet_id = says(world, world.cyd, "cats")
    state = world.replicas[0].state
    state.arrivals.set_body(tweet_id, world.replicas[1].state.tweets.get(says(world, world.cyd)).body)
    edit(world, world.cyd, tweet_id, "dogs")
    assert world.home(world.ada) == []


def test_a_deleted_tweet_goes(world):
    follow(world, world.ada, "cats")
    for author in (world.bob, world.cyd):
        tweet_id = says(world, author, "cats")
        world.do("delete", tweet_id, author)
    assert world.home(world.ada) == []


@pytest.mark.parametrize("sleeps", [False, True])
def test_pages_go_on_below_the_log_and_the_window(world, sleeps):
    told = [says(world, author, "cats") for _ in range(60) for author in (world.bob, world.cyd)]
    follow(world, world.ada, "cats")
    told += [says(world, author, "cats") for _ in range(20) for author in (world.cyd, world.dee)]
    if sleeps:
        for _ in range(3):
            world.now_ms += 40 * limits.DAY_MS
            world.run(0, ["tick", world.now_ms])
    told = told[::-1]
    pages, cursor = [], 0
    while page := world.home(world.ada, 7, max_id=cursor):
        pages += page
        cursor = page[-1]
    assert pages == told
    assert world.home(world.ada, 5, min_id=told[30]) == told[25:30]
    assert world.home(world.ada, 40, since_id=told[30]) == told[:30]


def test_a_batch_of_tweets_goes_to_the_shards_that_want_one_of_its_tags(world):
    follow(world, world.ada, "cats")
    names = ["cats", "dogs", None] * 5
    rows = [
        [world.cyd, f"row {i}", PUBLIC, 0, 0, entities(*([name] if name else [])), [], [], None]
        for i, name in enumerate(names)
    ]
    world.now_ms += 1
    ids = world.write_on(1, "post_many", [rows])
    world.exchange()
    assert world.home(world.ada) == [t for t, name in zip(ids, names, strict=True) if name == "cats"][::-1]
    assert len(world.replicas[0].state.arrivals.number_of) == 5, "the others went nowhere"


def test_a_move_takes_what_an_account_follows_along(world):
    follow(world, world.ada, "cats")
    old = says(world, world.cyd, "cats")
    assert wanting(world) == [{CATS: {0}}] * 2
    world.move(1, world.ada)
    assert world.home(world.ada) == [old]
    world.sweep()
    world.exchange()
    assert wanting(world) == [{CATS: {1}}] * 2
    assert not world.replicas[0].state.tag_logs.logs
    new = says(world, world.bob, "cats")
    assert world.home(world.ada) == [new, old]


def test_a_move_takes_an_authors_tweets_along_for_those_who_begin_to_follow_a_tag_then(world):
    follow(world, world.ada, "dogs")
    both = [says(world, world.cyd, "cats", "dogs"), says(world, world.bob, "cats", "dogs")]
    world.move(0, world.cyd)
    follow(world, world.dee, "cats")
    new = says(world, world.cyd, "cats", "dogs")
    for reader in (world.ada, world.dee):
        assert world.home(reader) == [new, *both[::-1]]


def test_a_shard_that_is_added_is_told_which_tags_are_wanted_and_one_that_goes_is_forgotten(world):
    follow(world, world.ada, "cats")
    follow(world, world.dee, "dogs")
    owners = bytes(world.replicas[0].state.owner.astype("u1"))
    for shard in (0, 1):
        world.run(shard, ["remap", world.replicas[shard].state.map_epoch + 1, 3, owners])
    told = [world.replicas[shard].state.outboxes[2].batch(1 << 62)[1] for shard in (0, 1)]
    assert [len(messages) for messages in told] == [1, 1]
    world.replicas[0].state.tag_shards[CATS].add(2)
    for shard in (0, 1):
        world.run(shard, ["remap", world.replicas[shard].state.map_epoch + 1, 2, owners])
    assert wanting(world) == [{CATS: {0}, DOGS: {1}}] * 2


def test_an_account_that_is_deleted_follows_no_tag_any_more(world):
    follow(world, world.ada, "cats")
    follow(world, world.bob, "dogs")
    world.do("delete_account", world.ada)
    while world.replicas[0].state.people.leaving:
        world.run(0, ["clear_left", world.ada, 1])
        world.exchange()
    assert wanting(world) == [{DOGS: {0}}] * 2


def test_what_is_wanted_while_shards_are_frozen_is_told_when_they_go_on(world):
    marks = ["marks", FOLLOWED_TAG.number, world.ada, 0, *(n.to_bytes(8, "little") for n in (CATS, 1))]
    world.run(0, ["take", 7, []])
    world.run(0, ["freeze", 1 << 40])
    world.run(0, ["take_part", 7, pack([marks])])
    assert world.replicas[0].state.graph.tag_readers == {CATS: 1}
    assert not world.replicas[0].state.outboxes[1].waiting
    recovered(world, 0)
    world.run(0, ["thaw", 1 << 40])
    world.exchange()
    assert wanting(world) == [{CATS: {0}}] * 2


def test_a_shard_follows_no_more_tags_than_it_may(world, monkeypatch):
    monkeypatch.setattr(limits, "WANTED_TAGS_COUNT_MAX", 2)
    follow(world, world.ada, "cats")
    follow(world, world.ada, "dogs")
    with pytest.raises(OverloadedError, match="accounts of this shard follow 2 hashtags, its limit"):
        follow(world, world.bob, "birds")
    assert follow(world, world.bob, "cats")


def test_a_log_keeps_a_few_pages_and_a_recovery_fills_it_again(world):
    follow(world, world.ada, "cats")
    told = [says(world, world.cyd, "cats") for _ in range(40)]
    assert len(world.replicas[0].state.tag_logs.logs[CATS].ns) <= SMALL.timeline_length + 8
    assert recovered(world, 0).tag_logs.logs[CATS].ns
    assert world.home(world.ada, 10) == told[:-11:-1]


def test_a_recovery_wants_nothing_that_is_followed_no_longer(world):
    follow(world, world.ada, "cats")
    for shard in (0, 1):
        recovered(world, shard)
    follow(world, world.ada, "cats", False)
    assert wanting(world) == [{}, {}]
    for shard in (0, 1):
        recovered(world, shard)
    assert wanting(world) == [{}, {}]


def test_which_hashtags_a_tweet_is_found_by():
    body = b"\x01" + pack({0: "text", 4: entities("Cats", "CATS", "dogs")})
    assert named_in(body) == ["Cats", "CATS", "dogs"]
    assert tags_in(0, body) == (CATS, DOGS)
    assert all(tags_in(flag, body) == () for flag in (2, 4, 8, 64))
    assert tags_in(0, b"\x01" + pack({0: "a text about hashtags"})) == ()


IDS = st.integers(1, 30)
TAGS = st.sets(st.integers(1, 4))


@given(st.lists(st.tuples(st.booleans(), IDS, TAGS)), TAGS, IDS, IDS, st.integers(1, 6))
def test_the_index_finds_what_a_dict_of_sets_finds(changes, tags, high, low, count):
    index, twin = TagIndex(), dict[int, set[int]]()
    for is_new, tweet_id, some in changes:
        for tag in some:
            known = twin.setdefault(tag, set())
            known.add(tweet_id) if is_new else known.discard(tweet_id)
        (index.add if is_new else index.drop)(tweet_id, some)
    assert index.as_dict() == {tag: sorted(known) for tag, known in twin.items() if known}
    found = set[int]().union(*(twin.get(tag, set()) for tag in tags))
    assert index.newest(tags, high, low, count) == sorted((t for t in found if low < t < high), reverse=True)[:count]
    assert index.oldest(tags, low, count) == sorted(t for t in found if t > low)[:count]


WHO = st.integers(0, 3)
SAID = st.lists(st.sampled_from(["cats", "Cats", "dogs"]), max_size=2)
RELATED = ["follow", "unfollow", "mute", "block", "unblock"]
STEPS = st.one_of(
    st.tuples(st.just("follow_tag"), WHO, st.sampled_from(["cats", "Dogs"]), st.booleans()),
    st.tuples(st.just("says"), WHO, SAID, st.integers(0, 3)),
    st.tuples(st.just("edit"), WHO, SAID),
    st.tuples(st.sampled_from(["delete", "repost"]), WHO),
    st.tuples(st.sampled_from(RELATED), WHO, WHO),
    st.tuples(st.sampled_from(["sleep", "recover"]), st.integers(0, 1)),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=30))
def test_home_equals_the_definition_whatever_was_done(steps):
    world = settled(Shards())
    accounts = [world.ada, world.bob, world.cyd, world.dee]
    tweets: list[tuple[int, int]] = []
    for what, who, *rest in steps:
        me = accounts[who]
        mine = [t for t, author in tweets if author == me]
        if what == "follow_tag":
            follow(world, me, *rest)
        elif what == "says":
            tweets.append((says(world, me, *rest[0], visibility=rest[1]), me))
        elif what == "edit" and mine:
            edit(world, me, mine[0], *rest[0])
        elif what == "delete" and mine:
            world.do("delete", mine[0], me)
            tweets.remove((mine[0], me))
        elif what == "sleep":
            world.now_ms += 40 * limits.DAY_MS
            world.run(who, ["tick", world.now_ms])
        elif what == "recover":
            recovered(world, who)
        elif what == "repost" and tweets:
            try:
                world.repost(me, tweets[-1][0])
            except RookeryError:
                continue
        elif what in RELATED and me != accounts[rest[0]]:
            try:
                world.do(what, me, accounts[rest[0]])
            except RookeryError:
                continue
    facts = NetworkFacts()
    for replica in world.replicas:
        add_rows(facts, replica.read("export", [0, 100, True])[1])
    for account_id in accounts:
        assert world.home(account_id, 20) == facts.home(account_id, 20)
    world.check()
