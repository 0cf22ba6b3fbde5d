"""Planned work on a running cluster: `run_cluster.py roll` and `drain`. Both go on while clients read and write.

    roll    for each shard: each follower, then hand over, then the former leader; API workers one by one; the trends;
            the router; then the cluster's level rises (actors/core/levels.py)
    drain   tells the router, which does it (cluster/router/draining.py), and watches until nothing lives on the node

Rules of this file
- One process at a time is away; before the next one everything is there again: every shard led, every replica in sync,
  its searches answered.
- Nothing is remembered here. A `roll` or `drain` that was interrupted has left a cluster that serves; run it again.
- A process is ended as a crash would end it, and Ray starts the actor again, in a process with the code on disk
  (cluster/life/code_on_disk.py): recovery is what is tested most. API workers answer what they have begun first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from actors.core.errors import ConflictError, OverloadedError, RookeryError
from actors.core.levels import LEVEL
from cluster.client.connect import api_names, dispatch_names, media_names, router_handle
from cluster.lane.handshake import LaneKeys
from cluster.placement.shard_map import ShardMap
from cluster.ray_options import ROUTER_NAME, TRENDS_NAME, api_name_prefix

POLL_S = 0.1
ANSWER_S = 5.0  # one question to the router or an API worker
HAND_OVER_S = 15.0  # with the votes of replicas that don't answer
HAND_OVER_TRIES = 5  # a follower that is just behind may have caught up a second later
STOP_S = 60.0  # for an API worker's running requests
BACK_S = 300.0  # for a process to be back and in sync: a large shard recovers, or is filled from the leader
SEARCH_BACK_S = 60.0  # for its search engine to answer; a roll goes on without
LEVEL_S = 30.0  # for the level to rise once every process is new; a round of pings and two commands a shard
SEARCH_AWAY = (None, "starting", "starting again")  # None: it hasn't said yet. A router of an older version never does
DRAIN_S = 900.0  # for all that lived on a node to live, in sync, elsewhere
Say = Callable[[str], None]
T = TypeVar("T")


class RunningCluster:
    """A cluster, as its router describes it. Call cluster.client.connect.connect first."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def ask_router(self, method: str, *args: Any, timeout_s: float = ANSWER_S) -> Any:
        """Call the router. Raises the RookeryError that it raises, OverloadedError if it doesn't answer."""
        try:
            return ray.get(getattr(router_handle(self.namespace), method).remote(*args), timeout=timeout_s)
        except RayTaskError as error:
            if isinstance(error.cause, RookeryError):
                raise error.cause from None
            raise
        except (RayError, GetTimeoutError) as error:
            raise OverloadedError(f"the router doesn't answer: {type(error).__name__}", retry_after_s=1.0) from error

    def status(self) -> dict[str, Any] | None:
        """Return the router's status, None while it is away."""
        try:
            found: dict[str, Any] = self.ask_router("status")
        except OverloadedError:
            return None
        return found

    def wait(self, look: Callable[[], T | None], what: str, timeout_s: float) -> T:
        """Return what look() returns as soon as that isn't None. Raises OverloadedError that names what."""
        deadline = time.monotonic() + timeout_s
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise OverloadedError(f"{what} after {timeout_s:.0f} s; see `status` and the logs", retry_after_s=5.0)
            time.sleep(POLL_S)
        return found

    def settled(self) -> dict[str, Any] | None:
        """Return the status if every shard is led and every replica in sync, but for those that are left stopped."""
        status = self.status()
        if status is None or not status["ready"]:
            return None
        return None if any(not (r["live"] and r["in_sync"]) for r in present(status)) else status

    def actor(self, name: str) -> Any:
        """Return an actor's handle. Raises OverloadedError if nobody has that name."""
        try:
            return ray.get_actor(name, namespace=self.namespace)
        except ValueError as error:
            raise OverloadedError(f"{name} is not there just now", retry_after_s=1.0) from error

    def api_worker(self, name: str) -> dict[str, Any] | None:
        """Return an API worker's figures if it serves."""
        try:
            found: dict[str, Any] = ray.get(self.actor(name).ping.remote(), timeout=ANSWER_S)
        except (RayError, OverloadedError):
            return None
        return found if found["serving"] else None


def present(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the replicas of a status, but for those that are left stopped on purpose."""
    return [r for r in status["replicas"] if r["actor"] not in status["drained"]["left_stopped"]]


# ---- roll -----------------------------------------------------------------------------------------------------------


def roll(namespace: str, with_pauses: bool, say: Say) -> dict[str, Any]:
    """Restart every process of a cluster, one after the other. Returns {"restarted": [...], "level", "seconds"}.

    say: told of every step. Raises ConflictError, with nothing done, if the cluster speaks another version of the lane
    than this code, if its level is above what this code knows, or if something would be away meanwhile and with_pauses
    is False; OverloadedError if a process doesn't come back: the rest then stays as it is; or the level doesn't rise.
    """
    rolling = _Rolling(RunningCluster(namespace), say)
    joined = rolling.cluster.ask_router("join")
    LaneKeys.from_join(joined)  # old and new processes talk to each other meanwhile
    ShardMap.from_wire(joined["map"])  # code that is older than the cluster would come back nowhere
    rolling.require_no_pauses(with_pauses)
    begin = time.monotonic()
    status = rolling.cluster.wait(rolling.cluster.settled, "the cluster isn't whole", BACK_S)
    for shard in range(status["shards"]):
        rolling.roll_shard(shard)
    for name in api_names(namespace):
        rolling.restart_api_worker(name)
    rolling.restart_trends()
    rolling.restart_dispatchers()
    rolling.restart_router()
    level = rolling.wait_for_level()
    return {"restarted": rolling.restarted, "level": level, "seconds": round(time.monotonic() - begin, 1)}


class _Rolling:
    def __init__(self, cluster: RunningCluster, say: Say) -> None:
        self.cluster, self.say = cluster, say
        self.restarted: list[dict[str, Any]] = []

    def require_no_pauses(self, allowed: bool) -> None:
        status = self.cluster.ask_router("status")
        problems = []
        if any(sum(r["shard"] == shard for r in present(status)) < 2 for shard in range(status["shards"])):
            problems.append("a shard has one replica, and is away while that restarts (seconds; cluster.replicas)")
        if len(api_names(self.cluster.namespace)) < 2:
            problems.append("there is one API worker, and nobody else has its port (cluster.workers)")
        if problems and not allowed:
            raise ConflictError(f"this can't be done without a pause: {'; '.join(problems)}. --with-pauses does it")

    def roll_shard(self, shard: int) -> None:
        """Restart a shard's followers, then its leader, which hands over first."""
        status = self.cluster.wait(self.cluster.settled, "the cluster isn't whole", BACK_S)
        replicas = [r for r in present(status) if r["shard"] == shard]
        for replica in sorted(replicas, key=lambda r: (r["primary"], r["index"])):
            if replica["primary"] and len(replicas) > 1:
                self.hand_over(shard)
            self.restart_replica(replica["actor"])

    def hand_over(self, shard: int) -> None:
        for attempt in range(1, HAND_OVER_TRIES + 1):
            try:
                begin = time.monotonic()
                index = self.cluster.ask_router("hand_over", shard, timeout_s=HAND_OVER_S)
            except (OverloadedError, ConflictError) as error:
                self.say(f"shard {shard} was not handed over: {error.message}")
                if attempt == HAND_OVER_TRIES:
                    raise
                self.cluster.wait(self.cluster.settled, "the cluster isn't whole", BACK_S)
            else:
                self.say(f"shard {shard}: replica {index} leads, {1000 * (time.monotonic() - begin):.0f} ms")
                return

    def restart_replica(self, name: str) -> None:
        def of(status: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = next(r for r in status["replicas"] if r["actor"] == name)
            return found

        def back() -> int | None:
            status = self.cluster.settled()
            if status is None or of(status)["pid"] == old:
                return None
            if of(status).get("search", "off") in SEARCH_AWAY and time.monotonic() < begin + SEARCH_BACK_S:
                return None  # or searches would lack this shard's part when the next replica goes
            return int(of(status)["pid"])

        old = int(of(self.cluster.wait(self.cluster.settled, "the cluster isn't whole", BACK_S))["pid"])
        begin = time.monotonic()
        ray.kill(self.cluster.actor(name), no_restart=False)
        self._note(name, old, self.cluster.wait(back, f"{name} is not back and in sync", BACK_S), begin)

    def restart_api_worker(self, name: str) -> None:
        def back() -> int | None:
            figures = self.cluster.api_worker(name)
            return None if figures is None or figures["pid"] == old else int(figures["pid"])

        figures = self.cluster.api_worker(name)
        old, begin = 0 if figures is None else int(figures["pid"]), time.monotonic()
        worker = self.cluster.actor(name)
        try:
            ray.get(worker.stop.remote(), timeout=STOP_S)
        except RayError as error:
            self.say(f"{name} did not stop by itself: {type(error).__name__}")
        ray.kill(worker, no_restart=False)
        self._note(name, old, self.cluster.wait(back, f"{name} doesn't serve", BACK_S), begin)

    def restart_trends(self) -> None:
        """Restart the trends actor, if there is one. Meanwhile API workers answer 503 for trends, a second or two."""
        self._restart_holding_nothing(TRENDS_NAME)

    def restart_dispatchers(self) -> None:
        """Restart dispatchers and media actors, if there are any. What dispatchers had under way is sent again; files
        that were being processed have to be uploaded again."""
        namespace = self.cluster.namespace
        for name in [*dispatch_names(namespace), *media_names(namespace)]:
            self._restart_holding_nothing(name)

    def _restart_holding_nothing(self, name: str) -> None:
        try:
            actor = self.cluster.actor(name)
        except OverloadedError:
            return

        def pid() -> int | None:
            try:
                return int(ray.get(actor.ping.remote(), timeout=ANSWER_S)["pid"])
            except RayError:
                return None

        old, begin = self.cluster.wait(pid, f"{name} doesn't answer", BACK_S), time.monotonic()
        ray.kill(actor, no_restart=False)
        new = self.cluster.wait(lambda: found if (found := pid()) != old else None, f"{name} isn't back", BACK_S)
        self._note(name, old, new, begin)

    def restart_router(self) -> None:
        def back() -> int | None:
            status = self.cluster.settled()
            return None if status is None or status["pid"] == old else int(status["pid"])

        old, begin = int(self.cluster.ask_router("status")["pid"]), time.monotonic()
        ray.kill(router_handle(self.cluster.namespace), no_restart=False)
        self._note(ROUTER_NAME, old, self.cluster.wait(back, "the router is not back", BACK_S), begin)

    def wait_for_level(self) -> int:
        """Wait until the cluster uses what this code brings; returns its level."""

        def risen() -> int | None:
            status = self.cluster.status()
            return None if status is None or status.get("level", 0) < LEVEL else int(status["level"])

        level = self.cluster.wait(risen, f"the cluster is not at level {LEVEL}: some process is older", LEVEL_S)
        self.say(f"the cluster is at level {level}")
        return level

    def _note(self, name: str, old: int, new: int, begin: float) -> None:
        seconds = round(time.monotonic() - begin, 1)
        self.restarted.append({"process": name, "old_pid": old, "pid": new, "seconds": seconds})
        self.say(f"{name}: process {old} -> {new}, {seconds} s")


# ---- drain ----------------------------------------------------------------------------------------------------------


def drain(namespace: str, node: str, say: Say) -> dict[str, Any]:
    """Take what lives on a node away from there, and wait until that is done.

    node: its address or its id. Returns {"drained": what the router has noted, "moved": [{"actor", "from", "to"}],
    "left_stopped": {actor: why}}. Raises InvalidError or ConflictError (cluster/router/draining.py), with nothing done;
    OverloadedError if it takes longer than DRAIN_S: the router goes on.
    """
    cluster = RunningCluster(namespace)
    before = cluster.ask_router("status")
    ids = cluster.ask_router("drain", node)
    said: set[str] = set()

    def done() -> dict[str, Any] | None:
        status = cluster.status()
        if status is None:
            return None
        for line in _progress(before, status):
            if line not in said:
                said.add(line)
                say(line)
        if any(r["node"] in ids for r in present(status)) or cluster.settled() is None:
            return None
        prefixes = tuple(map(api_name_prefix, ids))
        return None if any(name.startswith(prefixes) for name in api_names(namespace)) else status

    after = cluster.wait(done, f"{node} still has replicas or API workers", DRAIN_S)
    return {"drained": after["drained"]["nodes"], "moved": _moved(before, after), "left_stopped":
            after["drained"]["left_stopped"]}  # fmt: skip


def undo_drain(namespace: str, node: str) -> dict[str, Any]:
    """Let a node take part again; returns {"drained": ...}. Raises InvalidError if it isn't drained."""
    cluster = RunningCluster(namespace)
    cluster.ask_router("undo_drain", node)
    return {"drained": cluster.ask_router("status")["drained"]["nodes"]}


def _moved(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, str]]:
    was = {r["actor"]: r["node"] for r in before["replicas"]}
    return [
        {"actor": r["actor"], "from": was[r["actor"]], "to": r["node"]}
        for r in present(after) if r["node"] != was[r["actor"]]
    ]  # fmt: skip


def _progress(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    led = {r["actor"] for r in before["replicas"] if r["primary"]}
    lines = [f"{r['actor']} leads now" for r in after["replicas"] if r["primary"] and r["actor"] not in led]
    lines += [f"{moved['actor']} lives on node {moved['to'][:12]} now" for moved in _moved(before, after)]
    lines += [f"{actor} is left stopped: {why}" for actor, why in after["drained"]["left_stopped"].items()]
    return lines
