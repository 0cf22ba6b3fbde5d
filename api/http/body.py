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

Pictures and films come another way (`uploads.py`): then the texts beside them are all that is read here.

Other files are taken only by the calls that say so (`files_max`): as a part of a form, or a whole body of text/csv,
which is the part `data`; UTF-8 both. Elsewhere a multipart part with a file name is refused (400).
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request

from actors.core.errors import MalformedError, TooLargeError
from api.errors import FilesError, UnsupportedMediaError
from api.http.text_parts import parse_parts
from api.http.uploads import UPLOAD
from api.params import split_pairs

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"
CSV = "text/csv"
FILE_NAME = "data"  # of the part that a body of CSV is
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_BLANKS = b" \t\r\n"  # RFC 8259, section 2


async def read_body(request: Request, bytes_max: int, files_max: int = 0) -> dict[str, Any]:
    """Return the values of the body. Raises MalformedError, TooLargeError or UnsupportedMediaError."""
    values = await read_pairs_or_json(request, bytes_max, files_max)
    return values if isinstance(values, dict) else _gather(values)


async def read_pairs_or_json(
    request: Request, bytes_max: int, files_max: int = 0
) -> dict[str, Any] | list[tuple[str, str]]:  # fmt: skip
    """As `read_body`, but a form as the pairs that it is."""
    upload = request.scope.get("state", {}).get(UPLOAD)
    if upload is not None:
        return list(upload.texts)
    raw = await _read_bytes(request, bytes_max)
    if not raw:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == CSV and files_max:
        return [(FILE_NAME, _utf8(raw))]
    if is_json_object(raw):
        return _parse_json(raw, kind)
    if kind not in ("", JSON, FORM, MULTIPART):
        raise UnsupportedMediaError(f"a body may be {JSON}, {FORM} or {MULTIPART}, not {kind[:60]!a}")
    if kind == FORM:
        return split_pairs(raw, "the form")
    if kind == MULTIPART:
        return await _multipart_pairs(request, raw, files_max)
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


async def _multipart_pairs(request: Request, raw: bytes, files_max: int) -> list[tuple[str, str]]:
    try:
        raw.decode()  # files are text, too; the parser would guess Latin-1 instead of refusing
        return await parse_parts(request.headers["content-type"], raw, files_max)
    except UnicodeDecodeError as error:
        sort, trouble = _sort_of(raw), f"the multipart form is not UTF-8: {error.reason}"
        raise sort(trouble) from error
    except MalformedError as error:
        raise _sort_of(raw)(error.message) from error


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"the file is not UTF-8: {error.reason} at byte {error.start}", FILE_NAME) from error


def _sort_of(raw: bytes) -> type[MalformedError]:
    """Return how a form is refused that can't be read: it seems to hold a file, or it is simply wrong."""
    return FilesError if b"filename=" in raw else MalformedError


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
