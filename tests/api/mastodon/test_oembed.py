"""Statuses inside other sites' pages."""

from __future__ import annotations

import httpx
import pytest

PATH = "/api/oembed"


def ask(client: httpx.Client, address: str, **more: int) -> httpx.Response:
    """Ask for a status by its address, as it is known to who reads it on this server."""
    return client.get(PATH, params={"url": str(client.base_url.join(httpx.URL(address).path)), **more})


def test_a_public_status_is_a_quotation_without_anything_that_runs(bob, stranger):
    said = bob.says("hello <script>alert(1)</script> #owls")
    status = bob.get(f"/api/v1/statuses/{said}")
    reply = ask(stranger, status["url"], maxwidth=300)
    assert reply.status_code == 200
    found = reply.json()
    assert (found["type"], found["version"], found["author_name"]) == ("rich", "1.0", bob.username)
    assert (found["width"], found["height"], found["author_url"]) == (300, None, status["account"]["url"])
    assert status["content"] in found["html"]
    assert status["url"] in found["html"]
    assert "<script" not in found["html"]
    assert ask(stranger, status["uri"]).json()["html"] == found["html"]
    other = status["url"].replace(bob.username, "somebody")
    assert ask(stranger, other).status_code == 404, "no page of that name has it"


def test_of_a_status_with_a_warning_only_that_is_shown(bob, stranger):
    status = bob.post("/api/v1/statuses", status="the butler", spoiler_text="who <did> it", visibility="unlisted")
    found = ask(stranger, status["url"]).json()["html"]
    assert "the butler" not in found
    assert "<p>who &lt;did&gt; it</p>" in found


@pytest.mark.parametrize("visibility", ["private", "direct"])
def test_what_is_not_for_everybody_is_not_found_even_by_its_author(bob, visibility):
    status = bob.post("/api/v1/statuses", status="between us", visibility=visibility)
    assert ask(bob.http, status["url"]).status_code == 404


@pytest.mark.parametrize("url", [
    "", "x", "http://[x/@a/1", "https://elsewhere.example/@ada/7", "{base}/@ada", "{base}/@ada/x", "{base}/about/7",
    "{base}/@ada/0", "{base}/@ada/7", "{base}/@ada/99999999999999999999",
])  # fmt: skip
def test_what_is_no_status_of_this_server_is_not_found(stranger, url):
    reply = stranger.get(PATH, params={"url": url.format(base=str(stranger.base_url).rstrip("/"))})
    assert (reply.status_code, reply.json()) == (404, {"error": "Record not found"})
