"""`check --media`: does the store hold all that tweets, profiles and uploads show, and nothing else?

    shards --media_held--> which objects must be there, which media may have some, which are to go
    store --list--> what is there                       --repair--> objects of no medium are removed

Rules of this file
- The store is listed first and the shards are asked afterwards: what is uploaded meanwhile is known by then, and no
  orphan. What is missing is looked for once more before it is said, as it may have been written after the listing; and
  its tweet is looked for once more, as it may be gone.
- What is nobody's is looked for once more, too: its removal may have ended meanwhile.
- An object belongs to the medium whose id is in its name; what has no such name is nobody's, and is only named.
- Nothing is repaired that is missing: nobody has its bytes, but a backup may (`restore --media`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from actors.core.errors import NotFoundError
from actors.core.features.media_held import GOING, HELD
from actors.core.limits import MEDIA_LISTED_COUNT_MAX
from actors.core.media_names import media_id_of
from commands.checking import Outcome
from commands.launch import ClusterInfo
from persistence.objects import ObjectStore, object_folder, open_store

REMOVED_AT_ONCE: Final = 500  # objects

AskShard = Callable[[int, str, list[Any]], Awaitable[Any]]
"""(shard, read, arguments) -> its answer."""


@dataclass(slots=True)
class Held:
    """What the shards know of media. objects: name -> medium; media: all that may have objects."""

    objects: dict[str, int] = field(default_factory=dict)
    media: set[int] = field(default_factory=set)
    going_count: int = 0

    def add(self, rows: Iterable[list[Any]]) -> None:
        """Take rows of `media_held`."""
        for media_id, what, names in rows:
            self.media.add(media_id)
            self.going_count += what == GOING
            if what == HELD:
                self.objects.update(dict.fromkeys(names, media_id))


def store_of(data_dir: Path) -> ObjectStore:
    """Return the store of a cluster, running or stopped. Raises NotFoundError if its data folder isn't here."""
    info = ClusterInfo.load(data_dir)
    if info is None:
        raise NotFoundError(f"{data_dir} doesn't say where the cluster's media are: give its data folder, --data")
    return open_store(info.media_store_url, object_folder(info.media_folder, data_dir))


async def held_by(ask: AskShard, shard_count: int) -> Held:
    """Return what all shards know."""
    held = Held()
    for shard in range(shard_count):
        row = after = 0
        while True:
            row, after, rows = await ask(shard, "media_held", [row, after, MEDIA_LISTED_COUNT_MAX])
            held.add(rows)
            if not row and not after:
                break
    return held


async def check_media(ask: AskShard, shard_count: int, store: ObjectStore, outcome: Outcome, repair: bool) -> None:
    """Compare a store with what the shards know; with repair, remove objects of no medium."""
    there = {head.name: head.size async for head in store.list("")}
    held = await held_by(ask, shard_count)
    missing = {name for name in held.objects if name not in there and await store.head(name) is None}
    if missing:
        missing &= (await held_by(ask, shard_count)).objects.keys()
    outcome.add(f"medium {held.objects[name]} is shown, but the store has no object {name}" for name in sorted(missing))
    strangers = [name for name in there if not media_id_of(name)]
    outcome.add(f"the store has {name[:100]!r}, which is no name of a medium's object" for name in strangers)
    unknown = [name for name in there if (media_id := media_id_of(name)) and media_id not in held.media]
    orphans = [name for name in unknown if await store.head(name) is not None]
    for first in range(0, len(orphans) if repair else 0, REMOVED_AT_ONCE):
        await store.delete(orphans[first : first + REMOVED_AT_ONCE])
    if not repair:
        outcome.add(f"the store has {name} of a medium that nobody knows: --repair removes it" for name in orphans)
    outcome.figures |= {
        "media_objects": len(there), "media_bytes": sum(there.values()), "media_to_remove": held.going_count,
        "media_orphans": len(orphans), "media_missing": len(missing),
    }  # fmt: skip
