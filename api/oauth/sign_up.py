"""Signing up as Mastodon has it: through the API or on a page, with what is wrong told by field.

    {"error": "Validation failed: Username has already been taken",
     "details": {"username": [{"error": "ERR_TAKEN", "description": "has already been taken"}]}}

Rules of this file
- Everything is looked at before anything is refused, so that a form shows all that is wrong at once. A name that is
  taken is found last, by its shard.
- Of the address only a hash is kept, by which one may sign in (`access/mail_addresses.py`). Where mail is sent, it is
  the account's mailbox once the code has come back that is mailed to it; signing up waits for neither.
- The token that is made is the one that was asked for: an app's with its scopes, or a session.
- Where an operator has to approve (`registrations.mode`), account and token are made as ever, and both are good for
  nothing until then (`actors/core/features/approvals.py`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import structlog
from starlette.types import Scope

from actors.core.errors import ConflictError, InvalidError, RookeryError
from actors.core.terms import THINGS_FROM_LEVEL
from api.access.auth import make_token
from api.access.confirming import want_address
from api.access.hopeless import why_hopeless
from api.access.mail_addresses import claim_address, former_owner, is_address
from api.access.registering import register, require_open
from api.fields import clean_text, is_username, new_password
from api.levels import require_level
from api.limits import USERNAME_CHARS_MAX
from api.mastodon.errors import FieldsError
from api.services import Services

REASON_CHARS_MAX: Final = 500
_log = structlog.get_logger("rookery.api")
_SAYINGS: Final = {
    "ERR_BLANK": "can't be blank",
    "ERR_TAKEN": "has already been taken",
    "ERR_ACCEPTED": "must be accepted",
}
Details = dict[str, list[dict[str, str]]]


class SignUpForm(NamedTuple):
    """What somebody fills in."""

    username: str
    email: str
    password: str
    agreement: bool
    reason: str = ""


class SignedUp(NamedTuple):
    """What was made. waits: for an operator's approval, until when the token is good for nothing."""

    account_id: int
    token: str
    waits: bool


async def sign_up(services: Services, scope: Scope, wanted: SignUpForm, facts: list[Any]) -> SignedUp:
    """Make an account with a token. facts: name, scopes and app of the token, as `login_token` has them.

    Raises FieldsError that names each field, ForbiddenError where nobody may sign up, RateLimitedError.
    """
    require_level(services, THINGS_FROM_LEVEL)
    require_open(services)
    services.limiter.check_register(scope)
    details, password = _check(wanted)
    gone = None if "email" in details else await former_owner(services, wanted.email)
    if gone is None:
        details.setdefault("email", [_wrong("ERR_TAKEN")])
    if details:
        raise _refusal(details)
    waits, address = services.settings.registrations == "approval", services.limiter.address_of(scope)
    try:
        made = await register(services, address, wanted.username, password, waits=waits)
    except ConflictError as error:
        raise _refusal({"username": [_wrong("ERR_TAKEN")]}) from error
    account_id = made.account_id
    token, secret_hash = make_token(account_id)
    if waits:
        args = [made.password_hash, secret_hash, *facts, wanted.reason]
        await services.ask_account(account_id, "await_approval", *args)
    else:
        await services.ask_account(account_id, "login_token", secret_hash, None, *facts)
    try:
        await claim_address(services, wanted.email, account_id, gone or 0)
    except ConflictError:  # by somebody else in this moment: the account is made, and its name lets in
        _log.warning("address_taken_meanwhile", account_id=account_id)
    if services.settings.sends_mail:
        try:
            await want_address(services, account_id, wanted.email)
        except RookeryError as error:  # the account is made; its settings have another code mailed
            _log.warning("address_not_confirmed", account_id=account_id, reason=type(error).__name__)
    return SignedUp(account_id, token, waits)


def _check(wanted: SignUpForm) -> tuple[Details, str]:
    """Return what is wrong, by field, and the password as it is hashed."""
    details: Details = {}
    if not wanted.username:
        details["username"] = [_wrong("ERR_BLANK")]
    elif len(wanted.username) > USERNAME_CHARS_MAX:
        saying = f"is too long (maximum is {USERNAME_CHARS_MAX} characters)"
        details["username"] = [_wrong("ERR_TOO_LONG", saying)]
    elif not is_username(wanted.username):
        details["username"] = [_wrong("ERR_INVALID", "must contain only letters, numbers and underscores")]
    if not wanted.email:
        details["email"] = [_wrong("ERR_BLANK")]
    elif not is_address(wanted.email):
        details["email"] = [_wrong("ERR_INVALID", "is not an e-mail address")]
    try:
        clean_text(wanted.reason, "reason", REASON_CHARS_MAX, lines=True)
    except InvalidError as error:
        details["reason"] = [_wrong("ERR_INVALID", error.message.removeprefix("reason "))]
    password, trouble = _check_password(wanted)
    if trouble is not None:
        details["password"] = [trouble]
    if not wanted.agreement:
        details["agreement"] = [_wrong("ERR_ACCEPTED")]
    return details, password


def _check_password(wanted: SignUpForm) -> tuple[str, dict[str, str] | None]:
    if not wanted.password:
        return "", _wrong("ERR_BLANK")
    try:
        password = new_password(wanted.password)
    except RookeryError as error:
        too_short = len(wanted.password) < 8
        saying = (error.message or "").removeprefix("password ")
        return "", _wrong("ERR_TOO_SHORT" if too_short else "ERR_INVALID", saying)
    trouble = why_hopeless(password, wanted.username)
    return password, _wrong("ERR_INVALID", f"{trouble}; choose another") if trouble else None


def _wrong(code: str, saying: str = "") -> dict[str, str]:
    return {"error": code, "description": saying or _SAYINGS[code]}


def _refusal(details: Details) -> FieldsError:
    said = [f"{field.capitalize()} {each['description']}" for field, found in details.items() for each in found]
    return FieldsError(", ".join(said), details)
