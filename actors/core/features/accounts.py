"""Accounts and their names: registration, profiles, and the cards that lists of accounts show.

A name lives on the shard of its hash, its account on the shard of its id. So registration is two steps:

    name's shard                    account's shard
    register: the name is held  --create_account-->  the account is made
    confirmed, or free again    <--name_settled----  whether it is that name's account

Rules of this file
- A name is held by one account from the reservation on; nobody finds it before it is confirmed.
- The answer to `register` is given once the reservation is durable: the account follows by a message, exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.errors import ConflictError, MovedError, OverloadedError
from actors.core.features.asked_follows import FOLLOW_REQUEST, admit_newest
from actors.core.features.cards import tell_card
from actors.core.features.media import PICTURE_FIELDS, change_picture, picture_from
from actors.core.render import render_profile
from actors.core.shape_table import are_accounts_shown
from actors.core.stores.account_flags import LOCKED, UNINDEXED
from actors.core.stores.people import PROFILE_FIELDS, SETTING_FIELDS, Account, TokenFacts
from actors.core.terms import FULL_FROM_LEVEL, Effect, Feature, Key, Prepared, Read, To, Write, same
from actors.core.visibility import reader_facts

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


SETTINGS_FROM_LEVEL: Final = 3
OLD_REGISTRATION: Final = 6  # values of a registration below level 1, which doesn't name its token


def register(state: ShardState, rows: list[list[Any]], at_ms: int) -> list[int]:
    """Reserve names and have their accounts made. Row: [username, account_id, display_name, bio, hash, tokens], and
    from level 1 on perhaps what the tokens are called; then they are made now.

    Returns per row the account id, or 0 where the name is held by another account.
    """
    results = []
    for row in rows:
        username, account_id = row[0], row[1]
        held = state.people.names.get(username.lower())
        if held is not None:
            results.append(account_id if held[0] == account_id else 0)
            continue
        state.people.names[username.lower()] = (account_id, False)
        state.changes.names.add(username.lower())
        state.send(state.shard_of_account(account_id), ["create_account", row, at_ms])
        results.append(account_id)
    return results


def on_create_account(state: ShardState, source: int, fields: list[Any], at_ms: int) -> None:
    """Make the account of a held name, unless its id is taken, and tell the name's shard which of the two it was."""
    username, account_id, display_name, bio, password_hash, tokens, *named = fields
    existing, is_leaving = state.people.get(account_id), account_id in state.people.leaving
    if existing is None and not is_leaving:
        kept = list(tokens)[-limits.TOKENS_PER_ACCOUNT_MAX :]
        account = Account(account_id, username, at_ms, display_name, bio, password_hash=password_hash, tokens=kept)
        for name in named:
            account.token_facts = {token: TokenFacts(name, at_ms) for token in kept}
        row = state.people.add(account)
        state.ensure_rows(row + 1)
        state.changes.accounts.add(row)
        if state.news is not None:
            state.news.account(account_id)
    settled = not is_leaving and (existing is None or existing.username == username)
    shard = int(state.owner[ids.bucket_of_name(username)])
    state.send(shard, ["name_settled", username.lower(), account_id, settled])


def on_name_settled(state: ShardState, source: int, name: str, account_id: int, settled: bool) -> None:
    """Confirm a held name, or give it free: its account could not be made."""
    if state.people.names.get(name, (0, False))[0] == account_id:
        if settled:
            state.people.names[name] = (account_id, True)
        else:
            del state.people.names[name]
        state.changes.names.add(name)


def update_profile(state: ShardState, account_id: int, values: dict[str, Any], at_ms: int = 0) -> bool:
    """Replace profile fields and settings, of the flags those that are said (`arguments.account_changes`).

    at_ms: given where all shards are to be told, because some show accounts with tweets.
    """
    row = state.people.row_of[account_id]
    account = state.people.accounts[row]
    was_locked = account.flags & LOCKED
    for name in PICTURE_FIELDS:
        if name in values:
            change_picture(state, account_id, getattr(account, name), values[name], at_ms)
    for name, value in values.items():
        if name == "flags":
            mask, bits = value
            account.flags = account.flags & ~mask | bits
        else:
            setattr(account, name, value)
    state.people.changed(account_id)
    state.people.note_indexing(account_id)
    state.changes.accounts.add(row)
    if state.news is not None:
        state.news.account(account_id)
    if was_locked and not account.flags & LOCKED:
        admit_newest(state, account_id, at_ms)
    if at_ms:
        tell_card(state, state.people.accounts[row], at_ms)
    return True


def prepare_register(shard: Lookups, now_ms: int, *row: Any) -> Prepared:
    """Register one account, by the shard of its name: [username, account_id, display_name, bio, hash, tokens], and
    perhaps what its token is called.

    The reply is the account id. Raises ConflictError when the name or the id is another's.
    """
    fields = _check_registration(shard, list(row))
    username, account_id = fields[:2]
    held = shard.state.people.names.get(username.lower())
    if held is not None and held[0] != account_id:
        raise ConflictError(f"the user name {username[:30]!r} is taken; choose another", "username")
    if held is None and shard.state.people.own(account_id) is not None:
        raise ConflictError(f"the account id {account_id} is taken", "user_id")
    return Prepared(["register", [fields], now_ms], lambda result: result[0])


def prepare_register_many(shard: Lookups, now_ms: int, rows: list[list[Any]]) -> Prepared:
    """Register up to REGISTER_COUNT_MAX accounts; the reply has an id each, 0 where the name is another's."""
    fields = [_check_registration(shard, row) for row in arguments.listed(rows, limits.REGISTER_COUNT_MAX, "rows")]
    return Prepared(["register", fields, now_ms], same)


def _check_registration(shard: Lookups, row: list[Any]) -> list[Any]:
    fields = arguments.registration(row)
    if shard.state.owner[ids.bucket_of_name(fields[0])] != shard.state.shard:
        raise MovedError(f"the name {fields[0][:30]!r} is not on shard {shard.state.shard}")
    if len(shard.state.people.names) >= shard.state.tuning.accounts_max:
        raise OverloadedError(f"shard {shard.state.shard} holds {shard.state.tuning.accounts_max} accounts, its limit")
    return fields if shard.state.level >= FULL_FROM_LEVEL else fields[:OLD_REGISTRATION]


def prepare_update_profile(shard: Lookups, now_ms: int, account_id: int, values: dict[str, Any]) -> Prepared:
    """Replace the profile fields and settings that are given; the reply is the profile as its owner sees it.

    An avatar or header is an address, or `media:<id>` of an upload that was made for it. Raises OverloadedError for
    settings below their level.
    """
    row = shard.row(account_id)
    if not arguments.account_changes(values).keys() <= set(PROFILE_FIELDS):
        shard.require_level(SETTINGS_FROM_LEVEL)
    account = shard.state.people.accounts[row]
    pictures: dict[str, Any] = {
        name: picture_from(shard, account_id, name, values[name], getattr(account, name))
        for name in PICTURE_FIELDS
        if name in values
    }
    command = ["update_profile", account_id, {**values, **pictures}]
    if are_accounts_shown(shard.state.level):
        command.append(now_ms)
    return Prepared(command, lambda _: answer_profile(shard, account_id, account_id))


def _says_who_is_indexed(args: list[Any]) -> bool:
    """Whether a change of a profile says if its account's words are found; args: of `update_profile`."""
    flags = args[1].get("flags") if len(args) > 1 and isinstance(args[1], dict) else None
    return isinstance(flags, (list, tuple)) and bool(flags) and type(flags[0]) is int and bool(flags[0] & UNINDEXED)


def answer_account(shard: Lookups, account_id: int) -> list[Any]:
    """Who an account is: `[account_id, username, display_name]`."""
    found = shard.state.people.accounts[shard.row(account_id)]
    return [found.account_id, found.username, found.display_name]


def answer_cards(shard: Lookups, account_ids: list[int], viewer: int = 0) -> list[bytes | bool | None]:
    """What a list of users shows `viewer` of each, None for one that he doesn't see, False for another shard's.

    Raises MovedError if the first is another shard's.
    """
    wanted, facts = arguments.id_list(account_ids, limits.CARDS_COUNT_MAX, "account_ids"), reader_facts(viewer)
    hidden = shard.visibility.is_hidden
    found: list[Account | None] = [
        account if (account := shard.state.people.get(a)) is not None and not hidden(facts, a) else None for a in wanted
    ]
    show = shard.home.shape.account
    if None not in found:
        return [show(a) for a in found if a is not None]
    own = [shard.state.shard_of_account(a) == shard.state.shard for a in wanted]
    if not own[0]:
        raise MovedError(f"account {wanted[0]} is not on shard {shard.state.shard}")
    return [show(a) if a is not None else None if mine else False for a, mine in zip(found, own, strict=True)]


def answer_names(shard: Lookups, names: list[str]) -> list[int]:
    """Account ids of user names (without case), 0 where there is none (yet), -1 for another shard's.

    Raises MovedError if the first is another shard's.
    """
    wanted = [name.lower() for name in arguments.listed(names, limits.NAMES_COUNT_MAX, "names")]
    owners = [shard.state.owner[ids.bucket_of_name(name)] for name in wanted]
    if wanted and owners[0] != shard.state.shard:
        raise MovedError(f"the name {wanted[0][:30]!r} is not on shard {shard.state.shard}")
    held = [
        shard.state.people.names.get(name, (0, False)) if owner == shard.state.shard else (-1, True)
        for name, owner in zip(wanted, owners, strict=True)
    ]
    return [account_id if confirmed else 0 for account_id, confirmed in held]


def answer_settings(shard: Lookups, account_id: int) -> list[Any]:
    """What only an account's owner is shown: `[header, flags, privacy, language, requests, bio, fields]`.

    requests: how many ask to follow it; bio, fields: as the owner wrote them.
    """
    account = shard.state.people.accounts[shard.row(account_id)]
    settings = [getattr(account, name) for name in SETTING_FIELDS]
    return [*settings, shard.state.shelves.count(FOLLOW_REQUEST, account_id), account.bio, account.fields]


def answer_own_account(shard: Lookups, account_id: int) -> list[Any]:
    """An account as its owner is shown it: as in `cards`, and what `settings` answers."""
    account = shard.state.people.accounts[shard.row(account_id)]
    return [shard.home.shape.account(account), answer_settings(shard, account_id)]


def answer_profile(shard: Lookups, account_id: int, viewer: int) -> bytes:
    """A profile with its totals, of tweets those that `viewer` may know of; one who is blocked doesn't see it."""
    row, graph = shard.seen_row(account_id, viewer), shard.state.graph
    return render_profile(
        shard.state.people.accounts[row],
        int(graph.followers.length[row]), int(graph.following.length[row]),
        shard.visibility.tweet_count(viewer, row), shard.state.tuning.media_base,
    )  # fmt: skip


CREATE_ACCOUNT = Effect("create_account", on_create_account, To.ACCOUNT, ("registration", "at_ms"))
NAME_SETTLED = Effect("name_settled", on_name_settled, To.NAME, ("name", "account", "settled"))

FEATURE = Feature(
    "accounts",
    writes=(
        Write("register", prepare_register, Key.NAME, keyed=False),
        Write("register_many", prepare_register_many, Key.SHARD, keyed=False),
        Write("update_profile", prepare_update_profile, hides=_says_who_is_indexed),
    ),
    reads=(
        Read("account", answer_account),
        Read("cards", answer_cards, Key.SHARD, shaped=True),
        Read("names", answer_names, Key.SHARD, fresh=True),
        Read("profile", answer_profile),
        Read("settings", answer_settings),
        Read("own_account", answer_own_account, shaped=True),
    ),
    commands={"register": register, "update_profile": update_profile},
    effects=(CREATE_ACCOUNT, NAME_SETTLED),
)
