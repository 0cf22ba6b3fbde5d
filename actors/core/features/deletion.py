"""Accounts that are deleted: gone for everybody at once, and then, piece by piece, everywhere.

    delete_account    found by nobody, no token, no password, no profile; its name is given up
      --name_left-->  the name's shard: held by nobody for ever
    clear_left ...    pieces (`leaving.py`): tweets, marks, follows both ways, blocks and mutes, each told as it ever is
      --account_left--> all shards, at last: nobody blocks or mutes it any more

Rules of this file
- The command is one record: whoever was answered finds the account gone, whatever dies. What goes on afterwards follows
  from the state alone, at whichever shard the account is by then, so it goes on after any crash, election or move.
- While it is leaving it is like an account that never was: who follows, blocks, mutes or mentions it is answered so.
- Its name is never given to anybody else: mentions of it, and links to it, would come to mean another person.
- From level 1 on: what it sends, older processes don't know. It is asked for only once the map has that level, so all
  shards: one that has still to rise tells nobody of a mute, which then could be of an account that is gone.

Cost: 10 us, and then the pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.core import ids
from actors.core.features.blocks import forget_relations
from actors.core.features.logins import check_password
from actors.core.features.media import leave_media
from actors.core.features.reactions import forget_reactions
from actors.core.features.scheduled import leave_scheduled
from actors.core.stores.people import NO_LONGER, PROFILE_FIELDS, SETTING_FIELDS, Account
from actors.core.terms import FULL_FROM_LEVEL, Effect, Feature, Owner, Prepared, To, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def delete_account(state: ShardState, account_id: int, at_ms: int) -> bool:
    """Have nobody find an account any more, and forget what only it has; the rest goes in pieces."""
    people, row = state.people, state.people.row_of[account_id]
    account = people.accounts[row]
    leave_media(state, account_id, account, at_ms)
    leave_scheduled(state, account_id, at_ms)
    blank = Account(account_id, account.username, account.created_ms)
    for name in (*PROFILE_FIELDS, *SETTING_FIELDS, "password_hash"):
        setattr(account, name, getattr(blank, name))
    for token in list(account.tokens):
        people.remove_token(account, token)
    account.left_ms = at_ms
    people.leave(account_id)
    state.revoked.append((account_id, None))
    state.rings.sleep(row)
    if state.waking.pop(account_id, None) is not None:
        state.woken.append(account_id)  # whoever waits is told that it is gone
    state.pull_shards.pop(account_id, None)
    state.papers.clear(Owner.ACCOUNT, account_id)  # what it wrote for later is nobody's
    state.changes.accounts.add(row)
    if state.news is not None:
        state.news.account(account_id)
    name = account.username.lower()
    state.tell(int(state.owner[ids.bucket_of_name(name)]), NAME_LEFT, name, account_id, at_ms)
    return True


def on_name_left(state: ShardState, source: int, name: str, account_id: int, at_ms: int = 0) -> None:
    """Hold a name for nobody, from now on: its account was deleted."""
    if state.people.names.get(name, (0, False))[0] == account_id:
        state.people.names[name] = (NO_LONGER, False)
        state.changes.names.add(name)


def on_account_left(state: ShardState, source: int, account_id: int, at_ms: int = 0) -> None:
    """Take back what this shard's accounts have against one that is gone, and its own shard didn't know of.

    And what it has notified them of.
    """
    forget_relations(state, account_id)
    forget_reactions(state, account_id)
    accounts = state.people.accounts
    state.notices.drop_actor_everywhere(account_id, lambda row: accounts[row].account_id)


def prepare_delete_account(shard: Lookups, now_ms: int, account_id: int, seen: str | None = None) -> Prepared:
    """Delete an account and all that is of it. seen: the password hash that the caller has compared with; None: an
    operator's request, which asks for none.

    Raises ConflictError if the password is another meanwhile, OverloadedError below level 1.
    """
    shard.require_level(FULL_FROM_LEVEL)
    if type(account_id) is int and account_id in shard.state.people.leaving:
        return nothing(True)
    row = shard.row(account_id)
    if seen is not None:
        check_password(shard, row, seen)
    return Prepared(["delete_account", account_id, max(now_ms, 1)], same)


NAME_LEFT = Effect("name_left", on_name_left, To.NAME, ("name", "account", "at_ms"))
ACCOUNT_LEFT = Effect("account_left", on_account_left, To.ALL, ("account", "at_ms"))

FEATURE = Feature(
    "deletion",
    writes=(Write("delete_account", prepare_delete_account, hides=True),),
    commands={"delete_account": delete_account},
    effects=(NAME_LEFT, ACCOUNT_LEFT),
)
