"""Polls: each vote counts once, wherever it was given and whatever has died; and what tweets say beside their text."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.entries import unpack
from actors.core.errors import InvalidError, OverloadedError
from actors.core.facts import APPLICATION, LANGUAGE, POLL, QUOTE, SENSITIVE, SPOILER, read_facts
from actors.core.features.polls import VOTE, VOTER
from actors.core.flags import FLAG_RICH, FLAG_UNLISTED
from actors.core.levels import LEVEL
from actors.core.postings.found import FoundTweets
from actors.core.verify import check, digest
from tests.core.harness import NOW_MS, SMALL, Shards
from tests.core.test_moving import Moving

OPEN_MS = 600_000
ASKED = [POLL, [["yes", "no", "maybe"], True, False, OPEN_MS]]
OVER, TALLIES, VOTERS, SINCE = 5, 6, 7, 8  # of what `polls` answers


class World(Shards):
    """Two shards with an account each that asks, and voters on both."""

    def __init__(self, level: int = LEVEL) -> None:
        super().__init__(2, SMALL, level)
        self.ada = self.account_on(0)
        self.voters = [self.account_on(shard, 1 + n) for shard, n in itertools.product(range(2), range(2))]
        self.register(self.ada, *self.voters)

    def ask(self, **more: Any) -> int:
        return self.post(self.ada, facts=[ASKED], **more)

    def vote(self, voter: int, tweet_id: int, choices: int) -> bool:
        return bool(self.do("vote", *self.vote_args(voter, tweet_id, choices)))

    def vote_args(self, voter: int, tweet_id: int, choices: int) -> list[Any]:
        """Return what a vote says, as whoever looks at the poll now sends it."""
        author_id, _, _, _, ends_ms, *_, since_ms = self.poll(tweet_id)
        return [voter, tweet_id, author_id, choices, ends_ms, since_ms]

    def poll(self, tweet_id: int) -> list[Any]:
        (found,) = self.read("polls", [tweet_id])
        return list(found)

    def shard_for(self, op: str, args: list[Any]) -> int:
        return super().shard_for("tweets" if op in ("polls", "children") else op, args)

    def let_fall_due(self, now_ms: int) -> int:
        self.now_ms, count = now_ms, 0
        for shard, replica in enumerate(self.replicas):
            while (command := replica.due_command(now_ms)) is not None:
                count += self.run(shard, command)
        return count

    def check(self) -> None:
        for replica, journal in zip(self.replicas, self.journals, strict=True):
            assert check(replica.state) == []
            again = self.fresh(replica.state.shard)
            for position, record in enumerate(journal, 1):
                again.replay(position, record)
            assert digest(again.state) == digest(replica.state)

    def fresh(self, shard: int) -> Any:
        return type(self.replicas[0])(shard, self.owner, self.tuning)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 7)), max_size=12))
def test_tallies_are_those_of_the_first_vote_of_each_account(votes):
    world = World()
    asked, first = world.ask(), dict[int, int]()
    for voter, choices in votes:
        if voter in first:
            with pytest.raises(InvalidError, match="already voted"):
                world.vote(world.voters[voter], asked, choices)
        else:
            assert world.vote(world.voters[voter], asked, choices)
            first[voter] = choices
    found = world.poll(asked)
    assert found[TALLIES] == [sum(choices >> option & 1 for choices in first.values()) for option in range(3)]
    assert found[VOTERS] == len(first)
    for voter, account_id in enumerate(world.voters):
        assert world.read("votes", account_id, [asked, 7]) == [first.get(voter, 0), 0]
    world.check()


def test_two_votes_under_way_at_once_are_both_counted():
    world = World()
    asked = world.ask()
    for voter in world.voters:
        world.send("vote", *world.vote_args(voter, asked, 4))
    world.exchange()
    assert world.poll(asked)[TALLIES:SINCE] == [[0, 0, 4], 4]


def test_a_poll_ends_once_and_takes_no_vote_from_then_on():
    world = World()
    asked = world.ask()
    ends_ms = world.poll(asked)[4]
    assert ends_ms == world.now_ms + OPEN_MS
    assert world.let_fall_due(ends_ms - 1) == 0
    assert world.vote(world.voters[0], asked, 1)
    assert not world.poll(asked)[OVER]
    assert world.let_fall_due(ends_ms) == 1
    assert world.poll(asked)[OVER:] == [True, [1, 0, 0], 1, 0]
    with pytest.raises(InvalidError, match="already ended"):
        world.vote(world.voters[1], asked, 1)
    assert world.let_fall_due(ends_ms + OPEN_MS) == 0
    world.check()


def test_nobody_votes_on_his_own_poll():
    world = World()
    with pytest.raises(InvalidError, match="your own"):
        world.vote(world.ada, world.ask(), 1)


def test_a_poll_goes_with_its_tweet_and_votes_under_way_count_nowhere():
    world = World()
    asked = world.ask()
    ends_ms = world.poll(asked)[4]
    world.send("vote", *world.vote_args(world.voters[-1], asked, 1))
    world.do("delete", asked, world.ada)
    assert world.read("polls", [asked]) == [None]
    assert world.let_fall_due(ends_ms) == 0
    world.check()


def test_a_poll_and_votes_move_with_their_accounts_and_are_restored():
    world = Moving(2)
    ada, bob = world.account_on(0), world.account_on(1)
    world.register(ada, bob)
    asked = world.post(ada, facts=[ASKED])
    ends_ms = world.now_ms + OPEN_MS
    world.do("vote", bob, asked, ada, 2, ends_ms)
    world.move(1, ada)
    assert world.replicas[1].read("polls", [[asked]])[0][OVER:] == [False, [0, 1, 0], 1, 0]
    state = world.replicas[1].state
    assert state.papers.due.next_ms == ends_ms
    assert state.shelves.view(VOTER, asked)[0].tolist() == [bob]
    assert [check(replica.state) for replica in world.replicas] == [[], []]


def test_an_account_remembers_its_newest_votes(monkeypatch):
    monkeypatch.setattr(limits, "VOTES_PER_ACCOUNT_MAX", 2)
    world = World()
    asked = [world.ask() for _ in range(3)]
    for tweet_id in asked:
        world.vote(world.voters[0], tweet_id, 1)
    assert world.read("votes", world.voters[0], asked) == [0, 1, 1]
    assert world.state_of(world.voters[0]).papers.keys(VOTE, world.voters[0]) == asked[1:]


def test_a_scheduled_poll_opens_when_it_is_published_and_is_put_off_with_it():
    world = World()
    due_ms, later_ms = NOW_MS + 60_000, NOW_MS + 120_000
    made = orjson.loads(world.do("schedule", world.ada, due_ms, "later?", 0, 0, 0, b"", [], [], [ASKED]))
    world.do("reschedule", world.ada, int(made["scheduled_id"]), later_ms)
    shown = orjson.loads(world.read("scheduled_status", world.ada, int(made["scheduled_id"])))
    assert shown["params"]["poll"]["expires_in"] == OPEN_MS // 1000
    assert world.let_fall_due(later_ms) == 1
    (asked,) = world.state_of(world.ada).tweets.log.view(world.row_of(world.ada)).tolist()
    assert world.poll(asked)[4] == later_ms + OPEN_MS


@pytest.mark.parametrize(
    "fact",
    [
        [POLL, [["one"], False, False, OPEN_MS]], [POLL, [["a", 1], False, False, OPEN_MS]],
        [POLL, [["a", "b"], 1, False, OPEN_MS]], [POLL, [["a", "b"], False, False, 0]], [POLL, None],
        [POLL, [["a", "b"], False, False, limits.POLL_AHEAD_MS + 1]], [POLL, [["a", "b"], False, False, OPEN_MS, 5]],
         [POLL, [["a", "b" * 201], False, False, 1]],
        [SPOILER, 1], [SENSITIVE, 1], [LANGUAGE, "EN"], [LANGUAGE, "e"], [APPLICATION, "app"], [13, 1], [0, "text"],
        [99, 1], ["6", "x"],
    ],
)  # fmt: skip
def test_a_fact_that_is_none_is_refused(fact):
    world = World()
    with pytest.raises(InvalidError):
        world.post(world.ada, facts=[fact])


def test_below_its_level_nothing_of_it_is_written():
    world = World(level=2)
    for more in ({"facts": [[SPOILER, "x"]]}, {"visibility": 3}, {"facts": [ASKED]}):
        with pytest.raises(OverloadedError):
            world.post(world.ada, **more)
    assert b"spoiler" not in world.read("tweet", world.post(world.ada), 0)


FACTS = [[SPOILER, "first"], [SENSITIVE, True], [LANGUAGE, "en"], [APPLICATION, ["Client", ""]]]


def test_what_a_tweet_says_beside_its_text_is_shown_in_both_shapes():
    world = World()
    tweet_id = world.post(world.ada, visibility=3, facts=FACTS)
    native = orjson.loads(world.read("tweet", tweet_id, 0))
    assert [native[name] for name in ("visibility", "spoiler_text", "sensitive", "language", "application")] == [
        "unlisted", "first", True, "en", {"name": "Client", "website": None},
    ]  # fmt: skip
    plain = orjson.loads(world.read("tweet", world.post(world.ada), 0))
    assert plain.keys() == native.keys() - {"spoiler_text", "sensitive", "language", "application"}


def test_an_edit_changes_what_stands_before_the_text_and_keeps_what_did():
    world = World()
    tweet_id = world.post(world.ada, "hello", facts=[*FACTS, ASKED])
    world.do("edit", tweet_id, world.ada, "hello", b"", [], None, [[LANGUAGE, "de"]])
    facts = read_facts(world.state_of(world.ada).tweets.get(tweet_id).body)
    assert (facts.spoiler, facts.sensitive, facts.language, facts.application) == ("", False, "de", ("Client", ""))
    assert facts.poll is None
    (author,), versions = world.read("versions", tweet_id, 0)
    first, last = (orjson.loads(version + b"null}") for version in versions)
    assert (author, first["spoiler_text"], last["spoiler_text"]) == (world.ada, "first", "")
    world.do("edit", tweet_id, world.ada, "hi", b"", [])
    assert read_facts(world.state_of(world.ada).tweets.get(tweet_id).body).language == "de"
    with pytest.raises(InvalidError, match="doesn't change fact 9"):
        world.do("edit", tweet_id, world.ada, "hi", b"", [], None, [FACTS[-1]])
    world.check()


def test_unlisted_tweets_and_their_reposts_are_not_searched_and_reach_followers():
    world = World()
    there = world.voters[-1]
    world.do("follow", there, world.ada)
    tweet_id = world.post(world.ada, visibility=3, facts=[ASKED])
    repost_id = world.repost(world.voters[0], tweet_id)
    found = FoundTweets(world.replicas[0].lookups)
    assert [found.is_searchable(each) for each in (tweet_id, repost_id)] == [False, False]
    entry = world.state_of(world.ada).tweets.get(tweet_id)
    assert entry.flags == FLAG_UNLISTED | FLAG_RICH
    assert unpack(world.state_of(world.voters[0]).tweets.get(repost_id).orig)[2] == entry.flags
    assert tweet_id in world.home(there)
    world.check()


def test_a_quote_is_listed_by_what_it_quotes_wherever_that_is():
    world = World()
    quoted = world.post(world.ada)
    quotes = [world.post(voter, facts=[[QUOTE, quoted]]) for voter in world.voters]
    assert world.read("quotes", quoted, 0, 0, 20)[0] == quotes[::-1]
    native = orjson.loads(world.read("tweet", quotes[0], 0))
    assert native["quote"] == {"tweet_id": str(quoted)}
    world.do("delete", quotes[0], world.voters[0])
    assert world.read("quotes", quoted, 0, 0, 20)[0] == quotes[:0:-1]
    world.do("delete", quoted, world.ada)
    world.do("delete", quotes[1], world.voters[1])
    world.check()
