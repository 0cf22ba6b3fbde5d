"""What strangers do to keep others from reading and writing, in small, over real HTTP: from many addresses, and from
the one that honest clients have.

Beside each attack honest clients read home timelines and write tweets, on connections of their own that stay and on new
ones. What counts is that every request of theirs is answered as if nothing were the matter; how quickly, `bench
strangers` measures. So who is honest has fewer connections at an address than strangers have where there are too many:
of two that have as many that one loses one which has said nothing for longer, and on a busy machine that is he.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from api.services import Services
from bench.open_load import allow_files
from bench.strangers import ATTACKS, FEED, MANY, POST, SAME, Stranger, answer, attack, connected
from tests.api.conftest import LiveServer
from tests.api.test_http_abuse import serving

ROUNDS = 6  # of an honest client: a read and a write each on a connection that stays, and on a new one
# Fewer of those who are always busy: this worker has 128 places and 250 connections in place of 1,024 and 8,192. They
# leave connections free, as only one that waits for its client makes room for another: that of an honest one.
BUSY_MOST = {"searches of 50 prefixes": 200, "searches of as many prefixes as may be": 40, "read an account": 200}
PATIENCE_S = 60.0  # longer than anything may take on the busiest machine
PATIENCE_CPU_S = 30.0  # of this process, in which server, strangers and honest clients are: some 1 s on any machine
STRANGERS_MAX = 280  # more than this worker has places for requests, or for connections
HONEST = ["127.0.0.1", "127.0.0.2"]
TWEET = b'{"user_id": "1", "status": "x"}'


async def be_honest(port: int, stays: str, comes_anew: str) -> list[int]:
    """Read and write, from two addresses that may be the same; returns the statuses."""
    statuses = []

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in (FEED, POST % len(TWEET) + TWEET):
            writer.write(request)
            statuses.append(await answer(reader))

    async with connected(port, stays) as kept:
        for _ in range(ROUNDS):
            await ask(*kept)
            async with connected(port, comes_anew) as fresh:
                await ask(*fresh)
            await asyncio.sleep(0.01)
    return statuses


async def beside(port: int, sources: list[str], count: int, do: Stranger) -> list[int]:
    """Return what honest clients are answered while so many strangers do that.

    Where they share an address with strangers (`SAME`), these take fewer connections than there are.
    """
    honest = SAME * 2 if sources == SAME else HONEST
    each = itertools.cycle(sources)
    begun: list[str] = []
    strangers = [asyncio.create_task(attack(port, each, do, begun, 0.1)) for _ in range(count)]
    try:
        while len(begun) < count:  # noqa: ASYNC110 - they are there first
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        asking = asyncio.create_task(be_honest(port, *honest))
        begin_s = time.process_time()
        while not (await asyncio.wait([asking], timeout=0.1))[0]:
            if time.process_time() - begin_s > PATIENCE_CPU_S:
                asking.cancel()
        return await asking
    finally:
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


async def invariants_hold(services: Services) -> None:
    """Check what the worker keeps, on its own loop: strangers who have just gone still change it."""
    services.bodies.check()
    services.connections.check()
    services.limiter.check()


@pytest.fixture(scope="module", autouse=True)
def files() -> None:
    allow_files(3_000)


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    kinds = ("account_read", "account_write", "address_read", "address_write")
    limits = {kind: [10_000, 60_000] for kind in kinds}  # those of a laptop: all are one account, and one address
    with serving(
        rate_limits=limits, in_flight_count_max=128, connection_count_max=250, address_connection_count_max=240,
        figures_keep_s=1.0, readiness_keep_s=0.2, search_timeout_s=1.0, keep_alive_s=int(PATIENCE_S),
    ) as made:  # fmt: skip
        yield made


@pytest.mark.parametrize(
    ("sources", "most"), [(SAME, 200), (MANY, STRANGERS_MAX)], ids=["the same address", "many addresses"]
)
@pytest.mark.parametrize("what", ATTACKS)
def test_honest_clients_are_answered_beside_strangers_who(what, sources, most, live):
    count, do = ATTACKS[what]
    services = live.worker._services
    deadline = time.monotonic() + PATIENCE_S
    while services.connections.open_count:  # those of the attack before have gone
        assert time.monotonic() < deadline
        time.sleep(0.01)
    statuses = asyncio.run(
        beside(int(live.base_url.rpartition(":")[2]), sources, min(count, most, BUSY_MOST.get(what, most)), do)
    )
    assert statuses == [200, 201] * 2 * ROUNDS
    asyncio.run_coroutine_threadsafe(invariants_hold(services), live.loop).result()
