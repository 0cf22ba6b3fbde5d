"""What one worker takes on at once: requests by how long answers take, connections by number and address."""

from __future__ import annotations

import json
import socket

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.http.admission import COUNT_LEAST, IDLE_S, TARGET_S, WINDOW_S, Gate
from api.http.connections import Connections
from api.http.request_log import UNASKED_PER_S_MAX, RequestLog
from api.metrics import Metrics
from api.settings import ApiSettings
from tests.api.test_home_exchange import LONG_WAY, get, head_and_body, open_server, read_answers


def answer(gate: Gate, seconds: float, count: int, begin_s: float) -> float:
    """Note so many equal answers, evenly over one window; returns when it ends."""
    for i in range(1, count + 1):
        gate.note(seconds, begin_s + WINDOW_S * 1.001 * i / count)
    return begin_s + WINDOW_S * 1.001


# ---- requests -----------------------------------------------------------------------------------------------------


def test_slow_answers_let_in_as_many_as_are_answered_in_the_target_time():
    gate = Gate(1_000)
    gate.count = 500
    now_s = answer(gate, 0.0, 1, 100.0)
    answer(gate, TARGET_S * 3, 50, now_s)
    assert gate.count_bound == pytest.approx(50 / WINDOW_S * TARGET_S, rel=0.05)


@pytest.mark.parametrize(("count", "pause_s"), [(COUNT_LEAST - 1, 0.0), (500, IDLE_S)])
def test_a_slow_answer_when_little_is_under_way_or_after_a_pause_changes_nothing(count, pause_s):
    gate = Gate(1_000)
    gate.count = count
    now_s = answer(gate, 0.0, 1, 100.0)
    answer(gate, TARGET_S * 3, 1, now_s + pause_s)
    assert gate.count_bound == 1_000


def test_one_quick_answer_shows_that_there_is_no_queue():
    gate = Gate(1_000)
    gate.count = 500
    now_s = answer(gate, 0.0, 1, 100.0)
    gate.note(TARGET_S / 2, now_s + 0.001)
    answer(gate, TARGET_S * 3, 50, now_s)
    assert gate.count_bound == 1_000


def test_quick_answers_bring_the_bound_back():
    gate = Gate(1_000)
    gate.count = 500
    now_s = answer(gate, 0.0, 1, 100.0)
    now_s = answer(gate, TARGET_S * 3, 1, now_s)
    assert gate.count_bound == COUNT_LEAST
    for _ in range(6):
        now_s = answer(gate, TARGET_S / 2, 5, now_s)
    assert gate.count_bound == 1_000


@given(
    st.integers(0, 2_000),
    st.lists(st.tuples(st.floats(0, 100, allow_nan=False), st.floats(0, 10, allow_nan=False)), max_size=60),
)
def test_a_gates_bound_stays_within_its_own(count_max, answers):
    gate, now_s = Gate(count_max), 0.0
    gate.count = count_max
    for seconds, pause_s in answers:
        now_s += pause_s
        gate.note(seconds, now_s)
        gate.check()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_refusal_written_by_the_protocol_is_the_one_that_the_long_way_gives(method: str):
    with open_server(in_flight_count_max=0) as (live, _), httpx.Client(base_url=live.base_url) as http:
        for path in ("/feed?user_id=1", "/1/profile", "/nothing/here"):
            short = head_and_body(http.request(method, path, content=b"x" * 100 if method == "POST" else None))
            # with another request under way on the connection, it goes the long way
            with socket.create_connection(("127.0.0.1", int(live.base_url.rpartition(":")[2])), 60) as sock:
                line = f"{method} {path} HTTP/1.1\r\nhost: x\r\nexpect: nothing\r\n\r\n".encode()
                sock.sendall(line)
                ((status, headers, body),) = read_answers(sock, 1)
            assert (short[0], short[2]) == (status, body) == (503, body)
            names = {k.decode().lower(): v.decode() for k, v in short[1]}
            assert names == {k: v for k, v in headers.items() if k not in ("date", "x-request-id")}
            assert json.loads(body)["error"]["code"] == "unavailable"


def test_health_checks_are_answered_while_everything_else_is_refused():
    with open_server(in_flight_count_max=0) as (live, _), httpx.Client(base_url=live.base_url) as http:
        assert http.get("/feed?user_id=1").status_code == 503
        assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_a_refused_tweet_is_read_past_and_the_connection_goes_on():
    with open_server(in_flight_count_max=0) as (_, sock):
        head = b"POST /tweet HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n"
        sock.sendall(head + b"{" * 10)
        assert read_answers(sock, 1)[0][0] == 503
        sock.sendall(b"{" * 30 + get("/healthz"))
        assert read_answers(sock, 1)[0][0] == 200


def test_writes_that_wait_leave_places_for_reads():
    with open_server(in_flight_count_max=4) as (live, _):
        assert live.fake is not None
        assert live.worker is not None
        services = live.worker._services
        assert services is not None
        assert (services.reads.count_bound, services.writes.count_bound) == (4, 2)
        services.writes.count = 2
        try:
            with httpx.Client(base_url=live.base_url) as http:
                refused = http.post("/tweet", json={"user_id": "1", "status": "x"})
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                for more in ({}, LONG_WAY):
                    assert http.get("/feed?user_id=1", headers=more).status_code == 200
        finally:
            services.writes.count = 0


def test_failures_are_logged_up_to_a_number_a_second_and_the_rest_is_counted():
    now_s = 5.0
    log = RequestLog(ApiSettings(), Metrics("w"), lambda: now_s)
    with capture_logs() as entries:
        for _ in range(UNASKED_PER_S_MAX + 500):
            log.note("GET", "/feed", 503, 0.1, "r")
        assert len(entries) == UNASKED_PER_S_MAX
        now_s = 6.0
        log.note("GET", "/feed", 503, 0.1, "r")
        log.note("GET", "/feed", 200, 99.0, "r")
    assert [entry.get("left_out_before") for entry in entries[-2:]] == [500, None]


# ---- connections --------------------------------------------------------------------------------------------------


class FakeConnection:
    def __init__(self) -> None:
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


def test_a_new_connection_takes_the_place_of_the_one_that_has_waited_longest():
    places = Connections(3, 3)
    first, second, third, fourth = (FakeConnection() for _ in range(4))
    for connection in (first, second, third):
        assert places.admit(connection, "a") is None
    places.begin(first)
    places.end(first)
    assert places.admit(fourth, "b") is None
    assert [c.dropped for c in (first, second, third, fourth)] == [False, True, False, False]
    places.check()


def test_a_connection_with_a_request_under_way_is_never_closed_for_another():
    places = Connections(2, 2)
    busy = [FakeConnection(), FakeConnection()]
    for connection in busy:
        assert places.admit(connection, None) is None
        places.begin(connection)
    refusal = places.admit(FakeConnection(), None)
    assert refusal is not None
    assert (refusal.status, places.refused_count) == (503, 1)
    assert not any(connection.dropped for connection in busy)


@given(st.lists(st.tuples(st.sampled_from("abef"), st.integers(0, 9), st.sampled_from(["x", "y", None])), max_size=80))
def test_places_are_counted_exactly_whatever_happens(steps):
    places, known = Connections(4, 2), [FakeConnection() for _ in range(10)]
    for what, number, address in steps:
        connection = known[number]
        if what == "a" and connection not in places._open:
            known[number] = connection = FakeConnection()
            places.admit(connection, address)
        elif what == "b":
            places.begin(connection)
        elif what == "e":
            places.end(connection)
        elif what == "f":
            places.forget(connection)
        places.check()


def test_places_are_as_many_as_open_files_allow(monkeypatch):
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr("resource.setrlimit", lambda _, pair: limits.append(pair))
    places = Connections(100_000, 10)
    with capture_logs() as entries:
        places.allow_files()
    assert limits == [(4_096, 4_096)]
    assert entries[0]["connections"] == places._count_max == 4_096 - 256


def test_connections_and_streams_share_the_open_files_that_there_are(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1_024, 4_096))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    places = Connections(3_000, 10)
    assert places.allow_files(840) == 840
    assert places.count_max == 3_000
    assert places.allow_files(6_000) == 2_560
    assert places.count_max == 1_280
