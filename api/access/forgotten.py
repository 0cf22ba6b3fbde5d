"""A forgotten password: a code is mailed to a confirmed address, and gives the account another password, once.

    begin(address) --answered at once, whoever it is--> in a task: whose address? --> `forgot_password` at its shard
    reset(address, code, password) --> the hash is made --> whose address? --> `reset_password` at its shard

Rules of this file
- What is asked, and how often, is the same for an address that nobody has: of an account that isn't there. So neither
  the answer nor its time tells whether somebody is here; nor does what the shards are asked.
- Requests are counted by address of the client and by e-mail address, apart from log-ins, so that nobody keeps anybody
  from logging in (`services.resets`); the shard counts by account.
- When too many are being looked at, nobody gets one more, whoever asks (`afterwards.py`).

Cost: two lane requests.
"""

from __future__ import annotations

import secrets

from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.mail import CODE_FOR_PASSWORD
from actors.core.ids import ID_MAX
from actors.core.mailbox import NONCE_BYTES
from api.access.confirming import require_mail
from api.access.mail_addresses import account_of_address, hash_of_address, is_address
from api.access.password_line import Asker
from api.outgoing_keys import hash_of_code
from api.params import shown
from api.services import Services


def forgot(services: Services, client: str, address: str) -> None:
    """Have a code mailed, if that is the confirmed address of an account. client: the address that asks.

    Raises InvalidError for what is no address, RateLimitedError, OverloadedError; nothing that depends on the account.
    """
    require_mail(services)
    _require_address(address)
    with services.resets.begin(client, address) as attempt:
        attempt.wrong()  # it counts, whatever comes of it
    services.afterwards.begin(lambda: _ask(services, address))


async def reset(services: Services, client: str, address: str, code: str, password: str) -> bool:
    """Give the account of an address another password, by a mailed code; False for a wrong one, or no such account.

    password: as `fields.chosen_password` lets it pass. Raises InvalidError, RateLimitedError, OverloadedError.
    """
    require_mail(services)
    _require_address(address)
    with services.resets.begin(client, address) as attempt:
        password_hash = await services.passwords.hash(password, Asker(client, attempt.asker.name))
        account_id = await _account_or_nobody(services, address)
        args = [address, hash_of_code(code), password_hash]
        try:
            is_reset = bool(await services.ask_account(account_id, "reset_password", *args))
        except NotFoundError:
            is_reset = False
        if not is_reset:
            attempt.wrong()
            return False
    services.auth.drop_token(account_id, None)
    return True


async def _ask(services: Services, address: str) -> None:
    account_id = await _account_or_nobody(services, address)
    nonce = secrets.token_bytes(NONCE_BYTES)
    code = services.cluster.outgoing_keys.code(CODE_FOR_PASSWORD, account_id, nonce)
    await services.ask_account(account_id, "forgot_password", address, hash_of_code(code), nonce)


async def _account_or_nobody(services: Services, address: str) -> int:
    """Return whose an address is, or an id that no account has as a rule, always the same."""
    account_id = await account_of_address(services, address)
    return account_id or int.from_bytes(hash_of_address(address)[:8], "big") & ID_MAX or 1


def _require_address(address: str) -> None:
    if not is_address(address):
        raise InvalidError(f"email must be an e-mail address, not {shown(address)}", "email")
