"""Folding: the form in which words, names and hashtags are compared, whoever wrote them how.

    NFKC, case folded, accents dropped, until nothing changes

Rules of this file
- It belongs to the core, since a hashtag that is followed has its id by its folded name: shards and whoever asks them
  must fold alike.
- Linear in the text, whatever it says: runs of marks are sorted first (`normal_form.py`), and what stands for many
  characters is left out where there is much of it.

Cost: 3 us a name; ASCII 0.3.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import regex  # type: ignore[import-untyped]

from actors.core import normal_form
from actors.core.normal_form import MAY_BE_MARKS, long_runs

EXPANDING_CHARS_MIN: Final = 3  # that one character is folded to, to be one that stands for many
EXPANDED_CHARS_MAX: Final = 128  # more in a folded text than in the text and
EXPANDED_SHARE_MAX: Final = 0.25  # of it: 280 of U+FDFA, which stands for four words, would make 5,040 to go through
FOLD_ROUNDS_MAX: Final = 4  # two are the most that a character needs, and one more shows that nothing changes

Normalize = Callable[[Any, str], str]

_UNSEEN = r"\u00ad\u034f\u061c\u180b-\u180f\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
_DROPPED = re.compile(
    rf"[\u0300-\u0305\u0307-\u036f\u02bb\u02bc\u20d0-\u20f0{_UNSEEN}\U000e0100-\U000e01ef]|(?<!\u0438)\u0306"
)
_MANY_MARKS = long_runs(rf"{MAY_BE_MARKS}{_UNSEEN}\u200d\u02bb\u02bc")  # or what is dropped from between them
_STRAY_JOINER = regex.compile(r"(?<![\p{ExtPict}\p{EMod}\ufe0f])\u200d")


def fold_once(text: str, normalize: Normalize = unicodedata.normalize) -> str:
    """Return what a text is folded to once: it may be folded further. normalize: see `normalize_for`."""
    text = unicodedata.normalize("NFD", normalize("NFKC", text).casefold().replace("ı", "i"))  # in order already
    if "\u200d" in text:
        text = _STRAY_JOINER.sub("", text)
    return normalize("NFC", _DROPPED.sub("", text))


def normalize_for(text: str) -> Normalize:
    """Return how to normalise a text in linear time, however often it is folded: Python's way unless marks abound."""
    return normal_form.normalize if _MANY_MARKS.search(text) else unicodedata.normalize


def _is_plain(code: int) -> bool:
    """Whether a character stays as it is, beside any other such, and `\\w` says rightly whether it is of a word."""
    char = chr(code)
    return (
        fold_once(char) == char
        and unicodedata.category(char) not in {"Mn", "Mc", "Me", "Cn"}
        and regex.match(r"[\p{ExtPict}\p{EMod}\p{RI}\u200d]", char) is None
    )


_PLAIN_RANGES = (range(0x530), range(0x1E00, 0x2000), range(0x2000, 0x2070), range(0x20A0, 0x20C0))
_PLAIN = re.compile(
    "[" + "".join(re.escape(chr(code)) for code in itertools.chain(*_PLAIN_RANGES) if _is_plain(code)) + "]*"
)


def folded_text(text: str) -> tuple[str, bool]:
    """Return the text in its final form, and whether it is plain (see _is_plain)."""
    normalize = normalize_for(text)
    folded = fold_once(text, normalize)
    if len(folded) > len(text) and (fewer := without_flood(text, folded)) is not text:
        text, folded = fewer, fold_once(fewer, normalize)
    for _ in range(FOLD_ROUNDS_MAX):
        if _PLAIN.fullmatch(folded):
            return folded, True
        if folded == text:
            break
        text, folded = folded, fold_once(folded, normalize)
    return folded, False


_EXPANDING_RANGES = (range(0xA0, 0x3400), range(0xFB00, 0xFE50), range(0x1D100, 0x1D200), range(0x1F100, 0x1F300))
_EXPANDING = re.compile(
    "["
    + "".join(
        re.escape(char)
        for char in map(chr, itertools.chain(*_EXPANDING_RANGES))
        if unicodedata.decomposition(char) and len(fold_once(char)) >= EXPANDING_CHARS_MIN
    )
    + "]"
)


def without_flood(text: str, folded: str) -> str:
    """Return a text; with blanks for what stands for many characters if folding has made it much longer."""
    is_flood = len(folded) - len(text) > EXPANDED_SHARE_MAX * len(text) + EXPANDED_CHARS_MAX
    return _EXPANDING.sub(" ", text) if is_flood else text


def fold(text: str) -> str:
    """Return a single name or tag in the form in which it is compared: folded like words, and without any blank.

    Cost: 3 us.
    """
    if text.isascii():
        return "".join(text.split()).lower()
    folded = "".join(folded_text(text)[0].split())
    return "".join(folded_text(folded)[0].split())
