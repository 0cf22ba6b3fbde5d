"""Who may see what, where it takes more than one shard to know; and what profiles and counts give away."""

from __future__ import annotations

import itertools

import numpy as np
import orjson
import pytest

from actors.core.errors import ForbiddenError, InvalidError, NotFoundError
from tests.core.harness import Shards, memory_store

PUBLIC, FOLLOWERS, DIRECT = 0, 1, 2


class World(Shards):
    """Three accounts, placed as a test wants: the author of X, the reposter who made R of it, and a reader."""

    def __init__(self, author: int, reposter: int, reader: int) -> None:
        super().__init__(2)
        self.author, self.reposter, self.reader = (
            self.account_on(s, i) for i, s in enumerate((author, reposter, reader))
        )
        self.register(self.author, self.reposter, self.reader)
        self.x = self.post(self.author, "the text of X")
        self.r = self.repost(self.reposter, self.x)

    def sees(self, op: str = "tweet") -> bool:
        """Whether the reader gets R, and its text."""
        try:
            reply = self.ask_as(self.reader, op, self.r, self.reader)
        except NotFoundError:
            return False
        assert b"the text of X" in (reply if op == "tweet" else reply[3])
        return True

    def timeline(self, viewer: int, count: int = 20, min_id: int = 0) -> list[int]:
        body, *_ = self.ask_as(viewer, "user_timeline", self.reposter, viewer, 0, 0, min_id, count, 0)
        return [int(tweet["tweet_id"]) for tweet in orjson.loads(body)]


PLACES = list(itertools.product((0, 1), repeat=3))


@pytest.fixture(params=PLACES, ids=lambda places: "author {} reposter {} reader {}".format(*places))
def world(request):
    made = World(*request.param)
    yield made
    made.exchange()
    made.check()


# ---- reposts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_author", [True, False])
def test_a_block_hides_a_repost_of_the_other_ones_tweet_wherever_they_live(world, by_author):
    pair = (world.author, world.reader) if by_author else (world.reader, world.author)
    assert world.sees()
    assert world.sees("tweet_ref")
    assert world.timeline(world.reader) == [world.r]
    world.do("block", *pair)
    assert not world.sees()
    assert not world.sees("tweet_ref")
    assert world.timeline(world.reader) == []
    assert world.timeline(0) == world.timeline(world.reposter) == world.timeline(world.author) == [world.r]
    world.do("unblock", *pair)
    assert world.sees()


@pytest.mark.parametrize("by_reader", [True, False])
def test_a_mute_hides_nothing_from_who_asks_for_it(world, by_reader):
    world.do("mute", *((world.reader, world.author) if by_reader else (world.author, world.reader)))
    assert world.sees()
    assert world.timeline(world.reader) == [world.r]


def test_a_block_holds_at_once_wherever_one_of_the_two_lives_with_the_repost(world):
    world.send("block", world.author, world.reader)  # its message waits
    reposter_shard = world.shard_of(world.reposter)
    if reposter_shard == world.shard_of(world.author):
        assert not world.sees()


def test_a_shard_asks_only_about_accounts_that_it_does_not_know(world):
    world.sees()
    is_asked = world.shard_of(world.reposter) not in (world.shard_of(world.author), world.shard_of(world.reader))
    assert world.question_count == int(is_asked)
    world.timeline(world.reader)
    assert world.question_count == int(is_asked)
    for viewer in (0, world.author, world.reposter):
        world.timeline(viewer)
        assert world.question_count == 0


def test_who_asks_without_facts_is_shown_only_what_is_sure():
    world = World(1, 0, 1)
    with pytest.raises(NotFoundError):
        world.read("tweet", world.r, world.reader)
    own = world.post(world.reposter)
    assert world.read("user_timeline", world.reposter, world.reader, 0, 0, 0, 5)[1:] == [own, own]
    assert b"the text" in world.read("tweet", world.r, 0)
    assert len(world.read("tweet_ref", own, world.reader)) == 4
    *_, orig_id = world.ask_as(world.reader, "tweet_ref", world.r, world.reader)
    assert orig_id == world.x


@pytest.mark.parametrize("facts", [[], [b""], [b"", b"x"], [b"", 1], "x", 5, [b"", b"", b""]])
def test_facts_of_another_shape_are_refused(facts):
    world = World(1, 0, 1)
    with pytest.raises(InvalidError):
        world.read("tweet", world.r, world.reader, facts)


def test_a_page_is_full_however_many_reposts_are_hidden_and_a_few_questions_are_enough():
    world = World(1, 0, 1)
    hidden = [world.account_on(1, 10 + n) for n in range(60)]
    world.register(*hidden)
    shown = [world.r, *(world.post(world.reposter) for _ in range(3))]
    for author in hidden:
        world.repost(world.reposter, world.post(author))
        world.do("block", author, world.reader)
    assert world.timeline(world.reader, 4) == shown[::-1]
    assert 2 <= world.question_count <= 6
    assert world.timeline(world.reader, 2, min_id=1) == shown[1::-1]
    body, newest, oldest = world.ask_as(world.reader, "user_timeline", world.reposter, world.reader, 0, 0, 0, 4, 3)
    assert [newest, oldest, len(orjson.loads(body))] == [shown[0], shown[0], 1]


def test_blocked_among_names_those_of_both_directions_and_nobody_else():
    world = World(0, 0, 0)
    other = world.account_on(1, 9)
    world.register(other)
    world.do("block", world.reader, world.author)
    world.do("block", other, world.reader)
    world.do("mute", world.reader, world.reposter)
    asked = np.array([other, world.reposter, 12345, world.author], dtype="<i8").tobytes()
    found = np.frombuffer(world.read("blocked_among", world.reader, asked), dtype="<i8").tolist()
    assert found == [other, world.author]


# ---- one's own repost ---------------------------------------------------------------------------------------------


def test_an_own_repost_of_somebody_who_blocks_can_be_taken_back_and_tells_nothing(world):
    world.do("block", world.author, world.reposter)
    with pytest.raises(NotFoundError):
        world.ask_as(world.reposter, "tweet", world.r, world.reposter)
    deleted = orjson.loads(world.do("delete", world.r, world.reposter))
    assert deleted["tweet_id"] == str(world.r)
    assert "repost_of" not in deleted
    assert world.read("tweet_ref", world.x, world.author)[3]
    assert world.state_of(world.author).tweets.get(world.x).reposts == 0


def test_whoever_is_blocked_is_refused_a_repost_also_the_one_that_he_made_before(world):
    entry = world.read("tweet_ref", world.x, 0)[3]
    for account_id in (world.reader, world.reposter):
        for pair in ((world.author, account_id), (account_id, world.author)):
            world.do("block", *pair)
            with pytest.raises(NotFoundError):
                world.do("repost", account_id, entry)
            world.do("unblock", *pair)
    assert world.state_of(world.author).tweets.get(world.x).reposts == 1


def test_whoever_may_not_see_a_repost_is_not_told_that_it_is_somebody_elses(world):
    with pytest.raises(ForbiddenError):
        world.ask_as(world.reader, "delete", world.r, world.reader)
    world.do("block", world.author, world.reader)
    with pytest.raises(NotFoundError):
        world.ask_as(world.reader, "delete", world.r, world.reader)
    assert world.r in world.state_of(world.reposter).tweets


# ---- lists of accounts --------------------------------------------------------------------------------------------


def test_cards_leave_out_whom_a_block_hides(world):
    shard = world.shard_of(world.author)
    here = [a for a in (world.author, world.reposter) if world.shard_of(a) == shard]
    world.do("block", world.reader, world.author)
    cards = world.replicas[shard].read("cards", [here, world.reader])
    assert [card is None for card in cards] == [a == world.author for a in here]
    assert None not in world.replicas[shard].read("cards", [here, 0])


# ---- counts -------------------------------------------------------------------------------------------------------


def told(world: World, viewer: int) -> int:
    return orjson.loads(world.read("profile", world.author, viewer))["counts"]["tweets"]


def test_a_profile_counts_what_its_reader_may_know_of(world):
    world.do("follow", world.reposter, world.author)
    made = [world.post(world.author, visibility=v) for v in (FOLLOWERS, DIRECT, FOLLOWERS, PUBLIC)]
    rows = [[world.author, "b", n % 2, 0, 0, b"", [], [], bytes([n])] for n in range(10)]
    world.write_on(world.shard_of(world.author), "post_many", [rows])
    world.exchange()
    expected = {0: 7, world.reader: 7, world.reposter: 14, world.author: 15}
    assert {viewer: told(world, viewer) for viewer in expected} == expected
    store = memory_store()
    world.seal_into(world.shard_of(world.author), store)
    world.restore_from(world.shard_of(world.author), store)
    assert {viewer: told(world, viewer) for viewer in expected} == expected
    for tweet_id in made:
        world.do("delete", tweet_id, world.author)
    assert {viewer: told(world, viewer) for viewer in expected} == {
        0: 6, world.reader: 6, world.reposter: 11, world.author: 11,
    }  # fmt: skip


def replies(world: World) -> int:
    return orjson.loads(world.read("tweet", world.x, 0))["counts"]["replies"]


def test_only_public_replies_are_counted_and_each_is_taken_back_once(world):
    made = [
        world.post(world.reposter, "psst", v, in_reply_to=world.x, reply_author=world.author, mentions=[world.author])
        for v in (PUBLIC, FOLLOWERS, DIRECT, DIRECT, PUBLIC)
    ]
    counted = []
    for tweet_id in made:
        counted.append(replies(world))
        world.do("delete", tweet_id, world.reposter)
    assert counted == [2, 1, 1, 1, 1]
    assert replies(world) == 0


def test_replies_in_one_batch_are_counted_by_the_same_rule(world):
    rows = [[world.reposter, "b", n % 2, world.x, world.author, b"", [], [], bytes([n])] for n in range(10)]
    world.write_on(world.shard_of(world.reposter), "post_many", [rows])
    world.exchange()
    assert replies(world) == 5


def test_a_reply_leaves_as_many_messages_whoever_may_see_it():
    """Replicas that run the code from before number their messages alike."""
    sent = []
    for visibility in (PUBLIC, FOLLOWERS, DIRECT):
        world = World(1, 0, 1)
        outbox = world.replicas[0].state.outboxes[1]
        before = outbox.next_seq
        more = {"in_reply_to": world.x, "reply_author": world.author}
        tweet_id = world.post(world.reposter, "psst", visibility, **more)
        made = outbox.next_seq - before
        world.do("delete", tweet_id, world.reposter)
        sent.append([made, outbox.next_seq - before])
    assert sent == [sent[0]] * 3
