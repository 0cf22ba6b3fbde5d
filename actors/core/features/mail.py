"""The channel of mails: codes, what happened to an account's address, notifications at once, and those of a day.

    a command of `mailboxes` --Mail--> an item that says what, to which address, and from which number a code is made
    a notice whose type is mailed at once --> an item with the notice
    any other notice, where digests are on --> one item, due a day later: what is unread then

Rules of this file
- What a mail says is found out when it is sent: a notice that was taken back, or read, isn't mailed any more, nor is
  one that is not wanted any more, or of somebody who was blocked meanwhile.
- No code stands in an item, only the number from which whoever has the key makes it.
- One digest waits at a time. It is of what came since it began to, is newer than the marker, and isn't mailed at once;
  who has read the home timeline on a later day gets none.
- At most MAIL_NOTICES_PER_HOUR_MAX notices an hour are mailed at once. The others are in the digest.
- An address that refuses mail for good gets no notifications any more, until its owner says so anew; codes it gets.

Cost: 0.6 us a notice for an account without a mailbox, 20 us an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from actors.core import arguments, limits
from actors.core.errors import InvalidError
from actors.core.features.blocks import is_hushed
from actors.core.features.markers import MARKER, NOTIFICATIONS, read_marker
from actors.core.mailbox import FROM_LEVEL, MAILBOX, Mailbox, mailbox_of
from actors.core.outbound import (
    Outbound,
    OutboundChannel,
    end_subscription,
    has_room,
    outbound_kind,
    pack_facts,
    put,
    read_facts_of,
)
from actors.core.stores.notice_words import Notice, notice_of
from actors.core.stores.papers import pack_document
from actors.core.terms import NOTIFICATION_TYPES, Feature, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

# What an item is about (`Outbound.subscription`), for ever: what must be told, notices at once, notices of a day.
TOLD, NOTICED, DIGEST = 0, 1, 2
CODE_FOR_ADDRESS, CODE_FOR_PASSWORD = "confirm", "reset"
ADDRESS_CHANGING, ADDRESS_CHANGED, PASSWORD_CHANGED, TEST = "changing", "changed", "password_changed", "test"
TYPES_ALL: Final = (1 << len(NOTIFICATION_TYPES)) - 1
_DAYS_BEFORE: Final = 3  # of which digests may still wait, as an item lives for two


class Mail(NamedTuple):
    """What must be told. item_id: as `outbound.put` takes it; what: one of the words above; nonce: from which its code
    is made, if it has one; other: another address that it is about.
    """

    item_id: int
    what: str
    address: str
    nonce: bytes = b""
    other: str = ""


def send_mail(state: ShardState, account_id: int, mail: Mail, at_ms: int) -> int:
    """Have a mail sent; return the item's id, 0 if there is no room."""
    state.clock.observe(mail.item_id)
    payload = pack_facts(mail.what, mail.address, mail.nonce, mail.other)
    return put(state, CHANNEL, account_id, mail.item_id, at_ms, payload, TOLD)


def begin_digest(state: ShardState, account_id: int, notice: Notice, at_ms: int) -> None:
    """Have a notice told in the mail of a day, if that is wanted and none is to be sent yet."""
    box = mailbox_of(state, account_id)
    if not box.address or not box.digest:
        return
    day = at_ms // limits.DAY_MS
    if any(state.papers.packed(CHANNEL.kind.number, account_id, day - back) for back in range(_DAYS_BEFORE)):
        return
    payload = pack_facts(notice.notice_id)
    put(state, CHANNEL, account_id, day, at_ms, payload, DIGEST, at_ms + limits.DAY_MS)


# ---- the channel ----------------------------------------------------------------------------------------------------


def _wants(state: ShardState, account_id: int, type_number: int) -> tuple[int, ...]:
    box = mailbox_of(state, account_id)
    if not box.address or not box.types >> type_number & 1:
        return ()
    view = state.notices.view(account_id)
    hour_ago = (int(view[-1, 0]) >> 16) - limits.HOUR_MS if len(view) else 0
    lately = len(view) - int(np.searchsorted(view[:, 0], hour_ago << 16))
    waiting = len(state.papers.keys(CHANNEL.kind, account_id))
    is_room = waiting < limits.OUTBOUND_PER_ACCOUNT_MAX - limits.MAIL_TOLD_COUNT_MAX  # codes have room in any case
    return (NOTICED,) if lately <= limits.MAIL_NOTICES_PER_HOUR_MAX and is_room else ()


def _end(state: ShardState, account_id: int, subscription: int) -> None:
    """An address refuses mail for good: it gets no notifications any more."""
    box = mailbox_of(state, account_id)
    if subscription == TOLD or not box.address:
        return
    state.papers.put_packed(MAILBOX, account_id, 0, pack_document(list(box._replace(types=0, digest=False))))


def _facts(shard: Lookups, now_ms: int, account_id: int, item_id: int, item: Outbound) -> list[Any] | None:
    """Return `[what, address, user name, made_ms, *more]`; more, by what it is:

    TOLD: [nonce, another address]; "notice": [the notice]; "digest": [how many, the newest of them]. A notice:
    [id, type's name, actor, tweet, text as far as it is here].
    """
    row, state = shard.row(account_id), shard.state
    box, username = mailbox_of(state, account_id), state.people.accounts[row].username
    facts = read_facts_of(item)
    if item.subscription == TOLD:
        what, address, nonce, other = facts
        return [what, address, username, item.made_ms, nonce, other]
    if not box.address:
        return None
    if item.subscription == NOTICED:
        notice = state.notices.get(account_id, facts[0])
        if notice is None or not _is_told(state, account_id, row, notice) or not box.types >> notice.type_number & 1:
            return None
        return ["notice", box.address, username, item.made_ms, _shown(state, notice)]
    told = _unread(shard, account_id, row, facts[0], box) if box.digest else []
    if not told or state.people.last_read_day[row] > item.made_ms // limits.DAY_MS:
        return None
    newest = [_shown(state, notice) for notice in told[: limits.MAIL_DIGEST_COUNT_MAX]]
    return ["digest", box.address, username, item.made_ms, len(told), newest]


def _unread(shard: Lookups, account_id: int, row: int, from_id: int, box: Mailbox) -> list[Notice]:
    """Return the notices of a digest, the newest first."""
    state = shard.state
    document = state.papers.get(MARKER, account_id, NOTIFICATIONS)
    read_id = 0 if document is None else read_marker(document).last_read_id
    notices = (notice_of(*words) for words in state.notices.view(account_id)[::-1].tolist())
    return [
        notice for notice in notices
        if notice.notice_id >= from_id and notice.notice_id > read_id and not box.types >> notice.type_number & 1
        and _is_told(state, account_id, row, notice)
    ]  # fmt: skip


def _is_told(state: ShardState, account_id: int, row: int, notice: Notice) -> bool:
    return not notice.is_filtered and not is_hushed(state, account_id, row, notice.actor)


def _shown(state: ShardState, notice: Notice) -> list[Any]:
    name = NOTIFICATION_TYPES[notice.type_number]
    return [notice.notice_id, name, notice.actor, notice.tweet_id]


CHANNEL: Final = OutboundChannel(
    "mail", outbound_kind(76, "mail to send"), limits.OUTBOUND_LIVES_MS, _wants, _end, _facts
)


# ---- what an account says of its mail -------------------------------------------------------------------------------


def set_mail(state: ShardState, account_id: int, packed: bytes, ended: list[int]) -> bool:
    """Keep what an account wants mailed. ended: of TOLD, NOTICED and DIGEST what it wants no more of."""
    state.papers.put_packed(MAILBOX, account_id, 0, packed)
    for subscription in ended:
        end_subscription(state, CHANNEL, account_id, subscription)
    state.papers.put_packed(MAILBOX, account_id, 0, packed)  # whatever ending has said of it
    return True


def prepare_set_mail(shard: Lookups, now_ms: int, account_id: int, types: int | None, digest: bool | None) -> Prepared:
    """Say what an account gets mailed: bits of notifications at once, a digest a day; None: as it is.

    The reply is as of `mailbox`. What waits and isn't wanted any more goes. Raises InvalidError for an account without
    an address.
    """
    shard.require_level(FROM_LEVEL)
    shard.row(account_id)
    box = mailbox_of(shard.state, account_id)
    if types is not None:
        box = box._replace(types=arguments.whole(types, 0, TYPES_ALL, "types"))
    if digest is not None:
        box = box._replace(digest=arguments.a_bool(digest, "digest"))
    if not box.address:
        raise InvalidError("this account has no confirmed address to which anything could be mailed", "email")
    if box == mailbox_of(shard.state, account_id):
        return nothing(_shown_box(box))
    packed = pack_document(list(box))
    shard.state.papers.require_room(MAILBOX, account_id, len(packed), False, "email")
    ended = [*([] if box.types else [NOTICED]), *([] if box.digest else [DIGEST])]
    return Prepared(["set_mail", account_id, packed, ended], lambda _: _shown_box(box))


def prepare_test_mail(shard: Lookups, now_ms: int, account_id: int) -> Prepared:
    """Have an account mailed a test; the reply is the item's id. Raises InvalidError without an address or room."""
    shard.require_level(FROM_LEVEL)
    shard.row(account_id)
    box = mailbox_of(shard.state, account_id)
    if not box.address:
        raise InvalidError("this account has no confirmed address to which anything could be mailed", "email")
    if not has_room(shard.state, CHANNEL, account_id):
        raise InvalidError("too many mails of this account wait", "email")
    mail = [shard.next_thing_id(account_id, now_ms), TEST, box.address]
    return Prepared(["send_mails", account_id, [mail], now_ms], lambda made: made[0])


def send_mails(state: ShardState, account_id: int, mails: list[list[Any]], at_ms: int) -> list[int]:
    """Have mails sent; returns the items' ids. mails: what `Mail` has, each."""
    return [send_mail(state, account_id, Mail(*mail), at_ms) for mail in mails]


def answer_mailbox(shard: Lookups, account_id: int) -> list[Any]:
    """What an account has said of its mail, for the account alone: `[address, wanted, types, digest]`."""
    shard.row(account_id)
    return _shown_box(mailbox_of(shard.state, account_id))


def _shown_box(box: Mailbox) -> list[Any]:
    return [box.address, box.wanted, box.types, box.digest]


FEATURE = Feature(
    "mail",
    papers=(MAILBOX,),
    writes=(Write("set_mail", prepare_set_mail), Write("test_mail", prepare_test_mail, keyed=False)),
    reads=(Read("mailbox", answer_mailbox, fresh=True),),
    commands={"set_mail": set_mail, "send_mails": send_mails},
)
