"""The networks that are measured with are what they say."""

from __future__ import annotations

import numpy as np

from bench.dataset import draw_audience, heavy_tailed, load_graph, make_network


def test_a_network_is_a_function_of_its_seed():
    first, second, other = (make_network(300, 20, 50, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.followees, second.followees)
    assert first.tweets == second.tweets
    assert not np.array_equal(first.followees[:100], other.followees[:100])


def test_accounts_follow_as_many_others_as_asked_and_never_themselves():
    network = make_network(1_000, 30, 10)
    pairs = set(zip(network.followers.tolist(), network.followees.tolist(), strict=True))
    assert len(pairs) == len(network.followers)
    assert all(u != v for u, v in pairs)
    assert 0.9 * 30 < len(pairs) / 1_000 < 1.1 * 30
    most = max(len(followers) for followers in network.followers_of().values())
    assert most > 4 * 30  # the tail is heavy


def test_the_synthetic_graph_has_no_doubles_and_no_loops():
    name, followers, followees = load_graph(None, 0.02)
    assert "synthetic" in name
    assert len(set(zip(followers.tolist(), followees.tolist(), strict=True))) == len(followers)
    assert not (followers == followees).any()
    assert min(followers.min(), followees.min()) >= 1


def test_a_graph_file_is_read_in_part(tmp_path):
    file = tmp_path / "edges.txt"
    file.write_text("1 2\n3 4\n5 6\n7 8\n")
    _, followers, followees = load_graph(file, 0.5)
    assert followers.tolist() == [1, 3]
    assert followees.tolist() == [2, 4]


def test_numbers_of_followers_are_heavy_tailed_with_the_mean_asked_for():
    counts = heavy_tailed(2_000, 403, 9_000)
    assert 402 < counts.mean() < 404
    assert counts.max() > 10 * counts.mean()
    assert heavy_tailed(2_000, 403, 1_000).max() == 1_000  # what is cut off goes to the others
    assert 402 < heavy_tailed(2_000, 403, 1_000).mean() < 404


def test_an_audience_holds_nobody_twice():
    places, drawn = draw_audience(np.random.default_rng(1), 50, np.array([50, 1, 20]))
    assert np.bincount(places).tolist() == [50, 1, 20]
    assert all(len(set(drawn[places == i].tolist())) == count for i, count in enumerate([50, 1, 20]))
    assert drawn.min() >= 0
    assert drawn.max() < 50
