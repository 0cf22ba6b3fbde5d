"""Polls: read, and voted on. A poll's id is its status's.

    vote --polls--> the tweet's shard: what it asks, until when --vote--> the voter's shard, settled --> the poll now

Rules of this file
- Who may see the status may see its poll, and vote on it, but for its author.
- What is refused is said in Mastodon's words: clients show them.
"""

from __future__ import annotations

from typing import Final

from actors.core.errors import InvalidError, NotFoundError
from actors.core.numbers import whole_number
from actors.core.shape_table import MASTODON_FROM_LEVEL
from api.levels import require_level
from api.mastodon.call import Answer, Call
from api.mastodon.polls import poll_facts, poll_json
from api.mastodon.table import Operation
from api.native.visible import require_seen
from api.once import carry_out


async def one(call: Call) -> Answer:
    """A poll, with its votes so far and your own."""
    require_level(call.services, MASTODON_FROM_LEVEL)
    tweet_id = call.id()
    await require_seen(call.services, tweet_id, call.viewer)
    return Answer(await poll_json(call.services, tweet_id, call.viewer))


async def vote(call: Call) -> Answer:
    """Vote on a poll: once, and for good."""
    services, viewer, tweet_id = call.services, call.viewer, call.id()
    require_level(services, MASTODON_FROM_LEVEL)
    await require_seen(services, tweet_id, viewer)
    (facts,) = await poll_facts(services, [tweet_id])
    if facts is None:
        raise NotFoundError(f"status {tweet_id} has no poll", "id")
    author_id, options, multiple, _, ends_ms = facts[:5]
    choices = _choices(call, len(options), multiple)
    args = [viewer, tweet_id, author_id, choices, ends_ms, facts[-1]]
    await carry_out(call.repeatable, viewer, "vote", args, always=True)
    return Answer(await poll_json(services, tweet_id, viewer))


def _choices(call: Call, option_count: int, multiple: bool) -> int:
    """Return what is chosen, a bit for each option. Raises InvalidError."""
    chosen = 0
    for given in call.params.listed("choices"):
        option = whole_number(given, option_count)
        if option is None or not 0 <= option < option_count:
            raise InvalidError("The chosen vote option does not exist", "choices")
        chosen |= 1 << option
    if not chosen:
        raise InvalidError("Choices can't be blank", "choices")
    if not multiple and chosen & (chosen - 1):
        raise InvalidError("You have already voted on this poll", "choices")
    return chosen


OPERATIONS: Final = (
    Operation("GET", "/api/v1/polls/{id}", "", "Poll", one),
    Operation("POST", "/api/v1/polls/{id}/votes", "write:statuses", "Poll", vote),
)
