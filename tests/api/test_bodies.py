"""What a body is taken for, on every route that /openapi.json gives one: a JSON object by its first character, whatever
it is called; nothing at all, whatever that is called; anything else by its Content-Type."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from actors.core.stores.people import token_id
from api.access.auth import parse_token
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, assert_error
from tests.api.documents import document_of
from tests.api.fake_cluster import FakeCluster

WRK2 = {"auth_mode": "open", "wrk2_api": True}
LABELS = [
    "application/x-www-form-urlencoded", "application/json", "text/plain;charset=UTF-8", "multipart/form-data",
    "multipart/form-data; boundary=b", "application/octet-stream", "application/vnd.api+json", "nonsense", None,
]  # fmt: skip
BEFORE = [b"", b" ", b"\r\n\t ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"]
FORM = {"content-type": "application/x-www-form-urlencoded"}
TOKENLESS = {"/api/v1/users", "/api/v1/login"}
_numbers = itertools.count(1_000)


def operations() -> Iterator[tuple[str, str]]:
    for path, item in document_of(**WRK2)["paths"].items():
        yield from ((method, path) for method, operation in item.items() if "requestBody" in operation)


# Some need a mailed code, or an address that has been confirmed by one: tests/api/mastodon/test_mail.py.
NEEDS_CODE = {"/{user_id}/mail", "/{user_id}/mail/confirmation", "/api/v1/password/reset"}
OPERATIONS = sorted((method, path) for method, path in operations() if path not in NEEDS_CODE)
HOOKS, HOOK = "/{user_id}/webhooks", {"url": "https://example.org/hook"}


LATER = "2024-06-01T00:00:00Z"  # the clock of the core begins in November 2023
DELETION, IMPORT = "/api/v1/users/{user_id}", "/{user_id}/import"
# an account of its own each time: 5 pins are all that one has, two webhooks haven't the same
# address, and few codes are mailed
ONCE = (DELETION, "/api/v1/tweet/{tweet_id}/pin", HOOKS, "/{user_id}/mail/address")


def made_for(path: str, ada: Any) -> str:
    """Make the tweet that a path is about, now or for later; return its id, empty where there is none."""
    if "{scheduled_id}" in path:
        return str(ada.tweet("x", scheduled_at=LATER)["scheduled_id"])
    if "{webhook_id}" in path:
        known = ada.http.get(HOOKS.format(user_id=ada.user_id)).json()
        made = known[0] if known else ada.http.post(HOOKS.format(user_id=ada.user_id), json=HOOK).json()
        return str(made["webhook_id"])
    return str(ada.tweet("x")["tweet_id"]) if "{tweet_id}" in path else ""


def url_of(path: str, ada: Any, made_id: str) -> str:
    one_log_in = token_id(parse_token(log_in(ada)).secret_hash) if "{token_id}" in path else ""
    return path.format(
        user_id=ada.user_id, id="999", tweet_id=made_id, scheduled_id=made_id, token_id=one_log_in,
        notification_id="999", webhook_id=made_id,
    )  # fmt: skip


def body_of(path: str, ada: Any) -> dict[str, Any]:
    """What makes the request a good one; the token is in it, so that a body that isn't read is a 401."""
    number = next(_numbers)
    if path.startswith("/wrk2-api"):
        known = {"user_id": "5", "followee_id": "6", "username": "known_6", "text": "hello", "post_type": "0"}
        new = {"first_name": "a", "last_name": "b", "password": "c", "username": f"u{number}", "user_id": str(number)}
        return new if path.endswith("/register") else known
    if path == "/api/v1/users":
        return {"username": f"new_{number}", "password": PASSWORD}
    if path == "/api/v1/login":
        return {"username": ada.username, "password": PASSWORD}
    own = {"auth_token": ada.token, "user_id": ada.user_id, "status": "hello {world}", "bio": "x"}
    if "{scheduled_id}" in path:
        return {**own, "scheduled_at": LATER}
    if path == IMPORT:
        return {**own, "type": "mutes", "data": "nobody"}
    if path in (HOOKS, "/api/v1/password/forgotten", "/{user_id}/mail/address"):
        return {**own, **HOOK, "email": f"ada{number}@example.org", "password": PASSWORD}
    needs_password = path.endswith("/password") or path == DELETION
    return {**own, "password": PASSWORD, "new_password": PASSWORD} if needs_password else own


ENDS_TOKENS = ("/api/v1/logout", "/{user_id}/tokens", "/{user_id}/password")


def log_in(ada: Any) -> str:
    return str(httpx.post(f"{ada.http.base_url}/api/v1/login", json=body_of("/api/v1/login", ada)).json()["auth_token"])


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    fake = FakeCluster()
    for account in (6, 7, 999):
        fake.add_account(account, f"known_{account}")
    fake.add_account(123, "x123", parse_token("ABC123").secret_hash)
    with ServerThread({"sends_mail": True, "webhooks": True}, fake) as live:
        yield live


@pytest.fixture(scope="module")
def benchmarked(server: LiveServer) -> Iterator[httpx.Client]:
    """The same cluster behind a worker that has the paths of wrk2."""
    with ServerThread(WRK2, server.fake) as live, httpx.Client(base_url=live.base_url) as http:
        yield http


def test_every_route_with_a_body_is_here():
    assert len(OPERATIONS) >= 20
    assert {"/tweet", "/api/v1/logout", "/{user_id}/mute/{id}", "/wrk2-api/post/compose"} < {p for _, p in OPERATIONS}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_body_that_begins_as_an_object_is_json_whatever_it_is_called(
    anonymous, benchmarked, ada, register, method, path
):
    http, tweet_id = benchmarked if "wrk2" in path else anonymous, ""
    for label, before in [*((label, b"") for label in LABELS), *((LABELS[0], before) for before in BEFORE)]:
        if path in ENDS_TOKENS:
            ada.token = log_in(ada)
        ada = register() if path in ONCE else ada
        tweet_id = made_for(path, ada)
        content, headers = before + json.dumps(body_of(path, ada)).encode(), {"content-type": label} if label else {}
        reply = http.request(method, url_of(path, ada, tweet_id), content=content, headers=headers)
        assert reply.status_code in (200, 201, 202), (label, before, reply.text)


@pytest.mark.parametrize("label", LABELS[:3])
def test_the_example_of_the_request_is_understood(server, anonymous, label):
    """curl calls what --data sends a form."""
    sent = b'{ "user_id": "123", "auth_token": "ABC123", "status": "hello world!", "media_ids": "ABC987" }'
    reply = anonymous.post("/api/v1/tweet", content=sent, headers={"content-type": label})
    message = assert_error(reply, 422, "media_ids")["message"]
    assert "ABC987" in message
    assert "no medium" in message
    assert "decimal" not in message
    without = sent.replace(b', "media_ids": "ABC987"', b"")
    reply = anonymous.post("/api/v1/tweet", content=without, headers={"content-type": label})
    assert (reply.status_code, reply.json()["status"], reply.json()["user_id"]) == (201, "hello world!", "123")


@pytest.mark.parametrize(
    "media_ids",
    ["ABC987", ["ABC987"], ["7", "ABC987"], "7,ABC987", "", [""], ["-5"], "--5", str(1 << 63), [1 << 63], "7,"],
)
def test_a_medium_that_can_not_be_is_named(ada, benchmarked, media_ids):
    reply = ada.http.post("/tweet", json={"status": "x", "media_ids": media_ids})
    if media_ids == "":  # not given, as forms send what was left blank
        assert reply.status_code == 201
        return
    assert "there is no medium" in assert_error(reply, 422, "media_ids")["message"]
    listed = json.dumps(media_ids if isinstance(media_ids, list) else media_ids.split(","))
    types = json.dumps(["png"] * len(json.loads(listed)))
    post = {**body_of("/wrk2-api/post/compose", ada), "media_ids": listed, "media_types": types}
    assert "there is no medium" in assert_error(benchmarked.post("/wrk2-api/post/compose", data=post), 422)["message"]


@pytest.mark.parametrize(
    "given", [lambda a, b: a, lambda a, b: int(a), lambda a, b: [a], lambda a, b: [int(a)], lambda a, b: f"{a},{b}",
              lambda a, b: [a, int(b)]],
)  # fmt: skip
def test_the_id_of_a_medium_may_come_alone_or_in_a_list(ada, given):
    uploads = [ada.upload(), ada.upload()]
    found = ada.tweet("x", media_ids=given(*uploads))["media"]
    assert [medium["media_id"] for medium in found] == uploads[: len(found)]


def test_a_form_whose_first_name_begins_with_a_brace_is_told_how_to_write_it(ada):
    reply = ada.http.post("/tweet", content=b"{x=1&status=hello", headers=FORM)
    assert "%7B" in assert_error(reply, 400, None)["message"]
    assert ada.http.post("/tweet", content=b"%7Bx=1&status=hello", headers=FORM).json()["status"] == "hello"
    assert ada.http.post("/tweet", content=b"status={x}", headers=FORM).json()["status"] == "{x}"
    assert ada.http.post("/tweet", data={"{": "1", "status": "hello"}).status_code == 201, "as libraries write it"


def test_what_is_no_object_goes_by_its_content_type(ada):
    json_type = "application/json"
    for label, body, status in (
        ("text/plain", b"hello", 415), ("text/plain", b"[]", 415), (None, b"status=x", 400),
        (json_type, b"status=x", 400), (json_type, b"\xef\xbb\xbf[]", 400),
    ):  # fmt: skip
        headers = {"content-type": label} if label else {}
        assert_error(ada.http.post("/tweet", content=body, headers=headers), status)


# ---- no body ------------------------------------------------------------------------------------------------------

EDITS, PUTS_OFF = ("patch", "/api/v1/tweet/{tweet_id}"), ("patch", "/{user_id}/scheduled/{scheduled_id}")
NEEDS_ONE = (
    ("post", "/{user_id}/password"),
    EDITS,
    PUTS_OFF,
    ("delete", DELETION),
    ("post", IMPORT),
    ("post", HOOKS),
    ("post", "/{user_id}/mail/address"),
)
NEEDS_NONE = [(m, p) for m, p in OPERATIONS if ("{" in p or p == "/api/v1/logout") and (m, p) not in NEEDS_ONE]
NOTHING = {"no length": lambda: None, "length 0": lambda: b"", "chunks without one": lambda: iter(())}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize(("method", "path"), NEEDS_NONE)
def test_no_body_is_of_no_kind_that_could_be_refused(ada, method, path, label):
    for how, sent in NOTHING.items():
        if path in ENDS_TOKENS:
            ada.http.headers["authorization"] = f"Bearer {log_in(ada)}"
        tweet_id = made_for(path, ada)
        headers = {"content-type": label} if label else {}
        reply = ada.http.request(method, url_of(path, ada, tweet_id), headers=headers, content=sent())
        if path.endswith("/profile"):  # which has nothing to change then
            assert_error(reply, 422, None)
        else:
            assert reply.status_code in (200, 202), (how, reply.text)


@pytest.mark.parametrize("label", LABELS)
def test_where_a_body_is_needed_what_is_missing_is_named(anonymous, ada, label):
    headers = {"content-type": label} if label else {}
    for http, path, status, field in (
        (ada.http, "/tweet", 422, "status"), (ada.http, "/api/v1/tweet", 422, "status"),
        (anonymous, "/api/v1/users", 422, "username"), (anonymous, "/api/v1/login", 422, "username"),
        (anonymous, "/tweet", 401, None),
    ):  # fmt: skip
        for sent in NOTHING.values():
            assert_error(http.post(path, content=sent(), headers=headers), status, field)
