"""Hashtags that an account follows or features: kept, counted among what it says, and gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core import limits
from actors.core.entries import pack
from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError
from actors.core.features.own_tags import FEATURED_TAG, FOLLOWED_TAG, TAG_NAME
from actors.core.hashtags import tag_id_of
from actors.core.verify import digest
from tests.core.harness import Shards
from tests.core.test_moving import Moving


@pytest.fixture
def world():
    made = Moving()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    made.register(made.ada, made.bob)
    yield made
    made.check_whole()


def set_tag(world: Shards, op: str, name: str, on: bool = True) -> Any:
    world.now_ms += 1
    return world.do(op, world.ada, name.lower(), name, on)


def followed(world: Shards) -> list[str]:
    """Return the names of what ada follows, the last followed first."""
    keys = world.read("shelf", world.ada, FOLLOWED_TAG.number, 0, 0, 0, 800)[0]
    return [name for name, is_followed, _ in world.read("tags_of", world.ada, keys) if is_followed]


def featured(world: Shards, viewer: int = 0) -> list[list[Any]]:
    return [row[1:] for row in world.read("featured_tags", world.ada, viewer)]


def used(world: Shards, viewer: int = 0) -> list[list[Any]]:
    return list(world.read("used_tags", world.ada, viewer))


def says(world: Shards, author: int, *tags: str, visibility: int = 0) -> int:
    world.now_ms += 1
    text = " ".join(f"#{tag}" for tag in tags)
    entities = pack({"hashtags": [[tag, 0, 1] for tag in tags]}) if tags else b""
    world.do("post", author, text or "no tag", visibility, 0, 0, entities, [], [], None)
    state = world.state_of(author)
    return int(state.tweets.log.view(state.people.row_of[author])[-1])


def test_tags_are_followed_and_no_longer(world):
    assert set_tag(world, "follow_tag", "Cats") is True
    assert set_tag(world, "follow_tag", "dogs") is True
    assert set_tag(world, "follow_tag", "CATS") is False, "the same tag"
    assert followed(world) == ["dogs", "Cats"], "as it was written first"
    assert world.read("tags_of", world.bob, [tag_id_of("cats")]) == [[None, False, False]]
    assert set_tag(world, "follow_tag", "cats", False) is True
    assert set_tag(world, "follow_tag", "cats", False) is False
    assert followed(world) == ["dogs"]


def test_a_name_stays_as_long_as_the_tag_is_followed_or_featured(world):
    set_tag(world, "follow_tag", "Cats")
    set_tag(world, "feature_tag", "cats")
    set_tag(world, "follow_tag", "cats", False)
    assert world.read("tags_of", world.ada, [tag_id_of("cats")]) == [["Cats", False, True]]
    set_tag(world, "feature_tag", "cats", False)
    assert world.state_of(world.ada).papers.keys(TAG_NAME, world.ada) == []


def test_a_profile_features_tags_and_says_how_its_account_uses_them(world):
    set_tag(world, "feature_tag", "Cats")
    set_tag(world, "feature_tag", "unused")
    first = says(world, world.ada, "cats")
    last = says(world, world.ada, "CATS", "cats", "dogs")
    says(world, world.ada, "cats", visibility=1)
    says(world, world.ada)
    says(world, world.bob, "cats")
    assert featured(world) == [["unused"], ["Cats"]]
    assert used(world) == [["cats", 2, last], ["dogs", 1, last]]
    world.do("delete", last, world.ada)
    assert used(world) == [["cats", 1, first]]
    world.do("block", world.ada, world.bob)
    for read in (featured, used):
        with pytest.raises(NotFoundError):
            read(world, viewer=world.bob)


def test_only_the_newest_tweets_are_counted(world, monkeypatch):
    monkeypatch.setattr(limits, "TAGS_LOOKED_COUNT_MAX", 2)
    last = [says(world, world.ada, "cats", str(n)) for n in range(4)][-1]
    assert used(world)[0] == ["cats", 2, last]
    monkeypatch.setattr(limits, "USED_TAGS_COUNT_MAX", 2)
    assert [use[0] for use in used(world)] == ["cats", "3"]


def test_an_account_features_ten_and_follows_a_thousand(world):
    for n in range(limits.FEATURED_TAGS_COUNT_MAX):
        set_tag(world, "feature_tag", f"tag{n}")
    with pytest.raises(InvalidError, match="may have 10 featured tags"):
        set_tag(world, "feature_tag", "more")
    for n in range(limits.FOLLOWED_TAGS_COUNT_MAX):
        world.send("follow_tag", world.ada, f"other{n}", f"other{n}", True)
    with pytest.raises(InvalidError, match="may have 1000 followed tags"):
        set_tag(world, "follow_tag", "more")


@pytest.mark.parametrize("args", [["", "x", True], ["x", "", True], [7, "x", True], ["x", "x" * 401, True],
                                  ["x", "x", 1], ["x", "x"]], ids=str)  # fmt: skip
def test_what_is_no_tag_is_refused_and_nothing_changes(world, args):
    before = digest(world.state_of(world.ada))
    with pytest.raises(RookeryError):
        world.do("follow_tag", world.ada, *args)
    assert digest(world.state_of(world.ada)) == before


def test_tags_move_with_their_account_and_go_with_it(world):
    set_tag(world, "follow_tag", "Cats")
    set_tag(world, "feature_tag", "dogs")
    world.move(1, world.ada)
    assert (followed(world), featured(world)) == (["Cats"], [["dogs"]])
    world.do("delete_account", world.ada)
    while (command := world.replicas[1].leavings.next_piece()) is not None:
        world.run(1, command)
        world.exchange()
    state = world.replicas[1].state
    assert state.papers.keys(TAG_NAME, world.ada) == []
    assert not len(state.shelves.view(FEATURED_TAG, world.ada)[0])


@pytest.mark.parametrize("op", ["follow_tag", "feature_tag"])
def test_they_wait_for_their_level(op):
    shards = Shards(level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do(op, ada, "x", "x", True)
