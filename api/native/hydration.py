"""Turns a page of ids into what is shown of them: cards of accounts, JSON of tweets.

Rules of this file
- Ids come from one shard, what is shown of them from their own, which decide what the viewer (0: nobody) may see.
- Each shard is asked once, for all its ids of the page, in parallel. What it says another one has, as its bucket has
  just moved, is asked for one by one.
- The order stays, and what is gone or hidden is left out. Bytes are passed on unread.

Cost: one lane request per shard; for tweets three where `visible.py` has to ask the reader's shard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from actors.core.errors import NotFoundError
from actors.core.ids import bucket_of_account, bucket_of_tweet
from api.native.visible import ask_for_viewer, ask_tweet
from api.ports import Asking

T = TypeVar("T")
Shown = bytes | bool | None  # JSON; False: another shard's; None: gone, or not for the viewer


async def hydrate_cards(shards: Asking, account_ids: list[int], viewer: int) -> list[bytes]:
    """Return the cards of accounts, at most 200."""
    found = await cards_by_id(shards, account_ids, viewer)
    return [found[each] for each in account_ids if each in found]


async def cards_by_id(shards: Asking, account_ids: list[int], viewer: int) -> dict[int, bytes]:
    """As `hydrate_cards`, by account."""

    async def ask(group: list[int]) -> list[Shown]:
        cards: list[Shown] = await shards.ask_bucket(bucket_of_account(group[0]), "cards", [group, viewer])
        return cards

    async def ask_one(account_id: int) -> Shown:
        (card,) = await ask([account_id])
        return card

    return await hydrate_by_id(shards, account_ids, bucket_of_account, ask, ask_one)


async def hydrate_tweets(shards: Asking, tweet_ids: list[int], viewer: int) -> list[bytes]:
    """Return the JSON of tweets, at most 200. Only from the cluster's level 1 on."""
    found = await tweets_by_id(shards, tweet_ids, viewer)
    return [found[each] for each in tweet_ids if each in found]


async def tweets_by_id(shards: Asking, tweet_ids: list[int], viewer: int) -> dict[int, bytes]:
    """As `hydrate_tweets`, by tweet."""

    async def ask(group: list[int]) -> list[Shown]:
        tweets: list[Shown]
        (tweets,) = await ask_for_viewer(shards, bucket_of_tweet(group[0]), "tweets", [group, viewer], viewer)
        return tweets

    async def ask_one(tweet_id: int) -> Shown:
        try:
            tweet: bytes = await ask_tweet(shards, tweet_id, "tweet", viewer)
        except NotFoundError:
            return None
        return tweet

    return await hydrate_by_id(shards, tweet_ids, bucket_of_tweet, ask, ask_one)


async def hydrate(
    shards: Asking, ids: list[int], bucket_of: Callable[[int], int],
    ask: Callable[[list[int]], Awaitable[list[T | bool | None]]], ask_one: Callable[[int], Awaitable[T | bool | None]],
) -> list[T]:  # fmt: skip
    """See the head of the file. ask: what one shard shows of its ids, in their order; ask_one: of one of them."""
    found = await hydrate_by_id(shards, ids, bucket_of, ask, ask_one)
    return [found[each] for each in ids if each in found]


async def hydrate_by_id(
    shards: Asking, ids: list[int], bucket_of: Callable[[int], int],
    ask: Callable[[list[int]], Awaitable[list[T | bool | None]]], ask_one: Callable[[int], Awaitable[T | bool | None]],
) -> dict[int, T]:  # fmt: skip
    """As `hydrate`, by id."""
    by_shard: dict[int, list[int]] = {}
    for each in ids:
        by_shard.setdefault(shards.cluster.shard_of(bucket_of(each)), []).append(each)
    groups = list(by_shard.values())
    shown: dict[int, Any] = {}
    for group, parts in zip(groups, await asyncio.gather(*map(ask, groups)), strict=True):
        shown |= zip(group, parts, strict=True)
    elsewhere = [each for each in ids if shown[each] is False]
    shown |= zip(elsewhere, await asyncio.gather(*map(ask_one, elsewhere)), strict=True)
    return {each: found for each, found in shown.items() if found}
