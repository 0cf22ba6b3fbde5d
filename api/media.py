"""Uploads, in either API: what a file goes through from the request that brought it until a tweet or a profile has it.

    file below `incoming` --media_begin--> an id --process--> objects in the store --media_done--> ready
                                                  `-- refused --media_fail--> failed: why

Rules of this file
- What processes a file goes on when its client has got an answer, or has hung up; the file goes when that has ended.
- The account's shard is told that it failed only of what has ended here: then its objects are removed at once. Of what
  wasn't heard it learns by its due time.
- A refusal of the file is the client's answer, and stays to be read, as long as others that failed do.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import structlog

from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError, TooLargeError
from actors.core.ids import bucket_of_account
from actors.core.limits import MEDIA_REASON_BYTES_MAX
from api import fields
from api.params import shown

if TYPE_CHECKING:
    from actors.media.processed import Purpose
    from api.http.uploads import UploadedFile
    from api.services import Services

DESCRIPTION_CHARS_MAX: Final = 1_500
UNAVAILABLE: Final = "uploads are not available here"
_log = structlog.get_logger("rookery.api")


class ShownUpload(NamedTuple):
    """An upload as its account's shard tells of it. state: processing, ready or failed; json: a MediaAttachment."""

    state: str
    purpose: str
    reason: str
    json: bytes


class UploadsUnderWay:
    """What this worker has processed now."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[ShownUpload]] = set()

    def begin(self, services: Services, account_id: int, file: UploadedFile, purpose: Purpose, media_id: int) -> (
        asyncio.Task[ShownUpload]
    ):  # fmt: skip
        """Have a file processed, which is this one's from now on."""
        work = _processed(services, account_id, file, purpose, media_id)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[ShownUpload]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, RookeryError):
            _log.error("an upload has ended in an unexpected way", exc_info=error)

    def close(self) -> None:
        """Give up what is under way: it fails by its due time."""
        for task in self._tasks:
            task.cancel()


async def begin_upload(
    services: Services, account_id: int, file: UploadedFile, purpose: Purpose, description: str = "",
    focus: tuple[int, int] = (0, 0),
) -> tuple[int, asyncio.Task[ShownUpload]]:  # fmt: skip
    """Begin to process a file; returns the id of the medium, and what waits for it.

    Raises InvalidError, RateLimitedError, OverloadedError; the file is still the caller's then.
    """
    services.limiter.check_upload(account_id, services.settings.media.uploads_per_hour)
    media_id: int = await services.settle_account(account_id, "media_begin", purpose, description, *focus)
    return media_id, services.processing.begin(services, account_id, file, purpose, media_id)


async def processed_picture(services: Services, account_id: int, file: UploadedFile) -> int:
    """Process the picture of a profile; returns its id. The file goes, whatever comes of it. Raises RookeryError."""
    purpose: Purpose = "header" if file.field == "header" else "avatar"
    try:
        media_id, task = await begin_upload(services, account_id, file, purpose)
    except BaseException:
        file.path.unlink(missing_ok=True)
        raise
    await asyncio.shield(task)
    return media_id


async def _processed(
    services: Services, account_id: int, file: UploadedFile, purpose: Purpose, media_id: int
) -> ShownUpload:  # fmt: skip
    try:
        processed = await services.cluster.media.process(file.path, purpose, media_id)
    except (InvalidError, TooLargeError, OverloadedError) as error:
        await _fail(services, account_id, media_id, error.message)
        raise
    finally:
        with contextlib.suppress(OSError):  # the node's media actor removes what is old
            file.path.unlink(missing_ok=True)
    return await _write(services, account_id, "media_done", media_id, processed.kind, processed.facts())


async def _fail(services: Services, account_id: int, media_id: int, reason: str) -> None:
    said = reason.encode()[:MEDIA_REASON_BYTES_MAX].decode(errors="ignore")
    try:
        await _write(services, account_id, "media_fail", media_id, said)
    except NotFoundError:  # it was dropped meanwhile
        pass
    except RookeryError as error:
        _log.warning("it can't be said that an upload failed; it fails by itself in an hour", reason=error.message)


async def _write(services: Services, account_id: int, op: str, *args: Any) -> ShownUpload:
    return ShownUpload(*await services.settle_account(account_id, op, *args))


async def medium_of(services: Services, account_id: int, media_id: int) -> ShownUpload:
    """Return an upload of an account's that no tweet has. Raises NotFoundError."""
    return ShownUpload(*await services.ask_bucket(bucket_of_account(account_id), "media", [account_id, media_id]))


async def describe(
    services: Services, account_id: int, media_id: int, description: str | None, focus: tuple[int, int] | None,
    thumbnail: UploadedFile | None,
) -> ShownUpload:  # fmt: skip
    """Change what is said of an upload; None: as it is. Raises RookeryError."""
    row: list[Any] | None = None
    if thumbnail is not None:
        found = await medium_of(services, account_id, media_id)
        if found.state != "ready":
            raise InvalidError(f"medium {media_id} can have a thumbnail once it is processed", "thumbnail")
        services.limiter.check_upload(account_id, services.settings.media.uploads_per_hour)
        processed = await services.cluster.media.process(thumbnail.path, "attachment", media_id)
        if processed.kind != "image":
            raise InvalidError(f"a thumbnail must be a picture that stands still, not {processed.kind}", "thumbnail")
        small = next((each for each in processed.renditions if each.rendition == "small"), None)
        row = None if small is None else list(small)
    said = None if focus is None else list(focus)
    return await _write(services, account_id, "media_describe", media_id, description, said, row)


def require_media(services: Services) -> None:
    """Refuse where nothing can be uploaded. Raises NotFoundError."""
    if not services.cluster.media.is_open("image"):
        raise NotFoundError(UNAVAILABLE)


def clean_description(value: str | None) -> str | None:
    """Return what a medium shows, in words; None: not said. Raises InvalidError."""
    return None if value is None else fields.clean_text(value, "description", DESCRIPTION_CHARS_MAX, lines=True)


def clean_focus(value: Any) -> tuple[int, int] | None:
    """Return the point that stays visible, in thousandths; value: `x,y` of -1.0 to 1.0 each, None or "": not said.

    Raises InvalidError.
    """
    if value is None or value == "":
        return None
    parts = value.split(",") if isinstance(value, str) and len(value) < 64 else []
    try:
        x, y = (float(part) for part in parts)
        if not (-1.0 <= x <= 1.0 and -1.0 <= y <= 1.0):  # nan too
            raise ValueError
    except ValueError as error:
        what = f"focus must be two numbers from -1.0 to 1.0, such as 0.1,-0.5, not {shown(value)}"
        raise InvalidError(what, "focus") from error
    return round(x * 1000), round(y * 1000)


def as_json(medium: ShownUpload) -> bytes:
    """Return what a client is shown of an upload. Raises InvalidError for one that failed."""
    if medium.state == "failed":
        raise InvalidError(f"the file could not be processed: {medium.reason}", "file")
    return medium.json


def url_of(medium: ShownUpload) -> Any:
    """Return the address of an upload, None until it is processed."""
    return orjson.loads(medium.json)["url"]
