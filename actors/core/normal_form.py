"""Unicode's normal forms, in time that grows with the text.

Rules of this file
- `normalize` returns what `unicodedata.normalize` returns, whatever the text.
- Python sorts combining marks by insertion. A run of n of them in turns of two classes takes it n * n / 4 exchanges:
  one body of 64 KB held a worker for a second. In text that anybody has written a run has a handful; Unicode's own
  stream-safe format (UAX #15) allows 30. Longer ones are sorted here first, so that nothing is left to exchange.

Costs, beside Python's: 1.5 us to see that 280 characters have no such run, 0.5 us a mark if they have.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache, partial
from itertools import groupby
from typing import Final, Literal

RUN_CHARS_MAX: Final = 30  # marks in a row that Python may sort itself
SHRINKS_MAX: Final = 4  # characters that NFC makes one of, at most: a Greek letter with breathing, accent and iota
MARKS: Final = range(0x300, 0x1F000)  # all marks are in here
_BECOME_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"  # and are none
_BMP_END, _ASTRAL_GAP = 0x10000, 0x200

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def _ranges(codes: range) -> str:
    """Return the marks among some characters as the inside of a pattern's set; beyond the BMP with what lies between.

    `re` looks a character of the BMP up in a table, but compares one from beyond with each range there.
    """
    ranges: list[list[int]] = []
    for code in codes:
        if unicodedata.combining(chr(code)):
            if ranges and code - ranges[-1][1] <= (1 if code < _BMP_END else _ASTRAL_GAP):
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


def long_runs(of: str) -> re.Pattern[str]:
    """Return the pattern of more than RUN_CHARS_MAX characters of a set in a row. A set at its beginning makes the
    search quicker."""
    return re.compile(f"[{of}][{of}]{{{RUN_CHARS_MAX},}}")


# Even so each is compared with some, so most texts are looked at with a single one.
MAY_BE_MARKS: Final = f"{_ranges(range(MARKS.start, _BMP_END))}{_BECOME_MARKS}\U00010000-\U0010ffff"
_MAY_BE_LONG_RUN = long_runs(MAY_BE_MARKS)
_LONG_RUN = long_runs(_ranges(MARKS) + _BECOME_MARKS)


def normalize(form: Form, text: str) -> str:
    """Return the normal form of a text."""
    if text.isascii() or not _MAY_BE_LONG_RUN.search(text):
        return unicodedata.normalize(form, text)
    if not unicodedata.is_normalized(form, text):  # where marks are out of order it says no before it sorts any
        apart: Form = "NFKD" if form[2] == "K" else "NFD"
        text = _LONG_RUN.sub(partial(_in_order, apart), text)
    return unicodedata.normalize(form, text)


def _in_order(form: Form, run: re.Match[str]) -> str:
    """Return the marks of a run as their normal form has them: taken apart, by class, those of one as they came."""
    chars = "".join(map(partial(_apart, form), run.group()))
    classes = list(map(unicodedata.combining, chars))
    if 0 not in classes:
        return "".join(sorted(chars, key=unicodedata.combining))
    return "".join(
        char
        for is_mark, group in groupby(chars, lambda char: unicodedata.combining(char) > 0)
        for char in (sorted(group, key=unicodedata.combining) if is_mark else group)
    )


_apart = lru_cache(2_048)(unicodedata.normalize)
