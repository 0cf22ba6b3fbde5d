"""The parts of the scenarios: who follows whom, what Redis is made to do, when everything counts as delivered."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import numpy as np
import pytest

from bench.dataset import make_network
from bench.peer_redis import homes_of, redis_server
from bench.processes import BenchError
from bench.redis_fanout import CHUNK_POSTS, RedisFanOut
from bench.scenarios import Options, counting, stream
from bench.scenarios.celebrity import OTHERS_FOLLOWERS, PARTS, make_cast
from bench.scenarios.fanout import MEANS, make_cases
from bench.scenarios.lane import RedisBenchmark, compare, fill_redis, home_key
from tests.components import needs_program

needs_redis = needs_program("redis-server")


# ---- who follows whom -------------------------------------------------------------------------------------------


def test_the_average_post_has_as_many_followers_as_the_case_says():
    cases = make_cases(2_000, 50)
    for case, mean in zip(cases, MEANS, strict=True):
        assert 0.98 * mean < sum(map(len, case.followers)) / len(case.followers) < 1.02 * mean
        for author, followers in zip(case.authors.tolist(), case.followers, strict=True):
            assert author not in followers
            assert len(set(followers.tolist())) == len(followers)
    assert not set(cases[0].authors.tolist()) & set(cases[1].authors.tolist())


def test_authors_are_drawn_for_ever_and_the_same_again():
    case = make_cases(1_000, 30)[0]
    first, second = (list(itertools.islice(case.choose(4), 10_000)) for _ in range(2))
    assert first == second
    assert set(first) == set(range(30))


def test_celebrities_are_followed_by_parts_of_everybody_and_the_pulled_one_by_one_more():
    cast = make_cast(1_000, 5)
    assert sorted(cast.pushed) == sorted(1_000 // part for part in PARTS)
    assert len(cast.everybody) == 1_001
    assert len(set(cast.accounts)) == len(cast.accounts) == 1_001 + len(PARTS) + 1 + 5
    assert cast.accounts != sorted(cast.accounts)
    assert len(cast.others_followers) == 5 * OTHERS_FOLLOWERS


# ---- Redis ------------------------------------------------------------------------------------------------------


@needs_redis
def test_both_ways_of_redis_bring_a_post_to_every_follower(tmp_path):
    audience = [np.array([1, 2, 3]), np.array([3, 4])]
    with redis_server(tmp_path) as (path, store):
        fan_out = RedisFanOut(path, store, "x", audience)
        try:
            pushed = fan_out.pipelined(iter([0, *[1] * 100_000]), 0.02)
            lengths = [store.llen(f"home:{account}") for account in (1, 2, 3, 4)]
            store.delete(*(f"home:{account}" for account in (1, 2, 3, 4)))
            scripted = fan_out.lua(itertools.repeat(0), 0.02)
        finally:
            fan_out.close()
        assert pushed.deliveries == 3 + 2 * (pushed.tweets - 1)
        assert lengths == [1, 1, min(800, pushed.tweets), min(800, pushed.tweets - 1)]
        assert scripted.tweets % CHUNK_POSTS == 0
        assert scripted.deliveries == 3 * scripted.tweets
        assert store.llen("home:1") == min(800, scripted.tweets)
        newest, older = (int(entry) for entry in store.lrange("home:1", 0, 1))
        assert newest == older + 1


@needs_redis
def test_redis_holds_what_is_compared_and_answers_its_own_client(tmp_path):
    network = make_network(20, 5, 100)
    tweets = [(number + 10**17, author, b'{"x": 1}') for number, (author, _) in enumerate(network.tweets)]
    account = int(network.accounts[3])
    newest = homes_of(network, tweets)[account][-20:][::-1]
    page = b"[" + b",".join(b'{"tweet_id": "%d"}' % tweet_id for tweet_id in newest) + b"]"
    with redis_server(tmp_path) as (path, store):
        fill_redis(store, network, tweets)
        assert compare(store, {account: home_key(3)}, {account: page}) == len(page)
        with pytest.raises(BenchError, match="differ"):
            compare(store, {account: home_key(3)}, {account: b"[]"})
        reads = RedisBenchmark(path, 20, 100).home_reads(4, 0.05)
        assert store.info("commandstats")["cmdstat_mget"]["calls"] > 0
    assert reads.per_second == pytest.approx(1 / (1 / reads.lrange_per_second + 1 / reads.mget_per_second))


# ---- ours -------------------------------------------------------------------------------------------------------


def test_long_work_is_reported_by_tenths():
    said: list[str] = []
    count = counting(said.append, "waking", 1_000)
    for more in (50, 49, 1, 250, 650):
        count(more)
    assert said == ["waking: 100 of 1,000", "waking: 350 of 1,000", "waking: 1,000 of 1,000"]


def test_parts_of_stream_are_chosen_by_name_and_what_has_been_found_is_kept_after_each(tmp_path, monkeypatch):
    said: list[object] = []
    for part in ("idle", "deliveries", "home_reads", "favourites"):
        monkeypatch.setattr(stream, f"measure_{part}", lambda *_, part=part: said.append(part))
    monkeypatch.setattr(stream, "staged", lambda _, __, workers, *___: nullcontext(said.append(workers)))
    monkeypatch.setattr(stream, "audience", lambda *_: nullcontext())

    def run(*parts: str) -> list[object]:
        said.clear()
        result = stream.run(Options(tmp_path, parts=parts, keep=lambda _: said.append("kept")), lambda _: None)
        assert result.to_json()["plots"] == []  # nothing to be drawn
        return [each for before, each in itertools.pairwise([None, *said]) if each != "kept" or before != "kept"]

    assert run("idle") == [3, "idle", "kept"]
    assert run("favourites", "reads") == [1, "home_reads", "kept", "favourites", "kept"]
    assert run("deliveries") == [1, *["deliveries", "kept"] * 3, 3, *["deliveries", "kept"] * 2]
    assert len(run()) == 3 * 2 + 2 * 2 + 1 + 1 + 2 + 2 * 2
    with pytest.raises(BenchError, match="favourites, idle, reads, and not home"):
        run("home")


# ---- clusters ---------------------------------------------------------------------------------------------------


def test_a_scenario_has_a_cluster_of_its_own_unless_it_is_given_others(tmp_path, monkeypatch):
    def started(*asked):
        return "started", *asked

    def shared(*asked):
        return "shared", *asked

    monkeypatch.setattr("bench.rookery.rookery_cluster", started)
    own = Options(tmp_path)
    assert own.cluster(2) == ("started", tmp_path, 2, "token", (), "")
    assert own.cluster(1, ["a=b"], "open", tmp_path / "x", "n") == ("started", tmp_path / "x", 1, "open", ["a=b"], "n")
    assert Options(tmp_path, clusters=shared).cluster(4) == ("shared", tmp_path, 4, "token", (), "")
