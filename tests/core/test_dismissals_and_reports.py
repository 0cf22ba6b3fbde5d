"""What an account doesn't want to see again; what it reports; who is in the directory."""

from __future__ import annotations

import pytest

from actors.core import limits
from actors.core.errors import OverloadedError, RookeryError
from actors.core.features import directory
from actors.core.features.directory import ACTIVE, NEW
from actors.core.features.reports import REPORT
from actors.core.stores.account_flags import UNLISTED
from actors.core.verify import digest
from tests.core.harness import Shards


@pytest.fixture
def world() -> Shards:
    made = Shards(2)
    made.ada, made.bob, made.far = made.account_on(0), made.account_on(0, 1), made.account_on(1)  # type: ignore[attr-defined]
    made.register(made.ada, made.bob, made.far)  # type: ignore[attr-defined]
    return made


def test_what_was_dismissed_is_known_to_the_account_alone_and_once(world):
    assert world.do("dismiss_suggestion", world.ada, world.far) is True
    assert world.do("dismiss_suggestion", world.ada, world.far) is False
    assert world.do("read_announcement", world.ada, 7) is True
    assert world.do("read_announcement", world.ada, 7) is False
    assert world.do("read_announcement", world.ada, 3) is True
    assert world.read("dismissed", world.ada) == [[world.far], [7, 3]]
    assert world.read("dismissed", world.bob) == [[], []]
    world.check()
    assert digest(world.replayed(0).state) == world.digests()[0]


def test_of_too_many_that_were_dismissed_the_oldest_is_shown_again(world):
    for number in range(1, limits.ANNOUNCEMENTS_READ_MAX + 3):
        world.do("read_announcement", world.ada, number)
    _, numbers = world.read("dismissed", world.ada)
    assert (numbers[0], numbers[-1], len(numbers)) == (3, limits.ANNOUNCEMENTS_READ_MAX + 2, 100)


def test_reports_are_kept_for_the_operator_in_the_order_in_which_they_were_made(world):
    first = world.do("report", world.ada, world.far, "spam", "buy this", [5, 6], [1])
    world.now_ms += 1
    second = world.do("report", world.bob, world.far, "other", "", [], [])
    assert world.replicas[0].read("reports", [0, 10]) == [
        [first, world.ada, world.far, "spam", "buy this", [5, 6], [1]],
        [second, world.bob, world.far, "other", "", [], []],
    ]
    assert world.replicas[0].read("reports", [first, 10])[0][0] == second
    assert world.replicas[0].read("reports", [0, 1])[0][0] == first
    assert world.replicas[1].read("reports", [0, 10]) == []
    world.check()
    assert digest(world.replayed(0).state) == world.digests()[0]


def test_of_too_many_reports_the_oldest_goes(world):
    made = [world.do("report", world.ada, world.far, "spam", "", [], []) for _ in range(REPORT.limit + 2)]
    assert world.state_of(world.ada).papers.keys(REPORT, world.ada) == made[2:]


@pytest.mark.parametrize("args", [
    (0, "spam", "", [], []), (7, "rude", "", [], []), (7, "spam", "x" * 5_000, [], []), (7, "spam", "", ["x"], []),
    (7, "spam", "", [1] * 101, []), (7, "spam", "", [], [0]), (7, "spam", None, [], []), (7, "spam", "", 5, []),
], ids=str)  # fmt: skip
def test_what_is_no_report_is_refused(world, args):
    before = world.digests()
    with pytest.raises(RookeryError):
        world.do("report", world.ada, *args)
    assert world.digests() == before


def test_nothing_of_it_is_there_below_its_level():
    shards = Shards(1, level=2)
    shards.register(1, 2)
    for write in (("report", 1, 2, "spam", "", [], []), ("dismiss_suggestion", 1, 2), ("read_announcement", 1, 2)):
        with pytest.raises(OverloadedError, match="being upgraded"):
            shards.do(*write)


def test_who_is_deleted_leaves_neither(world):
    world.do("report", world.ada, world.far, "spam", "", [], [])
    world.do("read_announcement", world.ada, 7)
    world.do("delete_account", world.ada, None)
    assert world.replicas[0].read("reports", [0, 10]) == []


def listed(world, order: int, count: int = 10) -> list[int]:
    return [account_id for account_id, _ in world.replicas[0].read("directory", [order, count])]


def test_the_directory_has_who_wrote_last_for_everybody_first(world):
    assert listed(world, ACTIVE) == []
    world.post(world.ada)
    world.post(world.bob)
    assert listed(world, ACTIVE) == [world.bob, world.ada]
    world.post(world.ada, "for followers", visibility=1)
    assert listed(world, ACTIVE) == [world.bob, world.ada]
    world.post(world.ada)
    assert listed(world, ACTIVE) == [world.ada, world.bob]
    assert listed(world, ACTIVE, 1) == [world.ada]


def test_the_directory_has_who_came_last_first_and_nobody_who_does_not_want_to_be_in_it(world, monkeypatch):
    world.now_ms += 1
    newest = world.account_on(0, 5)
    world.register(newest)
    assert listed(world, NEW)[0] == newest
    world.post(newest)
    world.do("update_profile", newest, {"flags": [UNLISTED, UNLISTED]})
    assert newest not in listed(world, NEW) + listed(world, ACTIVE)
    monkeypatch.setattr(directory, "LOOKED_AT_MAX", 1)
    assert listed(world, NEW) == []


def test_who_waits_for_approval_is_not_in_the_directory(world):
    world.do("await_approval", world.bob, "hash", b"", "", 8, 0, "let me in")
    assert listed(world, NEW) == [world.ada]
    world.do("approve", world.bob)
    assert set(listed(world, NEW)) == {world.ada, world.bob}
