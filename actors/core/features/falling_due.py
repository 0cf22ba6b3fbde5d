"""What falls due: documents whose time has come are taken away and do what their kind says, once each.

    leader, its clock    prepare_due [now_ms] --> due [now_ms, rows]    row: kind, owner, key, what only it can give
    journal, replicas    due --> for each row that is there and due: the document goes, its kind's `fall_due` follows

Rules of this file
- A row is taken away and acts in one command, so in one record: whatever dies, either both are in the journal or
  neither, and the next leader asks again. A row that isn't there any more, or is no longer due, does nothing.
- The clock is the shell's. Ids that a kind needs (of a tweet to be) are in the command, as of a post: only the leader's
  `TweetIdClock` knows which it has handed out.
- What can't happen now (a full shard, full outboxes) waits, and all behind it: it is asked again a moment later.

Cost: 10 us a row beside what its kind does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import limits
from actors.core.terms import Feature

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def prepare_due(shard: Lookups, now_ms: int) -> list[Any] | None:
    """Return a command for what is due, at most DUE_COUNT_MAX things; None if nothing is. Raises RookeryError."""
    papers = shard.state.papers
    next_ms = papers.due.next_ms
    if next_ms is None or next_ms > now_ms:
        return None
    shard.check_outboxes()
    rows = []
    for _, owner, number, key in papers.due.first(now_ms, limits.DUE_COUNT_MAX):
        kind = papers.kinds[number]
        document = papers.get(kind, owner, key)
        made = [] if kind.prepare_due is None else kind.prepare_due(shard, now_ms, owner, key, document)
        rows.append([number, owner, key, *made])
    return ["due", now_ms, rows]


def due(state: ShardState, now_ms: int, rows: list[list[Any]]) -> int:
    """Let things fall due; returns how many did. Row: [kind, owner, key, what its kind's `prepare_due` gave]."""
    count = 0
    for number, owner, key, *made in rows:
        kind = state.papers.kinds[number]
        document = state.papers.get(kind, owner, key)
        if document is None or kind.due_ms is None or not 0 < kind.due_ms(document) <= now_ms:
            continue
        state.shelves.drop_paper(kind, owner, key)
        if kind.fall_due is not None:
            kind.fall_due(state, owner, key, document, *made)
        count += 1
    return count


FEATURE = Feature("falling_due", commands={"due": due})
