"""Made `level0/`'s folders, backup and Redis keys, with the code of commit e40ad83: run it there to make them again.

    git worktree add /tmp/before e40ad83 && cp -r tests/data/*level0*.py /tmp/before/tests/data/ && cd /tmp/before
    python -m tests.data.make_level0 tests/data/level0

A cluster of two shards is served as users serve it, once with files and once with a redis-server, and written to over
HTTP: replies of every visibility, direct tweets with mentions, blocks, mutes, an author above `pull_threshold`,
accounts that never read, tokens, imported accounts, keys, deleted tweets, media. Kept of it:

    backup.tar.xz    what `backup` wrote while it served
    stopped.tar.xz   the data folder after a clean stop
    killed.tar.xz    the folder as a power loss would leave it, while shard 1 had stopped taking messages: some wait in
                     shard 0's checkpoint, some in its journal behind that
    redis.msgpack.xz every key of the server as DUMP gives it, of such a moment, and the files of the data folder
    answers.json.xz  for each of them, what the code of that commit answers (level0_answers.py)
"""

from __future__ import annotations

import io
import json
import lzma
import os
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import msgpack
from rich.console import Console

from actors.core.ids import bucket_of_account
from commands.launch import ClusterInfo
from commands.offline import StoppedCluster, stopped_settings
from commands.restore import restore
from cluster.router.files import load_state
from configs.settings import load_settings
from tests import serving
from tests.data.level0_answers import answers_of
from tests.persistence.redis_processes import RedisProcess
from tests.serving import PATIENT, ServedCluster, served

MADE_BY = "e40ad83"
SHARDS, ACCOUNTS, IMPORTED = 2, 34, 6
SETTINGS = (
    PATIENT, "timeline.pull_threshold=12", "timeline.length=40", "timeline.arrivals_max=1024",
    "storage.segment_records_max=120", "cluster.spares=0",
)  # fmt: skip
SLEEPERS = 8  # accounts that never read their timelines
SEED = 16
SETTLE_S = 3.0  # checkpoints are written, counts have travelled


class Clients:
    """Accounts of a served cluster, and what they do at random."""

    def __init__(self, cluster: ServedCluster, folder: Path) -> None:
        self.cluster, self.chance = cluster, random.Random(SEED)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30)
        self.accounts: list[str] = []
        self.tweets: list[tuple[str, str]] = []  # (author, tweet)
        self.names: dict[str, str] = {}
        self._register()
        self._import(folder)
        self.shard_of = self._shards()

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        key = body.pop("key", None)
        headers = {"Idempotency-Key": key} if key else {}
        given = {"params": body} if method in ("GET", "DELETE") else {"json": body}
        answer = self.http.request(method, path, headers=headers, **given)
        assert answer.status_code < 500, answer.text
        return answer

    def _register(self) -> None:
        for n in range(ACCOUNTS):
            name = f"User_{n}"
            made = self.call("POST", "/api/v1/users", username=name, password=f"correct horse {n}",
                             display_name=f"Ünï {n}", bio=f"line one\nline two of {n}")  # fmt: skip
            assert made.status_code == 201, made.text
            self.accounts.append(made.json()["user_id"])
            self.names[self.accounts[-1]] = name
        for n in (1, 2, 3):
            self.call("POST", "/api/v1/login", username=f"user_{n}", password=f"correct horse {n}")
        self.call("PATCH", f"/{self.accounts[4]}/profile", user_id=self.accounts[4], location="Köln",
                  url="https://example.org", fields=[{"name": "a", "value": "b"}])  # fmt: skip
        self.call("POST", f"/{self.accounts[5]}/password", user_id=self.accounts[5], password="correct horse 5",
                  new_password="battery staple 5")  # fmt: skip

    def _import(self, folder: Path) -> None:
        rows = [{"id": 100 + n, "username": f"imported_{n}", "token": f"imported token {n}", "bio": "came by a file"}
                for n in range(IMPORTED)]  # fmt: skip
        (folder / "accounts.json").write_text(json.dumps(rows))
        self.cluster.run("load", "--accounts", str(folder / "accounts.json"))
        for row in rows:
            self.accounts.append(str(row["id"]))
            self.names[str(row["id"])] = str(row["username"])

    def _shards(self) -> dict[str, int]:
        state = load_state(self.cluster.data)
        assert state is not None
        return {account: state[1].buckets[bucket_of_account(int(account))] for account in self.accounts}

    def post(self, author: str, status: str, **more: Any) -> str:
        made = self.call("POST", "/api/v1/tweet", user_id=author, status=status, **more)
        if made.status_code != 201:
            return ""
        self.tweets.append((author, made.json()["tweet_id"]))
        return self.tweets[-1][1]

    def everything(self) -> None:
        """One of each, on purpose: also what chance might miss."""
        star, *others = self.accounts
        for account in others[: len(others) * 2 // 3]:
            self.call("POST", f"/{account}/follow/{star}", user_id=account)
        first = self.post(star, "#first tweet of https://example.org/x for @user_1", media_ids=["7", "8"], key="one")
        assert self.post(star, "again", key="one") == first
        self.tweets.pop()
        for visibility in ("public", "followers", "direct"):
            for author in (star, others[0], others[1]):
                mine = self.post(author, f"{visibility} for @{self.names[others[2]]}", visibility=visibility)
                for answering in (others[2], star, others[3]):
                    self.post(answering, f"{visibility} answer to @{self.names[author]}", visibility=visibility,
                              in_reply_to=mine, key=f"{visibility} {author} {answering}")  # fmt: skip
        self.call("POST", f"/{star}/block/{others[4]}", user_id=star)
        self.call("POST", f"/{others[5]}/mute/{star}", user_id=others[5])
        self.call("POST", f"/api/v1/tweet/{first}/repost", user_id=others[0])
        self.call("POST", f"/api/v1/tweet/{first}/like", user_id=others[1])
        gone = self.post(star, "soon gone", key="gone")
        self.call("POST", f"/api/v1/tweet/{gone}/repost", user_id=others[1])
        self.call("DELETE", f"/api/v1/tweet/{gone}", user_id=star)
        self.tweets.pop()

    def at_random(self, count: int) -> None:
        chance = self.chance
        for n in range(count):
            one, other = chance.sample(self.accounts, 2)
            author, tweet = chance.choice(self.tweets)
            match chance.randrange(14):
                case 0 | 1 | 2 | 3:
                    self.post(one, f"{count}: number {n}, #tag{n % 5} @{self.names[other]} ß 🐦",
                              visibility=chance.choice(("public", "public", "followers", "direct")),
                              key=f"{count} {n}")  # fmt: skip
                case 4:
                    self.post(one, f"answer {n}", in_reply_to=tweet)
                case 5 | 6 | 7:
                    self.call("POST", f"/{one}/follow/{other}", user_id=one)
                case 8 | 9:
                    self.call("POST", f"/api/v1/tweet/{tweet}/like", user_id=one)
                case 10:
                    self.call("POST", f"/api/v1/tweet/{tweet}/repost", user_id=one)
                case 11:
                    self.call("DELETE", f"/api/v1/tweet/{tweet}", user_id=author)
                case 12:
                    self.call("POST", f"/{one}/{chance.choice(('mute', 'block'))}/{other}", user_id=one)
                    self.call("DELETE", f"/{one}/follow/{other}", user_id=one)
                case _:
                    self.read(chance.choice(self.accounts[SLEEPERS:]))

    def read(self, account: str) -> None:
        self.call("GET", "/api/v1/home_timeline", user_id=account)

    def hold_messages_back(self, count: int) -> None:
        """Write on shard 0 what shard 1 has to be told of, which has been stopped."""
        authors = [account for account in self.accounts if self.shard_of[account] == 0]
        mine = [(author, tweet) for author, tweet in self.tweets if author in authors]
        for n in range(count):
            self.post(authors[n % len(authors)], f"while shard 1 stands still, number {n}")
        for author, tweet in mine[:3]:
            self.call("DELETE", f"/api/v1/tweet/{tweet}", user_id=author)


def pid_of(cluster: ServedCluster, shard: int) -> int:
    state = load_state(cluster.data)
    assert state is not None
    return int(state[1].primary_of(shard).pid)


def while_stopped(cluster: ServedCluster, clients: Clients, keep: Any) -> None:
    """Stop shard 1's process, write on shard 0, and call `keep` when its checkpoint holds some of what waits."""
    pid = pid_of(cluster, 1)
    time.sleep(SETTLE_S)
    os.kill(pid, signal.SIGSTOP)
    try:
        clients.hold_messages_back(150)  # more than a segment: its end is folded
        time.sleep(SETTLE_S)
        clients.hold_messages_back(15)
        time.sleep(SETTLE_S)
        keep()
    finally:
        os.kill(pid, signal.SIGCONT)


def copy_files(folder: Path, target: Path) -> None:
    """Copy what a power loss would leave: no sockets."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.sock"))


def archive(folder: Path, target: Path) -> None:
    """Pack a folder under the name `data`, the same whenever it is packed."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, "data", filter=plain)
    target.write_bytes(lzma.compress(packed.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def answers_in(data: Path) -> dict[str, Any]:
    """Return what a copy of a data folder answers."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "data"
        shutil.copytree(data, copy)
        info = ClusterInfo.load(copy)
        settings = stopped_settings(copy, info, SHARDS)
        cluster = StoppedCluster(settings, SHARDS)
        try:
            return answers_of(cluster.replicas)
        finally:
            cluster.close()


def answers_in_backup(backup: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        settings = load_settings("laptop", [], {"storage": {"data_dir": data}, "cluster": {"shards": SHARDS}})
        restore(backup, settings, Console(quiet=True))
        return answers_in(data)


def with_files(target: Path) -> dict[str, Any]:
    """Serve with files. Returns the answers of what was kept."""
    answers: dict[str, Any] = {}
    with served(*SETTINGS) as cluster:
        clients = Clients(cluster, cluster.data.parent)
        clients.everything()
        clients.at_random(300)
        time.sleep(SETTLE_S)
        backup = cluster.data.parent / "backup"
        cluster.run("backup", str(backup))
        archive(backup, target / "backup.tar.xz")
        answers["backup"] = answers_in_backup(backup)
        clients.at_random(150)
        time.sleep(SETTLE_S)
        cluster.stop()
        archive(cluster.data, target / "stopped.tar.xz")
        answers["stopped"] = answers_in(cluster.data)
        cluster.start()
        clients.http = httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30)
        clients.at_random(100)
        killed = cluster.data.parent / "killed"
        while_stopped(cluster, clients, lambda: copy_files(cluster.data, killed))
        (killed / "serve.lock").write_text("")
        archive(killed, target / "killed.tar.xz")
        answers["killed"] = answers_in(killed)
        cluster.stop()
    return answers


def with_redis(target: Path) -> dict[str, Any]:
    """Serve with a redis-server. Returns the answers."""
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    try:
        with served(*SETTINGS, "storage.backend=redis", f"storage.redis_url={process.url}") as cluster:
            clients = Clients(cluster, cluster.data.parent)
            clients.everything()
            clients.at_random(350)
            kept: dict[str, Any] = {}

            def keep() -> None:
                kept["keys"] = {key: process.client.dump(key) for key in sorted(process.client.scan_iter(count=1000))}
                kept["files"] = {
                    str(path.relative_to(cluster.data)): path.read_bytes()
                    for path in sorted(cluster.data.rglob("*"))
                    if path.is_file() and path.name != "serve.lock"
                }

            while_stopped(cluster, clients, keep)
            kept["version"] = process.client.info("server")["redis_version"]
            cluster.stop()
        packed = lzma.compress(msgpack.packb(kept), preset=9 | lzma.PRESET_EXTREME)
        (target / "redis.msgpack.xz").write_bytes(packed)
    finally:
        process.close()
    return {"redis": answers_in_redis(kept)}


def answers_in_redis(kept: dict[str, Any]) -> dict[str, Any]:
    process = RedisProcess("--appendonly", "yes", "--appendfsync", "always")
    try:
        with tempfile.TemporaryDirectory() as folder:
            data = unpack_redis(kept, process, Path(folder))
            return answers_in(data)
    finally:
        process.close()


def unpack_redis(kept: dict[str, Any], process: RedisProcess, folder: Path) -> Path:
    """Put the keys into a server, and the files into `folder`/data, which then names that server."""
    for key, value in kept["keys"].items():
        process.client.restore(key, 0, value)
    data = folder / "data"
    for name, content in kept["files"].items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(content)
    info = json.loads((data / "cluster.json").read_text())
    (data / "cluster.json").write_text(json.dumps(info | {"redis_url": process.url}))
    return data


def main(target: Path) -> None:
    target.mkdir(exist_ok=True)
    serving.START_TIMEOUT_S = 300  # nobody waits
    answers: dict[str, Any] = {"made_by": MADE_BY, **with_files(target), **with_redis(target)}
    for name, answered in answers.items():
        if name != "made_by":
            accounts = answered["accounts"].values()
            print(
                name, [(shard["position"], shard["waiting"], shard["problems"]) for shard in answered["shards"]],
                len(accounts), "accounts,", sum(len(a["tweets"]) for a in accounts), "tweets,",
                sum(a["awake"] for a in accounts), "awake,", sum(a["is_pulled"] for a in accounts), "pulled",
            )  # fmt: skip
    (target / "answers.json.xz").write_bytes(lzma.compress(json.dumps(answers).encode(), preset=9))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
