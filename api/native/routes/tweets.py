"""Tweets: write (now, or later: `scheduled.py`), read, edit, delete, like, repost."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.entries import REPOSTED_VISIBILITIES
from actors.core.errors import ForbiddenError
from actors.core.facts import ATTACHMENTS, MORE_FROM_LEVEL
from actors.core.ids import bucket_of_account, bucket_of_tweet
from actors.core.visibility import is_question
from api import fields
from api.inputs import Inputs
from api.levels import require_level
from api.native.models import (
    EditRequest,
    LikeState,
    RepostState,
    ScheduledTweet,
    Tweet,
    TweetHistory,
    TweetRequest,
    WithToken,
)
from api.native.openapi import IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_bytes, json_value
from api.native.viewer_flags import PARAMETER, for_viewer
from api.native.visible import ask_for_viewer, ask_tweet, find_original, require_seen
from api.once import write_if_seen, write_once
from api.posting import NOTHING_ANSWERED, find_answered, idempotency_key, resolve_text, unless_posted
from api.times import clean_time

router = APIRouter(tags=["tweets"])
_TWEET_ID = path_id("tweet_id", "The tweet")
_ACTS = operation(_TWEET_ID, IDEMPOTENCY_KEY, model=WithToken, token="required", body_required=False)


@router.post(
    "/api/v1/tweet",
    status_code=201,
    response_model=Tweet | ScheduledTweet,
    summary="Tweet",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(IDEMPOTENCY_KEY, model=TweetRequest, token="required"),
)
@router.post(
    "/tweet",
    status_code=201,
    response_model=Tweet | ScheduledTweet,
    summary="Tweet (short path)",
    name="post_tweet_short",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(IDEMPOTENCY_KEY, model=TweetRequest, token="required"),
)
async def post_tweet(request: Request) -> Response:
    """Write a tweet. It is durable when the answer comes, and in your own timeline at once.

    With `scheduled_at` it is kept, and published then; the answer is the scheduled tweet.
    """
    inputs = await Inputs.read(request)
    services = inputs.services
    author_id = await inputs.actor()
    body = inputs.body
    media_ids = fields.clean_media_ids(body)
    text = _clean_status(inputs, bool(media_ids))
    visibility = fields.clean_visibility(body)
    in_reply_to = inputs.body_id("in_reply_to")
    at_ms = clean_time(body, "scheduled_at")
    if at_ms:
        require_level(services)
    if media_ids:
        require_level(services, MORE_FROM_LEVEL)
    header = request.headers.get("idempotency-key")
    key = idempotency_key(header, author_id)
    (entities, mention_ids), answered = await asyncio.gather(
        resolve_text(services, text),
        unless_posted(services, author_id, header, find_answered(services, in_reply_to, author_id), NOTHING_ANSWERED),
    )
    args = [text, visibility, in_reply_to, answered.author_id, entities, [], mention_ids]
    facts = [*answered.facts, *([[ATTACHMENTS, media_ids]] if media_ids else [])]
    more = [facts] if facts else []  # older shards take none
    if at_ms:
        written = await write_once(inputs, author_id, "schedule", [author_id, at_ms, *args, *more], always=True)
        return json_bytes(written, 201)
    posted = await services.ask_bucket(bucket_of_account(author_id), "post", [author_id, *args, key, *more])
    return json_bytes(posted, 201)


def _clean_status(inputs: Inputs, has_media: bool = False) -> str:
    status = inputs.body.get("status", "") if has_media else fields.required(inputs.body, "status")
    chars_max = inputs.services.settings.tweet_max_chars
    return fields.clean_text(status, "status", chars_max, chars_min=0 if has_media else 1, lines=True)


@router.get(
    "/api/v1/tweet/{tweet_id}",
    response_model=Tweet,
    summary="One tweet",
    responses=errors(401, 404),
    openapi_extra=operation(_TWEET_ID, PARAMETER, token="optional"),
)
async def get_tweet(request: Request) -> Response:
    """Return a tweet; one that you may not see does not exist."""
    inputs = await Inputs.read(request)
    tweet_id = inputs.path_id("tweet_id")
    services, viewer = inputs.services, await inputs.viewer()
    tweet = await ask_tweet(services, tweet_id, "tweet", viewer)
    return json_bytes(await for_viewer(services, inputs.query, viewer, tweet))


@router.patch(
    "/api/v1/tweet/{tweet_id}",
    response_model=Tweet,
    summary="Edit a tweet",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=operation(_TWEET_ID, IDEMPOTENCY_KEY, model=EditRequest, token="required"),
)
async def edit_tweet(request: Request) -> Response:
    """Give a tweet of yours another text. What it said before can be read by whoever sees it."""
    inputs = await Inputs.read(request)
    services, actor, tweet_id = inputs.services, await inputs.actor(), inputs.path_id("tweet_id")
    text = _clean_status(inputs)
    require_level(services)
    entities, mention_ids = await resolve_text(services, text)
    args = [tweet_id, actor, text, entities, mention_ids]
    if bucket_of_tweet(tweet_id) == bucket_of_account(actor):  # else it is somebody else's
        answer = await write_once(inputs, actor, "edit", [*args, [b"", b""]])
        if not is_question(answer):
            return json_bytes(answer)
    return json_bytes(await ask_for_viewer(services, bucket_of_tweet(tweet_id), "edit", args, actor))


@router.get(
    "/api/v1/tweet/{tweet_id}/history",
    response_model=TweetHistory,
    summary="What a tweet said before",
    responses=errors(401, 404),
    openapi_extra=operation(_TWEET_ID, token="optional"),
)
async def tweet_history(request: Request) -> Response:
    """Every version of a tweet that you may see, the first one first, what it says now last."""
    inputs = await Inputs.read(request)
    tweet_id, viewer = inputs.path_id("tweet_id"), await inputs.viewer()
    require_level(inputs.services)
    return json_bytes(await ask_tweet(inputs.services, tweet_id, "history", viewer))


@router.delete(
    "/api/v1/tweet/{tweet_id}",
    response_model=Tweet,
    summary="Delete a tweet",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=_ACTS,
)
async def delete_tweet(request: Request) -> Response:
    """Delete a tweet of yours, and with it all its reposts. The answer is what was deleted."""
    inputs = await Inputs.read(request)
    actor, tweet_id = await inputs.actor(), inputs.path_id("tweet_id")
    if bucket_of_tweet(tweet_id) == bucket_of_account(actor):  # else it is somebody else's
        answer = await write_once(inputs, actor, "delete", [tweet_id, actor, [b"", b""]])
        if not is_question(answer):
            return json_bytes(answer)
    return json_bytes(await ask_tweet(inputs.services, tweet_id, "delete", actor))


@router.post(
    "/api/v1/tweet/{tweet_id}/like",
    response_model=LikeState,
    summary="Like",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=_ACTS,
)
async def like(request: Request) -> Response:
    """Like a tweet that you may see. Doing it again changes nothing."""
    inputs = await Inputs.read(request)
    services, actor = inputs.services, await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")

    async def seen() -> list[int]:
        await require_seen(services, tweet_id, actor)
        return [actor, tweet_id]

    await write_if_seen(inputs, actor, "like", tweet_id, seen)
    return json_value({"user_id": str(actor), "tweet_id": str(tweet_id), "liked": True})


@router.delete(
    "/api/v1/tweet/{tweet_id}/like",
    response_model=LikeState,
    summary="Take a like back",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=_ACTS,
)
async def unlike(request: Request) -> Response:
    """Take a like back. Doing it again, or without having liked, changes nothing."""
    inputs = await Inputs.read(request)
    actor = await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")
    await write_once(inputs, actor, "unlike", [actor, tweet_id])
    return json_value({"user_id": str(actor), "tweet_id": str(tweet_id), "liked": False})


@router.post(
    "/api/v1/tweet/{tweet_id}/repost",
    response_model=Tweet,
    summary="Repost",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=_ACTS,
)
async def repost(request: Request) -> Response:
    """Repost a public tweet to your followers. Doing it again returns the same repost."""
    inputs = await Inputs.read(request)
    services, actor = inputs.services, await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")

    async def public_original() -> list[Any]:
        original = await find_original(services, tweet_id, actor)
        if original.visibility not in REPOSTED_VISIBILITIES:
            raise ForbiddenError(f"tweet {tweet_id} is not public, so it can't be reposted", "tweet_id")
        return [actor, original.entry]

    return json_bytes(await write_if_seen(inputs, actor, "repost", tweet_id, public_original))


@router.delete(
    "/api/v1/tweet/{tweet_id}/repost",
    response_model=RepostState,
    summary="Take a repost back",
    responses=errors(401, 403, 404, 409, body=True),
    openapi_extra=_ACTS,
)
async def unrepost(request: Request) -> Response:
    """Take your repost of a tweet back; `tweet_id` is the original's. Doing it again changes nothing."""
    inputs = await Inputs.read(request)
    actor = await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")
    await write_once(inputs, actor, "unrepost", [actor, tweet_id])
    return json_value({"user_id": str(actor), "tweet_id": str(tweet_id), "reposted": False})
