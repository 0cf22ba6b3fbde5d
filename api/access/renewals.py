"""Password hashes that are made anew after a log-in, because what a hash costs was changed, or it is of what was typed.

Rules of this file
- It is done after the log-in was answered, and nobody hears of it if it fails: the next log-in tries again.
- Only when nobody waits for a password, one after the other: these are never what an honest log-in waits for.
- The shard takes a new hash only in the place of the one that was looked at. If the password was changed meanwhile, the
  old one doesn't come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from actors.core.errors import ConflictError, RookeryError
from api.access.passwords import Passwords

Ask = Callable[..., Awaitable[Any]]
_log = structlog.get_logger("rookery.api")


class Renewals:
    """One renewal at a time. ask(account_id, op, *args): the account's shard."""

    def __init__(self, passwords: Passwords, ask: Ask) -> None:
        self._passwords, self._ask = passwords, ask
        self._under_way: asyncio.Task[None] | None = None

    def begin(self, account_id: int, encoded: str, password: str) -> None:
        """Set out to replace the hash `encoded` of a password, unless there is other work."""
        idle = self._under_way is None or self._under_way.done()
        if idle and not self._passwords.line.waiting_count:
            self._under_way = asyncio.get_running_loop().create_task(self._renew(account_id, encoded, password))

    async def _renew(self, account_id: int, encoded: str, password: str) -> None:
        try:
            fresh = await self._passwords.hash(password)
            await self._ask(account_id, "change_password", encoded, fresh, None, None)
        except ConflictError:
            return  # it has another password meanwhile
        except (RookeryError, TimeoutError) as error:
            _log.warning("password_hash_not_renewed", account_id=account_id, reason=type(error).__name__)

    def close(self) -> None:
        """Give up what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
