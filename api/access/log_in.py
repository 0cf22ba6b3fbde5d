"""From a user name (or an e-mail address) and a password to a token: the one way in, whichever API or page asks.

Rules of this file
- The shard gives a token only while the password is the one that was looked at here.
- As much is asked for nobody as for somebody, so that time doesn't tell whether there is such an account.
- The caller counts the attempt (`login_attempts.py`) before anything is looked at.
"""

from __future__ import annotations

from typing import Any

from actors.core.errors import ConflictError, NotFoundError, OverloadedError, UnauthorizedError
from actors.core.ids import bucket_of_name
from api import fields
from api.access.auth import make_token
from api.access.login_attempts import Attempt
from api.access.mail_addresses import account_of_address
from api.access.passwords import Verdict
from api.services import Services

_TRIES = 3  # a log-in whose password hash is replaced meanwhile looks at the new one
_NO_MATCH = "unknown user name or wrong password"


async def log_in(
    services: Services, username: str, password: str, attempt: Attempt, facts: list[Any]
) -> tuple[int, str]:
    """Return the account and a fresh token of it. Raises UnauthorizedError if the password isn't right.

    facts: what `login_token` takes behind the hash of the password: the token's name, its scopes, its app.
    The shard gives a token only while the password is the one that was looked at here. If its hash was made anew
    meanwhile, by another log-in, the new one is looked at.
    """
    for _ in range(_TRIES):
        account_id, encoded = await _credentials_of(services, username)
        verdict = await services.passwords.matches(encoded, password, attempt.asker)
        if not verdict:
            attempt.wrong()
            raise UnauthorizedError(_NO_MATCH)
        services.limiter.check_account(account_id, True)
        token, secret_hash = make_token(account_id)
        try:
            await services.ask_account(account_id, "login_token", secret_hash, encoded, *facts)
        except ConflictError:
            continue
        attempt.right()
        if verdict is Verdict.OUTDATED and encoded is not None:
            services.renewals.begin(account_id, encoded, password)
        return account_id, token
    raise OverloadedError("the password of this account is being changed; try again", None, 1.0)


async def _account_of(services: Services, username: str) -> int:
    """Return the account of a user name, or of an e-mail address; 0 if there is none."""
    if not fields.is_username(username):
        return await account_of_address(services, username)
    (account_id,) = await services.ask_bucket(bucket_of_name(username), "names", [[username]])
    return int(account_id)


async def _credentials_of(services: Services, username: str) -> tuple[int, str | None]:
    account_id = await _account_of(services, username)
    if not account_id:
        await _account_of(services, username)  # as many questions as for somebody
        return 0, None
    try:
        (encoded,) = await services.ask_account(account_id, "credentials")
    except NotFoundError:  # deleted, and the name's shard has still to hear of it
        return 0, None
    return account_id, encoded
