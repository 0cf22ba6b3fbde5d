"""Whatever makes a process log without an end, it writes so many entries a second, and says how many it left out."""

from __future__ import annotations

import ast
import io
import json
import logging
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from actors.log_bound import ALL_PER_S_MAX, KIND_PER_S_MAX, KINDS_MAX, TRACEBACK_PER_S_MAX, Budget, LogBound
from configs.logging import TEXT_CHARS_MAX, configure_logging
from tests.configs.test_logging import events, logging_as_before  # noqa: F401 - a fixture

ROOT = Path(__file__).parent.parent.parent
ASKED = 500


class Clock:
    def __init__(self):
        self.now_s = 5.5

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def output(clock):
    stream = io.StringIO()
    configure_logging("json", "info", stream=stream, bound=LogBound(Budget(clock=clock)))
    return stream


def test_of_one_kind_so_many_a_second_are_written_and_the_next_says_how_many_were_not(output, clock):
    for _ in range(ASKED):
        structlog.get_logger("x").warning("a stranger did this", number=1)
    for number in range(ASKED):
        logging.getLogger("y").warning("and %d that", number)
    assert len(events(output)) == 2 * KIND_PER_S_MAX
    clock.now_s += 1.0
    structlog.get_logger("x").warning("a stranger did this", number=2)
    logging.getLogger("y").warning("and %d that", 3)
    written = events(output)
    left_out = [entry["left_out_before"] for entry in written if "left_out_before" in entry]
    assert sum(left_out) == 2 * (ASKED - KIND_PER_S_MAX)
    assert "left_out_before" not in written[-1]


def test_tracebacks_are_dearer(output):
    for _ in range(ASKED):
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            logging.getLogger("z").exception("it failed on %s", "x")
            structlog.get_logger("z").error("it failed otherwise", exc_info=True)
    assert len(events(output)) == 2 * TRACEBACK_PER_S_MAX


def test_kinds_that_are_made_up_are_bounded_together(output):
    for number in range(5 * KINDS_MAX):
        logging.getLogger("z").warning(f"kind {number}")
    assert len(events(output)) == ALL_PER_S_MAX


def test_what_an_operator_asked_for_is_written(clock):
    stream = io.StringIO()
    configure_logging("json", "debug", stream=stream, bound=LogBound(Budget(clock=clock)))
    for _ in range(ASKED):
        structlog.get_logger("rookery.access").info("request", status=200)
        logging.getLogger("any").debug("a detail")
    assert len(events(stream)) == 2 * ASKED


def test_one_entry_is_so_large_and_no_larger(output):
    structlog.get_logger().error("it failed", frames="x" * 1_000_000)
    try:
        raise ValueError("y" * 1_000_000)
    except ValueError:
        logging.getLogger("z").exception("it failed, too")
    assert len(output.getvalue()) < 4 * TEXT_CHARS_MAX
    assert all(json.dumps(entry) for entry in events(output))


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 7.0])), max_size=400))
def test_every_entry_is_written_or_counted(steps):
    clock = Clock()
    budget = Budget(3, 10, clock)
    written_in: dict[int, list[int]] = {}
    told = left_out = 0
    for kind, pause_s in steps:
        clock.now_s += pause_s
        before = budget.take(kind)
        if before < 0:
            left_out += 1
        else:
            told += before
            written_in.setdefault(int(clock.now_s), []).append(kind)
    assert left_out - told == budget._left_out
    for kinds in written_in.values():
        assert len(kinds) <= 10
        assert max(kinds.count(kind) for kind in kinds) <= 3


def test_every_process_that_logs_has_the_bound():
    calls = [
        (path.name, call)
        for folder in ("actors", "api", "cluster", "commands")
        for path in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("configure_logging", "logging.basicConfig")
    ]
    assert len(calls) >= 4
    for name, call in calls:
        if ast.unparse(call.func) == "configure_logging":
            assert "bound" in {keyword.arg for keyword in call.keywords}, name
        else:
            assert "addFilter(LogBound())" in (ROOT / "actors" / "search" / name).read_text(encoding="utf-8")
