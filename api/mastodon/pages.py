"""Pages as Mastodon's clients ask for them: `limit`, `max_id`, `since_id`, `min_id`, and the header `Link`.

Rules of this file
- A `limit` above the most is cut, not refused. An id that is no number is refused (400).
- The `Link` is absolute, `next` first; there is a `next` only where there is more, since clients follow it to the end.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlencode

from api.mastodon.inputs import Params

_CURSORS = ("max_id", "since_id", "min_id", "access_token")  # a token never goes into a link


class Window(NamedTuple):
    """Which entries are wanted; 0 for what isn't said. limit: how many."""

    max_id: int
    since_id: int
    min_id: int
    limit: int


def window_of(params: Params, default: int, most: int) -> Window:
    """Return the window that a client asks for. Raises MalformedError."""
    if not params.values:  # most pages are the newest
        return Window(0, 0, 0, default)
    max_id, since_id, min_id = (params.id(name) for name in ("max_id", "since_id", "min_id"))
    return Window(max_id, since_id, min_id, params.whole("limit", default, 1, most))


def link_of(address: str, params: Params, newest: int, oldest: int, has_more: bool) -> tuple[bytes, bytes] | None:
    """Return the header of a page, None where it leads nowhere. address: of the request, without its query.

    newest: 0 for an empty page, and where a list can't be read upwards: a client that follows `prev` until there is
    nothing would be sent round in circles.
    """
    has_next = has_more and oldest > 0  # 0 would be the first page again
    if not newest and not has_next:
        return None
    kept = [
        (name if not isinstance(value, list) else f"{name}[]", each)
        for name, value in params.values.items() if name not in _CURSORS and not isinstance(value, dict)
        for each in (value if isinstance(value, list) else [value])
    ]  # fmt: skip
    again = f"{address}?{urlencode(kept)}&" if kept else f"{address}?"
    links = [f'<{again}max_id={oldest}>; rel="next"'] if has_next else []
    if newest:
        links.append(f'<{again}min_id={newest}>; rel="prev"')
    return b"link", ", ".join(links).encode("latin-1", "replace")
