"""The pages, served: paths of their own, in front of the app, and the only ones that are shown a cookie.

Rules of this file
- Whatever goes wrong is a page, too, with the status of the error; nothing of it is markup.
- A form may have one file in it, within the size of a body.
- No web page of another origin may read an answer: there is no CORS here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors.core.errors import RookeryError
from api.errors import RETRY_AFTER_DEFAULT_S
from api.http.body import read_pairs_or_json
from api.http.file_bodies import body_bytes_max_of
from api.mastodon.inputs import Params, nested
from api.oauth.authorizing import AUTHORIZE, SHOWN, SIGN_IN, allow, ask, deny, show_code
from api.oauth.mail_pages import (
    show_confirmation,
    show_edit_password,
    show_forgotten,
    show_mail,
    show_unsubscribe,
    take_address,
    take_confirmation,
    take_forgotten,
    take_mail,
    take_password,
    unsubscribe,
)
from api.oauth.mail_paths import CONFIRMATION, EDIT_PASSWORD, FORGOTTEN, MAIL, MAIL_ADDRESS, UNSUBSCRIBE
from api.oauth.portability_pages import (
    ARCHIVE,
    EXPORT,
    FILES,
    IMPORT,
    IMPORTS,
    export_file,
    show_exports,
    show_import,
    take_import,
)
from api.oauth.public_pages import Handler as PublicHandler
from api.oauth.public_pages import public_page
from api.oauth.sessions import Visit
from api.oauth.signing_in import (
    SIGN_OUT,
    SIGN_UP,
    show_sign_in,
    show_sign_up,
    sign_out,
    take_sign_in,
    take_sign_up,
)
from api.oauth.templating import page, redirect
from api.oauth.web_session import WEB_SESSION, WEB_TOKEN
from api.params import split_pairs
from api.services import Services

Handler = Callable[[Visit], Awaitable[Response]]
PAGES: Final[dict[str, dict[str, Handler]]] = {
    SIGN_IN: {"GET": show_sign_in, "POST": take_sign_in},
    SIGN_UP: {"GET": show_sign_up, "POST": take_sign_up},
    SIGN_OUT: {"POST": sign_out, "DELETE": sign_out},
    AUTHORIZE: {"GET": ask, "POST": allow, "DELETE": deny},
    SHOWN: {"GET": show_code},
    FORGOTTEN: {"GET": show_forgotten, "POST": take_forgotten},
    EDIT_PASSWORD: {"GET": show_edit_password, "POST": take_password},
    CONFIRMATION: {"GET": show_confirmation, "POST": take_confirmation},
    MAIL: {"GET": show_mail, "POST": take_mail},
    MAIL_ADDRESS: {"POST": take_address},
    WEB_TOKEN: {**WEB_SESSION},
    UNSUBSCRIBE: {"GET": show_unsubscribe, "POST": unsubscribe},
    EXPORT: {"GET": show_exports},
    IMPORT: {"GET": show_import, "POST": take_import},
    IMPORTS: {"GET": show_import, "POST": take_import},
    **{path: {"GET": export_file} for path in (ARCHIVE, *FILES)},
}
_TITLES: Final = {401: "Please sign in", 403: "That is not allowed", 404: "There is no such page", 429: "Too often"}


class PageRoute(NamedTuple):
    """What the log calls a page."""

    path: str


class WebPages:
    """The pages of this worker."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes here; none if it isn't a page."""
        return sorted(_found(path)[1])

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a page."""
        method, (route, handlers) = scope["method"], _found(scope["path"])
        scope["route"] = PageRoute(route)
        handler = handlers.get(method)
        if handler is None:
            response = Response(status_code=204 if method == "OPTIONS" else 405)
            response.headers["allow"] = ", ".join([*sorted(handlers), "OPTIONS"])
            await response(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._services.settings.request_timeout_s):
                visit = await Visit.read(self._services, scope, await self._params(scope, receive))
                response = visit.finish(await handler(visit))
        except RookeryError as error:
            response = _trouble(error.status, error.message, error.retry_after_s)
        except TimeoutError:
            response = _trouble(503, "this took longer than its deadline; try again", None)
        await response(scope, receive, send)

    async def _params(self, scope: Scope, receive: Receive) -> Params:
        query = nested(split_pairs(scope["query_string"], "the query string")) if scope["query_string"] else {}
        if scope["method"] == "GET":
            return Params(query)
        bytes_max = body_bytes_max_of(scope, self._services.settings.body_bytes_max)
        body = await read_pairs_or_json(Request(scope, receive), bytes_max, files_max=1)
        return Params({**query, **(body if isinstance(body, dict) else nested(body))})


def _found(path: str) -> tuple[str, dict[str, Handler]]:
    """Return what the log calls a page, and what makes it, by method; none of it for what is no page.

    A slash at the end changes nothing.
    """
    path = path.removesuffix("/")
    known = PAGES.get(path)
    if known is not None:
        return path, known
    public = public_page(path)
    return (path, {}) if public is None else (public[0], {"GET": partial(_show_public, public[1])})


async def _show_public(find: PublicHandler, visit: Visit) -> Response:
    """Show what everybody may read, where there is no web client."""
    found = await find(visit.services, visit.scope)
    return redirect(found.leads_to) if found.leads_to else page(found.template, found.title, found.values)


def _trouble(status: int, sentence: str, retry_after_s: float | None) -> Response:
    title = _TITLES.get(status, "Something is wrong with this request" if status < 500 else "Not now")
    response = page("message", title, {"sentence": f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."}, status)
    if status in (429, 503):
        response.headers["retry-after"] = str(max(1, math.ceil(retry_after_s or RETRY_AFTER_DEFAULT_S)))
    return response
