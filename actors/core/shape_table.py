"""The table of shapes: in which ways tweets can be asked for, and from which level of the cluster on.

A new shape is a renderer (`joining.JoiningRenderer`) and its row here: every read that answers tweets can then be asked
in it (`["shaped", [number, op, args]]`, docs/lane.md), and API workers join what it answers by `join_tweets`.

Rules of this file
- Numbers are on the lane and stay for ever; 0 is the native shape, which is asked for without `shaped` as well.
- A row waits for its level, as whatever is new does (`levels.py`): processes that don't know it refuse it.
- Changes of profiles are told to all shards only while there is a row that shows accounts, at its level: without one
  a cluster pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from actors.core.errors import InvalidError
from actors.core.joining import JoiningRenderer
from actors.core.limits import Tuning
from actors.core.renderers.mastodon import MastodonRenderer

NATIVE: Final = 0
MASTODON: Final = 1
MASTODON_FROM_LEVEL: Final = 3
FROM_LEVEL: Final = 2  # of the cluster: from there on processes know `shaped`, `accounts` and `profile_card`


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """One shape. make: its renderer, made once a replica when it is first asked for; None for the native one.

    from_level: of the cluster, from which it may be asked for, and from which changes of profiles are told if it shows
    accounts.
    """

    number: int
    name: str
    make: Callable[[Tuning], JoiningRenderer] | None
    from_level: int = FROM_LEVEL


SHAPES: Final[dict[int, ShapeRow]] = {row.number: row for row in (
    ShapeRow(NATIVE, "native", None),
    ShapeRow(
        MASTODON, "mastodon", lambda tuning: MastodonRenderer(tuning.public_url, tuning.media_base), MASTODON_FROM_LEVEL
    ),
)}  # fmt: skip


def shape_row(number: Any) -> ShapeRow:
    """Return the row of a shape. Raises InvalidError that names those that there are."""
    row = SHAPES.get(number) if type(number) is int else None
    if row is None:
        there = ", ".join(f"{row.number} ({row.name})" for row in SHAPES.values())
        given = repr(number)[:40] if type(number) in (int, str) else f"a {type(number).__name__}"
        raise InvalidError(f"there is no shape {given}; there are {there}", "shape")
    return row


def are_accounts_shown(level: int) -> bool:
    """Whether, at a level of the cluster, there are shapes that show accounts."""
    return any(row.make is not None and level >= row.from_level for row in SHAPES.values())
