"""Uploads: brought, looked at until they are processed, described, taken back. Both APIs have these routes.

    POST v2 --> 200, or after QUICK_S 202 --GET--> 206, 206, 200 (or 422: why not)
    POST v1 --> 200 once it is processed; what takes longer than WAIT_S is answered as by v2

Rules of this file
- An upload is its account's alone, and is one until a status has it: then it is changed by editing the status.
- Answers are MediaAttachments with a member `media_id`, the same as `id`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from actors.core.errors import InvalidError
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation
from api.media import (
    as_json,
    begin_upload,
    clean_description,
    clean_focus,
    describe,
    medium_of,
    require_media,
)
from api.once import carry_out

FILE: Final = "file"
THUMBNAIL: Final = "thumbnail"
QUICK_S: Final = 2.0
WAIT_S: Final = 50.0
_ANSWER_S: Final = 60.0  # that an answer to v1 may take


async def upload(call: Call) -> Answer:
    """Bring a file; with 202 it is still being processed: ask for it by its id."""
    return await _uploaded(call, QUICK_S)


async def upload_and_wait(call: Call) -> Answer:
    """Bring a file, and get the answer once it is processed."""
    return await _uploaded(call, WAIT_S)


async def _uploaded(call: Call, wait_s: float) -> Answer:
    require_level(call.services, MASTODON_FROM_LEVEL)
    require_media(call.services)
    said = clean_description(call.params.text("description")) or ""
    focus = clean_focus(call.params.text("focus")) or (0, 0)
    if call.upload is None or (file := call.upload.take(FILE)) is None:
        raise InvalidError("file is missing: bring it as multipart/form-data, with the token in the header", FILE)
    try:
        media_id, task = await begin_upload(call.services, call.viewer, file, "attachment", said, focus)
    except BaseException:
        file.path.unlink(missing_ok=True)
        raise
    done, _ = await asyncio.wait({task}, timeout=wait_s)
    if not done:
        return Answer((await medium_of(call.services, call.viewer, media_id)).json, 202)
    medium = task.result()
    if call.upload.file(THUMBNAIL) is not None:
        medium = await describe(call.services, call.viewer, media_id, None, None, call.upload.file(THUMBNAIL))
    return Answer(as_json(medium))


async def one(call: Call) -> Answer:
    """An upload of yours that no status has: 206 while it is processed."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    medium = await medium_of(call.services, call.viewer, call.id())
    return Answer(as_json(medium), 206 if medium.state == "processing" else 200)


async def change(call: Call) -> Answer:
    """Say what an upload shows, where its middle is, give it another thumbnail; what isn't given stays."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    said = clean_description(call.params.text("description")) if "description" in call.params else None
    focus = clean_focus(call.params.text("focus"))
    thumbnail = None if call.upload is None else call.upload.file(THUMBNAIL)
    medium = await describe(call.services, call.viewer, call.id(), said, focus, thumbnail)
    return Answer(as_json(medium), 206 if medium.state == "processing" else 200)


async def drop(call: Call) -> Answer:
    """Take an upload back that no status has."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    await carry_out(call.repeatable, call.viewer, "media_drop", [call.viewer, call.id()])
    return answer({})


OPERATIONS: Final = (
    Operation("POST", "/api/v1/media", "write:media", "MediaAttachment", upload_and_wait, takes_s=_ANSWER_S),
    Operation("POST", "/api/v2/media", "write:media", "MediaAttachment", upload),
    Operation("GET", "/api/v1/media/{id}", "write:media", "MediaAttachment", one),
    Operation("PUT", "/api/v1/media/{id}", "write:media", "MediaAttachment", change, takes_s=_ANSWER_S),
    Operation("DELETE", "/api/v1/media/{id}", "write:media", "", drop),
)
