"""Who may act as an account: its password and its tokens.

    command                                            afterwards
    login_token  account, token, name, at_ms, ...      the token stands for the account; ...: scopes and app, if not all
    revoke_token account, token                        it doesn't
    revoke_tokens account, kept                        of its tokens those of `kept` are left
    change_password account, hash, kept | None, fresh  the same (None: all), and this is the hash, and fresh a token
    token_used   [[account, token], ...], at_ms        these tokens were used then

Rules of this file
- A command says what holds afterwards, never what to do once more: applied twice it gives what it gives once. No token
  that was revoked comes back by one: `kept` only ever takes away.
- What an app's token has made ends with it: its webhooks.
- Every token that ends is announced in `state.revoked`, or an API worker believes it for seconds. Many at once are one
  announcement, with None for all tokens of the account: those that are left are looked up again.
- Whether a password is still the one that a caller has looked at is checked before the command is made.
- A token may be for some scopes only (`scopes.py`), from level 2 on. Whoever asks for a token without saying for what
  (`token`, and `home` without scopes) takes it for one that may do everything, as all did before, and would keep it as
  one: so to him a token that may do less is `forbidden`. Others ask `token_scopes`, or say what they need. It is not
  `unauthorized`, which has clients throw a good token away.
- A token's name and when it was made are told when it is made, from level 1 on; of older ones nobody knows.
- A use is noticed where the shard says that a token is right (`Lookups.used_tokens`): an API worker asks again when
  what it believes has become too old (`token_cache_s`), so a token in use is noticed twice a minute and no request
  costs anything. It is journaled at most once in TOKEN_USED_EVERY_MS a token, all of a second in one record; a follower
  tells its leader. What is noticed and not yet journaled when a process dies is lost.

Cost: 1 us a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from actors.core import arguments, limits
from actors.core.errors import ConflictError, ForbiddenError, MovedError, NotFoundError, UnauthorizedError
from actors.core.features.codes import drop_open_codes, open_codes
from actors.core.features.webhooks import end_of_ended_tokens
from actors.core.scopes import EVERYTHING, covers, spell
from actors.core.stores.people import TOKEN_ID_BYTES, UNKNOWN, TokenFacts, token_id
from actors.core.terms import FULL_FROM_LEVEL, THINGS_FROM_LEVEL, Feature, Key, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def login_token(
    state: ShardState, account_id: int, secret_hash: bytes, name: str = "", at_ms: int = 0, scopes: int = EVERYTHING,
    app_id: int = 0,
) -> bool:  # fmt: skip
    """Add a token to an account; the oldest is revoked beyond TOKENS_PER_ACCOUNT_MAX. at_ms: 0 below level 1.

    scopes, app_id: of TokenFacts. A token that the account has already is left as it is.
    """
    row = state.people.row_of[account_id]
    account = state.people.accounts[row]
    if (at_ms or scopes != EVERYTHING) and secret_hash not in account.tokens:
        account.token_facts[secret_hash] = TokenFacts(name, at_ms, 0, scopes, app_id)
    dropped = state.people.add_token(account, secret_hash)
    state.revoked += [(account_id, token) for token in dropped]
    if dropped:
        end_of_ended_tokens(state, account_id)
    state.changes.accounts.add(row)
    return True


def revoke_token(state: ShardState, account_id: int, secret_hash: bytes) -> bool:
    """Remove a token from an account."""
    row = state.people.row_of[account_id]
    if state.people.remove_token(state.people.accounts[row], secret_hash):
        state.changes.accounts.add(row)
        end_of_ended_tokens(state, account_id)
    state.revoked.append((account_id, secret_hash))
    return True


def revoke_tokens(state: ShardState, account_id: int, kept: list[bytes]) -> int:
    """Remove all tokens of an account but those of `kept`, and what would become one. Returns how many there were."""
    row = state.people.row_of[account_id]
    drop_open_codes(state, account_id)
    account = state.people.accounts[row]
    ended = [token for token in account.tokens if token not in kept]
    for token in ended:
        state.people.remove_token(account, token)
    end_of_ended_tokens(state, account_id)
    state.changes.accounts.add(row)
    state.revoked.append((account_id, None))
    return len(ended)


def change_password(
    state: ShardState, account_id: int, password_hash: str, kept: list[bytes] | None, fresh: bytes | None,
    name: str = "", at_ms: int = 0,
) -> int:  # fmt: skip
    """Give an account another password, and perhaps a fresh token. Returns how many tokens were removed.

    kept: tokens that are left, of those that it has; None: all; name, at_ms: of the fresh token, as in `login_token`.
    """
    row = state.people.row_of[account_id]
    state.people.accounts[row].password_hash = password_hash
    state.changes.accounts.add(row)
    ended = 0 if kept is None else revoke_tokens(state, account_id, kept)
    if fresh is not None:
        login_token(state, account_id, fresh, name, at_ms)
    return ended


def token_used(state: ShardState, uses: list[list[Any]], at_ms: int) -> int:
    """Note that tokens were used. Row: [account, token]; what has ended meanwhile is passed over. Returns how many."""
    count = 0
    for account_id, secret_hash in uses:
        row = state.people.row_of.get(account_id)
        if row is not None and secret_hash in state.people.accounts[row].tokens:
            facts = state.people.accounts[row].token_facts
            facts[secret_hash] = facts.get(secret_hash, UNKNOWN)._replace(used_ms=at_ms)
            state.changes.accounts.add(row)
            count += 1
    return count


def uses_to_note(state: ShardState, used: Iterable[tuple[int, bytes]], now_ms: int) -> list[list[Any]]:
    """Return those uses of tokens that are worth a record now, in the form of the command `token_used`.

    None below level 1, which has no such command.
    """
    if state.level < FULL_FROM_LEVEL:
        return []
    too_old_ms = now_ms - limits.TOKEN_USED_EVERY_MS
    return [
        [account_id, secret_hash]
        for account_id, secret_hash in sorted(used)
        if (account := state.people.get(account_id)) is not None
        and secret_hash in account.tokens
        and account.token_facts.get(secret_hash, UNKNOWN).used_ms <= too_old_ms
    ]


def _named(shard: Lookups, command: list[Any], name: Any, now_ms: int) -> list[Any]:
    """Return a command that makes a token, with its name and time where all processes of the cluster take them."""
    arguments.token_name(name)
    return [*command, name, now_ms] if shard.state.level >= FULL_FROM_LEVEL else command


def prepare_login_token(
    shard: Lookups, now_ms: int, account_id: int, secret_hash: bytes, seen: str | None = None, name: str = "",
    scopes: int = EVERYTHING, app_id: int = 0,
) -> Prepared:  # fmt: skip
    """Give an account a token. seen: the password hash that the caller has compared with, if it was one.

    scopes: what the token may be used for; app_id: of the app that it is for, 0 for none, which isn't looked for.
    """
    row = shard.row(account_id)
    if seen is not None:
        check_password(shard, row, seen)
    command = _named(shard, ["login_token", account_id, arguments.secret(secret_hash)], name, now_ms)
    granted = [arguments.scope_mask(scopes), arguments.an_id_or_zero(app_id, "app_id")]
    if granted != [EVERYTHING, 0]:
        shard.require_level(THINGS_FROM_LEVEL)
        command += granted
    return Prepared(command, lambda _: True)


def prepare_revoke_token(shard: Lookups, now_ms: int, account_id: int, secret_hash: bytes) -> Prepared:
    """End one token of an account, whether it has it or not."""
    shard.row(account_id)
    return Prepared(["revoke_token", account_id, arguments.secret(secret_hash)], same)


def prepare_end_token(shard: Lookups, now_ms: int, account_id: int, name_of_token: str) -> Prepared:
    """End the token of an account that has this id (`token_id`). Raises NotFoundError if none has.

    The reply is the token's hash, by which API workers know it.
    """
    tokens = shard.state.people.accounts[shard.row(account_id)].tokens
    arguments.text(name_of_token, 4 * TOKEN_ID_BYTES, "token_id")
    secret_hash = next((token for token in tokens if token_id(token) == name_of_token), None)
    if secret_hash is None:
        raise NotFoundError(f"account {account_id} has no token {name_of_token!r} (any more)", "token_id")
    return Prepared(["revoke_token", account_id, secret_hash], lambda _: secret_hash)


def prepare_revoke_tokens(shard: Lookups, now_ms: int, account_id: int, kept: list[bytes]) -> Prepared:
    """End all tokens of an account but those of `kept`; the reply is how many there were."""
    tokens = shard.state.people.accounts[shard.row(account_id)].tokens
    kept = arguments.secrets(kept)
    if all(token in kept for token in tokens) and not open_codes(shard.state, account_id):
        return nothing(0)
    return Prepared(["revoke_tokens", account_id, kept], same)


def prepare_change_password(
    shard: Lookups, now_ms: int, account_id: int, seen: str, password_hash: str, kept: list[bytes] | None,
    fresh: bytes | None, name: str = "",
) -> Prepared:  # fmt: skip
    """Give an account another password. seen: the password hash that the caller has compared with; name: of the fresh
    token.

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
    check_password(shard, row, seen)
    return Prepared(_named(shard, ["change_password", account_id, password_hash, kept, fresh], name, now_ms), same)


def check_password(shard: Lookups, row: int, seen: Any) -> None:
    """Refuse what was decided by a password that has been changed meanwhile."""
    account, seen = shard.state.people.accounts[row], arguments.password_hash(seen)
    if account.password_hash != seen:
        raise ConflictError(f"account {account.account_id} has another password meanwhile", "password")


def answer_credentials(shard: Lookups, account_id: int) -> list[Any]:
    """The account's password hash, None if it can't log in by password."""
    return [shard.state.people.accounts[shard.row(account_id)].password_hash]


def require_token(shard: Lookups, account_id: int, secret_hash: bytes, needed: int = EVERYTHING) -> None:
    """Check that a token stands for the account, and may do what is needed, a mask; note that it was used.

    Raises UnauthorizedError for no token of the account's, ForbiddenError for one that may not do that. 0.3 us.
    """
    facts = _token_facts(shard, account_id, secret_hash)
    if facts.scopes != EVERYTHING and not covers(facts.scopes, needed):
        lacking = "everything" if needed == EVERYTHING else spell(needed)
        raise ForbiddenError(f"this token is for {spell(facts.scopes)}, not for {lacking}", "auth_token")


def _token_facts(shard: Lookups, account_id: int, secret_hash: bytes) -> TokenFacts:
    """Return what is known of an account's token, and note that it was used. Raises UnauthorizedError."""
    arguments.an_id(account_id, "user_id")
    account = shard.state.people.get(account_id)
    if account is None and shard.state.shard_of_account(account_id) != shard.state.shard:
        raise MovedError(f"account {account_id} is not on shard {shard.state.shard}")
    if account is None or secret_hash not in account.tokens:
        raise UnauthorizedError("this token is not valid (any more); log in again", "auth_token")
    shard.used_tokens.add((account_id, secret_hash))
    return account.token_facts.get(secret_hash, UNKNOWN)


def answer_token(shard: Lookups, account_id: int, secret_hash: bytes) -> bool:
    """Whether a token stands for the account, for everything. Raises UnauthorizedError, ForbiddenError."""
    require_token(shard, account_id, secret_hash)
    return True


def answer_token_scopes(shard: Lookups, account_id: int, secret_hash: bytes) -> list[int]:
    """What a token of the account may be used for, and of which app it is: `[mask, app id, 0 for none]`.

    Raises UnauthorizedError.
    """
    facts = _token_facts(shard, account_id, secret_hash)
    return [facts.scopes, facts.app_id]


def answer_tokens(shard: Lookups, account_id: int) -> list[list[Any]]:
    """The tokens of an account, the newest first: `[[id, name, made_ms, used_ms], ...]`, times 0 where unknown.

    With scopes and the app's id at the end where it isn't for everything, or of an app.
    """
    account = shard.state.people.accounts[shard.row(account_id)]
    facts_of = account.token_facts
    return [[token_id(token), *facts_of.get(token, UNKNOWN).to_row()] for token in reversed(account.tokens)]


def answer_token_owner(shard: Lookups, secret_hash: bytes) -> int:
    """Whose token this is, 0 if no account here has it: for imported tokens, which don't say it themselves."""
    return shard.state.people.token_owner.get(arguments.secret(secret_hash), 0)


FEATURE = Feature(
    "logins",
    writes=(
        Write("login_token", prepare_login_token, keyed=False),
        Write("revoke_token", prepare_revoke_token, keyed=False),
        Write("end_token", prepare_end_token, keyed=False),
        Write("revoke_tokens", prepare_revoke_tokens, keyed=False),
        Write("change_password", prepare_change_password, keyed=False),
    ),
    reads=(
        Read("credentials", answer_credentials, fresh=True),
        Read("token", answer_token, fresh=True),
        Read("token_scopes", answer_token_scopes, fresh=True),
        Read("token_owner", answer_token_owner, Key.SHARD, fresh=True),
        Read("tokens", answer_tokens, fresh=True),
    ),
    commands={
        "login_token": login_token,
        "revoke_token": revoke_token,
        "revoke_tokens": revoke_tokens,
        "change_password": change_password,
        "token_used": token_used,
    },
)
