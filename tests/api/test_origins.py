"""Under which address links lead back: what a request says, what trusted proxies say of it, or `server.public_url`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.api_actor import api_settings
from api.access.rate_limits import RateLimiter
from api.http.proxies import FORWARDED_BYTES_MAX, HOST_CHARS_MAX, NOTHING_SAID, Origin, TrustedProxies, is_host
from api.limits import HOST_BYTES_MAX
from api.links import Origins
from api.settings import RateLimitSettings
from configs.settings import load_settings
from tests.api.conftest import PASSWORD, ServerThread, open_http

LONG_WAY = {"content-length": "0"}
PAGES = [
    "/feed?user_id={me}", "/api/v1/home_timeline?user_id={me}&count=1", "/api/v1/search?query=word&count=1",
    "/api/v1/search?query=%23tag", "/search/tags/tag", "/api/v1/user_timeline?user_id={me}", "/{me}/followers?count=1",
    "/{me}/following?count=1",
]  # fmt: skip


class World:
    """A worker with accounts that have a page of everything."""

    def __init__(self, base_url: str) -> None:
        self.http = open_http(base_url)
        self.host = base_url.removeprefix("http://")
        made = [
            self.http.post("/api/v1/users", json={"username": f"a{n}", "password": PASSWORD}).json() for n in range(3)
        ]
        self.me = made[0]["user_id"]
        for number, each in enumerate(made):
            headers = {"authorization": f"Bearer {each['auth_token']}"}
            self.http.post("/tweet", json={"status": f"word {number} #tag"}, headers=headers)
            for other in made:
                self.http.post(f"/{each['user_id']}/follow/{other['user_id']}", headers=headers)
        self.http.headers["authorization"] = f"Bearer {made[0]['auth_token']}"

    def origins(self, page: str, **headers: str) -> set[str]:
        """What the links of a page begin with, on each way through the worker."""
        found = set()
        path = page.partition("?")[0].format(me=self.me)
        for way in ({}, {}, LONG_WAY):
            sent = {name.replace("_", "-"): value.encode("latin-1") for name, value in {**headers, **way}.items()}
            reply = self.http.get(page.format(me=self.me), headers=sent)
            assert reply.status_code == 200, reply.text
            for link in reply.headers["link"].split(", <"):
                target = link.lstrip("<").partition(">")[0]
                origin, found_path, _ = target.partition(path)
                assert found_path, link
                found.add(origin)
        return found


@contextmanager
def world(*proxies: str, **settings: Any) -> Iterator[World]:
    limits = {"enabled": False, "trusted_proxies": list(proxies)}
    with ServerThread({"rate_limits": limits, **settings}) as live:
        made = World(live.base_url)
        yield made
        made.http.close()


@pytest.fixture(scope="module")
def proxied() -> Iterator[World]:
    with world("127.0.0.0/8", "10.0.0.0/8") as made:
        yield made


@pytest.fixture(scope="module")
def direct() -> Iterator[World]:
    with world("10.0.0.0/8") as made:
        yield made


@pytest.mark.parametrize("page", PAGES)
def test_links_of_every_page_lead_back_through_the_proxy(proxied, page):
    assert proxied.origins(page) == {f"http://{proxied.host}"}
    assert proxied.origins(page, x_forwarded_proto="https") == {f"https://{proxied.host}"}
    assert proxied.origins(page, x_forwarded_proto="HTTPS", x_forwarded_host="rookery.example:8443") == {
        "https://rookery.example:8443"
    }
    assert proxied.origins(page, forwarded='for=192.0.2.60;proto=https;host="rookery.example:8443"') == {
        "https://rookery.example:8443"
    }
    assert proxied.origins(page, host="by.its.host") == {"http://by.its.host"}


@pytest.mark.parametrize("page", PAGES)
def test_who_is_no_trusted_proxy_is_not_believed(direct, page):
    said = {"x_forwarded_proto": "https", "x_forwarded_host": "evil.example", "x_forwarded_for": "10.0.0.1"}
    assert direct.origins(page, **said) == {f"http://{direct.host}"}
    assert direct.origins(page, forwarded="for=10.0.0.1;proto=https;host=evil.example") == {f"http://{direct.host}"}


@pytest.mark.parametrize("url", ["https://rookery.example", "https://rookery.example/", "http://[2001:db8::1]:80/a/b/"])
def test_the_public_url_goes_before_everything(url):
    with world("127.0.0.0/8", public_url=url) as made:
        for page in PAGES:
            for said in (
                {},
                {"x_forwarded_proto": "http", "x_forwarded_host": "other.example"},
                {"host": "other.example"},
            ):
                assert made.origins(page, **said) == {url.rstrip("/")}


@pytest.mark.parametrize(
    "host",
    ["evil.example/path", "a@evil.example", "evil.example>; rel=next", 'ev"il', "a b", "x" * 300, "\xe4.example", "",
     "[::1", "a:999999", "a:b", "-a", "a?b", "a#b", "a\\b", "<a>", "a;b", "%41.example", "http://a"],
)  # fmt: skip
def test_what_can_be_no_host_is_not_put_into_a_header(proxied, direct, host):
    for page in PAGES[:1] + PAGES[2:3] + PAGES[-1:]:
        assert proxied.origins(page, x_forwarded_host=host) == {f"http://{proxied.host}"}
        assert proxied.origins(page, forwarded=f'host="{host}"') == {f"http://{proxied.host}"}
        if host in ("", "-a", "a;b", "%41.example"):  # well-formed (RFC 3986), but not as links begin
            assert direct.origins(page, host=host) == {""}, "the links are relative then"
        else:
            reply = direct.http.get(page.format(me=direct.me), headers={"host": host.encode("latin-1")})
            assert reply.status_code == (431 if len(host) > HOST_BYTES_MAX else 400)
    assert len(host) > HOST_CHARS_MAX or not is_host(host)


def test_without_a_host_links_are_relative(direct):
    name, port = direct.host.split(":")
    with socket.create_connection((name, int(port)), 60) as sock:
        sock.sendall(b"GET /search/tags/tag HTTP/1.0\r\n\r\n")
        assert b"\r\nlink: </search/tags/tag?" in sock.recv(65_536).partition(b"\r\n\r\n")[0]


# ---- whose word counts --------------------------------------------------------------------------------------------

NETWORKS = ("10.0.0.0/8", "fd00::/8")


def headers_of(**said: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in said.items()]


def origin(peer: str = "10.0.0.1", **said: str) -> Origin:
    return TrustedProxies(NETWORKS).origin_of(peer, headers_of(**said))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, NOTHING_SAID),
        ({"x_forwarded_proto": "http, https"}, Origin("https", "")),  # the client's word, and the proxy's
        ({"x_forwarded_proto": "http, https", "x_forwarded_for": "192.0.2.1"}, Origin("https", "")),
        ({"x_forwarded_proto": "https, http", "x_forwarded_for": "192.0.2.1, 10.0.0.2"}, Origin("https", "")),
        ({"x_forwarded_proto": "https", "x_forwarded_for": "192.0.2.1, 10.0.0.2"}, Origin("https", "")),
        ({"x_forwarded_proto": "x, https, http", "x_forwarded_for": "6.6.6.6, 7.7.7.7, fd00::2"}, Origin("https", "")),
        ({"x_forwarded_host": "evil.example, good.example"}, Origin("", "good.example")),
        ({"x_forwarded_proto": "wss", "x_forwarded_host": "good.example"}, Origin("", "good.example")),
        ({"x_forwarded_for": "192.0.2.1", "forwarded": "proto=https;host=evil.example"}, NOTHING_SAID),
        ({"x_forwarded_proto": "http", "forwarded": "proto=https;host=evil.example"}, Origin("http", "")),
        ({"forwarded": "proto=https"}, Origin("https", "")),
        ({"forwarded": "Proto=HTTPS;Host=Good.example"}, Origin("https", "Good.example")),
        ({"forwarded": "for=6.6.6.6;host=evil.example, for=192.0.2.1;proto=https"}, Origin("https", "")),
        ({"forwarded": "for=192.0.2.1;proto=https;host=good.example, for=10.0.0.2"}, Origin("https", "good.example")),
        ({"forwarded": 'for=7.7.7.7;proto=https;host=a.b , for="[fd00::1]:80";proto=http'}, Origin("https", "a.b")),
        ({"forwarded": 'for="_secret";proto=https, , '}, Origin("https", "")),
        ({"forwarded": "proto=https;"}, Origin("https", "")),
        ({"forwarded": 'proto="https'}, NOTHING_SAID),
        ({"forwarded": "proto = https"}, NOTHING_SAID),
        ({"forwarded": "https"}, NOTHING_SAID),
        ({"forwarded": "proto=https;host=" + "a" * FORWARDED_BYTES_MAX}, NOTHING_SAID),
    ],
)  # fmt: skip
def test_of_what_proxies_say_only_the_trusted_part_counts(said, expected):
    assert origin(**said) == expected
    assert origin("192.0.2.9", **said) == NOTHING_SAID
    assert origin("", **said) == origin("unix", **said) == NOTHING_SAID


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_trusted_peer_is_known_by_each_of_its_addresses(peer):
    assert origin(peer, x_forwarded_proto="https") == Origin("https", "")


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ({"x_forwarded_for": "6.6.6.6, 198.51.100.7, 10.2.2.2"}, "198.51.100.7"),
        ({"x_forwarded_for": "198.51.100.7:4711"}, "198.51.100.7"),
        ({"forwarded": "for=6.6.6.6, for=198.51.100.7, for=10.2.2.2"}, "198.51.100.7"),
        ({"forwarded": 'for="198.51.100.7:4711";proto=https'}, "198.51.100.7"),
        ({"forwarded": 'for="[2001:db8:1:2::7]:80"'}, "2001:db8:1:2::/64"),
        ({"forwarded": "for=unknown"}, "other"),
        ({"forwarded": "proto=https"}, "other"),
        ({"x_forwarded_for": "198.51.100.7", "forwarded": "for=6.6.6.6"}, "198.51.100.7"),
        ({}, "10.0.0.1"),
    ],
)
def test_requests_count_for_the_address_that_trusted_proxies_name(said, address):
    limiter = RateLimiter(RateLimitSettings(trusted_proxies=NETWORKS), lambda: 0.0)
    assert limiter.address_of({"client": ("10.0.0.1", 5), "headers": headers_of(**said)}) == address
    assert limiter.address_of({"client": ("192.0.2.9", 5), "headers": headers_of(**said)}) == "192.0.2.9"


@given(
    value=st.text(st.characters(max_codepoint=255), max_size=60),
    name=st.sampled_from(["forwarded", "x_forwarded_host"]),
)
def test_whatever_a_header_says_an_origin_is_a_scheme_and_a_host_or_nothing(value, name):
    scheme, host = origin(**{name: value})
    assert scheme in ("", "http", "https")
    assert host == "" or is_host(host)
    assert isinstance(TrustedProxies(NETWORKS).client_of("10.0.0.1", headers_of(**{name: value})), str)


@given(st.text(max_size=40))
def test_a_host_has_nothing_that_could_end_a_header_or_an_address(text):
    if is_host(text):
        assert text.isascii()
        assert not set(text) & set('/?#@<>"\\ \r\n\t,;%')


def test_hosts_that_clients_make_up_are_not_kept():
    origins = Origins("", TrustedProxies(()))
    assert origins.of("http", b"x" * 100_000, None, ()) == ""
    assert origins.of("http", b"example.org", None, ()) == "http://example.org"


def test_the_setting_arrives():
    settings = load_settings(
        "laptop", ["server.public_url=https://rookery.example", "server.trusted_proxies=10.0.0.0/8"]
    )
    found = api_settings(settings)
    assert found["public_url"] == "https://rookery.example"
    assert found["rate_limits"]["trusted_proxies"] == ["10.0.0.0/8"]
