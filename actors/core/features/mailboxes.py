"""An account's address, confirmed by a code that was mailed to it, and the code by which it gets another password.

    want_address --> wanted, hash of a code --confirm_address, within a day--> the address; the one before is told
    forgot_password --> hash of a code --reset_password, within ten minutes--> another password, and no token any more

Rules of this file
- A code works once. MAIL_TRIES_MAX wrong ones end it, and an account has MAIL_CODES_PER_HOUR_MAX made an hour.
- An address stays until another one is confirmed; it is told when somebody asks for that, and when it has happened.
- Who has no password has no way in that could be forgotten: no code for an account that waits for approval.
- Whether somebody's address is here is told to nobody: `forgot_password` answers False whatever it lacks.
- A mail with a code waits with the number from which whoever sends it makes the code: the code is in no journal.

Cost: 20 us a command.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from actors.core import arguments, limits
from actors.core.errors import InvalidError, RateLimitedError
from actors.core.features.logins import change_password
from actors.core.features.mail import (
    ADDRESS_CHANGED,
    ADDRESS_CHANGING,
    CODE_FOR_ADDRESS,
    CODE_FOR_PASSWORD,
    PASSWORD_CHANGED,
    send_mails,
)
from actors.core.mailbox import FROM_LEVEL, HASH_BYTES, MAILBOX, NONCE_BYTES, Mailbox, is_confirmed, mailbox_of
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Prepared, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def set_mailbox(state: ShardState, account_id: int, packed: bytes, mails: list[list[Any]], at_ms: int) -> bool:
    """Keep what a mailbox says now, and have mails sent. mails: what `Mail` has, each."""
    state.papers.put_packed(MAILBOX, account_id, 0, packed)
    send_mails(state, account_id, mails, at_ms)
    return True


def reset_password(
    state: ShardState, account_id: int, packed: bytes, password_hash: str, mails: list[list[Any]], at_ms: int
) -> bool:
    """Give an account another password, end all its tokens and what would become one, and tell its address."""
    set_mailbox(state, account_id, packed, mails, at_ms)
    change_password(state, account_id, password_hash, [], None)
    return True


def prepare_want_address(
    shard: Lookups, now_ms: int, account_id: int, address: str, code: bytes, nonce: bytes
) -> Prepared:
    """Have a code mailed to an address, which makes it the account's. code: its hash; nonce: from which it is made.

    The reply is whether one is: not to the address that the account has. Raises RateLimitedError.
    """
    box = _opened(shard, account_id)
    _check_address(address)
    _check_code(code, nonce)
    if address == box.address or (address, code) == (box.wanted, box.code):
        return nothing(address != box.address)
    counted = _counted(box, now_ms)
    if counted is None:
        wait_s = (box.window_ms + limits.HOUR_MS - now_ms) / 1000
        raise RateLimitedError(
            f"an account may have {limits.MAIL_CODES_PER_HOUR_MAX} codes mailed an hour", None, wait_s
        )
    mails: list[list[Any]] = [[CODE_FOR_ADDRESS, address, nonce]]
    if box.address and address != box.wanted:
        mails.append([ADDRESS_CHANGING, box.address, b"", address])
    wanted = counted._replace(wanted=address, code=code, code_ms=now_ms, tries=0)
    return _set(shard, account_id, wanted, mails, now_ms, True)


def prepare_confirm_address(shard: Lookups, now_ms: int, account_id: int, code: bytes) -> Prepared:
    """Make the address that is wanted the account's, by the code that was mailed to it; the reply is whether it is.

    code: its hash. The first address has a digest of each day mailed, until the account says something else.
    """
    box = _opened(shard, account_id)
    arguments.blob(code, HASH_BYTES, HASH_BYTES, "code")
    if not box.wanted:  # the same request again, whose first answer was lost
        return nothing(bool(box.address) and hmac.compare_digest(box.code, code))
    if box.tries >= limits.MAIL_TRIES_MAX or now_ms >= box.code_ms + limits.MAIL_ADDRESS_TTL_MS:
        return nothing(False)
    if not hmac.compare_digest(box.code, code):
        return _set(shard, account_id, box._replace(tries=box.tries + 1), [], now_ms, False)
    mails: list[list[Any]] = [[ADDRESS_CHANGED, box.address, b"", box.wanted]] if box.address else []
    wants_digest = box.digest if box.address else True
    confirmed = box._replace(address=box.wanted, wanted="", digest=wants_digest, reset=b"")  # mailed to the one before
    return _set(shard, account_id, confirmed, mails, now_ms, True)


def prepare_forgot_password(
    shard: Lookups, now_ms: int, account_id: int, address: str, code: bytes, nonce: bytes
) -> Prepared:
    """Have a code mailed by which the account gets another password; the reply is whether one is.

    Only to the address that was confirmed, which the caller must know; code, nonce: as of `want_address`.
    """
    box = _opened(shard, account_id)
    _check_address(address)
    _check_code(code, nonce)
    if code == box.reset:
        return nothing(True)
    counted = _counted(box, now_ms)
    has_password = shard.state.people.accounts[shard.row(account_id)].password_hash is not None
    if not has_password or not is_confirmed(box, address) or counted is None:
        return nothing(False)
    asked = counted._replace(reset=code, reset_ms=now_ms, reset_tries=0)
    return _set(shard, account_id, asked, [[CODE_FOR_PASSWORD, box.address, nonce]], now_ms, True)


def prepare_reset_password(
    shard: Lookups, now_ms: int, account_id: int, address: str, code: bytes, password_hash: str
) -> Prepared:
    """Give an account another password, by a code that was mailed to its address; the reply is whether that is so.

    All its tokens end. code: its hash.
    """
    box = _opened(shard, account_id)
    _check_address(address)
    arguments.blob(code, HASH_BYTES, HASH_BYTES, "code")
    arguments.password_hash(password_hash)
    account = shard.state.people.accounts[shard.row(account_id)]
    if account.password_hash == password_hash and is_confirmed(box, address):
        return nothing(True)  # the same request again, whose first answer was lost
    is_open = box.reset_tries < limits.MAIL_TRIES_MAX and now_ms < box.reset_ms + limits.MAIL_RESET_TTL_MS
    if account.password_hash is None or not box.reset or not is_open or not is_confirmed(box, address):
        return nothing(False)
    if not hmac.compare_digest(box.reset, code):
        return _set(shard, account_id, box._replace(reset_tries=box.reset_tries + 1), [], now_ms, False)
    packed = pack_document(list(box._replace(reset=b"")))
    mail = [shard.next_thing_id(account_id, now_ms), PASSWORD_CHANGED, box.address]
    return Prepared(["reset_password", account_id, packed, password_hash, [mail], now_ms], same)


def _opened(shard: Lookups, account_id: int) -> Mailbox:
    shard.require_level(FROM_LEVEL)
    shard.row(account_id)
    return mailbox_of(shard.state, account_id)


def _set(shard: Lookups, account_id: int, box: Mailbox, mails: list[list[Any]], now_ms: int, reply: bool) -> Prepared:
    """Return the command that keeps a mailbox. mails: what `Mail` has, each, but for its id."""
    packed = pack_document(list(box))
    is_new = shard.state.papers.get(MAILBOX, account_id) is None
    shard.state.papers.require_room(MAILBOX, account_id, len(packed), is_new, "email")
    numbered = [[shard.next_thing_id(account_id, now_ms), *mail] for mail in mails]
    return Prepared(["set_mailbox", account_id, packed, numbered, now_ms], lambda _: reply)


def _counted(box: Mailbox, now_ms: int) -> Mailbox | None:
    """Return a mailbox with a code more counted, None if it has had all of this hour."""
    if now_ms >= box.window_ms + limits.HOUR_MS:
        return box._replace(window_ms=now_ms, sent=1)
    return None if box.sent >= limits.MAIL_CODES_PER_HOUR_MAX else box._replace(sent=box.sent + 1)


def _check_address(address: Any) -> None:
    if not arguments.text(address, limits.MAIL_ADDRESS_BYTES_MAX, "email"):
        raise InvalidError("email must be an address, not an empty text", "email")


def _check_code(code: Any, nonce: Any) -> None:
    arguments.blob(code, HASH_BYTES, HASH_BYTES, "code")
    arguments.blob(nonce, NONCE_BYTES, NONCE_BYTES, "nonce")


FEATURE = Feature(
    "mailboxes",
    writes=(
        Write("want_address", prepare_want_address, keyed=False),
        Write("confirm_address", prepare_confirm_address, keyed=False),
        Write("forgot_password", prepare_forgot_password, keyed=False),
        Write("reset_password", prepare_reset_password, keyed=False),
    ),
    commands={"set_mailbox": set_mailbox, "reset_password": reset_password},
)
