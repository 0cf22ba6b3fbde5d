"""How routes answer: ready JSON bytes, or a small dict."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.http.caching import PRIVATE
from api.http.edge import ThinRead
from api.inputs import Inputs
from api.links import cursor_link
from api.native.viewer_flags import for_viewer


def json_bytes(body: bytes, status: int = 200, link: str | None = None) -> Response:
    """Return an answer of bytes that are JSON already."""
    headers = {"link": link} if link else None
    return Response(body, status, headers, media_type="application/json")


def json_value(value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer of a small value of our own making."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def json_page(inputs: Inputs, next_cursor: int, head: bytes, parts: list[bytes]) -> Response:
    """Return a page of a list that goes on by a cursor, with its `Link`.

    head: the object up to the list's bracket; parts: its elements, JSON already; next_cursor: 0 on the last page.
    """
    return _linked(inputs, next_cursor, _page(next_cursor, head, parts))


async def tweet_page(
    inputs: Inputs, reader_id: int, next_cursor: int, head: bytes, parts: list[bytes]
) -> Response:  # fmt: skip
    """As `json_page`, of tweets, as their reader (0: nobody) wants them."""
    body = _page(next_cursor, head, parts)
    return _linked(inputs, next_cursor, await for_viewer(inputs.services, inputs.query, reader_id, body))


def _page(next_cursor: int, head: bytes, parts: list[bytes]) -> bytes:
    following = f'"{next_cursor}"' if next_cursor else "null"
    return head + b",".join(parts) + b'],"next_cursor":' + following.encode() + b"}"


def _linked(inputs: Inputs, next_cursor: int, body: bytes) -> Response:
    base = inputs.services.origins.base(inputs.request.scope)
    return json_bytes(body, link=cursor_link(base, inputs.query, next_cursor))


async def thin_answer(request: Request, read: ThinRead) -> Response:
    """Return what a thin read answers, for the route that documents it (`edge.py` answers without routing)."""
    headers, body = await read(request.app.state.services, request.scope)
    answer = Response(body)
    answer.raw_headers = headers
    return answer


def secret_value(value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer that holds a token: no cache may keep it, though none came with the request."""
    name, kept = (part.decode() for part in PRIVATE)
    return Response(orjson.dumps(value), status, {name: kept}, media_type="application/json")
