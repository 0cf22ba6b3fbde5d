"""An operator deletes an account: without its password, and waits until nothing is left of it.

Rules of this file
- It goes over the lane, as an API worker's request does, with a key of its own: however often it is sent, it is done
  once.
- What is left is taken back by the shards, in pieces, whether somebody waits or not.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from actors.core.errors import InvalidError, NotFoundError, OverloadedError
from actors.core.ids import ID_MAX, bucket_of_name
from actors.core.terms import FULL_FROM_LEVEL
from cluster.client.cluster_client import ClusterClient
from commands.loading import BulkLoader

KEY_BYTES: Final = 16
WAIT_S: Final = 3_600.0  # a million followers take minutes


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted. seconds: until nothing was left, 0 if nobody waited."""

    account_id: int
    username: str
    seconds: float


async def find_account(client: ClusterClient, who: str) -> tuple[int, str]:
    """Return (id, user name) of an account, given as an id or as a name, with or without an @ before it.

    Raises NotFoundError, or InvalidError for what is neither.
    """
    account_id = int(who) if who.isascii() and who.isdigit() else 0
    if account_id > ID_MAX or not who.strip("@"):
        raise InvalidError(f"{who[:40]!r} is neither an account's id nor a user name", "account")
    if not account_id:
        name = who.removeprefix("@")
        (account_id,) = await client.call(bucket_of_name(name), "names", [[name]])
    if not account_id:
        raise NotFoundError(f"there is no account {who[:40]!r}", "account")
    _, username, _ = await client.account(account_id, "account")
    return account_id, username


async def delete_account(client: ClusterClient, account_id: int, username: str, waits: bool) -> Deleted:
    """Delete an account. waits: until nothing of it is left, and no message is under way. Raises what shards raise."""
    if client.level < FULL_FROM_LEVEL:
        raise OverloadedError("the cluster is being upgraded; accounts can be deleted once all of it is")
    begin = time.perf_counter()
    key = os.urandom(KEY_BYTES)
    await client.account(account_id, "keyed", key, key, "delete_account", [account_id])
    if waits:
        await BulkLoader(client).wait_until_drained(WAIT_S)
    return Deleted(account_id, username, round(time.perf_counter() - begin, 3) if waits else 0.0)
