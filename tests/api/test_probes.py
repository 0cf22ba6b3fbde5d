"""Health checks and figures: cheap for whoever asks, however often, and figures only where they are to be."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.api_actor import metrics_address, metrics_are_shared
from actors.metrics import ShardMetrics
from actors.metrics.figure import Told
from actors.metrics.table import FIGURES
from actors.metrics.text import text_steps
from api.http.probes import CHECKS, SCRAPES
from api.metrics import Metrics
from api.repeated import Repeated
from api.services import PROBE_COUNT_MAX
from api.settings import ApiSettings
from api.worker import ApiWorker
from configs.settings import load_settings
from tests.api.conftest import LiveServer, ServerThread, assert_error
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import LONG_WAY, get, read_answers
from tests.api.test_http_abuse import dial, serving, wait_until, worker_of
from tests.api.test_worker import SETTINGS

PROBES = ("/healthz", "/readyz", "/metrics")


@pytest.mark.parametrize("path", PROBES)
def test_both_ways_give_the_same_answer(anonymous, path):
    short, long = (anonymous.get(path, headers=more) for more in ({}, LONG_WAY))
    assert short.status_code == long.status_code == 200
    own = ("date", "x-request-id", "content-length")
    headers = [{k: v for k, v in reply.headers.items() if k not in own} for reply in (short, long)]
    assert headers[0] == headers[1]
    if path != "/metrics":
        assert short.content == long.content
    assert anonymous.get(path, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"


def test_probes_count_where_they_are_answered(anonymous, server):
    metrics = server.worker._services.metrics
    before = metrics.request_count
    for path in PROBES:
        anonymous.get(path)
    assert metrics.request_count == before + 3
    assert {("GET", path, 200) for path in PROBES} <= set(metrics._tallies)
    assert server.worker._services.probe_gate.count == 0


# ---- what they cost -----------------------------------------------------------------------------------------------


def test_figures_are_made_once_a_second_whoever_asks():
    """64 clients that asked for nothing but figures once held others' reads up for 424 ms: 10 ms each."""
    with serving(figures_keep_s=60.0) as live, contextlib.ExitStack() as opened:
        probes = worker_of(live)._services.probes
        asked = 0
        for number in range(40):
            sock = opened.enter_context(dial(live, f"127.0.2.{number + 1}"))
            for _ in range(4):
                sock.sendall(get("/metrics"))
                asked += read_answers(sock, 1)[0][0] == 200
        assert asked == 160
        assert probes.figures.made_count == 1


def test_who_asks_while_figures_are_made_waits_for_the_same():
    class Waiting(FakeCluster):
        asked_count = 0

        async def call_shard(self, shard, op, args, timeout_s=None):
            self.asked_count += 1
            await asyncio.sleep(0.3)
            return await super().call_shard(shard, op, args)

    with ServerThread(fake=Waiting()) as live, contextlib.ExitStack() as opened:
        socks = [opened.enter_context(dial(live, f"127.0.2.{n + 1}")) for n in range(20)]
        for sock in socks:
            sock.sendall(get("/metrics"))
        assert [read_answers(sock, 1)[0][0] for sock in socks] == [200] * 20
        assert live.fake.asked_count == live.fake.shard_count


@pytest.mark.parametrize("header", [[], ["content-length: 0"]], ids=["direct", "through the app"])
@pytest.mark.parametrize("enabled", [True, False])
def test_an_address_gets_figures_so_often_and_others_get_theirs(header, enabled):
    with serving(rate_limits={"enabled": enabled}) as live, dial(live, "127.0.0.2") as sock:
        answers = []
        for _ in range(int(SCRAPES.burst) + 20):
            sock.sendall(get("/metrics", *header))
            answers += read_answers(sock, 1)
        statuses = [answer[0] for answer in answers]
        assert statuses[: int(SCRAPES.burst)] == [200] * int(SCRAPES.burst)
        assert statuses.count(429) >= 10
        refused = answers[statuses.index(429)]
        assert int(refused[1]["retry-after"]) >= 1
        assert httpx.get(f"{live.base_url}/metrics").status_code == 200


def test_health_checks_are_never_refused_for_their_number():
    count = int(CHECKS.burst) + 50
    with serving() as live, contextlib.ExitStack() as opened:
        for _ in range(100):  # the more connections, the longer the pauses
            opened.enter_context(dial(live, "127.0.0.3"))
        with dial(live, "127.0.0.2") as sock:
            for path in ("/healthz", "/readyz"):
                for _ in range(count):
                    sock.sendall(get(path))
                    assert read_answers(sock, 1)[0][0] == 200
        pauses = [call for call in worker_of(live)._services.limiter._buckets._buckets if call[0] == "check"]
        assert len(pauses) == 1


def test_readiness_is_asked_of_the_router_some_times_a_second():
    class Asked(FakeCluster):
        count = 0

        async def readiness(self):
            self.count += 1
            return await super().readiness()

    with ServerThread({"readiness_keep_s": 60.0}, Asked()) as live, dial(live) as sock:
        for _ in range(50):
            sock.sendall(get("/readyz"))
            assert read_answers(sock, 1)[0][0] == 200
        assert live.fake.count == 1
    assert 0.0 < ApiSettings().readiness_keep_s <= ApiSettings().figures_keep_s


def test_as_many_probes_as_there_are_places_for_are_under_way():
    class Stuck(FakeCluster):
        is_held = True

        async def readiness(self):
            while self.is_held:  # noqa: ASYNC110 - a test ends it from another thread
                await asyncio.sleep(0.005)
            return await super().readiness()

    with ServerThread(fake=Stuck()) as live, contextlib.ExitStack() as opened:
        socks = [opened.enter_context(dial(live)) for _ in range(PROBE_COUNT_MAX + 6)]
        for sock in socks:
            sock.sendall(get("/readyz"))
        wait_until(lambda: len(select.select(socks, [], [], 60)[0]) == 6)
        live.fake.is_held = False
        statuses = sorted(read_answers(sock, 1)[0][0] for sock in socks)
        assert statuses == [200] * PROBE_COUNT_MAX + [503] * 6


def test_the_text_is_made_in_steps_none_of_which_has_many_shards():
    metrics = Metrics('w"\n')
    for route in ("/a", "/b"):
        for status in (200, 404, 503):
            metrics.observe("GET", route, status, 0.02)
    shards = [Told("shard", (str(n), "0"), ShardMetrics(reads=n).snapshot()) for n in range(64)]
    steps = list(text_steps(FIGURES, [metrics.told({"reads_in_flight": 3}), *shards]))
    assert max(map(len, steps)) < len("".join(steps)) / 64
    families = {family.name: family for family in text_string_to_metric_families("".join(steps))}
    assert sum(sample.value for sample in families["rookery_http_requests"].samples) == 6
    assert families["rookery_http_in_flight"].samples[0].labels == {"worker": 'w"\n', "kind": "read"}
    seconds = families["rookery_http_request_duration_seconds"].samples
    assert [s.value for s in seconds if s.name.endswith("_count")] == [3, 3]
    assert [s.value for s in seconds if s.labels.get("le") == "+Inf"] == [3, 3]
    reads = [s.value for s in families["rookery_requests"].samples if s.labels["class"] == "read"]
    assert reads == [float(n) for n in range(64)]


async def test_a_failure_is_told_to_all_who_wait_and_not_repeated():
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        if made == 1:
            raise ZeroDivisionError
        return made

    now_s = 0.0
    repeated: Repeated[int] = Repeated(make, 1.0, lambda: now_s)
    outcomes = await asyncio.gather(*(repeated.get() for _ in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 5
    assert [await repeated.get() for _ in range(3)] == [2, 2, 2]
    now_s = 1.5
    assert await asyncio.gather(*(repeated.get() for _ in range(5))) == [3] * 5


# ---- where they are -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def at_a_port_of_their_own(**more: object) -> Iterator[tuple[LiveServer, str]]:
    class Thread(ServerThread):
        def __enter__(self) -> LiveServer:
            self._thread.start()
            self.worker = ApiWorker(self._settings, self._connect, "127.0.0.1", 0, figures_at=("127.0.0.1", 0))
            port = asyncio.run_coroutine_threadsafe(self.worker.start(), self._loop).result(60)
            return LiveServer(f"http://127.0.0.1:{port}", self.fake, self.worker)

    with Thread({"metrics_shared": False, **more}) as live:
        assert live.worker is not None
        assert live.worker.figures_at is not None
        yield live, f"http://127.0.0.1:{live.worker.figures_at[1]}"


@pytest.mark.parametrize("more", [{}, LONG_WAY], ids=["direct", "through the app"])
def test_figures_have_a_port_of_their_own_and_nothing_else_is_there(more):
    with at_a_port_of_their_own(auth_mode="open") as (live, figures), httpx.Client(headers=more) as http:
        assert "rookery_http_connections{" in http.get(f"{figures}/metrics").text
        assert http.get(f"{figures}/healthz").status_code == 200
        missing = assert_error(http.get(f"{live.base_url}/metrics"), 404)
        assert "metrics.http" in missing["message"]
        assert http.get(f"{live.base_url}/readyz").status_code == 200
        for path in ("/feed?user_id=1", "/api/v1/search?query=x", "/1/profile", "/docs", "/nothing"):
            assert_error(http.get(f"{figures}{path}"), 404)
        assert_error(httpx.post(f"{figures}/tweet", json={"user_id": "1", "status": "x"}), 404)
        assert not live.fake.calls


def test_figures_can_be_off():
    with ServerThread({"metrics_shared": False}) as live:
        for more in ({}, LONG_WAY):
            assert_error(httpx.get(f"{live.base_url}/metrics", headers=more), 404)


async def test_a_port_that_is_taken_is_named_with_the_setting():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        worker = ApiWorker(SETTINGS, FakeCluster, port=0, figures_at=("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(OSError, match=f"{taken.getsockname()[1]}.*metrics.http"):
            await worker.start()


@pytest.mark.parametrize(
    ("sets", "shared", "addresses"),
    [
        ([], True, [None, None]),
        (["server.host=::1"], True, [None, None]),
        (["server.host=0.0.0.0"], False, [None, None]),
        (["server.host=0.0.0.0", "metrics.http=shared"], True, [None, None]),
        (["metrics.http=off"], False, [None, None]),
        (["metrics.http=127.0.0.1:9464"], False, [("127.0.0.1", 9464), ("127.0.0.1", 9465)]),
        (["metrics.http=[::1]:9464"], False, [("::1", 9464), ("::1", 9465)]),
    ],
)
def test_figures_are_where_the_setting_says_by_default_not_where_strangers_are(sets, shared, addresses):
    settings = load_settings("laptop", ["limits.enabled=false", *sets], environ={})
    assert metrics_are_shared(settings) == shared
    assert [metrics_address(settings, index) for index in range(2)] == addresses


def test_no_scrape_waits_for_a_shard_that_hangs_longer_than_others(monkeypatch):
    monkeypatch.setattr("api.http.probes.SHARD_ANSWER_S", 0.2)

    class Hung(FakeCluster):
        async def call_shard(self, shard, op, args, timeout_s=None):
            if shard == 1:
                await asyncio.sleep(30.0)
            return await super().call_shard(shard, op, args)

    with ServerThread(fake=Hung()) as live, dial(live) as sock:
        sock.sendall(get("/metrics"))
        wait_until(lambda: worker_of(live)._services.probes.figures.made_count == 1)
        text = read_answers(sock, 1)[0][2].decode()
        assert 'rookery_shard_up{shard="0"} 1.0' in text
        assert 'rookery_shard_up{shard="1"} 0.0' in text
