"""The cursors that listeners are given, written once for all who may share them.

Rules of this file
- Listeners of one shard have one text, those of public topics another one, until a shard is heard further.
- Who waits somewhere has a text of its own: there it is where it was.
- Who doesn't hear a shard yet at which its account is has none: how far that was heard says nothing of it.

Cost: 0.2 us; 1 us a shard for who has one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.streaming.cursors import Position, write_cursor
from api.streaming.hearers import Hearer
from api.streaming.lines import Line


class CursorTexts:
    """Texts of one worker. line_of: the line to a shard; shard_of: where an account is."""

    def __init__(self, line_of: Callable[[int], Line], shard_of: Callable[[int], int]) -> None:
        self._line_of, self._shard_of = line_of, shard_of
        self._of_all: str | None = None
        self._of_one: dict[int, str] = {}

    def moved_on(self) -> None:
        """A shard was heard further."""
        self._of_all = None
        self._of_one.clear()

    def of(self, hearer: Hearer, shards: Iterable[int], at: tuple[int, Position] | None = None) -> str:
        """Return the cursor of a listener of some shards. at: one of which it has heard just that far."""
        own = self._shard_of(hearer.account_id) if hearer.account_id else -1
        if own >= 0 and not hearer.is_live(own) and own not in hearer.waiting:
            return ""  # the account is heard elsewhere still, and that place is none of this shard's
        if hearer.waiting or at is not None:
            held = {shard: waits.position for shard, waits in hearer.waiting.items()}
            if at is not None:
                held[at[0]] = at[1]
            return self._write(shards, held)
        if not isinstance(shards, tuple):
            if self._of_all is None:
                self._of_all = self._write(shards, {})
            return self._of_all
        (shard,) = shards or (0,)
        return self.of_shard(shard)

    def of_shard(self, shard: int) -> str:
        """Return the cursor of all who hear that shard alone, and wait for nothing."""
        text = self._of_one.get(shard)
        if text is None:
            text = self._of_one[shard] = self._write((shard,), {})
        return text

    def _write(self, shards: Iterable[int], held: dict[int, Position]) -> str:
        lines = [self._line_of(shard) for shard in shards]
        positions = [(line.shard, held.get(line.shard, line.position)) for line in lines]
        return write_cursor(max((line.newest_id for line in lines), default=0), positions)
