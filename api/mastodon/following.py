"""A follow with options, whoever asks for it: an operation, or a row of a file that is imported."""

from __future__ import annotations

from actors.core.errors import ForbiddenError, InvalidError
from actors.core.limits import FOLLOW_LANGUAGES_COUNT_MAX
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.relations import relationships_of
from api.native.locks import is_locked
from api.services import Services


async def follow_op(services: Services, viewer: int, target: int) -> str:
    """Return the write that follows an account, or asks it first. Raises NotFoundError, ForbiddenError for oneself."""
    if target == viewer:
        raise ForbiddenError("This action is not allowed", "id")
    require_level(services, MASTODON_FROM_LEVEL)
    if await is_locked(services, target):
        (found,) = await relationships_of(services, viewer, [target])
        if not found["following"]:
            return "request_follow"
    return "follow_as"


def languages_of(codes: list[str]) -> list[str]:
    """Return the languages of a follow, each once. Raises InvalidError."""
    found = list(dict.fromkeys(code.strip().lower() for code in codes if code.strip()))
    for code in found:
        if not (2 <= len(code) <= 7 and code.replace("-", "").isalpha() and code.isascii()):
            raise InvalidError(f"languages are codes such as en, not {code[:40]!r}", "languages")
    if len(found) > FOLLOW_LANGUAGES_COUNT_MAX:
        raise InvalidError(f"languages may be {FOLLOW_LANGUAGES_COUNT_MAX}, not {len(found)}", "languages")
    return found
