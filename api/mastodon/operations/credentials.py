"""The account of the token itself, with what only its owner reads; and how it changes that.

Rules of this file
- What isn't given stays as it is. An empty text clears.
- What is stored is what the native API stores, by the same rules: a `note` is the bio, `fields_attributes` the fields.
- Pictures are files of a form, processed before anything changes: if one is refused, nothing has changed.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from actors.core.errors import InvalidError, MalformedError
from actors.core.limits import LANGUAGE_BYTES_MAX
from actors.core.media_names import PICTURE
from actors.core.stores.account_flags import BOT, HIDES_COLLECTIONS, LOCKED, SENSITIVE, UNINDEXED, UNLISTED
from api.fields import clean_bio, clean_display_name, clean_profile_fields
from api.mastodon.accounts import PRIVACIES, own_account_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.inputs import Params
from api.mastodon.table import Operation
from api.media import processed_picture
from api.params import shown
from api.services import Services

# Switches of a client's: the bit, and whether it is set where the switch is on.
_SWITCHES: Final = {
    "locked": (LOCKED, True), "bot": (BOT, True), "discoverable": (UNLISTED, False), "indexable": (UNINDEXED, False),
    "hide_collections": (HIDES_COLLECTIONS, True),
}  # fmt: skip
_PICTURES: Final = ("avatar", "header")
PICTURES_S: Final = 60.0  # that two of them may take
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}")
NO_ROLE: Final = {"id": "-99", "name": "", "permissions": "0", "color": "", "highlighted": False}


async def verify_credentials(call: Call) -> Answer:
    """Who the token stands for."""
    return answer(await credential_account(call))


async def update_credentials(call: Call) -> Answer:
    """Change what an account says of itself, and what its posts are as a rule."""
    changes = {**_changes(call.params), **await pictures_given(call)}
    if changes:
        await call.settle("update_profile", changes)
    return answer(await credential_account(call))


async def drop_avatar(call: Call) -> Answer:
    """Have no picture of oneself."""
    return await _drop(call, "avatar")


async def drop_header(call: Call) -> Answer:
    """Have no picture above one's profile."""
    return await _drop(call, "header")


async def _drop(call: Call, picture: str) -> Answer:
    await call.settle("update_profile", {picture: ""})
    return answer(await credential_account(call))


async def credential_account(call: Call) -> dict[str, Any]:
    """Return the account of a call's token as its owner sees it."""
    return await credential_account_of(call.services, call.viewer)


async def credential_account_of(services: Services, account_id: int) -> dict[str, Any]:
    """Return an account as its owner sees it."""
    packed, settings = await own_account_of(services, account_id)
    account: dict[str, Any] = orjson.loads(packed)
    account["source"] = {
        "privacy": PRIVACIES[settings.privacy], "sensitive": bool(settings.flags & SENSITIVE),
        "language": settings.language or None, "note": settings.bio,
        "fields": [{"name": name, "value": value, "verified_at": None} for name, value in settings.fields],
        "follow_requests_count": settings.follow_request_count,
        "hide_collections": account["hide_collections"], "discoverable": account["discoverable"],
        "indexable": account["indexable"], "attribution_domains": [], "quote_policy": "public",
    }  # fmt: skip
    account["role"] = NO_ROLE
    return account


def _changes(params: Params) -> dict[str, Any]:
    """Return what a change of credentials asks for. Raises MalformedError, InvalidError."""
    changes, source = profile_changes(params), params.inside("source")
    if "sensitive" in source:
        mask, bits = changes.get("flags", (0, 0))
        changes["flags"] = [mask | SENSITIVE, bits | (SENSITIVE if source.flag("sensitive") else 0)]
    if "privacy" in source:
        changes["privacy"] = _privacy(source.text("privacy"))
    if "language" in source.values:  # null: none from now on
        changes["language"] = _language(source.text("language"))
    return changes


def profile_changes(params: Params) -> dict[str, Any]:
    """Return what a change of a profile asks for. Raises MalformedError, InvalidError."""
    for picture in _PICTURES:
        if given := params.text(picture):
            raise InvalidError(
                f"{picture} must be a file of a form, with the token in the header, not {shown(given)}", picture
            )
    changes: dict[str, Any] = {}
    if "display_name" in params:
        changes["display_name"] = clean_display_name(params.text("display_name"))
    if "note" in params:
        changes["bio"] = clean_bio(params.text("note"))
    if "fields_attributes" in params:
        changes["fields"] = _fields(params.values["fields_attributes"])
    mask = bits = 0
    for name, (bit, when_on) in _SWITCHES.items():
        if name in params:
            mask |= bit
            bits |= bit if params.flag(name) == when_on else 0
    if mask:
        changes["flags"] = [mask, bits]
    return changes


async def pictures_given(call: Call) -> dict[str, str]:
    """Return which pictures a profile is to have of those that came with the request. Raises RookeryError."""
    found: dict[str, str] = {}
    for name in _PICTURES:
        if call.upload is not None and (file := call.upload.take(name)) is not None:
            found[name] = f"{PICTURE}{await processed_picture(call.services, call.viewer, file)}"
    return found


def _fields(given: Any) -> list[list[str]]:
    """Return profile fields of a list of them, or of a hash by numbers. What has neither name nor value is none."""
    items = list(given.values()) if isinstance(given, dict) else given
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedError(
            f"fields_attributes must be a list or a hash of names and values, not {shown(given)}", "fields_attributes"
        )
    named = [{"name": item.get("name") or "", "value": item.get("value") or ""} for item in items]
    return clean_profile_fields([item for item in named if item["name"] or item["value"]])


def _privacy(given: str) -> int:
    if given not in PRIVACIES:
        raise InvalidError(f"source[privacy] must be one of {', '.join(PRIVACIES)}, not {shown(given)}", "source")
    return PRIVACIES.index(given)


def _language(given: str) -> str:
    if given and (len(given) > LANGUAGE_BYTES_MAX or not _LANGUAGE.fullmatch(given)):
        raise InvalidError(f"source[language] must be a tag such as en or pt-BR, not {shown(given)}", "source")
    return given


OPERATIONS: Final = (
    Operation(
        "GET",
        "/api/v1/accounts/verify_credentials",
        "read:accounts",
        "CredentialAccount",
        verify_credentials,
        or_scope="profile",
    ),
    Operation(
        "PATCH",
        "/api/v1/accounts/update_credentials",
        "write:accounts",
        "CredentialAccount",
        update_credentials,
        takes_s=PICTURES_S,
    ),
    Operation("DELETE", "/api/v1/profile/avatar", "write:accounts", "CredentialAccount", drop_avatar),
    Operation("DELETE", "/api/v1/profile/header", "write:accounts", "CredentialAccount", drop_header),
)
