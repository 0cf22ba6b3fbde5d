"""Tokens and passwords of an account: what ends, what stays, and that neither comes back by a request that was slow."""

from __future__ import annotations

import pytest

from actors.core import limits, scopes
from actors.core.entries import pack, unpack
from actors.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    MalformedError,
    NotFoundError,
    OverloadedError,
    RookeryError,
    UnauthorizedError,
)
from actors.core.features.logins import uses_to_note
from actors.core.moves.parts import PartCheck
from actors.core.stores.people import FIRST_FIELDS, Account, token_id
from actors.core.verify import digest
from tests.core.harness import Shards, memory_store
from tests.core.test_moving import Moving

OLD, NEW, NEWER = "old hash", "new hash", "newer hash"


@pytest.fixture
def shards():
    made = Shards()
    made.ada, made.bob = made.account_on(0), made.account_on(1)
    for account_id in (made.ada, made.bob):
        name = next(n for n in (f"n{i}" for i in range(999)) if made.shard_for("register", [n]) == 0)
        made.do("register", f"{name}_{account_id}", account_id, "", "", OLD, [])
        for token in (b"phone", b"laptop", b"thief"):
            made.do("login_token", account_id, token)
    for replica in made.replicas:
        replica.state.revoked.clear()
    yield made
    made.check()


def tokens_of(shards, account_id):
    return shards.state_of(account_id).people.get(account_id).tokens


def records_of(shards, account_id):
    return len(shards.journals[shards.shard_of(account_id)])


def test_all_logins_of_an_account_end_but_those_kept_and_are_announced_once(shards):
    assert shards.do("revoke_tokens", shards.ada, [b"phone", b"never there"]) == 2
    assert tokens_of(shards, shards.ada) == [b"phone"]
    assert shards.state_of(shards.ada).revoked == [(shards.ada, None)]
    assert [shards.replicas[0].read("token_owner", [token]) for token in (b"phone", b"thief")] == [shards.ada, 0]
    for gone in (b"laptop", b"thief"):
        with pytest.raises(UnauthorizedError):
            shards.read("token", shards.ada, gone)
    assert tokens_of(shards, shards.bob) == [b"phone", b"laptop", b"thief"]


def test_ending_what_has_ended_writes_nothing(shards):
    shards.do("revoke_tokens", shards.ada, [b"phone"])
    before = records_of(shards, shards.ada)
    for _ in range(3):
        assert shards.do("revoke_tokens", shards.ada, [b"phone"]) == 0
    assert records_of(shards, shards.ada) == before
    assert shards.do("revoke_tokens", shards.ada, []) == 1
    assert tokens_of(shards, shards.ada) == []


def test_a_change_of_password_ends_all_logins_and_makes_one(shards):
    assert shards.do("change_password", shards.ada, OLD, NEW, [], b"fresh") == 3
    assert shards.read("credentials", shards.ada) == [NEW]
    assert tokens_of(shards, shards.ada) == [b"fresh"]
    assert shards.state_of(shards.ada).revoked == [(shards.ada, None)]


def test_a_new_hash_of_the_same_password_ends_no_login(shards):
    assert shards.do("change_password", shards.ada, OLD, NEW, None, None) == 0
    assert shards.read("credentials", shards.ada) == [NEW]
    assert tokens_of(shards, shards.ada) == [b"phone", b"laptop", b"thief"]
    assert shards.state_of(shards.ada).revoked == []


def test_the_same_change_again_is_done_once(shards):
    request = ("change_password", shards.ada, OLD, NEW, [], b"fresh")
    assert shards.do(*request) == 3
    before = records_of(shards, shards.ada)
    shards.do("login_token", shards.ada, b"later")
    assert shards.do(*request) == 0
    assert tokens_of(shards, shards.ada) == [b"fresh", b"later"]
    assert records_of(shards, shards.ada) == before + 1


def test_an_older_password_does_not_come_back_by_who_was_slow(shards):
    shards.do("change_password", shards.ada, OLD, NEW, [], b"fresh")
    shards.do("change_password", shards.ada, NEW, NEWER, [], b"fresher")
    for request in (("change_password", OLD, NEW, [], b"fresh"), ("change_password", OLD, "rehashed", None, None)):
        with pytest.raises(ConflictError):
            shards.do(request[0], shards.ada, *request[1:])
    assert shards.read("credentials", shards.ada) == [NEWER]
    assert tokens_of(shards, shards.ada) == [b"fresher"]


def test_a_login_that_looked_at_the_password_before_it_was_changed_gets_no_token(shards):
    shards.do("change_password", shards.ada, OLD, NEW, [], b"fresh")
    with pytest.raises(ConflictError):
        shards.do("login_token", shards.ada, b"thief again", OLD)
    assert tokens_of(shards, shards.ada) == [b"fresh"]
    shards.do("login_token", shards.ada, b"owner", NEW)
    assert tokens_of(shards, shards.ada) == [b"fresh", b"owner"]


def test_an_account_without_a_password_gets_none_by_a_change(shards):
    guest = shards.account_on(0, 3)
    shards.register(guest)
    for seen, refusal in ((OLD, ConflictError), ("", ConflictError), (NEW, ConflictError), (None, InvalidError)):
        with pytest.raises(refusal):
            shards.do("change_password", guest, seen, NEW, None, None)
    assert shards.read("credentials", guest) == [None]


def test_a_fresh_token_beyond_the_most_takes_the_place_of_the_oldest(shards):
    for i in range(limits.TOKENS_PER_ACCOUNT_MAX):
        shards.do("login_token", shards.ada, b"token%d" % i)
    shards.state_of(shards.ada).revoked.clear()
    shards.do("change_password", shards.ada, OLD, NEW, None, b"fresh")
    assert len(tokens_of(shards, shards.ada)) == limits.TOKENS_PER_ACCOUNT_MAX
    assert shards.state_of(shards.ada).revoked == [(shards.ada, b"token0")]


def test_too_many_arguments_are_refused(shards):
    with pytest.raises(MalformedError):
        shards.do("login_token", shards.ada, b"x", OLD, "phone", scopes.READ, 5, OLD)
    with pytest.raises(InvalidError):
        shards.do("revoke_tokens", shards.ada, [b"x"] * (limits.TOKENS_PER_ACCOUNT_MAX + 1))


def test_a_replay_and_a_checkpoint_know_what_has_ended(shards):
    store = memory_store()
    shards.seal_into(0, store)  # the change comes after: only what is noted as changed is sealed again
    shards.do("change_password", shards.ada, OLD, NEW, [b"phone"], b"fresh")
    shards.do("revoke_tokens", shards.ada, [b"fresh"])
    before = digest(shards.replicas[0].state)
    replayed = shards.replayed(0)
    assert digest(replayed.state) == before
    assert not replayed.state.revoked
    shards.seal_into(0, store)
    restored = shards.restore_from(0, store)
    assert digest(restored.state) == before
    assert tokens_of(shards, shards.ada) == [b"fresh"]
    assert restored.state.people.token_owner == replayed.state.people.token_owner


def test_a_checkpoint_knows_a_new_hash_that_changed_nothing_else(shards):
    store = memory_store()
    shards.seal_into(0, store)
    shards.do("change_password", shards.ada, OLD, NEW, None, None)
    shards.seal_into(0, store)
    shards.restore_from(0, store)
    assert shards.read("credentials", shards.ada) == [NEW]


def test_a_follower_announces_it_too(shards):
    follower = shards.replayed(0)
    shards.do("revoke_tokens", shards.ada, [])
    follower.follow(follower.state.position + 1, shards.journals[0][-1])
    assert follower.state.revoked == [(shards.ada, None)]


@pytest.mark.parametrize("step", range(1, 12))
def test_what_ends_while_the_account_moves_has_ended_where_it_arrives(step):
    shards = Moving()
    ada = shards.account_on(0)
    shards.do("register", f"user{ada}", ada, "", "", OLD, [b"phone", b"thief"])
    steps = 0

    def between():
        nonlocal steps
        steps += 1
        if steps == step and not shards.state_of(ada).frozen:
            shards.do("change_password", ada, OLD, NEW, [b"phone"], None)

    shards.between = between
    shards.move(1, ada)
    shards.between = lambda: None
    assert shards.shard_of(ada) == 1
    if shards.read("credentials", ada) == [OLD]:  # the shard was frozen at that step, or the move had fewer
        shards.do("change_password", ada, OLD, NEW, [b"phone"], None)
    assert shards.read("credentials", ada) == [NEW]
    assert tokens_of(shards, ada) == [b"phone"]
    with pytest.raises(UnauthorizedError):
        shards.read("token", ada, b"thief")
    shards.sweep()
    shards.check()


# ---- what is known of tokens ---------------------------------------------------------------------------------------


def listed(shards, account_id):
    return {row[1]: row[2:] for row in shards.read("tokens", account_id)}


def note_uses(shards, account_id):
    """Do what the shell does every second; returns how many uses were journaled."""
    replica = shards.replicas[shards.shard_of(account_id)]
    uses = uses_to_note(replica.state, replica.lookups.used_tokens, shards.now_ms)
    replica.lookups.used_tokens.clear()
    return shards.run(shards.shard_of(account_id), ["token_used", uses, shards.now_ms]) if uses else 0


def test_a_token_has_the_name_and_the_time_that_it_was_made_with(shards):
    shards.do("revoke_tokens", shards.ada, [])
    shards.now_ms += 5
    shards.do("login_token", shards.ada, b"tablet", OLD, "Ada's tablet")
    shards.do("change_password", shards.ada, OLD, NEW, None, b"fresh", "the new one")
    shards.do("register", "named", 77, "", "", None, [b"first"], "Ada's phone")
    assert listed(shards, shards.ada) == {"Ada's tablet": [shards.now_ms, 0], "the new one": [shards.now_ms, 0]}
    assert listed(shards, 77) == {"Ada's phone": [shards.now_ms, 0]}
    assert [row[0] for row in shards.read("tokens", shards.ada)] == [token_id(b"fresh"), token_id(b"tablet")]


def test_of_a_token_that_was_imported_nothing_is_known_but_its_uses(shards):
    shards.do("register", "imported", 77, "", "", None, [b"old"])
    assert listed(shards, 77) == {"": [0, 0]}
    shards.read("token", 77, b"old")
    assert note_uses(shards, 77) == 1
    assert listed(shards, 77) == {"": [0, shards.now_ms]}


def test_a_use_is_journaled_once_an_hour_however_often_the_token_is_right(shards):
    first_ms = shards.now_ms
    for minute in range(59):
        shards.now_ms = first_ms + minute * 60_000
        shards.read("token", shards.ada, b"phone")
        assert note_uses(shards, shards.ada) == (minute == 0)
    shards.now_ms = first_ms + limits.TOKEN_USED_EVERY_MS
    shards.replicas[0].query([shards.ada, 0, 0, 0, 20, 0, b"phone"])
    assert note_uses(shards, shards.ada) == 1
    assert {row[3] for row in shards.read("tokens", shards.ada)} == {0, shards.now_ms}


def test_a_token_that_is_wrong_or_has_ended_meanwhile_has_no_use(shards):
    with pytest.raises(UnauthorizedError):
        shards.read("token", shards.ada, b"guess")
    assert note_uses(shards, shards.ada) == 0
    assert shards.run(0, ["token_used", [[shards.ada, b"gone"], [999, b"phone"]], shards.now_ms]) == 0


def test_one_token_ends_by_its_id_and_no_other(shards):
    assert shards.do("end_token", shards.ada, token_id(b"thief")) == b"thief"
    assert tokens_of(shards, shards.ada) == [b"phone", b"laptop"]
    assert shards.state_of(shards.ada).revoked == [(shards.ada, b"thief")]
    for wrong in (token_id(b"thief"), "", "x" * 16):
        with pytest.raises(NotFoundError):
            shards.do("end_token", shards.ada, wrong)


def test_what_is_known_of_tokens_outlives_seals_journals_and_moves():
    world = Moving(3)
    world.register(7)
    world.now_ms += 5
    world.do("login_token", 7, b"unknown")
    world.do("login_token", 7, b"phone", None, "Ada's phone")
    world.read("token", 7, b"phone")
    note_uses(world, 7)
    world.do("revoke_token", 7, b"unknown")
    known = world.read("tokens", 7)
    assert [row[1:] for row in known] == [["Ada's phone", world.now_ms, world.now_ms]]
    for shard, before in enumerate(world.digests()):
        assert digest(world.replayed(shard).state) == before
        store = memory_store()
        world.seal_into(shard, store)
        assert digest(world.restore_from(shard, store).state) == before
    source = world.shard_of(7)
    world.move((source + 1) % 3, 7)
    assert world.read("tokens", 7) == known
    world.check()


def test_below_level_1_a_token_is_as_it_was_before_there_was_a_level():
    world = Shards(level=0)
    world.do("register", "ada", 7, "", "", OLD, [b"first"], "Ada's phone")
    world.do("login_token", 7, b"second", OLD, "tablet")
    world.do("change_password", 7, OLD, NEW, None, b"third", "fresh")
    world.read("token", 7, b"first")
    assert note_uses(world, 7) == 0
    assert len(world.state_of(7).people.get(7).to_row()) == FIRST_FIELDS
    commands = [unpack(record) for journal in world.journals for record in journal]
    made = {command[0]: command for command in commands}
    assert [len(made[name]) for name in ("login_token", "change_password")] == [3, 5]
    assert len(made["register"][1][0]) == 6


# ---- what tokens are for -------------------------------------------------------------------------------------------

READ_ONLY, LISTS = scopes.READ, scopes.BITS["read:lists"]
APP_ID = 77


def ask_home(shards, *token):
    return shards.replicas[0].query([shards.ada, 0, 0, 0, 20, 0, *token])


def test_a_token_says_what_it_is_for_and_of_which_app(shards):
    shards.do("login_token", shards.ada, b"client", OLD, "Client", READ_ONLY, APP_ID)
    assert shards.read("token_scopes", shards.ada, b"client") == [READ_ONLY, APP_ID]
    assert shards.read("token_scopes", shards.ada, b"phone") == [scopes.EVERYTHING, 0]
    rows = shards.read("tokens", shards.ada)
    assert rows[0] == [token_id(b"client"), "Client", shards.now_ms, 0, READ_ONLY, APP_ID]
    assert [len(row) for row in rows] == [6, 4, 4, 4]
    with pytest.raises(UnauthorizedError):
        shards.read("token_scopes", shards.ada, b"guess")


def test_whoever_asks_without_saying_for_what_is_told_of_tokens_for_everything_only(shards):
    """An API worker that knows no scopes takes what it is told for a token that may do everything."""
    shards.do("login_token", shards.ada, b"client", OLD, "", READ_ONLY, APP_ID)
    with pytest.raises(ForbiddenError, match="this token is for read, not for everything"):
        shards.read("token", shards.ada, b"client")
    with pytest.raises(ForbiddenError):
        ask_home(shards, b"client")
    assert shards.read("token", shards.ada, b"phone") is True
    assert ask_home(shards, b"phone")


@pytest.mark.parametrize(
    ("granted", "is_served"),
    [
        (scopes.READ, True), (scopes.READ_STATUSES, True), (scopes.EVERYTHING, True), (LISTS | scopes.READ, True),
        (LISTS, False), (scopes.WRITE, False), (scopes.FOLLOW, False),
    ],
    ids=["read", "read:statuses", "everything", "read and a part of it", "read:lists", "write", "follow"],
)  # fmt: skip
def test_a_home_timeline_needs_a_token_that_may_read_statuses(shards, granted, is_served):
    shards.do("login_token", shards.ada, b"client", OLD, "", granted, APP_ID)
    if is_served:
        assert ask_home(shards, b"client", scopes.READ_STATUSES).account_id == shards.ada
    else:
        with pytest.raises(ForbiddenError, match="not for read:statuses"):
            ask_home(shards, b"client", scopes.READ_STATUSES)
    with pytest.raises(UnauthorizedError):
        ask_home(shards, b"guess", scopes.READ_STATUSES)


@pytest.mark.parametrize("needed", [0, -1, True, None, "read", 1 << 63], ids=repr)
def test_a_home_timeline_is_asked_for_with_a_mask_or_not_at_all(shards, needed):
    with pytest.raises(InvalidError):
        ask_home(shards, b"phone", needed)


def test_scopes_stay_with_their_token_when_it_is_used_sealed_replayed_and_moved():
    world = Moving(2)
    ada = world.account_on(0)
    world.register(ada)
    world.do("login_token", ada, b"all")
    world.do("login_token", ada, b"client", None, "Client", READ_ONLY, APP_ID)
    world.now_ms += limits.TOKEN_USED_EVERY_MS
    world.read("token_scopes", ada, b"client")
    assert note_uses(world, ada) == 1
    for shard, before in enumerate(world.digests()):
        assert digest(world.replayed(shard).state) == before
        store = memory_store()
        world.seal_into(shard, store)
        assert digest(world.restore_from(shard, store).state) == before
    world.move(1, ada)
    assert world.read("token_scopes", ada, b"client") == [READ_ONLY, APP_ID]
    assert world.read("token_scopes", ada, b"all") == [scopes.EVERYTHING, 0]
    with pytest.raises(ForbiddenError):
        world.read("token", ada, b"client")
    world.check()


def test_a_token_that_is_there_is_not_given_other_scopes(shards):
    shards.do("login_token", shards.ada, b"client", OLD, "", READ_ONLY, APP_ID)
    for granted in (scopes.EVERYTHING, scopes.WRITE):
        assert shards.do("login_token", shards.ada, b"client", OLD, "", granted, 0) is True
    assert shards.read("token_scopes", shards.ada, b"client") == [READ_ONLY, APP_ID]


@pytest.mark.parametrize("granted", [0, -1, scopes.KNOWN + 1, True, None, "read"], ids=repr)
def test_a_token_is_for_scopes_that_there_are(shards, granted):
    with pytest.raises(InvalidError, match="scopes must be"):
        shards.do("login_token", shards.ada, b"client", OLD, "", granted, APP_ID)


def test_below_level_2_there_are_tokens_for_everything_alone():
    world = Shards(level=1)
    world.register(7)
    with pytest.raises(OverloadedError, match="being upgraded"):
        world.do("login_token", 7, b"client", None, "", READ_ONLY, APP_ID)
    world.do("login_token", 7, b"phone", None, "Phone")
    record = unpack(world.journals[world.shard_of(7)][-1])
    assert record == ["login_token", 7, b"phone", "Phone", world.now_ms]
    assert world.state_of(7).people.get(7).to_row()[FIRST_FIELDS:] == [[["Phone", world.now_ms, 0]]]


@pytest.mark.parametrize(
    "facts",
    [
        [["x", 1, 2, 1 << 62]],
        [["x", 1, 2, 0, 5]],
        [["x", 1, 2, "read", 5]],
        [["x", 1, 2, 8, -5]],
        [["x" * 300, 1, 2]],
        [["x", -1, 2]],
        [5],
        [],
        "x",
        [None, None],
    ],
)
def test_a_part_of_a_move_with_nonsense_about_tokens_is_refused(facts):
    row = [*Account(7, "ada", 1, tokens=[b"phone"]).to_row(), facts]
    part = pack([["account", row, 0, None, [[], [], []], []]])
    with pytest.raises((RookeryError, ValueError, TypeError)):
        PartCheck({}, frozenset(range(1024))).check(part)
