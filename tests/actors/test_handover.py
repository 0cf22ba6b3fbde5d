"""What a leader keeps while it hands over, and what becomes of it."""

from __future__ import annotations

import pytest

from actors.core.errors import MovedError
from actors.shard.handover import Handover


class Request:
    """A lane request that remembers how it ended."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        self.error = error


@pytest.fixture
def carried_out() -> list[Request]:
    return []


@pytest.fixture
def handover(carried_out) -> Handover:
    return Handover(carried_out.append, 2)


def test_nothing_is_kept_without_a_pause(handover):
    assert not handover.keep(Request())


def test_a_leader_that_leads_on_carries_out_what_it_kept_in_order(handover, carried_out):
    requests = [Request(), Request()]
    handover.begin(3)
    assert all(map(handover.keep, requests))
    handover.resume()
    assert carried_out == requests
    assert not handover.paused


def test_what_another_leader_must_do_is_answered_moved(handover, carried_out):
    request = Request()
    handover.begin(3)
    handover.keep(request)
    handover.give_back("another leads")
    assert isinstance(request.error, MovedError)
    assert carried_out == []
    assert not handover.keep(Request())


def test_no_more_is_kept_than_there_is_room_for(handover):
    handover.begin(3)
    assert [handover.keep(Request()) for _ in range(3)] == [True, True, False]


def test_a_request_that_is_kept_again_when_it_is_carried_out_is_not_lost():
    kept: list[Request] = []

    def carry_out(request: Request) -> None:
        handover.begin(4)
        handover.keep(request)

    handover = Handover(carry_out, 2)
    request = Request()
    handover.begin(3)
    handover.keep(request)
    handover.resume()
    assert handover.term == 4
    handover._carry_out = kept.append
    handover.resume()
    assert kept == [request]
