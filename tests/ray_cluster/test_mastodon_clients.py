"""Mastodon.py and masto.js, unchanged, against a served cluster of two shards and two workers: what they do they see at
once.

Each client keeps connections to both workers; whoever writes and whoever asks back are as a rule not the same one.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from mastodon import Mastodon
from mastodon.errors import MastodonUnauthorizedError

from tests.components import needs_ffmpeg
from tests.media.samples import make_pictures, probed, with_exif
from tests.ray_cluster.masto_js import TESTS as MASTO_JS_TESTS
from tests.ray_cluster.masto_js import needs_masto_js, run_masto_js
from tests.ray_cluster.rounds import Rounds
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

PASSWORD = "a long enough password"
SCOPES = ["read", "write", "follow"]
PEOPLE = 6
ROUNDS = 100
_names = itertools.count()


@pytest.fixture(scope="module")
def base(watched: ServedCluster) -> str:
    return f"http://127.0.0.1:{watched.port}"


@pytest.fixture(scope="module")
def app(base: str) -> tuple[str, str]:
    return Mastodon.create_app("a client", scopes=SCOPES, redirect_uris="urn:ietf:wg:oauth:2.0:oob", api_base_url=base)


@pytest.fixture(scope="module")
def new_client(base: str, app: tuple[str, str]) -> Callable[[], Mastodon]:
    def make() -> Mastodon:
        """Sign somebody up through the API; returns their client, which has a token at once."""
        client = Mastodon(*app, api_base_url=base, ratelimit_method="throw")
        name = f"toot_{next(_names)}"
        client.create_account(name, PASSWORD, f"{name}@rookery.example", agreement=True, scopes=SCOPES)
        return client

    return make


@pytest.fixture(scope="module")
def people(new_client: Callable[[], Mastodon]) -> list[Mastodon]:
    return [new_client() for _ in range(PEOPLE)]


def test_an_account_signs_in_by_its_password(base, app, people):
    name = people[0].me().username
    client = Mastodon(*app, api_base_url=base)
    client.log_in(name, PASSWORD, scopes=SCOPES, allow_http=True)
    assert client.me().username == name
    client.revoke_access_token(allow_http=True)
    with pytest.raises(MastodonUnauthorizedError):
        Mastodon(access_token="rk_gone", api_base_url=base).me()


def test_what_a_client_writes_it_reads_back_at_once(people):
    rounds = Rounds(people)
    for number in range(ROUNDS):
        rounds.one(number)


@needs_ffmpeg
def test_a_picture_is_brought_shown_and_described_anew(people, tmp_path):
    make_pictures(tmp_path, ["plain.jpg"])
    brought = with_exif((tmp_path / "plain.jpg").read_bytes(), 6)
    (tmp_path / "kite.jpg").write_bytes(brought)
    media = people[0].media_post(tmp_path / "kite.jpg", description="a kite", focus=(0.5, -0.5), synchronous=True)
    status = people[0].status_post("look", media_ids=[media])
    (shown,) = people[1].status(status).media_attachments
    assert (shown.type, shown.description, shown.meta.focus.x) == ("image", "a kite", 0.5)
    for address in (shown.url, shown.preview_url):
        _is_upright_and_says_nothing(address, tmp_path / "fetched.jpg", brought)
    words = people[0].generate_media_edit_attributes(media, description="a red kite")
    people[0].status_update(status, "look", media_attributes=[words])  # it fails on ids beside them
    (shown,) = people[1].status(status).media_attachments
    assert (shown.id, shown.description) == (media.id, "a red kite")


def _is_upright_and_says_nothing(address: str, path: Path, brought: bytes) -> None:
    answer = httpx.get(address, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    for secret in (b"Exif", b"secret-place"):
        assert secret in brought
        assert secret not in answer.content
    path.write_bytes(answer.content)
    (stream,) = probed(path)["streams"]
    assert stream["height"] > stream["width"] > 0


def test_the_instance_says_what_there_is(base, people):
    client = people[0]
    assert client.instance_v2().domain == client.instance_v1().uri == base.removeprefix("http://")
    assert client.instance_nodeinfo().software.name == "rookery"
    assert client.search_v2(people[1].me().username).accounts
    assert client.verify_minimum_version("4.3.0", cached=False)


@pytest.fixture
def stranger(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base) as client:
        yield client


@needs_masto_js
def test_masto_js_signs_in_by_every_grant_and_reads_back_at_once_what_it_writes(base):
    counted = run_masto_js(base)
    assert counted.pop("pass", 0) >= len(list(MASTO_JS_TESTS.glob("*.test.mjs"))), counted
    assert counted == {"fail": 0, "skipped": 0, "cancelled": 0}


def test_an_app_gets_a_code_through_the_pages(base, app, people, stranger):
    """Sign in on the page, allow, copy the code: as an app that can't be sent anything."""
    name = people[1].me().username
    client = Mastodon(*app, api_base_url=base)
    address = client.auth_request_url(scopes=SCOPES, redirect_uris="urn:ietf:wg:oauth:2.0:oob", allow_http=True)
    page = stranger.get(address, follow_redirects=True)
    page = _send(stranger, page, {"user[email]": name, "user[password]": PASSWORD})
    assert "a client" in page.text
    shown = _send(stranger, page, {})
    code = httpx.URL(str(shown.url)).params["code"]
    client.log_in(code=code, scopes=SCOPES, redirect_uri="urn:ietf:wg:oauth:2.0:oob", allow_http=True)
    assert client.me().username == name


def _send(client: httpx.Client, page: httpx.Response, values: dict[str, str]) -> httpx.Response:
    """Fill in the first form of a page, and send it."""
    form = re.search(r"<form[^>]*action=\"([^\"]+)\".*?</form>", page.text, re.S)
    assert form is not None, page.text
    hidden = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form[0]))
    sent = {name: html.unescape(value) for name, value in hidden.items()} | values
    reply = client.post(page.url.join(html.unescape(form[1])), data=sent, follow_redirects=True)
    assert reply.status_code == 200, reply.text
    return reply
