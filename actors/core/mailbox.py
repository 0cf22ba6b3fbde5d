"""Where an account gets mail, and what of it: the document that the features `mail` and `mailboxes` share.

Rules of this file
- Codes are kept as hashes, never as they were mailed.
- Documents grow at their end: what an older version wrote is a mailbox of this one.

Cost: 150 bytes each, 3 KB at most; 0.3 us to find that an account has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.terms import Owner, PaperKind

if TYPE_CHECKING:
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3
HASH_BYTES: Final = 32  # of a code: SHA-256
NONCE_BYTES: Final = 16  # from which a code is made, by who has the key
_TYPES_MAX: Final = (1 << 16) - 1


class Mailbox(NamedTuple):
    """The document of a mailbox: its first facts in this order, for ever; later versions may add some at the end.

    address: that was confirmed, empty for none; wanted: that is to be, empty for none; code, code_ms, tries: the hash
    of what confirms it, when that was made, how many wrong ones were tried; reset, reset_ms, reset_tries: the same of a
    new password; window_ms, sent: how many codes were made since then; types: bits of NOTIFICATION_TYPES that are
    mailed at once; digest: whether the others are, once a day.
    """

    address: str = ""
    wanted: str = ""
    code: bytes = b""
    code_ms: int = 0
    tries: int = 0
    reset: bytes = b""
    reset_ms: int = 0
    reset_tries: int = 0
    window_ms: int = 0
    sent: int = 0
    types: int = 0
    digest: bool = False


EMPTY: Final = Mailbox()


def read_mailbox(document: Any) -> Mailbox:
    """Return what a document says, whichever version wrote it; an empty mailbox for None."""
    return EMPTY if document is None else Mailbox(*document[: len(Mailbox._fields)])


def check_mailbox(document: Any) -> None:
    """Refuse what is no mailbox. Raises RookeryError."""
    box = read_mailbox(document)
    for address in (box.address, box.wanted):
        arguments.text(address, limits.MAIL_ADDRESS_BYTES_MAX, "address")
    for code in (box.code, box.reset):
        arguments.blob(code, 0, HASH_BYTES, "code")
    for at_ms in (box.code_ms, box.reset_ms, box.window_ms):
        arguments.whole(at_ms, 0, ids.ID_MAX - limits.DAY_MS, "at_ms")
    for count in (box.tries, box.reset_tries, box.sent):
        arguments.whole(count, 0, limits.MAIL_TRIES_MAX, "count")
    arguments.whole(box.types, 0, _TYPES_MAX, "types")
    arguments.a_bool(box.digest, "digest")


MAILBOX: Final = PaperKind(75, "mailbox", Owner.ACCOUNT, 1, check_mailbox, from_level=FROM_LEVEL)


def mailbox_of(state: ShardState, account_id: int) -> Mailbox:
    """Return an account's mailbox, an empty one for an account without."""
    return read_mailbox(state.papers.get(MAILBOX, account_id))


def is_confirmed(box: Mailbox, address: str) -> bool:
    """Whether that is the address of a mailbox, whatever its case."""
    return bool(box.address) and box.address.lower() == address.lower()
