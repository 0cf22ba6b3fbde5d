"""The posting lists of a replica: filled, fed, dropped and interrupted at any moment, beside a real core.

At the end of a test exactly what may be found is found, by `newest` and by `best`, from which a wrong slot would keep a
tweet (`World.found`).
"""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.errors import MalformedError
from actors.core.postings.found import Weights
from actors.core.postings.lists import Postings, whole
from actors.shard import search_postings
from cluster.lane.protocol import LaneDisconnected, LaneTimeout
from tests.actors.postings_world import EVENTUALLY_S, NOBODY, WORD, Engine, World, running
from tests.core.test_moving import Moving


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few tweets at a time, so that few make many steps."""
    for name, value in (("FILL_ROWS", 4), ("APPEND_ROWS", 3), ("ROWS_PER_TURN", 2), ("RETRY_S", 0.01)):
        monkeypatch.setattr(search_postings, name, value)


# ---- filled ----------------------------------------------------------------------------------------------------------


async def test_what_is_there_is_added_in_order_and_once():
    async with running(before=30) as world:
        await world.settled()
        assert [len(ids) for ids in world.engine.asked] == [4] * 7 + [2]
        assert world.engine.ids() == sorted(world.searchable())
        assert (world.postings.lists.count, world.postings.fill_count) == (30, 1)


async def test_tweets_that_come_while_the_lists_are_filled_are_added_once():
    async with running(before=30) as world:
        for n in range(6):
            asked = len(world.engine.asked)
            world.engine.hold()
            world.post(f"between {n}")
            await world.eventually(lambda asked=asked: len(world.engine.asked) > asked)
            world.post(f"meanwhile {n}")
            await world.eventually(world.is_fed)
            assert world.found() is None
            world.engine.release()
        await world.settled()
        assert (world.postings.lists.count, world.postings.fill_count) == (42, 1)
        world.posts(5)
        await world.settled()
        assert (world.postings.lists.count, world.postings.fill_count) == (47, 1)


async def test_an_empty_shard_is_ready_at_once_and_takes_in_what_comes():
    async with running() as world:
        await world.settled()
        assert world.found() == []
        world.posts(9)
        await world.settled()
        assert world.engine.asked == []


async def test_the_longest_tweets_are_asked_for_in_parts(monkeypatch):
    monkeypatch.setattr(search_postings, "FILL_ROWS", 200)
    world = World()
    long = [world.post("x" * 60_000) for _ in range(40)]
    world.start()
    await world.settled()
    assert world.engine.ids() == long
    assert max(map(len, world.engine.asked)) * 60_000 < 2 * search_postings.FILL_BYTES
    await world.stop()


async def test_more_than_is_kept_meanwhile_is_added_all_the_same(monkeypatch):
    monkeypatch.setattr(search_postings, "BUFFER_MAX", 5)
    async with running(before=6) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        for _ in range(3):
            world.posts(7)
            await world.eventually(world.is_fed)
            await world.turns(5)
            assert len(world.postings._buffer) <= 5
        world.engine.release()
        await world.settled()
        assert (world.postings.lists.count, world.postings.fill_count) == (27, 1)


async def test_what_is_not_committed_is_not_added():
    async with running() as world:
        await world.settled()
        world.hold_commits()
        fed = world.posts(5)
        await world.turns()
        assert world.found() == []
        world.refill()  # by what fills neither
        await world.eventually(lambda: world.engine.asked)
        await world.turns()
        assert [world.postings.lists.place(tweet_id) for tweet_id in fed] == [-1] * 5
        world.release_commits()
        await world.settled()


async def test_nothing_that_is_there_at_the_start_is_added_before_it_is_committed():
    world = World()
    world.hold_commits()
    world.posts(5)
    world.refill()
    world.start()
    await world.eventually(lambda: world.engine.asked)
    await world.turns()
    assert world.found() is None
    assert world.postings._target.count == 0
    world.release_commits()
    await world.settled()
    await world.stop()


async def test_private_tweets_and_reposts_are_never_in():
    world = World()

    def hidden():
        original = world.post("to repost")
        return [world.post(visibility=1), world.core.repost(2, original), world.post(visibility=2, mentions=[2])]

    never = hidden()
    world.start()
    await world.settled()
    never += hidden()
    await world.settled()
    assert [world.postings.lists.place(tweet_id) for tweet_id in never] == [-1] * 6
    assert world.postings.lists.count == 2
    assert not set(never) & set(world.engine.ids())
    await world.stop()


# ---- gone ------------------------------------------------------------------------------------------------------------


async def test_when_enough_have_gone_the_lists_are_made_anew_and_the_old_ones_answer_meanwhile(monkeypatch):
    monkeypatch.setattr(search_postings, "GONE_MIN", 3)
    async with running(before=20) as world:
        await world.settled()
        old, ids = world.postings.lists, sorted(world.searchable())
        world.delete(*ids[:5])
        await world.settled()
        assert (world.postings.lists, old.gone_count, world.postings.fill_count) == (old, 5, 1)
        asked = len(world.engine.asked)
        world.engine.hold()
        world.delete(ids[10])
        await world.eventually(lambda: len(world.engine.asked) > asked)
        world.posts(2)
        world.delete(ids[12])
        await world.eventually(world.is_fed)
        await world.turns(5)
        assert world.postings.lists is old
        assert world.found() == sorted(world.searchable(), reverse=True)
        world.engine.release()
        await world.settled()
        assert world.postings.lists is not old
        assert (world.postings.lists.gone_count, world.postings.fill_count) == (0, 2)
        assert world.postings.lists.count <= 16


async def test_another_tweet_in_the_place_of_a_deleted_one_is_not_taken_for_it():
    async with running(before=3) as world:
        await world.settled()
        gone = world.post("before")
        await world.settled()
        slot = world.state.tweets.slot_of[gone]
        world.delete(gone)
        await world.settled()
        other = world.core.post(2, "other words")
        assert world.state.tweets.slot_of[other] == slot
        await world.eventually(lambda: world.postings.lists.place(other) >= 0)
        scored = whole(world.postings.best(["word", WORD], world.core.now_ms, 9, NOBODY, Weights()))
        assert not {gone, other} & {*scored.ids}


async def test_a_place_that_changes_hands_between_terms_and_commit_is_the_new_tweets():
    async with running(before=2) as world:
        world.hold_commits()
        last = world.post("goes")
        slot = world.state.tweets.slot_of[last]
        world.refill()
        await world.eventually(lambda: any(last in ids for ids in world.engine.asked))
        await world.turns()
        world.delete(last)
        new = world.post("stays")
        assert world.state.tweets.slot_of[new] == slot
        world.release_commits()
        await world.settled()


# ---- missed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late_max", [0, 10])
async def test_a_tweet_that_comes_behind_newer_ones_is_added_or_makes_the_lists_begin_anew(monkeypatch, late_max):
    monkeypatch.setattr(search_postings, "LATE_MAX", late_max)
    async with running(before=10) as world:
        await world.settled()
        older = world.post("late")
        world.state.news.take(1)  # nobody is told of it
        world.posts(3)
        await world.eventually(world.is_fed)
        await world.turns(5)
        assert older not in world.found()
        world.state.news.tweet(older, True)
        await world.settled()
        assert older in world.found()
        assert (world.postings.fill_count, world.postings.lists.count) == (1 if late_max else 2, 14)


async def test_a_tweet_behind_a_newer_one_while_the_lists_are_filled_is_found():
    async with running(before=10) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        older = world.post("late")
        world.state.news.take(1)
        world.posts(3)
        await world.eventually(world.is_fed)
        world.state.news.tweet(older, True)
        await world.eventually(world.is_fed)
        world.engine.release()
        await world.settled()


async def test_an_older_tweet_among_more_than_is_kept_is_found(monkeypatch):
    monkeypatch.setattr(search_postings, "BUFFER_MAX", 4)
    async with running(before=3) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        older = world.post("late")
        world.state.news.take(1)
        world.posts(9)
        await world.eventually(world.is_fed)
        world.state.news.tweet(older, True)
        world.posts(9)
        world.engine.release()
        await world.settled()


async def test_a_feed_whose_answer_is_lost_is_made_up_for_whatever_comes_next(monkeypatch):
    async with running(before=10) as world:
        await world.settled()
        looking, looked = threading.Event(), threading.Event()
        plain = Postings.missing

        def missing(self, tweet_ids):
            looking.set()
            assert looked.wait(EVENTUALLY_S)
            return plain(self, tweet_ids)

        monkeypatch.setattr(Postings, "missing", missing)
        world.loses = 1
        lost = world.post("lost")
        await world.eventually(looking.is_set)
        world.posts(5)  # while it is found out what is missing
        await world.eventually(world.is_fed)
        await world.turns(5)
        looked.set()
        await world.settled()
        assert lost in world.found()


async def test_what_is_found_missing_in_the_middle_keeps_the_lists_from_answering_until_they_have_it():
    async with running(before=10) as world:
        await world.settled()
        world.post("unknown to the lists")
        world.state.news.take(1)
        world.posts(3)
        await world.eventually(world.is_fed)
        world.engine.hold()
        world.refill()
        await world.eventually(lambda: len(world.engine.asked) > 3)
        assert world.found() is None
        world.engine.release()
        await world.settled()


async def test_lists_that_are_dropped_while_they_are_filled_do_not_answer_before_they_are_wanted_again():
    async with running(before=10) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        world.postings.drop()
        world.posts(3)
        world.state.news.take(9)  # too many, say
        world.engine.release()
        await world.turns()
        assert world.found() is None
        assert world.postings.figures() == {"state": "empty"}
        world.refill()
        await world.settled()


async def test_news_of_everything_while_the_lists_are_filled_leave_nothing_out():
    async with running(before=10) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        world.posts(4)
        world.state.news.all()
        world.posts(4)
        await world.turns(5)
        world.engine.release()
        await world.settled()


async def test_tweets_that_came_while_no_engine_ran_are_added_and_no_others():
    async with running(before=10) as world:
        await world.settled()
        lists = world.postings.lists
        await world.stop()
        came = world.posts(5)
        assert came[0] not in world.found()  # what there is answers
        world.engine.asked.clear()
        world.start()
        await world.settled()
        assert world.engine.ids() == came
        assert world.postings.lists is lists


async def test_a_tweet_that_the_engine_cannot_read_keeps_no_other_from_being_found_and_is_not_missed():
    world = World()
    ids = world.posts(9)
    world.engine.unreadable = {ids[3], ids[5]}
    world.start()
    await world.settled()
    lists = world.postings.lists
    world.refill()
    await world.settled()
    assert (lists.count, world.postings.lists, world.postings.fill_count) == (7, lists, 2)
    await world.stop()


# ---- interrupted -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LaneDisconnected("gone"), OSError("gone"), TimeoutError("gone")])
async def test_an_interrupted_fill_goes_on_with_the_next_engine(error):
    async with running(before=20) as world:
        await world.eventually(lambda: len(world.engine.asked) == 2)
        world.engine.failures = [error]
        await world.eventually(lambda: world._tasks[0].done())
        assert world.found() is None
        assert not world.postings.wants_terms
        await world.stop()
        world.posts(3)
        world.engine = Engine()
        world._tasks = [asyncio.get_running_loop().create_task(world.postings.run(world.engine.ask))]
        await world.eventually(lambda: world.found() is not None)
        assert world.found() == sorted(world.searchable(), reverse=True)


async def test_lists_that_answer_go_on_while_what_they_lack_waits_for_the_next_engine():
    async with running(before=20) as world:
        await world.settled()
        await world.stop()
        world.posts(6)
        had = world.found()
        world.engine.failures = [LaneDisconnected("gone")]
        world.start()
        await world.eventually(lambda: world._tasks[0].done())
        assert world.found() == had
        await world.stop()
        world.start()
        await world.settled()


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_a_fill_that_is_cut_anywhere_leaves_nothing_out(steps):
    async with running(before=9) as world:
        for _ in range(3):
            for _ in range(steps):
                await asyncio.sleep(0)
            world.post("at the cut")
            await world.stop()
            world.post("with no engine")
            world.start()
        await world.settled()


@pytest.mark.parametrize(
    "failure",
    [
        MalformedError("a row can't be read"), LaneTimeout("too late"), None, 5, "terms", [None], [[]], [[1]],
        [["x"] * 6], [{}], {"a": 1},
    ],
)  # fmt: skip
async def test_what_an_engine_answers_wrongly_is_asked_for_again(failure):
    async with running(before=9) as world:
        await world.eventually(lambda: world.engine.asked)
        world.engine.failures = [failure]
        await world.settled()
        lists, world.postings.lists = world.postings.lists, None  # as after a start
        assert lists.count == 9
        world.engine.failures = [failure, failure]
        world.refill()
        world.posts(3)
        await world.settled()
        assert world.engine.failures == []


async def test_terms_that_do_not_belong_together_are_asked_for_again():
    async with running(before=3) as world:
        ids = sorted(world.searchable())
        world.engine.failures = [[[ids[0], "en", 3, [WORD, "a"], [1], []]]]
        await world.settled()
        assert world.engine.failures == []


# ---- moves -----------------------------------------------------------------------------------------------------------


async def test_accounts_that_move_away_and_back_take_their_tweets_along():
    core = Moving(2)
    here, there = [core.account_on(0, n) for n in range(3)], core.account_on(1)
    core.register(*here, there)

    def post_all():
        for account in (*here, there):
            core.post(account, f"{WORD} of {account}")

    for _ in range(4):
        post_all()
    async with running(core) as world:
        await world.settled()
        assert len(world.found()) == 12
        for target, account, wanted in ((1, here[0], 10), (0, there, 18), (0, here[0], 28), (1, there, 24)):
            core.move(target, account)
            post_all()
            await world.settled()
            authors = {world.state.tweets.get(tweet_id).author_id for tweet_id in world.found()}
            assert (account in authors) == (target == 0)
            assert len(world.found()) == wanted
        core.check()


async def test_an_account_that_comes_while_the_lists_are_filled_is_found():
    core = Moving(2)
    here, there = core.account_on(0), core.account_on(1)
    core.register(here, there)
    for _ in range(6):
        core.post(there, f"{WORD} there")
        core.post(here, f"{WORD} here")
    async with running(core) as world:
        world.engine.hold()
        await world.eventually(lambda: world.engine.asked)
        core.move(0, there)
        core.post(there, f"{WORD} at last")
        await world.turns(5)
        world.engine.release()
        await world.settled()
        assert len(world.found()) == 13


# ---- figures ---------------------------------------------------------------------------------------------------------


async def test_figures_tell_what_there_is():
    world = World()
    ids = world.posts(9)
    assert world.postings.figures() == {"state": "empty"}
    assert whole(world.postings.newest(["word", WORD], 0, 0, 5)) is None
    assert whole(world.postings.best(["word", WORD], 0, 5, NOBODY, Weights())) is None
    world.start()
    world.engine.hold()
    await world.eventually(lambda: world.engine.asked)
    assert world.postings.figures()["state"] == "filling"
    filled: list[bool] = []
    world.postings.filled = lambda: filled.append(world.postings.lists is not None)
    world.engine.release()
    await world.settled()
    assert filled == [True]
    world.delete(ids[0])
    await world.settled()
    before = world.postings.answered_count
    assert whole(world.postings.newest(["word", WORD], ids[3], 0, 5)).ids == [ids[2], ids[1], ids[0]]
    assert whole(world.postings.newest(["and", ["word", WORD], ["ids", 0, ids[2]]], ids[3], 0, 1)).ids == [ids[1]]
    assert whole(world.postings.newest(["word", "nosuch"], 0, 0, 5)).ids == []
    assert whole(world.postings.newest(["tag", "nosuch"], 0, 0, 5)).ids == []
    assert whole(world.postings.newest(["phrase", [WORD]], 0, 0, 5)) is None
    newer = {
        min_id: whole(world.postings.newest(["word", WORD], 0, min_id, 2)).ids for min_id in (ids[0], ids[-2], ids[-1])
    }
    assert newer == {ids[0]: ids[2:0:-1], ids[-2]: ids[-1:], ids[-1]: []}
    figures = world.postings.figures()
    assert {name: figures[name] for name in ("state", "tweets", "gone", "answered", "fills")} == {
        "state": "ready", "tweets": 9, "gone": 1, "answered": before + 7, "fills": 1,
    }  # fmt: skip
    assert figures["terms"] == world.postings.lists.term_count >= 11
    assert figures["bytes"] == world.postings.lists.nbytes()
    await world.stop()


# ---- anything --------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        *[st.tuples(st.just("post"), st.integers(1, 3))] * 3,
        st.tuples(
            st.sampled_from([
                "delete", "hidden", "repost", "hold", "release", "hold commits", "release commits", "lose", "all",
                "stop", "start", "refill", "disconnect", "garbage", "timeout",
            ]),
            st.integers(0, 9),
        ),
        *[st.tuples(st.just("turns"), st.integers(1, 12))] * 3,
    ),
    max_size=40,
)  # fmt: skip


async def do(world: World, step: str, n: int) -> None:
    ids = sorted(world.searchable())
    if step == "post":
        world.posts(n)
    elif step == "delete" and ids:
        world.delete(*{ids[(n * 7 + i) % len(ids)] for i in range(n)})
    elif step == "hidden":
        world.post(visibility=1)
    elif step == "repost" and ids and ids[n % len(ids)] not in world.state.reposts.get(world.core.row_of(2), {}):
        world.core.repost(2, ids[n % len(ids)])
    elif step in ("hold", "release"):
        getattr(world.engine, step)()
    elif step in ("hold commits", "release commits"):
        getattr(world, step.replace(" ", "_"))()
    elif step == "lose":
        world.loses += 1
    elif step == "all" and world.state.news is not None:
        world.state.news.all()
    elif step == "stop":
        await world.stop()
    elif step == "start":
        await world.stop()
        world.start()
    elif step == "refill":
        world.refill()
    elif step in ("disconnect", "garbage", "timeout"):
        world.engine.failures.append(
            {"disconnect": LaneDisconnected("gone"), "garbage": [[5]], "timeout": LaneTimeout("late")}[step]
        )
    elif step == "turns":
        await world.turns(n)


@settings(max_examples=60)
@given(before=st.integers(0, 14), steps=STEPS, buffer_max=st.sampled_from([4, 100]))
def test_whatever_happens_all_is_found_and_nothing_else(before, steps, buffer_max):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("BUFFER_MAX", buffer_max), ("GONE_MIN", 2), ("RETRY_S", 0.0), ("FILL_ROWS", 3)):
            patch.setattr(search_postings, name, value)
        asyncio.run(live(before, steps))


async def live(before: int, steps: list[tuple[str, int]]) -> None:
    async with running(before=before) as world:
        for step, n in steps:
            await do(world, step, n)
        world.engine.release()
        world.release_commits()
        world.engine.failures, world.loses = [], 0
        await world.stop()
        world.start()
        await world.settled()
