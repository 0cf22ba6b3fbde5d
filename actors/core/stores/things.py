"""Which things are here: lists, filters, apps, of which the shard knows nothing but what they have on shelves.

    a document of a kind that founds (key 0) comes --> add        goes --> remove, and all that the thing has with it

Rules of this file
- No state of its own: what is here is what the papers say, so it is made anew on restore (`PaperShelves.fill`), and
  moves with them. Whether a thing is this shard's, or on its way here or away, says its bucket.
- A thing was founded by one kind, and is nothing else: an id that is a list's can't become an app's.
- Ids of things of an account are drawn as tweets' are; one that has come is not drawn again, also where another process
  has drawn it.

Cost: 100 bytes a thing; how many there may be bounds `papers_bytes_max`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.core import ids


class Things:
    """The things of one shard. kind_of: which kind of document founds each."""

    def __init__(self, clock: ids.TweetIdClock) -> None:
        """clock: draws the ids of those that aren't named."""
        self.kind_of: dict[int, int] = {}
        self._clock = clock

    def __len__(self) -> int:
        return len(self.kind_of)

    def find(self, thing_id: int) -> int | None:
        """Return a thing's id if it is here, whether it is this shard's or not; else None."""
        return thing_id if thing_id in self.kind_of else None

    def add(self, thing_id: int, kind: int) -> bool:
        """Have a thing be here; False if it is, as something else."""
        if thing_id < ids.NAMED_THING:
            self._clock.observe(thing_id)
        return self.kind_of.setdefault(thing_id, kind) == kind

    def remove(self, thing_id: int) -> None:
        """Have a thing be here no longer."""
        self.kind_of.pop(thing_id, None)

    def in_buckets(self, mask: npt.NDArray[np.bool_]) -> list[int]:
        """Return the things of some buckets, ascending. mask: of the 1,024 buckets. 0.2 us a thing."""
        every = np.fromiter(self.kind_of, dtype=np.int64, count=len(self.kind_of))
        chosen: list[int] = np.sort(every[mask[ids.buckets_of_things(every)]]).tolist()
        return chosen
