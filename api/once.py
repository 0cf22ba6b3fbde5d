"""Writes that may be repeated: with an Idempotency-Key the same request again gets the same answer, and does nothing.

    keyed [account, key, fingerprint, ...]  known -> the answer of then
                                            new   -> the shard carries the write out and keeps its answer with it
    answered [account, key, fingerprint]    the same question by itself, where other shards are asked before the write

Rules of this file
- The shard of the account that acts keeps keys (`actors/core/features/answers.py`), for a day.
- A request is told from another by its method, its path and what its body says, the token left out.
- What has to be asked of other shards before the write (may he see that tweet?) is asked only if the key is new: the
  tweet may be gone by the time of the repetition, which is answered as it was all the same.
- Whether the account may see a tweet its own shard finds out (`if_seen`), with the write, in one lane request. Where
  it can't (a cluster that is being upgraded, a tweet's shard that doesn't answer) that is asked from here, first.
- Without the header nothing is kept, and a write costs what it did.
- What is done once is a `Repeatable`, whichever API it came by: native routes give their `Inputs`, Mastodon's calls
  make one, whose write is settled as well: answered once all shards concerned have it.

Cost: nothing with the header, but for `answered` where other shards are asked from here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from actors.core.errors import InvalidError
from actors.core.ids import bucket_of_account
from actors.core.terms import IF_SEEN_FROM_LEVEL
from actors.core.visibility import is_question
from api import limits
from api.http.caching import ACCESS_TOKEN_NAME, TOKEN_NAME
from api.inputs import Inputs
from api.services import Services

KEY_BYTES: Final = 16
KEPT_FROM_LEVEL: Final = 1  # of the cluster; below it only tweets are told from their repetitions
_TOKENS: Final = frozenset((TOKEN_NAME, ACCESS_TOKEN_NAME))


class Repeatable(NamedTuple):
    """A request that may be a repetition of another.

    key: its Idempotency-Key, None without one; said: what its body says; is_settled: whether it is answered only once
    all shards concerned have what it wrote.
    """

    services: Services
    method: str
    path: str
    key: str | None
    said: Mapping[str, Any]
    is_settled: bool = False

    async def ask(self, bucket: int, op: str, args: list[Any]) -> Any:
        """Carry out one write."""
        services = self.services
        if self.is_settled:
            return await services.cluster.settled(bucket, op, args, services.settings.request_timeout_s)
        return await services.ask_bucket(bucket, op, args)

    def part(self, name: str) -> Repeatable:
        """Return one of several writes of the request, with a key of its own if it has one. Raises InvalidError."""
        if self.key is None:
            return self
        require_key(self.key)
        return self._replace(key=hashlib.sha256(f"{name}:{self.key}".encode()).hexdigest())

    def fingerprint(self) -> bytes:
        """Return what tells a request from others with the same key."""
        said = {name: value for name, value in self.said.items() if name not in _TOKENS}
        whole = f"{self.method} {self.path}\n".encode() + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(whole).digest()[:KEY_BYTES]


def repeatable_of(inputs: Inputs) -> Repeatable:
    """Return a request to a native route in that form."""
    given = inputs.request
    return Repeatable(
        inputs.services, given.method, given.scope["path"], given.headers.get("idempotency-key"), inputs.body
    )


def key_of(header: str, account_id: int) -> bytes:
    """Return the 16 bytes that a shard remembers of a client's key: hashed with the account. Raises InvalidError."""
    require_key(header)
    return hashlib.sha256(f"{account_id}:{header}".encode()).digest()[:KEY_BYTES]


def require_key(header: str) -> None:
    """Refuse what can't be a key. Raises InvalidError."""
    if not (1 <= len(header) <= limits.IDEMPOTENCY_KEY_CHARS_MAX and header.isascii() and header.isprintable()):
        bounds = f"1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters"
        raise InvalidError(f"Idempotency-Key must have {bounds}", "Idempotency-Key")


async def answered_before(request: Repeatable, actor: int) -> list[Any]:
    """Return `[what this very request was answered]`, `[]` if it is no repetition, or says so by no Idempotency-Key.

    Raises what the shard refuses with; ConflictError if the key belongs to another request.
    """
    services = request.services
    key = b"" if request.key is None else key_of(request.key, actor)
    if not key or services.cluster.level < KEPT_FROM_LEVEL:
        return []
    asked = [actor, key, request.fingerprint()]
    known: list[Any] = await services.ask_bucket(bucket_of_account(actor), "answered", asked)
    return known


async def carry_out(
    request: Repeatable, actor: int, op: str, args: list[Any] | Callable[[], Awaitable[list[Any]]], always: bool = False
) -> Any:
    """Carry out a write of an account, on its own shard, once for each Idempotency-Key; return the lane's answer.

    args: those of the operation, or what finds them out, and may refuse: asked only if this is no repetition. always:
    without a client's key one is drawn, as the lane may repeat a request, and twice wouldn't be once.
    Raises what the shard, or `args`, refuses with; ConflictError if the key belongs to another request.
    """
    bucket, drawn = bucket_of_account(actor), secrets.token_bytes(KEY_BYTES) if always else b""
    key = drawn if request.key is None else key_of(request.key, actor)
    if not key or request.services.cluster.level < KEPT_FROM_LEVEL:
        return await request.ask(bucket, op, args if isinstance(args, list) else await args())
    if not isinstance(args, list):
        known = await answered_before(request, actor)
        if known:
            return known[0]
        args = await args()
    return await request.ask(bucket, "keyed", [actor, key, request.fingerprint(), op, args])


async def carry_out_if_seen(
    request: Repeatable, actor: int, op: str, tweet_id: int, args: Callable[[], Awaitable[list[Any]]]
) -> Any:  # fmt: skip
    """Carry out a write about a tweet that the account may see, as `carry_out`; return the answer of `op`.

    args: finds out from here whether he may, and the arguments of `op`. Raises NotFoundError if he may not.
    """
    if request.services.cluster.level >= IF_SEEN_FROM_LEVEL:
        answer = await carry_out(request, actor, "if_seen", [actor, tweet_id, op])
        if not is_question(answer):
            return answer
    return await carry_out(request, actor, op, args)


async def write_once(
    inputs: Inputs, actor: int, op: str, args: list[Any] | Callable[[], Awaitable[list[Any]]], always: bool = False
) -> Any:
    """As `carry_out`, for a native route."""
    return await carry_out(repeatable_of(inputs), actor, op, args, always)


async def write_if_seen(
    inputs: Inputs, actor: int, op: str, tweet_id: int, args: Callable[[], Awaitable[list[Any]]]
) -> Any:  # fmt: skip
    """As `carry_out_if_seen`, for a native route."""
    return await carry_out_if_seen(repeatable_of(inputs), actor, op, tweet_id, args)
