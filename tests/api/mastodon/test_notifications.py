"""Notifications: what is shown of them, one by one and in groups, what waits, and that only their reader sees them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.mastodon.conftest import Person

POLICY = "/api/v2/notifications/policy"
FRESH = {
    "for_not_following": "accept", "for_not_followers": "accept", "for_new_accounts": "accept",
    "for_private_mentions": "accept", "for_limited_accounts": "accept",
    "summary": {"pending_requests_count": 0, "pending_notifications_count": 0},
}  # fmt: skip


V1, V2, REQUESTS = "/api/v1/notifications", "/api/v2/notifications", "/api/v1/notifications/requests"


def toot(person: Person, status: str, **more: Any) -> str:
    return str(person.post("/api/v1/statuses", status=status, **more)["id"])


def told(person: Person, **query: Any) -> list[tuple[str, str, str]]:
    """Return (type, by whom, about which status) of the newest notifications."""
    return [
        (each["type"], each["account"]["id"], each.get("status", {}).get("id", ""))
        for each in person.get(V1, **query)
    ]  # fmt: skip


# ---- one by one ----------------------------------------------------------------------------------------------------


def test_who_does_what_is_told_at_once_and_no_more_once_it_is_undone(ada, bob):
    mine = toot(ada, "hello")
    bob.post(f"/api/v1/statuses/{mine}/favourite")
    bob.post(f"/api/v1/statuses/{mine}/reblog")
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    answer = toot(bob, f"@{ada.username} hi", in_reply_to_id=mine)
    expected = [("mention", answer), ("follow", ""), ("reblog", mine), ("favourite", mine)]
    assert told(ada) == [(type_, bob.id, about) for type_, about in expected]
    (newest, *_) = ada.get(V1, limit=1)
    assert newest["status"]["content"].endswith("hi</p>")
    assert ada.get(f"{V1}/{newest['id']}") == newest
    bob.post(f"/api/v1/statuses/{mine}/unfavourite")
    bob.post(f"/api/v1/statuses/{mine}/unreblog")
    bob.post(f"/api/v1/accounts/{ada.id}/unfollow")
    bob.delete(f"/api/v1/statuses/{answer}")
    assert told(ada) == []


def test_pages_go_on_by_their_link_and_types_and_accounts_are_picked(ada, bob, new_person):
    eve, mine = new_person("eve"), toot(ada, "hello")
    for person in (bob, eve):
        person.post(f"/api/v1/statuses/{mine}/favourite")
        person.post(f"/api/v1/accounts/{ada.id}/follow")
    every, page = told(ada), ada.http.get(V1, params={"limit": 3})
    assert [each["id"] for each in page.json()] == [each["id"] for each in ada.get(V1)][:3]
    rest = ada.http.get(page.links["next"]["url"])
    assert [(each["type"], each["account"]["id"]) for each in rest.json()] == [every[3][:2]]
    assert "next" not in rest.links
    assert ada.http.get(page.links["prev"]["url"]).json() == []
    follows = [("follow", eve.id, ""), ("follow", bob.id, "")]
    assert told(ada, **{"types[]": ["follow", "nonsense"]}) == told(ada, **{"exclude_types[]": "favourite"}) == follows
    assert told(ada, account_id=bob.id) == [each for each in every if each[1] == bob.id]
    assert told(ada, **{"types[]": "nonsense"}) == []


def test_what_one_may_not_see_any_more_is_left_out(ada, bob):
    said = toot(bob, f"@{ada.username} psst", visibility="direct")
    ((_, _, about),) = told(ada)
    assert about == said
    (notice,) = ada.get(V1)
    bob.post(f"/api/v1/accounts/{ada.id}/block")
    assert told(ada) == []
    assert ada.http.get(f"{V1}/{notice['id']}").status_code == 404


def test_nobody_else_sees_or_dismisses_them(ada, bob):
    bob.post(f"/api/v1/accounts/{ada.id}/follow")
    (notice,) = ada.get(V1)
    for method, path in (("GET", f"{V1}/{notice['id']}"), ("POST", f"{V1}/{notice['id']}/dismiss")):
        assert bob.http.request(method, path).status_code == 404
    assert bob.get(V1) == []
    assert ada.get(V1) == [notice]
    assert ada.post(f"{V1}/{notice['id']}/dismiss") == {}
    assert ada.get(V1) == []
    assert ada.http.post(f"{V1}/{notice['id']}/dismiss").status_code == 404


def test_filters_of_notifications_are_said_of_their_statuses(ada, bob):
    ada.post(
        "/api/v2/filters", title="fish", context=["notifications"],
        keywords_attributes=[{"keyword": "herring", "whole_word": True}],
    )  # fmt: skip
    toot(bob, f"@{ada.username} a herring")
    (notice,) = ada.get(V1)
    assert [found["filter"]["title"] for found in notice["status"]["filtered"]] == ["fish"]


def test_unread_is_what_is_newer_than_the_marker(ada, bob, new_person):
    mine = toot(ada, "hello")
    for person in (bob, new_person("eve")):
        person.post(f"/api/v1/statuses/{mine}/favourite")
        person.post(f"/api/v1/accounts/{ada.id}/follow")
    counts = lambda: [ada.get(f"{path}/unread_count")["count"] for path in (V1, V2)]  # noqa: E731
    assert counts() == [4, 2]
    assert ada.get(f"{V1}/unread_count", limit=3) == {"count": 3}
    newest, second, *_ = ada.get(V1)
    ada.post("/api/v1/markers", notifications={"last_read_id": second["id"]})
    assert counts() == [1, 1]
    ada.post("/api/v1/markers", notifications={"last_read_id": newest["id"]})
    assert counts() == [0, 0]
    ada.post(f"{V1}/clear")
    assert ada.get(V1) == []


# ---- in groups -----------------------------------------------------------------------------------------------------


def test_favourites_of_one_status_and_new_followers_are_each_a_group(ada, bob, new_person):
    eve, mine, other = new_person("eve"), toot(ada, "hello"), toot(ada, "again")
    for person in (bob, eve):
        person.post(f"/api/v1/statuses/{mine}/favourite")
        person.post(f"/api/v1/accounts/{ada.id}/follow")
    bob.post(f"/api/v1/statuses/{other}/favourite")
    naming = toot(eve, f"@{ada.username} hi")
    found = ada.get(V2)
    shown = [(g["type"], g["notifications_count"], g["sample_account_ids"], g.get("status_id")) for g in
             found["notification_groups"]]  # fmt: skip
    assert shown == [
        ("mention", 1, [eve.id], naming), ("favourite", 1, [bob.id], other), ("follow", 2, [eve.id, bob.id], None),
        ("favourite", 2, [eve.id, bob.id], mine),
    ]  # fmt: skip
    assert {account["id"] for account in found["accounts"]} == {bob.id, eve.id}
    assert {status["id"] for status in found["statuses"]} == {mine, other, naming}
    keys = {notice["group_key"] for notice in ada.get(V1)}
    assert keys == {group["group_key"] for group in found["notification_groups"]}
    for group in found["notification_groups"]:
        assert ada.get(f"{V2}/{group['group_key']}")["notification_groups"] == [group]
        accounts = ada.get(f"{V2}/{group['group_key']}/accounts")
        assert [account["id"] for account in accounts] == group["sample_account_ids"]
    assert len(ada.get(V2, **{"grouped_types[]": "follow"})["notification_groups"]) == 5
    key = found["notification_groups"][3]["group_key"]
    assert ada.post(f"{V2}/{key}/dismiss") == {}
    assert [notice["type"] for notice in ada.get(V1)] == ["mention", "favourite", "follow", "follow"]
    assert ada.http.get(f"{V2}/{key}").status_code == 404


def test_pages_of_groups_go_on_below_what_was_looked_at(ada, bob, new_person):
    mine = [toot(ada, f"number {number}") for number in range(3)]
    for person in (bob, new_person("eve")):
        for status in mine:
            person.post(f"/api/v1/statuses/{status}/favourite")
    page, seen = ada.http.get(V2, params={"limit": 2}), []
    while True:
        seen += [group["status_id"] for group in page.json()["notification_groups"]]
        if "next" not in page.links:
            break
        page = ada.http.get(page.links["next"]["url"])
    assert set(seen) == set(mine)
    assert seen[:2] == mine[:0:-1]


# ---- what waits ----------------------------------------------------------------------------------------------------


def test_what_waits_is_a_request_of_who_caused_it_until_it_is_let_through_or_dropped(ada, bob, new_person):
    eve = new_person("eve")
    ada.patch(POLICY, for_not_following="filter")
    first, last = (toot(bob, f"@{ada.username} {word}") for word in ("one", "two"))
    toot(eve, f"@{ada.username} three")
    assert ada.get(V1) == []
    assert [about for _, _, about in told(ada, include_filtered=True)][1:] == [last, first]
    of_eve, of_bob = ada.get(REQUESTS)
    assert (of_bob["id"], of_bob["account"]["id"], of_bob["last_status"]["id"]) == (bob.id, bob.id, last)
    assert (of_bob["notifications_count"], of_eve["notifications_count"]) == ("2", "1")
    assert of_bob["created_at"] < of_bob["updated_at"]
    assert ada.get(f"{REQUESTS}/{bob.id}") == of_bob
    assert ada.get(POLICY)["summary"] == {"pending_requests_count": 2, "pending_notifications_count": 3}
    assert ada.post(f"{REQUESTS}/{bob.id}/accept") == {}
    assert [about for _, _, about in told(ada)] == [last, first]
    assert ada.post(f"{REQUESTS}/dismiss", id=[eve.id, bob.id]) == {}
    assert ada.get(REQUESTS) == []
    later = toot(bob, f"@{ada.username} four")
    toot(eve, f"@{ada.username} five")
    assert told(ada)[0] == ("mention", bob.id, later)
    assert [each["id"] for each in ada.get(REQUESTS)] == [eve.id]
    assert ada.post(f"{REQUESTS}/accept", id=[eve.id]) == {}
    assert len(ada.get(V1)) == 4


# ---- what there isn't ----------------------------------------------------------------------------------------------


def test_there_are_none_at_first(ada):
    assert ada.get(V1, limit=15) == ada.get(REQUESTS) == []
    assert ada.get(V2) == {"accounts": [], "statuses": [], "notification_groups": []}
    for path in (V1, V2):
        assert ada.get(f"{path}/unread_count") == {"count": 0}


@pytest.mark.parametrize(
    "key", ["favourite-7-20000", "follow-20000", "follow-7-20000", "mention-7-20000", "x", "-", "ungrouped-x"]
)
def test_a_group_that_there_is_not_is_not_found(ada, key):
    assert ada.http.get(f"{V2}/{key}").status_code == 404


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/api/v1/notifications/7"), ("POST", "/api/v1/notifications/7/dismiss"),
    ("GET", "/api/v2/notifications/ungrouped-7"), ("GET", "/api/v2/notifications/ungrouped-7/accounts"),
    ("GET", "/api/v1/notifications/requests/7"), ("POST", "/api/v1/notifications/requests/7/accept"),
    ("POST", "/api/v1/notifications/requests/7/dismiss"),
])  # fmt: skip
def test_one_that_is_asked_for_is_not_found(ada, method, path):
    reply = ada.http.request(method, path)
    assert (reply.status_code, reply.json()) == (404, {"error": "Record not found"})


def test_all_of_none_are_cleared_dismissed_and_let_through(ada):
    for path in ("v1/notifications/clear", "v2/notifications/ungrouped-7/dismiss",
                 "v1/notifications/requests/accept", "v1/notifications/requests/dismiss"):  # fmt: skip
        assert ada.post(f"/api/{path}") == {}
    assert ada.get("/api/v1/notifications/requests/merged") == {"merged": True}


def test_whose_notifications_are_wanted_is_kept_for_each_account(ada, bob):
    assert ada.get(POLICY) == FRESH
    changed = FRESH | {"for_not_following": "filter", "for_new_accounts": "drop"}
    assert ada.patch(POLICY, for_not_following="filter", for_new_accounts="drop") == changed
    assert ada.get(POLICY) == ada.patch(POLICY) == changed
    assert bob.get(POLICY) == FRESH
    assert ada.patch(POLICY, for_not_following="accept", for_new_accounts="accept") == FRESH


@pytest.mark.parametrize(("said", "status"), [("perhaps", 422), ("", 422), ({"a": 1}, 400), (True, 400)])
def test_what_is_no_verdict_is_refused_by_name(ada, said, status):
    reply = ada.http.patch(POLICY, json={"for_not_followers": said})
    assert reply.status_code == status
    assert "for_not_followers" in reply.json()["error"]
    assert ada.get(POLICY) == FRESH
