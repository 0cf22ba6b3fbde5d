"""Lists round tweets: what an account likes and keeps, who likes and reposts a tweet, and the thread that it stands in.

    likes, bookmarks   account's shard: ids, newest action first --> each tweet's shard: JSON, if the account may see it
    likers, reposters  tweet's shard: accounts that the reader may see --> their shards: cards
    thread             tweet's shard: it and upwards, shard by shard; at the same time replies --> their shards: JSON

Rules of this file
- A shelf holds ids; what may be shown of them is decided by the shards that the ids belong to, each time. So a page may
  be shorter than asked for, or empty, and go on all the same: `next_cursor` alone says where a list ends.
- What an account likes and keeps is for itself alone.
- Shelves are whole from the cluster's level 1 on, and older shards don't know of them: before, all of this is 503.

Costs: two lane requests one after the other, the second in parallel to each shard that holds something of the page; a
thread one more for each time that it comes from another shard's account, 41 at most.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from actors.core.errors import NotFoundError
from actors.core.ids import bucket_of_tweet
from api.inputs import Inputs
from api.levels import require_level
from api.limits import ANCESTOR_COUNT_MAX
from api.native.hydration import hydrate_cards, hydrate_tweets
from api.native.models import AccountPage, BookmarkState, Thread, TweetPage, WithToken
from api.native.openapi import CURSOR, IDEMPOTENCY_KEY, errors, operation, path_id
from api.native.routes.answers import json_page, json_value, tweet_page
from api.native.viewer_flags import PARAMETER
from api.native.visible import ask_for_viewer, require_seen
from api.once import write_if_seen, write_once
from api.services import Services

router = APIRouter(tags=["tweets"])
_TWEET_ID = path_id("tweet_id", "The tweet")
_KEPT: dict[str, Any] = {
    "response_model": TweetPage,
    "responses": errors(401, 403, page=True),
    "openapi_extra": operation(
        path_id("user_id", "Whose; must be the token's account"), *CURSOR, PARAMETER, token="required"
    ),
}
_OF_TWEET: dict[str, Any] = {
    "responses": errors(401, 404, page=True),
    "openapi_extra": operation(_TWEET_ID, *CURSOR, token="optional"),
}
_THREAD = {**_OF_TWEET, "openapi_extra": operation(_TWEET_ID, *CURSOR, PARAMETER, token="optional")}
_ACT: dict[str, Any] = {
    "response_model": BookmarkState,
    "responses": errors(401, 403, 404, 409, body=True),
    "openapi_extra": operation(_TWEET_ID, IDEMPOTENCY_KEY, model=WithToken, token="required", body_required=False),
}


# ---- what an account keeps ----------------------------------------------------------------------------------------


@router.get("/{user_id}/likes", summary="What you like", **_KEPT)
async def likes(request: Request) -> Response:
    """The tweets that you like, the newest like first, without those that are gone or not for you any more."""
    return await _list_kept(request, "likes")


@router.get("/{user_id}/bookmarks", summary="Your bookmarks", **_KEPT)
async def bookmarks(request: Request) -> Response:
    """The tweets that you have bookmarked, the newest bookmark first, without those that are gone or not for you."""
    return await _list_kept(request, "bookmarks")


async def _list_kept(request: Request, op: str) -> Response:
    inputs = await Inputs.read(request)
    services, user_id = inputs.services, inputs.path_id("user_id")
    cursor, count = inputs.cursor_page()
    account_id = await inputs.actor(user_id)
    require_level(services)
    tweet_ids, next_cursor = await services.ask_account(account_id, op, cursor, count)
    tweets = await hydrate_tweets(services, tweet_ids, account_id)
    return await tweet_page(inputs, account_id, next_cursor, b'{"tweets":[', tweets)


@router.post("/api/v1/tweet/{tweet_id}/bookmark", summary="Bookmark", **_ACT)
async def bookmark(request: Request) -> Response:
    """Keep a tweet that you may see; nobody else is told. Doing it again changes nothing."""
    return await _mark(request, "bookmark", True)


@router.delete("/api/v1/tweet/{tweet_id}/bookmark", summary="Take a bookmark away", **_ACT)
async def unbookmark(request: Request) -> Response:
    """Take a bookmark away. Doing it again, or without having one, changes nothing."""
    return await _mark(request, "unbookmark", False)


async def _mark(request: Request, op: str, holds: bool) -> Response:
    inputs = await Inputs.read(request)
    services, actor = inputs.services, await inputs.actor()
    tweet_id = inputs.path_id("tweet_id")
    require_level(services)

    async def seen() -> list[int]:
        await require_seen(services, tweet_id, actor)
        return [actor, tweet_id]

    if holds:
        await write_if_seen(inputs, actor, op, tweet_id, seen)
    else:
        await write_once(inputs, actor, op, [actor, tweet_id])
    return json_value({"user_id": str(actor), "tweet_id": str(tweet_id), "bookmarked": holds})


# ---- what there is about a tweet ----------------------------------------------------------------------------------


@router.get("/api/v1/tweet/{tweet_id}/likes", summary="Who likes a tweet", response_model=AccountPage, **_OF_TWEET)
async def likers(request: Request) -> Response:
    """The accounts that like a tweet, the newest like first. It lists the newest 20,000; its count is of all."""
    return await _list_accounts(request, "likers")


@router.get("/api/v1/tweet/{tweet_id}/reposts", summary="Who reposts a tweet", response_model=AccountPage, **_OF_TWEET)
async def reposters(request: Request) -> Response:
    """The accounts that repost a tweet, the newest repost first; 20,000 at most."""
    return await _list_accounts(request, "reposters")


async def _list_accounts(request: Request, op: str) -> Response:
    inputs = await Inputs.read(request)
    services, tweet_id = inputs.services, inputs.path_id("tweet_id")
    page = inputs.cursor_page()
    viewer = await inputs.viewer()
    require_level(services)
    account_ids, next_cursor = await _ask_page(services, tweet_id, op, viewer, page)
    return json_page(inputs, next_cursor, b'{"users":[', await hydrate_cards(services, account_ids, viewer))


async def _ask_page(services: Services, tweet_id: int, op: str, viewer: int, page: tuple[int, int]) -> Any:
    """Return `[ids, next cursor or 0]` of a tweet's shelf. page: cursor, count. Raises NotFoundError."""
    return await ask_for_viewer(services, bucket_of_tweet(tweet_id), op, [tweet_id, viewer, *page], viewer)


@router.get("/api/v1/tweet/{tweet_id}/thread", summary="A tweet's thread", response_model=Thread, **_THREAD)
async def thread(request: Request) -> Response:
    """What a tweet answers, up to where that is gone or not for you (40 at most), the tweet, and what answers it.

    Pages are of the replies; `ancestors` is empty on all but the first.
    """
    inputs = await Inputs.read(request)
    services, tweet_id = inputs.services, inputs.path_id("tweet_id")
    cursor, count = inputs.cursor_page()
    viewer = await inputs.viewer()
    require_level(services)
    line, (reply_ids, next_cursor) = await asyncio.gather(
        _lineage(services, tweet_id, viewer, 1 if cursor else 1 + ANCESTOR_COUNT_MAX),
        _ask_page(services, tweet_id, "replies", viewer, (cursor, count)),
    )
    replies = await hydrate_tweets(services, reply_ids, viewer)
    head = b'{"ancestors":[' + b",".join(reversed(line[1:])) + b'],"tweet":' + line[0] + b',"replies":['
    return await tweet_page(inputs, viewer, next_cursor, head, replies)


async def _lineage(services: Services, tweet_id: int, viewer: int, count: int) -> list[bytes]:
    """Return a tweet, what it answers and so on, at most count, as far as a viewer may see them.

    Raises NotFoundError if that isn't even the tweet itself.
    """
    line: list[bytes] = []
    following = tweet_id
    while following and len(line) < count:
        args = [following, viewer, count - len(line)]
        try:
            part, following = await ask_for_viewer(services, bucket_of_tweet(following), "lineage", args, viewer)
        except NotFoundError:
            if not line:
                raise
            break
        line += part
    return line
