"""A status to be shown inside another site's page: oEmbed 1.0 (https://oembed.com), for addresses of this server.

Rules of this file
- Only what everybody may read, public and unlisted: whoever asks is a web site, and nobody's token is looked at.
- What is shown is a quotation with a link, of our own escaped HTML: no script, no frame, nothing that loads something.
- Of a status with a warning only that is shown. Deleted ones are gone when a site asks again, at most a day later.
"""

from __future__ import annotations

from html import escape
from typing import Any, Final

import orjson

from actors.core.errors import NotFoundError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.core.renderers.html import plain_html
from api.links import host_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.operations.search import is_at, segments_of
from api.mastodon.statuses import status_of
from api.mastodon.table import Caller, Operation
from api.params import shown

_WIDTH: Final = 400  # of a picture element, as Mastodon has it; a quotation takes what it is given
_SIDE_MAX: Final = 10_000  # pixels
_KEPT_S: Final = 86_400
_READ_BY_ALL: Final = ("public", "unlisted")


async def oembed(call: Call) -> Answer:
    """A public status by its address, as HTML for another site's page."""
    params = call.params
    url, width = params.text("url"), params.whole("maxwidth", _WIDTH, 1, _SIDE_MAX)
    height = params.whole("maxheight", 0, 0, _SIDE_MAX) or None
    status: dict[str, Any] = orjson.loads(await status_of(call.services, _status_id(url), 0))
    is_for_all = status["visibility"] in _READ_BY_ALL and status["reblog"] is None
    if not is_at(call, url, status) or not is_for_all:
        raise NotFoundError(f"{shown(url)} is no status for everybody", "url")
    account, host = status["account"], host_of(call.origin)
    name = account["display_name"] or account["username"]
    return answer({
        "type": "rich", "version": "1.0", "title": f"New status by {name}", "author_name": name,
        "author_url": account["url"], "provider_name": host, "provider_url": f"{call.origin}/", "cache_age": _KEPT_S,
        "html": _quotation(status, name), "width": width, "height": height,
    })  # fmt: skip


def _status_id(url: str) -> int:
    """Return the status of an address, `/@name/ID` or `/users/name/statuses/ID`. Raises NotFoundError."""
    number = whole_number((segments_of(url) or [""])[-1], ID_MAX)
    if not number or not 1 <= number <= ID_MAX:
        raise NotFoundError(f"{shown(url)} is no status of this server", "url")
    return number


def _quotation(status: dict[str, Any], name: str) -> str:
    """Return a status as a quotation that says whose it is, and when it was written."""
    said = plain_html(status["spoiler_text"]) or status["content"]
    url, day = escape(status["url"]), status["created_at"][: len("2026-11-30")]
    return f'<blockquote cite="{url}">{said}<footer>{escape(name)}, <a href="{url}">{day}</a></footer></blockquote>'


OPERATIONS: Final = (Operation("GET", "/api/oembed", "", "OEmbedResponse", oembed, Caller.CLIENT),)
