"""What every route needs, put together once per app."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from actors.core.errors import OverloadedError
from actors.core.ids import bucket_of_account, bucket_of_tweet
from api.auth import Authenticator
from api.metrics import Metrics
from api.passwords import Passwords
from api.ports import Cluster
from api.rate_limits import RateLimiter
from api.request_log import RequestLog
from api.settings import ApiSettings


class Services:
    """The cluster, and the parts of this worker that keep state between requests."""

    def __init__(self, cluster: Cluster, settings: ApiSettings, clock: Callable[[], float], worker: str) -> None:
        self.cluster = cluster
        self.settings = settings
        self.auth = Authenticator(cluster, settings, clock)
        self.passwords = Passwords(settings.passwords)
        self.limiter = RateLimiter(settings.rate_limits, clock)
        self.metrics = Metrics(worker)
        self.requests = RequestLog(settings, self.metrics)
        self.in_flight_count = 0

    def admit(self, scope: MutableMapping[str, Any], write: bool) -> None:
        """Let a request in that `in_flight_count` counts already. Raises OverloadedError or RateLimitedError."""
        if self.in_flight_count > self.settings.in_flight_count_max:
            raise OverloadedError("this worker has as many requests as it can carry; try again", None, 1.0)
        self.limiter.check_address(scope, write)

    async def ask_bucket(self, bucket: int, op: str, args: list[Any]) -> Any:
        """One lane request by bucket, within the request's deadline."""
        return await self.cluster.call(bucket, op, args, self.settings.request_timeout_s)

    async def ask_account(self, account_id: int, op: str, *args: Any) -> Any:
        """One lane request to the shard of an account, whose id is the first argument."""
        return await self.ask_bucket(bucket_of_account(account_id), op, [account_id, *args])

    async def ask_tweet(self, tweet_id: int, op: str, *args: Any) -> Any:
        """One lane request to the shard of a tweet's author; the tweet's id is the first argument."""
        return await self.ask_bucket(bucket_of_tweet(tweet_id), op, [tweet_id, *args])

    def figures(self) -> dict[str, float]:
        """Return this worker's gauges."""
        return {
            "in_flight": self.in_flight_count,
            "rate_limited": self.limiter.refused_count,
            "token_cache_hits": self.auth.hit_count,
            "token_cache_misses": self.auth.miss_count,
            **self.cluster.figures(),
        }
