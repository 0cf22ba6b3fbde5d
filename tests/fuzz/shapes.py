"""Texts of any length that are the worst of their kind: what makes patterns go back, and loops look again.

Each shape is a function of a length in characters. They are made of one alphabet of units: what our languages (links,
mentions, queries, markup, percent codes, headers, paths) are sensitive to, and what Unicode has of trouble.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Shape = Callable[[int], str]

_ASCII = [*"aA1_-.,!'\"\\()[]{<>&#@$*:;/?=%~+ \n\t"]
_LETTERS = ["é", "e\u0301", "ß", "İ", "ſ", "ш", "й", "ש", "ك", "日", "の", "한", "ก็", "ำ", "ाि", "𝐚", "ﬁ", "ﷺ", "㌕",
            "½", "…", "’", "。", "．", "＠", "＃"]  # fmt: skip
_MARKS = ["\u0301", "\u0316\u0300", "\u05b0\u200d\u0591\u200d", "\u0f73", "\u0316\uff9e", "\u200d", "\u200b", "\ufe0f",
          "\u202e", "\u00ad", "\udc80"]  # fmt: skip
_EMOJI = ["👩", "👩\u200d", "👩\u200d👩\u200d👧", "👍🏽", "🇩🇪", "🇩", "1️⃣", "\U000e0061"]
_SPEECH = ["@a", "#a", "$A", "@a@a", "#a#a", "#1#1", "#é", "RT @a", "rt@", "don't ", "é'", "a ", "a, ", "日 ", "words "]
_LINKS = ["a.", "a.a", '".', "日.", "a.com", "a.co ", "é.com", "日a.com", "a.b.c.香港", "http://", "http://a",
          "http://a.co/", "http://a.co/(", "http://a.co/(a)", "a.co/(a)", "a.co/!(a)", "(a)", "(a(b)c)", "a.co?",
          "xn--a.", "a.xn--a", "t.co/a", "a@b.com ", "_.a", "-.com", "www.", "a.co:1"]  # fmt: skip
_QUERIES = ["OR ", "OR OR ", "a OR ", "AND ", "NOT ", "--", "-a ", "-(", "(a ", "(a OR ", "-(a -(b OR ", '"a" ', '"a b',
            "a* ", "from:a ", "since:2026-01-31 ", "a:", "é:"]  # fmt: skip
_CODES = ["%25", "%25%25", "%2", "%C3%A9", "&amp;", "&#x41;", "&lt", "<a>", "<a ", "</b", "\\u0041", "\\\\", '\\"',
          "[[", '{"a":', "1,", "0.1,", "a=b&", "a=b;", "a[]=b&", '";', "../", "%2F", "\r\n", "\r\n--b", "1e9",
          "-1", "00", "10.0.0.1, "]  # fmt: skip
UNITS = [*_ASCII, *_LETTERS, *_MARKS, *_EMOJI, *_SPEECH, *_LINKS, *_QUERIES, *_CODES]

_BEFORE = [
    "#",
    "@",
    '"',
    "(",
    "<a",
    "&",
    "-",
    "http://a.co/",
    "http://",
    "a.",
    "RT@",
    "from:",
    "a=",
    '{"a":"',
    "%",
    "é",
    "日",
]
_AFTER = ["!", ".", ".com", "/", "@", "#", '"', ")", ">", ";", ":", "*", "=", "\u0301", "é", "日", " "]
_MIXED_COUNT = 24


def _of(before: str, unit: str, after: str) -> Shape:
    return lambda size: ((before + unit * (size // len(unit) + 1))[: max(0, size - len(after))] + after)[:size]


def _shapes() -> dict[str, Shape]:
    shapes = {repr(unit): _of("", unit, "") for unit in UNITS}
    for run in ("a", "1", "é", "日", "\u0301", "a.", "日.", "a ", "ש"):
        shapes |= {f"{run!r} before {after!r}": _of("", run, after) for after in _AFTER}
    for run in ("a", "é", "日", " ", "(", "(a)", ".", "\\", "\u0316\u0300"):
        shapes |= {f"{run!r} after {before!r}": _of(before, run, "") for before in _BEFORE}
    chance = random.Random(14)
    for _ in range(_MIXED_COUNT):
        unit = "".join(chance.choice(UNITS) for _ in range(chance.randint(2, 6)))
        shapes[repr(unit)] = _of("", unit, "")
    shapes["tags that never end"] = lambda size: ("<a" + " " * 1_900 + "<a" * size)[:size]
    shapes["each another"] = lambda size: "".join(chr(0x4E00 + 7 * n % 20_000) for n in range(size))
    shapes["words, each another"] = lambda size: " ".join(f"w{n}" for n in range(size))[:size]
    shapes["names, each another"] = lambda size: " ".join(f"@n{n} #t{n}" for n in range(size))[:size]
    return shapes


SHAPES = _shapes()
