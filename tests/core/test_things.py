"""Things (lists, filters, apps): owners beside accounts and tweets, with shelves and papers as theirs.

No kinds of the product are used here, but some of a test's own, so that each form is met: a document that founds, one
that falls due, marks of a thing, and an account's marks of its things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core import apply, ids
from actors.core.arguments import text
from actors.core.entries import pack, unpack
from actors.core.errors import InvalidError, MovedError, NotFoundError, RookeryError
from actors.core.features import COMMANDS, KINDS, PAPER_KINDS
from actors.core.features.operators import referred
from actors.core.levels import LEVEL
from actors.core.moves import moving
from actors.core.replica import Replica
from actors.core.state import ShardState
from actors.core.stores.papers import pack_document
from actors.core.terms import THINGS_FROM_LEVEL, Full, Kind, Owner, PaperKind
from actors.core.verify import check, digest
from cluster.placement import rebalancing
from tests.core.harness import NOW_MS, SMALL, Shards, memory_store
from tests.core.test_moving import Moving

FIRED: list[tuple[int, int]] = []


def check_note(document: Any) -> None:
    """A note says when it is due, and something."""
    due_ms, said = document
    assert type(due_ms) is int
    text(said, 100, "note")


def note_fell_due(state: ShardState, owner: int, key: int, document: Any) -> None:
    """A note whose time has come leaves a trace outside of the state, for the test to see."""
    FIRED.append((owner, key))


def drop_list(state: ShardState, account_id: int, thing_id: int, at_ms: int) -> None:
    """An account that goes takes its lists along."""
    state.shelves.drop_paper(LIST, thing_id, 0)


LIST = PaperKind(901, "list", Owner.THING, 1, lambda d: text(d, 100, "name"), from_level=THINGS_FROM_LEVEL, founds=True)
APP = PaperKind(902, "other", Owner.THING, 1, lambda d: text(d, 100, "name"), from_level=THINGS_FROM_LEVEL, founds=True)
NOTE = PaperKind(
    903, "note", Owner.THING, 3, check_note, lambda d: d[0], None, note_fell_due, from_level=THINGS_FROM_LEVEL
)
MEMBER = Kind(904, "member", Owner.THING, Owner.ACCOUNT, 5, Full.OLDEST, from_level=THINGS_FROM_LEVEL)
LISTS = Kind(905, "own list", Owner.ACCOUNT, Owner.THING, 5, from_level=THINGS_FROM_LEVEL, left=drop_list)


def make(state: ShardState, account_id: int, thing_id: int, name: str, at_ms: int) -> bool:
    """Make a list of an account, or give it another name."""
    state.shelves.put(LISTS, account_id, thing_id, at_ms)
    return state.papers.put(LIST, thing_id, 0, name)


OF_THE_TEST: dict[str, Callable[..., Any]] = {
    "make": make,
    "make_other": lambda state, thing, name: state.papers.put(APP, thing, 0, name),
    "end": lambda state, thing: state.shelves.drop_paper(LIST, thing, 0),
    "note": lambda state, thing, key, due_ms, said: state.papers.put(NOTE, thing, key, [due_ms, said]),
    "unnote": lambda state, thing, key: state.shelves.drop_paper(NOTE, thing, key),
    "member": lambda state, thing, account, at_ms: state.shelves.put(MEMBER, thing, account, at_ms),
    "unmember": lambda state, thing, account: state.shelves.drop(MEMBER, thing, account),
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let replicas know the kinds and commands of this file."""
    for paper in (LIST, APP, NOTE):
        monkeypatch.setitem(PAPER_KINDS, paper.number, paper)  # type: ignore[arg-type]
    for mark in (MEMBER, LISTS):
        monkeypatch.setitem(KINDS, mark.number, mark)  # type: ignore[arg-type]
    for name, command in OF_THE_TEST.items():
        monkeypatch.setitem(apply.COMMANDS, name, command)  # type: ignore[arg-type]
    FIRED.clear()


class World(Moving):
    """Two shards whose buckets move, with accounts and their things."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(count)
        self.here = [self.account_on(0, i) for i in range(3)]
        self.there = [self.account_on(1, i) for i in range(2)]
        self.register(*self.here, *self.there)

    def run_thing(self, name: str, thing: int, *facts: Any) -> Any:
        return self.run(self.of(thing), [name, thing, *facts])

    def of(self, thing: int) -> int:
        return self.owner[ids.bucket_of_thing(thing)]

    def list_of(self, account: int, name: str = "friends") -> int:
        """Make a list of an account; return its id."""
        self.now_ms += 1
        shard = self.shard_of(account)
        thing = self.replicas[shard].lookups.next_thing_id(account, self.now_ms)
        assert self.run(shard, ["make", account, thing, name, self.now_ms])
        return thing

    def member(self, thing: int, account: int) -> Any:
        self.now_ms += 1
        return self.run_thing("member", thing, account, self.now_ms)

    def all_of(self, thing: int, shard: int | None = None) -> list[Any]:
        """Everything that a thing is, where it belongs or on a given shard."""
        state = self.replicas[self.of(thing) if shard is None else shard].state
        papers = [[[key, state.papers.get(kind, thing, key)] for key in state.papers.keys(kind, thing)]
                  for kind in (LIST, APP, NOTE)]  # fmt: skip
        return [papers, [side.tolist() for side in state.shelves.view(MEMBER, thing)], state.things.find(thing)]

    def fall_due(self, now_ms: int) -> None:
        for shard, replica in enumerate(self.replicas):
            while (command := replica.due_command(now_ms)) is not None:
                self.run(shard, command)


NOTHING = [[[], [], []], [[], []], None]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.sweep()
    made.check()
    for shard in (0, 1):
        assert digest(made.replayed(shard).state) == digest(made.replicas[shard].state)
        store = memory_store()
        before = digest(made.replicas[shard].state)
        made.seal_into(shard, store)
        assert digest(made.restore_from(shard, store).state) == before
    made.check()


def test_an_id_of_a_thing_has_its_bucket_where_a_tweet_has_it():
    assert ids.bucket_of_thing(ids.make_tweet_id(NOW_MS, 777, 3)) == 777
    named = [ids.thing_of_name(f"client {i}") for i in range(2_000)]
    assert len(set(named)) == 2_000
    assert all(ids.NAMED_THING <= thing <= ids.ID_MAX for thing in named)
    many = ids.buckets_of_things(np.array(named))
    assert many.tolist() == [ids.bucket_of_thing(thing) for thing in named]
    assert len(set(many.tolist())) > 800, "they spread over the buckets"
    assert ids.thing_of_name("client 7") == named[7], "whoever knows the name knows the id"


def test_an_id_that_was_drawn_for_a_thing_is_no_tweets_and_no_other_things(world):
    account = world.here[0]
    tweet = world.post(account)
    things = [world.list_of(account) for _ in range(2)]
    assert len({*things, tweet}) == 3
    assert {ids.bucket_of_thing(thing) for thing in things} == {ids.bucket_of_account(account)}
    other = world.replayed(0)  # another leader, which has drawn none of them itself
    drawn = [other.lookups.next_thing_id(account, NOW_MS) for _ in range(3)]
    assert min(drawn) > max(*things, tweet)


def test_a_named_thing_leaves_the_clock_of_tweets_alone(world):
    thing = next(t for t in (ids.thing_of_name(f"app {i}") for i in range(99)) if world.of(t) == 0)
    world.run_thing("make_other", thing, "an app")
    assert ids.bucket_of_thing(thing) not in world.replicas[0].state.clock.last


def test_a_thing_is_here_while_it_has_what_founds_it(world):
    account = world.here[0]
    unknown = world.replicas[0].lookups.next_thing_id(account, NOW_MS)
    assert not world.member(unknown, world.there[0])
    assert not world.run_thing("note", unknown, 1, 0, "of nobody")
    assert world.all_of(unknown) == NOTHING
    thing = world.list_of(account)
    assert world.member(thing, world.there[0])
    assert world.run_thing("note", thing, 1, 0, "a note")
    lookups = world.replicas[0].lookups
    assert lookups.thing(LIST, thing) == "friends"
    assert world.run_thing("end", thing)
    assert world.all_of(thing) == NOTHING
    assert not world.run_thing("end", thing)
    with pytest.raises(NotFoundError, match=r"list .* does not exist"):
        lookups.thing(LIST, thing)


def test_a_thing_that_another_shard_has_is_asked_for_there(world):
    thing = world.list_of(world.there[0])
    with pytest.raises(MovedError):
        world.replicas[0].lookups.thing(LIST, thing)
    assert world.replicas[1].lookups.thing(LIST, thing) == "friends"


def test_a_thing_is_of_one_kind(world):
    thing = world.list_of(world.here[0])
    world.member(thing, world.there[0])
    before = world.all_of(thing)
    assert not world.run_thing("make_other", thing, "an app")
    assert not world.replicas[0].state.shelves.drop_paper(APP, thing, 0)
    assert world.all_of(thing) == before


def test_what_founds_a_thing_is_not_taken_away_by_itself(world):
    thing = world.list_of(world.here[0])
    with pytest.raises(ValueError, match=r"use Shelves\.drop_paper"):
        world.replicas[0].state.papers.drop(LIST, thing, 0)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (PaperKind(990, "x", Owner.ACCOUNT, 1, len, founds=True), "a x founds nothing"),
        (PaperKind(990, "x", Owner.THING, 2, len, founds=True), "a x founds nothing"),
    ],
    ids=["of an account", "several"],
)
def test_only_one_document_of_a_thing_founds_it(world, kind, said):
    with pytest.raises(ValueError, match=said):
        world.replicas[0].state.papers.declare([kind])


def test_shelves_of_things_are_never_dense(world):
    with pytest.raises(ValueError, match="can't be dense"):
        world.replicas[0].state.shelves.declare([Kind(990, "x", Owner.THING, Owner.TWEET, 1, dense=True)])


def test_limits_are_named_by_whose_they_are(world):
    thing = world.list_of(world.here[0])
    for key in range(3):
        world.run_thing("note", thing, key, 0, "x")
    with pytest.raises(InvalidError, match="a thing may have 3 notes; take some back"):
        world.replicas[0].state.papers.require_room(NOTE, thing, 1, True, "id")


def test_what_falls_due_of_a_thing_does_so_once_where_the_thing_is(world):
    thing = world.list_of(world.here[0])
    world.run_thing("note", thing, 1, NOW_MS + 10, "early")
    world.run_thing("note", thing, 2, NOW_MS + 20, "late")
    world.fall_due(NOW_MS + 10)
    assert [(thing, 1)] == FIRED
    world.move(1, world.here[0])
    world.fall_due(NOW_MS + 30)
    assert [(thing, 1), (thing, 2)] == FIRED
    assert world.all_of(thing)[0] == [[[0, "friends"]], [], []]


def test_members_are_among_those_whom_a_shard_refers_to(world):
    thing = world.list_of(world.here[0])
    world.member(thing, world.there[1])
    found = np.frombuffer(referred(world.replicas[0].lookups, 0, ids.BUCKET_COUNT), dtype="<i8").tolist()
    assert world.there[1] in found


def test_an_account_that_goes_takes_its_things_along(world):
    thing, kept = world.list_of(world.here[0]), world.list_of(world.here[1])
    world.member(thing, world.there[0])
    world.do("delete_account", world.here[0])
    while (command := world.replicas[0].leavings.next_piece()) is not None:
        world.run(0, command)
        world.exchange()
    assert world.all_of(thing) == NOTHING
    assert world.all_of(kept)[0][0] == [[0, "friends"]]


@pytest.mark.parametrize("part_bytes", [200, 1 << 18])
def test_things_move_with_their_buckets_and_back(world, part_bytes, monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", part_bytes)
    account = world.here[0]
    things = [world.list_of(account) for _ in range(3)]
    for thing in things[:2]:
        for member in (*world.there, world.here[1]):
            world.member(thing, member)
        world.run_thing("note", thing, 4, 0, "x" * 90)
    before = [world.all_of(thing) for thing in things]
    world.move(1, account)
    assert [world.of(thing) for thing in things] == [1, 1, 1]
    assert [world.all_of(thing) for thing in things] == before
    world.check()
    world.sweep()
    assert [world.all_of(thing, 0) for thing in things] == [NOTHING] * 3
    world.move(0, account)
    world.sweep()
    assert [world.all_of(thing) for thing in things] == before
    assert [world.all_of(thing, 1) for thing in things] == [NOTHING] * 3


@pytest.mark.parametrize("part_bytes", [200, 1 << 18])
def test_what_changes_of_things_while_they_move_moves_along(world, part_bytes, monkeypatch):
    monkeypatch.setattr(moving, "PART_BYTES", part_bytes)
    account, member = world.here[0], world.there[0]
    things = [world.list_of(account) for _ in range(6)]
    for thing in things:
        for key in range(3):
            world.run_thing("note", thing, key, 0, "early")
        world.member(thing, world.there[1])
    ended: list[int] = []
    last: dict[int, Any] = {}

    def between() -> None:
        if any(replica.state.frozen for replica in world.replicas):
            return
        made = world.list_of(account, "late")
        world.member(made, member)
        world.run_thing("note", made, 0, 0, "late")
        things.append(made)
        if len(things) > 6:
            ended.append(things.pop(0))
            world.run_thing("end", ended[-1])
        for thing in things[:-1]:
            world.run(world.of(thing), ["make", account, thing, f"name {len(ended)}", world.now_ms])
            world.run_thing("unnote", thing, things.index(thing) % 2)
            world.run_thing("note", thing, 2, 0, f"late {len(ended)}")
            world.run_thing("unmember", thing, world.there[1])
            world.member(thing, world.here[1])
        last.clear()
        last.update((thing, world.all_of(thing)) for thing in things)

    world.between = between
    world.move(1, account)
    world.between = lambda: None
    assert len(ended) > 1, "things came and went meanwhile"
    world.sweep()
    assert {thing: world.all_of(thing, 1) for thing in things} == last
    assert sorted(world.replicas[1].state.things.kind_of) == sorted(things)
    assert [world.all_of(thing, 1) for thing in ended] == [NOTHING] * len(ended)


def test_a_bucket_that_has_nothing_but_a_thing_moves_too(world):
    thing = next(t for t in (ids.thing_of_name(f"app {i}") for i in range(99)) if world.of(t) == 0)
    world.run_thing("make_other", thing, "an app")
    world.carry_out(moving_of(world, 0, 1, [ids.bucket_of_thing(thing)]))
    assert world.of(thing) == 1
    assert world.all_of(thing)[0] == [[], [[0, "an app"]], []]


def moving_of(world: World, source: int, target: int, buckets: list[int]) -> Any:
    return rebalancing.move(source, target, buckets, world.now)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("make", "rename", "end", "member", "unmember", "note", "unnote", "wait", "seal")),
        st.integers(0, 5), st.integers(0, 4),
    ), max_size=40,
)  # fmt: skip


class Twin:
    """What the things are, as dictionaries."""

    def __init__(self) -> None:
        self.things: dict[int, tuple[str, list[int], dict[int, Any]]] = {}
        self.made: list[int] = []

    def all_of(self, thing: int) -> list[Any]:
        if thing not in self.things:
            return [NOTHING[0], [], None]
        name, members, notes = self.things[thing]
        return [[[[0, name]], [], [[key, (0, said)] for key, said in sorted(notes.items())]], members, thing]


def change(world: World, twin: Twin, what: str, which: int, value: int) -> None:
    """Do one of CHANGES on both sides, as far as there is something to do it to."""
    if what == "make":
        twin.made.append(world.list_of(world.here[value % 2], f"list {which}"))
        twin.things[twin.made[-1]] = (f"list {which}", [], {})
    if not twin.made or what in ("make", "wait", "seal"):
        return
    thing = twin.made[which % len(twin.made)]
    _, members, notes = twin.things.get(thing, ("", [], {}))
    account = world.here[1] if value == 4 else [*world.here[1:], *world.there][value]
    if what == "rename" and thing in twin.things:
        owner = next(a for a in world.here[:2] if ids.bucket_of_account(a) == ids.bucket_of_thing(thing))
        world.run(world.of(thing), ["make", owner, thing, f"name {value}", world.now_ms])
        twin.things[thing] = (f"name {value}", members, notes)
    elif what == "end":
        world.run_thing("end", thing)
        twin.things.pop(thing, None)
    elif what == "member":
        world.member(thing, account)
        if thing in twin.things and account not in members:
            members.append(account)
    elif what == "unmember":
        world.run_thing("unmember", thing, account)
        if account in members:
            members.remove(account)
    elif what == "note":
        world.run_thing("note", thing, value, 0, f"note {which}")
        if thing in twin.things:
            notes[value] = f"note {which}"
    elif what == "unnote":
        world.run_thing("unnote", thing, value)
        notes.pop(value, None)


def is_equal(world: World, twin: Twin) -> bool:
    """Whether the shards' things are the twin's, and nobody keeps anything of one that is gone."""
    found = [world.all_of(thing) for thing in twin.made]
    return [[papers, marks[0], here] for papers, marks, here in found] == [twin.all_of(t) for t in twin.made]


@given(CHANGES, CHANGES, st.sampled_from([150, 400, 1 << 18]))
@settings(deadline=None)
def test_things_that_change_while_they_move_are_those_of_a_dictionary(early, meanwhile, part_bytes):
    world, twin, stores = World(), Twin(), [memory_store(), memory_store()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "PART_BYTES", part_bytes)
        for step in early:
            change(world, twin, *step)
            if step[0] == "seal":
                world.seal_into(step[1] % 2, stores[step[1] % 2])
        left = iter(meanwhile)

        def between() -> None:
            step = next(left, None)
            if step is not None and not any(r.state.frozen for r in world.replicas):
                change(world, twin, *step)

        world.between = between
        world.move(1, *world.here[:2])
        world.between = lambda: None
    for step in left:
        change(world, twin, *step)
    world.sweep()
    assert is_equal(world, twin)
    world.check()
    for shard in (0, 1):
        before = digest(world.replicas[shard].state)
        assert digest(world.replayed(shard).state) == before
        world.seal_into(shard, stores[shard])
        assert digest(world.restore_from(shard, stores[shard]).state) == before
    assert is_equal(world, twin)
    world.check()


def expect(world: World, bucket: int) -> None:
    """Have shard 1 expect a bucket, by the number 7."""
    while world.ask(1, "take", 7, [bucket]) is not True:
        world.sweep()


def give_all(world: World, bucket: int) -> None:
    """Give a bucket of shard 0 to shard 1, up to before it is decided."""
    expect(world, bucket)
    world.ask(0, "give", 7, [bucket])
    while part := world.ask(0, "give_part", 7):
        assert world.ask(1, "take_part", 7, part) is True


def test_a_taker_forgets_things_of_a_move_that_was_given_up(world):
    thing = world.list_of(world.here[0])
    world.member(thing, world.there[0])
    give_all(world, ids.bucket_of_thing(thing))
    assert world.ask(0, "given", 7) == world.ask(1, "taken", 7)
    assert world.all_of(thing, 1) == world.all_of(thing)
    assert isinstance(world.ask(1, "take", 8, []), RookeryError), "it has to forget first"
    world.sweep()
    assert world.all_of(thing, 1) == NOTHING
    assert world.all_of(thing)[1][0] == [world.there[0]]


def test_a_taker_that_lacks_a_mark_of_a_thing_is_found_out(world):
    thing = world.list_of(world.here[0])
    world.member(thing, world.there[0])
    give_all(world, ids.bucket_of_thing(thing))
    world.run(1, ["unmember", thing, world.there[0]])
    assert world.ask(0, "given", 7) != world.ask(1, "taken", 7)


def test_a_later_leader_forgets_things_that_have_left(world):
    account = world.here[0]
    thing = world.list_of(account)
    world.move(1, account)
    again = Replica(0, [bucket % 2 for bucket in range(ids.BUCKET_COUNT)], SMALL)
    for position, record in enumerate(world.journals[0], start=1):
        if unpack(record)[0] == "sweep":
            break
        again.replay(position, record)
    for account_id in list(again.state.people.away):  # nothing but the thing is left to forget
        again.command(["sweep", [account_id], [], []])
    assert again.state.things.find(thing) == thing
    again.mover.lead()
    while again.mover.sweeping:
        command = again.mover.sweep_step()
        if command is not None:
            again.command(command)
    assert again.state.things.find(thing) is None
    assert check(again.state) == []


@pytest.mark.parametrize(
    "item",
    [
        ["papers", 901, 0, True, []],
        ["papers", 901, ids.make_tweet_id(NOW_MS, 5, 0), True, []],
        ["papers", 901, "mine", True, [[3, pack_document("x")]]],
        ["papers", 901, "mine", True, [[0, pack_document(5)]]],
        ["marks", 904, ids.make_tweet_id(NOW_MS, 5, 0), 0, b"", b""],
    ],
    ids=["no id", "another bucket", "another key", "no list", "marks of another bucket"],
)
def test_parts_with_things_that_make_no_sense_are_refused(world, item):
    mine = ids.make_tweet_id(NOW_MS, ids.bucket_of_account(world.here[0]), 0)
    item = [mine if field == "mine" else field for field in item]
    expect(world, ids.bucket_of_account(world.here[0]))
    assert isinstance(world.ask(1, "take_part", 7, pack([item])), RookeryError)


def test_parts_whose_things_nothing_founds_leave_nothing(world):
    mine = ids.make_tweet_id(NOW_MS, ids.bucket_of_account(world.here[0]), 0)
    expect(world, ids.bucket_of_account(world.here[0]))
    eight = (5).to_bytes(8, "little")
    part = [["marks", 904, mine, 0, eight, eight], ["papers", 903, mine, True, [[1, pack_document([0, "x"])]]]]
    assert world.ask(1, "take_part", 7, pack(part)) is True
    assert world.all_of(mine, 1) == NOTHING
    world.ask(1, "take", 8, [])
    world.sweep()


def test_below_their_level_things_leave_no_trace_in_a_digest(monkeypatch):
    known = Shards(2, SMALL, THINGS_FROM_LEVEL - 1)
    for number in (LIST.number, APP.number, NOTE.number):
        monkeypatch.delitem(PAPER_KINDS, number)  # type: ignore[arg-type]
    unknown = Shards(2, SMALL, THINGS_FROM_LEVEL - 1)
    assert known.digests() == unknown.digests()
    for world in (known, unknown):
        for shard in (0, 1):
            world.run(shard, ["level", LEVEL])
    assert known.digests() != unknown.digests()


def test_check_tells_of_things_that_nothing_founds(world):
    state = world.replayed(0).state
    state.things.add(world.replicas[0].lookups.next_thing_id(world.here[0], NOW_MS), LIST.number)
    assert any("1 things are here, but 0 have a document that founds them" in problem for problem in check(state))


def test_the_commands_of_this_file_are_no_ones_else():
    assert not OF_THE_TEST.keys() & COMMANDS.keys()
