r"""The streams that there are: their names, paths and parameters, and what a token needs for them.

    GET /api/v1/streaming/hashtag?tag=Cats         \
                                                    > StreamChannel: topic `hashtag:cats`, label `["hashtag","Cats"]`
    {"type":"subscribe","stream":"hashtag", ...}   /

Rules of this file
- Names and sentences are those of Mastodon's streaming server; clients compare some of these.
- A topic is what the hub knows (`events.py`); a label is what a client is told, with the tag as he wrote it.
- Public channels are for everybody, as public timelines are. The others need a token of an account, for `read` or
  what is below it; what is wrong with a token is 401 in either case, as Mastodon has it.
- `user` has notifications only where the token is for these, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from actors.core.errors import InvalidError, MalformedError, UnauthorizedError
from actors.core.features.filters import EVERYWHERE, HOME, PUBLIC
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from actors.core.scopes import BITS, READ_STATUSES, covers
from api.params import shown
from api.search.hashtags import folded_tag

ROOT: Final = "/api/v1/streaming"
HEALTH: Final = f"{ROOT}/health"
READ_NOTIFICATIONS: Final = BITS["read:notifications"]
MISSING: Final = "Missing access token"
INVALID: Final = "Invalid access token"
OUTSIDE: Final = "Access token does not have the required scopes"
UNKNOWN: Final = "Unknown stream type"
_MEDIA: Final = ":media"
_TRUE: Final = frozenset(("true", "1", "on", "t", "yes"))


class _Kind(NamedTuple):
    """What all channels of a name have in common. takes: the parameter that one has to be given."""

    place: int
    scope: int = 0
    takes: str = ""
    path: str = ""


KINDS: Final = {
    "user": _Kind(HOME, READ_STATUSES, path="user"),
    "user:notification": _Kind(EVERYWHERE, READ_NOTIFICATIONS, path="user/notification"),
    "public": _Kind(PUBLIC, path="public"),
    "public:local": _Kind(PUBLIC, path="public/local"),
    "public:remote": _Kind(PUBLIC, path="public/remote"),
    "public:media": _Kind(PUBLIC),
    "public:local:media": _Kind(PUBLIC),
    "public:remote:media": _Kind(PUBLIC),
    "hashtag": _Kind(PUBLIC, takes="tag", path="hashtag"),
    "hashtag:local": _Kind(PUBLIC, takes="tag", path="hashtag/local"),
    "list": _Kind(HOME, READ_STATUSES, "list", "list"),
    "direct": _Kind(EVERYWHERE, READ_STATUSES, path="direct"),
}
NAME_AT: Final = {f"{ROOT}/{kind.path}": name for name, kind in KINDS.items() if kind.path}


class StreamChannel(NamedTuple):
    """A stream, with its parameter. label: JSON; place: where its statuses are shown, as filters name it.

    scope: what a token needs for it, 0 for nothing; list_id: whose owner is to be asked for, 0 for none.
    """

    name: str
    topic: str
    label: bytes
    place: int
    scope: int = 0
    list_id: int = 0

    @property
    def is_public(self) -> bool:
        """Whether anybody may hear it."""
        return not self.scope

    def check(self, account_id: int, scopes: int, has_token: bool) -> None:
        """See that a token is good for it, but for whose list it is. Raises UnauthorizedError."""
        check_token(self.scope, account_id, scopes, has_token)


def check_token(needed: int, account_id: int, scopes: int, has_token: bool) -> None:
    """See that a token is good for what needs a scope, or nothing (0). Raises UnauthorizedError."""
    if not needed:
        return
    if not has_token:
        raise UnauthorizedError(MISSING)
    if not account_id:
        raise UnauthorizedError(INVALID)
    if not covers(scopes, needed):
        raise UnauthorizedError(OUTSIDE)


def name_at(path: str, query: Mapping[str, Any]) -> Any:
    """Return the name of the channel that a request is for, of its path without the last slash, or of its query.

    None: of none; it may be no channel's.
    """
    name = NAME_AT.get(path)
    if name is None:
        return query.get("stream")
    if name.startswith("public") and _said(query, "only_media").lower() in _TRUE:
        name += _MEDIA
    return name


def scope_of(name: Any) -> int:
    """Return what a token needs for channels of a name, 0 for nothing, or where there is no such name."""
    kind = KINDS.get(name) if isinstance(name, str) else None
    return 0 if kind is None else kind.scope


def channel_of(name: Any, params: Mapping[str, Any]) -> StreamChannel:
    """Return a channel by its name, as clients subscribe to it. Raises MalformedError, with Mastodon's sentence."""
    if isinstance(name, list):
        name = name[0] if name else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MalformedError(UNKNOWN, "stream")
    said = _said(params, kind.takes) if kind.takes else ""
    if kind.takes and not said:
        raise MalformedError(f"Missing {'tag' if kind.takes == 'tag' else 'list'} name parameter", kind.takes)
    if not kind.takes:
        return _PLAIN[name]
    topic, list_id = name, 0
    if kind.takes == "tag":
        topic = f"{name}:{_folded(said)}"
    elif kind.takes == "list":
        list_id = whole_number(said, ID_MAX) or 0
        if not 1 <= list_id <= ID_MAX:
            raise MalformedError(f"list must be an id, not {shown(said)}", "list")
        topic, said = f"{name}:{list_id}", str(list_id)
    return _channel(name, kind, topic, said, list_id)


def _channel(name: str, kind: _Kind, topic: str, said: str = "", list_id: int = 0) -> StreamChannel:
    label = orjson.dumps([name, said] if said else [name])
    return StreamChannel(
        name, topic, bytes(bytearray(label)), kind.place, kind.scope, list_id
    )  # orjson's own take 4 KiB


_PLAIN: Final = {name: _channel(name, kind, name) for name, kind in KINDS.items() if not kind.takes}


def _folded(tag: str) -> str:
    try:
        return folded_tag(tag, "tag")
    except InvalidError as error:
        raise MalformedError(error.message, "tag") from error


def _said(params: Mapping[str, Any], name: str) -> str:
    """Return a parameter as a text; of several the first, as Mastodon has it; "" for none, and for what is no text."""
    value = params.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value)
