"""Accounts that wait until an operator lets them in: they are there, and nobody can log in to them.

    register, without a password --> await_approval: a paper with the hash of the password, and of a token to be
                                         `--approve--> the account has both     `--delete_account--> neither

Rules of this file
- What lets somebody in isn't the account's before it is approved, so nothing else has to ask whether it is. If a
  process dies between the two steps, there is an account without a password, which nobody can use.
- Approving is one command: password and token come to be together, once.
- An operator who turns somebody down deletes the account.

Cost: 300 bytes each, 4 KB at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, NotFoundError
from actors.core.features.logins import login_token
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Key, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3


class PendingAccount(NamedTuple):
    """The document of an account that waits: its first facts in this order, for ever; later versions may add some.

    password_hash: that it will have; secret_hash, token_name, scopes, app_id: of the token that it will have, the first
    empty for none; reason: what was said for it; at_ms: since when.
    """

    password_hash: str
    secret_hash: bytes
    token_name: str
    scopes: int
    app_id: int
    reason: str
    at_ms: int


def read_waiting(document: Any) -> PendingAccount:
    """Return what a document says, whichever version wrote it."""
    return PendingAccount(*document[: len(PendingAccount._fields)])


def check_waiting(document: Any) -> None:
    """Refuse what is no such document. Raises RookeryError."""
    waiting = read_waiting(document)
    arguments.password_hash(waiting.password_hash)
    arguments.blob(waiting.secret_hash, 0, limits.KEY_BYTES_MAX, "secret_hash")
    arguments.token_name(waiting.token_name)
    arguments.scope_mask(waiting.scopes)
    arguments.an_id_or_zero(waiting.app_id, "app_id")
    arguments.text(waiting.reason, limits.REASON_BYTES_MAX, "reason")
    arguments.whole(waiting.at_ms, 0, ids.ID_MAX, "at_ms")


WAITING: Final = PaperKind(16, "wait for approval", Owner.ACCOUNT, 1, check_waiting, from_level=FROM_LEVEL)


def await_approval(state: ShardState, account_id: int, packed: bytes) -> bool:
    """Note what an account will have once it is approved."""
    return state.papers.put_packed(WAITING, account_id, 0, packed)


def approve(state: ShardState, account_id: int, at_ms: int) -> bool:
    """Let an account in; False if it doesn't wait (any more)."""
    document = state.papers.get(WAITING, account_id)
    if document is None or account_id not in state.people.row_of:
        return False
    waiting, row = read_waiting(document), state.people.row_of[account_id]
    state.people.accounts[row].password_hash = waiting.password_hash
    state.changes.accounts.add(row)
    if waiting.secret_hash:
        facts = (waiting.secret_hash, waiting.token_name, at_ms, waiting.scopes, waiting.app_id)
        login_token(state, account_id, *facts)
    return state.papers.drop(WAITING, account_id, 0)


def prepare_await_approval(
    shard: Lookups, now_ms: int, account_id: int, password_hash: str, secret_hash: bytes, token_name: str,
    scope_mask: int, app_id: int, reason: str,
) -> Prepared:  # fmt: skip
    """Have an account wait that has no password yet; the reply is True. Facts: of `PendingAccount`.

    Raises ConflictError for an account that somebody can log in to already.
    """
    shard.require_level(WAITING.from_level)
    account = shard.state.people.accounts[shard.row(account_id)]
    waiting = PendingAccount(password_hash, secret_hash, token_name, scope_mask, app_id, reason, now_ms)
    check_waiting(list(waiting))
    known = shard.state.papers.get(WAITING, account_id)
    if known is not None and read_waiting(known)[:-1] == waiting[:-1]:
        return nothing(True)
    if known is not None or account.password_hash is not None or account.tokens:
        raise ConflictError(f"account {account_id} doesn't begin to wait: it is in use", "user_id")
    packed = pack_document(list(waiting))
    shard.state.papers.require_room(WAITING, account_id, len(packed), True, "user_id")
    return Prepared(["await_approval", account_id, packed], lambda _: True)


def prepare_approve(shard: Lookups, now_ms: int, account_id: int) -> Prepared:
    """Let an account in that waits; the reply is True. Raises NotFoundError for one that doesn't."""
    shard.require_level(WAITING.from_level)
    shard.row(account_id)
    if shard.state.papers.get(WAITING, account_id) is None:
        raise NotFoundError(f"account {account_id} doesn't wait for approval", "user_id")
    return Prepared(["approve", account_id, now_ms], same)


def answer_waiting(shard: Lookups, count: int) -> list[list[Any]]:
    """Up to `count` accounts of this shard that wait, by id: `[[account_id, username, reason, since_ms], ...]`."""
    arguments.page_count(count)
    state, found = shard.state, list[list[Any]]()
    for owner in state.papers.dump(WAITING.number)[0].tolist():
        account = state.people.get(owner)
        if account is not None and state.shard_of_account(owner) == state.shard and len(found) < count:
            waiting = read_waiting(state.papers.get(WAITING, owner))
            found.append([owner, account.username, waiting.reason, waiting.at_ms])
    return found


FEATURE = Feature(
    "approvals",
    papers=(WAITING,),
    writes=(
        Write("await_approval", prepare_await_approval, keyed=False),
        Write("approve", prepare_approve, keyed=False),
    ),
    reads=(Read("waiting", answer_waiting, Key.SHARD, from_followers=False),),
    commands={"await_approval": await_approval, "approve": approve},
)
