"""What an account is and wants beside its profile: a header, flags, and what its posts are as a rule."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.checkpoints.snapshot import TABLES
from actors.core.errors import InvalidError, NotFoundError, OverloadedError, RookeryError
from actors.core.replica import Replica
from actors.core.stores.account_flags import BOT, FLAGS_ALL, HIDES_COLLECTIONS, LOCKED
from actors.core.stores.people import Account, TokenFacts
from actors.core.verify import digest
from persistence.memory import MemoryCheckpointStore
from tests.core.harness import Shards

CHANGES = {"header": "/h.png", "flags": [LOCKED | BOT, BOT], "privacy": 3, "language": "pt-BR", "bio": "hi"}


@pytest.fixture
def shards() -> Shards:
    made = Shards(2)
    made.register(*(made.account_on(shard, i) for shard in range(2) for i in range(2)))
    return made


def settings_of(shards: Shards, account_id: int) -> list[object]:
    *found, request_count, bio, fields = shards.read("settings", account_id)
    account = shards.replicas[shards.shard_of(account_id)].state.people.get(account_id)
    assert (bio, fields) == (account.bio, account.fields)
    assert request_count == 0
    return found


def test_settings_are_kept_beside_the_profile_and_say_nothing_until_they_are_set(shards):
    ada = shards.account_on(0)
    assert settings_of(shards, ada) == ["", 0, 0, ""]
    shards.do("update_profile", ada, CHANGES)
    assert settings_of(shards, ada) == ["/h.png", BOT, 3, "pt-BR"]
    assert shards.state_of(ada).people.accounts[shards.row_of(ada)].bio == "hi"


def test_of_the_flags_only_those_change_that_are_said(shards):
    ada = shards.account_on(0)
    for mask, bits, expected in ((BOT, BOT, BOT), (LOCKED, LOCKED, BOT | LOCKED), (BOT, 0, LOCKED), (0, 0, LOCKED)):
        shards.do("update_profile", ada, {"flags": [mask, bits]})
        assert settings_of(shards, ada)[1] == expected


@pytest.mark.parametrize("values", [
    {"flags": 1}, {"flags": [1]}, {"flags": [1, 2]}, {"flags": [FLAGS_ALL + 1, 0]}, {"flags": ["1", 0]},
    {"privacy": 4}, {"privacy": "public"}, {"privacy": True}, {"language": 5}, {"language": "x" * 17},
    {"header": None}, {"header": "h" * 20_000}, {"locked": True}, [],
], ids=str)  # fmt: skip
def test_settings_that_are_none_are_refused_and_change_nothing(shards, values):
    before = shards.digests()
    with pytest.raises(RookeryError):
        shards.do("update_profile", shards.account_on(0), values)
    assert shards.digests() == before


def test_below_their_level_settings_are_refused_and_profiles_are_journaled_as_before():
    shards = Shards(2, level=2)
    ada = shards.account_on(0)
    shards.register(ada)
    with pytest.raises(OverloadedError, match="being upgraded"):
        shards.do("update_profile", ada, CHANGES)
    shards.do("update_profile", ada, {"bio": "hi"})
    assert msgpack.unpackb(shards.journals[0][-1]) == ["update_profile", ada, {"bio": "hi"}]


def test_settings_are_in_replays_checkpoints_and_digests(shards):
    ada, before = shards.account_on(0), shards.digests()
    shards.do("update_profile", ada, CHANGES)
    assert shards.digests()[0] != before[0]
    assert digest(shards.replayed(0).state) == shards.digests()[0]
    fresh, store = shards.replayed(0), MemoryCheckpointStore(TABLES)
    store.write(fresh.state.position, 1, fresh.seal())
    restored = Replica(0, shards.owner, shards.tuning)
    restored.load(store.load())
    assert digest(restored.state) == shards.digests()[0]
    shards.check()


def test_who_is_deleted_has_no_settings_left(shards):
    ada = shards.account_on(0)
    shards.do("update_profile", ada, CHANGES)
    account = shards.state_of(ada).people.accounts[shards.row_of(ada)]
    shards.do("delete_account", ada, None)
    assert (account.header, account.flags, account.privacy, account.language) == ("", 0, 0, "")


def test_lists_of_an_account_that_hides_them_are_its_own_alone(shards):
    ada, bob, far = shards.account_on(0), shards.account_on(0, 1), shards.account_on(1)
    shards.do("follow", ada, bob)
    shards.do("follow", far, ada)
    shards.do("update_profile", ada, {"flags": [HIDES_COLLECTIONS, HIDES_COLLECTIONS]})
    for viewer, expected in ((ada, ([far], [bob])), (far, ([], [])), (0, ([], []))):
        assert shards.read("followers", ada, viewer, 0, 20)[0] == expected[0]
        assert shards.read("following", ada, viewer, 0, 20)[0] == expected[1]


ACCOUNTS = st.builds(
    Account, st.just(7), st.just("ada"), st.integers(0, 9), tokens=st.sampled_from([[], [b"a"], [b"a", b"b"]]),
    left_ms=st.sampled_from([0, 5]), header=st.sampled_from(["", "/h.png"]), flags=st.integers(0, FLAGS_ALL),
    privacy=st.integers(0, 3), language=st.sampled_from(["", "de"]),
)  # fmt: skip


@given(ACCOUNTS, st.booleans())
def test_a_packed_account_is_the_same_account_and_no_wider_than_it_must_be(account, named):
    if named:
        account.token_facts = {token: TokenFacts("phone", 3) for token in account.tokens}
    row = account.to_row()
    assert Account.from_row(msgpack.unpackb(msgpack.packb(row), strict_map_key=False)) == account
    if not (account.header or account.flags or account.privacy or account.language):
        assert len(row) <= 13
        assert not any(type(value) is dict for value in row)


@pytest.mark.parametrize("settings", [5, [], {9: 1}, {"header": "x"}, "x"], ids=str)
def test_a_packed_account_with_settings_that_are_none_is_refused(settings):
    row = [*Account(7, "ada", 1, left_ms=5).to_row(), settings]
    with pytest.raises(ValueError, match="settings of an account"):
        Account.from_row(row)


def test_more_than_there_are_columns_of_is_refused():
    with pytest.raises(TypeError):
        Account.from_row([*Account(7, "ada", 1, left_ms=5).to_row(), {}, "more"])


def test_who_is_asked_for_leave_is_told_how_often(shards):
    ada, bob, far = shards.account_on(0), shards.account_on(0, 1), shards.account_on(1)
    shards.do("update_profile", ada, {"flags": [LOCKED, LOCKED]})
    for asking in (bob, far):
        shards.do("request_follow", asking, ada)
    assert shards.read("settings", ada)[4] == 2
    shards.do("answer_request", ada, far, True)
    assert shards.read("settings", ada)[4] == 1


def test_the_owner_is_told_account_and_settings_in_one(shards):
    ada = shards.account_on(0)
    shards.do("update_profile", ada, CHANGES)
    ada_shard = shards.replicas[shards.shard_of(ada)]
    assert shards.read("own_account", ada) == [*ada_shard.read("cards", [[ada]]), shards.read("settings", ada)]
    with pytest.raises(NotFoundError):
        shards.read("own_account", shards.account_on(0, 9))


def test_a_refusal_names_what_a_profile_has(shards):
    with pytest.raises(InvalidError, match="a profile has no field 'locked'; it has display_name"):
        shards.do("update_profile", shards.account_on(0), {"locked": True})
