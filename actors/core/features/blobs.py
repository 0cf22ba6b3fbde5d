"""Media that nobody shows any more: their objects are to leave the store, by a channel as of `outbound.py`.

    a tweet, an upload, a picture of a profile goes --bury--> a thing by the medium's id, due now or later
        --(leader, after commit)--> dispatcher --> the store: all below `media_names.prefix_of` goes --> the thing goes

Rules of this file
- It is a thing, not a paper of the account: who is deleted may leave objects behind, and none has to wait for them.
- It is never dropped before the store has said that the objects are gone, however long that takes; no bound of how many
  may wait applies, since whatever is refused here would stay in the store for ever.
- A medium that may still be worked on is removed only once its job must have ended: what a job writes after the removal
  nobody would ever find.
- Removing twice is as removing once. No name is ever used again.

Cost: 40 us and 60 bytes a medium.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import limits
from actors.core.media_names import prefix_of
from actors.core.outbound import FROM_LEVEL, Outbound, OutboundChannel, check_outbound, due_ms_of, pack_facts
from actors.core.terms import Feature, Owner, PaperKind

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

BLOB: Final = PaperKind(
    81, "medium to remove", Owner.THING, 1, check_outbound, due_ms_of, from_level=FROM_LEVEL, founds=True, outbound=True
)


def bury(state: ShardState, media_id: int, at_ms: int, after_ms: int = 0) -> None:
    """Have all objects of a medium be removed, after_ms from at_ms on. Once more is as once."""
    if state.level < FROM_LEVEL or state.papers.packed(BLOB.number, media_id) is not None:
        return
    made_ms = max(at_ms, 1)
    state.papers.put(BLOB, media_id, 0, list(Outbound(0, made_ms, made_ms + after_ms, 0, pack_facts(media_id))))


def _wants(state: ShardState, account_id: int, type_number: int) -> tuple[int, ...]:
    return ()


def _end(state: ShardState, account_id: int, subscription: int) -> None:
    """Nobody has subscribed to anything."""


def _facts(shard: Lookups, now_ms: int, media_id: int, item_id: int, item: Outbound) -> Any:
    """Return what the names of all objects begin with that are to go."""
    shard.thing(BLOB, media_id)
    return prefix_of(media_id)


CHANNEL: Final = OutboundChannel(
    "blob", BLOB, limits.MUTE_MS_MAX, _wants, _end, _facts, is_kept=True
)  # lives_ms: for ever

FEATURE = Feature("blobs")
