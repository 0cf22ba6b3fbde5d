"""How many followers, followed and statuses an account of this shard has, as others are told.

Rules of this file
- Counted is what everybody may know of: a profile must not tell that there are tweets for others. Followers and
  followed are counted with those who are hidden from whoever reads, as everywhere.
- Nothing is kept: lengths of lists that are there. What was made of them is dropped by whoever changes one of them
  (`People.changed`): `follows.py`, `tweets.py`, `timelines/arriving.py`.

Cost: 1 us; of an author whose newest tweets aren't public 0.2 us more for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import ids
from actors.core.flags import FLAGS_PRIVATE
from actors.core.stores.people import AccountCounts

if TYPE_CHECKING:
    from actors.core.state import ShardState

LOOKED_AT_MAX: Final = 1_000  # tweets that aren't public, behind which the last public one isn't looked for


def counts_of(state: ShardState, row: int) -> AccountCounts:
    """Return the counts of an account of this shard."""
    graph, tweets = state.graph, state.tweets
    for_others = int(tweets.log.length[row]) - sum(tweets.private.get(row, (0, 0)))
    followers, following = int(graph.followers.length[row]), int(graph.following.length[row])
    return AccountCounts(followers, following, for_others, _last_ms(state, row) if for_others else 0)


def _last_ms(state: ShardState, row: int) -> int:
    """Return when the newest public tweet of an account was made, 0 if it lies too far back."""
    tweets = state.tweets
    newest = tweets.log.view(row)[: -LOOKED_AT_MAX - 1 : -1]
    if row not in tweets.private:
        return ids.ms_of_tweet(int(newest[0]))
    flags, slot_of = tweets.columns["flags"], tweets.slot_of
    public = (tweet_id for tweet_id in newest.tolist() if not flags[slot_of[tweet_id]] & FLAGS_PRIVATE)
    tweet_id = next(public, 0)
    return ids.ms_of_tweet(tweet_id) if tweet_id else 0
