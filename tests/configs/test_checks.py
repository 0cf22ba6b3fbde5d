"""Each rule about more than one setting: refused with the field and the fix, and the fix works."""

from __future__ import annotations

import pytest

from configs.checks import RULES, is_loopback
from configs.settings import SettingsError, known_settings, load_settings


def problems_of(*sets: str) -> list:
    with pytest.raises(SettingsError) as caught:
        load_settings("laptop", sets, environ={})
    return caught.value.problems


LIMITED = "limits.address_logins_per_min=120"


@pytest.mark.parametrize(
    ("sets", "field", "words", "fixed"),
    [
        (["auth.mode=open", "server.host=0.0.0.0"], "auth.mode", "can reach", ["auth.mode=token", LIMITED]),
        (["auth.mode=open", "server.host=0.0.0.0"], "auth.mode", "0.0.0.0", ["server.host=127.0.0.1"]),
        (["auth.mode=open", "server.host=node", "cluster.ray_address=auto"], "auth.mode", "node", ["server.host=::1"]),
        (["server.host=node"], "server.host", "no Ray cluster to join", ["cluster.ray_address=auto", LIMITED]),
        (["server.host=0.0.0.0"], "limits.address_logins_per_min", "is 600, made for one machine", [LIMITED]),
        (["server.host=::"], "limits.address_logins_per_min", "other machines", ["limits.enabled=false"]),
        (["cluster.hang_ms=500"], "cluster.hang_ms", "only busy may pause", ["cluster.hang_ms=2000"]),
        (["cluster.hang_ms=1999"], "cluster.hang_ms", "is 1999", ["cluster.hang_ms=0"]),
        (["cluster.outlive_serve=true"], "cluster.outlive_serve", "ends with serve", ["cluster.ray_address=auto"]),
        (["auth.mode=open", "server.host=example.org"], "auth.mode", "example.org", ["server.host=::1"]),
        (["server.wrk2_api=true"], "server.wrk2_api", "auth.mode=open, which is token", ["auth.mode=open"]),
        (["server.wrk2_api=true"], "server.wrk2_api", "no tokens", ["server.wrk2_api=false"]),
        (["cluster.replicas=2", "storage.backend=redis"], "cluster.replicas", "of its own", ["cluster.replicas=1"]),
        (["durability.ack=replica"], "durability.ack", "at least 2, which is 1", ["durability.ack=journal"]),
        (["durability.ack=majority"], "durability.ack", "at least 2, which is 1", ["durability.ack=journal"]),
        (["metrics.http=127.0.0.1:8000"], "metrics.http", "which is server.port", ["metrics.http=127.0.0.1:9464"]),
        (
            ["metrics.http=127.0.0.1:8263", "cluster.workers=3"],
            "metrics.http",
            "8265, which is cluster.dashboard_port",
            ["metrics.http=127.0.0.1:8266"],
        ),
        (["metrics.http=[::1]:65535", "cluster.workers=2"], "metrics.http", "to 65536", ["metrics.http=[::1]:9464"]),
        (["metrics.http=node:9464"], "metrics.http", "no Ray cluster to join", ["metrics.http=127.0.0.1:9464"]),
        (["timeline.arrivals_max=1000"], "timeline.arrivals_max", "power of two", ["timeline.arrivals_max=1024"]),
        (["timeline.arrivals_max=512"], "timeline.arrivals_max", "timeline.length", ["timeline.arrivals_max=1024"]),
        (
            ["auth.argon2_memory_kib=8", "auth.argon2_parallelism=4"],
            "auth.argon2_memory_kib",
            "8 KiB for each of the 4 lanes",
            ["auth.argon2_memory_kib=32"],
        ),
        (
            ["storage.segment_bytes_max=65536", "limits.body_bytes_max=131072"],
            "storage.segment_bytes_max",
            "limits.body_bytes_max, which is 131072",
            ["storage.segment_bytes_max=131072"],
        ),
        (["server.port=8265"], "server.port", "cluster.dashboard_port", ["cluster.dashboard_port=8264"]),
        (["server.port=8265"], "server.port", "cluster.dashboard_port", ["cluster.dashboard=false"]),
    ],
)  # fmt: skip
def test_a_rule_refuses_names_the_fix_and_accepts_it(sets, field, words, fixed):
    [problem] = problems_of(*sets)
    assert problem.field == field
    assert words in problem.message
    assert problem.fix.startswith("set ")
    load_settings("laptop", [*sets, *fixed], environ={})


def test_replicas_and_what_they_acknowledge_go_together():
    assert load_settings("laptop", ["durability.ack=majority", "cluster.replicas=3"], environ={}).cluster.replicas == 3


def test_a_field_that_is_itself_unusable_is_reported_once():
    [problem] = problems_of("timeline.arrivals_max=-5")
    assert problem.message.startswith("must be a whole number")


def test_open_mode_is_accepted_on_loopback():
    assert load_settings("laptop", ["auth.mode=open"], environ={}).auth.mode == "open"


def test_every_rule_reads_settings_that_exist():
    assert all(set(rule.reads) <= set(known_settings()) for rule in RULES)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_hosts(host, expected):
    assert is_loopback(host) is expected
