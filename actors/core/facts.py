"""The facts of a tweet that only renderers and search look at: packed once, passed on unread, and able to grow.

    version 0   msgpack [text, username, in_reply_to, media_ids, entities, edited_ms]       its first byte is 0x96
    version 1   0x01, then a msgpack map of small numbers: what is 0 or empty is absent

    0 text          1 username     2 in_reply_to   3 media_ids   4 entities (packed)   5 edited_ms
    6 spoiler       7 sensitive    8 language      9 application [name, website]  10 conversation (root)
    11 poll [[option, ...], multiple, hide_totals, ends_ms], with since_ms at its end if an edit began it
    12 quote (tweet id)
    13 preview of its first link (`link_previews.py`)
    14 media [attachment, ...] (`attachments.py`)

Rules of this file
- One reader, one writer. Numbers are never used again for something else; a number that this code doesn't know is kept
  as it is, in `more`, and written again.
- From 6 on facts are in `more`, by number, and read by properties: most tweets have none of them, and what a version
  doesn't know is there, too. `check_more` says what they may be; whoever renders a body may rely on it, since nothing
  is stored that wasn't rendered once (`arguments.py`).
- Version 0 is read for ever: journals, checkpoints and backups hold it. It is written while some process of the cluster
  reads nothing newer (level 0 of `levels.py`), and can hold nothing but the six.

Costs: 1.1 us to read; beyond text and user name a tweet without anything else has 4 bytes, with a reply 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from actors.core import limits
from actors.core.attachments import Attachment, attachments_of, is_attachments
from actors.core.errors import InvalidError
from actors.core.ids import ID_MAX
from actors.core.link_previews import LinkPreview, is_preview, preview_of

TEXT, USERNAME, IN_REPLY_TO, MEDIA_IDS, ENTITIES, EDITED_MS = range(6)
SPOILER, SENSITIVE, LANGUAGE, APPLICATION, CONVERSATION, POLL, QUOTE = range(6, 13)
PREVIEW: Final = 13
ATTACHMENTS: Final = 14
RICH_FACTS: Final = frozenset((POLL, QUOTE, ATTACHMENTS))  # of tweets that are published with FLAG_RICH
EDITABLE: Final = frozenset((SPOILER, SENSITIVE, LANGUAGE, POLL, ATTACHMENTS))
MORE_FROM_LEVEL: Final = 3  # of the cluster: from there on these are written
NUMBER_BYTES_MAX: Final = 9  # of one packed number, for what has to bound a body
VERSION_MAP: Final = 1
MAP_FROM_LEVEL: Final = 1  # of the cluster, see levels.py: from there on facts are written as maps
_MAP: Final = bytes((VERSION_MAP,))
_TUPLE_OF_SIX: Final = 0x96
_NOTHING: Final[dict[int, Any]] = {}


class Poll(NamedTuple):
    """What is asked. ends_ms: Unix ms from which nobody votes any more.

    since_ms: of the edit from which on votes count: it tells one round of votes from another. 0: the first round.
    """

    options: Sequence[str]
    multiple: bool
    hide_totals: bool
    ends_ms: int
    since_ms: int = 0


class Facts(NamedTuple):
    """What a tweet says. in_reply_to: tweet id, 0 for none; entities: packed, b"" for none; edited_ms: 0 for never.

    more: facts by number that this version has no name for.
    """

    text: str
    username: str
    in_reply_to: int = 0
    media_ids: list[int] | tuple[int, ...] = ()
    entities: bytes = b""
    edited_ms: int = 0
    more: dict[int, Any] = _NOTHING

    @property
    def spoiler(self) -> str:
        """What is shown in place of the text until a reader wants that; "" for nothing."""
        return self.more.get(SPOILER, "")  # type: ignore[no-any-return]

    @property
    def sensitive(self) -> bool:
        """Whether its media are hidden until a reader wants them."""
        return self.more.get(SENSITIVE, False)  # type: ignore[no-any-return]

    @property
    def language(self) -> str:
        """ISO 639 code, "" if it isn't said."""
        return self.more.get(LANGUAGE, "")  # type: ignore[no-any-return]

    @property
    def application(self) -> tuple[str, str] | None:
        """Name and website ("" for none) of the app that it was written with."""
        found = self.more.get(APPLICATION)
        return None if found is None else (found[0], found[1])

    @property
    def conversation(self) -> int:
        """The root of the conversation that it is in (`features/conversations.py`), 0 for none."""
        return self.more.get(CONVERSATION, 0)  # type: ignore[no-any-return]

    @property
    def poll(self) -> Poll | None:
        """What it asks, None for nothing."""
        found = self.more.get(POLL)
        return None if found is None else Poll(*found)

    @property
    def quote(self) -> int:
        """Which tweet it quotes, 0 for none."""
        return self.more.get(QUOTE, 0)  # type: ignore[no-any-return]

    @property
    def attachments(self) -> list[Attachment]:
        """Its pictures, video or sound, in their order."""
        found = self.more.get(ATTACHMENTS)
        return [] if found is None else attachments_of(found)

    @property
    def preview(self) -> LinkPreview | None:
        """What is shown of the page that its first link leads to, None for nothing."""
        found = self.more.get(PREVIEW)
        return None if found is None else preview_of(found)

    @property
    def media_ids_held(self) -> list[int]:
        """All media that are this tweet's, its preview's picture too."""
        preview = self.preview
        held = [medium.media_id for medium in self.attachments]
        return held if preview is None or not preview.media_id else [*held, preview.media_id]


def read_facts(body: bytes) -> Facts:
    """Return the facts of a packed body of any version. Raises ValueError or TypeError for what is none."""
    if body[:1] == _MAP:
        found = msgpack.unpackb(memoryview(body)[1:], raw=False, strict_map_key=False)
        if type(found) is not dict:
            raise ValueError(f"a tweet's facts are a map, not a {type(found).__name__}")
        take = found.pop
        return Facts(
            take(TEXT, ""), take(USERNAME, ""), take(IN_REPLY_TO, 0), take(MEDIA_IDS, ()), take(ENTITIES, b""),
            take(EDITED_MS, 0), found,
        )  # fmt: skip
    if body[:1] != b"\x96":
        raise ValueError(f"a tweet's facts begin with {body[:1]!r}, which is no version that this code reads")
    return Facts(*msgpack.unpackb(body, raw=False, strict_map_key=False))


def pack_facts(facts: Facts, as_map: bool = True) -> bytes:
    """Pack facts; as_map: version 1, else version 0. Raises ValueError for what version 0 can't hold."""
    if not as_map:
        if facts.more:
            raise ValueError(f"facts {sorted(facts.more)} need a cluster whose processes all read them")
        six: bytes = msgpack.packb([*facts[:3], list(facts.media_ids), *facts[4:6]], use_bin_type=True)
        return six
    text, username, in_reply_to, media_ids, entities, edited_ms, more = facts
    named: dict[int, Any] = {}  # each asked by itself: a loop over six takes twice as long, for every post
    if text:
        named[TEXT] = text
    if username:
        named[USERNAME] = username
    if in_reply_to:
        named[IN_REPLY_TO] = in_reply_to
    if media_ids:
        named[MEDIA_IDS] = media_ids
    if entities:
        named[ENTITIES] = entities
    if edited_ms:
        named[EDITED_MS] = edited_ms
    packed: bytes = msgpack.Packer().pack({**named, **more} if more else named)  # half the time of `packb`
    return _MAP + packed


def check_more(more: Any) -> dict[int, Any]:
    """Take facts by number, from 6 on: those that have a name must be what it says. Raises InvalidError."""
    if not isinstance(more, Mapping):
        raise InvalidError(f"further facts of a tweet are a map, not a {type(more).__name__}", "more")
    for number, value in more.items():
        if type(number) is not int or number <= EDITED_MS:
            raise InvalidError(f"further facts of a tweet have numbers from {SPOILER} on", "more")
        check = _CHECKS.get(number)
        if check is not None and not check(value):
            raise InvalidError(f"{_NAMES[number]} of a tweet isn't what it may be", "more")
    return dict(more)


def _is_text(value: Any, bytes_max: int) -> bool:
    return type(value) is str and len(value) <= bytes_max and len(value.encode()) <= bytes_max


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value <= ID_MAX


def _is_language(value: Any) -> bool:
    return type(value) is str and 2 <= len(value) <= 3 and value.isascii() and value.isalpha() and value.islower()


def _is_application(value: Any) -> bool:
    bounds = limits.APP_NAME_BYTES_MAX, limits.APP_URL_BYTES_MAX
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_text, value, bounds))


def _is_poll(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) not in (4, 5) or not isinstance(value[0], (list, tuple)):
        return False
    options, multiple, hide_totals, *times = value
    are_options = limits.POLL_OPTIONS_MIN <= len(options) <= limits.POLL_OPTIONS_MAX and all(
        _is_text(option, limits.POLL_OPTION_BYTES_MAX) for option in options
    )
    are_times = all(type(at_ms) is int and 0 < at_ms < limits.SHOWN_MS_MAX for at_ms in times)
    return are_options and type(multiple) is bool and type(hide_totals) is bool and are_times


_NAMES: Final = {
    SPOILER: "spoiler", SENSITIVE: "sensitive", LANGUAGE: "language", APPLICATION: "application", POLL: "poll",
    QUOTE: "quote", CONVERSATION: "conversation", ATTACHMENTS: "media", PREVIEW: "preview",
}  # fmt: skip
_CHECKS: Final[Mapping[int, Callable[[Any], bool]]] = {
    SPOILER: lambda value: _is_text(value, limits.TEXT_BYTES_MAX), SENSITIVE: lambda value: type(value) is bool,
    LANGUAGE: _is_language, APPLICATION: _is_application, POLL: _is_poll,
    QUOTE: _is_id, CONVERSATION: _is_id, ATTACHMENTS: is_attachments, PREVIEW: is_preview,
}  # fmt: skip
NAMED: Final = frozenset(_CHECKS) - {PREVIEW}
"""Numbers of what a request may say of a tweet: what a page says of itself, no client does."""
