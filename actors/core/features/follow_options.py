"""Follows with options, and endorsements of those that are followed.

    follow_as --> the command `follow`'s edge, and what `followee_options.py` keeps of it, in one command
    endorse, unendorse --> ENDORSEMENT shelf

Rules of this file
- An option that isn't said stays as it is; of a new follow: reposts are shown, nobody is notified, all languages.
- Reposts that aren't shown, and tweets in other languages, are left out when a page is read: rings aren't rewritten.
- What says no language is shown in any, and a repost says none.
- From level 3 of the cluster on.

Cost: 18 bytes an option. A home timeline without one costs nothing, with one that of a mute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.core import arguments
from actors.core.errors import InvalidError
from actors.core.features.followee_options import (
    BELL,
    ENDORSEMENT,
    LANGUAGES,
    NO_REPOSTS,
    SOME_LANGUAGES,
    check_languages,
    drop_bell,
)
from actors.core.features.follows import follow, prepare_follow
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Kind, Prepared, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState


def follow_as(
    state: ShardState, account_id: int, target: int, reposts: bool | None, notify: bool | None,
    languages: list[str] | None, at_ms: int,
) -> bool:  # fmt: skip
    """Follow an account, or follow it otherwise; returns whether that is a new follow."""
    edge = (np.array([account_id], "<i8").tobytes(), np.array([target], "<i8").tobytes())
    added = follow(state, *edge, at_ms, True) > 0
    set_options(state, account_id, target, reposts, notify, languages, at_ms)
    return added


def set_options(
    state: ShardState, account_id: int, target: int, reposts: bool | None, notify: bool | None,
    languages: list[str] | None, at_ms: int,
) -> None:  # fmt: skip
    """Keep what an account wants of somebody whom it follows, or has asked; None: as it is."""
    if reposts:
        state.shelves.drop(NO_REPOSTS, account_id, target)
    elif reposts is not None:
        state.shelves.put(NO_REPOSTS, account_id, target, at_ms)
    if notify:
        state.shelves.put(BELL, account_id, target, at_ms)
    elif notify is not None:
        drop_bell(state, account_id, target)
    if languages:
        state.papers.put(LANGUAGES, account_id, target, languages)
        state.shelves.put(SOME_LANGUAGES, account_id, target, at_ms)
    elif languages is not None:
        state.papers.drop(LANGUAGES, account_id, target)
        state.shelves.drop(SOME_LANGUAGES, account_id, target)


def endorse(state: ShardState, account_id: int, target: int, on: bool, at_ms: int) -> bool:
    """Show an account on one's profile, or no more; returns whether that changed anything."""
    if on:
        return state.shelves.put(ENDORSEMENT, account_id, target, at_ms)
    return state.shelves.drop(ENDORSEMENT, account_id, target)


def prepare_follow_as(
    shard: Lookups, now_ms: int, account_id: int, target: int, reposts: bool | None, notify: bool | None,
    languages: list[str] | None,
) -> Prepared:  # fmt: skip
    """Follow an account as is said, None: as it is; the reply is whether it wasn't followed.

    Raises as `prepare_follow`, and InvalidError when there are too many options.
    """
    shard.require_level(NO_REPOSTS.from_level)
    prepared = prepare_follow(shard, now_ms, account_id, target)
    if account_id == target:
        raise InvalidError(f"account {account_id} can't follow itself", "id")
    check_options(shard, account_id, target, reposts, notify, languages)
    if prepared.command is None and reposts is None and notify is None and languages is None:
        return prepared
    return Prepared(["follow_as", account_id, target, reposts, notify, languages, now_ms], same)


def check_options(
    shard: Lookups, account_id: int, target: int, reposts: bool | None, notify: bool | None,
    languages: list[str] | None,
) -> None:  # fmt: skip
    """Refuse options that are none, or too many. Raises RookeryError."""
    for value, field in ((reposts, "reblogs"), (notify, "notify")):
        if value is not None:
            arguments.a_bool(value, field)
    if reposts is False:
        _require_room(shard, NO_REPOSTS, account_id, target)
    if notify:
        _require_room(shard, BELL, account_id, target)
    if languages is not None and arguments.listed(languages, len(languages), "languages"):
        check_languages(languages)
        size, is_new = len(pack_document(languages)), shard.state.papers.get(LANGUAGES, account_id, target) is None
        shard.state.papers.require_room(LANGUAGES, account_id, size, is_new, "languages")


def _require_room(shard: Lookups, kind: Kind, account_id: int, target: int) -> None:
    if not shard.state.shelves.contains(kind, account_id, target):
        shard.state.shelves.require_room(kind, account_id, "id")


def prepare_endorse(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Show an account that one follows on one's profile; the reply is whether that is new."""
    shard.require_level(ENDORSEMENT.from_level)
    row = shard.row(account_id)
    if not shard.state.graph.following.contains(row, arguments.an_id(target, "id")):
        raise InvalidError(f"account {target} must be followed to be endorsed", "id")
    if shard.state.shelves.contains(ENDORSEMENT, account_id, target):
        return nothing(False)
    shard.state.shelves.require_room(ENDORSEMENT, account_id, "id")
    return Prepared(["endorse", account_id, target, True, now_ms], same)


def prepare_unendorse(shard: Lookups, now_ms: int, account_id: int, target: int) -> Prepared:
    """Show an account on one's profile no more; the reply is whether it was."""
    shard.require_level(ENDORSEMENT.from_level)
    shard.row(account_id)
    if not shard.state.shelves.contains(ENDORSEMENT, account_id, arguments.an_id(target, "id")):
        return nothing(False)
    return Prepared(["endorse", account_id, target, False, now_ms], same)


FEATURE = Feature(
    "follow_options",
    writes=(
        Write("follow_as", prepare_follow_as),
        Write("endorse", prepare_endorse),
        Write("unendorse", prepare_unendorse),
    ),
    commands={"follow_as": follow_as, "endorse": endorse},
)
