"""A cluster that is backed up while clients write, killed, and restored elsewhere: nothing acknowledged before is lost,
nothing is there twice, and the shards are what a replay of the old journals up to the cut gives.

The cluster has a life behind it (test_whole_cluster.py, test_overload.py); this ends it. The restored one is told twice
to stop, in the middle of a bulk load.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console

from actors.core.replica import Replica
from actors.core.verify import digest
from actors.shard.places import shard_directory
from actors.shard.storage import open_files, tuning_of
from cluster.placement.shard_map import even_buckets
from commands.restore import check_backup
from configs.settings import load_settings
from persistence.backup_format import load_manifest
from tests.ray_cluster.conftest import JOURNALS_STAY
from tests.ray_cluster.endings import require_a_good_end
from tests.ray_cluster.hooks import HookServer, receiving
from tests.serving import COMMAND_TIMEOUT_S, REPOSITORY, ServedCluster, command, wait_for
from tests.stopping import MARK, Stopping, Way

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("plain"),
]  # fmt: skip

SHARDS, USERS, WRITERS, TWEETS_FIRST = 2, 6, 3, 100
OUTGOING = ("outgoing.webhooks=true", "outgoing.allow_networks=127.0.0.0/8")
PAUSE_S = 0.03  # of a writer between two tweets


class Clients:
    """Accounts that follow each other, and every tweet of theirs that was acknowledged."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        names = [f"backed_up_{n}" for n in range(USERS)]
        users = [self.http.post("/api/v1/users", json={"username": name, "password": "long enough"}) for name in names]
        assert {answer.status_code for answer in users} == {201}, users[0].text
        self.accounts = [answer.json()["user_id"] for answer in users]
        for number, account in enumerate(self.accounts):
            for other in self.accounts[:number] + self.accounts[number + 1 :]:
                followed = self.http.post(f"/{account}/follow/{other}")
                assert followed.status_code == 200, followed.text
        self.acknowledged: list[str] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def tweet(self, number: int) -> None:
        body = {"user_id": self.accounts[number % USERS], "status": f"number {number}"}
        answer = self.http.post("/api/v1/tweet", json=body)
        assert answer.status_code == 201, answer.text
        self.acknowledged.append(answer.json()["tweet_id"])

    def begin(self) -> None:
        """Go on tweeting from several threads."""

        def go_on(writer: int) -> None:
            number = TWEETS_FIRST + writer
            while not self._stop.wait(PAUSE_S):
                self.tweet(number)
                number += WRITERS

        self._threads = [threading.Thread(target=go_on, args=(writer,)) for writer in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def shown_on(self, port: int) -> Counter[str]:
        """Return how often each tweet is in its author's timeline, as a cluster at another port serves it."""
        shown: Counter[str] = Counter()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            for account in self.accounts:
                max_id = ""
                while True:
                    params = {"user_id": account, "count": 100, **({"max_id": max_id} if max_id else {})}
                    answer = http.get("/api/v1/user_timeline", params=params)
                    assert answer.status_code == 200, answer.text
                    ids = [tweet["tweet_id"] for tweet in answer.json()]
                    if not ids:
                        break
                    shown.update(ids)
                    max_id = ids[-1]
        return shown


def run(*args: str) -> None:
    done = subprocess.run(command(*args), cwd=REPOSITORY, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def kill_everything(cluster: ServedCluster) -> None:
    """`kill -9` of the serving process and all that it started."""
    assert cluster.process is not None
    started = psutil.Process(cluster.process.pid).children(recursive=True)
    os.kill(cluster.process.pid, signal.SIGKILL)
    for process in started:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    cluster.process.wait()
    wait_for(lambda: not psutil.wait_procs(started, timeout=0.1)[1])


def digests_at(data_dir: Path, cut: list[int]) -> list[str]:
    """Return the shards' digests as the files of a dead cluster give them, replayed up to the cut."""
    overrides = {"storage": {"data_dir": data_dir}, "cluster": {"shards": SHARDS}}
    settings, found = load_settings("test", overrides=overrides, environ={}), []
    for shard in range(SHARDS):
        journal, store, _, release = open_files(shard_directory(data_dir, shard), shard)
        replica = Replica(shard, list(even_buckets(SHARDS)), tuning_of(settings))
        replica.load(store.load())
        assert replica.state.position <= cut[shard] <= journal.durable_position
        for position, record in journal.replay(replica.state.position):
            if position <= cut[shard]:
                replica.replay(position, record)
        replica.state.deliveries.drain()
        found.append(digest(replica.state))
        journal.close()
        store.close()
        release()
    return found


@pytest.fixture(scope="module")
def cluster(plain: ServedCluster) -> ServedCluster:
    """Return a cluster whose checkpoints stay behind the cut, so that the old journals can be replayed up to it."""
    if not set(JOURNALS_STAY) <= set(plain.sets):  # test_whole_cluster.py, which starts it anew, hasn't been here
        plain.stop()
        plain.sets += JOURNALS_STAY
        plain.start()
    return plain


@pytest.fixture(scope="module")
def restored(plain: ServedCluster) -> Iterator[ServedCluster]:
    folder = plain.data.with_name("restored")
    folder.mkdir()
    made = ServedCluster(folder / "data", environ={MARK: uuid.uuid4().hex}, own_group=True)
    yield made
    made.end()


@pytest.fixture
def hooks() -> Iterator[HookServer]:
    with receiving() as server:
        yield server


def begin_to_send(clients: Clients, hooks: HookServer) -> str:
    """Have a message be under way to somebody who doesn't answer; return its id."""
    hooks.answers.clear()
    account = clients.accounts[0]
    made = clients.http.post(f"/{account}/webhooks", json={"url": hooks.url, "types": "poll"})
    assert made.status_code == 201, made.text
    tested = clients.http.post(f"/{account}/webhooks/{made.json()['webhook_id']}/test")
    assert tested.status_code == 202, tested.text
    message_id: str = tested.json()["message_id"]
    wait_for(lambda: message_id in [message.message_id for message in hooks.messages])
    return message_id


def test_a_backup_under_writes_holds_all_that_was_acknowledged_before_it_and_nothing_twice(cluster, restored, hooks):
    clients = Clients(cluster.port)
    waiting_id = begin_to_send(clients, hooks)
    for number in range(TWEETS_FIRST):
        clients.tweet(number)
    cluster.run("status")  # the first command takes longer than all others
    clients.begin()
    try:
        time.sleep(0.5)
        before, folder = list(clients.acknowledged), cluster.data.with_name("backup")
        done = cluster.run("backup", str(folder))
        during = len(clients.acknowledged) - len(before)
    finally:
        clients.end()
    assert (done["source"], during > 0) == ("serving", True)
    cluster.close_console()
    kill_everything(cluster)
    cut = [facts.cut_position for facts in load_manifest(folder).shards]
    assert done["positions"] == cut
    expected = digests_at(cluster.data, cut)

    checked = check_backup(folder, load_settings("test", environ={}), Console(quiet=True))
    assert (checked.problems, list(checked.digests.values())) == ([], expected)
    run("restore", str(folder), "--data", str(restored.data), "--profile", "test")
    found = restored.run("check", "--oracle")
    assert (found["problem_count"], list(found["digests"].values())) == (0, expected)
    hooks.messages.clear()
    hooks.answers.set()
    restored.sets += OUTGOING
    restored.start()
    shown = clients.shown_on(restored.port)
    assert set(shown.values()) == {1}
    assert set(before) <= set(shown) <= set(clients.acknowledged)
    wait_for(lambda: hooks.messages)  # with the id that it had; a minute later, if the first attempt was given up
    assert {message.message_id for message in hooks.messages} == {waiting_id}


def test_told_twice_to_stop_in_the_middle_of_a_load_it_ends_in_time_and_whole(restored):
    if restored.process is None:
        restored.start()  # empty
    way, stopping = Way(signal.SIGTERM, "group", "loading", 2), Stopping(restored.data.parent)
    require_a_good_end(way, stopping.stop_served(restored, way))
    assert stopping.check() == 0
