"""Home reads have two ways through the worker; nobody outside may be able to tell which one was taken.

A request with `content-length: 0` takes the long way (edge.py); the same without it the short one (FAST_HOME).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from actors.core.errors import NotFoundError, OverloadedError, TooLargeError
from api.access.auth import make_token
from api.services import Services
from api.settings import Rate
from tests.api.conftest import PASSWORD, LiveServer, ServerThread, User
from tests.api.fake_cluster import FakeCluster

LONG_WAY = {"content-length": "0"}


def head_and_body(reply: httpx.Response) -> tuple:
    headers = [(k, v) for k, v in reply.headers.raw if k not in (b"date", b"x-request-id")]
    assert reply.headers["x-request-id"]
    assert reply.headers["date"]
    return reply.status_code, headers, reply.content


def both_ways(http: httpx.Client, url: str, headers: dict[str, str]) -> tuple[tuple, tuple]:
    return tuple(head_and_body(http.get(url, headers={**headers, **more})) for more in ({}, LONG_WAY))  # type: ignore[return-value]


def wait_for_in_flight(services: Services, count: int) -> None:
    """Return once so many requests are under way: a client has its answer a moment before the worker has counted it."""
    deadline = time.monotonic() + 60
    while services.in_flight_count != count:
        assert time.monotonic() < deadline, f"{services.in_flight_count} in flight, not {count}"
        time.sleep(0.005)


def is_listening(live: LiveServer) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(live.base_url.rpartition(":")[2])), 60).close()
        return True
    return False


def begin_to_stop(live: LiveServer) -> None:
    """Tell a worker to stop; returns once it takes no more and has told its connections."""
    assert live.worker is not None
    assert live.worker._server is not None
    live.worker._server.should_exit = True
    deadline = time.monotonic() + 60
    while is_listening(live):
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Held(FakeCluster):
    """Answers once a test, in another thread, lets it."""

    is_held = True

    async def call(self, *question: Any, **more: Any) -> Any:
        while self.is_held:  # noqa: ASYNC110 - a test ends it from another thread
            await asyncio.sleep(0.005)
        return await super().call(*question, **more)


QUERIES = [
    "user_id={me}", "user_id={me}&count=2", "user_id={me}&max_id={middle}", "user_id={me}&min_id={middle}&count=1",
    "user_id={me}&since_id={middle}", "user_id={me}&max_id=1", "user_id={me}&unknown=x%20y&count=1",
    "", "user_id=", "user_id=abc", "user_id=-1", "user_id=99999999999999999999", "user_id={other}", "user_id=0",
    "user_id={me}&user_id={me}", "user_id={me}&count=0", "user_id={me}&count=201", "user_id={me}&count=x",
    "user_id={me}&max_id=0", "user_id={me}&max_id=x", "user_id={me}&x=%ff", "user_id=%31%32", "user_id={me}#x",
    "user_id={me}&auth_token=rk_nonsense", "user_id={me}&count=1&",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/feed", "/api/v1/home_timeline"])
@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_give_the_same_answer(ada: User, bob: User, anonymous: httpx.Client, path: str, query: str):
    tweets = [ada.tweet(f"number {i}") for i in range(3)]
    url = f"{path}?" + query.format(me=ada.user_id, other=bob.user_id, middle=tweets[1]["tweet_id"])
    strangers = [make_token(int(ada.user_id))[0], "rk_nonsense", "x" * 5_000, make_token(int(bob.user_id))[0]]
    for sent in (f"Bearer {ada.token}", f"Bearer {bob.token}", "Basic x", *(f"Bearer {t}" for t in strangers), None):
        headers = {} if sent is None else {"authorization": sent}
        short, long = both_ways(anonymous, url, headers)
        assert short == long, sent


@pytest.mark.parametrize(
    "error",
    [NotFoundError("account 1 does not exist", "user_id"), OverloadedError("full", None, 2.5), TooLargeError("huge"),
     TimeoutError(), ZeroDivisionError()],
)  # fmt: skip
def test_both_ways_pass_on_what_a_shard_refuses(error: Exception):
    fake = FakeCluster()

    def refuse(*_: object) -> None:
        raise error

    fake.do_home = refuse  # type: ignore[method-assign,assignment]
    with ServerThread({"auth_mode": "open"}, fake) as live, httpx.Client(base_url=live.base_url) as http:
        short, long = both_ways(http, "/feed?user_id=1", {"x-request-id": "mine"})
        assert [short[0], sorted(short[1]), short[2]] == [long[0], sorted(long[1]), long[2]]
        assert short[0] >= 400
        assert live.worker is not None
        assert live.worker._services is not None
        wait_for_in_flight(live.worker._services, 0)


def test_a_reply_that_is_none_is_a_500_and_the_connection_lives_on():
    fake = FakeCluster()
    fake.do_home = lambda *_: None  # type: ignore[method-assign,assignment]
    with ServerThread({"auth_mode": "open"}, fake) as live, httpx.Client(base_url=live.base_url) as http:
        assert [http.get("/feed?user_id=1").status_code for _ in range(2)] == [500, 500]


def test_an_unknown_token_travels_with_the_read(ada: User, fake: FakeCluster):
    ada.home()
    assert fake.calls == ["home"], "not `token` and then `home`"
    ada.home()
    assert ada.http.post("/api/v1/logout").status_code < 300
    assert ada.http.get(f"/feed?user_id={ada.user_id}").status_code == 401


def test_a_stranger_can_not_use_up_an_accounts_rate():
    with ServerThread({"rate_limits": {"account_read": Rate(0.01, 2)}}) as live:
        http = httpx.Client(base_url=live.base_url)
        made = http.post("/api/v1/users", json={"username": "one", "password": PASSWORD}).json()
        url, own = f"/feed?user_id={made['user_id']}", {"authorization": f"Bearer {made['auth_token']}"}
        for more in ({}, LONG_WAY) * 3:
            forged = {"authorization": f"Bearer {make_token(int(made['user_id']))[0]}"}
            assert http.get(url, headers={**forged, **more}).status_code == 401
        assert [http.get(url, headers=own).status_code for _ in range(3)] == [200, 200, 429]
        assert http.get(url, headers={**own, **LONG_WAY}).status_code == 429
        http.close()


def test_both_ways_are_counted_alike(ada: User, anonymous: httpx.Client):
    def count() -> float:
        line = 'rookery_http_requests_total{worker="api-0",method="GET",route="/feed",status="200"} '
        text = anonymous.get("/metrics").text
        assert "rookery_http_in_flight" in text
        return sum(float(part.split()[0]) for part in text.split(line)[1:])

    before = count()
    for more in ({}, LONG_WAY):
        assert ada.http.get(f"/feed?user_id={ada.user_id}", headers=more).status_code == 200
    assert count() == before + 2


# ---- on bare sockets --------------------------------------------------------------------------------------------


@contextmanager
def open_server(fake: FakeCluster | None = None, **settings: object) -> Iterator[tuple[LiveServer, socket.socket]]:
    """Run a worker that believes `user_id`, with account 1; yields a connection to it."""
    fake = fake or FakeCluster()
    fake.add_account(1, "one")
    with ServerThread({"auth_mode": "open", **settings}, fake) as live:
        port = int(live.base_url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 60) as sock:
            yield live, sock


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "host: x", *headers, "", ""]).encode()


def read_answers(sock: socket.socket, count: int) -> list[tuple[int, dict[str, str], bytes]]:
    """Read so many answers with a content-length."""
    data, answers = b"", []
    while len(answers) < count:
        head, found, rest = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:]) if found else {}
        if found and len(rest) >= int(headers["content-length"]):
            size = int(headers["content-length"])
            answers.append((int(lines[0].split()[1]), headers, rest[:size]))
            data = rest[size:]
            continue
        more = sock.recv(65536)
        assert more, "the server closed early"
        data += more
    assert not data
    return answers


@pytest.mark.parametrize("pieces", [1, 7])
def test_pipelined_requests_are_answered_in_their_order(pieces: int):
    with open_server() as (live, sock):
        assert live.fake is not None
        paths = ["/feed?user_id=1", "/healthz", "/feed?user_id=1&count=1", "/1/profile", "/feed",
                 "/feed?user_id=1", "/feed?user_id=1"]  # fmt: skip
        live.fake.delay_s = 0.02
        sent = b"".join(get(path, f"x-request-id: r{n}") for n, path in enumerate(paths))
        step = len(sent) // pieces + 1
        for i in range(0, len(sent), step):
            sock.sendall(sent[i : i + step])
            time.sleep(0.005)
        answers = read_answers(sock, len(paths))
        assert [headers["x-request-id"] for _, headers, _ in answers] == [f"r{n}" for n in range(len(paths))]
        assert [status for status, _, _ in answers] == [200, 200, 200, 200, 422, 200, 200]


def test_refused_at_once_does_not_disturb_what_is_pipelined_behind():
    with open_server(in_flight_count_max=0) as (_live, sock):
        path = "/feed?user_id=5"
        sock.sendall(get(path) + get(path) + get("/healthz"))
        assert [status for status, _, _ in read_answers(sock, 3)] == [503, 503, 200]


@pytest.mark.parametrize(("version", "header"), [("1.1", "connection: close"), ("1.0", "accept: */*")])
def test_a_connection_that_is_to_be_closed_is_closed(version: str, header: str):
    with open_server() as (_live, sock):
        sock.sendall(get("/feed?user_id=1", header, version=version))
        (status, headers, _), = read_answers(sock, 1)  # fmt: skip
        assert (status, headers["connection"]) == (200, "close")
        assert sock.recv(1) == b""


def test_a_client_that_goes_away_leaves_nothing_behind():
    with open_server() as (live, sock):
        assert live.fake is not None
        assert live.worker is not None
        services = live.worker._services
        assert services is not None
        live.fake.delay_s = 0.5
        sock.sendall(get("/feed?user_id=1"))
        wait_for_in_flight(services, 1)
        sock.close()
        wait_for_in_flight(services, 0)
        assert httpx.get(f"{live.base_url}/healthz").status_code == 200


def test_a_stop_waits_for_the_read_under_way():
    with open_server(held := Held()) as (live, sock):
        assert live.worker is not None
        assert live.worker._services is not None
        sock.sendall(get("/feed?user_id=1"))
        wait_for_in_flight(live.worker._services, 1)
        begin_to_stop(live)
        held.is_held = False
        (status, headers, body), = read_answers(sock, 1)  # fmt: skip
        assert (status, headers["connection"], json.loads(body)) == (200, "close", [])
        assert sock.recv(1) == b""


def test_a_client_that_does_not_read_is_not_written_to_without_end():
    fake, page = FakeCluster(), b"[" + b"1," * 500_000 + b"1]"
    fake.do_home = lambda *_: [page, 0, 0]  # type: ignore[method-assign,assignment]
    with open_server(fake) as (live, sock):
        assert live.worker is not None
        services = live.worker._services
        assert services is not None
        sock.sendall(get("/feed?user_id=1") * 30)
        time.sleep(0.5)
        answered = services.metrics.request_count
        assert answered < 15, "30 MB were taken from the shards for a client that takes nothing"
        assert len(read_answers(sock, 30)) == 30


async def test_the_deadline_of_a_read_is_the_requests():
    asked: list[float] = []

    class Slow(FakeCluster):
        def send(self, bucket, op, args, timeout_s, done):
            asked.append(timeout_s)
            asyncio.get_running_loop().call_later(0.01, done, None, OverloadedError("no answer in time", None, 1.0))

    def run() -> httpx.Response:
        with ServerThread({"auth_mode": "open", "request_timeout_s": 0.25}, Slow()) as live:
            return httpx.get(f"{live.base_url}/feed?user_id=1")

    reply = await asyncio.to_thread(run)
    assert (reply.status_code, asked) == (503, [0.25])
    assert reply.headers["retry-after"] == "1"
