"""What an account takes along and brings in: CSV files of its follows, blocks, mutes, lists and bookmarks.

    export/{what}   the account's shard page by page, as CSV in Mastodon's forms; all that it has said as a zip file
    import          a file of these, row by row; a line of JSON for each row that failed, and for how far it is

Rules of this file
- Only the account itself.
- Answers take as long as they take (`portability/long_work.py`), and are told in pieces.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import InvalidError, NotFoundError
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.http.body import CSV, FILE_NAME
from api.inputs import Inputs
from api.levels import require_level
from api.links import host_of
from api.native.models import ImportFile
from api.native.openapi import errors, operation, path_id
from api.params import shown
from api.portability.archive import FILE, ZIP, archived
from api.portability.exports import FileOwner, exported
from api.portability.imports import imported, mode_of, told_as_json
from api.portability.long_work import LongAnswer
from api.portability.sorts import SORTS, ImportRow, Sort, rows_of, sort_of

router = APIRouter(tags=["accounts"])
LINES = "application/x-ndjson"
_SUFFIX = ".csv"
_FILES = {CSV: {"schema": {"type": "string"}}, ZIP: {"schema": {"type": "string", "format": "binary"}}}
_WHAT = {
    "name": "what", "in": "path", "required": True, "example": "follows.csv",
    "schema": {"type": "string", "enum": [*(f"{name}{_SUFFIX}" for name in SORTS), FILE]}, "description": "Which file",
}  # fmt: skip


@router.get(
    "/{user_id}/export/{what}",
    response_class=Response,
    summary="What an account keeps and has said, as files",
    responses={**errors(401, 403, 404, 409), 200: {"content": _FILES}},
    openapi_extra=operation(path_id("user_id", "Whose"), _WHAT, token="required"),
)
async def export(request: Request) -> Response:
    """Your follows, blocks, mutes, lists, bookmarks or blocked servers, or all that you have said, as of Mastodon."""
    inputs = await Inputs.read(request)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_level(inputs.services, MASTODON_FROM_LEVEL)
    what = str(request.path_params["what"])
    if what == FILE:
        pieces = archived(owner_of(inputs, account_id))
        return LongAnswer(inputs.services.long_work, account_id, pieces, ZIP, FILE)
    sort = SORTS.get(what.removesuffix(_SUFFIX)) if what.endswith(_SUFFIX) else None
    if sort is None:
        raise NotFoundError(
            f"there is no export {shown(what)}; there are {', '.join(SORTS)}, each .csv, and {FILE}", "what"
        )
    pieces = exported(owner_of(inputs, account_id), sort)
    return LongAnswer(inputs.services.long_work, account_id, pieces, CSV, sort.file_name)


@router.post(
    "/{user_id}/import",
    response_class=Response,
    summary="Bring a CSV file in",
    responses={
        **errors(401, 403, 404, 409, body=True),
        200: {"content": {LINES: {"schema": {"type": "string"}}}, "description": "A JSON object a line"},
    },
    openapi_extra=operation(path_id("user_id", "Whose"), model=ImportFile, token="required"),
)
async def bring_in(request: Request) -> Response:
    """Follow, block, mute, list or bookmark what a file of Mastodon's names; see docs/api.md. It may be repeated."""
    inputs = await Inputs.read(request, files_max=1)
    account_id = await inputs.actor(inputs.path_id("user_id"))
    require_level(inputs.services, MASTODON_FROM_LEVEL)
    sort, mode = sort_of(_said(inputs, "type")), mode_of(_said(inputs, "mode"))
    rows = await asyncio.to_thread(rows_of, sort, _said(inputs, FILE_NAME))  # 60 ms of a large file
    lines = _lines(owner_of(inputs, account_id), sort, rows, mode)
    return LongAnswer(inputs.services.long_work, account_id, lines, LINES)


async def _lines(owner: FileOwner, sort: Sort, rows: list[ImportRow], mode: str) -> AsyncIterator[bytes]:
    async for told in imported(owner, sort, rows, mode):
        yield orjson.dumps(told_as_json(told), option=orjson.OPT_APPEND_NEWLINE)


def _said(inputs: Inputs, name: str) -> str:
    """Return a text of the body, or else of the query. Raises InvalidError."""
    value = inputs.body.get(name, inputs.query.get(name, ""))
    if not isinstance(value, str):
        raise InvalidError(f"{name} must be a text, not {shown(value)}", name)
    return value


def owner_of(inputs: Inputs, account_id: int) -> FileOwner:
    """Return whose files they are, as addresses name this server."""
    return FileOwner(inputs.services, account_id, host_of(inputs.services.origins.origin(inputs.request.scope)))
