"""Statuses: written, read, edited, deleted; the thread that one stands in, and what it said before.

    POST --post--> author's shard, settled --> the status in pieces, as anybody reads it

Rules of this file
- Writes are settled, and repeatable by their Idempotency-Key: the same key answers the same status, as it is now.
- A status of another is not found by who wants to edit or delete it, as in Mastodon.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from actors.core.entries import REPOSTED_VISIBILITIES
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError
from actors.core.facts import APPLICATION, ATTACHMENTS, QUOTE
from actors.core.features.filters import THREAD
from actors.core.ids import bucket_of_account, bucket_of_tweet
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.accounts import account_of, settings_of
from api.mastodon.call import Answer, Call, answer
from api.mastodon.context import ancestors_of, descendants_of
from api.mastodon.statuses import pieces_of, show, status_of, statuses_of
from api.mastodon.table import Operation
from api.mastodon.writing import beside_text, media_changed, media_ids_given, poll_given, said_of, visibility_given
from api.native.visible import ask_for_viewer, ask_tweet, find_original
from api.oauth.clients import client_of_id
from api.once import carry_out
from api.posting import NOTHING_ANSWERED, find_answered, idempotency_key, resolve_text, unless_posted
from api.times import clean_time

IDS_MAX: Final = 100  # statuses that are asked for by their ids


async def one(call: Call) -> Answer:
    """A status, by its id."""
    return Answer(await status_of(call.services, call.id(), call.viewer))


async def several(call: Call) -> Answer:
    """Statuses by their ids, as far as you may see them."""
    shown = await statuses_of(call.services, call.params.ids("id", IDS_MAX), call.viewer)
    return Answer(b"[" + b",".join(shown) + b"]")


async def create(call: Call) -> Answer:
    """Write a status, or with `scheduled_at` one to be published then."""
    services, params, viewer = call.services, call.params, call.viewer
    require_level(services, MASTODON_FROM_LEVEL)
    media_ids = media_ids_given(params, services.settings.media.attachments_max)
    text, spoiler = said_of(params, services.settings.tweet_max_chars, bool(media_ids))
    visibility, in_reply_to, poll = visibility_given(params), params.id("in_reply_to_id"), poll_given(params)
    at_ms = clean_time(params.values, "scheduled_at")
    header = call.header(b"idempotency-key")
    key = idempotency_key(header, viewer)
    settings, (entities, mention_ids), answered, quote, application = await asyncio.gather(
        settings_of(services, viewer),
        resolve_text(services, text),
        unless_posted(
            services, viewer, header, find_answered(services, in_reply_to, viewer, "in_reply_to_id"), NOTHING_ANSWERED
        ),
        unless_posted(services, viewer, header, _quote_given(call), []),
        _application(call),
    )
    facts = [*beside_text(params, spoiler, settings), *application, *poll, *quote, *answered.facts]
    if media_ids:
        facts.append([ATTACHMENTS, media_ids])
    shown_to = settings.privacy if visibility is None else visibility
    args = [text, shown_to, in_reply_to, answered.author_id, entities, [], mention_ids]
    if at_ms:
        return Answer(
            await carry_out(call.repeatable, viewer, "schedule_status", [viewer, at_ms, *args, facts], always=True)
        )
    made = await services.settle_account(viewer, "post", *args, key, facts)
    return Answer(await status_of(services, int(orjson.loads(made)["tweet_id"]), viewer))


async def _application(call: Call) -> list[list[Any]]:
    """Return the fact of the app that the token is of; nothing if it is of none, or the app is gone."""
    client = await client_of_id(call.services, call.grant.app_id) if call.grant.app_id else None
    return [] if client is None else [[APPLICATION, [client.app.name, client.app.website]]]


async def _quote_given(call: Call) -> list[list[int]]:
    """Return the fact of a quote; nothing if none is given. Raises NotFoundError, InvalidError."""
    quoted = call.params.id("quoted_status_id")
    if not quoted:
        return []
    original = await find_original(call.services, quoted, call.viewer)
    if original.visibility not in REPOSTED_VISIBILITIES:
        raise InvalidError("Quoted status must be public or unlisted", "quoted_status_id")
    return [[QUOTE, original.orig_id]]


async def quotes(call: Call) -> Answer:
    """What quotes a status, the newest quote first, as far as you may see it."""
    services, tweet_id, limit = call.services, call.id(), call.params.whole("limit", 20, 1, 40)
    require_level(services, MASTODON_FROM_LEVEL)
    args = [tweet_id, call.viewer, call.params.id("max_id"), limit]
    ids, cursor = await ask_for_viewer(services, bucket_of_tweet(tweet_id), "quotes", args, call.viewer)
    shown = await statuses_of(services, ids, call.viewer)
    return call.page(shown, 0, cursor, bool(cursor))


async def edit(call: Call) -> Answer:
    """Give a status of yours another text, spoiler, sensitivity, language, poll: another poll has no votes yet."""
    services, tweet_id = call.services, call.id()
    require_level(services, MASTODON_FROM_LEVEL)
    _require_own_bucket(call, tweet_id)
    media_ids = media_ids_given(call.params, services.settings.media.attachments_max)
    says_media = "media_ids" in call.params
    if not says_media and ("media_attributes" in call.params or not call.params.text("status").strip()):
        media_ids = [int(each["id"]) for each in (await _own_status(call, tweet_id))["media_attachments"]]
        says_media = "media_attributes" in call.params
    text, spoiler = said_of(call.params, services.settings.tweet_max_chars, bool(media_ids))
    facts = [*beside_text(call.params, spoiler), *poll_given(call.params)]
    if says_media:
        facts += media_changed(call.params, media_ids)
    entities, mention_ids = await resolve_text(services, text)
    args = [tweet_id, call.viewer, text, entities, mention_ids, None, facts]
    try:
        await carry_out(call.repeatable, call.viewer, "edit", args)
    except ForbiddenError as error:
        raise NotFoundError(error.message, "id") from error
    return Answer(await status_of(services, tweet_id, call.viewer))


async def _own_status(call: Call, tweet_id: int) -> dict[str, Any]:
    status: dict[str, Any] = orjson.loads(await status_of(call.services, tweet_id, call.viewer))
    return status


async def delete(call: Call) -> Answer:
    """Delete a status of yours, or take a boost back by its id. The answer is what it was, with its `text`."""
    services, tweet_id = call.services, call.id()
    require_level(services, MASTODON_FROM_LEVEL)
    _require_own_bucket(call, tweet_id)
    pieces = await pieces_of(services, tweet_id, call.viewer)
    if pieces.author_id != call.viewer:
        raise NotFoundError(f"status {tweet_id} is not yours", "id")
    (shown,) = await show(services, [pieces], call.viewer)
    status: dict[str, Any] = orjson.loads(shown)
    source = orjson.loads(await ask_tweet(services, tweet_id, "source", call.viewer))
    # With a key: the lane sends it again when a shard dies on it, and what is gone by then was deleted by this request.
    args = [tweet_id, call.viewer, [b"", b""]]
    if status["media_attachments"] and not call.params.flag("delete_media"):
        args.append(True)  # they are uploads again, for the status that is written in its place
    await carry_out(call.repeatable, call.viewer, "delete", args, always=True)
    return answer({**status, "text": source["text"]})


async def context(call: Call) -> Answer:
    """What a status answers, and what answers it."""
    services, tweet_id, viewer = call.services, call.id(), call.viewer
    require_level(services, MASTODON_FROM_LEVEL)
    above = await ancestors_of(services, tweet_id, viewer)
    below = await descendants_of(services, tweet_id, viewer)
    ancestors, descendants = await asyncio.gather(
        show(services, above, viewer, THREAD), show(services, below, viewer, THREAD)
    )
    return Answer(b'{"ancestors":[' + b",".join(ancestors) + b'],"descendants":[' + b",".join(descendants) + b"]}")


async def history(call: Call) -> Answer:
    """What a status said at first, and after each edit."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    (author_id,), edits = await ask_tweet(call.services, call.id(), "versions", call.viewer)
    account = await account_of(call.services, author_id, call.viewer)
    return Answer(b"[" + b",".join(edit + account + b"}" for edit in edits) + b"]")


async def source(call: Call) -> Answer:
    """A status as it was written, for who edits it."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return Answer(await ask_tweet(call.services, call.id(), "source", call.viewer))


def _require_own_bucket(call: Call, tweet_id: int) -> None:
    """Refuse what can't be the viewer's own. Raises NotFoundError."""
    if bucket_of_tweet(tweet_id) != bucket_of_account(call.viewer):
        raise NotFoundError(f"status {tweet_id} is not yours", "id")


OPERATIONS: Final = (
    Operation("POST", "/api/v1/statuses", "write:statuses", "Status|ScheduledStatus", create),
    Operation("GET", "/api/v1/statuses", "", "Status[]", several),
    Operation("GET", "/api/v1/statuses/{id}", "", "Status", one),
    Operation("PUT", "/api/v1/statuses/{id}", "write:statuses", "Status", edit),
    Operation("DELETE", "/api/v1/statuses/{id}", "write:statuses", "Status", delete),
    Operation("GET", "/api/v1/statuses/{id}/context", "", "Context", context),
    Operation("GET", "/api/v1/statuses/{id}/quotes", "read:statuses", "Status[]", quotes),
    Operation("GET", "/api/v1/statuses/{id}/history", "", "StatusEdit[]", history),
    Operation("GET", "/api/v1/statuses/{id}/source", "read:statuses", "StatusSource", source),
)
