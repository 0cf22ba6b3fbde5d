"""An account's follows, blocks, mutes, lists and bookmarks as CSV, page by page.

    account's shard: a page of ids --> their shards: user names --> rows

Rules of this file
- For the account itself alone: whoever calls has made sure of that.
- Who is gone is in no file. Whoever was followed, blocked or muted while it was written may be missing in it.

Cost: two rounds of lane requests for each 200 rows, three for follows and mutes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

import orjson

from actors.core.cards import read_card
from actors.core.features.blocks import BLOCK, MUTE
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.relations import MUTING_NOTICES, NOTIFYING, SHOWING_REPOSTS
from actors.core.ids import bucket_of_account
from actors.core.terms import Kind
from api.mastodon.statuses import statuses_of
from api.native.hydration import Shown, hydrate
from api.portability.sorts import SORTS, Sort, written
from api.services import Services

PAGE: Final = 200  # accounts of one round: as many as `relations` and `accounts` take
STATUSES_PAGE: Final = 40


class FileOwner(NamedTuple):
    """Whose file it is. host: of addresses; origin: of URIs."""

    services: Services
    account_id: int
    host: str


async def exported(owner: FileOwner, sort: Sort) -> AsyncIterator[bytes]:
    """Yield a file in pieces."""
    if sort.header:
        yield written([sort.header])
    async for piece in _PIECES[sort.name](owner):
        yield piece


async def _follows(owner: FileOwner) -> AsyncIterator[bytes]:
    async for ids in followed(owner.services, owner.account_id):
        stands = await owner.services.ask_account(owner.account_id, "relations", ids)
        said = {
            each: (bool(bits & SHOWING_REPOSTS), bool(bits & NOTIFYING), ", ".join(languages) if languages else None)
            for each, (bits, _, languages, _) in zip(ids, stands, strict=True)
        }
        names = await addresses_of(owner, ids)
        yield written((address, *said[each]) for each, address in names.items())


async def _blocks(owner: FileOwner) -> AsyncIterator[bytes]:
    async for ids in shelved(owner.services, owner.account_id, BLOCK, PAGE):
        names = await addresses_of(owner, ids)
        yield written((address,) for address in names.values())


async def _mutes(owner: FileOwner) -> AsyncIterator[bytes]:
    async for ids in shelved(owner.services, owner.account_id, MUTE, PAGE):
        stands = await owner.services.ask_account(owner.account_id, "relations", ids)
        hides = {each: bool(row[0] & MUTING_NOTICES) for each, row in zip(ids, stands, strict=True)}
        names = await addresses_of(owner, ids)
        yield written((address, hides[each]) for each, address in names.items())


async def _lists(owner: FileOwner) -> AsyncIterator[bytes]:
    for list_id, title, *_ in await owner.services.ask_account(owner.account_id, "lists"):
        async for ids in members(owner.services, owner.account_id, list_id):
            names = await addresses_of(owner, ids)
            yield written((title, address) for address in names.values())


async def _bookmarks(owner: FileOwner) -> AsyncIterator[bytes]:
    async for ids in shelved(owner.services, owner.account_id, BOOKMARK, STATUSES_PAGE):
        statuses = await statuses_of(owner.services, ids, owner.account_id)
        yield written((orjson.loads(status)["uri"],) for status in statuses)


async def _domain_blocks(owner: FileOwner) -> AsyncIterator[bytes]:
    """Nobody blocks a server: there is no other."""
    yield b""


_PIECES: Final[dict[str, Callable[[FileOwner], AsyncIterator[bytes]]]] = {
    "follows": _follows, "blocks": _blocks, "mutes": _mutes, "lists": _lists, "bookmarks": _bookmarks,
    "domain_blocks": _domain_blocks,
}  # fmt: skip
assert _PIECES.keys() == SORTS.keys()


# ---- what an account has, page by page; imports that replace it read it, too ----------------------------------------


async def followed(services: Services, account_id: int) -> AsyncIterator[list[int]]:
    """Yield whom an account follows, the newest first."""
    cursor = 0
    while True:
        ids, cursor = await services.ask_account(account_id, "following", account_id, cursor, PAGE)
        if ids:
            yield ids
        if not cursor:
            return


async def shelved(services: Services, account_id: int, kind: Kind, count: int) -> AsyncIterator[list[int]]:
    """Yield the keys of a shelf of an account's, the newest first."""
    before, has_more = 0, True
    while has_more:
        ids, _, before, has_more = await services.ask_account(account_id, "shelf", kind.number, before, 0, 0, count)
        if ids:
            yield ids


async def members(services: Services, account_id: int, list_id: int) -> AsyncIterator[list[int]]:
    """Yield who is on a list of an account's, the last added first."""
    before = 0
    while True:
        ids, before = await services.ask_account(account_id, "members", list_id, before, PAGE)
        if ids:
            yield ids
        if not before:
            return


async def addresses_of(owner: FileOwner, account_ids: list[int]) -> dict[int, str]:
    """Return the addresses of those accounts that there are, by id, in their order; at most 200."""
    services = owner.services

    async def ask(group: list[int]) -> list[tuple[int, str] | bool | None]:
        _, facts = await services.ask_bucket(bucket_of_account(group[0]), "accounts", [group])
        return [_named(account_id, card) for account_id, card in zip(group, facts, strict=True)]

    async def ask_one(account_id: int) -> tuple[int, str] | bool | None:
        (found,) = await ask([account_id])
        return found

    pairs = await hydrate(services, account_ids, bucket_of_account, ask, ask_one)
    return {account_id: f"{name}@{owner.host}" for account_id, name in pairs}


def _named(account_id: int, card: Shown) -> tuple[int, str] | bool | None:
    if card is None or isinstance(card, bool):
        return card
    return account_id, str(read_card(account_id, card)[0].username)
