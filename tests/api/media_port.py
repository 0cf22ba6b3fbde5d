"""The port to media without Ray, processes and files but those that come in: pictures of a few bytes, and their faults.

Whoever looks at a file is told what its first bytes say: `IMAGE`, `VIDEO`; others are refused. Names are as of the real
one (`actors/media`), so that the shards take them.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from actors.core.errors import InvalidError, OverloadedError
from actors.core.media_names import prefix_of
from actors.media.processed import Kind, Processed, Purpose, Rendition

IMAGE, MOVING, VIDEO, AUDIO = b"image:", b"gifv:", b"video:", b"audio:"
_KINDS: dict[bytes, tuple[Kind, str, str]] = {
    IMAGE: ("image", "jpg", "image/jpeg"), MOVING: ("gifv", "mp4", "video/mp4"),
    VIDEO: ("video", "mp4", "video/mp4"), AUDIO: ("audio", "mp3", "audio/mpeg"),
}  # fmt: skip


class MemoryMedia:
    """A `Media` of objects in memory. slow_s: that processing takes; down: nobody processes; closed: no media."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.objects: dict[str, bytes] = {}
        self.held: asyncio.Event | None = None  # processing waits for it
        self.down = self.closed = False

    @property
    def incoming(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="rookery-incoming-")
        return Path(self._folder.name, "incoming")

    def waiting_files(self) -> list[Path]:
        """Return what lies in the folder."""
        return sorted(self.incoming.glob("*")) if self.incoming.exists() else []

    def is_open(self, kind: Kind) -> bool:
        return not self.closed

    async def process(self, source: Path, purpose: Purpose, media_id: int) -> Processed:
        if self.down:
            raise OverloadedError("nobody processes files", None, 1.0)
        if self.held is not None:
            await self.held.wait()
        data = source.read_bytes()  # noqa: ASYNC240  a few bytes
        found = next((kind for start, kind in _KINDS.items() if data.startswith(start)), None)
        if found is None:
            raise InvalidError("the file is no picture, video or sound that is taken here", "file")
        kind, extension, content_type = found
        if purpose != "attachment" and kind not in ("image", "gifv"):
            raise InvalidError(f"an {purpose} must be a picture, not {kind}", purpose)
        renditions = [self._put(media_id, "original", extension, content_type, data)]
        if kind != "audio":
            renditions.append(self._put(media_id, "small", "jpg", "image/jpeg", b"small " + data))
        if purpose != "attachment" and kind == "gifv":
            renditions.append(self._put(media_id, "static", "jpg", "image/jpeg", b"static " + data))
        blurhash = "" if kind == "audio" else "LEHV6nWB2yk8pyo0adR*.7kCMdnj"
        seconds = 0 if kind == "image" else 1_500
        return Processed(kind, tuple(renditions), blurhash, seconds, 25.0 if kind in ("video", "gifv") else 0.0, 1_000)

    def _put(self, media_id: int, rendition: str, extension: str, content_type: str, data: bytes) -> Rendition:
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        name = f"{prefix_of(media_id)}{digest}-{rendition}.{extension}"
        self.objects[name] = data
        side = 0 if extension == "mp3" else 8
        return Rendition(rendition, name, side, side, len(data), content_type)

    async def head(self, name: str) -> int | None:
        data = self.objects.get(name)
        return None if data is None else len(data)

    async def read(self, name: str, start: int, stop: int) -> AsyncIterator[bytes]:
        yield self.objects[name][start:stop]

    def read_cached(self, name: str) -> bytes | None:
        return self.objects.get(name)
