"""Single arguments of lane operations: each function returns its argument, or refuses it.

Rules of this file
- Types are exact: True is no 1 and 1.0 is no id. Python's dicts take them for equal, NumPy and Numba silently convert
  or compile again, and what lands in the journal would come back from a checkpoint as another value.
- What passes here can't make `apply`, a seal or a rendering fail later. So whatever is stored as packed bytes is
  rendered once on the way in.
- A message shows short values only: arguments may be megabytes, or nested a thousand deep.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from actors.core import flags as bits
from actors.core import ids, limits, scopes
from actors.core.entries import Entry, pack, unpack
from actors.core.errors import ForbiddenError, InvalidError, TooLargeError
from actors.core.facts import NAMED, SPOILER, check_more
from actors.core.render import render_entities, render_tweet
from actors.core.stores.account_flags import FLAGS_ALL, PRIVACY_MAX
from actors.core.stores.people import PROFILE_FIELDS, SETTING_FIELDS

UTF8_BYTES_MAX = 4  # of one character
ID_BYTES = 8
MORE_COUNT_MAX = 16  # facts beside those that every tweet has
COUNT_MAX = (1 << 31) - 1  # replies, reposts and likes rest in int32 columns
ENTITIES_CACHED_BYTES_MAX = 64  # most tweets have none; those needn't be rendered anew each time
_render_again = lru_cache(maxsize=256)(render_entities)


def shown(value: Any) -> str:
    """Return a short description of any value."""
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | bytes):
        return repr(value[:40])
    return f"a {type(value).__name__}"


def whole(value: Any, lowest: int, highest: int, field: str) -> int:
    """Take an int within lowest..highest."""
    if type(value) is not int or not lowest <= value <= highest:
        raise InvalidError(f"{field} must be a whole number from {lowest} to {highest}, not {shown(value)}", field)
    return value


def an_id(value: Any, field: str) -> int:
    """Take an account or tweet id."""
    if type(value) is int and 0 < value <= ids.ID_MAX:  # some for each post: `whole` is for the refusal
        return value
    return whole(value, 1, ids.ID_MAX, field)


def an_id_or_zero(value: Any, field: str) -> int:
    """Take an id, or 0 for none."""
    if type(value) is int and 0 <= value <= ids.ID_MAX:
        return value
    return whole(value, 0, ids.ID_MAX, field)


def a_bool(value: Any, field: str) -> bool:
    """Take a switch."""
    if type(value) is not bool:
        raise InvalidError(f"{field} must be true or false, not {shown(value)}", field)
    return value


def page_count(count: Any) -> int:
    """Take a page size."""
    return whole(count, 1, limits.PAGE_COUNT_MAX, "count")


def listed(values: Any, count_max: int, field: str) -> list[Any]:
    """Take a list of at most count_max items."""
    if type(values) is not list or len(values) > count_max:
        given = len(values) if type(values) is list else shown(values)
        raise InvalidError(f"{field} must be a list of at most {count_max}, not {given}", field)
    return values


def id_list(values: Any, count_max: int, field: str) -> list[int]:
    """Take a list of at most count_max ids."""
    if type(values) is list and not values:
        return values
    return [an_id(value, field) for value in listed(values, count_max, field)]


def text(value: Any, bytes_max: int, field: str) -> str:
    """Take a str of at most bytes_max bytes of UTF-8."""
    if type(value) is not str:
        raise InvalidError(f"{field} must be text, not {shown(value)}", field)
    if len(value) > bytes_max // UTF8_BYTES_MAX and (len(value) > bytes_max or len(value.encode()) > bytes_max):
        raise TooLargeError(f"{field} may take {bytes_max} bytes", field)
    return value


def blob(value: Any, bytes_min: int, bytes_max: int, field: str) -> bytes:
    """Take bytes of a length within bytes_min..bytes_max."""
    if type(value) is not bytes or not bytes_min <= len(value) <= bytes_max:
        given = f"{len(value)}" if type(value) is bytes else shown(value)
        raise InvalidError(f"{field} must be {bytes_min} to {bytes_max} bytes, not {given}", field)
    return value


def pair(value: Any, field: str) -> list[Any]:
    """Take a list of two."""
    if type(value) is not list or len(value) != 2:
        raise InvalidError(f"{field} must be a list of two, not {shown(value)}", field)
    return value


def packed_ids(value: Any, count_max: int, field: str) -> list[int]:
    """Take ids as little-endian int64 bytes; of which numbers they are isn't looked at."""
    packed = blob(value, 0, ID_BYTES * count_max, field)
    if len(packed) % ID_BYTES:
        raise InvalidError(f"{field} must be whole numbers of {ID_BYTES} bytes, not {len(packed)} bytes", field)
    found: list[int] = np.frombuffer(packed, dtype="<i8").tolist()
    return found


def secret(value: Any) -> bytes:
    """Take the hash of a token's secret."""
    return blob(value, 1, limits.KEY_BYTES_MAX, "secret_hash")


def secrets(values: Any) -> list[bytes]:
    """Take the hashes of one account's tokens' secrets."""
    return [secret(value) for value in listed(values, limits.TOKENS_PER_ACCOUNT_MAX, "tokens")]


def scope_mask(value: Any) -> int:
    """Take what a token or an app is granted (`scopes.py`): scopes that are known, one at least, or EVERYTHING."""
    if type(value) is int and value == scopes.EVERYTHING:
        return value
    return whole(value, 1, scopes.KNOWN, "scopes")


def token_name(value: Any) -> str:
    """Take what a client calls a token, "" for nothing."""
    return text(value, limits.TOKEN_NAME_BYTES_MAX, "token_name")


def password_hash(value: Any) -> str:
    """Take an encoded password hash."""
    return text(value, limits.PASSWORD_HASH_BYTES_MAX, "password_hash")


def entities(value: Any) -> bytes:
    """Take a tweet's packed entities, empty for none: they must render."""
    packed = blob(value, 0, limits.TEXT_BYTES_MAX, "entities")
    if len(packed) <= ENTITIES_CACHED_BYTES_MAX:
        _render_again(packed)
    else:
        render_entities(packed)
    return packed


def said(status: Any, packed: Any) -> None:
    """Take what a tweet says, its text and packed entities, which have one room together."""
    text(status, limits.TEXT_BYTES_MAX, "status")
    room = limits.TEXT_BYTES_MAX - len(entities(packed))
    if len(status) > room // UTF8_BYTES_MAX and len(status.encode()) > room:
        raise TooLargeError(f"a tweet may take {limits.TEXT_BYTES_MAX} bytes", "status")


def more(value: Any, used_bytes: int) -> dict[int, Any]:
    """Take what else a tweet says, [[number, value], ...], which has one room with its text. None: nothing.

    used_bytes: of that room.
    """
    rows = [pair(row, "more") for row in listed([] if value is None else value, MORE_COUNT_MAX, "more")]
    for number, _ in rows:
        if whole(number, SPOILER, ids.ID_MAX, "more") not in NAMED:
            raise InvalidError(f"a tweet has no fact {number}", "more")
    found = check_more(dict(rows))
    size = used_bytes + (len(pack(found)) if found else 0)
    if size > limits.TEXT_BYTES_MAX:
        raise TooLargeError(f"a tweet may take {limits.TEXT_BYTES_MAX} bytes, not {size}", "status")
    return found


def registration(row: Any) -> list[Any]:
    """Take the six values of `register`, or seven; their order is that of docs/lane.md."""
    username, account_id, display_name, bio, encoded, tokens, *named = listed(row, 7, "account")
    an_id(account_id, "user_id")
    sizes = [len(text(v, limits.PROFILE_BYTES_MAX, "profile").encode()) for v in (username, display_name, bio)]
    if not sizes[0]:
        raise InvalidError("a user name must not be empty", "username")
    if sum(sizes) > limits.PROFILE_BYTES_MAX:
        raise TooLargeError(f"a profile may take {limits.PROFILE_BYTES_MAX} bytes, not {sum(sizes)}", "profile")
    if encoded is not None:
        password_hash(encoded)
    return [username, account_id, display_name, bio, encoded, secrets(tokens), *map(token_name, named)]


def profile(values: Any) -> dict[str, Any]:
    """Take new values of profile fields."""
    if type(values) is not dict:
        raise InvalidError(f"a profile's changes are a map, not {shown(values)}")
    room = limits.PROFILE_BYTES_MAX
    for name, value in values.items():
        if name not in PROFILE_FIELDS:
            raise InvalidError(f"a profile has no field {shown(name)}; it has {', '.join(PROFILE_FIELDS)}")
        if name != "fields":
            room -= len(text(value, limits.PROFILE_BYTES_MAX, name).encode())
            continue
        for pair in listed(value, limits.PROFILE_FIELDS_COUNT_MAX, name):
            if len(listed(pair, 2, name)) != 2:
                raise InvalidError("each of a profile's fields is a name and a value", name)
            room -= sum(len(text(part, limits.PROFILE_BYTES_MAX, name).encode()) for part in pair)
    if room < 0:
        raise TooLargeError(f"a profile may take {limits.PROFILE_BYTES_MAX} bytes, these are {-room} more")
    return values


def settings(values: dict[str, Any]) -> None:
    """Refuse settings of an account that are none: a header, flags, and what its posts are as a rule."""
    text(values.get("header", ""), limits.PROFILE_BYTES_MAX, "header")
    whole(values.get("flags", 0), 0, FLAGS_ALL, "flags")
    whole(values.get("privacy", 0), 0, PRIVACY_MAX, "privacy")
    text(values.get("language", ""), limits.LANGUAGE_BYTES_MAX, "language")


def account_changes(values: Any) -> dict[str, Any]:
    """Take new values of profile fields and settings; flags as [which are said, those of them that are set]."""
    if type(values) is not dict:
        raise InvalidError(f"a profile's changes are a map, not {shown(values)}")
    said = {name: values[name] for name in SETTING_FIELDS if name in values}
    profile({name: value for name, value in values.items() if name not in said})
    settings({name: value for name, value in said.items() if name != "flags"})
    if "flags" in said:
        mask, bits = (whole(number, 0, FLAGS_ALL, "flags") for number in pair(said["flags"], "flags"))
        if bits & ~mask:
            raise InvalidError(f"flags {bits} are set, of which {bits & ~mask} are not said", "flags")
    return values


def original(packed: Any, own_of: int = 0) -> Entry:
    """Take the packed entry of a tweet to repost: a public original, whole and fit to be rendered.

    own_of: whose own one may be for followers alone, too; 0 for nobody's.
    """
    entry = Entry(*unpack(blob(packed, 1, limits.ENTRY_BYTES_MAX, "entry")))
    private = bits.FLAG_FOLLOWERS | bits.FLAG_UNCOUNTED if own_of and entry.author_id == own_of else 0
    if type(entry.flags) is int and entry.flags & (bits.FLAG_FOLLOWERS | bits.FLAG_DIRECT) & ~private:
        raise ForbiddenError(f"tweet {shown(entry.tweet_id)} is not public and can't be reposted", "tweet_id")
    an_id(entry.tweet_id, "tweet_id")
    an_id(entry.author_id, "author_id")
    an_id_or_zero(entry.reply_author, "reply_author")
    for value in (entry.replies, entry.reposts, entry.likes):
        whole(value, 0, COUNT_MAX, "counts")
    id_list(entry.mention_ids, limits.MENTIONS_COUNT_MAX, "mention_ids")
    allowed = bits.FLAGS_REPOSTED | private
    if whole(entry.flags, 0, allowed, "flags") & ~allowed:
        raise InvalidError(f"{entry.flags} are no flags of an original tweet", "flags")
    is_original = entry[4:6] == (entry.tweet_id, entry.author_id) and entry.orig is None
    if not is_original or ids.bucket_of_tweet(entry.tweet_id) != ids.bucket_of_account(entry.author_id):
        raise InvalidError(f"the entry of {entry.tweet_id} is not that of an original tweet", "entry")
    an_id(entry.orig_id, "orig_id")  # 1.0 and True equal an id too
    an_id(entry.orig_author, "orig_author")
    render_tweet(entry)
    return entry
