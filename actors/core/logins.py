"""Who may act as an account: the commands that give and take its tokens, and that change its password.

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
- The checks that a password is still the one that a caller has looked at are in `requests.py`, before the command.

Cost: 1 us a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


COMMANDS: dict[str, Callable[..., Any]] = {
    "login_token": login_token,
    "revoke_token": revoke_token,
    "revoke_tokens": revoke_tokens,
    "change_password": change_password,
}
