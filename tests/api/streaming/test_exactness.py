"""Gaps that are read for listeners without cursors: what they were told isn't told again, and nothing is left out.

The reader answers with everything that a shard has, as shards do: authors move between them with all their tweets, and
tweets come late, with ids below others.
"""

from __future__ import annotations

import time

import pytest

from actors.core.heard import CONVERSATION, DELETE, EDIT, TWEET
from actors.core.ids import bucket_of_account
from api.positions import must_read_fresh
from api.streaming import hearers, told
from api.streaming.events import UPDATE, Event
from api.streaming.gaps import new_to
from api.streaming.hearers import Gap
from tests.api.streaming.test_hub import ADA, BOB, Client, World, in_a_loop, quick, to_accounts, to_topics

__all__ = ["quick"]  # a fixture of all tests here

AHEAD_MS = 60_000  # so that what tests write is newer than whoever listens, on whatever machine


def ids(count: int) -> list[int]:
    """Return ids of tweets, ascending, newer than whoever has begun to listen by now."""
    first = time.time_ns() // 1_000_000 + AHEAD_MS
    return [first + n << 16 for n in range(count)]


class Timelines:
    """What shards have: reads gaps as `gaps.py` does. asked: the gaps."""

    def __init__(self, topic: str) -> None:
        self.topic, self.of_shard = topic, {0: set[int](), 1: set[int](), 2: set[int]()}
        self.asked: list[Gap] = []

    async def read(self, gap: Gap) -> list[Event]:
        assert must_read_fresh()
        self.asked.append(gap)
        found = new_to(gap, sorted(self.of_shard[gap.shard]), self.topic)
        return [Event(UPDATE, frozenset((self.topic,)), tweet_id=item) for item in found]


def lose(world: World, shard: int) -> None:
    world.shards[shard].restart()
    world.hub.take("unheard", [shard, None])


def test_what_one_shard_told_is_not_read_of_another_one_that_its_author_has_moved_to():
    async def work(world: World) -> None:
        there, anybody = Timelines("public"), Client()
        world.hub.filling.read_gap = there.read
        world.hub.listen(anybody, ["public"])
        await world.settle()
        first, second, missed, last = ids(4)
        for item in (first, second):
            world.happens(0, TWEET, item, 7, to_topics("public"))
        there.of_shard[1] = {first, second, missed}  # the author has moved, and posted since
        lose(world, 1)
        await world.settle()
        world.happens(1, TWEET, last, 7, to_topics("public"))
        assert anybody.heard == [first, second, missed, last]
        assert [gap.shard for gap in there.asked] == [1]

    in_a_loop(work)


@pytest.mark.parametrize(("topic", "address"), [("user", to_accounts(ADA)), ("public", to_topics("public"))])
def test_a_tweet_that_comes_late_has_a_lower_id_and_is_no_older_for_that(topic, address):
    async def work(world: World) -> None:
        there, ada = Timelines(topic), Client(ADA)
        world.hub.filling.read_gap = there.read
        world.hub.listen(ada, [topic])
        await world.settle()
        first, late, told_id = ids(3)
        world.happens(0, TWEET, first, 7, address)
        world.happens(0, TWEET, told_id, 8, address)
        there.of_shard[0] = {first, late, told_id}
        lose(world, 0)
        await world.settle()
        assert ada.heard == [first, told_id, late]

    in_a_loop(work)


def test_what_was_read_once_is_not_read_again_however_late(monkeypatch):
    async def work(world: World) -> None:
        there, ada = Timelines("user"), Client(ADA)
        world.hub.filling.read_gap = there.read
        world.hub.listen(ada, ["user"])
        await world.settle()
        first, second = ids(2)
        there.of_shard[0] = {first}
        for _ in range(3):
            lose(world, 0)
            await world.settle()
            for hearer in world.hub.audience.by_listener.values():
                hearer.was_read = frozenset()  # as after some seconds
        there.of_shard[0].add(second)
        lose(world, 0)
        await world.settle()
        assert ada.heard == [first, second]

    in_a_loop(work)


def test_what_a_resume_told_is_not_read_again():
    async def work(world: World) -> None:
        there, ada = Timelines("user"), Client(ADA)
        world.hub.filling.read_gap = there.read
        world.hub.listen(ada, ["user"])
        await world.settle()
        first, second, third = ids(3)
        world.happens(0, TWEET, first, 7, to_accounts(ADA))
        world.shards[0].cut()
        world.happens(0, TWEET, second, 7, to_accounts(ADA))
        world.hub.take("closed", 0)
        await world.settle()
        assert ada.heard == [first, second]
        there.of_shard[0] = {first, second, third}
        lose(world, 0)
        await world.settle()
        assert ada.heard == [first, second, third]

    in_a_loop(work)


def test_what_was_kept_while_a_gap_was_read_that_was_lost_again_is_read():
    async def work(world: World) -> None:
        there, ada = Timelines("user"), Client(ADA)
        first, second = ids(2)

        async def read(gap: Gap) -> list[Event]:
            if not there.asked:  # the first one is lost while it is read
                world.happens(0, TWEET, second, 7, to_accounts(ADA))
                there.of_shard[0].add(second)
                there.asked.append(gap)
                lose(world, 0)
                return []
            return await there.read(gap)

        world.hub.filling.read_gap = read
        world.hub.listen(ada, ["user"])
        await world.settle()
        world.happens(0, TWEET, first, 7, to_accounts(ADA))
        there.of_shard[0].add(first)
        lose(world, 0)
        await world.settle()
        assert ada.heard == [first, second]

    in_a_loop(work)


def test_of_a_shard_that_there_was_not_is_read_what_it_has_told_before_anybody_listened():
    async def work(world: World) -> None:
        there, anybody, knows = Timelines("public"), Client(), Client(ADA)
        world.hub.filling.read_gap = there.read
        world.hub.listen(anybody, ["public"])
        world.hub.listen(knows, ["public"], "")
        await world.settle()
        first, second, third = ids(3)
        world.happens(0, TWEET, first, 7, to_topics("public"))
        world.shards.append(type(world.shards[0])(2))
        world.shard_count = 3
        there.of_shard[2] = {first, second}
        world.hub._tick()
        await world.settle()
        world.happens(2, TWEET, third, 7, to_topics("public"))
        assert anybody.heard == [first, second, third]
        assert knows.heard == [first, "recovered", third]
        world.shard_count = 2
        world.hub._tick()
        world.shard_count = 3  # it comes back, as another one
        lose(world, 2)
        world.hub._tick()
        await world.settle()
        assert anybody.heard == [first, second, third]
        assert knows.heard[3:] == ["recovered"]

    in_a_loop(work)


def test_who_begins_after_a_shard_came_while_nobody_listened_hears_it_on():
    async def work(world: World) -> None:
        there, anybody = Timelines("public"), Client()
        world.hub.filling.read_gap = there.read
        world.shards.append(type(world.shards[0])(2))
        world.shard_count = 3
        world.hub.listen(anybody, ["public"])
        await world.settle()
        first, second = ids(2)
        world.happens(2, TWEET, first, 7, to_topics("public"))
        world.hub._tick()
        await world.settle()
        world.happens(2, TWEET, second, 7, to_topics("public"))
        assert anybody.heard == [first, second]
        assert there.asked == []

    in_a_loop(work)


def test_who_begins_when_a_shard_is_there_lacks_nothing_of_it():
    async def work(world: World) -> None:
        there, before, since = Timelines("public"), Client(), Client()
        world.hub.filling.read_gap = there.read
        world.hub.listen(before, ["public"])
        await world.settle()
        world.shards.append(type(world.shards[0])(2))
        world.shard_count = 3
        world.hub.listen(since, ["public"])
        await world.settle()
        first, second = ids(2)
        world.happens(2, TWEET, first, 7, to_topics("public"))
        there.of_shard[2] = {first}
        world.hub._tick()
        await world.settle()
        world.happens(2, TWEET, second, 7, to_topics("public"))
        assert since.heard == [first, second]
        assert before.heard == [first, second]

    in_a_loop(work)


def test_who_waits_for_a_shard_that_is_given_up_is_let_go():
    async def work(world: World) -> None:
        anybody = Client()
        world.hub.listen(anybody, ["public"])
        await world.settle()
        world.held = []
        lose(world, 1)
        world.shard_count = 1
        world.hub._tick()
        assert "shard is gone" in anybody.closed
        assert world.hub.figures()["stream_listeners"] == 0

    in_a_loop(work)


def test_who_has_begun_since_has_not_heard_what_others_were_told():
    async def work(world: World) -> None:
        first, second = ids(2)
        early, late = Client(ADA), Client(ADA)
        world.hub.listen(early, ["user"])
        await world.settle()
        world.happens(0, TWEET, first, 7, to_accounts(ADA))
        world.hub.listen(late, ["user"])
        world.happens(0, TWEET, second, 7, to_accounts(ADA))
        world.happens(0, DELETE, second, 7, to_accounts(ADA))
        known = {
            client: world.hub.told.known(ADA, ["user"], world.hub.audience.by_listener[client].began)
            for client in (early, late)
        }
        assert known[early] == {(first, "user"): b"", (second, "user"): told.GONE}
        assert known[late] == {(second, "user"): told.GONE}

    in_a_loop(work)


def test_the_window_is_bounded_and_says_what_it_has_lost(monkeypatch):
    monkeypatch.setattr(told, "COUNT_MAX", 5)
    monkeypatch.setattr(told, "ACCOUNTS_MAX", 8)
    window = told.ToldLately()
    for item in range(1, 11):
        window.note(
            Event(UPDATE, frozenset(("user",)), tweet_id=item), ADA.to_bytes(8, "little") * (1 + item // 10 * 4)
        )
    assert window.lost_max_id == 6
    assert set(window.known(ADA, ["user"], 0)) == {(item, "user") for item in (7, 8, 9, 10)}
    assert window.known(ADA + 1, ["user"], 0) == {}
    assert window.known(ADA, ["public"], 0) == {}


def test_an_account_is_found_among_others_at_its_own_place_alone():
    window = told.ToldLately()
    first, second = 0x0102030405060708, 0x1112131415161718
    both = first.to_bytes(8, "little") + second.to_bytes(8, "little")
    between = int.from_bytes(both[3:11], "little")
    window.note(Event(UPDATE, frozenset(("user",)), tweet_id=5), both + between.to_bytes(8, "little") * 0)
    assert window.known(between, ["user"], 0) == {}
    assert window.known(second, ["user"], 0) == {(5, "user"): b""}


def test_a_listener_remembers_so_much_of_what_it_was_told_alone(monkeypatch):
    monkeypatch.setattr(hearers, "OWN_MAX", 3)
    hearer = hearers.Hearer(Client(ADA))
    for item in (1, 2, 3, 4, 5):
        hearer.note_own(Event(UPDATE, frozenset(("user",)), tweet_id=item))
    assert [record.tweet_id for record in hearer.own or ()] == [5, 4, 3]
    assert hearer.since_id == 2


def test_whose_shard_went_before_it_could_say_where_he_is_now_is_heard_there():
    async def work(world: World) -> None:
        there, ada, knows = Timelines("user"), Client(ADA), Client(ADA)
        world.hub.filling.read_gap = there.read
        world.shards.append(type(world.shards[0])(2))
        world.shard_count, world.owner[bucket_of_account(ADA)] = 3, 2
        world.hub.listen(ada, ["user"])
        world.hub.listen(knows, ["user"], "")
        await world.settle()
        first, second, third = ids(3)
        world.happens(2, TWEET, first, 7, to_accounts(ADA))
        world.shards[2].cut()
        world.shard_count = 2
        world.owner.clear()
        there.of_shard[0] = {first, second}
        world.hub._tick()
        await world.settle()
        world.happens(0, TWEET, third, 7, to_accounts(ADA))
        assert ada.heard == [first, second, third]
        assert knows.heard == [first, "recovered", third]
        assert (ada.closed, knows.closed) == ("", "")

    in_a_loop(work)


def test_a_conversation_that_was_read_and_is_pushed_meanwhile_is_told_once():
    async def work(world: World) -> None:
        ada, older = Client(ADA), Client(ADA)
        (newest,) = ids(1)
        to_ada = to_accounts(ADA, topic="direct")

        async def read(gap: Gap) -> list[Event]:
            world.happens(0, CONVERSATION, 55, ADA, to_ada, more=newest)
            told = max(gap.talks_since_id, gap.talks.get(55, 0)) >= newest
            return [] if told else [Event("conversation", frozenset(("direct",)), tweet_id=newest, root=55)]

        world.hub.filling.read_gap = read
        world.hub.listen(ada, ["direct"])
        await world.settle()
        lose(world, 0)
        await world.settle()
        assert ada.heard == [newest]
        world.hub.listen(older, ["direct"])
        world.happens(0, CONVERSATION, 56, ADA, to_ada)  # by an older shard
        assert ada.heard == [newest, 0]

    in_a_loop(work)


def test_of_what_was_told_and_is_edited_while_a_gap_is_read_nothing_is_told_again():
    async def work(world: World) -> None:
        there, ada = Timelines("user"), Client(ADA)
        first, second = ids(2)

        async def read(gap: Gap) -> list[Event]:
            world.happens(0, EDIT, first, 7, to_accounts(ADA))
            if not there.asked:  # the first one is lost while it is read
                there.asked.append(gap)
                lose(world, 0)
                return []
            return await there.read(gap)

        world.hub.filling.read_gap = read
        world.hub.listen(ada, ["user"])
        await world.settle()
        world.happens(0, TWEET, first, 7, to_accounts(ADA))
        there.of_shard[0] = {first, second}
        lose(world, 0)
        await world.settle()
        assert ada.kinds == ["update", "update", "status.update"]
        assert ada.heard == [first, second, first]

    in_a_loop(work)


@pytest.mark.parametrize("answered_first", ["missed", "listen"])
@pytest.mark.parametrize("is_new", [False, True], ids=["another lane", "another process"])
def test_what_one_asks_of_another_lane_tells_nobody_else_that_he_has_heard_it(answered_first: str, is_new: bool):
    async def work(world: World) -> None:
        first, second, third = ids(3)
        knows, again = Client(ADA), Client(BOB)
        world.hub.listen(knows, ["public"], "")
        await world.settle()
        begin = world.hub.cursor(knows)
        world.happens(0, TWEET, first, 7, to_topics("public"))
        world.held = []
        world.hub.listen(again, ["public"], begin)
        await world.settle()
        if is_new:
            world.shards[0].restart()
        else:
            world.shards[0].cut()
        world.happens(0, TWEET, second, 7, to_topics("public"))  # nobody is told
        world.hub.take("closed", 0)
        await world.settle()
        while world.held:
            answers, world.held = world.held, []
            for answer in answers if answered_first == "missed" else reversed(answers):
                answer()
            await world.settle()
        world.happens(0, TWEET, third, 7, to_topics("public"))
        if is_new:
            assert knows.heard == [first, "recovered", third]
            assert again.heard == ["recovered", third]
        else:
            assert knows.heard == [first, second, third]
            assert again.heard == [first, second, third]

    in_a_loop(work)


def test_a_lane_that_broke_is_noticed_while_something_else_of_its_only_account_is_wanted():
    async def work(world: World) -> None:
        first, second, third = ids(3)
        ada, other = Client(ADA), Client(ADA)
        world.hub.listen(ada, ["user"])
        await world.settle()
        world.happens(0, TWEET, first, 7, to_accounts(ADA))
        world.shards[0].cut()
        world.happens(0, TWEET, second, 7, to_accounts(ADA))
        world.hub.listen(other, ["direct"])  # before anybody looks
        await world.settle()
        world.happens(0, TWEET, third, 7, to_accounts(ADA))
        assert ada.heard == [first, second, third]

    in_a_loop(work)


@pytest.mark.parametrize("how", ["lane", "moved", "new"])
def test_while_nobody_says_whom_an_account_hides_it_hears_nothing_of_others_and_all_of_it_afterwards(how: str):
    async def work(world: World) -> None:
        told, blocked, fine, last = ids(4)
        there, ada, knows, nobody = Timelines("public"), Client(ADA), Client(ADA), Client()
        there.of_shard[1] = {told, fine}  # what ADA may see
        world.hub.filling.read_gap = there.read
        world.hub.listen(nobody, ["public"])
        if how != "new":
            world.hub.listen(ada, ["public"])
            world.hub.listen(knows, ["public"], "")
        await world.settle()
        world.happens(1, TWEET, told, 7, to_topics("public"))
        world.held = []
        world.shards[0].hidden[ADA] = world.shards[1].hidden[ADA] = [8]  # since, and nobody was told
        if how == "lane":
            lose_lane(world, 0)
        elif how == "moved":
            world.owner[bucket_of_account(ADA)] = 1
            world.hub.take("unheard", [0, [ADA]])
        else:
            world.hub.listen(ada, ["public"])
            world.hub.listen(knows, ["public"], "")
        await world.settle()
        world.happens(1, TWEET, blocked, 8, to_topics("public"))
        world.happens(1, TWEET, fine, 7, to_topics("public"))
        assert nobody.heard == [told, blocked, fine]
        before = [] if how == "new" else [told]
        assert ada.heard == knows.heard == before
        while world.held:
            answers, world.held = world.held, []
            for answer in answers:
                answer()
            await world.settle()
        world.held = None
        world.happens(1, TWEET, last, 7, to_topics("public"))
        heard = [last] if how == "new" else [told, fine, last]
        assert ada.heard == heard
        assert knows.heard == heard, "public topics don't move with an account: nothing is unknown"

    in_a_loop(work)


def lose_lane(world: World, shard: int) -> None:
    world.shards[shard].cut()
    world.hub.take("unheard", [shard, None])
