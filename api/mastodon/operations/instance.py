"""What the server says of itself: its name, rules and limits, and what its operator has put into a folder.

Rules of this file
- Limits are those that are checked, by their names in `api/limits.py`; figures are counted, at most a minute old.
- There is no federation: no peers, no blocked domains, and `domain` is this very server.
- What an operator hasn't written is answered 404, but for the description, which is empty then.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from actors.core import limits as core_limits
from actors.core.errors import InvalidError, NotFoundError
from actors.core.renderers.mastodon import MISSING_HEADER
from actors.core.renderers.timestamps import timestamp
from api import limits
from api.activity import ACTIVITY_FROM_LEVEL
from api.instance_folder import Writing
from api.levels import require_level
from api.links import host_of
from api.mastodon.accounts import account_of, id_of_name
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation
from api.mastodon.version import API_VERSION, MASTODON_VERSION
from api.mastodon.writing import POLL_OPTION_CHARS_MAX, POLL_OPTIONS, POLL_S_MAX, POLL_S_MIN
from api.media import DESCRIPTION_CHARS_MAX
from api.params import shown
from api.usage import USAGE_FROM_LEVEL, Usage
from api.vapid import server_key

POLL_LIMITS: Final = {
    "max_options": POLL_OPTIONS.stop - 1, "max_characters_per_option": POLL_OPTION_CHARS_MAX,
    "min_expiration": POLL_S_MIN, "max_expiration": POLL_S_MAX,
}  # fmt: skip
_IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp", "image/avif")
_MOVING_TYPES: Final = (
    "video/webm", "video/mp4", "video/quicktime", "audio/wave", "audio/wav", "audio/x-wav", "audio/ogg", "audio/mpeg",
    "audio/mp3", "audio/webm", "audio/flac", "audio/aac", "audio/m4a", "audio/x-m4a", "audio/mp4",
)  # fmt: skip
_FRAME_RATE_MAX: Final = 120


async def instance_v2(call: Call) -> Answer:
    """What the server is, in the form of 4.0 and later."""
    settings, origin = call.services.settings, call.origin
    said, usage = settings.instance, await usage_of(call)
    return answer({
        "domain": host_of(origin), "title": said.title, "version": MASTODON_VERSION, "source_url": origin,
        "description": said.description, "usage": {"users": {"active_month": usage.month}},
        "thumbnail": {"url": origin + MISSING_HEADER}, "icon": [], "languages": list(said.languages),
        "configuration": {
            **_configuration(call),
            **({"vapid": {"public_key": server_key(call.services)}} if call.services.settings.sends_push else {}),
            "urls": {"streaming": streaming_url(origin), "about": None, "privacy_policy": None,
                     "terms_of_service": None, "status": None},
            "translation": {"enabled": False}, "limited_federation": False,
        },
        "registrations": {
            "enabled": _is_open(call), "approval_required": _needs_approval(call),
            "reason_required": False, "message": None,
            "url": None, "min_age": None,
        },
        "api_versions": {"mastodon": API_VERSION},
        "contact": {"email": said.contact_email, "account": await _contact(call)}, "rules": _rules(call),
    })  # fmt: skip


async def instance_v1(call: Call) -> Answer:
    """What the server is, in the form of 1.x to 3.x, which most clients ask for first."""
    settings, origin = call.services.settings, call.origin
    said, usage = settings.instance, await usage_of(call)
    return answer({
        "uri": host_of(origin), "title": said.title, "short_description": said.description,
        "description": said.description, "email": said.contact_email, "version": MASTODON_VERSION,
        "urls": {"streaming_api": streaming_url(origin)},
        "stats": {"user_count": usage.accounts, "status_count": usage.statuses, "domain_count": 0},
        "thumbnail": origin + MISSING_HEADER, "languages": list(said.languages), "registrations": _is_open(call),
        "approval_required": _needs_approval(call), "invites_enabled": False, "configuration": _configuration(call),
        "contact_account": await _contact(call), "rules": _rules(call),
    })  # fmt: skip


async def activity(call: Call) -> Answer:
    """How much was written, how many signed in and came, by weeks, of what is still there: twelve, the newest first."""
    require_level(call.services, ACTIVITY_FROM_LEVEL)
    weeks = await call.services.activity.get()
    return answer([
        {"week": str(week.begin_s), "statuses": str(week.statuses), "logins": str(week.logins),
         "registrations": str(week.registrations)}
        for week in weeks
    ])  # fmt: skip


async def peers(call: Call) -> Answer:
    """Servers that this one knows: none, as there is no federation."""
    return answer([])


async def domain_blocks(call: Call) -> Answer:
    """Servers that this one keeps out: none, for the same reason."""
    return answer([])


async def blocked_domains(call: Call) -> Answer:
    """Servers that an account doesn't want to see: none, as nothing of another server is here."""
    call.window(100, 200)
    return answer([])


async def block_domain(call: Call) -> Answer:
    """Refused: there is no other server whose posts could be kept away."""
    domain = _domain(call)
    raise InvalidError(f"domain {shown(domain)}: nothing of another server is here, so none can be blocked", "domain")


async def unblock_domain(call: Call) -> Answer:
    """Block a server no longer; as none is blocked, nothing changes."""
    _domain(call)
    return answer({})


def _domain(call: Call) -> str:
    domain = call.params.text("domain")
    if not domain:
        raise InvalidError("domain is required: the name of a server", "domain")
    return domain


async def translation_languages(call: Call) -> Answer:
    """From which languages statuses are translated into which: none, as there is no translator."""
    return answer({})


async def rules(call: Call) -> Answer:
    """What the operator asks of people here."""
    return answer(_rules(call))


async def extended_description(call: Call) -> Answer:
    """What the operator tells of the server at length."""
    return _written(call, "about")


async def privacy_policy(call: Call) -> Answer:
    """What happens to what people write here."""
    return _written(call, "privacy")


def _written(call: Call, name: str) -> Answer:
    page = call.services.instance.pages.get(name, Writing("", 0))
    return answer({"updated_at": timestamp(page.changed_ms), "content": page.html})


async def terms_of_service(call: Call) -> Answer:
    """On which terms people use the server."""
    return answer(_terms(call))


async def terms_of_day(call: Call) -> Answer:
    """The terms that came into force on a day: there is one text, that of now."""
    terms, date = _terms(call), call.name("date")
    if date != terms["effective_date"]:
        raise NotFoundError(f"no terms are of {shown(date)}", "date")
    return answer(terms)


def _terms(call: Call) -> dict[str, Any]:
    page = _page(call, "terms")
    date = timestamp(page.changed_ms)[: len("2026-11-30")]
    return {"effective_date": date, "effective": True, "content": page.html, "succeeded_by": None}


async def custom_emojis(call: Call) -> Answer:
    """The pictures that people here may use by shortcodes."""
    emojis, origin = call.services.instance.emojis, call.origin
    return answer([
        {"shortcode": shortcode, "url": f"{origin}/emojis/{emoji.file_name}", "visible_in_picker": True,
         "static_url": f"{origin}/emojis/{emoji.file_name}", "category": None}
        for shortcode, emoji in emojis.items()
    ])  # fmt: skip


async def emoji_picture(call: Call) -> Answer:
    """One of them."""
    name = call.name("file")
    emoji = call.services.instance.emojis.get(name.rpartition(".")[0])
    if emoji is None or emoji.file_name != name:
        raise NotFoundError("there is no such emoji", "file")
    return Answer(emoji.data, headers=((b"cache-control", b"public, max-age=86400"),), kind=picture(emoji.media))


def picture(media: bytes) -> tuple[bytes, bytes]:
    """Return the header of a picture of a type."""
    return b"content-type", media


def streaming_url(origin: str) -> str:
    """Return where streams are."""
    return "ws" + origin.removeprefix("http") if origin else ""


async def usage_of(call: Call) -> Usage:
    """Return how many accounts and statuses there are. Raises OverloadedError while older processes are about."""
    require_level(call.services, USAGE_FROM_LEVEL)
    return await call.services.usage.get()


def _configuration(call: Call) -> dict[str, Any]:
    settings = call.services.settings
    return {
        "accounts": {
            "max_featured_tags": core_limits.FEATURED_TAGS_COUNT_MAX, "max_pinned_statuses": core_limits.PINS_COUNT_MAX,
            "max_profile_fields": limits.PROFILE_FIELD_COUNT_MAX, "max_note_length": limits.BIO_CHARS_MAX,
            "max_display_name_length": limits.DISPLAY_NAME_CHARS_MAX,
            "profile_field_name_limit": limits.PROFILE_FIELD_NAME_CHARS_MAX,
            "profile_field_value_limit": limits.PROFILE_FIELD_VALUE_CHARS_MAX,
        },
        "statuses": {
            "max_characters": settings.tweet_max_chars, "max_media_attachments": settings.media.attachments_max,
            "characters_reserved_per_url": limits.LINK_CHARS,
        },
        "media_attachments": _media(call), "polls": POLL_LIMITS,
    }  # fmt: skip


def _media(call: Call) -> dict[str, Any]:
    """Return what may be uploaded; without media all of it is nothing."""
    port, most = call.services.cluster.media, call.services.settings.media
    takes_images, takes_video = port.is_open("image"), port.is_open("video")
    return {
        "supported_mime_types": [*(_IMAGE_TYPES if takes_images else ()), *(_MOVING_TYPES if takes_video else ())],
        "description_limit": DESCRIPTION_CHARS_MAX,
        "image_size_limit": most.image_bytes_max if takes_images else 0,
        "image_matrix_limit": most.pixels_max if takes_images else 0,
        "video_size_limit": most.video_bytes_max if takes_video else 0,
        "video_frame_rate_limit": _FRAME_RATE_MAX if takes_video else 0,
        "video_matrix_limit": most.pixels_max if takes_video else 0,
    }


async def _contact(call: Call) -> Any:
    """Return the account of who runs the server, None if there is none."""
    name = call.services.settings.instance.contact_account
    if not name:
        return None
    try:
        return orjson.loads(await account_of(call.services, await id_of_name(call.services, name), 0))
    except NotFoundError:
        return None


def _is_open(call: Call) -> bool:
    """Whether somebody may make an account."""
    return call.services.settings.registrations != "closed"


def _needs_approval(call: Call) -> bool:
    """Whether an operator looks at who wants to come in, and why."""
    return call.services.settings.registrations == "approval"


def _rules(call: Call) -> list[dict[str, str]]:
    return [{"id": str(n), "text": rule, "hint": ""} for n, rule in enumerate(call.services.instance.rules, start=1)]


def _page(call: Call, name: str) -> Writing:
    page = call.services.instance.pages.get(name)
    if page is None:
        raise NotFoundError(f"nothing is written about {name}")
    return page


OPERATIONS: Final = (
    Operation("GET", "/api/v1/instance", "", "V1Instance", instance_v1),
    Operation("GET", "/api/v2/instance", "", "Instance", instance_v2),
    Operation("GET", "/api/v1/instance/activity", "", "WeeklyActivity[]", activity),
    Operation("GET", "/api/v1/instance/peers", "", "String[]", peers),
    Operation("GET", "/api/v1/instance/domain_blocks", "", "DomainBlock[]", domain_blocks),
    Operation("GET", "/api/v1/domain_blocks", "read:blocks", "String[]", blocked_domains),
    Operation("POST", "/api/v1/domain_blocks", "write:blocks", "", block_domain),
    Operation("DELETE", "/api/v1/domain_blocks", "write:blocks", "", unblock_domain),
    Operation("GET", "/api/v1/instance/translation_languages", "", "object", translation_languages),
    Operation("GET", "/api/v1/instance/rules", "", "Rule[]", rules),
    Operation("GET", "/api/v1/instance/extended_description", "", "ExtendedDescription", extended_description),
    Operation("GET", "/api/v1/instance/privacy_policy", "", "PrivacyPolicy", privacy_policy),
    Operation("GET", "/api/v1/instance/terms_of_service", "", "TermsOfService", terms_of_service),
    Operation("GET", "/api/v1/instance/terms_of_service/{date}", "", "TermsOfService", terms_of_day),
    Operation("GET", "/api/v1/custom_emojis", "", "CustomEmoji[]", custom_emojis),
    Operation("GET", "/emojis/{file}", "", "Picture", emoji_picture),
)
