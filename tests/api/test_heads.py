"""Heads that are too large, or name no host, or several: refused before anything is made of them."""

from __future__ import annotations

import json
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import links
from api.http.heads import problem_of
from api.limits import CONTENT_TYPE_BYTES_MAX, HEAD_BYTES_MAX, HEADER_COUNT_MAX, HOST_BYTES_MAX, PATH_BYTES_MAX
from tests.api.conftest import LiveServer
from tests.api.test_home_exchange import read_answers
from tests.api.test_http_abuse import dial, one_server, serving, worker_of  # noqa: F401 - a fixture

GET = b"GET /feed?user_id=1 HTTP/1.1\r\n"


def answer_to(live: LiveServer, head: bytes, pieces: int = 1) -> tuple[int, dict]:
    """Send a head in so many pieces; return status and body of the one answer, after which the server hangs up."""
    with dial(live) as sock:
        size = -(-len(head) // pieces)
        for at in range(0, len(head), size):
            sock.sendall(head[at : at + size])
            if pieces > 1:
                time.sleep(0.005)
        said = b""
        while more := sock.recv(1 << 16):
            said += more
    top, _, body = said.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    assert b"connection: close" in lines
    assert b"content-type: application/json" in lines
    return int(lines[0].split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("lines", "status", "field"),
    [
        (b"Host: " + b"a" * (HOST_BYTES_MAX + 1), 431, "Host"),
        (b"Host: " + b"a" * 400_000, 431, None),
        (b"Host: x\r\nContent-Type: " + b"a" * (CONTENT_TYPE_BYTES_MAX + 1), 431, "Content-Type"),
        (b"Host: x\r\nContent-Type: " + b"a" * 400_000, 431, None),
        (b"Host: x\r\nX: " + b"a" * HEAD_BYTES_MAX, 431, None),
        (b"Host: x" + b"".join(b"\r\nX-%d: y" % n for n in range(HEADER_COUNT_MAX)), 431, None),
        (b"X: y", 400, "Host"),
        (b"Host: a\r\nHost: a", 400, "Host"),
        (b"Host: a b", 400, "Host"),
        (b"Host: user@a", 400, "Host"),
        (b"Host: a/b", 400, "Host"),
        (b"Host: a?b", 400, "Host"),
        (b'Host: a"<>', 400, "Host"),
        (b"Host: \xff\xfe", 400, "Host"),
        (b"Host: a%2", 400, "Host"),
        (b"Host: a:123456", 400, "Host"),
        (b"Host: [::1", 400, "Host"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_head_that_makes_no_sense_is_refused_in_our_shape(one_server, lines, status, field, pieces):  # noqa: F811
    answered, error = answer_to(one_server, GET + lines + b"\r\n\r\n", pieces)
    assert (answered, error["field"]) == (status, field)
    assert error["code"] == {400: "malformed", 431: "head_too_large"}[status]


def test_a_path_longer_than_any_is_refused(one_server):  # noqa: F811
    head = b"GET /search/tags/" + b"x" * PATH_BYTES_MAX + b"?count=2 HTTP/1.1\r\nHost: x\r\n\r\n"
    status, error = answer_to(one_server, head)
    assert (status, error["code"]) == (414, "uri_too_long")


@pytest.mark.parametrize(
    "host",
    ["x", "", "example.org:80", "EXAMPLE.org", "127.0.0.1:8000", "[::1]:8000", "a_b.c-d~e", "caf%C3%A9", "a" * 255],
)  # fmt: skip
def test_hosts_that_there_are_are_taken(one_server, host):  # noqa: F811
    with dial(one_server) as sock:
        sock.sendall(GET + b"Host: " + host.encode() + b"\r\n\r\n")
        assert read_answers(sock, 1)[0][0] == 200


def test_http_1_0_may_do_without_a_host(one_server):  # noqa: F811
    with dial(one_server) as sock:
        sock.sendall(b"GET /feed?user_id=1 HTTP/1.0\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("over", [-200, 200])
def test_a_head_has_so_many_bytes_exactly_whatever_comes_with_it(one_server, over):  # noqa: F811
    """Among other requests in the same piece, whose bytes don't count for it."""
    small = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    large = GET + b"Host: x\r\nX: " + b"a" * (HEAD_BYTES_MAX - 80 + over) + b"\r\n\r\n"
    with dial(one_server) as sock:
        sock.sendall(small * 3)
        assert [answer[0] for answer in read_answers(sock, 3)] == [200] * 3
        sock.sendall(large)
        assert sock.recv(12) == (b"HTTP/1.1 200" if over < 0 else b"HTTP/1.1 431")


def test_a_large_body_that_comes_with_its_head_is_no_large_head(one_server):  # noqa: F811
    body = b'{"user_id": "1", "status": "x", "y": "' + b"z" * 60_000 + b'"}'
    with dial(one_server) as sock:
        head = b"POST /tweet HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        sock.sendall(head + body + GET + b"Host: x\r\n\r\n")
        assert [answer[0] for answer in read_answers(sock, 2)] == [201, 200]


@given(st.binary(max_size=300))
def test_whatever_passes_for_a_host_needs_no_quoting(value):
    problem = problem_of(b"/", [(b"host", value)], False)
    if problem is None:
        text = value.decode("ascii")
        assert len(text) <= HOST_BYTES_MAX
        assert not set(text) & set(' "<>/?#@\\\t\r\n')


def test_nothing_that_is_remembered_of_requests_grows_with_them():
    """The attack: a Host of 400 KB was kept for ever, 256 times, and came back in answers of 5.6 MB."""
    with serving() as live:
        links.cached_origin.cache_clear()
        for number in range(40):
            host = b"%d.%b" % (number, b"a" * 400_000)
            status, _ = answer_to(live, b"GET /1/followers HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            assert status == 431
        assert links.cached_origin.cache_info().currsize == 0
        worker_of(live)


def test_answers_stay_in_order_when_nonsense_follows_a_request():
    with serving() as live:
        assert live.fake is not None
        live.fake.delay_s = 0.2
        with dial(live) as sock:
            sock.sendall(GET + b"Host: x\r\n\r\n" + b"NONSENSE\r\n\r\n")
            ((status, headers, _),) = read_answers(sock, 1)
            assert status == 200
            assert headers.get("connection") == "close"
            assert sock.recv(1) == b""


def test_a_request_for_another_protocol_is_answered_and_what_follows_is_not_taken_for_requests(one_server):  # noqa: F811
    upgrade = b"Host: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    hidden = b"GET /1/profile HTTP/1.1\r\nHost: x\r\n\r\n"
    with dial(one_server) as sock:
        sock.sendall(GET + upgrade + b"\r\n" + hidden)
        said = b""
        while more := sock.recv(1 << 16):
            said += more
        assert said.count(b"HTTP/1.1 ") == 1
        assert said.startswith(b"HTTP/1.1 200")
    post = b"POST /tweet HTTP/1.1\r\n" + upgrade + b"Content-Length: %d\r\n\r\n" % len(hidden)
    status, error = answer_to(one_server, post + hidden)
    assert (status, error["code"]) == (400, "malformed")


def test_connect_is_refused(one_server):  # noqa: F811
    assert answer_to(one_server, b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 400


def test_a_client_that_is_still_sending_reads_why_it_is_refused(one_server):  # noqa: F811
    """A close while there is more to read would reset the connection, and the answer with it."""
    with dial(one_server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.sendall(GET + b"Host: x\r\nX: " + b"y" * 1_000_000)
        time.sleep(0.3)
        assert sock.recv(12) == b"HTTP/1.1 431"
