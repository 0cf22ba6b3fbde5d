"""Who hears of what: in random worlds exactly those whose home timelines come to show it; once, and also afterwards."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from actors.core import limits
from actors.core.errors import RookeryError
from actors.core.facts import LANGUAGE
from actors.core.features.viewer_flags import LIKED
from actors.core.heard import DELETE, EDIT, EVERYTHING, NOTICE, RELATIONS, TWEET, HeardLog
from actors.core.hearing import FEW, Ears, Hearing
from commands.exported import add_rows
from commands.oracle import NetworkFacts
from tests.core.harness import Shards
from tests.core.test_followed_tags import entities

PUBLIC, FOLLOWERS, DIRECT_TWEET, UNLISTED = range(4)
LONG = limits.Tuning(timeline_length=400, pull_threshold=6, arrivals_max=4_096, pieces_bytes_max=1 << 20)
TOPICS = ["public", "public:local", "hashtag:cats"]


class World(Shards):
    """Shards to which somebody listens: each of their accounts, and public topics."""

    def __init__(self, seed: int, accounts: int) -> None:
        super().__init__(2, LONG)
        self.rng = random.Random(seed)
        half = accounts // 2
        self.accounts = [self.account_on(shard, i) for shard in (0, 1) for i in range(half)]
        self.register(*self.accounts)
        for account_id in self.accounts:
            self.home(account_id)  # nobody is dormant
        self.hearings = [Hearing(replica) for replica in self.replicas]
        self.ears = [Ears() for _ in self.replicas]
        for shard, replica in enumerate(self.replicas):
            replica.state.heard = HeardLog(replica.state.arrivals, 1 + shard)
        for account_id in self.accounts:
            self.listen(account_id)
        for ears in self.ears:
            ears.hear_topics(TOPICS)

    def listen(self, account_id: int, *lists: int) -> None:
        shard = self.shard_of(account_id)
        wants = self.hearings[shard].wants([account_id, EVERYTHING, list(lists)])
        assert wants is not None
        self.ears[shard].hear(wants)

    def heard(self) -> list[tuple[int, int, list[str], list[int]]]:
        """Return what has been heard since the last time: (kind, item, topics, accounts)."""
        found = []
        for shard, replica in enumerate(self.replicas):
            heard = replica.state.heard
            assert heard is not None
            assert not heard.check()
            for what in heard.take(replica.state.position):
                for topics, packed, _ in self.hearings[shard].addresses(self.ears[shard], what):
                    accounts = [] if packed is None else np.frombuffer(packed, "<i8").tolist()
                    found.append((what.kind, what.item, topics, accounts))
        return found

    def facts(self) -> NetworkFacts:
        facts = NetworkFacts()
        for replica in self.replicas:
            add_rows(facts, replica.read("export", [0, 1_000, True])[1])
        return facts

    def tell(self, author: int, text: str = "hello", **more: Any) -> int | None:
        """Post; None if it is refused. more: tags, visibility, answers, mentions, language."""
        self.now_ms += 1
        tags, language = more.get("tags", ()), more.get("language")
        said = [[[LANGUAGE, language]]] if language else []
        answers, mentions = more.get("answers", (0, 0)), more.get("mentions", [])
        try:
            visibility = more.get("visibility", PUBLIC)
            self.do("post", author, text, visibility, *answers, entities(*tags), [], mentions, None, *said)
        except RookeryError:
            return None
        state = self.state_of(author)
        return int(state.tweets.log.view(state.people.row_of[author])[-1])

    def change_something(self) -> None:
        """Have somebody follow, mute, block, list or want something else."""
        rng, (me, other) = self.rng, self.rng.sample(self.accounts, 2)
        self.now_ms += 1
        op = rng.choice(["follow"] * 6 + ["unfollow", "block", "unblock", "mute", "unmute", "tag", "list", "options"])
        try:
            if op == "tag":
                self.do("follow_tag", me, "cats", "cats", rng.random() < 0.7)
            elif op == "list":
                made = self.do("put_list", me, 0, "Some", 0, True)[0]
                self.do("set_members", me, made, [other], True)
            elif op == "options":
                self.do("follow_as", me, other, rng.random() < 0.5, None, rng.choice([[], ["en"]]))
            else:
                self.do(op, me, other)
        except RookeryError:
            return

    def say_something(self, known: list[tuple[int, int]]) -> int | None:
        """Have somebody post, answer or repost; return the tweet."""
        rng, author = self.rng, self.rng.choice(self.accounts)
        kind = rng.random()
        self.now_ms += 1
        if known and kind < 0.3:
            tweet_id = rng.choice(known)[0]
            if tweet_id in self.state_of(author).reposts.get(self.row_of(author), {}):
                return None  # once is all
            try:
                return self.repost(author, tweet_id)
            except (RookeryError, KeyError):
                return None
        answers = rng.choice(known) if known and kind < 0.5 else (0, 0)
        visibility = rng.choice([PUBLIC, PUBLIC, FOLLOWERS, UNLISTED, DIRECT_TWEET])
        mentions = rng.sample(self.accounts, 2) if visibility == DIRECT_TWEET or rng.random() < 0.2 else []
        return self.tell(
            author, tags=("Cats",) if rng.random() < 0.3 else (), visibility=visibility, answers=answers,
            mentions=mentions, language=rng.choice(["", "en", "de"]),
        )  # fmt: skip


@pytest.mark.parametrize(("seed", "accounts"), [(1, 8), (2, 24), (3, 24)])
def test_whoever_hears_a_tweet_is_whose_home_comes_to_show_it(seed, accounts):
    """Below and above FEW, so that both ways to find listeners are taken; some are pull authors."""
    world = World(seed, accounts)
    assert (len(world.ears[0].by_account) <= FEW) == (accounts == 8)
    known: list[tuple[int, int]] = []
    said_count = 0
    for _ in range(140):
        world.change_something()
        if world.rng.random() < 0.1 and known:
            tweet_id, author = known.pop(world.rng.randrange(len(known)))
            world.do("delete", tweet_id, author)
        world.heard()
        tweet_id = world.say_something(known)
        happened = [each for each in world.heard() if each[0] == TWEET]
        if tweet_id is None:
            continue
        said_count += 1
        facts = world.facts()
        expected = {account for account in world.accounts if tweet_id in facts.home(account, 400)}
        at_home = [accounts for _, item, topics, accounts in happened if topics == ["user"] and item == tweet_id]
        heard = [account for accounts in at_home for account in accounts]
        assert sorted(heard) == sorted(expected)
        author = next(a for a in world.accounts if any(f.tweet_id == tweet_id for f in facts.tweets_by.get(a, [])))
        entry = world.state_of(author).tweets.get(tweet_id)
        if not entry.is_repost:
            known.append((tweet_id, author))
        topics = [topics for _, item, topics, accounts in happened if item == tweet_id and not accounts]
        is_tagged = bool(facts.tweets_with.get("cats")) and tweet_id in {f.tweet_id for f in facts.tweets_with["cats"]}
        is_public = not entry.flags & (1 | 2 | 4 | 8 | 64)
        wanted = (["public", "public:local"] if is_public else []) + (["hashtag:cats"] if is_tagged else [])
        assert topics == ([wanted] if wanted else [])
    assert said_count > 60


@pytest.fixture
def world():
    made = World(5, 8)
    made.ada, made.bob, made.cyd, made.dee = made.accounts[0], made.accounts[1], made.accounts[4], made.accounts[5]
    made.do("follow", made.bob, made.ada)
    made.do("follow", made.cyd, made.ada)
    made.heard()
    return made


def accounts_that_hear(world: World, kind: int, item: int, topic: str = "user") -> list[int]:
    heard = world.heard()
    return sorted(a for k, i, topics, accounts in heard if (k, i) == (kind, item) and topic in topics for a in accounts)


def test_a_deletion_is_heard_by_whom_the_tweet_was_for_and_on_its_topics(world):
    tweet_id = world.tell(world.ada, tags=("cats",))
    world.heard()
    world.do("delete", tweet_id, world.ada)
    heard = world.heard()
    of_accounts = sorted(a for kind, item, _, accounts in heard if (kind, item) == (DELETE, tweet_id) for a in accounts)
    assert of_accounts == sorted([world.ada, world.bob, world.cyd])
    assert [topics for kind, _, topics, accounts in heard if kind == DELETE and not accounts] == [
        ["public", "public:local", "hashtag:cats"]
    ]


def test_the_deletion_of_a_direct_tweet_is_heard_by_those_alone_whom_it_mentions(world):
    tweet_id = world.tell(world.ada, visibility=DIRECT_TWEET, mentions=[world.cyd, world.dee])
    assert accounts_that_hear(world, TWEET, tweet_id) == sorted([world.ada, world.cyd])
    world.do("delete", tweet_id, world.ada)
    assert accounts_that_hear(world, DELETE, tweet_id) == sorted([world.ada, world.cyd])


def test_a_deletion_is_heard_once_by_whom_the_tweet_mentions_wherever_it_has_arrived_and_by_nobody_who_has_blocked(
    world,
):
    followers = {world.ada: {world.bob, world.cyd}, world.dee: set()}
    for author in (world.ada, world.dee):
        for mentioned in ([world.dee, world.bob], [world.ada, world.cyd], world.accounts):
            tweet_id = world.tell(author, mentions=[each for each in mentioned if each != author])
            world.heard()
            world.do("delete", tweet_id, author)
            expected = {author, *mentioned, *followers[author]}
            assert accounts_that_hear(world, DELETE, tweet_id) == sorted(expected)
    tweet_id = world.tell(world.dee, mentions=[world.bob, world.cyd])
    world.do("block", world.bob, world.dee)
    world.heard()
    world.do("delete", tweet_id, world.dee)
    assert accounts_that_hear(world, DELETE, tweet_id) == sorted([world.dee, world.cyd])


def test_of_whom_a_tweet_mentions_no_more_so_many_are_remembered(world, monkeypatch):
    monkeypatch.setattr("actors.core.heard.UNMENTIONED_MAX", 3)
    heard = world.state_of(world.ada).heard
    for item in range(1, 6):
        heard.unmentions(item, world.dee, world.ada)
        heard.unmentions(item, world.dee, world.bob)
    assert {item: entry.mention_ids for item, entry in heard._unmentioned.items()} == {
        item: [world.ada, world.bob] for item in (3, 4, 5)
    }


def test_an_edit_is_heard_by_followers_of_those_who_have_reposted_the_tweet_too(world):
    tweet_id = world.tell(world.ada)
    world.do("follow", world.dee, world.bob)
    world.repost(world.bob, tweet_id)
    world.heard()
    world.now_ms += 1
    world.do("edit", tweet_id, world.ada, "better", b"", [])
    assert accounts_that_hear(world, EDIT, tweet_id) == sorted([world.ada, world.bob, world.cyd, world.dee])


def test_who_has_blocked_between_a_tweet_and_its_push_hears_nothing(world):
    """Whoever blocks while the tweet waits for its commit: rights are asked as of the moment of the push."""
    tweet_id = world.tell(world.ada)
    world.do("block", world.bob, world.ada)
    assert accounts_that_hear(world, TWEET, tweet_id) == sorted([world.ada, world.cyd])


def test_a_notification_is_heard_as_it_stands_and_not_once_it_is_taken_back(world):
    tweet_id = world.tell(world.ada)
    world.heard()
    world.do("like", world.bob, tweet_id)
    state = world.state_of(world.ada)
    shard, heard = world.shard_of(world.ada), state.heard
    (notice,) = [what for what in heard.take(state.position) if what.kind == NOTICE]
    ((topics, _, _),) = world.hearings[shard].addresses(world.ears[shard], notice)
    assert topics == ["user", "user:notification"]
    (_, _, row) = world.hearings[shard].payload(notice)
    assert row[0] == notice.item
    assert row[3:] == [world.bob, tweet_id]
    world.do("unlike", world.bob, tweet_id)
    assert world.hearings[shard].payload(notice) is None


def test_a_list_is_told_of_its_members_alone_by_its_own_rules(world):
    world.do("follow", world.ada, world.bob)
    world.do("follow", world.ada, world.cyd)
    made = world.do("put_list", world.ada, 0, "Some", 2, False)[0]  # answers to nobody but themselves
    world.do("set_members", world.ada, made, [world.bob], True)
    world.listen(world.ada, made)
    world.heard()
    first = world.tell(world.bob)
    assert accounts_that_hear(world, TWEET, first, f"list:{made}") == [world.ada]
    assert accounts_that_hear(world, TWEET, world.tell(world.cyd), f"list:{made}") == []
    answer = world.tell(world.bob, answers=(first, world.cyd))
    assert accounts_that_hear(world, TWEET, answer, f"list:{made}") == []


def missed(world: World, account_id: int, since: int, topics: tuple[str, ...] = ()) -> list[tuple[int, int]] | None:
    shard = world.shard_of(account_id)
    heard, hearing = world.replicas[shard].state.heard, world.hearings[shard]
    found = hearing.missed(heard, hearing.wants([account_id, EVERYTHING, []]), list(topics), since, heard.number)
    return None if found is None else [(push[1], push[2]) for push in found]


def test_who_comes_back_is_told_what_was_missed_in_order_with_deletions_and_late_arrivals(world):
    world.heard()
    since = world.state_of(world.bob).heard.number
    first = world.tell(world.ada)
    second = world.tell(world.ada)
    world.do("delete", first, world.ada)
    world.send("post", world.ada, "waits", PUBLIC, 0, 0, b"", [], [], None)
    state = world.state_of(world.ada)
    late = int(state.tweets.log.view(state.people.row_of[world.ada])[-1])
    world.heard()
    told = missed(world, world.cyd, 0)
    assert (TWEET, late) not in told
    world.exchange()
    third = world.tell(world.ada)
    world.heard()
    assert missed(world, world.bob, since)[-4:] == [(TWEET, second), (DELETE, first), (TWEET, late), (TWEET, third)]
    assert missed(world, world.cyd, 0)[len(told) :] == [(TWEET, late), (TWEET, third)]
    assert missed(world, world.bob, world.state_of(world.bob).heard.number) == []


def test_rights_are_asked_again_of_whoever_comes_back(world):
    world.heard()
    since = world.state_of(world.bob).heard.number
    world.tell(world.ada)
    world.do("block", world.ada, world.bob)
    world.heard()
    assert [item for kind, item in missed(world, world.bob, since) if kind == TWEET] == []


def test_a_log_that_is_full_loses_the_oldest_and_says_so():
    replica = World(6, 8).replicas[0]
    heard = HeardLog(replica.state.arrivals, 9, 8)
    for item in range(1, 21):
        heard.note(item, TWEET, item, 1)
        assert [what.number for what in heard.take(item)] == [item]
        assert not heard.check()
    assert not heard.holds(9, 11)
    assert heard.holds(9, 12)
    assert not heard.holds(8, 12)
    assert not heard.holds(9, 21)
    assert [what.item for what in heard.since(12, 20)] == list(range(13, 21))
    assert [what.item for what in heard.since(12, 15)] == [13, 14, 15]


def test_what_is_not_committed_has_no_number(world):
    heard = world.state_of(world.ada).heard
    state = world.state_of(world.ada)
    position = state.position
    world.tell(world.ada)
    assert heard.take(position) == []
    assert [what.kind for what in heard.take(state.position)] == [TWEET]


def test_whom_an_account_hides_is_told_to_whoever_listens_for_it(world):
    state = world.state_of(world.ada)
    told = []
    state.graph.on_related = told.append
    world.do("mute", world.ada, world.bob)
    assert told == [state.people.row_of[world.ada]]
    state.heard.note(state.position, RELATIONS, 0, world.ada)
    assert accounts_that_hear(world, RELATIONS, 0, "related") == [world.ada]
    hearing = world.hearings[world.shard_of(world.ada)]
    assert np.frombuffer(hearing.hidden(world.ada), "<i8").tolist() == [world.bob]


def test_whom_the_author_blocks_is_named_where_a_tweet_is_everybody_s(world):
    tweet_id = world.tell(world.ada)
    shard, state = world.shard_of(world.ada), world.state_of(world.ada)
    world.do("block", world.ada, world.dee)
    (what,) = [each for each in state.heard.take(state.position) if (each.kind, each.item) == (TWEET, tweet_id)]
    ((_, _, without),) = [each for each in world.hearings[shard].addresses(world.ears[shard], what) if each[1] is None]
    assert np.frombuffer(without, "<i8").tolist() == [world.dee]
    dee = world.hearings[world.shard_of(world.dee)]
    assert dee.hidden(world.dee) == b""  # that he is blocked is the author's to see to


def test_public_topics_are_told_by_the_shard_that_had_the_author_then_and_by_none_that_he_moves_to(world):
    tweet_id = world.tell(world.ada)
    world.do("edit", tweet_id, world.ada, "another text", b"", [])
    is_own = []
    for shard, replica in enumerate(world.replicas):
        heard, hearing, ears = replica.state.heard, world.hearings[shard], world.ears[shard]
        told = [what for what in heard.take(replica.state.position) if what.item == tweet_id]
        assert told == [what for what in heard.since(0, heard.number) if what.item == tweet_id]
        for what in told:
            is_own.append((what.kind, shard == world.shard_of(world.ada), what.is_own))
            elsewhere = hearing.addresses(ears, what._replace(is_own=False))
            assert all(topics == ["user"] for topics, _, _ in elsewhere)
    assert {(TWEET, True, True), (EDIT, True, True), (EDIT, False, False)} <= set(is_own)
    assert all(is_there == own for _, is_there, own in is_own)


def test_what_each_has_done_about_a_repost_and_its_original_comes_along_in_bytes(world):
    tweet_id = world.tell(world.ada)
    world.do("follow", world.bob, world.cyd)
    world.do("follow", world.dee, world.cyd)
    world.do("like", world.dee, tweet_id)
    world.heard()
    repost_id = world.repost(world.cyd, tweet_id)
    shard, state = world.shard_of(world.dee), world.state_of(world.dee)
    (what,) = [each for each in state.heard.take(state.position) if (each.kind, each.item) == (TWEET, repost_id)]
    ((_, accounts, flags),) = [
        each for each in world.hearings[shard].addresses(world.ears[shard], what) if each[0] == ["user"]
    ]
    (dees,) = [
        flags[2 * place : 2 * place + 2] for place, a in enumerate(np.frombuffer(accounts, "<i8")) if a == world.dee
    ]
    assert dees == bytes((0, LIKED))
