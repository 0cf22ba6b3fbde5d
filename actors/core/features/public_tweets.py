"""The public timeline: the newest public tweets of this shard's accounts that answer nobody, whoever follows whom.

    API worker --> `public_tweets` of every shard --> merged by id

Rules of this file
- What strangers may see: public originals, without those of accounts between which and the reader a block stands.
  Whom the reader has muted only his shard knows: whoever asks leaves these out by his flags.
- The newest PUBLIC_COUNT_MAX of each shard: the timeline has an end (`stores/public_tweets.py`).
- A read looks at PUBLIC_LOOKED_COUNT_MAX at most. Where it stops before it has found as many as it should, it says at
  which id, and whoever asked takes nothing beyond.
- In the shape of Mastodon's API, so from level 3 of the cluster on.

Cost: 5 us, and 1 us a tweet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, ids, limits
from actors.core.terms import Feature, Key, Read
from actors.core.visibility import reader_facts

if TYPE_CHECKING:
    from actors.core.entries import Entry
    from actors.core.lookups import Lookups


def answer_public_tweets(shard: Lookups, viewer: int, max_id: int, since_id: int, min_id: int, count: int) -> list[Any]:
    """A page of this shard's public timeline, newest first: `[tweets, id at which it stopped early, or 0]`.

    max_id, since_id: exclusive, 0 for none; min_id: the page right after it. What is at the id where it stopped, and
    beyond (below it, with min_id above), wasn't looked at.
    """
    shard.require_level(3)
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    wanted = arguments.page_count(count)
    known = shard.state.tweets.public.ids()
    begin, end = np.searchsorted(known, [max(since_id, min_id) + 1, max_id or ids.ID_MAX])
    looked = known[begin:end]
    looked = looked[: limits.PUBLIC_LOOKED_COUNT_MAX] if min_id else looked[::-1][: limits.PUBLIC_LOOKED_COUNT_MAX]
    found, last_id = _seen(shard, viewer, looked.tolist(), wanted)
    stopped = last_id if len(found) < wanted and len(looked) < end - begin else 0
    return [shard.home.shape.listed(found[::-1] if min_id else found), stopped]


def _seen(shard: Lookups, viewer: int, tweet_ids: list[int], count: int) -> tuple[list[Entry], int]:
    """Return the first of some tweets that a viewer may see, and the last that was looked at. Forgets what is gone."""
    state, known = shard.state, reader_facts(viewer)
    found: list[Entry] = []
    gone: list[int] = []
    last_id = 0
    for last_id in tweet_ids:
        entry = state.tweets.get(last_id)
        if entry is None:
            gone.append(last_id)
        elif state.shard_of_tweet(last_id) == state.shard and shard.may_see(known, entry):
            found.append(entry)
            if len(found) == count:
                break
    if gone:
        state.tweets.public.drop(gone)
    return found, last_id


FEATURE = Feature("public_tweets", reads=(Read("public_tweets", answer_public_tweets, Key.SHARD, shaped=True),))
