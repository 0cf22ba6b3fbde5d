"""Objects that are to go (`actors/core/features/blobs.py`): the channel that removes all of a medium from the store.

Rules of this file
- What the store has said is gone is DONE; a store that is away, or slow, leaves the rest of a call for LATER.
- A medium has a handful of objects, so one is listed and removed after another: no call fills the store's queue.
- A folder's objects are removed by the shard's own process (`LocalRemoval`), which needs no dispatcher for that; a
  bucket's by a dispatcher, which reaches hosts.

Cost: of a folder 0.3 ms a medium, in a thread; of a bucket two requests and one an object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from actors.core.errors import RookeryError
from actors.outgoing.channel import OutgoingItem, SendOutcome, SendVerdict
from api.ports import Asking
from configs.settings import Settings
from persistence.objects import ObjectStore, object_folder, open_store

REMOVING_S: Final = 20.0  # of one call, below `channel.SEND_S`: what is left goes with the next one
NAME: Final = "blob"
_DONE: Final = SendOutcome(SendVerdict.DONE)
_LATER: Final = SendOutcome(SendVerdict.LATER, "the store is away", 5.0)

Rows = list[list[Any]]
Dispatch = Callable[[Rows], Awaitable[list[list[int]]]]


class Blobs:
    """Removes media from a store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.removed_count = 0  # objects, since the start
        self._log = structlog.get_logger()

    @classmethod
    def open(cls, settings: Settings, asking: Asking) -> Blobs | None:
        """Return the channel of a bucket; None where objects lie in a folder, or there are no media."""
        del asking
        media = settings.media
        return (
            cls(open_store(media.store_url, settings.storage.data_dir)) if media.enabled and media.store_url else None
        )

    async def send(self, items: Sequence[OutgoingItem]) -> list[SendOutcome]:
        """Remove what items name; see `OutgoingChannel`."""
        outcomes = [_LATER] * len(items)
        try:
            async with asyncio.timeout(REMOVING_S):
                for place, item in enumerate(items):
                    await self._remove(item.facts)
                    outcomes[place] = _DONE
        except (TimeoutError, OSError, RookeryError) as error:
            self._log.warning("media wait to be removed", reason=f"{type(error).__name__}: {error}"[:200])
        return outcomes

    async def _remove(self, prefix: str) -> None:
        names = [head.name async for head in self._store.list(prefix)]
        if names:
            await self._store.delete(names)
            self.removed_count += len(names)

    def figures(self) -> dict[str, Any]:
        """Return how many objects went since the start."""
        return {"removed": self.removed_count}

    async def close(self) -> None:
        """A store holds no connection that would have to be ended."""


class LocalRemoval:
    """Takes the rows of a folder's media out of a shard's calls, and passes the others on."""

    def __init__(self, blobs: Blobs, others: Dispatch) -> None:
        """others: as `OutgoingQueue.connect` takes it."""
        self._blobs, self._others = blobs, others

    @classmethod
    def around(cls, settings: Settings, others: Dispatch) -> Dispatch:
        """Return a way out for all rows: with the folder's removal where there is one."""
        media = settings.media
        if not media.enabled or media.store_url:
            return others
        store = open_store("", object_folder(media.folder, settings.storage.data_dir))
        return cls(Blobs(store), others).dispatch

    async def dispatch(self, rows: Rows) -> list[list[int]]:
        """Bring rows out; returns `[verdict, least pause in ms]` for each, in order."""
        own = [place for place, row in enumerate(rows) if row[0] == NAME]
        rest = [place for place, row in enumerate(rows) if row[0] != NAME]
        told: list[list[int]] = [[]] * len(rows)
        for place, outcome in zip(own, await self._blobs.send([OutgoingItem(*rows[p][1:]) for p in own]), strict=True):
            told[place] = [int(outcome.verdict), int(outcome.after_s * 1000)]
        if rest:
            for place, given in zip(rest, await self._others([rows[place] for place in rest]), strict=True):
                told[place] = given
        return told
