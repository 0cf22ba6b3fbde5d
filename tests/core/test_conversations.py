"""Conversations: who is in which, what one shows when tweets go, and that it stays when a shard does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.core import limits
from actors.core.errors import NotFoundError, OverloadedError, RookeryError
from actors.core.facts import CONVERSATION, read_facts
from actors.core.features import conversations
from actors.core.features.conversations import CONVERSATION_FACTS, check_conversation
from actors.core.levels import LEVEL
from actors.core.stores.papers import pack_document
from actors.core.terms import NOTICES_FROM_LEVEL
from tests.core.harness import NOW_MS, Shards
from tests.core.test_moving import three_people

DIRECT = 2


world = pytest.fixture(three_people)


def say(world: Any, author: int, *mentions: int, to: int = 0) -> int:
    """Post a direct tweet, in answer to another one as the API does it; return its id."""
    facts: dict[str, Any] = {}
    if to:
        reply_author, root = world.read("conversation_of", to, author)
        facts = {"in_reply_to": to, "reply_author": reply_author, "facts": [[CONVERSATION, root]] if root else []}
    tweet_id = world.post(author, visibility=DIRECT, mentions=list(mentions), **facts)
    return int(tweet_id)


def listed(world: Any, account_id: int) -> list[list[Any]]:
    return world.read("conversations", account_id, 0, 0, 0, 100)[0]


def test_a_direct_tweet_is_in_a_conversation_of_its_author_and_of_whom_it_mentions(world):
    said = say(world, world.ada, world.bob, world.eve)
    assert listed(world, world.ada) == [[said, said, False, sorted([world.bob, world.eve])]]
    assert listed(world, world.bob) == [[said, said, True, sorted([world.ada, world.eve])]]
    assert listed(world, world.eve) == [[said, said, True, sorted([world.ada, world.bob])]]


def test_what_is_answered_directly_goes_on_as_the_same_conversation_and_is_read_by_who_answers(world):
    first = say(world, world.ada, world.bob)
    second = say(world, world.bob, world.ada, to=first)
    third = say(world, world.ada, world.bob, to=second)
    assert listed(world, world.ada) == [[first, third, False, [world.bob]]]
    assert listed(world, world.bob) == [[first, third, True, [world.ada]]]
    assert world.do("read_conversation", world.bob, first) == [first, third, False, [world.ada]]
    assert world.do("read_conversation", world.bob, first) == [first, third, False, [world.ada]]
    assert listed(world, world.bob) == [[first, third, False, [world.ada]]]


def test_an_answer_to_what_is_public_begins_a_conversation_and_a_public_answer_is_in_none(world):
    public = world.post(world.ada)
    assert world.read("conversation_of", public, world.bob) == [world.ada, 0]
    said = say(world, world.bob, world.ada, to=public)
    world.post(world.ada, mentions=[world.bob], in_reply_to=said, reply_author=world.bob, facts=[[CONVERSATION, said]])
    assert listed(world, world.ada) == [[said, said, True, [world.bob]]]
    entry = world.state_of(world.ada).tweets.get(world.post(world.ada, facts=[[CONVERSATION, said]]))
    assert read_facts(entry.body).conversation == 0


def test_what_was_last_said_is_first_and_pages_go_on_from_there(world):
    first, second = say(world, world.ada, world.bob), say(world, world.ada, world.eve)
    say(world, world.bob, world.ada, to=first)
    rows, _, oldest, has_more = world.read("conversations", world.ada, 0, 0, 0, 1)
    assert ([row[0] for row in rows], has_more) == ([first], True)
    rows, *_, has_more = world.read("conversations", world.ada, oldest, 0, 0, 1)
    assert ([row[0] for row in rows], has_more) == ([second], False)


def test_a_deleted_tweet_gives_way_to_the_one_before_and_the_last_one_takes_the_conversation_along(world):
    first = say(world, world.ada, world.bob)
    second = say(world, world.bob, world.ada, to=first)
    world.do("delete", second, world.bob)
    assert [row[:2] for who in (world.ada, world.bob) for row in listed(world, who)] == [[first, first]] * 2
    world.do("delete", first, world.ada)
    assert listed(world, world.ada) == listed(world, world.bob) == []


def test_a_conversation_that_was_taken_away_is_gone_for_who_did_and_comes_back_with_the_next_tweet(world):
    first = say(world, world.ada, world.bob)
    assert world.do("drop_conversation", world.bob, first) is True
    with pytest.raises(NotFoundError, match=f"conversation {first} does not exist"):
        world.do("drop_conversation", world.bob, first)
    with pytest.raises(NotFoundError, match=f"conversation {first} does not exist"):
        world.do("read_conversation", world.bob, first)
    assert (listed(world, world.bob), len(listed(world, world.ada))) == ([], 1)
    second = say(world, world.ada, world.bob, to=first)
    assert listed(world, world.bob) == [[first, second, True, [world.ada]]]


@pytest.mark.parametrize("is_blocking", [True, False])
def test_no_conversation_is_made_where_a_block_stands(world, is_blocking):
    blocker, blocked = (world.bob, world.ada) if is_blocking else (world.ada, world.bob)
    world.do("block", blocker, blocked)
    said = say(world, world.ada, world.bob, world.eve)
    assert listed(world, world.bob) == []
    assert [row[0] for row in listed(world, world.eve)] == [said]
    world.do("unblock", blocker, blocked)
    world.do("delete", said, world.ada)
    assert listed(world, world.bob) == listed(world, world.eve) == []


def test_of_too_many_conversations_the_one_goes_that_was_longest_silent(world, monkeypatch):
    monkeypatch.setattr(conversations, "CONVERSATION", replace(conversations.CONVERSATION, limit=2))
    first, second = say(world, world.ada, world.bob), say(world, world.ada, world.bob)
    say(world, world.bob, world.ada, to=first)
    third = say(world, world.ada, world.bob)
    for account_id in (world.ada, world.bob):
        assert [row[0] for row in listed(world, account_id)] == [third, first]
        assert world.state_of(account_id).papers.keys(CONVERSATION_FACTS, account_id) == sorted([first, third])
    world.do("delete", second, world.ada)
    assert [row[0] for row in listed(world, world.ada)] == [third, first]


def test_a_long_conversation_keeps_its_newest_tweets_and_a_bounded_document(world):
    last = first = say(world, world.ada, world.bob)
    said = [first]
    for _ in range(limits.CONVERSATION_TWEETS_MAX + 2):
        last = say(world, world.ada, world.bob, to=last)
        said.append(last)
    document = world.state_of(world.bob).papers.get(CONVERSATION_FACTS, world.bob, first)
    assert list(document[0]) == said[-limits.CONVERSATION_TWEETS_MAX :]
    assert len(pack_document(document)) <= conversations.DOCUMENT_BYTES_MAX


def test_a_scheduled_tweet_begins_a_conversation_when_it_is_published(world):
    world.do("schedule", world.ada, NOW_MS + 600_000, "x", DIRECT, 0, 0, b"", [], [world.bob])
    assert listed(world, world.ada) == listed(world, world.bob) == []
    world.now_ms += 700_000
    world.run(0, world.replicas[0].due_command(world.now_ms))
    world.exchange()
    ((root, published, is_unread, others),) = listed(world, world.bob)
    assert (is_unread, others) == (True, [world.ada])
    answer = say(world, world.bob, world.ada, to=published)
    assert listed(world, world.ada) == [[root, answer, True, [world.bob]]]


def test_they_move_with_their_account_and_go_on_there(world):
    first, other = say(world, world.ada, world.bob), say(world, world.bob, world.ada)
    say(world, world.bob, world.ada, to=first)
    before = listed(world, world.ada)
    assert [row[0] for row in before] == [first, other]
    world.move(1, world.ada)
    assert (world.shard_of(world.ada), listed(world, world.ada)) == (1, before)
    last = say(world, world.bob, world.ada, to=other)
    assert [row[1] for row in listed(world, world.ada)] == [last, before[0][1]]


@pytest.mark.parametrize(
    "document",
    [[], [[], False, []], [[1], 2, []], [[0], False, []], [[1], False, ["x"]], [list(range(1, 22)), True, []]],
)
def test_what_is_no_conversation_does_not_come_in_with_a_move(document):
    with pytest.raises(RookeryError):
        check_conversation(document)


def test_an_account_that_goes_leaves_no_conversation(world):
    say(world, world.ada, world.bob)
    world.do("delete_account", world.bob, None)
    say(world, world.ada, world.bob)
    assert world.state_of(world.bob).papers.keys(CONVERSATION_FACTS, world.bob) == []


def test_below_level_3_direct_tweets_are_in_no_conversation_and_look_as_they_did():
    world: Any = Shards(2, level=NOTICES_FROM_LEVEL - 1)
    ada, bob = world.account_on(0), world.account_on(1)
    world.register(ada, bob)
    old = world.post(ada, visibility=DIRECT, mentions=[bob])
    assert read_facts(world.state_of(ada).tweets.get(old).body).more == {}
    assert world.read("conversations", bob, 0, 0, 0, 9) == [[], 0, 0, False]
    for op in ("read_conversation", "drop_conversation"):
        with pytest.raises(OverloadedError):
            world.do(op, bob, old)
    for shard in range(2):
        world.run(shard, ["level", LEVEL])
    world.exchange()
    world.ada, world.bob = ada, bob
    answer = say(world, bob, ada, to=old)
    assert listed(world, ada) == [[old, answer, True, [bob]]]
    world.do("delete", old, ada)
    assert listed(world, ada) == [[old, answer, True, [bob]]]
    world.check()
