"""What `status` shows: processes, shards, memory; collected over the lane and Ray, as plain values.

Rules of this file
- Figures come from those whom they describe; sums and quotients are made here and named for what they are.
- A process that doesn't answer is listed without figures, never left out.
"""

from __future__ import annotations

from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from rich.console import Console
from rich.table import Table

from actors.core.errors import RookeryError
from cluster.client import ClusterClient
from cluster.connect import local_node_id, router_handle
from cluster.ray_options import ROUTER_NAME, api_actor_name

CALL_TIMEOUT_S = 5.0


async def collect_status(client: ClusterClient, namespace: str) -> dict[str, Any]:
    """Return everything that `status --json` prints."""
    router = await router_handle(namespace).status.remote()
    here = local_node_id()
    shards: list[dict[str, Any]] = []
    processes = [_process("router", router["pid"], here, name=ROUTER_NAME)]
    for replica in router["replicas"]:
        shard = replica["shard"]
        figures: dict[str, Any] = {}
        try:
            figures = await client.call_shard(shard, "status", [], CALL_TIMEOUT_S)
        except RookeryError as error:
            figures = {"error": error.message}
        process = _process("shard", replica["pid"], replica["node"], name=replica["actor"])
        process |= {"shard": shard, "replica": replica["index"], "primary": replica["primary"], "live": replica["live"]}
        process["rss_bytes"] = figures.get("rss_bytes", process["rss_bytes"])
        processes.append(process)
        if replica["primary"]:
            buckets = len(client.shard_map.buckets_of_shard(shard))
            shards.append({"shard": shard, "buckets": buckets, "live": replica["live"], **figures})
    processes += await _api_workers(namespace, here)
    return {
        "cluster": router["cluster"], "cluster_id": router["cluster_id"], "epoch": router["epoch"],
        "ready": router["ready"], "processes": processes, "shards": shards, "totals": _totals(shards),
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
            "node": node, "rss_bytes": rss}  # fmt: skip


async def _api_workers(namespace: str, here: str) -> list[dict[str, Any]]:
    names = sorted(
        item["name"] for item in ray.util.list_named_actors(all_namespaces=True)
        if item["namespace"] == namespace and item["name"].startswith(api_actor_name(0)[:-1])
    )  # fmt: skip
    found = []
    for name in names:
        try:
            ping = await ray.get_actor(name, namespace=namespace).ping.remote()
            found.append(_process("api", int(ping["pid"]), ping.get("node", here), name))
        except (RayError, ValueError):
            found.append({**_process("api", 0, "", name), "live": False})
    return found


def _totals(shards: list[dict[str, Any]]) -> dict[str, int]:
    names = (
        "accounts", "tweets", "edges", "awake", "waking", "deliveries", "outbox_depth", "outbox_bytes", "journal_lag",
        "checkpoint_lag", "rss_bytes", "edge_bytes", "ring_bytes", "tweet_bytes", "arrival_bytes",
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
    title = f"{report['cluster']}  epoch {report['epoch']}  {'ready' if report['ready'] else 'NOT READY'}"
    processes = Table("process", "shard", "replica", "primary", "live", "pid", "node", "memory", title=title)
    for p in report["processes"]:
        cells = [p["name"], p["shard"], p["replica"], p["primary"], p["live"], p["pid"] or None, p["node"][:8]]
        processes.add_row(*["-" if c is None else str(c) for c in cells], _bytes(p["rss_bytes"]))
    console.print(processes)
    columns = {
        "shard": "shard", "buckets": "buckets", "accounts": "accounts", "tweets": "tweets", "edges": "follows",
        "awake": "awake rings", "position": "journal position", "journal_lag": "not durable",
        "outbox_depth": "outbox", "checkpoint_lag": "not checkpointed", "epoch": "epoch",
    }  # fmt: skip
    shards = Table(*columns.values())
    for s in report["shards"]:
        shards.add_row(*[f"{s[name]:,}" if name in s else "-" for name in columns])
    console.print(shards)
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


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count else "-"
