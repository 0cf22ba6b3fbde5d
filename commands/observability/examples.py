"""A course of figures for every alert: when it fires, of what, and when it doesn't.

Courses are promtool's: `a+bxn` is a, a+b, ... a+n*b; `stale` is a figure that isn't told any more. Both promtool and
the console's watch are given them and must say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STEP_S: Final = 10  # between two numbers of a course
LOOK_S: Final = 30  # between two looks at the rules
SHARD_0: Final = {"shard": "0", "replica": "0"}
_WORKER: Final = 'worker="w"'
_REPLICA: Final = 'shard="0",replica="0"'


@dataclass(frozen=True, slots=True)
class Example:
    """A course. fires: second -> labels of what fires then; quiet: seconds in which nothing does."""

    signal: str
    course: Mapping[str, str]
    fires: Mapping[int, tuple[Mapping[str, str], ...]]
    quiet: tuple[int, ...]
    every_s: int = STEP_S


def _slow(figure: str, bound: str, who: str, more: Mapping[str, str] = {}) -> dict[str, str]:
    """A tenth is over the bound for 10 minutes, then nothing."""
    return {
        f'{figure}_bucket{{{who},le="{bound}"}}': "0+9x60 550+10x120",
        f"{figure}_count{{{who}}}": "0+10x180",
        **more,
    }


EXAMPLES: Final[tuple[Example, ...]] = (
    Example(
        "NoLeader",
        {'router_shard_served{shard="0"}': "1+0x60", 'router_shard_served{shard="1"}': "1+0x11 0+0x17 1+0x30"},
        {160: ({"shard": "1"},), 290: ({"shard": "1"},)}, (110, 140, 300),
    ),
    Example("NoWorker", {f"http_connections{{{_WORKER}}}": "3+0x12 stale"}, {220: ({},)}, (100, 180)),
    Example("NoRouter", {"router_map_epoch": "7+0x12 stale"}, {280: ({},)}, (100, 240)),
    Example(
        "ErrorsFast",
        {
            f'http_requests_total{{{_WORKER},method="GET",route="/x",status="200"}}': "0+10x390",
            f'http_requests_total{{{_WORKER},method="GET",route="/x",status="500"}}': "0+0x200 0+1x189",
        },
        {2_700: ({},)}, (1_900, 2_200),
    ),
    Example(
        "ErrorsSlow",
        {
            f'http_requests_total{{{_WORKER},method="GET",route="/x",status="200"}}': "0+100x400",
            f'http_requests_total{{{_WORKER},method="GET",route="/x",status="503"}}': "0+0x9 0+10x390",
        },
        {1_800: ({},)}, (500, 1_200), every_s=60,
    ),
    Example(
        "ReadsSlow",
        _slow("http_request_duration_seconds", "0.5", f'{_WORKER},method="GET",route="/x"', {
            f'http_request_duration_seconds_bucket{{{_WORKER},method="GET",route="/stream",le="0.5"}}': "0+0x180",
            f'http_request_duration_seconds_count{{{_WORKER},method="GET",route="/stream"}}': "0+50x180",
        }),
        {400: ({},)}, (200, 1_000),
    ),
    Example(
        "ProcessBusy",
        _slow("process_loop_lag_seconds", "0.5", 'process="p"', {
            'process_loop_lag_seconds_bucket{process="q",le="0.5"}': "0+10x180",
            'process_loop_lag_seconds_count{process="q"}': "0+10x180",
        }),
        {400: ({"process": "p"},)}, (200, 1_000),
    ),
    Example(
        "ConnectionsFull",
        {
            f"http_connections{{{_WORKER}}}": "950+0x20 10+0x9", f"http_connections_bound{{{_WORKER}}}": "1000+0x30",
            'http_connections{worker="v"}': "800+0x30", 'http_connections_bound{worker="v"}': "1000+0x30",
        },
        {150: ({"worker": "w"},)}, (100, 250),
    ),
    Example(
        "WritesRefused",
        {
            f'http_requests_total{{{_WORKER},method="POST",route="/x",status="503"}}': "0+1x60",
            f'http_requests_total{{{_WORKER},method="POST",route="/x",status="201"}}': "0+10x60",
            f'http_requests_total{{{_WORKER},method="GET",route="/x",status="200"}}': "0+1000x60",
        },
        {150: ({},)}, (60,),
    ),
    Example(
        "JournalNotWritable",
        {f"storage_writable{{{_REPLICA}}}": "1+0x11 0+0x20 1+0x10",
         'storage_writable{shard="1",replica="0"}': "1+0x50"},
        {160: (SHARD_0,)}, (140, 340),
    ),
    Example("WritesSlow", _slow("write_duration_seconds", "1", _REPLICA), {400: ({"shard": "0"},)}, (200, 1_000)),
    Example(
        "MailboxFilling",
        {f"mailbox_depth{{{_REPLICA}}}": "6000+0x30", f'limit{{{_REPLICA},name="mailbox_depth"}}': "10000+0x30",
         'mailbox_depth{shard="1",replica="0"}': "400+0x30", 'limit{shard="1",replica="0",name="mailbox_depth"}':
         "10000+0x30"},
        {80: (SHARD_0,)}, (50,),
    ),
    Example("DeliverySlow", _slow("delivery_lag_seconds", "5", _REPLICA), {400: ({"shard": "0"},)}, (200, 1_000)),
    Example(
        "OutboxFilling",
        {f'outbox_messages{{{_REPLICA},to="1"}}': "6000+0x30", f'outbox_messages{{{_REPLICA},to="2"}}': "1+0x30",
         f'limit{{{_REPLICA},name="outbox_messages"}}': "10000+0x30", f'limit{{{_REPLICA},name="accounts"}}': "1+0x30"},
        {80: (SHARD_0,)}, (50,),
    ),
    Example(
        "CheckpointOld", {f"checkpoint_lag_seconds{{{_REPLICA}}}": "0+60x60"}, {2_400: (SHARD_0,)}, (1_800, 2_100),
        every_s=60,
    ),
    Example(
        "CheckpointFails",
        {f'checkpoint_writes_total{{{_REPLICA},result="failed"}}': "0+1x10 10+0x20",
         f'checkpoint_writes_total{{{_REPLICA},result="written"}}': "0+5x30"},
        {360: (SHARD_0,)}, (120, 1_800), every_s=60,
    ),
    Example(
        "BackupOld", {"router_backup_timestamp_seconds": "-691000+0x90 910+0x10"}, {900: ({},)},
        (100, 780, 960),
    ),
    Example(
        "CopyNotInSync",
        {'router_replica_in_sync{shard="0",replica="0"}': "1+0x60",
         'router_replica_in_sync{shard="0",replica="1"}': "0+0x40 1+0x20"},
        {320: ({"shard": "0", "replica": "1"},)}, (290, 420),
    ),
    Example(
        "Elections",
        {"router_elections_total": "0+1x30", 'router_shard_served{shard="0"}': "1+0x30",
         'router_shard_served{shard="1"}': "1+0x30"},
        {600: ({},)}, (300,), every_s=60,
    ),
    Example(
        "Restarts",
        {
            'process_start_time_seconds{process="p"}':
                "0+0x8 stale 100+0x9 200+0x9 300+0x8 stale 400+0x9 500+0x9 600+0x9 600+0x30",
            'process_start_time_seconds{process="q"}': "-5000+0x100",
        },
        {490: ({"process": "p"},), 700: ({"process": "p"},)}, (300, 900),
    ),
    Example(
        "VersionsMixed",
        {'build_info{process="p",version="1.0",level="3"}': "1+0x260",
         'build_info{process="q",version="1.0",level="3"}': "1+0x260",
         'build_info{process="r",version="1.1",level="3"}': "1+0x250 stale"},
        {14_460: ({},)}, (14_000,), every_s=60,
    ),
    Example(
        "DiskFullSoon",
        {f"storage_free_bytes{{{_REPLICA}}}": "100000000000-100000000x100",
         'storage_free_bytes{shard="1",replica="0"}': "100000000000-1000000x100"},
        {700: (SHARD_0,)}, (500,),
    ),
    Example(
        "DiskFull",
        {f"storage_free_bytes{{{_REPLICA}}}": "500000000+0x30", 'storage_free_bytes{shard="1",replica="0"}':
         "5000000000+0x30"},
        {80: (SHARD_0,)}, (50,),
    ),
    Example(
        "MemoryShort",
        {'process_machine_available_bytes{process="p"}': "5+0x30", 'process_machine_memory_bytes{process="p"}':
         "100+0x30", 'process_machine_available_bytes{process="q"}': "50+0x30",
         'process_machine_memory_bytes{process="q"}': "100+0x30"},
        {150: ({"process": "p"},)}, (110,),
    ),
    Example(
        "FilesShort",
        {'process_open_fds{process="p"}': "900+0x30", 'process_max_fds{process="p"}': "1024+0x30",
         'process_open_fds{process="q"}': "90+0x30", 'process_max_fds{process="q"}': "1024+0x30"},
        {150: ({"process": "p"},)}, (110,),
    ),
    Example(
        "ShardFull",
        {f"accounts{{{_REPLICA}}}": "1700000+0x60", f'limit{{{_REPLICA},name="accounts"}}': "2000000+0x60"},
        {320: (SHARD_0,)}, (280,),
    ),
    Example("SearchPartial", {f"http_search_partial_total{{{_WORKER}}}": "0+1x60"}, {420: ({},)}, (290,)),
    Example(
        "SearchBehind",
        {f"search_state{{{_REPLICA}}}": "1+0x95 0+0x10", 'search_state{shard="1",replica="0"}': "4+0x100"},
        {920: (SHARD_0,)}, (880, 1_000),
    ),
    Example(
        "OutgoingLate", {f"outgoing_late_seconds{{{_REPLICA}}}": "0+10x120"}, {640: ({"shard": "0"},)}, (300, 590),
    ),
    Example(
        "MediaStuck",
        {f"media_waiting{{{_WORKER}}}": "2+0x100", f"media_process_seconds_total{{{_WORKER}}}": "5+0x65 6+1x34"},
        {620: ({},)}, (580, 700),
    ),
    Example(
        "StreamsCutOff",
        {f'streams_cut_off_total{{{_WORKER},reason="slow"}}': "0+1x60",
         f'streams_cut_off_total{{{_WORKER},reason="stopping"}}': "0+100x60", f'streams{{{_WORKER},kind="sse"}}':
         "20+0x60"},
        {200: ({},)}, (100,),
    ),
)  # fmt: skip
