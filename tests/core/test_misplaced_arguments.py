"""Whose buckets are another shard's is told so, whatever is asked of them."""

from __future__ import annotations

import pytest

from actors.core import ids
from actors.core.errors import MovedError, RookeryError
from actors.core.features import READS
from tests.core.harness import NOW_MS
from tests.core.test_hostile_arguments import (
    APP,
    APP_THERE,
    BASE,
    CLIENTS,
    HERE,
    MAIL_HASH_THERE,
    MAIL_THERE,
    NUMBERS,
    ORIGINAL,
    THERE,
    TOLD_THERE,
    TWEETS,
)

MISPLACED = {
    "like": [THERE[0], TWEETS[0]], "follow": [THERE[0], HERE[0]], "post": [THERE[0], "x", 0, 0, 0, b"", [], [], None],
    "delete": [TWEETS[3], THERE[0]], "register": [BASE.name_on(1), 7, "", "", None, []],
    "login_token": [THERE[0], b"x"], "revoke_tokens": [THERE[0], []],
    "authorize": [THERE[0], 7, APP, b"uri", 8, b""], "redeem": [THERE[0], 7, APP, b"uri", b"", b"new"],
    "change_password": [THERE[0], "old", "new", None, None], "update_profile": [THERE[0], {}],
    "repost": [THERE[0], ORIGINAL],
    "account": [THERE[0]], "tweet": [TWEETS[3], 0], "seen": [TWEETS[3], 0], "lineage": [TWEETS[3], 0, 1],
    "tweets": [[TWEETS[3], TWEETS[0]], 0], "token": [THERE[0], b"x"], "token_scopes": [THERE[0], b"x"],
    "profile": [THERE[0], 0], "settings": [THERE[0]], "own_account": [THERE[0]],
    "polls": [[TWEETS[6], TWEETS[5]]], "children": [[TWEETS[6]], 1], "votes": [THERE[0], []],
    "source": [TWEETS[6], 0], "versions": [TWEETS[6], 0], "vote": [THERE[0], TWEETS[5], HERE[0], 1, NOW_MS + 600_000],
    "scheduled_statuses": [THERE[0], 0, 0, 0, 20], "scheduled_status": [THERE[0], 7],
    "reader": [THERE[0]], "blocked_among": [THERE[0], b""], "user_timeline": [THERE[0], 0, 0, 0, 0, 20],
    "followers": [THERE[0], 0, 0, 20], "app": [APP_THERE], "use_app": [APP_THERE],
    "make_app_token": [APP_THERE, b"own", 8], "end_app_token": [APP_THERE, b"own"], "app_token": [APP_THERE, b"own"],
    "react": [TOLD_THERE, NUMBERS[1], "x", HERE[0], True], "reactions": [TOLD_THERE, 0],
    "claim_address": [MAIL_THERE, MAIL_HASH_THERE, HERE[0]], "address": [MAIL_THERE],
    "release_address": [MAIL_THERE, HERE[0]], "mailbox": [THERE[0]], "confirm_address": [THERE[0], b"c" * 32],
    "webhooks": [THERE[0]], "make_webhook": [THERE[0], "https://example.org/hook", 1, b"s"],
    "create_app": [APP_THERE, CLIENTS[1], b"secret", "Client", "", ["urn:x"], 8],
}  # fmt: skip


@pytest.mark.parametrize("op", MISPLACED)
def test_a_request_for_a_bucket_of_another_shard_is_answered_with_moved(op):
    replica = BASE.replicas[0]
    with pytest.raises(MovedError):
        replica.read(op, MISPLACED[op]) if op in READS else replica.write(op, MISPLACED[op], NOW_MS)


def test_a_home_timeline_of_another_shard_is_answered_with_moved():
    with pytest.raises(MovedError):
        BASE.replicas[0].query([THERE[0], 0, 0, 0, 20])


def test_ids_outside_64_bits_are_refused():
    for wrong in (0, -1, ids.ID_MAX + 1):
        with pytest.raises(RookeryError):
            BASE.replicas[0].read("account", [wrong])
