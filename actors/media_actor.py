"""A node's media actor: the process that has files processed, one after the other, and puts what comes of it into the
object store.

    API worker --path of a file in incoming/--> process --queue--> Jobs: a caged process --> store, synced --> Processed

Rules of this file
- It holds nothing: who asks has the file, and says again what is to become of it if this process dies. Ray restarts it.
- One picture and one video at a time: a video may take minutes, and who posts a picture waits for it.
- A refusal crosses Ray as plain values: `["refused", error]`; Ray's own wrapping of exceptions loses their fields.
- What nobody has touched for an hour in `incoming/` is removed; so is what writers of the store that died have left.

Cost: 145 MB resident, most of it what all processes of Ray have; what its jobs cost (`actors/media/`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import psutil
import structlog
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.core.errors import InvalidError, OverloadedError, RookeryError
from actors.core.levels import LEVEL
from actors.core.media_names import prefix_of
from actors.log_bound import LogBound
from actors.media.jobs import IMAGE_S, VIDEO_S, Bounds, Done, Jobs, Piece, clear, has_ffmpeg
from actors.media.page import PageFacts
from actors.media.processed import CONTENT_TYPES, PURPOSES, Processed, Purpose, StoredRendition
from actors.media.sniff import GIF, HEAD_BYTES, Format, format_of
from cluster.life.code_on_disk import require_current
from cluster.life.liveness import take_part
from cluster.ray_options import MEDIA_METHODS, MEDIA_OPTIONS, as_actor, media_actor_name
from configs.logging import configure_logging
from configs.settings import Settings
from persistence.objects import LocalStore, ObjectStore, incoming_folder, object_folder, open_store

NICENESS: Final = 15
INCOMING_S: Final = 3600.0  # that a file may lie there: jobs and uploads take less
TIDY_EVERY_S: Final = 600.0
STORE_TIDY_EVERY_S: Final = 24 * 3600.0
HASH_BYTES: Final = 8  # of an object's name
_BLOCK_BYTES: Final = 1 << 20


class Processing:
    """What a media actor does, without Ray: two queues, jobs and a store."""

    def __init__(self, jobs: Jobs, store: ObjectStore, queue_max: int) -> None:
        """queue_max: files that may wait in each of the queues, beside the one that is being processed."""
        self._jobs, self._store, self._queue_max = jobs, store, queue_max
        self._turns = {False: asyncio.Semaphore(1), True: asyncio.Semaphore(1)}  # by whether it moves
        self.waiting = {False: 0, True: 0}
        self.done_count = self.refused_count = 0

    async def process(self, source: Path, purpose: Purpose, media_id: int) -> Processed:
        """As `api.ports.Media.process`."""
        if purpose not in PURPOSES:
            raise InvalidError(f"purpose must be one of {', '.join(PURPOSES)}, not {purpose!r:.80}", "purpose")
        moves = await asyncio.to_thread(_may_move, source)
        async with self._place(moves):
            return await self._run(source, purpose, media_id, VIDEO_S if moves else IMAGE_S)

    @contextlib.asynccontextmanager
    async def _place(self, moves: bool) -> AsyncIterator[None]:
        """Wait for the turn of a job, and count what comes of it. Raises OverloadedError if too many wait already."""
        if self.waiting[moves] > self._queue_max:
            raise OverloadedError(
                f"{self._queue_max} files wait to be processed already, and that is the bound", None, 10.0
            )
        self.waiting[moves] += 1
        try:
            async with self._turns[moves]:
                yield
        except RookeryError:
            self.refused_count += 1
            raise
        finally:
            self.waiting[moves] -= 1
        self.done_count += 1

    async def _run(self, source: Path, purpose: Purpose, media_id: int, timeout_s: float) -> Processed:
        running = self._jobs.run(source, purpose, timeout_s)
        done: Done = await asyncio.to_thread(running.__enter__)
        try:
            renditions = [await self._keep(piece, media_id) for piece in done.pieces]
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
        return Processed(
            done.kind, tuple(renditions), done.blurhash, done.duration_ms, done.frame_rate, done.bitrate
        )  # fmt: skip

    async def page(self, source: Path, charset: str) -> PageFacts:
        """Return what a page says of itself: as `process`, with the pictures. Raises InvalidError, OverloadedError."""
        async with self._place(False):
            return await asyncio.to_thread(self._jobs.read_page, source, charset)

    async def picture(self, source: Path) -> list[Any]:
        """Return a page's picture: [extension, width, height, blurhash, bytes]. Raises as `page`."""
        async with self._place(False):
            return await asyncio.to_thread(self._picture, source)

    def _picture(self, source: Path) -> list[Any]:
        with self._jobs.run(source, "preview", IMAGE_S) as done:
            (piece,) = done.pieces
            return [piece.extension, piece.width, piece.height, done.blurhash, piece.path.read_bytes()]

    async def _keep(self, piece: Piece, media_id: int) -> StoredRendition:
        size, hashed = await asyncio.to_thread(_size_and_hash, piece.path)
        name = f"{prefix_of(media_id)}{hashed}-{piece.rendition}.{piece.extension}"
        content_type = CONTENT_TYPES[piece.extension]
        await self._store.put_new(name, piece.path, content_type)
        return StoredRendition(piece.rendition, name, piece.width, piece.height, size, content_type)


def _may_move(source: Path) -> bool:
    with open(source, "rb") as file:
        found = format_of(file.read(HEAD_BYTES))
    return isinstance(found, Format) and (found == GIF or not found.is_image)


def _size_and_hash(path: Path) -> tuple[int, str]:
    hashed, size = hashlib.blake2b(digest_size=HASH_BYTES), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hashed.update(block)
            size += len(block)
    return size, hashed.hexdigest()


class MediaActor:
    """See the head of this file. Begins to tidy on construction, as Ray runs nothing else when it restarts an actor."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        require_current()
        self._settings = Settings.from_dict(settings)
        configure_logging(self._settings.log.format, self._settings.log.level, component=name, bound=LogBound())
        self._log = structlog.get_logger()
        cluster, data_dir = self._settings.cluster, self._settings.storage.data_dir
        os.nice(max(0, NICENESS - os.nice(0)))
        self._heartbeat = take_part(name, cluster.namespace, cluster.hang_ms / 1000)
        self._incoming = incoming_folder(data_dir)
        self._store = open_store(self._settings.media.store_url, object_folder(self._settings.media.folder, data_dir))
        self.processing = Processing(
            Jobs(self._incoming, bounds_of(self._settings)), self._store, self._settings.media.queue_max
        )  # fmt: skip
        self._tidying = asyncio.get_running_loop().create_task(self._tidy_for_ever())
        self._heartbeat.start()

    async def _tidy_for_ever(self) -> None:
        store_at = time.monotonic() + STORE_TIDY_EVERY_S
        while True:
            await self._removed("files of uploads", lambda: clear(self._incoming, INCOMING_S, time.time()))
            if isinstance(self._store, LocalStore) and time.monotonic() >= store_at:
                store_at += STORE_TIDY_EVERY_S
                await self._removed("files of objects that were being written", self._store.tidy)
            await asyncio.sleep(TIDY_EVERY_S)

    async def _removed(self, what: str, remove: Callable[[], int]) -> None:
        try:
            if count := await asyncio.to_thread(remove):
                self._log.info("removed what was left", what=what, count=count)
        except OSError as error:
            self._log.warning("what was left can't be removed", what=what, reason=error.strerror)

    async def process(self, source: str, purpose: Purpose, media_id: int) -> list[Any]:
        """Return `["done", Processed.to_wire()]`, or `["refused", RookeryError.to_wire()]`."""
        try:
            found = await self.processing.process(Path(source), purpose, media_id)
        except RookeryError as error:
            return ["refused", error.to_wire()]
        except OSError as error:
            self._log.error("a file can't be processed", reason=error.strerror)
            return ["refused", OverloadedError("the file can't be processed now", None, 5.0).to_wire()]
        return ["done", found.to_wire()]

    async def look(self, what: str, source: str, charset: str) -> list[Any]:
        """Read what a link's page has: "page", its HTML, or "picture"; returns as `process`.

        "done" with a `page.PageFacts`, or with [extension, width, height, blurhash, bytes].
        """
        processing = self.processing
        try:
            if what == "page":
                return ["done", list(await processing.page(Path(source), charset))]
            return ["done", await processing.picture(Path(source))]
        except RookeryError as error:
            return ["refused", error.to_wire()]
        except OSError as error:
            self._log.error("a page can't be read", reason=error.strerror)
            return ["refused", OverloadedError("the page can't be read now", None, 5.0).to_wire()]

    async def ping(self) -> dict[str, Any]:
        """Return the actor's figures."""
        processing = self.processing
        return {
            "pid": os.getpid(), "level": LEVEL, "waiting": sum(processing.waiting.values()),
            "done": processing.done_count, "refused": processing.refused_count,
            "rss_bytes": psutil.Process().memory_info().rss, "hangs": self._heartbeat.hangs,
        }  # fmt: skip

    async def stop(self) -> None:
        """Tidy no more; jobs that are under way end with this process."""
        self._tidying.cancel()
        await asyncio.wait([self._tidying])
        self._heartbeat.close()


def bounds_of(settings: Settings) -> Bounds:
    """Return what jobs may take, on this machine."""
    media = settings.media
    return Bounds(media.image_bytes_max, media.video_bytes_max, media.pixels_max, has_ffmpeg())


def create_media_actor(node_id: str, settings: Settings) -> Any:
    """Create (or find) a node's media actor; returns its handle."""
    name = media_actor_name(node_id)
    pinned = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)}
    actor_class = as_actor(MediaActor, name, settings.cluster.namespace, {**MEDIA_OPTIONS, **pinned}, MEDIA_METHODS)
    return actor_class.remote(name, settings.to_dict())
