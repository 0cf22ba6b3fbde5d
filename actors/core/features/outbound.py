"""The queue of what leaves the cluster: which channels there are, what came of attempts (`actors/core/outbound.py`).

    CHANNELS     webhooks, ...       one row each; a new channel is a feature with an OutboundChannel, and here
    outcome      [kind, account, item, attempts, verdict, after_ms], ...       in one command, what a dispatcher said

Rules of this file
- An outcome is of one attempt: if the item has been tried again since, or has moved to another shard, it says nothing.
- The command is the leader's (`actors/shard/outgoing.py`): no client can say what came of something.

Cost: 11 us an outcome of what is done, 20 us of what is to be tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import outbound
from actors.core.features import blobs, mail, push, webhooks
from actors.core.terms import Feature

if TYPE_CHECKING:
    from actors.core.state import ShardState
    from actors.core.stores.notice_words import Notice

NOTICED: Final[tuple[outbound.OutboundChannel, ...]] = (webhooks.CHANNEL, mail.CHANNEL, push.CHANNEL)
CHANNELS: Final[tuple[outbound.OutboundChannel, ...]] = (*NOTICED, blobs.CHANNEL)
CHANNEL_OF: Final = {channel.kind.number: channel for channel in CHANNELS}
CHANNEL_NAMED: Final = {channel.name: channel for channel in CHANNELS}


def queue_notice(state: ShardState, account_id: int, notice: Notice, at_ms: int) -> None:
    """Have whoever wants to know outside be told of a new notice."""
    outbound.put_notice(state, NOTICED, account_id, notice, at_ms)
    mail.begin_digest(state, account_id, notice, at_ms)


def outcome(state: ShardState, now_ms: int, rows: list[list[Any]]) -> int:
    """Note what came of attempts; returns of how many. Row: [kind, account, item, attempts, verdict, after_ms]."""
    count = 0
    for number, account_id, item_id, attempts, verdict, after_ms in rows:
        channel = CHANNEL_OF.get(number)  # None: of a later version, which has been taken back
        if channel is None or state.owner[channel.kind.owner.bucket_of(account_id)] != state.shard:
            continue
        document = state.papers.get(channel.kind, account_id, item_id)
        if document is None or outbound.read_outbound(document).attempts != attempts:
            continue
        outbound.settle_item(state, channel, account_id, item_id, verdict, now_ms, after_ms)
        count += 1
    return count


FEATURE = Feature("outbound", papers=tuple(channel.kind for channel in CHANNELS), commands={"outcome": outcome})
