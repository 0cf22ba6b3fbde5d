"""What a status answers, and what answers it: the whole thread, as far as its reader may see it.

    up      lineage from shard to shard
    down    children of a level --their shards--> those that he may see, and so on

Rules of this file
- Bounded: ANCESTORS_MAX up; LEVELS_MAX and DESCENDANTS_MAX down, of a status's replies the newest. Without a token as
  many as Mastodon shows then.
- What is gone or hidden ends its line, up as down: an answer to what a reader can't see is out of the thread for him.
- Descendants are in the order in which they are read: each with what answers it behind it, siblings by their age.

Cost: up one request for each time that the author's shard is another; down two rounds a level over all shards.
"""

from __future__ import annotations

from typing import Any, Final

from actors.core.errors import NotFoundError
from actors.core.ids import bucket_of_tweet
from actors.core.joining import TweetPieces
from actors.core.limits import LINEAGE_COUNT_MAX, TWEETS_COUNT_MAX
from actors.core.shape_table import MASTODON
from api.mastodon.statuses import seen_pieces
from api.native.hydration import hydrate
from api.native.visible import ask_for_viewer
from api.services import Services

ANCESTORS_MAX: Final = 100
LEVELS_MAX: Final = 20
DESCENDANTS_MAX: Final = 400
STRANGERS_ANCESTORS_MAX: Final = 40
STRANGERS_DESCENDANTS_MAX: Final = 60


async def ancestors_of(services: Services, tweet_id: int, viewer: int) -> list[TweetPieces]:
    """Return what a tweet answers, the first of the thread first. Raises NotFoundError if he can't see the tweet."""
    line: list[TweetPieces] = []
    following, count = tweet_id, 1 + (ANCESTORS_MAX if viewer else STRANGERS_ANCESTORS_MAX)
    while following and len(line) < count:
        args = [following, viewer, min(count - len(line), LINEAGE_COUNT_MAX)]
        bucket = bucket_of_tweet(following)
        try:
            part, following = await ask_for_viewer(services, bucket, "lineage", args, viewer, MASTODON)
        except NotFoundError:
            if not line:
                raise
            break
        line += map(TweetPieces.of, part)
    return line[:0:-1]


async def descendants_of(services: Services, tweet_id: int, viewer: int) -> list[TweetPieces]:
    """Return what answers a tweet, and what answers that, in the order in which it is read."""
    room = DESCENDANTS_MAX if viewer else STRANGERS_DESCENDANTS_MAX
    answers: dict[int, list[int]] = {}
    shown: dict[int, TweetPieces] = {}
    level = [tweet_id]
    for _ in range(LEVELS_MAX):
        children = await _children(services, level, room)
        wanted = [child for parent in level for child in children.get(parent, ()) if child not in shown][:room]
        seen = {tweet.tweet_id: tweet for tweet in await seen_pieces(services, wanted, viewer)}
        shown |= seen
        room -= len(seen)
        answers |= {parent: [child for child in sorted(children.get(parent, ())) if child in seen] for parent in level}
        level = list(seen)
        if not level or not room:
            break
    return [shown[each] for each in _in_order(tweet_id, answers)]


def _in_order(tweet_id: int, answers: dict[int, list[int]]) -> list[int]:
    """Return all that answers a tweet, depth first. A tweet answers one other, so none is met twice."""
    found, waiting = list[int](), [*reversed(answers.get(tweet_id, ()))]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += reversed(answers.get(each, ()))
    return found


async def _children(services: Services, tweet_ids: list[int], count: int) -> dict[int, list[int]]:
    """Return the newest replies of tweets, at most count each."""

    async def ask(group: list[int]) -> list[Any]:
        rows: list[Any] = []
        for at in range(0, len(group), TWEETS_COUNT_MAX):
            part = group[at : at + TWEETS_COUNT_MAX]
            found = await services.ask_bucket(bucket_of_tweet(part[0]), "children", [part, count])
            rows += [ids if ids is False else (parent, ids) for parent, ids in zip(part, found, strict=True)]
        return rows

    async def ask_one(parent: int) -> Any:
        (row,) = await ask([parent])
        return row

    return dict(await hydrate(services, tweet_ids, bucket_of_tweet, ask, ask_one))
