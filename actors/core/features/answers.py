"""What a write with an idempotency key was answered: kept for a day, so that its repetition gets the same answer.

    keyed [account, key, fingerprint, op, args]     known  -> the answer of then; nothing happens again
                                                    new    -> op, and its answer is kept with what it changed

Rules of this file
- What a write changes and what it was answered become durable in one record: the command `keyed` carries both. Whoever
  was answered finds the answer again; whoever wasn't finds either nothing or all of it.
- A refusal isn't kept: it has changed nothing, and may be right no more.
- A key is an account's. With another request (another fingerprint) it is refused: one of the two would be lost.
- `post` knows the key of a tweet by itself, and answers the tweet as it is now.
- An account that is deleted takes its keys along, but for that of the deletion itself: it is answered again though the
  account is gone.
- Keys are forgotten after IDEMPOTENCY_TTL_MS, or when there are too many, in the order in which they were learnt.

Cost: the bytes of the answer, 100 to 1,500, and 200 more a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.entries import pack, unpack
from actors.core.errors import ConflictError, InvalidError
from actors.core.terms import FULL_FROM_LEVEL, Feature, Inquiries, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


KEPT_WHOLE_FROM_LEVEL: Final = 3
KEPT_WHOLE_BYTES_MAX: Final = 8 * 1024  # of a client's whole answer: a status of 280 characters takes 2 to 4 KB


def ms_of_key(made: int | bytes) -> int:
    """Return when a key was learnt. made: the id of the tweet that it made, or a packed answer."""
    return int(unpack(made)[0]) if isinstance(made, bytes) else ids.ms_of_tweet(made)


def remember_key(state: ShardState, account_id: int, key: bytes, made: int | bytes) -> None:
    """Remember what a key made, and forget the keys that are too old, or too many."""
    state.idempotency[account_id, key] = made
    state.changes.idempotency.pop((account_id, key), None)
    state.changes.idempotency[account_id, key] = None
    # Nearly all are tweets' ids: asking that here is half of what it costs.
    oldest_ms = (ids.ms_of_tweet(made) if type(made) is int else ms_of_key(made)) - limits.IDEMPOTENCY_TTL_MS
    while state.idempotency:
        known, first = next(iter(state.idempotency.items()))
        first_ms = ids.ms_of_tweet(first) if type(first) is int else ms_of_key(first)
        if len(state.idempotency) <= state.tuning.idempotency_keys_max and first_ms >= oldest_ms:
            break
        del state.idempotency[known]
        state.changes.idempotency[known] = None


def remember_keys(state: ShardState, made: list[tuple[int, bytes, int]]) -> None:
    """As `remember_key` for each (account, key, tweet) of a batch, with the same result: 0.4 us each instead of 1.1.

    That nothing is to be forgotten is looked at once, where that is sure: then the first key stays the first.
    """
    known, changed = state.idempotency, state.changes.idempotency
    newest_ms = max(ids.ms_of_tweet(tweet_id) for _, _, tweet_id in made)
    first = next(iter(known.values())) if known else 0
    first_ms = ids.ms_of_tweet(first) if type(first) is int else ms_of_key(first)
    has_room = len(known) + len(made) <= state.tuning.idempotency_keys_max
    if not (has_room and first_ms >= newest_ms - limits.IDEMPOTENCY_TTL_MS):
        for account_id, key, tweet_id in made:
            remember_key(state, account_id, key, tweet_id)
        return
    for account_id, key, tweet_id in made:
        pair = account_id, key
        known[pair] = tweet_id
        changed.pop(pair, None)
        changed[pair] = None


def remember_answer(state: ShardState, account_id: int, key: bytes, fingerprint: bytes, at_ms: int, body: Any) -> None:
    """Remember what a write was answered; what is too large is not."""
    packed = pack([at_ms, fingerprint, body])
    if len(packed) <= limits.ANSWER_BYTES_MAX:
        remember_key(state, account_id, key, packed)


def forget_keys(state: ShardState, account_id: int, before_ms: int) -> None:
    """Forget the keys of an account that is deleted, but for answers from `before_ms` on. 40 ns a key of the shard."""
    for known, made in [item for item in state.idempotency.items() if item[0][0] == account_id]:
        if not isinstance(made, bytes) or ms_of_key(made) < before_ms:
            del state.idempotency[known]
            state.changes.idempotency[known] = None


def known_answer(shard: Lookups, account_id: int, key: Any, fingerprint: Any) -> list[Any] | None:
    """Return `[what was answered]`, None if the key is new. Raises ConflictError if it belongs to another request."""
    arguments.an_id(account_id, "user_id")
    arguments.blob(key, 1, limits.KEY_BYTES_MAX, "idempotency_key")
    arguments.blob(fingerprint, 1, limits.KEY_BYTES_MAX, "fingerprint")
    made = shard.state.idempotency.get((account_id, key))
    if made is None or shard.state.shard_of_account(account_id) != shard.state.shard:
        shard.row(account_id)
        return None
    _, known, body = unpack(made) if isinstance(made, bytes) else (0, b"", None)
    if known != fingerprint:
        raise ConflictError("this Idempotency-Key was used for another request; take a new one", "Idempotency-Key")
    return [body]


def answer_answered(shard: Lookups, account_id: int, key: bytes, fingerprint: bytes) -> list[Any]:
    """What a write with this key was answered: `[answer]`, or `[]` if there was none. Raises ConflictError."""
    return known_answer(shard, account_id, key, fingerprint) or []


def prepare_keyed(
    shard: Lookups, now_ms: int, account_id: int, key: bytes, fingerprint: bytes, op: str, args: list[Any]
) -> Prepared:
    """Carry out a write of an account once, whatever comes of its answer. fingerprint: what tells requests apart.

    Raises ConflictError if the key belongs to another request, OverloadedError below level 1.
    """
    shard.require_level(FULL_FROM_LEVEL)
    known = known_answer(shard, account_id, key, fingerprint)
    if known is not None:
        return nothing(known[0])
    prepared = _keyed_write(shard, op).prepare(shard, now_ms, *args)
    return prepared._replace(kept=(account_id, key, fingerprint, now_ms))


def ask_keyed(shard: Lookups, account_id: int, key: bytes, fingerprint: bytes, op: str, args: list[Any]) -> Inquiries:
    """Find out what the write has to know first, if the key is new. Raises what the write refuses with."""
    if known_answer(shard, account_id, key, fingerprint) is None:
        asks = _keyed_write(shard, op).asks
        args = args if asks is None else (yield from asks(shard, *args))
    return [account_id, key, fingerprint, op, args]


def _keyed_write(shard: Lookups, op: Any) -> Write:
    write = shard.writes.get(op) if type(op) is str else None
    if write is None or not write.keyed:
        raise InvalidError(f"{arguments.shown(op)} is no write whose answer is kept", "op")
    return write


def prepare_keep_answer(shard: Lookups, now_ms: int, account_id: int, body: bytes) -> Prepared:
    """Change nothing, and be answered `body`: inside `keyed`, what a client was answered to a request of its own.

    From level 3 on.
    """
    shard.require_level(KEPT_WHOLE_FROM_LEVEL)
    shard.row(account_id)
    arguments.blob(body, 0, KEPT_WHOLE_BYTES_MAX, "body")
    return nothing(body)


FEATURE = Feature(
    "answers",
    writes=(
        Write("keyed", prepare_keyed, keyed=False, asks=ask_keyed),
        Write("keep_answer", prepare_keep_answer),
    ),
    reads=(Read("answered", answer_answered, fresh=True),),
)
