"""Polls that are edited: votes are for what was asked, so another poll has none, and the same one keeps them all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.core.errors import InvalidError
from actors.core.facts import LANGUAGE, POLL, read_facts
from actors.core.features.polls import VOTER
from actors.core.verify import check
from tests.core.test_moving import Moving
from tests.core.test_notices import told
from tests.core.test_polls import ASKED, OPEN_MS, OVER, SINCE, TALLIES, VOTERS, World

OTHER = [POLL, [["red", "blue"], False, False, 2 * OPEN_MS]]
ENDS = 4


def edit(world: Any, tweet_id: int, more: Any, text: str = "hello") -> None:
    world.now_ms += 1
    world.do("edit", tweet_id, world.ada, text, b"", [], None, more)


def test_another_poll_begins_without_votes_and_everybody_may_vote_again():
    world = World()
    asked = world.ask()
    for voter in world.voters:
        world.vote(voter, asked, 5)
    edit(world, asked, [OTHER])
    found = world.poll(asked)
    assert found[1:ENDS] == OTHER[1][:3]
    assert found[ENDS:] == [world.now_ms + 2 * OPEN_MS, False, [0, 0], 0, world.now_ms]
    world.check()
    for voter in world.voters:
        assert world.vote(voter, asked, 2)
        with pytest.raises(InvalidError, match="already voted"):
            world.vote(voter, asked, 1)
        assert world.read("votes", voter, [asked]) == [(2, found[SINCE])]
    assert world.poll(asked)[TALLIES:SINCE] == [[0, 4], 4]
    world.check()


@pytest.mark.parametrize("changed", [[["yes", "no"], True, False, OPEN_MS], [["yes", "no", "maybe"], False, False, 1]])
def test_other_options_and_another_number_of_choices_make_another_poll(changed):
    world = World()
    asked = world.ask()
    world.vote(world.voters[0], asked, 1)
    edit(world, asked, [[POLL, changed]])
    assert world.poll(asked)[VOTERS] == 0
    world.check()


def test_the_same_poll_keeps_its_votes_and_ends_at_another_time():
    world = World()
    asked = world.ask()
    world.vote(world.voters[-1], asked, 3)
    edit(world, asked, [[POLL, [*ASKED[1][:2], True, 3 * OPEN_MS]]])
    found = world.poll(asked)
    assert found[3:] == [True, world.now_ms + 3 * OPEN_MS, False, [1, 1, 0], 1, 0]
    with pytest.raises(InvalidError, match="already voted"):
        world.vote(world.voters[-1], asked, 1)
    assert world.let_fall_due(found[ENDS] - 1) == 0
    assert world.let_fall_due(found[ENDS]) == 1
    world.check()


def test_an_edit_of_the_text_leaves_a_poll_and_one_without_it_takes_it_away():
    world = World()
    asked = world.ask()
    before = world.poll(asked)
    edit(world, asked, None, "other words")
    assert world.poll(asked) == before
    world.vote(world.voters[0], asked, 1)
    edit(world, asked, [[LANGUAGE, "en"]])
    assert world.read("polls", [asked]) == [None]
    assert world.let_fall_due(before[ENDS]) == 0
    assert not len(world.state_of(world.ada).shelves.view(VOTER, asked)[0])
    world.check()


def test_a_tweet_is_given_a_poll_and_one_that_comes_back_has_no_vote_of_before():
    world = World()
    asked = world.post(world.ada)
    edit(world, asked, [ASKED])
    first = world.poll(asked)
    assert first[SINCE] == world.now_ms
    world.vote(world.voters[0], asked, 1)
    edit(world, asked, [])
    edit(world, asked, [ASKED])
    assert world.poll(asked)[OVER:] == [False, [0, 0, 0], 0, world.now_ms]
    assert world.vote(world.voters[0], asked, 2)
    assert world.let_fall_due(world.poll(asked)[ENDS]) == 1
    world.check()


def test_votes_under_way_while_a_poll_is_edited_count_nowhere_and_do_not_hold_their_voters_up():
    world = World()
    asked = world.ask()
    there = world.voters[-1]
    stale = world.vote_args(there, asked, 1)
    world.send("vote", *stale)
    edit(world, asked, [OTHER])
    assert world.poll(asked)[TALLIES:SINCE] == [[0, 0], 0]
    assert world.vote(there, asked, 2)
    with pytest.raises(InvalidError, match="already voted"):
        world.do("vote", *stale)
    assert world.poll(asked)[TALLIES:SINCE] == [[0, 1], 1]
    world.check()


def test_nobody_is_told_of_the_end_of_a_poll_that_is_asked_anew_until_that_ends():
    world = World()
    asked, voter = world.ask(), world.voters[-1]
    world.vote(voter, asked, 1)
    world.let_fall_due(world.poll(asked)[ENDS])
    world.exchange()
    assert told(world, voter) == told(world, world.ada) == [("poll", world.ada, asked)]
    edit(world, asked, [OTHER])
    assert told(world, voter) == told(world, world.ada) == []
    world.let_fall_due(world.poll(asked)[ENDS])
    world.exchange()
    assert (told(world, voter), told(world, world.ada)) == ([], [("poll", world.ada, asked)])
    edit(world, asked, [])
    assert told(world, world.ada) == []
    world.check()


def test_a_poll_that_is_over_is_open_again_with_its_votes():
    world = World()
    asked, voter = world.ask(), world.voters[-1]
    world.vote(voter, asked, 1)
    world.let_fall_due(world.poll(asked)[ENDS])
    world.exchange()
    edit(world, asked, [ASKED])
    assert world.poll(asked)[OVER:] == [False, [1, 0, 0], 1, 0]
    assert told(world, voter) == []
    world.let_fall_due(world.poll(asked)[ENDS])
    world.exchange()
    assert told(world, voter) == [("poll", world.ada, asked)]
    world.check()


def test_each_version_of_a_tweet_shows_the_poll_that_it_had():
    world = World()
    asked = world.ask()
    edit(world, asked, [OTHER])
    edit(world, asked, [])
    edit(world, asked, [ASKED])
    _, versions = world.read("versions", asked, 0)
    shown = [orjson.loads(version + b"null}").get("poll") for version in versions]
    polls = [poll and [option["title"] for option in poll["options"]] for poll in shown]
    assert polls == [ASKED[1][0], OTHER[1][0], None, ASKED[1][0]]


def test_copies_of_a_tweet_learn_of_its_poll():
    world = World()
    there = world.voters[-1]
    world.do("follow", there, world.ada)
    tweet_id = world.post(world.ada)
    world.repost(world.voters[1], tweet_id)
    edit(world, tweet_id, [ASKED])
    state = world.state_of(there)
    body = state.arrivals.entry(state.arrivals.number_of[tweet_id]).body
    assert read_facts(body).poll == read_facts(world.state_of(world.ada).tweets.get(tweet_id).body).poll
    assert read_facts(body).poll.since_ms == world.now_ms
    world.check()


def test_an_edited_poll_and_its_votes_move_with_their_accounts():
    world = Moving(2)
    world.ada, bob = world.account_on(0), world.account_on(1)
    world.register(world.ada, bob)
    asked = world.post(world.ada)
    edit(world, asked, [ASKED])
    since_ms = world.now_ms
    world.do("vote", bob, asked, world.ada, 2, since_ms + OPEN_MS, since_ms)
    world.move(1, world.ada)
    assert world.replicas[1].read("polls", [[asked]])[0][OVER:] == [False, [0, 1, 0], 1, since_ms]
    assert world.replicas[1].state.papers.due.next_ms == since_ms + OPEN_MS
    assert [check(replica.state) for replica in world.replicas] == [[], []]


ROUNDS = (None, [], [ASKED], [OTHER], [[POLL, [["yes", "no", "maybe"], False, False, OPEN_MS]]])


class PollsMachine(RuleBasedStateMachine):
    """Edits, votes and ends in any order, with messages that arrive when they like, beside a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.tweet_id = self.world.ask()
        self.asked: Any = (ASKED[1][:2], 0)  # what, since when
        self.votes: dict[int, tuple[int, int]] = {}  # by voter: what, of which round
        self.counted: dict[int, int] = {}  # by voter, of this round
        self.under_way: list[tuple[int, int, int, int]] = []  # source, voter, choices, round

    @rule(more=st.sampled_from(ROUNDS))
    def edit(self, more: Any) -> None:
        self.world.now_ms += 1
        self.world.send("edit", self.tweet_id, self.world.ada, f"at {self.world.now_ms}", b"", [], None, more)
        asked = self.asked if more is None else None
        for _, fact in more or ():
            is_same = self.asked is not None and self.asked[0] == fact[:2]
            asked = fact[:2], self.asked[1] if is_same else self.world.now_ms
        if asked is None or self.asked is None or asked[1] != self.asked[1]:
            self.counted = {}
        self.asked = asked

    @rule(which=st.integers(0, 3), choices=st.integers(1, 3))
    def vote(self, which: int, choices: int) -> None:
        voter = self.world.voters[which]
        if self.asked is None:
            return
        choices = choices if choices != 3 else 1
        since_ms = self.asked[1]
        if self.votes.get(voter, (0, -1))[1] >= since_ms:
            with pytest.raises(InvalidError, match="already"):
                self.world.send("vote", *self.world.vote_args(voter, self.tweet_id, choices))
        elif self.world.now_ms < self.world.poll(self.tweet_id)[ENDS]:
            self.world.send("vote", *self.world.vote_args(voter, self.tweet_id, choices))
            self.votes[voter] = choices, since_ms
            if self.world.shard_of(voter) == self.world.shard_of(self.world.ada):
                self.counted[voter] = choices
            else:
                self.under_way.append((self.world.shard_of(voter), voter, choices, since_ms))

    @rule(source=st.integers(0, 1))
    def arrive(self, source: int) -> None:
        self.world.deliver(source, 1 - source)
        for shard, voter, choices, since_ms in self.under_way:
            if shard == source and self.asked is not None and since_ms == self.asked[1]:
                self.counted[voter] = choices
        self.under_way = [each for each in self.under_way if each[0] != source]

    @rule()
    def end(self) -> None:
        if self.asked is not None:
            self.world.let_fall_due(max(self.world.now_ms, self.world.poll(self.tweet_id)[ENDS]))

    @invariant()
    def tallies_are_those_of_the_round(self) -> None:
        (found,) = self.world.read("polls", [self.tweet_id])
        if self.asked is None:
            assert found is None
            return
        tallies = [sum(c >> option & 1 for c in self.counted.values()) for option in range(len(found[1]))]
        assert found[TALLIES:] == [tallies, len(self.counted), self.asked[1]]

    def teardown(self) -> None:
        self.world.exchange()
        self.world.check()


PollsMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25)
test_polls_count_the_votes_of_their_round = PollsMachine.TestCase
