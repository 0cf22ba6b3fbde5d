"""Unicode's normal forms, in time that grows with the text.

Rules of this file
- `normalize` returns what `unicodedata.normalize` returns, whatever the text.
- Python sorts combining marks by insertion. A run of n of them in turns of two classes takes it n * n / 4 exchanges:
  one body of 64 KB held a worker for a second. In text that anybody has written a run has a handful; Unicode's own
  stream-safe format (UAX #15) allows 30. Longer ones are sorted here first, so that nothing is left to exchange.

Costs: 0.4 us for 280 characters that are normal; else, beside Python's, 3 us to see that they have no such run, or 0.5
us a mark if they have.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from itertools import groupby
from typing import Final, Literal

RUN_CHARS_MAX: Final = 30  # marks in a row that Python may sort itself
SHRINKS_MAX: Final = 4  # characters that NFC makes one of, at most: a Greek letter with breathing, accent and iota
MARKS: Final = range(0x300, 0x1F000)  # all marks are in here
_BECOME_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"  # and are none
_BMP_END, _ASTRAL_GAP = 0x10000, 0x200

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def _ranges() -> str:
    """Return the inside of a pattern's set of marks.

    Beyond the BMP it has what lies between them, too: `re` looks a character of the BMP up in a table, and goes through
    all ranges beyond. There are few scripts there, and marks are told from letters again later.
    """
    ranges: list[list[int]] = []
    for code in MARKS:
        if unicodedata.combining(chr(code)):
            if ranges and code - ranges[-1][1] <= (1 if code < _BMP_END else _ASTRAL_GAP):
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + _BECOME_MARKS


_MARK = f"[{_ranges()}]"
_LONG_RUN = re.compile(f"{_MARK}{_MARK}{{{RUN_CHARS_MAX},}}")  # a set at its beginning makes the search quicker


def normalize(form: Form, text: str) -> str:
    """Return the normal form of a text."""
    if text.isascii() or unicodedata.is_normalized(form, text):  # says no where marks are out of order, before it sorts
        return text
    if _LONG_RUN.search(text):
        apart: Form = "NFKD" if form[2] == "K" else "NFD"
        text = _LONG_RUN.sub(partial(_in_order, apart), text)
    return unicodedata.normalize(form, text)


def _in_order(form: Form, run: re.Match[str]) -> str:
    """Return the marks of a run as their normal form has them: taken apart, by class, those of one as they came."""
    chars = [char for mark in run.group() for char in unicodedata.normalize(form, mark)]
    return "".join(
        char
        for is_mark, group in groupby(chars, lambda char: unicodedata.combining(char) > 0)
        for char in (sorted(group, key=unicodedata.combining) if is_mark else group)
    )
