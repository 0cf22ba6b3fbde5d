"""The pages of mail: a forgotten password, an address that is confirmed, what is mailed, and no more of it.

    /auth/password/new    whose it is --> the same page for everybody, with the form of /auth/password/edit
    /auth/confirmation    the code of an address, for who is signed in
    /settings/mail        the address, and what is mailed to it       /settings/mail/address   another one
    /unsubscribe          for who has a mail of ours: its link says whose it is; no sign-in, and a POST does it

Rules of this file
- A link in a mail only fills in a form: programs that look at links before people do change nothing.
- One click (RFC 8058): a POST of `List-Unsubscribe=One-Click` to the link needs neither cookies nor a form of ours. The
  link is signed for one account and the address that it was mailed to, and only ever ends mail.
- A page says the same of an address that nobody has.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from actors.core.errors import InvalidError, NotFoundError
from api.access.confirming import WRONG_CODE, confirm_address, require_mail, want_address
from api.access.forgotten import forgot, reset
from api.fields import chosen_password, tried_password
from api.limits import TOKEN_CHARS_MAX
from api.mail_choices import WORDS, mail_settings
from api.oauth.authorizing import SIGN_IN
from api.oauth.mail_paths import (
    CONFIRMATION,
    EDIT_PASSWORD,
    END_MAIL,
    FORGOTTEN,
    MAIL,
    MAIL_ADDRESS,
    UNSUBSCRIBE,
)
from api.oauth.sessions import Visit
from api.oauth.templating import page, redirect
from api.outgoing_keys import CODE_GIVEN_CHARS_MAX, LINK_CHARS, account_of_link

MAIL_NEXT: Final = frozenset((MAIL, CONFIRMATION))  # to which who has signed in may be sent back
_SENT: Final = (
    "If an account here has confirmed that address, a code is on its way to it. It is good for ten minutes, and once."
)
_CHANGED: Final = "Your password is another one now, and you are signed out everywhere. You can sign in with it."
_ENDED: Final = "You get no more notifications by mail. In your settings you can choose them again."


async def show_forgotten(visit: Visit) -> Response:
    """Ask whose password is forgotten."""
    require_mail(visit.services)
    return _forgotten_form(visit)


async def take_forgotten(visit: Visit) -> Response:
    """Have a code mailed, and say the same to everybody."""
    require_mail(visit.services)
    visit.require_form(FORGOTTEN)
    address = _address(visit)
    try:
        forgot(visit.services, visit.services.limiter.address_of(visit.scope), address)
    except InvalidError:
        return _forgotten_form(visit, "That is not an e-mail address.", 422)
    return _password_form(visit, address, "", note=_SENT)


async def show_edit_password(visit: Visit) -> Response:
    """Ask for a code, and another password."""
    require_mail(visit.services)
    return _password_form(visit, _address(visit), _code(visit))


async def take_password(visit: Visit) -> Response:
    """Give an account another password, by a mailed code."""
    require_mail(visit.services)
    visit.require_form(EDIT_PASSWORD)
    address, code, user = _address(visit), _code(visit), visit.params.inside("user")
    try:
        password = chosen_password({"password": user.text("password")}, "password", address.partition("@")[0])
        client = visit.services.limiter.address_of(visit.scope)
        is_reset = await reset(visit.services, client, address, code, password)
    except InvalidError as error:
        return _password_form(visit, address, code, _sentence(error.message), 422)
    if not is_reset:
        return _password_form(visit, address, "", _sentence(WRONG_CODE), 422)
    return page("message", "Another password", {"sentence": _CHANGED})


async def show_confirmation(visit: Visit) -> Response:
    """Ask for the code of an address."""
    require_mail(visit.services)
    if not visit.account_id:
        return redirect(f"{SIGN_IN}?next={CONFIRMATION}")
    return _confirmation_form(visit, _code(visit))


async def take_confirmation(visit: Visit) -> Response:
    """Make the address that waits the account's."""
    require_mail(visit.services)
    visit.require_form(CONFIRMATION)
    if not visit.account_id:
        return redirect(f"{SIGN_IN}?next={CONFIRMATION}")
    if not await confirm_address(visit.services, visit.account_id, _code(visit)):
        return _confirmation_form(visit, "", _sentence(WRONG_CODE), 422)
    return redirect(MAIL)


async def show_mail(visit: Visit) -> Response:
    """Show an account's address, and what is mailed."""
    require_mail(visit.services)
    if not visit.account_id:
        return redirect(f"{SIGN_IN}?next={MAIL}")
    return await _mail_page(visit)


async def take_mail(visit: Visit) -> Response:
    """Choose what is mailed: what isn't ticked isn't."""
    require_mail(visit.services)
    visit.require_form(MAIL)
    if not visit.account_id:
        return redirect(f"{SIGN_IN}?next={MAIL}")
    notify = visit.params.inside("notify")
    types = sum(1 << number for word, number in WORDS.items() if notify.flag(word))
    try:
        await visit.services.ask_account(visit.account_id, "set_mail", types, visit.params.flag("digest"))
    except InvalidError as error:
        return await _mail_page(visit, _sentence(error.message), 422)
    return redirect(MAIL)


async def take_address(visit: Visit) -> Response:
    """Have a code mailed to another address. Needs the password."""
    require_mail(visit.services)
    visit.require_form(MAIL_ADDRESS)
    if not visit.account_id:
        return redirect(f"{SIGN_IN}?next={MAIL}")
    services, account_id, user = visit.services, visit.account_id, visit.params.inside("user")
    _, username, _ = await services.ask_account(account_id, "account")
    try:
        password = tried_password(user.text("current_password"))
        with services.logins.begin(services.limiter.address_of(visit.scope), username) as attempt:
            (encoded,) = await services.ask_account(account_id, "credentials")
            if not await services.passwords.matches(encoded, password, attempt.asker):
                attempt.wrong()
                return await _mail_page(visit, "That is not your password.", 422)
            attempt.right()
        if not await want_address(services, account_id, _address(visit)):
            return await _mail_page(visit, "That is your address already.", 422)
    except InvalidError as error:
        return await _mail_page(visit, _sentence(error.message), 422)
    return redirect(CONFIRMATION)


async def show_unsubscribe(visit: Visit) -> Response:
    """Ask whether somebody wants no more mail."""
    require_mail(visit.services)
    link = visit.params.text("token")[:LINK_CHARS]
    await _account_of(visit, link)
    return page("unsubscribe", "No more mail", {"action": f"{UNSUBSCRIBE}?token={link}"})


async def unsubscribe(visit: Visit) -> Response:
    """End the mail of an account: by our form, or by a mail program in one click."""
    require_mail(visit.services)
    account_id = await _account_of(visit, visit.params.text("token")[: LINK_CHARS + 1])
    if account_id:
        await visit.services.ask_account(account_id, "set_mail", 0, False)
    return page("message", "No more mail", {"sentence": _ENDED})


async def _account_of(visit: Visit, link: str) -> int:
    """Return whose mail a link ends; 0 if there is none to end any more. Raises NotFoundError for what is no link."""
    services, account_id = visit.services, account_of_link(link)
    address = ""
    if account_id:
        try:
            address, *_ = await services.ask_account(account_id, "mailbox")
        except NotFoundError:  # it has gone, and so has its mail; whose link it was can't be told any more
            account_id = 0
    if not account_id or not address or not services.cluster.outgoing_keys.is_link(link, END_MAIL, account_id, address):
        raise NotFoundError("this link is not one of ours, or of an address that gets no mail from us any more")
    return account_id


async def _mail_page(visit: Visit, alert: str = "", status: int = 200) -> Response:
    found = mail_settings(await visit.services.ask_account(visit.account_id, "mailbox"))
    values = {
        "mail": found, "words": {word: word.replace("_", " ") for word in WORDS}, "action": MAIL,
        "form_token": visit.form_token(MAIL), "address_action": MAIL_ADDRESS, "confirmation": CONFIRMATION,
        "address_token": visit.form_token(MAIL_ADDRESS),
    }  # fmt: skip
    return page("mail", "Mail", values, status, alert=alert)


def _forgotten_form(visit: Visit, alert: str = "", status: int = 200) -> Response:
    values = {"form_token": visit.form_token(FORGOTTEN), "action": FORGOTTEN}
    return page("forgotten", "Forgot your password?", values, status, alert=alert)


def _password_form(
    visit: Visit, address: str, code: str, alert: str = "", status: int = 200, note: str = ""
) -> Response:
    values = {
        "form_token": visit.form_token(EDIT_PASSWORD), "action": EDIT_PASSWORD, "email": address, "code": code,
        "note": note,
    }  # fmt: skip
    return page("password", "Another password", values, status, alert=alert)


def _confirmation_form(visit: Visit, code: str, alert: str = "", status: int = 200) -> Response:
    values = {"form_token": visit.form_token(CONFIRMATION), "action": CONFIRMATION, "code": code, "mail": MAIL}
    return page("confirmation", "Confirm your address", values, status, alert=alert)


def _address(visit: Visit) -> str:
    return visit.params.inside("user").text("email").strip()[:TOKEN_CHARS_MAX]


def _code(visit: Visit) -> str:
    return visit.params.text("code").strip()[:CODE_GIVEN_CHARS_MAX]


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."
