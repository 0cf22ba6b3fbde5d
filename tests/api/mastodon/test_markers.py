"""Markers and preferences over HTTP."""

from __future__ import annotations

import re

import pytest


def test_markers_say_up_to_where_each_timeline_was_read(ada, bob):
    assert ada.get("/api/v1/markers", **{"timeline[]": ["home", "notifications"]}) == {}
    first = ada.post("/api/v1/markers", home={"last_read_id": "103"})
    assert (first["home"]["last_read_id"], first["home"]["version"]) == ("103", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["home"]["updated_at"])
    again = ada.post("/api/v1/markers", home={"last_read_id": 104}, notifications={"last_read_id": "7"})
    assert [(name, marker["version"]) for name, marker in again.items()] == [("home", 2), ("notifications", 1)]
    assert ada.get("/api/v1/markers", **{"timeline[]": "home"}) == {"home": again["home"]}
    assert ada.get("/api/v1/markers", **{"timeline[]": ["home", "notifications", "lists"]}) == again
    assert ada.get("/api/v1/markers") == {}
    assert bob.get("/api/v1/markers", **{"timeline[]": "home"}) == {}


def test_markers_come_as_forms_too(ada):
    reply = ada.http.post("/api/v1/markers", data={"home[last_read_id]": "55"})
    assert reply.json()["home"]["last_read_id"] == "55"
    assert ada.post("/api/v1/markers") == {}


@pytest.mark.parametrize("home", [7, "7", {"last_read_id": "newest"}, {"last_read_id": {"a": 1}}])
def test_what_is_no_marker_is_refused_by_name(ada, home):
    reply = ada.http.post("/api/v1/markers", json={"home": home})
    assert reply.status_code == 400
    assert re.search("home|last_read_id", reply.json()["error"])
    assert ada.get("/api/v1/markers", **{"timeline[]": "home"}) == {}


def test_preferences_are_those_of_a_new_account_until_they_are_set(ada):
    fresh = {
        "posting:default:visibility": "public", "posting:default:sensitive": False,
        "posting:default:language": None, "reading:expand:media": "default", "reading:expand:spoilers": False,
    }  # fmt: skip
    assert ada.get("/api/v1/preferences") == fresh
    ada.patch("/api/v1/accounts/update_credentials", source={"privacy": "private", "sensitive": True, "language": "de"})
    assert ada.get("/api/v1/preferences") == fresh | {
        "posting:default:visibility": "private", "posting:default:sensitive": True, "posting:default:language": "de",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/api/v1/markers", "/api/v1/preferences"])
def test_a_stranger_has_neither(stranger, path):
    assert stranger.get(path).status_code == 401
