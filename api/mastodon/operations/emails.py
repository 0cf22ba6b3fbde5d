"""The address of the account of a token: whether it is confirmed, and having its code mailed once more."""

from __future__ import annotations

from typing import Final

from actors.core.errors import ForbiddenError
from api.access.confirming import require_mail, want_address
from api.mastodon.call import Answer, Call, answer
from api.mastodon.table import Operation

AWAITING_ONLY: Final = "This method is only available while the e-mail is awaiting confirmation"


async def resend_confirmation(call: Call) -> Answer:
    """Mail the code of an address once more; `email`: to this one instead, while none is confirmed."""
    require_mail(call.services)
    confirmed, waiting, *_ = await call.services.ask_account(call.viewer, "mailbox")
    given = call.params.text("email")
    address = waiting if confirmed else given or waiting  # another one for a confirmed account takes the password
    if not address:
        raise ForbiddenError(AWAITING_ONLY)
    await want_address(call.services, call.viewer, address)
    return answer({})


async def check_confirmation(call: Call) -> Answer:
    """Whether the account's address is confirmed."""
    require_mail(call.services)
    confirmed, *_ = await call.services.ask_account(call.viewer, "mailbox")
    return answer(bool(confirmed))


OPERATIONS: Final = (
    Operation("POST", "/api/v1/emails/confirmations", "write:accounts", "", resend_confirmation),
    Operation("GET", "/api/v1/emails/check_confirmation", "read:accounts", "flag", check_confirmation),
)
