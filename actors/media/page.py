"""What a page says of itself, read from its HTML in a cage: title, description, site, author, date, picture.

    bytes --charset: of the answer, a byte order mark, the page, UTF-8--> text --html.parser--> meta, title

Rules of this file
- Only a caged process calls `read_page`: what it parses may be made to keep it busy for ever.
- og: before twitter: before what HTML itself has; the first of each that isn't empty.
- What comes out is plain text on one line, within bounds; addresses are as they stand there, resolved by nobody yet.

Cost: 60 ms for 512 KiB.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.core.errors import InvalidError

PAGE_BYTES_MAX: Final = 512 << 10
TITLE_CHARS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 400
NAME_CHARS_MAX: Final = 80
ADDRESS_CHARS_MAX: Final = 2_000
_META_COUNT_MAX: Final = 500
_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE
)
_DECLARED_BYTES: Final = 4_096  # of a page, in which it may say its charset
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\s]+"
)
_TITLES: Final = ("og:title", "twitter:title")
_TEXTS: Final = ("og:description", "twitter:description", "description")
_PICTURES: Final = ("og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src")
_AUTHORS: Final = ("author", "article:author", "dc.creator")
_DATES: Final = ("article:published_time", "datepublished", "date")
_KEPT: Final = frozenset((*_TITLES, *_TEXTS, *_PICTURES, *_AUTHORS, *_DATES, "og:site_name"))


class PageFacts(NamedTuple):
    """What a page says. published_ms: 0 if it doesn't say; picture: an address as it stands there, "" for none."""

    title: str
    description: str
    site: str
    author: str
    published_ms: int
    picture: str


class _Head(HTMLParser):
    """Collects meta elements and the first title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: dict[str, str] = {}
        self.title: list[str] = []
        self._in_title = self._has_title = False
        self._count = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "title" and not self._has_title:
            self._in_title = True
        elif tag == "meta" and self._count < _META_COUNT_MAX:
            self._count += 1
            named = {name: value or "" for name, value in reversed(attrs)}
            name = (named.get("property") or named.get("name") or named.get("itemprop") or "").strip().lower()
            content = named.get("content", "")
            if name in _KEPT and content.strip() and name not in self.said:
                self.said[name] = content
        elif tag == "svg":  # which may have a title of its own
            self._has_title = True

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag != "title":
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._in_title:
            self._in_title, self._has_title = False, True

    def handle_data(self, data: str) -> None:
        if self._in_title and sum(map(len, self.title)) < 10 * TITLE_CHARS_MAX:
            self.title.append(data)


def read_page(source: Path, charset: str) -> PageFacts:
    """Return what a page says of itself. charset: as the answer named it, "" for not. Raises InvalidError."""
    with open(source, "rb") as file:
        head: Any = _Head()  # the base class is typed for those who call it, not for its heirs
        head.feed(decoded(file.read(PAGE_BYTES_MAX), charset))

    def first(names: Sequence[str]) -> str:
        return next((head.said[name] for name in names if name in head.said), "")

    title = on_one_line(first(_TITLES), TITLE_CHARS_MAX) or on_one_line("".join(head.title), TITLE_CHARS_MAX)
    if not title:
        raise InvalidError("the page has no title", "url")
    author = on_one_line(first(_AUTHORS), NAME_CHARS_MAX)
    picture = first(_PICTURES).strip()
    return PageFacts(
        title, on_one_line(first(_TEXTS), TEXT_CHARS_MAX), on_one_line(first(("og:site_name",)), NAME_CHARS_MAX),
        "" if "://" in author else author, _published_ms(first(_DATES)),
        picture if len(picture) <= ADDRESS_CHARS_MAX and picture.isprintable() else "",
    )  # fmt: skip


def decoded(body: bytes, charset: str) -> str:
    """Return a page as text: what can't be read in its charset is replaced."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    declared = _CHARSET.search(body[:_DECLARED_BYTES])
    for name in (charset, declared[1].decode() if declared else "", "utf-8"):
        try:
            if name:
                return body.decode(name, "replace")
        except (LookupError, ValueError):  # none that Python knows, or none of text
            continue
    return body.decode("utf-8", "replace")


def on_one_line(text: str, chars_max: int) -> str:
    """Return a text without line breaks, controls and what turns letters round; what is too long ends in "…"."""
    text = _UNSEEN.sub(" ", text[: 10 * chars_max].encode("utf-8", "replace").decode()).strip()
    return text if len(text) <= chars_max else text[: chars_max - 1].rstrip() + "…"


def _published_ms(text: str) -> int:
    """Return what a date says, Unix ms, 0 for what is none, or before 1970."""
    try:
        found = datetime.fromisoformat(text.strip()[:40])
        at = found if found.tzinfo else found.replace(tzinfo=UTC)
        return max(int(at.timestamp() * 1000), 0)
    except (ValueError, OverflowError):
        return 0


def told_page(told: Any) -> PageFacts:
    """Return what a cage says of a page, if it can be true. Raises InvalidError."""
    bounds = (TITLE_CHARS_MAX, TEXT_CHARS_MAX, NAME_CHARS_MAX, NAME_CHARS_MAX, 0, ADDRESS_CHARS_MAX)
    if isinstance(told, list) and len(told) == len(bounds) and type(told[4]) is int and 0 <= told[4] < 1 << 47:
        texts = [(told[place], bound) for place, bound in enumerate(bounds) if place != 4]
        if told[0] and all(type(text) is str and text == on_one_line(text, bound) for text, bound in texts):
            return PageFacts(*told)
    raise InvalidError("the page can't be read: it is damaged, or made to do harm", "url")
