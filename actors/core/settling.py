"""What a write tells other shards that its author's next reads there would miss.

    sent = state.sent = Sent(settles)      the write is carried out       state.sent = None
    sent.numbers    shard -> the number of the last message there that a reader may look for
    sent.answered   those of them whose answers belong to it: what is told in turn is to be here, too

Rules of this file
- It isn't state, and nothing depends on it: a replay makes none. Who waits for the numbers is the shell's
  `actors/shard/settlements.py`.
- Which effects count says their row in the table (`terms.Settles`). A tweet's way to its followers doesn't.

Cost: nothing for a write that nobody settles but one comparison a message.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.core.terms import Settles


class Sent:
    """The messages of one write that settle.

    settles: when, by the effect's name; what isn't in it never does; begun_at: the state's position before the write.
    """

    __slots__ = ("_settles", "answered", "begun_at", "numbers")

    def __init__(self, settles: Mapping[str, Settles], begun_at: int) -> None:
        self._settles, self.begun_at = settles, begun_at
        self.numbers: dict[int, int] = {}
        self.answered: set[int] = set()

    def note(self, shard: int, name: str, number: int) -> None:
        """Remember that a message of that name has that number on the way to a shard; numbers of one shard grow."""
        settles = self._settles.get(name)
        if settles is not None:
            self.numbers[shard] = number
            if settles is Settles.ANSWERED:
                self.answered.add(shard)
