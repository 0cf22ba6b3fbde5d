"""The native JSON of notifications: of a page, of a message to a webhook.

Rules: what a notification is about, and by whom it is, comes from their own shards, as its reader may see it now; what
is gone or hidden is left out. Ids are of notices, and stay.
Cost: two rounds of lane requests at the same time, one to each shard that holds something of it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from actors.core.render import created_at
from actors.core.stores.notice_words import ms_of_notice
from actors.core.terms import NOTIFICATION_TYPES
from api.native.hydration import cards_by_id, tweets_by_id
from api.ports import Asking

_SHOWN_AS: Final = {"reblog": "repost", "favourite": "like", "status": "tweet", "update": "edit"}
TYPE_NAMES: Final = tuple(_SHOWN_AS.get(name, name) for name in NOTIFICATION_TYPES)
TYPE_BITS: Final = {name: 1 << number for number, name in enumerate(TYPE_NAMES)}


async def notifications_by_id(shards: Asking, account_id: int, rows: list[list[Any]]) -> dict[int, bytes]:
    """Return the JSON of an account's notifications by id, in their order. rows: those of the lane's `notices`."""
    actors, tweet_ids = (list(dict.fromkeys(row[column] for row in rows if row[column])) for column in (3, 4))
    cards, tweets = await asyncio.gather(
        cards_by_id(shards, actors, account_id), tweets_by_id(shards, tweet_ids, account_id)
    )
    return {
        notice_id: notification_json(
            notice_id, TYPE_NAMES[type_number], cards[actor], tweets[tweet_id] if tweet_id else b"null"
        )
        for notice_id, type_number, _, actor, tweet_id in rows
        if actor in cards and (not tweet_id or tweet_id in tweets)
    }


def notification_json(notice_id: int, type_name: str, user: bytes, tweet: bytes) -> bytes:
    """Return the JSON of one notification. user, tweet: theirs, or `null`."""
    when = created_at(ms_of_notice(notice_id)).encode()
    return b'{"notification_id":"%d","type":"%b","created_at":"%b","user":%b,"tweet":%b}' % (
        notice_id, type_name.encode(), when, user, tweet,
    )  # fmt: skip
