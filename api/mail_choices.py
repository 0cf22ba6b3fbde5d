"""What an account gets mailed, as both the native API and the settings page say it.

    {"email": "ada@example.org", "waiting": null, "notify": {"mention": true, ...}, "digest": true}

Rules of this file
- Names of notifications are those of the native API, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from actors.core.errors import InvalidError, MalformedError
from api.native.notification_json import TYPE_NAMES
from api.params import parse_flag, shown

WORDS: Final = {name: number for number, name in enumerate(TYPE_NAMES)}


def mail_settings(row: list[Any]) -> dict[str, Any]:
    """Return what a row of `mailbox` says."""
    address, wanted, types, digest = row
    notify = {word: bool(types >> number & 1) for word, number in WORDS.items()}
    return {"email": address or None, "waiting": wanted or None, "notify": notify, "digest": digest}


def choices_of(values: Mapping[str, Any], types: int) -> tuple[int, bool | None]:
    """Return what `set_mail` takes, of what somebody has sent. types: as they are.

    Raises MalformedError, InvalidError that names a notification that there isn't.
    """
    notify = values.get("notify")
    if notify is None:
        notify = {}
    if isinstance(notify, str):  # in a form
        try:
            notify = orjson.loads(notify)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"notify is not JSON: {error}", "notify") from error
    if not isinstance(notify, Mapping):
        raise MalformedError(f"notify must be an object of names and true or false, not {shown(notify)}", "notify")
    for name in notify:
        if name not in WORDS:
            raise InvalidError(f"notify may have {', '.join(WORDS)}, not {shown(name)}", "notify")
        bit = 1 << WORDS[name]
        types = types | bit if parse_flag(notify, name) else types & ~bit
    digest = None if values.get("digest") is None else parse_flag(values, "digest")
    return types, digest
