"""A code becomes a token: exactly once, whoever asks how often and whatever dies meanwhile.

    redeem --> one command: the code is marked as used, the token is the account's
    redeem again, by the same request --> the same answer        by another --> refused, and the token ends

Rules of this file
- Marking the code and making the token are one command, so one record of the journal: either both are, or neither.
- Who asks draws the token's secret, so a request that is repeated because its answer was lost is known by that.
- Anybody else with the same code may have stolen it, or is the one whom it was stolen from: nobody has a token of it
  afterwards (RFC 6749, 10.5), whatever else his request says. For as long as `codes.py` remembers.
- A request that doesn't fit its code (another app, redirect URI or verifier) is refused and leaves it: he who has a
  right to it shall get it.

Cost: 20 us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import arguments, limits
from actors.core.errors import ConflictError, ForbiddenError, NotFoundError
from actors.core.features.codes import CODE, Code, due_ms_of, read_code
from actors.core.features.logins import login_token
from actors.core.terms import Feature, Prepared, Write, nothing, refused

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def redeem(state: ShardState, account_id: int, key: int, secret_hash: bytes, name: str, at_ms: int) -> bool:
    """Make a code the token that it stands for, and remember that it was used. False if it is gone."""
    document = state.papers.get(CODE, account_id, key)
    if document is None or account_id not in state.people.row_of:
        return False
    code = read_code(document)
    login_token(state, account_id, secret_hash, name, at_ms, code.scopes, code.app_id)
    later = document[len(Code._fields) :]
    return state.papers.put(CODE, account_id, key, [*code._replace(at_ms=at_ms, token=secret_hash), *later])


def prepare_redeem(
    shard: Lookups, now_ms: int, account_id: int, key: int, app_id: int, redirect_hash: bytes, challenge: bytes,
    secret_hash: bytes, name: str = "",
) -> Prepared:  # fmt: skip
    """Give an app the token that a code stands for; the reply is `[scopes, app id]` of the token.

    key: the code's hash; redirect_hash: of the redirect URI that the app names; challenge: S256 of the verifier that it
    shows, empty if it shows none; secret_hash, name: of the token to be.
    Raises NotFoundError for no such code (any more), ForbiddenError if it is for something else, ConflictError if it
    was used: then the token that was made of it has ended.
    """
    shard.require_level(CODE.from_level)
    row = shard.row(account_id)
    document = shard.state.papers.get(CODE, account_id, arguments.an_id(key, "code"))
    asked = Code(
        arguments.an_id(app_id, "client_id"), arguments.blob(redirect_hash, 1, limits.KEY_BYTES_MAX, "redirect_uri"), 0,
        arguments.blob(challenge, 0, limits.KEY_BYTES_MAX, "code_verifier"), 0,
    )  # fmt: skip
    arguments.secret(secret_hash)
    arguments.token_name(name)
    if document is None or now_ms >= due_ms_of(document):
        raise NotFoundError("this code isn't good (any more); sign in again", "code")
    code, tokens = read_code(document), shard.state.people.accounts[row].tokens
    if code.token:
        return _used(account_id, code, secret_hash, tokens)
    for field, of_code, of_request in (
        ("client_id", code.app_id, asked.app_id), ("redirect_uri", code.redirect_hash, asked.redirect_hash),
        ("code_verifier", code.challenge, asked.challenge),
    ):  # fmt: skip
        if of_code != of_request:
            raise ForbiddenError(f"this code was made for another {field}", field)
    if secret_hash in tokens:
        raise ConflictError("there is such a token already; draw another one", "secret_hash")
    command = ["redeem", account_id, key, secret_hash, name, now_ms]
    return Prepared(command, lambda _: [code.scopes, code.app_id])


def _used(account_id: int, code: Code, secret_hash: bytes, tokens: list[bytes]) -> Prepared:
    """Answer a request for a code that was used: as before if it is the same one; else have its token end."""
    error = ConflictError("this code was used already; what was made of it has ended, sign in again", "code")
    if code.token not in tokens:
        return refused(error)
    if code.token == secret_hash:
        return nothing([code.scopes, code.app_id])

    def refuse(_: Any) -> Any:
        raise error

    return Prepared(["revoke_token", account_id, code.token], refuse)


FEATURE = Feature("redeeming", writes=(Write("redeem", prepare_redeem, keyed=False),), commands={"redeem": redeem})
