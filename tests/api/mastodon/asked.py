"""How often an operation asks about one account: it is counted at each request, and held to a table.

A question is a lane request whose key is an account. Each costs the worker some 35 us, and a round if one waits for the
other; so a read asks once and a write is read back, and what asks more often stands here, with the reason. Not counted
is what a worker asks once (whether a token is good, filters), what only some pages need (votes in polls), and what it
takes to answer a request with a key once (`api/once.py`); nor what depends on which shards have what: whom a reader of
another shard is hidden from, and accounts, which are asked for by shard.
"""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from typing import Any, Final

import pytest

from actors.core.features import READS, WRITES
from actors.core.terms import Key
from api.mastodon.app import MastodonApi
from tests.api.core_cluster import CoreCluster

NOT_COUNTED: Final = ("token_scopes", "filters", "votes", "answered", "keyed", "blocked_among")
A_READ, A_WRITE = 1, 2
_FLAGGED: Final = 2  # which statuses there are says the account, and what it has done about them can be asked then
MORE: Final[dict[str, int]] = {
    **dict.fromkeys((
        "GET /api/v1/bookmarks", "GET /api/v1/favourites", "GET /api/v1/notifications",
        "GET /api/v1/notifications/{id}", "GET /api/v1/notifications/requests",
        "GET /api/v1/notifications/requests/{id}", "GET /api/v1/timelines/direct",
        "GET /api/v1/timelines/tag/{hashtag}", "GET /api/v1/trends/statuses", "GET /api/v2/notifications",
        "GET /api/v2/notifications/{group_key}", "GET /api/v1/statuses/{id}/quotes",
        "GET /api/v1/statuses/{id}/context",
    ), _FLAGGED),
    "GET /api/v1/conversations": 2,
    "GET /api/v1/accounts/{id}/statuses": 6,  # more until a page of chosen ones is full; flags, of one's own statuses
    "GET /api/v1/mutes": 2,  # pages of ids, of which more is asked then
    "GET /api/v1/followed_tags": 2,
    "GET /api/v1/featured_tags": 2,  # how tags are used is counted only where some are featured
    "GET /api/v1/accounts/{id}/featured_tags": 2,
    "GET /api/v1/featured_tags/suggestions": 3,
    "POST /api/v1/featured_tags": 3,
    "GET /api/v1/profile": 3,
    "PATCH /api/v1/profile": 4,
    "GET /api/v1/suggestions": 3,
    "GET /api/v2/suggestions": 3,
    "GET /api/v1/accounts/search": 3,  # a reader for each search of which it is made; could be asked once
    "GET /api/v2/search": 5,
    "GET /api/v2/notifications/policy": 2,  # could be one
    "GET /api/v2/notifications/unread_count": 3,  # of what is grouped, where not all of it is
    "POST /api/v1/accounts/{id}/follow": 3,  # what a follow that is one already lets be changed
    "POST /api/v1/accounts/{id}/unfollow": 3,  # a follow, or what asks for one
    "POST /api/v1/statuses": 4,  # what posts are as a rule; flags once more of what is quoted
    "DELETE /api/v1/statuses/{id}": 3,  # answered as it was, with what it quotes
    "POST /api/v1/statuses/{id}/unmute": 3,  # the marks of the conversation are found first
    "POST /api/v1/statuses/{id}/unbookmark": 3,  # of the boost, and of what it boosts
    "POST /api/v1/statuses/{id}/unfavourite": 3,
}  # fmt: skip
JOINED: Final = ("home", "list_timeline")  # reads of an account that have no row
_asked: ContextVar[list[tuple[int, str]] | None] = ContextVar("asked", default=None)


def count_questions(patch: pytest.MonkeyPatch) -> list[str]:
    """Count from now on; returns what will say which operations have asked too often."""
    over: list[str] = []
    run, call = MastodonApi._run, CoreCluster.call

    async def run_counted(self: MastodonApi, found: Any, scope: Any, receive: Any, send: Any) -> None:
        asked: list[tuple[int, str]] = []
        before = _asked.set(asked)
        try:
            await run(self, found, scope, receive, send)
        finally:
            _asked.reset(before)
        name = f"{found.operation.method} {found.operation.path}"
        for account_id, count in Counter(account_id for account_id, _ in asked).items():
            if count > MORE.get(name, A_READ if found.operation.method == "GET" else A_WRITE):
                ops = [op for of, op in asked if of == account_id]
                over.append(f"{name} asks about account {account_id} {count} times: {', '.join(ops)}")

    async def call_noted(
        self: CoreCluster, bucket: int, op: str, args: list[Any], timeout_s: float | None = None
    ) -> Any:
        asked, account_id = _asked.get(), account_of(op, args)
        if asked is not None and account_id:
            asked.append((account_id, args[1] if op == "shaped" else op))
        return await call(self, bucket, op, args, timeout_s)

    patch.setattr(MastodonApi, "_run", run_counted)
    patch.setattr(CoreCluster, "call", call_noted)
    return over


def account_of(op: str, args: list[Any]) -> int:
    """Return the account that a request is about, 0 if it isn't about a single one."""
    if op == "shaped":
        _, op, args = args
    row = WRITES.get(op) or READS.get(op)
    is_of_account = op in JOINED if row is None else row.key is Key.ACCOUNT
    return int(args[0]) if is_of_account and op not in NOT_COUNTED else 0
