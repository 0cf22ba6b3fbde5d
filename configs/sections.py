"""Every setting: its name, type, default, bounds and help text, one class per section.

Rules of this file
- A setting is declared here and nowhere else. The profiles in `configs/*.toml` change values, never add names.
- Units come last in names (`_s`, `_ms`, `_bytes_max`). Every number has bounds, with the reason beside it where the
  bound isn't plain from the help text.
- The help text is one line for an operator; `Settings.describe()` prints it.
- Rules about more than one setting live in `configs/checks.py`.

What it costs: validated once at start-up; afterwards attribute access on frozen models.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PORT_MIN, PORT_MAX = 1, 65_535
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ROW_COUNT_MAX = (1 << 31) - 1  # ring rows and local followers are int32
SECRET = {"secret": True}  # marks a field whose value may hold a password


def _absolute(value: object) -> object:
    """Make a path absolute at load: Ray's workers run in other working directories. None: it can't be a folder."""
    path = Path(value).expanduser().resolve() if isinstance(value, str | Path) and str(value).strip() else None
    return None if path is not None and os.path.isfile(path) else path


def _networks(value: object) -> object:
    """Split comma-separated networks and check each; the environment and --set can only give text."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if isinstance(items, list | tuple):
        for item in items:
            ipaddress.ip_network(item)
    return items


NETWORKS_EXPECTED = "networks with a comma between them, such as 10.0.0.0/8,fd00::/8"
Networks = Annotated[tuple[str, ...], BeforeValidator(_networks)]
PUBLIC_URL_CHARS_MAX = 300  # it goes into the header of every page, twice
PUBLIC_URL_PATTERN = r"^(https?://([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%\-]+)*/?)?$"
PublicUrl = Annotated[str, Field(pattern=PUBLIC_URL_PATTERN)]
Port = Annotated[int, Field(ge=PORT_MIN, le=PORT_MAX)]
NODE_ADDRESS = "node"  # a host that is not a name: the address by which Ray knows the node
HOST_PATTERN = r"^[A-Za-z0-9._:\-]+$"
Host = Annotated[str, Field(pattern=HOST_PATTERN, json_schema_extra={"expected": "a host name or an IP address"})]
MetricsPlace = Annotated[
    str,
    Field(
        pattern=r"^(auto|shared|off|([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$",
        json_schema_extra={"expected": "auto, shared, off, or HOST:PORT such as 127.0.0.1:9464"},
    ),
]
LANGUAGE_PATTERN = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?")


def _languages(value: object) -> object:
    """Split comma-separated codes and check each."""
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    if isinstance(items, list | tuple) and not all(LANGUAGE_PATTERN.fullmatch(str(item)) for item in items):
        return None
    return items


def _absolute_or_empty(value: object) -> object:
    """As `_absolute`, but nothing is nothing, and it is a text."""
    found = _absolute(value)
    return "" if value == "" else None if found is None else str(found)


Languages = Annotated[tuple[str, ...], BeforeValidator(_languages)]
Folder = Annotated[str, BeforeValidator(_absolute_or_empty)]
DataDir = Annotated[Path, BeforeValidator(_absolute)]


class Section(BaseModel):
    """A frozen group of settings that refuses names it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AuthSection(Section):
    """Who is calling."""

    mode: Literal["token", "open"] = Field(
        "token", description="token: callers prove who they are; open: user_id is believed, loopback only"
    )
    token_cache_s: float = Field(
        5.0, ge=0, le=300, description="how long an API worker believes a verified token without asking its shard"
    )
    # OWASP's first recommendation for Argon2id; about 25 ms a hash on one core.
    argon2_time_cost: int = Field(2, ge=1, le=16, description="passes over memory for one password hash")
    argon2_memory_kib: int = Field(19_456, ge=8, le=4 * MIB, description="memory of one password hash, in KiB")
    argon2_parallelism: int = Field(1, ge=1, le=16, description="lanes of one password hash")


class RegistrationsSection(Section):
    """Who may make an account."""

    mode: Literal["open", "approval", "closed"] = Field(
        "open", description="open: anybody; approval: anybody, and an operator lets each in; closed: nobody"
    )


class LimitsSection(Section):
    """Bounds on what callers may use. Every queue in the cluster has its bound here."""

    enabled: bool = Field(True, description="rate limits on or off; sizes and queues are bounded either way")
    account_reads_per_min: int = Field(6_000, ge=1, description="reads one account may make, refill rate")
    account_reads_burst: int = Field(600, ge=1, description="reads one account may make at once")
    account_writes_per_min: int = Field(600, ge=1, description="writes one account may make, refill rate")
    account_writes_burst: int = Field(300, ge=1, description="writes one account may make at once")
    address_reads_per_min: int = Field(30_000, ge=1, description="reads from one address, refill rate")
    address_reads_burst: int = Field(3_000, ge=1, description="reads from one address at once")
    address_writes_per_min: int = Field(6_000, ge=1, description="writes from one address, refill rate")
    address_writes_burst: int = Field(600, ge=1, description="writes from one address at once")
    # A unit is one word of a search for tweets, newest first; a prefix is 5, by rank all of it is 3 times as much.
    account_search_units_per_min: int = Field(6_000, ge=1, description="cost of an account's searches, refill rate")
    account_search_units_burst: int = Field(1_200, ge=1, description="cost of an account's searches at once")
    address_search_units_per_min: int = Field(18_000, ge=1, description="cost of an address's searches, refill rate")
    address_search_units_burst: int = Field(3_000, ge=1, description="cost of an address's searches at once")
    address_logins_per_min: int = Field(
        30, ge=1, description="wrong passwords from one address, refill rate; a tenth for one name"
    )
    address_logins_burst: int = Field(
        60, ge=1, description="wrong passwords from one address at once; a tenth for one name"
    )
    address_registers_per_min: int = Field(10, ge=1, description="accounts registered from one address, refill rate")
    address_registers_burst: int = Field(50, ge=1, description="accounts registered from one address at once")
    # The largest legal body is a profile with all its free-form fields; a tweet is a few KiB even as \u escapes.
    # A body has to fit in a lane frame of 8 MiB with room to spare.
    body_bytes_max: int = Field(64 * KIB, ge=4 * KIB, le=4 * MIB, description="size of one request body")
    inflight_max: int = Field(1_024, ge=1, le=1_000_000, description="requests in progress in one API worker")
    # A connection takes some 10 KB. With a lower limit on open files (ulimit -Hn) there are fewer, and a warning.
    connections_max: int = Field(8_192, ge=1, le=1_000_000, description="open connections of one API worker")
    address_connections_max: int = Field(
        1_024, ge=1, le=1_000_000, description="open connections of one address to one API worker"
    )
    # A stream takes some 4 KB here, and as much in the system; it is a file beside those of connections.
    streams_max: int = Field(8_192, ge=0, le=1_000_000, description="open streams of one API worker; 0: none")
    streams_per_account_max: int = Field(
        16, ge=1, le=100_000, description="open streams of one account to one API worker"
    )
    streams_per_address_max: int = Field(
        64, ge=1, le=1_000_000, description="open streams without a token of one address to one API worker"
    )
    mailbox_max: int = Field(10_000, ge=1, le=10_000_000, description="requests waiting in one shard")
    outbox_messages_max: int = Field(
        200_000, ge=1, description="messages one shard holds for one other shard before it refuses writes"
    )
    outbox_bytes_max: int = Field(
        128 * MIB, ge=MIB, description="bytes one shard holds for one other shard before it refuses writes"
    )
    tweets_per_shard_max: int = Field(100_000_000, ge=1, description="tweets that one shard's accounts may have")
    marks_per_shard_max: int = Field(
        200_000_000, ge=1, description="likes, likers, reposters, replies and bookmarks of one shard, 18 bytes each"
    )
    papers_bytes_per_shard_max: int = Field(
        1024 * MIB,
        ge=1,
        description="scheduled tweets, earlier versions of tweets, apps of one shard, with their overhead",
    )
    accounts_per_shard_max: int = Field(2_000_000, ge=1, le=ROW_COUNT_MAX, description="accounts of one shard")


class TweetSection(Section):
    """What may be posted."""

    max_chars: int = Field(280, ge=1, le=10_000, description="length of a status, in code points after NFC")


class TimelineSection(Section):
    """What a home timeline holds, and how it gets there."""

    length: int = Field(800, ge=1, le=16_384, description="entries that a home timeline keeps in memory (H)")
    pull_threshold: int = Field(
        10_000, ge=1, description="followers above which an author's tweets are pulled by reads, not pushed into rings"
    )
    dormant_after_days: int = Field(30, ge=1, le=36_500, description="days without a read before a ring is freed")
    arrivals_max: int = Field(
        1 << 20, ge=16, le=1 << 31, description="tweets each shard keeps in memory; a power of two, at least length"
    )
    counts_flush_ms: int = Field(250, ge=1, le=60_000, description="how long changed counts gather before they travel")
    pieces_mb: int = Field(
        64,
        ge=1,
        le=65_536,
        description="memory in MiB for rendered tweets that a shard keeps; what was made first goes first",
    )
    cards_max: int = Field(
        500_000,
        ge=1_000,
        le=100_000_000,
        description="accounts of other shards that a shard knows to show them with tweets, for APIs that do so",
    )


class StorageSection(Section):
    """Where journals and checkpoints live."""

    backend: Literal["duckdb", "redis"] = Field("duckdb", description="duckdb: embedded files; redis: a shared server")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        pattern=r"^(rediss?|unix)://\S+$",
        description="server of the redis backend",
        repr=False,
        json_schema_extra={**SECRET, "expected": "redis://HOST:PORT/DB, rediss://... or unix:///PATH"},
    )
    data_dir: DataDir = Field(Path("data"), validate_default=True, description="folder of journals and checkpoints")
    segment_bytes_max: int = Field(
        16 * MIB, ge=64 * KIB, le=4 * GIB, description="journal bytes after which a segment closes and can be folded"
    )
    segment_records_max: int = Field(
        50_000, ge=1, le=1_000_000_000, description="journal records after which a segment closes"
    )


class DurabilitySection(Section):
    """What "done" means."""

    ack: Literal["journal", "replica", "majority"] = Field(
        "journal", description="where a write must be durable before it is acknowledged"
    )


class ClusterSection(Section):
    """Ray, and what runs on it."""

    # A bucket's shard is one byte in the shard map.
    shards: int = Field(2, ge=1, le=256, description="shards that own the 1,024 buckets")
    replicas: int = Field(1, ge=1, le=3, description="copies of each shard")
    # Ray itself keeps as many idle processes as there are CPUs, and laptops have two or more.
    spares: int = Field(
        2, ge=0, le=16, description="idle processes per node that can become a shard at once; 130 MB each"
    )
    workers: int = Field(1, ge=1, le=256, description="API workers per node; they share the port")
    namespace: str = Field(
        "rookery",
        pattern=r"^[a-z][a-z0-9_\-]{0,62}$",
        description="Ray namespace; clusters with different ones can share a Ray cluster",
        json_schema_extra={"expected": "1 to 63 lower-case letters, digits, - or _, starting with a letter"},
    )
    ray_address: str = Field("", description="Ray cluster to join (HOST:PORT or auto); empty starts a local one")
    # Ray looks for the node whose address faces the head, and a machine may have several.
    ray_node_ip: str = Field(
        "",
        pattern=r"^[0-9A-Fa-f.:]*$",
        description="address of this machine's node of a joined Ray cluster; empty: Ray finds it",
        json_schema_extra={"expected": "an IP address, as in ray start --node-ip-address"},
    )
    require_ray_token: bool = Field(
        True, description="refuse to serve on a Ray that answers without a token: whoever reaches it can run code"
    )
    code_on_nodes: bool = Field(
        False,
        description="nodes of a joined Ray cluster were started with this code in PYTHONPATH; false: its path is sent",
    )
    outlive_serve: bool = Field(
        False, description="on a joined Ray cluster, shards and API workers go on when serve ends, until stop --address"
    )
    # Beats come twice a second. Below two seconds a busy disk or a full collection would look like a hang.
    hang_ms: int = Field(
        3_500, ge=0, le=600_000,
        description="silence of a process's event loop after which it is ended and started again; 0: never",
    )  # fmt: skip
    # Process managers that wait for ten seconds before they kill are common; journals make a kill safe all the same.
    stop_ms: int = Field(
        7_000, ge=100, le=3_600_000,
        description="time for a clean stop to answer what is under way and fold journals; what is left is replayed",
    )  # fmt: skip
    ray_num_cpus: int = Field(0, ge=0, le=4_096, description="CPUs that a local Ray may count on; 0: all there are")
    dashboard: bool = Field(True, description="Ray dashboard of a local Ray, on or off")
    # The dashboard can run code and asks nobody who they are.
    dashboard_host: Host = Field("127.0.0.1", description="address of the dashboard; keep it on loopback")
    dashboard_port: Port = Field(8265, description="port of the dashboard")


class SearchSection(Section):
    """Search, hashtag timelines, suggestions and trends."""

    enabled: bool = Field(True, description="a search engine beside each replica of a shard, on or off")
    commit_ms: int = Field(
        200, ge=10, le=60_000, description="how far commits of an index are apart; so long a tweet may wait to be found"
    )
    timeout_ms: int = Field(
        1_000, ge=10, le=60_000, description="how long a search waits for a shard before its part is left out"
    )
    cache_ms: int = Field(1_000, ge=0, le=60_000, description="how long an API worker repeats an answer; 0: never")
    beside_home_reads: int = Field(
        2, ge=0, le=1_000,
        description="searches that an API worker has under way at once while it answers home reads; 0: any number",
    )  # fmt: skip
    candidates: int = Field(
        200, ge=20, le=1_000, description="tweets that an index gives its shard to rank for order=top: best, and newest"
    )
    half_life_hours: float = Field(24.0, gt=0, le=10_000, description="age at which a tweet's freshness has halved")
    freshness_floor: float = Field(0.05, ge=0, le=1, description="freshness below which no tweet falls")
    closeness_bonus: float = Field(1.0, ge=0, le=100, description="added to 1 for authors whom the reader follows")
    trend_interval_ms: int = Field(
        3_000, ge=100, le=600_000, description="how often the shards' sketches are merged into trends"
    )
    trend_authors_min: int = Field(3, ge=1, le=1_000, description="distinct authors that make a trend")


class ServerSection(Section):
    """The HTTP port."""

    host: Host = Field(
        "127.0.0.1", description="address that the API listens on; node: the one by which Ray knows each node"
    )
    port: Port = Field(8000, description="port that the API listens on")
    deadline_ms: int = Field(
        10_000, ge=100, le=600_000, description="how long a request waits for its shard before it is told 503"
    )
    trusted_proxies: Networks = Field(
        (),
        description="networks whose X-Forwarded-For, -Proto and -Host, or Forwarded, are believed",
        json_schema_extra={"expected": NETWORKS_EXPECTED},
    )
    # A proxy that writes the one hands on what its clients wrote in the other.
    proxy_header: Literal["any", "x-forwarded", "forwarded"] = Field(
        "any", description="which of these headers count; any: the first, or Forwarded where there is none of them"
    )
    public_url: PublicUrl = Field(
        "",
        max_length=PUBLIC_URL_CHARS_MAX,
        description="address by which clients know the API, for links; empty: what requests and trusted proxies say",
        json_schema_extra={"expected": "a URL such as https://example.org, without ? and #"},
    )
    access_log: Literal["all", "writes", "off"] = Field(
        "off", description="which requests are logged; failures (5xx) and slow ones are in any case"
    )
    wrk2_api: bool = Field(
        False, description="paths of the DeathStarBench social network, on or off; they need auth.mode=open"
    )

    @property
    def address(self) -> str:
        """The one address that rendered answers name, without a slash at its end: the same on every process."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", NODE_ADDRESS) else self.host
        own = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        return (self.public_url or own).rstrip("/")


class InstanceSection(Section):
    """What the server says of itself to Mastodon's clients."""

    title: str = Field("Rookery", min_length=1, max_length=100, description="name of the server")
    description: str = Field("", max_length=1_000, description="what the server is for, in a sentence or two")
    contact_email: str = Field("", max_length=254, description="address of who runs the server")
    contact_account: str = Field("", max_length=30, description="user name of who runs the server")
    languages: Languages = Field(
        ("en",),
        description="languages that people here write, the first one first",
        json_schema_extra={"expected": "codes with a comma between them, such as en,de"},
    )
    folder: Folder = Field(
        "",
        description="folder of rules, policies, announcements and emojis; every node needs it",
        json_schema_extra={"expected": "a folder, or nothing"},
    )


class WebSection(Section):
    """What people look at in a browser."""

    enabled: bool = Field(True, description="the web client at /, on or off; off: pages of signing in alone")


class OutgoingSection(Section):
    """What leaves the cluster of itself: off until it is configured."""

    webhooks: bool = Field(False, description="accounts may have webhooks, on or off")
    push: bool = Field(False, description="accounts may have notifications pushed to browsers and phones, on or off")
    push_contact: str = Field(
        "", max_length=300, pattern=r"^((mailto:|https://)[!-~]+)?$",
        description="where push services reach who runs the server: mailto: or https:",
    )  # fmt: skip
    dispatchers: int = Field(
        1, ge=1, le=64, description="processes that bring out what leaves; each serves some of the shards"
    )
    allow_networks: Networks = Field(
        (),
        description="private networks that requests to users' addresses may reach, and that without TLS",
        json_schema_extra={"expected": NETWORKS_EXPECTED},
    )
    host_requests_max: int = Field(8, ge=1, le=1_000, description="requests under way at once to one host")
    timeout_s: float = Field(10.0, gt=0, le=20, description="how long a receiver may take to answer one request")

    @property
    def channels(self) -> frozenset[str]:
        """Which ways out are configured, by their names."""
        return frozenset(name for name in ("webhooks", "push") if getattr(self, name))


class MailSection(Section):
    """The server that takes mail: nothing is mailed until it is named."""

    host: Annotated[str, Field(pattern=r"^([A-Za-z0-9._:\-]+)?$")] = Field(
        "",
        description="name of the server that mail is handed to; empty: no mail",
        json_schema_extra={"expected": "a host name or an IP address, or nothing"},
    )
    port: Port = Field(587, description="port of that server: 587 with starttls, 465 with implicit as a rule")
    tls: Literal["starttls", "implicit", "off"] = Field(
        "starttls", description="how the connection is encrypted; off: only to a server on this machine"
    )
    ca_file: str = Field("", max_length=4_096, description="file of certificates to believe, instead of the system's")
    username: str = Field("", max_length=300, description="user name at that server; empty: it asks for none")
    password: str = Field("", max_length=1_000, description="password there", json_schema_extra={"secret": "wholly"})
    password_file: str = Field("", max_length=4_096, description="file that holds the password, instead of it")
    sender: str = Field(
        "", max_length=254, pattern=r"^([^\s@<>\"(),:;\\]{1,64}@[^\s@<>\"(),:;\\]+)?$",
        description="address that mail comes from",
    )  # fmt: skip
    timeout_s: float = Field(10.0, gt=0, le=25, description="how long the server may take to answer")
    connections: int = Field(4, ge=1, le=64, description="connections at once that a dispatcher has to that server")


class MediaSection(Section):
    """Pictures, video and sound."""

    enabled: bool = Field(True, description="people may upload pictures, video and sound, on or off")
    store_url: str = Field(
        "", max_length=1_000, pattern=r"^(s3://[A-Za-z0-9._\-]+(/[A-Za-z0-9._/\-]*)?(\?[^\s@#]*)?)?$",
        description="bucket for their files, with credentials from the environment; empty: a folder",
        json_schema_extra={"expected": "s3://BUCKET[/PREFIX][?endpoint=https://HOST:PORT&region=REGION], or nothing"},
    )  # fmt: skip
    folder: Folder = Field(
        "", description="folder for their files, the same on all nodes; empty: media/objects in storage.data_dir"
    )
    public_url: PublicUrl = Field(
        "", max_length=PUBLIC_URL_CHARS_MAX,
        description="where people read the files, a CDN or another host; empty: /media of server.public_url",
    )  # fmt: skip
    image_bytes_max: int = Field(16 * MIB, ge=64 * KIB, le=GIB, description="size of an uploaded picture")
    video_bytes_max: int = Field(99 * MIB, ge=64 * KIB, le=16 * GIB, description="size of uploaded video or sound")
    attachments_max: int = Field(4, ge=1, le=16, description="pictures of one tweet")
    # Decoding one row after another, 33 million take 60 MiB; with interlaced files all of them are in memory at once.
    pixels_max: int = Field(33_000_000, ge=1_000_000, le=100_000_000, description="pixels of an uploaded picture")
    queue_max: int = Field(32, ge=1, le=1_000, description="files that wait to be processed on one node")
    uploads_per_hour: int = Field(120, ge=1, le=100_000, description="files that one account may upload in an hour")
    previews: bool = Field(False, description="fetch the first link of a tweet to show a preview of it, on or off")


class LaneSection(Section):
    """The request channel between API workers and shards."""

    host: Host = Field(
        "127.0.0.1", description="address of the lane's TCP side on a joined Ray cluster; other nodes must reach it"
    )
    tls: bool = Field(
        True, description="encrypt lanes between nodes (TLS 1.3); off: nobody else may read or change their traffic"
    )
    inflight_max: int = Field(1_024, ge=1, le=65_536, description="requests in flight on one connection")
    connections_max: int = Field(256, ge=1, le=65_536, description="API workers and tools connected to one shard")


class CheckpointSection(Section):
    """Folding journal segments into tables."""

    queue_batches_max: int = Field(
        4, ge=1, le=1_024, description="batches of changed rows that may wait in memory to be folded"
    )
    interval_s: int = Field(
        30, ge=1, le=86_400, description="how long a journal worth replaying may wait to be folded, in seconds"
    )


class LogSection(Section):
    """Logs."""

    format: Literal["console", "json"] = Field("console", description="console: for people; json: one object a line")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")


class MetricsSection(Section):
    """Metrics."""

    http: MetricsPlace = Field(
        "auto",
        description="where /metrics is: shared (the API's port), off, HOST:PORT (worker n of a node: PORT + n); "
        "auto: shared if server.host is loopback, else off",
    )
    ray_export: bool = Field(True, description="publish metrics through Ray's metrics endpoints")
    flush_ms: int = Field(1_000, ge=100, le=60_000, description="how often a process hands its metrics to Ray")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of their own, of the first worker of a node, if they have one."""
        host, _, port = self.http.rpartition(":")
        return (host.strip("[]"), int(port)) if host else None
