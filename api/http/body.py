"""Reads a request body, whatever of the three kinds it is, into one dict of values.

Rules of this file
- What begins with `{` is JSON, whatever Content-Type says: `curl --data '{...}'` calls it a form, others text/plain.
  White space and a byte order mark may stand before it. No client means a form by that: whoever encodes one writes a
  `{` as `%7B`, so only a form put together by hand could begin so, and it is told. (Nor does a browser do anything in
  somebody's name by such a request, which it sends without asking: tokens are sent by hand, not by the browser.)
- Else it is JSON, `application/x-www-form-urlencoded` or `multipart/form-data`, by Content-Type; nothing else (415).
  A body without a Content-Type is read as JSON.
- An empty body is an empty dict, whatever it is called: there is nothing in it to be of a wrong kind (clients such as
  aiohttp call it application/octet-stream). Where something is needed, what is missing is named.
- A body is complete before a route is asked (`http/protocol.py`), and within the size limit (413).
- JSON is strict (orjson): no NaN, no lone surrogates, no nesting beyond 1,024; of a key given twice the last counts.
- In forms a name given twice, or one that ends in `[]`, makes a list.

What it deliberately doesn't do: files. A multipart part with a file name is refused (400).
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from actors.core.errors import MalformedError, TooLargeError
from api.errors import UnsupportedMediaError
from api.http.text_parts import parse_parts
from api.params import split_pairs

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_BLANKS = b" \t\r\n"  # RFC 8259, section 2


async def read_body(request: Request, bytes_max: int) -> dict[str, Any]:
    """Return the values of the body. Raises MalformedError, TooLargeError or UnsupportedMediaError."""
    raw = await _read_bytes(request, bytes_max)
    if not raw:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if is_json_object(raw):
        return _parse_json(raw, kind)
    if kind not in ("", JSON, FORM, MULTIPART):
        raise UnsupportedMediaError(f"a body may be {JSON}, {FORM} or {MULTIPART}, not {kind[:60]!a}")
    if kind == FORM:
        return _gather(split_pairs(raw, "the form"))
    if kind == MULTIPART:
        return _gather(await _multipart_pairs(request, raw))
    return _parse_json(raw, kind)


def is_json_object(raw: bytes) -> bool:
    """Return whether a body begins as a JSON object, which nothing else does that a client sends."""
    return raw.removeprefix(BYTE_ORDER_MARK).lstrip(_JSON_BLANKS).startswith(b"{")


async def _read_bytes(request: Request, bytes_max: int) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in request.stream():
        size_bytes += len(piece)
        if size_bytes > bytes_max:  # the protocol has refused it already
            raise TooLargeError(f"the body has more than {bytes_max} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _parse_json(raw: bytes, kind: str) -> dict[str, Any]:
    try:
        value = orjson.loads(raw.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        hint = "; it is read as such since it begins with {, which a form writes as %7B" if kind == FORM else ""
        raise MalformedError(f"the body is not JSON: {error}{hint}") from error
    if not isinstance(value, dict):
        raise MalformedError('the body must be a JSON object, such as {"user_id": "42"}')
    return value


async def _multipart_pairs(request: Request, raw: bytes) -> list[tuple[str, str]]:
    try:
        raw.decode()  # there are no files, so all of it is text; the parser would guess Latin-1 instead of refusing
    except UnicodeDecodeError as error:
        raise MalformedError(f"the multipart form is not UTF-8: {error.reason}") from error
    return await parse_parts(request.headers["content-type"], raw)


def _gather(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name.endswith("[]"):
            name, is_list = name[:-2], True
        else:
            is_list = name in values
        if is_list:
            before = values.get(name, [])
            values[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            values[name] = value
    return values
