"""Every plot of a result becomes an SVG and a PNG beside its JSON, with its units, contestants and origin on it."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import pytest

from bench.pairs import Spread
from bench.results import Plot, Result

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def plots() -> ModuleType:
    """Return what draws. Not imported above: each worker of the tests would, and its Matplotlib takes 0.3 s."""
    return importlib.import_module("bench.plots")


def a_plot(**scales: bool) -> Plot:
    plot = Plot("latency", "Latency by clients", "clients", "latency (us)", **scales)
    for clients in (32, 1, 8):  # in any order
        for name in ("Rookery", "peer"):
            plot.add(name, clients, Spread(10.0 * clients, 5.0 * clients, 20.0 * clients), "p50")
            plot.add(name, clients, Spread(30.0 * clients, 9.0 * clients, 90.0 * clients), "p99")
    plot.add("ceiling", 8, Spread(1.0, 0.5, 2.0))
    return plot


def test_points_of_one_figure_of_one_contestant_are_one_line():
    lines = {(line.contestant, line.figure): line.x for line in a_plot().series}
    assert lines[("Rookery", "p99")] == [32, 1, 8]
    assert lines[("ceiling", "")] == [8]
    assert len(lines) == 5


@pytest.mark.parametrize("scales", [{}, {"x_log": True, "y_log": True}])
def test_a_plot_is_drawn_twice_with_all_its_words(plots, tmp_path, scales):
    svg, png = plots.draw(a_plot(**scales), tmp_path / "read-1.5-latency", "commit abc")
    assert png.name == "read-1.5-latency.png"
    assert png.read_bytes().startswith(PNG_MAGIC)
    text = svg.read_text(encoding="utf-8")
    for word in ("Latency by clients", "clients", "latency (us)", "Rookery, p50", "peer, p99", "ceiling", "commit abc"):
        assert word in text


def test_a_plot_is_a_function_of_its_data(plots, tmp_path):
    first, second = (plots.draw(a_plot(), tmp_path / name, "")[0].read_bytes() for name in "ab")
    assert first == second


def test_a_result_is_saved_with_its_plots_and_where_they_came_from(tmp_path):
    result = Result("x", {})
    result.plot(a_plot())
    result.run["uncommitted_changes"] = True
    path = result.save(tmp_path / "result.json")
    assert {p.name for p in tmp_path.iterdir()} == {"result.json", "result-latency.svg", "result-latency.png"}
    assert json.loads(path.read_text())["plots"][0]["y_label"] == "latency (us)"
    assert result.run["commit"][:10] in result.origin
    assert "uncommitted changes" in result.origin


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (12, "12"), (1500, "1.5k"), (2.5e6, "2.5M"), (0.25, "0.25")])
def test_numbers_are_short(plots, value, text):
    assert plots.shown(value) == text
