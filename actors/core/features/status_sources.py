"""Reads of what a status is made of, in Mastodon's entities: its source, its versions, those still to be published.

Rules of this file
- Who may see a tweet may read its source and what it said before; scheduled ones are their author's alone.
- There is nothing of its own here: what it shows is that of `tweets`, `edits` and `scheduled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments
from actors.core.facts import read_facts
from actors.core.features.edits import versions_of
from actors.core.features.scheduled import BODY, DUE_MS, FLAGS, SCHEDULED, find_scheduled, prepare_schedule
from actors.core.ids import ID_MAX
from actors.core.renderers.mastodon_statuses import render_edit, render_scheduled_status, render_source
from actors.core.stores.papers import unpack_frozen
from actors.core.terms import Feature, Key, Prepared, Read, Write

STATUSES_FROM_LEVEL: Final = 3

if TYPE_CHECKING:
    from actors.core.lookups import Lookups


def answer_source(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> bytes | list[Any]:
    """What a tweet that `viewer` may see says, as it was written: a StatusSource."""
    entry, asked = shard.entry(tweet_id, viewer, facts)
    return render_source(tweet_id, read_facts(entry.body)) if asked is None else asked


def answer_versions(shard: Lookups, tweet_id: int, viewer: int, facts: Any = None) -> list[Any]:
    """What a tweet that `viewer` may see says and has said, the first version first: `[[author_id], [json, ...]]`.

    Each is a StatusEdit up to its account, which comes behind it, and a brace.
    """
    entry, asked = shard.entry(tweet_id, viewer, facts)
    if asked is not None:
        return asked
    base, media_base = shard.state.tuning.public_url.rstrip("/"), shard.state.tuning.media_base
    return [[entry.author_id], [render_edit(version, base, media_base) for version in versions_of(shard, entry)]]


def answer_scheduled_statuses(
    shard: Lookups, account_id: int, max_id: int, since_id: int, min_id: int, count: int
) -> list[Any]:  # fmt: skip
    """A page of an account's scheduled statuses, the last written first: `[[json, ...], newest, oldest, has_more]`.

    Of ids below max_id (0: any), above since_id and min_id; from min_id on the nearest ones above it. newest, oldest: 0
    of an empty page.
    """
    shard.row(account_id)
    for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
        arguments.an_id_or_zero(value, field)
    arguments.page_count(count)
    above, below = max(since_id, min_id), max_id or ID_MAX + 1
    every = shard.state.papers.keys(SCHEDULED, account_id)
    keys = [key for key in every if above < key < below]
    page = keys[:count] if min_id else keys[-count:]
    if not page:
        return [[], 0, 0, False]
    page.reverse()
    shown = [_render(shard, key, find_scheduled(shard, account_id, key)) for key in page]
    return [shown, page[0], page[-1], every[0] < page[-1]]


def answer_scheduled_status(shard: Lookups, account_id: int, scheduled_id: int) -> bytes:
    """One scheduled status of an account, for the account itself alone. Raises NotFoundError."""
    return _render(shard, scheduled_id, find_scheduled(shard, account_id, scheduled_id))


def prepare_schedule_status(
    shard: Lookups, now_ms: int, account_id: int, at_ms: int, text: str, visibility: int, in_reply_to: int,
    reply_author: int, entities: bytes, media_ids: list[int], mention_ids: list[int], more: Any = None,
) -> Prepared:  # fmt: skip
    """As `schedule`, but the reply is a scheduled status, so that a repetition is answered as the first was.

    From level 3 on.
    """
    shard.require_level(STATUSES_FROM_LEVEL)
    args = [account_id, at_ms, text, visibility, in_reply_to, reply_author, entities, media_ids, mention_ids, more]
    prepared = prepare_schedule(shard, now_ms, *args)
    if prepared.command is None:
        return prepared
    _, _, scheduled_id, packed = prepared.command
    rendered = _render(shard, scheduled_id, unpack_frozen(packed))
    return Prepared(prepared.command, lambda _: rendered)


def _render(shard: Lookups, scheduled_id: int, document: Any) -> bytes:
    base = shard.state.tuning.media_base
    return render_scheduled_status(scheduled_id, document[DUE_MS], document[FLAGS], document[BODY], base)


FEATURE = Feature(
    "status_sources",
    writes=(Write("schedule_status", prepare_schedule_status),),
    reads=(
        Read("source", answer_source, Key.TWEET),
        Read("versions", answer_versions, Key.TWEET),
        Read("scheduled_statuses", answer_scheduled_statuses),
        Read("scheduled_status", answer_scheduled_status),
    ),
)
