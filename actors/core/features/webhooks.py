"""Webhooks: addresses of an account's own at which it is told of its notifications, by signed requests.

    make_webhook, rotate_webhook, drop_webhook --> a paper of the account, by a webhook's id
    a notice whose type it wants, test_webhook --> an item of the queue (`actors/core/outbound.py`) --> its receiver

Rules of this file
- The secret signs, so it is kept as it is; reads don't show it, and it is told once, by whoever has drawn it.
- After a rotation the secret of before signs too for WEBHOOK_ROTATION_MS, so that a receiver can change over.
- One address once an account.
- A webhook is the account's: it stays when tokens end and the password changes, until somebody ends it. But what a
  token of an app has made is that token's, as a push subscription is, and ends with it (`end_of_ended_tokens`).
- `make_webhook` and `rotate_webhook` answer with the number from which their caller has made the secret: so that a
  repetition, which is answered from what was kept, can be told the same secret, and none is kept with an answer.
- Nothing is told of somebody whom the account has blocked or muted since.
- A receiver that answers 410 has ended its webhook. What else is wrong with one never ends it.

Costs: 150 bytes and the address; 40 us a notice that it wants, 0.8 us for an account without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, InvalidError, NotFoundError, OverloadedError
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
    read_outbound,
)
from actors.core.stores.papers import pack_document
from actors.core.stores.people import UNKNOWN
from actors.core.terms import NOTIFICATION_TYPES, Feature, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

TEST: Final = -1  # in place of a notice's type: an item by which an account tests a webhook
TYPES_ALL: Final = (1 << len(NOTIFICATION_TYPES)) - 1


class Webhook(NamedTuple):
    """The document of a webhook: its first facts in this order, for ever; later versions may add some at the end.

    url: where it is told; types: of which notices, bits by the number of a type; secret: of its signatures; made_ms;
    rotated_ms: when the secret was changed last, 0 for never; old_secret: the one of before then, or none; token: the
    hash of the token of an app that has made it, none where it is the account's.
    """

    url: str
    types: int
    secret: bytes
    made_ms: int
    rotated_ms: int = 0
    old_secret: bytes = b""
    token: bytes = b""


def read_webhook(document: Any) -> Webhook:
    """Return what a document says, whichever version wrote it."""
    return Webhook(*document[: len(Webhook._fields)])


def check_webhook(document: Any) -> None:
    """Refuse what is no webhook. Raises RookeryError."""
    webhook = read_webhook(document)
    if not arguments.text(webhook.url, limits.WEBHOOK_URL_BYTES_MAX, "url"):
        raise InvalidError("a webhook must have an address", "url")
    arguments.whole(webhook.types, 0, ids.ID_MAX, "types")
    arguments.blob(webhook.secret, 1, limits.KEY_BYTES_MAX, "secret")
    arguments.whole(webhook.made_ms, 0, ids.ID_MAX, "made_ms")
    arguments.whole(webhook.rotated_ms, 0, ids.ID_MAX, "rotated_ms")
    arguments.blob(webhook.old_secret, 0, limits.KEY_BYTES_MAX, "old_secret")
    arguments.blob(webhook.token, 0, limits.KEY_BYTES_MAX, "token")


WEBHOOK: Final = PaperKind(
    71, "webhook", Owner.ACCOUNT, limits.WEBHOOKS_COUNT_MAX, check_webhook, from_level=FROM_LEVEL
)


# ---- the channel ----------------------------------------------------------------------------------------------------


def _wants(state: ShardState, account_id: int, type_number: int) -> Iterator[int]:
    """Give the webhooks of an account that are to be told of a type of notice."""
    for webhook_id in state.papers.keys(WEBHOOK, account_id):
        if read_webhook(state.papers.get(WEBHOOK, account_id, webhook_id)).types >> type_number & 1:
            yield webhook_id


def _end(state: ShardState, account_id: int, webhook_id: int) -> None:
    state.papers.drop(WEBHOOK, account_id, webhook_id)


def _facts(shard: Lookups, now_ms: int, account_id: int, item_id: int, item: Outbound) -> list[Any] | None:
    """Return [url, secrets, the notice's id or the test's, type's number or TEST, actor, tweet, made_ms]."""
    row = shard.row(account_id)
    document = shard.state.papers.get(WEBHOOK, account_id, item.subscription)
    if document is None:
        return None
    webhook = read_webhook(document)
    notice_id, type_number, actor, tweet_id = read_facts_of(item)
    if type_number != TEST and is_hushed(shard.state, account_id, row, actor):
        return None
    return [webhook.url, secrets_of(webhook, now_ms), notice_id, type_number, actor, tweet_id, item.made_ms]


def secrets_of(webhook: Webhook, now_ms: int) -> list[bytes]:
    """Return the secrets that sign now, the newest first."""
    is_old_good = webhook.old_secret and now_ms < webhook.rotated_ms + limits.WEBHOOK_ROTATION_MS
    return [webhook.secret, webhook.old_secret] if is_old_good else [webhook.secret]


CHANNEL: Final = OutboundChannel(
    "webhooks", outbound_kind(70, "message to a webhook"), limits.OUTBOUND_LIVES_MS, _wants, _end, _facts
)


# ---- commands -------------------------------------------------------------------------------------------------------


def put_webhook(state: ShardState, account_id: int, webhook_id: int, packed: bytes) -> bool:
    """Keep a webhook, a new one or with another secret."""
    state.clock.observe(webhook_id)
    return state.papers.put_packed(WEBHOOK, account_id, webhook_id, packed)


def drop_webhook(state: ShardState, account_id: int, webhook_id: int) -> None:
    """End a webhook, and what waits for it."""
    end_subscription(state, CHANNEL, account_id, webhook_id)


def end_of_ended_tokens(state: ShardState, account_id: int) -> None:
    """End the webhooks of an account that tokens of apps have made which it has no more. 1 us without any."""
    account = state.people.get(account_id)
    for webhook_id in state.papers.keys(WEBHOOK, account_id):
        token = read_webhook(state.papers.get(WEBHOOK, account_id, webhook_id)).token
        if token and (account is None or token not in account.tokens):
            end_subscription(state, CHANNEL, account_id, webhook_id)


def test_webhook(state: ShardState, account_id: int, webhook_id: int, item_id: int, at_ms: int) -> int:
    """Send a webhook a test; return the item's id, 0 if there was no room."""
    state.clock.observe(item_id)
    return put(state, CHANNEL, account_id, item_id, at_ms, pack_facts(item_id, TEST, 0, 0), webhook_id)


# ---- requests -------------------------------------------------------------------------------------------------------


def prepare_make_webhook(
    shard: Lookups, now_ms: int, account_id: int, url: str, types: int, secret: bytes, nonce: bytes = b"",
    token: bytes = b"",
) -> Prepared:  # fmt: skip
    """Make a webhook; the reply is its row of `webhooks`, and nonce. types: bits; secret: which the caller has made of
    nonce; token: the hash of the one by which it is made.

    Raises ConflictError if the account has one at that address, with another secret; InvalidError when it has all that
    it may, NotFoundError if the token has ended.
    """
    shard.require_level(WEBHOOK.from_level)
    account = shard.state.people.accounts[shard.row(account_id)]
    arguments.blob(nonce, 0, limits.KEY_BYTES_MAX, "nonce")
    if token and arguments.secret(token) not in account.tokens:
        raise NotFoundError("this token has ended", "token")
    is_of_app = bool(token and account.token_facts.get(token, UNKNOWN).app_id)
    webhook = Webhook(url, types, secret, now_ms, token=token if is_of_app else b"")
    check_webhook(list(webhook))
    arguments.whole(types, 1, TYPES_ALL, "types")
    papers = shard.state.papers
    for webhook_id in papers.keys(WEBHOOK, account_id):
        known = read_webhook(papers.get(WEBHOOK, account_id, webhook_id))
        if (known.url, known.types, known.secret) == (
            url,
            types,
            secret,
        ):  # the same request again, whose first answer was lost
            return nothing([*_row(shard, account_id, webhook_id, known), nonce])
        if known.url == url:
            raise ConflictError(f"webhook {webhook_id} has this address already", "url")
    packed = pack_document(list(webhook))
    papers.require_room(WEBHOOK, account_id, len(packed), True, "url")
    webhook_id = shard.next_thing_id(account_id, now_ms)
    row = [webhook_id, url, types, now_ms, 0, 0, nonce]
    return Prepared(["put_webhook", account_id, webhook_id, packed], lambda _: row)


def prepare_rotate_webhook(
    shard: Lookups, now_ms: int, account_id: int, webhook_id: int, secret: bytes, nonce: bytes = b""
) -> Prepared:
    """Change the secret of a webhook; the reply is as of `make_webhook`. Raises NotFoundError."""
    webhook = _found(shard, account_id, webhook_id)
    arguments.blob(nonce, 0, limits.KEY_BYTES_MAX, "nonce")
    if webhook.secret == secret:  # the same request again, whose first answer was lost
        return nothing([*_row(shard, account_id, webhook_id, webhook), nonce])
    changed = webhook._replace(secret=secret, rotated_ms=now_ms, old_secret=webhook.secret)
    check_webhook(list(changed))
    packed = pack_document(list(changed))
    shard.state.papers.require_room(WEBHOOK, account_id, len(packed), False, "webhook_id")
    row = [*_row(shard, account_id, webhook_id, changed), nonce]
    return Prepared(["put_webhook", account_id, webhook_id, packed], lambda _: row)


def prepare_drop_webhook(shard: Lookups, now_ms: int, account_id: int, webhook_id: int) -> Prepared:
    """End a webhook; the reply is its row of `webhooks`, as it was. Raises NotFoundError."""
    row = _row(shard, account_id, webhook_id, _found(shard, account_id, webhook_id))
    return Prepared(["drop_webhook", account_id, webhook_id], lambda _: row)


def prepare_test_webhook(shard: Lookups, now_ms: int, account_id: int, webhook_id: int) -> Prepared:
    """Send a webhook a test; the reply is the id of its message. Raises NotFoundError, OverloadedError without room."""
    _found(shard, account_id, webhook_id)
    if not has_room(shard.state, CHANNEL, account_id):
        raise OverloadedError("too much waits for receivers; try again later", "webhook_id")
    item_id = shard.next_thing_id(account_id, now_ms)
    return Prepared(["test_webhook", account_id, webhook_id, item_id, now_ms], same)


def answer_webhooks(shard: Lookups, account_id: int) -> list[list[Any]]:
    """An account's webhooks, the oldest first, for itself alone: `[[id, url, types, made_ms, rotated_ms, waiting]]`."""
    shard.row(account_id)
    papers = shard.state.papers
    webhooks = ((key, papers.get(WEBHOOK, account_id, key)) for key in papers.keys(WEBHOOK, account_id))
    return [_row(shard, account_id, webhook_id, read_webhook(document)) for webhook_id, document in webhooks]


def answer_webhook(shard: Lookups, account_id: int, webhook_id: int) -> list[Any]:
    """One of an account's webhooks, for itself alone: a row as of `webhooks`. Raises NotFoundError."""
    return _row(shard, account_id, webhook_id, _found(shard, account_id, webhook_id))


def _found(shard: Lookups, account_id: int, webhook_id: int) -> Webhook:
    shard.row(account_id)
    document = shard.state.papers.get(WEBHOOK, account_id, arguments.an_id(webhook_id, "webhook_id"))
    if document is None:
        raise NotFoundError(f"webhook {webhook_id} does not exist (any more)", "webhook_id")
    return read_webhook(document)


def _row(shard: Lookups, account_id: int, webhook_id: int, webhook: Webhook) -> list[Any]:
    papers = shard.state.papers
    items = (papers.get(CHANNEL.kind, account_id, key) for key in papers.keys(CHANNEL.kind, account_id))
    waiting = sum(read_outbound(item).subscription == webhook_id for item in items)
    return [webhook_id, webhook.url, webhook.types, webhook.made_ms, webhook.rotated_ms, waiting]


FEATURE = Feature(
    "webhooks",
    papers=(WEBHOOK,),
    writes=(
        Write("make_webhook", prepare_make_webhook),
        Write("rotate_webhook", prepare_rotate_webhook),
        Write("drop_webhook", prepare_drop_webhook),
        Write("test_webhook", prepare_test_webhook),
    ),
    reads=(Read("webhooks", answer_webhooks), Read("webhook", answer_webhook)),
    commands={"put_webhook": put_webhook, "drop_webhook": drop_webhook, "test_webhook": test_webhook},
)
