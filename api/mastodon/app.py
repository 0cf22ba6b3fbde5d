"""Mastodon's paths of the app: found before FastAPI's routes, answered without its parameter machinery.

Rules of this file
- A trailing slash is cut, never redirected. A path that is neither Mastodon's nor ours goes on to FastAPI.
- Errors have Mastodon's form (`errors.py`), and every answer may be read by web clients of other origins: the API looks
  at no cookies, so an origin proves nothing, and a token is sent by hand.
- What Mastodon's API has and Rookery hasn't is answered 404, with the reason (`not_supported.py`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from actors.core.errors import NotFoundError
from api.mastodon.call import Answer, Call
from api.mastodon.errors import response_for, sentence_of
from api.mastodon.headers import EXPOSED, ORIGIN, PREFLIGHT
from api.mastodon.not_supported import NOT_SUPPORTED
from api.mastodon.operations import OPERATIONS
from api.mastodon.repetitions import Repetition
from api.mastodon.statuses import completed
from api.mastodon.table import Matched, Operation, Operations
from api.services import Services


async def _nothing(call: Call) -> Answer:
    """What isn't there."""
    raise NotFoundError("there is no such operation")


ABSENT: Final = Operations(
    Operation(method, path, "", "", _nothing) for method, _, path in (name.partition(" ") for name in NOT_SUPPORTED)
)


class MastodonApi:
    """The operations of `operations/`, served."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes here; none if it isn't Mastodon's."""
        return sorted({*OPERATIONS.methods_of(path), *ABSENT.methods_of(path)})

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose path is Mastodon's."""
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS":
            await self._preflight(path, scope, receive, send)
            return
        found = OPERATIONS.find(method, path)
        if found is None:
            await self._refusal(method, path)(scope, receive, send)
            return
        scope["route"] = found.operation  # for the log
        try:
            async with asyncio.timeout(max(self._services.settings.request_timeout_s, found.operation.takes_s)):
                await self._run(found, scope, receive, send)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the last line, as in edge.py, in the words of this API
            await response_for(error, scope["state"]["request_id"])(scope, receive, send)

    def _refusal(self, method: str, path: str) -> Response:
        """Return the answer to what isn't there."""
        absent = ABSENT.find(method, path)
        if absent is not None:
            row = absent.operation
            return sentence_of(404, f"not available: {NOT_SUPPORTED[f'{row.method} {row.path}']}")
        refusal = sentence_of(405, "Method not allowed")
        refusal.headers["allow"] = ", ".join(self.methods_of(path))
        return refusal

    async def _run(self, found: Matched, scope: Scope, receive: Receive, send: Send) -> None:
        call = await Call.read(self._services, scope, receive, found)
        repetition = Repetition(call, found.operation) if found.operation.is_write else None
        known = None if repetition is None else await repetition.known()
        made = await found.operation.run(call) if known is None else Answer(known)
        (body,) = await completed(self._services, [made.body], call.viewer)
        if repetition is not None and known is None:
            await repetition.keep(made.status, body)
        length = (b"content-length", b"%d" % len(body))
        headers = [made.kind, length, ORIGIN, EXPOSED, *made.headers]
        await send({"type": "http.response.start", "status": made.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _preflight(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        methods = ", ".join([*self.methods_of(path), "OPTIONS"]).encode()
        answer = Response(status_code=204)
        answer.raw_headers += [ORIGIN, (b"access-control-allow-methods", methods), (b"allow", methods), *PREFLIGHT]
        await answer(scope, receive, send)
