"""How Mastodon's paths are reached: from other origins, with a slash too many, by every method."""

from __future__ import annotations

import pytest

from api.mastodon.not_supported import NOT_SUPPORTED
from api.mastodon.operations import OPERATIONS
from api.streaming.channels import NAME_AT, ROOT

STREAMS = {ROOT, *NAME_AT}  # which are no requests that have an answer: tests/api/streaming
PLAIN = sorted({row.path for row in OPERATIONS.rows if row.method == "GET" and "{" not in row.path} - STREAMS)
FROM_ELSEWHERE = {"origin": "https://client.example"}


def test_a_browser_may_ask_from_any_origin(stranger):
    asks = {**FROM_ELSEWHERE, "access-control-request-method": "GET",
            "access-control-request-headers": "authorization"}  # fmt: skip
    for path in sorted({row.path.replace("{", "").replace("}", "") for row in OPERATIONS.rows}):
        reply = stranger.options(path, headers=asks)
        assert (path, reply.status_code, reply.content) == (path, 204, b"")
        assert reply.headers["access-control-allow-origin"] == "*"
        assert {"Authorization", "*"} <= set(reply.headers["access-control-allow-headers"].split(", "))
        allowed = reply.headers["access-control-allow-methods"].split(", ")
        assert set(OPERATIONS.methods_of(path)) < set(allowed)
        assert reply.headers["allow"].split(", ") == allowed


def test_what_is_answered_may_be_read_there_whatever_it_is(ada, stranger):
    for path in PLAIN:
        for client in (ada.http, stranger):
            reply = client.get(path, headers=FROM_ELSEWHERE)
            assert reply.headers.get("access-control-allow-origin") == "*", path
            assert "Link" in reply.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in reply.headers


def test_a_slash_at_the_end_changes_nothing(ada):
    for path in PLAIN:
        one, other = (ada.http.get(each) for each in (path, f"{path}/"))
        assert (path, one.status_code) == (path, other.status_code)
        assert not other.is_redirect


def test_a_head_is_a_get_without_its_body(ada):
    for path in PLAIN:
        one, other = ada.http.get(path), ada.http.head(path)
        assert (path, other.status_code, other.content) == (path, one.status_code, b"")
        assert other.headers["content-type"] == one.headers["content-type"]


def test_what_is_not_there_says_so_in_words(ada):
    for name, reason in NOT_SUPPORTED.items():
        method, _, path = name.partition(" ")
        reply = ada.http.request(method, path.replace("{", "").replace("}", ""))
        assert (name, reply.status_code) == (name, 404)
        assert reply.json()["error"] in ("not available yet", f"not available: {reason}")
        assert reply.headers["access-control-allow-origin"] == "*"


def test_a_method_that_a_path_does_not_take_is_refused_with_those_that_it_takes(stranger):
    reply = stranger.patch("/api/v2/search")
    assert (reply.status_code, reply.json()) == (405, {"error": "Method not allowed"})
    assert reply.headers["allow"] == "GET"


def test_what_is_changed_by_put_is_changed_by_patch_as_well(ada):
    for method in ("PUT", "PATCH"):
        reply = ada.http.request(method, "/api/v1/profile", json={"note": f"by {method}"})
        assert (reply.status_code, reply.json()["note"]) == (200, f"by {method}")
        made = ada.post("/api/v1/lists", title="friends")
        reply = ada.http.request(method, f"/api/v1/lists/{made['id']}", json={"title": f"by {method}"})
        assert (reply.status_code, reply.json()["title"]) == (200, f"by {method}")
        assert ada.http.request(method, "/api/v1/timelines/home").status_code == 405


@pytest.mark.parametrize("path", ["/api/v1/instance/languages", "/api/v1/statuses/1/card", "/api/v1/lists/1/2/3"])
def test_a_path_that_is_nowhere_is_refused_in_their_form(stranger, path):
    for method in ("GET", "POST", "DELETE"):
        reply = stranger.request(method, path, headers=FROM_ELSEWHERE)
        assert (reply.status_code, reply.json()) == (404, {"error": "Not found"})
        assert reply.headers["access-control-allow-origin"] == "*"


def test_what_is_wrong_is_said_with_details_as_the_public_description_promises(ada, stranger):
    reply = ada.http.post("/api/v1/lists", json={"title": ""})
    assert reply.status_code == 422
    assert reply.json()["details"] == {"title": [{"error": "ERR_INVALID", "description": reply.json()["error"]}]}
    assert "details" not in ada.http.get("/api/v1/statuses/1").json()
    app = stranger.post("/api/v1/apps", data={"client_name": "x", "redirect_uris": "urn:ietf:wg:oauth:2.0:oob"}).json()
    wanted = {"grant_type": "client_credentials", **{name: app[name] for name in ("client_id", "client_secret")}}
    token = stranger.post("/oauth/token", data=wanted).json()["access_token"]
    nobody = stranger.get("/api/v1/timelines/home", headers={"authorization": f"Bearer {token}"})
    assert (nobody.status_code, nobody.json()["details"]) == (422, {})
