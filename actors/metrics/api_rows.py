"""Figures of an API worker: label `worker`. What holds them: `Services.figures`, of requests `api.metrics.Metrics`."""

from __future__ import annotations

from functools import partial
from typing import Final

from actors.metrics.figure import Figure

_counter = partial(Figure, kind="counter", source="api", unit="")
_gauge = partial(Figure, kind="gauge", source="api", unit="")
HTTP_BOUNDS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
ANSWERED = "requests_are_counted_and_timed_by_route"
ROWS = "every_number_of_a_worker_is_at_its_place_in_the_table"

API_FIGURES: Final[tuple[Figure, ...]] = (
    _counter(
        name="http_requests_total", proven=ANSWERED, labels=("method", "route", "status"), held={"requests": ()},
        text="requests answered",
    ),
    Figure(
        name="http_request_duration_seconds", kind="histogram", unit="seconds", source="api", proven=ANSWERED,
        labels=("method", "route"), bounds=HTTP_BOUNDS_S, held={"request_seconds": ()},
        text="time from a complete request to the end of its answer",
    ),
    _gauge(
        name="http_in_flight", proven=ROWS, labels=("kind",), text="requests being worked on",
        held={"reads_in_flight": ("read",), "writes_in_flight": ("write",)},
    ),
    _gauge(
        name="http_in_flight_bound", proven=ROWS, labels=("kind",),
        text="how many of them there may be at once: fewer than `limits.inflight_max` while answers take too long",
        held={"reads_bound": ("read",), "writes_bound": ("write",)},
    ),
    _gauge(name="http_connections", proven=ROWS, text="open connections", held={"connections": ()}),
    _gauge(
        name="http_connections_bound", proven=ROWS, held={"connections_bound": ()},
        text="how many of them there may be",
    ),
    _counter(
        name="http_connections_closed_total", proven=ROWS, labels=("reason",),
        text="connections refused for being too many, or closed for newer ones",
        held={"connections_refused": ("refused",), "connections_displaced": ("displaced",)},
    ),
    _gauge(
        name="http_bodies_waiting", proven=ROWS, held={"bodies_waiting": ()},
        text="connections with requests of which not all has come, or that wait behind others",
    ),
    Figure(
        name="http_bodies_waiting_bytes", kind="gauge", unit="bytes", source="api", proven=ROWS,
        held={"bodies_waiting_bytes": ()}, text="bytes of their bodies that have come",
    ),
    _counter(
        name="http_bodies_given_up_total", proven=ROWS, labels=("reason",),
        text="such requests given up for others (`503`), or refused for being too slow (`408`)",
        held={"bodies_displaced": ("displaced",), "bodies_too_slow": ("too_slow",)},
    ),
    _counter(
        name="http_rate_limited_total", proven=ROWS, held={"rate_limited": ()}, text="requests refused by a rate limit",
    ),
    _gauge(
        name="http_waiting_for_a_turn", proven=ROWS, held={"waiting_for_a_turn": ()},
        text="connections whose bytes wait for a turn of the event loop",
    ),
    _counter(
        name="http_put_aside_total", proven=ROWS, held={"put_aside": ()},
        text="how often bytes of a connection had to wait for a turn",
    ),
    _counter(
        name="http_refused_in_turn_total", proven=ROWS, held={"refused_in_turn": ()},
        text="turns in which nothing was begun (`503`), because too many waited for theirs",
    ),
    _gauge(
        name="http_passwords_waiting", proven=ROWS, held={"passwords_waiting": ()},
        text="passwords that wait to be hashed",
    ),
    _counter(
        name="token_cache_requests_total", proven=ROWS, labels=("result",),
        text="tokens found in the cache, or asked of their shard",
        held={"token_cache_hits": ("hit",), "token_cache_misses": ("miss",)},
    ),
    # ---- streams --------------------------------------------------------------------------------------------------
    _gauge(name="stream_listeners", proven=ROWS, held={"stream_listeners": ()}, text="streams that listen"),
    _gauge(
        name="stream_listening_accounts", proven=ROWS, held={"stream_accounts": ()},
        text="accounts that they belong to",
    ),
    _counter(
        name="stream_pushes_heard_total", proven=ROWS, held={"stream_pushes": ()},
        text="events that shards have pushed to this worker",
    ),
    _counter(
        name="stream_events_heard_total", proven=ROWS, held={"stream_events": ()},
        text="events that were passed on to streams, each as often as streams heard it",
    ),
    _counter(
        name="stream_gaps_total", proven=ROWS, labels=("result",),
        text="streams that had missed something: told exactly, told that something is missing, or read for them",
        held={"streams_resumed": ("exact",), "streams_lost": ("lost",), "streams_filled": ("read",)},
    ),
    _counter(
        name="stream_lines_lost_total", proven=ROWS, held={"stream_lines_lost": ()},
        text="times that a shard, or the lane to it, went away while it was listened to",
    ),
    _gauge(
        name="streams", proven=ROWS, labels=("kind",), text="open streams, by how they are spoken",
        held={"streams_sse": ("sse",), "streams_websocket": ("websocket",), "streams_native": ("native",)},
    ),
    _gauge(name="streams_bound", proven=ROWS, held={"streams_bound": ()}, text="how many of them there may be"),
    _counter(
        name="stream_frames_total", proven=ROWS, held={"stream_frames": ()}, text="frames sent over streams",
    ),
    Figure(
        name="stream_sent_bytes_total", kind="counter", unit="bytes", source="api", proven=ROWS,
        held={"stream_bytes": ()}, text="bytes of those frames",
    ),
    _counter(
        name="streams_cut_off_total", proven=ROWS, labels=("reason",), text="streams that this side has closed",
        held={f"streams_cut_{reason}": (reason,) for reason in
              ("slow", "protocol", "revoked", "stopping", "silent", "behind", "gone")},
    ),
    _counter(
        name="streams_refused_total", proven=ROWS, labels=("reason",), text="requests for streams that were refused",
        held={f"streams_refused_{reason}": (reason,) for reason in
              ("worker_full", "account_full", "address_full", "overloaded", "unauthorized", "malformed", "other")},
    ),
    # ---- searches -------------------------------------------------------------------------------------------------
    _counter(
        name="search_cache_requests_total", proven=ROWS, labels=("result",),
        text="searches answered with what the same one got a moment ago, or asked of the shards",
        held={"search_cache_hits": ("hit",), "search_cache_misses": ("miss",)},
    ),
    _gauge(
        name="http_search_waiting", proven=ROWS, held={"search_waiting": ()},
        text="searches that wait for others, as home timelines are read (`search.beside_home_reads`)",
    ),
    _counter(
        name="http_search_refused_total", proven=ROWS, held={"search_refused": ()},
        text="searches refused because 256 waited",
    ),
    _counter(
        name="http_search_partial_total", proven=ROWS, held={"search_partial": ()},
        text="rounds of questions to all shards (a search asks one to three) that some shard didn't answer, or not to"
        " the end",
    ),
    # ---- shards and their replicas, as this worker meets them -----------------------------------------------------
    _counter(
        name="replica_reads_total", proven=ROWS, labels=("role",),
        text="reads of shards with several replicas, by who answered",
        held={"primary_reads": ("primary",), "follower_reads": ("follower",)},
    ),
    _counter(
        name="hedges_total", proven=ROWS, held={"hedges_sent": ()},
        text="reads sent to a second replica because the first was late",
    ),
    _counter(
        name="hedges_won_total", proven=ROWS, held={"hedges_won": ()},
        text="of those, reads that the second replica answered first",
    ),
    _counter(
        name="replica_probes_total", proven=ROWS, held={"probes_sent": ()},
        text="copies of reads sent to replicas that have stopped answering",
    ),
    _counter(
        name="follower_refusals_total", proven=ROWS, held={"follower_refusals": ()},
        text="errors of followers that the primary was asked about",
    ),
    _gauge(
        name="stalled_lanes", proven=ROWS, held={"stalled_lanes": ()},
        text="replicas that are connected and have stopped answering",
    ),
    _gauge(
        name="shards_failing_fast", proven=ROWS, held={"shards_failing_fast": ()},
        text="shards that have stopped answering this worker: their requests are refused at once",
    ),
    _counter(
        name="shard_probes_total", proven=ROWS, held={"shard_probes": ()},
        text="requests sent to such a shard to see whether it answers again",
    ),
    _counter(
        name="shard_refusals_total", proven=ROWS, held={"shard_refusals": ()},
        text="requests refused because their shard doesn't answer, or too many wait for it",
    ),
    # ---- pictures, video and sound ---------------------------------------------------------------------------------
    _gauge(
        name="media_waiting", proven=ROWS, held={"media_waiting": ()},
        text="uploads that wait for the node's media actor, or are processed by it",
    ),
    _counter(
        name="media_processed_total", proven=ROWS, labels=("kind",), text="uploads that became objects",
        held={f"media_processed_{kind}": (kind,) for kind in ("image", "gifv", "video", "audio")},
    ),
    _counter(
        name="media_refused_total", proven=ROWS, labels=("reason",), text="uploads that did not",
        held={f"media_refused_{reason}": (reason,) for reason in ("invalid", "too_large", "unavailable", "other")},
    ),
    Figure(
        name="media_process_seconds_total", kind="counter", unit="seconds", source="api", proven=ROWS,
        held={"media_seconds": ()}, text="time from an upload's last byte to its objects, waiting included",
    ),
    Figure(
        name="media_written_bytes_total", kind="counter", unit="bytes", source="api", proven=ROWS,
        held={"media_bytes": ()}, text="bytes of objects that were made of uploads",
    ),
)  # fmt: skip
