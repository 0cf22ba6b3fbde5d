"""Whole numbers as people and programs write them: the one place where a number out of a request or a file is read.

Rules of this file
- Of texts only runs of the digits 0 to 9 are numbers, and those with one `-` before them, so that "too small" can be
  said of them. Python's own `int` takes more: blanks around, `+`, `1_000`, digits of all scripts; and `str.isdigit`
  takes characters that `int` then refuses. A request that was let in by the one and broke the other was a 500.
- Texts may be of any length. Python turns some 4,300 digits into a number and raises beyond; here a number above what
  the caller takes isn't computed at all.

Cost: 0.15 us.
"""

from __future__ import annotations

from typing import Final

DIGITS_MAX: Final = 19  # of 2**63 - 1, the largest number that anything here takes


def whole_number(value: object, most: int) -> int | None:
    """Return a whole number from a text or an integer; None if it isn't one (a bool isn't, nor is 5.0).

    most: below 10**DIGITS_MAX. What is larger than `most` comes back as most + 1, what is written with a minus as -1:
    both are outside of 0..most, and that is all that a caller may conclude.
    """
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            digits = value.lstrip("0")
            return min(int(digits or "0"), most + 1) if len(digits) <= DIGITS_MAX else most + 1
        return -1 if value[:1] == "-" and value[1:].isascii() and value[1:].isdigit() else None
    if type(value) is int:
        return min(max(value, -1), most + 1)
    return None
