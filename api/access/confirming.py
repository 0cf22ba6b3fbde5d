"""Addresses that are confirmed by a code that is mailed to them; whose an address is by then.

    want --> `want_address` at the account's shard --> a mail with the code --> confirm --> `confirm_address`
                                                                                `--> the address is the account's to
                                                                                     sign in with, the old one nobody's

Rules of this file
- Whether an address is somebody else's is found out when its code has come back, so only who reads its mail learns it.
- Whoever has confirmed an address takes it from an account that has only claimed it, at its sign-up; never from one
  that has confirmed it.
- If a worker dies between the shard's word and the claim, the account has its mail, and may confirm once more.

Cost: one lane request to want one, five to confirm one.
"""

from __future__ import annotations

import secrets
from typing import Final

from actors.core.errors import ConflictError, InvalidError, NotFoundError
from actors.core.features.addresses import thing_of_address
from actors.core.features.mail import CODE_FOR_ADDRESS
from actors.core.ids import bucket_of_thing
from actors.core.mailbox import FROM_LEVEL, NONCE_BYTES
from api.access.mail_addresses import account_of_address, claim_address, hash_of_address, is_address
from api.errors import NotConfiguredError
from api.levels import require_level
from api.outgoing_keys import hash_of_code
from api.params import shown
from api.services import Services

WRONG_CODE: Final = "this code is wrong, was used already, or is too old; have another one mailed"
NO_MAIL: Final = "this server sends no mail"


def require_mail(services: Services) -> None:
    """Raise NotConfiguredError where no mail is sent, OverloadedError below its level."""
    if not services.settings.sends_mail:
        raise NotConfiguredError(NO_MAIL)
    require_level(services, FROM_LEVEL)


async def want_address(services: Services, account_id: int, address: str) -> bool:
    """Mail a code to an address; False if it is the account's already. Raises InvalidError, RateLimitedError."""
    require_mail(services)
    if not is_address(address) or not address.isprintable():
        raise InvalidError(f"email must be an e-mail address, not {shown(address)}", "email")
    nonce = secrets.token_bytes(NONCE_BYTES)
    code = services.cluster.outgoing_keys.code(CODE_FOR_ADDRESS, account_id, nonce)
    return bool(await services.ask_account(account_id, "want_address", address, hash_of_code(code), nonce))


async def confirm_address(services: Services, account_id: int, code: str) -> bool:
    """Make the address that waits the account's; False for a wrong code.

    Raises ConflictError if somebody else has confirmed that address already: it stays his.
    """
    require_mail(services)
    before, wanted, *_ = await services.ask_account(account_id, "mailbox")
    if not await services.ask_account(account_id, "confirm_address", hash_of_code(code)):
        return False
    if not wanted:  # it was confirmed before, by the same code
        return True
    holder = await account_of_address(services, wanted)
    if holder != account_id:
        if holder and await _has_confirmed(services, holder, wanted):
            raise ConflictError(
                "this address is another account's: you get mail there, and can't sign in by it", "email"
            )
        await claim_address(services, wanted, account_id, holder)
    if before and hash_of_address(before) != hash_of_address(wanted):
        thing_id = thing_of_address(hash_of_address(before))
        await services.ask_bucket(bucket_of_thing(thing_id), "release_address", [thing_id, account_id])
    return True


async def _has_confirmed(services: Services, account_id: int, address: str) -> bool:
    try:
        confirmed, *_ = await services.ask_account(account_id, "mailbox")
    except NotFoundError:
        return False
    return bool(hash_of_address(confirmed) == hash_of_address(address))
