"""Searches are counted by what they cost, the same on both ways; what would cost too much is refused."""

from __future__ import annotations

from typing import Any

from api.search import fast_read
from api.settings import Rate
from tests.api.test_search_exchange import LONG_WAY, bearer, register, searching

DEAR, DEAR_UNITS = "/api/v1/search?query=" + "+OR+".join(f"q{letter}*" for letter in "abcdefgh") + "&order=top", 120


def test_a_flood_of_dear_searches_uses_up_its_rate_and_no_other():
    """Both ways count alike, by cost: words go on where prefixes have used up the rate, and reads have their own."""
    limits = {"address_search": Rate(0.001, DEAR_UNITS + 2), "account_search": Rate(0.001, 1_000)}
    for more in ({}, LONG_WAY):
        with searching(rate_limits=limits) as (_, http):
            flood = [http.get(DEAR, headers=more) for _ in range(5)]
            assert [reply.status_code for reply in flood] == [200] + [429] * 4
            assert float(flood[1].headers["retry-after"]) > 0
            assert "searches of this address" in flood[1].text
            words = "/api/v1/search?query=one"
            assert [http.get(words, headers=more).status_code for _ in range(3)] == [200, 200, 429]
            for other in ("/api/v1/suggest?query=q", "/api/v1/search/accounts?query=q", "/search/tags/q"):
                assert http.get(other).status_code == 429
            made = register(http, "reader")
            assert http.get(f"/api/v1/home_timeline?user_id={made['user_id']}", headers=bearer(made)).status_code == 200


def test_an_account_has_a_rate_of_its_own_whatever_its_address():
    limits = {"address_search": Rate(0.001, 1_000_000), "account_search": Rate(0.001, DEAR_UNITS)}
    for more in ({}, LONG_WAY):
        with searching(rate_limits=limits) as (_, http):
            one, two = register(http, "one"), register(http, "two")
            for made in (one, two):
                found = [http.get(DEAR, headers={**bearer(made), **more}).status_code for _ in range(3)]
                assert found == [200, 429, 429]
            assert http.get(DEAR, headers=more).status_code == 200


def test_what_asks_for_more_than_an_engine_can_do_is_refused_with_what_would_be_right():
    with searching() as (live, http):
        live.fake.calls.clear()
        for more in ({}, LONG_WAY):
            url = "/api/v1/search?query=" + "+OR+".join(f"q{n}*" for n in range(50))
            reply = http.get(url, headers=more)
            assert reply.status_code == 400
            assert "at most 8 words shortened with *" in reply.text
        assert live.fake.calls == []


def test_a_search_whose_client_has_gone_asks_no_shard():
    noted: list[int] = []

    class Gone:  # and nothing else: whatever it looked for would not be there
        disconnected = True

        def end(self, status: int, headers: Any, body: bytes) -> None:
            noted.append(status)

    fast_read._begin(None, None, Gone())
    assert noted == [499]
