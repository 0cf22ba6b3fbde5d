"""What streams have missed when a shard can't say so any more: read again, as a client would by `min_id`.

    Gap(account, topics, shard, known ...) --> home, lists, conversations, notices of the account's shard; public tweets
                                           --> their tweets, as the account may see them now --> events, oldest first
                                           --> what it knows, as it is now: deleted, edited?

Rules of this file
- For connections that know nothing of cursors: a restarted shard leaves no gap that they would see.
- What is new is what they weren't told (`told.py`), whatever its id: a tweet that came late has one below others.
- Of what they were told lately it is told what was deleted, or edited; of what is older nobody knows whom to tell.
- READ_MAX of each topic, the newest: if more were missed, the stream ends, and its client comes back.
- Filters are said to have changed: nobody knows whether they have.

Cost: as one page of each topic, and one of what was told lately.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from actors.core.errors import TooLargeError
from actors.core.features.notifications import TYPES_ALL
from actors.core.ids import bucket_of_account
from actors.core.joining import TweetPieces
from actors.core.shape_table import MASTODON
from api.mastodon.statuses import seen_by, seen_pieces, tags_of
from api.native.hydration import tweets_by_id
from api.services import Services
from api.streaming.events import CONVERSATION, DELETE, FILTERS_CHANGED, NOTIFICATION, STATUS_UPDATE, UPDATE, Event
from api.streaming.hearers import Gap, is_told
from api.streaming.told import GONE, version_of

READ_MAX: Final = 200
CONVERSATIONS_MAX: Final = 40
CHANGED_MAX: Final = 200  # tweets that are looked at anew, the newest that were told

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
                for tweet_id in new_to(gap, await self._ids_of(gap, topic), topic):
                    topics_of.setdefault(tweet_id, set()).add(topic)
        events = await self._of_tweets(gap, topics_of) if topics_of else []
        if any(map(is_told, gap.topics)):
            events += await self._public(gap)
        if self._is_own(gap) and gap.notice_id >= 0:
            events += await self._notices(gap)
        events.sort(key=lambda event: event.tweet_id if event.notice is None else event.notice[0])
        events += await self._changed(gap)
        await self._put_flags(gap, events)
        if self._is_own(gap):
            if "direct" in gap.topics:
                events += await self._conversations(gap)
            if "user" in gap.topics:
                events.append(Event(FILTERS_CHANGED, frozenset(("user",))))
        return events

    def _is_own(self, gap: Gap) -> bool:
        return bool(gap.account_id) and self._services.cluster.shard_of(bucket_of_account(gap.account_id)) == gap.shard

    async def _ids_of(self, gap: Gap, topic: str) -> list[int]:
        account_id, services = gap.account_id, self._services
        if topic == "user":
            found: list[int] = await services.ask_account(account_id, "home_ids", 0, READ_MAX)
            return found
        if topic.startswith(_LIST):
            asked = [account_id, int(topic[len(_LIST) :]), 0, gap.since_id, 0, READ_MAX]
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
        args = [MASTODON, "public_tweets", [gap.account_id, 0, gap.since_id, 0, READ_MAX]]
        found, _ = await self._services.cluster.call_shard(gap.shard, "shaped", args)
        every = [TweetPieces.of(each) for each in found]
        _see_it_is_whole(gap, [tweet.tweet_id for tweet in every])
        known = {tweet_id for tweet_id, topic in gap.known if is_told(topic)}
        tweets = [tweet for tweet in every if tweet.tweet_id not in known]
        native = await tweets_by_id(self._services, [tweet.tweet_id for tweet in tweets], gap.account_id)
        events = []
        for tweet in tweets:
            topics = {topic for topic in gap.topics if topic in ("public", "public:local")}
            topics |= {f"hashtag:{tag}" for tag in tags_of(tweet)} | {f"hashtag:local:{tag}" for tag in tags_of(tweet)}
            if heard := gap.topics & topics:
                events.append(_update(tweet, frozenset(heard), native.get(tweet.tweet_id)))
        return events

    async def _changed(self, gap: Gap) -> list[Event]:
        """Return what has become of what is known: only its own shard's part of that is this gap's."""
        is_own = self._is_own(gap)
        topics_of: dict[int, set[str]] = {}
        for (tweet_id, topic), version in gap.known.items():
            if version != GONE and (is_own or is_told(topic)):
                topics_of.setdefault(tweet_id, set()).add(topic)
        if not topics_of:
            return []
        ids = sorted(topics_of)[-CHANGED_MAX:]
        pieces = {tweet.tweet_id: tweet for tweet in await seen_pieces(self._services, ids, gap.account_id)}
        edited = {
            tweet_id: tweet for tweet_id, tweet in pieces.items()
            if version_of(tweet) > max(gap.known[tweet_id, topic] for topic in topics_of[tweet_id])
        }  # fmt: skip
        shown = {tweet_id: tweet.original or tweet for tweet_id, tweet in edited.items()}
        native = await tweets_by_id(
            self._services, sorted({tweet.tweet_id for tweet in shown.values()}), gap.account_id
        ) if shown else {}  # fmt: skip
        pages = await self._pages_of(gap, {topic for tweet_id in edited for topic in topics_of[tweet_id]})
        found: dict[tuple[int, str], Event] = {}
        for tweet_id in ids:
            for topic in sorted(topics_of[tweet_id]):
                topics = frozenset((topic,))
                if tweet_id not in pieces:
                    found[tweet_id, topic] = Event(DELETE, topics, tweet_id=tweet_id)
                elif tweet_id in shown and (topic not in pages or tweet_id in pages[topic]):
                    found[shown[tweet_id].tweet_id, topic] = _update(
                        shown[tweet_id], topics, native.get(shown[tweet_id].tweet_id), STATUS_UPDATE
                    )
        return list(found.values())

    async def _pages_of(self, gap: Gap, topics: set[str]) -> dict[str, set[int]]:
        """Return what some topics hold now, of those that a follow decides about: what was told may be in none now."""
        own = sorted(topic for topic in topics if topic == "user" or topic.startswith(_LIST))
        return {topic: set(await self._ids_of(gap, topic)) for topic in own}

    async def _put_flags(self, gap: Gap, events: list[Event]) -> None:
        """Have each status say what the account has done about it."""
        tweets = list({event.tweet.tweet_id: event.tweet for event in events if event.tweet is not None}.values())
        flags, _ = await seen_by(self._services, tweets, gap.account_id)
        if not flags:
            return
        of_originals = iter(flags[len(tweets) :])
        own = {
            tweet.tweet_id: bytes([flag] if tweet.original is None else [flag, next(of_originals)])
            for tweet, flag in zip(tweets, flags, strict=False)
        }
        for event in events:
            if event.tweet is not None and any(own[event.tweet.tweet_id]):
                event.own_flags = own[event.tweet.tweet_id]

    async def _conversations(self, gap: Gap) -> list[Event]:
        """Return those that have something new, the oldest first."""
        rows, *_ = await self._services.ask_account(gap.account_id, "conversations", 0, 0, 0, CONVERSATIONS_MAX)
        direct = frozenset(("direct",))
        new = [(row[0], row[1]) for row in rows if row[1] > max(gap.talks_since_id, gap.talks.get(row[0], 0))]
        return [Event(CONVERSATION, direct, tweet_id=newest_id, root=root) for root, newest_id in reversed(new)]

    async def _notices(self, gap: Gap) -> list[Event]:
        asked: list[Any] = [TYPES_ALL, 0, [], 0, gap.notice_id, 0, READ_MAX]
        rows, _ = await self._services.ask_account(gap.account_id, "notices", *asked)
        topics = frozenset(gap.topics & {"user", "user:notification"})
        return [Event(NOTIFICATION, topics, tweet_id=row[4], notice=row) for row in rows]


def new_to(gap: Gap, ids: list[int], topic: str) -> list[int]:
    """Return which of the newest tweets of a topic are new to a listener. Raises TooLargeError if there may be more."""
    _see_it_is_whole(gap, ids)
    return [tweet_id for tweet_id in ids if tweet_id > gap.since_id and (tweet_id, topic) not in gap.known]


def _see_it_is_whole(gap: Gap, ids: list[int]) -> None:
    if len(ids) >= READ_MAX and min(ids) > gap.newest_id:
        raise TooLargeError(f"a stream has missed more than {READ_MAX} tweets")


def _update(tweet: TweetPieces, topics: frozenset[str], native: bytes | None, kind: str = UPDATE) -> Event:
    return Event(kind, topics, tweet, native, tweet.tweet_id, tweet.author_id)
