"""Tokens of apps alone (OAuth's client credentials): good for what needs an app and nobody's name, such as signing up.

    make_app_token --> a paper of the app, by a hash of the token's --(app_token)--> what it is for
                          `--(end_app_token, or APP_TOKENS_COUNT_MAX newer ones, or the app goes)--> no more

Rules of this file
- The token names its app, which is on the shard of its id; what is kept is a hash, as of an account's tokens.
- Apps ask for one again and again, at each start of some: the oldest goes, so that nobody is refused.
- Every token that ends is announced in `state.revoked`, by its app's id in place of an account's: API workers keep both
  in one place, and hashes of two secrets aren't equal.

Cost: 100 bytes each; 15 us to make one, and 5 us for each that the app has when it has all that it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, UnauthorizedError
from actors.core.features.apps import APP
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Key, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3
_KEY_BYTES: Final = 8  # of a hash that are its key


class AppToken(NamedTuple):
    """The document of an app's token: its first facts in this order, for ever; later versions may add some at the end.

    secret_hash: SHA-256 of the secret; scopes: what it is for (`scopes.py`); at_ms: when it was made.
    """

    secret_hash: bytes
    scopes: int
    at_ms: int


def read_app_token(document: Any) -> AppToken:
    """Return what a document says, whichever version wrote it."""
    return AppToken(*document[: len(AppToken._fields)])


def check_app_token(document: Any) -> None:
    """Refuse what is no token of an app's. Raises RookeryError."""
    token = read_app_token(document)
    arguments.secret(token.secret_hash)
    arguments.scope_mask(token.scopes)
    arguments.whole(token.at_ms, 0, ids.ID_MAX, "at_ms")


APP_TOKEN: Final = PaperKind(
    14, "token of an app", Owner.THING, limits.APP_TOKENS_COUNT_MAX, check_app_token, from_level=FROM_LEVEL
)


def key_of(secret_hash: bytes) -> int:
    """Return the key under which a token is kept: of two tokens the same by a chance of 1 in 2**63."""
    return int.from_bytes(secret_hash[:_KEY_BYTES], "big") & ids.ID_MAX or 1


def make_app_token(state: ShardState, app_id: int, key: int, packed: bytes, ended: list[int]) -> bool:
    """Keep a new token of an app's in the place of those that end."""
    for key_of_ended in ended:
        _end(state, app_id, key_of_ended)
    return state.papers.put_packed(APP_TOKEN, app_id, key, packed)


def end_app_token(state: ShardState, app_id: int, key: int) -> bool:
    """Have a token of an app's be good for nothing; False if there is none."""
    return _end(state, app_id, key)


def _end(state: ShardState, app_id: int, key: int) -> bool:
    document = state.papers.get(APP_TOKEN, app_id, key)
    if document is None:
        return False
    state.revoked.append((app_id, read_app_token(document).secret_hash))
    return state.papers.drop(APP_TOKEN, app_id, key)


def prepare_make_app_token(shard: Lookups, now_ms: int, app_id: int, secret_hash: bytes, scope_mask: int) -> Prepared:
    """Give an app a token of its own; the reply is True. Whether the app may have these scopes, the caller has asked.

    Raises NotFoundError without that app; OverloadedError if the shard has no room.
    """
    shard.require_level(APP_TOKEN.from_level)
    token = AppToken(secret_hash, scope_mask, now_ms)
    check_app_token(list(token))
    shard.thing(APP, app_id)
    papers, key = shard.state.papers, key_of(secret_hash)
    known = papers.get(APP_TOKEN, app_id, key)
    if known is not None:
        if read_app_token(known)[:2] != token[:2]:
            raise ConflictError("there is such a token already; draw another one", "secret_hash")
        return nothing(True)
    kept = papers.keys(APP_TOKEN, app_id)
    ended = []
    if len(kept) >= APP_TOKEN.limit:
        ended = [min(kept, key=lambda one: (read_app_token(papers.get(APP_TOKEN, app_id, one)).at_ms, one))]
    packed = pack_document(list(token))
    papers.require_room(APP_TOKEN, app_id, len(packed), not ended, "client_id")
    return Prepared(["make_app_token", app_id, key, packed, ended], lambda _: True)


def prepare_end_app_token(shard: Lookups, now_ms: int, app_id: int, secret_hash: bytes) -> Prepared:
    """End a token of an app's; the reply is whether there was one. Raises NotFoundError without that app."""
    shard.require_level(APP_TOKEN.from_level)
    shard.thing(APP, app_id)
    key = key_of(arguments.secret(secret_hash))
    if _kept(shard, app_id, secret_hash) is None:
        return nothing(False)
    return Prepared(["end_app_token", app_id, key], same)


def answer_app_token(shard: Lookups, app_id: int, secret_hash: bytes) -> int:
    """What a token of an app's is for, as a mask. Raises UnauthorizedError, NotFoundError without that app."""
    shard.thing(APP, app_id)
    token = _kept(shard, app_id, arguments.secret(secret_hash))
    if token is None:
        raise UnauthorizedError("this token is not valid (any more)", "auth_token")
    return token.scopes


def _kept(shard: Lookups, app_id: int, secret_hash: bytes) -> AppToken | None:
    document = shard.state.papers.get(APP_TOKEN, app_id, key_of(secret_hash))
    if document is None or read_app_token(document).secret_hash != secret_hash:
        return None
    return read_app_token(document)


FEATURE = Feature(
    "app tokens",
    papers=(APP_TOKEN,),
    writes=(
        Write("make_app_token", prepare_make_app_token, Key.THING, keyed=False),
        Write("end_app_token", prepare_end_app_token, Key.THING, keyed=False),
    ),
    reads=(Read("app_token", answer_app_token, Key.THING, fresh=True),),
    commands={"make_app_token": make_app_token, "end_app_token": end_app_token},
)
