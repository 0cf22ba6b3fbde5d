"""Authorization codes (OAuth): an account lets an app have a token, which the app fetches within ten minutes, once.

    authorize --> a paper of the account, by a hash of the code --(redeeming.py)--> marked as used, and a token
                        `--(10 min)--> gone                          `--(10 min)--> gone

Rules of this file
- A code is a secret: its key here is a hash of it (63 bits; whoever has none must find the account and one of its codes
  of that minute), and so is the place that it was sent to.
- What ends an account's tokens ends what would become one: a new password, a log-out everywhere, a deletion.
- A code that was used stays known for as long as one that wasn't, so that a second use is told from a wrong code.

Cost: 150 bytes each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, InvalidError
from actors.core.stores.papers import pack_document
from actors.core.terms import THINGS_FROM_LEVEL, Feature, Owner, PaperKind, Prepared, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


class Code(NamedTuple):
    """The document of a code: its first facts in this order, for ever; later versions may add some at the end.

    redirect_hash: of the redirect URI that it was sent to; scopes: of the token that it becomes; challenge: of PKCE,
    S256, empty for none; at_ms: when it was made, or used; token: the hash of the secret of what it has become, empty
    for nothing.
    """

    app_id: int
    redirect_hash: bytes
    scopes: int
    challenge: bytes
    at_ms: int
    token: bytes = b""


def read_code(document: Any) -> Code:
    """Return what a document says, whichever version wrote it."""
    return Code(*document[: len(Code._fields)])


def due_ms_of(document: Any) -> int:
    """Return when a code is forgotten, Unix ms."""
    return read_code(document).at_ms + limits.CODE_TTL_MS


def check_code(document: Any) -> None:
    """Refuse what is no code. Raises RookeryError."""
    code = read_code(document)
    arguments.an_id(code.app_id, "app_id")
    arguments.blob(code.redirect_hash, 1, limits.KEY_BYTES_MAX, "redirect_hash")
    arguments.scope_mask(code.scopes)
    arguments.blob(code.challenge, 0, limits.KEY_BYTES_MAX, "challenge")
    arguments.whole(code.at_ms, 0, ids.ID_MAX - limits.CODE_TTL_MS, "at_ms")
    arguments.blob(code.token, 0, limits.KEY_BYTES_MAX, "token")


CODE: Final = PaperKind(
    13, "code", Owner.ACCOUNT, limits.CODES_COUNT_MAX, check_code, due_ms_of, from_level=THINGS_FROM_LEVEL
)  # it falls due, and nothing follows from that


def authorize(state: ShardState, account_id: int, key: int, packed: bytes) -> bool:
    """Keep a new code."""
    return state.papers.put_packed(CODE, account_id, key, packed)


def open_codes(state: ShardState, account_id: int) -> list[int]:
    """Return the keys of an account's codes that nobody has used."""
    papers = state.papers
    return [key for key in papers.keys(CODE, account_id) if not read_code(papers.get(CODE, account_id, key)).token]


def drop_open_codes(state: ShardState, account_id: int) -> None:
    """Have none of an account's codes become a token."""
    for key in open_codes(state, account_id):
        state.papers.drop(CODE, account_id, key)


def prepare_authorize(
    shard: Lookups, now_ms: int, account_id: int, key: int, app_id: int, redirect_hash: bytes, scopes: int,
    challenge: bytes,
) -> Prepared:  # fmt: skip
    """Let an app have a token of an account's, once; the reply is True, also if that is so already.

    key: a hash of the code; the rest: of `Code`. Whether there is such an app, and what it may, the caller has asked.
    Raises ConflictError if the key is another code's, InvalidError if the account has all the codes that it may.
    """
    shard.require_level(CODE.from_level)
    shard.row(account_id)
    code = Code(app_id, redirect_hash, scopes, challenge, now_ms)
    check_code(list(code))
    known = shard.state.papers.get(CODE, account_id, arguments.an_id(key, "code"))
    if known is not None:
        if read_code(known)._replace(at_ms=now_ms) != code:
            raise ConflictError("there is such a code already; take a new one", "code")
        return nothing(True)
    packed = pack_document(list(code))
    if len(shard.state.papers.keys(CODE, account_id)) >= CODE.limit:
        raise InvalidError(f"an account may have {CODE.limit} codes in ten minutes; wait a while", "code")
    shard.state.papers.require_room(CODE, account_id, len(packed), True, "code")
    return Prepared(["authorize", account_id, key, packed], lambda _: True)


FEATURE = Feature(
    "codes",
    papers=(CODE,),
    writes=(Write("authorize", prepare_authorize, keyed=False),),
    commands={"authorize": authorize},
)
