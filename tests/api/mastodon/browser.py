"""A browser without scripts, as far as the pages of signing in need one: it keeps cookies, reads forms, sends them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.api.mastodon.oauth_client import CHALLENGE, OAuthClient


class Form(HTMLParser):
    """The n-th form of a page: where it goes, and what is in it."""

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self._left, self._inside = number, False
        self.feed(text)
        assert self.action, f"there is no form {number} in {text}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = self._left == 0
            self._left -= 1
            if self._inside:
                assert said["method"] == "post"
                self.action = said["action"]
        elif tag == "input" and self._inside and said.get("type") != "checkbox":
            self.fields[said["name"]] = said.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Browser:
    """One person's browser at the server."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.http = httpx.Client(base_url=base_url, verify=False)
        self.page: httpx.Response

    def open(self, path: str, **query: Any) -> httpx.Response:
        """Go to a page, and on to where it leads within the server."""
        self.page = self.http.get(path, params=query or None)
        return self._go_on()

    def send(self, number: int = 0, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Fill in the n-th form of the page that is open, and send it. Redirects to an app aren't followed."""
        form = Form(self.page.text, number)
        return self.send_as(form.action, {**form.fields, **fields}, headers)

    def send_as(self, action: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        said = {"origin": "null", "sec-fetch-site": "same-origin", **(headers or {})}
        self.page = self.http.post(action, data=fields, headers=said)
        return self._go_on()

    def sign_in(self, name: str, password: str) -> httpx.Response:
        return self.send(**{"user[email]": name, "user[password]": password})

    def authorize(self, client: OAuthClient, **more: str) -> httpx.Response:
        """Open the page on which an app asks."""
        asked = {
            "client_id": client.id, "redirect_uri": client.redirect, "response_type": "code", "scope": "read write",
            "state": "a state & more", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **more,
        }  # fmt: skip
        return self.open(f"/oauth/authorize?{urlencode({name: value for name, value in asked.items() if value})}")

    def _go_on(self) -> httpx.Response:
        while self.page.status_code == 303 and self.page.headers["location"].startswith("/"):
            self.page = self.http.get(self.page.headers["location"])
        return self.page


def sent_back(reply: httpx.Response, redirect: str) -> dict[str, str]:
    """Return what an app is told by the redirect to it."""
    assert reply.status_code == 303, reply.text
    address = reply.headers["location"]
    assert address.startswith(f"{redirect}?"), address
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query, strict_parsing=True).items()}
