"""One request whose head is complete and whose body isn't: what can be said without the rest, and how long to wait.

Rules of this file
- Before the rest of a body is read, its client hears whatever doesn't depend on it: that this worker is full (503),
  that his address or account asks for too much (429), that the token of his header is none that anybody has (401). So
  a stranger's body is refused by its head, and who sends `Expect: 100-continue` is told to go on after that. Refusals
  are those that the route would have given; only they may come sooner than others, such as 404.
- A body has GRACE_S, and a second more for each BYTES_PER_S_LEAST that have come of it: then 408. Files have to come
  four times as fast, and their token is asked about whatever the path.
- A worker that ends waits AT_END_S for it, then refuses: 503.
- The address's rate is taken from once: for the head, or, for requests that come in one piece, when they are complete.

Cost: 30 us a request that waits, and a lane request for a token that this worker doesn't know, as later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.core.errors import OverloadedError, RookeryError, TooLargeError, UnauthorizedError
from api.access.auth import bearer_of
from api.errors import TooSlowError, log_unexpected
from api.http.file_bodies import body_bytes_max_of, too_large
from api.http.uploads import BYTES_PER_S_LEAST as FILE_BYTES_PER_S_LEAST
from api.http.uploads import UPLOAD
from api.services import ADDRESS_COUNTED, TOO_MUCH, Services, overloaded

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from api.http.protocol import BoundedHttpProtocol

GRACE_S = 10.0  # a phone that changes networks takes some seconds
AT_END_S = 1.0  # many clients send a head and its body in two pieces: a worker that ends doesn't fall in between
BYTES_PER_S_LEAST = 4 * 1024  # 64 KiB in 26 s at the latest


class BodyWait:
    """See the head of the file."""

    __slots__ = ("_asking", "_cycle", "_protocol", "_services", "_started_s", "_timer")

    def __init__(self, protocol: BoundedHttpProtocol, services: Services, cycle: RequestResponseCycle) -> None:
        self._protocol, self._services, self._cycle = protocol, services, cycle
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started_s = 0.0

    def begin(self) -> None:
        """Say what can be said, or begin to wait."""
        loop = self._protocol.loop
        self._started_s = loop.time()
        self._timer = loop.call_later(GRACE_S, self._look)
        try:
            token = self._look_ahead()
        except RookeryError as error:
            self._protocol.turn_away(error)
            return
        if token is None:
            self._go_on()
        else:
            self._asking = loop.create_task(self._ask_about(token))

    def end(self) -> None:
        """Wait no longer: the body is there, or was refused."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hurry(self) -> None:
        """Wait AT_END_S more and no longer: this worker ends."""
        self.end()
        self._timer = self._protocol.loop.call_later(AT_END_S, self._give_up)

    def _give_up(self) -> None:
        self._protocol.turn_away(OverloadedError("this worker ends", None, 1.0), closing=True)

    def _look_ahead(self) -> str | None:
        """Return the token that a shard is to be asked about, if there is one. Raises whatever can be said already."""
        services, scope = self._services, self._cycle.scope
        method, path = scope["method"], scope["path"]
        gate = services.gate_of(method, path)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        most = services.settings.body_bytes_max
        if int(declared) > most:  # of digits, or the parser would have refused it
            most = body_bytes_max_of(scope, most)  # type: ignore[arg-type]
            if int(declared) > most:
                raise TooLargeError(too_large(scope, declared[:19].decode(), most))  # type: ignore[arg-type]
        if services.is_full(gate) or (TOO_MUCH in scope["state"] and gate is not services.probe_gate):
            raise overloaded()
        if gate is not services.probe_gate:
            services.limiter.check_address(scope, gate is services.writes)  # type: ignore[arg-type]
            scope["state"][ADDRESS_COUNTED] = True
        header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        asks = UPLOAD in scope["state"] or services.takes_token(path)
        if header is None or services.auth.is_open or not asks:
            return None
        token = bearer_of(header.decode("latin-1"))
        account_id = services.auth.known_viewer(token)
        if account_id is None:
            return token
        services.limiter.check_account(account_id, gate is services.writes, take=False)
        return None

    async def _ask_about(self, token: str) -> None:
        """Ask its shard about a token. What a shard that can't say so leads to is the route's to say."""
        try:
            account_id = await self._services.auth.verify(token)
            self._services.limiter.check_account(account_id, True, take=False)
        except RookeryError as error:
            if error.status in (UnauthorizedError.status, 429):
                self._refuse(error)
                return
        except Exception as error:  # noqa: BLE001 - a defect of ours; nobody waits for this task
            log_unexpected(error, "")
        self._go_on()

    def _refuse(self, error: RookeryError) -> None:
        if self._timer is not None:  # else it has ended meanwhile
            self._protocol.turn_away(error)

    def _go_on(self) -> None:
        """Tell a client that waits for it to send its body."""
        cycle = self._cycle
        if self._timer is not None and cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            if not cycle.body:  # else it didn't wait
                self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _look(self) -> None:
        """Refuse what is too slow."""
        loop = self._protocol.loop
        upload = self._cycle.scope["state"].get(UPLOAD)
        took_s = (
            len(self._cycle.body) / BYTES_PER_S_LEAST if upload is None else upload.received / FILE_BYTES_PER_S_LEAST
        )
        left_s = self._started_s + GRACE_S + took_s - loop.time()
        if left_s > 0.0:
            self._timer = loop.call_later(left_s, self._look)
            return
        self._services.bodies.slow_count += 1
        self._protocol.turn_away(TooSlowError("the rest of the body didn't come; send it more quickly"))
