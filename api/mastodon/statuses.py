"""Statuses of a viewer, by their ids: their authors' shards have the pieces, the viewer's shard his flags.

    ids --shaped tweets--> each tweet's shard: pieces, of those that the viewer may see
                           viewer's shard: flags of those --> joined here

Rules of this file
- Who may see what say the shards (`api/native/visible.py`); what is gone or hidden is left out, and the order stays.
- What is joined is bytes that are passed on unread, but for a reader with filters (`filtering.py`).

Cost: two rounds of lane requests; one for nobody's flags; one more for polls among them, three for quotes.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import orjson

from actors.core.errors import NotFoundError
from actors.core.features.filters import EVERYWHERE, HOME
from actors.core.ids import bucket_of_account, bucket_of_tweet
from actors.core.joining import TweetPieces, flagged, join_tweets
from actors.core.limits import TWEETS_COUNT_MAX
from actors.core.renderers.mastodon import MastodonRenderer
from actors.core.renderers.mastodon_marks import has_marks, quotes_in, replaced, unmarked
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.filtering import filtered
from api.mastodon.polls import with_polls
from api.mastodon.status_bytes import StatusPage
from api.native.hydration import hydrate
from api.native.visible import ask_for_viewer
from api.services import Services

QUOTES_SHOWN_MAX: Final = 200  # quotes of one answer that are shown whole: more than any page has
NOT_SEEN: Final = b'{"state":"unauthorized","quoted_status":null}'
ENDS = MastodonRenderer("")  # of which only the ends are used here
_PARENT: Final = re.compile(rb'"in_reply_to_id":"(\d{1,19})"')
_PARENT_AUTHOR: Final = re.compile(rb'"in_reply_to_account_id":"(\d{1,19})"')
_NO_MEDIA: Final = b'"media_attachments":[]'  # quotes in what somebody wrote are escaped
_HEAD_BYTES: Final = 200  # of a piece, in which that stands: before anything that somebody wrote


def tags_of(tweet: TweetPieces) -> set[str]:
    """Return the hashtags of a status, without their #, in lower case. 10 us."""
    return {tag["name"] for tag in orjson.loads(unmarked(tweet.piece) + b"null}")["tags"]}


def has_media(tweet: TweetPieces) -> bool:
    """Whether a status shows pictures, video or sound of its own. 1 us."""
    return _NO_MEDIA not in tweet.piece


def answered_author(tweet: TweetPieces) -> int:
    """Return whom a status answers, 0 for nobody, or for an author that isn't known."""
    found = _PARENT_AUTHOR.search(tweet.piece, 0, _HEAD_BYTES)
    return 0 if found is None else int(found[1])


def answered(tweet: TweetPieces) -> int:
    """Return what a status answers, 0 for nothing."""
    found = _PARENT.search(tweet.piece, 0, _HEAD_BYTES)
    return 0 if found is None else int(found[1])


async def show(services: Services, tweets: list[TweetPieces], viewer: int, place: int = EVERYWHERE) -> list[bytes]:
    """Return the JSON of statuses in pieces, with polls and quotes of now, and what a viewer's filters say.

    place: where they are shown, as filters name it (`filtering.CONTEXTS`).
    """
    statuses, stamp = await _joined(services, tweets, viewer)
    return await filtered(services, await completed(services, statuses, viewer), viewer, stamp, place)


async def _joined(services: Services, tweets: list[TweetPieces], viewer: int) -> tuple[list[bytes], int]:
    """Return (statuses with the viewer's flags, stamp of his filters or 0)."""
    flags, stamp = await seen_by(services, tweets, viewer)
    return join_tweets(ENDS, tweets, flags), stamp


async def seen_by(services: Services, tweets: list[TweetPieces], viewer: int) -> tuple[bytes | None, int]:
    """Return (what a viewer has done about some statuses and about what they reblog, stamp of his filters or 0).

    The first is a byte for each that `flagged` names, or None for nobody.
    """
    if not viewer or not tweets:
        return None, 0
    inner = [tweet.original for tweet in tweets if tweet.original is not None]
    parents = [answered(tweet.original or tweet) for tweet in tweets] + [answered(tweet) for tweet in inner]
    columns = (np.array(ids, dtype="<i8").tobytes() for ids in (*flagged(tweets), parents))
    flags, stamp = await services.ask_account(viewer, "flags_and_filters", *columns)
    return flags, stamp


async def completed(services: Services, bodies: list[bytes], viewer: int) -> list[bytes]:
    """Return statuses, or pages of them, with what is made when they are read: their polls, and what they quote.

    Whoever parses what a shard has joined calls this first: who writes it anew loses the marks.
    """
    if not any(map(has_marks, bodies)):
        return bodies
    return await _with_quotes(services, await with_polls(services, bodies, viewer), viewer)


async def _with_quotes(services: Services, bodies: list[bytes], viewer: int) -> list[bytes]:
    """See `completed`. What a quoted status quotes is named by its id alone, so it ends there."""
    marks = [quotes_in(body) for body in bodies]
    ids = list(dict.fromkeys(mark.tweet_id for found in marks for mark in found))[:QUOTES_SHOWN_MAX]
    if not ids:
        return bodies
    pieces = await seen_pieces(services, ids, viewer)
    joined, _ = await _joined(services, pieces, viewer)
    statuses = await with_polls(services, joined, viewer)
    shown: dict[int, bytes | None] = dict.fromkeys(ids, NOT_SEEN)
    for tweet, status in zip(pieces, statuses, strict=True):
        shown[tweet.tweet_id] = b'{"state":"accepted","quoted_status":%b}' % unmarked(status)
    return [replaced(body, found, shown) for body, found in zip(bodies, marks, strict=True)]


async def timeline_of(services: Services, op: str, args: list[int], viewer: int) -> tuple[list[bytes], int, int]:
    """Return (statuses, newest id, oldest id) of a timeline that the viewer's shard has joined: home, or a list's.

    Without filters the statuses are one, with commas between: they are passed on unread. Nothing: ids of 0.
    """
    reply = await services.ask_bucket(bucket_of_account(viewer), "shaped", [MASTODON, op, args])
    body, newest, oldest, *of_filters = reply
    if not newest:
        return [], 0, 0
    if not of_filters:
        return [body[1:-1]], newest, oldest
    stamp, places = of_filters
    shown = await completed(services, StatusPage(body, places).statuses, viewer)
    return await filtered(services, shown, viewer, stamp, HOME), newest, oldest


async def statuses_of(services: Services, tweet_ids: list[int], viewer: int, place: int = EVERYWHERE) -> list[bytes]:
    """Return the JSON of those statuses that a viewer (0: nobody) may see, in the order of their ids."""
    return await show(services, await seen_pieces(services, tweet_ids, viewer), viewer, place)


async def seen_pieces(services: Services, tweet_ids: list[int], viewer: int) -> list[TweetPieces]:
    """Return those statuses in pieces that a viewer (0: nobody) may see, in the order of their ids."""
    require_level(services, MASTODON_FROM_LEVEL)

    async def ask(group: list[int]) -> list[Any]:
        pieces: list[Any] = []
        for at in range(0, len(group), TWEETS_COUNT_MAX):
            part = group[at : at + TWEETS_COUNT_MAX]
            args = [part, viewer]
            (found,) = await ask_for_viewer(services, bucket_of_tweet(part[0]), "tweets", args, viewer, MASTODON)
            pieces += [TweetPieces.of(each) if each else each for each in found]
        return pieces

    async def ask_one(tweet_id: int) -> TweetPieces | None:
        try:
            return await pieces_of(services, tweet_id, viewer)
        except NotFoundError:
            return None

    return await hydrate(services, tweet_ids, bucket_of_tweet, ask, ask_one)


async def pieces_of(services: Services, tweet_id: int, viewer: int) -> TweetPieces:
    """Return one status in pieces. Raises NotFoundError where the viewer may not see it."""
    require_level(services, MASTODON_FROM_LEVEL)
    args = [tweet_id, viewer]
    return TweetPieces.of(await ask_for_viewer(services, bucket_of_tweet(tweet_id), "tweet", args, viewer, MASTODON))


async def status_of(services: Services, tweet_id: int, viewer: int) -> bytes:
    """Return the JSON of one status. Raises NotFoundError where the viewer may not see it."""
    (status,) = await show(services, [await pieces_of(services, tweet_id, viewer)], viewer)
    return status
