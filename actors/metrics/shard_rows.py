"""Figures of a shard replica: labels `shard` and `replica`. What holds them: counted.py."""

from __future__ import annotations

from functools import partial
from typing import Final

from actors.metrics.figure import SECONDS_BOUNDS, SIZE_BOUNDS, Figure

_counter = partial(Figure, kind="counter", source="shard")
_gauge = partial(Figure, kind="gauge", source="shard")
_times = partial(Figure, kind="histogram", unit="seconds", source="shard", bounds=SECONDS_BOUNDS)
_sizes = partial(Figure, kind="histogram", unit="", source="shard", bounds=SIZE_BOUNDS)

SEARCH_STATES: Final = ("ready", "catching up", "starting", "starting again", "off")  # by their numbers
REQUESTS = "requests_are_counted_by_what_they_are"
TIMES = "a_write_takes_as_long_as_its_commit_and_applying_it_does_not"
REFUSED = "refusals_are_counted_by_their_code_at_once_or_after_the_commit"
DELIVERED = "deliveries_to_followers_here_and_elsewhere_are_counted"
LEAVING = "what_leaves_the_cluster_is_counted_by_channel_and_result"
EXCHANGED = "messages_are_counted_once_however_often_they_come"
JOURNALED = "the_journal_counts_records_bytes_and_flushes"
FOLDED = "a_checkpoint_counts_what_it_writes_and_what_it_cannot"
MEASURED = "what_a_shard_holds_is_measured"
STREAMED = "what_listeners_are_pushed_and_told_again_is_counted"
SEARCHED = "searches_are_timed_until_their_answer"

SHARD_FIGURES: Final[tuple[Figure, ...]] = (
    # ---- requests, errors, durations ------------------------------------------------------------------------------
    _counter(
        name="requests_total", unit="", labels=("class",), proven=REQUESTS,
        text="requests of the lane that were carried out or begun: reads, writes, searches, and what processes ask each"
        " other",
        held={"reads": ("read",), "writes": ("write",), "searches": ("search",), "internals": ("internal",)},
    ),
    _counter(
        name="refusals_total", unit="", labels=("code",), proven=REFUSED, text="requests answered with an error",
        held={"refusals": ()},
    ),
    _times(
        name="read_duration_seconds", proven=REQUESTS, held={"read_seconds": ()},
        text="time from a read's arrival at the shard to its answer",
    ),
    _times(
        name="write_duration_seconds", proven=TIMES, held={"write_seconds": ()},
        text="time from a write's arrival at the shard to its answer, the commit included",
    ),
    _times(
        name="search_duration_seconds", proven=SEARCHED, held={"search_seconds": ()},
        text="time from a search's arrival at the shard to its answer",
    ),
    _times(
        name="apply_duration_seconds", proven=TIMES, held={"apply_seconds": ()},
        text="time to apply a write and hand it to the journal, of that",
    ),
    _counter(
        name="settled_writes_total", unit="", labels=("result",), proven="writes_that_settle_are_counted_by_their_end",
        text="writes that were to be answered once other shards had them: in time, or late as they didn't say so",
        held={"settled_in_time": ("in_time",), "settled_late": ("late",)},
    ),
    # ---- delivery -------------------------------------------------------------------------------------------------
    _counter(
        name="deliveries_total", unit="", proven=DELIVERED, held={"deliveries": ()},
        text="entries put into home timelines of this shard, whoever's tweets they are",
    ),
    _times(
        name="delivery_lag_seconds", proven="one_delivery_in_sixteen_is_timed_from_the_tweet_to_its_last_timeline",
        held={"delivery_lag_seconds": ()},
        text="time from a tweet's id to the end of its delivery in this shard; of one tweet in 16",
    ),
    _gauge(
        name="delivery_backlog", unit="", proven="a_large_delivery_waits_in_the_backlog", held={"delivery_backlog": ()},
        text="tweets whose delivery to many followers is under way",
    ),
    _counter(
        name="pulls_total", unit="", proven="a_reader_who_comes_back_has_his_timeline_rebuilt", held={"pulls": ()},
        text="timelines read from other shards: rebuilds, backfills, deep pages",
    ),
    _counter(
        name="ring_rebuilds_total", unit="", proven="a_reader_who_comes_back_has_his_timeline_rebuilt",
        held={"ring_rebuilds": ()}, text="home timelines rebuilt for accounts that came back",
    ),
    # ---- messages to other shards ---------------------------------------------------------------------------------
    _counter(
        name="exchange_messages_total", unit="", labels=("result",), proven=EXCHANGED,
        text="messages between shards: acknowledged by another, applied here, or here ignored as applied before",
        held={"messages_out": ("acknowledged",), "messages_in": ("applied",), "messages_repeated": ("repeated",)},
    ),
    _counter(
        name="exchange_failures_total", unit="", proven=EXCHANGED, held={"batches_failed": ()},
        text="batches of messages that another shard didn't take; they are sent again",
    ),
    _gauge(
        name="outbox_messages", unit="", labels=("to",), proven=EXCHANGED, held={"outbox_messages": ()},
        text="messages not yet acknowledged, by shard",
    ),
    _gauge(
        name="outbox_bytes", unit="bytes", labels=("to",), proven=EXCHANGED, held={"outbox_bytes": ()},
        text="bytes of messages not yet acknowledged, by shard",
    ),
    _times(
        name="receive_duration_seconds", proven=EXCHANGED, held={"receive_seconds": ()},
        text="time to apply one batch of another shard's messages",
    ),
    _sizes(
        name="batch_messages", proven=EXCHANGED, held={"batch_messages": ()},
        text="messages in one batch from another shard",
    ),
    _counter(
        name="account_questions_total", unit="", labels=("result",), proven=MEASURED,
        text="questions to other shards about their accounts, for pages that show them",
        held={"questions_answered": ("answered",), "questions_failed": ("failed",)},
    ),
    # ---- streams --------------------------------------------------------------------------------------------------
    _counter(
        name="stream_events_total", unit="", proven=STREAMED, held={"streams_events": ()},
        text="events that were numbered while somebody listened: tweets, deletions, edits, notifications",
    ),
    _counter(
        name="stream_pushes_total", unit="", proven=STREAMED, held={"streams_pushes": ()},
        text="of those, pushes to API workers: one an event and worker",
    ),
    _counter(
        name="stream_resumes_total", unit="", labels=("result",), proven=STREAMED,
        text="listeners that asked for what they had missed: told exactly, or that it isn't known any more",
        held={"streams_resumed": ("exact",), "streams_lost": ("lost",)},
    ),
    _gauge(
        name="stream_workers", unit="", proven=STREAMED, held={"listening_workers": ()},
        text="workers of the API that listen",
    ),
    _gauge(
        name="stream_accounts", unit="", proven=STREAMED, held={"listening_accounts": ()},
        text="accounts that they listen to here, each as often as workers do",
    ),
    # ---- what leaves the cluster ----------------------------------------------------------------------------------
    _gauge(
        name="outgoing_items", unit="", proven=LEAVING, held={"outgoing_items": ()},
        text="messages that wait to leave the cluster, those that are to be tried again later included",
    ),
    _gauge(
        name="outgoing_late_seconds", unit="seconds", proven=LEAVING, held={"outgoing_late_seconds": ()},
        text="how long the first of them has been due",
    ),
    _counter(
        name="outgoing_results_total", unit="", labels=("channel", "result"), proven=LEAVING,
        text="attempts to bring messages out, by what came of them: done, later, gone (a subscription has ended),"
        " dropped",
        held={"outgoing_results": ()},
    ),
    _counter(
        name="outgoing_failures_total", unit="", proven=LEAVING, held={"outgoing_calls_failed": ()},
        text="calls of a dispatcher that it didn't answer; what was in them is sent again",
    ),
    # ---- journal and checkpoint -----------------------------------------------------------------------------------
    _counter(
        name="journal_records_total", unit="", proven=JOURNALED, held={"journal_records": ()},
        text="journal records made durable",
    ),
    _counter(
        name="journal_bytes_total", unit="bytes", proven=JOURNALED, held={"journal_bytes": ()},
        text="bytes of commands handed to the journal",
    ),
    _times(name="fsync_duration_seconds", proven=JOURNALED, held={"fsync_seconds": ()}, text="time of one fsync"),
    _sizes(
        name="commit_records", proven=JOURNALED, held={"commit_records": ()},
        text="journal records in one group commit",
    ),
    _gauge(
        name="journal_position", unit="", proven=JOURNALED, held={"journal_position": ()},
        text="number of the last command that was applied",
    ),
    _gauge(
        name="journal_lag_records", unit="", proven=JOURNALED, held={"journal_lag_records": ()},
        text="commands applied but not yet durable",
    ),
    _gauge(
        name="storage_writable", unit="", proven=JOURNALED, held={"storage_writable": ()},
        text="1 if the journal takes writes, 0 if it is unavailable: a full disk, a server that doesn't answer",
    ),
    _counter(
        name="checkpoint_writes_total", unit="", labels=("result",), proven=FOLDED,
        text="attempts to fold changes into the checkpoint",
        held={"checkpoint_writes": ("written",), "checkpoint_failures": ("failed",)},
    ),
    _counter(
        name="checkpoint_rows_total", unit="", proven=FOLDED, held={"checkpoint_rows": ()},
        text="changed rows folded into the checkpoint",
    ),
    _gauge(
        name="checkpoint_lag_records", unit="", proven=FOLDED, held={"checkpoint_lag_records": ()},
        text="journal records not yet in the checkpoint: what the next recovery replays",
    ),
    _gauge(
        name="checkpoint_lag_seconds", unit="seconds", proven=FOLDED, held={"checkpoint_lag_seconds": ()},
        text="age of the oldest changes that wait to be folded, 0 if none do",
    ),
    _gauge(
        name="storage_bytes", unit="bytes", labels=("part",), proven=MEASURED, held={"storage_bytes": ()},
        text="files of the replica: journal, checkpoint, search index and what else there is",
    ),
    _gauge(
        name="storage_free_bytes", unit="bytes", proven=MEASURED, held={"storage_free_bytes": ()},
        text="room on the disk that they lie on",
    ),
    # ---- saturation -----------------------------------------------------------------------------------------------
    _gauge(
        name="mailbox_depth", unit="", proven=JOURNALED, held={"mailbox_depth": ()},
        text="requests that wait for their commit",
    ),
    _gauge(
        name="slow_reads", unit="", proven="a_reader_who_comes_back_has_his_timeline_rebuilt", held={"slow_reads": ()},
        text="reads under way that other shards are asked for",
    ),
    _gauge(
        name="limit", unit="", labels=("name",), proven=MEASURED, held={"limits": ()},
        text="bounds at which requests are refused: of mailbox_depth, slow_reads, outbox_messages and outbox_bytes"
        " (each shard's), lane_connections, accounts, tweets",
    ),
    _gauge(
        name="lane_connections", unit="", proven=MEASURED, held={"lane_connections": ()},
        text="open connections of the lane",
    ),
    _counter(
        name="lane_strangers_turned_away_total", unit="", proven=MEASURED, held={"lane_strangers_turned_away": ()},
        text="connections to the lane that ended before they had proved themselves",
    ),
    # ---- what is there --------------------------------------------------------------------------------------------
    _gauge(
        name="accounts", unit="", proven=MEASURED, held={"accounts": ()}, text="accounts the shard owns",
    ),
    _gauge(name="tweets", unit="", proven=MEASURED, held={"tweets": ()}, text="tweets of those accounts"),
    _gauge(
        name="edges", unit="", proven=MEASURED, held={"edges": ()}, text="accounts followed by those accounts",
    ),
    _gauge(name="rings", unit="", proven=MEASURED, held={"rings": ()}, text="home timelines in memory"),
    _gauge(
        name="memory_part_bytes", unit="bytes", labels=("part",), proven=MEASURED, held={"part_bytes": ()},
        text="memory by what is in it: edges, rings, tweets, arrivals, pieces (rendered tweets), cards (other shards'"
        " accounts)",
    ),
    _counter(
        name="pieces_evicted_total", unit="", proven=MEASURED, held={"pieces_evicted": ()},
        text="rendered tweets given up for newer ones (timeline.pieces_mb)",
    ),
    # ---- replication and moves ------------------------------------------------------------------------------------
    _gauge(
        name="primary", unit="", proven=MEASURED, held={"primary": ()}, text="1 if the replica leads its shard",
    ),
    _gauge(name="term", unit="", proven=MEASURED, held={"term": ()}, text="term in which the shard is led"),
    _gauge(
        name="map_epoch", unit="", proven=MEASURED, held={"map_epoch": ()},
        text="epoch of the shard map that the replica knows",
    ),
    _gauge(name="level", unit="", proven=MEASURED, held={"level": ()}, text="level of the shard's state"),
    _gauge(
        name="in_sync_replicas", unit="", proven="a_leader_tells_how_far_its_followers_are",
        held={"in_sync_replicas": ()}, text="replicas in sync, the leader included; 0 of a replica that doesn't lead",
    ),
    _gauge(
        name="replication_lag_records", unit="", labels=("follower",), held={"replication_lag_records": ()},
        proven="a_leader_tells_how_far_its_followers_are", text="journal records that a follower hasn't acknowledged",
    ),
    _gauge(
        name="frozen", unit="", proven=MEASURED, held={"frozen": ()},
        text="1 while writes wait for a move of buckets or the cut of a backup",
    ),
    # ---- search ---------------------------------------------------------------------------------------------------
    _counter(
        name="searches_total", unit="", labels=("result",), proven=SEARCHED,
        text="questions to the search engine and the posting lists: answered, failed, dropped as nobody waited any"
        " more, refused for their number",
        held={
            "searches_answered": ("answered",), "searches_failed": ("failed",), "searches_late": ("late",),
            "searches_shed": ("refused",),
        },
    ),
    _gauge(
        name="search_in_flight", unit="", proven=SEARCHED, held={"search_in_flight": ()},
        text="questions that the search engine works on",
    ),
    _gauge(
        name="search_backlog", unit="", proven=SEARCHED, held={"search_backlog": ()},
        text="changes that the search engine hasn't taken in yet",
    ),
    _gauge(
        name="search_state", unit="", proven=SEARCHED, held={"search_state": ()},
        text="; ".join(f"{number}: {state}" for number, state in enumerate(SEARCH_STATES)),
    ),
)  # fmt: skip
