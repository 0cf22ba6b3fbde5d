"""What shards tell each other of accounts, to show them with their tweets (`cards.py`).

    a page with an author of another shard --accounts--> his shard: his facts, kept in the cache of whoever asked
    a profile changes --profile_card--> all shards: into their caches

Rules of this file
- Nothing here is state: no command changes with it, and a batch that carries it changes nothing else.
- `profile_card` leaves because the command says so (its time): whether anybody shows accounts is decided when the
  command is made (`are_accounts_shown`), so a replay sends what was sent.
- A shard's own accounts are shown from `people.py`; of them nobody tells it anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, limits
from actors.core.account_counts import counts_of
from actors.core.cards import NOBODY, check_card, pack_card
from actors.core.errors import MalformedError
from actors.core.stores.people import Account
from actors.core.terms import Effect, Feature, Key, Read, To

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

COUNTS_FROM_LEVEL: Final = 3


def answer_accounts(shard: Lookups, account_ids: list[int]) -> list[Any]:
    """What others are shown of some accounts: `[journal position, [facts or None or False, ...]]`.

    None of one that there isn't, False of another shard's. For shards, which keep it.
    """
    wanted, state = arguments.id_list(account_ids, limits.CARDS_COUNT_MAX, "account_ids"), shard.state
    found: list[bytes | bool | None] = []
    for account_id in wanted:
        account = state.people.get(account_id)
        if account is None:
            found.append(None if state.shard_of_account(account_id) == state.shard else False)
        else:
            found.append(_card_of(state, account))
    return [state.position, found]


def learn_accounts(state: ShardState, shard: int, account_ids: list[int], body: Any) -> None:
    """Take over what a shard has answered to `accounts`. Raises RookeryError if it is no such answer."""
    number, facts = arguments.pair(body, "accounts")
    arguments.whole(number, 0, limits.SHOWN_MS_MAX, "accounts")
    if len(arguments.listed(facts, len(account_ids), "accounts")) != len(account_ids):
        raise MalformedError(f"{len(account_ids)} accounts were asked for, not {len(facts)}", "accounts")
    for account_id, packed in zip(account_ids, facts, strict=True):
        if packed is not None and packed is not False:
            check_card(packed, "accounts")
            learn_card(state, account_id, packed, shard, number)
        elif packed is None:
            learn_card(state, account_id, NOBODY, shard, number)


def learn_card(state: ShardState, account_id: int, facts: bytes, shard: int, number: int) -> None:
    """Keep what a shard says of an account, if it is another shard's and accounts are shown here."""
    if state.cards is not None and account_id not in state.people.row_of:
        state.cards.tell(account_id, facts, shard, number)


def tend_cards(state: ShardState, now_ms: int) -> dict[int, list[int]]:
    """Return whom to ask anew, by shard: accounts that were shown though what is known of them is a minute old.

    Once a second; now_ms: on a clock that never goes back.
    """
    if state.cards is None:
        return {}
    state.cards.age(now_ms)
    wanted = state.cards.take_wanted(state.shard_of_account, limits.CARDS_COUNT_MAX)
    wanted.pop(state.shard, None)
    return wanted


def _card_of(state: ShardState, account: Account) -> bytes:
    """Return the card of an account of this shard, with its counts from their level on."""
    if state.level < COUNTS_FROM_LEVEL:
        return pack_card(account)
    return pack_card(account, counts_of(state, state.people.row_of[account.account_id]))


def tell_card(state: ShardState, account: Account, at_ms: int) -> None:
    """Tell all other shards what an account says of itself now."""
    others = [shard for shard in range(state.shard_count) if shard != state.shard]
    state.tell_all(others, PROFILE_CARD, account.account_id, at_ms, state.position, _card_of(state, account))


def on_profile_card(state: ShardState, source: int, account_id: int, at_ms: int, number: int, facts: bytes) -> None:
    """Show an account of another shard as it is now. A cache alone changes: in any order, and again, it is the same."""
    learn_card(state, account_id, facts, source, number)


PROFILE_CARD = Effect("profile_card", on_profile_card, To.ALL, ("actor", "at_ms", "number", "card"))

FEATURE = Feature(
    "cards",
    reads=(Read("accounts", answer_accounts, Key.SHARD),),
    effects=(PROFILE_CARD,),
)
