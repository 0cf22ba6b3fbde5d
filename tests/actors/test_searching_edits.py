"""Edited tweets in search: the real engine beside a real core finds them by what they say now, and by nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from actors.core.entries import pack
from actors.core.postings.lists import whole
from tests.actors.test_searching import WORD, Shard, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHER = "dolphin"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running():
    with tempfile.TemporaryDirectory(prefix="rk-") as directory:
        made = await Shard(Path(directory)).start()
        yield made
        await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def shard(running):
    return await running.without_tweets()


@pytest_asyncio.fixture(loop_scope="module")
async def unstarted(data_dir):
    made = Shard(data_dir)
    yield made
    await made.stop()


def edit(shard: Shard, tweet_id: int, text: str, *tags: str) -> None:
    entities = pack({"hashtags": [[tag, 0, 1] for tag in tags]}) if tags else b""
    shard.core.now_ms += 1
    shard.core.do("edit", tweet_id, 1, text, entities, [])


async def tagged(shard: Shard, tag: str) -> list[int]:
    return await shard.ask("tag", [[tag], [], [], 0, 0, 20], 5.0)


def listed(shard: Shard, *words: str) -> list[int] | None:
    """Return what the posting lists answer; None if that is for the engine."""
    tree: list[Any] = ["and", *(["word", word] for word in words)] if len(words) > 1 else ["word", words[0]]
    found = whole(shard.search.postings.newest(tree, 0, 0, 100))
    return None if found is None else found.ids


async def test_an_edited_tweet_is_found_by_what_it_says_now(shard):
    edited, other = shard.post(f"{WORD} one"), shard.post(f"{WORD} two")
    await shard.lists_find([edited, other])
    edit(shard, edited, f"{OTHER} one")
    await shard.finds([other])
    await shard.finds([edited], ["word", OTHER])
    assert await shard.differs() == {}
    assert len(await shard.indexed()) == 2
    await eventually(lambda: shard.search.postings.lists.edited_ids == {edited})
    assert listed(shard, OTHER) is None, "the engine has it as it is"
    assert listed(shard, WORD) is None, "the lists have it as it was"
    assert listed(shard, "two") == [other]
    edit(shard, edited, f"{WORD} again")
    await shard.finds([edited, other])
    await shard.finds([], ["word", OTHER])


async def test_reposts_follow_their_originals_text(shard):
    original = shard.post(f"{WORD} one")
    repost = shard.core.repost(2, original)
    await shard.finds([repost], ["and", ["word", WORD], ["is", "repost"]])
    edit(shard, original, f"{OTHER} one")
    await shard.finds([repost], ["and", ["word", OTHER], ["is", "repost"]])
    await shard.finds([], ["and", ["word", WORD], ["is", "repost"]])


async def test_timelines_of_hashtags_follow(shard):
    edited, other = (shard.core.post(1, f"{WORD} {n}") for n in range(2))
    await shard.finds([edited, other])
    assert await tagged(shard, "sea") == []
    edit(shard, edited, f"{WORD} at #sea", "sea")
    await shard.finds([edited], ["tag", "sea"])
    assert await tagged(shard, "sea") == [edited]
    edit(shard, edited, f"{WORD} ashore #land", "land")
    await shard.finds([edited], ["tag", "land"])
    assert (await tagged(shard, "sea"), await tagged(shard, "land")) == ([], [edited])


async def test_what_was_edited_while_the_engine_was_away_is_found_as_it_is(unstarted):
    ids = [unstarted.post(f"{WORD} {n}") for n in range(20)]
    repost = unstarted.core.repost(2, ids[3])
    await unstarted.start()
    await unstarted.lists_find(ids)
    await eventually(lambda: "pid" in unstarted.search.facts)
    os.kill(unstarted.search.facts["pid"], signal.SIGKILL)
    unstarted.search.facts = {}
    await eventually(lambda: unstarted.search._lane is None)
    edit(unstarted, ids[3], f"{OTHER} three")
    await unstarted.ready(starts=2)
    await unstarted.finds([ids[3]], ["word", OTHER])
    await unstarted.finds([repost], ["and", ["word", OTHER], ["is", "repost"]])
    await unstarted.finds([each for each in ids if each != ids[3]])
    await eventually(lambda: unstarted.search.postings.lists is not None and listed(unstarted, OTHER) is None)
    assert listed(unstarted, "7") == [ids[7]]
    os.kill(unstarted.search.facts["pid"], signal.SIGKILL)
    await eventually(lambda: unstarted.search._lane is None)
    shutil.rmtree(unstarted.directory)
    await unstarted.ready(starts=3)
    await unstarted.finds([ids[3]], ["word", OTHER])
