"""Accounts as Mastodon's entity, by their ids: each is shown by its own shard, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from actors.core.errors import NotFoundError
from actors.core.features.accounts import SETTINGS_FROM_LEVEL
from actors.core.ids import bucket_of_account, bucket_of_name
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from api.fields import is_username
from api.levels import require_level
from api.native.hydration import Shown, hydrate
from api.services import Services

PRIVACIES: Final = ("public", "private", "direct", "unlisted")  # by the numbers of `AccountSettings.privacy`


class AccountSettings(NamedTuple):
    """What an account has set. flags: `actors/core/stores/account_flags.py`; privacy, language: of posts as a rule.

    bio, fields (name and value of each): as the owner wrote them.
    """

    header: str
    flags: int
    privacy: int
    language: str
    follow_request_count: int = 0
    bio: str = ""
    fields: Sequence[Sequence[str]] = ()


async def account_of(services: Services, account_id: int, viewer: int) -> bytes:
    """Return one account. Raises NotFoundError; also where a block hides it from the viewer."""
    require_level(services, MASTODON_FROM_LEVEL)
    args = [MASTODON, "cards", [[account_id], viewer]]
    (account,) = await services.ask_bucket(bucket_of_account(account_id), "shaped", args)
    if not account:
        raise NotFoundError(f"account {account_id} does not exist", "id")
    return bytes(account)


async def accounts_of(services: Services, account_ids: list[int], viewer: int) -> list[bytes]:
    """Return the accounts that a viewer (0: nobody) sees, at most 200, in the order of their ids."""
    require_level(services, MASTODON_FROM_LEVEL)

    async def ask(group: list[int]) -> list[Shown]:
        args = [MASTODON, "cards", [group, viewer]]
        cards: list[Shown] = await services.ask_bucket(bucket_of_account(group[0]), "shaped", args)
        return cards

    async def ask_one(account_id: int) -> Shown:
        (card,) = await ask([account_id])
        return card

    return await hydrate(services, account_ids, bucket_of_account, ask, ask_one)


async def settings_of(services: Services, account_id: int) -> AccountSettings:
    """Return what an account has set, for itself alone."""
    require_level(services, SETTINGS_FROM_LEVEL)
    return AccountSettings(*await services.ask_account(account_id, "settings"))


async def own_account_of(services: Services, account_id: int) -> tuple[bytes, AccountSettings]:
    """Return an account and what it has set, for itself alone: one question."""
    require_level(services, MASTODON_FROM_LEVEL)
    args = [MASTODON, "own_account", [account_id]]
    account, settings = await services.ask_bucket(bucket_of_account(account_id), "shaped", args)
    return account, AccountSettings(*settings)


async def id_of_name(services: Services, acct: str) -> int:
    """Return the account of a user name, with or without an @. Raises NotFoundError."""
    name = acct.strip().removeprefix("@").lower()
    if is_username(name):
        (account_id,) = await services.ask_bucket(bucket_of_name(name), "names", [[name]])
        if account_id:
            return int(account_id)
    raise NotFoundError("there is no account of that name", "acct")
