"""What is noted of every request, whichever way it was answered: its id, one count, and perhaps one log entry.

Rules of this file
- Every request gets an id (`X-Request-Id`: the client's if it is fit, else ours), which is in the answer and the log.
- The log has method, route template, status, duration and id: no query, no body, no header, so no secret and no text.
- Failures (5xx) and slow requests are logged in any case, up to UNASKED_PER_S_MAX a second; of the others, what
  `access_log` wants. Under overload most requests are one or the other, and writing them down would take more time
  than answering them: those beyond the bound are counted, and the next entry says how many there were.

Cost: an id 0.5 us, a note 3 us; a log entry 100 us and more, all of it on the event loop: so ordinary requests make
none unless the operator wants them.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Iterable

import structlog

from actors.log_bound import Budget
from api.limits import REQUEST_ID_CHARS_MAX
from api.metrics import Metrics
from api.settings import ApiSettings

_FIT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % REQUEST_ID_CHARS_MAX)
_READS = ("GET", "HEAD")
UNASKED_PER_S_MAX = 20  # log entries of failed and slow requests: 2 ms of the event loop a second
_log = structlog.get_logger("rookery.api")
_access_log = structlog.get_logger("rookery.access")  # what an operator has asked for: in no other bound


class RequestLog:
    """Ids, counts and log entries of one worker's requests."""

    def __init__(self, settings: ApiSettings, metrics: Metrics, clock: Callable[[], float]) -> None:
        """clock: seconds that only grow."""
        self._settings = settings
        self._metrics = metrics
        self._unasked = Budget(UNASKED_PER_S_MAX, UNASKED_PER_S_MAX, clock)
        self._id_prefix = secrets.token_hex(6)
        self._id_numbers = itertools.count(1)

    def id_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the id of a request with those headers (names in lower case)."""
        for name, value in headers:
            if name == b"x-request-id" and _FIT_REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._id_prefix}-{next(self._id_numbers):x}"

    def note(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        """Count an answered request, and log it if it is to be logged."""
        self._metrics.observe(method, route, status, seconds)
        wanted = self._settings.access_log
        slow = seconds > self._settings.slow_request_s
        log, left_out = _access_log, 0
        if wanted == "off" or (wanted == "writes" and method in _READS):
            if not slow and status < 500:
                return
            log, left_out = _log, self._unasked.take("request")
            if left_out < 0:
                return
        more = {"left_out_before": left_out} if left_out else {}
        log.info(
            "slow_request" if slow else "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1e3, 3),
            request_id=request_id,
            **more,
        )
