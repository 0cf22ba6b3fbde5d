"""Whose a request is: over IPv4 and IPv6, with and without proxies, however an address is written."""

from __future__ import annotations

import http.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.addresses import OTHER, Addresses, group_of_address, parse_address, parse_network
from api.http.proxies import HOP_COUNT_MAX, ProxyHeader, TrustedProxies
from tests.api.conftest import ServerThread

PROXY = "10.0.0.1"


def seen(
    peer: str, *headers: tuple[str, str], trusted: tuple[str, ...] = ("10.0.0.0/8",), header: ProxyHeader = "any"
) -> str:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return TrustedProxies(trusted, header).group_of(peer, raw)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:4711 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("[2001:db8::1]:_x", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_one_however_it_is_written(text, address):
    assert str(parse_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4:x", "1.2.3.4:99999999", "[1.2.3.4", "[]:80", "::1]", "x" * 99]
)
def test_what_is_no_address_counts_together(text):
    assert parse_address(text) is None
    assert seen(text) == OTHER


def test_ipv6_counts_by_subscriber():
    groups = [seen(address) for address in ("2001:db8::1", "2001:db8::ffff", "2001:db8:1::1", "[2001:db8::2]:80")]
    assert groups[0] == groups[1] == groups[3] == "2001:db8::/64"
    assert groups[2] == "2001:db8:1::/64"


@pytest.mark.parametrize("network", ["127.0.0.0/8", "::ffff:127.0.0.0/104"])
def test_a_network_of_ipv4_is_one_over_both_families(network):
    for peer in ("127.0.0.1", "::ffff:127.0.0.1"):
        assert seen(peer, ("X-Forwarded-For", "192.0.2.9"), trusted=(network,)) == "192.0.2.9"
    assert str(parse_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
    assert str(parse_network("fd00::/8")) == "fd00::/8"


@pytest.mark.parametrize(
    ("headers", "group"),
    [
        ([("X-Forwarded-For", "192.0.2.9:4711")], "192.0.2.9"),
        ([("X-Forwarded-For", "[2001:db8::1]:4711")], "2001:db8::/64"),
        ([("X-Forwarded-For", "::ffff:192.0.2.9")], "192.0.2.9"),
        ([("X-Forwarded-For", "6.6.6.6, 192.0.2.9, 10.9.9.9:1")], "192.0.2.9"),
        ([("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.9")], "192.0.2.9"),
        ([("X-Forwarded-For", "192.0.2.9, unknown")], OTHER),
        ([("X-Forwarded-For", "192.0.2.9"), ("Forwarded", "for=6.6.6.6")], "192.0.2.9"),
        ([("Forwarded", 'for="[2001:db8::1]:4711"')], "2001:db8::/64"),
        ([("Forwarded", "for=192.0.2.9;proto=https;by=10.0.0.1")], "192.0.2.9"),
        ([("Forwarded", 'proto=https; FOR="192.0.2.9:80"')], "192.0.2.9"),
        ([("Forwarded", "for=6.6.6.6, for=192.0.2.9, for=10.9.9.9")], "192.0.2.9"),
        ([("Forwarded", "for=6.6.6.6"), ("Forwarded", "for=192.0.2.9")], "192.0.2.9"),
        ([("Forwarded", 'by="a, for=6.6.6.6"')], OTHER),
        ([("Forwarded", "for=unknown")], OTHER),
        ([("Forwarded", 'for=6.6.6.6, for="')], PROXY),
        ([("Forwarded", "nonsense")], PROXY),
        ([], PROXY),
    ],
)
def test_of_what_proxies_say_the_nearest_that_is_none_of_them_counts(headers, group):
    assert seen(PROXY, *headers) == group
    assert seen("203.0.113.5", *headers) == "203.0.113.5", "whoever is no proxy is not believed"


def test_the_header_that_the_proxy_does_not_write_can_be_left_out():
    both = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=192.0.2.9")]
    assert seen(PROXY, *both, header="forwarded") == "192.0.2.9"
    assert seen(PROXY, *reversed(both), header="x-forwarded") == "6.6.6.6"
    assert seen(PROXY, both[1], header="x-forwarded") == PROXY


def test_a_chain_that_never_ends_is_looked_at_for_some_hops():
    for header in ((b"x-forwarded-for", b"10.0.0.1," * 5_000), (b"forwarded", b"for=10.0.0.1," * 300)):
        proxies = TrustedProxies(("10.0.0.0/8",))
        looked_at = []
        proxies.trusts = lambda peer, of=proxies.trusts, at=looked_at: (at.append(peer), of(peer))[1]  # type: ignore
        proxies.group_of(PROXY, [header])
        assert 1 < len(looked_at) <= HOP_COUNT_MAX + 1


@given(st.binary(max_size=60))
def test_any_header_of_a_proxy_can_be_read(value):
    for name in (b"forwarded", b"x-forwarded-for"):
        assert TrustedProxies(("10.0.0.0/8",)).group_of(PROXY, [(name, value)])


@given(st.ip_addresses())
def test_a_group_is_an_address_or_the_network_that_it_is_in(address):
    group = group_of_address(parse_address(str(address)) or address)
    assert parse_address(str(address)) is not None
    assert group == seen(str(address), trusted=())


def test_what_a_stranger_makes_up_is_remembered_only_if_it_is_as_short_as_an_address():
    addresses = Addresses(("10.0.0.0/8",))
    for number in range(50):
        assert addresses.of(f"{number}" + "x" * 30_000) == (OTHER, False)
    assert addresses._remembered.cache_info().currsize == 0


def _status(host: str, port: int, source: str, **headers: str) -> int:
    connection = http.client.HTTPConnection(host, port, 10, source_address=(source, 0))
    try:
        connection.request("GET", "/1/profile", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("listens", "dials", "source", "family"),
    [("::1", "::1", "::1", "IPv6"), ("::", "127.0.0.1", "127.0.0.1", "IPv4 over an IPv6 listener"),
     ("127.0.0.1", "127.0.0.1", "127.0.0.1", "IPv4")],
)  # fmt: skip
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_clients_behind_a_proxy_have_a_bucket_each_over_either_family(listens, dials, source, family, header):
    limits = {"address_read": [0.001, 3], "trusted_proxies": ["127.0.0.0/8", "::1/128"]}
    with ServerThread({"rate_limits": limits}, host=listens) as live:
        port = int(live.base_url.rpartition(":")[2])
        for number in range(1, 9):
            value = f"192.0.2.{number}:4{number}" if header == "X-Forwarded-For" else f'for="[2001:db8:0:{number}::1]"'
            assert _status(dials, port, source, **{header: value}) == 404, f"client {number} over {family}"
        statuses = [_status(dials, port, source, **{header: value}) for _ in range(4)]
        assert statuses == [404, 404, 429, 429], "and it is one bucket whatever its port"


def test_whoever_is_no_proxy_counts_as_himself_over_an_ipv6_listener():
    limits = {"address_read": [0.001, 3], "trusted_proxies": ["10.0.0.0/8"]}
    with ServerThread({"rate_limits": limits}, host="::") as live:
        port = int(live.base_url.rpartition(":")[2])
        statuses = [_status("127.0.0.1", port, "127.0.0.1", Forwarded=f"for=192.0.2.{n}") for n in range(5)]
        assert statuses == [404, 404, 404, 429, 429]
        assert _status("127.0.0.1", port, "127.0.0.2") == 404
