"""What trusted proxies say of a request: from which address it came, by which scheme, to which host.

Rules of this file
- Headers are believed only if the peer of the connection is a trusted proxy, and of what they list only the part that
  trusted proxies wrote: each adds its own word at the end, and what was there before may be the client's invention. Who
  is asked goes from the right to the left, as long as the one who spoke is trusted.
- `X-Forwarded-For`, `-Proto` and `-Host`, which all proxies know, come first; RFC 7239's `Forwarded` counts where none
  of them is. So a client can't slip a `Forwarded` past a proxy that writes the others.
- What can't be read isn't there. A host has at most HOST_CHARS_MAX characters, none of which could end a header or an
  address; a scheme is http or https.

Cost: nothing for peers that aren't trusted; 2 us for a request with headers of a proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

HOST_CHARS_MAX = 253 + 6  # of a name (RFC 1035), and a port
HOP_COUNT_MAX = 16  # of proxies one behind the other
FORWARDED_BYTES_MAX = 4 * 1024  # of a Forwarded header; a longer one isn't read
_ADDRESSES_REMEMBERED = 4_096
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PAIR = re.compile(r"([A-Za-z0-9_-]+)=(?:\"([^\"\\]*)\"|([^\s\",;=\\]+))")
_BETWEEN = re.compile(r"[ \t]*([,;])[ \t]*")
_SCHEMES = frozenset(("http", "https"))
RawHeaders = Iterable[tuple[bytes, bytes]]


class Origin(NamedTuple):
    """By which scheme and to which host a request came; empty where nobody says."""

    scheme: str
    host: str


NOTHING_SAID = Origin("", "")


class TrustedProxies:
    """Whose word counts."""

    def __init__(self, networks: Sequence[str]) -> None:
        """networks: such as 10.0.0.0/8. Raises ValueError."""
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self.trusts = lru_cache(_ADDRESSES_REMEMBERED)(self._trusts)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client_of(self, peer: str, headers: RawHeaders) -> str:
        """Return the address that a request came from: the peer's, or what trusted proxies say, walked to its end."""
        if not (self._networks and self.trusts(peer)):
            return peer
        for address in reversed(_hops(headers)[0][-HOP_COUNT_MAX:]):
            peer = address
            if not self.trusts(address):
                break
        return peer

    def origin_of(self, peer: str, headers: RawHeaders) -> Origin:
        """Return scheme and host as the outermost trusted proxy saw them."""
        if not (self._networks and self.trusts(peer)):
            return NOTHING_SAID
        addresses, schemes, hosts = _hops(headers)
        spoken = 1  # how many of the proxies that wrote may be believed, from the last on
        for address in reversed(addresses[-HOP_COUNT_MAX:]):
            if not self.trusts(address):
                break
            spoken += 1
        scheme, host = _outermost(schemes[-spoken:]).lower(), _outermost(hosts[-spoken:])
        return Origin(scheme if scheme in _SCHEMES else "", host if is_host(host) else "")

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:  # not an address at all (a Unix socket, or made up by a client): nobody that we trust
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)  # as a socket for both families has it
        return any((mapped or parsed) in network for network in self._networks)


def is_host(host: str) -> bool:
    """Return whether a text can be a host, perhaps with a port, and nothing but that."""
    return len(host) <= HOST_CHARS_MAX and _HOST.fullmatch(host) is not None


def _outermost(words: Sequence[str]) -> str:
    """Return the first word, empty if there is none. Some proxies say nothing, so there may be fewer than of those."""
    return next(filter(None, words), "")


def _hops(headers: RawHeaders) -> tuple[list[str], list[str], list[str]]:
    """Return addresses, schemes and hosts as the proxies wrote them, the last one's word last; "" for no word."""
    found: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"):
            found.setdefault(name, []).append(value.decode("latin-1"))
    if not found:
        return [], [], []
    if len(found) == 1 and b"forwarded" in found:
        return _parse_forwarded(",".join(found[b"forwarded"]))
    addresses = [bare_address(item) for item in _items(found.get(b"x-forwarded-for", ()))]
    return addresses, _items(found.get(b"x-forwarded-proto", ())), _items(found.get(b"x-forwarded-host", ()))


def _items(values: Iterable[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def _parse_forwarded(text: str) -> tuple[list[str], list[str], list[str]]:
    """Read the elements of Forwarded headers (RFC 7239, section 4); nothing of what isn't well-formed. Linear."""
    elements: list[dict[str, str]] = [{}]
    if len(text) > FORWARDED_BYTES_MAX:
        return [], [], []
    at, text = 0, text.strip()
    while at < len(text):
        between, pair = _BETWEEN.match(text, at), _PAIR.match(text, at)
        if between is not None:
            elements += [{}] if between[1] == "," else []
            at = between.end()
        elif pair is not None:
            elements[-1].setdefault(pair[1].lower(), pair[2] if pair[3] is None else pair[3])
            at = pair.end()
        else:
            return [], [], []
    said = [element for element in elements if element]
    addresses, schemes, hosts = ([element.get(name, "") for element in said] for name in ("for", "proto", "host"))
    return list(map(bare_address, addresses)), schemes, hosts


def bare_address(text: str) -> str:
    """Return an address without the port and the brackets that some proxies write; what is none comes back as it is."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
