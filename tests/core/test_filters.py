"""Filters: what an account doesn't want to meet. They are kept here; API workers match them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError, TooLargeError
from actors.core.features.filters import ACCOUNT, EVERYWHERE, HOME, THREAD
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


def change(world: Shards, filter_id: int = 0, **changes: Any) -> Any:
    world.now_ms += 1
    if not filter_id:
        changes = {"title": "Spoilers", "contexts": HOME, **changes}
    return world.do("change_filter", world.ada, filter_id, changes)


def stamp(world: Any) -> int:
    none = np.zeros(0, dtype="<i8").tobytes()
    flags, found = world.read("flags_and_filters", world.ada, none, none, none)
    assert flags == b""
    assert world.read("filters", world.ada)[0] == found
    return int(found)


def fall_due(world: Shards, now_ms: int) -> None:
    for shard, replica in enumerate(world.replicas):
        while (command := replica.due_command(now_ms)) is not None:
            world.run(shard, command)


def test_a_filter_is_kept_as_it_was_made_and_only_for_its_account(world):
    made = change(world, action=1, words=[[0, "butler", True], [0, "gard", False]], statuses=[77])
    filter_id, title, contexts, action, expires_ms, words, statuses = made
    assert (title, contexts, action, expires_ms) == ("Spoilers", HOME, 1, 0)
    assert [word[1:] for word in words] == [["butler", True], ["gard", False]]
    assert [status[1] for status in statuses] == [77]
    assert world.read("filters", world.ada)[1] == [made]
    assert world.read("filters", world.bob) == [0, []]
    assert len({filter_id, *(word[0] for word in words), statuses[0][0], world.post(world.ada)}) == 5, "ids differ"


def test_a_change_touches_what_it_names(world):
    filter_id, *_, words, statuses = change(world, words=[[0, "a", True], [0, "b", True]], statuses=[7, 8])
    (first, _, _), (second, _, _) = words
    changed = change(
        world, filter_id, contexts=EVERYWHERE, words=[[second, None, False], [0, "c", False]],
        drop=[first, statuses[0][0]], statuses=[8, 9],
    )  # fmt: skip
    assert changed[:5] == [filter_id, "Spoilers", EVERYWHERE, 0, 0]
    assert changed[5][0] == [second, "b", False]
    assert changed[5][1][1:] == ["c", False]
    assert changed[6][0] == statuses[1], "the same status again is no second one"
    assert [status[1] for status in changed[6]] == [8, 9]
    assert world.read("filters", world.ada)[1] == [changed]


def test_the_stamp_is_another_one_after_every_change_and_none_without_filters(world):
    stamps = [stamp(world)]
    filter_id, *_ = change(world)
    stamps.append(stamp(world))
    change(world, filter_id, action=1)
    stamps.append(stamp(world))
    before = len(world.journals[0])
    change(world, filter_id, action=1)
    assert len(world.journals[0]) == before, "what changes nothing isn't written"
    assert stamp(world) == stamps[-1]
    assert world.do("drop_filter", world.ada, filter_id) is True
    stamps.append(stamp(world))
    change(world)
    stamps.append(stamp(world))
    assert stamps[0] == stamps[3] == 0
    assert len(set(stamps)) == 4, "a filter that is made anew has a stamp of its own"


def test_a_home_page_in_the_shape_of_mastodon_says_the_stamp_to_whoever_has_filters(world):
    def page() -> list[Any]:
        replica = world.replicas[0]
        steps = replica.shaped(1).home_steps(replica.query([world.ada, 0, 0, 0, 20]))
        with pytest.raises(StopIteration) as stop:
            next(steps)
        return list(stop.value.value)

    world.home(world.ada)
    world.post(world.ada)
    assert len(page()) == 3
    change(world)
    assert page()[3] == stamp(world)


def test_a_filter_that_expires_goes_once_its_time_has_come(world):
    filter_id, *_, expires_ms, _, _ = change(world, expires_in_s=60)
    assert expires_ms == world.now_ms + 60_000
    kept, *_ = change(world, expires_in_s=120)
    assert change(world, kept, expires_in_s=0)[4] == 0, "it may be kept for ever after all"
    before = stamp(world)
    fall_due(world, expires_ms - 1)
    assert [row[0] for row in world.read("filters", world.ada)[1]] == [filter_id, kept]
    fall_due(world, expires_ms + 120_000)
    assert [row[0] for row in world.read("filters", world.ada)[1]] == [kept]
    assert stamp(world) not in (0, before)
    change(world, kept, expires_in_s=1)
    fall_due(world, world.now_ms + 1_000)
    assert world.read("filters", world.ada) == [0, []]


@pytest.mark.parametrize("changes", [
    {"title": " "}, {"title": None}, {"contexts": 0}, {"contexts": EVERYWHERE + 1}, {"action": 3}, {"expires_in_s": -1},
    {"expires_in_s": limits.FILTER_AHEAD_S_MAX + 1}, {"words": [[0, " ", True]]}, {"words": [[0, "x", 1]]},
    {"words": [[0, None, None]]}, {"words": [[0, "x"]]}, {"words": 7}, {"statuses": [0]}, {"statuses": ["1"]},
    {"drop": "x"}, {"colour": "red"}, {"words": [[0, "x" * 2_049, True]]}, {"title": "x" * 1_025},
    {"words": [[0, "x", True]] * 201},
], ids=str)  # fmt: skip
def test_what_is_no_filter_is_refused_and_nothing_changes(world, changes):
    before = digest(world.state_of(world.ada))
    with pytest.raises(RookeryError):
        change(world, **changes)
    assert digest(world.state_of(world.ada)) == before


def test_what_isnt_there_is_not_found(world):
    filter_id, *_, words, _ = change(world, words=[[0, "a", True]])
    other, *_ = change(world)
    for wrong in (7, words[0][0]):
        with pytest.raises(NotFoundError):
            change(world, wrong, title="x")
        with pytest.raises(NotFoundError):
            world.do("drop_filter", world.ada, wrong)
    with pytest.raises(NotFoundError):
        change(world, other, words=[[words[0][0], "x", True]])
    with pytest.raises(NotFoundError):
        change(world, filter_id, drop=[7])
    with pytest.raises(NotFoundError):
        world.do("change_filter", world.bob, filter_id, {"title": "mine"})


def test_an_account_has_so_many_filters_and_words(world, monkeypatch):
    monkeypatch.setattr(limits, "FILTER_WORDS_PER_ACCOUNT_MAX", 250)
    filter_id, *_ = change(world, words=[[0, f"w{n}", True] for n in range(200)])
    change(world, filter_id, title="Still fits")
    with pytest.raises(InvalidError, match="at most 200, not 201"):
        change(world, filter_id, words=[[0, "more", True]])
    with pytest.raises(InvalidError, match="may have 250 keywords together"):
        change(world, words=[[0, f"w{n}", True] for n in range(51)])
    with pytest.raises(TooLargeError):
        change(world, words=[[0, "x" * 2_000, True] for n in range(40)])
    for _ in range(limits.FILTERS_COUNT_MAX - 1):
        change(world)
    with pytest.raises(InvalidError, match="may have 100 filters"):
        change(world)


def test_filters_move_with_their_account_and_expire_there(world):
    kept = change(world, contexts=THREAD | ACCOUNT, words=[[0, "a", True]])
    change(world, expires_in_s=60)
    before = stamp(world)
    world.move(1, world.ada)
    assert stamp(world) == before
    fall_due(world, world.now_ms + 60_000)
    assert world.read("filters", world.ada)[1] == [kept]
    assert stamp(world) > before, "an id that was drawn elsewhere isn't drawn again"


def test_filters_wait_for_their_level():
    shards = Shards(level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do("change_filter", ada, 0, {"title": "x", "contexts": 1})
