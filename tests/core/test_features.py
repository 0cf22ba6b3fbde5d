"""The table of features: what is made of it, and that it can be read by processes that hold no shard."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from actors.core.apply import COMMANDS
from actors.core.features import (
    FEATURES,
    FOLLOWER_READS,
    FRESH_READS,
    HIDING,
    MESSAGES,
    READS,
    SHARD_WIDE,
    WRITES,
    hides,
)
from actors.core.features import _by_name as by_name
from actors.core.stores.account_flags import LOCKED, UNINDEXED
from actors.core.terms import Key

ROWS = [pytest.param(row, id=row.name) for feature in FEATURES for row in (*feature.writes, *feature.reads)]
HANDLERS = [
    pytest.param(function, id=f"{feature.name}-{name}")
    for feature in FEATURES
    for name, function in (*feature.commands.items(), *((e.name, e.handle) for e in feature.effects))
]
HEAVY = ("numba", "llvmlite", "ray", "duckdb")


def test_a_process_that_only_routes_loads_no_compiled_kernels():
    code = f"import sys, actors.core.features as f; print(len(f.WRITES), [m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(len(WRITES)), "[]\n"]


def test_two_features_may_not_claim_one_name():
    with pytest.raises(ValueError, match="two features claim 'like'"):
        by_name([("like", 1), ("post", 2), ("like", 3)])


def test_a_name_is_a_write_or_a_read_and_a_file_has_one_feature():
    assert not WRITES.keys() & READS.keys()
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_what_decides_about_access_is_asked_fresh_and_what_shows_less_is_told():
    of_tokens = {"token", "tokens", "token_owner", "token_scopes", "app_token"}
    assert (
        of_tokens
        | {"credentials", "names", "answered", "app", "address", "mailbox", "media", "media_many", "tweet_facts"}
        == FRESH_READS
    )
    of_tweets, of_accounts = {"delete", "edit", "unrepost"}, {"block", "mute", "mute_as", "delete_account"}
    assert of_tweets | of_accounts | {"update_profile"} == HIDING
    assert READS.keys() - FOLLOWER_READS == {"activity", "export", "media_held", "referred", "waiting"}
    assert FRESH_READS <= FOLLOWER_READS


def test_a_write_that_shows_less_is_told_with_a_key_too():
    for op, hidden in (("delete", True), ("edit", True), ("like", False)):
        assert hides(op, [1, 2]) is hidden
        assert hides("keyed", [1, b"key", b"print", op, [1, 2]]) is hidden


def test_a_changed_profile_drops_searches_only_where_it_says_who_is_indexed():
    changes = [
        ({"bio": "hello"}, False), ({"flags": [LOCKED, LOCKED]}, False), ({"flags": [UNINDEXED | LOCKED, 0]}, True),
        ({"flags": [UNINDEXED, UNINDEXED], "bio": ""}, True), ({"flags": "x"}, False), ({"flags": []}, False),
        (7, False),
    ]  # fmt: skip
    for values, hidden in changes:
        assert hides("update_profile", [1, values]) is hidden
        assert hides("keyed", [1, b"key", b"print", "update_profile", [1, values]]) is hidden
    for args in ([], [1], [1, None]):  # as somebody gave them: it was refused
        assert hides("update_profile", args) is False
        assert hides("keyed", args) is False


def test_what_has_many_keys_is_asked_by_shard():
    assert {name for name, row in {**WRITES, **READS}.items() if row.key is Key.SHARD} == SHARD_WIDE
    assert {"register_many", "post_many", "follow_many", "cards", "names", "export"} <= SHARD_WIDE


@pytest.mark.parametrize("row", ROWS)
def test_every_operation_says_what_it_does_and_takes_what_its_key_says(row):
    function = row.prepare if hasattr(row, "prepare") else row.answer
    parameters = list(inspect.signature(function).parameters)
    assert inspect.getdoc(function), "what a newcomer reads first has words"
    assert parameters[0] == "shard"
    assert hasattr(row, "answer") or parameters[1] == "now_ms"


@pytest.mark.parametrize("function", HANDLERS)
def test_every_command_and_message_says_what_it_does(function):
    assert inspect.getdoc(function)
    assert next(iter(inspect.signature(function).parameters)) == "state"


def test_messages_are_told_apart_from_commands_by_their_source():
    for function in MESSAGES.values():
        assert list(inspect.signature(function).parameters)[1] == "source"
    assert not MESSAGES.keys() & COMMANDS.keys()
