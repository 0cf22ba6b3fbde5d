"""No input takes more than linear time: each way in (`entry_points.py`) is fed the worst shapes (`shapes.py`) at two
sizes and more, and eight times the size may take a little more than eight times the work.

What is counted is the CPU time of this thread, which a busy machine doesn't lengthen much; what seems too long is
measured again and again, with pauses, and the least counts. Nothing depends on how fast the machine is. A call that
would take for ever is stopped after CALL_CPU_S of CPU time. Memory is there before (`room`): the system's zeroed pages,
which a short call never asks for and one of 10,000 objects does, once cost four times the work itself.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import logging
import random
import re
import signal
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from twitter_text import extract_urls_with_indices
from twitter_text.regexp.valid_url_path import valid_url_path

from actors.core.errors import RookeryError
from tests.fuzz.entry_points import NOT_FED, ROWS, Row, tweet_as_posted, tweet_in_engine
from tests.fuzz.shapes import SHAPES, UNITS, Shape

SIZE, TIMES = 1_000, 8  # characters, divided by a row's weight, and how many times as many
SLACK = 2.5  # work a character at the large size, in that at the small ones: 1 if linear, 4 or 8 if quadratic
FLOOR_NS = 100_000  # work that is none: a timer's tick, a cache that was cold
REPEATS = 5
# What seems too long is measured so often again, with pauses of so many seconds times the square of the number of
# tries: neighbours that take the processor's caches have lengthened work to three times for a quarter of a second.
AGAIN, PAUSE_S = 10, 0.02
ROOM_OBJECTS, ROOM_KEPT_EVERY = 400_000, 4_000  # 22 MB in small objects, one of which stays in each arena
HOPELESS = 3  # times the bound: isn't measured so often
CALL_CPU_S = 0.5
ROW_CPU_NS = 150_000_000  # of calls at the large size; those that take longest at the small one come first
SHAPES_LEAST = 12
TRIES = 5
ENOUGH = 3  # shapes that a row fails by
TWEET_CHARS = 280
# The most that any tweet may cost, in an ordinary one with links, mentions and hashtags: 14 and 4 times are what we
# know of. Without the mends it is thousands of times in the worker, 30 in the engine (api/DESIGN.md has microseconds).
TWEET_TIMES_MAX = 30
ENGINE_TIMES_MAX = 10


class TooLong(BaseException):
    """A call took more than CALL_CPU_S. Nobody's `except Exception` is to stop it."""


@pytest.fixture(autouse=True, scope="module")
def room() -> list[tuple[int]]:
    """Let Python own memory for the small objects of any call: an arena with one object in it isn't given back."""
    return [(number,) for number in range(ROOM_OBJECTS)][::ROOM_KEPT_EVERY]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Measure without the garbage collector, without log lines, and with an end to everything."""

    def interrupt(*_: object) -> NoReturn:
        raise TooLong

    before = signal.signal(signal.SIGPROF, interrupt)
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def measure(work: Callable[[str], object], given: str, repeats: int = 1) -> int:
    """Return the least CPU time, in ns, that this thread takes. Raises TooLong."""
    least = 1 << 62
    for _ in range(repeats):
        signal.setitimer(signal.ITIMER_PROF, CALL_CPU_S)
        begin = time.thread_time_ns()
        with contextlib.suppress(RookeryError):
            work(given)
        least = min(least, time.thread_time_ns() - begin)
        signal.setitimer(signal.ITIMER_PROF, 0)
    return least


def superlinear(work: Callable[[str], object], shape: Shape, size: int, small_ns: int) -> str:
    """Return what is wrong with the work on a shape, empty if it is linear. small_ns: what it took at that size."""
    large_ns = measure(work, shape(TIMES * size))
    if large_ns <= SLACK * TIMES * small_ns + FLOOR_NS:
        return ""
    # Where a text is cut may decide what is found in it: so the small sizes are several.
    sizes = (size, size + size // 3, 2 * size)
    a_char = max(measure(work, shape(each), REPEATS) / each for each in sizes)
    bound_ns = SLACK * a_char * TIMES * size + FLOOR_NS
    for repeat in range(AGAIN):
        time.sleep(PAUSE_S * repeat**2)
        large_ns = min(large_ns, measure(work, shape(TIMES * size)))
        if large_ns <= bound_ns:
            return ""
        if repeat and large_ns > HOPELESS * bound_ns:
            break
    return f"{TIMES * size} characters take {large_ns / 1e3:.0f} us, {large_ns / (a_char * size):.0f} times {size}'s"


def troubles(row: Row, shapes: dict[str, Shape]) -> list[str]:
    """Return for which shapes a row takes more than linear time."""
    for size in sorted({SIZE // row.weight, *(row.chars_max // part for part in (8, 1) if row.chars_max)}):
        measure(row.work, SHAPES["'words '"](size))  # what is made at the first call
    found = []
    for size in {SIZE // row.weight, row.chars_max // TIMES} - {0}:
        took: dict[str, int] = {}
        for name, shape in shapes.items():
            if len(found) >= ENOUGH:
                return found
            try:
                took[name] = measure(row.work, shape(size))
            except TooLong:
                found.append(f"{name}: {size} characters take more than {CALL_CPU_S} s")
        spent = 0
        for count, name in enumerate(sorted(took, key=lambda name: -took[name])):
            if (spent > ROW_CPU_NS and count >= SHAPES_LEAST) or len(found) >= ENOUGH:
                break
            begin = time.thread_time_ns()
            try:
                trouble = superlinear(row.work, shapes[name], size, took[name])
            except TooLong:
                trouble = f"{TIMES * size} characters take more than {CALL_CPU_S} s"
            found += [f"{name}: {trouble}"] if trouble else []
            spent += time.thread_time_ns() - begin
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_eight_times_the_characters_take_about_eight_times_the_work(row):
    names = list(SHAPES)
    kept = {*names[:: row.weight], *(repr(unit) for unit in ("\\", "\u0316\u0300", "日", "a.", "#é"))}
    assert troubles(row, {name: SHAPES[name] for name in names if name in kept}) == []


def _composed(given: str) -> str:
    return unicodedata.normalize("NFC", given)


def _unquoted(given: str) -> str:
    """As http.cookies did until 3.11.10: a search to the end for each character that is found."""
    at, pieces = 0, []
    while at < len(given):
        octal, quoted = re.search(r"\\[0-3][0-7][0-7]", given[at:]), re.search(r"[\\].", given[at:])
        if octal is None and quoted is None:
            break
        at += 2
        pieces.append(given[at - 1 : at])
    return "".join(pieces)


def _joined(given: str) -> bytes:
    joined = bytes(5_000)
    for _ in given:
        joined = b"%b%b" % (joined, b"x" * 400)
    return joined


PATH = re.compile(f"(?:/{valid_url_path.pattern}*)?", re.IGNORECASE)
BEFORE: dict[str, tuple[Callable[[str], object], Shape, int]] = {  # with weights
    "two sets that overlap, in a repetition": (
        re.compile(r"(?:\w|[^\x00-\x7f])+").fullmatch, SHAPES["'é' before '!'"], 4,
    ),
    "marks sorted by insertion": (_composed, SHAPES["'\u0316\u0300' after 'é'"], 1),
    "a chain of labels from each of its dots": (extract_urls_with_indices, SHAPES["'a.'"], 40),
    "a path that lets its parentheses go one by one": (PATH.match, lambda size: ("/" + "(a)" * size)[:size], 4),
    "quotes taken off one by one": (_unquoted, SHAPES[repr("\\")], 1),
    "bytes grown by copies": (_joined, SHAPES["'a '"], 2),
}  # fmt: skip


@pytest.mark.parametrize("what", BEFORE)
def test_what_was_mended_would_be_found(what, monkeypatch):
    monkeypatch.setitem(globals(), "AGAIN", 4)  # it isn't the neighbours
    work, shape, weight = BEFORE[what]
    row = Row(what, work, weight=weight)
    # A processor whose pace changes meanwhile hides one in some tries: what is quadratic takes 1.6 times the bound.
    assert any(troubles(row, {"x": shape}) for _ in range(TRIES))


# ---- what a tweet costs --------------------------------------------------------------------------------------------

ORDINARY = (
    "Good morning @ada and @bob! We saw a blue whale today, and it wasn't far from the coast: see "
    "https://rookery.dev/whales/today?from=here. Café opens at nine, #whales #coast. More at example.org/a_b (in "
    "German: „Heute früh“), bring a boat! It takes an hour, two if the sea is rough."
)


@pytest.mark.parametrize(
    ("work", "times_max"), [(tweet_as_posted, TWEET_TIMES_MAX), (tweet_in_engine, ENGINE_TIMES_MAX)]
)
def test_no_tweet_costs_much_more_than_an_ordinary_one(work, times_max):
    assert len(ORDINARY) == TWEET_CHARS
    measure(work, ORDINARY, REPEATS)
    chance = random.Random(280)
    units = [*UNITS, *(chance.choice(UNITS) + chance.choice(UNITS) for _ in range(400))]
    texts = [(unit * TWEET_CHARS)[:TWEET_CHARS] for unit in units] + [shape(TWEET_CHARS) for shape in SHAPES.values()]
    bound_ns = times_max * measure(work, ORDINARY, 4 * REPEATS)
    costly: list[str] = []
    for text in texts:
        if measure(work, text) > bound_ns and measure(work, text, 2 * REPEATS) > bound_ns:
            costly.append(text)
        assert len(costly) < ENOUGH, costly
    assert costly == []


# ---- the table is whole --------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "actors/search", "actors/text", "actors/core", "cluster", "commands")
CALLS = ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")


def patterns_of(path: Path) -> Iterator[str]:
    """Yield each place with a pattern, as `module: NAME`: what it is assigned to, or the function that it is in."""
    for statement in ast.parse(path.read_text()).body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in ("re", "regex"):
                    yield f"{path.stem}: {_name_of(statement)}"


def _name_of(statement: Any) -> str:
    if isinstance(statement, ast.Assign):
        return str(statement.targets[0].id)  # type: ignore[attr-defined]
    return str(statement.target.id if isinstance(statement, ast.AnnAssign) else statement.name)


def test_every_pattern_is_in_the_table():
    written = {place for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for place in patterns_of(path)}
    listed = {
        f"{module}: {name}"
        for row in ROWS
        for part in filter(None, row.patterns.split("; "))
        for module, _, names in [part.partition(": ")]
        for name in names.split()
    }
    assert written - listed - NOT_FED.keys() == set(), "write these into a row of entry_points.py"
    assert (listed | NOT_FED.keys()) - written == set(), "there are no such patterns"
