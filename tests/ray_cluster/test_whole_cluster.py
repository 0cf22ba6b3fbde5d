"""The command line against a real cluster: load, check, a storm with kills, stop, and everything is as it was."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from actors.shard.places import failure_file, shard_directory
from cluster.router.files import AUTHORITY_NAME, load_state
from persistence.segment_format import FRAME_HEADER_BYTES
from persistence.segment_format import SEGMENT_HEADER_BYTES as FIRST_FRAME_AT
from tests.chaos.copies import map_on_disk
from tests.ray_cluster.conftest import JOURNALS_STAY
from tests.ray_cluster.hooks import receiving
from tests.ray_cluster.votes import AUTHORS_SHARD, Votes
from tests.serving import ServedCluster, command, wait_for

pytestmark = [
    pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("plain"),
]  # fmt: skip

ACCOUNT_COUNT, FOLLOW_COUNT, TWEET_COUNT, OPERATION_COUNT = 300, 2_000, 400, 1_500


@pytest.fixture(scope="module")
def cluster(plain: ServedCluster) -> ServedCluster:
    return plain


@pytest.fixture(scope="module")
def files(cluster: ServedCluster) -> list[str]:
    """A synthetic power-law graph and texts, as arguments of load and check."""
    rng = random.Random(5)
    popularity = [1 / rank for rank in range(1, ACCOUNT_COUNT + 1)]
    edges = {(rng.randrange(1, ACCOUNT_COUNT + 1), rng.choices(range(1, ACCOUNT_COUNT + 1), popularity)[0])
             for _ in range(FOLLOW_COUNT)}  # fmt: skip
    graph, tweets = cluster.data.parent / "graph.txt", cluster.data.parent / "tweets.txt"
    graph.write_text("".join(f"{u} {v}\n" for u, v in sorted(edges)))
    tweets.write_text("".join(f"tweet {n} to @user{n % 50} #tag{n % 7}\n" for n in range(TWEET_COUNT)))
    return ["--graph", str(graph), "--tweets", str(tweets), "--seed", "3"]


def test_a_network_goes_in_and_every_timeline_is_as_defined(cluster, files):
    done = cluster.run("load", *files)
    assert done["tweets"]["new"] == TWEET_COUNT
    again = cluster.run("load", *files)
    assert [phase["new"] for phase in again.values()] == [0, 0, 0]
    found = cluster.run("check", "--oracle", *files)
    assert (found["problem_count"], found["figures"]["homes"]) == (0, done["accounts"]["given"])
    assert cluster.run("check", "--oracle", "--http")["problem_count"] == 0


def test_status_names_every_process(cluster, files):
    report = cluster.run("status")
    assert sorted(p["role"] for p in report["processes"]) == ["api", "dispatcher", "media", "router", "shard", "shard"]
    assert all(p["pid"] and p["rss_bytes"] > 1e6 for p in report["processes"])
    assert report["memory"]["edge_bytes_per_follow_edge"] > 0
    assert sum(shard["buckets"] for shard in report["shards"]) == 1024


def test_lanes_of_one_node_are_unix_sockets_and_nobody_else_finds_a_port(cluster):
    found = load_state(cluster.data)
    assert found is not None
    assert [(replica.port, bool(replica.unix_path)) for replica in found[1].replicas] == [(0, True)] * 2
    assert not (cluster.data / AUTHORITY_NAME).exists()
    assert all(set(shard["lane_strangers"]) >= {"waiting", "other_user"} for shard in cluster.run("status")["shards"])


def test_nothing_acknowledged_is_lost_or_doubled_when_shards_are_killed(cluster, files):
    found = cluster.run("storm", "--kill", "--operations", str(OPERATION_COUNT), "--seed", "9")
    assert (found["problem_count"], found["figures"]["killed"]) == (0, 2)


def test_a_killed_shard_comes_back_in_a_worker_that_was_waiting(cluster, files):
    def pid_of_shard() -> int | None:
        found = [p["pid"] for p in cluster.run("status")["processes"] if p["role"] == "shard"]
        return found[0] if len(found) == 2 else None

    def waiting(shard: psutil.Process) -> list[int]:
        """Return the idle workers once they have loaded all, before which they are called idle, too."""
        idle = [p for p in shard.parent().children() if p.cmdline()[:1] == ["ray::IDLE"]]
        for _ in range(20):
            if any(p.status() != psutil.STATUS_SLEEPING for p in idle):
                return []
            time.sleep(0.05)
        return [p.pid for p in idle]

    before = cluster.run("check")["digests"]
    shard = psutil.Process(pid_of_shard())
    spares = wait_for(lambda: waiting(shard))
    shard.kill()
    taken = wait_for(lambda: pid if (pid := pid_of_shard()) not in (None, shard.pid) else None)
    assert taken in spares
    assert wait_for(lambda: waiting(psutil.Process(taken))) != spares, "it asked for another one"
    assert cluster.run("check")["digests"] == before


def test_a_shard_that_cannot_listen_says_why_and_is_tried_again_until_it_can(cluster):
    """That a start ends with what shards have said, a journal that was damaged shows below."""

    def pid_of_shard() -> int | None:
        found = [p["pid"] for p in cluster.run("status")["processes"] if p["name"] == "rookery:shard-00:replica-0"]
        return found[0] if found else None

    before = cluster.run("check")["digests"]
    in_the_way, word = shard_directory(cluster.data, 0) / "lane.sock", failure_file(cluster.data, 0)
    assert not word.exists()
    in_the_way.unlink()
    (in_the_way / "not empty").mkdir(parents=True)
    killed = psutil.Process(pid_of_shard())
    killed.kill()
    assert "lane.sock exists and is not a socket" in wait_for(lambda: word.exists() and word.read_text())
    shutil.rmtree(in_the_way)
    wait_for(lambda: pid_of_shard() not in (None, 0, killed.pid))
    assert cluster.run("check")["digests"] == before


def test_a_network_made_over_the_paths_of_the_published_benchmark_is_as_defined(cluster):
    """Registered, followed and posted as its init script does, one after the other, then read by offsets."""
    users = range(5_000, 5_012)  # names and accounts on both shards
    first, last = users[0], users[-1]

    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.port}/wrk2-api", timeout=60) as http:

        def post(path: str, **form: object) -> None:
            answer = http.post(path, data=form)
            assert (answer.status_code, answer.text[:7]) == (200, "Success"), answer.text

        for n in users:
            names = {"first_name": "a", "last_name": "b", "username": f"username_{n}", "password": f"password_{n}"}
            post("/user/register", **names, user_id=n)
        for n in users[1:]:
            post("/user/follow", user_name=f"username_{n}", followee_name=f"username_{first}")
        for number in range(15):
            text = f"number {number} @username_{last} http://Zz9"
            post("/post/compose", username=f"username_{first}", user_id=first, text=text, post_type=0,
                 media_ids='["123456789012345678"]', media_types='["png"]')  # fmt: skip
        assert cluster.run("check", "--oracle")["problem_count"] == 0
        for path, user in (("home-timeline", last), ("home-timeline", first), ("user-timeline", first)):
            posts = http.get(f"/{path}/read", params={"user_id": user, "start": 3, "stop": 13}).json()
            assert [p["text"].split(" @")[0] for p in posts] == [f"number {n}" for n in range(11, 1, -1)]
            assert posts[0]["user_mentions"] == [{"user_id": str(last), "username": f"username_{last}"}]
            assert posts[0]["creator"] == {"user_id": str(first), "username": f"username_{first}"}


def test_accounts_that_are_deleted_are_gone_whatever_is_killed_meanwhile(cluster, files):
    url = f"http://127.0.0.1:{cluster.port}"
    body = {"username": "leaver", "password": "correct horse battery", "token_name": "phone"}
    made = httpx.post(f"{url}/api/v1/users", json=body, timeout=30).json()
    own = {"headers": {"authorization": f"Bearer {made['auth_token']}", "idempotency-key": "gone"}, "timeout": 30}
    tokens = httpx.get(f"{url}/{made['user_id']}/tokens", **own).json()["tokens"]
    assert [(token["name"], token["current"]) for token in tokens] == [("phone", True)]
    famous = [cluster.run("delete", str(account_id), "--yes", "--no-wait") for account_id in (1, 2, 3)]
    assert [deleted["user_id"] for deleted in famous] == ["1", "2", "3"]
    leave = f"{url}/api/v1/users/{made['user_id']}"
    assert httpx.request("DELETE", leave, json=body, **own).json() == {"user_id": made["user_id"], "deleted": True}
    for process in cluster.run("status")["processes"]:
        if process["role"] == "shard":
            psutil.Process(process["pid"]).kill()
    found = wait_for(
        lambda: cluster.run("check", "--oracle", statuses=(0, 1)) if len(shards_of(cluster)) == 2 else None
    )
    assert found["problem_count"] == 0, found["problems"]
    for account_id in ("1", "2", "3", made["user_id"]):
        assert httpx.get(f"{url}/{account_id}/profile", timeout=30).status_code == 404
    again = httpx.request("DELETE", leave, json=body, **own)
    assert again.json() == {"user_id": made["user_id"], "deleted": True}
    assert httpx.post(f"{url}/api/v1/users", json=body, timeout=30).status_code == 409


def test_webhooks_are_told_of_everything_whatever_is_killed_meanwhile(cluster):
    def kill(role: str) -> None:
        for process in cluster.run("status")["processes"]:
            if process["role"] == role and process["pid"]:
                with suppress(psutil.NoSuchProcess):  # it may have ended since
                    psutil.Process(process["pid"]).kill()

    url = f"http://127.0.0.1:{cluster.port}"
    with receiving() as hook, httpx.Client(base_url=url, timeout=60) as http:
        ada, bob = (
            http.post("/api/v1/users", json={"username": name, "password": "correct horse battery"}).json()["user_id"]
            for name in ("hooked", "liker")
        )
        wanted = {"user_id": ada, "url": hook.url, "types": ["like"]}
        assert http.post(f"/{ada}/webhooks", json=wanted).status_code == 201
        tweets = [
            http.post("/api/v1/tweet", json={"user_id": ada, "status": f"n {n}"}).json()["tweet_id"] for n in range(9)
        ]
        for n, tweet_id in enumerate(tweets):
            if n in (3, 6):
                kill("dispatcher" if n == 3 else "shard")
            like = partial(http.post, f"/api/v1/tweet/{tweet_id}/like", json={"user_id": bob})
            wait_for(lambda: like().status_code == 200)  # noqa: B023  called at once
        wait_for(lambda: {message.said["tweet"]["tweet_id"] for message in hook.messages} >= set(tweets))
        told = http.get(f"/{ada}/notifications", params={"user_id": ada, "types": "like"}).json()["notifications"]
    ids_told = {message.said["notification_id"]: message.message_id for message in hook.messages}
    assert ids_told.keys() == {each["notification_id"] for each in told}
    assert len({message.message_id for message in hook.messages}) == len(tweets), "one id each, however often it comes"


@pytest.fixture(scope="module")
def votes(cluster) -> Votes:
    return Votes(cluster, "voter")


def test_votes_of_all_shards_are_counted_once_when_the_shard_of_their_polls_is_killed_meanwhile(cluster, votes):
    votes.cast(lambda: psutil.Process(map_on_disk(cluster.data).primary_of(AUTHORS_SHARD).pid).kill())
    votes.check()
    assert cluster.run("check", "--oracle")["problem_count"] == 0


def shards_of(cluster: ServedCluster) -> list[int]:
    return [p["pid"] for p in cluster.run("status")["processes"] if p["role"] == "shard"]


@pytest.fixture(scope="module")
def stopped(cluster) -> dict[str, str]:
    """Stop the cluster, with a record in the newest segment of shard 1's journal; return the digests that it had.

    A segment may be begun at any moment, the last one included: then the cluster is started again, and written to.
    """
    names = (f"last_{n}" for n in itertools.count())
    while True:
        url = f"http://127.0.0.1:{cluster.port}/api/v1"
        for name in itertools.islice(names, 8):  # on both shards
            body = {"username": name, "password": "long enough"}
            wait_for(lambda: httpx.post(f"{url}/users", json=body, timeout=60).status_code in (201, 409))  # noqa: B023
        digests = cluster.run("check")["digests"]
        cluster.stop_by_command()
        if newest_segment(cluster).stat().st_size > FIRST_FRAME_AT + FRAME_HEADER_BYTES + 3:
            return digests
        cluster.start()


def newest_segment(cluster: ServedCluster) -> Path:
    return max(cluster.data.glob("shard-01/journal/*.seg"))


def test_a_stopped_cluster_holds_the_same(cluster, stopped):
    found = cluster.run("check", "--oracle")
    assert (found["problem_count"], found["digests"]) == (0, stopped)


def test_a_cluster_whose_journal_was_damaged_refuses_to_start_and_names_file_and_offset(cluster, stopped):
    segment = newest_segment(cluster)
    whole = segment.read_bytes()
    at = FIRST_FRAME_AT + FRAME_HEADER_BYTES + 3
    assert len(whole) > at, "the journal holds no record to damage"
    segment.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        with pytest.raises(AssertionError, match="shard-01:replica-0: JournalCorruptError") as refused:
            cluster.start()
    finally:
        segment.write_bytes(whole)
    assert cluster.process.wait() == 1
    assert f"{segment}: byte {FIRST_FRAME_AT}: " in str(refused.value)
    assert "shards [1] can't start" in str(refused.value), "the other shard is sound"
    assert "shard-00:replica-0: " not in str(refused.value)


def test_the_next_start_holds_the_same(cluster, stopped):
    cluster.sets += JOURNALS_STAY  # for test_backup.py, which replays what is written from now on
    cluster.start()
    assert cluster.run("check")["digests"] == stopped
    assert cluster.run("check", "--oracle")["problem_count"] == 0


def test_votes_are_the_same_after_the_next_start(votes):
    votes.check()


def test_a_second_serve_of_the_same_folder_is_refused(cluster):
    done = subprocess.run(
        command("serve", "--data", str(cluster.data), "--port", "1"), capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"served by process" in done.stderr
