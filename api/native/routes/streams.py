"""The native stream, as far as it is described: it is opened elsewhere (`api/streaming/opening.py`).

Who comes here has asked in a way in which there is no stream, such as with a body, and is told so.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import MalformedError
from api.inputs import Inputs
from api.native.openapi import errors, operation, path_id

router = APIRouter(tags=["notifications"])
UNUSUAL: Final = "a stream is a GET of HTTP/1.1 without a body, and the first of its connection that isn't answered"
_LAST: Final[tuple[dict[str, Any], ...]] = (
    {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"},
     "description": "The `id` of the last event that you have: go on behind it"},
    {"name": "last_event_id", "in": "query", "schema": {"type": "string"}, "description": "The same"},
)  # fmt: skip
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events as they happen, until either side closes",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/{user_id}/stream",
    summary="What happens, at once",
    response_class=Response,
    responses={**errors(401, 403), **_STREAM},
    openapi_extra=operation(path_id("user_id", "Whose; must be the token's account"), *_LAST, token="required"),
)
async def stream(request: Request) -> Response:
    """New tweets of your home timeline, edits and deletions, and your notifications, as server-sent events."""
    inputs = await Inputs.read(request)
    await inputs.actor(inputs.path_id("user_id"))
    raise MalformedError(UNUSUAL)
