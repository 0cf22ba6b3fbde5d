"""Whoever asks a little is answered beside those who ask much, and what waits for its turn loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from api.http import fair_turns
from api.http.fair_turns import FairTurns
from api.http.heads import bearer_in
from api.http.patient_connection import ASIDE_COUNT_MAX
from api.http.protocol import BoundedHttpProtocol
from tests.api.conftest import LiveServer, ServerThread
from tests.api.test_home_exchange import read_answers
from tests.api.test_http_abuse import wait_until

COUNT_MAX = 1_000
ASKED = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
POSTED = b"POST /tweet HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 38\r\n\r\n"
BODY = b'{"user_id": "1", "status": "good day"}'


class Connection:
    """Somebody who waits for a turn."""

    def __init__(self, turns: FairTurns, name: str, order: list[str], work_s: float = 0.0) -> None:
        self._turns, self._name, self._order, self._work_s = turns, name, order, work_s

    def put_aside(self, size_bytes: int = 1) -> bool:
        return self._turns.put_aside(self, self._name.partition(":")[0], size_bytes)

    def take_turn(self, is_refused: bool) -> None:
        self._order.append(f"{self._name} refused" if is_refused else self._name)
        until_s = time.perf_counter() + self._work_s
        while time.perf_counter() < until_s:
            continue


async def all_taken(turns: FairTurns) -> None:
    """Return once nobody waits."""
    while turns:  # noqa: ASYNC110 - turns of the loop are what is waited for
        await asyncio.sleep(0)


def taken(*names: str, work_s: float = fair_turns.TURN_S, count_max: int = COUNT_MAX) -> list[str]:
    """Put connections aside, named address:number, and return the order in which they have their turns."""

    async def run() -> list[str]:
        turns, order = FairTurns(count_max), list[str]()
        assert turns.has_room()
        for name in names:
            assert Connection(turns, name, order, work_s).put_aside()
        turns.check()
        while turns:
            await asyncio.sleep(0)
            turns.check()
        return order

    return asyncio.run(run())


def test_each_address_has_its_turn_however_much_another_asks():
    assert taken("a:1", "a:2", "a:3", "b:1", "c:1") == ["a:1", "b:1", "c:1", "a:2", "a:3"]


def test_while_more_wait_than_may_those_go_whose_address_has_no_fewer_than_others(monkeypatch):
    monkeypatch.setattr(fair_turns, "WAIT_S_MAX", 0.0)
    names = [*(f"a:{number}" for number in range(8)), "b:1", "b:2", "c:1"]
    assert taken(*names, count_max=6) == [
        "a:0 refused", "b:1", "c:1", "a:1 refused", "b:2", "a:2", "a:3", "a:4", "a:5", "a:6", "a:7",
    ]  # fmt: skip
    assert taken("a:1", "b:1", "c:1", count_max=2) == ["a:1 refused", "b:1", "c:1"]  # nobody has fewer than others
    assert taken("a:1", "a:2", count_max=2) == ["a:1", "a:2"]


def test_nobody_is_refused_before_he_has_waited_for_long(monkeypatch):
    monkeypatch.setattr(fair_turns, "WAIT_S_MAX", 60.0)
    assert taken("a:1", "a:2", "a:3", count_max=1) == ["a:1", "a:2", "a:3"]


def test_an_address_that_begins_to_ask_goes_before_those_that_have_asked_all_along_but_once():
    async def run() -> list[str]:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        for number in range(20):
            Connection(turns, f"{number % 5}:{number}", order, fair_turns.TURN_S).put_aside()
        for _ in range(7):  # every address has had a turn
            await asyncio.sleep(0)
        before = len(order)
        for number in range(3):
            Connection(turns, f"new:{number}", order, fair_turns.TURN_S).put_aside()
        await all_taken(turns)
        return order[before:]

    order = asyncio.run(run())
    assert order[0] == "new:0"
    assert order.index("new:1") >= 5  # from then on it is one of them


def test_an_address_that_comes_again_and_again_as_if_it_were_new_waits_like_the_others():
    async def run() -> Counter[str]:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        for number in range(200):
            Connection(turns, f"patient:{number}", order, fair_turns.TURN_S).put_aside()
        while len(order) < 100:
            if not any(str(group) == "again" and waiting for group, waiting in turns._groups.items()):
                Connection(turns, "again:0", order, fair_turns.TURN_S).put_aside()
            await asyncio.sleep(0)
        return Counter(name.partition(":")[0] for name in order)

    counts = asyncio.run(run())
    assert abs(counts["again"] - counts["patient"]) <= 2


def test_groups_of_which_nothing_waits_are_forgotten_while_new_ones_come_without_an_end():
    async def run() -> int:
        turns, order, most = FairTurns(COUNT_MAX), list[str](), 0
        for number in range(200):  # each of a group of its own, as where no address is anybody's share
            for each in (2 * number, 2 * number + 1):
                Connection(turns, f"{each}:1", order, fair_turns.TURN_S).put_aside()
            await asyncio.sleep(0)
            turns.check()
            most = max(most, len(turns._groups) - len(turns))
        return most

    assert asyncio.run(run()) <= 1


def test_the_loop_looks_at_its_sockets_between_turns():
    async def run() -> int:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        for number in range(10):
            Connection(turns, f"a:{number}", order, fair_turns.TURN_S).put_aside()
        rounds = 0
        while turns:
            await asyncio.sleep(0)
            rounds += 1
        return rounds

    assert asyncio.run(run()) >= 10


def test_a_turn_has_room_until_its_time_is_used_up_or_somebody_waits():
    async def run() -> None:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        assert turns.has_room()
        turns.charge(fair_turns.TURN_S)
        assert not turns.has_room()
        await asyncio.sleep(0)
        assert turns.has_room()
        Connection(turns, "a:1", order).put_aside()
        assert not turns.has_room()

    asyncio.run(run())


def test_what_is_put_aside_is_bounded_and_who_finds_no_room_changes_nothing():
    async def run() -> None:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        large, small = Connection(turns, "a:1", order), Connection(turns, "b:1", order)
        assert large.put_aside(fair_turns.BYTES_MAX - 1)
        assert not small.put_aside(2)
        assert not large.put_aside(2)
        assert small.put_aside(1)
        turns.check()
        turns.forget(large)
        turns.forget(large)
        turns.check()
        assert len(turns) == 1

    asyncio.run(run())


@given(st.lists(st.tuples(st.sampled_from(["put", "forget", "turn"]), st.integers(0, 7), st.integers(1, 99))))
def test_whatever_comes_and_goes_everybody_has_as_many_turns_as_bytes_were_put_aside(steps):
    async def run() -> None:
        turns, order = FairTurns(COUNT_MAX), list[str]()
        connections = [Connection(turns, f"{number % 3}:{number}", order) for number in range(8)]
        due: Counter[str] = Counter()
        waiting: set[int] = set()
        for what, number, size_bytes in steps:
            if what == "put":
                connections[number].put_aside(size_bytes)
                waiting.add(number)
            elif what == "forget":
                turns.forget(connections[number])
                waiting.discard(number)
            else:
                await all_taken(turns)
                due.update(connections[each]._name for each in waiting)
                waiting.clear()
            turns.check()
        await all_taken(turns)
        due.update(connections[each]._name for each in waiting)
        assert Counter(order) == due
        await asyncio.sleep(0)
        assert not turns._groups  # what has had its turn is forgotten

    asyncio.run(run())


@pytest.mark.parametrize(
    ("head", "token"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer rk_abc\r\n\r\n", "rk_abc"),
        (b"GET / HTTP/1.1\r\nauthorization: bearer rk_abc\r\n\r\n", "rk_abc"),
        (b"GET / HTTP/1.1\r\nAUTHORIZATION: BEARER \xff\r\n\r\n", "\xff"),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer rk_abc", None),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic rk_abc\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer \r\n\r\n", None),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nAuthorization: Bearer rk_abc\r\n\r\n", None),
        (b"", None),
    ],
    ids=["as usual", "in lower case", "no ASCII", "unfinished", "another scheme", "empty", "far behind", "nothing"],
)
def test_a_token_is_seen_before_the_head_is_parsed(head, token):
    assert bearer_in(head) == token


# -- on connections ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with ServerThread() as running:
        yield running


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything put aside that may be."""
    monkeypatch.setattr(FairTurns, "has_room", lambda self: False)


@contextlib.contextmanager
def connected(live: LiveServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(live.base_url.rpartition(":")[2])), 60) as sock:
        sock.settimeout(60)
        yield sock


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("sizes", [[10], [1], [3, 50, 7], [1_000]], ids=str)
def test_requests_in_pieces_that_wait_for_their_turns_are_answered_in_order(live, sizes):
    sent = (ASKED + POSTED + BODY) * 5
    with connected(live) as sock:
        at, number = 0, 0
        while at < len(sent):
            size = sizes[number % len(sizes)]
            sock.sendall(sent[at : at + size])
            at, number = at + size, number + 1
        assert [status for status, _, _ in read_answers(sock, 10)] == [404, 401] * 5


@pytest.mark.usefixtures("no_room")
def test_requests_that_come_in_one_piece_have_a_turn_each(live, monkeypatch):
    begun: list[str] = []
    real = BoundedHttpProtocol._begin_in_app

    def noted(self: Any, cycle: Any, app: Any) -> None:
        begun.append(cycle.scope["method"])
        real(self, cycle, app)

    monkeypatch.setattr(BoundedHttpProtocol, "_begin_in_app", noted)
    with connected(live) as sock, connected(live) as other:
        with loop_held(live):  # both come in one turn
            sock.sendall((POSTED + BODY) * 40)
            other.sendall(ASKED)
        assert read_answers(other, 1)[0][0] == 404
        assert [status for status, _, _ in read_answers(sock, 40)] == [401] * 40
    assert begun.index("GET") < 5
    assert len(begun) == 41


@pytest.mark.usefixtures("no_room")
def test_who_hangs_up_while_his_next_request_waits_for_a_turn_is_forgotten(live):
    services = live.worker._services
    assert services is not None
    with connected(live) as sock:
        sock.sendall((POSTED + BODY) * 60)
        read_some = sock.recv(1)
        assert read_some
    deadline = time.monotonic() + 60
    while len(services.turns) or services.in_flight_count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("no_room")
def test_who_sends_many_pieces_while_he_waits_is_not_read_and_then_is(live):
    held: list[BoundedHttpProtocol] = []
    with connected(live) as sock, pytest.MonkeyPatch.context() as patched:
        patched.setattr(FairTurns, "_next", lambda turns: held.extend(turns._waiting))  # nobody has a turn for now
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(ASIDE_COUNT_MAX + 2):
            sock.sendall(ASKED[at : at + 1])
            if at < ASIDE_COUNT_MAX:
                wait_until(lambda at=at: held and len(held[0]._aside) == at + 1)
        services = live.worker._services
        assert services is not None
        (connection,) = services.turns._waiting
        assert isinstance(connection, BoundedHttpProtocol)
        assert connection.flow.read_paused
        patched.undo()
        patched.setattr(FairTurns, "has_room", lambda self: False)
        loop = live.worker._serving.get_loop()  # type: ignore[union-attr]
        loop.call_soon_threadsafe(services.turns._next)
        sock.sendall(ASKED[ASIDE_COUNT_MAX + 2 :])
        assert read_answers(sock, 1)[0][0] == 404


@pytest.mark.usefixtures("no_room")
def test_who_waits_for_a_turn_makes_room_for_no_newer_connection():
    with ServerThread({"connection_count_max": 2}) as few, pytest.MonkeyPatch.context() as patched:
        services = few.worker._services
        assert services is not None
        patched.setattr(FairTurns, "_next", lambda turns: None)  # nobody has a turn for now
        with connected(few) as waits, connected(few) as idle:
            waits.sendall(ASKED)
            deadline = time.monotonic() + 60
            while not len(services.turns):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with connected(few):
                assert idle.recv(1) == b""  # though it came later
                patched.undo()
                few.worker._serving.get_loop().call_soon_threadsafe(services.turns._next)  # type: ignore[union-attr]
                assert read_answers(waits, 1)[0][0] == 404


TOO_MANY = {
    "a read": ASKED,
    "a home read": b"GET /feed?user_id=7 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a search": b"GET /search/tags/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a post": POSTED + BODY,
    "a post whose body is late": POSTED,
    "another method": b"PUT /feed HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "an older version": b"GET /nowhere HTTP/1.0\r\nHost: x\r\n\r\n",
    "one that is to be the last": b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize("sent", TOO_MANY.values(), ids=TOO_MANY)
def test_whose_turn_comes_while_too_many_wait_is_told_to_come_again_and_is_answered_then(live, sent):
    services = live.worker._services
    assert services is not None
    loop = live.worker._serving.get_loop()  # type: ignore[union-attr]
    with pytest.MonkeyPatch.context() as patched, contextlib.ExitStack() as opened:
        patched.setattr(FairTurns, "_next", lambda turns: None)  # nobody has a turn for now
        waiting = [opened.enter_context(connected(live)) for _ in range(4)]
        for number, sock in enumerate(waiting, 1):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" if number == 1 else sent)
            deadline = time.monotonic() + 60
            while len(services.turns) < number:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        patched.undo()
        patched.setattr(FairTurns, "has_room", lambda self: False)
        patched.setattr(services.turns, "_count_max", 2)
        patched.setattr(fair_turns, "WAIT_S_MAX", 0.0)
        loop.call_soon_threadsafe(services.turns._next)
        assert read_answers(waiting[0], 1)[0][0] == 200  # a probe is never one too many
        status, headers, _ = read_answers(waiting[1], 1)[0]
        assert status == 503
        assert "retry-after" in {name.lower() for name in headers}
        if sent == POSTED:
            for sock in waiting[2:]:
                sock.sendall(BODY)
        assert [read_answers(sock, 1)[0][0] for sock in waiting[2:]] == [answered_with(sent)] * 2
        with connected(live) as later:
            later.sendall(sent + (BODY if sent == POSTED else b""))
            assert read_answers(later, 1)[0][0] == answered_with(sent)


def answered_with(sent: bytes) -> int:
    """Return the status that a request of TOO_MANY gets on a quiet worker."""
    if sent.startswith(b"PUT"):
        return 405
    if sent.startswith(b"POST"):
        return 401
    return 404 if b"/nowhere" in sent else 401 if b"/feed" in sent else 200


@pytest.mark.usefixtures("no_room")
def test_who_shows_a_token_that_is_known_does_not_wait(live, monkeypatch):

    put_aside: list[bytes] = []
    real = BoundedHttpProtocol._put_aside

    def noted(self: Any, data: bytes) -> bool:
        put_aside.append(data)
        return real(self, data)

    with httpx.Client(base_url=live.base_url) as http:
        user = http.post("/api/v1/users", json={"username": "ada", "password": "long enough"}).json()
        signed = {"authorization": f"Bearer {user['auth_token']}"}
        read = f"/feed?user_id={user['user_id']}"
        assert http.get(read, headers=signed).status_code == 200  # the token is known from now on
        monkeypatch.setattr(BoundedHttpProtocol, "_put_aside", noted)
        assert http.get(read, headers=signed).status_code == 200
        assert http.post("/api/v1/tweet", json={"status": "hello"}, headers=signed).status_code == 201
        assert not put_aside
        assert http.get(read).status_code == 401
        assert http.get(read, headers={"authorization": signed["authorization"] + "x"}).status_code == 401
        assert len(put_aside) == 2


def test_a_stranger_with_many_connections_lets_one_with_a_token_go_first(live):

    services = live.worker._services
    assert services is not None
    with httpx.Client(base_url=live.base_url) as http:
        user = http.post("/api/v1/users", json={"username": "bob", "password": "long enough"}).json()
        read = f"GET /feed?user_id={user['user_id']} HTTP/1.1\r\nHost: x\r\n"
        signed = f"{read}Authorization: Bearer {user['auth_token']}\r\n\r\n".encode()
        with connected(live) as mine, contextlib.ExitStack() as opened:
            mine.sendall(signed)
            assert read_answers(mine, 1)[0][0] == 200
            strangers = [opened.enter_context(connected(live)) for _ in range(200)]
            with loop_held(live):  # all of this comes in one turn
                for stranger in strangers:
                    stranger.sendall(ASKED)
                mine.sendall(signed)
            assert read_answers(mine, 1)[0][0] == 200
            waiting = len(services.turns)
            for stranger in strangers:
                assert read_answers(stranger, 1)[0][0] == 404
    assert services.turns.put_aside_count
    assert waiting  # strangers were still to be looked at when the answer was there


@contextlib.contextmanager
def loop_held(live: Any) -> Iterator[None]:
    """Let the worker's loop stand still for as long as the block takes."""
    stands, goes_on = threading.Event(), threading.Event()

    async def hold() -> None:
        stands.set()
        goes_on.wait(60)

    held = asyncio.run_coroutine_threadsafe(hold(), live.worker._serving.get_loop())
    assert stands.wait(60)
    try:
        yield
    finally:
        goes_on.set()
        held.result(60)


def connections() -> int:
    return sum(type(each) is BoundedHttpProtocol for each in gc.get_objects())


@pytest.mark.parametrize(
    "sent",
    [b"", ASKED, ASKED * 3, POSTED, POSTED + b"x" * 38, b"nonsense\r\n\r\n", ASKED[:9],
     b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /feed?user_id=7 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["nothing", "a request", "requests", "half a post", "a post", "nonsense", "half a head", "a probe", "a read"],
)  # fmt: skip
def test_a_connection_that_is_closed_is_freed_without_a_collection(live, sent):
    uvloop_is_used = type(live.worker._serving.get_loop()) is uvloop.Loop  # type: ignore[union-attr]
    assert uvloop_is_used
    gc.collect()
    gc.disable()
    try:
        before = connections()
        with connected(live) as sock:
            sock.sendall(sent)
            time.sleep(0.05)
        deadline = time.monotonic() + 60
        while connections() > before:
            assert time.monotonic() < deadline, "it is in a circle"
            time.sleep(0.01)
    finally:
        gc.enable()


def test_what_has_a_fault_while_it_has_its_turn_loses_its_connection_and_nobody_else_does(live, monkeypatch):
    real, faults = BoundedHttpProtocol._work_on, [RuntimeError("a defect")]

    def fails_once(self: Any, data: bytes) -> None:
        if faults and data.startswith(b"GET /fails"):
            raise faults.pop()
        real(self, data)

    monkeypatch.setattr(FairTurns, "has_room", lambda self: False)
    monkeypatch.setattr(BoundedHttpProtocol, "_work_on", fails_once)
    with connected(live) as one, connected(live) as other:
        one.sendall(ASKED.replace(b"nowhere", b"fails"))
        other.sendall(ASKED)
        assert read_answers(other, 1)[0][0] == 404
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""


def test_random_orders_of_coming_are_all_served():
    names = [f"{random.Random(seed).randrange(4)}:{seed}" for seed in range(50)]
    assert sorted(taken(*names, work_s=0.0)) == sorted(names)
