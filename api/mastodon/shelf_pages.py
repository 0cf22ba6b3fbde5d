"""Pages of what is kept by when it was put there: favourites, bookmarks, who has favourited, blocks, mutes.

Rules of this file
- The cursors of their Links are stamps, not ids of what is shown: clients take them from there, and pass them back.
- What is gone or hidden is left out of a page, which goes on all the same.
"""

from __future__ import annotations

from typing import NamedTuple

from actors.core.ids import bucket_of_tweet
from actors.core.shape_table import MASTODON_FROM_LEVEL
from actors.core.terms import Kind
from api.levels import require_level
from api.mastodon.accounts import accounts_of
from api.mastodon.call import Answer, Call
from api.mastodon.pages import Window
from api.native.visible import ask_for_viewer

ACCOUNTS_DEFAULT, ACCOUNTS_MAX = 40, 80  # accounts of a page, as Mastodon has it


class ShelfPage(NamedTuple):
    """Keys, newest first, and from where to where they were put there."""

    keys: list[int]
    newest: int
    oldest: int
    has_more: bool


async def shelf_of_account(call: Call, kind: Kind, account_id: int, window: Window) -> ShelfPage:
    """Return a page of what an account keeps. Whether the viewer may know of it is the caller's business."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    return ShelfPage(*await call.services.ask_account(account_id, "shelf", kind.number, *window))


async def shelf_of_tweet(call: Call, kind: Kind, tweet_id: int, window: Window) -> ShelfPage:
    """Return a page of the accounts round a tweet that the viewer may see. Raises NotFoundError if not even that."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    args = [tweet_id, call.viewer, kind.number, *window]
    found = await ask_for_viewer(call.services, bucket_of_tweet(tweet_id), "shelf_of_tweet", args, call.viewer)
    return ShelfPage(*found)


async def accounts_page(call: Call, page: ShelfPage) -> Answer:
    """Answer a page of accounts."""
    shown = await accounts_of(call.services, page.keys, call.viewer)
    return call.page(shown, page.newest, page.oldest, page.has_more)
