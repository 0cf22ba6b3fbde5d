"""Facts of a tweet: every version reads alike, unknown facts are kept, and what is none is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.facts import Facts, pack_facts, read_facts

NAMED = st.builds(
    Facts, st.text(max_size=20), st.text(max_size=9), st.integers(0, (1 << 63) - 1),
    st.lists(st.integers(1, (1 << 63) - 1), max_size=4), st.binary(max_size=20), st.integers(0, 1 << 41), st.just({}),
)  # fmt: skip
MORE = st.dictionaries(st.integers(6, 40), st.integers() | st.text(max_size=9) | st.binary(max_size=9), max_size=4)


def as_lists(facts: Facts) -> list:
    return [*facts[:3], list(facts.media_ids), *facts[4:]]


@given(NAMED)
def test_both_versions_say_the_same(facts):
    assert as_lists(read_facts(pack_facts(facts, False))) == as_lists(facts)
    assert as_lists(read_facts(pack_facts(facts, True))) == as_lists(facts)


@given(NAMED, MORE.map(lambda m: {k: v for k, v in m.items() if not isinstance(v, int) or abs(v) < 1 << 63}))
def test_facts_that_this_version_has_no_name_for_are_kept(facts, more):
    packed = pack_facts(facts._replace(more=more), True)
    read = read_facts(packed)
    assert read.more == more
    assert read_facts(pack_facts(read._replace(text="edited"), True)).more == more


def test_version_0_is_what_the_first_release_wrote():
    old = msgpack.packb(["hello", "ada", 7, [1, 2], b"\x80", 0], use_bin_type=True)
    assert pack_facts(Facts("hello", "ada", 7, [1, 2], b"\x80"), False) == old
    assert read_facts(old)[:6] == ("hello", "ada", 7, [1, 2], b"\x80", 0)


def test_what_is_absent_takes_no_room():
    assert len(pack_facts(Facts("hello", "ada"), True)) == len("hello") + len("ada") + 1 + 1 + 2 + 2
    assert pack_facts(Facts("", ""), True) == b"\x01\x80"


def test_version_0_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match=r"facts \[9\] need"):
        pack_facts(Facts("a", "b", more={9: 1}), False)


@pytest.mark.parametrize(
    "body", [b"", b"\x02\x80", b"\x80", b"\x95\x00", b"\x97", b"\x01\x90", b"\x01\x01", b"\x01\x81\x00"]
)
def test_what_is_no_facts_is_refused(body):
    with pytest.raises(ValueError):
        read_facts(body)
