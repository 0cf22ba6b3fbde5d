"""Attacks on log-ins with an injected clock: nobody is kept out by others, and nobody guesses for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import OverloadedError, RateLimitedError, UnauthorizedError
from api.access import login_attempts
from api.access.login_attempts import KNOWN_ADDRESSES_MAX, LoginAttempts
from api.settings import Rate, RateLimitSettings
from tests.manual_clock import ManualClock

HOME, WORK, THIEF = "192.0.2.1", "192.0.2.2", "198.51.100.9"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def logins(clock):
    made = LoginAttempts(RateLimitSettings(login=Rate(0.5, 20)), clock)
    yield made
    made.check()


def fail(logins, address, name="ada"):
    with logins.begin(address, name) as attempt:
        attempt.wrong()


def succeed(logins, address, name="ada"):
    with logins.begin(address, name) as attempt:
        attempt.right()
    return attempt


def failures_until_refused(logins, address, name="ada", most=1_000):
    for count in range(most):
        try:
            fail(logins, address, name)
        except RateLimitedError:
            return count
    return most


def test_who_guesses_is_refused_and_keeps_nobody_else_out(logins, clock):
    assert failures_until_refused(logins, THIEF) == 2  # a tenth of the burst
    assert not succeed(logins, HOME).asker.goes_first
    for _ in range(50):
        with pytest.raises(RateLimitedError):
            fail(logins, THIEF)
    assert succeed(logins, HOME).asker.goes_first
    assert succeed(logins, WORK)
    clock.now_s += 20  # a tenth of the rate
    assert failures_until_refused(logins, THIEF) == 1


def test_one_address_may_not_try_one_password_on_many_names(logins):
    tried = sum(failures_until_refused(logins, THIEF, f"user{n}") for n in range(40))
    assert tried == 20
    with pytest.raises(RateLimitedError, match="this address"):
        fail(logins, THIEF, "another")
    assert succeed(logins, HOME, "user1")


def test_many_strangers_who_guess_together_are_slowed_and_the_owner_goes_on(logins, clock):
    succeed(logins, HOME)
    guessed = sum(failures_until_refused(logins, f"2001:db8:{n:x}::/64") for n in range(500))
    assert guessed == 20
    for _ in range(100):
        assert succeed(logins, HOME).asker.goes_first
    with pytest.raises(RateLimitedError, match="where nobody did before") as refusal:
        fail(logins, WORK)
    assert refusal.value.retry_after_s == pytest.approx(20)
    clock.now_s += 20
    assert succeed(logins, WORK)  # the owner elsewhere waits with the strangers, no longer
    assert succeed(logins, WORK).asker.goes_first


def test_a_guesser_at_the_address_of_the_owner_is_slowed_too(logins):
    succeed(logins, HOME)
    assert failures_until_refused(logins, HOME) == 2


def test_right_passwords_and_what_nobody_learned_anything_by_do_not_count(logins):
    for _ in range(300):
        succeed(logins, HOME)
        with pytest.raises(OverloadedError), logins.begin(WORK, "ada"):
            raise OverloadedError("the shard is away")
    assert failures_until_refused(logins, WORK) == 2


def test_a_right_password_for_ones_own_account_gives_no_guess_more(logins):
    guesses = 0
    for _ in range(100):
        succeed(logins, THIEF, "thiefs_own")
        guesses += failures_until_refused(logins, THIEF, "ada", 1)
    assert guesses == 2


def test_attempts_at_once_count_before_they_are_decided(logins):
    attempts = [logins.begin(THIEF, "ada"), logins.begin(THIEF, "ada")]
    with pytest.raises(RateLimitedError):
        logins.begin(THIEF, "ada")
    for attempt in attempts:
        with attempt:
            attempt.wrong()
    with pytest.raises(RateLimitedError):
        logins.begin(THIEF, "ada")


def test_a_refused_attempt_takes_nothing(logins, clock):
    failures_until_refused(logins, THIEF)
    for _ in range(100):
        with pytest.raises(RateLimitedError):
            fail(logins, THIEF)
    assert sum(failures_until_refused(logins, THIEF, f"user{n}") for n in range(40)) == 18
    for _ in range(10):
        with pytest.raises(RateLimitedError, match="this address"):
            fail(logins, THIEF, "ben")
    clock.now_s += 4  # the address has two again, and nothing was taken of the name's meanwhile
    assert failures_until_refused(logins, THIEF, "ben") == 2


def test_case_makes_no_other_name_and_what_is_no_name_is_one(logins):
    assert failures_until_refused(logins, THIEF, "Ada") + failures_until_refused(logins, THIEF, "aDA") == 2
    assert failures_until_refused(logins, THIEF, "no name \0") == 2
    assert failures_until_refused(logins, THIEF, "x" * 10_000) == 0


def test_what_is_remembered_is_bounded_and_only_success_is(logins, monkeypatch):
    monkeypatch.setattr(login_attempts, "KNOWN_NAMES_MAX", 3)
    for n in range(10):
        succeed(logins, f"192.0.2.{n}")
    assert not logins.begin("192.0.2.1", "ada").asker.goes_first
    assert logins.begin(f"192.0.2.{10 - KNOWN_ADDRESSES_MAX}", "ada").asker.goes_first
    for n in range(100):
        fail(logins, f"198.51.100.{n}", f"user{n}")
    assert logins.begin("192.0.2.9", "ada").asker.goes_first
    for n in range(3):
        succeed(logins, HOME, f"user{n}")
        logins.check()
    assert not logins.begin("192.0.2.9", "ada").asker.goes_first


def test_without_limits_nothing_is_refused(clock):
    logins = LoginAttempts(RateLimitSettings(enabled=False, login=Rate(0.1, 1)), clock)
    assert failures_until_refused(logins, THIEF, most=100) == 100


def test_an_error_that_is_no_answer_gives_back_and_goes_on(logins):
    for _ in range(100):
        with pytest.raises(UnauthorizedError), logins.begin(WORK, "ada"):
            raise UnauthorizedError("of something else than the password")


STEPS = st.lists(
    st.tuples(
        st.sampled_from([HOME, WORK, THIEF]), st.sampled_from(["ada", "ben", "?"]), st.booleans(), st.floats(0, 9)
    ),
    max_size=60,
)  # fmt: skip


@given(STEPS)
def test_wrong_passwords_are_never_more_than_the_bounds_allow(steps):
    clock = ManualClock()
    logins, wrong = LoginAttempts(RateLimitSettings(login=Rate(0.5, 20)), clock), {}
    for address, name, is_right, wait_s in steps:
        clock.now_s += wait_s
        try:
            attempt = logins.begin(address, name)
        except RateLimitedError:
            continue
        with attempt:
            if is_right and name != "?":
                attempt.right()
            else:
                attempt.wrong()
                wrong[address, name] = wrong.get((address, name), 0) + 1
        logins.check()
    passed_s = clock.now_s - 100.0
    assert all(count <= 2 + 0.05 * passed_s + 1e-6 for count in wrong.values())
