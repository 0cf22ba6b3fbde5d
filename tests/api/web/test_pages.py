"""The pages of the web client: the shell of each screen, what it says without JavaScript, headers."""

from __future__ import annotations

import json
from html import unescape

import pytest

from api.app import create_app
from api.settings import ApiSettings
from api.web.assets import client_files
from api.web.pages import ROUTES, client_route
from api.web.policy import policy_of
from tests.api.conftest import ServerThread, open_http
from tests.api.core_cluster import CoreCluster
from tests.api.fake_cluster import FakeCluster

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types rk-template rk-content; "
    "img-src 'self' blob: data:; media-src 'self' blob: data:"
)


@pytest.fixture(scope="module")
def server():
    cluster = CoreCluster()
    with ServerThread({"media_url": "", "public_url": ""}, cluster) as live:
        yield live
    cluster.end_search()


def says(http, bob, text, **more):
    reply = http.post(
        "/api/v1/statuses", json={"status": text, **more}, headers={"authorization": f"Bearer {bob.token}"}
    )
    assert reply.status_code == 200, reply.text
    return reply.json()


def facts_of(text):
    return json.loads(unescape(text.split('<meta name="rookery" content="')[1].split('"')[0]))


@pytest.mark.parametrize("path", [*ROUTES, "/lists/12", "/explore/", "/search?q=kites", "/compose?text=a&url=b"])
def test_every_screen_has_the_shell(anonymous, path):
    reply = anonymous.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-opener-policy"] == reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert not {"set-cookie", "access-control-allow-origin"} & reply.headers.keys()
    assert f'src="/assets/{client_files().version}/main.js"' in reply.text
    assert facts_of(reply.text)["auth"] == "token"
    again = anonymous.get(path, headers={"if-none-match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/list/12", "/lists/x", "/lists/12/13", "/Explore", "/settings/x", "/webhooks"])
def test_what_is_no_screen_is_as_before(anonymous, path):
    assert anonymous.get(path).status_code == 404
    assert client_route(path) is None


def test_no_screen_hides_a_path_of_the_native_api():
    app = create_app(FakeCluster(), ApiSettings(wrk2_api=True))
    paths = [route.path for route in app.routes]
    for path in paths:
        assert client_route(path.replace("{user_id}", "7").replace("{hashtag}", "x")) is None, path
    assert "/search/tags/{hashtag}" in paths
    for path in (*ROUTES, "/lists/7"):
        assert not any(getattr(route, "path_regex", None) and route.path_regex.match(path) for route in app.routes), (
            path
        )


def test_what_everybody_may_read_is_in_the_page_with_a_preview_of_it(anonymous, bob):
    said = says(anonymous, bob, 'wind & "waves" <b>')
    reply = anonymous.get(f"/@{bob.username}/{said['id']}")
    assert reply.status_code == 200
    for each in ("og:title", "og:type", "og:description", "og:url", "og:image", "<h1>"):
        assert each in reply.text, each
    assert "wind &amp;" in reply.text
    assert "<b>" not in reply.text
    assert 'content="wind &amp; &#34;waves&#34; &lt;b&gt;"' in reply.text
    assert anonymous.get(f"/@{bob.username}").text.count(f"@{bob.username}") >= 1


def test_a_preview_keeps_back_what_a_warning_hides(anonymous, bob):
    said = says(anonymous, bob, "he dies", spoiler_text="the end of it")
    text = anonymous.get(f"/@{bob.username}/{said['id']}").text
    assert 'property="og:description" content="the end of it"' in text


def test_where_nobody_may_read_the_client_is_served_all_the_same(anonymous, bob):
    said = says(anonymous, bob, "for few", visibility="private")
    reply = anonymous.get(f"/@{bob.username}/{said['id']}")
    assert reply.status_code == 404
    assert "for few" not in reply.text
    assert "main.js" in reply.text
    assert reply.headers["content-security-policy"] == POLICY


def test_a_cookie_changes_nothing(anonymous):
    plain = anonymous.get("/")
    with_one = anonymous.get("/", headers={"cookie": "rookery_session=x; rookery_web_00000000=y"})
    assert plain.content == with_one.content
    assert "set-cookie" not in with_one.headers


def test_what_browsers_ask_for_at_the_root(anonymous):
    worker = anonymous.get("/sw.js")
    assert worker.headers["content-type"] == "text/javascript; charset=utf-8"
    assert worker.headers["cache-control"] == "no-cache"
    assert worker.headers["content-security-policy"] == POLICY
    first, _, rest = worker.text.partition("\n")
    facts = json.loads(first.removeprefix("self.ROOKERY = ").removesuffix(";"))
    assert facts["version"] == client_files().version
    assert all(anonymous.get(path).status_code == 200 for path in facts["files"][:3])
    assert "addEventListener" in rest
    manifest = anonymous.get("/manifest.webmanifest").json()
    assert manifest["share_target"]["action"] == "/compose"
    assert manifest["icons"][0]["src"] == "/favicon.svg"
    icon = anonymous.get("/favicon.svg")
    assert icon.headers["content-type"] == "image/svg+xml"
    assert "Disallow: /api/" in anonymous.get("/robots.txt").text


def test_pictures_may_come_from_where_the_media_are():
    policy = policy_of("https://cdn.example:8443/media/x", "https://example.org/sub", "", "ftp://no.example", "no url")
    assert policy.count("https://cdn.example:8443") == policy.count("https://example.org") == 2
    assert "/media" not in policy
    assert "no.example" not in policy
    assert "'unsafe" not in policy


def test_without_the_client_there_are_the_pages_of_before():
    with ServerThread({"web_enabled": False}) as live, open_http(live.base_url) as http:
        for path in ("/", "/explore", "/sw.js", "/assets/x/main.js", "/robots.txt"):
            assert http.get(path).status_code == 404, path
        http.post("/api/v1/users", json={"username": "ada", "password": "correct horse battery"})
        page = http.get("/@ada")
        assert page.status_code == 200
        assert "<script" not in page.text
        assert http.post("/oauth/web/token", headers={"rookery-web": "1"}).status_code == 404


def test_a_name_and_a_title_are_text(anonymous):
    with ServerThread({"instance": {"title": 'A <b>"title"'}}) as live, open_http(live.base_url) as http:
        text = http.get("/").text
        assert "<b>" not in text
        assert facts_of(text)["title"] == 'A <b>"title"'
