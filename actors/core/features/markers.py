"""Markers: up to where an account has read its home timeline and its notifications, on whichever client.

    set_markers --> two papers of the account, by timeline: [last read id, version, when]

Rules of this file
- An id is what a client says: it isn't looked for, and may go back, as somebody may mark things as unread.
- A version is one more with every change (not with what changes nothing), so that a client sees whether another one was
  there before it.
- For the account itself alone. From level 3 of the cluster on.

Cost: 20 bytes each; 10 us to set one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Owner, PaperKind, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

HOME, NOTIFICATIONS = 1, 2  # keys of the papers, for ever


class Marker(NamedTuple):
    """The document of a marker: its first facts in this order, for ever; later versions may add some at the end."""

    last_read_id: int
    version: int
    at_ms: int


def read_marker(document: Any) -> Marker:
    """Return what a document says, whichever version wrote it."""
    return Marker(*document[: len(Marker._fields)])


def check_marker(document: Any) -> None:
    """Refuse what is no marker. Raises RookeryError."""
    marker = read_marker(document)
    arguments.an_id(marker.last_read_id, "last_read_id")
    arguments.an_id(marker.version, "version")
    arguments.whole(marker.at_ms, 0, ids.ID_MAX, "at_ms")


MARKER: Final = PaperKind(34, "marker", Owner.ACCOUNT, limits.MARKERS_COUNT_MAX, check_marker, from_level=3)


def set_markers(state: ShardState, account_id: int, rows: list[list[int]], at_ms: int) -> None:
    """Set an account's markers. Row: [HOME or NOTIFICATIONS, last read id]."""
    for timeline, last_read_id in rows:
        document = state.papers.get(MARKER, account_id, timeline)
        known = Marker(0, 0, 0) if document is None else read_marker(document)
        if known.last_read_id != last_read_id:
            state.papers.put(MARKER, account_id, timeline, [last_read_id, known.version + 1, at_ms])


def prepare_set_markers(shard: Lookups, now_ms: int, account_id: int, home: int, notifications: int) -> Prepared:
    """Set up to where an account has read, ids, 0 for what stays; the reply is as that of `markers`.

    Raises OverloadedError if the shard has no room.
    """
    shard.require_level(MARKER.from_level)
    shard.row(account_id)
    rows = [
        [timeline, last_read_id]
        for timeline, last_read_id, field in ((HOME, home, "home"), (NOTIFICATIONS, notifications, "notifications"))
        if arguments.an_id_or_zero(last_read_id, field)
    ]
    if not rows:
        return nothing(answer_markers(shard, account_id))
    size = len(pack_document([ids.ID_MAX, ids.ID_MAX, ids.ID_MAX]))
    shard.state.papers.require_room(MARKER, account_id, size * len(rows), False, "last_read_id")
    return Prepared(["set_markers", account_id, rows, now_ms], lambda _: answer_markers(shard, account_id))


def answer_markers(shard: Lookups, account_id: int) -> list[list[int]]:
    """An account's markers, for the account itself alone: `[[HOME or NOTIFICATIONS, last read id, version, at_ms]]`."""
    shard.row(account_id)
    papers = shard.state.papers
    return [
        [timeline, *read_marker(papers.get(MARKER, account_id, timeline))]
        for timeline in papers.keys(MARKER, account_id)
    ]


FEATURE = Feature(
    "markers",
    papers=(MARKER,),
    writes=(Write("set_markers", prepare_set_markers),),
    reads=(Read("markers", answer_markers),),
    commands={"set_markers": set_markers},
)
