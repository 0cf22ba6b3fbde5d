"""What a shard's push says: `heard` of docs/lane.md, as events.

    [shard, number, kind, item, who, [[topics, accounts, flags], ...], tweet, native, more] --> [Addressed, ...]

Rules of this file
- An event for each address: its topics are those of the address. They share what was parsed.

Cost: 3 us, and 0.05 us an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from actors.core.heard import CONVERSATION, DELETE, EDIT, FILTERS, NOTICE, RELATIONS, TWEET
from actors.core.joining import TweetPieces
from api.streaming import events
from api.streaming.events import Event

_KINDS: Final[Mapping[int, str]] = {
    TWEET: events.UPDATE, DELETE: events.DELETE, EDIT: events.STATUS_UPDATE, NOTICE: events.NOTIFICATION,
    CONVERSATION: events.CONVERSATION, FILTERS: events.FILTERS_CHANGED, RELATIONS: "",
}  # fmt: skip


NONE: Final[frozenset[int]] = frozenset()


class Addressed(NamedTuple):
    """An event and whom it is for. accounts: none where it is for whoever listens to its topics; flags: by account.

    hidden: whom those accounts hide from now on, in place of an event; without: accounts that don't hear it.
    """

    event: Event
    accounts: list[int]
    flags: Mapping[int, bytes]
    hidden: frozenset[int] | None = None
    without: frozenset[int] = frozenset()
    packed: bytes | None = None  # accounts, as they came

    def flags_of(self, account_id: int) -> bytes | None:
        """Return what an account has done about the event's tweet, None for nothing."""
        return self.flags.get(account_id)


def hidden_in(packed: bytes) -> frozenset[int]:
    """Return accounts out of int64 bytes."""
    return NONE if not packed else frozenset(np.frombuffer(packed, dtype="<i8").tolist())


def read_push(value: list[Any]) -> list[Addressed]:
    """Return what a push says. Raises TypeError, ValueError, LookupError for what is none."""
    shard, number, kind, item, who, addresses, tweet, native, more = value
    pieces = None if tweet is None else TweetPieces.of(tweet)
    is_tweet = kind in (TWEET, DELETE, EDIT)
    newest = more or 0 if kind == CONVERSATION else 0
    found = []
    for topics, packed, given in addresses:
        event = Event(
            _KINDS[kind], frozenset(topics), pieces, native, item if is_tweet else newest, who if is_tweet else 0,
            more if kind == NOTICE else None, item if kind == CONVERSATION else 0, shard, number,
        )  # fmt: skip
        if packed is None:
            found.append(Addressed(event, [], {}, None, frozenset() if given is None else hidden_in(given)))
            continue
        accounts = np.frombuffer(packed, dtype="<i8").tolist()
        flags = {} if given is None else _flags_by_account(accounts, given)
        hides = hidden_in(more) if kind == RELATIONS else None
        found.append(Addressed(event, accounts, flags, hides, packed=packed))
    return found


def _flags_by_account(accounts: list[int], given: bytes) -> dict[int, bytes]:
    """Return the flags of those that have done anything. given: as many bytes for each account."""
    width = len(given) // len(accounts)
    each = (given[at : at + width] for at in range(0, len(given), width))
    return {account_id: flags for account_id, flags in zip(accounts, each, strict=True) if any(flags)}
