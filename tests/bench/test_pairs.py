"""Contestants alternate, and ratios are taken within a turn."""

from __future__ import annotations

from rich.console import Console

from bench.pairs import Spread, alternate
from bench.results import Claim, Result, Row


def test_the_order_is_reversed_every_other_turn():
    order: list[str] = []
    alternate({name: (lambda _, n=name: order.append(n)) for name in "AB"}, 3, lambda: order.append("|"))
    assert "".join(order) == "|AB|BA|AB"


def test_a_ratio_pairs_the_samples_of_one_turn():
    drift = [1.0, 10.0, 100.0]  # the machine slows down, and both with it
    turns = alternate({"ours": lambda turn: 2 * drift[turn], "theirs": lambda turn: 4 * drift[turn]}, 3)
    assert turns.ratio("ours", "theirs", lambda s: s) == Spread(0.5, 0.5, 0.5)
    assert turns.spread("ours", lambda s: s) == Spread(20.0, 2.0, 200.0)


def test_a_claim_is_judged_by_its_median():
    assert Claim("x", "at_most", 1.0, Spread(1.0, 0.5, 9.0), 2).holds
    assert not Claim("x", "at_least", 1.0, Spread(0.9, 0.5, 9.0), 2).holds


def test_a_result_is_shown_and_kept_with_where_it_came_from(tmp_path):
    result = Result("x", {"pairs": 1}, facts={"graph": "none"})
    result.rows.append(Row("1 client", "Redis", "p50", "us", Spread(1, 1, 1), Spread(0.5, 0.5, 0.5)))
    result.claims.append(Claim("faster", "at_most", 1.0, Spread(0.5, 0.5, 0.5), 2))
    console = Console(record=True, width=120)
    result.show(console)
    text = console.export_text()
    assert "Redis" in text
    assert "holds" in text
    kept = result.to_json()
    assert kept["claims"][0]["holds"] is True
    assert kept["machine"]["cores"]
    assert kept["run"]["command"]
    assert result.save(tmp_path / "result.json").exists()
