"""An operator lets accounts in that wait for approval (`registrations.mode=approval`), or looks who does.

Rules of this file
- It goes over the lane, as an API worker's request does. Who was let in already is told so.
- Nobody is turned down here: `delete` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cluster.client.cluster_client import ClusterClient
from commands.deleting import find_account

LISTED_PER_SHARD_MAX: Final = 800  # as many as one answer may hold


@dataclass(frozen=True, slots=True)
class WaitingAccount:
    """An account that waits. since_ms: Unix ms."""

    account_id: int
    username: str
    reason: str
    since_ms: int


async def list_waiting(client: ClusterClient) -> list[WaitingAccount]:
    """Return who waits, those first who have waited longest; of each shard LISTED_PER_SHARD_MAX at most."""
    found: list[WaitingAccount] = []
    for shard in range(client.shard_count):
        rows = await client.call_shard(shard, "waiting", [LISTED_PER_SHARD_MAX])
        found += [WaitingAccount(*row) for row in rows]
    return sorted(found, key=lambda account: (account.since_ms, account.account_id))


async def approve_account(client: ClusterClient, who: str) -> tuple[int, str]:
    """Let an account in, by its id or user name; return both. Raises NotFoundError if it doesn't wait."""
    account_id, username = await find_account(client, who)
    await client.account(account_id, "approve")
    return account_id, username
