"""One's profile in the form of Mastodon 4.6: what its owner has written, as it was written, and how it is changed.

It is `credentials.py` in other words. Rules of this file
- Texts are as they were typed, not HTML. A picture that there isn't is null, not the one that others are shown instead.
- What is always so here (nothing of a profile is hidden, pictures have no descriptions) is said, and may be asked for;
  asking for something else is refused by its name.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from actors.core.errors import InvalidError
from actors.core.renderers.mastodon import GENERATED_AVATAR, MISSING_HEADER
from api.mastodon.call import Answer, Call, answer
from api.mastodon.inputs import Params
from api.mastodon.operations.credentials import PICTURES_S, credential_account, pictures_given, profile_changes
from api.mastodon.operations.tags import featured_tags_of
from api.mastodon.table import Operation

_SHOWN: Final = ("show_media", "show_media_replies", "show_featured")  # parts of a profile
_DESCRIBED: Final = ("avatar_description", "header_description")
_SAME: Final = ("id", "display_name", "locked", "bot", "hide_collections", "discoverable", "indexable")


async def profile(call: Call) -> Answer:
    """What you have written about yourself, as you wrote it."""
    return answer(await _profile(call))


async def change_profile(call: Call) -> Answer:
    """Change what you have written about yourself; what isn't given stays."""
    _refuse_unkept(call.params)
    changes = {**profile_changes(call.params), **await pictures_given(call)}
    if changes:
        await call.settle("update_profile", changes)
    return answer(await _profile(call))


async def _profile(call: Call) -> dict[str, Any]:
    account, featured = await asyncio.gather(credential_account(call), featured_tags_of(call, call.viewer))
    source = account["source"]
    pictures = {
        "avatar": _picture(account["avatar"], GENERATED_AVATAR % account["username"]),
        "header": _picture(account["header"], MISSING_HEADER),
    }  # fmt: skip
    return {
        **{name: account[name] for name in _SAME}, "note": source["note"], "fields": source["fields"],
        **pictures, **{f"{name}_static": url and account[f"{name}_static"] for name, url in pictures.items()},
        **dict.fromkeys(_DESCRIBED, ""), **dict.fromkeys(_SHOWN, True),
        "attribution_domains": source["attribution_domains"], "featured_tags": featured,
    }  # fmt: skip


def _picture(url: str, missing: str) -> str | None:
    return None if url.endswith(missing) else url


def _refuse_unkept(params: Params) -> None:
    """Refuse to set what is not kept to anything but what it is. Raises InvalidError, MalformedError."""
    for name in _SHOWN:
        if not params.flag(name, True):
            raise InvalidError(f"{name} can't be switched off: profiles show all that they have", name)
    for name in _DESCRIBED:
        if params.text(name):
            raise InvalidError(f"{name}: pictures of profiles have no descriptions", name)
    if any(params.texts("attribution_domains")):
        raise InvalidError("attribution_domains: links are shown without their authors", "attribution_domains")


OPERATIONS: Final = (
    Operation("GET", "/api/v1/profile", "read:accounts", "Profile", profile, or_scope="profile"),
    Operation("PATCH", "/api/v1/profile", "write:accounts", "Profile", change_profile, takes_s=PICTURES_S),
)
