"""Hashes and checks passwords with Argon2id, off the event loop and bounded.

Rules of this file
- Hashing costs tens of milliseconds by design, so it runs on threads of the lowest priority; what would wait behind too
  many others is refused at once instead of slowing everything down, and nobody's flood is waited for by others
  (`password_line.py`).
- Checking takes as long for an account that doesn't exist, or that has no password, as for a wrong password.
- What is hashed is the OpaqueString of RFC 8265: NFC, and every blank of Unicode the plain one, so that a password is
  the same from every keyboard. Hashes from before that are of what was typed: where the two differ, the second is tried
  if the first is wrong. Whether they differ depends on what was typed, not on the account, so time tells nothing.
"""

from __future__ import annotations

from enum import IntEnum

import regex  # type: ignore[import-untyped]
import structlog
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from actors.core.normal_form import normalize
from api.access.password_line import Asker, PasswordLine
from api.settings import PasswordSettings

NOBODY = Asker()
_BLANK = regex.compile(r"\p{Zs}")
_log = structlog.get_logger("rookery.api")


def prepare_password(password: str) -> str:
    """Return what is hashed of a password: OpaqueString (RFC 8265, section 4.2.2). Twice is as good as once."""
    if password.isascii():
        return password
    return normalize("NFC", _BLANK.sub(" ", password))


class Verdict(IntEnum):
    """What a password is. Only a wrong one is false. OUTDATED: right, but its hash is to be made anew."""

    WRONG = 0
    RIGHT = 1
    OUTDATED = 2


class Passwords:
    """Hashes and checks, one after the other."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._hasher = PasswordHasher(
            time_cost=settings.time_cost,
            memory_cost=settings.memory_kib,
            parallelism=settings.parallelism,
            type=Type.ID,
        )
        self._stand_in = self._hasher.hash("nobody has this password")  # what unknown accounts are checked against
        self.line = PasswordLine(settings.threads, settings.queue_count_max)

    async def hash(self, password: str, asker: Asker = NOBODY) -> str:
        """Return the encoded hash. Raises OverloadedError or RateLimitedError when too many wait."""
        return await self.line.run(asker, lambda: self._hasher.hash(prepare_password(password)))

    async def matches(self, encoded: str | None, password: str, asker: Asker = NOBODY) -> Verdict:
        """Return whether the password is the one that was hashed; None (no such account) takes as long as a miss."""
        return await self.line.run(asker, lambda: self._judge(encoded, password))

    def close(self) -> None:
        """Let running work end and start no more."""
        self.line.close()

    def _judge(self, encoded: str | None, password: str) -> Verdict:
        prepared = prepare_password(password)
        for tried in dict.fromkeys((prepared, password)):
            if self._check(encoded, tried):
                return Verdict.OUTDATED if tried != prepared or self._is_outdated(encoded) else Verdict.RIGHT
        return Verdict.WRONG

    def _is_outdated(self, encoded: str | None) -> bool:
        """Whether the costs that are set now are others than those of a hash that was right."""
        return encoded is not None and self._hasher.check_needs_rehash(encoded)

    def _check(self, encoded: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(encoded or self._stand_in, password) and encoded is not None
        except InvalidHashError:
            _log.warning("password_hash_unreadable")
            return False
        except VerificationError:  # argon2's way of saying "no"
            return False
