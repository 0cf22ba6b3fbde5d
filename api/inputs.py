"""One request as the routes see it: query, body, path ids, and who is calling.

Rules of this file
- The token is the one of the Authorization header, else `auth_token` of the body, else of the query.
- `user_id` (body before query) names the account that acts; a path that names it wins.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from actors.core.errors import MalformedError
from api.access.auth import bearer_of
from api.http.body import read_body
from api.http.caching import TOKEN_NAME, note_body
from api.http.file_bodies import body_bytes_max_of
from api.params import Page, optional_id, parse_count, parse_id, parse_page, parse_query, shown
from api.services import Services


class Inputs:
    """What a client sent, read but not yet checked value by value."""

    def __init__(self, request: Request, query: dict[str, str], body: dict[str, Any]) -> None:
        self.request = request
        self.services: Services = request.app.state.services
        self.query = query
        self.body = body

    @classmethod
    async def read(cls, request: Request, files_max: int = 0) -> Inputs:
        """Read query and, for a method that has one, the body, with files. Raises MalformedError, TooLargeError."""
        query = parse_query(request.scope["query_string"])
        if request.method == "GET":
            return cls(request, query, {})
        services: Services = request.app.state.services
        note_body(request.scope, None)
        usual = services.settings.body_bytes_max
        bytes_max = body_bytes_max_of(request.scope, usual) if files_max else usual
        body = await read_body(request, bytes_max, files_max)
        note_body(request.scope, body)
        return cls(request, query, body)

    @property
    def token(self) -> str | None:
        """The token that was given, or None."""
        header = self.request.headers.get("authorization")
        if header is not None:
            return bearer_of(header)
        token = self.body.get(TOKEN_NAME, self.query.get(TOKEN_NAME))
        if token is not None and not isinstance(token, str):
            raise MalformedError(f"auth_token must be a text, not {shown(token)}", "auth_token")
        return token or None

    def path_id(self, name: str) -> int:
        """Return an id of the path. Raises MalformedError or InvalidError."""
        return parse_id(self.request.path_params[name], name)

    def body_id(self, name: str) -> int:
        """Return an id of the body, 0 if it isn't given: absent, null, or empty, as forms send what was left blank."""
        return 0 if self.body.get(name) == "" else optional_id(self.body, name)

    def page(self) -> Page:
        """Return the window of a timeline that the query asks for."""
        settings = self.services.settings
        return parse_page(self.query, settings.home_count_default, settings.home_count_max)

    def cursor_page(self) -> tuple[int, int]:
        """Return cursor (0 = from the newest) and count of a list of accounts."""
        settings = self.services.settings
        count = parse_count(self.query, settings.home_count_default, settings.home_count_max)
        return optional_id(self.query, "cursor", least=0), count

    async def actor(self, claimed_id: int | None = None) -> int:
        """Return the account that acts. claimed_id: the one that the path names; by default `user_id`.

        Raises UnauthorizedError, ForbiddenError, or RateLimitedError when that account asks for too much.
        """
        if claimed_id is None:
            claimed_id = self.body_id("user_id") or optional_id(self.query, "user_id")
        account_id = await self.services.auth.actor(self.token, claimed_id)
        self.services.limiter.check_account(account_id, self.request.method != "GET")
        return account_id

    async def viewer(self) -> int:
        """Return who reads something public: an account, or 0 for nobody."""
        account_id = await self.services.auth.viewer(self.token)
        if account_id:
            self.services.limiter.check_account(account_id, False)
        return account_id
