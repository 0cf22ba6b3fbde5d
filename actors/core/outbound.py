"""What is to leave the cluster: items of accounts that wait, as papers, until somebody outside has taken them.

    notify --wants--> put --> a paper of the account, due now      --(leader, after commit)--> dispatcher --> outside
    a command (a code to mail) --> put -----^   ^------------ outcome: done, gone, dropped / later: due again ---'

Rules of this file
- A channel (webhooks, push, mail) is a row: an `OutboundChannel` with a kind of paper of its own, so that each has its
  own bounds and none takes another's room. Rows are in `features/outbound.py`.
- An item is put in the command in which what it tells of comes to be, so it is there once; it is sent at least once,
  always with the same id, for a channel's `lives_ms` at most. Then it is dropped.
- An account that has all the items that it may of a channel, or a shard without room, gets no new one of it: what
  waits has the older claim, and a receiver that is down can't make the queue grow.
- Whatever decides is in the document or the command: no clock, no draw. Attempts are spread by the item's id.

Costs: 40 us to put an item, 0.8 us a channel to find that nobody wants it; 41 bytes and what it carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.core import arguments, ids, limits
from actors.core.stores.papers import pack_document, unpack_frozen
from actors.core.terms import Owner, PaperKind

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState
    from actors.core.stores.notice_words import Notice

FROM_LEVEL: Final = 3
FIRST_RETRY_MS: Final = 60_000  # after the first attempt; twice as long after each further one
_SPREAD: Final = 256  # steps of a pause's spread, which makes it a quarter longer at most


class SendVerdict(IntEnum):
    """What came of an attempt. Numbers are in journals, for ever."""

    DONE = 0
    LATER = 1
    """Again, after a pause that grows, or that the receiver has named."""
    GONE = 2
    """The receiver wants nothing any more: the subscription ends, and all that waits for it."""
    DROPPED = 3
    """Not this item, ever."""


class Outbound(NamedTuple):
    """The document of an item: its first facts in this order, for ever; later versions may add some at the end.

    subscription: of the account in the item's channel, 0 if it needs none; made_ms, due_ms: Unix ms; attempts: how many
    have failed; payload: what the channel has put there, `pack_facts` of it as a rule.
    """

    subscription: int
    made_ms: int
    due_ms: int
    attempts: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutboundChannel:
    """One way out of the cluster. name: also that of the dispatcher's `Channel`; kind: of `outbound_kind`.

    lives_ms: after which an item isn't worth sending any more; wants(state, account, type number of a notice) -> the
    account's subscriptions that are to be told, each gets an item with the notice's facts as payload (`pack_facts`);
    end(state, account, subscription): the receiver is gone, or has ended it;
    facts(lookups, now_ms, account, item's id, item) -> what the dispatcher has to know to send it, as msgpack carries
    it; None if it isn't to be sent any more. Asked at the leader, of what is committed; changes nothing; may raise
    RookeryError, by which the item is dropped.
    is_kept: an item is tried until it is done, for ever; such items are things (`features/blobs.py`), and what is an
    account's id above is theirs.
    """

    name: str
    kind: PaperKind
    lives_ms: int
    wants: Callable[[ShardState, int, int], Iterable[int]]
    end: Callable[[ShardState, int, int], None]
    facts: Callable[[Lookups, int, int, int, Outbound], Any]
    is_kept: bool = False


def read_outbound(document: Any) -> Outbound:
    """Return what a document says, whichever version wrote it."""
    return Outbound(*document[: len(Outbound._fields)])


def pack_facts(*facts: Any) -> bytes:
    """Return a payload of some facts."""
    return pack_document(list(facts))


def read_facts_of(item: Outbound) -> tuple[Any, ...]:
    """Return the facts of a payload that `pack_facts` made."""
    facts: tuple[Any, ...] = unpack_frozen(item.payload)
    return facts


def due_ms_of(document: Any) -> int:
    """Return when an item is to be sent, Unix ms."""
    return read_outbound(document).due_ms


def check_outbound(document: Any) -> None:
    """Refuse what is no item. Raises RookeryError."""
    item = read_outbound(document)
    arguments.an_id_or_zero(item.subscription, "subscription")
    arguments.whole(item.made_ms, 1, ids.ID_MAX, "made_ms")
    arguments.whole(item.due_ms, 1, ids.ID_MAX, "due_ms")
    arguments.whole(item.attempts, 0, limits.OUTBOUND_ATTEMPTS_MAX, "attempts")
    arguments.blob(item.payload, 1, limits.OUTBOUND_PAYLOAD_BYTES_MAX, "payload")


def outbound_kind(number: int, name: str) -> PaperKind:
    """Return the kind of paper that a channel's items are. number: as any kind's; name: of one item."""
    return PaperKind(
        number, name, Owner.ACCOUNT, limits.OUTBOUND_PER_ACCOUNT_MAX, check_outbound, due_ms_of,
        from_level=FROM_LEVEL, outbound=True,
    )  # fmt: skip


# ---- what waits -----------------------------------------------------------------------------------------------------


def put(
    state: ShardState, channel: OutboundChannel, account_id: int, item_id: int, at_ms: int, payload: bytes,
    subscription: int = 0, due_ms: int = 0,
) -> int:  # fmt: skip
    """Have something leave the cluster; return its id, 0 if the account isn't here, or there is no room.

    item_id: the lowest that it may have, positive: an id of a notice, or one that a `prepare` drew
    (`Lookups.next_thing_id`). The next one that is free is taken, so one notice may be told to several. The id never
    changes. at_ms: the time of the command; payload: OUTBOUND_PAYLOAD_BYTES_MAX at most; due_ms: 0 for at once.
    """
    kind = channel.kind
    if state.level < FROM_LEVEL or state.people.row_of.get(account_id) is None:
        return 0
    if not has_room(state, channel, account_id):
        return 0
    packed = pack_document(list(Outbound(subscription, at_ms, due_ms or at_ms, 0, payload)))
    while state.papers.packed(kind.number, account_id, item_id) is not None:
        item_id += 1
    state.papers.put_packed(kind, account_id, item_id, packed)
    return item_id


def has_room(state: ShardState, channel: OutboundChannel, account_id: int) -> bool:
    """Whether one item more of an account may wait. By counts alone, which every replica and replay has the same."""
    if len(state.papers.outbound) >= limits.OUTBOUND_PER_SHARD_MAX:
        return False
    return len(state.papers.keys(channel.kind, account_id)) < channel.kind.limit


def put_notice(
    state: ShardState, channels: Iterable[OutboundChannel], account_id: int, notice: Notice, at_ms: int
) -> None:
    """Have those channels tell of a notice that have somebody who wants to know. 0.8 us a channel without anybody."""
    for channel in channels:
        for subscription in channel.wants(state, account_id, notice.type_number):
            payload = pack_facts(notice.notice_id, notice.type_number, notice.actor, notice.tweet_id)
            put(state, channel, account_id, notice.notice_id, at_ms, payload, subscription)


def retry_ms(item_id: int, attempts: int) -> int:
    """Return the pause after a number of failed attempts, 1 or more: 1 min x 2^n, and up to a quarter more, by the id.

    Ids of one millisecond differ in few bits, so the product with the golden ratio's is taken.
    """
    pause = FIRST_RETRY_MS << min(attempts, limits.OUTBOUND_ATTEMPTS_MAX) - 1
    step = (item_id * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 56
    return pause + pause * step // (4 * _SPREAD)


def settle_item(
    state: ShardState, channel: OutboundChannel, account_id: int, item_id: int, verdict: int, now_ms: int, after_ms: int
) -> None:
    """Do what an attempt came to. after_ms: the least pause that the receiver has named, 0 for none."""
    document = state.papers.get(channel.kind, account_id, item_id)
    if document is None:
        return
    item = read_outbound(document)
    if verdict == SendVerdict.LATER:
        attempts = item.attempts + 1
        if channel.is_kept:
            attempts = min(attempts, limits.OUTBOUND_KEPT_ATTEMPTS_MAX)
        due_ms = now_ms + max(after_ms, retry_ms(item_id, attempts))
        if due_ms < item.made_ms + channel.lives_ms and attempts < limits.OUTBOUND_ATTEMPTS_MAX:
            later = item._replace(due_ms=due_ms, attempts=attempts)
            state.papers.put(channel.kind, account_id, item_id, list(later))
            return
    state.shelves.drop_paper(channel.kind, account_id, item_id)
    if verdict == SendVerdict.GONE:
        end_subscription(state, channel, account_id, item.subscription)


def end_subscription(state: ShardState, channel: OutboundChannel, account_id: int, subscription: int) -> None:
    """End a subscription, and whatever waits for it."""
    for key in state.papers.keys(channel.kind, account_id):
        if read_outbound(state.papers.get(channel.kind, account_id, key)).subscription == subscription:
            state.papers.drop(channel.kind, account_id, key)
    channel.end(state, account_id, subscription)
