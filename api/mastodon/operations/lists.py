"""Lists, and their timelines."""

from __future__ import annotations

from typing import Any, Final

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.lists import POLICIES
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.accounts import accounts_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.fast_home import LIST_ROUTE
from api.mastodon.statuses import timeline_of
from api.mastodon.table import Operation
from api.once import carry_out
from api.params import shown

MEMBERS_MAX: Final = 80  # of a page, as Mastodon has it
MEMBERS_OF_ALL_MAX: Final = 800  # where a client asks for all at once (limit=0): there is a next page beyond
_CARDS_MAX: Final = limits.CARDS_COUNT_MAX


async def rows_of(call: Call) -> list[list[Any]]:
    """Return the lists of who asks, the oldest first."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    rows: list[list[Any]] = await call.services.ask_account(call.viewer, "lists")
    return rows


async def row_of(call: Call) -> list[Any]:
    """Return a list of who asks, by its id in the path. Raises NotFoundError."""
    list_id = call.id()
    for row in await rows_of(call):
        if row[0] == list_id:
            return row
    raise NotFoundError(f"list {list_id} does not exist", "id")


async def every(call: Call) -> Answer:
    """Your lists."""
    return answer([list_of(row) for row in await rows_of(call)])


async def one(call: Call) -> Answer:
    """One of your lists."""
    return answer(list_of(await row_of(call)))


async def create(call: Call) -> Answer:
    """Make a list."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return await _put(call, [0, "", POLICIES.index("list"), False])


async def update(call: Call) -> Answer:
    """Give a list another title, or other rules."""
    return await _put(call, await row_of(call))


async def _put(call: Call, known: list[Any]) -> Answer:
    list_id, title, policy, exclusive = known
    params = call.params
    if not list_id or "title" in params:
        title = params.text("title")
    if "replies_policy" in params:
        said = params.text("replies_policy")
        if said not in POLICIES:
            raise InvalidError(
                f"replies_policy must be one of {', '.join(POLICIES)}, not {shown(said)}", "replies_policy"
            )
        policy = POLICIES.index(said)
    exclusive = params.flag("exclusive", exclusive)
    row = await call.settle("put_list", list_id, title, policy, exclusive)
    return answer(list_of(row))


async def delete(call: Call) -> Answer:
    """Forget a list."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    await carry_out(call.repeatable, call.viewer, "drop_list", [call.viewer, call.id()], always=True)
    return Answer(b"{}")


async def members(call: Call) -> Answer:
    """Who is on a list, the last added first. Cursors are times, not ids: clients take them from the Link."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    list_id, max_id, limit = call.id(), call.params.id("max_id"), call.params.whole("limit", 40, 1, MEMBERS_MAX)
    wants_all = call.params.text("limit") == "0"
    count = MEMBERS_OF_ALL_MAX if wants_all else limit
    ids, before = await call.services.ask_account(call.viewer, "members", list_id, max_id, count)
    found: list[bytes] = []
    for begin in range(0, len(ids), _CARDS_MAX):
        found += await accounts_of(call.services, ids[begin : begin + _CARDS_MAX], call.viewer)
    return call.page(found, 0, before, bool(before))


async def add_members(call: Call) -> Answer:
    """Put some of those whom you follow on a list."""
    return await _set_members(call, True)


async def remove_members(call: Call) -> Answer:
    """Take accounts off a list."""
    return await _set_members(call, False)


async def _set_members(call: Call, on: bool) -> Answer:
    require_level(call.services, MASTODON_FROM_LEVEL)
    account_ids = call.params.ids("account_ids", limits.LIST_CHANGES_COUNT_MAX)
    await call.settle("set_members", call.id(), account_ids, on)
    return Answer(b"{}")


async def with_account(call: Call) -> Answer:
    """Those of your lists that an account is on."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return answer([list_of(row) for row in await call.services.ask_account(call.viewer, "lists_with", call.id())])


async def timeline(call: Call) -> Answer:
    """What the members of a list say: one lane request."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    args = [call.viewer, call.id("list_id"), *call.window()]
    statuses, newest, oldest = await timeline_of(call.services, "list_timeline", args, call.viewer)
    return call.page(statuses, newest, oldest, bool(newest))


def list_of(row: list[Any]) -> dict[str, Any]:
    """Return a List."""
    list_id, title, policy, exclusive = row
    return {"id": str(list_id), "title": title, "replies_policy": POLICIES[policy], "exclusive": exclusive}


OPERATIONS: Final = (
    Operation("GET", "/api/v1/lists", "read:lists", "List[]", every),
    Operation("POST", "/api/v1/lists", "write:lists", "List", create),
    Operation("GET", "/api/v1/lists/{id}", "read:lists", "List", one),
    Operation("PUT", "/api/v1/lists/{id}", "write:lists", "List", update),
    Operation("DELETE", "/api/v1/lists/{id}", "write:lists", "", delete),
    Operation("GET", "/api/v1/lists/{id}/accounts", "read:lists", "Account[]", members),
    Operation("POST", "/api/v1/lists/{id}/accounts", "write:lists", "", add_members),
    Operation("DELETE", "/api/v1/lists/{id}/accounts", "write:lists", "", remove_members),
    Operation("GET", "/api/v1/accounts/{id}/lists", "read:lists", "List[]", with_account),
    Operation("GET", LIST_ROUTE, "read:lists", "Status[]", timeline),
)
