"""Filters, in their second form; the first is a view of it (`filters_v1.py`)."""

from __future__ import annotations

from typing import Any, Final

from actors.core import limits
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.filters import ACTIONS
from api.levels import require_level
from api.mastodon.call import Answer, Call, answer
from api.mastodon.filtering import CONTEXTS, facts_of
from api.mastodon.inputs import Params
from api.mastodon.table import Operation
from api.native.visible import require_seen
from api.once import carry_out
from api.params import shown

FROM_LEVEL: Final = 3
WORDS, STATUSES = 5, 6  # places in a row, as the shard answers it
EMPTY: Final = Answer(b"{}")


async def rows_of(call: Call) -> list[list[Any]]:
    """Return the filters of who asks, the oldest first."""
    require_level(call.services, FROM_LEVEL)
    rows: list[list[Any]]
    _, rows = await call.services.ask_account(call.viewer, "filters")
    return rows


async def row_of(call: Call, name: str = "id") -> list[Any]:
    """Return a filter of who asks, by its id in the path. Raises NotFoundError."""
    filter_id = call.id(name)
    for row in await rows_of(call):
        if row[0] == filter_id:
            return row
    raise NotFoundError(f"filter {filter_id} does not exist", name)


async def part_of(call: Call, place: int) -> tuple[list[Any], list[Any]]:
    """Return (filter, its word or status), by the part's id in the path. place: WORDS or STATUSES.

    Raises NotFoundError.
    """
    part_id = call.id()
    for row in await rows_of(call):
        for part in row[place]:
            if part[0] == part_id:
                return row, part
    raise NotFoundError(f"no filter has {part_id}", "id")


async def change(call: Call, filter_id: int, **changes: Any) -> list[Any]:
    """Make (filter_id 0) or change a filter; return its row."""
    require_level(call.services, FROM_LEVEL)
    row: list[Any] = await call.settle("change_filter", filter_id, changes)
    return row


async def every(call: Call) -> Answer:
    """Your filters."""
    return answer([filter_of(row) for row in await rows_of(call)])


async def one(call: Call) -> Answer:
    """One of your filters."""
    return answer(filter_of(await row_of(call)))


async def create(call: Call) -> Answer:
    """Make a filter, with words."""
    return answer(filter_of(await change(call, 0, **changes_of(call.params, is_new=True))))


async def update(call: Call) -> Answer:
    """Change a filter, and its words."""
    return answer(filter_of(await change(call, call.id(), **changes_of(call.params, is_new=False))))


async def delete(call: Call) -> Answer:
    """Forget a filter."""
    require_level(call.services, FROM_LEVEL)
    await carry_out(call.repeatable, call.viewer, "drop_filter", [call.viewer, call.id()], always=True)
    return EMPTY


async def words(call: Call) -> Answer:
    """The words of a filter."""
    return answer([word_of(word) for word in (await row_of(call, "filter_id"))[WORDS]])


async def add_word(call: Call) -> Answer:
    """Add a word to a filter."""
    text, stands_alone = call.params.text("keyword"), call.params.flag("whole_word")
    row = await change(call, call.id("filter_id"), words=[[0, text, stands_alone]])
    return answer(word_of(row[WORDS][-1]))


async def word(call: Call) -> Answer:
    """A word of a filter."""
    return answer(word_of((await part_of(call, WORDS))[1]))


async def update_word(call: Call) -> Answer:
    """Change a word of a filter."""
    row, known = await part_of(call, WORDS)
    given = [known[0], *word_changes(call.params)]
    changed = await change(call, row[0], words=[given])
    return answer(word_of(next(each for each in changed[WORDS] if each[0] == known[0])))


async def delete_word(call: Call) -> Answer:
    """Take a word out of a filter."""
    row, known = await part_of(call, WORDS)
    await change(call, row[0], drop=[known[0]])
    return EMPTY


async def statuses(call: Call) -> Answer:
    """The statuses that a filter names."""
    return answer([mark_of(mark) for mark in (await row_of(call, "filter_id"))[STATUSES]])


async def add_status(call: Call) -> Answer:
    """Have a filter name a status that you may see."""
    require_level(call.services, FROM_LEVEL)
    filter_id, status_id = call.id("filter_id"), call.params.id("status_id")
    if not status_id:
        raise InvalidError("status_id can't be blank", "status_id")
    await require_seen(call.services, status_id, call.viewer)
    row = await change(call, filter_id, statuses=[status_id])
    return answer(mark_of(next(mark for mark in row[STATUSES] if mark[1] == status_id)))


async def status(call: Call) -> Answer:
    """A status that a filter names."""
    return answer(mark_of((await part_of(call, STATUSES))[1]))


async def delete_status(call: Call) -> Answer:
    """Have a filter name a status no longer; the answer is what it was."""
    row, mark = await part_of(call, STATUSES)
    await change(call, row[0], drop=[mark[0]])
    return answer(mark_of(mark))


def filter_of(row: list[Any]) -> dict[str, Any]:
    """Return a Filter, whole."""
    return {
        **facts_of(row), "keywords": [word_of(word) for word in row[WORDS]],
        "statuses": [mark_of(mark) for mark in row[STATUSES]],
    }  # fmt: skip


def word_of(word: list[Any]) -> dict[str, Any]:
    """Return a FilterKeyword."""
    return {"id": str(word[0]), "keyword": word[1], "whole_word": word[2]}


def mark_of(mark: list[int]) -> dict[str, str]:
    """Return a FilterStatus."""
    return {"id": str(mark[0]), "status_id": str(mark[1])}


def changes_of(params: Params, is_new: bool) -> dict[str, Any]:
    """Return what a client says of a filter, as the shard takes it. Raises InvalidError, MalformedError."""
    changes = common_changes(params, is_new)
    if is_new or "title" in params:
        changes["title"] = params.text("title")
    if "filter_action" in params:
        said = params.text("filter_action")
        if said not in ACTIONS:
            raise InvalidError(f"filter_action must be one of {', '.join(ACTIONS)}, not {shown(said)}", "filter_action")
        changes["action"] = ACTIONS.index(said)
    given = params.listed("keywords_attributes")
    if len(given) > limits.FILTER_DROPS_COUNT_MAX:
        raise InvalidError(f"keywords_attributes may be {limits.FILTER_DROPS_COUNT_MAX}", "keywords_attributes")
    for each in given:
        if not isinstance(each, dict):
            raise InvalidError(
                f"each of keywords_attributes has a keyword, unlike {shown(each)}", "keywords_attributes"
            )
        attributes = Params(each)
        if not attributes.flag("_destroy"):
            changes.setdefault("words", []).append([attributes.id("id"), *word_changes(attributes)])
        elif attributes.id("id"):
            changes.setdefault("drop", []).append(attributes.id("id"))
    return changes


def common_changes(params: Params, is_new: bool) -> dict[str, Any]:
    """Return what both forms of a filter have: where it acts, and for how long."""
    changes: dict[str, Any] = {}
    if is_new or "context" in params:
        names = params.texts("context")
        unknown = next((name for name in names if name not in CONTEXTS), None)
        if unknown is not None or not names:
            said = "nothing" if unknown is None else shown(unknown)
            raise InvalidError(f"context must be some of {', '.join(CONTEXTS)}, not {said}", "context")
        changes["contexts"] = sum({CONTEXTS[name] for name in names})
    if "expires_in" in params.values:
        changes["expires_in_s"] = params.whole("expires_in", 0, 0, limits.FILTER_AHEAD_S_MAX)
    return changes


def word_changes(params: Params) -> list[Any]:
    """Return [text, whether it stands alone] as far as they are given."""
    return [
        params.text("keyword") if "keyword" in params else None,
        params.flag("whole_word") if "whole_word" in params else None,
    ]


_V2: Final = "/api/v2/filters"
OPERATIONS: Final = (
    Operation("GET", _V2, "read:filters", "Filter[]", every),
    Operation("POST", _V2, "write:filters", "Filter", create),
    Operation("GET", f"{_V2}/{{id}}", "read:filters", "Filter", one),
    Operation("PUT", f"{_V2}/{{id}}", "write:filters", "Filter", update),
    Operation("DELETE", f"{_V2}/{{id}}", "write:filters", "", delete),
    Operation("GET", f"{_V2}/{{filter_id}}/keywords", "read:filters", "FilterKeyword[]", words),
    Operation("POST", f"{_V2}/{{filter_id}}/keywords", "write:filters", "FilterKeyword", add_word),
    Operation("GET", f"{_V2}/keywords/{{id}}", "read:filters", "FilterKeyword", word),
    Operation("PUT", f"{_V2}/keywords/{{id}}", "write:filters", "FilterKeyword", update_word),
    Operation("DELETE", f"{_V2}/keywords/{{id}}", "write:filters", "", delete_word),
    Operation("GET", f"{_V2}/{{filter_id}}/statuses", "read:filters", "FilterStatus[]", statuses),
    Operation("POST", f"{_V2}/{{filter_id}}/statuses", "write:filters", "FilterStatus", add_status),
    Operation("GET", f"{_V2}/statuses/{{id}}", "read:filters", "FilterStatus", status),
    Operation("DELETE", f"{_V2}/statuses/{{id}}", "write:filters", "FilterStatus", delete_status),
)
