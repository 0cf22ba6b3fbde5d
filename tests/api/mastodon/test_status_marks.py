"""What a reader does with statuses: each answer says what is so afterwards, and so does every later read."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

ACTIONS = [
    ("favourite", "unfavourite", "favourited", "favourites_count"),
    ("bookmark", "unbookmark", "bookmarked", None),
    ("reblog", "unreblog", "reblogged", "reblogs_count"),
    ("mute", "unmute", "muted", None),
]


def status_of(who: Any, author: Any, status_id: str) -> dict[str, Any]:
    """Return a status as `who` finds it on its author's profile."""
    found = who.get(f"/api/v1/accounts/{author.id}/statuses")
    return next(status for status in found if status["id"] == status_id)


def act(who: Any, status_id: str, action: str, **body: Any) -> Any:
    return who.post(f"/api/v1/statuses/{status_id}/{action}", **body)


def next_page(who: Any, reply: Any) -> list[Any]:
    """Follow a Link to its end; return all that stood on the pages behind the first."""
    found = []
    while "next" in reply.links:
        assert {"next", "prev"} <= reply.links.keys()
        reply = who.http.get(reply.links["next"]["url"])
        found += reply.json()
    return found


@pytest.mark.parametrize(("do", "undo", "flag", "count"), ACTIONS)
def test_an_action_and_its_undoing_are_seen_in_the_answer_and_afterwards(ada, bob, do, undo, flag, count):
    said = bob.says("hello")
    for times in range(2):
        answer = act(ada, said, do)
        shown = answer["reblog"] if do == "reblog" else answer
        assert (shown["id"], shown[flag], shown["account"]["id"]) == (said, True, bob.id), f"the {times + 1}. time"
        assert count is None or shown[count] == 1
        assert status_of(ada, bob, said)[flag] is True
        assert status_of(bob, bob, said)[flag] is False
    for times in range(2):
        answer = act(ada, said, undo)
        assert (answer["id"], answer[flag]) == (said, False), f"taken back the {times + 1}. time"
        assert count is None or answer[count] == 0
        assert status_of(ada, bob, said)[flag] is False


@pytest.mark.parametrize(("do", "undo", "flag", "count"), ACTIONS[:2])
def test_the_id_of_a_reblog_means_what_it_reblogs(ada, bob, do, undo, flag, count):
    said = bob.says("hello")
    boost = act(ada, said, "reblog")
    assert (boost["reblog"]["id"], boost["account"]["id"], boost["id"] != said) == (said, ada.id, True)
    answer = act(bob, boost["id"], do)
    assert (answer["id"], answer[flag]) == (boost["id"], True)
    assert (answer["reblog"]["id"], answer["reblog"][flag]) == (said, True)
    assert status_of(bob, bob, said)[flag] is True
    assert act(bob, boost["id"], undo)["reblog"][flag] is False
    assert status_of(bob, bob, said)[flag] is False


@pytest.mark.parametrize("by", ["itself", "the original"])
def test_a_reblog_is_taken_back_by_its_own_id_and_by_the_original_s(ada, bob, by):
    said = bob.says("hello")
    boost = act(ada, said, "reblog")
    again = act(ada, boost["id"], "reblog")
    assert again["id"] == boost["id"], "a reblog of a reblog is one of the original, and it is there"
    answer = act(ada, boost["id"] if by == "itself" else said, "unreblog")
    assert (answer["id"], answer["reblogged"], answer["reblogs_count"]) == (said, False, 0)
    assert ada.get(f"/api/v1/accounts/{ada.id}/statuses") == []


def test_a_private_reblog_is_shown_to_followers_alone(ada, bob, new_person):
    eve = new_person("eve")
    said = bob.says("hello")
    eve.http.post(f"/{eve.id}/follow/{ada.id}")
    assert act(ada, said, "reblog", visibility="private")["visibility"] == "private"
    assert [status["reblog"]["id"] for status in eve.get(f"/api/v1/accounts/{ada.id}/statuses")] == [said]
    assert [status["reblog"]["id"] for status in eve.get("/api/v1/timelines/home")] == [said]
    assert bob.get(f"/api/v1/accounts/{ada.id}/statuses") == []
    assert ada.http.post(f"/api/v1/statuses/{said}/reblog", json={"visibility": "direct"}).status_code == 422
    assert act(bob, said, "reblog", visibility="unlisted")["visibility"] == "unlisted"


def test_a_status_with_a_poll_is_answered_whole(ada, bob):
    poll = {"options": ["yes", "no"], "expires_in": 3600}
    said = bob.post("/api/v1/statuses", status="well?", poll=poll)["id"]
    for action in ("favourite", "bookmark"):
        assert [option["title"] for option in act(ada, said, action)["poll"]["options"]] == ["yes", "no"]
    assert act(ada, said, "reblog")["reblog"]["poll"]["multiple"] is False


def test_only_the_author_reblogs_what_is_for_followers_and_only_for_them(ada, bob):
    ada.http.post(f"/{ada.id}/follow/{bob.id}")
    said = bob.says("among us", visibility="followers")
    refusal = ada.http.post(f"/api/v1/statuses/{said}/reblog")
    assert refusal.status_code == 403, refusal.text
    boost = act(bob, said, "reblog", visibility="public")
    assert (boost["visibility"], boost["reblog"]["visibility"]) == ("private", "private")
    assert [status["id"] for status in ada.get(f"/api/v1/accounts/{bob.id}/statuses")] == [boost["id"], said]


def test_pins_are_shown_on_the_profile_and_pinned_is_said_of_own_statuses_alone(ada, bob):
    first, second = ada.says("first"), ada.says("second")
    theirs = bob.says("theirs")
    assert act(ada, first, "pin")["pinned"] is True
    assert [status["id"] for status in bob.get(f"/api/v1/accounts/{ada.id}/statuses", pinned="true")] == [first]
    own = {status["id"]: status.get("pinned") for status in ada.get(f"/api/v1/accounts/{ada.id}/statuses")}
    assert own == {first: True, second: False}
    assert "pinned" not in status_of(bob, ada, first)
    assert "pinned" not in act(ada, theirs, "favourite")
    direct = ada.says("a secret", visibility="direct")
    for status_id in (theirs, direct, act(ada, theirs, "reblog")["id"]):
        refusal = ada.http.post(f"/api/v1/statuses/{status_id}/pin")
        assert refusal.status_code == 422, refusal.text
        assert refusal.json()["error"].startswith("Validation failed: ")
    assert act(ada, first, "unpin")["pinned"] is False
    assert bob.get(f"/api/v1/accounts/{ada.id}/statuses", pinned="true") == []


def test_a_muted_conversation_is_muted_from_its_first_status_down_to_answers_that_come_later(ada, bob, new_person):
    eve = new_person("eve")
    root = bob.says("first")
    answer = eve.says("second", in_reply_to=root)
    act(ada, answer, "mute")
    later = bob.says("third", in_reply_to=answer)
    for author, status_id in ((bob, root), (eve, answer), (bob, later)):
        assert status_of(ada, author, status_id)["muted"] is True
        assert status_of(bob, author, status_id)["muted"] is False
    assert status_of(ada, bob, bob.says("something else"))["muted"] is False
    assert act(ada, later, "unmute")["muted"] is False
    assert status_of(ada, bob, root)["muted"] is False


def test_a_conversation_that_is_unmuted_from_its_first_status_is_muted_nowhere_below(ada, bob, new_person):
    eve = new_person("eve")
    root = bob.says("first")
    answer = eve.says("second", in_reply_to=root)
    third = bob.says("third", in_reply_to=answer)
    other = eve.says("another one")
    for status_id in (answer, third, other):
        act(ada, status_id, "mute")
    assert act(ada, root, "unmute")["muted"] is False
    last = eve.says("last", in_reply_to=third)
    for author, status_id in ((eve, answer), (bob, third), (eve, last)):
        assert status_of(ada, author, status_id)["muted"] is False
    assert status_of(ada, eve, other)["muted"] is True


@pytest.mark.parametrize(("action", "path"), [("favourite", "favourites"), ("bookmark", "bookmarks")])
def test_what_one_keeps_is_listed_by_the_newest_action_and_pages_by_its_link(ada, bob, action, path):
    said = [bob.says(f"number {n}") for n in range(7)]
    order = [said[n] for n in (3, 0, 6, 1, 5, 2, 4)]
    for status_id in order:
        act(ada, status_id, action)
    reply = ada.http.get(f"/api/v1/{path}", params={"limit": 3})
    first = [status["id"] for status in reply.json()]
    assert first == order[:-4:-1]
    assert [status["id"] for status in next_page(ada, reply)] == order[3::-1]
    behind = ada.http.get(reply.links["next"]["url"])
    assert [s["id"] for s in ada.http.get(behind.links["prev"]["url"]).json()] == first
    newest = parse_qs(urlparse(reply.links["prev"]["url"]).query)["min_id"][0]
    assert ada.get(f"/api/v1/{path}", min_id=newest) == ada.get(f"/api/v1/{path}", since_id=newest) == []
    assert bob.get(f"/api/v1/{path}") == []
    assert ada.http.get(f"/api/v1/{path}", params={"max_id": "x"}).status_code == 400


@pytest.mark.parametrize(("action", "path"), [("favourite", "favourited_by"), ("reblog", "reblogged_by")])
def test_who_has_done_it_is_listed_for_all_who_may_see_the_status(ada, bob, new_person, stranger, action, path):
    said = bob.says("hello")
    people = [ada, *(new_person() for _ in range(3))]
    boosts = [act(who, said, action)["id"] for who in people]
    expected = [who.id for who in reversed(people)]
    assert [account["id"] for account in stranger.get(f"/api/v1/statuses/{said}/{path}").json()] == expected
    assert [account["id"] for account in bob.get(f"/api/v1/statuses/{boosts[0]}/{path}")] == expected
    reply = bob.http.get(f"/api/v1/statuses/{said}/{path}", params={"limit": 3})
    assert [account["id"] for account in reply.json() + next_page(bob, reply)] == expected
    ada.http.post(f"/{ada.id}/block/{people[1].id}")
    assert people[1].id not in [account["id"] for account in ada.get(f"/api/v1/statuses/{said}/{path}")]
    secret = bob.says("a secret", visibility="direct")
    assert stranger.get(f"/api/v1/statuses/{secret}/{path}").status_code == 404


@pytest.mark.parametrize("action", [name for do, undo, *_ in ACTIONS for name in (do, undo)] + ["pin", "unpin"])
def test_what_is_not_there_or_not_for_the_reader_is_not_found(ada, bob, stranger, action):
    secret = bob.says("a secret", visibility="direct")
    for status_id in (secret, "1", "x", str(int(secret) + 64), "99999999999999999999"):
        refusal = ada.http.post(f"/api/v1/statuses/{status_id}/{action}")
        assert (refusal.status_code, refusal.json()) == (404, {"error": "Record not found"}), refusal.text
    assert stranger.post(f"/api/v1/statuses/{secret}/{action}").status_code == 401
