"""The account of the token: what its owner reads of it, and how it is changed."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.api.media_port import IMAGE, MOVING, VIDEO

PATH = "/api/v1/accounts/update_credentials"


def test_who_says_nothing_of_itself_is_shown_with_what_is_so_by_default(ada):
    account = ada.get("/api/v1/accounts/verify_credentials")
    assert (account["id"], account["locked"], account["bot"], account["discoverable"]) == (ada.id, False, False, True)
    assert account["source"]["privacy"] == "public"
    assert (account["source"]["sensitive"], account["source"]["language"]) == (False, None)
    assert account["header"].endswith("/headers/original/missing.png")


def test_what_an_account_changes_of_itself_others_see(ada, bob, stranger):
    changed = ada.patch(
        PATH, display_name="Ada L.", note="first line\nsecond", locked=True, bot="true", discoverable=False,
        indexable="0", fields_attributes=[{"name": "Site", "value": "https://a.example"}],
    )  # fmt: skip
    assert changed["source"]["note"] == "first line\nsecond"
    assert changed["source"]["fields"] == [{"name": "Site", "value": "https://a.example", "verified_at": None}]
    seen = stranger.get(f"/api/v1/accounts/{ada.id}").json()
    assert seen == bob.get(f"/api/v1/accounts/{ada.id}")
    assert seen["display_name"] == "Ada L."
    assert [seen[name] for name in ("locked", "bot", "discoverable", "indexable", "noindex")] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert seen["note"].startswith("<p>first line")
    assert "source" not in seen


def test_what_is_not_given_stays_and_an_empty_text_clears(ada):
    ada.patch(PATH, display_name="Ada", note="poet", locked=True)
    changed = ada.patch(PATH, note="")
    assert (changed["display_name"], changed["source"]["note"], changed["locked"]) == ("Ada", "", True)
    assert ada.patch(PATH)["display_name"] == "Ada"


@pytest.mark.parametrize("fields", [
    {"0": {"name": "a", "value": "1"}, "1": {"name": "b", "value": "2"}},
    [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}, {"name": "", "value": ""}],
], ids=["a hash", "a list"])  # fmt: skip
def test_fields_come_as_a_hash_or_a_list(ada, fields):
    found = ada.patch(PATH, fields_attributes=fields)["fields"]
    assert [field["name"] for field in found] == ["a", "b"]


def test_fields_come_in_forms_and_multipart_too(ada):
    pairs = {"fields_attributes[0][name]": "a", "fields_attributes[0][value]": "1", "source[privacy]": "unlisted"}
    reply = ada.http.patch(PATH, data=pairs)
    assert (reply.status_code, reply.json()["fields"][0]["name"]) == (200, "a")
    assert reply.json()["source"]["privacy"] == "unlisted"
    reply = ada.http.patch(PATH, files={"display_name": (None, "Ada by parts")})
    assert reply.json()["display_name"] == "Ada by parts"


def test_defaults_of_posts_are_the_account_s_own(ada):
    source = ada.patch(PATH, source={"privacy": "private", "sensitive": True, "language": "pt-BR"})["source"]
    assert (source["privacy"], source["sensitive"], source["language"]) == ("private", True, "pt-BR")
    for none in ("", None):
        assert ada.patch(PATH, source={"language": "de"})["source"]["language"] == "de"
        assert ada.patch(PATH, source={"language": none})["source"]["language"] is None


@pytest.mark.parametrize("wrong", [
    {"avatar": "data:image/png;base64,AAAA"}, {"header": "x"}, {"source": {"privacy": "secret"}},
    {"source": {"language": "no language"}}, {"note": "x" * 501}, {"display_name": "x" * 51},
    {"fields_attributes": [{"name": "n", "value": "v"}] * 9},
], ids=lambda wrong: next(iter(wrong)))  # fmt: skip
def test_what_can_not_be_is_refused_by_its_name(ada, wrong):
    reply = ada.http.patch(PATH, json=wrong)
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("Validation failed: ")


@pytest.mark.parametrize("wrong", [
    {"locked": "perhaps"}, {"fields_attributes": "x"}, {"fields_attributes": [1]}, {"source": "x"}, {"note": ["a", {}]},
], ids=str)  # fmt: skip
def test_what_can_not_be_read_is_refused(ada, wrong):
    reply = ada.http.patch(PATH, json=wrong)
    assert reply.status_code == 400
    assert next(iter(wrong)) in reply.json()["error"]


@pytest.mark.parametrize("path", [PATH, "/api/v1/profile"])
def test_pictures_are_files_of_the_form_and_others_see_them(ada, bob, path):
    files = {"avatar": ("me.png", MOVING + b"me"), "header": ("h.png", IMAGE + b"above")}
    reply = ada.http.patch(path, files=files, data={"note": "with pictures"})
    assert reply.status_code == 200, reply.text
    shown = bob.get(f"/api/v1/accounts/{ada.id}")
    for name in ("avatar", "header", "avatar_static", "header_static"):
        assert reply.json()[name] == shown[name]
        assert bob.http.get(urlsplit(shown[name]).path).status_code == 200
    assert shown["avatar"] != shown["avatar_static"]
    assert shown["header"] == shown["header_static"]
    assert "with pictures" in shown["note"]


def test_a_picture_that_is_none_is_refused_and_nothing_changes(ada, server):
    before = ada.get("/api/v1/accounts/verify_credentials")
    for files in ({"avatar": ("me.png", b"nothing"), "header": ("h.png", IMAGE)}, {"header": ("h.mp4", VIDEO)}):
        reply = ada.http.patch(PATH, files=files, data={"note": "other"})
        assert reply.status_code == 422, reply.text
    assert ada.http.patch(PATH, json={"avatar": "https://a.example/x.png"}).status_code == 422
    assert ada.get("/api/v1/accounts/verify_credentials") == before
    assert server.fake.media.waiting_files() == []


def test_who_brought_no_picture_has_one_of_the_name(ada, anonymous):
    url = ada.get("/api/v1/accounts/verify_credentials")["avatar"]
    assert urlsplit(url).path == f"/avatars/{ada.username}.png"
    first, second = (anonymous.get(f"/avatars/{name}.png") for name in (ada.username, ada.username.upper()))
    assert first.content == second.content != anonymous.get("/avatars/bob.png").content
    assert first.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert (first.headers["content-type"], first.headers["cache-control"]) == ("image/png", "public, max-age=86400")
    for path in ("/avatars/ada.svg", "/avatars/ada", f"/avatars/{'x' * 40}.png"):
        assert anonymous.get(path).status_code == 404


def test_a_picture_is_taken_off(ada):
    ada.http.patch(f"/{ada.id}/profile", json={"avatar": "https://a.example/me.png"})
    assert ada.get("/api/v1/accounts/verify_credentials")["avatar"] == "https://a.example/me.png"
    assert ada.delete("/api/v1/profile/avatar")["avatar"].endswith(f"/avatars/{ada.username}.png")
    assert ada.delete("/api/v1/profile/header")["header"].endswith("/missing.png")


def test_counts_are_exact_at_once(ada, bob):
    ada.http.post(f"/{ada.id}/follow/{bob.id}")
    said = bob.says("hello")
    bob.says("for friends", visibility="followers")
    shown = ada.get(f"/api/v1/accounts/{bob.id}")
    assert (shown["followers_count"], shown["following_count"], shown["statuses_count"]) == (1, 0, 1)
    assert len(shown["last_status_at"]) == len("2026-11-30")
    [status] = bob.get(f"/api/v1/accounts/{bob.id}/statuses", limit=1, max_id=int(said) + 1)
    assert status["account"]["statuses_count"] == 1


def test_who_hides_whom_it_knows_hides_it_from_others_only(ada, bob):
    ada.http.post(f"/{ada.id}/follow/{bob.id}")
    ada.patch(PATH, hide_collections=True)
    assert bob.get(f"/api/v1/accounts/{ada.id}/following") == []
    assert [account["id"] for account in ada.get(f"/api/v1/accounts/{ada.id}/following")] == [bob.id]
    assert bob.get(f"/api/v1/accounts/{ada.id}")["hide_collections"] is True


def test_nobody_without_a_token_changes_anything(stranger):
    for method, path in (("PATCH", PATH), ("DELETE", "/api/v1/profile/avatar"), ("DELETE", "/api/v1/profile/header")):
        assert stranger.request(method, path).status_code == 401
