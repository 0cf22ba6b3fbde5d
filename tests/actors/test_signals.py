"""Lights and alerts: the console's watch and promtool, given the same courses of figures, say the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path

import pytest

from actors.metrics.signals.expressions import SeriesOf, figures, increase, last, latest, predicted, rate
from actors.metrics.signals.rows import LIGHTS, SIGNALS
from actors.metrics.signals.watch import SignalWatch, lights
from actors.metrics.table import FIGURES
from commands.observability.examples import EXAMPLES, LOOK_S, Example
from commands.observability.panels import BOARDS
from commands.observability.rules import RUNBOOK_PAGE, rules, rules_test
from commands.observability.written import yaml_text
from tests.components import needs_program

BY_NAME = {signal.name: signal for signal in SIGNALS}
PREFIXES = ("rookery_", "ray_rookery_")


class Course:
    """A history made of promtool's notation."""

    def __init__(self, course: Mapping[str, str], every_s: int) -> None:
        self._series: dict[str, list[tuple[dict[str, str], list[tuple[float, float]]]]] = {}
        for text, values in course.items():
            name, labels = name_and_labels(text)
            samples = [(float(n * every_s), value) for n, value in enumerate(numbers_of(values)) if value is not None]
            self._series.setdefault(name, []).append((labels, samples))

    def series(self, name: str, since_s: float, until_s: float) -> Iterator[tuple[dict[str, str], list]]:
        for labels, samples in self._series.get(name, []):
            begin = bisect_left(samples, since_s, key=lambda sample: sample[0])
            yield labels, samples[begin : bisect_right(samples, until_s, key=lambda sample: sample[0])]


def name_and_labels(text: str) -> tuple[str, dict[str, str]]:
    name, _, inner = text.partition("{")
    return name, dict(re.findall(r'(\w+)="([^"]*)"', inner))


def numbers_of(values: str) -> Iterator[float | None]:
    """Yield the numbers of a course; NaN where a figure has gone."""
    for part in values.split():
        if part == "stale":
            yield nan
            continue
        first, step, count = re.fullmatch(r"(-?\d+)([+-]\d+)x(\d+)", part).groups()
        for n in range(int(count) + 1):
            yield float(first) + n * float(step)


def firing_at(example: Example) -> dict[int, list[dict[str, str]]]:
    """Return what the watch says fires at the example's moments. As promtool, it looks every LOOK_S."""
    watch, history = SignalWatch([BY_NAME[example.signal]]), Course(example.course, example.every_s)
    moments = {*example.fires, *example.quiet}
    looks = {
        at_s: [dict(each.labels) for each in watch.look(history, at_s)] for at_s in range(0, max(moments) + 1, LOOK_S)
    }
    return {at_s: looks[at_s // LOOK_S * LOOK_S] for at_s in moments}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.signal)
def test_a_row_fires_in_its_example_and_is_quiet_before_and_after(example):
    expected = {at_s: [dict(labels) for labels in firing] for at_s, firing in example.fires.items()}
    assert firing_at(example) == {**expected, **{at_s: [] for at_s in example.quiet}}


def test_every_row_has_an_example_with_both():
    assert sorted(example.signal for example in EXAMPLES) == sorted(BY_NAME)
    assert all(example.fires and example.quiet for example in EXAMPLES)
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
    assert {signal.light for signal in SIGNALS} == set(LIGHTS)


@needs_program("promtool")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_promtool_says_the_same_of_the_same_courses(tmp_path, prefix):
    (tmp_path / "rules.yml").write_text(yaml_text(rules(prefix, "")))
    (tmp_path / "rules_test.yml").write_text(yaml_text(rules_test(prefix, "")))
    verbs = ["check", "test"] if prefix == PREFIXES[0] else ["check"]  # the other differs in names alone
    for verb in verbs:
        file = "rules.yml" if verb == "check" else "rules_test.yml"
        ran = subprocess.run(
            [shutil.which("promtool"), verb, "rules", file], cwd=tmp_path, capture_output=True, check=False
        )
        assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()


def test_every_figure_of_a_row_is_declared_with_those_labels():
    declared = {figure.name: figure for figure in FIGURES}
    for signal in SIGNALS:
        text = signal.condition.promql("rookery_")
        found = re.findall(r"rookery_(\w+)(?:\{(.*?)\})?", text)
        assert found
        for name, inner in found:
            figure = declared[re.sub(r"_(bucket|count|sum)$", "", name) if name not in declared else name]
            labels = {*figure.all_labels, *(["le"] if figure.kind == "histogram" else [])}
            assert {label for label, _ in re.findall(r'(\w+)(=~|!~|!=|=)"', inner)} <= labels, (signal.name, name)
            assert figure.source != "node", f"{signal.name}: Ray isn't told {name}"
            for bound in re.findall(r'le=~?"([^"]*)"', inner):
                assert bound.removesuffix("(.0)?") in {f"{each:g}" for each in figure.bounds}, (signal.name, bound)


def test_what_a_row_says_names_labels_that_its_condition_leaves():
    for example in EXAMPLES:
        signal = BY_NAME[example.signal]
        for firing in example.fires.values():
            for labels in firing:
                assert "?" not in signal.said_of(labels), signal.name
                assert set(re.findall(r"\{(\w+)\}", signal.page)) <= set(labels), signal.name


def test_every_alert_has_a_section_of_the_runbook_and_a_board_that_is_there():
    page = (Path(__file__).parents[2] / RUNBOOK_PAGE).read_text(encoding="utf-8")
    sections = re.findall(r"^### (Rookery\w+)$", page, re.MULTILINE)
    assert sorted(sections) == sorted(signal.alert for signal in SIGNALS)
    assert {signal.board for signal in SIGNALS} <= {board.name for board in BOARDS}


# ---- the watch ------------------------------------------------------------------------------------------------------


def test_a_row_must_hold_at_every_look_until_it_fires():
    watch = SignalWatch([BY_NAME["NoLeader"]])
    away, there = Course({'router_shard_served{shard="3"}': "0+0x9"}, 10), Course({}, 10)
    assert watch.look(away, 0) == []
    assert watch.look(there, 10) == []
    assert watch.look(away, 40) == [], "it was well in between"
    [fired] = watch.look(away, 70)
    assert (fired.since_s, dict(fired.labels)) == (40, {"shard": "3"})
    assert fired.says == "accounts of shard 3 can't write, and may not be able to read"


def test_a_light_is_as_bad_as_the_worst_that_fires():
    watch = SignalWatch([BY_NAME["ShardFull"], BY_NAME["DiskFull"]])
    full = {'accounts{shard="0",replica="0"}': "9+0x99", 'limit{shard="0",replica="0",name="accounts"}': "10+0x99"}
    disk = {'storage_free_bytes{shard="0",replica="0"}': "0+0x99"}
    for at_s in (0, 300):
        found = watch.look(Course({**full, **disk}, 10), at_s)
    lit = {light.light: light for light in lights(found)}
    assert (lit["space"].state, len(lit["space"].firing)) == ("critical", 2)
    assert lit["space"].says == "the disk of shard 0 has less than 1 GiB left"
    assert {light.state for name, light in lit.items() if name != "space"} == {"well"}
    assert {light.state for light in lights(found, is_started=False)} == {"starting"}, "nothing shouts yet"
    assert list(lit) == list(LIGHTS)


# ---- values ---------------------------------------------------------------------------------------------------------


def test_a_counter_that_begins_anew_has_grown_by_what_it_counted_since():
    course = Course({"c": "0+10x6 5+10x5"}, 10)  # 60, then 5, 15, ... 55
    assert increase("c", 120).value(course, 120) == {(): pytest.approx(115, rel=0.1)}


def test_a_rate_is_extrapolated_as_prometheus_does():
    assert rate("c", 60).value(Course({"c": "100+10x60"}, 10), 300) == {(): pytest.approx(1.0)}
    assert rate("c", 60).value(Course({"c": "100+10x60"}, 10), 305) == {(): pytest.approx(1.0)}
    assert rate("c", 300).value(Course({"c": "0+1x60"}, 10), 60) == {(): pytest.approx(6 / 300)}, "none was below 0"
    assert rate("c", 60).value(Course({"c": "5+0x0"}, 10), 0) == {}


def test_what_is_old_or_gone_is_no_number():
    assert latest("g").value(Course({"g": "1+0x1 stale"}, 10), 15) == {(): 1}
    assert latest("g").value(Course({"g": "1+0x1 stale"}, 10), 25) == {}
    assert latest("g").value(Course({"g": "1+0x1"}, 10), 311) == {}
    assert last("g", 60).value(Course({"g": "1+0x1 stale"}, 10), 25) == {(): 1}


def test_a_line_goes_on_as_in_its_window():
    assert predicted("g", 100, 50).value(Course({"g": "100-1x60"}, 10), 200) == {(): pytest.approx(75)}
    assert predicted("g", 100, 50).value(Course({"g": "7+0x60"}, 10), 200) == {(): 7}


def test_nothing_divided_by_nothing_is_never_too_little():
    share = rate("a", 60).sum_by() / rate("b", 60).sum_by()
    course = Course({"a": "3+0x60", "b": "3+0x60"}, 10)
    assert (share < 0.99).value(course, 100) == {}
    assert (share > 0.99).value(course, 100) == {}


@pytest.mark.parametrize("text", ["kind", "=read", "kind read"])
def test_a_condition_on_a_label_must_be_one(text):
    with pytest.raises(ValueError, match="such as"):
        figures("x", text)


def test_conditions_on_labels_are_prometheus_own():
    course = Course({'c{k="ab"}': "1+0x3", 'c{k="b"}': "2+0x3", "c": "3+0x3"}, 10)

    def found(*where: str) -> set[float]:
        return set(latest("c", *where).value(course, 0).values())

    assert found("k=b") == {2}
    assert found("k!=b") == {1, 3}
    assert found("k=~a|b") == {2}
    assert found("k!~.*b") == {3}
    assert isinstance(figures("c", "k=~a|b"), SeriesOf)
