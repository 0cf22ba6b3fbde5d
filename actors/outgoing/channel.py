"""What a way out of the cluster is to the dispatcher: items in, what came of each out.

    leader of a shard --[OutgoingItem, ...]--> Dispatcher --by channel--> OutgoingChannel.send --> a receiver outside
                      <--[SendOutcome, ...]-- in the same order

Rules of this file
- A channel keeps nothing that matters: whatever it was asked for comes again until an outcome is in the shard's state,
  with the same ids. By these a receiver tells a repetition.
- `send` answers each item, in order and within SEND_S, and raises nothing that a receiver could cause: that is an
  outcome, LATER as a rule. What it does raise is logged, and is LATER for all of them.
- A new channel: a class here, a row in `actors/outgoing/dispatcher.py`, an `OutboundChannel` of the same name in core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from actors.core.outbound import SendVerdict

__all__ = ["SEND_S", "OutgoingChannel", "OutgoingItem", "SendOutcome", "SendVerdict"]

SEND_S: Final = 30.0  # that one `send` may take, whatever receivers do


class OutgoingItem(NamedTuple):
    """One message that is to leave. item_id: stable, and the account's alone; attempts: how many have failed.

    facts: what the channel's `OutboundChannel.facts` gave in the shard.
    """

    account_id: int
    item_id: int
    attempts: int
    facts: Any


class SendOutcome(NamedTuple):
    """What came of one attempt. reason: a word for the figures; after_s: the least pause that the receiver named."""

    verdict: SendVerdict
    reason: str = ""
    after_s: float = 0.0


class OutgoingChannel(Protocol):
    """One way out, made of the settings by `dispatcher.py`; None of them where it isn't configured."""

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Try to bring some items out; returns an outcome for each, in order."""
        ...

    def figures(self) -> dict[str, Any]:
        """Return figures for `status`: plain values."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...
