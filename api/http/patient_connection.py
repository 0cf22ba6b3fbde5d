"""A connection whose bytes may have to wait for a turn of the event loop: `fair_turns.py`.

    transport --data_received--> is there room, or does he show a known token? --yes--> _work_on (`http/protocol.py`)
                                       no --> put aside --take_turn--> _work_on

Rules of this file
- What has come is worked on in the order in which it came: while something waits, what comes later waits behind it.
- Who shows a token that was verified here isn't put aside, nor are the rest of his request and those that repeat its
  head. That he is first is all that he gets by it.
- Who waits for his turn doesn't wait for his client: his connection makes room for nobody (`connections.py`).
- A connection that sends on while it waits isn't read any more after ASIDE_COUNT_MAX pieces.
- A request that has come with others before it, on the same connection, waits for a turn of its own when it is next:
  a piece may hold hundreds, and each that goes to the app takes longer than a turn.

Cost: 0.2 us a piece, and 1 us to look for a token when there is no room.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from api.errors import HeadTooLargeError, log_unexpected
from api.http import heads
from api.http.connection import DISCARD_BYTES_MAX, BoundedConnection
from api.http.file_bodies import framed_bytes_max
from api.limits import HEADER_COUNT_MAX

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from api.streaming.opening import StreamOpening

ASIDE_COUNT_MAX = 4  # pieces of a connection that are put aside; then it isn't read


class PatientConnection(BoundedConnection):
    """See the head of the file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0  # of the head that has begun, at least; those before it in the same slice are counted, too
        self._known_head = b""  # of the last read answered here, URL excluded; `headers` and `scope` are its
        self._aside: list[bytes] = []  # what has come and waits for a turn
        self._next: tuple[RequestResponseCycle, Any] | None = None  # complete, for the app, and waits for a turn
        self._goes_first = False  # the request whose head came last has a token that was known
        self.opening: StreamOpening | None = None  # a stream, while it is found out whether there is to be one
        self.is_too_much = False  # what is worked on now has waited with too many others

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for no turn."""
        self._services.turns.forget(self)
        self._aside.clear()
        self._next = None
        super().connection_lost(exc)

    def hand_over(self, successor: asyncio.BaseProtocol) -> bytes:
        """Let another protocol have the connection, of which this one knows nothing any more; its head was answered.

        Returns what has come already and wasn't worked on. What waited behind the request goes with it.
        """
        self._services.turns.forget(self)
        early = b"".join(self._aside)
        self._aside.clear()
        self._next = None
        self.release()
        self._give_up_waiting()
        self.transport.set_protocol(successor)
        self._break_circles()
        self.parser = None  # type: ignore[assignment]  # it refers to this connection, too
        return early

    def _pass_over(self, data: bytes) -> None:
        """Take what is no request any more: a stream's own, if there is to be one, else nobody's."""
        if self.opening is not None:
            self.opening.keep(data)
        else:
            self._discard(len(data))

    def timeout_keep_alive_handler(self) -> None:
        """No request for a long time, unless one waits for its turn."""
        if not self._aside and self._next is None:
            super().timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        """Work on what has come, or put it aside until there is a turn for it."""
        known = self._known_head
        if self._aside:
            if self._put_aside(data):
                return
        elif not (self._goes_first and known and data.endswith(known)) and not (
            self._refused or self._services.turns.has_room()
        ):
            if self._head_open and not self._head_bytes:
                self._goes_first = self._services.auth.believes(heads.bearer_in(data))
            if not self._goes_first and self._put_aside(data):
                return
        self._work_on(data)

    def take_turn(self, is_refused: bool = False) -> None:
        """Work on what was put aside, if only to refuse it. Called by `FairTurns`."""
        data, count = b"".join(self._aside), len(self._aside)
        self._aside.clear()
        if count >= ASIDE_COUNT_MAX and not self.is_held:
            self.flow.resume_reading()
        if self.transport.is_closing():
            return
        self.is_too_much = is_refused
        try:
            if self._next is not None:
                (cycle, app), self._next = self._next, None
                self._begin_in_app(cycle, app)
            elif self.cycle is None or self.cycle.response_complete:  # else a request is under way before this one
                self._services.connections.end(self)
            if data:
                self._work_on(data)
        except Exception as error:  # noqa: BLE001 - as the transport does with what data_received raises
            log_unexpected(error, "")
            self.drop()
        self.is_too_much = False

    def take_turn_now(self) -> None:
        """Work on what was put aside, if anything was, without waiting any longer."""
        if self._aside or self._next is not None:
            self._services.turns.forget(self)
            self.take_turn()

    def _end_head(self) -> None:
        self._head_open = False
        self._head_bytes = self._rest_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, but no trailer; too many are no valid request."""
        if self._head_open:
            if len(self.headers) >= HEADER_COUNT_MAX:
                raise HeadTooLargeError(f"the request has more than {HEADER_COUNT_MAX} headers")
            super().on_header(name, value)

    def _rest_bytes_max(self) -> int:
        if self.cycle.response_complete:
            return DISCARD_BYTES_MAX
        return framed_bytes_max(self.cycle.scope, self._rest_bytes, self._services.settings.body_bytes_max)  # type: ignore[arg-type]

    def _waits_as_next(self, cycle: RequestResponseCycle, app: Any) -> bool:
        """Have a complete request that is next on its connection wait for a turn, if there is no room in this one."""
        turns = self._services.turns
        if self._goes_first or turns.has_room() or not turns.put_aside(self, self._address or id(self), 0):
            return False
        self._next = cycle, app
        return True

    def _learn(self, data: bytes) -> None:
        """Keep the head of a read that was answered here, if it was all of what has come."""
        end_of_line = data.find(b" HTTP/1.1\r\n")
        if end_of_line > 0 and data.startswith(b"GET ") and data.find(b"\r\n\r\n") == len(data) - 4:
            self._known_head = data[end_of_line:]
            self._goes_first = self._services.auth.believes(heads.bearer_in(data))

    def _put_aside(self, data: bytes) -> bool:
        """Keep what has come for a later turn; whether there is room."""
        if not self._services.turns.put_aside(self, self._address or id(self), len(data)):
            self.take_turn_now()
            return False
        self._aside.append(data)
        self._services.connections.begin(self)
        if len(self._aside) == ASIDE_COUNT_MAX:
            self.flow.pause_reading()
        return True

    def _work_on(self, data: bytes) -> None:
        """Feed the parser."""
        raise NotImplementedError

    def _begin_in_app(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Give a complete request to the app."""
        raise NotImplementedError

    def _give_up_waiting(self) -> None:
        """Drop what hasn't come whole, and what waits behind it."""
        raise NotImplementedError

    def _break_circles(self) -> None:
        """Let go of what refers to this connection."""
        raise NotImplementedError
