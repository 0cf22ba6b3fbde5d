"""Answers that take longer than a request may: exports, imports, archives. Few at a time, and each with an end.

Rules of this file
- A worker has COUNT_MAX of them under way, an account one: who comes then is refused, and asks again.
- An answer has begun before its work does; it is told in pieces as they are there, and a client that goes away ends it.
- What takes longer than LONG_S is cut off; whoever reads sees that the answer has no end.

Cost: a place each; memory for one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from actors.core.errors import ConflictError, OverloadedError

COUNT_MAX: Final = 4  # at a time, of one worker: each is one request of its shards after the other
LONG_S: Final = 900.0
DEADLINE: Final = "deadline"  # in a scope's state: the `asyncio.Timeout` of the request, see http/edge.py
_AGAIN_S: Final = 5.0


class LongWork:
    """What is under way at this worker."""

    def __init__(self) -> None:
        self._accounts: dict[int, object] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def begin(self, account_id: int) -> object:
        """Take a place. Raises ConflictError where the account has one, OverloadedError where all are taken."""
        if account_id in self._accounts:
            raise ConflictError("an export or import of this account is under way; wait for its end", "user_id")
        if len(self._accounts) >= COUNT_MAX:
            raise OverloadedError("this worker has as many exports and imports as it can carry", None, _AGAIN_S)
        place = self._accounts[account_id] = object()
        return place

    def end(self, account_id: int, place: object) -> None:
        """Give a place back; again changes nothing, whoever has the next one."""
        if self._accounts.get(account_id) is place:
            del self._accounts[account_id]


class LongAnswer(StreamingResponse):
    """An answer in pieces, in a place of its account's that it takes when it is made and gives back at its end."""

    def __init__(
        self, work: LongWork, account_id: int, pieces: AsyncIterator[bytes], kind: str, file_name: str = ""
    ) -> None:
        """kind: its content type; file_name: as which a browser keeps it, "" to show it. Raises as `begin`."""
        headers = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
        if file_name:
            headers["content-disposition"] = f'attachment; filename="{file_name}"'
        super().__init__(self._until_end(pieces), 200, headers, media_type=kind)
        self._work, self._account_id, self._place = work, account_id, work.begin(account_id)

    async def _until_end(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass pieces on; the place is free once the last is there, before the client can know that it was the last."""
        async for piece in pieces:
            yield piece
        self._work.end(self._account_id, self._place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        deadline: asyncio.Timeout | None = scope.get("state", {}).get(DEADLINE)
        if deadline is not None:
            deadline.reschedule(None)
        try:
            async with asyncio.timeout(LONG_S):
                await super().__call__(scope, receive, send)
        finally:
            self._work.end(self._account_id, self._place)
