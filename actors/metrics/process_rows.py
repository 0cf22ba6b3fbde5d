"""Figures of every process (label `process`: its actor's name), and of a node as the worker that was asked sees it."""

from __future__ import annotations

from functools import partial
from typing import Final

from actors.metrics.figure import SECONDS_BOUNDS, Figure

_counter = partial(Figure, kind="counter")
_gauge = partial(Figure, kind="gauge")
ITSELF = "a_process_knows_what_it_takes_itself"
NODE = "one_answer_has_the_whole_node"

PROCESS_FIGURES: Final[tuple[Figure, ...]] = (
    _counter(
        name="process_cpu_seconds_total", unit="seconds", source="process", proven=ITSELF, held={"cpu_seconds": ()},
        text="processor time taken, user and system",
    ),
    _gauge(
        name="process_resident_memory_bytes", unit="bytes", source="process", proven=ITSELF, held={"memory_bytes": ()},
        text="resident memory",
    ),
    _gauge(
        name="process_open_fds", unit="", source="process", proven=ITSELF, held={"open_fds": ()},
        text="open files and sockets",
    ),
    _gauge(
        name="process_max_fds", unit="", source="process", proven=ITSELF, held={"max_fds": ()},
        text="how many of them there may be",
    ),
    _gauge(
        name="process_machine_memory_bytes", unit="bytes", source="process", proven=ITSELF, held={"machine_bytes": ()},
        text="memory of the machine that the process runs on",
    ),
    _gauge(
        name="process_machine_available_bytes", unit="bytes", source="process", proven=ITSELF,
        held={"available_bytes": ()}, text="how much of it may still be taken",
    ),
    _gauge(
        name="process_start_time_seconds", unit="seconds", source="process", proven=ITSELF, held={"start_seconds": ()},
        text="when the process began, in Unix time: another value is a restart",
    ),
    Figure(
        name="process_gc_pause_seconds", kind="histogram", unit="seconds", source="process", proven=ITSELF,
        bounds=SECONDS_BOUNDS, held={"gc_seconds": ()},
        text="time that one of Python's garbage collections held the process",
    ),
    Figure(
        name="process_loop_lag_seconds", kind="histogram", unit="seconds", source="process", bounds=SECONDS_BOUNDS,
        proven="a_loop_that_is_held_beats_late", held={"late_seconds": ()},
        text="by how much the event loop was late for its heartbeat, twice a second",
    ),
    _gauge(
        name="build_info", unit="", source="process", proven=ITSELF, labels=("version", "level"), held={"build": ()},
        text="1; the version of the code that runs, and the level that it knows",
    ),
)  # fmt: skip

NODE_FIGURES: Final[tuple[Figure, ...]] = (
    _gauge(
        name="http_worker_up", unit="", source="node", labels=("worker",), held={}, proven=NODE,
        text="1 if that API worker of the node told its figures within 2 s",
    ),
    _gauge(
        name="shard_up", unit="", source="node", labels=("shard",), held={}, proven=NODE,
        text="1 if the shard's leader answered this node within 2 s",
    ),
    _gauge(
        name="replica_up", unit="", source="node", labels=("shard", "replica"), held={}, proven=NODE,
        text="1 if that replica, which is to be on this node, told its figures within 2 s",
    ),
    _gauge(
        name="router_up", unit="", source="node", held={}, proven=NODE,
        text="1 if the router, wherever it is, told its figures within 2 s",
    ),
    _counter(
        name="process_hangs_total", unit="", source="node", labels=("process",), held={}, proven=NODE,
        text="processes of this machine that were ended because their event loop had stopped",
    ),
)  # fmt: skip
