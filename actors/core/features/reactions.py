"""Reactions to announcements: who answers one with which emoji, and how many do.

    react --> the announcement, a named thing: its document, up to 8 emojis by place; a shelf of accounts for each place

Rules of this file
- An announcement is configuration and no state (`api/instance_folder.py`); what is here of it is who has reacted. Its
  id follows from its number (`ids.thing_of_name`). That there is one, and that a name is an emoji, API workers know.
- A place is its emoji's until the last account has taken it back; then the next emoji may have it.
- Counts are the lengths of shelves, so they are exact; a reaction that is there already changes nothing.
- An account that is deleted takes its reactions along once it has left (`account_left`, which all shards are told).
  One that reacts while it is being deleted may be counted for ever: its own shard isn't asked.
- From level 3 of the cluster on.

Cost: 18 bytes a reaction, 150 an announcement; 20 us to react.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.core import arguments, ids, limits
from actors.core.errors import InvalidError, MovedError
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Full, Key, Kind, Owner, PaperKind, Prepared, Read, Write, nothing, same

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

FROM_LEVEL: Final = 3
FREE: Final = ""  # of a place that has no emoji


def thing_of_announcement(number: int) -> int:
    """Return the id of the thing that an announcement is."""
    return ids.thing_of_name(f"announcement:{number}")


def check_places(document: Any) -> None:
    """Refuse what isn't the emojis of an announcement, by place. Raises RookeryError."""
    names = arguments.listed(list(document), limits.REACTION_NAMES_MAX, "names")
    for name in names:
        arguments.text(name, limits.REACTION_NAME_BYTES_MAX, "name")
    if not names or len(set(names) - {FREE}) != len(names) - list(names).count(FREE):
        raise InvalidError("an announcement has some places, each with an emoji of its own, or free", "names")


PLACES: Final = PaperKind(
    60, "announcement's emojis", Owner.THING, 1, check_places, from_level=FROM_LEVEL, founds=True
)  # fmt: skip
REACTED: Final = tuple(  # with the emoji of a place
    Kind(
        61 + place, f"reaction {place}", Owner.THING, Owner.ACCOUNT, limits.REACTIONS_PER_NAME_MAX, Full.REFUSE,
        from_level=FROM_LEVEL,
    )
    for place in range(limits.REACTION_NAMES_MAX)
)  # fmt: skip


def _places(state: ShardState, thing_id: int) -> list[str]:
    return list(state.papers.get(PLACES, thing_id) or [FREE] * limits.REACTION_NAMES_MAX)


def react(state: ShardState, thing_id: int, name: str, account_id: int, on: bool, at_ms: int) -> bool:
    """Have an account react with an emoji, or no longer; whether that is new. One without a place changes nothing."""
    names = _places(state, thing_id)
    if on and name not in names and FREE in names:
        names[names.index(FREE)] = name
        state.papers.put(PLACES, thing_id, 0, names)
    if name not in names:
        return False
    shelf = REACTED[names.index(name)]
    if on:
        return state.shelves.put(shelf, thing_id, account_id, at_ms)
    return _take_back(state, thing_id, names, shelf, account_id)


def _take_back(state: ShardState, thing_id: int, names: list[str], shelf: Kind, account_id: int) -> bool:
    is_new = state.shelves.drop(shelf, thing_id, account_id)
    if is_new and not state.shelves.count(shelf, thing_id):
        names[REACTED.index(shelf)] = FREE
        state.papers.put(PLACES, thing_id, 0, names)
    return is_new


def forget_reactions(state: ShardState, account_id: int) -> None:
    """Take back all reactions of an account that is gone."""
    for thing_id in state.papers.dump(PLACES.number)[0].tolist():
        names = _places(state, thing_id)
        for shelf in REACTED:
            _take_back(state, thing_id, names, shelf, account_id)


def prepare_react(
    shard: Lookups, now_ms: int, thing_id: int, number: int, name: str, account_id: int, on: bool
) -> Prepared:
    """React to an announcement, or take that back; the reply is whether that changed anything.

    Raises InvalidError where an announcement has all the emojis that it may, OverloadedError if the shard has no room.
    """
    shard.require_level(FROM_LEVEL)
    if arguments.an_id(thing_id, "id") != thing_of_announcement(arguments.an_id(number, "number")):
        raise InvalidError(f"{thing_id} is not the id of announcement {number}", "id")
    if not arguments.text(name, limits.REACTION_NAME_BYTES_MAX, "name"):
        raise InvalidError("a reaction has a name", "name")
    arguments.an_id(account_id, "account_id")
    arguments.a_bool(on, "on")
    state = shard.state
    if state.shard_of_thing(thing_id) != state.shard:
        raise MovedError(f"announcement {number} is not on shard {state.shard}")
    names = _places(state, thing_id)
    has = name in names and state.shelves.contains(REACTED[names.index(name)], thing_id, account_id)
    if has == on:
        return nothing(False)
    if on:
        _require_room(shard, thing_id, names, name)
    return Prepared(["react", thing_id, name, account_id, on, now_ms], same)


def _require_room(shard: Lookups, thing_id: int, names: list[str], name: str) -> None:
    if name in names:
        shard.state.shelves.require_room(REACTED[names.index(name)], thing_id, "name")
        return
    if FREE not in names:
        raise InvalidError(f"Limit of {limits.REACTION_NAMES_MAX} different reactions reached", "name")
    names[names.index(FREE)] = name
    is_new = _is_untouched(shard.state, thing_id)
    shard.state.papers.require_room(PLACES, thing_id, len(pack_document(names)), is_new, "name")
    if not is_new:
        shard.state.shelves.require_room(REACTED[names.index(name)], thing_id, "name")


def _is_untouched(state: ShardState, thing_id: int) -> bool:
    """Whether nobody has ever reacted to an announcement."""
    return state.papers.get(PLACES, thing_id) is None


def answer_reactions(shard: Lookups, thing_id: int, account_id: int) -> list[list[Any]]:
    """How many have reacted to an announcement with what: `[[name, count, whether the account has], ...]`, by place."""
    state = shard.state
    arguments.an_id_or_zero(account_id, "account_id")
    if state.shard_of_thing(arguments.an_id(thing_id, "id")) != state.shard:
        raise MovedError(f"thing {thing_id} is not on shard {state.shard}")
    if _is_untouched(state, thing_id):
        return []
    named = [(name, shelf) for name, shelf in zip(_places(state, thing_id), REACTED, strict=True) if name != FREE]
    count, contains = state.shelves.count, state.shelves.contains
    return [[name, count(shelf, thing_id), contains(shelf, thing_id, account_id)] for name, shelf in named]


FEATURE = Feature(
    "reactions",
    kinds=REACTED,
    papers=(PLACES,),
    writes=(Write("react", prepare_react, Key.THING, keyed=False),),
    reads=(Read("reactions", answer_reactions, Key.THING),),
    commands={"react": react},
)
