"""The pages of the web client: one shell at every address that a screen has, with what is read before it takes over.

    edge.py --> WebSite --/assets/VERSION/...--> assets.py
                  |  /@name, /@name/ID, /tags/NAME: what everybody may read is in the page (`oauth/public_pages.py`)
                  |  /, /explore, ...: the shell alone
                  +--> /sw.js, /manifest.webmanifest, /favicon.svg, /robots.txt
                  +--(none of these)--> the pages of signing in (`oauth/pages.py`)

Rules of this file
- A page is the same for everybody who asks for it: whoever is signed in is found out by the client. So it may be kept,
  if it is asked each time whether it still is so (`no-cache` with an ETag), and no cookie is looked at or set.
- Where there is nothing to read, the shell comes all the same, with 404: who is signed in may see more than nobody.
- `web.enabled` off: there is none of this, and the public pages are those of `oauth/pages.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.types import Receive, Scope, Send

from actors.core.errors import RookeryError
from api.errors import RETRY_AFTER_DEFAULT_S
from api.http.caching import Headers
from api.http.edge import IS_HEAD, SecondFace
from api.oauth import templating
from api.oauth.public_pages import PublicPage, public_page
from api.services import Services
from api.web.assets import FOR_EVER, PREFIX, SERVICE_WORKER, Asset, asset_of, client_files
from api.web.manifest import ICON, ROBOTS, manifest_of, worker_of
from api.web.policy import ALWAYS, page_headers, policy_of

METHODS: Final = ("GET", "HEAD", "OPTIONS")
_ASKED_ANEW: Final = b"no-cache"
_HTML: Final = b"text/html; charset=utf-8"
_FIRST_STYLES: Final = ("styles/tokens.css", "styles/base.css", "styles/reading.css")
_FOLDERS: Final = (Path(__file__).parent / "templates", Path(templating.__file__).parent / "templates")
_ALLOW: Final[Headers] = [(b"allow", ", ".join(METHODS).encode()), (b"content-length", b"0")]


class ClientRoute(NamedTuple):
    """An address that a screen has. path: what the log calls it; modules: of its screen."""

    path: str
    modules: tuple[str, ...]
    title: str


def _screen(path: str, name: str, title: str) -> ClientRoute:
    return ClientRoute(path, (f"screens/{name}.js",), title)


ROUTES: Final = {
    route.path: route
    for route in (
        ClientRoute("/", ("screens/home.js", "screens/public.js"), ""),
        _screen("/explore", "explore", "Explore"),
        _screen("/search", "search", "Search"),
        _screen("/notifications", "notifications", "Notifications"),
        _screen("/messages", "messages", "Messages"),
        _screen("/bookmarks", "bookmarks", "Bookmarks"),
        _screen("/likes", "likes", "Likes"),
        _screen("/lists", "lists", "Lists"),
        _screen("/compose", "compose", "Write"),
        _screen("/drafts", "drafts", "Drafts"),
        _screen("/settings", "settings", "Settings"),
        _screen("/keys", "keys", "Keys"),
        ClientRoute("/signed-in", (), "Signing in"),
    )
}
_LIST: Final = _screen("/lists/{id}", "lists", "Lists")
_LIST_PATH: Final = re.compile(r"/lists/[0-9]{1,19}", re.ASCII)
_PUBLIC_MODULES: Final = {
    "/@{name}": ("screens/profile.js",),
    "/@{name}/{id}": ("screens/conversation.js",),
    "/tags/{name}": ("screens/tag.js",),
}


def client_route(path: str) -> ClientRoute | None:
    """Return the route of a path that is a screen's, None for what is none, or has text of the server's in it."""
    if path != "/":
        path = path.removesuffix("/")
    return _LIST if _LIST_PATH.fullmatch(path) else ROUTES.get(path)


class WebSite:
    """All that the web client gets without Mastodon's API, in front of the pages of signing in."""

    def __init__(self, services: Services, pages: SecondFace) -> None:
        self._services, self._pages = services, pages
        settings = services.settings
        self._assets = client_files()
        self._headers = page_headers(policy_of(settings.media_url, settings.public_url))
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDERS), autoescape=True, undefined=StrictUndefined, auto_reload=False,
            trim_blocks=True,
        )  # fmt: skip
        self._styles = [self._assets.address(name) for name in self._assets.styles(_FIRST_STYLES)]
        self._facts = orjson.dumps(
            {
                "version": self._assets.version, "title": settings.instance.title, "auth": settings.auth_mode,
                "registrations": settings.registrations, "mail": settings.sends_mail, "push": settings.sends_push,
                "media": [settings.media_url, settings.public_url], "chars": settings.tweet_max_chars,
            }
        ).decode()  # fmt: skip
        title = settings.instance.title
        self._at_root = {
            "/favicon.svg": self._assets.files.get(ICON, asset_of(ICON, "image/svg+xml", b"")),
            "/manifest.webmanifest": asset_of("manifest", "application/manifest+json", manifest_of(title)),
            "/robots.txt": asset_of("robots", "text/plain; charset=utf-8", ROBOTS),
            f"/{SERVICE_WORKER}": worker_of(self._assets),
        }
        self._shells: dict[str, Asset] = {}  # of ROUTES, which are few

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes here; none if it is none of these."""
        return list(METHODS) if self._answer_of(path) is not None else self._pages.methods_of(path)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of these paths."""
        path = scope["path"]
        found = self._answer_of(path)
        if found is None:
            await self._pages.serve(scope, receive, send)
            return
        scope["route"] = ClientRoute(found[0], (), "")
        if scope["method"] != "GET":
            await _send(send, 204 if scope["method"] == "OPTIONS" else 405, _ALLOW, b"")
            return
        answer = found[1]
        if answer is not None:
            await self._send_asset(scope, send, *answer())
            return
        await self._serve_public(scope, send)

    def _answer_of(self, path: str) -> tuple[str, Callable[[], tuple[Asset | None, bytes, Headers]] | None] | None:
        """Return what the log calls a path, and what finds its file, how long it is kept, and its headers.

        None in the place of the latter for a page that has to be asked for; None for what isn't of the client.
        """
        if path.startswith(PREFIX):
            return f"{PREFIX}{{file}}", lambda: (self._assets.find(path), FOR_EVER, ALWAYS)
        at_root = self._at_root.get(path)
        if at_root is not None:
            headers = self._headers if path == f"/{SERVICE_WORKER}" else ALWAYS
            return path, lambda: (at_root, _ASKED_ANEW, headers)
        route = client_route(path)
        if route is not None:
            return route.path, lambda: (self._shell_of(route), _ASKED_ANEW, self._headers)
        public = public_page(path.removesuffix("/"))
        return None if public is None else (public[0], None)

    async def _send_asset(
        self, scope: Scope, send: Send, asset: Asset | None, caching: bytes, more: Headers, status: int = 200
    ) -> None:
        asked = dict(scope["headers"])
        if asset is None:
            body = b"there is no such file in this version\n"
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *ALWAYS]
            await _send(send, 404, [*headers, (b"content-length", b"%d" % len(body))], body)
            return
        headers, body = asset.answer(_takes_gzip(asked.get(b"accept-encoding", b"")), caching)
        headers += [(b"etag", asset.etag), *more]
        if status == 200 and asset.etag in asked.get(b"if-none-match", b""):
            kept = [header for header in headers if header[0] not in (b"content-length", b"content-encoding")]
            await _send(send, 304, kept, b"")
            return
        await _send(send, status, headers, b"" if scope["state"].get(IS_HEAD) else body)

    async def _serve_public(self, scope: Scope, send: Send) -> None:
        public = public_page(scope["path"].removesuffix("/"))
        assert public is not None
        name, find = public
        status, more = 200, self._headers
        try:
            async with asyncio.timeout(self._services.settings.request_timeout_s):
                page = await find(self._services, scope)
        except RookeryError as error:
            status, page = error.status, _trouble(error.message)
            if status in (429, 503):
                wait_s = max(1, math.ceil(error.retry_after_s or RETRY_AFTER_DEFAULT_S))
                more = [*more, (b"retry-after", b"%d" % wait_s)]
        except TimeoutError:
            status, page = 503, _trouble("this took longer than its deadline; try again")
            more = [*more, (b"retry-after", b"%d" % RETRY_AFTER_DEFAULT_S)]
        if page.leads_to:
            headers = [
                (b"location", page.leads_to.encode()),
                (b"cache-control", _ASKED_ANEW),
                (b"content-length", b"0"),
            ]
            await _send(send, 303, [*headers, *ALWAYS], b"")
            return
        address = f"{self._services.origins.origin(scope)}{scope['path']}"
        asset = self._rendered(page, _PUBLIC_MODULES[name], address)
        await self._send_asset(scope, send, asset, _ASKED_ANEW, more, status)

    def _shell_of(self, route: ClientRoute) -> Asset:
        known = self._shells.get(route.path)
        if known is None:
            known = self._rendered(PublicPage("shell", "", {}, kind=""), route.modules, "")
            self._shells[route.path] = known
        return known

    def _rendered(self, page: PublicPage, modules: tuple[str, ...], address: str) -> Asset:
        """Return a page as it is served. 120 us."""
        assets, settings = self._assets, self._services.settings
        text = self._environment.get_template(f"{page.template}.html").render(
            page.values, layout="shell.html", heading=page.title, description=page.description, kind=page.kind,
            picture=page.picture, address=address, language=settings.instance.languages[0] or "en",
            facts=self._facts, site=settings.instance.title, styles=self._styles, main=assets.address("main.js"),
            modules=[assets.address(name) for name in assets.needed("main.js", *modules)],
        )  # fmt: skip
        body = text.encode(errors="replace")
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'.encode()
        return Asset("shell", _HTML.decode(), body, b"", etag)


def _trouble(sentence: str) -> PublicPage:
    said = f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."
    return PublicPage("message", "Nothing to read here", {"sentence": said}, kind="")


def _takes_gzip(accepted: bytes) -> bool:
    """Whether a client takes packed answers (RFC 9110, 12.5.3); who says `gzip;q=0` doesn't."""
    for each in accepted.lower().split(b","):
        name, _, quality = each.partition(b";")
        if name.strip() == b"gzip":
            return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
