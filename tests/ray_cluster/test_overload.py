"""Three times what a cluster can carry: every request is answered or refused, nothing waits or grows, and it passes.

How soon, `bench overload` measures: here counts decide, as they are the same on a machine that does something else.
"""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil
import pytest

from bench.load_generator import get_request, post_request, run_load, write_requests
from bench.open_load import offer_load
from bench.scenarios.overload import GROWTH_BYTES_MAX, TIMES_CAPACITY, resident_bytes
from tests.serving import ServedCluster

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("plain"),
]  # fmt: skip

USERS = range(7_001, 7_101)  # others on this cluster have lower ids, and some were deleted
FOLLOWEES = 10
CLIENTS, CONNECTIONS = 32, 4_000  # the second is sixteen times limits.inflight_max of the profile `test`
CAPACITY_S, LOAD_S = 0.5, 1.0
ALONE_COUNT = 50
PASSES_S = 60.0  # a deadline, for a machine that does something else, too


@pytest.fixture(scope="module")
def cluster(plain: ServedCluster, tmp_path_factory: pytest.TempPathFactory) -> ServedCluster:
    folder = tmp_path_factory.mktemp("network")
    graph, tweets = folder / "graph.txt", folder / "tweets.txt"
    follows = [(u, USERS[(u + n) % len(USERS)]) for u in USERS for n in range(FOLLOWEES)]
    graph.write_text("".join(f"{u} {v}\n" for u, v in follows))
    tweets.write_text("".join(f"tweet {n}\n" for n in range(1_000)))
    plain.run("load", "--graph", str(graph), "--tweets", str(tweets))
    return plain


def requests_of(kind: str, folder: Path) -> Path:
    reads = [get_request(f"/api/v1/home_timeline?user_id={user}") for user in USERS]
    writes = [post_request("/api/v1/tweet", b'{"user_id": "%d", "status": "more"}' % user) for user in USERS]
    mixed = [part for read, write in zip(reads, writes, strict=True) for part in (read, read, read, write)]
    return write_requests(folder / kind, {"reads": reads, "writes": writes, "mixed": mixed}[kind])


def all_alone_are_answered(http: httpx.Client) -> bool:
    """Whether of lone home reads none is refused."""
    return all(http.get(f"/api/v1/home_timeline?user_id={USERS[0]}").status_code == 200 for _ in range(ALONE_COUNT))


@pytest.mark.parametrize("kind", ["reads", "writes", "mixed"])
def test_what_is_too_much_is_refused_and_the_rest_answered(cluster: ServedCluster, kind: str, tmp_path: Path):
    requests = requests_of(kind, tmp_path)
    ours = [psutil.Process(p["pid"]) for p in cluster.run("status")["processes"]]
    capacity = run_load("builtin", cluster.port, requests, CLIENTS, CAPACITY_S)
    assert capacity.errors == 0
    resident = resident_bytes(ours)
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=60) as http:
        for more in (1, 3, 9, 27, 81):  # a busy machine may have got quieter, or stood still while it was measured
            rate = capacity.per_second * TIMES_CAPACITY * more
            offered = offer_load(cluster.port, requests, rate, LOAD_S, CONNECTIONS)
            if offered.refused.count:
                break
        deadline = time.monotonic() + PASSES_S
        while not all_alone_are_answered(http):
            assert time.monotonic() < deadline, "lone reads are refused still"
    assert (offered.broken, offered.other, offered.without_retry_after) == (0, {}, 0)
    assert offered.answered.count > 0
    assert offered.refused.count > 0, "it was not too much"
    for was, after in zip(resident, resident_bytes(ours), strict=True):
        assert after - was < GROWTH_BYTES_MAX
