"""What the addresses of accounts, statuses and hashtags lead to in a browser: small pages of what everybody may read.

    /@NAME    who it is        /@NAME/ID    a public or unlisted status        /tags/NAME    the newest with it

Rules of this file
- Whoever looks is nobody: a session changes nothing, and what nobody may see isn't there.
- Texts are HTML already, made by `actors/core/renderers/html.py`, which lets no input make markup of its own.
- A repost leads to what it reposts. What quotes and polls hold is the apps' to show.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import unquote

import orjson
from markupsafe import Markup
from starlette.responses import Response

from actors.core.errors import InvalidError, NotFoundError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.text.costs import TAG_UNITS
from api.mastodon.accounts import account_of, id_of_name
from api.mastodon.statuses import status_of, statuses_of
from api.oauth.sessions import Visit
from api.oauth.templating import page, redirect
from api.search.hashtags import folded_tag

Handler = Callable[[Visit], Awaitable[Response]]
TAGGED_COUNT: Final = 20
_READ_BY_ALL: Final = ("public", "unlisted")
_NOT_HERE: Final = "there is nothing here that everybody may read"


def public_page(path: str) -> tuple[str, Handler] | None:
    """Return what the log calls a page, and what makes it; None if the path is none of these. path: as it was sent."""
    match path.removeprefix("/").split("/"):
        case [name] if len(name) > 1 and name[0] == "@":
            return "/@{name}", _show_account
        case [name, status_id] if len(name) > 1 and name[0] == "@" and status_id.isascii() and status_id.isdigit():
            return "/@{name}/{id}", _show_status
        case ["tags", tag] if tag:
            return "/tags/{name}", _show_tag
    return None


def _last(visit: Visit) -> str:
    return unquote(str(visit.scope["path"]).rstrip("/").rpartition("/")[2])


async def _show_account(visit: Visit) -> Response:
    services = visit.services
    account_id = await id_of_name(services, _last(visit)[1:])
    account: dict[str, Any] = orjson.loads(await account_of(services, account_id, 0))
    values = {"account": account, "note": Markup(account["note"]), "fields": _fields(account)}
    return page("public_account", _name_of(account), values)


def _fields(account: dict[str, Any]) -> list[tuple[str, Markup]]:
    return [(field["name"], Markup(field["value"])) for field in account["fields"]]


async def _show_status(visit: Visit) -> Response:
    name = str(visit.scope["path"]).removeprefix("/@").partition("/")[0]
    number = whole_number(_last(visit), ID_MAX)
    if not number or number > ID_MAX:
        raise NotFoundError(_NOT_HERE)
    status: dict[str, Any] = orjson.loads(await status_of(visit.services, number, 0))
    is_for_all = status["visibility"] in _READ_BY_ALL
    if not is_for_all or status["account"]["username"].lower() != unquote(name).lower():
        raise NotFoundError(_NOT_HERE)
    if status["reblog"] is not None:
        return redirect(status["reblog"]["url"])
    return page("public_statuses", _name_of(status["account"]), {"statuses": [_shown(status)]})


async def _show_tag(visit: Visit) -> Response:
    services, name = visit.services, _last(visit)
    try:
        folded = folded_tag(name, "hashtag")
    except InvalidError as error:
        raise NotFoundError(_NOT_HERE) from error
    services.limiter.check_search(visit.scope, 0, TAG_UNITS)
    found = await services.search.tagged([[folded], [], []], 0, 0, 0, TAGGED_COUNT, 0)
    ids = [int(tweet["tweet_id"]) for tweet in orjson.loads(found.body)]
    statuses = [_shown(orjson.loads(each)) for each in await statuses_of(services, ids, 0)]
    return page("public_statuses", f"#{name}", {"statuses": statuses})


def _shown(status: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says of a status."""
    return {
        "name": _name_of(status["account"]), "author_url": status["account"]["url"], "url": status["url"],
        "spoiler": status["spoiler_text"], "content": Markup(status["content"]),
        "day": status["created_at"][: len("2026-11-30")],
    }  # fmt: skip


def _name_of(account: dict[str, Any]) -> str:
    return str(account["display_name"] or account["username"])
