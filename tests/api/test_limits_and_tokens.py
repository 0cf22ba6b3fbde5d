"""Rate limits, the token cache and passwords, with an injected clock; then the same over HTTP."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import ForbiddenError, OverloadedError, RateLimitedError, UnauthorizedError
from actors.core.ids import ID_MAX
from api.access.auth import Authenticator, make_token, parse_token
from api.access.passwords import Passwords
from api.access.rate_limits import RateLimiter
from api.settings import ApiSettings, PasswordSettings, Rate, RateLimitSettings
from tests.api.conftest import CHEAP_PASSWORDS, PASSWORD, ServerThread, assert_error
from tests.api.fake_cluster import FakeCluster
from tests.manual_clock import ManualClock

LATE_S = 20.0  # that a shard takes to answer; longer than a refusal on any machine


def scope(peer: str, forwarded: str = "") -> dict:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"client": (peer, 1), "headers": headers}


class TestRateLimits:
    def test_a_burst_is_let_through_then_one_per_interval(self):
        clock = ManualClock()
        limiter = RateLimiter(RateLimitSettings(account_read=Rate(2, 3)), clock)
        for _ in range(3):
            limiter.check_account(1, False)
        with pytest.raises(RateLimitedError) as refusal:
            limiter.check_account(1, False)
        assert refusal.value.retry_after_s == pytest.approx(0.5)
        limiter.check_account(2, False)
        limiter.check_account(1, True)
        clock.now_s += 0.5
        limiter.check_account(1, False)
        with pytest.raises(RateLimitedError):
            limiter.check_account(1, False)
        limiter.check()

    @given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 3)), max_size=60))
    def test_never_more_than_burst_plus_rate_times_time(self, steps):
        clock = ManualClock()
        limiter = RateLimiter(RateLimitSettings(account_write=Rate(2, 4), table_entries_max=2), clock)
        allowed = 0
        for wait_s, account in steps:
            clock.now_s += wait_s if account == 1 else 0
            try:
                limiter.check_account(1, True)
            except RateLimitedError:
                continue
            allowed += 1
        assert allowed <= 4 + 2 * (clock.now_s - 100.0) + 1e-6
        limiter.check()

    def test_a_search_takes_what_it_costs_and_never_more_than_a_bucket_holds(self):
        clock = ManualClock()
        limiter = RateLimiter(RateLimitSettings(address_search=Rate(2, 20), account_search=Rate(1, 10)), clock)
        limiter.check_search(scope("192.0.2.1"), 0, 15)
        with pytest.raises(RateLimitedError, match="searches of this address") as refusal:
            limiter.check_search(scope("192.0.2.1"), 0, 9)
        assert refusal.value.retry_after_s == 2.0
        clock.now_s += 2.0
        limiter.check_search(scope("192.0.2.1"), 0, 9)
        clock.now_s += 1000.0
        limiter.check_search(scope("192.0.2.1"), 0, 500)  # all that it holds
        limiter.check_search(scope("192.0.2.2"), 7, 10)
        with pytest.raises(RateLimitedError, match="searches of account 7"):
            limiter.check_search(scope("192.0.2.3"), 7, 1)
        limiter.check_address(scope("192.0.2.1"), False)
        limiter.check_account(7, False)
        limiter.check()

    def test_the_table_forgets_the_least_recently_used(self):
        limiter = RateLimiter(RateLimitSettings(account_read=Rate(1, 1), table_entries_max=2), ManualClock())
        for account in (1, 2, 3):
            limiter.check_account(account, False)
        limiter.check_account(1, False)  # was forgotten
        with pytest.raises(RateLimitedError):
            limiter.check_account(3, False)
        limiter.check()

    def test_the_address_is_the_sockets_unless_a_trusted_proxy_says_otherwise(self):
        plain = RateLimiter(RateLimitSettings(), ManualClock())
        assert plain.address_of(scope("192.0.2.1", "198.51.100.7")) == "192.0.2.1"
        proxied = RateLimiter(RateLimitSettings(trusted_proxies=("10.0.0.0/8",)), ManualClock())
        assert proxied.address_of(scope("10.1.1.1", "6.6.6.6, 198.51.100.7, 10.2.2.2")) == "198.51.100.7"
        assert proxied.address_of(scope("192.0.2.1", "198.51.100.7")) == "192.0.2.1"
        assert proxied.address_of(scope("10.1.1.1", "garbage")) == "other"


class TestTokens:
    @given(st.integers(1, ID_MAX))
    def test_a_token_says_whose_it_is(self, account_id):
        token, secret_hash = make_token(account_id)
        assert parse_token(token) == (account_id, secret_hash)
        assert len(token) == 57

    @given(st.text(max_size=80))
    def test_any_text_can_be_parsed(self, text):
        for token in (text, "rk_" + text):
            parsed = parse_token(token)
            assert 0 <= parsed.account_id <= ID_MAX
            assert len(parsed.secret_hash) == 32

    def _with_account(self, **settings) -> tuple[FakeCluster, Authenticator, ManualClock, str, bytes]:
        fake, clock = FakeCluster(), ManualClock()
        token, secret_hash = make_token(5)
        fake.add_account(5, "ada", secret_hash)
        return fake, Authenticator(fake, ApiSettings(**settings), clock), clock, token, secret_hash

    async def test_a_verified_token_is_believed_for_seconds_and_dropped_at_once(self):
        fake, auth, clock, token, secret_hash = self._with_account(token_cache_s=30)
        for _ in range(3):
            assert await auth.verify(token) == 5
        assert fake.calls == ["token"]
        clock.now_s += 31
        assert await auth.verify(token) == 5
        assert fake.calls == ["token", "token"]
        fake.answer_of("revoke_token", 5, secret_hash)
        auth.drop_token(5, secret_hash)
        auth.check()
        with pytest.raises(UnauthorizedError):
            await auth.verify(token)

    async def test_a_token_revoked_while_its_check_is_on_the_way_is_not_cached(self):
        fake, auth, _, token, secret_hash = self._with_account()
        fake.delay_s = 0.05
        check = asyncio.create_task(auth.verify(token))
        await asyncio.sleep(0.01)
        auth.drop_token(5, secret_hash)
        await check
        fake.answer_of("revoke_tokens", 5, [])
        with pytest.raises(UnauthorizedError):
            await auth.verify(token)

    async def test_the_cache_is_bounded(self):
        fake, auth, _, token, _ = self._with_account(token_cache_entries_max=1)
        other, other_hash = make_token(5)
        fake.answer_of("login_token", 5, other_hash)
        for each in (token, other, token):
            await auth.verify(each)
            auth.check()
        assert fake.calls == ["token"] * 3

    async def test_an_imported_token_says_whose_it_is_through_the_shards(self):
        fake, auth, _, _, _ = self._with_account()
        fake.answer_of("login_token", 5, parse_token("imported").secret_hash)
        assert await auth.actor("imported", 5) == 5
        assert await auth.actor("imported", 0) == 5
        assert fake.calls == ["token"], "the second time it was cached"
        with pytest.raises(ForbiddenError):
            await auth.actor("imported", 6)
        with pytest.raises(UnauthorizedError):
            await auth.actor("another", 5)

    async def test_open_mode_takes_user_id_at_its_word(self):
        _, auth, _, token, _ = self._with_account(auth_mode="open")
        assert await auth.actor(None, 77) == 77
        assert await auth.actor(token, 0) == 5
        _, strict, _, token, _ = self._with_account()
        with pytest.raises(ForbiddenError):
            await strict.actor(token, 77)


class TestPasswords:
    async def test_right_wrong_unknown_and_unreadable(self):
        passwords = Passwords(PasswordSettings(**CHEAP_PASSWORDS))
        encoded = await passwords.hash(PASSWORD)
        assert encoded.startswith("$argon2id$")
        assert await passwords.matches(encoded, PASSWORD)
        assert not await passwords.matches(encoded, PASSWORD + "x")
        assert not await passwords.matches(None, "nobody has this password")
        assert not await passwords.matches("garbage", PASSWORD)
        passwords.close()

    async def test_what_would_wait_behind_too_many_is_shed(self):
        passwords = Passwords(
            PasswordSettings(time_cost=4, memory_kib=8_192, parallelism=1, threads=1, queue_count_max=2)
        )
        results = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(6)), return_exceptions=True)
        assert sum(isinstance(result, OverloadedError) for result in results) == 3  # one at work, two wait
        assert (await passwords.hash(PASSWORD)).startswith("$argon2id$")
        passwords.close()


class TestOverHttp:
    def test_limits_answer_429_with_retry_after(self):
        limits = {"account_write": Rate(0.5, 2), "register": Rate(0.1, 2), "login": Rate(0.1, 20)}
        with ServerThread({"rate_limits": limits}) as live, httpx.Client(base_url=live.base_url) as http:
            first = http.post("/api/v1/users", json={"username": "one", "password": PASSWORD}).json()
            headers = {"authorization": f"Bearer {first['auth_token']}"}
            for expected in (201, 201, 429):
                reply = http.post("/tweet", json={"status": "x"}, headers=headers)
                assert reply.status_code == expected
            assert int(reply.headers["retry-after"]) == 2
            assert_error(reply, 429)
            for expected in (401, 401, 429):  # a tenth of the burst per name
                reply = http.post("/api/v1/login", json={"username": "one", "password": "wrong password"})
                assert reply.status_code == expected
            http.post("/api/v1/users", json={"username": "two", "password": PASSWORD})
            assert_error(http.post("/api/v1/users", json={"username": "three", "password": PASSWORD}), 429)
            assert http.get("/healthz").status_code == 200

    def test_too_many_requests_in_flight_are_shed_but_health_is_answered(self):
        fake = FakeCluster()
        with ServerThread({"in_flight_count_max": 0}, fake) as live, httpx.Client(base_url=live.base_url) as http:
            assert_error(http.get("/1/profile"), 503)
            assert_error(http.get("/feed?user_id=1"), 503)
            assert http.get("/healthz").json() == {"status": "ok"}

    def test_a_request_beyond_its_deadline_is_503(self):
        fake = FakeCluster()
        with ServerThread({"request_timeout_s": 0.1}, fake) as live, httpx.Client(base_url=live.base_url) as http:
            fake.delay_s = LATE_S
            started_s = time.monotonic()
            assert_error(http.get("/1/profile"), 503)
            assert time.monotonic() - started_s < LATE_S

    def test_what_is_unexpected_is_a_500_without_details(self):
        fake = FakeCluster()
        fake.do_profile = lambda *_: 1 / 0  # type: ignore[method-assign]
        fake.do_home = lambda *_: 1 / 0  # type: ignore[method-assign]
        with ServerThread({"auth_mode": "open"}, fake) as live, httpx.Client(base_url=live.base_url) as http:
            for path in ("/1/profile", "/feed?user_id=1"):
                reply = http.get(path, headers={"x-request-id": "find-me"})
                error = assert_error(reply, 500, None)
                assert error["message"] == "something went wrong on our side; request find-me"
                assert "zero" not in reply.text


def test_a_home_read_is_one_lane_request(ada, fake):
    ada.home()
    fake.calls.clear()
    ada.home(count=5)
    assert fake.calls == ["home"]


def test_a_wrong_password_is_401_however_short_it_is(ada, anonymous):
    for wrong in ("", "no", "wrong password"):
        reply = anonymous.post("/api/v1/login", json={"username": ada.username, "password": wrong})
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "unauthorized")
