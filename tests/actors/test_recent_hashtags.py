"""Pages of hashtags while the index is behind: what was just posted is there all the same, once, and in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.text.entities import find_entities, pack_entities
from tests.actors.test_search_requests import NOBODY, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.close()


def test_what_the_index_lacks_yet_is_on_a_hashtags_page(world, monkeypatch):
    def tagged(max_id: int, min_id: int, count: int, any_of: str = "finch", all_of: str = "") -> list[int]:
        args = [[any_of], [all_of] if all_of else [], ["gull"], max_id, min_id, count, NOBODY]
        return [row[1] for row in world.ask("tagged", *args)[0]]

    known = [world.post(world.people[0], f"number {n} #finch") for n in range(4)]
    other = world.post(world.people[0], "no hashtag here")
    assert tagged(0, 0, 9) == known[::-1]
    monkeypatch.setattr(world.engine, "feed", lambda: None)  # it lags from here on
    new = world.post(world.people[0], "as #Finch and #auk")
    world.post(world.people[0], "#finch and #gull, #auk")
    text = "has one now #finch"
    world.shards.do("edit", other, world.people[0], text, pack_entities(find_entities(text), {}), [])
    both = [new, other, *known[::-1]]
    assert tagged(0, 0, 9) == both
    assert tagged(0, 0, 9, "auk", "finch") == [new]
    assert tagged(new, 0, 9) == both[1:]
    assert tagged(0, other, 9) == [new]
    assert tagged(0, known[2], 9) == both[:3]
    walked: list[int] = []
    while page := tagged(walked[-1] if walked else 0, 0, 2):
        walked += page
    assert walked == both
    upward: list[int] = []
    while page := tagged(0, upward[0] if upward else known[0], 2):
        upward = page + upward
    assert upward == both[:-1]
