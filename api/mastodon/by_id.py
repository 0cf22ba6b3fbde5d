"""Accounts and statuses that an answer names, by their ids: each asked for once, all at the same time.

Rule: what its reader may not see, or is gone, is in none of them; whoever asked leaves it out of the answer.
Cost: one round for accounts and statuses, of 200 accounts a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import orjson

from actors.core.features.filters import EVERYWHERE
from actors.core.limits import CARDS_COUNT_MAX
from api.mastodon.accounts import accounts_of
from api.mastodon.statuses import seen_pieces, show
from api.services import Services


class Seeing(Protocol):
    """Who is shown something: a call, or a stream."""

    @property
    def services(self) -> Services:
        """What asks the shards."""
        ...

    @property
    def viewer(self) -> int:
        """The account, 0 for nobody."""
        ...


class Shown(NamedTuple):
    """JSON by id, of what a reader may see."""

    accounts: Mapping[int, bytes]
    statuses: Mapping[int, bytes]


async def shown_of(
    call: Seeing, account_ids: Iterable[int], tweet_ids: Iterable[int], place: int = EVERYWHERE
) -> Shown:
    """Return those accounts and statuses that the caller may see. tweet_ids: 0 is none.

    place: where the statuses are shown, as filters name it (`filtering.CONTEXTS`).
    """
    accounts, statuses = await asyncio.gather(
        _accounts(call, sorted(set(account_ids))), _statuses(call, sorted(set(tweet_ids) - {0}), place)
    )
    return Shown(accounts, statuses)


async def _accounts(call: Seeing, account_ids: list[int]) -> dict[int, bytes]:
    parts = [account_ids[at : at + CARDS_COUNT_MAX] for at in range(0, len(account_ids), CARDS_COUNT_MAX)]
    found = await asyncio.gather(*(accounts_of(call.services, part, call.viewer) for part in parts))
    return {int(orjson.loads(account)["id"]): account for part in found for account in part}


async def _statuses(call: Seeing, tweet_ids: list[int], place: int) -> dict[int, bytes]:
    pieces = await seen_pieces(call.services, tweet_ids, call.viewer)
    statuses = await show(call.services, pieces, call.viewer, place)
    return {tweet.tweet_id: status for tweet, status in zip(pieces, statuses, strict=True)}
