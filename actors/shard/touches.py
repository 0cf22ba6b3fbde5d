"""Who has read, and with which tokens: noticed by every replica, journaled by the leader, told to it by followers.

    a read, a token that was right --> touched, used_tokens --every second--> leader: commands `touch`, `token_used`
                                                                              follower: `touched` to its leader

Rules of this file
- Best effort until it is journaled: what a process has noticed and not passed on when it dies is noticed again with the
  next read, or with the next use of the token.
- Of a token only uses that are worth a record are passed on (`features/logins.py`): one an hour.

Cost: a sort of the second's readers; no request waits for it.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from ray.exceptions import RayError

from actors.core.arguments import an_id, id_list, listed, pair, secret
from actors.core.errors import MalformedError
from actors.core.features.logins import uses_to_note
from actors.shard.commits import Commits
from actors.shard.exchange import Exchange

TOUCHED_MAX = 100_000  # accounts, or tokens, in one message of who has read
_log = structlog.get_logger()


class Touches:
    """See the module header."""

    def __init__(self, commits: Commits, exchange: Exchange) -> None:
        self._commits, self._exchange = commits, exchange
        self._replica, self._state = commits.replica, commits.state

    def take(self, args: list[Any]) -> None:
        """Note what a follower tells: [accounts], from level 1 on perhaps [[account, token], ...] behind them.

        Raises RookeryError.
        """
        if len(args) not in (1, 2):
            raise MalformedError("touched takes a list of accounts, and perhaps one of tokens")
        known = id_list(args[0], TOUCHED_MAX, "accounts")
        uses = [pair(use, "tokens") for use in listed(args[1], TOUCHED_MAX, "tokens")] if len(args) > 1 else []
        used = {(an_id(account_id, "user_id"), secret(token)) for account_id, token in uses}
        self._replica.touched.update(a for a in known if a in self._state.people.row_of)
        self._replica.lookups.used_tokens.update(used)

    def journal(self, now_ms: int) -> None:
        """Have what was noticed journaled: the leader's part."""
        replica = self._replica
        if replica.touched:
            touched, replica.touched = replica.touched, set()
            self._commits.run(["touch", sorted(touched.intersection(self._state.people.row_of))])
        uses = self._take_uses(now_ms)
        if uses:
            self._commits.run(["token_used", uses, now_ms])

    async def tell(self, timeout_s: float) -> None:
        """Tell the leader what was noticed here: a follower's part. Whoever it doesn't hear of now reads again."""
        replica, shard = self._replica, self._state.shard
        touched, replica.touched = sorted(replica.touched)[:TOUCHED_MAX], set()
        uses = self._take_uses(int(time.time() * 1000))[:TOUCHED_MAX]
        if not touched and not uses:
            return
        try:
            await self._exchange.ask(shard, "touched", [touched, uses] if uses else [touched], timeout_s)
        except (RayError, TimeoutError, ValueError) as error:
            _log.info("the primary was not told who read", count=len(touched), reason=type(error).__name__)

    def _take_uses(self, now_ms: int) -> list[list[Any]]:
        used = self._replica.lookups.used_tokens
        if not used:
            return []
        uses = uses_to_note(self._state, used, now_ms)
        used.clear()
        return uses
