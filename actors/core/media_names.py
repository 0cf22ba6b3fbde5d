"""How objects of media are called, in the store, in tweets and in profiles; and by which addresses they are read.

    object     ab/cd/<media id>-<16 hex of its bytes' hash>-<rendition>.<ext>      ab/cd: of a hash of the media id
    tail       <16 hex>-<rendition>.<ext>                                          what a tweet keeps of it
    picture    media:<object>, or media:<object> <object that stands still>        an avatar, a header in a profile
    address    <base>/<object>                                                     base: `Tuning.media_base`

Rules of this file
- All objects of one medium lie below `prefix_of` its id, and nothing else does: that is how they are removed.
- A name is never used again for other bytes, so whoever has one may keep what it leads to for ever.
- Names have characters that every store and every address takes as they are.

Cost: 1 us a name.
"""

from __future__ import annotations

import hashlib
from typing import Final

PICTURE: Final = "media:"  # what an avatar or header begins with that was uploaded
RENDITIONS: Final = ("original", "small", "static")
_HASH_CHARS: Final = 16
_EXTENSION_CHARS_MAX: Final = 5
_HEX: Final = frozenset("0123456789abcdef")
_TAIL_CHARS_MAX: Final = _HASH_CHARS + 1 + max(map(len, RENDITIONS)) + 1 + _EXTENSION_CHARS_MAX


def prefix_of(media_id: int) -> str:
    """Return what the names of all objects of a medium begin with: `ab/cd/<id>-`."""
    spread = hashlib.blake2b(str(media_id).encode(), digest_size=2).hexdigest()
    return f"{spread[:2]}/{spread[2:]}/{media_id}-"


def media_id_of(name: str) -> int:
    """Return the medium that an object belongs to, 0 for a name that is no object's."""
    digits, _, tail = name.rpartition("/")[2].partition("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 19 or not is_tail(tail):
        return 0
    media_id = int(digits)
    return media_id if name == prefix_of(media_id) + tail else 0


def is_tail(value: str) -> bool:
    """Whether a text may stand behind `prefix_of`: `<16 hex>-<rendition>.<ext>`."""
    if len(value) > _TAIL_CHARS_MAX or not value.isascii():
        return False
    hashed, _, rest = value.partition("-")
    rendition, _, extension = rest.partition(".")
    is_extension = extension.isalnum() and extension == extension.lower() and len(extension) <= _EXTENSION_CHARS_MAX
    return len(hashed) == _HASH_CHARS and _HEX.issuperset(hashed) and rendition in RENDITIONS and is_extension


def rendition_of(tail: str) -> str:
    """Return which rendition a tail is of."""
    return tail[_HASH_CHARS + 1 :].partition(".")[0]


def picture_of(name: str, still: str = "") -> str:
    """Return an avatar or header as profiles keep it. still: the object that stands still, of one that moves."""
    return f"{PICTURE}{name} {still}" if still else PICTURE + name


def picture_names(value: str) -> tuple[str, str] | None:
    """Return (object, object that stands still) of an avatar or header that was uploaded, None for any other."""
    if not value.startswith(PICTURE):
        return None
    name, _, still = value[len(PICTURE) :].partition(" ")
    return name, still or name


def picture_media_id(value: str) -> int:
    """Return which medium an avatar or header is, 0 for none of ours."""
    names = picture_names(value)
    return 0 if names is None else media_id_of(names[0])


def picture_url(base: str, value: str, still: bool = False) -> str:
    """Return the address of an avatar or header: of one that wasn't uploaded as it is."""
    names = picture_names(value)
    return value if names is None else f"{base}/{names[still]}"
