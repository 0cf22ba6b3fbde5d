"""How many streams there may be: in all, of an account, of an address without one; and what became of them, counted.

Rules of this file
- Streams are apart from `http/connections.py`: they are idle for hours, and none makes room for another. A new one for
  which there is no room is refused: 503 where the worker is full, 429 where it is the client's own share.
- Who shows a token counts for his account, wherever he is: a phone changes networks. Others count for their address,
  as connections do, and not at all where these don't (limits off, a trusted proxy's own).
- While this worker carries more than SHED_SHARE of the requests that it can, it takes no new streams: those that are
  open go on, and requests go before those that aren't.

Cost: 1 us a stream, 100 bytes an account or address with one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Final

from actors.core.errors import MalformedError, OverloadedError, RateLimitedError, UnauthorizedError

SHED_SHARE: Final = 0.5
RETRY_AFTER_S: Final = 5.0
STREAM_SORTS: Final = ("sse", "websocket", "native")
CUT_REASONS: Final = ("slow", "protocol", "revoked", "stopping", "silent", "behind", "gone")
REFUSALS: Final = ("worker_full", "account_full", "address_full", "overloaded", "unauthorized", "malformed", "other")


class WorkerFullError(OverloadedError):
    """All places of this worker are taken."""


class AccountFullError(RateLimitedError):
    """All places of an account are."""


class AddressFullError(RateLimitedError):
    """All places of an address are."""


_REFUSED_AS: Final[dict[type[Exception], str]] = {  # the narrowest first
    WorkerFullError: "worker_full", AccountFullError: "account_full", AddressFullError: "address_full",
    OverloadedError: "overloaded", UnauthorizedError: "unauthorized", MalformedError: "malformed",
}  # fmt: skip


class StreamPlaces:
    """See the head of the file."""

    def __init__(self, count_max: int, account_count_max: int, address_count_max: int) -> None:
        self.count_max, self._account_max, self._address_max = count_max, account_count_max, address_count_max
        self._by_owner: Counter[Hashable] = Counter()
        self.open_by_sort = dict.fromkeys(STREAM_SORTS, 0)
        self.cut_by_reason = dict.fromkeys(CUT_REASONS, 0)
        self.refused_by_reason = dict.fromkeys(REFUSALS, 0)
        self.frame_count = self.byte_count = 0

    @property
    def open_count(self) -> int:
        """Streams that are open."""
        return sum(self.open_by_sort.values())

    def take(self, sort: str, account_id: int, address: str | None) -> Hashable:
        """Take a stream in; returns whose it is, for `give`. address: what it counts for without an account.

        Raises OverloadedError or RateLimitedError, with nothing changed.
        """
        if self.open_count >= self.count_max:
            raise WorkerFullError("this worker has as many streams as it can carry", None, RETRY_AFTER_S)
        owner: Hashable = account_id or address
        most, whose = (self._account_max, "account") if account_id else (self._address_max, "address")
        if owner is not None and self._by_owner[owner] >= most:
            kind = AccountFullError if account_id else AddressFullError
            raise kind(f"{most} streams of this {whose} are open already; use those", None, RETRY_AFTER_S)
        self.open_by_sort[sort] += 1
        if owner is not None:
            self._by_owner[owner] += 1
        return owner

    def give(self, sort: str, owner: Hashable) -> None:
        """A stream has ended."""
        self.open_by_sort[sort] -= 1
        if owner is not None:
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]

    def note_refusal(self, error: Exception) -> None:
        """Count why there is no stream."""
        for kind, reason in _REFUSED_AS.items():
            if isinstance(error, kind):
                self.refused_by_reason[reason] += 1
                return
        self.refused_by_reason["other"] += 1

    def note_frame(self, size_bytes: int) -> None:
        """Count something that was sent."""
        self.frame_count += 1
        self.byte_count += size_bytes

    def figures(self) -> dict[str, float]:
        """Return what was counted, by the keys of actors/metrics/api_rows.py."""
        return {
            "streams_bound": self.count_max, "stream_frames": self.frame_count, "stream_bytes": self.byte_count,
            **{f"streams_{sort}": count for sort, count in self.open_by_sort.items()},
            **{f"streams_cut_{reason}": count for reason, count in self.cut_by_reason.items()},
            **{f"streams_refused_{reason}": count for reason, count in self.refused_by_reason.items()},
        }  # fmt: skip

    def check(self) -> None:
        """Assert the invariants: nothing is below zero, and no owner is remembered without a stream."""
        assert all(count >= 0 for count in self.open_by_sort.values())
        assert all(count > 0 for count in self._by_owner.values())
        assert sum(self._by_owner.values()) <= self.open_count
