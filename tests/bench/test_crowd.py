"""Crowds are what they say: who follows whom, slice by slice the same again, and whose timelines hold what."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from actors.core.errors import OverloadedError
from bench.crowd import AUTHORS, GROUP_ACCOUNTS, LENGTH, ROUNDS_FULL, Crowd, make_posts, timeline_of
from bench.dataset import FIRST_ACCOUNT_ID
from bench.processes import BenchError
from bench.scenarios import Options
from bench.scenarios.memory import FULL, LIGHT, STRUCTURES, Look, Measured, peak_rss_bytes
from bench.scenarios.recovery import _wait_for, entries_of
from bench.scenarios.scale import Case, Writers, make_cases
from commands.oracle import Fact, NetworkFacts

CROWD = Crowd(12_000, 30)  # two groups, of 5,000 and 7,000


def edges_of(crowd: Crowd) -> list[tuple[int, int]]:
    return [pair for slice_ in crowd.slices() for pair in zip(*(side.tolist() for side in slice_), strict=True)]


def test_a_crowd_follows_about_as_many_as_asked_nobody_twice_and_nobody_oneself():
    edges = edges_of(CROWD)
    assert len(set(edges)) == len(edges)
    assert all(u != v and u in CROWD.ids and v in CROWD.ids for u, v in edges)
    assert 30 <= len(edges) / CROWD.accounts < 33


def test_slices_are_the_same_when_they_are_made_again():
    again = zip(CROWD.slices(), CROWD.slices(), strict=True)
    assert all(np.array_equal(a, b) for first, second in again for a, b in zip(first, second, strict=True))


def test_an_account_follows_the_authors_of_its_own_group_and_no_others():
    following: dict[int, set[int]] = {}
    for u, v in edges_of(CROWD):
        following.setdefault(u, set()).add(v)
    authors = set(CROWD.authors)
    assert len(authors) == AUTHORS * CROWD.groups == 2 * AUTHORS
    for account in CROWD.ids:
        assert sorted(following[account] & authors) == CROWD.authors_of(account)
    assert CROWD.authors_of(FIRST_ACCOUNT_ID + CROWD.accounts - 1)[0] == FIRST_ACCOUNT_ID + GROUP_ACCOUNTS


def test_no_group_is_large_enough_for_pull_authors():
    for accounts in (100, 9_999, 10_000, 14_999, 15_000):
        crowd = Crowd(accounts, 10)
        followers, _ = crowd.followers()
        assert followers[[a - FIRST_ACCOUNT_ID for a in crowd.authors]].max() < 10_000


def test_half_of_the_readers_are_awake_and_no_author_is():
    assert len(CROWD.awake) == pytest.approx(CROWD.accounts / 2, rel=0.01)
    assert not set(CROWD.awake) & set(CROWD.authors)


def test_some_accounts_follow_fewer_authors_if_told_so():
    crowd = Crowd(1_000, 20, authors_least=3)
    assert {len(crowd.authors_of(account)) for account in crowd.awake} == {3, 4, 5}
    lengths = {min(LENGTH, len(crowd.authors_of(account)) * ROUNDS_FULL) for account in crowd.awake}
    assert lengths == {540, 720, 800}
    total = sum(min(LENGTH, len(crowd.authors_of(account)) * ROUNDS_FULL) for account in crowd.awake)
    assert entries_of(crowd) == total


def test_timelines_are_those_of_the_definition():
    crowd = Crowd(200, 10, authors_least=3)
    numbers = itertools.count(1)
    posted: dict[int, list[int]] = {}
    for author in crowd.authors * ROUNDS_FULL:
        posted.setdefault(author, []).append(next(numbers))
    facts = NetworkFacts()
    for u, v in edges_of(crowd):
        facts.following.setdefault(u, set()).add(v)
    facts.add_tweets(Fact(i, author, 0, 0, 0, 0) for author, ids in posted.items() for i in ids)
    for account in crowd.ids[::7]:
        assert [i for i, _ in timeline_of(crowd, posted, account)][::-1] == facts.home(account, LENGTH)


def test_no_two_posts_are_the_same():
    first, second = make_posts([1, 2]), make_posts([1, 2])
    assert [post.author_id for post in first] == [1, 2]
    assert len({post.key for post in first + second}) == 4


# ---- memory: quotients ------------------------------------------------------------------------------------------


def look(accounts: int, edges: int, awake: int, ring_bytes: int, uss: int) -> Look:
    return Look(accounts, edges, awake, dict.fromkeys(STRUCTURES, 0) | {"ring_bytes": ring_bytes}, 2 * uss, uss, 0)


def measured(**phases: Look) -> Measured:
    found = Measured(CROWD, None, lambda _: None, True)
    found.phases = {phase.replace("_", " "): [one, one] for phase, one in phases.items()}
    return found


def test_a_ring_counts_its_block_its_waste_and_its_own_record():
    found = measured(
        start=look(0, 0, 0, 0, 10**7), accounts=look(100, 0, 0, 3_200, 10**7), light_ring=look(100, 0, 50, 6_400, 10**7)
    )
    assert found.ring(LIGHT).median == (6_400 - 3_200) / 50 + 32


def test_what_others_have_in_the_cluster_from_the_start_on_is_not_counted():
    found = measured(
        start=look(40, 9, 30, 5_000, 10**7), accounts=look(140, 9, 30, 8_200, 10**7),
        light_ring=look(140, 9, 80, 11_400, 10**7),
    )  # fmt: skip
    assert found.ring(LIGHT).median == (11_400 - 8_200) / 50 + 32


def test_a_process_that_hardly_grew_says_nothing():
    found = measured(start=look(0, 0, 0, 0, 10**7), full_ring=look(100, 0, 50, 0, 10**7 + 999_999))
    assert found.resident("start", FULL, lambda s: s.awake) is None
    found = measured(start=look(0, 0, 0, 0, 10**7), full_ring=look(100, 0, 50, 0, 3 * 10**7))
    assert found.resident("start", FULL, lambda s: s.awake).median == 2 * 10**7 / 50
    assert sum(found.rss.values()) == 2 * (2 * 10**7 + 6 * 10**7)


async def test_accounts_that_lost_their_rings_are_found():
    found = measured(start=look(9, 0, 9, 0, 10**7), full_ring=look(6_000, 0, 17, 0, 10**7))
    with pytest.raises(BenchError, match="should be awake"):
        await found._see_full(None)


def test_a_process_that_is_gone_has_no_peak():
    assert peak_rss_bytes(0) == 0


# ---- recovery ---------------------------------------------------------------------------------------------------


class Answers:
    """A lane whose shard answers these one after the other; None: it is too busy."""

    def __init__(self, *answers: list[int] | None) -> None:
        self.answers = list(answers)

    async def request(self, op: str, args: list[int], timeout_s: float) -> list[int]:
        assert (op, args) == ("home_ids", [7, 0, LENGTH])
        answer = self.answers.pop(0)
        if answer is None:
            raise OverloadedError("busy")
        return answer


async def test_a_timeline_is_back_when_nothing_is_missing_any_more():
    assert not await _wait_for(Answers(None, [3, 2, 1]), 7, [3, 2, 1])
    lane = Answers([3, 1], None, [3, 1], [3, 2, 1])
    assert await _wait_for(lane, 7, [3, 2, 1])
    assert lane.answers == []


async def test_a_timeline_that_stays_different_is_an_error(monkeypatch):
    monkeypatch.setattr("bench.scenarios.recovery.LAG_TIMEOUT_S", -1.0)
    with pytest.raises(BenchError, match="1 of 3 entries are gone"):
        await _wait_for(Answers([3, 1]), 7, [3, 2, 1])


# ---- scale ------------------------------------------------------------------------------------------------------


def test_the_deliveries_of_random_writers_follow_from_the_graph():
    crowd = Crowd(300, 20)
    writers = Writers(crowd)
    chosen = list(itertools.islice(writers.draw(), 50))
    awake, edges = set(crowd.awake), edges_of(crowd)
    expected = sum((author in awake) + sum(v == author and u in awake for u, v in edges) for author in chosen)
    assert writers.deliveries(chosen) == expected


def test_shards_vary_at_the_least_size_and_sizes_at_two_shards(tmp_path):
    by_shards, by_accounts = make_cases(Options(tmp_path, accounts=1_000_000))
    assert by_shards == [Case(shards, 10_000) for shards in (1, 2, 4, 8)]
    assert by_accounts == [Case(2, accounts) for accounts in (10_000, 100_000, 1_000_000)]
    assert Case(1, 500).title == "1 shard, 500 accounts"
