"""Making an account: its id is drawn in the bucket of its name, so that both are on one shard from the start."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from actors.core.errors import ForbiddenError
from actors.core.features.approvals import FROM_LEVEL as APPROVALS_FROM_LEVEL
from actors.core.ids import ID_MAX, bucket_of_name, buckets_of_accounts
from api.access.auth import make_token
from api.access.password_line import Asker
from api.levels import require_level
from api.services import Services

_DRAW_COUNT = 4_096  # four ids a bucket: one draw misses once in 55 times, and takes 60 us


class NewAccount(NamedTuple):
    """What was made. token: of the account, for everything; empty if none was asked for."""

    account_id: int
    token: str
    password_hash: str


def draw_account_id(bucket: int) -> int:
    """Return a random positive 63-bit id that lives in that bucket. Cost: 60 us."""
    while True:
        ids = np.frombuffer(os.urandom(8 * _DRAW_COUNT), dtype=np.int64) & ID_MAX
        fitting = ids[(buckets_of_accounts(ids) == bucket) & (ids > 0)]
        if len(fitting):
            return int(fitting[0])


def require_open(services: Services, at_once: bool = False) -> None:
    """Raise ForbiddenError where nobody may register (`registrations.mode`). at_once: without anybody's approval."""
    mode = services.settings.registrations
    if mode == "closed":
        raise ForbiddenError("nobody can register here: registrations are closed")
    if mode == "approval":
        require_level(services, APPROVALS_FROM_LEVEL)
        if at_once:
            raise ForbiddenError("an operator lets people in here: ask for an account at /auth/sign_up")


async def register(
    services: Services, address: str, username: str, password: str, display_name: str = "", bio: str = "",
    named: list[str] | None = None, waits: bool = False,
) -> NewAccount:  # fmt: skip
    """Make an account. address: from where; named: what its token is called, if anything; None: it gets no token yet;
    waits: it gets no password yet, either, as somebody has to approve it first.

    Values are what `fields.py` has let pass, and `require_open` was asked. Raises ConflictError if the name is taken,
    RateLimitedError or OverloadedError when too many wait for a password's hash.
    """
    bucket = bucket_of_name(username)
    account_id = draw_account_id(bucket)
    token, secret_hash = ("", b"") if named is None else make_token(account_id)
    password_hash = await services.passwords.hash(password, Asker(address, username.lower()))
    own_hash, tokens = None if waits else password_hash, [secret_hash] if token else []
    row = [username, account_id, display_name, bio, own_hash, tokens, *(named or ())]
    account_id = await services.ask_bucket(bucket, "register", row)
    services.logins.remember(username.lower(), address)
    return NewAccount(account_id, token, password_hash)
