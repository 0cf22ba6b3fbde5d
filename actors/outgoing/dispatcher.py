"""The dispatcher: brings items of shards to their channels, and says what came of each. It holds nothing.

    shard's leader --dispatch([[channel, account, item, attempts, facts], ...])--> by channel, at the same time
                   <--[[verdict, after_ms], ...]-- in order, once each has an outcome

Rules of this file
- What isn't configured isn't tried: LATER, so it goes by itself once its time is over, or is sent if somebody
  configures it before then.
- A channel that fails as a whole is logged, and its items are LATER; the others' outcomes stand.
- Which channels there are is said here once (`OPENERS`); the names are those of `actors/core/features/outbound.py`.

Cost: 5 us an item beside what the channel does.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from actors.outgoing.blobs import NAME, Blobs
from actors.outgoing.channel import SEND_S, OutgoingChannel, OutgoingItem, SendOutcome, SendVerdict
from actors.outgoing.mail import MailChannel
from actors.outgoing.previews import NAME as PREVIEWS
from actors.outgoing.previews import PageReading, Previews
from actors.outgoing.push import PushChannel
from actors.outgoing.webhooks import Webhooks
from api.ports import Asking
from configs.settings import Settings

Opener = Callable[[Settings, Asking], OutgoingChannel | None]
"""Makes a channel of the settings on the running event loop; None if they don't configure it."""

OPENERS: Final[Mapping[str, Opener]] = {
    "webhooks": Webhooks.open, "mail": MailChannel.open, "push": PushChannel.open, NAME: Blobs.open,
}  # fmt: skip
_NO_CHANNEL: Final = SendOutcome(SendVerdict.LATER, "not configured")
_FAILED: Final = SendOutcome(SendVerdict.LATER, "failed")


class Dispatcher:
    """The channels of one cluster, on the running event loop."""

    def __init__(self, channels: Mapping[str, OutgoingChannel]) -> None:
        """channels: those that are configured, by name."""
        self._channels = channels
        self.results: Counter[tuple[str, str]] = Counter()  # (channel, verdict) -> outcomes since the start
        self._log = structlog.get_logger()

    @classmethod
    def of(cls, settings: Settings, asking: Asking, reading: PageReading) -> Dispatcher:
        """Return one with what the settings configure. asking: the way to the shards; reading: to the node's media."""
        opened = {name: opener(settings, asking) for name, opener in OPENERS.items()}
        opened[PREVIEWS] = Previews.open(settings, asking, reading)
        return cls({name: channel for name, channel in opened.items() if channel is not None})

    async def dispatch(self, rows: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Try to bring items out; returns `[verdict, least pause in ms]` for each row, in order.

        Row: [channel's name, account, item, attempts, facts].
        """
        by_channel: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            by_channel.setdefault(row[0], []).append(place)
        outcomes: list[SendOutcome] = [_NO_CHANNEL] * len(rows)

        async def bring(name: str, places: list[int]) -> None:
            told = await self._send(name, [OutgoingItem(*rows[place][1:]) for place in places])
            for place, outcome in zip(places, told, strict=True):
                outcomes[place] = outcome

        await asyncio.gather(*(bring(name, places) for name, places in by_channel.items()))
        for row, outcome in zip(rows, outcomes, strict=True):
            self.results[row[0], outcome.verdict.name.lower()] += 1
        return [[int(each.verdict), math.ceil(each.after_s * 1000)] for each in outcomes]

    async def _send(self, name: str, items: list[OutgoingItem]) -> list[SendOutcome]:
        channel = self._channels.get(name)
        if channel is None:
            return [_NO_CHANNEL] * len(items)
        try:
            async with asyncio.timeout(SEND_S):
                outcomes = await channel.send(items)
        except Exception as error:  # noqa: BLE001  a fault of one channel is not to keep the others' items here
            self._log.error("a channel has failed", channel=name, items=len(items), reason=repr(error)[:500])
            return [_FAILED] * len(items)
        if len(outcomes) != len(items):
            self._log.error("a channel has said too little", channel=name, items=len(items), outcomes=len(outcomes))
            return [_FAILED] * len(items)
        return outcomes

    def figures(self) -> dict[str, Any]:
        """Return what came of items by channel since the start, and what each channel says of itself."""
        channels = {
            name: {
                **{verdict.name.lower(): self.results[name, verdict.name.lower()] for verdict in SendVerdict},
                **channel.figures(),
            }
            for name, channel in self._channels.items()
        }
        return {"channels": channels}

    async def close(self) -> None:
        """End all connections."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
