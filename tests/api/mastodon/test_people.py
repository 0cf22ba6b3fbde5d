"""Whom one may want to know; reports and announcements; what isn't there yet."""

from __future__ import annotations

from typing import Any

import pytest

CREDENTIALS = "/api/v1/accounts/update_credentials"


def ids(accounts: list[dict[str, Any]]) -> list[str]:
    return [account["id"] for account in accounts]


def test_the_directory_has_who_wrote_last_first_and_who_came_last(ada, bob, stranger):
    ada.says("first")
    bob.says("second")
    active = ids(stranger.get("/api/v1/directory", params={"limit": 80}).json())
    assert active.index(bob.id) < active.index(ada.id)
    assert {ada.id, bob.id} <= set(ids(stranger.get("/api/v1/directory", params={"order": "new", "limit": 80}).json()))
    rest = ids(stranger.get("/api/v1/directory", params={"offset": 1, "limit": 80}).json())
    assert rest[:1] == active[1:2]
    ada.patch(CREDENTIALS, discoverable=False)
    assert ada.id not in ids(stranger.get("/api/v1/directory", params={"limit": 80}).json())
    reply = stranger.get("/api/v1/directory", params={"order": "size"})
    assert (reply.status_code, "order must be one of active, new" in reply.json()["error"]) == (422, True)


def test_whom_those_follow_whom_one_follows_is_suggested_until_dismissed(ada, bob, new_person):
    friend = new_person("friend")
    ada.http.post(f"/{ada.id}/follow/{bob.id}")
    bob.http.post(f"/{bob.id}/follow/{friend.id}")
    first, *_ = ada.get("/api/v2/suggestions")
    assert (first["account"]["id"], first["sources"]) == (friend.id, ["friends_of_friends"])
    assert ids(ada.get("/api/v1/suggestions"))[0] == friend.id
    assert not {ada.id, bob.id} & set(ids(ada.get("/api/v1/suggestions", limit=80)))
    assert ada.delete(f"/api/v1/suggestions/{friend.id}") == {}
    assert friend.id not in ids(ada.get("/api/v1/suggestions", limit=80))


def test_who_follows_nobody_is_suggested_who_writes_and_is_followed(ada, bob, new_person):
    fan = new_person("fan")
    for person in (ada, bob):
        person.says("hello")
    fan.http.post(f"/{fan.id}/follow/{bob.id}")
    found = [s["account"]["id"] for s in new_person("new").get("/api/v2/suggestions", limit=80)]
    assert found.index(bob.id) < found.index(ada.id)
    bob.patch(CREDENTIALS, discoverable=False)
    assert bob.id not in ids(ada.get("/api/v1/suggestions", limit=80))


def test_a_report_is_told_to_the_operator_and_answered_with_what_was_said(ada, bob, server):
    said = bob.says("buy this")
    made = ada.post("/api/v1/reports", account_id=bob.id, category="spam", comment="buys", status_ids=[said])
    assert (made["target_account"]["id"], made["category"], made["comment"]) == (bob.id, "spam", "buys")
    assert (made["status_ids"], made["action_taken"], made["forwarded"]) == ([said], False, False)
    kept = [row for shard in server.fake.sim.shards for row in shard.replica.read("reports", [0, 100])]
    assert [int(made["id"]), int(ada.id), int(bob.id), "spam", "buys", [int(said)], []] in kept


@pytest.mark.parametrize(("body", "status"), [
    ({}, 404), ({"account_id": "999999999"}, 404), ({"account_id": "x"}, 400), ({"category": "rude"}, 422),
    ({"comment": "x" * 1_001}, 422), ({"status_ids": list(range(1, 102))}, 422),
], ids=lambda value: str(value)[:30])  # fmt: skip
def test_a_report_that_is_none_is_refused(ada, bob, body, status):
    whole = body if "account_id" in body or not body else {"account_id": bob.id, **body}
    assert ada.http.post("/api/v1/reports", json=whole).status_code == status
