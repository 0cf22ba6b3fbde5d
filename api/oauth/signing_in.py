"""The pages on which somebody signs in, signs up and signs out.

Rules of this file
- Attempts, waiting and hopeless passwords are those of the API (`access/log_in.py`, `sign_up.py`): one way in.
- What was typed comes back in a form that was refused, but for the password. That a name is unknown isn't told.
- Who has signed in goes on to where he was sent from: an authorize page of ours, and nowhere else.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from actors.core.errors import InvalidError, RookeryError, UnauthorizedError
from api.access.log_in import log_in
from api.access.registering import require_open
from api.fields import tried_password
from api.limits import TOKEN_CHARS_MAX
from api.mastodon.errors import FieldsError
from api.oauth.authorizing import AUTHORIZE, SIGN_IN
from api.oauth.mail_pages import MAIL_NEXT
from api.oauth.portability_pages import NEXT
from api.oauth.sessions import TOKEN_FACTS, Visit
from api.oauth.sign_up import SignUpForm, sign_up
from api.oauth.templating import page, redirect

SIGN_UP: Final = "/auth/sign_up"
SIGN_OUT: Final = "/auth/sign_out"
_WAITS: Final = "Somebody who runs this server will look at it. Once it is approved, you can sign in."
_NO_MATCH: Final = "User name or password is wrong."


async def show_sign_in(visit: Visit) -> Response:
    """Show the form, or who is signed in, if he isn't sent here to sign in."""
    following = _next(visit)
    if visit.account_id and following and not visit.params.flag("again"):
        return redirect(following)
    if not visit.account_id or following or visit.params.flag("again"):
        return _sign_in_form(visit)
    _, username, _ = await visit.services.ask_account(visit.account_id, "account")
    return page("account", "Your account", {
        "form_token": visit.form_token(SIGN_OUT), "username": username,
        "sends_mail": visit.services.settings.sends_mail,
    })  # fmt: skip


async def take_sign_in(visit: Visit) -> Response:
    """Sign somebody in, by name and password."""
    visit.require_form(SIGN_IN)
    services, user = visit.services, visit.params.inside("user")
    name = user.text("email").strip()[:TOKEN_CHARS_MAX]
    try:
        password = tried_password(user.text("password"))
        with services.logins.begin(services.limiter.address_of(visit.scope), name) as attempt:
            account_id, session = await log_in(services, name, password, attempt, TOKEN_FACTS)
    except (InvalidError, UnauthorizedError):
        return _sign_in_form(visit, name, _NO_MATCH, 422)
    await visit.begin_session(account_id, session)
    return redirect(_next(visit) or SIGN_IN)


async def show_sign_up(visit: Visit) -> Response:
    """Show the form, where people may register."""
    require_open(visit.services)
    return _sign_up_form(visit, SignUpForm("", "", "", False))


async def take_sign_up(visit: Visit) -> Response:
    """Make an account, and sign it in."""
    visit.require_form(SIGN_UP)
    user = visit.params.inside("user")
    wanted = SignUpForm(
        user.inside("account_attributes").text("username"), user.text("email"), user.text("password"),
        user.flag("agreement"), user.inside("invite_request_attributes").text("text"),
    )  # fmt: skip
    try:
        account_id, session, waits = await sign_up(visit.services, visit.scope, wanted, TOKEN_FACTS)
    except FieldsError as error:
        return _sign_up_form(visit, wanted, error)
    if waits:
        return page("message", "Your account waits for approval", {"sentence": _WAITS})
    await visit.begin_session(account_id, session)
    return redirect(_next(visit) or SIGN_IN)


async def sign_out(visit: Visit) -> Response:
    """End the session of this browser."""
    visit.require_form(SIGN_OUT)
    await visit.end_session()
    return redirect(SIGN_IN)


def _next(visit: Visit) -> str:
    """Return where somebody was sent from, if that is an authorize page of ours, or one of `NEXT`; else empty."""
    asked = visit.params.text("next")
    if asked in NEXT or asked in MAIL_NEXT:
        return asked
    return asked if asked.startswith(f"{AUTHORIZE}?") and asked.isascii() and asked.isprintable() else ""


def _sign_in_form(visit: Visit, name: str = "", alert: str = "", status: int = 200) -> Response:
    values = {"form_token": visit.form_token(SIGN_IN), "name": name, "may_sign_up": _may_sign_up(visit)}
    values["sends_mail"] = visit.services.settings.sends_mail
    return page("sign_in", "Sign in", {**values, **_following(visit)}, status, alert=alert)


def _sign_up_form(visit: Visit, wanted: SignUpForm, error: FieldsError | None = None) -> Response:
    details = {} if error is None else error.details
    wrong = {field: "; ".join(each["description"] for each in details.get(field, ())) for field in SignUpForm._fields}
    values = {
        "form_token": visit.form_token(SIGN_UP), "values": wanted, "wrong": wrong,
        "asks_why": visit.services.settings.registrations == "approval",
        "sends_mail": visit.services.settings.sends_mail, **_following(visit),
    }  # fmt: skip
    alert = "" if error is None else f"{error.message}."
    return page("sign_up", "Sign up", values, 200 if error is None else 422, alert=alert)


def _following(visit: Visit) -> dict[str, str]:
    following = _next(visit)
    return {"next": following, "next_query": f"?{urlencode({'next': following})}" if following else ""}


def _may_sign_up(visit: Visit) -> bool:
    try:
        require_open(visit.services)
    except RookeryError:
        return False
    return True
