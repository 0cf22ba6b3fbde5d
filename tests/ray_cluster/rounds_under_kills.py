"""Rounds of Mastodon.py on a cluster of three replicas, while its primaries are killed: `make rounds`.

    python -m tests.ray_cluster.rounds_under_kills --minutes 5 --groups 4 --workers 2 --seed 7

Groups of people make rounds side by side (rounds.py), each group for itself, while one primary after the other is
killed with SIGKILL. `make test` does the same for a few seconds (test_mastodon_replicas.py). What is not read back at
once ends the run with status 1, and so does what `check --oracle` finds at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

from tests.chaos.copies import map_on_disk
from tests.ray_cluster.rounds import Rounds, new_person
from tests.serving import LONG_DEADLINE, START_TIMEOUT_S, ServedCluster, served, wait_for

PEOPLE = 4  # of a group
LOOK_S = 0.05


@dataclass
class Done:
    """What a run came to. kills: of primaries; repeated: requests that were answered 503 and sent again."""

    rounds: int = 0
    kills: int = 0
    repeated: int = 0


class Group(threading.Thread):
    """Makes rounds until told to stop, or until something isn't read back: `missed`."""

    def __init__(self, base: str, name: str, seed: int) -> None:
        super().__init__()
        people = [new_person(base, f"{name}_{number}") for number in range(PEOPLE)]
        self.sessions = [person.session for person in people]
        self._rounds = Rounds(people, seed)
        self.made = 0
        self.stopping = threading.Event()
        self.missed: Future[None] = Future()

    def wait_for_a_round(self) -> None:
        """Return once it has made one more, or has ended."""
        made = self.made
        wait_for(lambda: self.made > made or not self.is_alive())

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._rounds.one(self.made)
                self.made += 1
        except Exception as error:  # noqa: BLE001  whoever waits for this group raises it
            self.missed.set_exception(error)
        else:
            self.missed.set_result(None)


def wait_until_all_are_in_sync(cluster: ServedCluster) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not all(replica.in_sync for replica in map_on_disk(cluster.data).replicas):
        assert time.monotonic() < deadline, map_on_disk(cluster.data)
        time.sleep(LOOK_S)


def kill_primary(cluster: ServedCluster, shard: int) -> None:
    """Kill a shard's primary; returns once another leads."""
    before = map_on_disk(cluster.data)
    os.kill(before.primary_of(shard).pid, signal.SIGKILL)
    deadline = time.monotonic() + START_TIMEOUT_S
    while map_on_disk(cluster.data).term_of(shard) == before.term_of(shard):
        assert time.monotonic() < deadline, "nobody was elected"
        time.sleep(LOOK_S)


def rounds_while_primaries_are_killed(
    cluster: ServedCluster, groups: int, kills: int, minutes: float, seed: int
) -> Done:
    """Make rounds until there were so many kills and minutes; raises what the first group that missed something did."""
    base, name = f"http://127.0.0.1:{cluster.port}", f"g{uuid.uuid4().hex[:8]}"
    wait_until_all_are_in_sync(cluster)
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda n: Group(base, f"{name}_{n}", seed + n), range(groups)))
    for group in made:
        group.start()
    done, end = Done(), time.monotonic() + 60 * minutes
    shards = len({replica.shard for replica in map_on_disk(cluster.data).replicas})
    try:
        while (done.kills < kills or time.monotonic() < end) and all(group.is_alive() for group in made):
            for group in made:
                group.wait_for_a_round()
            kill_primary(cluster, done.kills % shards)
            done.kills += 1
            wait_until_all_are_in_sync(cluster)
    finally:
        for group in made:
            group.stopping.set()
        for group in made:
            group.join()
    for group in made:
        group.missed.result()
    done.rounds = sum(group.made for group in made)
    done.repeated = sum(session.repeated for group in made for session in group.sessions)
    wait_for(lambda: cluster.run("status")["totals"]["outbox_depth"] == 0)  # what is under way would arrive later
    found = cluster.run("check", "--oracle", statuses=(0, 1))
    assert found["problem_count"] == 0, found["problems"]
    return done


def main() -> int:
    """Run for long; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--groups", type=int, default=4, help=f"of {PEOPLE} people, side by side")
    parser.add_argument("--workers", type=int, default=2, help="API workers")
    parser.add_argument("--ack", default="majority", choices=("replica", "majority"), help="durability.ack")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    settings = "cluster.replicas=3", f"durability.ack={given.ack}", f"cluster.workers={given.workers}", LONG_DEADLINE
    with served(*settings) as cluster:
        done = rounds_while_primaries_are_killed(cluster, given.groups, 0, given.minutes, given.seed)
    print(json.dumps(asdict(done)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
