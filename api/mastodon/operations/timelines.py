"""Timelines: home, and an account's own statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from actors.core.features.filters import ACCOUNT
from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces
from actors.core.shape_table import MASTODON, MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.call import Answer, Call
from api.mastodon.fast_home import HOME_PATH
from api.mastodon.pages import Window
from api.mastodon.statuses import answered, answered_author, has_media, show, tags_of, timeline_of
from api.mastodon.table import Operation
from api.native.visible import ask_for_viewer
from api.search.hashtags import bare_tag

Choice = Callable[[TweetPieces], bool]
ROUNDS_MAX: Final = 5  # lane requests for a page of which some are left out: 200 statuses are looked at, at most


class ChosenStatuses(NamedTuple):
    """Statuses of an account, newest first; from where to where was looked, and whether that goes on."""

    tweets: list[TweetPieces]
    newest: int
    oldest: int
    has_more: bool


async def home(call: Call) -> Answer:
    """The newest statuses of those that you follow, and your own: one lane request."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    args = [call.viewer, *call.window()]
    statuses, newest, oldest = await timeline_of(call.services, "home", args, call.viewer)
    return call.page(statuses, newest, oldest, bool(newest))


async def of_account(call: Call) -> Answer:
    """What an account has said, that you may see; without reblogs, without answers to others, with a hashtag only."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    account_id, window = call.id(), call.window()
    if call.params.flag("pinned"):
        return await _pinned(call, account_id)
    found = await _chosen(call, account_id, window, _choice(call, account_id))
    return call.page(await show(call.services, found.tweets, call.viewer, ACCOUNT), *found[1:])


def _choice(call: Call, account_id: int) -> Choice | None:
    """Return which statuses of an account a client wants, None for all. Raises MalformedError."""
    no_reblogs, no_replies = call.params.flag("exclude_reblogs"), call.params.flag("exclude_replies")
    tag, only_media = bare_tag(call.params.text("tagged")).lower(), call.params.flag("only_media")
    if not (no_reblogs or no_replies or tag or only_media):
        return None

    def is_wanted(tweet: TweetPieces) -> bool:
        if only_media and (tweet.original is not None or not has_media(tweet)):
            return False
        if (no_reblogs and tweet.original is not None) or (tag and tag not in tags_of(tweet)):
            return False
        return not (no_replies and answered(tweet) and answered_author(tweet) != account_id)  # a thread is no answer

    return is_wanted


async def _chosen(call: Call, account_id: int, window: Window, choice: Choice | None) -> ChosenStatuses:
    """Return a page of an account's statuses. Raises NotFoundError.

    Where some are left out, more are read until the page is full, ROUNDS_MAX times: who asks may still get fewer, even
    none, and the Link goes on.
    """
    found: list[TweetPieces] = []
    first = last = 0  # of what was looked at
    at = window
    for _ in range(ROUNDS_MAX if choice else 1):
        args = [account_id, call.viewer, *at, 0]
        bucket = bucket_of_account(account_id)
        body, newest, oldest = await ask_for_viewer(call.services, bucket, "user_timeline", args, call.viewer, MASTODON)
        tweets = [TweetPieces.of(each) for each in body]
        first, last = max(first, newest), min(last or oldest, oldest or last)
        chosen = list(filter(choice, tweets)) if choice else tweets
        found = chosen + found if window.min_id else found + chosen
        has_more = len(tweets) == window.limit
        if not has_more or len(found) >= window.limit:
            break
        at = at._replace(min_id=newest) if window.min_id else at._replace(max_id=oldest)
    if len(found) <= window.limit:
        return ChosenStatuses(found, first, last, has_more)
    if window.min_id:
        return ChosenStatuses(found[-window.limit :], found[-window.limit].tweet_id, last, True)
    return ChosenStatuses(found[: window.limit], first, found[window.limit - 1].tweet_id, True)


async def _pinned(call: Call, account_id: int) -> Answer:
    """What an account has pinned and you may see, the newest pin first: they are few, and all of them."""
    args = [MASTODON, "pins", [account_id, call.viewer]]
    found = await call.services.ask_bucket(bucket_of_account(account_id), "shaped", args)
    return call.page(await show(call.services, [TweetPieces.of(each) for each in found], call.viewer), 0, 0, False)


OPERATIONS: Final = (
    Operation("GET", HOME_PATH, "read:statuses", "Status[]", home),
    Operation("GET", "/api/v1/accounts/{id}/statuses", "", "Status[]", of_account),
)
