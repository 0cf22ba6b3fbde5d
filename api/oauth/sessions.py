"""Who sits at a browser: cookies of our own pages, and the tokens of their forms.

    signed in    rookery_session = a token of the account, good for nothing but these pages (`auth.SESSION_SCOPES`)
    not yet      rookery_visit = 32 random bytes
    a form       authenticity_token = HMAC-SHA256(the cookie, what the form is for)

Rules of this file
- A session is a token as others: its shard keeps a hash, it is in the account's list of log-ins, and ends with a new
  password, with all log-ins, or by itself. The API takes it for no token, and reads no cookie.
- Cookies are HttpOnly, SameSite=Lax, and Secure wherever clients know us by https.
- A form that changes something shows its token, which no other site can read, and comes from our own pages: where a
  browser says from where (Sec-Fetch-Site, or else Origin), that must be us. `Origin: null` is what browsers send from
  pages with `Referrer-Policy: no-referrer`, as ours have, so where it is all that is said the form's token decides.
- After 30 days a session ends on the server, too, whatever the browser says: its shard knows when it was given. That
  is one lane request more for each page.
- Signing in draws a new session, whatever was there before.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Scope

from actors.core.errors import ForbiddenError, UnauthorizedError
from actors.core.stores.people import token_id
from api.access.auth import SESSION_SCOPES, parse_token
from api.limits import TOKEN_CHARS_MAX
from api.mastodon.inputs import Params
from api.services import Services

SESSION: Final = "rookery_session"
VISIT: Final = "rookery_visit"
TOKEN_FACTS: Final[list[Any]] = ["Web browser", SESSION_SCOPES, 0]  # of a session, as `login_token` takes them
FORM_TOKEN: Final = "authenticity_token"
_SESSION_AGE_S: Final = 30 * 24 * 3600
_NONCE_BYTES: Final = 32


def cookies_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the cookies of a request; of a name that is there twice the first. Cost: linear."""
    found: dict[str, str] = {}
    for name, line in headers:
        if name == b"cookie":
            for pair in line.decode("latin-1").split(";"):
                key, equals, value = pair.strip().partition("=")
                if equals:
                    found.setdefault(key, value)
    return found


class Visit:
    """One request of a browser. account_id: who is signed in, 0 for nobody."""

    def __init__(
        self, services: Services, scope: Scope, params: Params, session: str, account_id: int, nonce: str
    ) -> None:
        self.services, self.scope, self.params = services, scope, params
        self.session, self.account_id = session, account_id
        self._nonce = nonce
        self.cookies: list[str] = []  # to be set by the answer

    @classmethod
    async def read(cls, services: Services, scope: Scope, params: Params) -> Visit:
        """Find out who sits there. Raises RookeryError where that can't be found out now."""
        cookies = cookies_of(scope["headers"])
        session, account_id = cookies.get(SESSION, ""), 0
        if session and len(session) <= TOKEN_CHARS_MAX and parse_token(session).account_id:
            try:
                grant = await services.auth.grant(session)
                account_id = grant.account_id if grant.is_session else 0
                if account_id and await _has_expired(services, account_id, session):
                    await _end(services, account_id, session)
                    account_id = 0
            except UnauthorizedError:  # it has ended
                account_id = 0
        nonce = cookies.get(VISIT, "")
        visit = cls(services, scope, params, session if account_id else "", account_id, nonce)
        if not account_id and len(nonce) < _NONCE_BYTES:
            visit._nonce = secrets.token_urlsafe(_NONCE_BYTES)
            visit._set(VISIT, visit._nonce, None)
        return visit

    def form_token(self, purpose: str) -> str:
        """Return what a form of these pages shows. purpose: the path that it is sent to."""
        key = (self.session or self._nonce).encode("latin-1")
        return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()

    def require_form(self, purpose: str) -> None:
        """Refuse what wasn't sent from a form of ours. Raises ForbiddenError."""
        given = self.params.text(FORM_TOKEN)
        if not hmac.compare_digest(given.encode(errors="surrogatepass"), self.form_token(purpose).encode()):
            raise ForbiddenError(
                "this form has expired; go back, load the page again, and send it once more", FORM_TOKEN
            )
        said = {name: value for name, value in self.scope["headers"] if name in (b"sec-fetch-site", b"origin")}
        site, origin = said.get(b"sec-fetch-site"), said.get(b"origin", b"null").decode("latin-1")
        if site is not None and site not in (b"same-origin", b"none"):
            raise ForbiddenError("this form was sent by another site", "origin")
        if origin not in ("null", self.services.origins.origin(self.scope)):
            raise ForbiddenError("this form was sent by another site", "origin")

    async def begin_session(self, account_id: int, session: str) -> None:
        """Have the answer sign somebody in, in the place of who was there."""
        await self._revoke()
        self.session, self.account_id = session, account_id
        self._set(SESSION, session, _SESSION_AGE_S)
        self._set(VISIT, "", 0)

    async def end_session(self) -> None:
        """End the session, everywhere and at once."""
        await self._revoke()
        self.session, self.account_id = "", 0
        self._set(SESSION, "", 0)

    def finish(self, response: Response) -> Response:
        """Put the cookies into an answer."""
        response.raw_headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in self.cookies]
        return response

    async def _revoke(self) -> None:
        if self.session:
            await _end(self.services, self.account_id, self.session)

    def _set(self, name: str, value: str, age_s: int | None) -> None:
        secure = "; Secure" if self.services.origins.origin(self.scope).startswith("https:") else ""
        age = "" if age_s is None else f"; Max-Age={age_s}"
        self.cookies.append(f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")


async def _has_expired(services: Services, account_id: int, session: str) -> bool:
    """Whether a session began longer ago than its cookie is kept: a cookie that was copied ends as well."""
    wanted = token_id(parse_token(session).secret_hash)
    for each, _, made_ms, *_ in await services.ask_account(account_id, "tokens"):
        if each == wanted:
            return bool(made_ms + 1000 * _SESSION_AGE_S < services.wall_ms())
    return True


async def _end(services: Services, account_id: int, session: str) -> None:
    secret_hash = parse_token(session).secret_hash
    await services.ask_account(account_id, "revoke_token", secret_hash)
    services.auth.drop_token(account_id, secret_hash)
