"""Conversations: who is in one, what it shows, and what reading, deleting and blocks do to it."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def talk(ada, bob):
    """A conversation that ada began with bob: its id."""
    return ada.post("/api/v1/statuses", status=f"@{bob.username} are you there?", visibility="direct")["id"]


def conversations(person):
    return person.get("/api/v1/conversations")


def answer(person, other, status_id):
    said = f"@{other.username} yes"
    return person.post("/api/v1/statuses", status=said, visibility="direct", in_reply_to_id=status_id)["id"]


def test_a_direct_status_is_a_conversation_of_both_and_unread_for_who_is_mentioned(ada, bob, talk):
    (hers,), (his,) = conversations(ada), conversations(bob)
    assert hers["id"] == his["id"]
    assert (hers["unread"], his["unread"]) == (False, True)
    assert ([a["id"] for a in hers["accounts"]], [a["id"] for a in his["accounts"]]) == ([bob.id], [ada.id])
    assert hers["last_status"]["id"] == his["last_status"]["id"] == talk


def test_an_answer_through_either_api_is_in_the_same_conversation(ada, bob, talk):
    second = ada.says(f"@{bob.username} good", visibility="direct", in_reply_to=int(talk))
    third = answer(ada, bob, second)  # settled, and what went before it the same way, too
    (hers,), (his,) = conversations(ada), conversations(bob)
    assert hers["id"] == his["id"]
    assert hers["last_status"]["id"] == his["last_status"]["id"] == third
    assert (hers["unread"], his["unread"]) == (False, True)


def test_a_conversation_that_was_read_stays_so_until_somebody_else_says_something(ada, bob, talk):
    (known,) = conversations(bob)
    read = bob.post(f"/api/v1/conversations/{known['id']}/read")
    assert read == {**known, "unread": False}
    assert conversations(bob) == [read]
    answer(ada, bob, talk)
    assert conversations(bob)[0]["unread"]


def test_a_conversation_is_forgotten_by_who_deletes_it_alone(ada, bob, talk):
    (known,) = conversations(bob)
    assert bob.delete(f"/api/v1/conversations/{known['id']}") == {}
    assert conversations(bob) == []
    assert len(conversations(ada)) == 1
    assert bob.get(f"/api/v1/statuses/{talk}")["id"] == talk


def test_nobody_reads_or_deletes_a_conversation_that_is_not_his(ada, bob, new_person, talk):
    eve, (known,) = new_person("eve"), conversations(ada)
    assert conversations(eve) == []
    for method, path in (("POST", f"{known['id']}/read"), ("DELETE", known["id"]), ("POST", "0/read")):
        assert eve.http.request(method, f"/api/v1/conversations/{path}").status_code == 404
    assert conversations(ada) == [known]


def test_a_deleted_status_gives_way_to_the_one_before(ada, bob, talk):
    second = answer(bob, ada, talk)
    bob.delete(f"/api/v1/statuses/{second}")
    assert [c["last_status"]["id"] for c in conversations(ada)] == [talk]
    ada.delete(f"/api/v1/statuses/{talk}")
    assert conversations(ada) == conversations(bob) == []


def test_a_block_hides_a_conversation_whose_last_word_is_the_others(ada, bob, talk):
    bob.post(f"/api/v1/accounts/{ada.id}/block")
    assert conversations(bob) == []
    (hers,) = conversations(ada)
    assert [a["id"] for a in hers["accounts"]] == [ada.id]
    said = ada.post("/api/v1/statuses", status=f"@{bob.username} hello?", visibility="direct")["id"]
    bob.post(f"/api/v1/accounts/{ada.id}/unblock")
    assert said not in [c["last_status"]["id"] for c in conversations(bob)]


def test_a_status_to_nobody_is_a_conversation_with_oneself(ada):
    said = ada.post("/api/v1/statuses", status="note to self", visibility="direct")["id"]
    (own,) = conversations(ada)
    assert (own["last_status"]["id"], [a["id"] for a in own["accounts"]]) == (said, [ada.id])


def test_pages_go_on_by_their_links(ada, bob):
    said = [
        ada.post("/api/v1/statuses", status=f"@{bob.username} {n}", visibility="direct")["id"] for n in range(3)
    ]  # fmt: skip
    found, path = [], "/api/v1/conversations?limit=2"
    while path:
        reply = bob.http.get(path)
        found += [c["last_status"]["id"] for c in reply.json()]
        link = re.search(r'<([^>]*)>; rel="next"', reply.headers.get("link", ""))
        path = link and link[1]
    assert found == said[::-1]


def direct(person, **query):
    return [status["id"] for status in person.get("/api/v1/timelines/direct", **query)]


def test_the_old_timeline_has_the_direct_statuses_of_all_conversations_the_newest_first(ada, bob, new_person, talk):
    eve = new_person("eve")
    second = answer(bob, ada, talk)
    third = ada.post("/api/v1/statuses", status=f"@{eve.username} hello", visibility="direct")["id"]
    ada.says("for everybody")
    fourth = answer(ada, bob, second)
    assert direct(ada) == [fourth, third, second, talk]
    assert direct(bob) == [fourth, second, talk]
    assert direct(eve) == [third]
    assert direct(ada, limit=2) == [fourth, third]
    assert direct(ada, max_id=third) == [second, talk]
    assert direct(ada, min_id=talk, limit=2) == [third, second]
    assert direct(ada, since_id=talk, limit=2) == [fourth, third]
    ada.delete(f"/api/v1/statuses/{third}")
    assert direct(eve) == []


def test_the_old_timeline_goes_on_by_its_links_and_is_nobody_elses(ada, bob, stranger):
    said = [
        ada.post("/api/v1/statuses", status=f"@{bob.username} {n}", visibility="direct")["id"] for n in range(5)
    ]  # fmt: skip
    found, path = [], "/api/v1/timelines/direct?limit=2"
    while path:
        reply = bob.http.get(path)
        found += [status["id"] for status in reply.json()]
        link = re.search(r'<([^>]*)>; rel="next"', reply.headers.get("link", ""))
        path = link and link[1]
    assert found == said[::-1]
    assert stranger.get("/api/v1/timelines/direct").status_code == 401
    bob.post(f"/api/v1/accounts/{ada.id}/block")
    assert direct(bob) == []
