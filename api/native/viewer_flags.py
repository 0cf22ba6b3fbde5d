"""`viewer=true`: what the reader has done about each tweet of an answer.

    JSON of tweets --> their ids --> the reader's shard (`viewer_flags`) --> the same JSON, with `viewer` in each tweet

Rules of this file
- Only who asks for it pays for it: his answer is read and written again, 1 us a tweet, after one more lane request. An
  answer without it goes out unread, as ever.
- It is the reader's own: a token is needed, and no cache may keep the answer (those with a token aren't kept anyway).
- A repost has it twice: for itself, and in `repost_of` for what it reposts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from actors.core.errors import UnauthorizedError
from actors.core.features.viewer_flags import FLAG_NAMES
from api.levels import require_level
from api.params import parse_flag
from api.services import Services

NAME = "viewer"
PARAMETER: dict[str, Any] = {
    "name": NAME, "in": "query", "schema": {"type": "boolean", "default": False},
    "description": "Tell in each tweet's `viewer` whether you have liked, reposted, bookmarked, pinned it, muted its"
    " author; needs a token",
}  # fmt: skip


async def for_viewer(services: Services, query: Mapping[str, str], reader_id: int, body: bytes) -> bytes:
    """Return an answer as its reader wants it. body: JSON with tweets in it; reader_id: 0 for nobody.

    Raises UnauthorizedError if nobody asks for flags, MalformedError for a value that is neither true nor false.
    """
    if not parse_flag(query, NAME):
        return body
    if not reader_id:
        raise UnauthorizedError("viewer=true needs a token: whose likes are meant?")
    require_level(services)
    answer = orjson.loads(body)
    tweets = list(_tweets_in(answer))
    if not tweets:
        return body
    columns = (
        [int(tweet["tweet_id"]) for tweet in tweets],
        [int((tweet.get("repost_of") or tweet)["tweet_id"]) for tweet in tweets],
        [int(tweet["user_id"]) for tweet in tweets],
    )
    packed = [np.array(column, dtype="<i8").tobytes() for column in columns]
    for tweet, flags in zip(tweets, await services.ask_account(reader_id, "viewer_flags", *packed), strict=True):
        tweet[NAME] = {name: bool(flags & flag) for name, flag in FLAG_NAMES.items()}
    return orjson.dumps(answer)


def _tweets_in(value: Any) -> list[dict[str, Any]]:
    """Return the tweets of an answer: in lists and objects, and those that they repost."""
    found: list[dict[str, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            if "tweet_id" in each and "counts" in each:
                found.append(each)
                waiting.append(each.get("repost_of"))
            else:
                waiting += each.values()
    return found
