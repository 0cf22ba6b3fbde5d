"""Push subscriptions: where a browser or a phone is told of notifications, one a token (RFC 8030, 8291).

    subscribe --> a paper of the account, by its token --a notice whose type it wants--> an item --> its push service
    the token ends, the service says that nobody is there any more --> the subscription ends

Rules of this file
- A subscription is its token's: whoever has the token reads and changes it, and it ends with it. Whether the token is
  there still is asked when something is to be told, and all whose tokens have ended go when another one is made.
- The token itself isn't here, only the hash by which it is known anyway; so no message has it.
- Whom it wants to hear of (`policy`) is asked when a message is sent, as is whether the notice is there still.
- A message is worth sending for PUSH_LIVES_MS.

Cost: 300 bytes and the address; 1 us a notice for an account that has one, 0.3 us for one without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import InvalidError, NotFoundError, OverloadedError
from actors.core.features.blocks import is_hushed
from actors.core.outbound import (
    FROM_LEVEL,
    Outbound,
    OutboundChannel,
    end_subscription,
    has_room,
    outbound_kind,
    pack_facts,
    put,
    read_facts_of,
)
from actors.core.stores.papers import pack_document
from actors.core.terms import NOTIFICATION_TYPES, Feature, Owner, PaperKind, Prepared, Read, Write, same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

TEST: Final = -1  # in place of a notice's type: an item by which a subscription is tested
TYPES_ALL: Final = (1 << len(NOTIFICATION_TYPES)) - 1
POLICIES: Final = ("all", "followed", "follower", "none")  # whom it hears of; the places are in papers, for ever
_ALL, _FOLLOWED, _FOLLOWER, _NONE = range(len(POLICIES))
KEY_BYTES: Final = 65  # of P-256, uncompressed
AUTH_BYTES: Final = 16


class PushSubscription(NamedTuple):
    """The document of a subscription: its first facts in this order, for ever; later versions may add some at the end.

    token: its hash; endpoint: where messages go; key, auth: by which they are encrypted; types: of which notices, bits;
    policy: a place in POLICIES; standard: whether its client has asked for RFC 8291 by name; subscription_id.
    """

    token: bytes
    endpoint: str
    key: bytes
    auth: bytes
    types: int
    policy: int
    standard: bool
    subscription_id: int


def key_of_token(token: bytes) -> int:
    """Return the key of a token's subscription: 63 bits of the token's hash."""
    return int.from_bytes(token[:8].ljust(8, b"\0"), "big") & ids.ID_MAX or 1


def read_subscription(document: Any) -> PushSubscription:
    """Return what a document says, whichever version wrote it."""
    return PushSubscription(*document[: len(PushSubscription._fields)])


def check_subscription(document: Any) -> None:
    """Refuse what is no subscription. Raises RookeryError."""
    found = read_subscription(document)
    arguments.blob(found.token, 1, limits.KEY_BYTES_MAX, "token")
    if not arguments.text(found.endpoint, limits.WEBHOOK_URL_BYTES_MAX, "endpoint"):
        raise InvalidError("a subscription must have an address", "endpoint")
    arguments.blob(found.key, KEY_BYTES, KEY_BYTES, "p256dh")
    arguments.blob(found.auth, AUTH_BYTES, AUTH_BYTES, "auth")
    arguments.whole(found.types, 0, ids.ID_MAX, "alerts")
    arguments.whole(found.policy, 0, len(POLICIES) - 1, "policy")
    arguments.a_bool(found.standard, "standard")
    arguments.an_id(found.subscription_id, "id")


SUBSCRIPTION: Final = PaperKind(
    77, "push subscription", Owner.ACCOUNT, limits.TOKENS_PER_ACCOUNT_MAX, check_subscription, from_level=FROM_LEVEL
)


# ---- the channel ----------------------------------------------------------------------------------------------------


def _wants(state: ShardState, account_id: int, type_number: int) -> Iterator[int]:
    for key in state.papers.keys(SUBSCRIPTION, account_id):
        found = read_subscription(state.papers.get(SUBSCRIPTION, account_id, key))
        if found.types >> type_number & 1 and found.policy != _NONE and _has_token(state, account_id, found.token):
            yield key


def _end(state: ShardState, account_id: int, key: int) -> None:
    state.papers.drop(SUBSCRIPTION, account_id, key)


def _facts(shard: Lookups, now_ms: int, account_id: int, item_id: int, item: Outbound) -> list[Any] | None:
    """Return [endpoint, key, auth, standard, notice or test, type's number or TEST, actor, tweet, made_ms]."""
    row, state = shard.row(account_id), shard.state
    document = state.papers.get(SUBSCRIPTION, account_id, item.subscription)
    if document is None or now_ms >= item.made_ms + limits.PUSH_LIVES_MS:
        return None
    found = read_subscription(document)
    notice_id, type_number, actor, tweet_id = read_facts_of(item)
    if not _has_token(state, account_id, found.token):
        return None
    if type_number != TEST:
        is_there = state.notices.get(account_id, notice_id) is not None
        if not is_there or is_hushed(state, account_id, row, actor) or not _is_heard(state, row, found.policy, actor):
            return None
    sent = [found.endpoint, found.key, found.auth, found.standard]
    return [*sent, notice_id, type_number, actor, tweet_id, item.made_ms]


def _is_heard(state: ShardState, row: int, policy: int, actor: int) -> bool:
    """Whether a subscription wants to hear of somebody."""
    if policy == _FOLLOWED:
        return bool(state.graph.following.contains(row, actor))
    if policy == _FOLLOWER:
        return bool(state.graph.followers.contains(row, actor))
    return policy == _ALL


def _has_token(state: ShardState, account_id: int, token: bytes) -> bool:
    account = state.people.get(account_id)
    return account is not None and token in account.tokens


CHANNEL: Final = OutboundChannel("push", outbound_kind(78, "push message"), limits.PUSH_LIVES_MS, _wants, _end, _facts)


# ---- commands -------------------------------------------------------------------------------------------------------


def put_subscription(state: ShardState, account_id: int, key: int, packed: bytes, subscription_id: int) -> bool:
    """Keep a subscription in the place of its token's; those whose tokens have ended go."""
    state.clock.observe(subscription_id)
    for other in state.papers.keys(SUBSCRIPTION, account_id):
        known = read_subscription(state.papers.get(SUBSCRIPTION, account_id, other))
        if not _has_token(state, account_id, known.token):
            end_subscription(state, CHANNEL, account_id, other)
    return state.papers.put_packed(SUBSCRIPTION, account_id, key, packed)


def drop_subscription(state: ShardState, account_id: int, key: int) -> None:
    """End a subscription, and what waits for it."""
    end_subscription(state, CHANNEL, account_id, key)


def test_push(state: ShardState, account_id: int, item_id: int, at_ms: int) -> int:
    """Send all subscriptions of an account a test; returns to how many."""
    state.clock.observe(item_id)
    keys = state.papers.keys(SUBSCRIPTION, account_id)
    payload = pack_facts(item_id, TEST, 0, 0)
    return sum(bool(put(state, CHANNEL, account_id, item_id, at_ms, payload, key)) for key in keys)


# ---- requests -------------------------------------------------------------------------------------------------------


def prepare_subscribe(
    shard: Lookups, now_ms: int, account_id: int, token: bytes, endpoint: str, key: bytes, auth: bytes, types: int,
    policy: int, standard: bool,
) -> Prepared:  # fmt: skip
    """Subscribe a token of the account's, or change its subscription; the reply is its row of `push_subscription`.

    A change of what is wanted alone keeps the id. Raises NotFoundError for a token that the account hasn't.
    """
    shard.require_level(SUBSCRIPTION.from_level)
    shard.row(account_id)
    arguments.secret(token)
    if not _has_token(shard.state, account_id, token):
        raise NotFoundError("this token has ended", "token")
    place, papers = key_of_token(token), shard.state.papers
    document = papers.get(SUBSCRIPTION, account_id, place)
    known = None if document is None else read_subscription(document)
    is_same = known is not None and (known.endpoint, known.key, known.auth) == (endpoint, key, auth)
    subscription_id = (
        known.subscription_id if known is not None and is_same else shard.next_thing_id(account_id, now_ms)
    )
    made = PushSubscription(token, endpoint, key, auth, types, policy, standard, subscription_id)
    check_subscription(list(made))
    arguments.whole(types, 0, TYPES_ALL, "alerts")
    packed = pack_document(list(made))
    papers.require_room(SUBSCRIPTION, account_id, len(packed), False, "subscription")
    return Prepared(["put_subscription", account_id, place, packed, subscription_id], lambda _: _row(made))


def prepare_change_subscription(
    shard: Lookups, now_ms: int, account_id: int, token: bytes, types: int, policy: int | None
) -> Prepared:
    """Change what a token's subscription wants; policy None: as it is. Reply and errors as of `subscribe`."""
    found = _found(shard, account_id, token)
    policy = found.policy if policy is None else policy
    return prepare_subscribe(
        shard, now_ms, account_id, token, found.endpoint, found.key, found.auth, types, policy, found.standard
    )


def prepare_unsubscribe(shard: Lookups, now_ms: int, account_id: int, token: bytes) -> Prepared:
    """End a token's subscription; the reply is True, also if there is none."""
    shard.require_level(SUBSCRIPTION.from_level)
    shard.row(account_id)
    return Prepared(["drop_subscription", account_id, key_of_token(arguments.secret(token))], lambda _: True)


def prepare_test_push(shard: Lookups, now_ms: int, account_id: int) -> Prepared:
    """Send all subscriptions of an account a test; the reply is to how many. Raises OverloadedError without room."""
    shard.require_level(SUBSCRIPTION.from_level)
    shard.row(account_id)
    if not has_room(shard.state, CHANNEL, account_id):
        raise OverloadedError("too much waits for push services; try again later", "user_id")
    return Prepared(["test_push", account_id, shard.next_thing_id(account_id, now_ms), now_ms], same)


def answer_push_subscription(shard: Lookups, account_id: int, token: bytes) -> list[Any]:
    """A token's subscription: `[id, endpoint, types, policy, standard]`. Raises NotFoundError."""
    return _row(_found(shard, account_id, token))


def _found(shard: Lookups, account_id: int, token: bytes) -> PushSubscription:
    shard.row(account_id)
    document = shard.state.papers.get(SUBSCRIPTION, account_id, key_of_token(arguments.secret(token)))
    found = None if document is None else read_subscription(document)
    if found is None or found.token != token:
        raise NotFoundError("this token has no subscription", "token")
    return found


def _row(found: PushSubscription) -> list[Any]:
    return [found.subscription_id, found.endpoint, found.types, found.policy, found.standard]


FEATURE = Feature(
    "push",
    papers=(SUBSCRIPTION,),
    writes=(
        Write("subscribe", prepare_subscribe, keyed=False),
        Write("change_subscription", prepare_change_subscription, keyed=False),
        Write("unsubscribe", prepare_unsubscribe, keyed=False),
        Write("test_push", prepare_test_push, keyed=False),
    ),
    reads=(Read("push_subscription", answer_push_subscription),),
    commands={"put_subscription": put_subscription, "drop_subscription": drop_subscription, "test_push": test_push},
)
