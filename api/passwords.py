"""Hashes and checks passwords with Argon2id, off the event loop and bounded.

Rules of this file
- Hashing costs tens of milliseconds by design, so it runs on a few threads (argon2 releases the GIL); what would wait
  behind more than `queue_count_max` others is shed with 503 at once instead of slowing everything down.
- Checking takes as long for an account that doesn't exist, or that has no password, as for a wrong password.
- What is hashed is the OpaqueString of RFC 8265: NFC, and every blank of Unicode the plain one, so that a password is
  the same from every keyboard. Hashes from before that are of what was typed: where the two differ, the second is tried
  if the first is wrong. Whether they differ depends on what was typed, not on the account, so time tells nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import regex  # type: ignore[import-untyped]
import structlog
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from actors.core.errors import OverloadedError
from actors.core.normal_form import normalize
from api.settings import PasswordSettings

T = TypeVar("T")
_BLANK = regex.compile(r"\p{Zs}")
_log = structlog.get_logger("rookery.api")


def prepare_password(password: str) -> str:
    """Return what is hashed of a password: OpaqueString (RFC 8265, section 4.2.2). Twice is as good as once."""
    if password.isascii():
        return password
    return normalize("NFC", _BLANK.sub(" ", password))


class Passwords:
    """A bounded pool that hashes and checks."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._settings = settings
        self._hasher = PasswordHasher(
            time_cost=settings.time_cost,
            memory_cost=settings.memory_kib,
            parallelism=settings.parallelism,
            type=Type.ID,
        )
        self._stand_in = self._hasher.hash("nobody has this password")  # what unknown accounts are checked against
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="argon2")
        self._lock = threading.Lock()
        self._pending_count = 0

    async def hash(self, password: str) -> str:
        """Return the encoded hash. Raises OverloadedError when too many wait."""
        return await self._run(lambda: self._hasher.hash(prepare_password(password)))

    async def matches(self, encoded: str | None, password: str) -> bool:
        """Return whether the password is the one that was hashed; None (no such account) takes as long as a miss."""
        tried = dict.fromkeys((prepare_password(password), password))
        return await self._run(lambda: any(self._check(encoded, each) for each in tried))

    def close(self) -> None:
        """Let running work end and start no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, encoded: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(encoded or self._stand_in, password) and encoded is not None
        except InvalidHashError:
            _log.warning("password_hash_unreadable")
            return False
        except VerificationError:  # argon2's way of saying "no"
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._pending_count >= self._settings.queue_count_max:
                raise OverloadedError("too many passwords are being checked; try again", retry_after_s=1.0)
            self._pending_count += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._note_done)  # also when the caller gave up before it began
        return await asyncio.wrap_future(future)

    def _note_done(self, _future: Future[T]) -> None:
        with self._lock:
            self._pending_count -= 1
