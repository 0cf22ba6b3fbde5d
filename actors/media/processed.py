"""What a job makes of an upload, and how it is told: between a cage, the media actor and API workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["image", "gifv", "video", "audio"]
Purpose = Literal["attachment", "avatar", "header", "preview"]
KINDS: Final[tuple[Kind, ...]] = ("image", "gifv", "video", "audio")
PURPOSES: Final[tuple[Purpose, ...]] = ("attachment", "avatar", "header")  # of uploads; a preview's picture is none

CONTENT_TYPES: Final = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif",
    "mp4": "video/mp4", "m4a": "audio/mp4", "mp3": "audio/mpeg", "ogg": "audio/ogg",
}  # fmt: skip
"""The closed list: what objects' names end with, and as what they are served. Nothing else is ever written."""


class Made(NamedTuple):
    """One rendition as a file of a job's folder."""

    rendition: str
    file: str
    width: int
    height: int


class StoredRendition(NamedTuple):
    """One object of a medium. `rendition`: original, small or static; sizes in pixels, 0 for sound."""

    rendition: str
    name: str
    width: int
    height: int
    size: int
    content_type: str


@dataclass(frozen=True, slots=True)
class Processed:
    """A medium whose objects are in the store, synced."""

    kind: Kind
    renditions: tuple[StoredRendition, ...]
    blurhash: str = ""
    duration_ms: int = 0
    frame_rate: float = 0.0
    bitrate: int = 0

    def facts(self) -> list[Any]:
        """Return the argument `facts` of the lane's `media_done`."""
        rows = [list(rendition) for rendition in self.renditions]
        return [rows, self.blurhash, self.duration_ms, self.frame_rate, self.bitrate]

    def to_wire(self) -> list[Any]:
        """Return plain values for `from_wire`."""
        return [self.kind, *self.facts()]

    @classmethod
    def from_wire(cls, values: list[Any]) -> Processed:
        """Rebuild what `to_wire` described."""
        kind, rows, *rest = values
        return cls(kind, tuple(StoredRendition(*row) for row in rows), *rest)
