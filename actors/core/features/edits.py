"""Edits: another text for a tweet, by its author; what it said before can be read by whoever may see the tweet.

    edit --> the tweet's facts, and its history: one paper of the tweet
         --edited--> all shards: arrivals of the tweet; packed copies of it in reposts, stored and arrived
    a repost that carries an older text --count_ask--> the tweet's shard --edited--> whoever asked (`counts.py`)

Rules of this file
- Text, entities and mentions change, and nothing else. A direct tweet keeps its mentions: they are who it is for, and
  the timelines that it lies in.
- Copies of a tweet are told of an edit as of its counts, by its own shard, in order. A copy that came by another way,
  with a repost, is asked for again, so whichever comes first, the last text stays.
- History keeps what was replaced, at most EDITS_PER_TWEET_MAX times and one paper of bytes. It goes with the tweet.

Cost: 10 us, and on each shard a look at all its arrivals for reposts of the tweet: 0.5 us a thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.entries import Entry, pack, unpack, visibility_of
from actors.core.errors import ForbiddenError, InvalidError, TooLargeError
from actors.core.facts import Facts, pack_facts, read_facts
from actors.core.render import render_entities, render_history
from actors.core.stores.papers import pack_document
from actors.core.terms import Effect, Feature, Key, Owner, PaperKind, Prepared, Read, To, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

DIRECT: Final = 2  # as `visibility_of` says it


def check_history(document: Any) -> None:
    """Refuse what is no history, or could not be shown. Raises RookeryError."""
    for at_ms, text, entities in document:
        arguments.whole(at_ms, 0, ids.ID_MAX, "at_ms")
        arguments.text(text, limits.TEXT_BYTES_MAX, "status")
        render_entities(arguments.blob(entities, 0, limits.TEXT_BYTES_MAX, "entities"))


HISTORY: Final = PaperKind(7, "history", Owner.TWEET, 1, check_history)  # [[at_ms, text, entities], ...], oldest first


def edit(state: ShardState, tweet_id: int, body: bytes, mention_ids: list[int], history: bytes, at_ms: int) -> bool:
    """Give a tweet another body; history: what it said before, packed. False: it is gone."""
    entry = state.tweets.get(tweet_id)
    if entry is None:
        return False
    state.tweets.set_contents(tweet_id, body, mention_ids)
    state.papers.put_packed(HISTORY, tweet_id, 0, history)
    state.note_edit(tweet_id)
    state.tell_all(list(range(state.shard_count)), EDITED, tweet_id, entry.author_id, at_ms, body)
    return True


def on_edited(state: ShardState, source: int, tweet_id: int, actor: int, at_ms: int, body: bytes) -> None:
    """Show a tweet's new text, where it has arrived and wherever a repost holds a copy of it."""
    if state.arrivals.set_body(tweet_id, body):
        state.changes.arrivals.add(tweet_id)
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
    """Tell a shard, which has met copies of some own tweets, what those say that were edited."""
    for tweet_id in tweet_ids:
        if state.papers.packed(HISTORY.number, tweet_id) is not None:
            entry = state.tweets.get(tweet_id)
            if entry is not None:
                at_ms = read_facts(entry.body).edited_ms
                state.tell(shard, EDITED, tweet_id, entry.author_id, at_ms, entry.body)


def prepare_edit(
    shard: Lookups, now_ms: int, tweet_id: int, actor: int, text: str, entities: bytes, mention_ids: list[int],
    facts: Any = None,
) -> Prepared:  # fmt: skip
    """Change what an own tweet says; the reply is its JSON. The same text again changes nothing.

    Raises ForbiddenError for somebody else's tweet, and for a repost; InvalidError after EDITS_PER_TWEET_MAX edits, and
    for a direct tweet that would mention others.
    """
    shard.require_level(HISTORY.from_level)
    entry = shard.stored(tweet_id)
    if entry.author_id != arguments.an_id(actor, "actor"):
        _, asked = shard.entry(tweet_id, actor, facts)
        if asked is not None:
            return nothing(asked)
        raise ForbiddenError(f"tweet {tweet_id} is not yours to edit", "tweet_id")
    if entry.is_repost:
        raise ForbiddenError(f"tweet {tweet_id} is a repost, which says nothing that could be edited", "tweet_id")
    arguments.said(text, entities)
    mentions = arguments.id_list(mention_ids, limits.MENTIONS_COUNT_MAX, "mention_ids")
    if visibility_of(entry.flags) == DIRECT and set(mentions) != set(entry.mention_ids):
        raise InvalidError("a direct tweet is for whom it mentions, so an edit must mention the same", "status")
    before = read_facts(entry.body)
    if (before.text, before.entities) == (text, entities):
        return nothing(shard.render(entry))
    at_ms = max(now_ms, ids.ms_of_tweet(tweet_id) + 1, before.edited_ms + 1)  # clocks go back, versions don't
    body = pack_facts(before._replace(text=text, entities=entities, edited_ms=at_ms))
    history = _longer_history(shard, tweet_id, before)

    def finish(_: Any) -> bytes:
        edited = shard.state.tweets.get(tweet_id)
        assert edited is not None, "an edit deletes nothing"
        return shard.render(edited)

    return Prepared(["edit", tweet_id, body, mentions, history, at_ms], finish)


def _longer_history(shard: Lookups, tweet_id: int, before: Facts) -> bytes:
    """Return a tweet's history with what it says now at its end, packed. Raises InvalidError, OverloadedError."""
    known = shard.state.papers.get(HISTORY, tweet_id) or ()
    if len(known) >= limits.EDITS_PER_TWEET_MAX:
        raise InvalidError(f"tweet {tweet_id} was edited {len(known)} times, and may be no more", "tweet_id")
    at_ms = before.edited_ms or ids.ms_of_tweet(tweet_id)
    try:
        packed = pack_document([*known, (at_ms, before.text, before.entities)])
    except TooLargeError as error:
        raise TooLargeError(f"what tweet {tweet_id} said before is too long to be kept", "tweet_id") from error
    shard.state.papers.require_room(HISTORY, tweet_id, len(packed), False, "tweet_id")
    return packed


def answer_history(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> bytes | list[Any]:
    """What a tweet that `viewer` may see says and has said, the first version first: a JSON object."""
    entry, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    now = read_facts(entry.body)
    at_ms = now.edited_ms or ids.ms_of_tweet(tweet_id)
    before = shard.state.papers.get(HISTORY, tweet_id) or ()
    return render_history(tweet_id, [*before, (at_ms, now.text, now.entities)])


EDITED = Effect("edited", on_edited, To.ALL, ("tweet", "actor", "at_ms", "body"))

FEATURE = Feature(
    "edits",
    papers=(HISTORY,),
    writes=(Write("edit", prepare_edit, Key.TWEET, hides=True),),
    reads=(Read("history", answer_history, Key.TWEET),),
    commands={"edit": edit},
    effects=(EDITED,),
)
