"""What a shard knows of media, for operators: which objects the store must have, which it may, which are to go.

Rules of this file
- It goes on by row number and tweet, and rows differ between replicas: the primary alone is asked.
- Bodies are read a bounded number at a time, whoever has written so many.

Cost: 1.2 us a tweet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.attachments import Attachment
from actors.core.facts import Facts, read_facts
from actors.core.features.blobs import BLOB
from actors.core.features.media import FROM_LEVEL, MEDIA, PICTURE_FIELDS, PROCESSING, READY, attachment_of, read_medium
from actors.core.features.scheduled import BODY, SCHEDULED
from actors.core.media_names import picture_media_id, picture_names, prefix_of
from actors.core.terms import Feature, Key, Read

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState
    from actors.core.stores.people import Account

WORKED_ON, HELD, GOING = range(3)
"""Of a medium: somebody may write objects of it; its objects must be there; they are to be removed."""
GOING_COUNT_MAX: Final = 200_000  # 2 MB of an answer; of more that are to go a check sees orphans, and is right


def media_held(shard: Lookups, first_row: int, after_tweet: int, count: int) -> list[Any]:
    """Media of some accounts: `[next row, after tweet, [[media_id, what, [object, ...]], ...]]`, row 0 at the end.

    what: 0 it is being processed; 1 these objects are to be there; 2 they are to go, of the whole shard with row 0 and
    tweet 0. count: tweets that are looked at. From level 3 on.
    """
    shard.require_level(FROM_LEVEL)
    arguments.whole(first_row, 0, ids.ID_MAX, "first_row")
    arguments.an_id_or_zero(after_tweet, "after_tweet")
    arguments.whole(count, 1, limits.MEDIA_LISTED_COUNT_MAX, "count")
    state, found = shard.state, list[list[Any]]()
    if not first_row and not after_tweet:
        found += [[media_id, GOING, []] for media_id in _going(state)]
    for row in range(first_row, state.people.row_count):
        account = state.people.accounts[row]
        if not _is_here(state, account.account_id, row):
            continue  # free, or another shard's
        if not after_tweet:
            found += _beside_tweets(state, account)
        log = state.tweets.log.view(row) if state.tweets.log.klass[row] >= 0 else np.zeros(0, dtype=np.int64)
        begin = int(np.searchsorted(log, after_tweet, side="right"))
        tweet_ids = log[begin : begin + count].tolist()
        for tweet_id in tweet_ids:
            entry = state.tweets.get(tweet_id)
            if entry is not None:
                found += _held_by(read_facts(entry.body))
        count -= len(tweet_ids)
        if count <= 0:
            return [row, tweet_ids[-1], found]
        after_tweet = 0
    return [0, 0, found]


def _is_here(state: ShardState, account_id: int, row: int) -> bool:
    return state.people.row_of.get(account_id) == row or state.people.leaving.get(account_id) == row


def _going(state: ShardState) -> list[int]:
    going = [media_id for media_id, number in state.things.kind_of.items() if number == BLOB.number]
    own = [media_id for media_id in going if state.shard_of_thing(media_id) == state.shard]
    return own[:GOING_COUNT_MAX]


def _held_by(facts: Facts) -> list[list[Any]]:
    """Return the media of a tweet, the picture of its preview among them."""
    held, preview = [_held(medium) for medium in facts.attachments], facts.preview
    if preview is not None and preview.picture:
        held.append([preview.media_id, HELD, [prefix_of(preview.media_id) + preview.picture[0]]])
    return held


def _held(medium: Attachment) -> list[Any]:
    return [medium.media_id, HELD, [prefix_of(medium.media_id) + row[0] for row in medium.renditions]]


def _beside_tweets(state: ShardState, account: Account) -> Iterator[list[Any]]:
    """Yield what an account has uploaded, scheduled and shows of itself."""
    for media_id in state.papers.keys(MEDIA, account.account_id):
        medium = read_medium(state.papers.get(MEDIA, account.account_id, media_id))
        if medium.state == READY:
            yield _held(attachment_of(medium))
        elif medium.state == PROCESSING:
            yield [media_id, WORKED_ON, []]
    for scheduled_id in state.papers.keys(SCHEDULED, account.account_id):
        body = state.papers.get(SCHEDULED, account.account_id, scheduled_id)[BODY]
        yield from _held_by(read_facts(body))
    for name in PICTURE_FIELDS:
        names = picture_names(getattr(account, name))
        media_id = picture_media_id(getattr(account, name))
        if names is not None and media_id:
            yield [media_id, HELD, sorted(set(names))]


FEATURE = Feature("media_held", reads=(Read("media_held", media_held, Key.SHARD, from_followers=False),))
