"""The home timeline's own thin path: the read that decides how fast Rookery feels.

Rules of this file
- One lane request; the bytes that it answers are passed on unread.
- It takes the bare ASGI scope, so neither routing nor FastAPI's parameter machinery runs: those cost more than the
  shard's work. `routes/timelines.py` declares the same
  path, for the documentation, and its function calls this one.
- Rules are not repeated here: parameters, tokens, limits and links come from their modules.

Cost: about 15 us of this worker's time beside the HTTP server's, with a cached token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from api.auth import bearer_of
from api.links import base_of, timeline_links
from api.params import parse_page, parse_query, required_id
from api.services import Services

Headers = list[tuple[bytes, bytes]]
ThinRead = Callable[[Services, MutableMapping[str, Any]], Awaitable[tuple[Headers, bytes]]]
_JSON = (b"content-type", b"application/json")
_cached_base = lru_cache(256)(base_of)


async def read_home(services: Services, scope: MutableMapping[str, Any]) -> tuple[Headers, bytes]:
    """Return headers and JSON of one page of a home timeline. Raises a RookeryError for every refusal."""
    query = parse_query(scope["query_string"])
    host, authorization = b"", None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"host":
            host = value
    token = bearer_of(authorization.decode("latin-1")) if authorization is not None else query.get("auth_token") or None
    auth = services.auth
    if token is None and not auth.is_open:
        await auth.actor(None, 0)  # raises: no token comes before any other complaint
    user_id = required_id(query, "user_id")
    account_id = await auth.actor(token, user_id)
    services.limiter.check_account(account_id, False)
    settings = services.settings
    page = parse_page(query, settings.home_count_default, settings.home_count_max)
    body, newest_id, oldest_id = await services.ask_account(
        account_id, "home", page.max_id, page.since_id, page.min_id, page.count
    )
    headers: Headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"cache-control", b"private, no-store")]
    base = _cached_base(scope["scheme"], host.decode("latin-1"), scope["path"])
    link = timeline_links(base, query, newest_id, oldest_id)
    if link is not None:
        headers.append((b"link", link.encode("latin-1")))
    return headers, body


HOME_READS: dict[str, ThinRead] = {"/api/v1/home_timeline": read_home, "/feed": read_home}
