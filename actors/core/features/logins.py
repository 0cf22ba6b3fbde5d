"""Who may act as an account: its password and its tokens.

    command                                            afterwards
    login_token  account, token                        the token stands for the account
    revoke_token account, token                        it doesn't
    revoke_tokens account, kept                        of its tokens those of `kept` are left
    change_password account, hash, kept | None, fresh  the same (None: all), and this is the hash, and fresh a token

Rules of this file
- A command says what holds afterwards, never what to do once more: applied twice it gives what it gives once. No token
  that was revoked comes back by one: `kept` only ever takes away.
- Every token that ends is announced in `state.revoked`, or an API worker believes it for seconds. Many at once are one
  announcement, with None for all tokens of the account: those that are left are looked up again.
- Whether a password is still the one that a caller has looked at is checked before the command is made.

Cost: 1 us a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.core import arguments
from actors.core.errors import ConflictError, MalformedError, MovedError, UnauthorizedError
from actors.core.terms import Feature, Key, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def login_token(state: ShardState, account_id: int, secret_hash: bytes) -> bool:
    """Add a token to an account; the oldest is revoked beyond TOKENS_PER_ACCOUNT_MAX."""
    row = state.people.row_of[account_id]
    dropped = state.people.add_token(state.people.accounts[row], secret_hash)
    state.revoked += [(account_id, token) for token in dropped]
    state.changes.accounts.add(row)
    return True


def revoke_token(state: ShardState, account_id: int, secret_hash: bytes) -> bool:
    """Remove a token from an account."""
    row = state.people.row_of[account_id]
    if state.people.remove_token(state.people.accounts[row], secret_hash):
        state.changes.accounts.add(row)
    state.revoked.append((account_id, secret_hash))
    return True


def revoke_tokens(state: ShardState, account_id: int, kept: list[bytes]) -> int:
    """Remove all tokens of an account but those of `kept`. Returns how many there were."""
    row = state.people.row_of[account_id]
    account = state.people.accounts[row]
    ended = [token for token in account.tokens if token not in kept]
    for token in ended:
        state.people.remove_token(account, token)
    state.changes.accounts.add(row)
    state.revoked.append((account_id, None))
    return len(ended)


def change_password(
    state: ShardState, account_id: int, password_hash: str, kept: list[bytes] | None, fresh: bytes | None
) -> int:
    """Give an account another password, and perhaps a fresh token. Returns how many tokens were removed.

    kept: tokens that are left, of those that it has; None: all.
    """
    row = state.people.row_of[account_id]
    state.people.accounts[row].password_hash = password_hash
    state.changes.accounts.add(row)
    ended = 0 if kept is None else revoke_tokens(state, account_id, kept)
    if fresh is not None:
        login_token(state, account_id, fresh)
    return ended


def prepare_login_token(shard: Lookups, now_ms: int, account_id: int, secret_hash: bytes, *seen: Any) -> Prepared:
    """Give an account a token. seen: the password hash that the caller has compared with, if it was one."""
    row = shard.row(account_id)
    if len(seen) > 1:
        raise MalformedError("login_token takes an account, a token and perhaps a password hash")
    if seen:
        _check_password(shard, row, seen[0])
    return Prepared(["login_token", account_id, arguments.secret(secret_hash)], same)


def prepare_revoke_token(shard: Lookups, now_ms: int, account_id: int, secret_hash: bytes) -> Prepared:
    """End one token of an account, whether it has it or not."""
    shard.row(account_id)
    return Prepared(["revoke_token", account_id, arguments.secret(secret_hash)], same)


def prepare_revoke_tokens(shard: Lookups, now_ms: int, account_id: int, kept: list[bytes]) -> Prepared:
    """End all tokens of an account but those of `kept`; the reply is how many there were."""
    tokens = shard.state.people.accounts[shard.row(account_id)].tokens
    kept = arguments.secrets(kept)
    if all(token in kept for token in tokens):
        return nothing(0)
    return Prepared(["revoke_tokens", account_id, kept], same)


def prepare_change_password(
    shard: Lookups, now_ms: int, account_id: int, seen: str, password_hash: str, kept: list[bytes] | None,
    fresh: bytes | None,
) -> Prepared:  # fmt: skip
    """Give an account another password. seen: the password hash that the caller has compared with.

    Raises ConflictError when it is none of the account's any more: an older password must not come back because
    somebody, who still knew it, was slow.
    """
    row = shard.row(account_id)
    arguments.password_hash(password_hash)
    if kept is not None:
        kept = arguments.secrets(kept)
    if fresh is not None:
        arguments.secret(fresh)
    if shard.state.people.accounts[row].password_hash == password_hash:
        return nothing(0)  # the same request again, whose first answer was lost
    _check_password(shard, row, seen)
    return Prepared(["change_password", account_id, password_hash, kept, fresh], same)


def _check_password(shard: Lookups, row: int, seen: Any) -> None:
    """Refuse what was decided by a password that has been changed meanwhile."""
    account, seen = shard.state.people.accounts[row], arguments.password_hash(seen)
    if account.password_hash != seen:
        raise ConflictError(f"account {account.account_id} has another password meanwhile", "password")


def answer_credentials(shard: Lookups, account_id: int) -> list[Any]:
    """The account's password hash, None if it can't log in by password."""
    return [shard.state.people.accounts[shard.row(account_id)].password_hash]


def answer_token(shard: Lookups, account_id: int, secret_hash: bytes) -> bool:
    """Whether a token stands for the account. Raises UnauthorizedError."""
    arguments.an_id(account_id, "user_id")
    account = shard.state.people.get(account_id)
    if account is None and shard.state.shard_of_account(account_id) != shard.state.shard:
        raise MovedError(f"account {account_id} is not on shard {shard.state.shard}")
    if account is None or secret_hash not in account.tokens:
        raise UnauthorizedError("this token is not valid (any more); log in again", "auth_token")
    return True


def answer_token_owner(shard: Lookups, secret_hash: bytes) -> int:
    """Whose token this is, 0 if no account here has it: for imported tokens, which don't say it themselves."""
    return shard.state.people.token_owner.get(arguments.secret(secret_hash), 0)


FEATURE = Feature(
    "logins",
    writes=(
        Write("login_token", prepare_login_token, keyed=False),
        Write("revoke_token", prepare_revoke_token, keyed=False),
        Write("revoke_tokens", prepare_revoke_tokens, keyed=False),
        Write("change_password", prepare_change_password, keyed=False),
    ),
    reads=(
        Read("credentials", answer_credentials, fresh=True),
        Read("token", answer_token, fresh=True),
        Read("token_owner", answer_token_owner, Key.SHARD, fresh=True),
    ),
    commands={
        "login_token": login_token,
        "revoke_token": revoke_token,
        "revoke_tokens": revoke_tokens,
        "change_password": change_password,
    },
)
