"""Blocks and mutes on shelves: what is stored and given below level 1, and what a rising level makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import flags, ids
from actors.core.checkpoints.changes import Changes
from actors.core.checkpoints.snapshot import MARKS, RELATIONS
from actors.core.checkpoints.tables import TableChange
from actors.core.entries import pack, unpack
from actors.core.errors import InvalidError
from actors.core.features.blocks import BLOCK, BLOCKED_BY, MUTE
from actors.core.features.likes import LIKE
from actors.core.levels import LEVEL
from actors.core.moves import moving
from actors.core.moves.moving import PART_BYTES, Outgoing, facts
from actors.core.moves.parts import PartCheck
from actors.core.replica import Replica
from actors.core.verify import check, digest
from tests.core.harness import SMALL, Shards, memory_store

KINDS = (BLOCK, BLOCKED_BY, MUTE)


class World(Shards):
    """Two shards, three accounts on each."""

    def __init__(self, level: int = LEVEL) -> None:
        super().__init__(2, SMALL, level)
        self.people = [self.account_on(shard, index) for shard in (0, 1) for index in range(3)]
        self.register(*self.people)

    def relate(self, what: str, who: int, whom: int) -> None:
        self.now_ms += 1
        self.do(what, self.people[who], self.people[whom])

    def rise(self, shard: int) -> None:
        self.run(shard, ["level", LEVEL])
        self.exchange()

    def hidden(self) -> list[list[set[int]]]:
        """Return by account whom it blocks, who blocks it, and whom it mutes."""
        shelves = {account_id: self.state_of(account_id).shelves for account_id in self.people}
        return [[set(shelves[a].view(kind, a)[0].tolist()) for kind in KINDS] for a in self.people]


def rows_of(changes: list[TableChange], name: str) -> tuple[list[Any], list[Any]]:
    """Return the rows that a seal puts into a table and the keys that it deletes."""
    [change] = [c for c in changes if c.table.name == name] or [None]
    if change is None:
        return [], []
    return tuple(
        [tuple(row) for row in zip(*(map(int, side[c]) for c in names), strict=True)] if side else []
        for side, names in ((change.upserts, change.table.column_names), (change.deletes, change.table.key))
    )  # type: ignore[return-value]


# ---- below level 1 --------------------------------------------------------------------------------------------------


def test_at_level_0_blocks_and_mutes_are_stored_as_before_there_were_shelves():
    world = World(level=0)
    ada, bob, cid = world.people[:3]
    replica = world.replicas[0]
    world.relate("block", 0, 2)
    world.relate("mute", 0, 1)
    world.relate("block", 0, 1)
    sealed = replica.seal()
    assert rows_of(sealed, "relations") == (
        [(ada, 0, bob), (ada, 0, cid), (ada, 2, bob), (bob, 1, ada), (cid, 1, ada)],
        [],
    )
    assert rows_of(sealed, "marks") == ([], [])
    world.relate("unblock", 0, 1)
    sealed = replica.seal()
    assert rows_of(sealed, "relations") == ([], [(ada, 0, bob), (bob, 1, ada)])
    assert rows_of(sealed, "marks") == ([], [])
    commands = [unpack(record) for record in world.journals[0]]
    assert next(c for c in commands if c[0] == "relate") == ["relate", ada, "block", cid, True], "no time in it"


def test_a_rising_level_moves_them_from_their_own_table_to_that_of_marks():
    world, store = World(level=0), memory_store()
    ada, bob, cid = world.people[:3]
    for what, whom in (("mute", 2), ("mute", 1), ("block", 1)):
        world.relate(what, 0, whom)
    world.seal_into(0, store)
    world.relate("unblock", 0, 1)
    world.rise(0)
    sealed = world.replicas[0].seal()
    gone = [(ada, 0, bob), (ada, 2, bob), (ada, 2, cid), (bob, 1, ada)]
    assert rows_of(sealed, "relations") == ([], gone)
    put, deleted = rows_of(sealed, "marks")
    assert sorted(put) == [(ada, MUTE.number, bob, 1), (ada, MUTE.number, cid, 2)], "by account id: nobody knows when"
    assert sorted(deleted) == [(ada, BLOCK.number, bob), (bob, BLOCKED_BY.number, ada)]
    store.write(world.replicas[0].state.position, 1, sealed)
    assert [len(column) for column in store.load().tables["relations"].values()] == [0, 0, 0]
    before = world.hidden()
    world.restore_from(0, store)
    assert world.hidden() == before
    world.check()


ACTS = st.lists(
    st.tuples(
        st.sampled_from(("block", "block", "unblock", "mute", "unmute", "follow", "seal", "rise", "delete")),
        st.integers(0, 5), st.integers(0, 5),
    ), max_size=30,
)  # fmt: skip


@given(ACTS)
def test_whoever_restored_at_any_moment_has_what_one_has_who_never_did(acts):
    """Replicas with other checkpoints behind them are equal to the last bit, at each level and across its rise."""
    world, stores = World(level=0), [memory_store(), memory_store()]
    restored: list[tuple[int, Replica]] = []
    gone: set[int] = set()
    for what, who, whom in acts:
        if what == "seal":
            world.seal_into(who % 2, stores[who % 2])
            fresh = Replica(who % 2, world.owner, world.tuning)
            fresh.load(stores[who % 2].load())
            restored.append((who % 2, fresh))
        elif what == "rise":
            world.rise(who % 2)
        elif what == "delete":
            levels = {replica.state.level for replica in world.replicas}
            if levels == {LEVEL} and who not in gone and who != 0:
                world.do("delete_account", world.people[who])
                gone.add(who)
                while not world.run(world.shard_of(world.people[who]), ["clear_left", world.people[who], 2]):
                    world.exchange()
                world.exchange()
        elif who != whom and not {who, whom} & gone and not (what == "follow" and _blocked(world, who, whom)):
            world.relate(what, who, whom)
    world.check()
    for shard, replica in enumerate(world.replicas):
        assert digest(world.replayed(shard).state) == digest(replica.state)
    for shard, fresh in restored:
        for position, record in enumerate(world.journals[shard], start=1):
            if position > fresh.state.position:
                fresh.replay(position, record)
        assert digest(fresh.state) == digest(world.replicas[shard].state)
        assert check(fresh.state) == []


def _blocked(world: World, who: int, whom: int) -> bool:
    relations = world.hidden()[who]
    return world.people[whom] in relations[0] | relations[1]


# ---- from level 1 on ------------------------------------------------------------------------------------------------


def test_shelves_say_when_and_give_the_newest_first():
    world = World()
    ada = world.people[0]
    for whom in (4, 1, 3):
        world.relate("mute", 0, whom)
        world.relate("block", whom, 0)
    shelves = world.state_of(ada).shelves
    newest_first = [world.people[n] for n in (3, 1, 4)]
    for kind in (MUTE, BLOCKED_BY):
        keys, stamps = shelves.page(kind, ada, 0, 20)
        assert keys.tolist() == newest_first
        assert all(world.now_ms - 10 < stamp >> 16 <= world.now_ms for stamp in stamps.tolist())


def test_what_level_1_has_in_the_old_table_moves_with_the_next_seal_and_does_not_come_back():
    """As data of a version between levels and this one, which nobody was given, but a developer may have."""
    world, store = World(), memory_store()
    bob, cid = world.people[1:3]
    world.relate("mute", 0, 1)
    world.relate("mute", 0, 2)
    world.seal_into(0, store)
    stored = store.load()
    marks = stored.tables["marks"]
    relation = np.full(len(marks["owner"]), flags.MUTE, dtype=np.int32)
    rows = {"account_id": marks["owner"], "kind": relation, "other_id": marks["key"]}
    moved_back = [TableChange(MARKS, {}, {name: marks[name] for name in MARKS.key}), TableChange(RELATIONS, rows)]
    store.write(stored.position, 1, moved_back)
    world.restore_from(0, store)
    assert world.hidden()[0][2] == {bob, cid}
    world.relate("unmute", 0, 1)
    world.seal_into(0, store)
    assert len(store.load().tables["relations"]["kind"]) == 0
    world.restore_from(0, store)
    assert world.hidden()[0][2] == {cid}


def test_a_set_that_is_not_what_its_shelf_is_is_found():
    world = World()
    world.relate("mute", 0, 1)
    state = world.state_of(world.people[0])
    state.graph.relations[2][world.row_of(world.people[0])].add(99)
    assert [problem for problem in check(state) if "sets of mutes are not what is on their shelves" in problem]


# ---- moves ----------------------------------------------------------------------------------------------------------


def take(world: World, outgoing: Outgoing, parts: list[bytes]) -> None:
    """Have the second shard take parts, each checked first as a request is."""
    state = world.replicas[1].state
    for part in parts:
        PartCheck(state.people.away, state.incoming.buckets).check(part)
        world.run(1, ["take_part", outgoing.number, part])


@pytest.mark.parametrize("taker_level", [0, LEVEL])
@pytest.mark.parametrize("giver_level", [0, LEVEL])
@pytest.mark.parametrize("rises", [False, True], ids=["as it is", "rising meanwhile"])
def test_what_changes_while_an_account_is_given_is_given_as_well(giver_level, taker_level, rises, monkeypatch):
    monkeypatch.setattr(moving, "MARKS_OF_PART", 1)
    world = World(level=0)
    ada, bucket = world.people[0], ids.bucket_of_account(world.people[0])
    tweets = [world.post(world.people[3]) for _ in range(3)]
    for what, whom in (("block", 1), ("mute", 4), ("mute", 5)):
        world.relate(what, 0, whom)
    world.do("like", ada, tweets[0])
    for shard, level in enumerate((giver_level, taker_level)):
        if level:
            world.rise(shard)
    giver, taker = (replica.state for replica in world.replicas)
    outgoing = giver.outgoing = Outgoing(giver, 1, [bucket])
    world.run(1, ["take", 1, [bucket]])
    giver.changes = Changes()
    take(world, outgoing, list(iter(outgoing.part, b"")))
    for what, whom in (("unmute", 5), ("block", 3), ("unblock", 1), ("mute", 2)):
        world.relate(what, 0, whom)
    world.do("unlike", ada, tweets[0])
    for tweet_id in tweets[1:]:
        world.do("like", ada, tweet_id)
    take(world, outgoing, list(iter(outgoing.tail, b"")))
    for shard in (0, 1) if rises else ():
        world.rise(shard)
    world.relate("mute", 0, 3)
    take(world, outgoing, list(iter(outgoing.tail, b"")))
    for kind in world.replicas[0].state.shelves.kinds_of(BLOCK.owner):
        keys = [state.shelves.view(kind, ada)[0].tolist() for state in (giver, taker)]
        assert sorted(keys[0]) == sorted(keys[1]), kind.name
    assert taker.graph.hidden(taker.people.away[ada]).tolist() == giver.graph.hidden(giver.people.row_of[ada]).tolist()
    if giver.level == taker.level:
        assert facts(giver, [ada], outgoing.buckets) == facts(taker, [ada], outgoing.buckets)
    assert check(taker) == []


@pytest.mark.parametrize("level", [0, LEVEL])
def test_a_like_or_a_mute_alone_is_given_as_well(level):
    for op in ("like", "mute"):
        world = World(level=level)
        ada, target = world.people[0], world.post(world.people[3]) if op == "like" else world.people[3]
        giver, taker = (replica.state for replica in world.replicas)
        outgoing = giver.outgoing = Outgoing(giver, 1, [ids.bucket_of_account(ada)])
        world.run(1, ["take", 1, outgoing.buckets])
        giver.changes = Changes()
        take(world, outgoing, list(iter(outgoing.part, b"")))
        world.do(op, ada, target)
        take(world, outgoing, list(iter(outgoing.tail, b"")))
        kind = LIKE if op == "like" else MUTE
        assert taker.shelves.view(kind, ada)[0].tolist() == [target]
        assert facts(giver, [ada], outgoing.buckets) == facts(taker, [ada], outgoing.buckets)


@pytest.mark.parametrize("level", [0, LEVEL])
def test_an_accounts_item_is_that_of_before_shelves_at_level_0_and_says_none_of_them_later(level):
    world = World(level=level)
    ada, bob, cid = world.people[:3]
    tweet = world.post(world.people[3])
    world.relate("block", 0, 2)
    world.relate("block", 1, 0)
    world.relate("mute", 0, 1)
    world.do("like", ada, tweet)
    state = world.replicas[0].state
    items = unpack(Outgoing(state, 1, [ids.bucket_of_account(ada)]).part())
    assert PART_BYTES > 1000, "all of it is in one part"
    [item] = [fields for name, *fields in items if name == "account"]
    assert item[3:] == ([[[cid], [bob], [bob]], [tweet]] if level == 0 else [None, None])
    assert facts(state, [ada], [ids.bucket_of_account(ada)])[-1] == (1 if level == 0 else 4), (
        "older code has counted likes alone"
    )
    marks = [fields[0] for name, *fields in items if name == "marks"]
    assert marks == ([] if level == 0 else [LIKE.number, BLOCK.number, BLOCKED_BY.number, MUTE.number])


@pytest.mark.parametrize(
    ("relations", "likes"),
    [([[3], [], [3, 3]], []), ([[], [], []], [5, 5]), ([[], []], []), ([[], [], [], []], []), ([[0], [], []], []),
     (7, [])],
    ids=["one twice", "a like twice", "two kinds", "four kinds", "no id", "no list"],
)  # fmt: skip
def test_an_accounts_item_with_nonsense_is_refused(relations, likes):
    world = World(level=0)
    account = world.state_of(world.people[0]).people.accounts[0]
    part = pack([["account", account.to_row(), 0, None, relations, likes]])
    with pytest.raises(InvalidError):
        PartCheck({}, frozenset(range(1024))).check(part)
