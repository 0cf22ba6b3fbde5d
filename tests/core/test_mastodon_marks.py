"""Marks in pieces: whatever people write, exactly what is marked is found, and what takes its place leaves JSON."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.core import flags, ids
from actors.core.entries import Entry
from actors.core.facts import POLL, QUOTE, SPOILER, Facts, pack_facts
from actors.core.renderers.mastodon import MastodonRenderer
from actors.core.renderers.mastodon_marks import has_marks, polls_in, quotes_in, replaced, unmarked

RENDERER = MastodonRenderer("https://rookery.example")
TWEET_ID = ids.make_tweet_id(1_700_000_000_123, 3, 1)
TRICKY = st.sampled_from(
    [
        '"poll":\t{"id":"7","emojis":[]}',
        '"quote":\t{"state":"accepted","quoted_status_id":"7"}',
        '"emojis":[]}',
        "\t",
        "}",
    ]
)
TEXTS = st.lists(st.text(max_size=20) | TRICKY, max_size=3).map("".join)


def piece(text: str, more: dict[int, Any]) -> bytes:
    bits = flags.FLAG_RICH if {POLL, QUOTE} & more.keys() else 0
    body = pack_facts(Facts(text, "ada", more=more))
    return RENDERER.piece(Entry(TWEET_ID, 7, bits, 0, TWEET_ID, 7, 0, 0, 0, body, [], None))


def whole(made: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(made + b"null}")
    return found


@given(TEXTS, TEXTS, st.none() | st.lists(TEXTS, min_size=2, max_size=4), st.none() | st.integers(1, ids.ID_MAX))
def test_what_is_marked_is_found_and_nothing_else(text, spoiler, options, quoted):
    more: dict[int, Any] = {SPOILER: spoiler}
    if options is not None:
        more[POLL] = [options, False, False, 1]
    if quoted is not None:
        more[QUOTE] = quoted
    made = piece(text, more)
    polls, quotes = polls_in(made), quotes_in(made)
    assert [mark.tweet_id for mark in polls] == [TWEET_ID] * (options is not None)
    assert [mark.tweet_id for mark in quotes] == [quoted] * (quoted is not None)
    assert has_marks(made) == bool(polls or quotes)
    assert whole(unmarked(made)) == whole(made)
    now = replaced(made, polls, {TWEET_ID: b'{"now":1}'})
    now = replaced(now, quotes_in(now), {quoted or 0: b'{"then":2}'})
    assert not has_marks(now)
    found = whole(now)
    assert found["poll"] == (None if options is None else {"now": 1})
    assert found["quote"] == (None if quoted is None else {"then": 2})
    assert found["spoiler_text"] == spoiler


def test_of_what_nothing_is_known_what_stands_there_is_left():
    made = piece("?", {POLL: [["a", "b"], False, False, 1], QUOTE: 5})
    left = replaced(made, polls_in(made), {TWEET_ID: None})
    assert whole(left)["poll"]["options"] == [{"title": "a", "votes_count": 0}, {"title": "b", "votes_count": 0}]
    assert whole(replaced(left, quotes_in(left), {}))["quote"] == {"state": "accepted", "quoted_status_id": "5"}
