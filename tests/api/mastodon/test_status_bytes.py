"""What filters say is put into bytes that shards have joined: the same as by a parse, whatever stands in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.entries import Entry
from actors.core.facts import QUOTE, Facts, pack_facts
from actors.core.features.filters import HOME, PUBLIC
from actors.core.ids import ID_MAX
from actors.core.renderers.mastodon import MastodonRenderer
from actors.core.renderers.mastodon_marks import quotes_in, replaced, unmarked
from actors.core.stores.people import Account
from api.filter_sets import FilterSet
from api.mastodon.filtering import marked, marked_page, result_of, text_of
from api.mastodon.status_bytes import HEAD_BYTES, StatusPage, name_of, names_in

RENDERER = MastodonRenderer("https://rookery.example")
TRAPS = '","edited_at":null "filtered":[]}},"favourited": {"id":"1"} }}'
AUTHOR = Account(5, "ada", 0, display_name=TRAPS, bio=TRAPS)
QUOTED = 900


class Shape(NamedTuple):
    """One status of a page."""

    is_reblog: bool
    has_quote: bool
    text: str
    edited_ms: int


TEXTS = st.sampled_from(["word", TRAPS, f"a word {TRAPS}", ""])
PAGES = st.lists(st.builds(Shape, st.booleans(), st.booleans(), TEXTS, st.sampled_from([0, 1_000, 2_000])), max_size=5)


def written(status_id: int, shape: Shape, reblog: bytes | None = None) -> bytes:
    """Return a status as a reader is shown it, polls and quotes completed."""
    more = {QUOTE: QUOTED} if shape.has_quote else {}
    body = pack_facts(Facts(shape.text, "ada", edited_ms=shape.edited_ms, more=more))
    piece = RENDERER.piece(Entry(status_id, 5, 0, 0, status_id, 5, 0, 0, 0, body, [], None))
    if shape.has_quote:
        inner = written(QUOTED, Shape(False, False, "a word that is quoted", 0))
        shown = b'{"state":"accepted","quoted_status":%b}' % inner
        piece = unmarked(replaced(piece, quotes_in(piece), {QUOTED: shown}))
    end = RENDERER.ends[0] if reblog is None else RENDERER.opening + reblog + RENDERER.closings[0]
    return piece + RENDERER.account(AUTHOR) + end


def page_of(shapes: list[Shape]) -> list[bytes]:
    """Return statuses, each with ids of its own."""
    made = []
    for number, shape in enumerate(shapes, 1):
        said = written(10 * number, shape)
        wrapper = Shape(False, False, "", 0)
        made.append(written(10 * number + 1, wrapper, said) if shape.is_reblog else said)
    return made


def by_parse(filters: FilterSet, statuses: list[bytes]) -> Any:
    """Return what is to be shown, found by a parse alone."""
    shown = [orjson.loads(status) for status in statuses]
    for status in shown:
        inner = status["reblog"] or status
        mets = filters.judge(int(inner["id"]), text_of(inner["content"]))
        inner["filtered"] = status["filtered"] = [result_of(met) for met in mets]
    return shown


def new_filters() -> FilterSet:
    return FilterSet(1, [[1, "title", HOME, 0, 0, [[1, "word", True]], []], [2, "one", HOME, 1, 0, [], [[3, 20]]]])


@settings(max_examples=60)
@given(PAGES, st.integers(0, 5))
def test_filters_say_in_bytes_what_they_say_by_a_parse(shapes: list[Shape], forgotten: int):
    statuses, filters = page_of(shapes), new_filters()
    page, expected = StatusPage.of(statuses), by_parse(new_filters(), statuses)
    assert page.statuses == statuses
    for _ in range(2):  # unknown, and known
        assert [*map(orjson.loads, marked(filters, statuses, HOME))] == expected
        assert orjson.loads(marked_page(filters, page, HOME)) == expected
        assert orjson.loads(marked_page(filters, page, PUBLIC)) == orjson.loads(page.body)
    for name in [name for status in statuses for name in names_in(status)][:forgotten]:
        filters._verdicts.pop(name, None)
    assert orjson.loads(marked_page(filters, page, HOME)) == expected, "what a status holds is forgotten before it"


@given(PAGES)
def test_what_is_known_is_not_parsed(shapes: list[Shape]):
    statuses, filters = page_of(shapes), new_filters()
    marked(filters, statuses, HOME)
    for status in statuses:
        assert name_of(status) == names_in(status)[0]
        assert None not in map(filters.known, names_in(status))


def test_names_end_with_ids_and_times_of_edits_in_the_order_in_which_statuses_begin():
    plain, edited = Shape(False, False, TRAPS, 0), Shape(False, True, "x", 1_000)
    names = [*names_in(written(7, plain)), *names_in(written(8, plain, written(9, edited)))]
    ends = [b"/7", b"/8", b'/9"1970-01-01T00:00:01.000Z"', b"/%d" % QUOTED]
    assert [name.endswith(end) for name, end in zip(names, ends, strict=True)] == [True] * 4
    assert names_in(b"") == []


def test_a_name_has_all_of_an_id_and_lies_behind_what_is_passed_over():
    least, most = written(1, Shape(False, False, "", 0)), written(ID_MAX, Shape(False, False, "", 0))
    assert name_of(least).endswith(b"/1")
    assert name_of(most).endswith(b"/%d" % ID_MAX)
    shortest = MastodonRenderer("").piece(Entry(1, 1, 0, 0, 1, 1, 0, 0, 0, pack_facts(Facts("", "a")), [], None))
    assert shortest.index(b'"edited_at"') > HEAD_BYTES
