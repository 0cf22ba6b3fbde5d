"""What an account doesn't want to be shown again: suggested accounts, and announcements that it has read.

    dismiss_suggestion --> DISMISSED shelf of the account
    read_announcement  --> one paper of the account: numbers of announcements, the newest last

Rules of this file
- Announcements are configuration and no state (`api/instance_folder.py`): a number is what a client says, and isn't
  looked for. Of more than are kept, the one that was read longest ago is forgotten, and would be shown as unread.
- For the account itself alone. From level 3 of the cluster on.

Cost: 18 bytes an account dismissed, 5 an announcement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Full, Kind, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

DISMISSED: Final = Kind(
    46, "dismissed suggestion", Owner.ACCOUNT, Owner.ACCOUNT, limits.DISMISSED_COUNT_MAX, Full.OLDEST, from_level=3
)


def check_read(document: Any) -> None:
    """Refuse what is no list of announcements that were read. Raises RookeryError."""
    for number in arguments.listed(list(document), limits.ANNOUNCEMENTS_READ_MAX, "announcements"):
        arguments.an_id(number, "announcements")


READ: Final = PaperKind(47, "announcements read", Owner.ACCOUNT, 1, check_read, from_level=3)


def dismiss_suggestion(state: ShardState, account_id: int, other: int, at_ms: int) -> bool:
    """Have an account be suggested no more; whether that is new."""
    return state.shelves.put(DISMISSED, account_id, other, at_ms)


def read_announcement(state: ShardState, account_id: int, number: int) -> bool:
    """Remember that an announcement was read; whether that is new."""
    numbers = list(state.papers.get(READ, account_id) or ())
    if number in numbers:
        return False
    return state.papers.put(READ, account_id, 0, [*numbers, number][-limits.ANNOUNCEMENTS_READ_MAX :])


def prepare_dismiss_suggestion(shard: Lookups, now_ms: int, account_id: int, other: int) -> Prepared:
    """Dismiss a suggested account; the reply is whether that is new."""
    shard.require_level(DISMISSED.from_level)
    shard.row(account_id)
    arguments.an_id(other, "id")
    if shard.state.shelves.contains(DISMISSED, account_id, other):
        return nothing(False)
    shard.state.shelves.require_room(DISMISSED, account_id, "id")
    return Prepared(["dismiss_suggestion", account_id, other, now_ms], same)


def prepare_read_announcement(shard: Lookups, now_ms: int, account_id: int, number: int) -> Prepared:
    """Note an announcement as read; the reply is whether that is new."""
    shard.require_level(READ.from_level)
    shard.row(account_id)
    arguments.an_id(number, "id")
    known = shard.state.papers.get(READ, account_id) or ()
    if number in known:
        return nothing(False)
    size = len(pack_document([ids.ID_MAX])) * (len(known) + 1)
    shard.state.papers.require_room(READ, account_id, size, not known, "id")
    return Prepared(["read_announcement", account_id, number], same)


def answer_dismissed(shard: Lookups, account_id: int) -> list[list[int]]:
    """What an account has dismissed, for itself alone: `[accounts, numbers of announcements]`."""
    shard.row(account_id)
    keys: list[int] = shard.state.shelves.view(DISMISSED, account_id)[0].tolist()
    return [keys, list(shard.state.papers.get(READ, account_id) or ())]


FEATURE = Feature(
    "dismissals",
    kinds=(DISMISSED,),
    papers=(READ,),
    writes=(
        Write("dismiss_suggestion", prepare_dismiss_suggestion),
        Write("read_announcement", prepare_read_announcement),
    ),
    reads=(Read("dismissed", answer_dismissed),),
    commands={"dismiss_suggestion": dismiss_suggestion, "read_announcement": read_announcement},
)
