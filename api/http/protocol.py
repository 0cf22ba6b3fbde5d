"""uvicorn's HTTP/1.1 protocol with the bounds that it lacks, and with refusals in our error shape.

Rules of this file
- Nothing is worked on, or kept, before its size is known: a head has at most HEAD_BYTES_MAX bytes and HEADER_COUNT_MAX
  headers, and is looked at (`heads.py`) before anything is made of it. How long a client may take, and how a connection
  ends, is said in `http/connection.py`.
- A request goes to the app when all of it is there. What hasn't come waits for its client (`body_wait.py`) and is
  bounded for all connections together (`bodies.py`).
- A body may take twice the bytes that are in it, and a head's more: chunks have sizes, extensions and trailers without
  an end. Trailers are read past (RFC 9110, section 6.5.1): they are nobody's token and no host.
- At most PIPELINE_COUNT_MAX requests wait behind the one under way: a chunk of 256 KiB can hold 14,000, of 3 KB each
  once they are parsed. Who sends more is hung up on.
- Answers stay in order: a refusal that would overtake another answer isn't written; the connection ends after that one.
- Nobody asks for another protocol, but for a stream (`streaming/opening.py`), to which the connection is handed over
  then. Else the request is answered, and the connection ends. With a body it is refused, since the parser takes that
  for the other protocol and a proxy before us may not.
- Ordinary home reads and searches are answered right here (`fast_exchange.py`, by `api/fast_reads.py`), and so are
  health checks (`probe_exchange.py`) and requests that this worker has no place for (`direct_exchange.py`); everything
  else is uvicorn's and the app's.
- A connection's next home read or search whose head is the last one's but for the URL goes past the parser.
- What comes while this turn of the loop is full waits for one of the next (`patient_connection.py`).

Cost: two method calls and a few comparisons per chunk read and request, 0.5 us; 1.2 us to see that a request is well
formed, and neither a home read nor a search.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from actors.core.errors import MalformedError, OverloadedError, RookeryError, TooLargeError
from api.errors import log_unexpected
from api.fast_reads import FAST_READS
from api.http import heads
from api.http.body_wait import BodyWait
from api.http.direct_exchange import BodyRefusal, DirectExchange, Refusal
from api.http.edge import CLIENT_GONE_STATUS, HOLD, UNMATCHED
from api.http.fair_turns import APP_S
from api.http.fast_exchange import FastExchange
from api.http.file_bodies import body_bytes_max_of, too_large
from api.http.patient_connection import PatientConnection
from api.http.probe_exchange import ProbeExchange
from api.http.uploads import Upload, begin_upload, discard_uploads
from api.limits import HEAD_BYTES_MAX
from api.media_files import MediaExchange
from api.services import TOO_MUCH, Services
from api.streaming.opening import StreamOpening

SLICE_BYTES = 16 * 1024  # that the parser is given at once: so exactly is known how much of a head has come
PIPELINE_COUNT_MAX = 64
KNOWN_HEAD_BYTES_MAX = 4 * 1024
LEARNT_FROM = (FastExchange, MediaExchange)  # whose heads are looked at as bytes the next time
_BODY_HEADERS = (b"content-length", b"transfer-encoding")


class BoundedHttpProtocol(PatientConnection):
    """See the head of the file."""

    def __init__(self, *args: Any, services: Services, **kwargs: Any) -> None:
        super().__init__(*args, services=services, **kwargs)
        self._slice_bytes = 0
        self._under_way: RequestResponseCycle | DirectExchange | None = None  # later ones wait
        self._incomplete: tuple[RequestResponseCycle, Any] | None = None  # the app's next, but for its body
        self._wait: BodyWait | None = None  # for that body
        self._upload: Upload | None = None  # of the request whose body comes
        self._body_bytes = 0  # of bodies that the app wasn't given yet
        self._is_behind = False  # the request that begins has waited for another one's answer
        self._holds_body = False  # whether `Bodies` knows of some

    # -- its end ------------------------------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._incomplete is not None:
            self._services.requests.note(self.scope["method"], UNMATCHED, CLIENT_GONE_STATUS, 0.0, "")
        self._give_up_waiting()
        if self._under_way is not None and not self._under_way.response_complete:
            self._under_way.disconnected = True  # uvicorn tells the newest only, and this one would write to nobody
            self._under_way.message_event.set()
        super().connection_lost(exc)
        self._break_circles()

    def _break_circles(self) -> None:
        """Let go of what refers to this connection: then it is freed now, and not by a collection (`garbage.py`)."""
        scope: Any = self.scope
        if scope is not None:
            scope["state"].pop(HOLD, None)
        self.cycle = self._under_way = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """Close when what is under way has been answered; what a request lacks has to come soon."""
        self.take_turn_now()
        if self._incomplete is None:
            super().shutdown()
        elif self._wait is not None:
            self._incomplete[0].keep_alive = False
            self._wait.hurry()

    # -- what comes in -------------------------------------------------------------------------------------------------

    def _work_on(self, data: bytes) -> None:
        """Feed the parser, unless the head or the pipeline has grown too large."""
        if self._refused:
            self._pass_over(data)
            return
        if self._known_head and data.endswith(self._known_head) and self._repeat(data):
            return
        before, is_first = self.cycle, self._head_open and not self._head_bytes
        if len(data) <= SLICE_BYTES:
            self._feed(data)
        else:
            for at in range(0, len(data), SLICE_BYTES):
                if not self.transport.is_closing():
                    self._feed(data[at : at + SLICE_BYTES])
        if self._incomplete is not None or self._body_bytes or self._holds_body:
            self._look_at_bodies()
        if self._head_open and self._head_bytes and self._read_timer is None:
            self._arm_read_timer()
        begun: object = self.cycle
        if is_first and begun is not before and len(data) <= KNOWN_HEAD_BYTES_MAX and isinstance(begun, LEARNT_FROM):
            self._learn(data)

    def _feed(self, data: bytes) -> None:
        """Parse a slice of what has come."""
        if self._refused:
            self._pass_over(data)
            return
        self._slice_bytes = len(data)
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX + SLICE_BYTES:
                self.turn_away(heads.too_large())
                return
        else:
            self._rest_bytes += len(data)
            if self._rest_bytes > self._rest_bytes_max():
                self._refuse_rest()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # what else there is the parser takes for another protocol
            self._refused = True
            self.cycle.keep_alive = False
            self._pass_over(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.turn_away(_cause_of(error), closing=True)

    def _repeat(self, data: bytes) -> bool:
        """Answer a read that differs from the last one of this connection in its URL only, without the parser.

        Clients send the same head again and again. Its URL has the characters that an exchange lets in, so there is no
        second request in it. Returns whether that was possible.
        """
        before, services = self.cycle, self._services
        if not before.response_complete or not self._head_open or self._head_bytes or not data.startswith(b"GET "):
            return False
        if self.flow.write_paused or self.is_held or self.is_too_much or services.any_full():
            return False
        self.url = data[4 : -len(self._known_head)]
        try:
            exchange = FastExchange.of(self, services, FAST_READS, True) or MediaExchange.of(self, services, True)
        except Exception as error:  # noqa: BLE001 - as in on_headers_complete
            log_unexpected(error, "")
            exchange = None
        if exchange is None:
            return False
        if self._read_timer is not None:
            self._cancel_read_timer()
        services.connections.begin(self)
        self._unset_keepalive_if_required()
        exchange.more_body = False
        self.cycle = self._under_way = exchange  # type: ignore[assignment]
        exchange.start()
        return True

    # -- what the parser says ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """What the parser reads now replaces the headers that were known."""
        self._known_head = b""
        if not self._head_bytes:  # behind another request in the same slice
            self._head_bytes = self._slice_bytes
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete: its clock stops, and it is looked at. Raising ends the parsing of this slice."""
        if self._read_timer is not None:
            self._cancel_read_timer()
        if self._head_bytes > HEAD_BYTES_MAX and heads.size_of(self.url, self.headers) > HEAD_BYTES_MAX:
            raise heads.too_large()
        problem = heads.problem_of(self.url, self.headers, self.parser.get_http_version() == "1.0")
        if problem is not None:
            raise problem
        services = self._services
        exchange: DirectExchange | None
        try:
            exchange = self._direct_exchange()
        except Exception as error:  # noqa: BLE001 - a defect of ours: the parser would say that it isn't HTTP, and hang up
            log_unexpected(error, "")
            exchange = None  # the long way has an answer to whatever happens
        if exchange is None:
            if len(self.pipeline) >= PIPELINE_COUNT_MAX:
                self.drop()
                raise MalformedError(f"more than {PIPELINE_COUNT_MAX} requests wait")
            if self.parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self.headers):
                raise MalformedError("this server speaks HTTP/1.1: a request with a body can't ask for more")
            if self.is_too_much:
                self.scope["state"][TOO_MUCH] = True
            super().on_headers_complete()  # raises if the URL is none
            self._upload = begin_upload(services, self.scope)  # type: ignore[arg-type]
            self._end_head()
            return
        self._end_head()
        services.connections.begin(self)
        self._unset_keepalive_if_required()  # armed if the request before in the same chunk was refused at once
        self.cycle = self._under_way = exchange  # type: ignore[assignment]
        exchange.start()

    def _direct_exchange(self) -> DirectExchange | None:
        """Return what answers the request whose head is complete without the app; None if nothing does."""
        services = self._services
        if self._is_at_figures:
            return ProbeExchange.of(self, services)
        if (self.is_too_much or services.any_full()) and (refusal := Refusal.of(self, services)) is not None:
            return refusal
        if self.parser.get_method() != b"GET":
            return None
        return (
            FastExchange.of(self, services, FAST_READS)
            or MediaExchange.of(self, services)
            or ProbeExchange.of(self, services)
            or StreamOpening.of(self, services)
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """It is the turn of a request: give it to the app, if it is complete."""
        if cycle.more_body:
            self._incomplete = cycle, app
            return
        self._under_way = cycle
        if not self._is_behind or not self._waits_as_next(cycle, app):
            self._begin_in_app(cycle, app)

    def _begin_in_app(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._body_bytes -= len(cycle.body)
        if self.is_too_much:
            cycle.scope["state"][TOO_MUCH] = True
        cycle.scope["state"][HOLD] = self.hold
        self._services.connections.begin(self)
        self._services.turns.charge(APP_S)
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body. Of a request that was refused it is read past."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        if self._upload is not None:
            self._upload.feed(body)
            return
        cycle.body += body
        self._body_bytes += len(body)
        _check_size(cycle, self._services.settings.body_bytes_max)

    def on_message_complete(self) -> None:
        """The next byte belongs to another request's head."""
        self._head_open = True
        if self._read_timer is not None:
            self._cancel_read_timer()
        super().on_message_complete()
        upload, self._upload = self._upload, None
        if upload is not None and not self.cycle.response_complete:
            upload.finish()
        if self._incomplete is not None:
            (cycle, app), self._incomplete = self._incomplete, None
            self._end_wait()
            self._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Wait for the next request; the rest of one that was answered early has to come soon."""
        self._is_behind = True
        super().on_response_complete()
        self._is_behind = False
        if self.transport.is_closing():
            self._arm_write_timer()
            return
        if self._incomplete is not None or self.cycle.response_complete:  # the newest; others may be before it
            self._services.connections.end(self)
            if not self._head_open and self._incomplete is None and self._read_timer is None:
                self._arm_read_timer()
        if self._incomplete is not None or self._holds_body:
            self._look_at_bodies()

    # -- what isn't complete, and what is refused ----------------------------------------------------------------------

    def _look_at_bodies(self) -> None:
        """Begin to wait for a body, and say how much of bodies this connection holds."""
        services = self._services
        if self._incomplete is not None and self._wait is None:
            self._wait = BodyWait(self, services, self._incomplete[0])
            self._wait.begin()
        if self._incomplete is not None or self._body_bytes:
            address = "" if self._holds_body else services.limiter.address_of(self.scope)  # type: ignore[arg-type]
            self._holds_body = True
            services.bodies.hold(self, address, self._body_bytes)
        elif self._holds_body:
            self._holds_body = False
            services.bodies.forget(self)

    def displace(self) -> None:
        """Give up what waits on this connection: there is too much."""
        self.turn_away(OverloadedError("too many requests wait for their bodies; try again", None, 1.0), closing=True)

    def turn_away(self, error: RookeryError, closing: bool = False) -> None:
        """Refuse the newest request, of which not all has come, and what waits before it; or what is none.

        closing: whether the connection ends then, as it does after some errors anyway.
        """
        under_way, incomplete = self._under_way, self._incomplete
        self._give_up_waiting()
        if incomplete is not None:
            exchange = BodyRefusal(self, self._services, error, incomplete[0], closing)
            self.cycle = self._under_way = exchange  # type: ignore[assignment]
            exchange.start()
        elif under_way is not None and not under_way.response_complete:
            self._refused = True
            self.cycle = under_way  # type: ignore[assignment]
            under_way.keep_alive = False
        elif self._head_open:
            self._write_and_close(error, lingering=True)
        else:  # its request has its answer
            self.drop()

    def _give_up_waiting(self) -> None:
        if self._wait is not None:
            self._end_wait()
        discard_uploads((*self.pipeline, self._incomplete))
        self._incomplete = None
        self.pipeline.clear()
        self._body_bytes = 0
        if self._holds_body:
            self._holds_body = False
            self._services.bodies.forget(self)

    def _end_wait(self) -> None:
        if self._wait is not None:
            self._wait.end()
            self._wait = None

    def _refuse_rest(self) -> None:
        if self.cycle.response_complete:
            self.drop()
        else:
            self.turn_away(TooLargeError("the body takes too many bytes for what is in it"), closing=True)


def _check_size(cycle: RequestResponseCycle, most: int) -> None:
    """Raise TooLargeError if more of a body has come than a request may have. most: as the settings say."""
    scope: Any = cycle.scope
    if len(cycle.body) > most and len(cycle.body) > (most := body_bytes_max_of(scope, most)):
        raise TooLargeError(too_large(scope, f"more than {most}", most))


def _cause_of(error: httptools.HttpParserError) -> RookeryError:
    """Return why the parser, or one of the callbacks that it has called, refuses what has come."""
    cause = error.__context__
    if isinstance(cause, RookeryError):
        return cause
    if cause is not None and not isinstance(cause, httptools.HttpParserError):
        log_unexpected(cause, "")
    return MalformedError("this is not a request of HTTP/1.1")
