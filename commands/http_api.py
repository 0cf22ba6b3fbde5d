"""A small client of the HTTP API, for loads and checks of clusters that can only be reached that way.

Why not httpx: it is a test dependency; a few kept-alive connections on threads need nothing but the standard library,
and the server is the bound. Rules: 429 and 503 are waited out as Retry-After says; other refusals are raised.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from actors.core.errors import ConflictError, InvalidError, OverloadedError, RookeryError
from actors.core.numbers import whole_number

T = TypeVar("T")
CONNECTION_COUNT = 16  # requests at once: a worker answers a write in 1 to 10 ms
REQUEST_TIMEOUT_S = 30.0
PAUSE_S, PAUSE_S_MAX = 1, 60  # before a refused request is sent again
GIVE_UP_AFTER_S = 300.0  # of waiting for one request to be accepted
_LINK = re.compile(r'<([^>]+)>; rel="([a-z]+)"')


class HttpApi:
    """The API at one address; safe to use from several threads, each has its connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidError(f"--url must look like http://HOST:PORT, not {url!r}")
        self._parts, self._local, self._url = parts, threading.local(), url.rstrip("/")

    def request(self, method: str, path: str, token: str = "", body: Any = None, key: str = "") -> Any:
        """Return the JSON of an answer. Raises ConflictError for 409, OverloadedError or RookeryError otherwise."""
        return self._answer(method, path, token, body, key)[0]

    def page(self, path: str, token: str = "") -> tuple[Any, dict[str, str]]:
        """Return (the JSON of an answer, the paths of its Links by their names). Raises InvalidError as well for a Link
        that leads elsewhere."""
        value, linked = self._answer("GET", path, token)
        links = {}
        for address, name in _LINK.findall(linked):
            if not address.startswith(self._url + "/"):
                raise InvalidError(f"GET {path}: its Link leads to {address[:300]}, not to {self._url}")
            links[name] = address.removeprefix(self._url)
        return value, links

    def _answer(self, method: str, path: str, token: str, body: Any = None, key: str = "") -> tuple[Any, str]:
        """Return (the JSON of an answer, its header Link)."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Idempotency-Key": key} if key else {}
        payload = orjson.dumps(body) if body is not None else None
        deadline = time.monotonic() + GIVE_UP_AFTER_S
        while True:
            try:
                status, told, answer = self._once(method, path, headers, payload)
            except (OSError, http.client.HTTPException) as error:
                self._local.connection = None
                status, told, answer = 503, http.client.HTTPMessage(), str(error).encode()
            if status < 400:
                return orjson.loads(answer), told.get("Link", "")
            if status not in (429, 503) or time.monotonic() > deadline:
                raise _error(status, f"{method} {path}: {answer[:300].decode('utf-8', 'replace')}")
            time.sleep(wait_of(told.get("Retry-After", "")))

    def _once(
        self, method: str, path: str, headers: dict[str, str], payload: bytes | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            secure = self._parts.scheme == "https"
            make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            connection = self._local.connection = make(
                str(self._parts.hostname), self._parts.port, timeout=REQUEST_TIMEOUT_S
            )
        connection.request(method, self._parts.path.rstrip("/") + path, payload, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    def for_each(self, items: Iterable[T], work: Callable[[T], None]) -> None:
        """Run work(item) for all, CONNECTION_COUNT at a time. Raises the first error."""
        with ThreadPoolExecutor(CONNECTION_COUNT) as pool:
            for _ in pool.map(work, items):
                pass


def wait_of(retry_after: str) -> int:
    """Return the seconds that a Retry-After asks for; PAUSE_S for a date, which a proxy may send, or what is none."""
    seconds = whole_number(retry_after.strip(), PAUSE_S_MAX)
    return PAUSE_S if seconds is None or seconds < 0 else min(seconds, PAUSE_S_MAX)


def _error(status: int, message: str) -> RookeryError:
    if status == 409:
        return ConflictError(message)
    return OverloadedError(message) if status in (429, 503) else InvalidError(f"{status} from {message}")
