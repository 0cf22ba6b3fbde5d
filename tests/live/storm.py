"""A storm of favourites, boosts, follows, mentions, answers and their undoing while shards are killed, and a model.

    python -m tests.live.storm --minutes 5 --people 12 --shards 4 --seed 7

Everybody does one thing after the other, each until it is acknowledged, so what stands at the end is known: the last
thing that somebody did to a status or an account. From that a model says by brute force what everyone has been notified
of: exactly that, each once, must `GET /api/v1/notifications` answer. `make test` runs a short one (test_storm.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from tests.chaos.copies import map_on_disk
from tests.live.people import Person
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served, wait_for

Told = tuple[str, str, str]  # type, by whom, about which status or ""
FIRST_POSTS = 3  # of everybody: what is favourited and boosted
ACTIONS = ("favourite", "reblog", "follow", "mention", "reply", "delete")
WEIGHTS = (6, 3, 4, 2, 2, 1)


@dataclass
class Standing:
    """What stands of what one person has done. marks: (verb, status) that hold; posts: by id, whom each notifies."""

    marks: set[tuple[str, str]] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    posts: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # (type, account)


@dataclass
class Done:
    """What a storm came to. problems: what was found wrong; the first ones say all."""

    actions: int = 0
    kills: int = 0
    repeated: int = 0
    notifications: int = 0
    problems: list[str] = field(default_factory=list)


def wanted(standing: dict[str, Standing], author_of: dict[str, str]) -> dict[str, set[Told]]:
    """Return by brute force what each account must be notified of. author_of: of each status that others act on."""
    must: dict[str, set[Told]] = {account: set() for account in standing}
    for actor, stands in standing.items():
        for verb, status in stands.marks:
            must[author_of[status]].add((verb, actor, status))
        for account in stands.follows:
            must[account].add(("follow", actor, ""))
        for status, told in stands.posts.items():
            for kind, account in told:
                must[account].add((kind, actor, status))
    return {account: {each for each in told if each[1] != account} for account, told in must.items()}


def differences(name: str, told: Iterable[Told], must: set[Told]) -> list[str]:
    """Return what is wrong with somebody's notifications: missing, doubled, or not so."""
    counted = Counter(told)
    problems = [f"{name} isn't told {each}" for each in sorted(must - set(counted))]
    problems += [f"{name} is told {each}, which isn't so" for each in sorted(set(counted) - must)]
    return problems + [f"{name} is told {each} {count} times" for each, count in sorted(counted.items()) if count > 1]


class Actor(threading.Thread):
    """One person in the storm. Only it writes to its `standing`. failed: what ended it before its time."""

    def __init__(self, me: Person, others: list[Person], statuses: list[tuple[str, str]], seed: int) -> None:
        super().__init__()
        self.me, self._others, self._statuses = me, [other for other in others if other is not me], statuses
        self._dice = random.Random(seed)
        self.standing = Standing()
        self.actions = 0
        self.stopping = threading.Event()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._one()
                self.actions += 1
        except Exception as error:  # noqa: BLE001  whoever waits for the storm raises it
            self.failed = error

    def _one(self) -> None:
        (action,) = self._dice.choices(ACTIONS, WEIGHTS)
        stands = self.standing
        if action in ("favourite", "reblog"):
            status, _ = self._dice.choice(self._statuses)
            mark = (action, status)
            undo = "un" if mark in stands.marks else ""
            self.me.act(f"statuses/{undo}{action}", status)
            stands.marks ^= {mark}
        elif action == "follow":
            other = self._dice.choice(self._others).id
            undo = "un" if other in stands.follows else ""
            self.me.act(f"accounts/{undo}follow", other)
            stands.follows ^= {other}
        elif action == "mention":
            named = self._dice.sample(self._others, 2)
            made = self.me.post(f"look, @{named[0].name} and @{named[1].name}, {self.actions}")
            stands.posts[made["id"]] = [("mention", each.id) for each in named]
        elif action == "reply":
            status, author = self._dice.choice(self._statuses)
            made = self.me.post(f"answers {self.actions}", in_reply_to_id=status)
            stands.posts[made["id"]] = [("mention", author)]
        elif stands.posts:
            gone = self._dice.choice(sorted(stands.posts))
            self.me.delete(gone)
            del stands.posts[gone]


def storm(cluster: ServedCluster, people: int, kills: int, seconds: float, seed: int) -> Done:
    """Let people act until there were so many kills and seconds; then compare. Raises what ended somebody early."""
    base, prefix = f"http://127.0.0.1:{cluster.port}", f"s{uuid.uuid4().hex[:8]}"
    with ThreadPoolExecutor(people) as pool:
        made = list(pool.map(lambda n: Person(base, f"{prefix}_{n}"), range(people)))
        posts = pool.map(lambda person: [person.post(f"first {n}")["id"] for n in range(FIRST_POSTS)], made)
        statuses = [(status, who.id) for who, ids in zip(made, posts, strict=True) for status in ids]
    actors = [Actor(person, made, statuses, seed + number) for number, person in enumerate(made)]
    done, end, dice = Done(), time.monotonic() + seconds, random.Random(seed)
    for actor in actors:
        actor.start()
    try:
        while (done.kills < kills or time.monotonic() < end) and not any(actor.failed for actor in actors):
            wait_until_all_act(actors)
            kill_one(cluster, dice)
            done.kills += 1
        wait_until_all_act(actors)
    finally:
        for actor in actors:
            actor.stopping.set()
        for actor in actors:
            actor.join()
    for actor in actors:
        if actor.failed is not None:
            raise actor.failed
    compare(cluster, actors, dict(statuses), done)
    for person in made:
        person.close()
    return done


def wait_until_all_act(actors: list[Actor]) -> None:
    """Return once everybody has done something since, or somebody has failed."""
    before = [actor.actions for actor in actors]

    def all_did() -> bool:
        return any(actor.failed for actor in actors) or all(
            actor.actions > was for actor, was in zip(actors, before, strict=True)
        )

    wait_for(all_did)


def kill_one(cluster: ServedCluster, dice: random.Random) -> None:
    """Kill a shard's process with SIGKILL; one that has gone already is no error."""
    pids = [replica.pid for replica in map_on_disk(cluster.data).replicas if replica.pid]
    try:
        os.kill(dice.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return


def compare(cluster: ServedCluster, actors: list[Actor], author_of: dict[str, str], done: Done) -> None:
    """Wait until nothing is under way, and compare everybody's notifications with the model."""
    wait_for(lambda: cluster.status()["totals"]["outbox_depth"] == 0)
    must = wanted({actor.me.id: actor.standing for actor in actors}, author_of)
    for actor in actors:
        rows = actor.me.notifications()
        told = [(row["type"], row["account"]["id"], (row.get("status") or {}).get("id", "")) for row in rows]
        done.problems += differences(actor.me.name, told, must[actor.me.id])
        ids = [int(row["id"]) for row in rows]
        if ids != sorted(set(ids), reverse=True):
            done.problems.append(f"{actor.me.name}'s notifications aren't in the order of their ids, or not unique")
        done.notifications += len(rows)
        done.actions += actor.actions
        done.repeated += actor.me.repeated


def main() -> int:
    """Run for long; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with served("cluster.spares=1", LONG_DEADLINE, PATIENT) as cluster:
        if given.shards != 2:  # what ServedCluster begins with
            cluster.run("rebalance", "--shards", str(given.shards), "--at-once", "32")
        done = storm(cluster, given.people, 0, 60 * given.minutes, given.seed)
    print(json.dumps(asdict(done)))
    return 1 if done.problems else 0


if __name__ == "__main__":
    sys.exit(main())
