"""Quotes: tweets that show another one, by its id alone; whoever reads them is shown what he may see of it.

    post of a quote --quoted--> the quoted tweet's QUOTER shelf

Rules of this file
- A quote holds nothing of what it quotes: that is looked up for each reader, on its own shard, which knows of blocks,
  edits and deletion before any other.
- A tweet lists its newest quotes, LISTED_PER_TWEET_MAX of them; which a reader may see each quote's shard knows.
- When the quoted tweet goes nobody is told: readers are shown that there is nothing to be seen.

Costs: 9 bytes of the quote, 18 of the shelf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import limits
from actors.core.facts import MORE_FROM_LEVEL, read_facts
from actors.core.terms import Effect, Feature, Full, Key, Kind, Notified, Notifies, Owner, Read, Settles, To

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

QUOTER = Kind(
    21, "quoter", Owner.TWEET, Owner.TWEET, limits.LISTED_PER_TWEET_MAX, Full.OLDEST, from_level=MORE_FROM_LEVEL
)


def tell_quote(state: ShardState, quote_id: int, author_id: int, body: bytes, on: bool, at_ms: int) -> None:
    """Have a quote listed by the shard of what it quotes, or no longer; nothing for a tweet that quotes nothing."""
    quoted = read_facts(body).quote
    if quoted:
        told = (quoted, author_id, quote_id, at_ms, on, state.people.born_day(author_id))
        state.tell(state.shard_of_tweet(quoted), QUOTED, *told)


def on_quoted(
    state: ShardState, source: int, tweet_id: int, actor: int, quote_id: int, at_ms: int, on: bool, born_day: int
) -> None:  # fmt: skip
    """List a quote, or take it off. Of a tweet that isn't here nothing is listed."""
    if on:
        state.shelves.put(QUOTER, tweet_id, quote_id, at_ms)
    else:
        state.shelves.drop(QUOTER, tweet_id, quote_id)


def answer_quotes(shard: Lookups, tweet_id: int, viewer: int, before: int, count: int, facts: Any = None) -> list[Any]:
    """A page of the quotes of a tweet that `viewer` may see, newest first: `[tweet ids, stamp to go on before, or 0]`.

    Which of them he may see is not said: each quote's own shard knows.
    """
    _, asked = shard.entry(tweet_id, viewer, facts)
    return shard.page(QUOTER, tweet_id, before, count) if asked is None else asked


QUOTED = Effect(
    "quoted", on_quoted, To.TWEET, ("tweet", "actor", "quote", "at_ms", "on", "born_day"), undone_by="quoted",
    notifies=Notifies("quote", Notified.AUTHOR, "quote", "on"), settles=Settles.ARRIVED,
)  # fmt: skip

FEATURE = Feature("quotes", kinds=(QUOTER,), reads=(Read("quotes", answer_quotes, Key.TWEET),), effects=(QUOTED,))
