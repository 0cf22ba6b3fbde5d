"""Token buckets per account and per address.

Rules of this file
- A request takes a token of a bucket (`token_buckets.py`), or is refused with the time until there is one (429 and
  `Retry-After`). A search takes as many as it costs, from buckets of their own. Attempts to log in have rules of their
  own: `login_attempts.py`.
- The address is the socket's, or what trusted proxies say (`proxies.py`): the rightmost that isn't one's. What it
  counts as, says `addresses.py`.

Cost: 0.7 us a check; 0 when switched off. Each worker counts alone: with W of them a client may get W times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

from actors.core.errors import RateLimitedError
from api.access.token_buckets import TokenBuckets
from api.http.probes import CHECKS, SCRAPES
from api.http.proxies import TrustedProxies
from api.settings import Rate, RateLimitSettings


class RateLimiter:
    """The buckets of one worker."""

    def __init__(self, settings: RateLimitSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._buckets = TokenBuckets(settings.table_entries_max, clock)
        self.proxies = TrustedProxies(settings.trusted_proxies, settings.proxy_header)
        self.refused_count = 0
        self.enabled = settings.enabled

    def check_address(self, scope: MutableMapping[str, Any], write: bool) -> None:
        """Count one request of an address. Raises RateLimitedError."""
        if self.enabled:
            rate = self._settings.address_write if write else self._settings.address_read
            self._take(("address", write, self.address_of(scope)), rate, "this address")

    def check_account(self, account_id: int, write: bool, take: bool = True) -> None:
        """Count one request of an account; take=False: only see whether there is room. Raises RateLimitedError."""
        if self.enabled:
            rate = self._settings.account_write if write else self._settings.account_read
            self._take((account_id, write), rate, f"account {account_id}", 1.0 if take else 0.0)

    def check_search(self, scope: MutableMapping[str, Any], account_id: int, units: int) -> None:
        """Count what a search costs, of an address and, unless it is 0, of an account. Raises RateLimitedError."""
        if self.enabled:
            settings = self._settings
            self._take(("search", self.address_of(scope)), settings.address_search, "searches of this address", units)
            if account_id:
                self._take(("search", account_id), settings.account_search, f"searches of account {account_id}", units)

    def check_upload(self, account_id: int, per_hour: int) -> None:
        """Count one upload of an account, of which as many as in an hour may come at once. Raises RateLimitedError."""
        if self.enabled:
            self._take(("upload", account_id), Rate(per_hour / 3600, per_hour), f"uploads of account {account_id}")

    def check_register(self, scope: MutableMapping[str, Any]) -> None:
        """Count one registration of an address. Raises RateLimitedError."""
        if self.enabled:
            self._take(("register", self.address_of(scope)), self._settings.register, "registering from this address")

    def check_scrape(self, scope: MutableMapping[str, Any]) -> None:
        """Count one request of an address for figures, also with limits off. Raises RateLimitedError."""
        self._take(("scrape", self.address_of(scope)), SCRAPES, "figures from this address")

    def may_check_often(self, scope: MutableMapping[str, Any]) -> bool:
        """Count one health check of an address; whether they are no more than make sense."""
        try:
            self._take(("check", self.address_of(scope)), CHECKS, "health checks from this address")
        except RateLimitedError:  # said to nobody: it is answered, and pauses
            self.refused_count -= 1
            return False
        return True

    def address_of(self, scope: MutableMapping[str, Any]) -> str:
        """Return the address (IPv6: the /64) that a request counts for."""
        client = scope.get("client")
        return self.proxies.group_of(client[0] if client else "", scope["headers"])

    def connection_address(self, peer: str) -> str | None:
        """Return what a connection from that address counts for; None: nobody (a trusted proxy, or limits are off)."""
        return None if not self.enabled or self.proxies.trusts(peer) else self.proxies.group_of(peer)

    def _take(self, key: Hashable, rate: Rate, who: str, units: float = 1.0) -> None:
        """units: what is taken; 0: it is only seen whether there is one."""
        wait_s = self._buckets.take(key, rate, units)
        if wait_s:
            self.refused_count += 1
            raise too_many(who, wait_s)

    def check(self) -> None:
        """Assert the invariants of the buckets."""
        self._buckets.check()


def too_many(who: str, wait_s: float) -> RateLimitedError:
    """Return what is said to who has asked for too much."""
    return RateLimitedError(f"too many requests for {who}; try again in {wait_s:.1f} s", None, wait_s)
