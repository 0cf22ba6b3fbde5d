"""One's profile as its owner has written it, in the form of Mastodon 4.6."""

from __future__ import annotations

import pytest

PATH = "/api/v1/profile"


def test_a_profile_is_what_was_written_and_not_how_it_is_shown(ada):
    ada.post("/api/v1/featured_tags", name="Poems")
    changed = ada.patch(
        PATH, display_name="Ada L.", note="first <line>", locked=True, indexable="false",
        fields_attributes={"0": {"name": "Site", "value": "https://a.example"}},
    )  # fmt: skip
    assert changed == ada.get(PATH)
    assert (changed["id"], changed["display_name"], changed["note"]) == (ada.id, "Ada L.", "first <line>")
    assert changed["fields"] == [{"name": "Site", "value": "https://a.example", "verified_at": None}]
    assert [changed[name] for name in ("locked", "bot", "discoverable", "indexable")] == [True, False, True, False]
    assert [tag["name"] for tag in changed["featured_tags"]] == ["Poems"]
    shown = ada.get("/api/v1/accounts/verify_credentials")
    assert (shown["display_name"], shown["locked"]) == ("Ada L.", True)
    assert shown["note"] == "<p>first &lt;line&gt;</p>"


def test_a_picture_that_there_is_not_is_null(ada):
    assert [ada.get(PATH)[name] for name in ("avatar", "avatar_static", "header", "header_static")] == [None] * 4
    ada.http.patch(f"/{ada.id}/profile", json={"avatar": "https://a.example/me.png"})
    profile = ada.get(PATH)
    assert (profile["avatar"], profile["header"]) == ("https://a.example/me.png", None)


def test_what_is_not_given_stays_and_what_is_so_anyway_may_be_asked_for(ada):
    ada.patch(PATH, note="poet", locked=True)
    same = ada.patch(PATH, show_media=True, show_featured="1", attribution_domains=[], avatar_description="")
    assert (same["note"], same["locked"], same["show_media"]) == ("poet", True, True)
    assert ada.patch(PATH, note="")["note"] == ""


@pytest.mark.parametrize(("said", "status"), [
    ({"show_media": False}, 422), ({"show_media_replies": "0"}, 422), ({"show_featured": "off"}, 422),
    ({"avatar_description": "me"}, 422), ({"attribution_domains": ["a.example"]}, 422), ({"avatar": "x"}, 422),
    ({"note": "x" * 501}, 422), ({"show_media": "perhaps"}, 400), ({"attribution_domains": [1]}, 400),
], ids=str)  # fmt: skip
def test_what_is_not_kept_is_refused_and_changes_nothing(ada, said, status):
    before = ada.get(PATH)
    reply = ada.http.patch(PATH, json={"display_name": "other", **said})
    assert reply.status_code == status
    assert reply.json()["error"]
    assert ada.get(PATH) == before


def test_identity_proofs_are_none_of_who_is_there(ada, bob):
    assert ada.get(f"/api/v1/accounts/{bob.id}/identity_proofs") == []
    assert ada.http.get("/api/v1/accounts/7/identity_proofs").status_code == 404
