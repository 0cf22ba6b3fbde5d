"""Writes about a tweet that their account may see: found out by the account's shard, wherever the tweet lives."""

from __future__ import annotations

from typing import Any

import pytest

from actors.core.errors import ForbiddenError, InvalidError, NotFoundError, RookeryError
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.likes import LIKE
from actors.core.visibility import is_question
from tests.core.harness import Shards

PUBLIC, FOLLOWERS, DIRECT = 0, 1, 2
KINDS = {"like": LIKE, "bookmark": BOOKMARK}


class Acting:
    """Somebody on shard 0, and an author on the shard that is asked for."""

    def __init__(self, author_on: int) -> None:
        self.shards = Shards(2)
        self.actor, self.author = self.shards.account_on(0, 0), self.shards.account_on(author_on, 1)
        self.between = self.shards.account_on(1 - author_on, 2)
        self.shards.register(self.actor, self.author, self.between)
        self.inquiries: list[str] = []

    def ask(self, op: str, args: list[Any]) -> list[Any]:
        """Return a write's arguments once other shards were asked, as the shell does."""
        steps = self.shards.replicas[0].inquiries(op, args)
        try:
            inquiry = next(steps)
            while True:
                self.inquiries.append(inquiry.op)
                replica = self.shards.replicas[self.shards.owner[inquiry.bucket]]
                assert replica is not self.shards.replicas[0]
                try:
                    body = replica.read(inquiry.op, inquiry.args)
                except RookeryError as refusal:
                    inquiry = steps.throw(refusal)
                else:
                    inquiry = steps.send(body)
        except StopIteration as found:
            return found.value

    def act(self, op: str, tweet_id: int) -> Any:
        return self.shards.do("if_seen", *self.ask("if_seen", [self.actor, tweet_id, op]))

    def has(self, op: str, tweet_id: int) -> bool:
        return self.shards.state_of(self.actor).shelves.contains(KINDS[op], self.actor, tweet_id)


@pytest.fixture(params=[0, 1], ids=["the same shard", "another shard"])
def acting(request):
    made = Acting(request.param)
    yield made
    made.shards.check()


@pytest.fixture
def apart():
    made = Acting(1)
    yield made
    made.shards.check()


def block(acting: Acting, who: int, whom: int) -> None:
    acting.shards.do("block", who, whom)


def hide(acting: Acting, how: str) -> int:
    """Return the id of a tweet that the actor may not see."""
    shards = acting.shards
    visibility = {"for followers": FOLLOWERS, "direct": DIRECT}.get(how, PUBLIC)
    tweet_id = shards.post(acting.author, visibility=visibility)
    if how == "its author has blocked him":
        block(acting, acting.author, acting.actor)
    elif how == "he has blocked its author":
        block(acting, acting.actor, acting.author)
    elif how == "deleted":
        shards.do("delete", tweet_id, acting.author)
    elif how == "its author is deleted":
        shards.do("delete_account", acting.author, None)
    elif how == "never was":
        tweet_id += 1
    elif how == "a repost of somebody who has blocked him":
        tweet_id = shards.repost(acting.between, tweet_id)
        block(acting, acting.author, acting.actor)
    return tweet_id


HIDDEN = (
    "for followers", "direct", "its author has blocked him", "he has blocked its author", "deleted",
    "its author is deleted", "never was", "a repost of somebody who has blocked him",
)  # fmt: skip


@pytest.mark.parametrize("op", ["like", "bookmark", "repost"])
@pytest.mark.parametrize("how", HIDDEN)
def test_what_may_not_be_seen_is_refused_as_a_read_of_it_is(acting, op, how):
    tweet_id = hide(acting, how)
    with pytest.raises(NotFoundError) as expected:
        acting.shards.ask_as(acting.actor, "seen", tweet_id, acting.actor)
    before = acting.shards.digests()
    with pytest.raises(NotFoundError) as refused:
        acting.act(op, tweet_id)
    assert refused.value.to_wire() == expected.value.to_wire()
    assert acting.shards.digests() == before


@pytest.mark.parametrize("op", ["like", "bookmark"])
@pytest.mark.parametrize("visibility", [PUBLIC, FOLLOWERS, DIRECT], ids=["public", "for followers", "direct"])
def test_what_may_be_seen_is_marked_and_one_question_is_enough(acting, op, visibility):
    acting.shards.do("follow", acting.actor, acting.author)
    mentions = [acting.actor] if visibility == DIRECT else []
    tweet_id = acting.shards.post(acting.author, visibility=visibility, mentions=mentions)
    assert acting.act(op, tweet_id) is True
    assert acting.has(op, tweet_id)
    elsewhere = acting.shards.shard_of(acting.author) != 0
    assert acting.inquiries == ["seen"] * elsewhere
    assert acting.act(op, tweet_id) is False


def test_a_repost_of_another_shards_original_is_marked_though_its_shard_asks_back(apart):
    reposter = apart.shards.account_on(1, 3)
    apart.shards.register(reposter)
    original = apart.shards.post(apart.between)  # on shard 0: the reposter's shard doesn't know of its blocks
    repost_id = apart.shards.repost(reposter, original)
    assert apart.act("like", repost_id) is True
    assert apart.inquiries == ["seen", "seen"]


def test_a_repost_is_of_the_original_which_is_looked_at_by_its_own_id(acting):
    original = acting.shards.post(acting.author)
    repost_id = acting.shards.repost(acting.between, original)
    acting.act("repost", repost_id)
    state = acting.shards.state_of(acting.actor)
    assert list(state.reposts[acting.shards.row_of(acting.actor)]) == [original]


def test_only_what_is_public_is_reposted(acting):
    acting.shards.do("follow", acting.actor, acting.author)
    tweet_id = acting.shards.post(acting.author, visibility=FOLLOWERS)
    with pytest.raises(ForbiddenError, match=f"tweet {tweet_id} is not public"):
        acting.act("repost", tweet_id)


@pytest.mark.parametrize("op", ["like", "bookmark", "repost"])
def test_without_having_asked_the_answer_is_a_question_and_nothing_changes(apart, op):
    tweet_id, before = apart.shards.post(apart.author), apart.shards.digests()
    assert is_question(apart.shards.do("if_seen", apart.actor, tweet_id, op))
    assert is_question(apart.shards.do("keyed", apart.actor, b"key", b"print", "if_seen", [apart.actor, tweet_id, op]))
    assert apart.shards.digests() == before


def test_a_repetition_is_answered_as_it_was_and_nobody_is_asked_again(acting):
    tweet_id = acting.shards.post(acting.author)
    keyed = [acting.actor, b"key", b"print", "if_seen", [acting.actor, tweet_id, "like"]]
    assert acting.shards.do("keyed", *acting.ask("keyed", keyed)) is True
    acting.shards.do("delete", tweet_id, acting.author)
    acting.inquiries.clear()
    assert acting.shards.do("keyed", *acting.ask("keyed", keyed)) is True
    assert acting.inquiries == []


def test_a_refusal_is_not_kept(acting):
    tweet_id = acting.shards.post(acting.author, visibility=FOLLOWERS)
    keyed = [acting.actor, b"key", b"print", "if_seen", [acting.actor, tweet_id, "like"]]
    with pytest.raises(NotFoundError):
        acting.ask("keyed", keyed)
    acting.shards.do("follow", acting.actor, acting.author)
    assert acting.shards.do("keyed", *acting.ask("keyed", keyed)) is True


@pytest.mark.parametrize("op", ["unlike", "post", "if_seen", "no such", None, 7])
def test_only_what_is_about_a_tweet_is_carried_out(acting, op):
    tweet_id = acting.shards.post(acting.author)
    for attempt in (acting.act, lambda op, tweet_id: acting.shards.do("if_seen", acting.actor, tweet_id, op)):
        with pytest.raises(InvalidError, match="no write about a tweet"):
            attempt(op, tweet_id)
