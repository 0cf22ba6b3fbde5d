"""Lists: whose they are, who is on them, and that their timelines are home of members only, at every depth."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError
from actors.core.features.cards import learn_accounts
from actors.core.features.list_members import MEMBER
from actors.core.features.lists import LIST, POLICIES
from actors.core.shape_table import MASTODON
from actors.core.shaped_reads import AskAccounts
from actors.core.timelines.home import Ask, Wake
from actors.core.verify import digest
from tests.core.harness import Shards
from tests.core.test_moving import Moving

FOLLOWED, LISTED, NOBODY = range(len(POLICIES))


def settled(world: Any) -> Any:
    """Give a world ada, who follows three on two shards, and eve, whom she doesn't."""
    world.ada, world.bob, world.eve = (world.account_on(0, i) for i in range(3))
    world.cyd, world.dee = (world.account_on(1, i) for i in range(2))
    world.register(world.ada, world.bob, world.eve, world.cyd, world.dee)
    for each in (world.bob, world.cyd, world.dee):
        world.do("follow", world.ada, each)
    return world


@pytest.fixture
def world():
    made = settled(Moving())
    yield made
    made.check_whole()


def make(world: Shards, *members: int, title: str = "Friends", policy: int = FOLLOWED) -> int:
    world.now_ms += 1
    list_id: int = world.do("put_list", world.ada, 0, title, policy, False)[0]
    world.do("set_members", world.ada, list_id, list(members), True)
    return list_id


def timeline(world: Shards, list_id: int, max_id: int = 0, min_id: int = 0, count: int = 20) -> list[int]:
    """Read a list's timeline as the shell does; return its tweet ids."""
    shard = world.shard_of(world.ada)
    replica = world.replicas[shard]
    query = replica.timeline_query("list_timeline", [world.ada, list_id, max_id, 0, min_id, count])
    steps: Any = replica.shaped(MASTODON).home_steps(query)
    answer: Any = None
    while True:
        try:
            need = steps.send(answer)
        except StopIteration as stop:
            body, newest, oldest = stop.value
            found = [int(status["id"]) for status in orjson.loads(body)]
            assert [newest, oldest] == ([found[0], found[-1]] if found else [0, 0])
            return found
        answer = None
        if isinstance(need, Wake):
            world.run(shard, ["wake", world.ada])
            world.exchange()
        elif isinstance(need, AskAccounts):
            for other, account_ids in need.questions.items():
                learn_accounts(replica.state, other, account_ids, world.replicas[other].read("accounts", [account_ids]))
        else:
            assert isinstance(need, Ask)
            answer = {s: world.replicas[s].read(op, args) for s, (op, args) in need.questions.items()}


def paged(world: Shards, list_id: int, count: int) -> list[int]:
    """Read a whole timeline in pages."""
    found: list[int] = []
    while True:
        page = timeline(world, list_id, max_id=found[-1] if found else 0, count=count)
        if not page:
            return found
        found += page


def test_a_list_is_its_accounts_alone(world):
    list_id = make(world, world.bob)
    assert world.read("lists", world.ada) == [[list_id, "Friends", FOLLOWED, False]]
    assert world.do("put_list", world.ada, list_id, "Family", NOBODY, False) == [list_id, "Family", NOBODY, False]
    other = make(world, title="Work")
    assert [row[:2] for row in world.read("lists", world.ada)] == [[list_id, "Family"], [other, "Work"]]
    assert world.read("lists", world.bob) == []
    for op, args in (
        ("put_list", [list_id, "Mine", 0, False]), ("drop_list", [list_id]), ("set_members", [list_id, [], True]),
        ("members", [list_id, 0, 20]),
    ):  # fmt: skip
        with pytest.raises(NotFoundError):
            world.read(op, world.bob, *args) if op == "members" else world.do(op, world.bob, *args)
    with pytest.raises(NotFoundError):
        world.replicas[0].timeline_query("list_timeline", [world.bob, list_id, 0, 0, 0, 20])
    assert world.do("drop_list", world.ada, list_id) is True
    assert [row[0] for row in world.read("lists", world.ada)] == [other]


def test_members_are_listed_the_last_added_first_as_long_as_they_are_followed(world):
    list_id = make(world, world.bob, world.cyd, world.ada)
    assert world.do("set_members", world.ada, list_id, [world.cyd, world.dee, world.dee], True) == 1
    (first, before), (rest, end) = (world.read("members", world.ada, list_id, 0, 3), [None, None])
    rest, end = world.read("members", world.ada, list_id, before, 3)
    assert (first, rest, end) == ([world.dee, world.ada, world.cyd], [world.bob], 0)
    world.do("unfollow", world.ada, world.cyd)
    assert world.read("members", world.ada, list_id, 0, 20)[0] == [world.dee, world.ada, world.bob]
    assert world.read("lists_with", world.ada, world.cyd) == []
    world.do("follow", world.ada, world.cyd)
    assert world.read("lists_with", world.ada, world.cyd) == []
    assert world.do("set_members", world.ada, list_id, [world.cyd], True) == 1
    assert world.read("lists_with", world.ada, world.cyd) == world.read("lists", world.ada) != []
    assert world.do("set_members", world.ada, list_id, [world.cyd, world.eve], False) == 1
    assert world.read("lists_with", world.ada, world.cyd) == []


def test_who_is_deleted_or_takes_the_edge_himself_is_on_no_list(world):
    list_id = make(world, world.bob, world.cyd)
    world.do("remove_follower", world.bob, world.ada)
    assert world.read("members", world.ada, list_id, 0, 20)[0] == [world.cyd]
    world.do("delete_account", world.cyd, None)
    while not world.run(1, ["clear_left", world.cyd, 2]):
        world.exchange()
    world.exchange()
    kept = world.state_of(world.ada).shelves.view(MEMBER, list_id)[0]
    assert kept.tolist() == []


def test_nobody_is_put_on_a_list_who_isnt_followed(world):
    list_id = make(world)
    before = digest(world.state_of(world.ada))
    with pytest.raises(NotFoundError, match=f"don't follow account {world.eve}"):
        world.do("set_members", world.ada, list_id, [world.bob, world.eve], True)
    assert digest(world.state_of(world.ada)) == before


@pytest.mark.parametrize("facts", [
    ["", 0, False], [" ", 0, False], [7, 0, False], ["x" * 1_025, 0, False], ["x", 3, False], ["x", None, False],
    ["x", 0, 1], ["x", 0, None],
], ids=str)  # fmt: skip
def test_what_is_no_list_is_refused_and_nothing_changes(world, facts):
    before = digest(world.state_of(world.ada))
    with pytest.raises(RookeryError):
        world.do("put_list", world.ada, 0, *facts)
    assert digest(world.state_of(world.ada)) == before


def test_an_account_has_so_many_lists_and_a_list_so_many_members(world, monkeypatch):
    lists = [make(world) for _ in range(limits.LISTS_COUNT_MAX)]
    with pytest.raises(InvalidError, match="may have 100 lists"):
        make(world)
    monkeypatch.setattr(type(MEMBER), "limit", property(lambda kind: 2), raising=False)
    world.do("set_members", world.ada, lists[0], [world.bob], True)
    with pytest.raises(InvalidError, match="may have 2 members"):
        world.do("set_members", world.ada, lists[0], [world.cyd, world.dee], True)


def test_a_list_goes_with_its_account_and_moves_with_it(world):
    list_id = make(world, world.bob, world.cyd)
    tweets = [world.post(world.bob), world.post(world.cyd)]
    world.move(1, world.ada)
    assert world.read("members", world.ada, list_id, 0, 20)[0] == [world.cyd, world.bob]
    assert timeline(world, list_id) == tweets[::-1]
    world.do("delete_account", world.ada)
    while (command := world.replicas[1].leavings.next_piece()) is not None:
        world.run(1, command)
        world.exchange()
    assert world.replicas[1].state.papers.get(LIST, list_id) is None
    assert len(world.replicas[1].state.things) == 0


def test_its_timeline_is_what_its_members_say(world):
    list_id, alone = make(world, world.bob, world.cyd), make(world, world.dee)
    assert timeline(world, list_id) == []
    bobs, dees, cyds = world.post(world.bob), world.post(world.dee), world.post(world.cyd)
    mine = world.post(world.ada)
    world.now_ms += 1
    again = world.repost(world.cyd, dees)
    assert timeline(world, list_id) == [again, cyds, bobs]
    assert timeline(world, alone) == [dees]
    world.do("set_members", world.ada, alone, [world.ada], True)
    assert timeline(world, alone) == [mine, dees]
    assert timeline(world, list_id, min_id=bobs, count=1) == [cyds]
    world.do("mute", world.ada, world.cyd)
    assert timeline(world, list_id) == [bobs]
    world.do("unmute", world.ada, world.cyd)
    world.do("unfollow", world.ada, world.cyd)
    assert timeline(world, list_id) == [bobs]


def test_a_policy_says_which_answers_are_shown(world):
    lists = [make(world, world.bob, world.cyd, policy=policy) for policy in (FOLLOWED, LISTED, NOBODY)]
    answers = {
        author: world.post(
            world.bob, "an answer", in_reply_to=world.post(author), reply_author=author
        ) for author in (world.bob, world.cyd, world.dee, world.eve, world.ada)
    }  # fmt: skip
    shown = [{author for author, answer in answers.items() if answer in timeline(world, each)} for each in lists]
    always = {world.bob, world.ada}
    assert shown == [always | {world.cyd, world.dee}, always | {world.cyd}, always]


POSTS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(("say", "answer", "repost"))), min_size=1, max_size=20)


@given(posts=POSTS, members=st.sets(st.integers(0, 3)), policy=st.sampled_from((FOLLOWED, LISTED, NOBODY)))
@settings(max_examples=20, deadline=None)
def test_pages_are_what_the_definition_says_at_every_depth(posts, members, policy):
    """Rings hold six entries here, so most of a timeline comes from the members' own logs."""
    world = settled(Shards())
    authors = [world.bob, world.cyd, world.dee, world.ada, world.eve]
    chosen = {authors[place] for place in members}
    list_id = make(world, *chosen, policy=policy)
    tweets: list[tuple[int, int, int, int]] = []  # tweet, author, whom it answers, what it reposts or itself
    for place, act in posts:
        world.now_ms += 1
        author, (last, last_author) = authors[place], next(((t, a) for t, a, _, o in tweets[::-1] if t == o), (0, 0))
        if act == "repost" and last and author not in {a for _, a, _, o in tweets if o == last}:
            tweets.append((world.repost(author, last), author, 0, last))
        elif act == "answer" and last:
            said = world.post(author, "re", in_reply_to=last, reply_author=last_author)
            tweets.append((said, author, last_author, said))
        else:
            said = world.post(author)
            tweets.append((said, author, 0, said))
    answered = {FOLLOWED: set(authors[:3]), LISTED: chosen, NOBODY: set()}[policy] | {0, world.ada}
    candidates = [
        each for each in tweets[::-1]
        if each[1] in chosen and (each[1] == world.ada or each[2] in answered | {each[1]})
    ]  # fmt: skip
    expected = [
        tweet for place, (tweet, _, _, original) in enumerate(candidates)
        if tweet == original or original not in {each[3] for each in candidates[place + 1 :]}
    ]  # fmt: skip
    assert timeline(world, list_id, count=100) == expected
    assert paged(world, list_id, 3) == expected
    if len(expected) > 3:
        assert timeline(world, list_id, min_id=expected[3], count=2) == expected[1:3]
    world.check()


def test_lists_wait_for_their_level():
    shards = Shards(level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do("put_list", ada, 0, "x", 0, False)
