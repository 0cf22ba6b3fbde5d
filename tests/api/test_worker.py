"""The worker, health, metrics, request ids and what the log may say."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
import structlog

from actors.core.errors import OverloadedError
from actors.log_bound import Budget
from api.errors import DEFECTS_PER_S_MAX, log_unexpected
from api.http.request_log import UNASKED_PER_S_MAX
from api.settings import ApiSettings, Rate
from api.worker import ApiWorker
from tests.api.conftest import CHEAP_PASSWORDS, NO_LIMITS, ServerThread, assert_error
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import get
from tests.api.test_http_abuse import dial, is_gone, serving, worker_of

SETTINGS = {"passwords": CHEAP_PASSWORDS, "rate_limits": NO_LIMITS}


async def connect_fake(_on_revoked):
    return FakeCluster()


async def test_two_workers_share_a_port_and_stop_cleanly():
    first = ApiWorker(SETTINGS, connect_fake, port=0, name="api-0")
    port = await first.start()
    second = ApiWorker(SETTINGS, connect_fake, port=port, name="api-1")
    assert await second.start() == port
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/healthz")).status_code == 200
    await first.stop()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/healthz")).status_code == 200
    assert (await first.stats())["requests"] + (await second.stats())["requests"] == 2
    await second.stop()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_worker_that_waits_for_the_cluster_is_given_no_connections():
    serving = ApiWorker(SETTINGS, connect_fake, port=0, name="api-0")
    port = await serving.start()
    there, is_waiting = asyncio.Event(), asyncio.Event()

    async def connect_late(on_revoked):
        is_waiting.set()
        await there.wait()
        return await connect_fake(on_revoked)

    starting = ApiWorker(SETTINGS, connect_late, port=port, name="api-1")
    start = asyncio.create_task(starting.start())
    await is_waiting.wait()
    for _ in range(50):  # the kernel would send half of them there
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            assert (await http.get("/healthz")).status_code == 200
    there.set()
    assert await start == port
    await serving.stop()
    await starting.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])
def test_open_mode_refuses_to_listen_beyond_loopback(host):
    with pytest.raises(ValueError, match="loopback"):
        ApiWorker({"auth_mode": "open"}, connect_fake, host=host)


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="tweet_max_char'"):
        ApiWorker({"tweet_max_char": 1}, connect_fake)
    with pytest.raises(ValueError, match="'burts'"):
        ApiSettings.from_mapping({"rate_limits": {"login": {"per_s": 1, "burts": 2}}})
    built = ApiSettings.from_mapping({"rate_limits": {"login": [1, 2], "trusted_proxies": ["10.0.0.0/8"]}})
    assert built.rate_limits.login == Rate(1, 2)
    assert built.rate_limits.trusted_proxies == ("10.0.0.0/8",)


async def test_a_start_that_fails_frees_the_port():
    async def refuse(_on_revoked):
        raise OverloadedError("no cluster")

    worker = ApiWorker(SETTINGS, refuse, port=0)
    with pytest.raises(OverloadedError):
        await worker.start()
    await worker.stop()


def test_readiness_names_the_shards_that_are_not_served(anonymous, fake):
    assert anonymous.get("/readyz").json() == {"ready": True, "shards": 2, "unserved_shards": [], "degraded": []}
    fake.is_ready, fake.down = False, {1}
    reply = anonymous.get("/readyz")
    text = anonymous.get("/metrics").text
    fake.is_ready, fake.down = True, set()
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "shards": 2, "unserved_shards": [1], "degraded": []}
    assert 'rookery_shard_up{shard="1"} 0.0' in text


def test_metrics_count_by_route_template(ada, anonymous):
    ada.http.get(f"/{ada.user_id}/profile")
    ada.home()
    anonymous.get("/no/such/path")
    text = anonymous.get("/metrics").text
    assert 'rookery_http_requests_total{worker="api-0",method="GET",route="/{user_id}/profile",status="200"}' in text
    assert 'route="/api/v1/home_timeline"' in text
    assert 'route="unmatched"' in text
    assert 'rookery_shard_up{shard="0"} 1.0' in text
    assert ada.user_id not in text
    assert 'rookery_token_cache_requests_total{worker="api-0",result="hit"}' in text


def test_request_ids_are_taken_over_if_fit_and_made_if_not(ada, anonymous):
    assert anonymous.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    for unfit in ("has space", "x" * 65, "<script>"):
        made = anonymous.get("/1/profile", headers={"x-request-id": unfit}).headers["x-request-id"]
        assert made
        assert made != unfit
    assert ada.http.get(f"/feed?user_id={ada.user_id}").headers["x-request-id"]


def test_the_log_has_no_token_no_text_and_no_password():
    with structlog.testing.capture_logs() as entries, ServerThread({"access_log": "all"}) as live:
        http = httpx.Client(base_url=live.base_url)
        body = {"username": "logged_user", "password": "very secret words"}
        token = http.post("/api/v1/users", json=body).json()["auth_token"]
        http.post("/tweet", json={"auth_token": token, "status": "private words"})
        http.get("/feed", params={"user_id": "1", "auth_token": token})
        http.close()
    written = repr(entries)
    assert [entry["status"] for entry in entries] == [201, 201, 403]
    for secret in (token, "very secret", "private words", "auth_token"):
        assert secret not in written


def test_open_mode_needs_no_token():
    with ServerThread({"auth_mode": "open"}) as live, httpx.Client(base_url=live.base_url) as http:
        user_id = http.post("/api/v1/users", json={"username": "opened", "password": "long enough"}).json()["user_id"]
        assert http.post("/tweet", json={"user_id": user_id, "status": "x"}).status_code == 201
        assert len(http.get("/feed", params={"user_id": user_id}).json()) == 1
        assert_error(http.post("/tweet", json={"status": "x"}), 422, "user_id")
        assert_error(http.get("/feed"), 422, "user_id")


def test_defects_are_logged_some_a_second_and_the_rest_is_counted(monkeypatch):
    """Each of them is 4 KB: whoever finds a way to cause one would fill the disk."""
    now_s = 5.0
    monkeypatch.setattr("api.errors._defects", Budget(1, DEFECTS_PER_S_MAX, lambda: now_s))
    fake = FakeCluster()
    fake.do_profile = lambda *_: 1 / 0  # type: ignore[method-assign]
    fake.do_home = lambda *_: [].pop()  # type: ignore[method-assign]
    with (
        structlog.testing.capture_logs() as entries,
        ServerThread({"auth_mode": "open"}, fake) as live,
        httpx.Client(base_url=live.base_url) as http,
    ):
        for _ in range(50):
            assert http.get("/1/profile").status_code == 500
        assert http.get("/feed?user_id=1").status_code == 500
        now_s = 6.0
        assert http.get("/1/profile").status_code == 500
    defects = [entry for entry in entries if entry["event"] == "unexpected_error"]
    assert [entry["error"] for entry in defects] == ["ZeroDivisionError", "IndexError", "ZeroDivisionError"]
    assert sum(entry.get("left_out_before", 0) for entry in defects) == 49
    assert len([entry for entry in entries if entry["event"] == "request"]) <= 3 * UNASKED_PER_S_MAX


def test_the_frames_of_a_recursion_are_its_last():
    def endless() -> None:
        endless()

    with structlog.testing.capture_logs() as entries:
        try:
            endless()
        except RecursionError as error:
            log_unexpected(error, "r")
    assert len(entries[0]["frames"]) < 8_000


def test_what_is_no_http_is_counted_and_not_logged():
    with structlog.testing.capture_logs() as entries, serving() as live:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        logging.getLogger().addHandler(handler)
        try:
            for _ in range(20):
                with dial(live) as sock:
                    sock.sendall(b"NONSENSE\r\n\r\n")
                    assert is_gone(sock)
                with dial(live) as sock:
                    sock.sendall(get("/healthz", "connection: upgrade", "upgrade: websocket"))
                    assert is_gone(sock)
        finally:
            logging.getLogger().removeHandler(handler)
        tallies = worker_of(live)._services.metrics._tallies
        assert tallies["other", "unmatched", 400].count == 20
    assert not records
    assert not entries
