"""Writes about a tweet that their account may see: one request finds that out and carries them out.

    if_seen [account, tweet, op]    the tweet is here  -> looked up, and `op` carried out
                                    it is elsewhere    -> a question about nobody: whoever asked is to ask there himself
    inquiries of the same           it is elsewhere    -> Inquiry ... -> [account, tweet, op, arguments of op]
    if_seen [account, tweet, op, arguments]            -> `op` carried out

Rules of this file
- Which writes are about a tweet, and what each has to know of it, their rows say (`Write.of_tweet`).
- The core asks nobody. A shell that can asks first (`actors/shard/inquiring_writes.py`) and comes back with the
  arguments; one that can't, or not in time, comes back without, and gets the question.
- `keyed` may carry it: a key that is known is answered before anybody is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.core import arguments
from actors.core.errors import InvalidError
from actors.core.terms import Feature, Inquiries, Prepared, Write, nothing
from actors.core.visibility import question

if TYPE_CHECKING:
    from actors.core.lookups import Lookups


def _about_tweet(shard: Lookups, op: Any) -> tuple[Write, Callable[..., Inquiries]]:
    """Return the row of a write that is about a tweet, and what it asks. Raises InvalidError."""
    write = shard.writes.get(op) if type(op) is str else None
    if write is None or write.of_tweet is None:
        raise InvalidError(f"{arguments.shown(op)} is no write about a tweet that is to be seen first", "op")
    return write, write.of_tweet


def ask_if_seen(shard: Lookups, account_id: int, tweet_id: int, op: str, args: Any = None) -> Inquiries:
    """Find out what `op` has to know of the tweet. Raises NotFoundError, or what else the write refuses then."""
    _, of_tweet = _about_tweet(shard, op)
    found = args if args is not None else (yield from of_tweet(shard, account_id, tweet_id))
    return [account_id, tweet_id, op, found]


def prepare_if_seen(
    shard: Lookups, now_ms: int, account_id: int, tweet_id: int, op: str, args: Any = None
) -> Prepared:  # fmt: skip
    """Carry out a write of an account about a tweet that it may see; the reply is that of the write.

    args: the write's, from who has asked (`ask_if_seen`). Without them, and with a tweet of another shard, the reply is
    a question about nobody (`visibility.question`), and nothing changes.
    """
    write, of_tweet = _about_tweet(shard, op)
    if args is None:
        steps = of_tweet(shard, account_id, tweet_id)
        try:
            next(steps)
        except StopIteration as found:
            args = found.value
        else:
            steps.close()
            return nothing(question(()))
    return write.prepare(shard, now_ms, *args)


FEATURE = Feature("if_seen", writes=(Write("if_seen", prepare_if_seen, asks=ask_if_seen),))
