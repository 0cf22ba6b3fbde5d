"""Relationships: how the viewer stands to other accounts, as Mastodon's entity. All from the viewer's own shard.

Rules of this file
- What there is none of is left out; whether there is an account its own shard says, whatever blocks stand between.
- Nobody's own relationship is anybody else's to know: it is asked for by the token's account alone.

Cost: one lane request; for those of ids that a client gives one more to each shard of theirs, at the same time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from actors.core.features import relations as bits
from actors.core.ids import bucket_of_account
from actors.core.renderers.timestamps import timestamp
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.native.locks import is_locked
from api.services import Services


async def relationships_of(services: Services, viewer: int, account_ids: list[int]) -> list[dict[str, Any]]:
    """Return how a viewer stands to some accounts, at most 200, in their order, whether they exist or not."""
    require_level(services, MASTODON_FROM_LEVEL)
    if not account_ids:
        return []
    found = await services.ask_account(viewer, "relations", account_ids)
    return [_relationship(each, *row) for each, row in zip(account_ids, found, strict=True)]


async def existing(services: Services, account_ids: list[int]) -> list[int]:
    """Return those accounts that there are, in their order."""
    by_shard: dict[int, list[int]] = {}
    for each in account_ids:
        by_shard.setdefault(services.cluster.shard_of(bucket_of_account(each)), []).append(each)
    groups = list(by_shard.values())
    asked = (services.ask_bucket(bucket_of_account(group[0]), "accounts", [group]) for group in groups)
    gone: set[int] = set()
    for group, (_, facts) in zip(groups, await asyncio.gather(*asked), strict=True):
        gone.update(each for each, fact in zip(group, facts, strict=True) if fact is None)
    return [each for each in account_ids if each not in gone]


async def require_account(services: Services, account_id: int) -> None:
    """Raise NotFoundError if there is no such account."""
    require_level(services, MASTODON_FROM_LEVEL)
    await is_locked(services, account_id)


def _relationship(account_id: int, said: int, note: str, languages: list[str] | None, ends_ms: int) -> dict[str, Any]:
    return {
        "id": str(account_id), "following": bool(said & bits.FOLLOWING),
        "showing_reblogs": bool(said & bits.SHOWING_REPOSTS), "notifying": bool(said & bits.NOTIFYING),
        "languages": languages, "followed_by": bool(said & bits.FOLLOWED_BY), "blocking": bool(said & bits.BLOCKING),
        "blocked_by": bool(said & bits.IS_BLOCKED), "muting": bool(said & bits.MUTING),
        "muting_notifications": bool(said & bits.MUTING_NOTICES),
        "muting_expires_at": timestamp(ends_ms) if ends_ms else None, "requested": bool(said & bits.REQUESTED),
        "requested_by": bool(said & bits.REQUESTED_BY), "domain_blocking": False,
        "endorsed": bool(said & bits.ENDORSED), "note": note,
    }  # fmt: skip
