"""A real Prometheus scrapes a cluster under faults, with the files that `serve` and `dashboards` write.

Each panel's and each alert's expression gives a number, of the API's figures and of Ray's; and the alerts of a shard
that nobody leads fire and clear. Prometheus looks every 3 s, and alerts don't wait (`for`): how long they do, and
that they fire when they should, says tests/actors/test_signals.py.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.metrics.signals.expressions import Absent, Combined, Compared, Expression, Latest
from actors.metrics.signals.rows import SIGNALS
from bench.processes import free_port
from commands.observability.dashboards import queries
from commands.observability.panels import BOARDS
from commands.observability.scraping import PREFIXES, TARGETS, Source, prometheus
from commands.observability.written import FOLDER, RULES_FILE, write_files, yaml_text
from tests.chaos.copies import map_on_disk
from tests.components import needs_program
from tests.ray_cluster.clients import names_of_all_shards
from tests.ray_cluster.rounds_under_kills import wait_until_all_are_in_sync
from tests.serving import ServedCluster, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("three_replicas"),
    needs_program("prometheus"), needs_program("promtool"),
]  # fmt: skip

RATE, STEP_S = "1m", 3  # a busy machine takes a second for a scrape
# What this cluster doesn't do: it has no search, nobody is refused for its number, nothing leaves it, no disk fails,
# and garbage is collected seldom.
# Ray shows a counter from its first increment on. What Prometheus answers for these needn't have a number.
NOT_CAUSED = (
    "http_rate_limited_total", "http_refused_in_turn_total", "http_connections_closed_total", "shard_refusals_total",
    "searches_total", "outgoing_results_total", "stream_gaps_total", "streams_refused_total",
    "http_search_partial_total", "media_refused_total", 'checkpoint_writes_total{result="failed"}',
    "streams_cut_off_total", "exchange_failures_total", 'status="503"', 'status=~"5.."', "process_gc_pause_seconds",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster(three_replicas: ServedCluster) -> ServedCluster:
    return three_replicas


class Prometheus:
    """A server that looks at a folder's prometheus.yml."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        arguments = [
            shutil.which("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        self._log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(arguments, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        wait_for(self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, (self._folder / "prometheus.log").read_text()[-3000:]
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def numbers(self, expression: str) -> list[float]:
        """Return the numbers of an expression now, those that are some."""
        answer = self._http.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        found = [float(each["value"][1]) for each in answer.json()["data"]["result"]]
        return [number for number in found if not math.isnan(number)]

    def firing(self, source: Source) -> set[str]:
        """Return the alerts that fire by one source's rules."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return {
            rule["name"]
            for group in groups
            if group["file"].endswith(f"rules-{source}.yml")
            for rule in group["rules"]
            if rule["state"] == "firing"
        }

    def close(self) -> None:
        self._http.close()
        self.process.terminate()
        self.process.wait(60)
        self._log.close()


@pytest.fixture(scope="module")
def watching(cluster: ServedCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Yield a Prometheus that has scraped both sources."""
    folder = tmp_path_factory.mktemp("prometheus")
    for source in PREFIXES:
        write_files(folder / source, source, for_times=0, step_s=STEP_S)
        shutil.copy(folder / source / RULES_FILE, folder / f"rules-{source}.yml")
        shutil.copy(cluster.data / FOLDER / TARGETS[source], folder)
    (folder / "prometheus.yml").write_text(yaml_text(prometheus("rules-*.yml", step_s=STEP_S)))
    checked = subprocess.run(
        [shutil.which("promtool"), "check", "config", folder / "prometheus.yml"], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    made = Prometheus(folder)
    try:
        yield made
    finally:
        made.close()


def picture(shade: int) -> bytes:
    """Return a small PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([shade % 256] * 8) for _ in range(8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@contextmanager
def people(cluster: ServedCluster) -> Iterator[None]:
    """Have somebody of each shard do a bit of everything, again and again, while the block runs."""
    base = f"http://127.0.0.1:{cluster.port}"
    with httpx.Client(base_url=base, timeout=60) as http:
        made = [
            http.post("/api/v1/users", json={"username": name, "password": "long enough"}).json()
            for name in names_of_all_shards("observed", 1)
        ]
    done, failed = threading.Event(), []

    def live() -> None:
        try:
            with httpx.Client(base_url=base, timeout=60) as http:
                for number in range(10**9):
                    if done.is_set():
                        return
                    some_of_everything(http, made, number)
        except BaseException as error:  # shown by the test
            failed.append(error)
            raise

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not failed


def some_of_everything(http: httpx.Client, made: list[dict[str, Any]], number: int) -> None:
    for one, other in (made, reversed(made)):
        user, token = one["user_id"], {"Authorization": f"Bearer {one['auth_token']}"}
        follow = "follow" if number % 2 else "unfollow"
        http.post(f"/api/v1/accounts/{other['user_id']}/{follow}", headers=token)
        for text in range(6):
            http.post("/api/v1/tweet", json={"user_id": user, "status": f"{number} {text}"}, headers=token)
        http.get(f"/api/v1/home_timeline?user_id={user}&count=20", headers=token)
        http.get("/api/v1/timelines/home", headers=token)
        http.get("/api/v1/accounts/999999999", headers=token)
        http.get("/999999999/profile")
        if number % 4 == 0:
            http.post("/api/v2/media", files={"file": ("a.png", picture(number))}, headers=token)
        with http.stream("GET", f"/api/v1/{user}/stream", headers=token) as stream:
            http.post("/api/v1/tweet", json={"user_id": user, "status": "heard"}, headers=token)
            next(stream.iter_lines(), None)


def operands(condition: Expression) -> Iterator[Expression]:
    """Yield what a condition compares."""
    if isinstance(condition, Compared):
        yield condition.inner
    elif isinstance(condition, Combined):
        yield from operands(condition.first)
        yield from operands(condition.second)
    elif isinstance(condition, Absent):
        yield Latest(condition.figures)
    else:
        yield condition


PATIENCE_S = 240.0  # a machine that is busy scrapes late


def everything(source: Source) -> Iterator[tuple[str, str]]:
    """Yield where an expression stands, and itself."""
    prefix = PREFIXES[source]
    for board in BOARDS:
        for row in board.rows:
            for panel in row.panels:
                for legend, asked in queries(panel, prefix, RATE):
                    yield f"{source}: {board.name}: {panel.title}: {legend}", asked
    for each in SIGNALS:
        for operand in operands(each.condition):
            yield f"{source}: {each.alert}", operand.promql(prefix)


@pytest.mark.timeout(2 * PATIENCE_S)
def test_every_panel_and_every_alert_has_a_number_in_both_sources(cluster, watching, tmp_path):
    assert cluster.tell("backup", str(tmp_path / "backup"))[0] == 0
    left = {where: asked for source in PREFIXES for where, asked in everything(source)}
    assert len(left) > 150

    def look() -> bool:
        for where, asked in list(left.items()):
            if watching.numbers(asked):
                del left[where]
        return not {where: asked for where, asked in left.items() if not any(name in asked for name in NOT_CAUSED)}

    with people(cluster):
        deadline = time.monotonic() + PATIENCE_S
        while not look():
            if time.monotonic() > deadline:
                pytest.fail(json.dumps(left, indent=1))
            time.sleep(1)


def test_the_alerts_of_a_shard_that_nobody_leads_fire_and_clear(cluster, watching):
    wait_until_all_are_in_sync(cluster)
    mine = {"RookeryNoLeader", "RookeryCopyNotInSync"}
    wait_for(lambda: not any(watching.firing(source) & mine for source in PREFIXES))
    replicas = map_on_disk(cluster.data).replicas_of(1)
    for replica in replicas:
        os.kill(replica.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: all("RookeryNoLeader" in watching.firing(source) for source in PREFIXES))
        os.kill(next(replica.pid for replica in replicas if replica.primary), signal.SIGKILL)
    finally:
        for replica in replicas:
            if not replica.primary:
                os.kill(replica.pid, signal.SIGCONT)
    wait_until_all_are_in_sync(cluster)
    wait_for(lambda: not any(watching.firing(source) & mine for source in PREFIXES))
    assert not watching.numbers('ALERTS{alertname="RookeryNoRouter",alertstate="firing"}')
