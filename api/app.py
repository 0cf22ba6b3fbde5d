"""Puts the API together: routes, error mapping, documentation, and the edge round it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from actors.core.errors import RookeryError
from api.errors import MethodNotAllowedError, response_for
from api.http.edge import Edge, allowed_methods, options_response
from api.mastodon.app import MastodonApi
from api.mastodon.errors import NO_SUCH_PATH, sentence_of
from api.mastodon.version import VERSION
from api.media_files import MediaFiles
from api.native.hot import HOME_READS
from api.native.openapi import install_openapi
from api.native.routes import (
    follows,
    health,
    mail,
    notifications,
    pins,
    portability,
    profiles,
    scheduled,
    search,
    streams,
    timelines,
    trends,
    tweet_lists,
    tweets,
    users,
    webhooks,
    wrk2,
)
from api.oauth.pages import WebPages
from api.ports import Cluster
from api.search.reads import SEARCH_READS
from api.services import Services
from api.settings import ApiSettings
from api.streaming.gaps import GapReader
from api.streaming.streams import Streams
from api.web.pages import WebSite

_DESCRIPTION = """Timelines over HTTP. Ids are decimal strings. Bodies may be JSON or forms. Every error has the shape
`{"error": {"code", "message", "field"}}`. Register with `POST /api/v1/users`, then send the token as
`Authorization: Bearer TOKEN`."""
_TAGS = [
    {"name": "accounts", "description": "Register, log in, log out; passwords"},
    {"name": "tweets", "description": "Write, read, delete, like, repost, bookmark, pin; threads"},
    {"name": "timelines", "description": "Home, and one account's own"},
    {"name": "search", "description": "Tweets, accounts, hashtags, suggestions, trends"},
    {"name": "follows", "description": "Follow, block, mute; lists of accounts"},
    {"name": "profiles", "description": "What an account says of itself"},
    {"name": "operation", "description": "Liveness, readiness, metrics"},
]

MASTODONS = ("/api/", "/oauth/", "/.well-known/", "/nodeinfo/")  # where a path that isn't there is refused in its form


def create_app(
    cluster: Cluster,
    settings: ApiSettings,
    clock: Callable[[], float] = time.monotonic,
    worker: str = "api-0",
) -> FastAPI:
    """Return the ASGI app.

    cluster: the way to the shards; clock: seconds that only grow (rate limits, token cache);
    worker: its name in metrics.
    `app.state.drop_token(account_id, secret_hash or None)` is to be called for every `revoked` push of a shard.
    """
    modules = [
        tweets,
        timelines,
        search,
        trends,
        webhooks,
        notifications,
        streams,
        tweet_lists,
        pins,
        scheduled,
        follows,
        profiles,
        users,
        mail,
        portability,
        health,
    ]  # the busiest first: routes match in order
    tags, thin_reads = list(_TAGS), {**HOME_READS, **SEARCH_READS}
    if settings.wrk2_api:
        modules.append(wrk2)
        tags.append({"name": "wrk2", "description": "The paths of DeathStarBench's social network"})
        thin_reads.update(wrk2.THIN_READS)
    services = Services(cluster, settings, clock, worker, frozenset(thin_reads))
    services.hub.filling.read_gap = GapReader(services).read
    services.streams = Streams(services, services.hub)
    pages = WebSite(services, WebPages(services)) if settings.web_enabled else WebPages(services)
    faces: Any = {"second_face": MastodonApi(services), "pages": pages, "files": MediaFiles(services)}
    services.is_mastodons = faces["second_face"].methods_of
    app = FastAPIOffline(
        title="Rookery",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_tags=tags,
        static_url="/docs-assets",  # Swagger UI from the package: /docs works without the internet
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # 4 us a request; spans would show query strings
        generate_unique_id_function=lambda route: route.name,
        middleware=[Middleware(Edge, services=services, thin_reads=thin_reads, **faces)],
    )
    app.state.services = services
    app.state.drop_token = services.auth.drop_token
    for module in modules:
        app.router.routes.extend(module.router.routes)  # include_router wraps each again: 40 us a request
    services.token_paths = [
        route.path_regex
        for route in app.routes
        if isinstance(route, APIRoute)
        and "security" in (route.openapi_extra or {})
        and route.name not in users.TOKEN_WITH_BODY
    ]
    _install_error_mapping(app)
    install_openapi(app)
    return app


def _install_error_mapping(app: FastAPI) -> None:
    async def on_error(request: Request, error: Exception) -> Response:
        return response_for(error, request.state.request_id)

    async def on_framework_error(request: Request, error: Exception) -> Response:
        is_nowhere = isinstance(error, HTTPException) and error.status_code == 404
        if is_nowhere and request.scope["path"].startswith(MASTODONS):
            return sentence_of(404, NO_SUCH_PATH)
        if not isinstance(error, HTTPException) or error.status_code != 405:
            return await on_error(request, error)
        methods = allowed_methods(app.routes, request.scope["path"])  # .url is made of Host, and kept
        if request.method == "OPTIONS":
            return options_response(methods)
        refusal = MethodNotAllowedError(f"this path takes {', '.join(methods)}, not {request.method[:20]}")
        response = response_for(refusal, request.state.request_id)
        response.headers["allow"] = ", ".join(methods)
        return response

    app.add_exception_handler(RookeryError, on_error)
    app.add_exception_handler(RequestValidationError, on_error)
    app.add_exception_handler(HTTPException, on_framework_error)
