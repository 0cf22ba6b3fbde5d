"""Timelines that don't depend on whom one follows: what is public, and what has a hashtag. Without a token, too.

    public    `public_tweets` of every shard, in the shape of this API --> merged by id
    tag       the search index, by id, as the native API asks it --> statuses by their ids

Rules of this file
- There is one server, so everything is `local`, and `remote` is empty.
- `only_media` looks at MEDIA_LOOKED_AT statuses of each shard for a page, and of a hashtag at one page of all.
- A shard that doesn't answer is left out, as searches leave it out; only if none does it is a 503.
- What the index hasn't been told of yet is on a hashtag's page all the same: its shard has it (`search_pages.py`).

Cost: one lane request a shard, and one for the reader's flags; of a hashtag as many again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.filters import PUBLIC
from actors.core.features.viewer_flags import MUTED
from actors.core.joining import TweetPieces, join_tweets
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from actors.text.costs import TAG_UNITS
from api.levels import require_level
from api.limits import TAGS_PER_REQUEST_MAX
from api.mastodon.call import Answer, Call
from api.mastodon.filtering import filtered
from api.mastodon.operations.search import partial_headers
from api.mastodon.pages import Window
from api.mastodon.statuses import ENDS, completed, has_media, seen_by, statuses_of
from api.mastodon.table import Operation
from api.search.hashtags import folded_tag
from api.search.scatter import fault_of

EMPTY: Final = Answer(b"[]")
MEDIA_LOOKED_AT: Final = 200  # statuses of each shard, of which those with media are shown


async def public(call: Call) -> Answer:
    """The newest statuses that answer nobody, of everybody."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    if call.params.flag("remote"):
        return EMPTY
    window, only_media = call.window(), call.params.flag("only_media")
    looked_at = window._replace(limit=MEDIA_LOOKED_AT) if only_media else window
    tweets, stopped = merged(await _ask_all(call, looked_at), looked_at)
    ids = [tweet.tweet_id for tweet in tweets] + [stopped] * bool(stopped)
    if not ids:
        return call.page([], 0, 0, False)
    newest, oldest, has_more = max(ids), min(ids), bool(stopped) or len(tweets) == looked_at.limit
    if only_media:
        tweets = list(filter(has_media, tweets))
        if len(tweets) > window.limit:
            tweets, has_more = tweets[-window.limit :] if window.min_id else tweets[: window.limit], True
            newest, oldest = (tweets[0].tweet_id, oldest) if window.min_id else (newest, tweets[-1].tweet_id)
    return call.page(await _show_unmuted(call, tweets), newest, oldest, has_more)


async def _ask_all(call: Call, window: Window) -> list[list[Any]]:
    """Return what each shard has of a page. Raises OverloadedError if none answers."""
    args = [MASTODON, "public_tweets", [call.viewer, window.max_id, window.since_id, window.min_id, window.limit]]
    cluster = call.services.cluster
    asked = (cluster.call_shard(shard, "shaped", args) for shard in range(cluster.shard_count))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    heard = [each for each in answers if not isinstance(each, BaseException)]
    fault = fault_of(answers)
    if fault is not None and not heard:
        raise fault
    return heard


def merged(answers: list[list[Any]], window: Window) -> tuple[list[TweetPieces], int]:
    """Return (a page of all shards' tweets, newest first; the id at which it ends early, or 0).

    answers: of each shard [tweets, id at which it stopped early, or 0]. Beyond that id others may have tweets, it none
    that anybody knows of, so the page ends there.
    """
    tweets = [TweetPieces.of(each) for of_shard, _ in answers for each in of_shard]
    stops = [stopped for _, stopped in answers if stopped]
    upward = bool(window.min_id)
    tweets.sort(key=lambda tweet: tweet.tweet_id, reverse=not upward)
    if stops:
        stop = min(stops) if upward else max(stops)
        tweets = [tweet for tweet in tweets if (tweet.tweet_id < stop if upward else tweet.tweet_id > stop)]
    page = tweets[: window.limit]
    stopped = stop if stops and len(page) < window.limit else 0
    return (page[::-1] if upward else page), stopped


async def _show_unmuted(call: Call, tweets: list[TweetPieces]) -> list[bytes]:
    """Return the JSON of public tweets, without those of authors whom the reader has muted."""
    flags, stamp = await seen_by(call.services, tweets, call.viewer)
    if flags is not None:
        unmuted = [place for place, flag in enumerate(flags) if not flag & MUTED]
        tweets, flags = [tweets[place] for place in unmuted], bytes(flags[place] for place in unmuted)
    statuses = await completed(call.services, join_tweets(ENDS, tweets, flags), call.viewer)
    return await filtered(call.services, statuses, call.viewer, stamp, PUBLIC)


async def tagged(call: Call) -> Answer:
    """The newest statuses with a hashtag; with `any`, `all` and `none` of others."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    tags = _tags_of(call)
    if call.params.flag("remote"):
        return EMPTY
    services, window = call.services, call.window()
    services.limiter.check_search(call.scope, call.viewer, TAG_UNITS * sum(map(len, tags)))
    found = await services.search.tagged(tags, *window, call.viewer)
    ids = [int(tweet["tweet_id"]) for tweet in orjson.loads(found.body)]
    statuses = await statuses_of(services, ids, call.viewer, PUBLIC)
    if call.params.flag("only_media"):
        statuses = [each for each in statuses if orjson.loads(each)["media_attachments"]]
    page = call.page(statuses, found.newest_id, found.oldest_id, found.is_full)
    return page._replace(headers=page.headers + partial_headers(found.shards))


def _tags_of(call: Call) -> list[list[str]]:
    """Return [any, all, none], as the index has them. Raises NotFoundError for what is no hashtag, InvalidError."""
    groups = {name: call.params.texts(name) for name in ("any", "all", "none")}
    if 1 + sum(map(len, groups.values())) > TAGS_PER_REQUEST_MAX:
        raise InvalidError(f"at most {TAGS_PER_REQUEST_MAX} hashtags can be combined", "any")
    try:
        first = folded_tag(call.name("hashtag"), "hashtag")
    except InvalidError as error:
        raise NotFoundError(error.message, "hashtag") from error
    folded = {name: [folded_tag(tag, name) for tag in tags if tag.strip()] for name, tags in groups.items()}
    return [[first, *folded["any"]], folded["all"], folded["none"]]


OPERATIONS: Final = (
    Operation("GET", "/api/v1/timelines/public", "", "Status[]", public),
    Operation("GET", "/api/v1/timelines/tag/{hashtag}", "", "Status[]", tagged),
)
