"""Previews of links: what a tweet shows of the page that its first link leads to (fact 13), and which link that is.

    fact 13    [url, title, description, site, author, published_ms, media_id, blurhash, picture]
    picture    [tail, width, height, bytes], or [] for none           tail: of an object's name (`media_names.py`)

Rules of this file
- A tweet with media of its own shows none: it has something to look at.
- What a page says of itself is text, within bounds, and never anything else: who shows it escapes it.
- Widths are for ever; a value more comes at the end.

Costs: 300 bytes as a rule, 4 KB at most; 1.5 us to find a tweet's first link, 60 ns where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from actors.core import limits
from actors.core.attachments import BYTES_MAX, ORIGINAL, PIXELS_SIDE_MAX
from actors.core.ids import ID_MAX
from actors.core.media_names import is_tail, prefix_of, rendition_of

FROM_LEVEL: Final = 4  # of the cluster, from which previews are written
_SCHEMES: Final = ("https://", "http://")
_URLS: Final = b"\xa4urls"  # the key in packed entities, and with it what says that there are none
_NO_URLS: Final = b"\xa4urls\x90"
_TEXTS: Final = (
    (0, limits.PREVIEW_URL_BYTES_MAX), (1, limits.PREVIEW_TITLE_BYTES_MAX), (2, limits.PREVIEW_TEXT_BYTES_MAX),
    (3, limits.PREVIEW_NAME_BYTES_MAX), (4, limits.PREVIEW_NAME_BYTES_MAX), (7, limits.BLURHASH_BYTES_MAX),
)  # fmt: skip


class LinkPreview(NamedTuple):
    """What a page says of itself. site, author: names, "" for none; published_ms: 0 if it isn't said; media_id: 0
    without a picture.
    """

    url: str
    title: str
    description: str
    site: str
    author: str
    published_ms: int
    media_id: int
    blurhash: str
    picture: Sequence[Any]

    def picture_url(self, base: str) -> str | None:
        """Return the address of its picture, None if it has none."""
        return f"{base}/{prefix_of(self.media_id)}{self.picture[0]}" if self.picture else None


def preview_of(value: Sequence[Any]) -> LinkPreview:
    """Return the preview of fact 13."""
    return LinkPreview(*value[: len(LinkPreview._fields)])


def is_preview(value: Any) -> bool:
    """Whether a value may be fact 13."""
    if not isinstance(value, (list, tuple)) or len(value) != len(LinkPreview._fields):
        return False
    if not all(_is_text(value[place], bytes_max) for place, bytes_max in _TEXTS):
        return False
    url, title, published_ms, media_id, picture = value[0], value[1], value[5], value[6], value[8]
    if not url.startswith(_SCHEMES) or not title or not _is_whole(published_ms, limits.SHOWN_MS_MAX):
        return False
    return _is_whole(media_id, ID_MAX) and _is_picture(picture) and bool(media_id) == bool(picture)


def _is_picture(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) not in (0, 4):
        return False
    if not value:
        return True
    tail, width, height, size = value
    is_named = type(tail) is str and is_tail(tail) and rendition_of(tail) == ORIGINAL
    return is_named and all(_is_whole(side, PIXELS_SIDE_MAX) for side in (width, height)) and _is_whole(size, BYTES_MAX)


def _is_whole(value: Any, highest: int) -> bool:
    return type(value) is int and 0 <= value <= highest


def _is_text(value: Any, bytes_max: int) -> bool:
    return type(value) is str and len(value) <= bytes_max and len(value.encode()) <= bytes_max


def may_link(body: bytes) -> bool:
    """Whether a packed body may have a link: no body with one is passed over. 60 ns."""
    return _URLS in body and _NO_URLS not in body


def first_link(entities: bytes, more: Mapping[int, Any], attachments: int) -> str:
    """Return the address that a tweet shows a preview of, "" for none. attachments: the number of that fact."""
    if not entities or attachments in more or not may_link(entities):
        return ""
    for url, _, _ in msgpack.unpackb(entities, raw=False, strict_map_key=False).get("urls", ()):
        scheme, found, rest = url.partition("://")
        address = f"{scheme.lower()}://{rest}" if found else f"https://{url}"
        is_taken = address.startswith(_SCHEMES) and len(address.encode()) <= limits.PREVIEW_URL_BYTES_MAX
        return address if is_taken else ""
    return ""
