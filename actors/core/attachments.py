"""Attachments: what a tweet says of its pictures, video and sound (fact 14), so that whoever shows it looks nothing up.

    fact 14    [attachment, ...]
    attachment [media_id, kind, description, focus_x, focus_y, blurhash, duration_ms, frame_rate, bitrate, renditions]
    rendition  [tail, width, height, bytes]                  tail: of an object's name (`media_names.py`)

Rules of this file
- A tweet has up to PICTURES_COUNT_MAX pictures, or one video, or one sound: `check_mix`.
- Widths are for ever; a value more comes at the end.

Costs: 150 bytes a picture and its description; 2 us to check one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from actors.core import limits
from actors.core.errors import InvalidError
from actors.core.ids import ID_MAX
from actors.core.media_names import is_tail, prefix_of, rendition_of

KINDS: Final = ("image", "gifv", "video", "audio")  # by their numbers, for ever; Mastodon's names
IMAGE, GIFV, VIDEO, AUDIO = range(4)
ORIGINAL, SMALL, STATIC = "original", "small", "static"
FOCUS_MAX: Final = 1000  # thousandths of half a side
FRAME_RATE_MAX: Final = 1_000_000  # thousandths of a frame a second
PIXELS_SIDE_MAX: Final = 1 << 20
BYTES_MAX: Final = 1 << 50
_RATE_MAX: Final = 1 << 40


class Rendition(NamedTuple):
    """One object of a medium. tail: of its name; width, height: 0 of sound."""

    tail: str
    width: int
    height: int
    size: int


class Attachment(NamedTuple):
    """One medium as a tweet has it. focus_x, focus_y: thousandths; duration_ms, frame_rate (thousandths), bitrate: 0
    of what has none.
    """

    media_id: int
    kind: int
    description: str
    focus_x: int
    focus_y: int
    blurhash: str
    duration_ms: int
    frame_rate: int
    bitrate: int
    renditions: Sequence[Sequence[Any]]

    def rendition(self, name: str) -> Rendition | None:
        """Return one of its renditions."""
        for row in self.renditions:
            if rendition_of(row[0]) == name:
                return Rendition(*row)
        return None

    def url(self, base: str, name: str) -> str | None:
        """Return the address of a rendition, None if there is no such one."""
        found = self.rendition(name)
        return None if found is None else f"{base}/{prefix_of(self.media_id)}{found.tail}"


def attachments_of(values: Sequence[Sequence[Any]]) -> list[Attachment]:
    """Return the attachments of fact 14."""
    return [Attachment(*value[: len(Attachment._fields)]) for value in values]


def is_attachments(value: Any) -> bool:
    """Whether a value may be fact 14."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= limits.ATTACHMENTS_COUNT_MAX:
        return False
    return all(is_attachment(each) for each in value) and len({each[0] for each in value}) == len(value)


def is_attachment(value: Any) -> bool:
    """Whether a value may be one of fact 14."""
    if not isinstance(value, (list, tuple)) or len(value) != len(Attachment._fields):
        return False
    found = Attachment(*value)
    are_numbers = all(
        _is_whole(number, lowest, highest)
        for number, lowest, highest in (
            (found.media_id, 1, ID_MAX), (found.kind, 0, len(KINDS) - 1), (found.focus_x, -FOCUS_MAX, FOCUS_MAX),
            (found.focus_y, -FOCUS_MAX, FOCUS_MAX), (found.duration_ms, 0, _RATE_MAX),
            (found.frame_rate, 0, FRAME_RATE_MAX), (found.bitrate, 0, _RATE_MAX),
        )
    )  # fmt: skip
    are_texts = _is_text(found.description, limits.MEDIA_DESCRIPTION_BYTES_MAX) and _is_text(
        found.blurhash, limits.BLURHASH_BYTES_MAX
    )
    return are_numbers and are_texts and _are_renditions(found.renditions)


def _are_renditions(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= limits.RENDITIONS_COUNT_MAX:
        return False
    for row in value:
        if not isinstance(row, (list, tuple)) or len(row) != len(Rendition._fields):
            return False
        tail, width, height, size = row
        sides = _is_whole(width, 0, PIXELS_SIDE_MAX) and _is_whole(height, 0, PIXELS_SIDE_MAX)
        if type(tail) is not str or not is_tail(tail) or not sides or not _is_whole(size, 0, BYTES_MAX):
            return False
    names = [rendition_of(row[0]) for row in value]
    return ORIGINAL in names and len(set(names)) == len(names)


def _is_whole(value: Any, lowest: int, highest: int) -> bool:
    return type(value) is int and lowest <= value <= highest


def _is_text(value: Any, bytes_max: int) -> bool:
    return type(value) is str and len(value) <= bytes_max and len(value.encode()) <= bytes_max


def check_mix(kinds: Sequence[int]) -> None:
    """Refuse what can't be shown together: a video, or sound, with anything else. Raises InvalidError."""
    alone = [KINDS[kind] for kind in kinds if kind in (VIDEO, AUDIO)]
    if alone and len(kinds) > 1:
        others = ", ".join(KINDS[kind] for kind in kinds)
        raise InvalidError(f"a post has pictures, or one video, or one sound, not {others} together", "media_ids")
