"""Token buckets per account and per address.

Rules of this file
- A request takes a token of a bucket (`token_buckets.py`), or is refused with the time until there is one (429 and
  `Retry-After`). Attempts to log in have rules of their own: `login_attempts.py`.
- The address is the socket's, or what trusted proxies say (`proxies.py`): the rightmost that isn't one's. IPv6
  addresses count by their /64, which is what one subscriber has.

Cost: 0.7 us a check; 0 when switched off. Each worker counts alone: with W of them a client may get W times as much.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, MutableMapping
from functools import lru_cache
from typing import Any

from actors.core.errors import RateLimitedError
from api.proxies import TrustedProxies
from api.settings import Rate, RateLimitSettings
from api.token_buckets import TokenBuckets

_ADDRESSES_REMEMBERED = 16_384


class RateLimiter:
    """The buckets of one worker."""

    def __init__(self, settings: RateLimitSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._buckets = TokenBuckets(settings.table_entries_max, clock)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self._has_proxies = bool(settings.trusted_proxies)
        self._group_of = lru_cache(_ADDRESSES_REMEMBERED)(group_of_address)
        self.refused_count = 0
        self.enabled = settings.enabled

    def check_address(self, scope: MutableMapping[str, Any], write: bool) -> None:
        """Count one request of an address. Raises RateLimitedError."""
        if self.enabled:
            rate = self._settings.address_write if write else self._settings.address_read
            self._take(("address", write, self.address_of(scope)), rate, "this address")

    def check_account(self, account_id: int, write: bool) -> None:
        """Count one request of an account. Raises RateLimitedError."""
        if self.enabled:
            rate = self._settings.account_write if write else self._settings.account_read
            self._take((account_id, write), rate, f"account {account_id}")

    def check_register(self, scope: MutableMapping[str, Any]) -> None:
        """Count one registration of an address. Raises RateLimitedError."""
        if self.enabled:
            self._take(("register", self.address_of(scope)), self._settings.register, "registering from this address")

    def address_of(self, scope: MutableMapping[str, Any]) -> str:
        """Return the address (IPv6: the /64) that a request counts for."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if self._has_proxies:
            peer = self.proxies.client_of(peer, scope["headers"])
        return self._group_of(peer)

    def connection_address(self, peer: str) -> str | None:
        """Return what a connection from that address counts for; None: nobody (a trusted proxy, or limits are off)."""
        return None if not self.enabled or self.proxies.trusts(peer) else self._group_of(peer)

    def _take(self, key: Hashable, rate: Rate, who: str) -> None:
        wait_s = self._buckets.take(key, rate)
        if wait_s:
            self.refused_count += 1
            raise too_many(who, wait_s)

    def check(self) -> None:
        """Assert the invariants of the buckets."""
        self._buckets.check()


def too_many(who: str, wait_s: float) -> RateLimitedError:
    """Return what is said to who has asked for too much."""
    return RateLimitedError(f"too many requests for {who}; try again in {wait_s:.1f} s", None, wait_s)


def group_of_address(address: str) -> str:
    """Return what an address counts as: itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # no IP address (a Unix socket): all such count together
        return "other"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
