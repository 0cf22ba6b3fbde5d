"""No cache keeps an answer in which a token had a part: every route of /openapi.json, the token in each place that it
can be in, good and bad, answered and refused, on every way through a worker. What is public stays as it was."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.caching import PRIVATE, has_token, keep_private
from api.settings import Rate
from tests.api.conftest import PASSWORD, LiveServer, ServerThread
from tests.api.documents import document_of
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import get, open_server, read_answers

KEPT_BY_NOBODY = "private, no-store"
PUBLIC = [
    "/{user_id}/profile", "/{user_id}/followers", "/{user_id}/following", "/api/v1/user_timeline?user_id={user_id}",
    "/{user_id}/pins",
    "/api/v1/tweet/{tweet_id}", "/api/v1/tweet/{tweet_id}/likes", "/api/v1/tweet/{tweet_id}/reposts",
    "/api/v1/tweet/{tweet_id}/thread", "/api/v1/trends", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs",
    "/nowhere", "/api/v1/tweet/x", "/{user_id}/profile?count=--5&x=%ff",
]  # fmt: skip
LONG_WAY = {"content-length": "0"}


def operations() -> Iterator[tuple[str, str, bool]]:
    for path, item in document_of(wrk2_api=True)["paths"].items():
        yield from ((method.upper(), path, "requestBody" in operation) for method, operation in item.items())


OPERATIONS = sorted(operations())


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with ServerThread({"wrk2_api": True}) as live:
        yield live


def places(token: str, has_body: bool) -> Iterator[dict[str, Any]]:
    """Every way to send a token along."""
    yield {"headers": {"authorization": f"Bearer {token}"}}
    yield {"headers": {"AUTHORIZATION": f"Bearer {token}", **LONG_WAY}}
    yield {"headers": {"authorization": token}}
    yield {"query": f"auth_token={token}"}
    yield {"query": f"auth%5ftoke%6E={token}"}
    yield {"query": f"x=%ff&auth_token={token}"}
    if has_body:
        body = {"auth_token": token}
        escaped = json.dumps(body).replace("auth", "\\u0061uth").encode()
        yield {"json": body}
        yield {"content": escaped}
        yield {"data": body}
        yield {"files": {"auth_token": (None, token)}}
        yield {"content": f"auth%5Ftoken={token}", "headers": {"content-type": "application/x-www-form-urlencoded"}}
        yield {"content": escaped[:-1], "headers": {"content-type": "application/json"}}  # can't be read
        yield {"content": iter([escaped[:-1]])}
        yield {"content": f"auth_token={token}", "headers": {"content-type": "text/plain"}}
        yield {"json": {**body, "x": "x" * 70_000}}  # too large


def send(http: httpx.Client, method: str, url: str, query: str = "", **more: Any) -> httpx.Response:
    whole = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
    if method == "GET" and "/stream" in url:  # whose answer has no end
        with http.stream(method, whole, **more) as reply:
            return reply
    return http.request(method, whole, **more)


@pytest.mark.parametrize(("method", "path", "has_body"), OPERATIONS)
def test_no_cache_keeps_what_a_token_had_a_part_in(anonymous, ada, bob, method, path, has_body):
    tweet_id = ada.tweet("x")["tweet_id"]
    scheduled_id = ada.tweet("x", scheduled_at="2024-06-01T00:00:00Z")["scheduled_id"]
    path = path.format(
        user_id=ada.user_id, id=bob.user_id, tweet_id=tweet_id, scheduled_id=scheduled_id, hashtag="word",
        token_id="0" * 16, notification_id="999", webhook_id="999", what="mutes.csv",
    )  # fmt: skip
    right = {"/feed", "/api/v1/home_timeline", "/api/v1/user_timeline"}
    query = f"?user_id={ada.user_id}" if path in right else "?query=word" if "/search" in path else ""
    query = f"?user_id={ada.user_id}&tweet_id={tweet_id}" if path.endswith("/explain") else query
    urls = (path + query, f"{path}?count=--5", path.replace(ada.user_id, "0"))
    for token, url in (*((ada.token, url) for url in urls), ("rk_nonsense", urls[0])):
        for sent in places(token, has_body):
            for verb in {method, "HEAD" if method == "GET" else method}:
                reply = send(anonymous, verb, url, **sent)
                assert reply.headers.get_list("cache-control") == [KEPT_BY_NOBODY], (verb, url, sent, reply.text)
                assert reply.status_code < 500
    for verb in ("PUT", "OPTIONS", "BREW"):
        reply = send(anonymous, verb, path, headers={"authorization": "Bearer x"})
        assert KEPT_BY_NOBODY in reply.headers["cache-control"]


@pytest.mark.parametrize("path", PUBLIC)
def test_what_is_public_says_nothing_of_caches_unless_a_token_came(anonymous, ada, path):
    path = path.format(user_id=ada.user_id, tweet_id=ada.tweet("x")["tweet_id"])
    for verb in ("GET", "HEAD", "OPTIONS"):
        assert "cache-control" not in anonymous.request(verb, path).headers
        assert ada.http.request(verb, path).headers["cache-control"] == KEPT_BY_NOBODY


def test_writes_without_a_token_say_nothing_either(anonymous):
    for path, body in (("/api/v1/users", {"username": "a b", "password": PASSWORD}), ("/tweet", {"status": "x"})):
        assert "cache-control" not in anonymous.post(path, json=body).headers
    assert "cache-control" not in anonymous.post("/1/follow/2").headers
    assert "cache-control" not in anonymous.put("/1/follow/2", json={"auth_token": "x"}).headers, "nobody looked at it"


def test_an_answer_that_holds_a_token_is_kept_by_nobody(anonymous):
    made = {"username": "holder_of_a_token", "password": PASSWORD}
    for path in ("/api/v1/users", "/api/v1/login"):
        assert anonymous.post(path, json=made).headers["cache-control"] == KEPT_BY_NOBODY


@pytest.mark.parametrize("path", ["/feed?user_id=1", "/api/v1/search?query=word", "/1/profile"])
@pytest.mark.parametrize("settings", [{"in_flight_count_max": 0}, {"rate_limits": {"address_read": Rate(0.001, 1)}}])
def test_refusals_for_lack_of_room_or_rate_are_of_both_kinds_too(path, settings):
    with ServerThread(settings) as live, httpx.Client(base_url=live.base_url) as http:
        http.get(path)  # takes the only place of the rate
        for way in ({}, LONG_WAY):
            refused = http.get(path, headers={"authorization": "Bearer x", **way})
            assert (refused.status_code in (429, 503), refused.headers["cache-control"]) == (True, KEPT_BY_NOBODY)
            refused = http.get(f"{path}{'&' if '?' in path else '?'}auth_token=x", headers=way)
            assert (refused.status_code in (429, 503), refused.headers["cache-control"]) == (True, KEPT_BY_NOBODY)
            assert "cache-control" not in http.get(path, headers=way).headers


def test_failures_of_shards_are_of_both_kinds_too():
    fake = FakeCluster()
    fake.do_profile = fake.do_home = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    with ServerThread({"auth_mode": "open"}, fake) as live, httpx.Client(base_url=live.base_url) as http:
        for path in ("/1/profile", "/feed?user_id=1"):
            for way in ({}, LONG_WAY):
                failed = http.get(path, headers={"authorization": "Bearer x", **way})
                assert failed.status_code in (401, 500)
                assert failed.headers["cache-control"] == KEPT_BY_NOBODY


def test_a_request_behind_it_on_the_connection_changes_nothing():
    fake = FakeCluster()
    fake.do_home = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    with open_server(fake) as (_live, sock):
        fake.delay_s = 0.05
        with_token, without = get("/feed?user_id=1", "authorization: Bearer x"), get("/feed?user_id=1")
        for sent in (with_token, without), (without, with_token):
            sock.sendall(b"".join(sent))
            answers = read_answers(sock, 2)
            assert [status for status, *_ in answers] == [500, 500]
            assert ["cache-control" in headers for _, headers, _ in answers] == [each is with_token for each in sent]


def test_what_is_no_http_is_kept_by_nobody_as_a_token_may_have_been_in_it(base_url):
    address = urlsplit(base_url)
    with socket.create_connection((address.hostname, address.port), 60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nauthorization: Bearer x\r\nbro ken\r\n\r\n")
        assert b"\r\ncache-control: private, no-store\r\n" in connection.recv(65_536)


@given(name=st.sampled_from(["auth_token", "auth_tok", "authtoken", "x"]), data=st.data())
def test_a_parameter_is_a_token_however_its_name_is_encoded(name, data):
    encoded = "".join(f"%{ord(char):02x}" if data.draw(st.booleans()) else char for char in name)
    assert has_token([], f"a=b&{encoded}=x".encode()) == (name == "auth_token")


def test_there_is_one_header_and_the_strict_one():
    other = (b"cache-control", b"max-age=60")
    assert keep_private([other, (b"link", b"x")]) == [(b"link", b"x"), PRIVATE]
    assert keep_private([PRIVATE, (b"link", b"x")]) == [PRIVATE, (b"link", b"x")]
