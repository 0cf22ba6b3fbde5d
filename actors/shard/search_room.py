"""How much a shard asks of its search engine at once: by what searches cost, not by how many they are.

An engine answers one search after the other, so whoever asks waits for all before. With a bound on their number alone,
some hundred dear ones fill it for longer than anybody waits: all are late, and so is every cheap one behind them.

Rules of this file
- What finds no room is refused at once, for others to answer or to be asked again: a wait that is in vain helps nobody.
- The dearer a search, the more room it must find: ROOM_TIMES what it takes. So dear ones leave room for cheap ones,
  however many they are. Where nothing is under way, anything is let in.

Cost: 0.2 us, and 0.3 us a term of a query (`costs.py`).
"""

from __future__ import annotations

from typing import Any

from actors.core.errors import OverloadedError
from actors.text.costs import ACCOUNT_WORD_UNITS, SUGGEST_UNITS, TAG_UNITS, cost_of_tree

UNITS_MAX = 512  # under way; a unit is 0.1 ms of an engine with 50,000 tweets, and 1 ms of one with a million
ROOM_TIMES = 4
CORRECTED_WORD_UNITS = 10  # compared with all words that tweets have; on a thread of its own
ACCOUNT_WORDS_MAX = 8  # that an engine looks for


class EngineRoom:
    """What of an engine is taken."""

    def __init__(self) -> None:
        self.units = 0  # of searches under way
        self.refused_count = 0

    def take(self, op: str, args: list[Any]) -> int:
        """Take room for an operation; returns how much, to be given back. Raises OverloadedError."""
        units = cost_of(op, args)
        if self.units and self.units + min(ROOM_TIMES * units, UNITS_MAX) > UNITS_MAX:
            self.refused_count += 1
            raise OverloadedError("this shard's search engine has as many searches as it can carry", None, 0.5)
        self.units += units
        return units

    def give(self, units: int) -> None:
        """Give back what was taken."""
        self.units -= units


def cost_of(op: str, args: list[Any]) -> int:
    """Return what an operation costs, in units. args: as `SearchRequests` asks them, checked."""
    if op in ("latest", "top"):
        return cost_of_tree(args[0], op)
    if op == "accounts":
        return ACCOUNT_WORD_UNITS * min(len(args[0]), ACCOUNT_WORDS_MAX)
    if op == "suggest":
        return SUGGEST_UNITS
    if op == "tag":
        return TAG_UNITS * sum(map(len, args[:3]))
    if op == "corrections":
        return CORRECTED_WORD_UNITS * len(args[0])
    return 1 if op == "highlight" else 0  # nobody's requests bring trends
