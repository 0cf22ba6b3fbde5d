"""Authorization codes: each becomes a token exactly once, whatever dies, and whoever else has seen it."""

from __future__ import annotations

import pytest

from actors.core import limits, scopes
from actors.core.entries import unpack
from actors.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OverloadedError,
    RookeryError,
    UnauthorizedError,
)
from actors.core.features.codes import CODE, check_code
from actors.core.levels import LEVEL
from actors.core.replica import Replica
from tests.core.harness import NOW_MS, Shards
from tests.core.test_moving import Moving

OLD, NEW = "old hash", "new hash"
KEY, APP_ID, MASK = 1 << 50, 1 << 62 | 5, scopes.READ
FACTS = [APP_ID, b"hash of the uri", b"challenge"]
TTL = limits.CODE_TTL_MS


@pytest.fixture
def shards():
    made = Moving()
    made.ada = made.account_on(0)
    made.do("register", f"user{made.ada}", made.ada, "", "", OLD, [b"phone"])
    yield made
    made.check_whole()


def authorize(shards, key=KEY, mask=MASK, challenge=b"challenge"):
    return shards.do("authorize", shards.ada, key, APP_ID, FACTS[1], mask, challenge)


def redeem(shards, secret=b"token", key=KEY, facts=FACTS):
    return shards.do("redeem", shards.ada, key, *facts, secret, "Client")


def tokens_of(shards):
    return shards.state_of(shards.ada).people.get(shards.ada).tokens


def codes_of(shards):
    return shards.state_of(shards.ada).papers.keys(CODE, shards.ada)


def fall_due(shards, now_ms):
    for shard, replica in enumerate(shards.replicas):
        while (command := replica.due_command(now_ms)) is not None:
            shards.run(shard, command)


def test_a_code_becomes_a_token_of_its_scopes_and_app(shards):
    assert authorize(shards) is True
    assert redeem(shards) == [MASK, APP_ID]
    assert shards.read("token_scopes", shards.ada, b"token") == [MASK, APP_ID]
    assert shards.read("tokens", shards.ada)[0][1:] == ["Client", shards.now_ms, 0, MASK, APP_ID]


def test_the_same_request_again_gets_the_same_answer_and_no_second_token(shards):
    authorize(shards)
    redeem(shards)
    before = len(shards.journals[0])
    shards.now_ms += 1_000
    assert redeem(shards) == [MASK, APP_ID]
    assert len(shards.journals[0]) == before
    assert tokens_of(shards) == [b"phone", b"token"]


@pytest.mark.parametrize("facts", [FACTS, [APP_ID + 1, b"another", b""]], ids=["all right", "all wrong"])
def test_a_second_use_is_refused_and_ends_what_the_first_has_made(shards, facts):
    authorize(shards)
    redeem(shards)
    shards.replicas[0].state.revoked.clear()
    with pytest.raises(ConflictError, match="was used already"):
        redeem(shards, b"thief", facts=facts)
    assert tokens_of(shards) == [b"phone"]
    assert shards.replicas[0].state.revoked == [(shards.ada, b"token")], "API workers are told"
    before = len(shards.journals[0])
    for secret in (b"thief", b"token"):  # the first one asks again, too
        with pytest.raises(ConflictError):
            redeem(shards, secret)
    assert len(shards.journals[0]) == before
    with pytest.raises(UnauthorizedError):
        shards.read("token_scopes", shards.ada, b"token")


def test_whenever_a_shard_dies_a_code_is_there_or_the_token_is_never_both_or_neither(shards):
    authorize(shards)
    redeem(shards)
    seen = []
    replica = Replica(0, shards.owner, shards.tuning)
    for position, record in enumerate(shards.journals[0], start=1):
        replica.replay(position, record)
        account = replica.state.people.get(shards.ada)
        if account is None or not replica.state.papers.keys(CODE, shards.ada):
            continue
        seen.append(b"token" in account.tokens)
        if unpack(record)[0] == "authorize":
            _, body = replica.write("redeem", [shards.ada, KEY, *FACTS, b"other"], shards.now_ms)
            assert body == [MASK, APP_ID], "nothing is lost: it can be redeemed after the crash"
            replica = Replica(0, shards.owner, shards.tuning)
            for again, earlier in enumerate(shards.journals[0][:position], start=1):
                replica.replay(again, earlier)
    assert seen == [False, True]
    _, error = replica.write("redeem", [shards.ada, KEY, *FACTS, b"other"], shards.now_ms)
    assert isinstance(error, ConflictError), "nor is anything given twice"


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [(0, APP_ID + 1, "client_id"), (1, b"another uri", "redirect_uri"), (2, b"another", "code_verifier"),
     (2, b"", "code_verifier")],
    ids=["app", "redirect uri", "verifier", "no verifier"],
)  # fmt: skip
def test_a_request_that_does_not_fit_its_code_is_refused_and_leaves_it(shards, place, value, field):
    authorize(shards)
    with pytest.raises(ForbiddenError, match=f"made for another {field}"):
        redeem(shards, b"thief", facts=[value if i == place else fact for i, fact in enumerate(FACTS)])
    assert tokens_of(shards) == [b"phone"]
    assert redeem(shards) == [MASK, APP_ID]


def test_a_code_without_a_challenge_takes_no_verifier(shards):
    authorize(shards, challenge=b"")
    with pytest.raises(ForbiddenError, match="code_verifier"):
        redeem(shards)
    assert redeem(shards, facts=[*FACTS[:2], b""]) == [MASK, APP_ID]


def test_a_code_is_good_for_ten_minutes_whenever_it_is_taken_away(shards):
    authorize(shards)
    authorize(shards, key=KEY + 1)
    shards.now_ms += TTL - 1
    assert redeem(shards) == [MASK, APP_ID]
    shards.now_ms += 1
    with pytest.raises(NotFoundError):
        redeem(shards, b"late", key=KEY + 1)
    fall_due(shards, shards.now_ms)
    assert codes_of(shards) == [KEY]


def test_a_use_is_remembered_for_ten_minutes(shards):
    authorize(shards)
    shards.now_ms += TTL // 2
    redeem(shards)
    fall_due(shards, shards.now_ms + TTL - 1)
    assert codes_of(shards) == [KEY]
    fall_due(shards, shards.now_ms + TTL)
    assert codes_of(shards) == []
    with pytest.raises(NotFoundError):
        redeem(shards, b"much later")
    assert tokens_of(shards) == [b"phone", b"token"], "of a use that is forgotten nothing ends"


def test_making_a_code_again_finds_it_and_another_may_not_take_its_key(shards):
    authorize(shards)
    before = len(shards.journals[0])
    shards.now_ms += 5
    assert authorize(shards) is True
    assert len(shards.journals[0]) == before
    with pytest.raises(ConflictError):
        authorize(shards, mask=scopes.WRITE)
    redeem(shards)
    with pytest.raises(ConflictError):
        authorize(shards)


@pytest.mark.parametrize(
    "end",
    [
        ("change_password", OLD, NEW, [], None), ("change_password", OLD, NEW, [b"phone"], b"fresh"),
        ("revoke_tokens", []), ("revoke_tokens", [b"phone"]),
    ],
    ids=["a new password", "a new password and some tokens stay", "a log-out", "a log-out of all others"],
)  # fmt: skip
def test_what_ends_the_tokens_of_an_account_ends_its_codes(shards, end):
    authorize(shards)
    shards.do(end[0], shards.ada, *end[1:])
    with pytest.raises(NotFoundError):
        redeem(shards)
    assert b"token" not in tokens_of(shards)


def test_a_new_hash_of_the_same_password_ends_no_code(shards):
    authorize(shards)
    shards.do("change_password", shards.ada, OLD, NEW, None, None)
    assert redeem(shards) == [MASK, APP_ID]


def test_a_log_out_of_all_others_keeps_the_memory_of_a_code_whose_token_stays(shards):
    authorize(shards)
    redeem(shards)
    shards.do("revoke_tokens", shards.ada, [b"token"])
    with pytest.raises(ConflictError):
        redeem(shards, b"thief")
    assert tokens_of(shards) == []


def test_a_deleted_account_has_no_codes(shards):
    authorize(shards)
    shards.do("delete_account", shards.ada, OLD)
    with pytest.raises(NotFoundError):
        redeem(shards)
    assert shards.run(0, ["redeem", shards.ada, KEY, b"token", "", NOW_MS]) is False


def test_a_code_moves_with_its_account(shards):
    authorize(shards)
    authorize(shards, key=KEY + 1)
    redeem(shards, b"first", key=KEY + 1)
    shards.move(1, shards.ada)
    assert shards.shard_of(shards.ada) == 1
    assert redeem(shards) == [MASK, APP_ID]
    with pytest.raises(ConflictError):
        redeem(shards, b"thief", key=KEY + 1)
    assert tokens_of(shards) == [b"phone", b"token"]


def test_a_token_that_is_there_already_is_not_what_a_code_becomes(shards):
    authorize(shards)
    with pytest.raises(ConflictError, match="draw another one"):
        redeem(shards, b"phone")
    assert shards.read("token", shards.ada, b"phone") is True


def test_an_account_has_no_more_codes_than_it_may(shards):
    for key in range(1, limits.CODES_COUNT_MAX + 1):
        authorize(shards, key=key)
    with pytest.raises(InvalidError, match="64 codes in ten minutes"):
        authorize(shards)
    fall_due(shards, shards.now_ms + TTL)
    authorize(shards)


def test_codes_wait_until_the_whole_cluster_knows_them():
    world = Shards(1, level=1)
    world.ada = 7
    world.register(7)
    for request in (authorize, redeem):
        with pytest.raises(OverloadedError, match="being upgraded"):
            request(world)
    world.run(0, ["level", LEVEL])
    authorize(world)
    redeem(world)


@pytest.mark.parametrize(
    "document",
    [[], [0, b"x", 8, b"", 5], [5, b"", 8, b"", 5], [5, b"x", 0, b"", 5], [5, b"x", 8, None, 5], [5, b"x", 8, b"", -1],
     [5, b"x", 8, b"", (1 << 63) - 1], [5, b"x", 8, b"", 5, "x"], 5],
    ids=["nothing", "no app", "no uri", "no scopes", "no challenge", "before 1970", "never due", "no token", "number"],
)  # fmt: skip
def test_what_is_no_code_does_not_move_here(document):
    with pytest.raises((RookeryError, TypeError)):
        check_code(document)
    check_code([5, b"x", 8, b"", 5, b"", "what a later version knows"])
