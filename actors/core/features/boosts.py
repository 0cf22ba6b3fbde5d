"""Boosts: reposts of which the account says to whom they are shown: everybody, listed or not, or its followers.

    boost --> the command `repost`, with that in its flags        answers its id

Rules of this file
- What is for followers alone only its author may boost, and then for followers alone: whoever sees the boost may see
  the original by itself.
- Everything else is as with a repost, and taken back as one (`features/reposts.py`).
- From level 3 of the cluster on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.core import arguments
from actors.core.entries import PUBLIC, UNLISTED, VISIBILITY_FLAGS
from actors.core.errors import InvalidError, NotFoundError
from actors.core.flags import FLAG_FOLLOWERS
from actors.core.terms import Feature, Prepared, Write, nothing
from actors.core.visibility import ReaderFacts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups

FROM_LEVEL: Final = 3
_VISIBILITIES: Final = (PUBLIC, 1, UNLISTED)  # not direct: that is for who is named, and a boost names nobody


def prepare_boost(shard: Lookups, now_ms: int, account_id: int, packed: bytes, visibility: int) -> Prepared:
    """Repost a tweet, given as its packed entry; the reply is the repost's id, of the old one if there is one.

    visibility: PUBLIC, UNLISTED, or 1 for followers. Raises ForbiddenError for what isn't public, nor the account's own
    for followers; NotFoundError if it is hidden from the account, or gone.
    """
    shard.require_level(FROM_LEVEL)
    row = shard.row(account_id)
    orig = arguments.original(packed, account_id)
    if arguments.whole(visibility, PUBLIC, UNLISTED, "visibility") not in _VISIBILITIES:
        raise InvalidError(f"a boost has no visibility {visibility}", "visibility")
    private = orig.flags & FLAG_FOLLOWERS or VISIBILITY_FLAGS[visibility]
    if shard.visibility.is_hidden(ReaderFacts(account_id), orig.author_id):
        raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
    known = shard.state.reposts.get(row, {}).get(orig.tweet_id)
    if known is not None:
        return nothing(known)
    if shard.state.shard_of_tweet(orig.tweet_id) == shard.state.shard and orig.tweet_id not in shard.state.tweets:
        raise NotFoundError(f"tweet {orig.tweet_id} does not exist", "tweet_id")
    shard.check_room()
    command = ["repost", account_id, shard.next_tweet_id(account_id, now_ms), packed]
    return Prepared([*command, private] if private else command, lambda made: made)


FEATURE = Feature("boosts", writes=(Write("boost", prepare_boost),))
