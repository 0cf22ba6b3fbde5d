"""Announcements by who runs the server: what he tells, what of it was read, and what people say to it.

Rules of this file
- A reaction is an emoji of Unicode or one of the server's own, by its shortcode. An announcement has 8 different ones
  at most. One that is there already, asked for again, is left as it is; one that isn't can't be taken back (404).

Cost: a lane request for each announcement, all at the same time; there are 100 at most, and a few as a rule.
"""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Any, Final

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.dismissals import READ
from actors.core.features.reactions import FROM_LEVEL, thing_of_announcement
from actors.core.ids import bucket_of_tweet
from actors.core.renderers.timestamps import timestamp
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation
from api.params import shown

EMOJI_CHARS_MAX: Final = 16  # a family of four with skins has 11, a flag of a region 7
_JOINERS: Final = frozenset("\u200d\ufe0f\u20e3")  # zero width joiner, "as an emoji", "as a key"
_KEYS: Final = frozenset("0123456789#*")  # that may stand before the last one
_BESIDE: Final = frozenset("\u203c\u2049\u2139\u2194\u25fd\u25fe\u3030")  # emojis by no category of symbols
_NONE: Final = frozenset("\ufffc\ufffd")  # what stands for something that can't be shown
_SYMBOLS: Final = frozenset(("So", "Sk", "Cf"))


def is_emoji(name: str) -> bool:
    """Whether a text is one emoji of Unicode, as far as its characters say. Cost: linear, and bounded."""
    if not 1 <= len(name) <= EMOJI_CHARS_MAX:
        return False
    if name[0] in _KEYS:
        return name[1:] in ("\u20e3", "\ufe0f\u20e3")
    begins = name[0] in _BESIDE or (unicodedata.category(name[0]) == "So" and name[0] not in _NONE)
    return begins and all(_belongs(char) for char in name[1:])


def _belongs(char: str) -> bool:
    """Whether a character may stand in an emoji behind its first one: symbols, shades of skin, joiners and tags."""
    is_tag = 0xE0020 <= ord(char) <= 0xE007F
    return char not in _NONE and (
        is_tag or char in _JOINERS or char in _BESIDE or unicodedata.category(char) in _SYMBOLS
    )


async def announcements(call: Call) -> Answer:
    """What the operator tells everybody, what of it the account has read, and how people react to it."""
    require_level(call.services, READ.from_level)
    told = call.services.instance.announcements
    (_, read), *reactions = await asyncio.gather(
        call.services.ask_account(call.viewer, "dismissed"), *(_reactions(call, number) for number in told)
    )
    return answer([
        {"id": str(number), "content": page.html, "starts_at": None, "ends_at": None, "all_day": False,
         "published_at": timestamp(page.changed_ms), "updated_at": timestamp(page.changed_ms), "read": number in read,
         "mentions": [], "statuses": [], "tags": [], "emojis": [], "reactions": found}
        for (number, page), found in zip(told.items(), reactions, strict=True)
    ])  # fmt: skip


async def _reactions(call: Call, number: int) -> list[dict[str, Any]]:
    thing_id = thing_of_announcement(number)
    found = await call.services.ask_bucket(bucket_of_tweet(thing_id), "reactions", [thing_id, call.viewer])
    return [{"name": name, "count": count, "me": me, **_picture(call, name)} for name, count, me in found]


def _picture(call: Call, name: str) -> dict[str, str]:
    """Return where the picture of a server's own emoji is; nothing for one of Unicode."""
    emoji = call.services.instance.emojis.get(name)
    if emoji is None:
        return {}
    url = f"{call.origin}/emojis/{emoji.file_name}"
    return {"url": url, "static_url": url}


async def dismiss(call: Call) -> Answer:
    """Note an announcement as read."""
    await call.settle("read_announcement", _number(call))
    return answer({})


async def react(call: Call) -> Answer:
    """React to an announcement with an emoji."""
    name, number = call.name("name"), _number(call)
    if not is_emoji(name) and name not in call.services.instance.emojis:
        raise InvalidError(f"Name is not a recognized emoji: {shown(name)}", "name")
    await _react(call, number, name, True)
    return answer({})


async def take_back(call: Call) -> Answer:
    """Take a reaction back."""
    name, number = call.name("name"), _number(call)
    if len(name) > EMOJI_CHARS_MAX and name not in call.services.instance.emojis:
        raise NotFoundError(f"you haven't reacted with {shown(name)}", "name")
    if not await _react(call, number, name, False):
        raise NotFoundError(f"you haven't reacted with {shown(name)}", "name")
    return answer({})


async def _react(call: Call, number: int, name: str, on: bool) -> bool:
    require_level(call.services, FROM_LEVEL)
    thing_id = thing_of_announcement(number)
    args = [thing_id, number, name, call.viewer, on]
    return bool(await call.services.ask_bucket(bucket_of_tweet(thing_id), "react", args))


def _number(call: Call) -> int:
    """Return which announcement the path names. Raises NotFoundError."""
    number = call.id()
    if number not in call.services.instance.announcements:
        raise NotFoundError(f"there is no announcement {number}", "id")
    return number


_ONE: Final = "/api/v1/announcements/{id}"
OPERATIONS: Final = (
    Operation("GET", "/api/v1/announcements", "read", "Announcement[]", announcements),
    Operation("POST", f"{_ONE}/dismiss", "write:accounts", "", dismiss),
    Operation("PUT", f"{_ONE}/reactions/{{name}}", "write:favourites", "", react),
    Operation("DELETE", f"{_ONE}/reactions/{{name}}", "write:favourites", "", take_back),
)
