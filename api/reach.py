"""Which addresses requests to users' hosts may reach: public ones, and no others unless an operator says so.

    host --resolve--> addresses --may_reach--> those that are tried;   each socket: asked again, of what it connects to

Rules of this file
- Whoever makes a connection asks about the address that it connects to, not about a name: what a name means next time
  is nobody's promise (DNS rebinding).
- Not public: whatever IANA's registries don't call global; multicast; ranges that carry an IPv4 address which nobody
  would look at (mapped, NAT64, 6to4, Teredo).

Cost: 5 us an address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3",
            "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
            "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        ),
    )
)  # fmt: skip


class ForbiddenAddressError(OSError):
    """A connection isn't made: where it would go is nobody's public address."""


class Reach:
    """Which addresses may be reached. allowed: networks of the operator's own; only_those: and no public ones."""

    def __init__(self, allowed: Iterable[str], only_those: bool = False) -> None:
        self._allowed = tuple(map(ipaddress.ip_network, allowed))
        self._only_those = only_those

    def may_reach(self, host: str) -> bool:
        """Whether a connection to an address may be made. host: as sockets have it, perhaps with a zone."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if any(address in network for network in self._allowed if network.version == address.version):
            return True
        return not self._only_those and is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address is one of the Internet's."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _NEVER_PUBLIC if network.version == address.version)
