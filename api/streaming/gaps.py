"""What streams have missed when a shard can't say so any more: read again, as a client would by `min_id`.

    Gap(account, topics, shard, newest id) --> home, lists, notices of the account's shard; public tweets of any
                                           --> their tweets, as the account may see them now --> events, oldest first

Rules of this file
- For connections that know nothing of cursors: a restarted shard leaves no gap that they would see. What was deleted or
  edited meanwhile isn't told, nor a tweet that came late with an id below the newest one heard of.
- READ_MAX of each topic, the newest.

Cost: as one page of each topic.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from actors.core.features.notifications import TYPES_ALL
from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces
from actors.core.shape_table import MASTODON
from api.mastodon.statuses import seen_pieces, tags_of
from api.native.hydration import tweets_by_id
from api.services import Services
from api.streaming.events import NOTIFICATION, UPDATE, Event
from api.streaming.hearers import Gap, is_told

READ_MAX: Final = 200

_LIST: Final = "list:"


class GapReader:
    """Reads gaps, with the parts of this worker."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, gap: Gap) -> list[Event]:
        """Return what came after a gap began, oldest first. Raises RookeryError."""
        topics_of: dict[int, set[str]] = {}
        if self._is_own(gap):
            for topic in sorted(gap.topics):
                for tweet_id in await self._ids_of(gap, topic):
                    topics_of.setdefault(tweet_id, set()).add(topic)
        events = await self._of_tweets(gap, topics_of) if topics_of else []
        if any(map(is_told, gap.topics)):
            events += await self._public(gap)
        if self._is_own(gap) and gap.notice_id:
            events += await self._notices(gap)
        return sorted(events, key=lambda event: event.tweet_id if event.notice is None else event.notice[0])

    def _is_own(self, gap: Gap) -> bool:
        return bool(gap.account_id) and self._services.cluster.shard_of(bucket_of_account(gap.account_id)) == gap.shard

    async def _ids_of(self, gap: Gap, topic: str) -> list[int]:
        account_id, services = gap.account_id, self._services
        if topic == "user":
            found = await services.ask_account(account_id, "home_ids", 0, READ_MAX)
            return [tweet_id for tweet_id in found if tweet_id > gap.newest_id]
        if topic.startswith(_LIST):
            asked = [account_id, int(topic[len(_LIST) :]), 0, gap.newest_id, 0, READ_MAX]
            page = await services.ask_bucket(
                bucket_of_account(account_id), "shaped", [MASTODON, "list_timeline", asked]
            )
            return [int(status["id"]) for status in orjson.loads(page[0])]
        return []

    async def _of_tweets(self, gap: Gap, topics_of: dict[int, set[str]]) -> list[Event]:
        """Return an event for each tweet and topic, of those that the account may see."""
        ids = sorted(topics_of)[-READ_MAX:]
        pieces = await seen_pieces(self._services, ids, gap.account_id)
        native = await tweets_by_id(self._services, ids, gap.account_id)
        return [
            _update(tweet, frozenset((topic,)), native.get(tweet.tweet_id))
            for tweet in pieces
            for topic in sorted(topics_of[tweet.tweet_id])
        ]

    async def _public(self, gap: Gap) -> list[Event]:
        """Return what the shard's own accounts have posted for everybody."""
        args = [MASTODON, "public_tweets", [gap.account_id, 0, gap.newest_id, 0, READ_MAX]]
        found, _ = await self._services.cluster.call_shard(gap.shard, "shaped", args)
        tweets = [TweetPieces.of(each) for each in found]
        native = await tweets_by_id(self._services, [tweet.tweet_id for tweet in tweets], gap.account_id)
        events = []
        for tweet in tweets:
            topics = {topic for topic in gap.topics if topic in ("public", "public:local")}
            topics |= {f"hashtag:{tag}" for tag in tags_of(tweet)} | {f"hashtag:local:{tag}" for tag in tags_of(tweet)}
            if heard := gap.topics & topics:
                events.append(_update(tweet, frozenset(heard), native.get(tweet.tweet_id)))
        return events

    async def _notices(self, gap: Gap) -> list[Event]:
        asked: list[Any] = [TYPES_ALL, 0, [], 0, gap.notice_id, 0, READ_MAX]
        rows, _ = await self._services.ask_account(gap.account_id, "notices", *asked)
        topics = frozenset(gap.topics & {"user", "user:notification"})
        return [Event(NOTIFICATION, topics, tweet_id=row[4], notice=row) for row in rows]


def _update(tweet: TweetPieces, topics: frozenset[str], native: bytes | None) -> Event:
    return Event(UPDATE, topics, tweet, native, tweet.tweet_id, tweet.author_id)
