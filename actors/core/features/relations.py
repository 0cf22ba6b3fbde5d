"""How an account stands to others: all that its own shard knows of it, in one answer.

    relations        account's shard: of each a byte pair of bits, its note, languages, and when a mute ends
    followers_among  account's shard: which of some accounts follow it

Rules of this file
- Whether those others exist, their own shards know.
- Bits are for ever.

Cost: 5 us an account; of one with a million followers whether another follows it 0.3 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, limits
from actors.core.features.asked_follows import FOLLOW_REQUEST, REQUEST_SENT
from actors.core.features.blocks import ENDS_MS, MUTE_OPTION, OF_NOTICES
from actors.core.features.followee_options import BELL, ENDORSEMENT, LANGUAGES
from actors.core.features.notes import NOTE
from actors.core.flags import BLOCK, BLOCKED_BY, MUTE, NO_REPOSTS
from actors.core.stores.account_flags import HIDES_COLLECTIONS
from actors.core.terms import Feature, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

(
    FOLLOWING, FOLLOWED_BY, BLOCKING, IS_BLOCKED, MUTING, MUTING_NOTICES, SHOWING_REPOSTS, NOTIFYING, ENDORSED,
    REQUESTED, REQUESTED_BY,
) = (1 << bit for bit in range(11))  # fmt: skip


def answer_relations(shard: Lookups, account_id: int, others: list[int]) -> list[Any]:
    """How an account stands to some others: of each `[bits, note, languages or None, when a mute ends or 0]`.

    For the account itself alone.
    """
    row = shard.row(account_id)
    asked = arguments.id_list(others, limits.RELATIONS_COUNT_MAX, "ids")
    papers = shard.state.papers
    found = []
    for other in asked:
        mute = papers.get(MUTE_OPTION, account_id, other)
        languages = papers.get(LANGUAGES, account_id, other)
        found.append([
            _bits(shard, row, account_id, other, mute), papers.get(NOTE, account_id, other) or "",
            None if languages is None else list(languages), 0 if mute is None else mute[ENDS_MS],
        ])  # fmt: skip
    return found


def _bits(shard: Lookups, row: int, account_id: int, other: int, mute: Any) -> int:
    graph, shelves = shard.state.graph, shard.state.shelves
    is_muting = graph.related(row, MUTE, other)
    is_following = graph.following.contains(row, other)
    is_asked = shelves.contains(REQUEST_SENT, account_id, other)
    said = {
        FOLLOWING: is_following, FOLLOWED_BY: graph.followers.contains(row, other),
        BLOCKING: graph.related(row, BLOCK, other), IS_BLOCKED: graph.related(row, BLOCKED_BY, other),
        MUTING: is_muting, MUTING_NOTICES: is_muting and (mute is None or mute[OF_NOTICES]),
        SHOWING_REPOSTS: (is_following or is_asked) and not graph.related(row, NO_REPOSTS, other),
        NOTIFYING: shelves.contains(BELL, account_id, other),
        ENDORSED: shelves.contains(ENDORSEMENT, account_id, other),
        REQUESTED: is_asked,
        REQUESTED_BY: shelves.contains(FOLLOW_REQUEST, account_id, other),
    }  # fmt: skip
    return sum(bit for bit, is_so in said.items() if is_so)


def answer_followers_among(shard: Lookups, account_id: int, viewer: int, others: bytes, count: int) -> list[int]:
    """Which of some accounts (int64 bytes) follow one that isn't hidden from a viewer, the newest first, at most count.

    Nobody of one that hides its lists. Raises NotFoundError.
    """
    row = shard.seen_row(account_id, viewer)
    if shard.state.people.accounts[row].flags & HIDES_COLLECTIONS and viewer != account_id:
        return []
    asked = arguments.packed_ids(others, limits.ASKED_COUNT_MAX, "others")
    followers = shard.state.graph.followers.view(row)[::-1]
    found: list[int] = followers[np.isin(followers, np.array(asked, dtype=np.int64))].tolist()
    return found[: arguments.page_count(count)]


FEATURE = Feature(
    "relations",
    reads=(Read("relations", answer_relations), Read("followers_among", answer_followers_among)),
)
