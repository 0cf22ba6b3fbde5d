"""Cards: what this shard knows of accounts of other shards, to show them with their tweets. A cache beside the state.

    `accounts` asked of the account's shard --\\
                                                > tell --> fresh --a minute--> stale --shown--> wanted: asked anew
    `profile_card`, when a profile changes ---/                                      (`take_wanted`, once a second)

Rules of this file
- No part of the state (`ShardState.cards`), as `News`: it isn't in a digest, a checkpoint or a move, and whatever was
  given up is asked for again. It begins to be when a shape that shows accounts is first asked for.
- Of two things that one shard says the newer stays, whichever comes first: each carries the shard's journal position.
  Of two shards (an account has moved) the last that came stays; a minute later it is asked for again.
- Bounded by entries and by bytes; what was told longest ago goes first.
- A stale card is shown and noted; what was made of it is dropped when it becomes stale, so a page of fresh ones notes
  nothing. Nobody knows when somebody last looked: what nobody shows is never asked for again.

Costs: 0.2 us to find one, 1.4 us to read it, 1 us to take one over; 220 bytes each with a profile of a line.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import msgpack

from actors.core import arguments, limits
from actors.core.errors import MalformedError, RookeryError
from actors.core.stores.account_flags import FLAGS_ALL
from actors.core.stores.people import NO_COUNTS, PROFILE_FIELDS, Account, AccountCounts

FRESH_MS: Final = 60_000  # after which a card that is shown is asked for again
CARD_BYTES_MAX: Final = 16 * 1024  # of packed facts: 200 of them are an answer of 3 MB
CARD_BYTES_MEAN_MAX: Final = 512  # on an average, of all that are kept: five times what a profile of the API takes
_FACTS: Final = ("username", "created_ms", *PROFILE_FIELDS, "header", "flags")  # by their numbers, for ever
_COUNTS_FROM: Final = 16  # number of the first of the counts, which are in the order of `AccountCounts`
_HEAD: Final = struct.Struct("<QQB")  # when it was told, the journal position and the shard of who told
NOBODY: Final = b""  # the facts of an account that there isn't


def pack_card(account: Account, counts: AccountCounts = NO_COUNTS) -> bytes:
    """Return the facts of an account that others are shown: a map by number, without what is empty.

    A profile longer than CARD_BYTES_MAX is cut down to its name.
    """
    named = {number: value for number, name in enumerate(_FACTS) if (value := getattr(account, name))}
    counted = {number: value for number, value in enumerate(counts, start=_COUNTS_FROM) if value}
    packed: bytes = msgpack.packb(named | counted, use_bin_type=True)
    if len(packed) > CARD_BYTES_MAX:
        packed = msgpack.packb({0: account.username, 1: account.created_ms} | counted, use_bin_type=True)
    return packed


def read_card(account_id: int, facts: bytes) -> tuple[Account, AccountCounts]:
    """Return an account of what `pack_card` returned, here or in another version: what isn't known is passed over.

    Raises MalformedError for what is no card.
    """
    try:
        named = msgpack.unpackb(facts, strict_map_key=False)
        account = Account(account_id, named[0], named.get(1, 0))
        for number, name in enumerate(_FACTS[2:], start=2):
            if number in named:
                setattr(account, name, named[number])
        account.flags &= FLAGS_ALL
        counts = AccountCounts(*(named.get(_COUNTS_FROM + place, 0) for place in range(len(NO_COUNTS))))
    except (ValueError, TypeError, LookupError, AttributeError, msgpack.exceptions.UnpackException) as error:
        raise MalformedError(f"these are no facts of an account: {str(error)[:100]}", "card") from error
    return account, counts


def check_card(value: Any, field: str) -> None:
    """Refuse what is no packed card, or could not be shown. Raises RookeryError."""
    account, counts = read_card(1, arguments.blob(value, 1, CARD_BYTES_MAX, field))
    arguments.text(account.username, CARD_BYTES_MAX, field)
    arguments.whole(account.created_ms, 0, limits.SHOWN_MS_MAX, field)
    arguments.profile({name: getattr(account, name) for name in PROFILE_FIELDS})
    arguments.text(account.header, CARD_BYTES_MAX, field)
    for count in (*counts[:3], account.flags):
        arguments.whole(count, 0, arguments.COUNT_MAX, field)
    arguments.whole(counts.last_ms, 0, limits.SHOWN_MS_MAX, field)


class Cards:
    """What is known of accounts of other shards."""

    def __init__(self, count_max: int, changed: Callable[[int], None]) -> None:
        """count_max: accounts; of bytes CARD_BYTES_MEAN_MAX times as many.

        changed(account_id): what was made of a card is to be made anew: it says something else, is stale, or is gone.
        """
        self._changed = changed
        self.count_max, self.bytes_max = count_max, count_max * CARD_BYTES_MEAN_MAX
        self.now_ms = 0  # on a clock of the shell's that never goes back, see `age`
        self.bytes_held = 0  # of facts
        self.evicted_count = 0
        self._fresh: OrderedDict[int, bytes] = OrderedDict()  # both in the order in which they were told
        self._stale: OrderedDict[int, bytes] = OrderedDict()
        self._wanted: dict[int, None] = {}  # stale ones that were shown

    def __len__(self) -> int:
        return len(self._fresh) + len(self._stale)

    def __contains__(self, account_id: int) -> bool:
        return account_id in self._fresh or account_id in self._stale

    def get(self, account_id: int) -> bytes | None:
        """Return the facts of an account to show them; NOBODY if there is no such one, None if it isn't known."""
        held = self._fresh.get(account_id)
        if held is None:
            held = self._stale.get(account_id)
            if held is None:
                return None
            self._wanted[account_id] = None
        return held[_HEAD.size :]

    def tell(self, account_id: int, facts: bytes, shard: int, number: int) -> None:
        """Take over what a shard says of an account, unless it has said something newer. number: its position."""
        held = self._fresh.get(account_id) or self._stale.get(account_id)
        if held is not None:
            _, known_number, known_shard = _HEAD.unpack_from(held)
            if known_shard == shard and known_number > number:
                return
            for among in (self._fresh, self._stale, self._wanted):
                among.pop(account_id, None)
            self.bytes_held -= len(held) - _HEAD.size
        if held is None or held[_HEAD.size :] != facts:
            self._changed(account_id)
        self._fresh[account_id] = _HEAD.pack(self.now_ms, number, shard) + facts
        self.bytes_held += len(facts)
        while len(self) > self.count_max or self.bytes_held > self.bytes_max:
            oldest, gone = (self._stale or self._fresh).popitem(last=False)
            self._wanted.pop(oldest, None)
            self._changed(oldest)
            self.bytes_held -= len(gone) - _HEAD.size
            self.evicted_count += 1

    def age(self, now_ms: int) -> None:
        """Have what was told more than FRESH_MS ago be stale. now_ms: never goes back."""
        self.now_ms = now_ms
        while self._fresh:
            account_id, held = self._fresh.popitem(last=False)
            if _HEAD.unpack_from(held)[0] > now_ms - FRESH_MS:
                self._fresh[account_id] = held
                self._fresh.move_to_end(account_id, last=False)
                break
            self._stale[account_id] = held
            self._changed(account_id)

    def take_wanted(self, shard_of: Callable[[int], int], count_max: int) -> dict[int, list[int]]:
        """Return whom to ask anew, by shard, at most count_max of each.

        They are wanted again when they are shown again: whether the answer comes isn't waited for.
        """
        taken: dict[int, list[int]] = {}
        for account_id in self._wanted:
            of_shard = taken.setdefault(shard_of(account_id), [])
            if len(of_shard) < count_max:
                of_shard.append(account_id)
        for account_id in (account_id for of_shard in taken.values() for account_id in of_shard):
            del self._wanted[account_id]
            self._changed(account_id)
        return taken

    def check(self) -> list[str]:
        """Return violations: counts and bytes are right and bounded; each card is fresh or stale, and readable."""
        problems = []
        cards = {**self._fresh, **self._stale}
        counted = sum(len(held) - _HEAD.size for held in cards.values())
        if counted != self.bytes_held or counted > self.bytes_max:
            problems.append(f"cards take {counted} bytes, counted as {self.bytes_held}, of at most {self.bytes_max}")
        if not len(cards) == len(self) <= self.count_max:
            problems.append(f"{len(cards)} accounts have {len(self)} cards, of at most {self.count_max}")
        if not self._wanted.keys() <= self._stale.keys():
            problems.append(f"cards of {sorted(self._wanted.keys() - self._stale.keys())} are wanted and not stale")
        for account_id, held in cards.items():
            if held[_HEAD.size :] != NOBODY:
                try:
                    check_card(held[_HEAD.size :], "card")
                except RookeryError as error:
                    problems.append(f"the card of account {account_id} can't be read: {error.message}")
        return problems
