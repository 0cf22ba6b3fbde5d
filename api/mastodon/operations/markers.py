"""Markers and preferences: what an account's clients share about reading and posting."""

from __future__ import annotations

from typing import Final

from actors.core.features.markers import HOME, NOTIFICATIONS
from actors.core.renderers.timestamps import timestamp
from actors.core.stores.account_flags import SENSITIVE
from api.levels import require_level
from api.mastodon.accounts import PRIVACIES, settings_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation

FROM_LEVEL: Final = 3
TIMELINES: Final = {"home": HOME, "notifications": NOTIFICATIONS}
# Nothing of Mastodon's API sets these: its own web pages do, which aren't here.
READING: Final = {"reading:expand:media": "default", "reading:expand:spoilers": False}
_NAMES: Final = {number: name for name, number in TIMELINES.items()}


async def markers(call: Call) -> Answer:
    """Up to where you have read those timelines that you name."""
    require_level(call.services, FROM_LEVEL)
    named = {TIMELINES[name] for name in call.params.texts("timeline") if name in TIMELINES}
    rows = await call.services.ask_account(call.viewer, "markers") if named else []
    return _shown(rows, named)


async def set_markers(call: Call) -> Answer:
    """Say up to where you have read."""
    require_level(call.services, FROM_LEVEL)
    ids = {name: call.params.inside(name).id("last_read_id") for name in TIMELINES}
    rows = await call.settle("set_markers", ids["home"], ids["notifications"])
    return _shown(rows, {TIMELINES[name] for name, last_read_id in ids.items() if last_read_id})


def _shown(rows: list[list[int]], named: set[int]) -> Answer:
    return answer({
        _NAMES[timeline]: {"last_read_id": str(last_read_id), "version": version, "updated_at": timestamp(at_ms)}
        for timeline, last_read_id, version, at_ms in rows if timeline in named
    })  # fmt: skip


async def preferences(call: Call) -> Answer:
    """How you post as long as you don't say otherwise; how you read is what clients have set themselves."""
    settings = await settings_of(call.services, call.viewer)
    return answer({
        "posting:default:visibility": PRIVACIES[settings.privacy],
        "posting:default:sensitive": bool(settings.flags & SENSITIVE),
        "posting:default:language": settings.language or None,
        **READING,
    })  # fmt: skip


OPERATIONS: Final = (
    Operation("GET", "/api/v1/markers", "read:statuses", "Marker{}", markers),
    Operation("POST", "/api/v1/markers", "write:statuses", "Marker{}", set_markers),
    Operation("GET", "/api/v1/preferences", "read:accounts", "Preferences", preferences),
)
