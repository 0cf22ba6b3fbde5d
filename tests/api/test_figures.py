"""Figures of an API worker: requests as a client has counted them, and each number of its parts at its place."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from actors.media.processed import KINDS
from actors.metrics.api_rows import API_FIGURES
from actors.metrics.figure import Told
from tests.api.conftest import ServerThread
from tests.api.fake_cluster import FakeCluster
from tests.api.test_home_exchange import LONG_WAY
from tests.figures import complaints_of_promtool, moved, numbers


def told(live) -> list[Told]:
    return live.worker.told()


def test_requests_are_counted_and_timed_by_route():
    """As many as the client has sent, whichever way they were answered."""
    with ServerThread() as live, httpx.Client(base_url=live.base_url) as http:
        before = numbers(told(live))
        for number in range(6):
            http.get("/healthz", headers=LONG_WAY if number % 2 else {})
        http.get("/no/such/path")
        http.request("BREW", "/healthz")
        deltas = moved(before, numbers(told(live)))
    assert deltas["http_requests_total{GET,/healthz,200}"] == 6
    assert deltas["http_request_duration_seconds_count{GET,/healthz}"] == 6
    assert 0 < deltas["http_request_duration_seconds_sum{GET,/healthz}"] < 60
    assert deltas["http_requests_total{GET,unmatched,404}"] == 1
    assert sum(n for name, n in deltas.items() if name.startswith("http_requests_total{other,")) == 1


def test_every_number_of_a_worker_is_at_its_place_in_the_table(monkeypatch):
    places = {
        "http_in_flight{read}": "reads_in_flight",
        "http_in_flight{write}": "writes_in_flight",
        "http_in_flight_bound{read}": "reads_bound",
        "http_in_flight_bound{write}": "writes_bound",
        "http_connections": "connections",
        "http_connections_bound": "connections_bound",
        "http_connections_closed_total{refused}": "connections_refused",
        "http_connections_closed_total{displaced}": "connections_displaced",
        "http_bodies_waiting": "bodies_waiting",
        "http_bodies_waiting_bytes": "bodies_waiting_bytes",
        "http_bodies_given_up_total{displaced}": "bodies_displaced",
        "http_bodies_given_up_total{too_slow}": "bodies_too_slow",
        "http_rate_limited_total": "rate_limited",
        "http_waiting_for_a_turn": "waiting_for_a_turn",
        "http_put_aside_total": "put_aside",
        "http_refused_in_turn_total": "refused_in_turn",
        "http_passwords_waiting": "passwords_waiting",
        "token_cache_requests_total{hit}": "token_cache_hits",
        "token_cache_requests_total{miss}": "token_cache_misses",
        "stream_listeners": "stream_listeners",
        "stream_listening_accounts": "stream_accounts",
        "stream_pushes_heard_total": "stream_pushes",
        "stream_events_heard_total": "stream_events",
        "stream_gaps_total{exact}": "streams_resumed",
        "stream_gaps_total{lost}": "streams_lost",
        "stream_gaps_total{read}": "streams_filled",
        "stream_lines_lost_total": "stream_lines_lost",
        "streams{sse}": "streams_sse",
        "streams{websocket}": "streams_websocket",
        "streams{native}": "streams_native",
        "streams_bound": "streams_bound",
        "stream_frames_total": "stream_frames",
        "stream_sent_bytes_total": "stream_bytes",
        "streams_cut_off_total{slow}": "streams_cut_slow",
        "streams_cut_off_total{revoked}": "streams_cut_revoked",
        "streams_refused_total{worker_full}": "streams_refused_worker_full",
        "streams_refused_total{overloaded}": "streams_refused_overloaded",
        "search_cache_requests_total{hit}": "search_cache_hits",
        "search_cache_requests_total{miss}": "search_cache_misses",
        "http_search_waiting": "search_waiting",
        "http_search_refused_total": "search_refused",
        "http_search_partial_total": "search_partial",
        "replica_reads_total{primary}": "primary_reads",
        "replica_reads_total{follower}": "follower_reads",
        "hedges_total": "hedges_sent",
        "hedges_won_total": "hedges_won",
        "replica_probes_total": "probes_sent",
        "follower_refusals_total": "follower_refusals",
        "stalled_lanes": "stalled_lanes",
        "shards_failing_fast": "shards_failing_fast",
        "shard_probes_total": "shard_probes",
        "shard_refusals_total": "shard_refusals",
        "media_waiting": "media_waiting",
        **{f"media_processed_total{{{kind}}}": f"media_processed_{kind}" for kind in KINDS},
        **{
            f"media_refused_total{{{reason}}}": f"media_refused_{reason}"
            for reason in ("invalid", "too_large", "unavailable", "other")
        },
        "media_process_seconds_total": "media_seconds",
        "media_written_bytes_total": "media_bytes",
    }
    with ServerThread() as live:
        services = live.worker._services
        real = services.figures()
        made_up = {key: number for number, key in enumerate(places.values(), 1)}
        monkeypatch.setattr(services, "figures", lambda: made_up)
        found = numbers(told(live))
    assert {name: found[name] for name in places} == {name: made_up[key] for name, key in places.items()}
    assert set(found) == set(places), "and nothing else is shown"
    shown = {key for figure in API_FIGURES for key in figure.held}
    assert set(real) - {"in_flight"} <= shown, "every number that a worker's parts count is in the table"


def test_tokens_and_refusals_are_counted_as_a_client_sees_them(ada, server):
    before = numbers(told(server))
    for _ in range(3):
        ada.home()
    deltas = moved(before, numbers(told(server)))
    hits, misses = (deltas.get(f"token_cache_requests_total{{{result}}}", 0) for result in ("hit", "miss"))
    assert hits + misses == 3
    assert misses <= 1
    strict = {"rate_limits": {"enabled": True, "address_read": [0.001, 2]}}
    with ServerThread(strict) as live, httpx.Client(base_url=live.base_url) as http:
        statuses = [http.get("/1/profile").status_code for _ in range(5)]
        assert numbers(told(live))["http_rate_limited_total"] == statuses.count(429) == 3


def test_promtool_has_no_complaint_about_what_a_worker_serves():
    class Whole(FakeCluster):
        async def neighbours(self, led):
            return []

    with ServerThread(fake=Whole()) as live, httpx.Client(base_url=live.base_url) as http:
        http.get("/healthz")
        text = http.get("/metrics").text
    assert complaints_of_promtool(text) == ""
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds["rookery_http_requests"] == "counter"
    assert kinds["rookery_http_request_duration_seconds"] == "histogram"
    assert kinds["rookery_shard_up"] == "gauge"
    assert "unknown" not in kinds.values()
