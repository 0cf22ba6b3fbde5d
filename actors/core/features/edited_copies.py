"""Copies of a tweet that has changed: wherever one lies, it says what the tweet says.

    edit (edits.py) --edited--> all shards: arrivals of the tweet; packed copies of it in reposts, stored and arrived
    preview (previews.py) --previewed--> all shards: the same
    a repost that carries an older text --count_ask--> the tweet's shard --one of the two--> whoever asked (`counts.py`)

Rules of this file
- Copies of a tweet are told of an edit as of its counts, by its own shard, in order. A copy that came by another way,
  with a repost, is asked for again, so whichever comes first, the last text stays.

Cost: on each shard a look at all its arrivals for reposts of the tweet: 0.5 us a thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import ids
from actors.core.entries import Entry, pack, unpack
from actors.core.facts import read_facts
from actors.core.heard import EDIT
from actors.core.link_previews import FROM_LEVEL as PREVIEWS_FROM_LEVEL
from actors.core.terms import Effect, Notified, Notifies, To

if TYPE_CHECKING:
    from actors.core.state import ShardState


def on_edited(state: ShardState, source: int, tweet_id: int, actor: int, at_ms: int, body: bytes) -> None:
    """Show a tweet's new text, where it has arrived and wherever a repost holds a copy of it."""
    _show(state, tweet_id, body)
    if state.heard is not None:
        is_own = state.people.own(actor) is not None
        state.heard.note(state.position, EDIT, tweet_id, actor, is_own=is_own)


def on_previewed(state: ShardState, source: int, tweet_id: int, actor: int, at_ms: int, body: bytes) -> None:
    """As `on_edited`, of a tweet that says what it said: nobody is told."""
    _show(state, tweet_id, body)


def _show(state: ShardState, tweet_id: int, body: bytes) -> None:
    """Have all copies of a tweet here say what it says now."""
    if state.arrivals.set_body(tweet_id, body):
        state.changes.arrivals.add(tweet_id)
    state.tag_logs.keep_only(tweet_id, 0, body)
    for repost_id in sorted(state.reposts_of.get(tweet_id, ())):
        entry = state.tweets.get(repost_id)
        if entry is not None and entry.orig is not None:
            state.tweets.set_original(repost_id, _with_body(entry.orig, body))
            state.note_tweet(repost_id, False)
    for repost_id, packed in state.arrivals.reposts_of(tweet_id):
        state.arrivals.set_original(repost_id, _with_body(packed, body))
        state.changes.arrivals.add(repost_id)


def _with_body(packed: bytes, body: bytes) -> bytes:
    """Return a packed entry with another body."""
    return pack(list(Entry(*unpack(packed))._replace(body=body)))


def tell_edits(state: ShardState, shard: int, tweet_ids: list[int]) -> None:
    """Tell a shard, which has met copies of some own tweets, what those say that have changed since they came."""
    for tweet_id in tweet_ids:
        entry = state.tweets.get(tweet_id)
        if entry is None:
            continue
        facts = read_facts(entry.body)
        if facts.edited_ms:
            state.tell(shard, EDITED, tweet_id, entry.author_id, facts.edited_ms, entry.body)
        elif facts.preview is not None and state.level >= PREVIEWS_FROM_LEVEL:
            state.tell(shard, PREVIEWED, tweet_id, entry.author_id, ids.ms_of_tweet(tweet_id), entry.body)


EDITED: Final = Effect(
    "edited", on_edited, To.ALL, ("tweet", "actor", "at_ms", "body"),
    notifies=Notifies("update", Notified.REPOSTERS, "tweet"),
)  # fmt: skip
PREVIEWED: Final = Effect("previewed", on_previewed, To.ALL, ("tweet", "actor", "at_ms", "body"))
