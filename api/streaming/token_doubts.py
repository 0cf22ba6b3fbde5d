"""Tokens that are to be looked up anew, as a push that one was revoked may have been missed: some at a time.

Cost: one lookup an account, ACCOUNTS_PER_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from api.streaming.lines import ACCOUNTS_PER_S

AT_ONCE: Final = 100  # accounts in one turn


class TokenDoubts:
    """Accounts whose tokens are in doubt. tell(account, None) has them looked up. As many as accounts that listen."""

    def __init__(self, tell: Callable[[int, bytes | None], None]) -> None:
        self._tell = tell
        self._doubted: dict[int, None] = {}

    def put(self, account_ids: Iterable[int]) -> None:
        """Doubt the tokens of some accounts."""
        is_under_way = bool(self._doubted)
        self._doubted.update(dict.fromkeys(account_ids))
        if not is_under_way:
            self._go_on()

    def _go_on(self) -> None:
        for account_id in list(islice(self._doubted, AT_ONCE)):
            del self._doubted[account_id]
            self._tell(account_id, None)
        if self._doubted:
            asyncio.get_running_loop().call_later(AT_ONCE / ACCOUNTS_PER_S, self._go_on)
