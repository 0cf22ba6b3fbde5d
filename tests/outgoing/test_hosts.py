"""Places and breakers of hosts, and which addresses are public."""

from __future__ import annotations

import pytest

from actors.outgoing import hosts
from actors.outgoing.hosts import FAILURES_MAX, OPEN_S, HostBusyError, Hosts
from api.reach import Reach
from tests.manual_clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def known(clock):
    return Hosts(2, clock)


async def ask(known: Hosts, failed: bool = False, name: str = "a:443") -> None:
    async with known.asked(name) as attempt:
        attempt.failed = failed


async def test_after_failures_in_a_row_a_host_is_not_asked_for_a_while(known, clock):
    for _ in range(FAILURES_MAX):
        await ask(known, failed=True)
    with pytest.raises(HostBusyError) as refused:
        await ask(known)
    assert refused.value.retry_after_s == OPEN_S
    await ask(known, name="b:443")
    assert known.figures()["hosts_open"] == 1


async def test_failures_between_which_something_succeeds_open_nothing(known):
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            await ask(known, failed=True)
        await ask(known)


async def test_half_open_one_is_let_through_and_decides(known, clock):
    for _ in range(FAILURES_MAX):
        await ask(known, failed=True)
    clock.now_s += OPEN_S
    async with known.asked("a:443") as attempt:
        with pytest.raises(HostBusyError):
            await ask(known)
        attempt.failed = True
    clock.now_s += OPEN_S
    with pytest.raises(HostBusyError):
        await ask(known)  # the pause has doubled
    clock.now_s += OPEN_S
    await ask(known)
    await ask(known)


async def test_what_is_raised_meanwhile_is_a_failure_and_gives_the_place_back(known):
    for _ in range(FAILURES_MAX):
        with pytest.raises(OSError, match="broken"):
            async with known.asked("a:443"):
                raise OSError("broken")
    with pytest.raises(HostBusyError, match="breaker"):
        await ask(known)
    assert known.figures()["under_way"] == 0


async def test_who_finds_no_place_in_time_comes_later(known, monkeypatch):
    monkeypatch.setattr(hosts, "PLACE_S", 0.01)
    async with known.asked("a:443"), known.asked("a:443"):
        with pytest.raises(HostBusyError, match="busy"):
            await ask(known)
    await ask(known)


async def test_hosts_that_nobody_waits_for_are_forgotten_the_longest_unused_first(known, monkeypatch):
    monkeypatch.setattr(hosts, "HOSTS_MAX", 3)
    async with known.asked("kept"):
        for number in range(9):
            await ask(known, name=str(number))
    assert known.figures()["hosts"] == 3


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::200e"])
def test_public_addresses_are_reached(address):
    assert Reach(()).may_reach(address)
    assert not Reach((), only_those=True).may_reach(address)


NOT_PUBLIC = """0.0.0.0 127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
    100.64.0.1 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 192.88.99.1 :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808
    64:ff9b:1::1 fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 fec0::1 ff02::1 ff0e::1 2001:db8::1 2001::1 2002:7f00:1::
    100::1 localhost 127.1 0x7f000001 2130706433"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_no_other_address_is(address):
    assert not Reach(()).may_reach(address)


def test_networks_that_an_operator_allows_are_reached_and_no_others():
    reach = Reach(("10.1.0.0/16", "fd00::/8"))
    assert [reach.may_reach(each) for each in ("10.1.2.3", "10.2.0.1", "fd00::1", "fc00::1", "::ffff:10.1.2.3")] == [
        True, False, True, False, False,
    ]  # fmt: skip
