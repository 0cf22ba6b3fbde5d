"""Polls as they are now: their tallies from their tweets' shards, what the reader has chosen from his own.

    marks of polls in statuses --ids--> tweets' shards: tallies; reader's shard: votes --> each poll, replaced

Rules of this file
- Whoever joins statuses, or answers what shards have joined, does it by `statuses.completed`.
- An answer without any is left as it is, after one search for a byte; its statuses are never parsed.

Cost: two requests at the same time for an answer with polls, whoever has written them; without, 1 us.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from actors.core.errors import NotFoundError
from actors.core.facts import Poll
from actors.core.ids import bucket_of_tweet
from actors.core.renderers.mastodon_marks import polls_in, replaced
from actors.core.renderers.mastodon_polls import poll_of
from api.native.hydration import hydrate
from api.services import Services

SHOWN_MAX: Final = 200  # polls of one answer that are brought up to date: more than any page has


async def with_polls(services: Services, bodies: list[bytes], viewer: int) -> list[bytes]:
    """Return statuses, or pages of them, with their polls as they are now, for a viewer (0: nobody)."""
    marks = [polls_in(body) for body in bodies]
    ids = list(dict.fromkeys(mark.tweet_id for found in marks for mark in found))[:SHOWN_MAX]
    if not ids:
        return bodies
    shown = dict(zip(ids, await _polls_of(services, ids, viewer), strict=True))
    return [replaced(body, found, shown) for body, found in zip(bodies, marks, strict=True)]


async def poll_json(services: Services, tweet_id: int, viewer: int) -> bytes:
    """Return the JSON of a tweet's poll. Raises NotFoundError if it has none; whether he sees it was asked before."""
    (poll,) = await _polls_of(services, [tweet_id], viewer)
    if poll is None:
        raise NotFoundError(f"tweet {tweet_id} has no poll", "id")
    return poll


async def poll_facts(services: Services, tweet_ids: list[int]) -> list[list[Any] | None]:
    """Return what tweets' shards say of their polls (docs/lane.md, `polls`), None where there is none."""

    async def ask(group: list[int]) -> list[Any]:
        found: list[Any] = await services.ask_bucket(bucket_of_tweet(group[0]), "polls", [group])
        return [facts if facts is False else (tweet_id, facts) for tweet_id, facts in zip(group, found, strict=True)]

    async def ask_one(tweet_id: int) -> Any:
        (found,) = await ask([tweet_id])
        return found

    rows: dict[int, list[Any] | None] = dict(await hydrate(services, tweet_ids, bucket_of_tweet, ask, ask_one))
    return [rows.get(tweet_id) for tweet_id in tweet_ids]


async def _polls_of(services: Services, tweet_ids: list[int], viewer: int) -> list[bytes | None]:
    found, votes = await asyncio.gather(poll_facts(services, tweet_ids), _votes(services, tweet_ids, viewer))
    return [
        None if facts is None else _json(tweet_id, facts, viewer, _chosen_in(own, facts[-1]))
        for tweet_id, facts, own in zip(tweet_ids, found, votes, strict=True)
    ]


async def _votes(services: Services, tweet_ids: list[int], viewer: int) -> list[Any]:
    if not viewer:
        return [None] * len(tweet_ids)
    votes: list[Any] = await services.ask_account(viewer, "votes", tweet_ids)
    return votes


def _chosen_in(vote: Any, since_ms: int) -> int | None:
    """Return what a reader has chosen in the round that began then: a vote of another one is none."""
    if vote is None:
        return None
    choices, voted_in = vote if isinstance(vote, (list, tuple)) else (vote, 0)
    return choices if voted_in == since_ms else 0


def _json(tweet_id: int, facts: list[Any], viewer: int, own_choices: int | None) -> bytes:
    author_id, *asked, is_over, tallies, voters, _ = facts
    return orjson.dumps(
        poll_of(tweet_id, Poll(*asked), is_over, tallies, voters, own_choices, is_own=viewer == author_id)
    )
