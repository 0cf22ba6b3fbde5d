"""What `status` shows: processes, shards, memory; collected over the lane and Ray, as plain values.

Rules of this file
- Figures come from those whom they describe; sums and quotients are made here and named for what they are.
- A process that doesn't answer is listed without figures, never left out. The same goes for nodes that have left Ray
  while something is still registered there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from rich.console import Console
from rich.table import Table

from actors.core.errors import RookeryError
from actors.core.levels import LEVEL
from cluster.client.cluster_client import ClusterClient
from cluster.client.connect import api_names, dispatch_names, local_node_id, media_names, router_handle
from cluster.life.heartbeat import NO_HANGS
from cluster.ray_options import ROUTER_NAME, TRENDS_NAME

CALL_TIMEOUT_S = 5.0


async def collect_status(client: ClusterClient, namespace: str) -> dict[str, Any]:
    """Return everything that `status --json` prints."""
    handle = router_handle(namespace)
    router = await handle.status.remote()
    shards: list[dict[str, Any]] = []
    own = _process("router", router["pid"], await asyncio.to_thread(_node_of, handle), ROUTER_NAME)
    processes = [{**own, "hangs": _hangs(router), "level": router.get("code_level", 0)}]
    for replica in router["replicas"]:
        shard = replica["shard"]
        figures: dict[str, Any] = {}
        try:
            figures = await client.call_shard(shard, "status", [], CALL_TIMEOUT_S)
        except RookeryError as error:
            figures = {"error": error.message}
        process = _process("shard", replica["pid"], replica["node"], name=replica["actor"])
        process |= {"shard": shard, "replica": replica["index"], "primary": replica["primary"], "live": replica["live"]}
        process["level"] = level_said(replica) if "code_level" in router else None  # an older router doesn't ask
        process |= {"rss_bytes": figures.get("rss_bytes", process["rss_bytes"]), "hangs": _hangs(figures)}
        processes.append(process)
        if replica["primary"] and figures.get("search", {}).get("pid"):
            engine = _process("search", figures["search"]["pid"], replica["node"], f"{replica['actor']}-search")
            sizes = {"rss_bytes": figures["search"]["rss_bytes"], "hangs": _hangs(figures["search"])}
            processes.append(engine | sizes | {"shard": shard, "replica": replica["index"]})
        if replica["primary"]:
            buckets = len(client.shard_map.buckets_of_shard(shard))
            shards.append({"shard": shard, "buckets": buckets, "live": replica["live"], **figures})
    processes += await _trends(namespace)
    for name in await asyncio.to_thread(dispatch_names, namespace):
        processes += await _alone("dispatcher", name, namespace)
    for name in await asyncio.to_thread(media_names, namespace):
        processes += await _alone("media", name, namespace)
    processes += await _api_workers(namespace)
    return {
        "cluster": router["cluster"], "cluster_id": router["cluster_id"], "epoch": router["epoch"],
        "level": router.get("level", 0), "next_level": router.get("next_level", 0), "code_level": LEVEL,
        "ready": router["ready"], "nodes": await asyncio.to_thread(_nodes, processes), "processes": processes,
        "shards": shards, "totals": _totals(shards),
        "memory": memory_per_item(shards),
    }  # fmt: skip


def _process(role: str, pid: int, node: str, name: str) -> dict[str, Any]:
    rss = 0
    if node == local_node_id() and pid:
        try:
            rss = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            rss = 0
    return {"role": role, "name": name, "shard": None, "replica": None, "primary": None, "live": True, "pid": pid,
            "node": node, "rss_bytes": rss, "hangs": dict(NO_HANGS), "level": None}  # fmt: skip


def level_said(figures: dict[str, Any]) -> int | None:
    """Return the level that a process has said it knows: 0 if it is of before levels, None if it isn't known yet."""
    level = int(figures.get("level", 0))
    return level if level >= 0 else None


def _hangs(figures: dict[str, Any]) -> dict[str, Any]:
    """Return how often a process of that name was ended for hanging; an older one doesn't say."""
    hangs: dict[str, Any] = figures.get("hangs", dict(NO_HANGS))
    return hangs


async def _trends(namespace: str) -> list[dict[str, Any]]:
    """Return the trends actor, where search is on."""
    return await _alone("trends", TRENDS_NAME, namespace)


async def _alone(role: str, name: str, namespace: str) -> list[dict[str, Any]]:
    """Return an actor that tells of itself in its ping alone, if there is one of that name."""
    try:
        actor = await asyncio.to_thread(ray.get_actor, name, namespace=namespace)
    except ValueError:
        return []
    node = await asyncio.to_thread(_node_of, actor)
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            figures = await actor.ping.remote()
    except (RayError, TimeoutError):
        return [{**_process(role, 0, node, name), "live": False}]
    process = _process(role, int(figures["pid"]), node, name)
    return [{**process, "rss_bytes": figures["rss_bytes"], "hangs": _hangs(figures), "level": level_said(figures),
             role: figures}]  # fmt: skip


async def _api_workers(namespace: str) -> list[dict[str, Any]]:
    async def ask(name: str) -> dict[str, Any]:
        try:
            actor = await asyncio.to_thread(ray.get_actor, name, namespace=namespace)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                ping = await actor.ping.remote()
        except (RayError, ValueError, TimeoutError):
            return {**_process("api", 0, "", name), "live": False}
        process = _process("api", int(ping["pid"]), ping["node"], name)
        said = {name: ping[name] for name in ("host", "port", "niceness", "rss_bytes")}
        return process | said | {"hangs": _hangs(ping), "level": level_said(ping)}

    return await asyncio.gather(*(ask(name) for name in await asyncio.to_thread(api_names, namespace)))


def _node_of(actor: Any) -> str:
    """Return the id of the node that an actor runs on. (A handle doesn't tell, and the state API needs a dashboard.)"""
    return str(ray._private.state.actors(actor._actor_id.hex())["Address"]["NodeID"])


def _nodes(processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the nodes that live and those where something is registered, with what they have."""
    counts: dict[str, Counter[str]] = {}
    for process in processes:
        counts.setdefault(process["node"], Counter())[process["role"]] += 1
    here = local_node_id()
    return [
        {
            "node": node["NodeID"], "address": node["NodeManagerAddress"], "live": node["Alive"],
            "here": node["NodeID"] == here, "cpus": node["Resources"].get("CPU", 0),
            "shards": counts.get(node["NodeID"], Counter())["shard"],
            "api_workers": counts.get(node["NodeID"], Counter())["api"],
        }
        for node in ray.nodes() if node["Alive"] or node["NodeID"] in counts
    ]  # fmt: skip


def _totals(shards: list[dict[str, Any]]) -> dict[str, int]:
    names = (
        "accounts", "tweets", "edges", "awake", "waking", "deliveries", "outbox_depth", "outbox_bytes", "journal_lag",
        "checkpoint_lag", "rss_bytes", "edge_bytes", "ring_bytes", "tweet_bytes", "arrival_bytes",
        "uploads", "media_to_remove",
    )  # fmt: skip
    return {name: sum(int(shard.get(name, 0)) for shard in shards) for name in names}


def memory_per_item(shards: list[dict[str, Any]]) -> dict[str, float]:
    """Return bytes per thing. An edge's come from its own structures; an account's two ways, both named."""
    totals = _totals(shards)
    accounts, edges, awake = totals["accounts"] or 1, totals["edges"] or 1, totals["awake"] or 1
    return {
        "edge_bytes_per_follow_edge": totals["edge_bytes"] / edges,
        "shard_rss_bytes_per_account": totals["rss_bytes"] / accounts,
        "ring_bytes_per_awake_account": totals["ring_bytes"] / awake,
        "structure_bytes_per_account": (
            totals["edge_bytes"] + totals["ring_bytes"] + totals["tweet_bytes"] + totals["arrival_bytes"]
        ) / accounts,
    }  # fmt: skip


def print_status(report: dict[str, Any], console: Console) -> None:
    """Show a report as tables."""
    title = (
        f"{report['cluster']}  epoch {report['epoch']}  {_level(report)}  {'ready' if report['ready'] else 'NOT READY'}"
    )
    columns_of_processes = ("process", "shard", "replica", "primary", "live", "pid", "node", "memory", "level", "hangs")
    processes = Table(*columns_of_processes, title=title)
    for p in report["processes"]:
        cells = [p["name"], p["shard"], p["replica"], p["primary"], p["live"], p["pid"] or None, p["node"][:8]]
        hangs = p["hangs"]
        told = f"{hangs['count']}, last {hangs['at']}: {hangs['how']}" if hangs["count"] else "-"
        level = "-" if p["level"] is None else str(p["level"])
        processes.add_row(*["-" if c is None else str(c) for c in cells], _bytes(p["rss_bytes"]), level, told)
    console.print(processes)
    if len(report["nodes"]) > 1:
        nodes = Table("node", "address", "live", "CPUs", "shards", "API workers")
        for n in report["nodes"]:
            cells = [n["node"][:8], n["address"], n["live"], f"{n['cpus']:g}", n["shards"], n["api_workers"]]
            nodes.add_row(*map(str, cells))
        console.print(nodes)
    columns = {
        "shard": "shard", "buckets": "buckets", "accounts": "accounts", "tweets": "tweets", "edges": "follows",
        "awake": "awake rings", "position": "journal position", "journal_lag": "not durable",
        "outbox_depth": "outbox", "checkpoint_lag": "not checkpointed", "epoch": "epoch",
    }  # fmt: skip
    shards = Table(*columns.values())
    for s in report["shards"]:
        shards.add_row(*[f"{s[name]:,}" if name in s else "-" for name in columns])
    console.print(shards)
    lanes = Table("lane of shard", "open", "strangers", "turned away")
    for s in report["shards"]:
        strangers = dict(s.get("lane_strangers", {}))
        waiting = strangers.pop("waiting", 0)
        why = ", ".join(f"{count:,} {reason}" for reason, count in strangers.items() if count)
        lanes.add_row(str(s["shard"]), str(s.get("lane_connections", "-")), f"{waiting:,}", why or "-")
    console.print(lanes)
    searching = Table("search", "state", "tweets", "accounts", "waiting", "on disk", "memory", "posting lists")
    for s in report["shards"]:
        search = s.get("search", {})
        counts = [f"{search[name]:,}" if name in search else "-" for name in ("documents", "accounts", "backlog")]
        sizes = [_bytes(search.get(name, 0)) for name in ("disk_bytes", "rss_bytes")]
        lists = search.get("postings", {})
        told = f"{lists['state']}, {_bytes(lists['bytes'])}" if "bytes" in lists else "-"
        searching.add_row(str(s["shard"]), search.get("state", "-"), *counts, *sizes, told)
    console.print(searching)
    links = Table("messages", "sent", "applied", "under way")
    arrived = {f"{src} > {s['shard']}": n for s in report["shards"] for src, n in s.get("inbox", {}).items()}
    for s in report["shards"]:
        for dst, sent in s.get("sent", {}).items():
            link = f"{s['shard']} > {dst}"
            links.add_row(link, f"{sent:,}", f"{arrived.get(link, 0):,}", f"{sent - arrived.get(link, 0):,}")
    console.print(links)
    m = report["memory"]
    console.print(
        f"memory: {m['edge_bytes_per_follow_edge']:.0f} bytes per follow edge (both directions, their structures); "
        f"{m['structure_bytes_per_account']:,.0f} bytes per account (edges, rings, tweets, arrivals); "
        f"{m['shard_rss_bytes_per_account']:,.0f} bytes per account (whole shard processes, interpreter included)",
        highlight=False,
    )


def _level(report: dict[str, Any]) -> str:
    level, rising_to = report["level"], report["next_level"]
    return f"level {level}" if level == rising_to else f"level {level}, rising to {rising_to}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count else "-"
