"""What the addresses of accounts, statuses and hashtags lead to in a browser: small pages of what everybody may read.

    /@NAME    who it is        /@NAME/ID    a public or unlisted status        /tags/NAME    the newest with it

Rules of this file
- Whoever looks is nobody: a session changes nothing, and what nobody may see isn't there.
- What is said is found here; how it is shown is said by who asks: pages of their own (`pages.py`), or the web client's,
  which are read before it takes over, and by whoever has no JavaScript (`api/web/pages.py`).
- Texts are HTML already, made by `actors/core/renderers/html.py`, which lets no input make markup of its own.
- A repost leads to what it reposts. What quotes and polls hold is the apps' to show.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson
from markupsafe import Markup
from starlette.types import Scope

from actors.core.errors import InvalidError, NotFoundError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.text.costs import TAG_UNITS
from api.mastodon.accounts import account_of, id_of_name
from api.mastodon.statuses import status_of, statuses_of
from api.search.hashtags import folded_tag
from api.services import Services

TAGGED_COUNT: Final = 20
DESCRIPTION_CHARS_MAX: Final = 300
_READ_BY_ALL: Final = ("public", "unlisted")
_NOT_HERE: Final = "there is nothing here that everybody may read"


class PublicPage(NamedTuple):
    """What a page says. template: of its text; description, kind, picture: what previews of links show.

    leads_to: where who asks for it is sent instead, "" for nowhere.
    """

    template: str
    title: str
    values: dict[str, Any]
    description: str = ""
    kind: str = "website"
    picture: str = ""
    leads_to: str = ""


Handler = Callable[[Services, Scope], Awaitable[PublicPage]]


def public_page(path: str) -> tuple[str, Handler] | None:
    """Return what the log calls a page, and what finds what it says; None if the path is none of these.

    path: as it was sent.
    """
    match path.removeprefix("/").split("/"):
        case [name] if len(name) > 1 and name[0] == "@":
            return "/@{name}", _show_account
        case [name, status_id] if len(name) > 1 and name[0] == "@" and status_id.isascii() and status_id.isdigit():
            return "/@{name}/{id}", _show_status
        case ["tags", tag] if tag:
            return "/tags/{name}", _show_tag
    return None


def _last(scope: Scope) -> str:
    return unquote(str(scope["path"]).rstrip("/").rpartition("/")[2])


async def _show_account(services: Services, scope: Scope) -> PublicPage:
    account_id = await id_of_name(services, _last(scope)[1:])
    account: dict[str, Any] = orjson.loads(await account_of(services, account_id, 0))
    values = {"account": account, "note": Markup(account["note"]), "fields": _fields(account)}
    said = _plain(account["note"])
    return PublicPage("public_account", _name_of(account), values, said, "profile", account["avatar_static"])


def _fields(account: dict[str, Any]) -> list[tuple[str, Markup]]:
    return [(field["name"], Markup(field["value"])) for field in account["fields"]]


async def _show_status(services: Services, scope: Scope) -> PublicPage:
    name = str(scope["path"]).removeprefix("/@").partition("/")[0]
    number = whole_number(_last(scope), ID_MAX)
    if not number or number > ID_MAX:
        raise NotFoundError(_NOT_HERE)
    status: dict[str, Any] = orjson.loads(await status_of(services, number, 0))
    is_for_all = status["visibility"] in _READ_BY_ALL
    author = status["account"]
    if not is_for_all or author["username"].lower() != unquote(name).lower():
        raise NotFoundError(_NOT_HERE)
    title, values = _name_of(author), {"statuses": [_shown(status)]}
    if status["reblog"] is not None:
        return PublicPage("public_statuses", title, values, leads_to=status["reblog"]["url"])
    said = status["spoiler_text"] or _plain(status["content"])
    return PublicPage("public_statuses", title, values, said[:DESCRIPTION_CHARS_MAX], "article", _picture_of(status))


def _picture_of(status: dict[str, Any]) -> str:
    """Return the picture that stands for a status: its first, unless a warning hides it; else its author's."""
    hides = status["sensitive"] or status["spoiler_text"]
    pictures = [] if hides else [each["preview_url"] for each in status["media_attachments"] if each["preview_url"]]
    return str((pictures or [status["account"]["avatar_static"]])[0])


async def _show_tag(services: Services, scope: Scope) -> PublicPage:
    name = _last(scope)
    try:
        folded = folded_tag(name, "hashtag")
    except InvalidError as error:
        raise NotFoundError(_NOT_HERE) from error
    services.limiter.check_search(scope, 0, TAG_UNITS)
    found = await services.search.tagged([[folded], [], []], 0, 0, 0, TAGGED_COUNT, 0)
    ids = [int(tweet["tweet_id"]) for tweet in orjson.loads(found.body)]
    statuses = [_shown(orjson.loads(each)) for each in await statuses_of(services, ids, 0)]
    return PublicPage("public_statuses", f"#{name}", {"statuses": statuses}, f"The newest with #{name}")


def _shown(status: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says of a status."""
    return {
        "name": _name_of(status["account"]), "author_url": status["account"]["url"], "url": status["url"],
        "spoiler": status["spoiler_text"], "content": Markup(status["content"]),
        "day": status["created_at"][: len("2026-11-30")],
    }  # fmt: skip


def _plain(markup: str) -> str:
    """Return a text without its markup, of which our own renderer has made little."""
    return Markup(markup).striptags()[:DESCRIPTION_CHARS_MAX]


def _name_of(account: dict[str, Any]) -> str:
    return str(account["display_name"] or account["username"])
