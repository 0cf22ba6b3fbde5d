"""The hub of a worker, over shards that are a log each: nothing twice, nothing out of order, and no silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import InvalidError, OverloadedError
from actors.core.heard import DELETE, NOTICE, RELATIONS, TWEET
from actors.core.ids import bucket_of_account
from api.streaming import hearers, lines
from api.streaming.cursors import Position, read_cursor, write_cursor
from api.streaming.events import CURSOR_BYTES_MAX, NOTIFICATION, UPDATE, Event
from api.streaming.hearers import Gap
from api.streaming.hub import StreamHub
from api.streaming.pushed import read_push

ADA, BOB = (next(a for a in range(1, 500) if bucket_of_account(a) % 2 == shard) for shard in (0, 1))


class LoggedShard:
    """A shard that is what it has pushed: numbered events, each with its addresses."""

    def __init__(self, number: int) -> None:
        self.number, self.incarnation = number, 1 + number
        self.log: list[list[Any]] = []  # [number, kind, item, who, addresses, None, None, more]
        self.lost_count = 0  # of the first events, which it can't tell any more
        self.accounts: set[int] = set()
        self.topics: set[str] = set()
        self.gone: set[int] = set()
        self.hidden: dict[int, list[int]] = {}

    def restart(self) -> None:
        self.incarnation += 100
        self.log.clear()
        self.cut()

    def cut(self) -> None:
        """Lose the connection, and with it whoever listens."""
        self.accounts, self.topics = set(), set()

    def listen(self, rows: list[Any], topics: list[str]) -> list[Any]:
        known = [len(self.accounts), len(self.topics)]
        elsewhere = [row[0] for row in rows if row[0] in self.gone]
        told = [row[0] for row in rows if row[0] not in self.gone]
        self.accounts.update(told)
        self.topics.update(topics)
        found = [[each, 0, packed(self.hidden.get(each, []))] for each in told]
        return [self.incarnation, len(self.log), 1_000, known, found, elsewhere, []]

    def unlisten(self, accounts: list[int], topics: list[str]) -> bool:
        self.accounts.difference_update(accounts)
        self.topics.difference_update(topics)
        return True

    def missed(self, row: Any, topics: list[str], incarnation: int, number: int) -> list[Any]:
        if incarnation != self.incarnation or not self.lost_count <= number <= len(self.log):
            return [self.incarnation, len(self.log), None]
        found = [
            [*event[:4], mine, *event[5:]] for event in self.log[number:] if (mine := self._for(event, row, topics))
        ]
        return [self.incarnation, len(self.log), found]

    def _for(self, event: list[Any], row: Any, topics: list[str]) -> list[Any]:
        def is_for(address: list[Any]) -> bool:
            if address[1] is None:
                return not set(address[0]).isdisjoint(topics)
            return row is not None and row[0] in np.frombuffer(address[1], "<i8")

        return [address for address in event[4] if is_for(address)]


def packed(accounts: list[int]) -> bytes:
    return np.array(accounts, "<i8").tobytes()


def to_accounts(*accounts: int, topic: str = "user") -> list[Any]:
    return [[topic], packed(list(accounts)), None]


def to_topics(*topics: str) -> list[Any]:
    return [list(topics), None, None]


class World:
    """Two shards and a hub. asked: what was asked of the shards, in order."""

    shard_count = 2

    def __init__(self) -> None:
        self.shards = [LoggedShard(0), LoggedShard(1)]
        self.owner: dict[int, int] = {}
        self.asked: list[tuple[int, str, list[Any]]] = []
        self.held: list[Callable[[], None]] | None = None  # answers that wait, if they are to
        self.hub = StreamHub(self)  # type: ignore[arg-type]

    def shard_of(self, bucket: int) -> int:
        return self.owner.get(bucket, bucket % 2)

    def send_shard(self, shard: int, op: str, args: list[Any], timeout_s: float, done: Callable[..., None]) -> None:
        self.asked.append((shard, op, args))

        def answer() -> None:
            done(getattr(self.shards[shard], op)(*args), None)

        if self.held is None:
            asyncio.get_running_loop().call_soon(answer)
        else:
            self.held.append(answer)

    def happens(self, shard: int, kind: int, item: int, who: int, *addresses: list[Any], more: Any = None) -> None:
        """Have something happen, and be pushed if anybody listens to it."""
        there = self.shards[shard]
        there.log.append([len(there.log) + 1, kind, item, who, list(addresses), None, None, more])
        told = [
            address for address in addresses
            if (not there.topics.isdisjoint(address[0]) if address[1] is None
                else not there.accounts.isdisjoint(np.frombuffer(address[1], "<i8").tolist()))
        ]  # fmt: skip
        if told:
            self.hub.take("heard", [shard, len(there.log), kind, item, who, told, None, None, more])

    async def settle(self) -> None:
        for _ in range(40):
            await asyncio.sleep(0)
        await asyncio.sleep(0.003)
        for _ in range(40):
            await asyncio.sleep(0)


class Client:
    """A listener that notes what it hears: ids, and words for the rest."""

    def __init__(self, account_id: int = 0) -> None:
        self.account_id = account_id
        self.heard: list[Any] = []
        self.kinds: list[str] = []  # of events
        self.cursor = ""
        self.closed = ""
        self.refilters = 0

    def hear(self, event: Event, flags: bytes | None, cursor: str) -> None:
        self.heard.append(event.notice[0] if event.notice else event.tweet_id)
        self.kinds.append(event.kind)
        self.cursor = cursor or self.cursor

    def recovered(self) -> None:
        self.heard.append("recovered")

    def refilter(self) -> None:
        self.refilters += 1

    def revoked(self, secret_hash: bytes | None) -> None:
        self.heard.append(("revoked", secret_hash))

    def close(self, reason: str) -> None:
        self.closed = reason


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lines, "RETRY_S", 0.0)
    monkeypatch.setattr(lines, "ACCOUNTS_PER_S", 1e9)


def in_a_loop(work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World()
        await work(world)
        world.hub.close()

    asyncio.run(run())


def test_each_hears_what_is_for_its_account_and_its_topics():
    async def work(world: World) -> None:
        ada, bob, nobody = Client(ADA), Client(BOB), Client()
        world.hub.listen(ada, ["user"])
        world.hub.listen(bob, ["user:notification", "public"])
        world.hub.listen(nobody, ["hashtag:cats"])
        await world.settle()
        world.happens(0, TWEET, 11, 7, to_accounts(ADA, 99), to_topics("public", "hashtag:cats"))
        world.happens(1, NOTICE, 12, BOB, [["user:notification"], packed([BOB]), None], more=[12, 1, False, 7, 11])
        world.happens(1, TWEET, 13, 7, to_accounts(BOB))
        assert (ada.heard, bob.heard, nobody.heard) == ([11], [11, 12], [11])
        world.hub.unlisten(nobody)
        world.hub.unlisten(bob, ["public"])
        await world.settle()
        assert [shard.topics for shard in world.shards] == [set(), set()]
        world.happens(0, TWEET, 14, 7, to_topics("public", "hashtag:cats"))
        assert (bob.heard, nobody.heard) == ([11, 12], [11])

    in_a_loop(work)


def test_whom_an_account_hides_it_doesn_t_hear_on_public_topics():
    async def work(world: World) -> None:
        world.shards[0].hidden[ADA] = [7]
        ada = Client(ADA)
        world.hub.listen(ada, ["public"])
        await world.settle()
        world.happens(1, TWEET, 11, 7, to_topics("public"))
        world.happens(1, TWEET, 12, 8, to_topics("public"))
        world.happens(0, RELATIONS, 0, ADA, [["related"], packed([ADA]), None], more=packed([8]))
        world.happens(1, TWEET, 13, 7, to_topics("public"))
        world.happens(1, TWEET, 14, 8, to_topics("public"))
        assert ada.heard == [12, 13]

    in_a_loop(work)


def test_whom_the_author_blocks_hears_nothing_of_his_on_public_topics():
    async def work(world: World) -> None:
        ada, nobody = Client(ADA), Client()
        world.hub.listen(ada, ["public"])
        world.hub.listen(nobody, ["public"])
        await world.settle()
        world.happens(1, TWEET, 11, 7, [["public"], None, packed([ADA])])
        world.happens(1, TWEET, 12, 7, to_topics("public"))
        assert (ada.heard, nobody.heard) == ([12], [11, 12])

    in_a_loop(work)


def test_who_comes_back_with_a_cursor_hears_what_was_missed_once_and_in_order():
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user", "public"], "")
        await world.settle()
        world.happens(0, TWEET, 11, 7, to_accounts(ADA))
        world.happens(1, TWEET, 12, 7, to_topics("public"))
        world.hub.unlisten(ada)
        await world.settle()
        world.happens(0, TWEET, 13, 7, to_accounts(ADA))
        world.happens(1, TWEET, 14, 7, to_topics("public"))
        world.happens(0, DELETE, 11, 7, to_accounts(ADA))
        other, again = Client(ADA), Client(ADA)
        world.hub.listen(other, ["user", "public"])
        await world.settle()
        world.held = []
        world.hub.listen(again, ["user", "public"], ada.cursor)
        await world.settle()
        world.happens(0, TWEET, 15, 7, to_accounts(ADA))  # while what was missed is under way
        held, world.held = world.held, None
        for answer in held:
            answer()
        await world.settle()
        world.happens(0, TWEET, 16, 7, to_accounts(ADA))
        assert ada.heard == [11, 12]
        assert other.heard == [15, 16]
        assert [item for item in again.heard if item != 14] == [13, 11, 15, 16]
        assert again.heard.count(14) == 1

    in_a_loop(work)


def test_a_cursor_of_the_middle_of_a_resume_resumes_the_rest_of_all_shards():
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user", "public"], "")
        await world.settle()
        cursor = world.hub.cursor(ada)
        world.hub.unlisten(ada)
        for item in (11, 12):
            world.happens(0, TWEET, item, 7, to_accounts(ADA))
            world.happens(1, TWEET, item + 10, 7, to_topics("public"))
        again = Client(ADA)
        cursors = []
        again.hear = lambda event, flags, cursor: cursors.append((event.tweet_id, cursor))  # type: ignore[method-assign]
        world.hub.listen(again, ["user", "public"], cursor)
        await world.settle()
        assert sorted(item for item, _ in cursors) == [11, 12, 21, 22]
        for place, (_, each) in enumerate(cursors):
            later = Client(ADA)
            world.hub.listen(later, ["user", "public"], each)
            await world.settle()
            assert sorted(later.heard) == sorted(item for item, _ in cursors[place + 1 :])

    in_a_loop(work)


def test_a_lane_that_was_lost_leaves_no_gap_and_nothing_twice():
    async def work(world: World) -> None:
        ada, knows = Client(ADA), Client(ADA)
        world.hub.listen(ada, ["user"])
        world.hub.listen(knows, ["user"], "")
        await world.settle()
        world.happens(0, TWEET, 11, 7, to_accounts(ADA))
        world.shards[0].cut()
        world.happens(0, TWEET, 12, 7, to_accounts(ADA))
        world.hub.take("closed", 0)
        world.hub.take("opened", 0)
        await world.settle()
        world.happens(0, TWEET, 13, 7, to_accounts(ADA))
        assert [item for item in ada.heard if type(item) is int] == [11, 12, 13]
        assert [item for item in knows.heard if type(item) is int] == [11, 12, 13]
        assert "recovered" not in knows.heard

    in_a_loop(work)


def test_a_lane_that_is_the_same_is_not_listened_to_anew():
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user"])
        await world.settle()
        world.hub.take("opened", 0)  # that of another replica
        await world.settle()
        assert [op for _, op, _ in world.asked].count("missed") == 0
        assert world.hub.figures()["stream_lines_lost"] == 0

    in_a_loop(work)


def test_a_shard_that_begins_anew_is_said_to_who_knows_cursors_and_read_for_the_others():
    async def work(world: World) -> None:
        ada, knows = Client(ADA), Client(ADA)
        gaps: list[Gap] = []

        async def read(gap: Gap) -> list[Event]:
            gaps.append(gap)
            world.happens(0, TWEET, 13, 7, to_accounts(ADA))  # while it is read, and in what is read
            world.happens(0, TWEET, 14, 7, to_accounts(ADA))
            await asyncio.sleep(0)
            return [Event(UPDATE, frozenset(("user",)), tweet_id=item) for item in (12, 13)]

        world.hub.filling.read_gap = read
        world.hub.listen(ada, ["user"])
        world.hub.listen(knows, ["user"], "")
        await world.settle()
        world.happens(0, TWEET, 11, 7, to_accounts(ADA))
        world.shards[0].restart()
        world.hub.take("unheard", [0, None])
        await world.settle()
        world.happens(0, TWEET, 15, 7, to_accounts(ADA))
        assert ada.heard == [11, 12, 13, 14, 15]
        assert knows.heard == [11, "recovered", 13, 14, 15]
        assert [(gap.account_id, gap.shard, gap.newest_id) for gap in gaps] == [(ADA, 0, 1_000)]

    in_a_loop(work)


def test_a_loss_of_several_shards_is_told_for_each_since_what_was_read_after_the_first_lacks_what_the_next_made_since():
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user", "public"], "")
        await world.settle()
        for shard in world.shards:
            shard.restart()
            world.hub.take("unheard", [shard.number, None])
            await world.settle()
        assert ada.heard == ["recovered"] * len(world.shards)

    in_a_loop(work)


def test_what_was_read_of_two_shards_is_told_again_by_neither():
    async def work(world: World) -> None:
        anybody = Client(0)

        async def read(gap: Gap) -> list[Event]:
            return [Event(UPDATE, frozenset(("public",)), tweet_id=item) for item in (20 + gap.shard,)]

        world.hub.filling.read_gap = read
        world.hub.listen(anybody, ["public"])
        await world.settle()
        for shard in world.shards:
            shard.restart()
            world.hub.take("unheard", [shard.number, None])
            await world.settle()
        for shard in world.shards:  # what was read before its commit
            world.happens(shard.number, TWEET, 20 + shard.number, 7, to_topics("public"))
        world.happens(0, TWEET, 30, 7, to_topics("public"))
        assert anybody.heard == [20, 21, 30]

    in_a_loop(work)


def test_an_account_that_has_moved_is_listened_to_where_it_is():
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user"], "")
        await world.settle()
        world.owner[bucket_of_account(ADA)] = 1
        world.shards[0].gone.add(ADA)
        world.shards[0].accounts.discard(ADA)
        world.hub.take("unheard", [0, [ADA]])
        await world.settle()
        world.happens(1, TWEET, 12, 7, to_accounts(ADA))
        assert ada.heard == ["recovered", 12]
        assert world.shards[1].accounts == {ADA}

    in_a_loop(work)


@pytest.mark.parametrize("cursor", ["x", "AQ", "AQAAAQE", write_cursor(5, [(1, Position(2, 0))]), "=" * 9, "A" * 600])
def test_a_cursor_that_is_none_or_another_stream_s_is_answered_by_recovered(cursor):
    async def work(world: World) -> None:
        ada = Client(ADA)
        world.hub.listen(ada, ["user"], cursor)
        await world.settle()
        world.happens(0, TWEET, 11, 7, to_accounts(ADA))
        assert ada.heard == ["recovered", 11]

    in_a_loop(work)


def test_a_cursor_of_somebody_else_brings_nothing_of_his():
    async def work(world: World) -> None:
        other = next(a for a in range(ADA + 1, 900) if bucket_of_account(a) % 2 == 0)
        ada = Client(ADA)
        world.hub.listen(ada, ["user"], "")
        await world.settle()
        cursor = world.hub.cursor(ada)
        world.happens(0, TWEET, 11, 7, to_accounts(ADA))
        stranger = Client(other)
        world.hub.listen(stranger, ["user"], cursor)
        await world.settle()
        assert stranger.heard == []

    in_a_loop(work)


@pytest.mark.parametrize(
    "topic",
    ["", "home", "list:", "list:x", "list:0", "public:other", "hashtag:" + "x" * 500, "hashtag:\x00", "related"],
)
def test_a_stream_that_there_is_not_is_refused(topic):
    async def work(world: World) -> None:
        with pytest.raises(InvalidError, match="no stream"):
            world.hub.listen(Client(ADA), [topic])
        assert world.hub.figures()["stream_listeners"] == 0

    in_a_loop(work)


def test_nobody_hears_what_is_an_account_s_and_topics_are_bounded():
    async def work(world: World) -> None:
        with pytest.raises(InvalidError):
            world.hub.listen(Client(), ["user"])
        with pytest.raises(OverloadedError):
            world.hub.listen(Client(), [f"hashtag:{i}" for i in range(hearers.TOPICS_MAX + 1)])

    in_a_loop(work)


def test_tokens_are_doubted_of_the_accounts_of_a_lane_that_is_new():
    async def work(world: World) -> None:
        ada, bob = Client(ADA), Client(BOB)
        world.hub.listen(ada, ["user"])
        world.hub.listen(bob, ["user"])
        await world.settle()
        world.hub.take("opened", 0)
        world.hub.revoked(BOB, b"hash")
        assert (ada.heard, bob.heard) == ([("revoked", None)], [("revoked", b"hash")])

    in_a_loop(work)


def test_a_notification_that_was_heard_is_where_a_gap_begins():
    async def work(world: World) -> None:
        gaps: list[Gap] = []

        async def read(gap: Gap) -> list[Event]:
            gaps.append(gap)
            return [Event(NOTIFICATION, frozenset(("user",)), notice=[64, 1, False, 7, 0])]

        world.hub.filling.read_gap = read
        ada = Client(ADA)
        world.hub.listen(ada, ["user"])
        await world.settle()
        world.happens(0, NOTICE, 32, ADA, [["user"], packed([ADA]), None], more=[32, 1, False, 7, 0])
        world.shards[0].restart()
        world.hub.take("unheard", [0, None])
        await world.settle()
        assert gaps[0].notice_id == 32
        assert ada.heard == [32, 64]

    in_a_loop(work)


@given(st.integers(0, 2**62), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**33), st.integers(0, 2**40))))
def test_a_cursor_says_what_was_written(newest_id, sources):
    text = write_cursor(newest_id, [(shard, Position(*position)) for shard, *position in sources])
    if text:
        assert len(text) <= CURSOR_BYTES_MAX
        found = read_cursor(text)
        assert found is not None
        assert found.newest_id == newest_id
        assert found.sources == {shard: Position(*position) for shard, *position in sources}


@given(st.text(max_size=600) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_whatever_a_client_says_is_a_cursor_or_none(text):
    found = read_cursor(text)
    assert found is None or all(number < 1 << 63 for position in found.sources.values() for number in position)


def test_flags_of_an_account_are_its_own_bytes_and_nothing_is_none():
    value = [0, 1, TWEET, 11, 7, [[["user"], packed([ADA, BOB]), bytes((0, 0, 0, 5))]], None, None, None]
    (each,) = read_push(value)
    assert (each.flags_of(ADA), each.flags_of(BOB)) == (None, bytes((0, 5)))
