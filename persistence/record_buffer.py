"""What every journal does before its backend comes in: number records, hold them until durable, say what may go."""

from __future__ import annotations

import threading
from collections import deque

from actors.core.errors import TooLargeError
from persistence.errors import StorageError
from persistence.segment_format import POSITION_MAX, RECORD_BYTES_MAX


class RecordBuffer:
    """Records appended and not durable yet. One thread appends, another takes from the left (see protocols.py)."""

    _buffer: deque[bytes]
    _next: int
    _durable: int
    _appended_bytes: int
    _flushed_bytes: int
    _segment_bytes: int
    _epoch: int
    _list_lock: threading.Lock  # never held during I/O: what is held, what trim may take, the count of cuts
    _retained: int | None = None
    _cut_count: int = 0  # how often the end was cut: readers that began before are told
    _failure: StorageError | str | None  # why nothing is taken any more
    _closed: bool

    @property
    def epoch(self) -> int:
        """The epoch that records are written under."""
        return self._epoch

    @property
    def next_position(self) -> int:
        """The position that the next `append` returns."""
        return self._next

    @property
    def durable_position(self) -> int:
        """The last position that survives: synced to the disk, or acknowledged by the server."""
        return self._durable

    @property
    def buffered_count(self) -> int:
        """Records appended and not durable yet."""
        return self._next - 1 - self._durable

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the records appended and not durable yet."""
        return self._appended_bytes - self._flushed_bytes

    @property
    def segment_bytes(self) -> int:
        """Bytes of frames since the segment began."""
        return self._segment_bytes

    def append(self, record: bytes) -> int:
        """Buffer one record and return its position. 0.2 us."""
        if self._failure is not None or self._closed:
            self._refuse()
        size = len(record)
        if size > RECORD_BYTES_MAX:
            raise TooLargeError(f"a journal record of {size} bytes; at most {RECORD_BYTES_MAX} fit", "record")
        position = self._next
        self._next = position + 1
        self._appended_bytes += size
        self._buffer.append(record)
        return position

    def retain(self, after: int | None) -> None:
        """While set, `trim` keeps what is above `after`. Never waits for I/O."""
        with self._list_lock:
            self._retained = after

    def _trim_limit(self, position: int) -> int:
        """Return up to where records may go. Call it with the list lock, and let what goes vanish under the same."""
        return position if self._retained is None else min(position, self._retained)

    def _check_settled(self) -> None:
        if self.buffered_count:
            raise ValueError(f"{self.buffered_count} records are buffered; flush them before records are dropped")

    def _check_cut(self, position: int, first: int) -> None:
        """Raise ValueError unless the end can be cut off above this position. first: the oldest position held."""
        self._check_settled()
        if not first - 1 <= position <= self._durable:
            raise ValueError(f"cut after {position}, but the journal holds {first} to {self._durable}")

    def _refuse(self) -> None:
        """Raise why nothing is taken any more, if so."""
        raise NotImplementedError


def check_beginning(after: int) -> None:
    """Raise ValueError unless a journal can begin behind this position."""
    if not 0 <= after < POSITION_MAX:
        raise ValueError(f"a journal can't begin after position {after}: 0 to {POSITION_MAX - 1}")


def check_new_epoch(epoch: int, current: int) -> bool:
    """Return whether the epoch is a new one. Raises ValueError for one below the current."""
    if epoch < current:
        raise ValueError(f"epoch {epoch} after epoch {current}")
    return epoch > current
