"""An account's shard is asked once for a page, and once more for a write: what needs more stands in `asked.py`."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from api.mastodon.operations import OPERATIONS
from api.streaming.channels import NAME_AT
from tests.api.mastodon.asked import MORE, count_questions

MARKS = ("favourite", "unfavourite", "bookmark", "unbookmark", "reblog", "unreblog", "mute", "unmute")
TIES = ("follow", "unfollow", "mute", "unmute", "block", "unblock")
NAMES = {"hashtag": "cats", "window": "day", "group_key": "favourite-1-1", "number": "1"}


def url_of(path: str, status: str, account: str, list_id: str) -> str:
    """Return a path with ids of what exists in it."""
    about = status if "/statuses/" in path else list_id if "/lists/" in path or "/timelines/list/" in path else account
    url = re.sub("{([a-z_]+)}", lambda name: about if name[1] == "id" else NAMES.get(name[1], "1"), path)
    return f"{url}?q=cats&id={account}"


def test_an_account_is_asked_about_as_often_as_the_table_says(ada: Any, bob: Any) -> None:
    own, other = ada.says("my #cats"), bob.says("other #cats")
    ada.post(f"/api/v1/accounts/{bob.id}/follow")
    list_id = ada.post("/api/v1/lists", title="friends")["id"]
    answers: Counter[int] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        over = count_questions(patch)
        for status in (own, other):
            for row in OPERATIONS.rows:
                if row.method == "GET" and row.path not in NAME_AT and not row.path.startswith("/oauth"):
                    url = url_of(row.path, status, bob.id, list_id)
                    answers[ada.http.get(url, follow_redirects=False).status_code] += 1
            for mark in MARKS:
                answers[ada.http.post(f"/api/v1/statuses/{status}/{mark}").status_code] += 1
        for tie in TIES:
            answers[ada.http.post(f"/api/v1/accounts/{bob.id}/{tie}").status_code] += 1
    assert answers[200] >= 140, answers
    assert over == []


def test_only_operations_that_there_are_may_ask_more() -> None:
    assert MORE.keys() <= {f"{row.method} {row.path}" for row in OPERATIONS.rows}
