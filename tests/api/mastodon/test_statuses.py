"""Statuses: written and read back at once, in every visibility, edited, deleted, scheduled, and their threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actors.core.renderers.timestamps import timestamp
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, open_http
from tests.api.core_cluster import CoreCluster
from tests.api.mastodon.oauth_client import register_client


@pytest.fixture(scope="module")
def core() -> Iterator[CoreCluster]:
    made = CoreCluster()
    yield made
    made.end_search()


@pytest.fixture(scope="module")
def server(core) -> Iterator[LiveServer]:
    with ServerThread(fake=core) as live:
        live.fake = None
        yield live


def refused(person: Any, method: str, path: str, **body: Any) -> tuple[int, str]:
    reply = person.http.request(method, path, json=body)
    return reply.status_code, reply.json().get("error", "")


def ids_of(statuses: list[Any]) -> list[str]:
    return [status["id"] for status in statuses]


def test_a_status_is_answered_whole_and_read_back_at_once(ada, bob, stranger):
    made = ada.post("/api/v1/statuses", status=f"hello @{bob.username} #Tag")
    assert (made["account"]["id"], made["visibility"]) == (ada.id, "public")
    assert [mention["id"] for mention in made["mentions"]] == [bob.id]
    assert [tag["name"] for tag in made["tags"]] == ["tag"]
    assert ada.get(f"/api/v1/statuses/{made['id']}") == made
    assert stranger.get(f"/api/v1/statuses/{made['id']}").json()["content"] == made["content"]


def test_statuses_are_asked_for_by_their_ids_as_far_as_they_are_seen(ada, bob):
    said = [ada.post("/api/v1/statuses", status=f"number {n}")["id"] for n in range(2)]
    hidden = ada.post("/api/v1/statuses", status="not for bob", visibility="direct")["id"]
    found = bob.http.get("/api/v1/statuses", params={"id[]": [said[1], hidden, "7", said[0]]})
    assert ids_of(found.json()) == [said[1], said[0]]


def test_the_same_idempotency_key_answers_the_same_status(ada):
    key = {"Idempotency-Key": "one"}
    first, again = (ada.http.post("/api/v1/statuses", data={"status": "once"}, headers=key).json() for _ in range(2))
    assert first["id"] == again["id"]
    assert len(ada.get(f"/api/v1/accounts/{ada.id}/statuses")) == 1


@pytest.mark.parametrize("name", ["in_reply_to_id", "quoted_status_id"])
def test_a_repeated_post_is_answered_though_what_it_speaks_of_is_gone(ada, bob, name):
    key, about = {"Idempotency-Key": f"repeated {name}"}, bob.post("/api/v1/statuses", status="soon gone")
    said = {"status": "once", name: about["id"]}
    first = ada.http.post("/api/v1/statuses", json=said, headers=key).json()
    assert bob.http.delete(f"/api/v1/statuses/{about['id']}").status_code == 200
    again = ada.http.post("/api/v1/statuses", json=said, headers=key)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    other = ada.http.post("/api/v1/statuses", json=said, headers={"Idempotency-Key": f"another {name}"})
    assert other.status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"status": " "}, 422),
        ({"status": "x" * 200, "spoiler_text": "y" * 100}, 422),
        ({"status": "x", "visibility": "followers"}, 422),
        ({"status": "x", "language": "english"}, 422),
        ({"status": "x", "in_reply_to_id": "7"}, 404),
        ({"status": "x", "in_reply_to_id": "no id"}, 400),
        ({"status": "x", "media_ids": ["7"]}, 422),
        ({"status": "x", "quoted_status_id": "7"}, 404),
        ({"status": {"a": 1}}, 400),
        ({"status": "x", "poll": "yes"}, 400),
        ({"status": "x", "poll": {"options": ["one"], "expires_in": 600}}, 422),
        ({"status": "x", "poll": {"options": ["a", "a"], "expires_in": 600}}, 422),
        ({"status": "x", "poll": {"options": ["a", "b" * 51], "expires_in": 600}}, 422),
        ({"status": "x", "poll": {"options": ["a", "b"], "expires_in": 10}}, 422),
        ({"status": "x", "poll": {"options": ["a", "b"]}}, 422),
        ({"status": "x", "scheduled_at": "2001-01-01T00:00:00Z"}, 422),
        ({"status": "x", "scheduled_at": "tomorrow"}, 422),
    ],
)
def test_a_status_that_can_t_be_is_refused_in_a_sentence(ada, body, status):
    found, sentence = refused(ada, "POST", "/api/v1/statuses", **body)
    assert found == status
    assert sentence
    assert ada.get(f"/api/v1/accounts/{ada.id}/statuses") == []


def test_a_status_says_what_stands_before_it(ada):
    made = ada.post("/api/v1/statuses", status="who did it", spoiler_text="Book", language="en-GB")
    assert (made["spoiler_text"], made["sensitive"], made["language"]) == ("Book", True, "en")
    assert ada.get(f"/api/v1/accounts/{ada.id}/statuses") == [made]
    only = ada.post("/api/v1/statuses", status="", spoiler_text="Book", sensitive="true")
    assert (only["content"], only["spoiler_text"], only["sensitive"]) == ("<p>Book</p>", "", True)


def test_a_status_is_as_its_account_has_set_it_where_the_client_says_nothing(ada):
    said = {"privacy": "unlisted", "sensitive": True, "language": "de"}
    ada.patch("/api/v1/accounts/update_credentials", source=said)
    made = ada.post("/api/v1/statuses", status="hallo")
    assert (made["visibility"], made["sensitive"], made["language"]) == ("unlisted", True, "de")
    made = ada.post("/api/v1/statuses", status="hello", visibility="public", sensitive=False, language="en")
    assert (made["visibility"], made["sensitive"], made["language"]) == ("public", False, "en")


def test_a_status_names_the_app_that_it_was_written_with(ada, server):
    with open_http(server.base_url) as http:
        client = register_client(http, client_name="Phone", website="https://phone.example")
        token = client.token("password", username=ada.username, password=PASSWORD, scope="read write")
        made = client.post("/api/v1/statuses", token, status="hi").json()
    assert made["application"] == {"name": "Phone", "website": "https://phone.example"}
    edited = ada.put(f"/api/v1/statuses/{made['id']}", status="hello")
    assert edited["application"] == made["application"]


def test_an_unlisted_status_is_seen_by_all_who_ask_and_found_by_nobody(ada, bob, stranger):
    made = ada.post("/api/v1/statuses", status="quietly #hidden", visibility="unlisted")
    loud = ada.post("/api/v1/statuses", status="loudly #hidden")
    assert made["visibility"] == "unlisted"
    assert stranger.get(f"/api/v1/statuses/{made['id']}").json()["visibility"] == "unlisted"
    assert ids_of(bob.get(f"/api/v1/accounts/{ada.id}/statuses")) == [loud["id"], made["id"]]
    assert stranger.get(f"/api/v1/tweet/{made['id']}").json()["visibility"] == "unlisted"
    found = stranger.get("/search/tags/hidden").json()
    assert [tweet["tweet_id"] for tweet in found] == [loud["id"]]


def test_an_unlisted_status_may_be_boosted_and_isn_t_found_by_that_either(ada, bob, stranger):
    made = ada.post("/api/v1/statuses", status="quietly #echo", visibility="unlisted")
    assert bob.http.post(f"/api/v1/tweet/{made['id']}/repost", json={"user_id": bob.id}).status_code == 200
    (boost,) = bob.get(f"/api/v1/accounts/{bob.id}/statuses")
    assert boost["reblog"]["id"] == made["id"]
    assert stranger.get("/search/tags/echo").json() == []


def test_an_edit_is_shown_and_what_was_said_before_is_kept(ada, bob):
    made = ada.post("/api/v1/statuses", status="helo", spoiler_text="Greeting", language="en")
    edited = ada.put(f"/api/v1/statuses/{made['id']}", status="hello", spoiler_text="", language="de")
    assert edited["content"] == "<p>hello</p>"
    assert (edited["spoiler_text"], edited["sensitive"], edited["language"]) == ("", False, "de")
    assert edited["edited_at"]
    first, last = bob.get(f"/api/v1/statuses/{made['id']}/history")
    assert (first["content"], first["spoiler_text"], first["sensitive"]) == ("<p>helo</p>", "Greeting", True)
    assert (first["created_at"], last["created_at"]) == (made["created_at"], edited["edited_at"])
    assert last["account"]["id"] == ada.id
    assert bob.get(f"/api/v1/statuses/{made['id']}/source") == {
        "id": made["id"], "text": "hello", "spoiler_text": "",
    }  # fmt: skip


def test_only_its_author_edits_or_deletes_a_status(ada, bob):
    made = ada.post("/api/v1/statuses", status="mine")
    assert refused(bob, "PUT", f"/api/v1/statuses/{made['id']}", status="yours") == (404, "Record not found")
    assert refused(bob, "DELETE", f"/api/v1/statuses/{made['id']}") == (404, "Record not found")
    assert ada.get(f"/api/v1/statuses/{made['id']}") == made


def test_what_is_deleted_is_answered_with_its_text_and_gone_at_once(ada):
    made = ada.post("/api/v1/statuses", status="to be *redrafted* & more", spoiler_text="Draft")
    gone = ada.delete(f"/api/v1/statuses/{made['id']}")
    assert (gone["id"], gone["text"], gone["spoiler_text"]) == (made["id"], "to be *redrafted* & more", "Draft")
    assert refused(ada, "GET", f"/api/v1/statuses/{made['id']}") == (404, "Record not found")
    assert refused(ada, "DELETE", f"/api/v1/statuses/{made['id']}")[0] == 404
    assert ada.get("/api/v1/timelines/home") == []


def test_a_thread_is_shown_whole_in_the_order_in_which_it_is_read(ada, bob, stranger):
    def answers(person: Any, to: str | None, text: str, **more: Any) -> str:
        return str(person.post("/api/v1/statuses", status=text, in_reply_to_id=to, **more)["id"])

    root = answers(ada, None, "root")
    left, right = answers(bob, root, "left"), answers(ada, root, "right")
    deep = answers(ada, left, "deep")
    secret = answers(bob, left, "secret", visibility="direct")
    deeper = answers(bob, deep, "deeper")

    found = ada.get(f"/api/v1/statuses/{root}/context")
    assert (found["ancestors"], ids_of(found["descendants"])) == ([], [left, deep, deeper, right])
    found = bob.get(f"/api/v1/statuses/{deep}/context")
    assert (ids_of(found["ancestors"]), ids_of(found["descendants"])) == ([root, left], [deeper])
    assert secret in ids_of(bob.get(f"/api/v1/statuses/{left}/context")["descendants"])
    assert stranger.get(f"/api/v1/statuses/{secret}/context").status_code == 404
    assert bob.get(f"/api/v1/statuses/{left}")["replies_count"] == 1


def test_a_reply_that_is_unlisted_counts_as_one(ada, bob):
    root = ada.post("/api/v1/statuses", status="root")["id"]
    bob.post("/api/v1/statuses", status="quietly", in_reply_to_id=root, visibility="unlisted")
    assert ada.get(f"/api/v1/statuses/{root}")["replies_count"] == 1


def test_a_quote_shows_what_its_reader_may_see_of_what_it_quotes(ada, bob, stranger):
    poll = {"options": ["a", "b"], "expires_in": 600}
    root = ada.post("/api/v1/statuses", status="first", poll=poll)
    quoted = ada.post("/api/v1/statuses", status="second", quoted_status_id=root["id"], poll=poll)
    made = bob.post("/api/v1/statuses", status="look", quoted_status_id=quoted["id"])
    assert (made["quote"]["state"], made["quote"]["quoted_status"]["id"]) == ("accepted", quoted["id"])
    assert made["quote"]["quoted_status"]["quote"] == {"state": "accepted", "quoted_status_id": root["id"]}
    assert made["quote"]["quoted_status"]["poll"]["voted"] is False
    (at_home,) = bob.get("/api/v1/timelines/home")
    assert at_home == made
    assert ids_of(ada.get(f"/api/v1/statuses/{quoted['id']}/quotes")) == [made["id"]]
    bob.http.post(f"/{bob.id}/block/{ada.id}").raise_for_status()
    hidden = {"state": "unauthorized", "quoted_status": None}
    assert bob.get(f"/api/v1/statuses/{made['id']}")["quote"] == hidden
    assert stranger.get(f"/api/v1/statuses/{made['id']}").json()["quote"]["quoted_status"]["id"] == quoted["id"]
    ada.delete(f"/api/v1/statuses/{quoted['id']}")
    assert stranger.get(f"/api/v1/statuses/{made['id']}").json()["quote"] == hidden


def test_a_quote_is_listed_until_it_is_deleted_and_only_what_is_public_is_quoted(ada, bob):
    quoted = ada.post("/api/v1/statuses", status="public")
    made = [bob.post("/api/v1/statuses", status=f"{n}", quoted_status_id=quoted["id"])["id"] for n in range(2)]
    assert ids_of(ada.get(f"/api/v1/statuses/{quoted['id']}/quotes")) == made[::-1]
    page = ada.http.get(f"/api/v1/statuses/{quoted['id']}/quotes", params={"limit": 1})
    assert ids_of(ada.http.get(page.links["next"]["url"]).json()) == [made[0]]
    bob.delete(f"/api/v1/statuses/{made[1]}")
    assert ids_of(ada.get(f"/api/v1/statuses/{quoted['id']}/quotes")) == [made[0]]
    private = ada.post("/api/v1/statuses", status="private", visibility="private")
    assert refused(ada, "POST", "/api/v1/statuses", status="x", quoted_status_id=private["id"])[0] == 422
    assert refused(bob, "POST", "/api/v1/statuses", status="x", quoted_status_id=private["id"])[0] == 404


def later(core: CoreCluster, ms: int) -> str:
    return timestamp(core.sim.now + ms)


def test_a_scheduled_status_can_be_listed_put_off_and_cancelled(ada, bob, core):
    at, then = later(core, 600_250), later(core, 1_200_000)
    poll = {"options": ["a", "b"], "expires_in": 600}
    made = ada.post("/api/v1/statuses", status="soon", scheduled_at=at, visibility="unlisted", poll=poll)
    assert made["scheduled_at"] == at
    assert made["params"]["poll"] == {**poll, "multiple": False, "hide_totals": False}
    assert (made["params"]["text"], made["params"]["visibility"]) == ("soon", "unlisted")
    assert ada.get("/api/v1/scheduled_statuses") == [made]
    assert bob.get("/api/v1/scheduled_statuses") == []
    assert refused(bob, "GET", f"/api/v1/scheduled_statuses/{made['id']}")[0] == 404
    put_off = ada.put(f"/api/v1/scheduled_statuses/{made['id']}", scheduled_at=then)
    assert put_off == {**made, "scheduled_at": then}
    assert ada.delete(f"/api/v1/scheduled_statuses/{made['id']}") == {}
    assert refused(ada, "DELETE", f"/api/v1/scheduled_statuses/{made['id']}")[0] == 404


def test_to_schedule_again_is_answered_as_before_also_when_there_is_nothing_scheduled_any_more(ada, core):
    body, key = {"status": "once", "scheduled_at": later(core, 600_000)}, {"Idempotency-Key": "scheduled"}
    first, again = (ada.http.post("/api/v1/statuses", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    assert ada.get("/api/v1/scheduled_statuses") == [first.json()]
    ada.delete(f"/api/v1/scheduled_statuses/{first.json()['id']}")  # as if it had been published
    again = ada.http.post("/api/v1/statuses", json=body, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert ada.get("/api/v1/scheduled_statuses") == []


def test_scheduled_statuses_come_page_by_page(ada, core):
    made = [ada.post("/api/v1/statuses", status=f"{n}", scheduled_at=later(core, 600_000))["id"] for n in range(3)]
    page = ada.http.get("/api/v1/scheduled_statuses", params={"limit": 2})
    assert ids_of(page.json()) == [made[2], made[1]]
    last = ada.http.get(page.links["next"]["url"])
    assert (ids_of(last.json()), "next" in last.links) == ([made[0]], False)
    assert ids_of(ada.get("/api/v1/scheduled_statuses", min_id=made[0], limit=1)) == [made[1]]


READS = ("", "/context", "/history", "/source", "/quotes")


@pytest.mark.parametrize("visibility", ["private", "direct", "public"])
def test_what_somebody_may_not_see_is_not_found_by_any_path(ada, bob, stranger, visibility):
    """A public one is hidden by a block."""
    made = ada.post(
        "/api/v1/statuses", status="?", visibility=visibility, poll={"options": ["a", "b"], "expires_in": 600}
    )
    if visibility == "public":
        ada.http.post(f"/{ada.id}/block/{bob.id}").raise_for_status()
    paths = [f"/api/v1/statuses/{made['id']}{path}" for path in READS] + [f"/api/v1/polls/{made['id']}"]
    for path in paths:
        assert refused(bob, "GET", path) == (404, "Record not found"), path
        assert ada.http.get(path).status_code == 200, path
        if visibility != "public":
            assert stranger.get(path).status_code in (401, 404), path
    for field in ("in_reply_to_id", "quoted_status_id"):
        assert refused(bob, "POST", "/api/v1/statuses", **{"status": "x", field: made["id"]})[0] == 404
    assert bob.get("/api/v1/statuses", **{"id[]": made["id"]}) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/statuses"), ("PUT", "/api/v1/statuses/1"), ("DELETE", "/api/v1/statuses/1"),
        ("GET", "/api/v1/scheduled_statuses"), ("GET", "/api/v1/scheduled_statuses/1"),
        ("PUT", "/api/v1/scheduled_statuses/1"), ("DELETE", "/api/v1/scheduled_statuses/1"),
        ("POST", "/api/v1/polls/1/votes"),
    ],
)  # fmt: skip
def test_who_shows_no_token_writes_nothing(stranger, method, path):
    assert stranger.request(method, path).status_code == 401
