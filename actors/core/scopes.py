"""What a token may be used for: Mastodon's scopes as bits of a mask.

    "read write:statuses follow"  --parse-->  mask  --covers(mask, READ_STATUSES)-->  True
                                  <--spell--

Rules of this file
- A scope's bit is in journals, tables and moves: it is for ever. New ones take the next bit.
- A mask says what was granted, not what that covers: `read` is one bit, so that a client reads back what it asked for.
  `read` covers every `read:...`, `write` every `write:...`, and `follow`, which is older than these, both sides of
  follows, blocks and mutes. What somebody asks for must be covered by what he may have, bit by bit.
- EVERYTHING is what a token may that says nothing: those of our own API, and of imports. It covers scopes of later
  versions, too.
- Scopes of moderators (`admin:...`) aren't known: nothing here is behind them.

Cost: `covers` 0.15 us.
"""

from __future__ import annotations

from typing import Final

from actors.core.errors import InvalidError

NAMES: Final = (  # bit 0, 1, 2, ...: add at the end
    "profile", "push", "follow", "read", "write",
    "read:accounts", "read:blocks", "read:bookmarks", "read:favourites", "read:filters", "read:follows", "read:lists",
    "read:mutes", "read:notifications", "read:search", "read:statuses",
    "write:accounts", "write:blocks", "write:bookmarks", "write:conversations", "write:favourites", "write:filters",
    "write:follows", "write:lists", "write:media", "write:mutes", "write:notifications", "write:reports",
    "write:statuses", "read:collections", "write:collections",
)  # fmt: skip
BITS: Final = {name: 1 << number for number, name in enumerate(NAMES)}
EVERYTHING: Final = (1 << 63) - 1
KNOWN: Final = (1 << len(NAMES)) - 1
TEXT_CHARS_MAX: Final = 1024  # of a text of scopes: all of them take 460

READ: Final = BITS["read"]
WRITE: Final = BITS["write"]
FOLLOW: Final = BITS["follow"]
READ_STATUSES, READ_LISTS = BITS["read:statuses"], BITS["read:lists"]
_BELOW_READ: Final = sum(bit for name, bit in BITS.items() if name.startswith("read:"))
_BELOW_WRITE: Final = sum(bit for name, bit in BITS.items() if name.startswith("write:"))
_BELOW_FOLLOW: Final = sum(
    BITS[f"{way}:{what}"] for way in ("read", "write") for what in ("blocks", "follows", "mutes")
)
_FIRST: Final = ("read", "write", "follow", "push", "profile")  # as clients ask for them, and some compare texts
_SPELT: Final = (*_FIRST, *(name for name in NAMES if name not in _FIRST))
DEFAULT: Final = READ  # what an app or a client that asks for nothing asks for


def parse(text: str) -> int:
    """Return the mask of scopes that are separated by spaces; DEFAULT for none.

    Raises InvalidError, of the field `scope`, that names one that isn't known.
    """
    if type(text) is not str or len(text) > TEXT_CHARS_MAX:
        raise InvalidError(f"scopes must be a text of at most {TEXT_CHARS_MAX} characters", "scope")
    names, mask = text.split(), 0
    for name in names:
        bit = BITS.get(name)
        if bit is None:
            raise InvalidError(f"there is no scope {name[:40]!r}", "scope")
        mask |= bit
    return mask if names else DEFAULT


def spell(mask: int) -> str:
    """Return the scopes of a mask as a text that `parse` makes it of; of EVERYTHING the broad ones."""
    if mask == EVERYTHING:
        mask = READ | WRITE | FOLLOW | BITS["push"] | BITS["profile"]
    return " ".join(name for name in _SPELT if mask & BITS[name])


def covered_by(mask: int) -> int:
    """Return the mask of all that a mask allows, itself included."""
    if mask & READ:
        mask |= _BELOW_READ
    if mask & WRITE:
        mask |= _BELOW_WRITE
    if mask & FOLLOW:
        mask |= _BELOW_FOLLOW
    return mask


def covers(mask: int, asked: int) -> bool:
    """Whether a mask allows all that is asked for."""
    return not asked & ~covered_by(mask)
