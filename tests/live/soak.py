"""A soak of streams: people write, listeners sleep and wake, processes are killed; then every listener's record is held
against what was written (model.py).

    python -m tests.live.soak --minutes 30 --people 8 --seed 7        make soak-streams ARGS="--minutes 30"

    people -----> API workers, shards <---- kill -9 of shards, workers, router, dispatcher; shards added and given up
      |                |
      v                v
    ledger        listeners (SSE and WebSocket, with cursors and without), webhooks ---> records ---> problems

Rules of this file
- Nothing is killed before every listener has begun, nor after the last kill until everybody has heard a last status.
- What is found wrong is returned, never raised; what ends a writer early is raised.
- One token is taken back in the middle: its listener must be cut off, and hear nothing more.
- Where the cluster has webhooks, each person has one, and must be told there of every notification at least once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import psutil

from tests.chaos.processes import Processes
from tests.console import ConsoleError
from tests.live.listeners import Listener, is_open
from tests.live.model import FOREVER, Ledger, Record, final_problems, history, problems
from tests.live.people import PASSWORD, Person
from tests.live.writers import TAG, Writer, settle_graph
from tests.ray_cluster.hooks import HookServer
from tests.serving import LONG_DEADLINE, PATIENT, ServedCluster, served, wait_for

ROLES, SHARES = ("shard", "api", "router", "dispatcher"), (6, 3, 1, 2)
HOOKED = {"favourite": "like", "mention": "mention"}  # our names of what writers note
REBALANCE_WITHIN_S = 600.0  # the router may have been killed just now
TOPICS = ("user", "user", "public", f"hashtag:{TAG}")  # whose listeners each person has one of, in turn
HEARD_WITHIN_S = 240.0  # after the last kill: a shard whose constructor failed is tried every 30 s, on a busy machine
HOOKED_WITHIN_S = 900.0  # a message that failed thrice, as its dispatcher was killed, goes again after 4 minutes
LOOK_S, LEAVES_LOOK_S = 0.3, 5.0
REBALANCE_EVERY = 4  # kills
PROBLEMS_MAX = 50  # of a report
Loop = asyncio.AbstractEventLoop


@dataclass
class Done:
    """What a soak came to. events: heard, by kind; recovered: how often listeners were told to read anew."""

    seconds: float = 0.0
    actions: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    rebalances: int = 0
    statuses: int = 0
    listeners: int = 0
    connections: int = 0
    resumed: int = 0
    recovered: int = 0
    hooked: int = 0  # messages that webhooks were sent
    outgoing: list[dict[str, Any]] = field(default_factory=list)  # what shards and dispatchers have counted of those
    events: dict[str, int] = field(default_factory=dict)
    problem_count: int = 0
    problems: list[str] = field(default_factory=list)
    histories: list[str] = field(default_factory=list)  # of listeners with problems, and of kills


@dataclass(frozen=True)
class Plan:
    """How long, and what happens. roles: whom to kill, one after the other; None: at random until the time is over."""

    people: int = 8
    seconds: float = 0.0
    roles: tuple[str, ...] | None = None
    seed: int = 0
    moves_buckets: bool = False
    has_webhooks: bool = False


@contextmanager
def loop_in_a_thread() -> Iterator[Loop]:
    """Have an event loop beside this thread while the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class SecondToken:
    """Another token of a person, got by the password, that can be taken back."""

    def __init__(self, person: Person) -> None:
        self._http, redirect = person.http, "urn:ietf:wg:oauth:2.0:oob"
        body = {"client_name": "soak", "redirect_uris": redirect, "scopes": "read"}
        app = self._post("/api/v1/apps", body)
        self._client = {"client_id": app["client_id"], "client_secret": app["client_secret"]}
        asked = {"grant_type": "password", "username": person.name, "password": PASSWORD, "scope": "read"}
        self.token: str = self._post("/oauth/token", {**self._client, "redirect_uri": redirect, **asked})[
            "access_token"
        ]

    def revoke(self) -> None:
        """Take it back."""
        self._post("/oauth/revoke", {**self._client, "token": self.token})

    def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        while True:  # a shard or a worker may have been killed just now
            with contextlib.suppress(httpx.TransportError):
                reply = self._http.post(path, json=body)
                if reply.status_code != 503:
                    made: dict[str, Any] = reply.raise_for_status().json()
                    return made
            time.sleep(LOOK_S)


class Soak:
    """One run."""

    def __init__(self, cluster: ServedCluster, plan: Plan, loop: Loop) -> None:
        assert cluster.process is not None
        self._cluster, self._plan, self._loop = cluster, plan, loop
        self._processes = Processes(cluster.process.pid, cluster.data)
        self._dice = random.Random(plan.seed)
        self._ledger, self.done = Ledger(), Done()
        self._kills: Counter[str] = Counter()
        self._events: list[str] = []
        base, prefix = f"http://127.0.0.1:{cluster.port}", f"l{uuid.uuid4().hex[:8]}"
        with ThreadPoolExecutor(plan.people) as pool:
            self._people = list(pool.map(lambda n: Person(base, f"{prefix}_{n}"), range(plan.people)))
        settle_graph(self._people, self._ledger)
        self._hook = HookServer() if plan.has_webhooks else None
        for person in self._people if self._hook is not None else ():
            wanted = {"user_id": person.id, "url": f"{self._hook.url}{person.id}"}  # type: ignore[union-attr]
            person.http.post(f"/{person.id}/webhooks", json=wanted).raise_for_status()
        self._writers = [
            Writer(self._people, number, self._ledger, plan.seed + number) for number in range(plan.people)
        ]
        self._listeners = [self._listener(number, person, person.token) for number, person in enumerate(self._people)]
        self._listeners += [self._listener(1, person, person.token) for person in self._people[:2]]
        self._second = SecondToken(self._people[0])
        self._revoked = self._listener(0, self._people[0], self._second.token, " with a second token")
        self._runs: list[asyncio.Task[None]] = []

    def _listener(self, number: int, person: Person, token: str, more: str = "") -> Listener:
        """Return the listener that a number stands for: topic, protocol and whether it keeps cursors follow from it."""
        topic, over_websocket = TOPICS[number % len(TOPICS)], number % 2 == 1
        keeps = number % 3 != 1
        name = f"{person.name}'s {topic} by {'WebSocket' if over_websocket else 'SSE'}{'' if keeps else ', no cursors'}"
        record = Record(name + more, person.id, topic, keeps)
        return Listener(self._cluster.port, token, record, over_websocket, self._plan.seed + number)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> Done:
        """Carry it out."""
        begin = time.monotonic()
        everybody = [*self._listeners, self._revoked]
        self._in_loop(self._begin(everybody))
        if self._hook is not None:
            threading.Thread(target=self._hook.serve_forever, daemon=True).start()
        try:
            self._wait_until_all_listen(everybody)
            for writer in self._writers:
                writer.start()
            try:
                self._harm()
            finally:
                for writer in self._writers:
                    writer.stopping.set()
                for writer in self._writers:
                    writer.join()
            for writer in self._writers:
                if writer.failed is not None:
                    raise writer.failed
            self._wait_until_all_is_heard()
        finally:
            self._in_loop(self._end(everybody))
            if self._hook is not None:
                self._hook.shutdown()
                self._hook.server_close()
            for person in self._people:
                person.close()
        self._report(everybody, time.monotonic() - begin)
        return self.done

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, everybody: list[Listener]) -> None:
        self._runs = [asyncio.create_task(each.run()) for each in everybody]

    async def _end(self, everybody: list[Listener]) -> None:
        for listener in everybody:
            listener.stop()
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    def _wait_until_all_listen(self, everybody: list[Listener]) -> None:
        """Post until every listener has heard something: an open stream may not listen yet."""

        def all_listen() -> bool:
            self._raise_what_ended_a_listener()
            for writer in self._writers:
                writer.post("public")
            return all(each.record.begins < FOREVER for each in everybody)

        wait_for(all_listen)

    def _raise_what_ended_a_listener(self) -> None:
        for run in self._runs:
            if run.done() and run.exception() is not None:
                run.result()

    def _harm(self) -> None:
        """Kill one after the other, each when everybody has written something since; take a token back on the way."""
        roles = self._plan.roles
        end = time.monotonic() + self._plan.seconds
        for number in itertools.count():
            self._wait_until_all_write()
            if number == 1:
                self._take_a_token_back()
            if (roles is not None and number == len(roles)) or (roles is None and time.monotonic() > end):
                return
            self._kill(self._dice.choices(ROLES, SHARES)[0] if roles is None else roles[number])
            if self._plan.moves_buckets and number % REBALANCE_EVERY == REBALANCE_EVERY - 1:
                shards = 3 if self.done.rebalances % 2 == 0 else 2
                self._rebalance(shards)

    def _rebalance(self, shards: int) -> None:
        """Have so many shards; said again while the router, which may have been killed just now, doesn't answer."""
        self._events.append(f"{time.monotonic():.3f} rebalance to {shards}")
        deadline = time.monotonic() + REBALANCE_WITHIN_S
        while True:
            try:
                status, *said = self._cluster.tell("rebalance", "--shards", str(shards), "--at-once", "32")
            except (ConsoleError, subprocess.TimeoutExpired) as error:
                status, said = 1, [str(error)]
            if status == 0:
                break
            assert time.monotonic() < deadline, said
            time.sleep(LOOK_S)
        self._events.append(f"{time.monotonic():.3f} rebalanced")
        self.done.rebalances += 1

    def _wait_until_all_write(self) -> None:
        before = [writer.actions for writer in self._writers]

        def all_did() -> bool:
            self._raise_what_ended_a_listener()
            return any(writer.failed for writer in self._writers) or all(
                writer.actions > was for writer, was in zip(self._writers, before, strict=True)
            )

        wait_for(all_did)

    def _kill(self, role: str) -> None:
        found = self._processes.find(role)
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._dice.choice(found).kill()
                self._kills[role] += 1
                self._events.append(f"{time.monotonic():.3f} kill -9 {role}")

    def _take_a_token_back(self) -> None:
        self._second.revoke()
        self._revoked.record.revoked = time.monotonic()

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _wait_until_all_is_heard(self) -> None:
        """Have everybody awake, post a last status each, and wait until nothing is missed: or for long enough, or until
        something is wrong that no waiting mends.
        """
        for listener in self._listeners:
            self._loop.call_soon_threadsafe(listener.stay_awake)
        deadline = time.monotonic() + HEARD_WITHIN_S
        while not all(is_open(each.record) for each in self._listeners) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        for writer in self._writers:
            writer.post("public")
        while time.monotonic() < deadline and self._found() and not self._found_for_good():
            self._raise_what_ended_a_listener()
            for listener in self._listeners:
                self._in_loop(listener.read_anew())
            time.sleep(LOOK_S)
        deadline = time.monotonic() + HOOKED_WITHIN_S
        while self._not_hooked() and self._still_leaves() and time.monotonic() < deadline:
            time.sleep(LEAVES_LOOK_S)

    def _still_leaves(self) -> bool:
        """Whether anything waits to leave the cluster; of the last that has left, the receiver knows by then."""
        return any(shard["outgoing"]["waiting"] for shard in self._cluster.status()["shards"])

    def _found(self) -> list[str]:
        every = [*self._listeners, self._revoked]
        return [problem for listener in every for problem in problems(self._ledger, listener.record)]

    def _found_for_good(self) -> bool:
        return any(final_problems(self._ledger, each.record) for each in [*self._listeners, self._revoked])

    def _not_hooked(self) -> list[str]:
        """Return the notifications that no webhook was told of."""
        if self._hook is None:
            return []
        told = {
            (said["type"], said["user"]["user_id"], said["tweet"]["tweet_id"])
            for _, said in list(self._hook.messages) if said.get("tweet") and said.get("user")
        }  # fmt: skip
        return [
            f"no webhook was told of {notice.kind} by {notice.by} of {notice.status}, sent at {notice.sent:.3f}"
            for notice in self._ledger.notices
            if (HOOKED[notice.kind], notice.by, notice.status) not in told
            and self._ledger.statuses[notice.status].delete_sent == FOREVER
        ]

    def _report(self, everybody: list[Listener], seconds: float) -> None:
        done, records = self.done, [each.record for each in everybody]
        found = [*self._found(), *self._not_hooked()]
        connections = [connection for record in records for connection in record.connections]
        done.seconds, done.kills = round(seconds, 1), dict(self._kills)
        done.actions = sum(writer.actions for writer in self._writers)
        done.statuses, done.listeners, done.connections = len(self._ledger.statuses), len(records), len(connections)
        done.resumed = sum(connection.resumed for connection in connections)
        done.recovered = sum(len(record.recovered) for record in records)
        if self._hook is not None:
            done.hooked, status = len(self._hook.messages), self._cluster.status()
            done.outgoing = [shard["outgoing"] for shard in status["shards"]]
            done.outgoing += [each for each in status["processes"] if each["role"] == "dispatcher"]
        done.events = dict(Counter(heard.event for connection in connections for heard in connection.heard))
        done.problem_count, done.problems = len(found), found[:PROBLEMS_MAX]
        if found:
            done.histories = self._events + [history(each) for each in records if problems(self._ledger, each)]


def soak(cluster: ServedCluster, plan: Plan) -> Done:
    """Run a soak on a cluster that is served."""
    with loop_in_a_thread() as loop:
        return Soak(cluster, plan, loop).run()


def main() -> int:
    """Run for long; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="API workers")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    settings = (
        f"cluster.workers={given.workers}", "cluster.spares=1", "auth.mode=token", "server.wrk2_api=false",
        "search.enabled=true", "outgoing.webhooks=true", "outgoing.allow_networks=127.0.0.0/8", LONG_DEADLINE, PATIENT,
    )  # fmt: skip
    with served(*settings) as cluster:
        plan = Plan(given.people, 60 * given.minutes, None, given.seed, moves_buckets=True, has_webhooks=True)
        done = soak(cluster, plan)
    print(json.dumps(asdict(done), indent=2))
    return 1 if done.problem_count else 0


if __name__ == "__main__":
    sys.exit(main())
