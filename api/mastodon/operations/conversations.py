"""Conversations: the direct statuses that one has written or is mentioned in, by what they began with.

    viewer's shard: a page of rows --> statuses and accounts, as everywhere else --> joined here

Rules of this file
- Cursors of the Link are stamps of when one was heard of last, not ids: clients take them from there.
- A conversation whose last status the viewer may not see (a block came between) is left out; so is an account in it.
  Where nobody else is left it has the viewer alone, as in Mastodon.

Cost: one lane request, one round for statuses and accounts.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.by_id import Seeing, shown_of
from api.mastodon.call import Answer, Call
from api.mastodon.statuses import seen_pieces, show
from api.mastodon.table import Operation


async def every(call: Call) -> Answer:
    """Your conversations, the one first that was heard of last."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    found = await call.services.ask_account(call.viewer, "conversations", *call.window())
    rows, newest, oldest, has_more = found
    shown = [conversation for conversation, has_status in await shown_conversations(call, rows) if has_status]
    return call.page(shown, newest, oldest, has_more)


async def mark_read(call: Call) -> Answer:
    """Mark a conversation as read."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    row = await call.settle("read_conversation", call.id())
    ((conversation, _),) = await shown_conversations(call, [row])
    return Answer(conversation)


async def delete(call: Call) -> Answer:
    """Forget a conversation; its statuses stay, and the next one brings it back."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    await call.settle("drop_conversation", call.id())
    return Answer(b"{}")


async def direct(call: Call) -> Answer:
    """The direct statuses of your conversations, the newest first. Of each conversation the newest 20."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    ids, has_more = await call.services.ask_account(call.viewer, "direct_tweets", *call.window())
    shown = await show(call.services, await seen_pieces(call.services, ids, call.viewer), call.viewer)
    return call.page(shown, ids[0] if ids else 0, ids[-1] if ids else 0, has_more)


async def shown_conversations(call: Seeing, rows: list[list[Any]]) -> list[tuple[bytes, bool]]:
    """Return the JSON of conversations, each with whether the viewer may see its last status.

    rows: those of `conversations`, [root, tweet id, unread, account ids].
    """
    wanted = {call.viewer}.union(*(row[3] for row in rows))
    accounts, statuses = await shown_of(call, wanted, (row[1] for row in rows))
    shown = []
    for root, tweet_id, is_unread, others in rows:
        inside = [accounts[each] for each in others if each in accounts]
        inside = inside or [accounts[each] for each in (call.viewer,) if each in accounts]
        parts = (
            b'{"id":"%d","unread":%b,"accounts":[' % (root, b"true" if is_unread else b"false"),
            b",".join(inside),
            b'],"last_status":%b}' % statuses.get(tweet_id, b"null"),
        )
        shown.append((b"".join(parts), tweet_id in statuses))
    return shown


OPERATIONS: Final = (
    Operation("GET", "/api/v1/timelines/direct", "read:statuses", "Status[]", direct),
    Operation("GET", "/api/v1/conversations", "read:statuses", "Conversation[]", every),
    Operation("DELETE", "/api/v1/conversations/{id}", "write:conversations", "", delete),
    Operation("POST", "/api/v1/conversations/{id}/read", "write:conversations", "Conversation", mark_read),
)
