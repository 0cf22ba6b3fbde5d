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
from actors.core.facts import LANGUAGE, POLL, SENSITIVE, SPOILER
from actors.core.stores.account_flags import SENSITIVE as SENSITIVE_ACCOUNT
from api import fields
from api.mastodon.accounts import PRIVACIES, AccountSettings
from api.mastodon.inputs import Params
from api.params import shown

VISIBILITIES: Final = {name: number for number, name in enumerate(PRIVACIES)}
POLL_OPTIONS: Final = range(2, 5)  # how many a poll may have
POLL_OPTION_CHARS_MAX: Final = 50
POLL_S_MIN, POLL_S_MAX = 300, 2_629_746  # five minutes to a month, as Mastodon has it
_NOT_GIVEN: Final[tuple[Any, ...]] = (None, "", {}, [])
NOTHING_SET: Final = AccountSettings("", 0, 0, "", 0)
_CODE_CHARS: Final = range(2, 4)  # of ISO 639-1 and 639-3


def said_of(params: Params, chars_max: int) -> tuple[str, str]:
    """Return the text of a status, and the spoiler before it. Raises RookeryError."""
    spoiler = fields.clean_text(params.text("spoiler_text"), "spoiler_text", chars_max, lines=True).strip()
    given = params.text("status")
    if not given.strip() and spoiler:
        given, spoiler = spoiler, ""
    text = fields.clean_text(given, "status", chars_max, chars_min=1, lines=True)
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


def refuse_unknown(params: Params) -> None:
    """Refuse what a status can't have yet, rather than write it without. Raises InvalidError."""
    if any(each not in _NOT_GIVEN for each in params.listed("media_ids")):
        raise InvalidError("There is no such medium: none can be uploaded yet", "media_ids")
