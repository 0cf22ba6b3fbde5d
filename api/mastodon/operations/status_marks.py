"""What a reader does with statuses: favourite, reblog, bookmark, pin, mute their conversation; and the lists of these.

    POST --> which status is meant --settled write--> the account's shard --> the status again --+--> the answer
                                                                         +--> the new flags -----+

Rules of this file
- The answer is read once the write is settled, so it says what every later read says.
- The id of a reblog means what it reblogs; only where a pin is asked for it doesn't: a reblog can't be pinned.
- A mark is three rounds of lane requests, the write among them; one more, and twice, where a reblog is meant.
- Doing it again, or taking back what isn't there, is answered as if it had done something.
"""

from __future__ import annotations

import asyncio
from typing import Final

from actors.core.entries import PUBLIC, UNLISTED
from actors.core.errors import ForbiddenError, InvalidError, NotFoundError
from actors.core.features.bookmarks import BOOKMARK
from actors.core.features.conversation_mutes import MUTED_CONVERSATION
from actors.core.features.likes import LIKE, LIKER
from actors.core.features.reposts import REPOSTER
from actors.core.features.viewer_flags import BOOKMARKED, CONVERSATION_MUTED, LIKED, REPOSTED
from actors.core.ids import bucket_of_tweet
from actors.core.joining import TweetPieces, join_tweets
from actors.core.limits import LINEAGE_COUNT_MAX
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from actors.core.terms import Kind
from api.levels import require_level
from api.limits import ANCESTOR_COUNT_MAX
from api.mastodon.call import Answer, Call
from api.mastodon.context import descendants_of
from api.mastodon.filtering import filtered
from api.mastodon.shelf_pages import ACCOUNTS_DEFAULT, ACCOUNTS_MAX, accounts_page, shelf_of_account, shelf_of_tweet
from api.mastodon.statuses import ENDS, completed, pieces_of, seen_by, statuses_of
from api.mastodon.table import Operation
from api.native.visible import TweetReference, ask_for_viewer, find_original

_OF_ORIGINAL: Final = LIKED | REPOSTED | BOOKMARKED | CONVERSATION_MUTED  # said of a reblog as well, in an answer
_MUTED_PAGE: Final = 800  # marks of muted conversations in one question
_VISIBILITIES: Final = {"public": PUBLIC, "private": 1, "unlisted": UNLISTED}


async def favourite(call: Call) -> Answer:
    """Favourite a status that you may see."""
    return await _mark(call, "like")


async def unfavourite(call: Call) -> Answer:
    """Take a favourite back."""
    return await _unmark(call, "unlike")


async def bookmark(call: Call) -> Answer:
    """Keep a status that you may see; nobody else is told."""
    return await _mark(call, "bookmark")


async def unbookmark(call: Call) -> Answer:
    """Take a bookmark away."""
    return await _unmark(call, "unbookmark")


async def reblog(call: Call) -> Answer:
    """Reblog a status; the answer is the reblog, with the status inside."""
    said = call.params.text("visibility", "public")
    if said not in _VISIBILITIES:
        raise InvalidError(f"visibility must be public, unlisted or private, not {said[:40]!r}", "visibility")
    found = await _original(call)
    repost = await call.settle("boost", found.entry, _VISIBILITIES[said])
    return await _answer(call, repost)


async def unreblog(call: Call) -> Answer:
    """Take a reblog back, given as itself or as what it reblogs; the answer is that."""
    found = await _original(call)
    await call.settle("unrepost", found.orig_id)
    return await _answer(call, found.orig_id)


async def pin(call: Call) -> Answer:
    """Have a status of your own stand first on your profile."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    tweet = await pieces_of(call.services, call.id(), call.viewer)
    try:
        await call.settle("pin", call.id())
    except ForbiddenError as error:  # which Mastodon calls invalid
        raise InvalidError(error.message, "id") from error
    return await _answer_seen(call, tweet)


async def unpin(call: Call) -> Answer:
    """Take a pin away."""
    return await _unmark(call, "unpin")


async def mute(call: Call) -> Answer:
    """Hear no more of the conversation in which a status stands."""
    return await _mute(call, "mute_conversation")


async def unmute(call: Call) -> Answer:
    """Hear of a conversation again."""
    return await _mute(call, "unmute_conversation")


async def favourites(call: Call) -> Answer:
    """What you have favourited, the newest favourite first."""
    return await _list(call, LIKE)


async def bookmarks(call: Call) -> Answer:
    """What you have bookmarked, the newest bookmark first."""
    return await _list(call, BOOKMARK)


async def favourited_by(call: Call) -> Answer:
    """Who has favourited a status, the newest first."""
    return await _who(call, LIKER)


async def reblogged_by(call: Call) -> Answer:
    """Who has reblogged a status, the newest first."""
    return await _who(call, REPOSTER)


async def _original(call: Call) -> TweetReference:
    """Return what a reblog of the status that is meant carries. Raises NotFoundError if the viewer may not see it."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return await find_original(call.services, call.id(), call.viewer)


async def _seen(call: Call, status_id: int) -> TweetPieces:
    """Return a status as it is now; what it reblogs as that one's own shard has it, whose counts are those of now.

    Raises NotFoundError if the viewer may not see it, or what it reblogs: that shard knows of a block before any other.
    """
    require_level(call.services, MASTODON_FROM_LEVEL)
    tweet = await pieces_of(call.services, status_id, call.viewer)
    if tweet.original is None:
        return tweet
    try:
        return tweet._replace(original=await pieces_of(call.services, tweet.orig_id, call.viewer))
    except NotFoundError as error:  # of the id that was asked for
        raise NotFoundError(f"status {status_id} does not exist", "id") from error


async def _mark(call: Call, op: str) -> Answer:
    tweet = await _seen(call, call.id())
    await call.settle(op, tweet.orig_id)
    return await _answer_seen(call, tweet)


async def _unmark(call: Call, op: str) -> Answer:
    """As `_mark`; a reblog may also have a mark of its own, which it got by the other API."""
    tweet = await _seen(call, call.id())
    for tweet_id in dict.fromkeys((tweet.orig_id, call.id())):
        await call.settle(op, tweet_id)
    return await _answer_seen(call, tweet)


async def _answer(call: Call, status_id: int) -> Answer:
    """Answer a status as it is now; a reblog says as well what was done about what it reblogs."""
    tweet = await _seen(call, status_id)
    return await _shown(call, tweet, *await seen_by(call.services, [tweet], call.viewer))


async def _answer_seen(call: Call, before: TweetPieces) -> Answer:
    """As `_answer`, of a status that was seen before the write: its shard and the viewer's are asked at once."""
    (flags, stamp), tweet = await asyncio.gather(
        seen_by(call.services, [before], call.viewer), _seen(call, before.tweet_id)
    )
    return await _shown(call, tweet, flags, stamp)


async def _shown(call: Call, tweet: TweetPieces, flags: bytes | None, stamp: int) -> Answer:
    if flags is not None and tweet.original is not None:
        flags = bytes((flags[0] | flags[1] & _OF_ORIGINAL, flags[1]))
    shown = await completed(call.services, join_tweets(ENDS, [tweet], flags), call.viewer)
    (status,) = await filtered(call.services, shown, call.viewer, stamp)
    return Answer(status)


async def _mute(call: Call, op: str) -> Answer:
    tweet = await _seen(call, call.id())
    line = await _line(call, tweet.orig_id)
    if op == "unmute_conversation":
        line += await _muted_below(call, tweet.orig_id, line)
    for begin in range(0, len(line), LINEAGE_COUNT_MAX):
        await call.settle(op, line[begin : begin + LINEAGE_COUNT_MAX])
    return await _answer_seen(call, tweet)


async def _muted_below(call: Call, tweet_id: int, line: list[int]) -> list[int]:
    """Return what answers a status, as far as a thread shows it, and was muted from there."""
    muted: set[int] = set()
    before, has_more = 0, True
    while has_more:
        args = [MUTED_CONVERSATION.number, before, 0, 0, _MUTED_PAGE]
        keys, _, before, has_more = await call.services.ask_account(call.viewer, "shelf", *args)
        muted.update(keys)
    if not muted.difference(line):
        return []
    below = await descendants_of(call.services, tweet_id, call.viewer)
    return [tweet.tweet_id for tweet in below if tweet.tweet_id in muted]


async def _line(call: Call, tweet_id: int) -> list[int]:
    """Return a status's id and those of what it answers, as far up as the viewer may see, at most 41."""
    line: list[int] = []
    following = tweet_id
    while following and len(line) <= ANCESTOR_COUNT_MAX:
        args = [following, call.viewer, 1 + ANCESTOR_COUNT_MAX - len(line)]
        bucket = bucket_of_tweet(following)
        try:
            part, following = await ask_for_viewer(call.services, bucket, "lineage", args, call.viewer, MASTODON)
        except NotFoundError:
            break
        line += [TweetPieces.of(each).tweet_id for each in part]
    return line


async def _list(call: Call, kind: Kind) -> Answer:
    page = await shelf_of_account(call, kind, call.viewer, call.window())
    shown = await statuses_of(call.services, page.keys, call.viewer)
    return call.page(shown, page.newest, page.oldest, page.has_more)


async def _who(call: Call, kind: Kind) -> Answer:
    """A reblog has no favourites and reblogs of its own: they are those of what it reblogs."""
    window = call.window(ACCOUNTS_DEFAULT, ACCOUNTS_MAX)
    tweet = await pieces_of(call.services, call.id(), call.viewer)
    return await accounts_page(call, await shelf_of_tweet(call, kind, tweet.orig_id, window))


_STATUS: Final = "/api/v1/statuses/{id}"
_ACTIONS: Final = (
    (favourite, "write:favourites"), (unfavourite, "write:favourites"), (reblog, "write:statuses"),
    (unreblog, "write:statuses"), (bookmark, "write:bookmarks"), (unbookmark, "write:bookmarks"),
    (pin, "write:accounts"), (unpin, "write:accounts"), (mute, "write:mutes"), (unmute, "write:mutes"),
)  # fmt: skip
OPERATIONS: Final = (
    *(Operation("POST", f"{_STATUS}/{run.__name__}", scope, "Status", run) for run, scope in _ACTIONS),
    Operation("GET", f"{_STATUS}/favourited_by", "", "Account[]", favourited_by),
    Operation("GET", f"{_STATUS}/reblogged_by", "", "Account[]", reblogged_by),
    Operation("GET", "/api/v1/favourites", "read:favourites", "Status[]", favourites),
    Operation("GET", "/api/v1/bookmarks", "read:bookmarks", "Status[]", bookmarks),
)
