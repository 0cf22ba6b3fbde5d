"""People who write through Mastodon's API and see each write through, whatever is killed meanwhile.

Rules of this file
- A request is repeated until it is answered: after a connection that broke, 503 or 429, with the same Idempotency-Key.
  So every write here is either acknowledged, or the run ends with an error.
- Every write can be repeated without doing more: posts by their key, all the others by what they are. Signing up can't:
  people are made while nothing is killed.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx

PASSWORD = "a long enough password"
PATIENCE_S = 120.0  # of one request: a shard that was killed again while it came back is tried after 30 s
PAUSE_S = 0.1
REQUEST_TIMEOUT_S = 15.0
AGAIN = (429, 503)


class Person:
    """An account with a token and connections of its own. repeated: requests that were sent again."""

    def __init__(self, base: str, name: str) -> None:
        self.name, self.base = name, base
        self.http = httpx.Client(base_url=base, timeout=REQUEST_TIMEOUT_S)
        self.repeated = 0
        body = {"username": name, "password": PASSWORD}
        made = self._send("POST", "/api/v1/users", (201,), json=body)
        said = made.json()
        self.id, self.token = str(said["user_id"]), str(said["auth_token"])
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def ask(self, method: str, path: str, body: Any = None, allowed: tuple[int, ...] = (), **params: Any) -> Any:
        """Return what is answered, as JSON. allowed: statuses beside 200 that are no error; their answer is None."""
        headers = {} if method == "GET" else {"Idempotency-Key": uuid.uuid4().hex}
        more: dict[str, Any] = {"params": params} if params else {}
        if method != "GET":
            more["json"] = body or {}
        reply = self._send(method, f"/api/v1/{path}", (200, *allowed), headers=headers, **more)
        return reply.json() if reply.status_code == 200 else None

    def _send(self, method: str, path: str, allowed: tuple[int, ...], **more: Any) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            why: object
            try:
                reply = self.http.request(method, path, **more)
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if reply.status_code not in AGAIN:
                    assert reply.status_code in allowed, f"{method} {path}: {reply.status_code} {reply.text[:500]}"
                    return reply
                why = f"{reply.status_code} {reply.text[:200]}"
            assert time.monotonic() < deadline, f"{method} {path} isn't answered: {why}"
            self.repeated += 1
            time.sleep(PAUSE_S)

    def post(self, text: str, **more: Any) -> dict[str, Any]:
        """Post a status; returns it."""
        status: dict[str, Any] = self.ask("POST", "statuses", {"status": text, **more})
        return status

    def delete(self, status_id: str) -> None:
        """Delete an own status; one that is gone already, as a repeated request finds it, is as good."""
        self.ask("DELETE", f"statuses/{status_id}", allowed=(404,))

    def act(self, what: str, whom: str) -> None:
        """Do something to an account or a status: `accounts/follow`, `statuses/favourite`, ..."""
        kind, _, verb = what.partition("/")
        self.ask("POST", f"{kind}/{whom}/{verb}")

    def notifications(self) -> list[dict[str, Any]]:
        """Return all notifications, newest first, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            older = {"max_id": found[-1]["id"]} if found else {}
            page = self.ask("GET", "notifications", limit=80, **older)
            if not page:
                return found
            found += page

    def close(self) -> None:
        """Close the connections."""
        self.http.close()
