"""The small HTTP client of loads and checks."""

from __future__ import annotations

import pytest

from commands.http_api import PAUSE_S, PAUSE_S_MAX, wait_of


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("", PAUSE_S), ("7", 7), (" 7 ", 7), ("0", 0), ("9" * 5_000, PAUSE_S_MAX), ("-5", PAUSE_S), ("1.5", PAUSE_S),
     ("nan", PAUSE_S), ("Wed, 21 Oct 2015 07:28:00 GMT", PAUSE_S)],
)  # fmt: skip
def test_whatever_a_proxy_puts_into_retry_after_is_a_pause(retry_after, seconds):
    assert wait_of(retry_after) == seconds
