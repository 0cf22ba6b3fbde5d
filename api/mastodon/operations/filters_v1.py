"""Filters in their first form: each word of the second form's filters is one, with its filter's places and end.

Rules of this file
- An id is that of the word. What is made here is a filter with one word, whose title is the word.
- `irreversible` is the action `hide`: clients leave such statuses out, the server never does.
- What belongs to a filter can't be changed through one of several words: 422, as Mastodon has it. With its last word,
  and if it names no statuses, a filter goes.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core.errors import InvalidError
from actors.core.features.filters import ACTIONS
from api.mastodon.call import Answer, Call, answer
from api.mastodon.filtering import facts_of
from api.mastodon.operations.filters import (
    EMPTY,
    STATUSES,
    WORDS,
    change,
    common_changes,
    part_of,
    rows_of,
)
from api.mastodon.table import Operation
from api.once import carry_out

HIDE: Final = ACTIONS.index("hide")
WARN: Final = ACTIONS.index("warn")


async def every(call: Call) -> Answer:
    """Your filters, one a word."""
    return answer([_shown(row, word) for row in await rows_of(call) for word in row[WORDS]])


async def one(call: Call) -> Answer:
    """One of your filters."""
    return answer(_shown(*await part_of(call, WORDS)))


async def create(call: Call) -> Answer:
    """Make a filter of one word."""
    phrase = call.params.text("phrase")
    row = await change(
        call, 0, title=phrase, action=HIDE if call.params.flag("irreversible") else WARN,
        words=[[0, phrase, call.params.flag("whole_word")]], **common_changes(call.params, is_new=True),
    )  # fmt: skip
    return answer(_shown(row, row[WORDS][0]))


async def update(call: Call) -> Answer:
    """Change a filter of one word; of several only the word."""
    row, known = await part_of(call, WORDS)
    params = call.params
    whole: dict[str, Any] = common_changes(params, is_new=False)
    if "irreversible" in params:
        whole["action"] = HIDE if params.flag("irreversible") else WARN
    text = params.text("phrase") if "phrase" in params else None
    stands_alone = params.flag("whole_word") if "whole_word" in params else None
    if len(row[WORDS]) > 1 and _differs(row, whole):
        raise InvalidError("these parameters can't be changed here: the filter has several keywords", "context")
    changed = await change(call, row[0], words=[[known[0], text, stands_alone]], **whole)
    return answer(_shown(changed, next(word for word in changed[WORDS] if word[0] == known[0])))


def _differs(row: list[Any], whole: dict[str, Any]) -> bool:
    """Whether something else is said of a filter than is so."""
    _, _, contexts, action, expires_ms, *_ = row
    return (
        whole.get("contexts", contexts) != contexts
        or whole.get("action", action) != action
        or bool(whole.get("expires_in_s", 0))
        or ("expires_in_s" in whole and bool(expires_ms))
    )


async def delete(call: Call) -> Answer:
    """Forget a word, and with its last one the filter."""
    row, known = await part_of(call, WORDS)
    if len(row[WORDS]) == 1 and not row[STATUSES]:
        await carry_out(call.repeatable, call.viewer, "drop_filter", [call.viewer, row[0]], always=True)
    else:
        await change(call, row[0], drop=[known[0]])
    return EMPTY


def _shown(row: list[Any], word: list[Any]) -> dict[str, Any]:
    """Return a V1::Filter."""
    facts = facts_of(row)
    return {
        "id": str(word[0]), "phrase": word[1], "context": facts["context"], "whole_word": word[2],
        "expires_at": facts["expires_at"], "irreversible": row[3] == HIDE,
    }  # fmt: skip


OPERATIONS: Final = (
    Operation("GET", "/api/v1/filters", "read:filters", "V1Filter[]", every),
    Operation("POST", "/api/v1/filters", "write:filters", "V1Filter", create),
    Operation("GET", "/api/v1/filters/{id}", "read:filters", "V1Filter", one),
    Operation("PUT", "/api/v1/filters/{id}", "write:filters", "V1Filter", update),
    Operation("DELETE", "/api/v1/filters/{id}", "write:filters", "", delete),
)
