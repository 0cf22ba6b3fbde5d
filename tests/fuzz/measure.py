"""What a text costs, in microseconds of one core: `python -m tests.fuzz.measure`. Not a test; takes about 30 s.

The figures of api/DESIGN.md and actors/search/DESIGN.md. Shapes are those of `shapes.py`, and 3,000 pairs of units.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median

from actors.core.errors import RookeryError
from actors.text.text import tokens
from tests.fuzz.entry_points import ROWS, tweet_as_posted, tweet_in_engine
from tests.fuzz.shapes import SHAPES, UNITS
from tests.fuzz.test_linear_time import ORDINARY

PAIRS_COUNT = 3_000
WORST_COUNT = 5


def microseconds(work: Callable[[str], object], given: str, repeats: int) -> float:
    """Return the least CPU time of some calls."""
    least = 1 << 62
    for _ in range(repeats):
        begin = time.thread_time_ns()
        with suppress(RookeryError):
            work(given)
        least = min(least, time.thread_time_ns() - begin)
    return least / 1e3


def report(what: str, work: Callable[[str], object], size: int) -> None:
    """Print what an ordinary text and the worst ones of a size cost."""
    chance = random.Random(280)
    units = [*UNITS, *(chance.choice(UNITS) + chance.choice(UNITS) for _ in range(PAIRS_COUNT))]
    texts = [(unit * size)[:size] for unit in units] + [shape(size) for shape in SHAPES.values()]
    ordinary = microseconds(work, (ORDINARY * size)[:size], 50)
    took = sorted(((microseconds(work, text, 1), text) for text in texts), reverse=True)[: 8 * WORST_COUNT]
    worst = sorted(((microseconds(work, text, 9), text) for _, text in took), reverse=True)[:WORST_COUNT]
    middle = median(microseconds(work, text, 1) for text in texts)
    print(f"{what}, {size:,} characters: ordinary {ordinary:.0f}, median shape {middle:.0f}, worst", end=" ")
    print(", ".join(f"{us:.0f} ({text[:12]!r})" for us, text in worst))


def main() -> None:
    """Print everything."""
    for size in (280, 10_000):
        report("a status in an API worker", tweet_as_posted, size)
        report("a tweet in a search engine", tweet_in_engine, size)
        report("the offsets of its words", tokens, size)
    row = next(row for row in ROWS if row.name == "a query")
    report("a query, from text to tree and back", row.work, row.chars_max)


if __name__ == "__main__":
    main()
