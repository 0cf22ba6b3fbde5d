"""Actors that hang while clients ask: each is ended and comes back, new connections go to the others, and it is told.

They are made to hang in two ways: stopped (SIGSTOP), and caught in a regular expression that holds the interpreter's
lock (tests/hang/sitecustomize.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.chaos.copies import map_on_disk
from tests.serving import END_TIMEOUT_S, ServedCluster, command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("watched"),
]  # fmt: skip

SPIN = signal.SIGUSR1  # what tests/hang/sitecustomize.py listens to
ENDED_WITHIN_S, BACK_WITHIN_S = 5.0, 10.0
LATE = 12.0  # times as long on a machine that does something else: nothing here measures it


@pytest.fixture(scope="module")
def cluster(watched: ServedCluster) -> ServedCluster:
    return watched


def processes(cluster: ServedCluster) -> dict[str, dict]:
    return {process["name"]: process for process in cluster.status()["processes"]}


def refusal(cluster: ServedCluster, path: str = "/healthz") -> str:
    """Return "" if a new connection is answered, else why not; one that met a process that hangs would not be."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}{path}", timeout=5 * LATE) as answer:
            return "" if answer.status == 200 else f"status {answer.status}"
    except (OSError, urllib.error.URLError) as error:
        return repr(error)


def answers(cluster: ServedCluster, path: str = "/healthz") -> bool:
    return not refusal(cluster, path)


def has_ended(pid: int) -> bool:
    """Whether no thread is left: the first one is a zombie before the last one lets go of the sockets."""
    try:
        return all(runs_no_more(task) for task in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return True


def runs_no_more(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def hang(cluster: ServedCluster, names: dict[str, signal.Signals]) -> dict[str, int]:
    """Make processes hang; return their ids once they have been ended."""
    before = processes(cluster)
    pids = {name: before[name]["pid"] for name in names}
    begin = time.monotonic()
    for name, pid in pids.items():
        os.kill(pid, names[name])
    while not all(has_ended(pid) for pid in pids.values()):
        assert time.monotonic() - begin < LATE * ENDED_WITHIN_S, [n for n, p in pids.items() if not has_ended(p)]
        time.sleep(0.05)
    return pids


def are_back(cluster: ServedCluster, pids: dict[str, int], names: Collection[str]) -> dict[str, dict]:
    """Return the processes once others than these have their names, and all names are there and live.

    A process that didn't hang may be away, too: a shard's engine ends with the shard, and is back a moment after it.
    """
    begin = time.monotonic()
    while True:
        if answers(cluster, "/readyz"):
            now = processes(cluster)
            if all(now.get(n, {}).get("live") and now[n]["pid"] not in (0, pids.get(n)) for n in names):
                return now
        assert time.monotonic() - begin < LATE * BACK_WITHIN_S
        time.sleep(0.1)


def test_who_hangs_is_ended_and_comes_back_while_new_connections_go_to_the_others(cluster):
    names = list(processes(cluster))
    workers = [name for name in names if ":api-" in name]
    hung = {
        workers[0]: SPIN,
        "rookery:shard-00:replica-0-search": signal.SIGSTOP,
        "rookery:shard-01:replica-0": signal.SIGSTOP,
        "rookery:trends": SPIN,
    }
    pids = hang(cluster, hung)
    refusals = [refusal(cluster) for _ in range(40)]
    assert not any(refusals), f"a new connection met a worker that isn't there: {refusals}"
    now = are_back(cluster, pids, names)
    counts = {name: now[name]["hangs"]["count"] for name in names}
    assert all(counts[name] for name in hung), counts  # a busy machine may stop one that starts once more
    engines = {name for name in names if name.endswith("-search")}  # go behind all else: a busy machine stops them, too
    assert {name for name, n in counts.items() if n} | engines == hung.keys() | engines
    assert now[workers[0]]["hangs"]["how"].startswith("spinning")
    assert now["rookery:shard-01:replica-0"]["hangs"]["how"].startswith("stopped")


def test_a_router_and_all_workers_that_hang_at_once_come_back_and_metrics_and_log_say_so(cluster):
    before = processes(cluster)
    workers = [name for name in before if ":api-" in name]
    pids = hang(cluster, {"rookery:router": signal.SIGSTOP, **dict.fromkeys(workers, signal.SIGSTOP)})
    begin = time.monotonic()
    wait_for(lambda: answers(cluster))
    assert time.monotonic() - begin < LATE * BACK_WITHIN_S
    are_back(cluster, pids, before)
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.port}/metrics", timeout=5 * LATE) as answer:
        text = answer.read().decode()
    assert 'rookery_process_hangs_total{process="rookery:router"} 1.0' in text
    wait_for(lambda: f"rookery:router (process {pids['rookery:router']}) hangs: stopped" in cluster.log.read_text())
    assert "in match" in cluster.log.read_text(), "where the worker of the test before was when it was ended"


def test_a_bulk_load_with_its_seals_and_a_check_that_holds_the_loop_end_nobody(cluster):
    before = processes(cluster)
    graph = cluster.data.parent / "graph.txt"
    graph.write_text("".join(f"{u} {(u * 7 + k) % 3_000 + 1}\n" for u in range(1, 3_001) for k in range(20)))
    cluster.run("load", "--graph", str(graph))
    assert cluster.run("check", "--oracle")["problem_count"] == 0
    after = processes(cluster)
    assert {name: p["pid"] for name, p in after.items()} == {name: p["pid"] for name, p in before.items()}


def test_a_cluster_with_a_shard_that_hangs_stops_in_time_and_the_next_one_starts_with_its_own_shards(cluster):
    if map_on_disk(cluster.data).shard_count == 2:  # test_search.py, which adds one, hasn't been here
        cluster.run("rebalance", "--shards", "3")
    os.kill(processes(cluster)["rookery:shard-00:replica-0"]["pid"], signal.SIGSTOP)
    assert cluster.process is not None
    begin = time.monotonic()
    cluster.process.send_signal(signal.SIGTERM)
    assert cluster.process.wait(END_TIMEOUT_S) == 0
    assert time.monotonic() - begin < LATE * BACK_WITHIN_S
    done = subprocess.run(command("check", "--data", str(cluster.data), "--json"), capture_output=True, check=False)
    assert json.loads(done.stdout)["problem_count"] == 0, done.stderr
    cluster.start()  # --shards 2, as always
    assert answers(cluster)
    assert map_on_disk(cluster.data).shard_count == 3
    assert cluster.run("check", "--oracle")["problem_count"] == 0
