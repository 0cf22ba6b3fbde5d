"""What a shard knows of accounts of other shards: the cache, beside a plain twin, and how it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import shape_table
from actors.core.cards import (
    CARD_BYTES_MAX,
    CARD_BYTES_MEAN_MAX,
    FRESH_MS,
    NOBODY,
    Cards,
    check_card,
    pack_card,
    read_card,
)
from actors.core.errors import InvalidError, MalformedError, OverloadedError, RookeryError
from actors.core.features.cards import learn_accounts, tend_cards
from actors.core.levels import LEVEL
from actors.core.shape_table import MASTODON, ShapeRow
from actors.core.stores.account_flags import BOT, LOCKED
from actors.core.stores.people import NO_COUNTS, Account, AccountCounts
from actors.core.verify import digest
from tests.core.harness import SMALL, Shards
from tests.core.test_shapes import StatusRenderer

ADA = Account(7, "ada", 1_700_000_000_000, "Ada", "b", "London", "https://a.example", "/a.png", [["pronouns", "she"]])
ADA.header, ADA.flags = "/h.png", LOCKED | BOT
COUNTS = AccountCounts(3, 2, 1, 1_700_000_000_000)
SHAPE = 9


# ---- packed -------------------------------------------------------------------------------------------------------


def test_a_card_says_what_others_are_shown_and_nothing_that_is_secret():
    known = replace(ADA, password_hash="secret", tokens=[b"token"])
    assert read_card(7, pack_card(known, COUNTS)) == (ADA, COUNTS)
    assert read_card(7, pack_card(Account(7, "ada", 0))) == (Account(7, "ada", 0), NO_COUNTS)
    check_card(pack_card(known), "card")


def test_a_profile_that_is_too_long_is_told_by_its_name():
    long = pack_card(replace(ADA, bio="b" * CARD_BYTES_MAX), COUNTS)
    assert read_card(7, long) == (Account(7, "ada", ADA.created_ms), COUNTS)


def test_what_a_later_version_adds_is_passed_over():
    facts = {**msgpack.unpackb(pack_card(ADA), strict_map_key=False), 99: "new"}
    assert read_card(7, msgpack.packb(facts)) == (ADA, NO_COUNTS)


@pytest.mark.parametrize(
    "facts",
    [b"", b"123", msgpack.packb({}), msgpack.packb({0: 5}), msgpack.packb({0: "a", 1: -1}), msgpack.packb([1]),
     msgpack.packb({0: "a", 2: 5}), msgpack.packb({0: "a", 7: [["name"]]}), msgpack.packb({0: "a", 9: "x"}),
     msgpack.packb({0: "a", 8: 5}), msgpack.packb({0: "a", 16: -1}), msgpack.packb({0: "a", 19: "x"}),
     b"x" * (CARD_BYTES_MAX + 1), "text", None],
    ids=["empty", "a number", "without a name", "a name that is none", "a time below zero", "a list",
         "a display name that is none", "a field without a value", "flags that are none",
         "a header that is none", "followers below zero", "a time that is none", "too long", "text", "nothing"],
)  # fmt: skip
def test_what_is_no_card_is_refused(facts):
    with pytest.raises(RookeryError):
        check_card(facts, "card")


# ---- the cache ----------------------------------------------------------------------------------------------------


class Twin:
    """Cards as they are defined: one list, the longest told first."""

    def __init__(self, count_max: int) -> None:
        self.count_max, self.now_ms = count_max, 0
        self.cards: list[dict[str, Any]] = []

    def find(self, account_id: int) -> dict[str, Any] | None:
        return next((card for card in self.cards if card["id"] == account_id), None)

    def is_stale(self, card: dict[str, Any]) -> bool:
        return bool(card["stale"])

    def tell(self, account_id: int, facts: bytes, shard: int, number: int) -> None:
        known = self.find(account_id)
        if known is not None:
            if known["shard"] == shard and known["number"] > number:
                return
            self.cards.remove(known)
        told = {"id": account_id, "facts": facts, "shard": shard, "number": number, "told_ms": self.now_ms}
        self.cards.append({**told, "stale": False, "wanted": False})
        while len(self.cards) > self.count_max or sum(len(c["facts"]) for c in self.cards) > 512 * self.count_max:
            self.cards.pop(0)

    def age(self, now_ms: int) -> None:
        self.now_ms = now_ms
        for card in self.cards:
            card["stale"] |= card["told_ms"] <= now_ms - FRESH_MS

    def get(self, account_id: int) -> bytes | None:
        known = self.find(account_id)
        if known is None:
            return None
        known["wanted"] |= known["stale"]
        return known["facts"]

    def take_wanted(self, count_max: int) -> dict[int, set[int]]:
        wanted = [card for card in self.cards if card["wanted"]]
        return {s: {c["id"] for c in wanted if c["id"] % 2 == s} for s in {c["id"] % 2 for c in wanted}}


STEP = st.one_of(
    st.tuples(
        st.just("tell"), st.integers(0, 6), st.sampled_from([NOBODY, b"a" * 40, b"b" * 400, b"c" * 900]),
        st.integers(1, 2), st.integers(0, 3),
    ),
    st.tuples(st.just("age"), st.sampled_from([0, 1, 1_000, FRESH_MS // 2, FRESH_MS])),
    st.tuples(st.just("get"), st.integers(0, 6)),
    st.tuples(st.just("take")),
)  # fmt: skip


@given(st.lists(STEP, max_size=60), st.integers(0, 4))
def test_cards_are_those_of_their_twin(steps, count_max):
    cards, twin, changed = Cards(count_max, lambda _: None), Twin(count_max), 0
    for name, *args in steps:
        if name == "tell":
            cards.tell(*args)
            twin.tell(*args)
        elif name == "age":
            changed += args[0]
            cards.age(changed)
            twin.age(changed)
        elif name == "get":
            assert cards.get(*args) == twin.get(*args)
        else:
            expected = twin.take_wanted(10)
            assert {shard: set(ids) for shard, ids in cards.take_wanted(lambda i: i % 2, 10).items()} == expected
            for card in twin.cards:
                card["wanted"] = False
        assert len(cards) == len(twin.cards)
        assert cards.bytes_held == sum(len(card["facts"]) for card in twin.cards)
        assert [i for i in range(7) if i in cards] == sorted(card["id"] for card in twin.cards)
        assert [problem for problem in cards.check() if "can't be read" not in problem] == []


@given(st.permutations([(b"first", 1), (b"second", 2), (b"third", 3)]), st.integers(1, 3))
def test_the_newest_of_what_one_shard_says_stays_in_whichever_order_and_however_often(told, times):
    cards = Cards(10, lambda _: None)
    for facts, number in told * times:
        cards.tell(7, facts, 1, number)
    assert cards.get(7) == b"third"


def test_another_shard_is_believed_whatever_its_number_since_an_account_moves():
    cards = Cards(10, lambda _: None)
    cards.tell(7, b"there", 1, 900)
    cards.tell(7, b"here now", 2, 3)
    assert cards.get(7) == b"here now"


def test_what_was_made_of_a_card_is_dropped_when_it_says_something_else_grows_stale_or_goes():
    changed: list[int] = []
    cards = Cards(2, changed.append)

    def since() -> list[int]:
        found = changed.copy()
        changed.clear()
        return found

    cards.tell(1, b"a", 1, 1)
    assert since() == [1], "somebody may have been shown by name alone"
    cards.tell(1, b"a", 1, 2)
    assert since() == []
    cards.tell(1, b"b", 1, 3)
    assert since() == [1]
    cards.age(FRESH_MS)
    assert since() == [1]
    assert cards.get(1) == b"b"
    assert cards.take_wanted(lambda _: 1, 10) == {1: [1]}
    assert since() == [1], "so that it is wanted again if no answer comes"
    cards.tell(2, b"a", 1, 4)
    cards.tell(3, b"a", 1, 5)
    assert since() == [2, 3, 1]
    assert cards.evicted_count == 1


def test_cards_never_take_more_bytes_than_they_may():
    cards = Cards(10, lambda _: None)
    for account_id in range(1, 100):
        cards.tell(account_id, bytes(account_id % 7 * 1_000), 1, account_id)
        assert cards.bytes_held <= 10 * CARD_BYTES_MEAN_MAX
        assert len(cards) <= 10


# ---- what shards tell each other ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def unshown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shape shows accounts, as before there was one."""
    monkeypatch.delitem(shape_table.SHAPES, MASTODON)


@pytest.fixture
def shown(unshown: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a shape that shows accounts, and no other."""
    monkeypatch.setitem(shape_table.SHAPES, SHAPE, ShapeRow(SHAPE, "statuses", StatusRenderer))


class Told(Shards):
    """Three shards; the first shows accounts of the second."""

    def __init__(self, level: int = LEVEL) -> None:
        super().__init__(3, SMALL, level)
        self.far = self.account_on(1)
        self.register(self.account_on(0), self.far)
        self.before = [len(journal) for journal in self.journals]

    def messages_of(self, write: Any) -> list[str]:
        """Return which messages a write of the second shard sends to the two others."""
        outboxes = self.replicas[1].state.outboxes
        next_seqs = {shard: outbox.next_seq for shard, outbox in outboxes.items()}
        self.send(*write)
        sent = [
            msgpack.unpackb(packed)[0]
            for shard, outbox in sorted(outboxes.items())
            for packed in [*outbox.batch(1 << 62)[1]][next_seqs[shard] - outbox.next_seq or len(outbox.waiting) :]
        ]
        self.exchange()
        return sent

    def card(self, shard: int) -> Account | None:
        cards = self.replicas[shard].state.cards
        facts = None if cards is None else cards.get(self.far)
        return read_card(self.far, facts)[0] if facts else None


def profile_of(world: Told) -> tuple[str, int, dict[str, str]]:
    return "update_profile", world.far, {"display_name": "Ada"}


def test_nobody_is_told_of_profiles_while_no_shape_shows_accounts():
    world = Told()
    assert world.messages_of(profile_of(world)) == []
    assert msgpack.unpackb(world.journals[1][-1]) == ["update_profile", world.far, {"display_name": "Ada"}]


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("level", [0, 1])
def test_below_the_level_of_a_shape_nobody_is_told_and_commands_are_as_before(level):
    world = Told(level)
    assert world.messages_of(profile_of(world)) == []
    assert msgpack.unpackb(world.journals[1][-1]) == ["update_profile", world.far, {"display_name": "Ada"}]
    with pytest.raises(OverloadedError, match="being upgraded"):
        world.replicas[0].shaped(SHAPE)


@pytest.mark.usefixtures("shown")
def test_a_change_of_a_profile_is_told_to_each_other_shard_once_and_kept_where_accounts_are_shown():
    world = Told()
    world.replicas[0].shaped(SHAPE)
    assert world.messages_of(profile_of(world)) == ["profile_card", "profile_card"]
    assert world.card(0) == Account(world.far, f"user{world.far}", world.now_ms, display_name="Ada")
    assert world.replicas[2].state.cards is None
    assert world.card(1) is None


@pytest.mark.usefixtures("shown")
def test_what_was_told_is_in_no_digest_and_no_checkpoint():
    world, plain = Told(), Told()
    world.replicas[0].shaped(SHAPE)
    for each in (world, plain):
        each.do(*profile_of(each))
    assert world.card(0) is not None
    assert plain.card(0) is None
    assert world.digests() == plain.digests()
    assert [digest(world.replayed(n).state) for n in range(3)] == world.digests()
    assert world.replayed(0).state.cards is None


@pytest.mark.usefixtures("shown")
def test_a_replay_numbers_messages_as_they_were_sent_whether_or_not_accounts_are_shown_then(monkeypatch):
    world = Told()
    world.do(*profile_of(world))
    sent = {shard: outbox.next_seq for shard, outbox in world.replicas[1].state.outboxes.items()}
    monkeypatch.delitem(shape_table.SHAPES, SHAPE)
    again = world.replayed(1).state
    assert {shard: outbox.next_seq for shard, outbox in again.outboxes.items()} == sent


@pytest.mark.usefixtures("shown")
def test_an_answer_that_was_overtaken_by_a_message_does_not_take_it_back():
    world = Told()
    world.replicas[0].shaped(SHAPE)
    answer = world.replicas[1].read("accounts", [[world.far]])
    world.do(*profile_of(world))
    learn_accounts(world.replicas[0].state, 1, [world.far], answer)
    card = world.card(0)
    assert card is not None
    assert card.display_name == "Ada"


@pytest.mark.usefixtures("shown")
def test_a_shard_answers_for_its_own_accounts_and_says_which_are_none():
    world = Told()
    here, nobody = world.account_on(0), world.account_on(1, 5)
    position, found = world.replicas[1].read("accounts", [[world.far, nobody, here]])
    assert position == world.replicas[1].state.position
    assert read_card(world.far, found[0])[0].username == f"user{world.far}"
    assert found[1:] == [None, False]
    world.replicas[0].shaped(SHAPE)
    state = world.replicas[0].state
    learn_accounts(state, 1, [world.far, nobody, here], [position, found])
    assert state.cards is not None
    assert [state.cards.get(i) for i in (world.far, nobody, here)] == [found[0], NOBODY, None]


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize(
    "body", [None, [], [1], [1, None], [1, []], [-1, [None]], [1.5, [None]], [1, [b"123"]], [1, ["x"]], [1, [True]]],
    ids=lambda body: repr(body).replace("[", "(").replace("]", ")"),
)  # fmt: skip
def test_what_is_no_answer_about_accounts_is_refused(body):
    world = Told()
    world.replicas[0].shaped(SHAPE)
    with pytest.raises(RookeryError):
        learn_accounts(world.replicas[0].state, 1, [world.far], body)
    assert world.card(0) is None


@pytest.mark.usefixtures("shown")
def test_an_account_that_was_shown_a_minute_after_it_was_told_is_asked_for_anew_once():
    world = Told()
    state = world.replicas[0].state
    assert tend_cards(state, 1_000) == {}, "nobody shows accounts yet"
    world.replicas[0].shaped(SHAPE)
    tend_cards(state, 1_000)
    world.do(*profile_of(world))
    assert world.card(0) is not None
    assert tend_cards(state, 1_000 + FRESH_MS - 1) == {}
    assert tend_cards(state, 1_000 + FRESH_MS) == {}, "it wasn't shown since"
    assert world.card(0) is not None
    assert tend_cards(state, 2_000 + FRESH_MS) == {1: [world.far]}
    assert tend_cards(state, 3_000 + FRESH_MS) == {}


@pytest.mark.usefixtures("shown")
def test_no_more_are_asked_for_anew_at_once_than_fit_into_one_question():
    world = Told()
    world.replicas[0].shaped(SHAPE)
    state = world.replicas[0].state
    assert state.cards is not None
    elsewhere = [a for a in range(1, 3_000) if world.shard_of(a) != 0]
    state.cards.count_max = len(elsewhere)
    for account_id in elsewhere:
        state.cards.tell(account_id, pack_card(Account(account_id, "x", 0)), world.shard_of(account_id), 1)
    tend_cards(state, FRESH_MS)
    for account_id in elsewhere:
        state.cards.get(account_id)
    asked = tend_cards(state, FRESH_MS)
    assert {shard: len(ids) for shard, ids in asked.items()} == {1: 200, 2: 200}


# ---- the table of shapes --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("number", [1, -1, "native", None, True, 1.0, 1 << 63])
def test_a_shape_that_there_is_not_is_refused_with_those_that_there_are(number):
    with pytest.raises(InvalidError, match=r"there is no shape .*; there are 0 \(native\), 9 \(statuses\)"):
        Told().replicas[0].shaped(number)


@pytest.mark.usefixtures("shown")
def test_a_shape_is_made_once_when_it_is_first_asked_for_and_the_native_one_is_there_always():
    replica = Told().replicas[0]
    assert len(replica.state.arrivals.pieces) == 1
    assert replica.state.cards is None
    assert replica.shaped(0) is None
    shaped = replica.shaped(SHAPE)
    assert shaped is not None
    assert replica.shaped(SHAPE) is shaped
    assert len(replica.state.arrivals.pieces) == 2
    with pytest.raises(MalformedError):
        replica.read("tweet", ["x"] * 9, shaped.lookups)
