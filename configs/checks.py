"""Rules about more than one setting, checked when settings are loaded.

Rules of this file
- One function per rule. It returns None, or the field to change, what is wrong with which values, and the fix.
- A rule names every setting it reads in `reads`, so that it is left out when one of them is itself unusable: one
  mistake gives one message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from configs.sections import NODE_ADDRESS, PORT_MAX, PORT_MIN

if TYPE_CHECKING:
    from configs.settings import Settings


HANG_MS_MIN = 2_000
LOGINS_PER_MIN_MAX = 120  # from one address: many people behind one, and still years for a thousand passwords a name


class Finding(NamedTuple):
    """What a rule found: the field to change, what is wrong, and what to do."""

    field: str
    message: str
    fix: str


Check = Callable[["Settings"], Finding | None]


class Rule(NamedTuple):
    """A check and the settings it reads."""

    reads: tuple[str, ...]
    check: Check


RULES: list[Rule] = []


def rule(*reads: str) -> Callable[[Check], Check]:
    """Register a check that reads these settings."""

    def register(check: Check) -> Check:
        RULES.append(Rule(reads, check))
        return check

    return register


def is_loopback(host: str) -> bool:
    """Return whether a listener on this host can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name; it may resolve to anything
        return False


@rule("cluster.hang_ms")
def a_hang_is_longer_than_a_pause(s: Settings) -> Finding | None:
    if not 0 < s.cluster.hang_ms < HANG_MS_MIN:
        return None
    return Finding(
        "cluster.hang_ms",
        f"is {s.cluster.hang_ms}, and a process that is only busy may pause for that long",
        f"set cluster.hang_ms={HANG_MS_MIN} or more, or 0 to end nobody",
    )


@rule("auth.mode", "server.host")
def open_mode_stays_on_loopback(s: Settings) -> Finding | None:
    if s.auth.mode != "open" or is_loopback(s.server.host):
        return None
    return Finding(
        "auth.mode",
        f"believes any user_id, and server.host is {s.server.host}, which other machines can reach",
        "set auth.mode=token, or server.host=127.0.0.1",
    )


@rule("limits.enabled", "limits.address_logins_per_min", "server.host", "auth.mode", "cluster.ray_address")
def logins_are_limited_where_others_reach_them(s: Settings) -> Finding | None:
    """A profile for one machine isn't silently taken elsewhere; limits that are switched off are somebody's choice."""
    logins, host = s.limits.address_logins_per_min, s.server.host
    if is_loopback(host) or not s.limits.enabled or logins <= LOGINS_PER_MIN_MAX:
        return None
    if s.auth.mode == "open" or (host == NODE_ADDRESS and not s.cluster.ray_address):
        return None  # other rules refuse that
    return Finding(
        "limits.address_logins_per_min",
        f"is {logins}, made for one machine, and server.host is {host}, which other machines can reach",
        f"set limits.address_logins_per_min={LOGINS_PER_MIN_MAX} (as --profile cluster does), or server.host=127.0.0.1",
    )


@rule("auth.mode", "server.wrk2_api")
def wrk2_api_needs_open_mode(s: Settings) -> Finding | None:
    if not s.server.wrk2_api or s.auth.mode == "open":
        return None
    return Finding(
        "server.wrk2_api",
        f"has no tokens, so it needs auth.mode=open, which is {s.auth.mode}",
        "set auth.mode=open, or server.wrk2_api=false",
    )


@rule("server.host", "cluster.outlive_serve", "cluster.ray_address")
def nodes_are_of_a_joined_cluster(s: Settings) -> Finding | None:
    if s.cluster.ray_address:
        return None
    if s.server.host == NODE_ADDRESS:
        return Finding("server.host", "is the node's, but there is no Ray cluster to join", "set server.host=127.0.0.1")
    if s.cluster.outlive_serve:
        return Finding(
            "cluster.outlive_serve", "can't be: a local Ray ends with serve", "set cluster.ray_address, or =false"
        )
    return None


@rule("cluster.replicas", "storage.backend")
def replicas_have_disks_of_their_own(s: Settings) -> Finding | None:
    if s.cluster.replicas == 1 or s.storage.backend == "duckdb":
        return None
    return Finding(
        "cluster.replicas",
        "more than one copy of a shard needs storage of its own for each; with redis any node brings a shard back",
        "set cluster.replicas=1, or storage.backend=duckdb",
    )


@rule("durability.ack", "cluster.replicas")
def acknowledgement_needs_replicas(s: Settings) -> Finding | None:
    if s.durability.ack == "journal" or s.cluster.replicas >= 2:
        return None
    return Finding(
        "durability.ack",
        f"needs cluster.replicas of at least 2, which is {s.cluster.replicas}",
        "set durability.ack=journal",
    )


@rule("timeline.arrivals_max")
def arrivals_are_a_power_of_two(s: Settings) -> Finding | None:
    arrivals = s.timeline.arrivals_max
    if arrivals & (arrivals - 1) == 0:
        return None
    below = 1 << (arrivals.bit_length() - 1)
    return Finding(
        "timeline.arrivals_max",
        "must be a power of two, because arrival numbers wrap by a mask",
        f"set timeline.arrivals_max={below} or {below * 2}",
    )


@rule("timeline.arrivals_max", "timeline.length")
def arrivals_cover_a_timeline(s: Settings) -> Finding | None:
    if s.timeline.arrivals_max >= s.timeline.length:
        return None
    enough = 1 << (s.timeline.length - 1).bit_length()
    return Finding(
        "timeline.arrivals_max",
        f"is smaller than timeline.length, which is {s.timeline.length}: a shard must hold one full timeline",
        f"set timeline.arrivals_max={enough} or more",
    )


@rule("auth.argon2_memory_kib", "auth.argon2_parallelism")
def argon2_has_memory_for_its_lanes(s: Settings) -> Finding | None:
    needed = 8 * s.auth.argon2_parallelism  # RFC 9106, section 3.1
    if s.auth.argon2_memory_kib >= needed:
        return None
    return Finding(
        "auth.argon2_memory_kib",
        f"is less than 8 KiB for each of the {s.auth.argon2_parallelism} lanes of auth.argon2_parallelism",
        f"set auth.argon2_memory_kib={needed} or more",
    )


@rule("storage.segment_bytes_max", "limits.body_bytes_max")
def a_segment_holds_a_record(s: Settings) -> Finding | None:
    if s.storage.segment_bytes_max >= s.limits.body_bytes_max:
        return None
    return Finding(
        "storage.segment_bytes_max",
        f"is smaller than limits.body_bytes_max, which is {s.limits.body_bytes_max}: a write must fit in a segment",
        f"set storage.segment_bytes_max={s.limits.body_bytes_max} or more",
    )


@rule("server.host", "server.port", "cluster.dashboard", "cluster.dashboard_host", "cluster.dashboard_port")
def ports_do_not_collide(s: Settings) -> Finding | None:
    if not s.cluster.dashboard or s.cluster.ray_address or s.server.port != s.cluster.dashboard_port:
        return None
    return Finding(
        "server.port",
        "is also cluster.dashboard_port",
        f"set cluster.dashboard_port={s.server.port - 1 if s.server.port > 1 else s.server.port + 1}",
    )


@rule(
    "metrics.http",
    "server.port",
    "cluster.workers",
    "cluster.ray_address",
    "cluster.dashboard",
    "cluster.dashboard_port",
)
def metrics_have_ports_of_their_own(s: Settings) -> Finding | None:
    if s.metrics.address is None:
        return None
    host, first = s.metrics.address
    if host == NODE_ADDRESS and not s.cluster.ray_address:
        return Finding(
            "metrics.http", "is at the node's address, but there is no Ray cluster to join", f"set 127.0.0.1:{first}"
        )
    last = first + s.cluster.workers - 1
    if not PORT_MIN <= first <= last <= PORT_MAX:
        wanted = f"ports {first} to {last}, one for each of cluster.workers, which there aren't"
        return Finding("metrics.http", f"needs {wanted}", f"set a port of at most {PORT_MAX - s.cluster.workers + 1}")
    taken = {s.server.port: "server.port"}
    if s.cluster.dashboard:
        taken[s.cluster.dashboard_port] = "cluster.dashboard_port"
    for port, name in taken.items():
        if first <= port <= last:
            return Finding("metrics.http", f"would take {port}, which is {name}", f"set its port above {port}")
    return None


@rule("mail.host", "mail.tls", "mail.username")
def mail_is_encrypted_where_others_could_read_it(s: Settings) -> Finding | None:
    if not s.mail.host or s.mail.tls != "off" or is_loopback(s.mail.host):
        return None
    return Finding(
        "mail.tls",
        f"is off, and mail.host is {s.mail.host}, so others may read codes and passwords on their way",
        "set mail.tls=starttls or mail.tls=implicit, or mail.host=127.0.0.1",
    )


@rule("mail.host", "mail.sender")
def mail_comes_from_somebody(s: Settings) -> Finding | None:
    if not s.mail.host or s.mail.sender:
        return None
    return Finding("mail.sender", "is empty, and mail.host is set", "set mail.sender to an address of yours")


@rule("mail.password", "mail.password_file", "mail.username")
def one_password_for_one_name(s: Settings) -> Finding | None:
    given = [name for name in ("password", "password_file") if getattr(s.mail, name)]
    if len(given) == 2:
        return Finding("mail.password_file", "is set beside mail.password", "set one of the two")
    if bool(given) != bool(s.mail.username):
        return Finding(
            "mail.username", "and a password need each other", "set both, mail.username and mail.password_file, or none"
        )
    return None


@rule("outgoing.push", "outgoing.push_contact")
def push_services_reach_somebody(s: Settings) -> Finding | None:
    if not s.outgoing.push or s.outgoing.push_contact:
        return None
    return Finding(
        "outgoing.push_contact", "is empty, and outgoing.push is on", "set outgoing.push_contact=mailto:YOU@EXAMPLE.ORG"
    )
