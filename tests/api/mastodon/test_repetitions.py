"""A write with an Idempotency-Key that comes again: the answer of the first, word for word, and nothing done again."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from actors.core.errors import OverloadedError
from actors.core.features.answers import KEPT_WHOLE_BYTES_MAX

PREFIX = "/api/v1/"


def send(person: Any, method: str, path: str, key: str, **said: Any) -> httpx.Response:
    found: httpx.Response = person.http.request(method, path, json=said, headers={"Idempotency-Key": key})
    return found


def fresh() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def there(ada, bob):
    """What there is to write about, by the names that stand in paths."""
    poll = {"options": ["a", "b"], "expires_in": 600}
    word = ada.post(f"{PREFIX}filters", phrase="word", context=["home"])["id"]
    whole = ada.post("/api/v2/filters", title="x", context=["home"], keywords_attributes=[{"keyword": "one"}])
    direct = bob.post(f"{PREFIX}statuses", status=f"@{ada.username} hi", visibility="direct")
    bob.http.post(f"/api/v1/accounts/{ada.id}/follow").raise_for_status()
    return {
        "own": ada.says("mine"), "theirs": bob.says("theirs"), "them": bob.id, "word": word, "filter": whole["id"],
        "keyword": whole["keywords"][0]["id"], "list": ada.post(f"{PREFIX}lists", title="some")["id"],
        "poll": bob.post(f"{PREFIX}statuses", status="?", poll=poll)["id"], "direct": direct["id"],
        "conversation": ada.get(f"{PREFIX}conversations")[0]["id"],
    }  # fmt: skip


WRITES = [
    ("DELETE", "v1/statuses/{own}", {}), ("PUT", "v1/statuses/{own}", {"status": "other words"}),
    ("POST", "v1/statuses/{theirs}/favourite", {}), ("POST", "v1/statuses/{theirs}/reblog", {}),
    ("POST", "v1/statuses/{theirs}/bookmark", {}), ("POST", "v1/statuses/{own}/pin", {}),
    ("POST", "v1/polls/{poll}/votes", {"choices": [1]}), ("POST", "v1/reports", {"account_id": "{them}"}),
    ("DELETE", "v1/filters/{word}", {}), ("DELETE", "v2/filters/{filter}", {}),
    ("DELETE", "v2/filters/keywords/{keyword}", {}), ("POST", "v1/lists", {"title": "another"}),
    ("POST", "v2/filters", {"title": "another", "context": ["home"]}),
    ("DELETE", "v1/lists/{list}", {}), ("POST", "v1/accounts/{them}/block", {}),
    ("POST", "v1/accounts/{them}/follow", {}), ("POST", "v1/accounts/{them}/note", {"comment": "a note"}),
    ("POST", "v1/conversations/{conversation}/read", {}), ("DELETE", "v1/conversations/{conversation}", {}),
    ("PATCH", "v1/accounts/update_credentials", {"note": "a note"}), ("POST", "v1/tags/cats/follow", {}),
    ("POST", "v1/featured_tags", {"name": "cats"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "said"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_a_repeated_write_gets_the_answer_of_the_first(ada, bob, there, method, path, said):
    where, key = f"/api/{path.format(**there)}", fresh()
    said = {name: value.format(**there) if type(value) is str else value for name, value in said.items()}
    first = send(ada, method, where, key, **said)
    assert first.status_code == 200, first.text
    for mine in ("theirs", "poll"):
        bob.http.delete(f"{PREFIX}statuses/{there[mine]}")  # what it was about may be gone
    again = send(ada, method, where, key, **said)
    assert (again.status_code, again.content) == (200, first.content)


def test_a_deleted_status_is_told_again_with_its_text(ada):
    said, key = ada.says("words to write anew"), fresh()
    answers = [send(ada, "DELETE", f"{PREFIX}statuses/{said}", key).json() for _ in range(2)]
    assert answers[0]["text"] == answers[1]["text"] == "words to write anew"
    assert ada.http.delete(f"{PREFIX}statuses/{said}").status_code == 404


def test_what_is_made_is_made_once(ada):
    before, key = len(ada.get(f"{PREFIX}lists")), fresh()
    made = [send(ada, "POST", f"{PREFIX}lists", key, title="once").json()["id"] for _ in range(3)]
    assert (len(set(made)), len(ada.get(f"{PREFIX}lists"))) == (1, before + 1)


def test_a_key_is_its_accounts_and_of_one_request(ada, bob):
    key = fresh()
    assert send(ada, "POST", f"{PREFIX}lists", key, title="mine").status_code == 200
    assert send(ada, "POST", f"{PREFIX}lists", key, title="another").status_code == 409
    theirs = send(bob, "POST", f"{PREFIX}lists", key, title="mine")
    assert theirs.status_code == 200
    assert theirs.json()["id"] not in [each["id"] for each in ada.get(f"{PREFIX}lists")]


def test_a_refusal_is_not_kept(ada, bob):
    key, path = fresh(), f"{PREFIX}statuses/1/favourite"
    assert [send(ada, "POST", path, key).status_code for _ in range(2)] == [404, 404]
    said = bob.says("later")
    assert send(ada, "POST", f"{PREFIX}statuses/{said}/favourite", key).status_code == 200


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(ada, server, monkeypatch):
    services = server.worker._services
    asked = services.ask_bucket

    async def refuse(bucket: int, op: str, args: list[Any]) -> Any:
        if op == "keyed":
            raise OverloadedError("no room")
        return await asked(bucket, op, args)

    key = fresh()
    with monkeypatch.context() as patch:
        patch.setattr(services, "ask_bucket", refuse)
        assert send(ada, "POST", f"{PREFIX}tags/dogs/follow", key).status_code == 200
    monkeypatch.setattr("api.mastodon.repetitions.KEPT_WHOLE_BYTES_MAX", 1)
    assert send(ada, "POST", f"{PREFIX}tags/dogs/follow", key).status_code == 200
    assert KEPT_WHOLE_BYTES_MAX > 1


# What is done again by itself changes something: a list more, a filter more, a boost and a like that were taken back.
LOST = [
    ("POST", "v1/lists", {"title": "lost"}, None),
    ("POST", "v2/filters", {"title": "lost", "context": ["home"]}, None),
    ("POST", "v1/filters", {"phrase": "lost", "context": ["home"]}, None),
    ("POST", "v1/reports", {"account_id": "{them}", "comment": "lost"}, None),
    ("POST", "v1/statuses/{theirs}/favourite", {}, ("v1/statuses/{theirs}/unfavourite", "favourited")),
    ("POST", "v1/statuses/{theirs}/bookmark", {}, ("v1/statuses/{theirs}/unbookmark", "bookmarked")),
    ("POST", "v1/accounts/{them}/mute", {}, ("v1/accounts/{them}/unmute", "muting")),
    ("POST", "v1/tags/lost/follow", {}, ("v1/tags/lost/unfollow", "following")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "said", "back"), LOST, ids=[path for _, path, _, _ in LOST])
def test_a_write_whose_answer_was_lost_is_not_done_again(ada, bob, there, monkeypatch, method, path, said, back):
    """A worker that dies between the write and its kept answer: the repetition does nothing, and says how it is now."""

    async def lose(*_: Any) -> None:
        return None

    where, key = f"/api/{path.format(**there)}", fresh()
    said = {name: value.format(**there) if type(value) is str else value for name, value in said.items()}
    with monkeypatch.context() as patch:
        patch.setattr("api.mastodon.repetitions.Repetition.keep", lose)
        first = send(ada, method, where, key, **said)
        assert first.status_code == 200, first.text
    if back is not None:
        ada.post(f"/api/{back[0].format(**there)}")
    again = send(ada, method, where, key, **said)
    assert again.status_code == 200, again.text
    if back is None:
        assert again.json()["id"] == first.json()["id"]
    else:
        assert (first.json()[back[1]], again.json()[back[1]]) == (True, False)
