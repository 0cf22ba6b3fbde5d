"""Histograms, snapshots and the table of figures. What arrives at Ray, tests/cluster/test_real_ray.py says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from actors.metrics import ShardMetrics
from actors.metrics.figure import SECONDS_BOUNDS, SOURCE_LABELS, Figure, Histogram, Told
from actors.metrics.ray_export import OBSERVATION_COUNT_MAX, _thin
from actors.metrics.shard_rows import SHARD_FIGURES
from actors.metrics.table import FIGURES
from actors.metrics.text import LINES_A_STEP, text_steps
from tests.figures import text_of

TESTS = Path(__file__).parents[1]


def test_a_value_on_a_bound_belongs_to_the_bucket_below():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert (histogram.count, histogram.sum) == (5, 7.5)


def test_a_quantile_is_the_bound_of_its_bucket_and_zero_when_empty():
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.quantile(0.99) == 0.0
    for value in (0.5, 0.6, 3.0):
        histogram.observe(value)
    assert (histogram.quantile(0.5), histogram.quantile(0.99)) == (1.0, 4.0)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=21))
def test_thinning_keeps_small_counts_and_every_bucket_that_has_values(counts):
    thinned = _thin(counts, OBSERVATION_COUNT_MAX)
    assert [bool(count) for count in thinned] == [bool(count) for count in counts]
    assert sum(thinned) <= OBSERVATION_COUNT_MAX + len(counts)
    if sum(counts) <= OBSERVATION_COUNT_MAX:
        assert thinned == counts


# ---- the table ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_a_row_is_as_prometheus_wants_it(figure):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", figure.name)
    assert figure.text[0].islower() or figure.text[0].isdigit(), "a sentence goes on"
    assert "\n" not in figure.text
    assert not figure.text.endswith(".")
    assert figure.name.endswith("_total") == (figure.kind == "counter")
    of_unit = {"seconds": ("_seconds",), "bytes": ("_bytes",), "": ()}[figure.unit]
    bare = figure.name.removesuffix("_total")
    assert bare.endswith(of_unit) if of_unit else not bare.endswith(("_seconds", "_bytes"))
    assert bool(figure.bounds) == (figure.kind == "histogram")
    assert len(set(figure.all_labels)) == len(figure.all_labels)
    assert "le" not in figure.all_labels
    assert not any(re.search(r"\d", label) for label in figure.all_labels)
    assert all(len(values) <= len(figure.labels) for values in figure.held.values())


def test_a_figure_is_declared_once():
    counts = Counter(figure.name for figure in FIGURES)
    assert [name for name, count in counts.items() if count > 1] == []


def test_all_that_a_shard_counts_is_in_a_row_and_a_row_shows_nothing_else():
    shown = [key for figure in SHARD_FIGURES for key in figure.held]
    assert sorted(shown) == sorted(each.name for each in fields(ShardMetrics))


def test_each_figure_is_proven_by_a_test_that_names_it():
    """It must hold the figure's name as a test writes it: `"NAME"`, `"NAME{...`, of histograms `"NAME_count`."""
    bodies: dict[str, str] = {}
    for path in TESTS.rglob("test_*.py"):
        for part in re.split(r"^(?:async )?def test_", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            bodies[part.partition("(")[0]] = part
    unproven = [
        figure.name
        for figure in FIGURES
        if not re.search(rf"\b{figure.name}(_count|_sum)?(\{{|\")", bodies.get(figure.proven, ""))
    ]
    assert unproven == []


# ---- from a snapshot to the text ----------------------------------------------------------------------------------


def by_name(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_buckets_in_the_text_are_cumulative_and_agree_with_the_values(values):
    metrics = ShardMetrics()
    for value in values:
        metrics.read_seconds.observe(value)
    found = by_name(text_of([Told("shard", ("0", "1"), metrics.snapshot())]))
    name = "rookery_read_duration_seconds"
    for bound in SECONDS_BOUNDS:
        in_bucket = found[f"{name}_bucket", f"le={bound:g}", "replica=1", "shard=0"]
        assert in_bucket == sum(value <= bound for value in values)
    assert found[f"{name}_bucket", "le=+Inf", "replica=1", "shard=0"] == len(values)
    assert found[f"{name}_count", "replica=1", "shard=0"] == len(values)
    assert found[f"{name}_sum", "replica=1", "shard=0"] == pytest.approx(sum(values))


def test_prometheus_can_read_the_text_with_a_line_per_replica_after_any_travel():
    busy, idle = ShardMetrics(reads=3, primary=1), ShardMetrics()
    busy.refusals.update(conflict=2)
    busy.outbox_messages = {"1": 7}
    told = [Told("shard", ("0", "0"), busy.snapshot()), Told("shard", ("1", "0"), idle.snapshot())]
    wire = msgpack.unpackb(msgpack.packb(told))
    found = by_name(text_of(map(Told.from_wire, wire)))
    assert found == by_name(text_of(told))
    assert found["rookery_requests_total", "class=read", "replica=0", "shard=0"] == 3
    assert found["rookery_requests_total", "class=read", "replica=0", "shard=1"] == 0
    assert found["rookery_primary", "replica=0", "shard=0"] == 1
    assert found["rookery_refusals_total", "code=conflict", "replica=0", "shard=0"] == 2
    assert found["rookery_outbox_messages", "replica=0", "shard=0", "to=1"] == 7


@pytest.mark.parametrize(
    "samples",
    [7, None, "text", [7], [[["a"], 1, 2]], [[["one", "two"], 1]], [[["read"], "many"]], [["read"]], {"read": 1}],
    ids=repr,
)
def test_samples_of_another_shape_cost_their_figure_a_line_and_never_the_scrape(samples):
    """Another version's, in the middle of a `roll`."""
    told = [
        Told("shard", ("0", "0"), {"requests_total": samples, "read_duration_seconds": samples, "accounts": [[[], 5]]})
    ]
    found = by_name(text_of(told))
    assert found == {("rookery_accounts", "replica=0", "shard=0"): 5}


def test_a_histogram_with_other_buckets_is_left_out():
    told = [Told("shard", ("0", "0"), {"read_duration_seconds": [[[], [[1, 2, 3], 0.5]]]})]
    assert text_of(told) == ""


def test_a_labels_value_can_be_any_text():
    told = [Told("process", ('a"b\\c\nd',), {"process_open_fds": [[[], 5]]})]
    ((sample,),) = [family.samples for family in text_string_to_metric_families(text_of(told))]
    assert sample.labels == {"process": 'a"b\\c\nd'}


def test_the_text_comes_in_pieces_of_which_none_is_long():
    figure = Figure("tries_total", "counter", "", "api", "tries", {}, "", ("n",))
    told = [Told("api", ("w",), {"tries_total": [[[str(n)], n] for n in range(1_000)]})]
    pieces = list(text_steps([figure], told))
    assert max(piece.count("\n") for piece in pieces) <= LINES_A_STEP + 2
    assert len(by_name("".join(pieces))) == 1_000


def test_every_source_has_labels_that_say_who_it_is():
    assert {figure.source for figure in FIGURES} == set(SOURCE_LABELS)
