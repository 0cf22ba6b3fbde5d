"""Cursors of `order=top`: read as they were made, bounded, and refused when they are anything else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.errors import MalformedError
from actors.core.ids import ID_MAX, make_tweet_id
from actors.core.limits import RANKED_COUNT_MAX
from api.limits import QUERY_BYTES_MAX, SEARCH_QUERY_CHARS_MAX
from api.search.cursor import CHARS_MAX, cursor_of_top, pack_ids, parse_cursor_of_top, unpack_ids

NOW_MS = 1_790_000_000_000
tweet_ids = st.integers(1, ID_MAX) | st.builds(
    make_tweet_id, st.integers(NOW_MS - 10**9, NOW_MS), st.integers(0, 1_023), st.integers(0, 63)
)
some_ids = st.lists(tweet_ids, min_size=1, max_size=60, unique=True)


@given(ids=some_ids, at=st.integers(0, 60), at_ms=st.integers(1, 1 << 48))
def test_a_cursor_is_read_as_it_was_made(ids: list[int], at: int, at_ms: int) -> None:
    cursor = cursor_of_top(at_ms, pack_ids(ids[:at]), ids[at:])
    assert parse_cursor_of_top(cursor) == (at_ms, pack_ids(sorted(ids)))
    assert unpack_ids(pack_ids(ids)) == tuple(ids)


@pytest.mark.parametrize("spread_ms", [0, 1_000, 86_400_000, 30 * 86_400_000, 10 * 365 * 86_400_000, NOW_MS, 1 << 46])
@pytest.mark.parametrize("sequence", [0, 63])
def test_the_longest_cursor_fits_into_a_url_beside_the_longest_query(spread_ms: int, sequence: int) -> None:
    rng = random.Random(7)
    ids: set[int] = set()
    while len(ids) < RANKED_COUNT_MAX - 1:
        ids.add(make_tweet_id(rng.randrange(spread_ms + 1), rng.randrange(1_024), sequence))
    cursor = cursor_of_top(NOW_MS, b"", ids - {0} or {1})
    assert len(cursor) <= CHARS_MAX
    assert len(unpack_ids(parse_cursor_of_top(cursor)[1])) >= RANKED_COUNT_MAX - 2
    if sequence == 0 and spread_ms <= NOW_MS:
        assert len(cursor) <= 4_800
    others = "query=&order=top&cursor=&highlights=true&exact=true&count=200"
    assert CHARS_MAX + 12 * SEARCH_QUERY_CHARS_MAX + len(others) < QUERY_BYTES_MAX


@given(ids=some_ids, data=st.data())
def test_a_damaged_cursor_is_refused_or_means_the_same(ids: list[int], data: st.DataObject) -> None:
    cursor = cursor_of_top(NOW_MS, b"", ids)
    at = data.draw(st.integers(0, len(cursor) - 1))
    damaged = data.draw(
        st.sampled_from((cursor[:at], cursor[at:], cursor[:at] + cursor[at + 1 :], cursor + "A", cursor * 2))
        | st.characters().map(lambda c: cursor[:at] + c + cursor[at + 1 :])
    )
    try:
        read = parse_cursor_of_top(damaged)
    except MalformedError:
        return
    assert read == (NOW_MS, pack_ids(sorted(ids)))


@given(text=st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: "t" + raw.hex()))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MalformedError) as refused:
        parse_cursor_of_top(text)
    assert refused.value.field == "cursor"


def test_a_cursor_of_the_older_form_is_told_to_begin_again() -> None:
    for score in (0.0, 1.5, 1e-300, 12345.678):
        with pytest.raises(MalformedError, match="older version: begin again"):
            parse_cursor_of_top(f"{NOW_MS}_{score.hex()}_{make_tweet_id(NOW_MS, 7, 0)}")


def test_a_cursor_that_leads_nowhere_is_refused() -> None:
    """As many tweets as a list has, none at all, or a time that isn't one."""
    full = cursor_of_top(NOW_MS, b"", range(1, RANKED_COUNT_MAX + 1))
    for cursor in (full, cursor_of_top(NOW_MS, b"", []), cursor_of_top(0, b"", [5]), "t", "", "t" + "A" * 20_000):
        with pytest.raises(MalformedError, match="must be a `next_cursor`"):
            parse_cursor_of_top(cursor)
