"""Notes: what an account writes down about others, for itself alone.

    note --> a paper of the account, by whom it is about; an empty one takes it away

Rules of this file
- Nobody else is told, and nobody else reads it.
- From level 3 of the cluster on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Owner, PaperKind, Prepared, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def check_note(document: Any) -> None:
    """Refuse what is no note. Raises RookeryError."""
    if not arguments.text(document, limits.NOTE_BYTES_MAX, "comment"):
        raise InvalidError("a note that is kept isn't empty", "comment")


NOTE: Final = PaperKind(30, "note", Owner.ACCOUNT, limits.NOTES_COUNT_MAX, check_note, from_level=3)


def write_note(state: ShardState, account_id: int, target: int, text: str) -> bool:
    """Write a note, in place of the one before; an empty one is none. Returns whether that changed anything."""
    if text:
        return state.papers.put(NOTE, account_id, target, text)
    return state.papers.drop(NOTE, account_id, target)


def prepare_note(shard: Lookups, now_ms: int, account_id: int, target: int, text: str) -> Prepared:
    """Write a note on an account; the reply is whether that changed anything. Raises InvalidError, TooLargeError."""
    shard.require_level(NOTE.from_level)
    shard.row(account_id)
    known = shard.state.papers.get(NOTE, account_id, arguments.an_id(target, "id"))
    arguments.text(text, limits.NOTE_BYTES_MAX, "comment")
    if text == (known or ""):
        return nothing(False)
    if text:
        size = len(pack_document(text))
        shard.state.papers.require_room(NOTE, account_id, size, known is None, "comment")
    return Prepared(["write_note", account_id, target, text], same)


FEATURE = Feature("notes", papers=(NOTE,), writes=(Write("note", prepare_note),), commands={"write_note": write_note})
