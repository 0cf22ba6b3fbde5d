"""The native JSON is the same to the letter as before tweets were put together from pieces."""

from __future__ import annotations

import lzma

import orjson
import pytest

from tests.data.native_answers import PATH, answers_of_today


@pytest.mark.parametrize("pieces_bytes_max", [0, 3_000, 1 << 20])
def test_every_list_answers_to_the_letter_what_it_answered_before(pieces_bytes_max: int):
    """Whatever is kept of it: nothing, some, or all."""
    expected, found = orjson.loads(lzma.decompress(PATH.read_bytes())), orjson.loads(answers_of_today(pieces_bytes_max))
    assert list(found) == list(expected)
    for name, texts in expected.items():
        assert found[name] == texts, name


def test_every_kind_of_tweet_is_among_them():
    text = lzma.decompress(PATH.read_bytes()).decode()
    for part in (
        r"\"repost_of\":{", r"\"edited_at\":\"", r"\"visibility\":\"followers\"", r"\"visibility\":\"direct\"",
        r"\"media_id\":", r"\"mentions\":[{", r"\"hashtags\":[{", r"\"urls\":[{", r"\"in_reply_to\":\"", r"\"likes\":4",
        "漢字", r"\"reposts\":1", r"\"replies\":1",
    ):  # fmt: skip
        assert part in text, part
    for moment in ("posted", "counts move", "counts told", "edited", "gone", "restored"):
        assert f"level 1, {moment}, again: home of" in text
