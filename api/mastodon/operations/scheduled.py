"""Statuses that are still to be published: listed, read, put off, cancelled. `POST /api/v1/statuses` makes them.

Rule: they are their author's alone; whoever asks is the token's account.
"""

from __future__ import annotations

from typing import Final

from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation
from api.once import carry_out
from api.times import clean_time


async def listed(call: Call) -> Answer:
    """The statuses that you have scheduled, the last written first."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    shown, *page = await call.services.ask_account(call.viewer, "scheduled_statuses", *call.window())
    return call.page(shown, *page)


async def one(call: Call) -> Answer:
    """A scheduled status of yours, until it is published."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return Answer(await call.services.ask_account(call.viewer, "scheduled_status", call.id()))


async def put_off(call: Call) -> Answer:
    """Give a scheduled status another time; without one it stays as it is."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    scheduled_id, at_ms = call.id(), clean_time(call.params.values, "scheduled_at")
    if at_ms:
        await carry_out(call.repeatable, call.viewer, "reschedule", [call.viewer, scheduled_id, at_ms])
    return Answer(await call.services.ask_account(call.viewer, "scheduled_status", scheduled_id))


async def cancel(call: Call) -> Answer:
    """Have a scheduled status not published."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    await carry_out(call.repeatable, call.viewer, "unschedule", [call.viewer, call.id()])
    return answer({})


OPERATIONS: Final = (
    Operation("GET", "/api/v1/scheduled_statuses", "read:statuses", "ScheduledStatus[]", listed),
    Operation("GET", "/api/v1/scheduled_statuses/{id}", "read:statuses", "ScheduledStatus", one),
    Operation("PUT", "/api/v1/scheduled_statuses/{id}", "write:statuses", "ScheduledStatus", put_off),
    Operation("DELETE", "/api/v1/scheduled_statuses/{id}", "write:statuses", "", cancel),
)
