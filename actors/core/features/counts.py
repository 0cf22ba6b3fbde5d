"""Counts of tweets: kept by the tweet's shard, told to all others from time to time.

Rules of this file
- A count changes by messages of the shards whose accounts like, repost and reply; `flush_counts` tells the new ones to
  every shard in one message each, so a timeline shows them some moments later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.core.features.edited_copies import tell_edits
from actors.core.terms import Effect, Feature, To

if TYPE_CHECKING:
    from actors.core.state import ShardState


def flush_counts(state: ShardState) -> int:
    """Send the counts that changed since the last flush to every shard, in one message each."""
    rows: list[list[int]] = []
    arriving: dict[int, None] = {}
    for tweet_id in state.dirty_counts:
        entry = state.tweets.get(tweet_id)
        if state.shard_of_tweet(tweet_id) != state.shard:
            arriving[tweet_id] = None  # its present owner tells of it, and later counts than these
        elif entry is not None:
            rows.append([tweet_id, entry.replies, entry.reposts, entry.likes])
    state.dirty_counts = arriving
    if rows:
        state.tell_all(list(range(state.shard_count)), COUNTS, rows)
    return len(rows)


def count(state: ShardState, tweet_id: int, name: str, step: int) -> bool:
    """Add to a count of an own tweet and have it told with the next flush; False if there is no such tweet."""
    if not state.tweets.count(tweet_id, name, step):
        return False
    state.dirty_counts[tweet_id] = None
    state.note_tweet(tweet_id, False)
    return True


def on_counts(state: ShardState, source: int, rows: list[list[int]]) -> None:
    """Show newer counts on tweets that have arrived here. Row: [tweet_id, replies, reposts, likes]."""
    for tweet_id, replies, reposts, likes in rows:
        if state.arrivals.set_counts(tweet_id, replies, reposts, likes):
            state.changes.arrivals.add(tweet_id)


def on_count_ask(state: ShardState, source: int, tweet_ids: list[int]) -> None:
    """Answer with the counts of own tweets, with what was edited, and with `deleted` for those that are gone."""
    found = [e for t in tweet_ids if (e := state.tweets.get(t)) is not None]
    if found:
        state.tell(source, COUNTS, [[e.tweet_id, e.replies, e.reposts, e.likes] for e in found])
    tell_edits(state, source, tweet_ids)
    for tweet_id in tweet_ids:
        if tweet_id not in state.tweets:
            state.send(source, ["deleted", tweet_id])


COUNTS = Effect("counts", on_counts, To.ALL, ("count_rows",))
COUNT_ASK = Effect("count_ask", on_count_ask, To.TWEET, ("tweets",))

FEATURE = Feature(
    "counts",
    commands={"flush_counts": flush_counts},
    effects=(COUNTS, COUNT_ASK),
)
