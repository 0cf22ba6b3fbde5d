"""What trusted proxies say of a request: from which address it came, by which scheme, to which host.

Rules of this file
- Headers are believed only if the peer of the connection is a trusted proxy, and of what they list only the part that
  trusted proxies wrote: each adds its own word at the end, and what was there before may be the client's invention. Who
  is asked goes from the right to the left, as long as the one who spoke is trusted.
- `X-Forwarded-For`, `-Proto` and `-Host`, which all proxies know, come first; RFC 7239's `Forwarded` counts where none
  of them is. So a client can't slip a `Forwarded` past a proxy that writes the others; past one that writes `Forwarded`
  alone it could slip the others, so `server.proxy_header` may say which count.
- Of what is listed the last HOP_COUNT_MAX are looked at: the rest was written by nobody whom we trust.
- What can't be read isn't there. A host has at most HOST_CHARS_MAX characters, none of which could end a header or an
  address; a scheme is http or https.

Cost: 0.2 us for peers that aren't trusted; 2 us more for a request with headers of a proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from api.http.addresses import Addresses

HOST_CHARS_MAX = 253 + 6  # of a name (RFC 1035), and a port
HOP_COUNT_MAX = 16  # of proxies one behind the other
FORWARDED_BYTES_MAX = 4 * 1024  # of a Forwarded header; a longer one isn't read
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PAIR = re.compile(r"([A-Za-z0-9_-]+)=(?:\"([^\"\\]*)\"|([^\s\",;=\\]+))")
_BETWEEN = re.compile(r"[ \t]*([,;])[ \t]*")
_SCHEMES = frozenset(("http", "https"))
ProxyHeader = Literal["any", "x-forwarded", "forwarded"]
_SAYING = {
    "any": frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")),
    "x-forwarded": frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")),
    "forwarded": frozenset((b"forwarded",)),
}
RawHeaders = Iterable[tuple[bytes, bytes]]


class Origin(NamedTuple):
    """By which scheme and to which host a request came; empty where nobody says."""

    scheme: str
    host: str


NOTHING_SAID = Origin("", "")


class TrustedProxies:
    """Whose word counts."""

    def __init__(self, networks: Sequence[str], header: ProxyHeader = "any") -> None:
        """networks: such as 10.0.0.0/8; header: in which of them proxies say it. Raises ValueError."""
        self._addresses, self._are_any, self._saying = Addresses(networks), bool(networks), _SAYING[header]

    def __bool__(self) -> bool:
        return self._are_any

    def trusts(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        return self._addresses.of(address).is_trusted

    def group_of(self, peer: str, headers: RawHeaders = ()) -> str:
        """Return what a request counts as: the address that it came from, of IPv6 its /64."""
        seen = self._addresses.of(peer)
        return self._addresses.of(self.client_of(peer, headers)).group if seen.is_trusted else seen.group

    def client_of(self, peer: str, headers: RawHeaders) -> str:
        """Return the address that a request came from: the peer's, or what trusted proxies say, walked to its end."""
        if not self.trusts(peer):
            return peer
        for address in reversed(self._hops(headers)[0][-HOP_COUNT_MAX:]):
            peer = address
            if not self.trusts(address):
                break
        return peer

    def origin_of(self, peer: str, headers: RawHeaders) -> Origin:
        """Return scheme and host as the outermost trusted proxy saw them."""
        if not self.trusts(peer):
            return NOTHING_SAID
        addresses, schemes, hosts = self._hops(headers)
        spoken = 1  # how many of the proxies that wrote may be believed, from the last on
        for address in reversed(addresses[-HOP_COUNT_MAX:]):
            if not self.trusts(address):
                break
            spoken += 1
        scheme, host = _outermost(schemes[-spoken:]).lower(), _outermost(hosts[-spoken:])
        return Origin(scheme if scheme in _SCHEMES else "", host if is_host(host) else "")

    def _hops(self, headers: RawHeaders) -> tuple[list[str], list[str], list[str]]:
        """Return addresses, schemes and hosts as the proxies wrote them, the last one's word last; "" for no word."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in self._saying:
                found.setdefault(name, []).append(value)
        if not found:
            return [], [], []
        if len(found) == 1 and b"forwarded" in found:
            return _parse_forwarded(b",".join(found[b"forwarded"]).decode("latin-1"))
        return (
            _items(found.get(b"x-forwarded-for", ())),
            _items(found.get(b"x-forwarded-proto", ())),
            _items(found.get(b"x-forwarded-host", ())),
        )


def is_host(host: str) -> bool:
    """Return whether a text can be a host, perhaps with a port, and nothing but that."""
    return len(host) <= HOST_CHARS_MAX and _HOST.fullmatch(host) is not None


def _outermost(words: Sequence[str]) -> str:
    """Return the first word, empty if there is none. Some proxies say nothing, so there may be fewer than of those."""
    return next(filter(None, words), "")


def _items(values: Iterable[bytes]) -> list[str]:
    """Return the last of what is listed, in all headers of a name."""
    listed = b",".join(values).rsplit(b",", HOP_COUNT_MAX + 1)[-HOP_COUNT_MAX - 1 :]
    return [item.strip().decode("latin-1") for item in listed if item.strip()]


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
    return addresses, schemes, hosts
