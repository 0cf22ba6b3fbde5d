"""Checks the values of a body: texts, names, passwords, links, lists.

Rules of this file
- Texts are normalised to NFC and counted in code points. Where a field may have several lines (a tweet, a bio), CR LF
  and CR become line feeds; names, places, links and the lines of a profile refuse any line end. All other control
  characters are refused, and so are lone surrogates and the three code points that Twitter refuses in any text (U+FFFE,
  U+FEFF, U+FFFF). The message names the character and its index.
- Tweets and names need something to see in them: blanks and invisible characters alone are refused as empty.
- Nothing else is trimmed, cut or replaced silently: what is stored is what was sent, in NFC.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

import orjson

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.core.normal_form import SHRINKS_MAX, normalize
from actors.core.numbers import whole_number
from api import limits
from api.access.hopeless import why_hopeless
from api.access.passwords import prepare_password
from api.params import Values, shown
from api.text.texts import is_blank, with_line_feeds

VISIBILITIES = {"public": 0, "followers": 1, "direct": 2}
_USERNAME = re.compile(rf"[A-Za-z0-9_]{{1,{limits.USERNAME_CHARS_MAX}}}")
_REFUSED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\ufeff\uffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_REFUSED_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\ufeff\uffff]")


def clean_text(
    value: Any, field: str, chars_max: int, *, chars_min: int = 0, lines: bool = False, seen: bool = False
) -> str:
    """Return a text in NFC of chars_min..chars_max code points. Raises MalformedError or InvalidError.

    seen: whether a text that isn't empty needs something to see in it; one that may not be empty does in any case.
    """
    if not isinstance(value, str):
        raise MalformedError(f"{field} must be a text, not {shown(value)}", field)
    if lines:
        value = with_line_feeds(value)
    if found := (_REFUSED if lines else _REFUSED_IN_LINE).search(value):
        name = unicodedata.name(found.group(), "control character")
        point = f"U+{ord(found.group()):04X}"
        raise InvalidError(f"{field} may not contain {point} ({name.lower()}), found at index {found.start()}", field)
    text = normalize("NFC", value) if len(value) <= SHRINKS_MAX * chars_max else value  # else it is too long, anyway
    if not chars_min <= len(text) <= chars_max:
        raise InvalidError(f"{field} must have {chars_min} to {chars_max} characters, not {len(text)}", field)
    if text and (seen or chars_min) and is_blank(text):
        raise InvalidError(f"{field} is as good as empty: it has only blanks and characters that nobody sees", field)
    return text


def clean_display_name(value: Any) -> str:
    """Return a display name, empty for none."""
    return "" if value is None else clean_text(value, "display_name", limits.DISPLAY_NAME_CHARS_MAX, seen=True)


def clean_token_name(value: Any) -> str:
    """Return what a client calls a log-in, empty for nothing."""
    return "" if value is None else clean_text(value, "token_name", limits.TOKEN_NAME_CHARS_MAX, seen=True)


def clean_bio(value: Any) -> str:
    """Return what an account says of itself, perhaps in several lines; empty for nothing."""
    return "" if value is None else clean_text(value, "bio", limits.BIO_CHARS_MAX, lines=True)


def required(values: Values, field: str) -> Any:
    """Return a value that must be there."""
    value = values.get(field)
    if value is None:
        raise InvalidError(f"{field} is required", field)
    return value


def clean_username(value: Any) -> str:
    """Return a user name as it was written; names compare without case."""
    if not isinstance(value, str):
        raise MalformedError(f"username must be a text, not {shown(value)}", "username")
    if not _USERNAME.fullmatch(value):
        allowed = f"1 to {limits.USERNAME_CHARS_MAX} of the characters A-Z a-z 0-9 _"
        raise InvalidError(f"username must have {allowed}, not {shown(value)}", "username")
    return value


def is_username(value: str) -> bool:
    """Return whether a text could be a user name."""
    return _USERNAME.fullmatch(value) is not None


def tried_password(value: Any, field: str = "password") -> str:
    """Return a password that somebody logs in with: whatever it is, it is simply wrong. Never shown in a message."""
    if not isinstance(value, str):
        raise MalformedError(f"{field} must be a text", field)
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(f"{field} must be valid Unicode", field) from error
    if size_bytes > limits.PASSWORD_GIVEN_BYTES_MAX:
        raise InvalidError(f"{field} has {size_bytes} bytes; no password is that long", field)
    return value


def new_password(value: Any, bytes_min: int = limits.PASSWORD_BYTES_MIN, field: str = "password") -> str:
    """Return a password that an account may have, as it is hashed: 8 to 256 bytes of UTF-8, without control characters.

    Raises MalformedError or InvalidError, which don't show it.
    """
    text = tried_password(value, field)
    if _CONTROL.search(text):
        raise InvalidError(f"{field} may not contain control characters, such as a tab or a line end", field)
    text = prepare_password(text)
    size_bytes = len(text.encode())
    if not bytes_min <= size_bytes <= limits.PASSWORD_BYTES_MAX:
        bounds = f"{bytes_min} to {limits.PASSWORD_BYTES_MAX} bytes"
        raise InvalidError(f"{field} must have {bounds}, not {size_bytes}", field)
    return text


def chosen_password(values: Values, field: str, username: str) -> str:
    """Return a password that somebody chooses: a new one, and none that is tried first. Raises as `new_password`."""
    text = new_password(required(values, field), field=field)
    if trouble := why_hopeless(text, username):
        raise InvalidError(f"{field} {trouble}; choose another", field)
    return text


def clean_link(value: Any, field: str, chars_max: int) -> str:
    """Return an http(s) link, or an empty text (which clears it)."""
    text = clean_text(value, field, chars_max)
    if not text:
        return text
    try:
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", text)
    except ValueError:  # urlsplit's word for a broken IPv6 host or port: an answer, not a failure
        well_formed = False
    if not well_formed:
        raise InvalidError(f"{field} must be a link that starts with http:// or https://, not {shown(text)}", field)
    return text


def clean_visibility(values: Values) -> int:
    """Return 0 public (also when not given), 1 followers, 2 direct."""
    value = values.get("visibility")
    if value is None:
        return 0
    if not isinstance(value, str):
        raise MalformedError(f"visibility must be a text, not {shown(value)}", "visibility")
    if value not in VISIBILITIES:
        raise InvalidError(f"visibility must be one of {', '.join(VISIBILITIES)}, not {shown(value)}", "visibility")
    return VISIBILITIES[value]


def clean_medium(value: Any) -> int:
    """Return the id of a medium. Raises InvalidError that names a medium that can't exist, MalformedError for no id."""
    number = whole_number(value, ID_MAX)
    if number is None and not isinstance(value, str):
        raise MalformedError(f"media_ids must be a list of ids, not of {shown(value)}", "media_ids")
    if number is None or not 1 <= number <= ID_MAX:
        raise InvalidError(f"there is no medium {shown(value)} of yours: upload it first", "media_ids")
    return number


def clean_media_ids(values: Values) -> list[int]:
    """Return up to four media ids: a list, one alone, or several in a text with commas between them."""
    value = values.get("media_ids")
    if value is None or value == "":
        return []
    if isinstance(value, str):
        value = value.split(",")
    elif type(value) is int:
        value = [value]
    if not isinstance(value, list):
        raise MalformedError(f"media_ids must be a list of ids, not {shown(value)}", "media_ids")
    if len(value) > limits.MEDIA_COUNT_MAX:
        raise InvalidError(f"media_ids may have {limits.MEDIA_COUNT_MAX} ids, not {len(value)}", "media_ids")
    ids = [clean_medium(item) for item in value]
    if len(set(ids)) != len(ids):
        raise InvalidError("media_ids has an id twice", "media_ids")
    return ids


def clean_profile_fields(value: Any) -> list[list[str]]:
    """Return up to eight `[name, value]` pairs from `[{"name", "value"}]`, an object, or (in a form) their JSON."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"fields is not JSON: {error}", "fields") from error
    if isinstance(value, dict):
        value = [{"name": name, "value": text} for name, text in value.items()]
    if not (isinstance(value, list) and all(isinstance(v, dict) and {"name", "value"} <= set(v) for v in value)):
        raise MalformedError('fields must be a list such as [{"name": "Site", "value": "example.org"}]', "fields")
    if len(value) > limits.PROFILE_FIELD_COUNT_MAX:
        raise InvalidError(f"fields may have {limits.PROFILE_FIELD_COUNT_MAX} entries, not {len(value)}", "fields")
    return [
        [
            clean_text(item["name"], "fields", limits.PROFILE_FIELD_NAME_CHARS_MAX, chars_min=1),
            clean_text(item["value"], "fields", limits.PROFILE_FIELD_VALUE_CHARS_MAX),
        ]
        for item in value
    ]


def clean_profile_changes(values: Values) -> dict[str, Any]:
    """Return what a profile change asks for. Raises InvalidError when it asks for nothing."""
    changes: dict[str, Any] = {}
    if values.get("display_name") is not None:
        changes["display_name"] = clean_display_name(values["display_name"])
    if values.get("bio") is not None:
        changes["bio"] = clean_bio(values["bio"])
    if values.get("location") is not None:
        changes["location"] = clean_text(values["location"], "location", limits.LOCATION_CHARS_MAX)
    if values.get("url") is not None:
        changes["url"] = clean_link(values["url"], "url", limits.URL_CHARS_MAX)
    if values.get("avatar") is not None:
        changes["avatar"] = clean_link(values["avatar"], "avatar", limits.AVATAR_CHARS_MAX)
    if values.get("fields") is not None:
        changes["fields"] = clean_profile_fields(values["fields"])
    if not changes:
        raise InvalidError("nothing to change: give display_name, bio, location, url, avatar or fields")
    return changes
