"""Whether an account wants to be asked before it is followed: its own shard says so, whatever blocks stand between."""

from __future__ import annotations

from actors.core.cards import read_card
from actors.core.errors import NotFoundError, OverloadedError
from actors.core.ids import bucket_of_account
from actors.core.stores.account_flags import LOCKED
from api.services import Services

LOCKS_FROM_LEVEL = 3  # of the cluster


async def is_locked(services: Services, account_id: int) -> bool:
    """Return that. Raises NotFoundError if there is no such account. The cluster's level must be LOCKS_FROM_LEVEL."""
    _, (fact,) = await services.ask_bucket(bucket_of_account(account_id), "accounts", [[account_id]])
    if fact is False:
        raise OverloadedError(f"account {account_id} is moving; try again", "id", 1.0)
    if fact is None:
        raise NotFoundError(f"account {account_id} does not exist", "id")
    account, _ = read_card(account_id, fact)
    return bool(account.flags & LOCKED)
