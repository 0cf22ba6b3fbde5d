"""Whom one may want to know: the directory, and suggestions.

    suggestions     whom those whom one follows follow, the more of them the sooner; then who has just written, and has
                    the most followers

Rules of this file
- Nobody is shown who doesn't want to be found, and no suggestion who was dismissed, is followed, or is hidden.
- What is looked at is bounded: FOLLOWEES_ASKED of whom one follows, FOLLOWED_OF_EACH of each. The newest, both times.

Cost of suggestions: some ten lane requests at once, and showing what they find.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

import numpy as np
import orjson

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.directory import ACTIVE, NEW
from actors.core.features.dismissals import DISMISSED
from actors.core.ids import bucket_of_account
from api.levels import require_level
from api.mastodon.accounts import accounts_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation
from api.services import Services

FOLLOWEES_ASKED: Final = 10
FOLLOWED_OF_EACH: Final = 40
_LISTED_MAX: Final = 400  # of a shard, in the directory
_ORDERS: Final = {"active": ACTIVE, "new": NEW}
_FROM_LEVEL: Final = 3


async def directory(call: Call) -> Answer:
    """Accounts that want to be found: who wrote last first, or who came last."""
    order = call.params.text("order") or "active"
    if order not in _ORDERS:
        raise InvalidError(f"order must be one of {', '.join(_ORDERS)}, not {order[:30]!r}", "order")
    limit, offset = call.params.whole("limit", 40, 1, 80), call.params.whole("offset", 0, 0, _LISTED_MAX)
    listed = await _listed(call.services, _ORDERS[order], min(limit + offset, _LISTED_MAX))
    return _page(await accounts_of(call.services, listed[offset : offset + limit], call.viewer))


async def suggestions(call: Call) -> Answer:
    """Accounts one may want to follow, and why they are suggested."""
    found = await _suggested(call)
    return answer([{"source": _OLD_SOURCES[why], "sources": [why], "account": account} for account, why in found])


async def suggested_accounts(call: Call) -> Answer:
    """The same, the accounts alone."""
    return answer([account for account, _ in await _suggested(call)])


async def dismiss(call: Call) -> Answer:
    """Have an account be suggested no more."""
    await call.settle("dismiss_suggestion", call.id())
    return answer({})


_FRIENDS, _POPULAR = "friends_of_friends", "most_followed"
_OLD_SOURCES: Final = {_FRIENDS: "past_interactions", _POPULAR: "global"}  # in the words of 3.x


async def _suggested(call: Call) -> list[tuple[dict[str, Any], str]]:
    """Return accounts with the reason of each."""
    require_level(call.services, DISMISSED.from_level)
    services, viewer, limit = call.services, call.viewer, call.params.whole("limit", 40, 1, 80)
    (dismissed, _), (following, hidden) = await asyncio.gather(
        services.ask_account(viewer, "dismissed"), services.ask_account(viewer, "reader")
    )
    followed = np.frombuffer(following, dtype="<i8").tolist()
    unwanted = {viewer, *dismissed, *followed, *np.frombuffer(hidden, dtype="<i8").tolist()}
    friends = [i for i in await _followed_by_followed(call) if i not in unwanted][:limit]
    popular = [i for i in await _listed(services, ACTIVE, 2 * limit) if i not in unwanted and i not in friends]
    shown = await accounts_of(services, [*friends, *popular][: 2 * limit], viewer)
    accounts = [account for account in map(orjson.loads, shown) if account["discoverable"]]
    known = set(map(str, friends))
    rest = sorted((a for a in accounts if a["id"] not in known), key=lambda a: a["followers_count"], reverse=True)
    return [*((a, _FRIENDS) for a in accounts if a["id"] in known), *((a, _POPULAR) for a in rest)][:limit]


async def _followed_by_followed(call: Call) -> list[int]:
    """Return whom those follow whom the viewer has followed last, the most followed first."""
    services, viewer = call.services, call.viewer

    async def of(account_id: int, count: int) -> list[int]:
        args = [account_id, viewer, 0, count]
        try:
            ids, _ = await services.ask_bucket(bucket_of_account(account_id), "following", args)
        except NotFoundError:  # gone meanwhile, or a block stands between
            return []
        return list(ids)

    asked = await of(viewer, FOLLOWEES_ASKED)
    found = await asyncio.gather(*(of(account_id, FOLLOWED_OF_EACH) for account_id in asked))
    times = Counter(account_id for ids in found for account_id in ids)
    return [account_id for account_id, _ in times.most_common()]


async def _listed(services: Services, order: int, count: int) -> list[int]:
    """Return accounts of the directory, of all shards."""
    require_level(services, _FROM_LEVEL)
    cluster = services.cluster
    asked = (cluster.call_shard(shard, "directory", [order, count]) for shard in range(cluster.shard_count))
    rows = [(at_ms, account_id) for answered in await asyncio.gather(*asked) for account_id, at_ms in answered]
    return [account_id for _, account_id in sorted(rows, reverse=True)[:count]]


def _page(items: list[bytes]) -> Answer:
    return Answer(b"[" + b",".join(items) + b"]")


OPERATIONS: Final = (
    Operation("GET", "/api/v1/directory", "", "Account[]", directory),
    Operation("GET", "/api/v2/suggestions", "read:accounts", "Suggestion[]", suggestions),
    Operation("GET", "/api/v1/suggestions", "read:accounts", "Account[]", suggested_accounts),
    Operation("DELETE", "/api/v1/suggestions/{id}", "write:accounts", "", dismiss),
)
