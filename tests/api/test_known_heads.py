"""A read whose head is the last one's of its connection goes past the parser; nobody outside may be able to tell."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from api.http.protocol import BoundedHttpProtocol
from tests.api.conftest import LiveServer, ServerThread
from tests.api.test_home_exchange import get, read_answers
from tests.api.test_search_exchange import FOUND, NAMED, REFUSED, bearer, cursor_after, register, tweet

HOMES = ["/feed?user_id={ada}", "/feed?user_id={ada}&count=1", "/feed?user_id={bob}", "/feed?user_id={ada}&max_id=x",
         "/feed", "/feed?user_id={ada}&user_id={ada}", "/api/v1/home_timeline?user_id={ada}", "/feed?user_id=%31",
         "/healthz", "/{ada}/profile", "/nowhere", "/feed?user_id={ada}#fragment",
         "/feed?user_id={ada}&x=\\"]  # fmt: skip


@pytest.fixture
def repeats(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each request whose head was known went past the parser."""
    taken: list[bool] = []
    real = BoundedHttpProtocol._repeat

    def repeat(self: Any, data: bytes) -> bool:
        taken.append(real(self, data))
        return taken[-1]

    monkeypatch.setattr(BoundedHttpProtocol, "_repeat", repeat)
    return taken


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[LiveServer, dict[str, Any], dict[str, Any], str]]:
    with ServerThread({"search_cache_s": 0}, None) as live, httpx.Client(base_url=live.base_url) as http:
        ada, bob = register(http, "ada"), register(http, "bob")
        ids = [tweet(http, ada if n % 2 else bob, f"word number {n} #tag") for n in range(5)]
        assert http.post(f"/{ada['user_id']}/follow/{bob['user_id']}", headers=bearer(ada)).status_code == 200
        yield live, ada, bob, ids[2]


@contextmanager
def connected(live: LiveServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(live.base_url.rpartition(":")[2])), 60) as sock:
        yield sock


def ask(sock: socket.socket, request: bytes) -> tuple[int, dict[str, str], bytes]:
    sock.sendall(request)
    (answer,) = read_answers(sock, 1)
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name not in ("date", "x-request-id")}, body


def token_of(made: dict[str, Any]) -> str:
    return f"authorization: {bearer(made)['authorization']}"


@pytest.mark.parametrize("path", [*HOMES, *(f"/api/v1/search?{query}" for query in [*FOUND, *REFUSED, *NAMED])])
def test_the_answer_is_that_of_a_new_connection(world, path):
    live, ada, bob, middle = world
    path = path.format(ada=ada["user_id"], bob=bob["user_id"], middle=middle, name="ada",
                       cursor=cursor_after(middle))  # fmt: skip
    for headers in ([], [token_of(ada)], [token_of(bob), "accept: */*"]):
        with connected(live) as sock:
            wanted = ask(sock, get(path, *headers))
        with connected(live) as sock:
            ask(sock, get("/api/v1/search?query=first+word&count=3", *headers))
            for _ in range(3):
                found = ask(sock, get(path, *headers))
                if b'"at"' not in wanted[2] and "order=top" not in path:  # whose cursor has the second
                    assert found == wanted
                assert found[:1] == wanted[:1]
                assert ask(sock, get("/api/v1/search?query=number", *headers))[0] == 200


def test_known_heads_go_past_the_parser_and_others_do_not(world, repeats):
    live, ada, _, _ = world
    home, search = (
        get(f"/feed?user_id={ada['user_id']}", token_of(ada)),
        get("/api/v1/search?query=word", token_of(ada)),
    )
    with connected(live) as sock:
        ask(sock, home)
        for _ in range(2):
            assert [ask(sock, each)[0] for each in (home, search)] == [200, 200]
        assert repeats == [True] * 4
        ask(sock, get("/healthz", token_of(ada)))
        assert repeats == [True] * 4 + [False]  # the parser has read it, so nothing is known
        ask(sock, home)
        ask(sock, search)
        assert repeats == [True] * 4 + [False, True]


def test_who_asks_is_who_this_request_says(world, repeats):
    """Tokens of two accounts in turn on one connection, as a proxy sends them; what one may see the other may not."""
    live, ada, bob, _ = world
    of = {made["user_id"]: get(f"/feed?user_id={ada['user_id']}", token_of(made)) for made in (ada, bob)}
    nobody = get(f"/feed?user_id={ada['user_id']}")
    with connected(live) as sock:
        for made in (ada, bob, ada, ada, bob, bob, ada, bob, ada, ada):
            status, _, _ = ask(sock, of[made["user_id"]])
            assert status == (200 if made is ada else 403)
            assert ask(sock, nobody)[0] == 401
        for request, status in ((of[ada["user_id"]], 200), (of[ada["user_id"]], 200), (of[bob["user_id"]], 403)):
            assert ask(sock, request)[0] == status
    assert True in repeats


def test_a_token_that_was_revoked_is_not_believed_on_a_connection_that_knows_it(world, repeats):
    live, *_ = world
    with httpx.Client(base_url=live.base_url) as http, connected(live) as sock:
        eve = register(http, "eve")
        requests = [get(path, token_of(eve)) for path in (f"/feed?user_id={eve['user_id']}", "/api/v1/search?query=a")]
        assert [ask(sock, request)[0] for request in requests * 2] == [200] * 4
        assert http.post("/api/v1/logout", headers=bearer(eve)).status_code < 300
        assert [ask(sock, request)[0] for request in requests] == [401, 401]
    assert repeats[:3] == [True] * 3


@pytest.mark.parametrize("pieces", [1, 2, 3, 11, 200])
def test_requests_in_whatever_pieces_are_answered_in_their_order(world, pieces):
    live, ada, _, _ = world
    request = get(f"/feed?user_id={ada['user_id']}", token_of(ada))
    other = get("/api/v1/search?query=word", token_of(ada))
    with connected(live) as sock:
        one, two = ask(sock, request), ask(sock, other)
        sent = (request + other) * 4 + request
        step = len(sent) // pieces + 1
        for i in range(0, len(sent), step):
            sock.sendall(sent[i : i + step])
            time.sleep(0.002)
        assert [body for _, _, body in read_answers(sock, 9)] == [one[2], two[2]] * 4 + [one[2]]


def test_two_requests_that_end_like_one_known_are_two(world, repeats):
    live, ada, _, _ = world
    request = get(f"/feed?user_id={ada['user_id']}", token_of(ada))
    with connected(live) as sock:
        ask(sock, request)
        sock.sendall(get("/healthz") + request)
        assert [status for status, _, _ in read_answers(sock, 2)] == [200, 200]
        assert repeats == [False]


def test_what_is_no_such_request_is_refused_as_on_a_new_connection(world):
    live, ada, _, _ = world
    request = get(f"/feed?user_id={ada['user_id']}", token_of(ada))
    tail = request[request.index(b" HTTP/1.1") :]
    for start in (b"GET /feed?user_id=1\r\nx: y", b"GET \x00", b"GET", b"GET ", b"GET /feed x", b"get /feed"):
        with connected(live) as sock:
            sock.sendall(start + tail)
            wanted = read_answers(sock, 1)[0][0]
        with connected(live) as sock:
            ask(sock, request)
            sock.sendall(start + tail)
            assert read_answers(sock, 1)[0][0] == wanted
            assert wanted >= 400


def test_a_head_that_is_long_is_not_kept(world, repeats):
    live, ada, _, _ = world
    request = get(f"/feed?user_id={ada['user_id']}", token_of(ada), "x-long: " + "x" * 5_000)
    with connected(live) as sock:
        assert [ask(sock, request)[0] for _ in range(3)] == [200] * 3
    assert repeats == []


def test_a_worker_that_is_full_refuses_known_heads_too():
    with ServerThread({"auth_mode": "open"}, None) as live, connected(live) as sock:
        assert live.worker is not None
        request = get("/api/v1/search?query=word")
        assert [ask(sock, request)[0] for _ in range(2)] == [200] * 2
        live.worker._services.reads.count_bound = 0
        assert ask(sock, request)[0] == 503


def test_a_known_head_with_connection_close_is_not_kept(world, repeats):
    live, *_ = world
    with connected(live) as sock:
        sock.sendall(get("/api/v1/search?query=word", "connection: close"))
        assert read_answers(sock, 1)[0][0] == 200
        assert sock.recv(1) == b""
    assert repeats == []


@pytest.mark.parametrize(
    "path", ["/feed?user_id={ada}", "/api/v1/search?query=word", "/api/v1/search?query=word&order=top"]
)
def test_reads_leave_nothing_behind_that_only_a_collection_finds(world, path):
    """Collections hold up whoever asks meanwhile."""
    live, ada, _, _ = world
    request = get(path.format(ada=ada["user_id"]), token_of(ada))
    with connected(live) as sock:
        for _ in range(5):
            assert ask(sock, request)[0] == 200
        gc.collect()
        gc.disable()
        try:
            for _ in range(60):
                ask(sock, request)
            assert gc.collect() < 60
        finally:
            gc.enable()
