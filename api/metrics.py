"""What `/metrics` shows: this worker's requests, and the figures that each shard reports.

Rules of this file
- Label values come from a fixed set: route templates (never paths), known methods, statuses, shard numbers.
- One registry per app, not the global one, so that tests and several workers in one process don't mix.
- Workers share a port, so a scrape meets one of them; the label `worker` says which.
  Shard figures are the same from all.

- Requests are counted by the event loop's thread alone, and become Prometheus's families when somebody asks.

Cost: 0.2 us a request; prometheus_client's counter and histogram, with their locks, take 1.1.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from actors.metrics import render_prometheus
from api.limits import SHARD_GAUGE_COUNT_MAX

_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"))
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# What `Cluster.figures` returns: reads of shards that have several replicas.
CLUSTER_FIGURES = (
    ("primary_reads", "Reads that the primary answered since the start"),
    ("follower_reads", "Reads that another replica answered since the start"),
    ("hedges_sent", "Reads sent to a second replica because the first was late, since the start"),
    ("hedges_won", "Of those, reads that the second replica answered first"),
    ("probes_sent", "Copies of reads sent to a stalled replica since the start"),
    ("follower_refusals", "Errors of other replicas that the primary was asked about since the start"),
    ("stalled_lanes", "Replicas that are connected and have stopped answering"),
)
# What `Search.figures` returns.
SEARCH_FIGURES = (
    ("search_cache_hits", "Searches answered with what the same one got a moment ago, since the start"),
    ("search_cache_misses", "Searches asked of the shards since the start, if answers are repeated at all"),
    ("search_waiting", "Searches that wait because home timelines are read, and others are under way"),
    ("search_refused", "Searches refused because too many waited, since the start"),
    ("search_partial", "Rounds of questions to all shards that some shard didn't answer, since the start"),
)
_UNFIT = re.compile(r"[^a-zA-Z0-9_]+")


class Metrics:
    """Counters of one API worker."""

    def __init__(self, worker: str) -> None:
        self.registry = CollectorRegistry()
        self._worker = worker
        self._tallies: dict[tuple[str, str, int], _Tally] = {}  # by method, route, status
        self.registry.register(_Requests(worker, self._tallies))
        self._gauges = {
            name: Gauge(f"rookery_http_{name}", text, ("worker",), registry=self.registry).labels(worker)
            for name, text in (
                ("in_flight", "Requests being worked on"),
                ("reads_bound", "Reads that may be worked on at once; fewer than set while answers take too long"),
                ("writes_bound", "Writes that may be worked on at once; fewer than set while answers take too long"),
                ("connections", "Open connections"),
                ("connections_refused", "Connections refused since the start, for being too many"),
                ("connections_displaced", "Connections closed for newer ones since the start"),
                ("rate_limited", "Requests refused by a rate limit since the start"),
                ("passwords_waiting", "Passwords that wait to be hashed"),
                ("token_cache_hits", "Tokens found in the cache since the start"),
                ("token_cache_misses", "Tokens asked of their shard since the start"),
                *CLUSTER_FIGURES,
                *SEARCH_FIGURES,
            )
        }
        self.request_count = 0

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self.request_count += 1
        tally = self._tallies.get((method, route, status))
        if tally is None:
            method = method if method in _METHODS else "other"
            tally = self._tallies.setdefault((method, route, status), _Tally())
        tally.counts[bisect_left(_BUCKETS_S, seconds)] += 1
        tally.seconds += seconds

    def render(self, figures: Mapping[str, float], shards: Mapping[int, Any], hangs: Mapping[str, int]) -> bytes:
        """Return the Prometheus text.

        figures: this worker's gauges; shards: `status` by shard, None if unreachable; hangs: by process of this
        machine.
        """
        for name, value in figures.items():
            self._gauges[name].set(value)
        shard_registry = CollectorRegistry()
        shard_registry.register(_ShardFigures(shards))
        shard_registry.register(_Hangs(hangs))
        measured = [({"shard": str(n)}, status["metrics"]) for n, status in sorted(shards.items()) if _measured(status)]
        text = render_prometheus(measured).encode() if measured else b""
        return generate_latest(self.registry) + generate_latest(shard_registry) + text


def _measured(status: Any) -> bool:
    return isinstance(status, Mapping) and isinstance(status.get("metrics"), Mapping)


class _Tally:
    """Requests of one kind. counts: by time taken, those beyond the last bucket last."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_S) + 1)
        self.seconds = 0.0


class _Requests:
    """The requests of one worker: how many of each status, and how long they took."""

    def __init__(self, worker: str, tallies: Mapping[tuple[str, str, int], _Tally]) -> None:
        self._worker, self._tallies = worker, tallies

    def collect(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        labels = ("worker", "method", "route")
        requests = CounterMetricFamily("rookery_http_requests", "Requests answered", labels=(*labels, "status"))
        seconds = HistogramMetricFamily(
            "rookery_http_request_seconds", "Time from the request's head to the end of its answer", labels=labels
        )
        of_route: dict[tuple[str, str], list[_Tally]] = {}
        for (method, route, status), tally in self._tallies.items():
            requests.add_metric((self._worker, method, route, str(status)), sum(tally.counts))
            of_route.setdefault((method, route), []).append(tally)
        bounds = [*map(floatToGoString, _BUCKETS_S), "+Inf"]
        for (method, route), tallies in of_route.items():
            counts = accumulate(map(sum, zip(*(tally.counts for tally in tallies), strict=True)))
            total = sum(tally.seconds for tally in tallies)
            seconds.add_metric((self._worker, method, route), list(zip(bounds, counts, strict=True)), total)
        return requests, seconds


class _ShardFigures:
    """Numeric leaves of the shards' `status` (but its metrics, which have types of their own) as gauges by shard."""

    def __init__(self, shards: Mapping[int, Any]) -> None:
        self._shards = shards

    def collect(self) -> Iterable[GaugeMetricFamily]:
        up = GaugeMetricFamily("rookery_shard_up", "1 if the shard answered", labels=("shard",))
        families: dict[str, GaugeMetricFamily] = {"rookery_shard_up": up}
        for shard, status in sorted(self._shards.items()):
            up.add_metric((str(shard),), 0.0 if status is None else 1.0)
            for name, value in list(_numeric_leaves(_without_metrics(status), "rookery_shard"))[:SHARD_GAUGE_COUNT_MAX]:
                family = families.setdefault(name, GaugeMetricFamily(name, "Reported by the shard", labels=("shard",)))
                family.add_metric((str(shard),), value)
        return families.values()


class _Hangs:
    """How often processes of this machine were ended for hanging."""

    def __init__(self, hangs: Mapping[str, int]) -> None:
        self._hangs = hangs

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(
            "rookery_process_hangs", "Processes of this machine that were ended because their event loop had stopped",
            labels=("process",),
        )  # fmt: skip
        for name, count in sorted(self._hangs.items()):
            family.add_metric((name,), count)
        return [family]


def _without_metrics(status: Any) -> Any:
    return {key: value for key, value in status.items() if key != "metrics"} if isinstance(status, Mapping) else {}


def _numeric_leaves(tree: Any, name: str) -> Iterable[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if isinstance(key, str):
                yield from _numeric_leaves(value, f"{name}_{_UNFIT.sub('_', key).strip('_').lower()}")
    elif isinstance(tree, (int, float)):
        yield name, float(tree)
