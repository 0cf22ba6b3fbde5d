"""The home timeline's own thin path: the read that decides how fast Rookery feels.

Rules of this file
- One lane request; the bytes that it answers are passed on unread.
- Neither routing nor FastAPI's parameter machinery runs: those cost more than the shard's work. `routes/timelines.py`
  declares the same path, for the documentation, and its function calls this one.
- There are two ways here, and both are made of the same steps: `read_home` on a bare ASGI scope, and, for ordinary
  requests, the row FAST_HOME inside the HTTP protocol (`api/http/fast_exchange.py`).
- On the short way a token that isn't known travels with the request: the shard checks it before it looks at anything
  else. Until then nothing is taken from the account's rate, or strangers could use it up; the address's has been.
- Rules are not repeated here: parameters, tokens, limits and links come from their modules.

Cost: about 10 us of this worker's time beside the HTTP server's, with a cached token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, MutableMapping
from typing import Any, Final, NamedTuple

from actors.core.ids import bucket_of_account
from api.access.auth import UnprovenToken, bearer_of
from api.http.caching import PRIVATE, TOKEN_NAME, Headers
from api.http.edge import ThinRead
from api.http.fast_exchange import FastExchange, FastRead
from api.links import timeline_links
from api.native.viewer_flags import NAME as FLAGS_NAME
from api.native.viewer_flags import for_viewer
from api.params import parse_page, parse_query, required_id
from api.services import Services

JSON = (b"content-type", b"application/json")


class HomeRequest(NamedTuple):
    """What a request for a home timeline says, before anybody looked at whether it may."""

    query: dict[str, str]
    host: bytes
    token: str | None
    user_id: int


def parse_sender(query: dict[str, str], headers: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, bytes]:
    """Return (the token, if one is given; the Host header). Raises UnauthorizedError."""
    host, authorization = b"", None
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"host":
            host = value
    token = bearer_of(authorization.decode("latin-1")) if authorization is not None else query.get(TOKEN_NAME) or None
    return token, host


def parse_home(services: Services, query_string: bytes, headers: Iterable[tuple[bytes, bytes]]) -> HomeRequest:
    """Read query and headers. Raises a RookeryError; that no token was given comes before any other complaint."""
    query = parse_query(query_string)
    token, host = parse_sender(query, headers)
    if token is None and not services.auth.is_open:
        services.auth.known_actor(None, 0)  # raises
    return HomeRequest(query, host, token, required_id(query, "user_id"))


def home_arguments(services: Services, account_id: int, query: dict[str, str]) -> list[int]:
    """Return the arguments of the lane's `home`. Raises MalformedError or InvalidError."""
    settings = services.settings
    page = parse_page(query, settings.home_count_default, settings.home_count_max)
    return [account_id, page.max_id, page.since_id, page.min_id, page.count]


def home_answer(request: HomeRequest, origin: str, path: str, reply: Any) -> tuple[Headers, bytes]:
    """Return headers and body of the answer. origin: see `Origins`; reply: the lane's."""
    body, newest_id, oldest_id = reply
    headers: Headers = [JSON, (b"content-length", b"%d" % len(body)), PRIVATE]
    link = timeline_links(origin + path, request.query, newest_id, oldest_id)
    if link is not None:
        headers.append((b"link", link.encode("latin-1")))
    return headers, body


async def read_home(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of one page of a home timeline. Raises a RookeryError for every refusal."""
    request = parse_home(services, scope["query_string"], scope["headers"])
    account_id = await services.auth.actor(request.token, request.user_id)
    services.limiter.check_account(account_id, False)
    services.search.queue.home_read(time.perf_counter())
    arguments = home_arguments(services, account_id, request.query)
    reply = await services.ask_account(account_id, "home", *arguments[1:])
    if FLAGS_NAME in request.query:
        reply[0] = await for_viewer(services, request.query, account_id, reply[0])
    origin = services.origins.of(scope["scheme"], request.host, scope.get("client"), scope["headers"])
    return home_answer(request, origin, scope["path"], reply)


HOME_PATHS: Final = ("/api/v1/home_timeline", "/feed")
HOME_READS: dict[str, ThinRead] = dict.fromkeys(HOME_PATHS, read_home)


# ---- inside the HTTP protocol ---------------------------------------------------------------------------------------


# A request, the lane's arguments, and the token that the shard is to check, if it isn't known here.
HomeAsked = tuple[HomeRequest, list[Any], UnprovenToken | None]


def _parse_fast(
    services: Services, query_string: bytes, headers: Iterable[tuple[bytes, bytes]], _: bytes
) -> tuple[int, HomeAsked] | None:
    request = parse_home(services, query_string, headers)
    if FLAGS_NAME in request.query:
        return None
    user_id = request.user_id
    arguments: list[Any] = home_arguments(services, user_id, request.query)
    if services.auth.known_actor(request.token, user_id):
        return user_id, (request, arguments, None)
    unproven = services.auth.unproven(request.token, user_id)
    return None if unproven is None else (0, (request, [*arguments, 0, unproven.secret_hash], unproven))


def _ask_fast(services: Services, asked: HomeAsked, exchange: FastExchange) -> None:
    services.search.queue.home_read(exchange.started_s)
    arguments = asked[1]
    timeout_s = services.settings.request_timeout_s
    services.cluster.send(bucket_of_account(arguments[0]), "home", arguments, timeout_s, exchange.take)


def _answer_fast(services: Services, asked: HomeAsked, exchange: FastExchange, reply: Any) -> tuple[Headers, bytes]:
    request, _, unproven = asked
    if unproven is not None:
        services.auth.proven(unproven)
        services.limiter.check_account(request.user_id, False)
    return home_answer(request, exchange.origin(request.host), exchange.path, reply)


# Whoever sends other characters in a query gets the long way.
FAST_HOME: Final = FastRead(re.compile(rb"[A-Za-z0-9_.~&=%+-]*"), _parse_fast, _ask_fast, _answer_fast)
