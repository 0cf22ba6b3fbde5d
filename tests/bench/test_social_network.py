"""The made-up social network is what it says, and both sides can read its requests."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pytest

from api.params import split_pairs
from bench.load_generator import path_of
from bench.processes import BenchError
from bench.scenarios.mixed import judge
from bench.social_network import (
    COMPOSE_PATH,
    HOME_PATH,
    OWN_PATH,
    REED98_EDGES,
    REED98_USERS,
    degrees,
    make_friends,
    make_mix,
    make_postings,
)
from commands.checking import Outcome


def test_friends_are_as_many_as_in_reed98_each_pair_once_with_a_heavy_tail():
    a, b = make_friends()
    assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(a) == REED98_EDGES
    assert (a < b).all()
    friends = degrees(a, b)
    assert set(friends) == set(range(REED98_USERS))
    mean = 2 * REED98_EDGES / REED98_USERS
    assert max(friends.values()) > 5 * mean
    assert np.median(list(friends.values())) < 0.85 * mean


def test_friends_are_a_function_of_the_seed():
    first, second, other = (make_friends(200, 1_000, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("edges", [99, 4_951])
def test_more_friendships_than_can_be_drawn_are_refused(edges):
    with pytest.raises(ValueError, match=f"not {edges}"):
        make_friends(100, edges)


def test_the_mix_has_the_published_shares_and_offsets():
    requests = make_mix(50, 4_000)
    assert requests == make_mix(50, 4_000)
    shares = {path: count / 4_000 for path, count in Counter(map(path_of, requests)).items()}
    assert shares == {
        HOME_PATH: pytest.approx(0.6, abs=0.03), OWN_PATH: pytest.approx(0.3, abs=0.03),
        COMPOSE_PATH: pytest.approx(0.1, abs=0.02),
    }  # fmt: skip
    queries = [dict(split_pairs(r.split(b" ")[1].partition(b"?")[2], "")) for r in requests if r.startswith(b"GET")]
    assert {int(query["stop"]) - int(query["start"]) for query in queries} == {10}
    assert {int(query["start"]) for query in queries} == set(range(101))
    assert {int(query["user_id"]) for query in queries} == set(range(50))


def test_posts_have_what_the_published_scripts_put_into_them():
    head, _, body = next(r for r in make_mix(50, 100) if r.startswith(b"POST")).partition(b"\r\n\r\n")
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    form = dict(split_pairs(body, "the form"))
    assert form["username"] == f"username_{form['user_id']}"
    assert len(orjson.loads(form["media_ids"])) == len(orjson.loads(form["media_types"]))
    postings = list(make_postings(200))
    assert 8 < len(postings) / 200 < 12
    for posting in postings:
        first, *rest = posting["text"].split(" ")
        mentions, links = ([word for word in rest if word.startswith(mark)] for mark in ("@", "http://"))
        assert (len(first), {len(link) for link in links}) == (256, {71})
        assert 1 <= len(mentions) <= 6
        assert 1 <= len(links) <= 6
        assert f"@username_{posting['user_id']}" not in mentions
        assert 1 <= len(orjson.loads(posting["media_ids"])) <= 5


def test_timelines_that_differ_from_their_definition_fail_the_scenario():
    outcome = Outcome(figures={"homes": 2, "home_entries": 30, "tweets": 20})
    assert judge(outcome) == "2 with 30 entries, all as defined (20 posts)"
    outcome.add(["account 5, position 0: expected 7, served the end"])
    with pytest.raises(BenchError, match="account 5, position 0"):
        judge(outcome)
