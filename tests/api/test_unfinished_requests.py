"""Requests of which only a part comes: they take no place from others, and are told early what can be told early."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.auth import make_token
from api.http.bodies import Bodies
from tests.api.conftest import LiveServer, ServerThread
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import get, is_listening, read_answers
from tests.api.test_http_abuse import dial, is_gone, serving, wait_until, worker_of

TWEET = b'{"user_id": "1", "status": "x"}'


def post(body: bytes = TWEET, *lines: str, path: str = "/tweet", declared: int | None = None) -> bytes:
    more = "".join(f"{line}\r\n" for line in lines)
    size = len(body) if declared is None else declared
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{more}content-length: {size}\r\n\r\n".encode() + body


def half(size: int = 1, *lines: str, path: str = "/tweet", declared: int = 60_000) -> bytes:
    """Return a request of whose body so many bytes are there."""
    return post(TWEET[:1] + b" " * (size - 1), *lines, path=path, declared=declared)


def status_of(sock: socket.socket) -> int:
    return read_answers(sock, 1)[0][0]


def waiting(live: LiveServer) -> int:
    return int(worker_of(live)._services.bodies.figures()["bodies_waiting"])


@contextlib.contextmanager
def with_tokens(**more: object) -> Iterator[tuple[LiveServer, str, FakeCluster]]:
    """Run a worker that asks for tokens; account 1 has the one that is returned."""
    fake = FakeCluster()
    token, secret_hash = make_token(1)
    fake.add_account(1, "user_1", secret_hash)
    with ServerThread(more, fake) as live:
        yield live, token, fake


def test_a_request_counts_when_its_body_is_complete():
    with serving() as live, dial(live) as sock:
        services = worker_of(live)._services
        sock.sendall(post(TWEET[:5], declared=len(TWEET)))
        wait_until(lambda: waiting(live) == 1)
        assert services.in_flight_count == 0
        sock.sendall(TWEET[5:])
        assert status_of(sock) == 201
        wait_until(lambda: waiting(live) == 0)
        assert services.bodies.figures()["bodies_waiting_bytes"] == 0
        sock.sendall(post() + get("/feed?user_id=1"))
        assert [answer[0] for answer in read_answers(sock, 2)] == [201, 200]


def test_a_request_that_comes_in_one_piece_never_waits(monkeypatch):
    def hold(*_: object) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(Bodies, "hold", hold)
    with serving() as live, dial(live) as sock:
        for size in (0, 1_000, 60_000):
            sock.sendall(post(TWEET + b" " * size))
            assert status_of(sock) == 201


def test_the_oldest_of_whose_address_has_most_goes(monkeypatch):
    monkeypatch.setattr("api.http.bodies.COUNT_MAX", 10)
    with serving() as live, contextlib.ExitStack() as opened:
        honest = opened.enter_context(dial(live, "127.0.0.3"))
        honest.sendall(post(TWEET[:5], declared=len(TWEET)))
        wait_until(lambda: waiting(live) == 1)
        crowd = [opened.enter_context(dial(live, "127.0.0.2")) for _ in range(25)]
        for number, sock in enumerate(crowd):
            sock.sendall(half())
            wait_until(lambda number=number: waiting(live) == min(number + 2, 10))
        assert [status_of(sock) for sock in crowd[:16]] == [503] * 16
        assert is_gone(crowd[0])
        honest.sendall(TWEET[5:])
        assert status_of(honest) == 201
        bodies = worker_of(live)._services.bodies
        bodies.check()
        assert bodies.figures()["bodies_displaced"] == 16


def test_bodies_that_are_under_way_have_so_much_memory_together(monkeypatch):
    monkeypatch.setattr("api.http.bodies.BYTES_MAX_LEAST", 1_000_000)
    monkeypatch.setattr("api.http.bodies.BODIES_MAX_LEAST", 1)
    with serving() as live, contextlib.ExitStack() as opened:
        for number in range(60):
            sock = opened.enter_context(dial(live, f"127.0.1.{number + 1}"))
            sock.sendall(half(59_000))
        bodies = worker_of(live)._services.bodies
        wait_until(lambda: bodies.displaced_count >= 60 - 1_000_000 // 60_000)
        bodies.check()
        held = sum(connection._body_bytes for connection in list(worker_of(live)._server.server_state.connections))  # type: ignore
        assert 0 < held <= 1_000_000


def test_bodies_that_wait_behind_a_slow_request_count_too(monkeypatch):
    monkeypatch.setattr("api.http.bodies.BYTES_MAX_LEAST", 300_000)
    monkeypatch.setattr("api.http.bodies.BODIES_MAX_LEAST", 1)
    with serving() as live, contextlib.ExitStack() as opened:
        assert live.fake is not None
        live.fake.delay_s = 1.0
        bodies = worker_of(live)._services.bodies
        for number in range(20):
            sock = opened.enter_context(dial(live, f"127.0.1.{number + 1}"))
            sock.sendall(get("/feed?user_id=1") + post(TWEET + b" " * 50_000))
        wait_until(lambda: bodies.displaced_count >= 10)
        bodies.check()
        assert status_of(sock) == 200, "what was under way is answered"


@given(
    st.lists(st.tuples(st.sampled_from("hf"), st.integers(0, 30), st.sampled_from("xyz"), st.integers(0, 99_999)),
             max_size=80)
)  # fmt: skip
def test_the_bounds_hold_whatever_comes(steps):
    class Connection:
        def displace(self) -> None:
            displaced.append(self)

    displaced: list[Connection] = []
    bodies, connections = Bodies(20, 100_000), [Connection() for _ in range(31)]
    bodies._bytes_max = 500_000
    for what, number, address, size in steps:
        if what == "h":
            bodies.hold(connections[number], address, size)
        else:
            bodies.forget(connections[number])
        bodies.check()
    assert len(displaced) == bodies.displaced_count


def test_a_body_that_stalls_or_trickles_is_told_408(monkeypatch):
    monkeypatch.setattr("api.http.body_wait.GRACE_S", 0.2)
    monkeypatch.setattr("api.http.body_wait.BYTES_PER_S_LEAST", 100)  # a piece is good for ten seconds
    with serving() as live, contextlib.ExitStack() as opened:
        stalled, steady = (opened.enter_context(dial(live)) for _ in range(2))
        stalled.sendall(half())
        body = TWEET + b" " * 9_969
        steady.sendall(post(body[:1_000], declared=len(body)))
        for at in range(1_000, len(body), 1_000):
            steady.sendall(body[at : at + 1_000])
            time.sleep(0.05)
        assert status_of(steady) == 201
        ((status, headers, said),) = read_answers(stalled, 1)
        assert (status, json.loads(said)["error"]["code"]) == (408, "request_timeout")
        assert headers["connection"] == "close"
        assert is_gone(stalled)
        assert worker_of(live)._services.bodies.figures()["bodies_too_slow"] == 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused_by_its_head_or_when_it_is(declared):
    with serving() as live, dial(live) as sock:
        if declared:
            sock.sendall(half(declared=70_000))
        else:
            sock.sendall(b"POST /tweet HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(70):
                sock.sendall(b"3e8\r\n" + b" " * 1_000 + b"\r\n")
        assert status_of(sock) == 413
        assert is_gone(sock)
        assert worker_of(live)._services.writes.count == 0


# ---- before the body is read --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "status"),
    [("Basic x", 401), ("Bearer", 401), ("Bearer " + "x" * 300, 401), ("Bearer nonsense", 401),
     (f"Bearer {make_token(1)[0]}", 401), (f"Bearer {make_token(9)[0]}", 401)],
    ids=["scheme", "empty", "long", "nonsense", "of an account", "of nobody"],
)  # fmt: skip
def test_a_token_that_nobody_has_is_refused_before_the_body_is_there(given, status):
    with with_tokens() as (live, _, _), dial(live) as sock:
        sock.sendall(half(1, f"authorization: {given}", "expect: 100-continue"))
        assert status_of(sock) == status
        assert worker_of(live)._services.writes.count == 0
        sock.sendall(b" " * 59_999 + get("/healthz"))  # the rest is read past, and the connection goes on
        assert status_of(sock) == 200


def test_a_good_token_or_none_is_told_to_go_on():
    body = b'{"status": "x"}'
    with with_tokens() as (live, token, fake):
        for lines, status in ([f"authorization: Bearer {token}"], 201), ([], 401):
            for _ in range(2):
                with dial(live) as sock:
                    sock.sendall(post(b"", *lines, "expect: 100-continue", declared=len(body)))
                    assert sock.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
                    sock.sendall(body)
                    assert status_of(sock) == status
        assert fake.calls.count("token") == 1, "it was looked at before, and is known"


def test_a_header_that_a_route_does_not_look_at_is_nobodys_business():
    account = b'{"username": "new_one", "password": "correct horse battery"}'
    with with_tokens() as (live, _, _), dial(live) as sock:
        head = post(b"", "authorization: Basic x", path="/api/v1/users", declared=len(account))
        sock.sendall(head + account[:9])
        time.sleep(0.05)
        sock.sendall(account[9:])
        assert status_of(sock) == 201


def test_the_rates_of_an_account_and_an_address_hold_for_heads_and_are_taken_from_once():
    limits = {"account_write": [0.001, 2], "address_write": [0.001, 5]}
    body = b'{"status": "x"}'
    with with_tokens(rate_limits=limits) as (live, token, _):
        statuses = []
        for _ in range(3):
            with dial(live) as sock:
                sock.sendall(post(b"", f"authorization: Bearer {token}", declared=len(body)))
                with contextlib.suppress(TimeoutError):
                    sock.settimeout(0.1)
                    assert sock.recv(1, socket.MSG_PEEK)
                    statuses.append(status_of(sock))  # without a body
                    continue
                sock.settimeout(60)
                sock.sendall(body)
                statuses.append(status_of(sock))
        assert statuses == [201, 201, 429]
        for expected in (401, 401, 429):
            with dial(live) as sock:
                sock.sendall(half(1, "authorization: Bearer nonsense"))
                assert status_of(sock) == expected


def test_a_full_worker_says_so_before_the_body_is_read():
    with serving(in_flight_count_max=0) as live, dial(live) as sock:
        sock.sendall(half(1, "expect: 100-continue"))
        assert status_of(sock) == 503


def test_a_token_whose_shard_does_not_answer_holds_nobody_up():
    body = b'{"status": "x"}'
    with with_tokens(request_timeout_s=0.3) as (live, token, fake), dial(live) as sock:
        fake.delay_s = 5.0
        sock.sendall(post(body[:3], f"authorization: Bearer {token}", declared=len(body)))
        time.sleep(0.1)
        sock.sendall(body[3:])
        assert status_of(sock) == 503, "the route's deadline"


# ---- chunks -------------------------------------------------------------------------------------------------------

CHUNKED = b"POST /tweet HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def test_what_stands_behind_a_body_is_no_header():
    body = b'{"status": "x"}'
    with with_tokens() as (live, token, _), dial(live) as sock:
        chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
        sock.sendall(CHUNKED + chunk + f"authorization: Bearer {token}\r\nhost: y\r\n\r\n".encode())
        assert status_of(sock) == 401
        sock.sendall(get("/healthz"))
        assert status_of(sock) == 200


@pytest.mark.parametrize("endless", [b"2\r\n{}\r\n0\r\nx: ", b"2;x=", b"1\r\n \r\n" * 100_000])
def test_chunks_that_are_more_frame_than_picture_are_cut_off(endless):
    with serving() as live, dial(live) as sock:
        sock.sendall(CHUNKED + endless)
        with contextlib.suppress(ConnectionError):
            for _ in range(80):
                sock.sendall(b"y" * 10_000)
        assert status_of(sock) in (413, 400)
        assert is_gone(sock)
        assert waiting(live) == 0


def test_the_rest_of_a_refused_body_is_read_past_so_far(monkeypatch):
    monkeypatch.setattr("api.http.patient_connection.DISCARD_BYTES_MAX", 100_000)
    with with_tokens() as (live, _, _), dial(live) as sock:
        sock.sendall(CHUNKED.replace(b"host", b"authorization: Basic x\r\nhost") + b"fffffff\r\n")
        assert status_of(sock) == 401
        assert is_cut_off(sock)


def is_cut_off(sock: socket.socket) -> bool:
    """Whether the server hangs up on who goes on sending."""
    try:
        for _ in range(1_000):
            sock.sendall(b"y" * 10_000)
            time.sleep(0.001)
    except ConnectionError:
        return True
    return False


# ---- ends ---------------------------------------------------------------------------------------------------------


def test_a_client_that_goes_in_the_middle_of_a_body_leaves_nothing():
    with serving() as live:
        with dial(live) as sock:
            sock.sendall(half())
            wait_until(lambda: waiting(live) == 1)
        wait_until(lambda: waiting(live) == 0)
        tallies = worker_of(live)._services.metrics._tallies
        assert sum(t.count for (_, _, status), t in tallies.items() if status == 499) == 1


def test_a_worker_that_stops_waits_a_moment_for_the_rest(monkeypatch):
    monkeypatch.setattr("api.http.body_wait.AT_END_S", 3.0)
    body = json.dumps({"user_id": 1, "status": "in two pieces"}).encode()
    with serving(graceful_shutdown_s=120) as live, dial(live) as late, dial(live) as never:
        late.sendall(post(body[:5], declared=len(body)))
        never.sendall(half())
        wait_until(lambda: waiting(live) == 2)
        worker = worker_of(live)
        stopped = asyncio.run_coroutine_threadsafe(worker.stop(), worker._serving.get_loop())  # type: ignore[union-attr]
        wait_until(lambda: not is_listening(live))
        late.sendall(body[5:])
        assert status_of(late) == 201
        assert late.recv(1) == b"", "the connection ends with the answer"
        stopped.result(60)  # it would be graceful_shutdown_s
        assert status_of(never) == 503
