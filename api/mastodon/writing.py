"""What a client says of a status that it writes or edits, checked: text, spoiler, language, poll and so on.

Rules of this file
- Text and spoiler share `tweet.max_chars`. A spoiler without a text is the text, as Mastodon has it.
- Who gives a spoiler has his media hidden, too, whatever else he says.
- What a client doesn't say of visibility, sensitivity and language is as the account has set it.
- A language is an ISO 639 code; what clients send behind it (`zh-CN`) is cut. What isn't one is refused.
- Facts are [number, value] pairs by the numbers of `actors/core/facts.py`; those that are empty are left out.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core.errors import InvalidError
from actors.core.facts import ATTACHMENTS, LANGUAGE, POLL, SENSITIVE, SPOILER
from actors.core.stores.account_flags import SENSITIVE as SENSITIVE_ACCOUNT
from api import fields
from api.fields import clean_medium
from api.mastodon.accounts import PRIVACIES, AccountSettings
from api.mastodon.inputs import Params
from api.media import clean_description, clean_focus
from api.params import shown

VISIBILITIES: Final = {name: number for number, name in enumerate(PRIVACIES)}
POLL_OPTIONS: Final = range(2, 5)  # how many a poll may have
POLL_OPTION_CHARS_MAX: Final = 50
POLL_S_MIN, POLL_S_MAX = 300, 2_629_746  # five minutes to a month, as Mastodon has it
_NOT_GIVEN: Final[tuple[Any, ...]] = (None, "", {}, [])
NOTHING_SET: Final = AccountSettings("", 0, 0, "", 0)
_CODE_CHARS: Final = range(2, 4)  # of ISO 639-1 and 639-3


def said_of(params: Params, chars_max: int, has_media: bool = False) -> tuple[str, str]:
    """Return the text of a status, and the spoiler before it. has_media: it may be empty. Raises RookeryError."""
    spoiler = fields.clean_text(params.text("spoiler_text"), "spoiler_text", chars_max, lines=True).strip()
    given = params.text("status")
    if not given.strip() and spoiler and not has_media:
        given, spoiler = spoiler, ""
    text = fields.clean_text(given, "status", chars_max, chars_min=0 if has_media else 1, lines=True)
    if len(text) + len(spoiler) > chars_max:
        raise InvalidError(f"Text and spoiler_text may have {chars_max} characters together", "status")
    return text, spoiler


def beside_text(params: Params, spoiler: str, settings: AccountSettings = NOTHING_SET) -> list[list[Any]]:
    """Return the facts beside a text. settings: the account's, for what the client doesn't say. Raises RookeryError."""
    is_sensitive = params.flag("sensitive", bool(settings.flags & SENSITIVE_ACCOUNT)) or bool(spoiler)
    language = language_of(params) or settings.language
    facts = ([SPOILER, spoiler], [SENSITIVE, is_sensitive], [LANGUAGE, language])
    return [fact for fact in facts if fact[1]]


def language_of(params: Params) -> str:
    """Return a language, "" if none is said. Raises InvalidError."""
    given = params.text("language").strip()
    code = given.replace("_", "-").partition("-")[0].lower()
    if given and not (len(code) in _CODE_CHARS and code.isascii() and code.isalpha()):
        raise InvalidError(f"Language must be an ISO 639 code such as en, not {shown(given)}", "language")
    return code


def visibility_given(params: Params) -> int | None:
    """Return a visibility, None if none is said. Raises InvalidError."""
    given = params.text("visibility")
    if not given:
        return None
    if given not in VISIBILITIES:
        raise InvalidError(f"Visibility must be one of {', '.join(VISIBILITIES)}, not {shown(given)}", "visibility")
    return VISIBILITIES[given]


def poll_given(params: Params) -> list[list[Any]]:
    """Return the fact of a poll with how long it is open, in ms; nothing if none is given. Raises RookeryError."""
    if params.values.get("poll") in _NOT_GIVEN:
        return []
    given = params.inside("poll")
    options = [
        fields.clean_text(option.strip(), "poll[options]", POLL_OPTION_CHARS_MAX, chars_min=1)
        for option in given.texts("options")
    ]
    if len(options) not in POLL_OPTIONS:
        bounds = f"{POLL_OPTIONS.start} to {POLL_OPTIONS.stop - 1}"
        raise InvalidError(f"Poll must have {bounds} options, not {len(options)}", "poll[options]")
    if len(set(options)) != len(options):
        raise InvalidError("Poll contains duplicate items", "poll[options]")
    open_s = given.whole("expires_in", 0, 0, POLL_S_MAX + 1)
    if not POLL_S_MIN <= open_s <= POLL_S_MAX:
        raise InvalidError(f"Poll must be open for {POLL_S_MIN} to {POLL_S_MAX} s (expires_in)", "poll[expires_in]")
    return [[POLL, [options, given.flag("multiple"), given.flag("hide_totals"), open_s * 1000]]]


def media_ids_given(params: Params, count_max: int) -> list[int]:
    """Return the ids of a status' media. Raises InvalidError, MalformedError."""
    ids = [clean_medium(each) for each in params.listed("media_ids") if each not in _NOT_GIVEN]
    if len(ids) > count_max:
        raise InvalidError(f"Status may have {count_max} media, not {len(ids)}", "media_ids")
    return ids


def media_changed(params: Params, media_ids: list[int]) -> list[list[Any]]:
    """Return the fact of the media of a status that is edited: each its id, or `[id, description, focus]`.

    media_ids: that it is to have. Raises InvalidError, MalformedError.
    """
    words = {clean_medium(each.text("id")): each for each in params.objects("media_attributes")}
    return [[ATTACHMENTS, [_with_words(media_id, words.get(media_id)) for media_id in media_ids]]]


def _with_words(media_id: int, said: Params | None) -> int | list[Any]:
    if said is None:
        return media_id
    description = clean_description(said.text("description")) if "description" in said else None
    focus = clean_focus(said.text("focus"))
    return [media_id, description, None if focus is None else list(focus)]
