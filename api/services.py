"""What every route needs, put together once per app."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from actors.core.errors import OverloadedError
from actors.core.ids import bucket_of_account
from api.access.afterwards import Afterwards
from api.access.auth import Authenticator
from api.access.login_attempts import LoginAttempts
from api.access.passwords import Passwords
from api.access.rate_limits import RateLimiter
from api.access.renewals import Renewals
from api.activity import WeeklyActivity
from api.filter_sets import FilterSets
from api.http.admission import Gate
from api.http.bodies import Bodies
from api.http.connections import Connections
from api.http.fair_turns import FairTurns
from api.http.probes import PROBE_PATHS, Probes
from api.http.readiness import ReadinessJudge
from api.http.refusal_pace import RefusalPace
from api.http.request_log import RequestLog
from api.http.uploads import Uploads
from api.instance_folder import read_folder
from api.links import Origins
from api.media import UploadsUnderWay
from api.metrics import Metrics
from api.outgoing_keys import OutgoingKeys
from api.portability.long_work import LongWork
from api.ports import Cluster
from api.search.scatter import Search
from api.settings import ApiSettings
from api.streaming.hub import StreamHub
from api.usage import UsageFigures

PROBE_COUNT_MAX = 64  # health checks and scrapes under way; they are let in whatever else there is
ADDRESS_COUNTED = "address_counted"  # in a scope's state: its address's rate was taken from already
TOO_MUCH = "too_much"  # in a scope's state: its turn has come while too many waited (`fair_turns.py`)
FILES_PATH = "/media/"  # what paths of media begin with
FILES_COUNT_MAX = 256  # of those that are sent in pieces, which takes as long as a client takes; 256 KiB each
_READ_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Services:
    """The cluster, and the parts of this worker that keep state between requests."""

    def __init__(
        self, cluster: Cluster, settings: ApiSettings, clock: Callable[[], float], worker: str,
        thin_paths: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        """thin_paths: what is read without routing; the log names them by themselves."""
        self.cluster = cluster
        self.settings = settings
        self.thin_paths = thin_paths
        self.auth = Authenticator(cluster, settings, clock)
        self.search = Search(
            cluster, settings.search_timeout_s, settings.search_cache_s, clock, settings.search_beside_home_reads
        )
        self.filter_sets = FilterSets()
        self.hub = StreamHub(cluster)
        self.clock, self.readiness = clock, ReadinessJudge(clock())
        self.passwords = Passwords(settings.passwords)
        self.limiter = RateLimiter(settings.rate_limits, clock)
        self.logins = LoginAttempts(settings.rate_limits, clock)
        self.resets, self.afterwards = LoginAttempts(settings.rate_limits, clock), Afterwards()
        self.renewals = Renewals(self.passwords, self.ask_account)
        self.usage, self.instance = UsageFigures(cluster, clock), read_folder(settings.instance.folder)
        self.activity = WeeklyActivity(cluster, clock, time.time)
        self.long_work, self.processing = LongWork(), UploadsUnderWay()
        self.origins = Origins(settings.public_url, self.limiter.proxies)
        self.metrics = Metrics(worker)
        self.requests = RequestLog(settings, self.metrics, clock)
        self.reads = Gate(settings.in_flight_count_max)
        self.writes = Gate(-(-settings.in_flight_count_max // 2))  # when the disk is slow, half stays for reads
        cluster.share_places(self.reads, self.writes)
        self.search.queue.share_places(self.reads)
        self.probe_gate, self.files_gate = Gate(PROBE_COUNT_MAX), Gate(FILES_COUNT_MAX)
        self.probes = Probes(self, clock)
        self._in_flight_count_max = settings.in_flight_count_max
        self.refusals = RefusalPace(clock)
        self.turns = FairTurns(2 * settings.in_flight_count_max)
        self.connections = Connections(settings.connection_count_max, settings.address_connection_count_max)
        self.uploads = Uploads()
        self.bodies = Bodies(settings.connection_count_max, settings.body_bytes_max)
        self.token_paths: Sequence[re.Pattern[str]] = ()  # of routes that take a token
        self.is_mastodons: Callable[[str], object] = bool  # of a path; `app.py` says what is so
        self.streams: Any = None  # `api/streaming/streams.py`, which knows this class: `app.py` puts it there

    @property
    def outgoing_keys(self) -> OutgoingKeys:
        """The keys of what leaves the cluster."""
        return self.cluster.outgoing_keys

    @property
    def in_flight_count(self) -> int:
        """Requests under way, but for health checks and scrapes."""
        return self.reads.count + self.writes.count

    def gate_of(self, method: str, path: str) -> Gate:
        """Return what a request counts in."""
        if path in PROBE_PATHS:
            return self.probe_gate
        if method in ("GET", "HEAD") and path.startswith(FILES_PATH):
            return self.files_gate
        return self.reads if method in _READ_METHODS else self.writes

    def any_full(self) -> bool:
        """Whether a read or a write would be refused now; 0.1 us."""
        reads, writes = self.reads, self.writes
        return (
            reads.count >= reads.count_bound
            or writes.count >= writes.count_bound
            or reads.count + writes.count >= self._in_flight_count_max
        )

    def is_full(self, gate: Gate) -> bool:
        """Whether the next request of that kind would be refused."""
        return gate.count >= gate.count_bound or (
            gate is not self.probe_gate and self.in_flight_count >= self._in_flight_count_max
        )

    def takes_token(self, path: str) -> bool:
        """Whether there is such a route, and it looks at a token. Cost: 10 us."""
        return any(pattern.match(path) for pattern in self.token_paths)

    def admit(self, scope: MutableMapping[str, Any], gate: Gate) -> None:
        """Let a request in that its gate counts already. Raises OverloadedError or RateLimitedError."""
        if gate.count > gate.count_bound:
            raise overloaded()
        if gate is self.probe_gate:
            return
        if TOO_MUCH in scope["state"]:
            raise overloaded()
        if self.reads.count + self.writes.count > self._in_flight_count_max:
            raise overloaded()
        if ADDRESS_COUNTED not in scope["state"]:
            self.limiter.check_address(scope, gate is self.writes)

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        """One lane request by bucket, within the request's deadline."""
        return await self.cluster.call(bucket, op, args, self.settings.request_timeout_s)

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        """One lane request to the shard of an account, whose id is the first argument."""
        return await self.ask_bucket(bucket_of_account(account_id), op, [account_id, *args])

    async def settle_account(self, account_id: int, op: str, *args: Any) -> Any:
        """One write of an account, whose id is its first argument, answered once all shards concerned have it."""
        timeout_s = self.settings.request_timeout_s
        return await self.cluster.settled(bucket_of_account(account_id), op, [account_id, *args], timeout_s)

    def wall_ms(self) -> int:
        """Return the time, Unix ms."""
        return int(time.time() * 1000)

    def close(self) -> None:
        """End what goes on by itself."""
        if self.streams is not None:
            self.streams.close()
        self.hub.close()
        self.activity.close()
        self.afterwards.close()
        self.processing.close()
        self.renewals.close()
        self.passwords.close()

    def figures(self) -> dict[str, float]:
        """Return what the parts of this worker have counted; the rows: actors/metrics/api_rows.py."""
        return {
            "in_flight": self.in_flight_count,
            "reads_in_flight": self.reads.count,
            "writes_in_flight": self.writes.count,
            "reads_bound": self.reads.count_bound,
            "writes_bound": self.writes.count_bound,
            "rate_limited": self.limiter.refused_count + self.logins.refused_count + self.resets.refused_count,
            "waiting_for_a_turn": len(self.turns),
            "put_aside": self.turns.put_aside_count,
            "refused_in_turn": self.turns.refused_count,
            "passwords_waiting": self.passwords.line.waiting_count,
            "token_cache_hits": self.auth.hit_count,
            "token_cache_misses": self.auth.miss_count,
            **self.search.figures(),
            **self.connections.figures(),
            **self.bodies.figures(),
            **self.hub.figures(),
            **self.streams.places.figures(),
            **self.cluster.figures(),
        }


def overloaded() -> OverloadedError:
    """Return what a request is told that finds this worker full."""
    return OverloadedError("this worker has as many requests as it can carry; try again", None, 1.0)
