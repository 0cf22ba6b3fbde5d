"""Asking for tweets that somebody in particular reads or acts on.

Rules of this file
- The shards decide who may see what (`actors/core/visibility.py`). A tweet's shard may have to know of its reader what
  only the reader's shard does: whether a block stands between him and the author of what is reposted. It says so, and
  is asked again with the answer.
- What a shard may be asked about is what its page holds, not all that a reader has blocked or that have blocked him:
  nobody bounds how many those are.

- What shards can tell since a level only is asked of them from that level of the cluster on.

Costs: one lane request as a rule, three where reposts are shown of accounts that live neither there nor where the
reader does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from actors.core.errors import NotFoundError
from actors.core.ids import bucket_of_account, bucket_of_tweet
from actors.core.shape_table import NATIVE
from actors.core.terms import FULL_FROM_LEVEL
from actors.core.visibility import is_question
from api.ports import Asking

if TYPE_CHECKING:  # a dispatcher asks too, and has no use for all of an API worker
    from api.services import Services

ROUNDS_MAX = 64  # questions for one page; each asks about more accounts than the last, so some ten cover a long log


class TweetReference(NamedTuple):
    """What a repost has to know of a tweet. entry: what a repost of it carries; orig_id: its own id, or of what it
    reposts."""

    author_id: int
    username: str
    visibility: int
    entry: bytes
    orig_id: int


async def ask_for_viewer(
    services: Asking, bucket: int, op: str, args: list[Any], viewer: int, shape: int = NATIVE
) -> Any:
    """Ask for something that a viewer (0: nobody) is to see. args: all but the facts, which are the last one's.

    shape: in which tweets are shown (`actors/core/shape_table.py`).
    """
    if not viewer:
        return await _ask(services, bucket, op, args, shape)
    asked, hidden = b"", b""
    for _ in range(ROUNDS_MAX):
        reply = await _ask(services, bucket, op, [*args, [asked, hidden]], shape)
        if not is_question(reply):
            return reply
        asked += reply[1]
        hidden += await services.ask_account(viewer, "blocked_among", reply[1])
    return await _ask(services, bucket, op, args, shape)  # without facts nothing is shown that isn't sure


async def _ask(services: Asking, bucket: int, op: str, args: list[Any], shape: int) -> Any:
    if shape == NATIVE:
        return await services.ask_bucket(bucket, op, args)
    return await services.ask_bucket(bucket, "shaped", [shape, op, args])


async def ask_tweet(services: Asking, tweet_id: int, op: str, viewer: int) -> Any:
    """As `ask_for_viewer`, for an operation on one tweet."""
    return await ask_for_viewer(services, bucket_of_tweet(tweet_id), op, [tweet_id, viewer], viewer)


async def ask_user_timeline(services: Services, account_id: int, viewer: int, *page: int) -> Any:
    """As `ask_for_viewer`, for a page of an account's own tweets. page: max_id, since_id, min_id, count."""
    args = [account_id, viewer, *page, 0]
    return await ask_for_viewer(services, bucket_of_account(account_id), "user_timeline", args, viewer)


async def require_seen(services: Services, tweet_id: int, actor: int) -> int:
    """Return who wrote a tweet. Raises NotFoundError if the actor may not see it, or there is none."""
    if services.cluster.level < FULL_FROM_LEVEL:  # an older shard may be asked, which doesn't know `seen`
        return (await find_tweet(services, tweet_id, actor)).author_id
    author_id: int = await ask_tweet(services, tweet_id, "seen", actor)
    return author_id


async def find_tweet(services: Services, tweet_id: int, actor: int) -> TweetReference:
    """Return what a repost of a tweet has to know. Raises NotFoundError if the actor may not see it."""
    return TweetReference(*await ask_tweet(services, tweet_id, "tweet_ref", actor))


async def find_original(services: Services, tweet_id: int, actor: int) -> TweetReference:
    """As `find_tweet`; of a repost what it reposts, which the actor must be allowed to see by its own id as well.

    So its own shard is asked, which knows of a block before any other, and what its author has deleted.
    """
    found = await find_tweet(services, tweet_id, actor)
    if found.orig_id == tweet_id:
        return found
    try:
        return await find_tweet(services, found.orig_id, actor)
    except NotFoundError as error:  # of the id that was asked for
        raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id") from error
