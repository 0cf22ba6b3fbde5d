"""Polls: asked, voted on once, shown as they are now to everybody, wherever their status is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.api.conftest import LiveServer, ServerThread
from tests.api.core_cluster import CoreCluster
from tests.api.test_home_exchange import both_ways

OPEN_S = 600


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


def asks(person: Any, *options: str, **more: Any) -> dict[str, Any]:
    poll = {"options": list(options) or ["yes", 'no "}'], "expires_in": OPEN_S, **more}
    found: dict[str, Any] = person.post("/api/v1/statuses", status="well?", poll=poll)
    return found


def votes(person: Any, poll_id: str, *choices: Any) -> tuple[int, Any]:
    reply = person.http.post(f"/api/v1/polls/{poll_id}/votes", json={"choices": list(choices)})
    said = reply.json()
    return reply.status_code, {"error": said["error"]} if "error" in said else said


def counts(poll: dict[str, Any]) -> list[Any]:
    return [option["votes_count"] for option in poll["options"]]


def let_end(core: CoreCluster) -> None:
    core.sim.now += OPEN_S * 1000
    for shard in core.sim.shards:
        while (command := shard.replica.due_command(core.sim.now)) is not None:
            shard.run(command)
    core.sim.drain()


def test_a_poll_is_part_of_its_status_and_read_by_itself(ada, bob, stranger):
    made = asks(ada)
    poll = made["poll"]
    assert poll == {
        "id": made["id"], "expires_at": poll["expires_at"], "expired": False, "multiple": False, "votes_count": 0,
        "voters_count": 0, "voted": True, "own_votes": [], "emojis": [],
        "options": [{"title": "yes", "votes_count": 0}, {"title": 'no "}', "votes_count": 0}],
    }  # fmt: skip
    assert ada.get(f"/api/v1/polls/{made['id']}") == poll
    assert bob.get(f"/api/v1/polls/{made['id']}") == {**poll, "voted": False}
    seen = stranger.get(f"/api/v1/statuses/{made['id']}").json()["poll"]
    assert seen == {name: value for name, value in poll.items() if name not in ("voted", "own_votes")}


def test_a_vote_counts_once_and_is_shown_wherever_the_status_is(ada, bob, new_person):
    eve = new_person("eve")
    made = asks(ada, "a", "b", "c")
    status, voted = votes(bob, made["id"], 1)
    assert (status, counts(voted), voted["own_votes"], voted["voted"]) == (200, [0, 1, 0], [1], True)
    assert votes(eve, made["id"], "1")[0] == 200
    assert votes(bob, made["id"], 2) == (422, {"error": "Validation failed: You have already voted on this poll"})
    bob.http.post(f"/api/v1/tweet/{made['id']}/repost", json={"user_id": bob.id})
    (boost,) = bob.get(f"/api/v1/accounts/{bob.id}/statuses")
    (at_home,) = ada.get("/api/v1/timelines/home")
    assert (boost["poll"], boost["reblog"]["poll"]["own_votes"]) == (None, [1])
    for poll in (boost["reblog"]["poll"], at_home["poll"], bob.get(f"/api/v1/statuses/{made['id']}")["poll"]):
        assert (counts(poll), poll["votes_count"], poll["voters_count"]) == ([0, 2, 0], 2, 2)
    assert at_home["poll"]["own_votes"] == []


def test_several_choices_are_taken_where_the_poll_takes_them(ada, bob):
    many, single = asks(ada, "a", "b", "c", multiple=True), asks(ada, "a", "b", "c")
    status, poll = votes(bob, many["id"], "0", 2, 2)
    assert (status, counts(poll), poll["own_votes"]) == (200, [1, 0, 1], [0, 2])
    assert (poll["votes_count"], poll["voters_count"]) == (2, 1)
    assert votes(bob, single["id"], 0, 1) == (422, {"error": "Validation failed: You have already voted on this poll"})
    assert counts(bob.get(f"/api/v1/polls/{single['id']}")) == [0, 0, 0]


@pytest.mark.parametrize("choices", [[], [3], [-1], ["x"], [None], [{}]])
def test_what_is_no_option_is_refused(ada, bob, choices):
    made = asks(ada, "a", "b", "c")
    status, body = votes(bob, made["id"], *choices)
    assert status == 422
    assert body["error"].startswith("Validation failed: ")
    assert counts(ada.get(f"/api/v1/polls/{made['id']}")) == [0, 0, 0]


def test_nobody_votes_on_his_own_poll_nor_on_what_is_none_or_hidden(ada, bob):
    made = asks(ada)
    assert votes(ada, made["id"], 0) == (422, {"error": "Validation failed: You cannot vote in your own polls"})
    plain = ada.post("/api/v1/statuses", status="no poll")
    hidden = ada.post(
        "/api/v1/statuses", status="?", visibility="direct", poll={"options": ["a", "b"], "expires_in": 300}
    )
    for status in (plain, hidden):
        assert votes(bob, status["id"], 0) == (404, {"error": "Record not found"})
        assert bob.http.get(f"/api/v1/polls/{status['id']}").status_code == 404


def test_a_poll_that_hides_its_totals_tells_them_at_its_end_and_takes_no_more_votes(ada, bob, new_person, core):
    eve = new_person("eve")
    made = asks(ada, "a", "b", hide_totals=True)
    _, poll = votes(bob, made["id"], 1)
    assert (counts(poll), poll["own_votes"]) == ([None, None], [1])
    let_end(core)
    assert votes(eve, made["id"], 0) == (422, {"error": "Validation failed: The poll has already ended"})
    poll = ada.get(f"/api/v1/statuses/{made['id']}")["poll"]
    assert (poll["expired"], counts(poll)) == (True, [0, 1])


def test_a_vote_that_is_repeated_with_its_key_is_answered_and_counts_once(ada, bob):
    made = asks(ada)
    sent = ({"choices[]": "0"}, {"Idempotency-Key": "vote"})
    answers = [bob.http.post(f"/api/v1/polls/{made['id']}/votes", data=sent[0], headers=sent[1]) for _ in range(2)]
    assert [reply.status_code for reply in answers] == [200, 200]
    assert counts(answers[1].json()) == [1, 0]


def edits(person: Any, made: dict[str, Any], text: str = "well?", **poll: Any) -> dict[str, Any]:
    said = {"poll": {"options": ["yes", 'no "}'], "expires_in": OPEN_S, **poll}} if poll else {}
    found: dict[str, Any] = person.put(f"/api/v1/statuses/{made['id']}", status=text, **said)
    return found


def test_an_edit_with_the_same_options_keeps_the_votes_and_moves_the_end(ada, bob):
    made = asks(ada)
    votes(bob, made["id"], 0)
    edited = edits(ada, made, "well, what?", expires_in=2 * OPEN_S)
    assert (edited["content"], counts(edited["poll"])) == ("<p>well, what?</p>", [1, 0])
    assert edited["poll"]["expires_at"] > made["poll"]["expires_at"]
    assert votes(bob, made["id"], 1) == (422, {"error": "Validation failed: You have already voted on this poll"})
    assert bob.get(f"/api/v1/polls/{made['id']}")["own_votes"] == [0]
    gone = ada.delete(f"/api/v1/statuses/{made['id']}")
    assert (gone["text"], counts(gone["poll"])) == ("well, what?", [1, 0])
    assert votes(bob, made["id"], 0)[0] == 404


@pytest.mark.parametrize("other", [{"options": ["a", "b", "c"]}, {"multiple": True}])
def test_an_edit_that_asks_something_else_begins_without_votes(ada, bob, stranger, other):
    made = asks(ada)
    votes(bob, made["id"], 0)
    poll = edits(ada, made, **other)["poll"]
    assert (poll["id"], set(counts(poll)), poll["voters_count"]) == (made["id"], {0}, 0)
    seen = bob.get(f"/api/v1/statuses/{made['id']}")["poll"]
    assert (seen["voted"], seen["own_votes"], set(counts(seen))) == (False, [], {0})
    assert votes(bob, made["id"], 1)[0] == 200
    for poll in (bob.get(f"/api/v1/polls/{made['id']}"), stranger.get(f"/api/v1/polls/{made['id']}").json()):
        assert counts(poll)[:2] == [0, 1]
    assert bob.get(f"/api/v1/polls/{made['id']}")["own_votes"] == [1]


def test_an_edit_gives_a_status_a_poll_and_takes_it_away_and_the_history_shows_each(ada, bob):
    made = ada.post("/api/v1/statuses", status="well?")
    poll = edits(ada, made, options=["a", "b"])["poll"]
    assert [option["title"] for option in poll["options"]] == ["a", "b"]
    assert votes(bob, made["id"], 1)[0] == 200
    assert edits(ada, made, "never mind")["poll"] is None
    assert bob.http.get(f"/api/v1/polls/{made['id']}").status_code == 404
    assert edits(ada, made, options=["a", "b"])["poll"]["voters_count"] == 0
    history = bob.get(f"/api/v1/statuses/{made['id']}/history")
    options = {"options": [{"title": "a"}, {"title": "b"}]}
    assert [version.get("poll") for version in history] == [None, options, None, options]


def test_a_poll_that_is_no_poll_changes_nothing(ada, bob):
    made = asks(ada)
    votes(bob, made["id"], 0)
    for wrong in ({"options": ["one"]}, {"expires_in": 1}, {"options": ["a", "a"]}):
        said = {"status": "x", "poll": {"options": ["a", "b"], "expires_in": OPEN_S, **wrong}}
        assert ada.http.put(f"/api/v1/statuses/{made['id']}", json=said).status_code == 422
    said = {"status": "x", "poll": {"options": ["a", "b"], "expires_in": OPEN_S}}
    assert bob.http.put(f"/api/v1/statuses/{made['id']}", json=said).status_code == 404
    assert counts(ada.get(f"/api/v1/polls/{made['id']}")) == [1, 0]


def test_our_own_api_leaves_a_poll_where_it_changes_a_text(ada, bob):
    made = asks(ada)
    votes(bob, made["id"], 0)
    edited = ada.http.patch(f"/api/v1/tweet/{made['id']}", json={"user_id": ada.id, "status": "what?"})
    assert edited.json()["poll"]["options"] == ["yes", 'no "}']
    assert counts(bob.get(f"/api/v1/polls/{made['id']}")) == [1, 0]


def test_a_text_that_looks_like_a_poll_stays_text(ada):
    text = '"poll":\t{"id":"1","emojis":[]}'.replace("\t", " ")
    made = ada.post("/api/v1/statuses", status=text, spoiler_text='"poll":{"id":"7"')
    assert made["poll"] is None
    assert made["spoiler_text"] == '"poll":{"id":"7"'


def test_home_shows_polls_as_they_are_whichever_way_it_is_read(ada, bob, stranger):
    bob.http.post(f"/{bob.id}/follow/{ada.id}").raise_for_status()
    made, plain = asks(ada, "a", "b"), ada.post("/api/v1/statuses", status="plain")
    votes(bob, made["id"], 1)
    for reader, own in ((ada, []), (bob, [1])):
        token = {"authorization": f"Bearer {reader.token}"}
        short, long = both_ways(stranger, "/api/v1/timelines/home?limit=5", token)
        assert short == long
        first, second = orjson.loads(short[2])
        assert (first["id"], first["poll"], second["id"]) == (plain["id"], None, made["id"])
        assert (counts(second["poll"]), second["poll"]["own_votes"]) == ([0, 1], own)
        assert b"\t" not in short[2]


def test_a_reader_with_filters_is_shown_polls_as_they_are_too(ada, bob, stranger):
    bob.post("/api/v2/filters", title="words", context=["home", "public"], keywords_attributes=[{"keyword": "well"}])
    bob.http.post(f"/{bob.id}/follow/{ada.id}").raise_for_status()
    made = asks(ada, "a", "b")
    votes(bob, made["id"], 1)
    token = {"authorization": f"Bearer {bob.token}"}
    short, long = both_ways(stranger, "/api/v1/timelines/home", token)
    assert short == long
    marked = bob.http.post(f"/api/v1/statuses/{made['id']}/bookmark").json()
    public = bob.get("/api/v1/timelines/public")
    for status in (*orjson.loads(short[2]), marked, next(each for each in public if each["id"] == made["id"])):
        assert status["filtered"][0]["keyword_matches"] == ["well"]
        assert (counts(status["poll"]), status["poll"]["own_votes"]) == ([0, 1], [1])
