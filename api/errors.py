"""The one place where a refusal becomes an HTTP answer.

Rules of this file
- Every error answer has the shape `{"error": {"code", "message", "field"}}`, whoever raised it: our own
  `RookeryError`s carry code and status; the framework's 404, 405 and validation errors are translated.
- 429 and 503 always carry `Retry-After` in whole seconds, rounded up.
- Anything unexpected is logged with the request id and answered 500 with a fixed sentence: no traceback, no value.
  Input must never lead there; if it does, the log is bounded (`log_unexpected`).
"""

from __future__ import annotations

import asyncio
import math
import traceback

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from actors.core.errors import MalformedError, NotFoundError, OverloadedError, RookeryError
from actors.log_bound import Budget

RETRY_AFTER_DEFAULT_S = 1.0
_STATUSES_TO_RETRY = (429, 503)
_STATUSES_TO_CLOSE = (408, 413, 414, 431)
_FRAMEWORK_CODES = {400: "malformed", 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large"}
FRAMES_MAX = 20  # of a traceback, the innermost: a recursion has a thousand
DEFECTS_PER_S_MAX = 10  # that are logged, of one kind one: whoever finds a way to cause them would fill the disk
_log = structlog.get_logger("rookery.api")
_defects = Budget(kind_max=1, all_max=DEFECTS_PER_S_MAX)


class UnsupportedMediaError(RookeryError):
    """A body of a content type that no call takes."""

    code, status = "unsupported_media_type", 415


class FilesError(MalformedError):
    """A form with a file in it, which no call takes yet."""


class TooSlowError(RookeryError):
    """A request of which not all has come in time."""

    code, status = "request_timeout", 408


class HeadTooLargeError(RookeryError):
    """A request's head, or one line of it, that is larger than any that makes sense."""

    code, status = "head_too_large", 431


class UriTooLongError(RookeryError):
    """A path that is longer than any there is."""

    code, status = "uri_too_long", 414


class NotConfiguredError(NotFoundError):
    """Something that this server was not set up for."""


class MethodNotAllowedError(RookeryError):
    """The path exists, with other methods."""

    code, status = "method_not_allowed", 405


def error_body(code: str, message: str, field: str | None = None) -> bytes:
    """Return the JSON of an error answer."""
    return orjson.dumps({"error": {"code": code, "message": message, "field": field}})


def response_for(error: BaseException, request_id: str) -> Response:
    """Return the answer to any error. Unexpected ones are logged here, with their traceback, and nowhere else."""
    if isinstance(error, RookeryError) and error.status != 500:
        return _known(error)
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return _known(OverloadedError("the request took longer than its deadline; try again"))
    if isinstance(error, RequestValidationError):
        return _known(_from_validation(error))
    if isinstance(error, ClientDisconnect):
        return _known(MalformedError("the connection ended before the request was complete"))
    if isinstance(error, HTTPException):
        return _from_framework(error)
    log_unexpected(error, request_id)
    return _json(500, error_body("internal", f"something went wrong on our side; request {request_id}"))


def log_unexpected(error: BaseException, request_id: str) -> None:
    """Log a defect of ours: frames without their locals and without the message, as both may hold a token or a text.

    Defects of one kind come from one line. What is beyond the bounds is counted, and never rendered.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = (last.tb_frame.f_code.co_filename, last.tb_lineno) if last is not None else None
    left_out = _defects.take((type(error).__name__, where))
    if left_out < 0:
        return
    frames = "".join(traceback.format_tb(error.__traceback__, -FRAMES_MAX))
    more = {"left_out_before": left_out} if left_out else {}
    _log.error("unexpected_error", request_id=request_id, error=type(error).__name__, frames=frames, **more)


def _known(error: RookeryError) -> Response:
    headers: dict[str, str] = {}
    if error.status in _STATUSES_TO_RETRY:
        wait_s = RETRY_AFTER_DEFAULT_S if error.retry_after_s is None else error.retry_after_s
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.status in _STATUSES_TO_CLOSE:
        headers["connection"] = "close"  # the rest is not read
    code = "unavailable" if error.code == "moved" else error.code
    return _json(error.status, error_body(code, error.message, error.field), headers)


def _from_validation(error: RequestValidationError) -> MalformedError:
    first = error.errors()[0] if error.errors() else {"msg": "the request can't be read", "loc": ()}
    return MalformedError(str(first["msg"]), str(first["loc"][-1]) if first["loc"] else None)


def _from_framework(error: HTTPException) -> Response:
    code = _FRAMEWORK_CODES.get(error.status_code, "invalid" if error.status_code < 500 else "unavailable")
    message = "there is nothing at this path" if error.status_code == 404 else str(error.detail)
    return _json(error.status_code, error_body(code, message), dict(error.headers or {}))


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")
