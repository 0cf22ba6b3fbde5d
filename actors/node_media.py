"""`api.ports.Media`: an API worker's way to the object store and to the media actor of its node.

Cost: an actor call an upload, 1 ms; reads as of the store (`persistence/objects.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from ray.exceptions import RayError

from actors.core.errors import OverloadedError, RookeryError, from_wire
from actors.media.jobs import has_ffmpeg
from actors.media.processed import KINDS, Kind, Processed, Purpose
from persistence.objects import ObjectStore

PROCESS_S: Final = 3_000.0  # waiting included: below the hour after which an upload is given up
REASONS: Final = {413: "too_large", 422: "invalid", 503: "unavailable"}


class NodeMedia:
    """See the module header. call: of `NamedActors`; actor_name: the node's media actor; is_on: `media.enabled`."""

    def __init__(
        self, store: ObjectStore, incoming: Path, call: Callable[..., Awaitable[Any]], actor_name: str, is_on: bool
    ) -> None:  # fmt: skip
        self.store, self.incoming = store, incoming
        self.read, self.read_cached = store.read, store.read_cached
        self._call, self._actor_name = call, actor_name
        moving = is_on and has_ffmpeg()
        self._open = {kind: is_on if kind == "image" else moving for kind in KINDS}
        self.waiting, self.seconds, self.bytes = 0, 0.0, 0
        self.processed: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.refused: dict[str, int] = dict.fromkeys([*REASONS.values(), "other"], 0)

    def is_open(self, kind: Kind) -> bool:
        """As in `ports.Media`."""
        return self._open[kind]

    async def head(self, name: str) -> int | None:
        """As in `ports.Media`."""
        found = await self.store.head(name)
        return None if found is None else found.size

    async def process(self, source: Path, purpose: Purpose, media_id: int) -> Processed:
        """As in `ports.Media`."""
        if not self.is_open("image"):
            raise OverloadedError("this server takes no media (media.enabled)")
        self.waiting += 1
        begin = time.perf_counter()
        try:
            found = await self._process(source, purpose, media_id)
        except RookeryError as error:
            self.refused[REASONS.get(error.status, "other")] += 1
            raise
        finally:
            self.waiting -= 1
            self.seconds += time.perf_counter() - begin
        self.processed[found.kind] += 1
        self.bytes += sum(rendition.size for rendition in found.renditions)
        return found

    async def _process(self, source: Path, purpose: Purpose, media_id: int) -> Processed:
        try:
            async with asyncio.timeout(PROCESS_S):
                outcome, told = await self._call(self._actor_name, "process", str(source), purpose, media_id)
        except (RayError, TimeoutError, ValueError) as error:
            raise OverloadedError(f"media can't be processed now ({type(error).__name__})", None, 5.0) from error
        if outcome == "refused":
            raise from_wire(told)
        return Processed.from_wire(told)

    def figures(self) -> dict[str, float]:
        """Return what it has counted, by the keys of `actors.metrics.api_rows`."""
        return {
            "media_waiting": self.waiting, "media_seconds": self.seconds, "media_bytes": self.bytes,
            **{f"media_processed_{kind}": count for kind, count in self.processed.items()},
            **{f"media_refused_{reason}": count for reason, count in self.refused.items()},
        }  # fmt: skip


class NodePages:
    """`actors.outgoing.previews.PageReading`: a dispatcher's way to the media actor of its node."""

    def __init__(self, incoming: Path, call: Callable[..., Awaitable[Any]], actor_name: str) -> None:
        """call: of `NamedActors`; actor_name: the node's media actor."""
        self.incoming, self._call, self._actor_name = incoming, call, actor_name

    async def look(self, what: str, source: Path, charset: str) -> list[Any]:
        """As in `PageReading`."""
        try:
            outcome, told = await self._call(self._actor_name, "look", what, str(source), charset)
        except (RayError, ValueError, AttributeError) as error:  # an older media actor looks at nothing
            raise OverloadedError(f"pages can't be read now ({type(error).__name__})", None, 5.0) from error
        if outcome == "refused":
            raise from_wire(told)
        return list(told)
