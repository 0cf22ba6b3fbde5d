"""What an account wants none of at home: members of exclusive lists, languages of a followee; at every depth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError, RookeryError
from actors.core.facts import LANGUAGE
from actors.core.features.followee_options import LANGUAGES, SOME_LANGUAGES
from actors.core.features.lists import EXCLUSIVE
from actors.core.verify import digest
from commands.exported import add_rows
from commands.oracle import NetworkFacts
from tests.core.harness import Shards
from tests.core.test_followed_tags import entities, follow, recovered, settled
from tests.core.test_lists import timeline
from tests.core.test_moving import Moving

FOLLOWED = 0


@pytest.fixture
def world():
    made = settled(Moving())
    for each in (made.bob, made.cyd, made.dee):
        made.do("follow", made.ada, each)
    yield made
    made.sweep()
    made.exchange()
    made.check()
    for shard in (0, 1):
        before = digest(made.replicas[shard].state)
        assert digest(made.replayed(shard).state) == before
        assert digest(recovered(made, shard)) == before
        made.check()


def says(world: Shards, author: int, language: str = "", tags: tuple[str, ...] = ()) -> int:
    """Post in a language, "" for none, and let it arrive; return the tweet."""
    world.now_ms += 1
    more = [[[LANGUAGE, language]]] if language else []
    world.do("post", author, "hello", 0, 0, 0, entities(*tags), [], [], None, *more)
    state = world.state_of(author)
    return int(state.tweets.log.view(state.people.row_of[author])[-1])


def put_list(world: Shards, account_id: int, *members: int, list_id: int = 0, exclusive: bool = True) -> int:
    world.now_ms += 1
    made: int = world.do("put_list", account_id, list_id, "Some", FOLLOWED, exclusive)[0]
    if members:
        world.do("set_members", account_id, made, list(members), True)
    return made


def expected(world: Shards, account_id: int) -> list[int]:
    facts = NetworkFacts()
    for replica in world.replicas:
        add_rows(facts, replica.read("export", [0, 100, True])[1])
    return facts.home(account_id, 20)


def test_members_of_an_exclusive_list_are_on_it_and_not_at_home(world):
    told = [says(world, author) for author in (world.bob, world.cyd, world.dee)]
    made = put_list(world, world.ada, world.cyd, world.dee)
    assert world.home(world.ada) == told[:1]
    assert timeline(world, made) == told[:0:-1]
    put_list(world, world.ada, list_id=made, exclusive=False)
    assert world.home(world.ada) == told[::-1]
    put_list(world, world.ada, list_id=made, exclusive=True)
    world.do("set_members", world.ada, made, [world.cyd], False)
    assert world.home(world.ada) == told[1::-1]
    world.do("drop_list", world.ada, made)
    assert world.home(world.ada) == told[::-1]


def test_of_a_member_what_others_repost_is_shown_and_what_it_reposts_isnt(world):
    theirs, other = says(world, world.cyd), says(world, world.bob)
    put_list(world, world.ada, world.cyd)
    repost = world.repost(world.dee, theirs)
    world.repost(world.cyd, other)
    assert world.home(world.ada) == [repost, other] == expected(world, world.ada)


def test_an_accounts_own_tweets_are_shown_whichever_list_it_is_on(world):
    put_list(world, world.ada, world.ada, world.bob)
    own = says(world, world.ada)
    says(world, world.bob)
    assert world.home(world.ada) == [own] == expected(world, world.ada)


def test_a_member_who_isnt_followed_any_more_is_on_no_list_so_a_hashtag_brings_him(world):
    follow(world, world.ada, "cats")
    put_list(world, world.ada, world.cyd)
    tweet_id = says(world, world.cyd, tags=("cats",))
    assert world.home(world.ada) == [] == expected(world, world.ada)
    world.do("unfollow", world.ada, world.cyd)
    assert world.home(world.ada) == [tweet_id] == expected(world, world.ada)


def test_other_languages_of_a_followee_are_left_out(world):
    german, english, unsaid = (says(world, world.cyd, code) for code in ("de", "en", ""))
    other = says(world, world.bob, "de")
    made = put_list(world, world.ada, world.cyd, exclusive=False)
    world.do("follow_as", world.ada, world.cyd, None, None, ["en", "fr"])
    assert world.home(world.ada) == [other, unsaid, english] == expected(world, world.ada)
    assert timeline(world, made) == [unsaid, english]
    repost = world.repost(world.dee, german)
    assert world.home(world.ada)[0] == repost, "it is another's, and says no language"
    world.do("follow_as", world.ada, world.cyd, None, None, [])
    assert german in world.home(world.ada)


def test_languages_go_with_the_follow(world):
    world.do("follow_as", world.ada, world.cyd, None, None, ["en"])
    german = says(world, world.cyd, "de")
    world.do("unfollow", world.ada, world.cyd)
    state = world.state_of(world.ada)
    assert not state.graph.some_languages_of
    assert state.shelves.count(SOME_LANGUAGES, world.ada) == len(state.papers.keys(LANGUAGES, world.ada)) == 0
    world.do("follow", world.ada, world.cyd)
    assert world.home(world.ada) == [german]


def test_pages_below_the_ring_leave_out_the_same(world):
    put_list(world, world.ada, world.bob)
    world.do("follow_as", world.ada, world.cyd, None, None, ["en"])
    told = [
        (says(world, author, code), author, code)
        for _ in range(8)
        for author in (world.bob, world.cyd, world.dee)
        for code in ("en", "de")
    ]
    wanted = [t for t, author, code in told if author == world.dee or (author == world.cyd and code == "en")][::-1]
    pages, cursor = [], 0
    while page := world.home(world.ada, 3, max_id=cursor):
        pages += page
        cursor = page[-1]
    assert pages == wanted
    assert world.home(world.ada, 3, min_id=wanted[10]) == wanted[7:10]


def test_wishes_move_with_their_account_and_go_with_it(world):
    put_list(world, world.ada, world.bob)
    world.do("follow_as", world.ada, world.cyd, None, None, ["en"])
    says(world, world.bob)
    says(world, world.cyd, "de")
    shown = says(world, world.dee, "de")
    world.move(1, world.ada)
    assert world.home(world.ada) == [shown]
    world.do("delete_account", world.ada)
    while world.replicas[1].state.people.leaving:
        world.run(1, ["clear_left", world.ada, 1])
        world.exchange()
    world.sweep()
    for replica in world.replicas:
        graph = replica.state.graph
        assert not graph.exclusive_lists_of
        assert not graph.some_languages_of


def test_whether_a_list_is_exclusive_is_true_or_false(world):
    with pytest.raises(InvalidError, match="exclusive"):
        world.do("put_list", world.ada, 0, "x", FOLLOWED, 1)
    with pytest.raises(NotFoundError):
        world.do("put_list", world.bob, put_list(world, world.ada), "x", FOLLOWED, True)
    assert world.state_of(world.bob).shelves.count(EXCLUSIVE, world.bob) == 0


WHO = st.integers(0, 3)
CODES = st.sampled_from(["", "de", "en"])
STEPS = st.one_of(
    st.tuples(st.just("says"), WHO, CODES, st.booleans()),
    st.tuples(st.just("list"), WHO, WHO, st.booleans()),
    st.tuples(st.just("languages"), WHO, WHO, st.sets(st.sampled_from(["de", "en"]))),
    st.tuples(st.sampled_from(["follow", "unfollow", "mute", "block", "unblock"]), WHO, WHO),
    st.tuples(st.just("repost"), WHO, WHO),
    st.tuples(st.sampled_from(["sleep", "recover", "tag"]), st.integers(0, 1), WHO),
)


def act(world: Any, tweets: list[int], what: str, me: int, other: Any, *rest: Any) -> None:
    """Do one step. me, other: accounts; of `says` the language, of others' shards `me` is one."""
    if what == "says":
        tweets.append(says(world, me, other, ("cats",) if rest[0] else ()))
    elif what == "list":
        own = world.read("lists", me)
        put_list(world, me, other, list_id=own[0][0] if own else 0, exclusive=rest[0])
    elif what == "languages" and me != other:
        world.do("follow_as", me, other, None, None, sorted(rest[0]))
    elif what == "repost" and tweets:
        world.repost(me, tweets[-1])
    elif what == "tag":
        follow(world, other, "cats")
    elif what in ("follow", "unfollow", "mute", "block", "unblock") and me != other:
        world.do(what, me, other)


@settings(max_examples=50, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=30))
def test_home_equals_the_definition_whatever_is_wanted(steps):
    world = settled(Shards())
    accounts = [world.ada, world.bob, world.cyd, world.dee]
    for me in accounts:
        world.do("follow", me, world.cyd if me != world.cyd else world.bob)
    tweets: list[int] = []
    for what, who, other, *rest in steps:
        if what == "sleep":
            world.now_ms += 40 * limits.DAY_MS
            world.run(who, ["tick", world.now_ms])
        elif what == "recover":
            recovered(world, who)
        else:
            try:
                act(world, tweets, what, accounts[who], other if what == "says" else accounts[other], *rest)
            except RookeryError:
                continue  # a block stands, or nobody to be listed
    for account_id in accounts:
        assert world.home(account_id, 20) == expected(world, account_id)
    world.check()
