"""One call of an operation: who asks, with what, and how its parts are asked for.

Rules of this file
- The token is that of the Authorization header, else `access_token` of query or body. Cookies are never read.
- A token of either API is one of the other's. What it is for is looked at before anything is done: 403.
- A token of an app alone stands for nobody: where somebody is needed, that is 422, as Mastodon has it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.types import Receive, Scope

from actors.core.errors import ForbiddenError, InvalidError, MalformedError, NotFoundError, UnauthorizedError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from api.access.auth import NOTHING, Grant, bearer_of
from api.errors import FilesError
from api.http.body import read_pairs_or_json
from api.http.caching import ACCESS_TOKEN_NAME, note_body
from api.http.uploads import UPLOAD, Upload
from api.mastodon.errors import NOBODY, OUTSIDE_SCOPES, NobodyError
from api.mastodon.headers import JSON
from api.mastodon.inputs import Params, nested
from api.mastodon.pages import Window, link_of, window_of
from api.mastodon.table import Caller, Matched, Operation
from api.once import Repeatable, carry_out
from api.params import shown, split_pairs
from api.services import Services


class Answer(NamedTuple):
    """What an operation answers. kind: the header that says what the body is."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: tuple[bytes, bytes] = JSON


class Call:
    """One request for an operation. viewer: who asks, 0 for nobody; grant: what the token allows, NOTHING without."""

    def __init__(
        self, services: Services, scope: Scope, found: Matched, params: Params, viewer: int, grant: Grant = NOTHING,
        token: str = "",
    ) -> None:  # fmt: skip
        self.services, self.scope, self.params, self.viewer, self.grant = services, scope, params, viewer, grant
        self.token = token
        self._names = found.names
        self._settled: list[str] = []  # writes with a key so far

    @classmethod
    async def read(cls, services: Services, scope: Scope, receive: Receive, found: Matched) -> Call:
        """Read a request, and find out who asks. Raises RookeryError."""
        params = await _read_params(services, scope, receive)
        operation = found.operation
        if operation.caller is Caller.CLIENT:
            return cls(services, scope, found, params, 0)
        token = _token_of(scope, params)
        if token is None and operation.scope:
            raise UnauthorizedError("a token is required")
        grant = NOTHING if token is None else await _granted(services, operation, token)
        if grant.account_id:
            services.limiter.check_account(grant.account_id, operation.is_write)
        return cls(services, scope, found, params, grant.account_id, grant, token or "")

    def name(self, name: str) -> str:
        """Return what stands in the path."""
        return self._names[name]

    def id(self, name: str = "id") -> int:
        """Return an id of the path. Raises NotFoundError for what can't be one: there is nothing of that id."""
        number = whole_number(self._names[name], ID_MAX)
        if not number or not 1 <= number <= ID_MAX:
            raise NotFoundError(f"{name} {shown(self._names[name])} is no id", name)
        return number

    def header(self, name: bytes) -> str | None:
        """Return a header of the request, by its name in lower case."""
        value = next((value for key, value in self.scope["headers"] if key == name), None)
        return None if value is None else value.decode("latin-1")

    @property
    def upload(self) -> Upload | None:
        """The files that came with the request, None if none were taken."""
        upload: Upload | None = self.scope["state"].get(UPLOAD)
        return upload

    @property
    def origin(self) -> str:
        """The scheme and host by which the client knows this API, without a slash; empty if it names no host."""
        return self.services.origins.base({**self.scope, "path": ""})

    @property
    def repeatable(self) -> Repeatable:
        """The request as one that may be repeated by its Idempotency-Key (`api/once.py`); its write is settled."""
        key, said = self.header(b"idempotency-key"), self.params.values
        return Repeatable(self.services, self.scope["method"], self.scope["path"], key, said, is_settled=True)

    async def settle(self, op: str, *args: Any) -> Any:
        """Carry out a write of who asks, by its own shard, and wait until all shards concerned have it.

        With an Idempotency-Key once, also where a worker dies before the call's whole answer is kept: the repetition is
        told what the write was answered, and reads the rest anew. A call may have several writes, each with its key.
        """
        request = self.repeatable
        if request.key is None:
            return await self.services.settle_account(self.viewer, op, *args)
        self._settled.append(op)
        return await carry_out(request.part(f"{op} {self._settled.count(op)}"), self.viewer, op, [self.viewer, *args])

    def window(self, default: int = 20, most: int = 40) -> Window:
        """Return which entries of a list are wanted."""
        return window_of(self.params, default, most)

    def page(self, items: list[bytes], newest: int, oldest: int, has_more: bool) -> Answer:
        """Answer a list, with where it goes on."""
        link = link_of(self.services.origins.base(self.scope), self.params, newest, oldest, has_more)
        return Answer(b"[" + b",".join(items) + b"]", headers=() if link is None else (link,))


def answer(value: Any, status: int = 200) -> Answer:
    """Answer a value as JSON."""
    return Answer(orjson.dumps(value), status)


async def _granted(services: Services, operation: Operation, token: str) -> Grant:
    """Return what a token allows. Raises UnauthorizedError, ForbiddenError, NobodyError if that isn't enough."""
    grant = await services.auth.grant(token)
    if grant.is_session:
        raise UnauthorizedError("a session of the web pages is no token")
    if not operation.allows(grant.scopes):
        raise ForbiddenError(OUTSIDE_SCOPES)
    if operation.scope and not grant.account_id and operation.caller is not Caller.APP:
        raise NobodyError(NOBODY)
    return grant


async def _read_params(services: Services, scope: Scope, receive: Receive) -> Params:
    query = nested(split_pairs(scope["query_string"], "the query string")) if scope["query_string"] else {}
    if scope["method"] in ("GET", "HEAD"):
        return Params(query)
    note_body(scope, None)
    try:
        body = await read_pairs_or_json(Request(scope, receive), services.settings.body_bytes_max)
    except FilesError as error:
        raise InvalidError(f"No file is taken here: {error.message}") from error
    values = body if isinstance(body, dict) else nested(body)
    note_body(scope, values)
    return Params({**query, **values})


def _token_of(scope: Scope, params: Params) -> str | None:
    header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    if header is not None:
        return bearer_of(header.decode("latin-1"))
    token = params.values.get(ACCESS_TOKEN_NAME)
    if token is not None and not isinstance(token, str):
        raise MalformedError(f"{ACCESS_TOKEN_NAME} must be a text, not {shown(token)}", ACCESS_TOKEN_NAME)
    return token or None
