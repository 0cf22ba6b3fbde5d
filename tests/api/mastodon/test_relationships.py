"""Relationships: each answer says what is so afterwards, on both sides, and so do the lists."""

from __future__ import annotations

from typing import Any

import pytest

HAS = [
    "id", "following", "showing_reblogs", "notifying", "languages", "followed_by", "blocking", "blocked_by", "muting",
    "muting_notifications", "muting_expires_at", "requested", "requested_by", "domain_blocking", "endorsed", "note",
]  # fmt: skip


def act(who: Any, whom: Any, action: str, **body: Any) -> Any:
    return who.post(f"/api/v1/accounts/{whom.id}/{action}", **body)


def stands(who: Any, whom: Any) -> Any:
    (found,) = who.get("/api/v1/accounts/relationships", **{"id[]": whom.id})
    return found


def ids(found: list[Any]) -> list[str]:
    return [each["id"] for each in found]


@pytest.mark.parametrize(("do", "undo", "here", "there"), [
    ("follow", "unfollow", "following", "followed_by"),
    ("block", "unblock", "blocking", "blocked_by"),
    ("mute", "unmute", "muting", None),
])  # fmt: skip
def test_an_action_and_its_undoing_are_seen_on_both_sides(ada, bob, do, undo, here, there):
    for action, is_so in ((do, True), (do, True), (undo, False), (undo, False)):
        found = act(ada, bob, action)
        assert (found["id"], found[here]) == (bob.id, is_so)
        assert found == stands(ada, bob)
        other = stands(bob, ada)
        assert [name for name in HAS if other[name] is True] == ([there] if there and is_so else [])


def test_a_relationship_has_all_members_and_only_accounts_that_exist_have_one(ada, bob, stranger):
    found = ada.get("/api/v1/accounts/relationships", **{"id[]": [bob.id, "77", "x", ada.id, bob.id]})
    assert ids(found) == [bob.id, ada.id]
    assert list(found[0]) == HAS
    assert ada.get("/api/v1/accounts/relationships", id=bob.id) == found[:1]
    assert ada.get("/api/v1/accounts/relationships") == []
    assert stranger.get("/api/v1/accounts/relationships").status_code == 401


def test_options_of_a_follow_are_kept_until_said_otherwise_and_go_with_it(ada, bob):
    found = act(ada, bob, "follow")
    assert (found["showing_reblogs"], found["notifying"], found["languages"]) == (True, False, None)
    found = act(ada, bob, "follow", reblogs=False, notify=True, languages=["de", "EN", "de"])
    assert (found["showing_reblogs"], found["notifying"], found["languages"]) == (False, True, ["de", "en"])
    found = act(ada, bob, "follow", reblogs=True)
    assert (found["showing_reblogs"], found["notifying"], found["languages"]) == (True, True, ["de", "en"])
    act(ada, bob, "unfollow")
    found = act(ada, bob, "follow")
    assert (found["showing_reblogs"], found["notifying"], found["languages"]) == (True, False, None)
    for wrong in ({"reblogs": "maybe"}, {"languages": ["English language"]}, {"languages": [1]}):
        assert ada.http.post(f"/api/v1/accounts/{bob.id}/follow", json=wrong).status_code in (400, 422)


def test_reblogs_that_are_not_wanted_are_left_out_of_home_alone(ada, bob, new_person):
    eve = new_person("eve")
    act(ada, bob, "follow")
    own, theirs = bob.says("my own"), eve.says("hers")
    boost = bob.post(f"/api/v1/statuses/{theirs}/reblog")["id"]
    assert ids(ada.get("/api/v1/timelines/home")) == [boost, own]
    act(ada, bob, "follow", reblogs="false")
    assert ids(ada.get("/api/v1/timelines/home")) == [own]
    assert ids(ada.get(f"/api/v1/accounts/{bob.id}/statuses")) == [boost, own]
    act(ada, bob, "follow", reblogs=True)
    assert ids(ada.get("/api/v1/timelines/home")) == [boost, own]


def test_a_mute_may_be_for_a_while_and_may_let_notifications_through(ada, bob):
    assert act(ada, bob, "mute")["muting_notifications"] is True
    found = act(ada, bob, "mute", notifications=False, duration=300)
    assert (found["muting"], found["muting_notifications"]) == (True, False)
    (listed,) = ada.get("/api/v1/mutes")
    assert (listed["id"], listed["mute_expires_at"]) == (bob.id, found["muting_expires_at"])
    assert found["muting_expires_at"].endswith("Z")
    assert act(ada, bob, "mute")["muting_expires_at"] is None
    act(ada, bob, "unmute")
    assert ada.get("/api/v1/mutes") == []
    assert ada.http.post(f"/api/v1/accounts/{bob.id}/mute", json={"duration": "long"}).status_code == 400


def test_a_note_is_its_writer_s_alone(ada, bob):
    assert act(ada, bob, "note", comment="met at a fair")["note"] == stands(ada, bob)["note"] == "met at a fair"
    assert stands(bob, ada)["note"] == ""
    assert act(ada, bob, "note")["note"] == ""
    assert ada.http.post(f"/api/v1/accounts/{bob.id}/note", json={"comment": "x" * 2_001}).status_code == 422
    assert act(ada, bob, "note", comment="ü" * 2_000)["note"] == "ü" * 2_000


@pytest.mark.parametrize(("do", "undo"), [("pin", "unpin"), ("endorse", "unendorse")])
def test_whom_one_follows_may_be_shown_on_the_profile(ada, bob, stranger, do, undo):
    assert ada.http.post(f"/api/v1/accounts/{bob.id}/{do}").status_code == 422
    act(ada, bob, "follow")
    assert act(ada, bob, do)["endorsed"] is True
    assert ids(ada.get("/api/v1/endorsements")) == [bob.id]
    assert ids(stranger.get(f"/api/v1/accounts/{ada.id}/endorsements").json()) == [bob.id]
    assert act(ada, bob, undo)["endorsed"] is False
    act(ada, bob, do)
    assert act(ada, bob, "unfollow")["endorsed"] is False
    assert ada.get("/api/v1/endorsements") == []


def test_a_follower_that_is_removed_follows_no_more_and_may_do_so_again(ada, bob):
    act(bob, ada, "follow", notify=True)
    assert act(ada, bob, "remove_from_followers")["followed_by"] is False
    assert (stands(bob, ada)["following"], stands(bob, ada)["notifying"]) == (False, False)
    assert act(ada, bob, "remove_from_followers")["followed_by"] is False
    assert act(bob, ada, "follow")["following"] is True


@pytest.mark.parametrize(("action", "path"), [("block", "blocks"), ("mute", "mutes"), ("endorse", "endorsements")])
def test_lists_have_the_newest_first_and_page_by_their_link(ada, new_person, action, path):
    people = [new_person() for _ in range(5)]
    for who in people:
        act(ada, who, "follow")
        act(ada, who, action)
    expected = [who.id for who in reversed(people)]
    reply = ada.http.get(f"/api/v1/{path}", params={"limit": 2})
    found = reply.json()
    while "next" in reply.links:
        reply = ada.http.get(reply.links["next"]["url"])
        found += reply.json()
    assert ids(found) == expected
    assert people[0].get(f"/api/v1/{path}") == []


def test_familiar_followers_are_followed_by_the_reader(ada, bob, new_person):
    eve, cid = new_person("eve"), new_person("cid")
    for who, whom in ((ada, bob), (ada, cid), (bob, eve), (cid, eve), (new_person(), eve)):
        act(who, whom, "follow")
    first, second = ada.get("/api/v1/accounts/familiar_followers", **{"id[]": [eve.id, bob.id, "99"]})
    assert (first["id"], sorted(ids(first["accounts"]))) == (eve.id, sorted([bob.id, cid.id]))
    assert (second["id"], second["accounts"]) == (bob.id, [])
    assert bob.get("/api/v1/accounts/familiar_followers", **{"id[]": [eve.id]}) == [{"id": eve.id, "accounts": []}]
    act(eve, ada, "block")
    assert ada.get("/api/v1/accounts/familiar_followers", **{"id[]": [eve.id]}) == [{"id": eve.id, "accounts": []}]


def test_what_can_not_be_done_is_refused(ada, bob, stranger):
    refusal = ada.http.post(f"/api/v1/accounts/{ada.id}/follow")
    assert (refusal.status_code, refusal.json()) == (403, {"error": "This action is not allowed"})
    for action in ("block", "mute"):
        assert ada.http.post(f"/api/v1/accounts/{ada.id}/{action}").status_code == 422
    act(bob, ada, "block")
    assert ada.http.post(f"/api/v1/accounts/{bob.id}/follow").status_code == 403
    actions = ("follow", "unfollow", "block", "unblock", "mute", "unmute", "note", "pin", "unpin", "endorse",
               "unendorse", "remove_from_followers")  # fmt: skip
    for action in actions:
        for account_id in ("999999", "x", "99999999999999999999"):
            reply = ada.http.post(f"/api/v1/accounts/{account_id}/{action}")
            assert (reply.status_code, reply.json()) == (404, {"error": "Record not found"}), action
        assert stranger.post(f"/api/v1/accounts/{bob.id}/{action}").status_code == 401


def test_a_locked_account_is_asked_and_says_yes_or_no(ada, bob, new_person):
    eve = new_person("eve")
    bob.patch("/api/v1/accounts/update_credentials", locked=True)
    for who in (ada, eve):
        found = act(who, bob, "follow", notify=True)
        assert (found["requested"], found["following"], found["notifying"]) == (True, False, True)
    assert stands(bob, ada)["requested_by"] is True
    assert ids(bob.get("/api/v1/follow_requests")) == [eve.id, ada.id]
    found = bob.post(f"/api/v1/follow_requests/{ada.id}/authorize")
    assert (found["id"], found["followed_by"], found["requested_by"]) == (ada.id, True, False)
    found = stands(ada, bob)
    assert (found["following"], found["requested"], found["notifying"]) == (True, False, True)
    assert act(ada, bob, "follow", reblogs=False)["showing_reblogs"] is False
    assert bob.post(f"/api/v1/follow_requests/{eve.id}/reject")["requested_by"] is False
    assert stands(eve, bob)["requested"] is False
    act(eve, bob, "follow")
    assert act(eve, bob, "unfollow")["requested"] is False
    assert bob.get("/api/v1/follow_requests") == []
    assert eve.http.post(f"/{eve.id}/follow/{bob.id}").status_code == 403
    assert ada.http.post(f"/{ada.id}/follow/{bob.id}").status_code == 200, "who follows already"
    for account_id in (eve.id, "999", "x"):
        for action in ("authorize", "reject"):
            assert bob.http.post(f"/api/v1/follow_requests/{account_id}/{action}").status_code == 404


def test_other_languages_than_those_that_are_wanted_are_not_at_home(ada, bob):
    told = [bob.post("/api/v1/statuses", status="hello", language=code)["id"] for code in ("de", "en")]
    act(ada, bob, "follow", languages=["en"])
    assert [each["id"] for each in ada.get("/api/v1/timelines/home")] == told[1:]
    act(ada, bob, "follow", languages=[])
    assert [each["id"] for each in ada.get("/api/v1/timelines/home")] == told[::-1]
