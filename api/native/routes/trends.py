"""Trends: what is written about more than usual."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError
from api.limits import TREND_COUNT_MAX
from api.native.models import Trends
from api.native.openapi import errors, operation
from api.native.routes.answers import json_bytes
from api.params import parse_count, parse_query, shown
from api.services import Services

router = APIRouter(tags=["search"])
WINDOWS, KINDS = ("10m", "1h", "24h"), ("hashtag", "phrase", "link")
_LANG_CHARS = (2, 3)


@router.get(
    "/api/v1/trends",
    response_model=Trends,
    summary="Trends",
    responses=errors(),
    openapi_extra=operation(
        {
            "name": "window", "in": "query", "schema": {"enum": list(WINDOWS), "default": "1h"},
            "description": "How far back",
        },
        {
            "name": "lang", "in": "query", "schema": {"type": "string", "pattern": "^[A-Za-z]{2,3}$"},
            "description": "Only of tweets in that language",
        },
        {"name": "kind", "in": "query", "schema": {"enum": list(KINDS)}, "description": "Only of that kind"},
        {
            "name": "count", "in": "query", "description": "How many at most",
            "schema": {"type": "integer", "minimum": 1, "maximum": TREND_COUNT_MAX, "default": 10},
        },
    ),
)  # fmt: skip
async def trends(request: Request) -> Response:
    """Hashtags, phrases and links that rise, against their own usual level and by how many accounts."""
    services: Services = request.app.state.services
    query = parse_query(request.scope["query_string"])
    window = _choice(query, "window", WINDOWS) or "1h"
    kind, lang = _choice(query, "kind", KINDS), query.get("lang", "").lower() or None
    if lang is not None and not (len(lang) in _LANG_CHARS and lang.isascii() and lang.isalpha()):
        raise InvalidError(f'lang must be a code of 2 or 3 letters such as "en", not {shown(lang)}', "lang")
    count = parse_count(query, 10, TREND_COUNT_MAX)
    return json_bytes(await services.search.trends(window, lang, kind, count))


def _choice(query: dict[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = query.get(name, "")
    if value and value not in choices:
        raise InvalidError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}", name)
    return value or None
