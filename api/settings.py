"""What an operator may set for the API: a plain value that the composition root fills from `configs/`.

Every duration is in seconds, every rate in requests per second. A burst is how many requests may come at once after
a quiet time. Defaults suit a laptop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Rate:
    """A token bucket: `per_s` requests a second on average, `burst` at once."""

    per_s: float
    burst: float


@dataclass(frozen=True)
class RateLimitSettings:
    """Rates per account (whoever the token stands for) and per address (IPv6 counts by /64)."""

    enabled: bool = True
    account_read: Rate = Rate(100, 500)
    account_write: Rate = Rate(20, 200)
    address_read: Rate = Rate(300, 2_000)
    address_write: Rate = Rate(100, 1_000)
    account_search: Rate = Rate(300, 3_000)  # units of search: see actors/text/costs.py
    address_search: Rate = Rate(1_000, 10_000)
    login: Rate = Rate(1, 60)  # wrong passwords: see login_attempts.py
    register: Rate = Rate(1, 60)  # per address
    table_entries_max: int = 100_000  # least recently used buckets are forgotten: some 20 MB
    trusted_proxies: tuple[str, ...] = ()  # networks such as "10.0.0.0/8"; see proxies.py
    proxy_header: Literal["any", "x-forwarded", "forwarded"] = "any"


@dataclass(frozen=True)
class PasswordSettings:
    """Argon2id cost (OWASP's second recommendation: 19 MiB, 2 passes) and how much of it may run at once."""

    time_cost: int = 2
    memory_kib: int = 19_456
    parallelism: int = 1
    # A thread for each four processors: with one on each of two, every home read beside a flood of log-ins finds both
    # taken, and takes 5 ms at the median instead of 1; they hashed no more than one does, as shards need them, too.
    threads: int = field(default_factory=lambda: max(1, (os.cpu_count() or 1) // 4))
    queue_count_max: int = 32  # more waiting than this is refused: 32 at 20 ms are 0.6 s on one thread


@dataclass(frozen=True)
class MediaSettings:
    """What may be uploaded. Bytes of a picture, and of video or sound; pixels of a picture."""

    image_bytes_max: int = 16 * 1024 * 1024
    video_bytes_max: int = 99 * 1024 * 1024
    pixels_max: int = 33_000_000
    attachments_max: int = 4
    uploads_per_hour: int = 120

    @property
    def bytes_max(self) -> int:
        """Bytes of one file, whichever kind it will turn out to be."""
        return max(self.image_bytes_max, self.video_bytes_max)


@dataclass(frozen=True)
class InstanceSettings:
    """What the server says of itself to Mastodon's clients. folder: see api/instance_folder.py, "" for none."""

    title: str = "Rookery"
    description: str = ""
    contact_email: str = ""
    contact_account: str = ""  # a user name
    languages: tuple[str, ...] = ("en",)
    folder: str = ""


@dataclass(frozen=True)
class ApiSettings:
    """Settings of one API worker."""

    auth_mode: Literal["token", "open"] = "token"
    registrations: Literal["open", "approval", "closed"] = "open"  # who may make an account
    tweet_max_chars: int = 280
    home_count_default: int = 20
    home_count_max: int = 200
    body_bytes_max: int = 64 * 1024
    request_timeout_s: float = 10.0
    in_flight_count_max: int = 1_000
    connection_count_max: int = 8_192  # open connections; with no more open files than that, fewer
    address_connection_count_max: int = 1_024  # of one address; not enforced with rate limits off
    stream_count_max: int = 8_192  # open streams, beside connections; with no more open files than both, fewer
    account_stream_count_max: int = 16  # of one account
    address_stream_count_max: int = 64  # of one address, without a token; not enforced with rate limits off
    token_cache_s: float = 30.0
    token_cache_entries_max: int = 100_000
    access_log: Literal["all", "writes", "off"] = "off"  # failures (5xx) and slow requests are logged in any case
    slow_request_s: float = 1.0
    public_url: str = ""  # what links begin with, such as "https://example.org"; empty: what requests and proxies say
    media_url: str = ""  # where browsers find media, if that isn't where they find us
    web_enabled: bool = True  # the web client at /, and its pages
    sends_mail: bool = False
    sends_push: bool = False
    webhooks: bool = False
    webhook_networks: tuple[str, ...] = ()  # private ones that webhooks may have addresses in
    wrk2_api: bool = False  # the paths of DeathStarBench's social network; they answer only with auth_mode "open"
    search_timeout_s: float = 1.0  # how long a search waits for one shard
    search_cache_s: float = 1.0  # how long its answer is repeated; trends too
    search_beside_home_reads: int = 2  # searches under way at once while home timelines are read; 0: any number
    metrics_shared: bool = True  # /metrics is served at the API's port
    figures_keep_s: float = 1.0  # how long the text of /metrics is repeated
    readiness_keep_s: float = 0.2  # how long the answer of /readyz is; somebody waits for it
    keep_alive_s: int = 75
    graceful_shutdown_s: int = 10
    rate_limits: RateLimitSettings = field(default_factory=RateLimitSettings)
    passwords: PasswordSettings = field(default_factory=PasswordSettings)
    instance: InstanceSettings = field(default_factory=InstanceSettings)
    media: MediaSettings = field(default_factory=MediaSettings)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ApiSettings:
        """Build settings from plain dicts (what crosses a process boundary); a rate may be `[per_s, burst]`.

        Raises ValueError naming an unknown setting.
        """
        plain = dict(values)
        if "webhook_networks" in plain:
            plain["webhook_networks"] = tuple(plain["webhook_networks"])
        if isinstance(limits := plain.get("rate_limits"), Mapping):
            plain["rate_limits"] = _build(RateLimitSettings, {k: _rate_or_plain(v) for k, v in limits.items()})
        if isinstance(passwords := plain.get("passwords"), Mapping):
            plain["passwords"] = _build(PasswordSettings, passwords)
        if isinstance(media := plain.get("media"), Mapping):
            plain["media"] = _build(MediaSettings, media)
        if isinstance(instance := plain.get("instance"), Mapping):
            languages = tuple(instance.get("languages", InstanceSettings.languages))
            plain["instance"] = _build(InstanceSettings, {**instance, "languages": languages})
        return _build(cls, plain)


def _rate_or_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _build(Rate, value)
    if isinstance(value, (list, tuple)) and len(value) == 2 and not any(isinstance(item, str) for item in value):
        return Rate(*value)
    return tuple(value) if isinstance(value, list) else value


def _build(kind: type[T], values: Mapping[str, Any]) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown API setting {unknown[0]!r}; {kind.__name__} has {', '.join(sorted(known))}")
    return kind(**values)
