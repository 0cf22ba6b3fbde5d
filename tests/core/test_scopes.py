"""Scopes: texts and masks, and what covers what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core import scopes
from actors.core.arguments import scope_mask
from actors.core.errors import InvalidError

SOME = st.lists(st.sampled_from(scopes.NAMES), min_size=1, max_size=8)


def test_a_bit_is_for_ever():
    assert [scopes.BITS[name] for name in ("profile", "push", "follow", "read", "write")] == [1, 2, 4, 8, 16]
    assert scopes.READ_STATUSES == 1 << 15
    assert scopes.BITS["write:statuses"] == 1 << 28
    assert len(set(scopes.NAMES)) == len(scopes.NAMES) == 31


@given(SOME)
def test_a_text_is_read_back_in_one_spelling(names):
    mask = scopes.parse("  ".join(names))
    assert set(scopes.spell(mask).split()) == set(names)
    assert scopes.parse(scopes.spell(mask)) == mask
    assert scope_mask(mask) == mask


@given(SOME, SOME)
def test_what_covers_what_is_said_by_the_names(granted, asked):
    """The plain twin: a name, the part before its colon, or `follow`."""

    def allows(name: str) -> bool:
        by_follow = name.split(":")[-1] in ("follows", "blocks", "mutes") and "follow" in granted
        return name in granted or (":" in name and (name.split(":")[0] in granted or by_follow))

    mask = scopes.parse(" ".join(granted))
    assert scopes.covers(mask, scopes.parse(" ".join(asked))) == all(map(allows, asked))


def test_nothing_asks_for_reading_and_everything_covers_all():
    assert scopes.parse("") == scopes.parse("  ") == scopes.READ
    assert scopes.covers(scopes.EVERYTHING, scopes.KNOWN)
    assert scopes.covers(scopes.EVERYTHING, scopes.EVERYTHING)
    assert not scopes.covers(scopes.KNOWN, scopes.EVERYTHING), "tokens of an app aren't those of our own API"
    assert scopes.spell(scopes.EVERYTHING) == "read write follow push profile"


def test_all_parts_of_reading_are_not_reading():
    parts = sum(bit for name, bit in scopes.BITS.items() if name.startswith("read:"))
    assert not scopes.covers(parts, scopes.READ), "which covers what is added later"


@pytest.mark.parametrize("text", ["read admin:read", "Read", "read,write", "read:", ":statuses", "read\x00"], ids=repr)
def test_a_scope_that_there_is_not_is_named(text):
    with pytest.raises(InvalidError, match="there is no scope") as caught:
        scopes.parse(text)
    assert caught.value.field == "scope"


def test_a_text_of_scopes_is_bounded():
    scopes.parse(" ".join(scopes.NAMES))
    for long in ("read " * 300, None, 5):
        with pytest.raises(InvalidError, match="at most 1024 characters"):
            scopes.parse(long)


@pytest.mark.parametrize("value", [0, -1, scopes.KNOWN + 1, True, 8.0, "read", None], ids=repr)
def test_what_is_no_mask_is_refused(value):
    with pytest.raises(InvalidError):
        scope_mask(value)
