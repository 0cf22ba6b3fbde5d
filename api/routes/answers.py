"""How routes answer: ready JSON bytes, or a small dict."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.caching import PRIVATE
from api.hot import ThinRead


def json_bytes(body: bytes, status: int = 200, link: str | None = None) -> Response:
    """Return an answer of bytes that are JSON already."""
    headers = {"link": link} if link else None
    return Response(body, status, headers, media_type="application/json")


def json_value(value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer of a small value of our own making."""
    return Response(orjson.dumps(value), status, media_type="application/json")


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
