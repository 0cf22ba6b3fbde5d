"""Arguments of what has to do with mail and push, for `test_hostile_arguments.py`: what fits, and what is typical."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

MAILED, CODE, RESET, OTHER, NONCE = "ada@example.org", b"c" * 32, b"d" * 32, b"e" * 32, b"n" * 16
ENDPOINT, KEY, AUTH = "https://example.org/push", b"k" * 65, b"a" * 16
_ADDRESSES = st.sampled_from([MAILED, "x", ""])
_CODES = st.sampled_from([CODE, RESET, b"x"])
_NONCES = st.sampled_from([NONCE, b""])
_TOKENS = st.sampled_from([b"x", b"none"])
_TYPES = st.integers(0, 1 << 17)


def prepare(base: Any, here: list[int]) -> None:
    """Give the first account an address, a code for a password and a subscription, the second one a wanted address."""
    for one in here[:2]:
        base.do("want_address", one, MAILED, CODE, NONCE)
    base.do("confirm_address", here[0], CODE)
    base.do("forgot_password", here[0], MAILED, RESET, NONCE)
    base.do("subscribe", here[0], b"x", ENDPOINT, KEY, AUTH, 1023, 0, True)


def fitting(account: Any, words: Any, count: Any, thing: Any) -> dict[str, Any]:
    """Return arguments that fit, by operation."""
    return {
        "want_address": st.tuples(account, _ADDRESSES, _CODES, _NONCES),
        "forgot_password": st.tuples(account, _ADDRESSES, _CODES, _NONCES),
        "confirm_address": st.tuples(account, _CODES), "test_mail": st.tuples(account), "mailbox": st.tuples(account),
        "reset_password": st.tuples(account, _ADDRESSES, _CODES, words),
        "set_mail": st.tuples(account, st.none() | count, st.none() | st.booleans()),
        "release_address": st.tuples(thing, account),
        "subscribe": st.tuples(
            account, _TOKENS, st.sampled_from([ENDPOINT, ""]), st.sampled_from([KEY, b"x"]),
            st.sampled_from([AUTH, b"x"]), _TYPES, st.integers(0, 4), st.booleans(),
        ),
        "change_subscription": st.tuples(account, _TOKENS, _TYPES, st.none() | st.integers(0, 4)),
        "unsubscribe": st.tuples(account, _TOKENS), "push_subscription": st.tuples(account, _TOKENS),
        "test_push": st.tuples(account),
    }  # fmt: skip


def typical(here: list[int], mail: int) -> dict[str, list[Any]]:
    """Return arguments that are let through after `prepare`, by write. mail: the thing of an address of the first."""
    return {
        "want_address": [here[1], "other@example.org", OTHER, NONCE], "confirm_address": [here[1], CODE],
        "forgot_password": [here[0], MAILED, OTHER, NONCE], "test_mail": [here[0]], "set_mail": [here[0], 1, False],
        "reset_password": [here[0], MAILED, RESET, "new hash"], "release_address": [mail, here[0]],
        "subscribe": [here[0], b"x", "https://example.org/other", KEY, AUTH, 1, 0, True], "test_push": [here[0]],
        "change_subscription": [here[0], b"x", 3, 1], "unsubscribe": [here[0], b"x"],
    }  # fmt: skip
