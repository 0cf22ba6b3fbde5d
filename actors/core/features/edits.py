"""Edits: another text for a tweet, by its author; what it said before can be read by whoever may see the tweet.

    edit --> the tweet's facts, and its history: one paper of the tweet
         --edited--> all shards: every copy of the tweet (`edited_copies.py`)

Rules of this file
- Text, entities and mentions change, what stands before the text and what is asked (`facts.EDITABLE`), and nothing
  else. A direct tweet keeps its mentions: they are who it is for, and the timelines that it lies in.
- What becomes of a poll and its votes then, `polls.change_poll` does.
- History keeps what was replaced, at most EDITS_PER_TWEET_MAX times and one paper of bytes. It goes with the tweet.

Cost: 10 us, and what `edited_copies.py` costs on each shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.entries import Entry, pack, visibility_of
from actors.core.errors import ForbiddenError, InvalidError, TooLargeError
from actors.core.facts import (
    ATTACHMENTS,
    EDITABLE,
    LANGUAGE,
    MORE_FROM_LEVEL,
    POLL,
    Facts,
    check_more,
    pack_facts,
    read_facts,
)
from actors.core.features.conversations import tell_mentioned
from actors.core.features.edited_copies import EDITED
from actors.core.features.media import change_attachments, take_wanted, wanted_attachments
from actors.core.features.polls import change_poll, edited_poll
from actors.core.features.previews import without_preview
from actors.core.features.tag_readers import tell_new_tags
from actors.core.render import render_entities, render_history
from actors.core.stores.papers import pack_document
from actors.core.terms import (
    Feature,
    Key,
    Owner,
    PaperKind,
    Prepared,
    Read,
    Write,
    nothing,
)

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

DIRECT: Final = 2  # as `visibility_of` says it


def check_history(document: Any) -> None:
    """Refuse what is no history, or could not be shown. Raises RookeryError."""
    for at_ms, text, entities, *more in document:
        arguments.whole(at_ms, 0, ids.ID_MAX, "at_ms")
        arguments.text(text, limits.TEXT_BYTES_MAX, "status")
        render_entities(arguments.blob(entities, 0, limits.TEXT_BYTES_MAX, "entities"))
        for further in arguments.listed(list(more), 1, "more"):
            check_more({number: value for number, value in further.items() if number != ATTACHMENTS})
            media_ids = further.get(ATTACHMENTS, ())
            arguments.id_list(list(media_ids), limits.ATTACHMENTS_COUNT_MAX, "media_ids")


HISTORY: Final = PaperKind(7, "history", Owner.TWEET, 1, check_history)
"""[[at_ms, text, entities], ...], oldest first; from level 3 on with what else was editable, by number, if anything."""


def edit(state: ShardState, tweet_id: int, body: bytes, mention_ids: list[int], history: bytes, at_ms: int) -> bool:
    """Give a tweet another body; history: what it said before, packed. False: it is gone."""
    entry = state.tweets.get(tweet_id)
    if entry is None:
        return False
    change_poll(state, entry, body, at_ms)
    change_attachments(state, entry.author_id, entry.body, body, at_ms)
    state.tweets.set_contents(tweet_id, body, mention_ids)
    state.papers.put_packed(HISTORY, tweet_id, 0, history)
    state.note_edit(tweet_id)
    if state.met_links is not None:
        state.met_links.met(tweet_id, body)
    state.tell_all(list(range(state.shard_count)), EDITED, tweet_id, entry.author_id, at_ms, body)
    tell_new_tags(state, tweet_id, entry)
    before, now = set(entry.mention_ids), set(mention_ids)
    for changed, on in ((before - now, False), (now - before, True)):
        if changed:
            tell_mentioned(state, entry._replace(body=body), on, at_ms, changed)
    return True


def prepare_edit(
    shard: Lookups, now_ms: int, tweet_id: int, actor: int, text: str, entities: bytes, mention_ids: list[int],
    facts: Any = None, more: Any = None,
) -> Prepared:  # fmt: skip
    """Change what an own tweet says; the reply is its JSON. The same again changes nothing.

    more: what is to stand beside the text (`facts.EDITABLE`), [[number, value], ...], of a poll how long it is open
    from now on, of media as `wanted_attachments` takes them; None leaves what does.
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
    used_bytes = len(text.encode()) + len(entities)
    at_ms = max(now_ms, ids.ms_of_tweet(tweet_id) + 1, before.edited_ms + 1)  # clocks go back, versions don't
    further = before.more if more is None else _with_editable(shard, entry.author_id, before, more, used_bytes, at_ms)
    further = without_preview(before._replace(entities=entities, more=further))
    if (before.text, before.entities, before.more) == (text, entities, further):
        return nothing(shard.render(entry))
    body = pack_facts(before._replace(text=text, entities=entities, edited_ms=at_ms, more=further))
    history = _longer_history(shard, tweet_id, before)

    def finish(_: Any) -> bytes:
        edited = shard.state.tweets.get(tweet_id)
        assert edited is not None, "an edit deletes nothing"
        return shard.render(edited)

    return Prepared(["edit", tweet_id, body, mentions, history, at_ms], finish)


def _with_editable(
    shard: Lookups, author_id: int, before: Facts, more: Any, used_bytes: int, at_ms: int
) -> dict[int, Any]:
    """Return facts with others of those that an edit changes; a language and media stay until others are said.

    Raises InvalidError, OverloadedError.
    """
    wanted, more = take_wanted(more)
    given = arguments.more(more, used_bytes)
    if fixed := given.keys() - EDITABLE:
        raise InvalidError(f"an edit doesn't change fact {min(fixed)} of a tweet", "more")
    if given:
        shard.require_level(MORE_FROM_LEVEL)
    if POLL in given:
        given[POLL] = edited_poll(given[POLL], before.poll, at_ms)
    if wanted:
        shard.require_level(MORE_FROM_LEVEL)
        used_bytes += len(pack(given))
        given[ATTACHMENTS] = wanted_attachments(shard, author_id, wanted, used_bytes, before.attachments)
    goes = EDITABLE - ({LANGUAGE, ATTACHMENTS} if wanted is None else {LANGUAGE})
    return {number: value for number, value in before.more.items() if number not in goes} | given


def _longer_history(shard: Lookups, tweet_id: int, before: Facts) -> bytes:
    """Return a tweet's history with what it says now at its end, packed. Raises InvalidError, OverloadedError."""
    known = shard.state.papers.get(HISTORY, tweet_id) or ()
    if len(known) >= limits.EDITS_PER_TWEET_MAX:
        raise InvalidError(f"tweet {tweet_id} was edited {len(known)} times, and may be no more", "tweet_id")
    at_ms = before.edited_ms or ids.ms_of_tweet(tweet_id)
    try:
        packed = pack_document([*known, version_of(at_ms, before)])
    except TooLargeError as error:
        raise TooLargeError(f"what tweet {tweet_id} said before is too long to be kept", "tweet_id") from error
    shard.state.papers.require_room(HISTORY, tweet_id, len(packed), False, "tweet_id")
    return packed


def version_of(at_ms: int, facts: Facts) -> tuple[Any, ...]:
    """Return what is kept of what a tweet says: of media their ids, since what a tweet has no more is removed."""
    editable = {number: value for number, value in facts.more.items() if number in EDITABLE}
    if ATTACHMENTS in editable:
        editable[ATTACHMENTS] = [medium.media_id for medium in facts.attachments]
    return (at_ms, facts.text, facts.entities, *((editable,) if editable else ()))


def versions_of(shard: Lookups, entry: Entry) -> list[Any]:
    """Return every version of an own tweet, as `HISTORY` has them, the first one first, what it says now last."""
    now = read_facts(entry.body)
    at_ms = now.edited_ms or ids.ms_of_tweet(entry.tweet_id)
    has = {medium.media_id: list(medium) for medium in now.attachments}
    versions = [*(shard.state.papers.get(HISTORY, entry.tweet_id) or ()), version_of(at_ms, now)]
    return [_with_media(version, has) for version in versions]


def _with_media(version: Sequence[Any], has: Mapping[int, Any]) -> Sequence[Any]:
    """Return a version with those of its media that the tweet still has, as they are now."""
    *said, more = version
    if not isinstance(more, Mapping) or ATTACHMENTS not in more:
        return version
    shown = [has[media_id] for media_id in more[ATTACHMENTS] if media_id in has]
    rest = {number: value for number, value in more.items() if number != ATTACHMENTS}
    return (*said, rest | ({ATTACHMENTS: shown} if shown else {}))


def answer_history(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> bytes | list[Any]:
    """What a tweet that `viewer` may see says and has said, the first version first: a JSON object."""
    entry, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    return render_history(tweet_id, [(at_ms, text, packed) for at_ms, text, packed, *_ in versions_of(shard, entry)])


FEATURE = Feature(
    "edits",
    papers=(HISTORY,),
    writes=(Write("edit", prepare_edit, Key.TWEET, hides=True),),
    reads=(Read("history", answer_history, Key.TWEET),),
    commands={"edit": edit},
    effects=(EDITED,),
)
