"""Refusals in the form that Mastodon's clients know: `{"error": "a sentence"}`, some with an `error_description`.

Rules of this file
- The status is our own error's. What clients compare word by word is said in those words: `Record not found`, `The
  access token is invalid`.
- 422 has `details` by field: of a form as many as there are (`FieldsError`), else at most the one that is refused.
- OAuth's endpoints refuse in RFC 6749's form: `{"error": "invalid_grant", "error_description": "a sentence"}`.
- 429 and 503 say `Retry-After`, as everywhere (`api/errors.py`).
"""

from __future__ import annotations

import math
from typing import Any, Final

import orjson
from starlette.responses import Response

from actors.core.errors import InvalidError, NotFoundError, RookeryError, UnauthorizedError
from api.errors import RETRY_AFTER_DEFAULT_S, NotConfiguredError, log_unexpected
from api.mastodon.headers import EXPOSED, ORIGIN

_JSON = "application/json; charset=utf-8"
_INVALID: Final = "ERR_INVALID"
NO_SUCH_PATH = "Not found"
RECORD_NOT_FOUND = "Record not found"
TOKEN_INVALID = "The access token is invalid"
NOT_AVAILABLE = "not available yet"
OUTSIDE_SCOPES = "This action is outside the authorized scopes"
NOBODY = "This method requires an authenticated user"


class NobodyError(InvalidError):
    """A token that stands for no account, where somebody is needed. Its message is the whole sentence."""


class FieldsError(InvalidError):
    """What is wrong with several fields. details: by field, each with a code of Mastodon's and a sentence's end."""

    def __init__(self, sentence: str, details: dict[str, list[dict[str, str]]]) -> None:
        super().__init__(sentence, next(iter(details), None))
        self.details = details


class OAuthError(RookeryError):
    """A refusal of an OAuth endpoint (RFC 6749, 5.2). error: one of its codes; message: for people."""

    def __init__(self, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.error, self.status = error, status


def response_for(error: BaseException, request_id: str) -> Response:
    """Return the answer to any error, as `api/errors.response_for` in Mastodon's form."""
    if isinstance(error, RookeryError) and error.status != 500:
        return refusal_of(error)
    if isinstance(error, TimeoutError):
        return sentence_of(503, "The request took longer than its deadline")
    log_unexpected(error, request_id)
    return sentence_of(500, f"Something went wrong on our side; request {request_id}")


def refusal_of(error: RookeryError) -> Response:
    """Return the answer to a refusal."""
    sentence = error.message
    if isinstance(error, OAuthError):
        return _oauth_refusal(error)
    if isinstance(error, FieldsError):
        whole = {"error": f"Validation failed: {sentence}", "details": error.details}
        return readable(Response(orjson.dumps(whole), error.status, media_type=_JSON))
    if isinstance(error, NobodyError):
        return sentence_of(error.status, sentence)
    field = error.field or ""
    if isinstance(error, NotConfiguredError):
        sentence = NOT_AVAILABLE
    elif isinstance(error, NotFoundError):
        sentence = RECORD_NOT_FOUND
    elif isinstance(error, UnauthorizedError):
        sentence = TOKEN_INVALID
    elif error.status == 422:
        sentence = f"Validation failed: {error.message}"
    return sentence_of(error.status, sentence, error.retry_after_s, field)


def _oauth_refusal(error: OAuthError) -> Response:
    headers = {"cache-control": "no-store", "pragma": "no-cache"}  # RFC 6749, 5.2
    if error.status == 401:
        headers["www-authenticate"] = 'Basic realm="Rookery"'
    body = {"error": error.error, "error_description": error.message}
    return readable(Response(orjson.dumps(body), error.status, headers, media_type=_JSON))


def sentence_of(status: int, sentence: str, retry_after_s: float | None = None, field: str = "") -> Response:
    """Return an error of a status that says one sentence; field: what it is about, if that is known."""
    headers = {}
    if status in (429, 503):
        headers["retry-after"] = str(max(1, math.ceil(retry_after_s or RETRY_AFTER_DEFAULT_S)))
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="Rookery", error="invalid_token"'
    body: dict[str, Any] = {"error": sentence}
    if status == 422:  # which the public description promises with details
        body["details"] = {field: [{"error": _INVALID, "description": sentence}]} if field else {}
    return readable(Response(orjson.dumps(body), status, headers, media_type=_JSON))


def readable(response: Response) -> Response:
    """Let web clients of other origins read an answer."""
    response.raw_headers += [ORIGIN, EXPOSED]
    return response
