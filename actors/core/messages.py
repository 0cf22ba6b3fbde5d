"""Whether messages of another shard are what their rows in the table of effects say, before anything is made of them.

    batch --require_fitting--> the journal ("receive") --> apply_batch

Rules of this file
- A shard refuses a batch before it is in its journal: what fails there fails at every replay, and the shard with it.
  The sender keeps it and says so; it is a defect of ours, or a peer that isn't one of ours.
- By the names of `Effect.carries`: each has one form. A name without a form is refused when this is imported.
- Tweets on their way to rings are passed over: they are most of what comes, and `arriving.py` takes them as they are.

Cost: 1 us a message; of tweets 0.3 us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack

from actors.core.apply import GATHERED
from actors.core.arguments import an_id_or_zero, blob, id_list, listed, text, whole
from actors.core.cards import check_card
from actors.core.entries import Entry
from actors.core.errors import MalformedError, RookeryError
from actors.core.features import EFFECTS, KINDS
from actors.core.ids import ID_MAX
from actors.core.limits import ENTRY_BYTES_MAX
from actors.core.render import render_tweet

Check = Callable[[Any, str], Any]
PACKED_BYTES_MAX: Final = 64 * 1024 * 1024  # of ids in one message: as much as a batch may have
ROWS_MAX: Final = 1_000_000  # in one message
NAME_BYTES_MAX: Final = 256
NEGATIVE_MIN: Final = -ID_MAX  # a floor of a ring that isn't filled


def _id_columns(value: Any, field: str) -> None:
    if len(blob(value, 0, PACKED_BYTES_MAX, field)) % 8:
        raise MalformedError(f"{field} must be whole numbers of 8 bytes", field)


def _step(value: Any, field: str) -> None:
    if type(value) is not int or value not in (-1, 0, 1):
        raise MalformedError(f"{field} must be 1, 0 or -1", field)


def _flag(value: Any, field: str) -> None:
    if type(value) not in (bool, int) or value not in (0, 1):
        raise MalformedError(f"{field} must be true or false", field)


def _ids(value: Any, field: str) -> None:
    id_list(value, ROWS_MAX, field)


def _rows(width: int) -> Check:
    def check(value: Any, field: str) -> None:
        for row in listed(value, ROWS_MAX, field):
            if type(row) is not list or len(row) != width or any(type(each) is not int for each in row):
                raise MalformedError(f"{field} must be rows of {width} numbers", field)

    return check


def _entries(value: Any, field: str) -> None:
    if any(type(entry) is not list for entry in listed(value, ROWS_MAX, field)):
        raise MalformedError(f"{field} must be packed entries", field)


def _kind(value: Any, field: str) -> None:
    if whole(value, 0, ID_MAX, field) not in KINDS:
        raise MalformedError(f"there is no kind {value} of marks", field)


def _registration(value: Any, field: str) -> None:
    if type(value) is not list or len(value) not in (6, 7):
        raise MalformedError(f"{field} must be six or seven values", field)


def _number(value: Any, field: str) -> None:
    whole(value, 0, ID_MAX, field)


def _body(value: Any, field: str) -> None:
    body = blob(value, 1, ENTRY_BYTES_MAX, field)
    try:
        render_tweet(Entry(1, 1, 0, 0, 1, 1, 0, 0, 0, body, [], None))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise MalformedError(f"{field} must be what a tweet says: {str(error)[:100]}", field) from error


def _name(value: Any, field: str) -> None:
    text(value, NAME_BYTES_MAX, field)


_ONE: Final = (
    "actor", "account", "author", "reader", "tweet", "repost", "reply", "quote", "conversation", "answered", "tag",
)  # fmt: skip
FORMS: Final[Mapping[str, Check]] = {
    **dict.fromkeys(_ONE, an_id_or_zero),
    **dict.fromkeys(("actors", "accounts", "authors", "floors"), _id_columns),
    **dict.fromkeys(("actor_list", "account_list", "tweets"), _ids),
    **dict.fromkeys(("at_ms", "number", "above", "choices", "born_day", "since_ms"), _number),
    **dict.fromkeys(("on", "settled"), _flag),
    "step": _step, "name": _name, "registration": _registration, "count_rows": _rows(4), "mark_rows": _rows(3),
    "entries": _entries, "kind": _kind, "body": _body, "card": check_card,
}  # fmt: skip


def _checks() -> dict[str, tuple[int, tuple[tuple[str, Check], ...]]]:
    """Return by effect how many facts there are at least, and the form of each."""
    found = {}
    for name, effect in EFFECTS.items():
        if name not in GATHERED:
            if missing := set(effect.carries) - FORMS.keys():
                raise ValueError(f"effect {name}: no form says what {', '.join(sorted(missing))} may be")
            least = len(effect.carries) if effect.short is None else effect.short
            found[name] = least, tuple((field, FORMS[field]) for field in effect.carries)
    return found


_CHECKS: Final = _checks()


def require_fitting(batch: bytes) -> None:
    """Look at a batch of packed messages. Raises MalformedError that names what isn't as it should be."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(batch)
    try:
        while unpacker.tell() < len(batch):
            width = unpacker.read_array_header()
            name = unpacker.unpack()
            if name in GATHERED:
                for _ in range(width - 1):
                    unpacker.skip()
            else:
                _require(name, [unpacker.unpack() for _ in range(width - 1)])
    except (ValueError, msgpack.exceptions.UnpackException, TypeError) as error:
        raise MalformedError(f"these are no messages: {str(error)[:200]}") from error


def _require(name: Any, facts: list[Any]) -> None:
    known = _CHECKS.get(name) if type(name) is str else None
    if known is None:
        raise MalformedError(f"there is no message {str(name)[:50]!r}")
    least, fields = known
    if not least <= len(facts) <= len(fields):
        raise MalformedError(f"message {name} has {least} to {len(fields)} facts, not {len(facts)}")
    for (field, check), fact in zip(fields, facts, strict=False):
        try:
            check(fact, field)
        except RookeryError as error:
            raise MalformedError(f"message {name}: {error.message}", field) from error
