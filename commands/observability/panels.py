"""The table of panels: what operators look at in Grafana, by board and row.

Rules of this file
- `@requests_total` is a figure, by its name without prefix. `$rate` is the window of rates, Grafana's own.
- Figures that are told both to `/metrics` and to Ray alone. Whoever counts is another process after a restart, and in
  Ray's figures another series: gauges are taken `max by`, counters `sum by`.
- Ray's histograms are thinned: rates come from counters, quantiles alone from histograms.
- A panel whose figure needs something to have happened says what by `needs`; the test with a real Prometheus causes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["timeseries", "stat", "heatmap", "table", "state-timeline"]
RATE: Final = "$rate"
WIDE, HALF, THIRD, QUARTER = 24, 12, 8, 6


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. says: a sentence; queries: legend -> expression; unit: Grafana's name of it.

    red_from: the number from which on it is worrying, yellow from half of it on; below: whether small ones are.
    """

    title: str
    says: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = HALF
    red_from: float | None = None
    below: bool = False
    needs: str = ""


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels below a heading. is_open: when the board is opened."""

    title: str
    panels: tuple[Panel, ...]
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard: uid `rookery-NAME`."""

    name: str
    title: str
    rows: tuple[PanelRow, ...]


_ALERTS: Final = 'ALERTS{alertname=~"Rookery.*",alertstate="firing"}'
_FAILED: Final = '{status=~"5.."}'
_NOT_SERVED: Final = '{status=~"[45].."}'
_HIT: Final = '{result="hit"}'


def _p99(figure: str, labels: str = "", where: str = "") -> str:
    by = ", ".join(filter(None, ("le", labels)))
    return f"histogram_quantile(0.99, sum by ({by}) (rate(@{figure}_bucket{where}[{RATE}])))"


def _rate(figure: str, labels: str = "", where: str = "") -> str:
    return f"sum by ({labels}) (rate(@{figure}{where}[{RATE}]))" if labels else f"sum(rate(@{figure}{where}[{RATE}]))"


def _gauge(figure: str, labels: str = "shard, replica", where: str = "") -> str:
    return f"max by ({labels}) (@{figure}{where})"


def _filled(figure: str) -> str:
    """A share of a replica's limit, by shard."""
    return f"max by (shard) ({_gauge(figure)} / {_limit(figure)})"


def _limit(figure: str) -> str:
    return _gauge("limit", where='{name="' + figure + '"}')


_OVERVIEW: Final = Board("overview", "Rookery overview", (
    PanelRow("Is it well?", (
        Panel(
            "Alerts", "What fires now, by light; the runbook has a section for each.",
            {"{{light}} {{alertname}}": f"count by (light, alertname) ({_ALERTS}) or vector(0)"},
            kind="stat", red_from=1, width=QUARTER,
        ),
        Panel(
            "Shards that are led", "Accounts of a shard without a leader can't write.",
            {"led": "sum(max by (shard) (@router_shard_served))", "of": "count(max by (shard) (@router_shard_served))"},
            kind="stat", width=QUARTER,
        ),
        Panel(
            "Copies in sync", "Replicas that have all that is acknowledged.",
            {"shard {{shard}}": f"sum by (shard) ({_gauge('router_replica_in_sync')})"},
            kind="stat", red_from=1, below=True, width=QUARTER,
        ),
        Panel(
            "Fullest", "The greatest share of any limit that is in use.",
            {name: f"max({_gauge(name)} / {_limit(name)})"
             for name in ("mailbox_depth", "outbox_messages", "accounts", "lane_connections")},
            "percentunit", "stat", QUARTER, 0.8,
        ),
    )),
    PanelRow("What clients notice", (
        Panel("Requests", "By class, as shards meet them.", {"{{class}}": _rate("requests_total", "class")}, "reqps"),
        Panel(
            "Failed requests", "Share of answers with 5xx: ours to mend.",
            {"5xx": f"({_rate('http_requests_total', where=_FAILED)})"
             f" / {_rate('http_requests_total')}"},
            "percentunit", red_from=0.01,
        ),
        Panel(
            "p99 of requests", "Time from a complete request to the end of its answer, by method.",
            {"{{method}}": _p99("http_request_duration_seconds", "method", '{route!~".*stream.*"}')}, "s", red_from=0.5,
        ),
        Panel(
            "Deliveries", "Entries put into home timelines.", {"deliveries": _rate("deliveries_total")}, "ops",
        ),
        Panel(
            "p99 of deliveries", "Time from a tweet to its last home timeline, one tweet in 16.",
            {"shard {{shard}}": _p99("delivery_lag_seconds", "shard")}, "s", red_from=5, needs="sixteen tweets",
        ),
        Panel(
            "Routes with errors", "The ten routes with the most answers of 4xx and 5xx.",
            {"{{route}} {{status}}": f"topk(10, {_rate('http_requests_total', 'route, status', _NOT_SERVED)})"},
            "reqps", "table", needs="a refused request",
        ),
    )),
    PanelRow("Processes", (
        Panel(
            "Processor", "Cores taken by each process.", {"{{process}}": _rate("process_cpu_seconds_total", "process")},
        ),
        Panel(
            "Memory", "Resident memory of each process.",
            {"{{process}}": _gauge("process_resident_memory_bytes", "process")}, "bytes",
        ),
        Panel(
            "Age", "Since when each process runs: a fall is a restart.",
            {"{{process}}": f"time() - {_gauge('process_start_time_seconds', 'process')}"}, "s",
        ),
        Panel(
            "Loop lag, p99", "By how much event loops were late for their heartbeat.",
            {"{{process}}": _p99("process_loop_lag_seconds", "process")}, "s", red_from=0.5,
        ),
        Panel(
            "Versions", "The code that runs, by how many processes.",
            {"{{version}} level {{level}}":
             f"count by (version, level) ({_gauge('build_info', 'process, version, level')})"},
            kind="stat",
        ),
        Panel(
            "Collections of garbage, p99", "For how long they held a process.",
            {"{{process}}": _p99("process_gc_pause_seconds", "process")}, "s", needs="time",
        ),
    ), is_open=False),
))  # fmt: skip

_SHARDS: Final = Board("shards", "Rookery shards", (
    PanelRow("Requests", (
        Panel(
            "Requests by shard", "Reads and writes that replicas have carried out.",
            {"{{shard}} {{class}}": _rate("requests_total", "shard, class")}, "reqps",
        ),
        Panel(
            "Refusals", "Requests answered with an error, by code.",
            {"{{shard}} {{code}}": _rate("refusals_total", "shard, code")}, "reqps", needs="a refused request",
        ),
        Panel(
            "Reads, p99", "Time from a read's arrival to its answer.",
            {"shard {{shard}}": _p99("read_duration_seconds", "shard")}, "s", red_from=0.1,
        ),
        Panel(
            "Writes, p99", "Time from a write's arrival to its answer, and what applying took of it.",
            {"shard {{shard}}": _p99("write_duration_seconds", "shard"),
             "apply {{shard}}": _p99("apply_duration_seconds", "shard")},
            "s", red_from=1,
        ),
        Panel(
            "Reads", "How long they take, all of them.",
            {"{{le}}": f"sum by (le) (increase(@read_duration_seconds_bucket[{RATE}]))"}, "s", "heatmap",
        ),
        Panel(
            "Waiting for the disk", "Share of `limits.mailbox_max`; at 1 requests are refused.",
            {"shard {{shard}}": _filled("mailbox_depth")}, "percentunit", red_from=0.5,
        ),
    )),
    PanelRow("Leaders and copies", (
        Panel(
            "Led", "1 while a shard has a leader that answers.",
            {"shard {{shard}}": _gauge("router_shard_served", "shard")},
            kind="state-timeline", red_from=1, below=True,
        ),
        Panel(
            "Without a leader", "Seconds of each second in which nobody led a shard.",
            {"shard {{shard}}": _rate("router_shard_away_seconds_total", "shard")}, "percentunit", red_from=0.5,
        ),
        Panel(
            "Behind", "Journal records that followers haven't acknowledged.",
            {"{{shard}} to {{follower}}": _gauge("replication_lag_records", "shard, follower")}, needs="replicas",
        ),
        Panel(
            "Elections and epochs", "Leaders chosen in 5 minutes, and the map's epoch.",
            {"elections": "sum(increase(@router_elections_total[5m]))", "epoch": "max(@router_map_epoch)"},
            needs="an election",
        ),
    )),
    PanelRow("Messages to other shards", (
        Panel(
            "Messages", "Acknowledged by others, applied here, ignored as applied before.",
            {"{{shard}} {{result}}": _rate("exchange_messages_total", "shard, result")}, "ops",
        ),
        Panel(
            "Not acknowledged", "Share of `limits.outbox_messages_max`; at 1 writes are refused.",
            {"shard {{shard}}": _filled("outbox_messages")}, "percentunit", red_from=0.5,
        ),
        Panel(
            "Batches not taken", "They are sent again.", {"shard {{shard}}": _rate("exchange_failures_total", "shard")},
            "ops", needs="a killed replica",
        ),
        Panel(
            "Deliveries under way", "Tweets whose delivery to many followers isn't done.",
            {"shard {{shard}}": _gauge("delivery_backlog", "shard")},
        ),
    ), is_open=False),
    PanelRow("Journal and checkpoint", (
        Panel(
            "fsync, p99", "Time of one fsync.", {"shard {{shard}}": _p99("fsync_duration_seconds", "shard")}, "s",
            red_from=0.1,
        ),
        Panel("Journal", "Bytes of commands.", {"shard {{shard}}": _rate("journal_bytes_total", "shard")}, "Bps"),
        Panel(
            "Not durable yet", "Commands applied and not on disk.",
            {"{{shard}}/{{replica}}": _gauge("journal_lag_records")},
        ),
        Panel(
            "Not folded yet", "Age of the oldest changes that wait for the checkpoint.",
            {"{{shard}}/{{replica}}": _gauge("checkpoint_lag_seconds")}, "s", red_from=1_800,
        ),
        Panel(
            "Folds", "Attempts to fold changes into the checkpoint.",
            {"{{shard}} {{result}}": _rate("checkpoint_writes_total", "shard, result")}, "ops",
        ),
        Panel(
            "Files", "By part, and the room that is left.",
            {"{{shard}} {{part}}": "sum by (shard, part) (max by (shard, replica, part) (@storage_bytes))",
             "free {{shard}}": "min by (shard) (@storage_free_bytes)"},
            "bytes",
        ),
        Panel(
            "Last backup", "How old it is; nothing if none was made.",
            {"age": "time() - max(@router_backup_timestamp_seconds)"}, "s", "stat", red_from=691_200, needs="a backup",
        ),
    ), is_open=False),
    PanelRow("What is there", (
        Panel("Accounts", "Accounts by shard.", {"shard {{shard}}": _gauge("accounts", "shard")}),
        Panel("Tweets", "Tweets by shard.", {"shard {{shard}}": _gauge("tweets", "shard")}),
        Panel(
            "Memory by part", "Of leaders and followers, the larger.",
            {"{{shard}} {{part}}": _gauge("memory_part_bytes", "shard, part")}, "bytes",
        ),
        Panel(
            "Timelines rebuilt", "Readers who came back, and pages read from other shards.",
            {"rebuilt": _rate("ring_rebuilds_total"), "pulls": _rate("pulls_total")}, "ops",
            needs="a reader who comes back",
        ),
    ), is_open=False),
    PanelRow("Search", (
        Panel(
            "Engine", "0: ready; 1: catching up; 2: starting; 3: starting again; 4: off.",
            {"{{shard}}/{{replica}}": _gauge("search_state")}, kind="state-timeline", red_from=1,
        ),
        Panel(
            "Searches", "Questions to the engine by what came of them.",
            {"{{shard}} {{result}}": _rate("searches_total", "shard, result")}, "ops", needs="search",
        ),
        Panel(
            "Not taken in yet", "Changes that wait for the engine.",
            {"{{shard}}/{{replica}}": _gauge("search_backlog")},
        ),
        Panel(
            "Partial", "Rounds of questions that some shard didn't answer.",
            {"partial": _rate("http_search_partial_total")}, "ops", red_from=0.02, needs="a partial search",
        ),
    ), is_open=False),
))  # fmt: skip

_HTTP: Final = Board("http", "Rookery HTTP", (
    PanelRow("By route", (
        Panel(
            "Requests", "The fifteen routes asked most.",
            {"{{method}} {{route}}": f"topk(15, {_rate('http_requests_total', 'method, route')})"}, "reqps",
        ),
        Panel("Answers", "By status.", {"{{status}}": _rate("http_requests_total", "status")}, "reqps"),
        Panel(
            "p99 by route", "The fifteen slowest.",
            {"{{method}} {{route}}": f"topk(15, {_p99('http_request_duration_seconds', 'method, route')})"}, "s",
        ),
        Panel(
            "Durations", "How long requests take, all of them.",
            {"{{le}}": f"sum by (le) (increase(@http_request_duration_seconds_bucket[{RATE}]))"}, "s", "heatmap",
        ),
    )),
    PanelRow("Admission and limits", (
        Panel(
            "Under way", "Share of how many there may be at once, by kind.",
            {"{{worker}} {{kind}}": f"{_gauge('http_in_flight', 'worker, kind')}"
             f" / {_gauge('http_in_flight_bound', 'worker, kind')}"},
            "percentunit", red_from=0.9,
        ),
        Panel(
            "Connections", "Share of how many there may be.",
            {"{{worker}}": f"{_gauge('http_connections', 'worker')} / {_gauge('http_connections_bound', 'worker')}"},
            "percentunit", red_from=0.9,
        ),
        Panel(
            "Refused", "By rate limits, as too many were under way, as their shard doesn't answer.",
            {"rate limit": _rate("http_rate_limited_total"), "turn": _rate("http_refused_in_turn_total"),
             "shard": _rate("shard_refusals_total"), "connection {{reason}}":
             _rate("http_connections_closed_total", "reason")},
            "reqps", needs="a refusal of each kind",
        ),
        Panel(
            "Bodies", "Requests of which not all has come.", {"{{worker}}": _gauge("http_bodies_waiting", "worker")},
        ),
    )),
    PanelRow("Caches, replicas, hedges", (
        Panel(
            "Tokens from the cache", "Share of tokens that needn't be asked for.",
            {"hits": f"{_rate('token_cache_requests_total', where=_HIT)}"
             f" / {_rate('token_cache_requests_total')}"},
            "percentunit", needs="a signed-in request",
        ),
        Panel(
            "Reads by role", "Of shards with several replicas.",
            {"{{role}}": _rate("replica_reads_total", "role")}, "reqps", needs="replicas",
        ),
        Panel(
            "Hedges", "Reads sent to a second replica, and those that it answered first.",
            {"sent": _rate("hedges_total"), "won": _rate("hedges_won_total")}, "reqps", needs="a stopped replica",
        ),
        Panel(
            "Shards that fail fast", "Those whose requests are refused at once, and replicas that don't answer.",
            {"failing fast {{worker}}": _gauge("shards_failing_fast", "worker"),
             "stalled {{worker}}": _gauge("stalled_lanes", "worker")},
            red_from=1,
        ),
    ), is_open=False),
))  # fmt: skip

_LIVE: Final = Board("live", "Rookery live and media", (
    PanelRow("Streams", (
        Panel(
            "Open streams", "By how they are spoken.",
            {"{{kind}}": f"sum by (kind) ({_gauge('streams', 'worker, kind')})"},
        ),
        Panel(
            "Share of streams", "Of how many a worker may have open.",
            {"{{worker}}": f"sum by (worker) ({_gauge('streams', 'worker, kind')})"
             f" / {_gauge('streams_bound', 'worker')}"},
            "percentunit", red_from=0.9,
        ),
        Panel(
            "Events", "Numbered by shards, and frames sent to clients.",
            {"numbered": _rate("stream_events_total"), "frames": _rate("stream_frames_total")}, "ops", needs="a stream",
        ),
        Panel(
            "Closed by us", "And why.", {"{{reason}}": _rate("streams_cut_off_total", "reason")}, "ops",
            needs="a stream that is closed",
        ),
        Panel(
            "Gaps", "Streams that had missed something: told exactly, read for them, or told so.",
            {"{{result}}": _rate("stream_gaps_total", "result")}, "ops", needs="a stream with a gap",
        ),
        Panel(
            "Refused", "Requests for streams that were refused.",
            {"{{reason}}": _rate("streams_refused_total", "reason")}, "ops", needs="a refused stream",
        ),
    )),
    PanelRow("Mail, push messages, webhooks", (
        Panel(
            "Waiting", "Messages that are to leave the cluster.",
            {"shard {{shard}}": _gauge("outgoing_items", "shard")},
        ),
        Panel(
            "Late", "How long the first has been due.", {"shard {{shard}}": _gauge("outgoing_late_seconds", "shard")},
            "s", red_from=300,
        ),
        Panel(
            "Results", "By channel.", {"{{channel}} {{result}}": _rate("outgoing_results_total", "channel, result")},
            "ops", needs="a message that leaves",
        ),
    ), is_open=False),
    PanelRow("Pictures, video, sound", (
        Panel("Waiting", "Uploads that wait or are processed.", {"{{worker}}": _gauge("media_waiting", "worker")}),
        Panel(
            "Uploads", "Processed by kind, refused by reason.",
            {"{{kind}}": _rate("media_processed_total", "kind"), "refused: {{reason}}":
             _rate("media_refused_total", "reason")},
            "ops", needs="an upload",
        ),
        Panel(
            "Seconds an upload", "Mean time from an upload's last byte to its objects.",
            {"mean": f"{_rate('media_process_seconds_total')} / {_rate('media_processed_total')}"}, "s",
            needs="an upload",
        ),
    ), is_open=False),
))  # fmt: skip

BOARDS: Final = (_OVERVIEW, _SHARDS, _HTTP, _LIVE)
