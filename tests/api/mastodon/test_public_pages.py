"""The addresses that accounts, statuses and hashtags have lead somewhere in a browser: to what everybody may read."""

from __future__ import annotations

from html import escape

import pytest

PREFIX = "/api/v1/"
HOSTILE = "<script>alert(1)</script> & <b>bold</b>"


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def test_an_accounts_address_shows_who_it_is(ada, stranger):
    fields = [{"name": "<i>n", "value": "<u>v"}]
    shown = ada.patch(
        f"{PREFIX}accounts/update_credentials", display_name="Ada <b>", note=HOSTILE, fields_attributes=fields
    )
    page = stranger.get(path_of(shown["url"]))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"@{ada.username}" in page.text
    assert escape("Ada <b>") in page.text
    for markup in ("<script>", "<b>", "<i>", "<u>"):
        assert markup not in page.text
    for text in ("alert(1)", "bold", "&lt;i&gt;n", "&lt;u&gt;v"):
        assert text in page.text
    assert "access-control-allow-origin" not in page.headers
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert stranger.get(f"{path_of(shown['url'])}/").status_code == 200


@pytest.mark.parametrize("visibility", ["public", "unlisted", "private", "direct"])
def test_a_statuss_address_shows_it_if_everybody_may_read_it(ada, stranger, visibility):
    said = ada.post(f"{PREFIX}statuses", status=f"{HOSTILE} #seen", spoiler_text="<i>mind", visibility=visibility)
    for client in (stranger, ada.http):
        page = client.get(path_of(said["url"]))
        assert page.status_code == (200 if visibility in ("public", "unlisted") else 404)
        assert "<script>" not in page.text
        assert "<i>" not in page.text
        assert ("alert(1)" in page.text) == (page.status_code == 200)
    other = path_of(said["url"]).replace(ada.username, "somebody_else")
    assert stranger.get(other).status_code == 404


def test_a_reblogs_address_leads_to_what_it_reblogs(ada, bob, stranger):
    said = ada.post(f"{PREFIX}statuses", status="worth it")
    reblog = bob.post(f"{PREFIX}statuses/{said['id']}/reblog")
    reply = stranger.get(f"/@{bob.username}/{reblog['id']}", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, said["url"])


def test_a_hashtags_address_shows_the_newest_public_statuses(ada, stranger):
    for text, visibility in (("for all #pagetag", "public"), ("for few #pagetag", "private")):
        said = ada.post(f"{PREFIX}statuses", status=text, visibility=visibility)
    page = stranger.get(path_of(said["tags"][0]["url"]))
    assert page.status_code == 200
    assert "for all" in page.text
    assert "for few" not in page.text
    assert "Nothing yet" in stranger.get("/tags/nobody_said_this").text


@pytest.mark.parametrize("path", [
    "/@", "/@nobody_at_all", "/@nobody_at_all/1", "/@x/abc", "/@x/1/2", "/tags/", "/tags/a%20b", "/@%00", "/@%ff/1",
    "/@x/99999999999999999999", "/tags/%00", "/tags/x/y",
])  # fmt: skip
def test_what_is_not_there_is_not_found(stranger, path):
    assert stranger.get(path).status_code in (400, 404), stranger.get(path).text


def test_pages_are_read_only(stranger, ada):
    reply = stranger.post(f"/@{ada.username}")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
