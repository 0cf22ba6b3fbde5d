"""Lists: some of those whom an account follows, under a name, with a timeline of their own.

    put_list, drop_list --> a thing of the account (the document that founds it), and a mark of it on its shelf
    set_members         --> marks of the thing: accounts
    a list's timeline   --> `timelines/list_timelines.py`: the account's home timeline, of members only

Rules of this file
- A member is somebody whom the account follows, or itself. With the edge he goes from its lists (`list_members.py`),
  also when he, or a block, has taken it, or his account is gone; to follow him again puts him on none.
- Nobody but its account is told of a list, not even its members.
- Of an exclusive list's members home leaves out what they write and repost, not what others repost of theirs, and
  nothing of the account's own (`timelines/wishes.py`). Lists' timelines have it, that of another list as well.
- From level 3 of the cluster on.

Costs: 150 bytes a list, 18 a member; whether somebody is in one of 100 lists 0.5 ms at worst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core import arguments, flags, limits
from actors.core.entries import unpack
from actors.core.errors import InvalidError, NotFoundError
from actors.core.features.list_members import MEMBER, OWN_LIST_NUMBER
from actors.core.stores.papers import pack_document
from actors.core.terms import Feature, Kind, Owner, PaperKind, Prepared, Read, Write, nothing

if TYPE_CHECKING:
    from actors.core.lookups import Lookups
    from actors.core.state import ShardState

POLICIES: Final = ("followed", "list", "none")  # whom a member may answer to be shown, by number, for ever
Ints = npt.NDArray[np.int64]


class ListFacts(NamedTuple):
    """The document of a list: its first facts in this order, for ever; later versions may add some at the end.

    policy: number in POLICIES; exclusive: whether home leaves its members out.
    """

    title: str
    policy: int
    exclusive: bool


def read_list(document: Any) -> ListFacts:
    """Return what a document says, whichever version wrote it."""
    return ListFacts(*document[: len(ListFacts._fields)])


def check_list(document: Any) -> None:
    """Refuse what is no list. Raises RookeryError."""
    facts = read_list(document)
    if not arguments.text(facts.title, limits.LIST_TITLE_BYTES_MAX, "title").strip():
        raise InvalidError("a list must have a title", "title")
    arguments.whole(facts.policy, 0, len(POLICIES) - 1, "replies_policy")
    arguments.a_bool(facts.exclusive, "exclusive")


def _end_list(state: ShardState, account_id: int, list_id: int, at_ms: int) -> None:
    """An account that goes takes its lists along."""
    state.shelves.drop_paper(LIST, list_id, 0)


LIST: Final = PaperKind(38, "list", Owner.THING, 1, check_list, from_level=3, founds=True)
OWN_LIST: Final = Kind(
    OWN_LIST_NUMBER, "list", Owner.ACCOUNT, Owner.THING, limits.LISTS_COUNT_MAX, from_level=3, left=_end_list
)  # fmt: skip


EXCLUSIVE: Final = Kind(
    17, "exclusive list", Owner.ACCOUNT, Owner.THING, limits.LISTS_COUNT_MAX, from_level=3,
    relation=flags.EXCLUSIVE_LISTS,
)  # fmt: skip


def put_list(state: ShardState, account_id: int, list_id: int, packed: bytes, at_ms: int) -> bool:
    """Keep a list of an account's, a new one or with other facts."""
    if not state.papers.put_packed(LIST, list_id, 0, packed):
        return False
    state.shelves.put(OWN_LIST, account_id, list_id, at_ms)
    if read_list(unpack(packed)).exclusive:
        state.shelves.put(EXCLUSIVE, account_id, list_id, at_ms)
    else:
        state.shelves.drop(EXCLUSIVE, account_id, list_id)
    return True


def drop_list(state: ShardState, account_id: int, list_id: int) -> bool:
    """Forget a list, with its members; returns whether there was one."""
    state.shelves.drop(EXCLUSIVE, account_id, list_id)
    state.shelves.drop(OWN_LIST, account_id, list_id)
    return state.shelves.drop_paper(LIST, list_id, 0)


def set_members(state: ShardState, list_id: int, account_ids: list[int], on: bool, at_ms: int) -> int:
    """Put accounts on a list, or take them off; returns how many that were."""
    if on:
        return sum(state.shelves.put(MEMBER, list_id, account_id, at_ms) for account_id in account_ids)
    return sum(state.shelves.drop(MEMBER, list_id, account_id) for account_id in account_ids)


def prepare_put_list(
    shard: Lookups, now_ms: int, account_id: int, list_id: int, title: str, policy: int, exclusive: bool
) -> Prepared:
    """Make a list (list_id 0), or change one; the reply is `[list_id, *facts]`, as in `lists`.

    Raises InvalidError, TooLargeError; NotFoundError for one that isn't the account's; OverloadedError.
    """
    shard.require_level(LIST.from_level)
    shard.row(account_id)
    facts = ListFacts(title, policy, exclusive)
    check_list(list(facts))
    if arguments.an_id_or_zero(list_id, "id"):
        if own_list(shard, account_id, list_id) == facts:
            return nothing([list_id, *facts])
    else:
        shard.state.shelves.require_room(OWN_LIST, account_id, "title")
        list_id = shard.next_thing_id(account_id, now_ms)
    packed = pack_document(list(facts))
    shard.state.papers.require_room(LIST, list_id, len(packed), False, "title")
    return Prepared(["put_list", account_id, list_id, packed, now_ms], lambda _: [list_id, *facts])


def prepare_drop_list(shard: Lookups, now_ms: int, account_id: int, list_id: int) -> Prepared:
    """Forget a list of the account's; the reply is whether there was one. Raises NotFoundError."""
    shard.require_level(LIST.from_level)
    shard.row(account_id)
    own_list(shard, account_id, list_id)
    return Prepared(["drop_list", account_id, list_id], lambda _: True)


def prepare_set_members(
    shard: Lookups, now_ms: int, account_id: int, list_id: int, account_ids: list[int], on: bool
) -> Prepared:
    """Put accounts on a list of the account's, or take them off; the reply is how many that were.

    Raises NotFoundError for a list that isn't the account's, or somebody whom it doesn't follow; InvalidError where the
    list is full; OverloadedError.
    """
    shard.require_level(MEMBER.from_level)
    row = shard.row(account_id)
    own_list(shard, account_id, list_id)
    chosen = list(dict.fromkeys(arguments.id_list(account_ids, limits.LIST_CHANGES_COUNT_MAX, "account_ids")))
    shelves = shard.state.shelves
    if type(on) is not bool:
        raise InvalidError(f"on must be true or false, not {arguments.shown(on)}", "on")
    changed = [each for each in chosen if shelves.contains(MEMBER, list_id, each) != on]
    if on:
        for each in changed:
            if each != account_id and not shard.state.graph.following.contains(row, each):
                raise NotFoundError(f"you don't follow account {each}", "account_ids")
        if changed:
            shelves.require_room(MEMBER, list_id, "account_ids")
        if shelves.count(MEMBER, list_id) + len(changed) > MEMBER.limit:
            raise InvalidError(f"a list may have {MEMBER.limit} members", "account_ids")
    if not changed:
        return nothing(0)
    return Prepared(["set_members", list_id, changed, on, now_ms], lambda count: count)


def own_list(shard: Lookups, account_id: int, list_id: int) -> ListFacts:
    """Return a list of an account's. Raises NotFoundError, also for somebody else's."""
    arguments.an_id(list_id, "id")
    document = None
    if shard.state.shelves.contains(OWN_LIST, account_id, list_id):
        document = shard.state.papers.get(LIST, list_id)
    if document is None:
        raise NotFoundError(f"list {list_id} does not exist (any more)", "id")
    return read_list(document)


def answer_lists(shard: Lookups, account_id: int) -> list[list[Any]]:
    """All lists of an account, for the account itself alone, the oldest first: `[[list_id, *facts], ...]`."""
    shard.row(account_id)
    own = shard.state.shelves.view(OWN_LIST, account_id)[0].tolist()
    return [[list_id, *own_list(shard, account_id, list_id)] for list_id in sorted(own)]


def answer_members(shard: Lookups, account_id: int, list_id: int, before: int, count: int) -> list[Any]:
    """A page of who is on a list, the last added first: `[account ids, stamp to go on before, or 0]`.

    For the list's account alone. Who isn't followed any more is left out, so a page may have fewer. Raises
    NotFoundError.
    """
    row = shard.row(account_id)
    own_list(shard, account_id, list_id)
    keys, going_on = shard.page(MEMBER, list_id, before, count)
    following = shard.state.graph.following
    return [[each for each in keys if each == account_id or following.contains(row, each)], going_on]


def answer_lists_with(shard: Lookups, account_id: int, member: int) -> list[list[Any]]:
    """The lists of an account that somebody is on, as in `lists`; for the account itself alone."""
    row = shard.row(account_id)
    arguments.an_id(member, "id")
    if member != account_id and not shard.state.graph.following.contains(row, member):
        return []
    shelves = shard.state.shelves
    own = shelves.view(OWN_LIST, account_id)[0].tolist()
    with_member = [list_id for list_id in sorted(own) if shelves.contains(MEMBER, list_id, member)]
    return [[list_id, *own_list(shard, account_id, list_id)] for list_id in with_member]


FEATURE = Feature(
    "lists",
    kinds=(MEMBER, OWN_LIST, EXCLUSIVE),
    papers=(LIST,),
    writes=(
        Write("put_list", prepare_put_list),
        Write("drop_list", prepare_drop_list),
        Write("set_members", prepare_set_members),
    ),
    reads=(
        Read("lists", answer_lists),
        Read("members", answer_members),
        Read("lists_with", answer_lists_with),
    ),
    commands={"put_list": put_list, "drop_list": drop_list, "set_members": set_members},
)
