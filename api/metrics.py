"""What `/metrics` shows: this worker's requests, and the figures that each shard reports.

Rules of this file
- Label values come from a fixed set: route templates (never paths), known methods, statuses, shard numbers.
- Workers share the API's port, so a scrape there meets one of them; the label `worker` says which. Shard figures are
  the same from all.
- Requests are counted by the event loop's thread alone, and become text when somebody asks: in steps, as it is that
  thread's work, too (`probes.py`).

Cost: 0.2 us a request; prometheus_client's counter and histogram, with their locks, take 1.1. The text of two shards
2 ms in steps of 0.1 ms; prometheus_client's took 9, and 100 for 64 shards.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from actors.metrics import prometheus_steps
from api.limits import SHARD_GAUGE_COUNT_MAX

_METHODS = frozenset(("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"))
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# What `Cluster.figures` returns: reads of shards that have several replicas, and shards that don't answer.
CLUSTER_FIGURES = (
    ("primary_reads", "Reads that the primary answered since the start"),
    ("follower_reads", "Reads that another replica answered since the start"),
    ("hedges_sent", "Reads sent to a second replica because the first was late, since the start"),
    ("hedges_won", "Of those, reads that the second replica answered first"),
    ("probes_sent", "Copies of reads sent to a stalled replica since the start"),
    ("follower_refusals", "Errors of other replicas that the primary was asked about since the start"),
    ("stalled_lanes", "Replicas that are connected and have stopped answering"),
    ("shards_failing_fast", "Shards that have stopped answering: their requests are refused, but for probes"),
    ("shard_probes", "Requests sent to such a shard to see whether it answers again, since the start"),
    ("shard_refusals", "Requests refused since the start because their shard doesn't answer, or too many wait for it"),
)
# What `Search.figures` returns.
SEARCH_FIGURES = (
    ("search_cache_hits", "Searches answered with what the same one got a moment ago, since the start"),
    ("search_cache_misses", "Searches asked of the shards since the start, if answers are repeated at all"),
    ("search_waiting", "Searches that wait because home timelines are read, and others are under way"),
    ("search_refused", "Searches refused because too many waited, since the start"),
    ("search_partial", "Rounds of questions to all shards that some shard didn't answer, since the start"),
)
# What `Services.figures` returns beside them.
_OWN_FIGURES = (
    ("in_flight", "Requests being worked on"),
    ("reads_bound", "Reads that may be worked on at once; fewer than set while answers take too long"),
    ("writes_bound", "Writes that may be worked on at once; fewer than set while answers take too long"),
    ("connections", "Open connections"),
    ("connections_refused", "Connections refused since the start, for being too many"),
    ("connections_displaced", "Connections closed for newer ones since the start"),
    ("bodies_waiting", "Connections with requests of which not all has come, or that wait behind others"),
    ("bodies_waiting_bytes", "Bytes of their bodies that have come"),
    ("bodies_displaced", "Of those, given up for others since the start"),
    ("bodies_too_slow", "Requests refused since the start because their bodies came too slowly"),
    ("rate_limited", "Requests refused by a rate limit since the start"),
    ("waiting_for_a_turn", "Connections whose bytes wait for a turn of the event loop"),
    ("put_aside", "How often bytes of a connection had to wait for a turn of the event loop"),
    ("refused_in_turn", "Turns in which nothing was begun, because too many waited for theirs"),
    ("passwords_waiting", "Passwords that wait to be hashed"),
    ("token_cache_hits", "Tokens found in the cache since the start"),
    ("token_cache_misses", "Tokens asked of their shard since the start"),
)
_FIGURES = dict((*_OWN_FIGURES, *CLUSTER_FIGURES, *SEARCH_FIGURES))
_UNFIT = re.compile(r"[^a-zA-Z0-9_]+")


class Metrics:
    """Counters of one API worker."""

    def __init__(self, worker: str) -> None:
        self._label = f'worker="{_escaped(worker)}"'
        self._tallies: dict[tuple[str, str, int], _Tally] = {}  # by method, route, status
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

    def steps(self, figures: Mapping[str, float], shards: Mapping[int, Any], hangs: Mapping[str, int]) -> Iterator[str]:
        """Return the Prometheus text, a piece at a time.

        figures: this worker's gauges; shards: `status` by shard, None if unreachable; hangs: by process of this
        machine.
        """
        gauges = [
            (f"rookery_http_{name}", _FIGURES[name], "gauge", [(self._label, value)]) for name, value in figures.items()
        ]
        yield "".join(_family(*gauge) for gauge in gauges)
        yield from self._request_steps()
        yield from _shard_steps(shards)
        text = "Processes of this machine that were ended because their event loop had stopped"
        counts = [(f'process="{_escaped(name)}"', float(count)) for name, count in sorted(hangs.items())]
        yield _family("rookery_process_hangs_total", text, "counter", counts)
        measured = [({"shard": str(n)}, status["metrics"]) for n, status in sorted(shards.items()) if _measured(status)]
        if measured:
            yield from prometheus_steps(measured)

    def _request_steps(self) -> Iterator[str]:
        """The requests: how many of each status, and how long they took."""
        of_route: dict[str, list[_Tally]] = {}
        counts = []
        for (method, route, status), tally in self._tallies.items():
            labels = f'method="{method}",route="{_escaped(route)}"'
            counts.append((f'{labels},status="{status}",{self._label}', float(sum(tally.counts))))
            of_route.setdefault(f"{labels},{self._label}", []).append(tally)
        yield _family("rookery_http_requests_total", "Requests answered", "counter", counts)
        name = "rookery_http_request_seconds"
        yield _family(name, "Time from a complete request to the end of its answer", "histogram", [])
        for labels, tallies in of_route.items():
            sums = accumulate(map(sum, zip(*(tally.counts for tally in tallies), strict=True)))
            lines = [
                f'{name}_bucket{{{labels},le="{bound}"}} {float(count)}\n'
                for bound, count in zip((*_BUCKETS_S, "+Inf"), sums, strict=True)
            ]
            lines.append(f"{name}_count{{{labels}}} {float(sum(sum(tally.counts) for tally in tallies))}\n")
            lines.append(f"{name}_sum{{{labels}}} {sum(tally.seconds for tally in tallies)}\n")
            yield "".join(lines)


class _Tally:
    """Requests of one kind. counts: by time taken, those beyond the last bucket last."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_S) + 1)
        self.seconds = 0.0


def _shard_steps(shards: Mapping[int, Any]) -> Iterator[str]:
    """Numeric leaves of the shards' `status` (but its metrics, which have types of their own) as gauges by shard."""
    ups: list[tuple[str, float]] = []
    families: dict[str, list[tuple[str, float]]] = {}
    for shard, status in sorted(shards.items()):
        label = f'shard="{shard}"'
        ups.append((label, 0.0 if status is None else 1.0))
        for name, value in list(_numeric_leaves(_without_metrics(status), "rookery_shard"))[:SHARD_GAUGE_COUNT_MAX]:
            families.setdefault(name, []).append((label, value))
        yield ""
    yield _family("rookery_shard_up", "1 if the shard answered", "gauge", ups)
    for name, samples in families.items():
        yield _family(name, "Reported by the shard", "gauge", samples)


def _family(name: str, text: str, kind: str, samples: Iterable[tuple[str, float]]) -> str:
    """Return the lines of one metric."""
    lines = [f"{name}{{{labels}}} {float(value)}\n" for labels, value in samples]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _measured(status: Any) -> bool:
    return isinstance(status, Mapping) and isinstance(status.get("metrics"), Mapping)


def _without_metrics(status: Any) -> Any:
    return {key: value for key, value in status.items() if key != "metrics"} if isinstance(status, Mapping) else {}


def _numeric_leaves(tree: Any, name: str) -> Iterable[tuple[str, float]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if isinstance(key, str):
                yield from _numeric_leaves(value, f"{name}_{_UNFIT.sub('_', key).strip('_').lower()}")
    elif isinstance(tree, (int, float)):
        yield name, float(tree)
