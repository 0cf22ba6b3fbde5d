"""What has come from clients and waits for a turn of the event loop, and whose turn it is.

Whatever the sockets have is handed over in one turn of the loop. When thousands of connections ask at once, and each
request takes this worker a third of a millisecond, whoever asks a moment later waits for all of them: a second. So a
turn has room for TURN_S of work. What comes beyond that is put aside, and the loop looks at its sockets in between.

Rules of this file
- Who shows a token that stands for an account isn't put aside (`patient_connection.py`): accounts have rates of their
  own, and strangers can be as many as they like.
- Of the others each address has its turn, one connection at a time, in the order of their coming. An address that
  begins to ask goes before those that have asked all along, once (as in FQ-CoDel, RFC 8290, section 4.1): so who asks
  a little hardly waits for those who ask much. Whose address is nobody's share (behind a proxy) is each an address.
- While more connections wait than `count_max`, what has waited longer than WAIT_S_MAX is refused when its turn comes,
  unless its address has fewer of those that wait than the others have on average. A turn that refuses takes a tenth of
  one that answers, so the next ones have waited less (as CoDel drops at the head, RFC 8289, section 5.4).
- What is put aside is bounded in bytes; what finds no room is worked on at once, as if there were no turns.

Cost: 0.1 us a piece that isn't put aside, and 0.5 us a turn; 2 us a piece that is.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from typing import Protocol

TURN_S = 0.000_5  # of work in one turn of the loop, and then the last piece
WAIT_S_MAX = 0.2  # as in `admission.py`: how long answers may take
APP_S = 0.000_4  # that a request takes which goes to the app: in tasks, in one of the next turns
BYTES_MAX = 32 * 1024 * 1024  # put aside, of all connections


class Patient(Protocol):
    """A connection whose bytes may be put aside."""

    def take_turn(self, is_refused: bool) -> None:
        """Work on what was put aside. is_refused: a request that begins in it is one too many. Raises nothing."""
        ...


class FairTurns:
    """The turns of one worker. Use it on one event loop."""

    def __init__(self, count_max: int) -> None:
        """count_max: connections that may wait, in the long run; see the head of the file."""
        self._count_max = count_max
        self._groups: dict[Hashable, dict[Patient, None]] = {}  # by address, the longest first
        self._new: deque[Hashable] = deque()  # the groups that have begun to ask, and then the others
        self._old: deque[Hashable] = deque()
        self._waiting: dict[Patient, tuple[Hashable, int, float]] = {}  # its group, how many bytes wait, since when
        self._bytes = 0
        self._until_s = 0.0  # that work may be begun in this turn; as long as _is_counting
        self._is_counting = False
        self.put_aside_count = 0
        self.refused_count = 0

    def __len__(self) -> int:
        """Connections whose bytes wait."""
        return len(self._waiting)

    def has_room(self) -> bool:
        """Whether this turn has room for a piece that has just come."""
        if not self._is_counting:
            self._begin()
            return True
        return not self._waiting and time.perf_counter() < self._until_s

    def _begin(self) -> None:
        """Count what this turn takes; the next one ends that."""
        self._is_counting = True
        self._until_s = time.perf_counter() + TURN_S
        asyncio.get_running_loop().call_soon(self._next)

    def charge(self, seconds: float) -> None:
        """Count work that has been begun in this turn, and is done in a later one."""
        self._until_s -= seconds

    def put_aside(self, connection: Patient, group: Hashable, size_bytes: int) -> bool:
        """Have take_turn() called when it is the connection's turn; whether there is room for so many bytes.

        group: whose turn it is; of a connection that waits already, the same as before.
        """
        if self._bytes + size_bytes > BYTES_MAX:
            return False
        self._bytes += size_bytes
        before = self._waiting.get(connection)
        if before is not None:
            self._waiting[connection] = group, before[1] + size_bytes, before[2]
            return True
        if not self._is_counting:
            self._begin()
        self._waiting[connection] = group, size_bytes, time.perf_counter()
        self.put_aside_count += 1
        connections = self._groups.get(group)
        if connections is None:
            connections = self._groups[group] = {}
            self._new.append(group)
        connections[connection] = None
        return True

    def forget(self, connection: Patient) -> None:
        """Count a connection no more: it has had its turn, or has gone. Once is enough."""
        if connection in self._waiting:
            group, size_bytes, _ = self._waiting.pop(connection)
            self._bytes -= size_bytes
            del self._groups[group][connection]

    def _next(self) -> None:
        """Begin a turn, with what was put aside."""
        self._until_s = time.perf_counter() + TURN_S
        while self._waiting:
            self._take_next()
            if time.perf_counter() >= self._until_s:
                break
        self._is_counting = bool(self._waiting)
        if self._is_counting:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._groups.clear()
            self._new.clear()
            self._old.clear()

    def _take_next(self) -> None:
        """Let the first connection of the next group have its turn."""
        self._drop_idle()
        group = (self._new or self._old).popleft()
        connections = self._groups[group]
        connection = next(iter(connections), None)
        if connection is None:  # it has gone before its first turn
            del self._groups[group]
            return
        is_refused = (
            len(self._waiting) > self._count_max
            and time.perf_counter() - self._waiting[connection][2] > WAIT_S_MAX
            and len(connections) * len(self._groups) >= len(self._waiting)
        )
        self.refused_count += is_refused
        self.forget(connection)
        self._old.append(group)
        connection.take_turn(is_refused)

    def _drop_idle(self) -> None:
        """Forget the groups next in turn of which nothing waits, for a whole round: what comes of them now is new.

        Also while none of the old ones has a turn: where each connection is a group, new ones may come without an end.
        """
        while self._old and not self._groups[self._old[0]]:
            del self._groups[self._old.popleft()]

    def check(self) -> None:
        """Assert the invariants: who waits is in its group, each of which is listed once; the bytes are a sum."""
        assert all(connection in self._groups[group] for connection, (group, _, _) in self._waiting.items())
        assert sum(map(len, self._groups.values())) == len(self._waiting)
        assert sorted(map(repr, [*self._new, *self._old])) == sorted(map(repr, self._groups))
        assert self._bytes == sum(size_bytes for _, size_bytes, _ in self._waiting.values()) <= BYTES_MAX
