"""Accounts: who somebody is, and who follows whom."""

from __future__ import annotations

from typing import Final

from actors.core.errors import NotFoundError
from actors.core.ids import bucket_of_account
from api.links import host_of
from api.mastodon.accounts import account_of, accounts_of, id_of_name
from api.mastodon.call import Answer, Call
from api.mastodon.table import Operation

ACCOUNTS_MAX: Final = 80  # of a page of followers, as Mastodon has it


async def one(call: Call) -> Answer:
    """An account, by its id."""
    return Answer(await account_of(call.services, call.id(), call.viewer))


async def several(call: Call) -> Answer:
    """Accounts by their ids, as far as there are such."""
    return _list(await accounts_of(call.services, call.params.ids("id", 40), call.viewer))


async def lookup(call: Call) -> Answer:
    """An account, by its user name, with this server behind it or not."""
    name, _, domain = call.params.text("acct").strip().removeprefix("@").partition("@")
    if domain and domain.lower() != host_of(call.origin).lower():
        raise NotFoundError("there is no account of that name", "acct")
    account_id = await id_of_name(call.services, name)
    return Answer(await account_of(call.services, account_id, call.viewer))


async def followers(call: Call) -> Answer:
    """Who follows an account, the newest first."""
    return await _edges(call, "followers")


async def following(call: Call) -> Answer:
    """Whom an account follows, the newest first."""
    return await _edges(call, "following")


async def _edges(call: Call, op: str) -> Answer:
    """Cursors are places in the list, not ids: clients take them from the Link. They lead downwards only."""
    account_id, limit = call.id(), call.params.whole("limit", 40, 1, ACCOUNTS_MAX)
    args = [account_id, call.viewer, call.params.id("max_id"), limit]
    ids, cursor = await call.services.ask_bucket(bucket_of_account(account_id), op, args)
    shown = await accounts_of(call.services, ids, call.viewer)
    return call.page(shown, 0, cursor, bool(cursor))


async def identity_proofs(call: Call) -> Answer:
    """Proofs of who an account is elsewhere: none any more, as in Mastodon itself."""
    await account_of(call.services, call.id(), call.viewer)
    return _list([])


def _list(items: list[bytes]) -> Answer:
    return Answer(b"[" + b",".join(items) + b"]")


OPERATIONS: Final = (
    Operation("GET", "/api/v1/accounts/lookup", "", "Account", lookup),
    Operation("GET", "/api/v1/accounts/{id}", "", "Account", one),
    Operation("GET", "/api/v1/accounts", "", "Account[]", several),
    Operation("GET", "/api/v1/accounts/{id}/followers", "", "Account[]", followers),
    Operation("GET", "/api/v1/accounts/{id}/following", "", "Account[]", following),
    Operation("GET", "/api/v1/accounts/{id}/identity_proofs", "read:accounts", "IdentityProof[]", identity_proofs),
)
