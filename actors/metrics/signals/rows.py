"""The table of what may be wrong: a light of the console and an alert of Prometheus by a row each.

Rules of this file
- A row says what clients notice. What it is due to, and what to do, says its section of docs/operations.md, whose
  heading is the alert's name; a test wants one for each.
- Conditions take figures that are told both to `/metrics` and to Ray.
- `for_s` is long enough that looks every 2 s and scrapes every 10 s agree, and that a failover or a `roll` is none.
- Only labels that the condition leaves may stand in `says`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from actors.metrics.signals.expressions import (
    Absent,
    Age,
    Expression,
    figures,
    increase,
    last,
    latest,
    predicted,
    rate,
    within,
)

Light = Literal["serving", "writes", "delivery", "storage", "replicas", "space", "search", "live"]
Severity = Literal["critical", "warning"]
LIGHTS: Final[Mapping[Light, str]] = {
    "serving": "requests are answered, and soon",
    "writes": "writes are taken",
    "delivery": "tweets reach home timelines",
    "storage": "what is acknowledged is on disk, and backed up",
    "replicas": "every shard has its copies, and processes stay",
    "space": "there is room: disk, memory, files, accounts",
    "search": "searches are whole and fresh",
    "live": "streams, notifications, mail and media",
}  # of the console, in its order; the words are those of one that is well
ALERT_PREFIX: Final = "Rookery"
WRITES: Final = "method=~POST|PUT|PATCH|DELETE"
MINUTE, HOUR, DAY = 60, 3_600, 86_400
ERRORS_SHARE: Final = 0.001  # the budget: 99.9 % of requests aren't failed by us
DISK_AHEAD_S: Final = 4 * HOUR
ROOM_BYTES_MIN: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Signal:
    """A row. says: what clients notice, with the condition's labels in braces; board: the dashboard that shows it.

    page: of the console, below /console, likewise with labels in braces.
    """

    name: str
    light: Light
    severity: Severity
    says: str
    condition: Expression
    for_s: int
    board: str = "overview"
    page: str = ""

    @property
    def alert(self) -> str:
        """Its name in Prometheus, and the heading of its section of the runbook."""
        return ALERT_PREFIX + self.name

    @property
    def anchor(self) -> str:
        """Where that section is in the page."""
        return self.alert.lower()

    def said_of(self, labels: Mapping[str, str]) -> str:
        """Return what it says of one set of labels."""
        return re.sub(r"\{(\w+)\}", lambda found: labels.get(found[1], "?"), self.says)


def _failed_share(window_s: int) -> Expression:
    all_of = rate("http_requests_total", window_s).sum_by()
    return rate("http_requests_total", window_s, "status=~5..").sum_by() / all_of


def _filled(name: str) -> Expression:
    """How full something of a replica is."""
    bound = latest("limit", f"name={name}").max_by("shard", "replica")
    return latest(name).max_by("shard", "replica") / bound


SIGNALS: Final[tuple[Signal, ...]] = (
    # ---- serving --------------------------------------------------------------------------------------------------
    Signal(
        "NoLeader", "serving", "critical", "accounts of shard {shard} can't write, and may not be able to read",
        latest("router_shard_served").max_by("shard") < 1, 30, "shards", "shards/{shard}",
    ),
    Signal(
        "NoWorker", "serving", "critical", "no API worker tells its figures: nobody may be answered",
        Absent(figures("http_connections")), MINUTE, "http",
    ),
    Signal(
        "NoRouter", "serving", "critical", "nobody watches over the shards: what dies now stays away",
        Absent(figures("router_map_epoch")), 2 * MINUTE, "shards",
    ),
    Signal(
        "ErrorsFast", "serving", "critical", "many requests fail: an error budget of 30 days would last 2",
        (_failed_share(5 * MINUTE) > 14.4 * ERRORS_SHARE) & (_failed_share(HOUR) > 14.4 * ERRORS_SHARE), MINUTE, "http",
    ),
    Signal(
        "ErrorsSlow", "serving", "warning", "requests fail: an error budget of 30 days would last 5",
        (_failed_share(30 * MINUTE) > 6 * ERRORS_SHARE) & (_failed_share(6 * HOUR) > 6 * ERRORS_SHARE), 15 * MINUTE,
        "http",
    ),
    Signal(
        "ReadsSlow", "serving", "warning", "more than one read in a hundred takes over half a second",
        within("http_request_duration_seconds", "0.5", 5 * MINUTE, where=("method=GET", "route!~.*stream.*")) < 0.99,
        5 * MINUTE, "http",
    ),
    Signal(
        "ProcessBusy", "serving", "warning", "{process} is late for what it has to do: whoever asks it waits",
        within("process_loop_lag_seconds", "0.5", 5 * MINUTE, "process") < 0.95, 5 * MINUTE,
    ),
    Signal(
        "ConnectionsFull", "serving", "warning", "{worker} soon refuses new connections",
        latest("http_connections").max_by("worker") / latest("http_connections_bound").max_by("worker") > 0.9,
        2 * MINUTE, "http",
    ),
    # ---- writes ---------------------------------------------------------------------------------------------------
    Signal(
        "WritesRefused", "writes", "critical", "more than one write in a hundred is refused with 503",
        rate("http_requests_total", 5 * MINUTE, "status=503", WRITES).sum_by()
        / rate("http_requests_total", 5 * MINUTE, WRITES).sum_by() > 0.01,
        MINUTE, "http",
    ),
    Signal(
        "JournalNotWritable", "writes", "critical", "shard {shard} takes no writes: its journal can't be written",
        latest("storage_writable").min_by("shard", "replica") < 1, 30, "shards", "shards/{shard}",
    ),
    Signal(
        "WritesSlow", "writes", "warning", "more than one write in a hundred of shard {shard} takes over a second",
        within("write_duration_seconds", "1", 5 * MINUTE, "shard") < 0.99, 5 * MINUTE, "shards", "shards/{shard}",
    ),
    Signal(
        "MailboxFilling", "writes", "warning", "shard {shard} soon refuses requests: too many wait for its disk",
        _filled("mailbox_depth") > 0.5, MINUTE, "shards", "shards/{shard}",
    ),
    # ---- delivery -------------------------------------------------------------------------------------------------
    Signal(
        "DeliverySlow", "delivery", "warning", "tweets come to home timelines of shard {shard} over 5 s late",
        within("delivery_lag_seconds", "5", 5 * MINUTE, "shard") < 0.99, 5 * MINUTE, "shards", "shards/{shard}",
    ),
    Signal(
        "OutboxFilling", "delivery", "warning", "shard {shard} soon refuses writes: another shard takes no messages",
        _filled("outbox_messages") > 0.5, MINUTE, "shards", "shards/{shard}",
    ),
    # ---- storage --------------------------------------------------------------------------------------------------
    Signal(
        "CheckpointOld", "storage", "warning", "a restart of shard {shard} would take long: nothing is folded",
        latest("checkpoint_lag_seconds").max_by("shard", "replica") > 1_800, 5 * MINUTE, "shards", "shards/{shard}",
    ),
    Signal(
        "CheckpointFails", "storage", "warning", "shard {shard} can't fold its journal into the checkpoint",
        increase("checkpoint_writes_total", 15 * MINUTE, "result=failed").sum_by("shard", "replica") > 2, MINUTE,
        "shards", "shards/{shard}",
    ),
    Signal(
        "BackupOld", "storage", "warning", "the last backup is over 8 days old: more than a week could be lost",
        Age(latest("router_backup_timestamp_seconds").max_by()) > 8 * DAY, 10 * MINUTE, "shards",
    ),
    # ---- replicas -------------------------------------------------------------------------------------------------
    Signal(
        "CopyNotInSync", "replicas", "warning", "a copy of shard {shard} is missing: one more failure may stop it",
        latest("router_replica_in_sync").max_by("shard", "replica") < 1, 5 * MINUTE, "shards", "shards/{shard}",
    ),
    Signal(
        "Elections", "replicas", "warning", "shards change their leaders again and again: writes stop for moments",
        increase("router_elections_total", 15 * MINUTE).sum_by()
        / latest("router_shard_served").max_by("shard").count_by() > 3, MINUTE, "shards",
    ),
    Signal(
        "Restarts", "replicas", "warning", "{process} ends again and again",
        Age(last("process_start_time_seconds", 5 * MINUTE).max_by("process")) < 180, 8 * MINUTE,
    ),
    Signal(
        "VersionsMixed", "replicas", "warning", "processes of several versions run: new features wait for the last one",
        latest("build_info").max_by("version").count_by() > 1, 4 * HOUR,
    ),
    # ---- space ----------------------------------------------------------------------------------------------------
    Signal(
        "DiskFullSoon", "space", "critical", "the disk of shard {shard} is full in 4 hours: then it takes no writes",
        predicted("storage_free_bytes", HOUR, DISK_AHEAD_S).min_by("shard", "replica") < 0, 10 * MINUTE, "shards",
        "shards/{shard}",
    ),
    Signal(
        "DiskFull", "space", "critical", "the disk of shard {shard} has less than 1 GiB left",
        latest("storage_free_bytes").min_by("shard", "replica") < ROOM_BYTES_MIN, MINUTE, "shards", "shards/{shard}",
    ),
    Signal(
        "MemoryShort", "space", "critical", "the machine of {process} has little memory left: processes may be killed",
        latest("process_machine_available_bytes").max_by("process")
        / latest("process_machine_memory_bytes").max_by("process") < 0.08, 2 * MINUTE,
    ),
    Signal(
        "FilesShort", "space", "warning", "{process} soon can't open files and connections",
        latest("process_open_fds").max_by("process") / latest("process_max_fds").max_by("process") > 0.8, 2 * MINUTE,
    ),
    Signal(
        "ShardFull", "space", "warning", "shard {shard} soon takes no new accounts",
        _filled("accounts") > 0.8, 5 * MINUTE, "shards", "shards/{shard}",
    ),
    # ---- search ---------------------------------------------------------------------------------------------------
    Signal(
        "SearchPartial", "search", "warning", "searches find only a part: some shard doesn't answer them",
        rate("http_search_partial_total", 5 * MINUTE).sum_by() > 0.02, 5 * MINUTE, "shards",
    ),
    Signal(
        "SearchBehind", "search", "warning", "new tweets of shard {shard} aren't found: its search engine isn't ready",
        (latest("search_state").max_by("shard", "replica") > 0)
        & (latest("search_state").max_by("shard", "replica") < 4), 15 * MINUTE, "shards", "shards/{shard}",
    ),
    # ---- live -----------------------------------------------------------------------------------------------------
    Signal(
        "OutgoingLate", "live", "warning", "mail, push messages and webhooks of shard {shard} are late",
        latest("outgoing_late_seconds").max_by("shard") > 300, 5 * MINUTE, "live", "shards/{shard}",
    ),
    Signal(
        "MediaStuck", "live", "warning", "uploads wait, and none is processed",
        (latest("media_waiting").max_by("worker").sum_by() > 0).unless(
            rate("media_process_seconds_total", 10 * MINUTE).sum_by() > 0
        ), 10 * MINUTE, "live",
    ),
    Signal(
        "StreamsCutOff", "live", "warning", "a tenth of the streams was closed within 10 minutes, as they fell behind",
        increase("streams_cut_off_total", 10 * MINUTE, "reason=~slow|behind").sum_by()
        / latest("streams").max_by("worker", "kind").sum_by() > 0.1, 2 * MINUTE, "live",
    ),
)  # fmt: skip
