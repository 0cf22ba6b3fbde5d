"""The posting lists of a replica, and tweets that were edited: no search that meets one is answered by the lists."""

from __future__ import annotations

import pytest

from actors.core.postings.found import Weights
from actors.core.postings.lists import whole
from actors.shard import search_postings
from tests.actors.postings_world import NOBODY, WORD, running


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few tweets at a time, so that few make many steps."""
    for name, value in (("FILL_ROWS", 4), ("APPEND_ROWS", 3), ("ROWS_PER_TURN", 2), ("RETRY_S", 0.01)):
        monkeypatch.setattr(search_postings, name, value)


async def test_a_search_that_meets_an_edited_tweet_is_the_engines_and_no_other():
    async with running(before=30) as world:
        await world.settled()
        old, new = world.post("yellow"), world.post("green")
        await world.settled()
        world.edit(old, "purple fish")
        await world.eventually(world.is_fed)
        assert (world.listed("yellow"), world.listed("purple"), world.listed(WORD)) == (None, None, None)
        assert (world.listed("green"), world.listed("nosuch")) == ([new], [])
        assert whole(world.postings.best(["word", "purple"], world.core.now_ms, 9, NOBODY, Weights())) is None
        assert world.postings.lists.check() == []
        world.edit(old, "orange fish")
        await world.eventually(world.is_fed)
        assert (world.listed("orange"), world.listed("green")) == (None, [new])


async def test_an_edit_while_the_lists_are_filled_is_not_lost_whether_its_tweet_was_read_before_or_after():
    async with running(before=30) as world:
        ids = sorted(world.searchable())
        for tweet_id in (ids[1], ids[-1], ids[9]):
            asked = len(world.engine.asked)
            world.engine.hold()
            await world.eventually(lambda asked=asked: len(world.engine.asked) > asked)
            world.edit(tweet_id, f"purple {tweet_id}")
            await world.eventually(world.is_fed)
            world.engine.release()
        await world.eventually(lambda: world.postings.lists is not None)
        assert world.listed("purple") is None
        assert set(world.postings.lists.edited_ids) == {ids[1], ids[-1], ids[9]}
        assert world.postings.lists.check() == []


@pytest.mark.parametrize("bound", ["EDITED_MAX", "LATE_MAX"])
async def test_lists_with_too_many_edited_tweets_are_made_anew(monkeypatch, bound):
    monkeypatch.setattr(search_postings, "EDITED_MAX", 2 if bound == "EDITED_MAX" else 100)
    if bound == "LATE_MAX":
        monkeypatch.setattr("actors.core.postings.lists.LATE_MAX", 3)
    async with running(before=12) as world:
        await world.settled()
        ids = sorted(world.searchable())
        for n, tweet_id in enumerate(ids[:5]):
            world.edit(tweet_id, f"purple {n}")
            await world.eventually(world.is_fed)
        await world.eventually(lambda: world.postings.fill_count > 1 and world.postings._target is None)
        await world.eventually(lambda: world.postings.lists is not None)
        assert len(world.postings.lists.edited_ids) <= 3
        assert world.postings.lists.check() == []
