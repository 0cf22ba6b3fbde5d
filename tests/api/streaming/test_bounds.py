"""What a stream may take: readers who don't read, shards that don't answer, memory."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from actors.core.errors import NotFoundError, OverloadedError
from api.positions import must_read_fresh
from api.streaming import subscription
from api.streaming.events import NOTIFICATION, Event
from api.streaming.wheel import HEARTBEAT_S, SLOT_COUNT, TICK_S, UNREAD_BYTES_MAX, Wheel
from tests.api.streaming.fake_hub import delete, update

USER = "/api/v1/streaming/user"
BIG = "x" * 20_000


def fill(world: Any) -> None:
    """Have more happen than the system's buffers and the bound hold."""
    for number in range(1, 200):
        world.hub.tell(update(number, text=BIG))


@pytest.mark.parametrize("kind", ["sse", "ws"])
def test_who_does_not_read_is_cut_off_with_a_reason_and_nobody_else(world, bearer, monkeypatch, kind):
    monkeypatch.setattr("api.streaming.wheel.SLOW_S", 0.0)
    with world.sse().open("/api/v1/streaming/public", bearer) as reader:
        slow = world.sse().open(USER, bearer) if kind == "sse" else world.ws().open(USER, bearer)
        with slow:
            world.do(fill, world)
            assert world.do(lambda: max(each.unread_bytes() for each in world.streams._open)) > UNREAD_BYTES_MAX
            world.do(world.streams.wheel._look_at_slow, 1e12)
            assert world.do(lambda: world.streams.places.cut_by_reason["slow"]) == 1
            assert b"unread" in slow.file.read()[-200:]  # who reads after all is told why
        world.tell(delete(5, "public"))
        assert reader.block()["event"] == "delete"


def test_who_reads_late_but_in_time_is_not_cut_off(world, bearer):
    with world.ws().open(USER, bearer) as client:
        world.do(fill, world)
        heard = [orjson.loads(client.told()["payload"])["id"] for _ in range(199)]
        assert heard == [str(number) for number in range(1, 200)]
        world.do(world.streams.wheel._look_at_slow, 1e12)
        client.ponged()
        assert not world.streams.places.cut_by_reason["slow"]
        world.do(world.streams.wheel.check)


def test_more_than_anybody_could_read_is_never_kept(world, bearer, monkeypatch):
    monkeypatch.setattr("api.streaming.connection.UNREAD_BYTES_LAST", 1_000_000)
    with world.sse().open(USER, bearer) as client:
        world.do(fill, world)
        assert world.streams.places.cut_by_reason["slow"] == 1
        assert b"unread" in client.file.read()[-200:]


# ---- what has to be asked for ---------------------------------------------------------------------------------------


def notice(number: int) -> Event:
    return Event(NOTIFICATION, frozenset(("user",)), notice=[number << 5, 3, False, 7, 0])


@pytest.fixture
def asked(world, monkeypatch) -> Any:
    """What rendering asks, answered as a test wants: `answer` is called with the event."""

    class Asked:
        answer: Any = None

        async def __call__(self, event: Event, *_: Any) -> bytes:
            await asyncio.sleep(0)
            return self.answer(event)

    found = Asked()
    monkeypatch.setattr(world.streams.mastodon, "asked", found)
    monkeypatch.setattr(subscription, "ASK_AGAIN_S", 0.0)
    return found


def test_what_is_asked_for_holds_back_what_comes_behind_it(world, bearer, asked):
    asked.answer = lambda event: b'{"id":"%d"}' % event.notice[0]
    with world.sse().open(USER, bearer) as client:

        def tell() -> None:
            for number in (1, 2):
                world.hub.tell(notice(number), cursor=f"n{number}")
                world.hub.tell(delete(number), cursor=f"d{number}")
            world.hub.lose()

        world.do(tell)
        assert [client.block().get("id") for _ in range(4)] == ["n1", "d1", "n2", "d2"]
        assert client.block()["event"] == "recovered"
        world.tell(delete(3))
        assert client.block()["data"] == "3"


def test_what_a_shard_has_told_of_is_asked_of_primaries(world, bearer, asked):
    asked.answer = lambda event: b"%d" % must_read_fresh()
    with world.sse().open(USER, bearer) as client:
        world.tell(notice(1))
        assert client.block()["data"] == "1"
    assert not must_read_fresh()


def test_what_nobody_may_see_any_more_is_left_out(world, bearer, asked):
    def gone(event: Event) -> bytes:
        raise NotFoundError("gone")

    asked.answer = gone
    with world.sse().open(USER, bearer) as client:
        world.tell(notice(1))
        world.tell(delete(2))
        assert client.block()["event"] == "delete"


def test_a_shard_that_is_away_for_a_moment_is_asked_again(world, bearer, asked):
    refusals = [OverloadedError("away")] * (subscription.ASK_COUNT - 1)

    def answer(event: Event) -> bytes:
        if refusals:
            raise refusals.pop()
        return b"{}"

    asked.answer = answer
    with world.sse().open(USER, bearer) as client:
        world.tell(notice(1))
        assert client.block() == {"event": "notification", "data": "{}"}


@pytest.mark.parametrize("error", [OverloadedError("away"), ZeroDivisionError("a defect")])
def test_what_cannot_be_told_ends_the_stream_rather_than_being_left_out(world, bearer, asked, error):
    def fail(event: Event) -> bytes:
        raise error

    asked.answer = fail
    with world.ws().open(USER, bearer) as client:
        world.tell(notice(1))
        assert client.closed()[0] in (1011, 1013)
        assert world.streams.places.cut_by_reason["behind"] == 1


def test_what_waits_is_bounded(world, bearer, asked, monkeypatch):
    monkeypatch.setattr(subscription, "WAITING_COUNT_MAX", 10)
    asked.answer = lambda event: b"{}"
    with world.ws().open(USER, bearer) as client:
        world.do(lambda: [world.hub.tell(notice(number)) for number in range(20)])
        assert client.closed() == (1013, "behind: come back with your cursor")


# ---- sharing --------------------------------------------------------------------------------------------------------


def test_a_frame_is_made_once_for_all_who_are_sent_the_same(world, bearer, register):
    other = {"Authorization": f"Bearer {register().token}"}
    with world.ws().open(USER, bearer) as first, world.ws().open(USER, other) as second:
        first.ponged(), second.ponged()
        wait_for_filters(world)
        event = update(5)
        world.tell(event, cursor="c")
        assert first.told() == second.told()
        assert sum(isinstance(key, tuple) for key in event.frames) == 1


def test_flags_are_their_readers_own(world, bearer, register):
    other = register()
    with (
        world.ws().open(USER, bearer) as first,
        world.ws().open(USER, {"Authorization": f"Bearer {other.token}"}) as second,
    ):
        first.ponged(), second.ponged()
        event = update(5)
        world.tell(event, flags=b"\x01", account_id=int(other.user_id))
        assert orjson.loads(second.told()["payload"])["favourited"] is True
        world.tell(event)
        assert orjson.loads(first.told()["payload"])["favourited"] is False


def wait_for_filters(world: Any) -> None:
    while any(viewer.stamp is None for viewer in world.do(lambda: list(world.streams._viewers.values()))):
        continue


# ---- the wheel ------------------------------------------------------------------------------------------------------


class Heart:
    slot, beats = 0, 0

    def beat(self) -> None:
        self.beats += 1

    def show_cursor(self) -> bool:
        return True

    def unread_bytes(self) -> int:
        return 0

    def cut_off(self) -> None:
        raise AssertionError


async def test_each_heart_beats_once_a_round_and_they_are_spread():
    wheel, hearts = Wheel(), [Heart() for _ in range(2 * SLOT_COUNT)]
    for heart in hearts:
        wheel.add(heart)
    wheel.check()
    for _ in range(SLOT_COUNT):
        before = sum(heart.beats for heart in hearts)
        wheel._tick()
        assert sum(heart.beats for heart in hearts) == before + 2
    assert {heart.beats for heart in hearts} == {1}
    assert pytest.approx(HEARTBEAT_S) == SLOT_COUNT * TICK_S
    for heart in hearts:
        wheel.remove(heart)
        wheel.remove(heart)
    wheel.check()
