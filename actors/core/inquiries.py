"""What a write has to know of a tweet first, wherever that lives: generators of inquiries to other shards.

    steps = about_tweet(...)    the tweet is here -> its answer, at once
                                it is elsewhere   -> yields an Inquiry, is sent the body, or thrown the refusal

Rules of this file
- Who acts lives here: whatever the tweet's shard has to know of him (`blocked_among`) is looked up on the spot.
- A generator changes nothing, and may be given up at any step.
- The tweet's shard decides, when it is asked; what becomes of the tweet afterwards is for messages to put right.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.errors import NotFoundError
from actors.core.terms import Inquiries, Inquiry
from actors.core.visibility import NOTHING_ASKED, is_question

if TYPE_CHECKING:
    from actors.core.lookups import Lookups


def about_tweet(shard: Lookups, account_id: int, tweet_id: int, op: str) -> Generator[Inquiry, Any, Any]:
    """Find out what a read of one tweet (`seen`, `tweet_ref`) answers an account of this shard.

    Raises NotFoundError if there is no such tweet, or the account may not see it.
    """
    row = shard.row(account_id)
    arguments.an_id(tweet_id, "tweet_id")
    if shard.state.shard_of_tweet(tweet_id) == shard.state.shard:
        return shard.reads[op].answer(shard, tweet_id, account_id, NOTHING_ASKED)
    bucket = ids.bucket_of_tweet(tweet_id)
    body = yield Inquiry(bucket, op, [tweet_id, account_id, NOTHING_ASKED])
    if is_question(body):
        asked = arguments.packed_ids(body[1], limits.ASKED_COUNT_MAX, "accounts")
        hidden = np.array(shard.visibility.blocked_among(row, asked), dtype="<i8").tobytes()
        body = yield Inquiry(bucket, op, [tweet_id, account_id, [body[1], hidden]])
    if is_question(body):  # it asks about one account, whose answer it had
        raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id")
    return body


def mark_of_seen(shard: Lookups, account_id: int, tweet_id: int) -> Inquiries:
    """Return the arguments of a mark on a tweet that the account may see. Raises NotFoundError."""
    yield from about_tweet(shard, account_id, tweet_id, "seen")
    return [account_id, tweet_id]
