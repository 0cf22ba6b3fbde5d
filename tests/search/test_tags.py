"""Rings of hashtags against a twin that sorts everything anew for each page."""

from __future__ import annotations

import random

import pytest

from actors.search import tags
from actors.search.tags import TagRings, Wanted

TAGS = ("a", "b", "c")


class Twin:
    """All tweets that were fed, and those that the index finds since the last commit."""

    def __init__(self) -> None:
        self.fed: dict[int, tuple[str, ...]] = {}
        self.indexed: dict[int, tuple[str, ...]] = {}

    def newest(self, tag: str, count: int) -> list[int]:
        return sorted((i for i, has in self.indexed.items() if tag in has), reverse=True)[:count]

    def search(self, tree: list, max_id: int, count: int, min_id: int) -> list[int]:
        found = sorted(i for i, has in self.indexed.items() if holds(tree, has))
        if min_id:
            return [i for i in found if i > min_id and (not max_id or i < max_id)][:count][::-1]
        return [i for i in found if not max_id or i < max_id][::-1][:count]

    def page(self, wanted: Wanted, max_id: int, min_id: int, count: int) -> list[int]:
        found = sorted(i for i, has in self.fed.items() if holds(wanted.tree(), has))
        if min_id:
            return [i for i in found if i > min_id and (not max_id or i < max_id)][:count][::-1]
        return [i for i in found if not max_id or i < max_id][::-1][:count]


def holds(tree: list, has: tuple[str, ...]) -> bool:
    """Evaluate a tree of hashtags."""
    kind, *rest = tree
    if kind == "tag":
        return rest[0] in has
    if kind == "not":
        return not holds(rest[0], has)
    return (all if kind == "and" else any)(holds(each, has) for each in rest)


@pytest.mark.parametrize("seed", range(40))
def test_every_page_is_what_sorting_everything_gives(seed, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(tags, "RING_COUNT", rng.choice([1, 3, 10]))
    monkeypatch.setattr(tags, "RINGS_MAX", rng.choice([1, 2, 10]))
    twin, seq = Twin(), 0
    rings = TagRings(twin.newest, twin.search)
    for _ in range(300):
        act = rng.random()
        if act < 0.5:
            seq += 1
            tweet_id = rng.choice([seq * 10, rng.randrange(1, seq * 10 + 2)])  # mostly newer, some late
            has = tuple(tag for tag in TAGS if rng.random() < 0.5)
            if tweet_id in twin.fed:
                continue
            twin.fed[tweet_id] = has
            rings.add(seq, tweet_id, has)
        elif act < 0.6 and twin.fed:
            gone = rng.choice(list(twin.fed))
            del twin.fed[gone]
            twin.indexed.pop(gone, None)
            rings.remove([gone])
        elif act < 0.65 and twin.fed:
            seq += 1
            edited = rng.choice(list(twin.fed))
            twin.fed[edited] = tuple(tag for tag in TAGS if rng.random() < 0.4)
            rings.edit(seq, edited, twin.fed[edited])
        elif act < 0.75:
            twin.indexed = dict(twin.fed)
            rings.committed(seq)
        else:
            wanted = Wanted(
                tuple(rng.sample(TAGS, rng.choice([1, 1, 2]))), tuple(rng.sample(TAGS, rng.choice([0, 0, 1]))),
                tuple(rng.sample(TAGS, rng.choice([0, 0, 1]))),
            )  # fmt: skip
            twin.indexed = dict(twin.fed)  # what lies below a floor is found only once it is committed
            rings.committed(seq)
            bound = rng.choice([0, rng.randrange(1, seq * 10 + 20)])
            as_min = rng.random() < 0.4
            other = rng.choice([0, rng.randrange(1, seq * 10 + 20)])
            args = (other, bound) if as_min else (bound, 0)
            assert rings.page(wanted, *args, 5) == twin.page(wanted, *args, 5), (wanted, args)
        assert not rings.check()
    assert len(rings) <= tags.RINGS_MAX


def test_a_tweet_is_in_a_ring_before_the_index_finds_it():
    twin = Twin()
    rings = TagRings(twin.newest, twin.search)
    rings.add(1, 7, ["a"])
    assert rings.page(Wanted(("a",), (), ()), 0, 0, 5) == [7]
    rings.add(2, 9, ["a"])
    assert rings.page(Wanted(("a",), (), ()), 0, 0, 5) == [9, 7]


def test_a_ring_that_is_made_before_the_index_knows_of_an_edit_follows_it():
    twin = Twin()
    rings = TagRings(twin.newest, twin.search)
    twin.indexed = {7: ("a",), 9: ("a",)}
    rings.edit(1, 7, ["b"])
    assert rings.page(Wanted(("a",), (), ()), 0, 0, 5) == [9]
    assert rings.page(Wanted(("b",), (), ()), 0, 0, 5) == [7]
