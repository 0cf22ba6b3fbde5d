"""Domain errors: what can be refused, and how a caller is told.

Rules of this file
- One small tree. Every error carries a stable `code` (for programs), a message (for people: what was wrong, with
  which value, what would be right) and a `status` hint (the HTTP status that fits). The API maps them in one place.
- An error raised by a validator has changed nothing.
- Errors cross the lane as `[code, message, field]` and come back as the same class: see `to_wire` and `from_wire`.
"""

from __future__ import annotations

from typing import Any


class RookeryError(Exception):
    """Base of every refusal. `field` names the offending input, `retry_after_s` is set where waiting helps."""

    code = "internal"
    status = 500

    def __init__(self, message: str, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def to_wire(self) -> list[Any]:
        """Return `[code, message, field, retry_after_s]`, ready for msgpack."""
        return [self.code, self.message, self.field, self.retry_after_s]


class MalformedError(RookeryError):
    """The request can't be read: not JSON, not a number, an unknown field type."""

    code, status = "malformed", 400


class UnauthorizedError(RookeryError):
    """No token, or one that no account has."""

    code, status = "unauthorized", 401


class ForbiddenError(RookeryError):
    """A valid caller, but not theirs to read or change."""

    code, status = "forbidden", 403


class NotFoundError(RookeryError):
    """The account or tweet does not exist, or the caller may not know that it does."""

    code, status = "not_found", 404


class ConflictError(RookeryError):
    """The name or id is taken."""

    code, status = "conflict", 409


class TooLargeError(RookeryError):
    """The request is larger than its named limit."""

    code, status = "too_large", 413


class InvalidError(RookeryError):
    """Readable, but a value is outside what is allowed."""

    code, status = "invalid", 422


class RateLimitedError(RookeryError):
    """The caller's token bucket is empty."""

    code, status = "rate_limited", 429


class OverloadedError(RookeryError):
    """A bounded queue is full, or the shard is recovering; nothing was changed, waiting helps."""

    code, status = "unavailable", 503


class FrozenError(OverloadedError):
    """Buckets are being moved, or a backup is being made: writes wait for some milliseconds."""


class MovedError(RookeryError):
    """The shard does not own that bucket (any more). Handled by the lane client."""

    code, status = "moved", 503


class DeposedError(RookeryError):
    """A replica has promised a higher term than the sender's: the sender leads no more."""

    code, status = "deposed", 503


_BY_CODE: dict[str, type[RookeryError]] = {
    cls.code: cls
    for cls in (
        RookeryError,
        MalformedError,
        UnauthorizedError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        TooLargeError,
        InvalidError,
        RateLimitedError,
        OverloadedError,
        MovedError,
        DeposedError,
    )
}


def from_wire(body: list[Any]) -> RookeryError:
    """Rebuild the error that `to_wire` described. An unknown code becomes the base class."""
    code, message, field, retry_after_s = body
    return _BY_CODE.get(code, RookeryError)(message, field, retry_after_s)
