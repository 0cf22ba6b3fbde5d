"""The worker, health, metrics, request ids and what the log may say."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import structlog

from actors.core.errors import OverloadedError
from api.settings import ApiSettings, Rate
from api.worker import ApiWorker
from tests.api.conftest import CHEAP_PASSWORDS, NO_LIMITS, ServerThread, assert_error
from tests.api.fake_cluster import FakeCluster

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
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
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
    assert 'rookery_http_requests_total{method="GET",route="/{user_id}/profile",status="200",worker="api-0"}' in text
    assert 'route="/api/v1/home_timeline"' in text
    assert 'route="unmatched"' in text
    assert 'rookery_shard_journal_position{shard="0"} 7.0' in text
    assert ada.user_id not in text
    assert "rookery_http_token_cache_hits" in text


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
