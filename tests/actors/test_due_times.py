"""The clock of what falls due: who looks, when, and what has to wait."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from actors.core.errors import MovedError
from actors.shard.due_times import DueTimes
from tests.core.harness import SMALL, Shards


class JournaledCommits:
    """The commits of one shard, whose journal is a list."""

    def __init__(self, shards: Shards) -> None:
        self.replica, self.state, self.unavailable = shards.replicas[0], shards.replicas[0].state, ""
        self.journal: list[list[Any]] = []

    def run(self, command: list[Any]) -> Any:
        self.journal.append(command)
        return self.replica.command(command)[1]


class Clock:
    """A shard with three tweets whose time has come, and its clock."""

    def __init__(self) -> None:
        shards = Shards(1)
        shards.now_ms = int(time.time() * 1000) - 60_000
        shards.register(1)
        for text in ("one", "two", "three"):
            shards.do("schedule", 1, shards.now_ms + 10_000, text, 0, 0, 0, b"", [], [])
        self.commits, self.leads = JournaledCommits(shards), True
        self.times = DueTimes(self.commits, lambda: self.leads)  # type: ignore[arg-type]

    @property
    def published(self) -> int:
        return len(self.commits.state.tweets)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_leader_publishes_what_is_due_and_then_finds_nothing(clock):
    assert clock.times.look() is True
    assert clock.published == 3
    assert clock.times.look() is False
    assert len(clock.commits.journal) == 1


def test_some_at_a_time_with_room_for_requests_between(clock, monkeypatch):
    monkeypatch.setattr("actors.core.limits.DUE_COUNT_MAX", 2)
    assert (clock.times.look(), clock.published) == (True, 2)
    assert (clock.times.look(), clock.published) == (True, 3)


@pytest.mark.parametrize("why", ["follows", "is frozen", "has no storage"])
def test_who_takes_no_writes_leaves_it_to_later(clock, why):
    if why == "follows":
        clock.leads = False
    elif why == "is frozen":
        clock.commits.replica.move("freeze", [1])
    else:
        clock.commits.unavailable = "the disk is full"
    assert (clock.times.look(), clock.published, clock.commits.journal) == (False, 0, [])
    clock.leads, clock.commits.unavailable = True, ""
    if why == "is frozen":
        clock.commits.replica.move("thaw", [1])
    assert (clock.times.look(), clock.published) == (True, 3)


def test_what_is_refused_is_said_once_and_tried_again(clock, capsys):
    clock.commits.state.tuning = replace(SMALL, tweets_max=0)
    assert [clock.times.look() for _ in range(3)] == [False] * 3
    said = capsys.readouterr()
    assert (said.out + said.err).count("what is due has to wait") == 1
    clock.commits.state.tuning = SMALL
    assert (clock.times.look(), clock.published) == (True, 3)


def test_a_leader_that_was_deposed_meanwhile_goes_on_looking(clock, monkeypatch):
    def deposed(command: list[Any]) -> Any:
        raise MovedError("this replica doesn't lead")

    monkeypatch.setattr(clock.commits, "run", deposed)
    assert (clock.times.look(), clock.published) == (False, 0)
