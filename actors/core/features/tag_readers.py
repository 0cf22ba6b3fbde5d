"""Hashtags that somebody on a shard follows: their tweets come from all shards, as a pull author's come from one.

    first follower of a tag here, or last  --tag_wanted--> all shards: who wants it
                                           <--tag_filled-- the newest tweets that have it --> the tag's log
    a tweet with a wanted tag              --tweet(s)----> the shards that want it, beside those with a follower
    an edit that gives a tweet the tag     --tag_filled--> the same shards (one that takes it: `edited`)

Rules of this file
- Whoever is here counts, also who is on his way here or away, or leaving: what a move brings is wanted by then, and
  what it takes is wanted until it is swept. So neither moves nor deletions have a rule of their own.
- Nothing is told while a shard is frozen: messages have drained then, and all of it is told after the `thaw`, when
  every shard has the new map. Nor by a shard without a bucket: it may be given up, and be forgotten by the others, at
  any moment. A shard that was added is told when its map comes.
- A log begins empty, complete above the ids that the shards' answers say. Until they have come it may lack tweets, as
  any timeline may until messages have drained.
- Which tags are wanted, and by whom, is part of the state; what lies in a log is a cache.
- From level 3 of the cluster on.

Costs: a message a shard for the first follower, and one with TAG_LOG_COUNT_MAX tweets back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import ids, limits
from actors.core.entries import Entry
from actors.core.errors import OverloadedError
from actors.core.hashtags import tags_in
from actors.core.terms import Effect, Feature, To
from actors.core.timelines.arriving import arrive, newest_tagged

if TYPE_CHECKING:
    from actors.core.state import ShardState


def tell_wanted_tags(state: ShardState) -> None:
    """Tell all shards which tags have their first follower here, or no more."""
    if state.frozen or not _has_buckets(state):
        return
    touched = sorted(state.graph.tags_touched)
    state.graph.tags_touched.clear()
    for tag in touched:
        is_wanted = tag in state.graph.tag_readers
        if is_wanted != (tag in state.tag_logs.logs):
            if is_wanted:
                state.tag_logs.start(tag, 0)
            else:
                state.tag_logs.drop(tag)
            state.tell_all(list(range(state.shard_count)), TAG_WANTED, tag, is_wanted)


def tell_shards_of_tags(state: ShardState, count_before: int) -> None:
    """Tell shards that have come which tags are wanted here; forget what those wanted that have gone.

    count_before: how many shards there were.
    """
    for shard in range(count_before, state.shard_count):
        for tag in sorted(state.tag_logs.logs) if shard != state.shard else ():
            state.tell(shard, TAG_WANTED, tag, True)
    for tag in [tag for tag, shards in state.tag_shards.items() if max(shards) >= state.shard_count]:
        _forget(state, tag, set(range(state.shard_count, count_before)))


def _forget(state: ShardState, tag: int, shards: set[int]) -> None:
    known = state.tag_shards.get(tag, set())
    known -= shards
    if not known:
        state.tag_shards.pop(tag, None)


def _has_buckets(state: ShardState) -> bool:
    return bool((state.owner == state.shard).any())


def on_tag_wanted(state: ShardState, source: int, tag: int, on: bool) -> None:
    """Send a shard the newest tweets with a tag, and those that come from now on; or no longer."""
    if not on:
        _forget(state, tag, {source})
        return
    state.tag_shards.setdefault(tag, set()).add(source)
    entries, above = newest_tagged(state, [tag], ids.ID_MAX, 0, state.tag_logs.keep)
    if (entries or above) and _has_buckets(state):
        state.tell(source, TAG_FILLED, tag, [list(e) for e in entries], above)


def on_tag_filled(state: ShardState, source: int, tag: int, entries: list[Any], above: int) -> None:
    """Put tweets into the log of a tag, complete above the id `above`, if that is wanted still."""
    log = state.tag_logs.logs.get(tag)
    if log is None:
        return
    log.floor = max(log.floor, above)
    for fields in reversed(entries):
        entry = Entry(*fields)
        state.tag_logs.put(tag, arrive(state, entry)[0], entry.tweet_id)


def tell_new_tags(state: ShardState, tweet_id: int, before: Entry) -> None:
    """Send an own tweet that was edited to the shards that want a tag which it didn't have. before: as it was."""
    entry = state.tweets.get(tweet_id) if state.tag_shards else None
    if entry is not None:
        known = tags_in(before.flags, before.body)
        for tag in tags_in(entry.flags, entry.body):
            shards = state.tag_shards.get(tag)
            if shards and tag not in known:
                state.tell_all(sorted(shards), TAG_FILLED, tag, [list(entry)], 0)


def require_room_for_tag(state: ShardState, tag: int) -> None:
    """Raise OverloadedError if a shard's accounts follow as many tags as they may, and not this one."""
    if tag not in state.graph.tag_readers and len(state.graph.tag_readers) >= limits.WANTED_TAGS_COUNT_MAX:
        raise OverloadedError(f"accounts of this shard follow {limits.WANTED_TAGS_COUNT_MAX} hashtags, its limit")


TAG_WANTED: Final = Effect("tag_wanted", on_tag_wanted, To.ALL, ("tag", "on"))
TAG_FILLED: Final = Effect("tag_filled", on_tag_filled, To.ASKER, ("tag", "entries", "above"))

FEATURE = Feature("tag_readers", effects=(TAG_WANTED, TAG_FILLED))
