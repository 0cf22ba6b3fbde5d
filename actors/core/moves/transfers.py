"""Buckets under way between shards, as the state knows of them; `moving.py` does the rest.

Rule: types only, so that the state needs not know who moves what.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Incoming(NamedTuple):
    """Buckets that this shard is being given. number: the move's."""

    number: int
    buckets: frozenset[int]


class Giving(Protocol):
    """What a shard gives: see `moving.Outgoing`."""

    number: int
    buckets: list[int]
    accounts: set[int]

    def note_all(self) -> None:
        """Remember what of it has changed since the last time."""
        ...

    def part(self) -> bytes:
        """Return the next part of everything; b"" once all has been given."""
        ...

    def tail(self) -> bytes:
        """Return the next part of what has changed since it was given; b"" once nothing has."""
        ...
