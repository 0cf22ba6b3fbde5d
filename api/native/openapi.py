"""What the documentation says beside the models: parameters, bodies, errors, who may call.

Routes read their own input (JSON or forms, with messages that name the value), so FastAPI can't derive these parts from
function signatures. Each route says them with the functions below, right above the code that they describe.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from actors.core.ids import ID_MAX
from api import limits
from api.http import body
from api.native.mail_models import MAIL_REQUESTS
from api.native.models import REQUEST_MODELS, ErrorReply
from api.native.webhook_models import WEBHOOK_REQUESTS
from api.positions import POSITION_HEADER, POSITION_PATTERN

Json = dict[str, Any]
_REFS = "#/components/schemas/{model}"
_ID: Json = {"type": "string", "pattern": "^[0-9]{1,19}$", "description": f"1 to {ID_MAX}"}
_CURSOR: Json = {"type": "string", "pattern": "^[0-9]{1,19}$"}
_COUNT: Json = {"type": "integer", "minimum": 1, "maximum": 200, "default": 20}
_TOKEN: Json = {"type": "string", "maxLength": limits.TOKEN_CHARS_MAX}
_MEANINGS = {
    400: "The request can't be read",
    401: "No token, or an unknown one",
    403: "A valid token, but not of the account that this concerns",
    404: "There is no such account or tweet, or you may not see it",
    408: "The rest of the body doesn't come",
    409: "The name is taken, or the password was changed meanwhile",
    413: "The body is too large",
    414: "The path is too long",
    415: "The body has a content type that isn't taken",
    422: "A value is missing or outside what is allowed",
    429: "Too many requests; see Retry-After",
    431: "The head, or a line of it, is too large",
    503: "Overloaded or recovering; nothing was changed; see Retry-After",
}
_READ_ERRORS, _BODY_ERRORS = (400, 414, 422, 429, 431, 503), (400, 408, 413, 414, 415, 422, 429, 431, 503)
_RETRY_AFTER: Json = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds"}}
LINK_HEADER: Json = {"Link": {"schema": {"type": "string"}, "description": "RFC 8288: rel=next and rel=prev"}}
PARTIAL_HEADER = "Rookery-Partial"  # of answers that are arrays: "answered/of", where shards are missing
_PARTIAL: Json = {
    PARTIAL_HEADER: {
        "schema": {"type": "string", "pattern": "^[0-9]+/[0-9]+$"},
        "description": "How many shards answered, of how many; only if some didn't",
    }
}


def errors(*statuses: int, body: bool = False, page: bool = False, partial: bool = False) -> dict[int | str, Json]:
    """Return the error answers of a route: those that every one has, and these. page, partial: headers of its 200."""
    answers: dict[int | str, Json] = {}
    for status in sorted({*statuses, *(_BODY_ERRORS if body else _READ_ERRORS)}):
        answers[status] = {"model": ErrorReply, "description": _MEANINGS[status]}
        if status in (429, 503):
            answers[status]["headers"] = _RETRY_AFTER
    if page or partial:
        answers[200] = {"headers": {**(LINK_HEADER if page else {}), **(_PARTIAL if partial else {})}}
    return answers


def operation(
    *parameters: Json, model: type[BaseModel] | None = None, token: str | None = None, body_required: bool = True
) -> Json:
    """Return the parts of an operation. token: "required", "optional" or None where none is looked at."""
    extra: Json = {}
    if model is not None:
        schema = {"$ref": _REFS.format(model=model.__name__)}
        kinds = (body.JSON, body.FORM, body.MULTIPART)
        extra["requestBody"] = {"required": body_required, "content": {kind: {"schema": schema} for kind in kinds}}
    if token is not None:
        extra["security"] = [{"bearer": []}, {"auth_token": []}] + ([{}] if token == "optional" else [])
    if parameters:
        extra["parameters"] = list(parameters)
    return extra


def path_id(name: str, description: str) -> Json:
    """Return an id in the path."""
    return {"name": name, "in": "path", "required": True, "schema": _ID, "description": description, "example": "42"}


def query_id(name: str, description: str, required: bool = False) -> Json:
    """Return an id in the query."""
    return {"name": name, "in": "query", "required": required, "schema": _ID, "description": description}


PAGE: tuple[Json, ...] = (
    query_id("max_id", "Only older than this, exclusive"),
    query_id("since_id", "Only newer than this; the newest of them"),
    query_id("min_id", "Only newer than this; the ones right after it"),
    {"name": "count", "in": "query", "schema": _COUNT, "description": "How many at most"},
)
CURSOR: tuple[Json, ...] = (
    {"name": "cursor", "in": "query", "schema": _CURSOR, "description": "`next_cursor` of the page before"},
    {"name": "count", "in": "query", "schema": _COUNT, "description": "How many at most"},
)
IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": r"^[!-~]+$", "minLength": 1, "maxLength": limits.IDEMPOTENCY_KEY_CHARS_MAX},
    "description": "Any text of your choice; the same request with the same key gets the same answer, and does nothing",
}


_POSITION: Json = {"type": "string", "pattern": POSITION_PATTERN, "example": "0.42"}
_POSITION_GIVEN: Json = {
    "name": POSITION_HEADER,
    "in": "header",
    "schema": _POSITION,
    "description": "From an earlier answer: what is read includes what was written then",
}
_POSITION_WRITTEN: Json = {"schema": _POSITION, "description": "Send it along with reads that must see this write"}


def _describe_positions(document: Json) -> None:
    """Add the header of `positions.py` to everything but what belongs to operation."""
    for item in document["paths"].values():
        for method, described in item.items():
            if "operation" in described["tags"]:
                continue
            described.setdefault("parameters", []).append(_POSITION_GIVEN)
            for status, answer in described["responses"].items():
                if method != "get" and status.startswith("2"):
                    answer.setdefault("headers", {})[POSITION_HEADER] = _POSITION_WRITTEN


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` return the whole document: FastAPI's, and the parts that it can't know."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            models = (*REQUEST_MODELS, *MAIL_REQUESTS, *WEBHOOK_REQUESTS)
            _, requests = models_json_schema([(model, "validation") for model in models], ref_template=_REFS)
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(requests["$defs"])
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "From `POST /api/v1/login`"},
                "auth_token": {"type": "apiKey", "in": "query", "name": "auth_token"},
            }
            _describe_positions(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
