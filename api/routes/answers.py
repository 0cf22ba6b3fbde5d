"""How routes answer: ready JSON bytes, or a small dict."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def json_bytes(body: bytes, status: int = 200, link: str | None = None) -> Response:
    """Return an answer of bytes that are JSON already."""
    headers = {"link": link} if link else None
    return Response(body, status, headers, media_type="application/json")


def json_value(value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer of a small value of our own making."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def secret_value(value: dict[str, Any], status: int = 200) -> Response:
    """Return an answer that holds a token: no cache may keep it."""
    return Response(orjson.dumps(value), status, {"cache-control": "no-store"}, media_type="application/json")
