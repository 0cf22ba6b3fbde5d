"""Texts as HTML: what clients show, and that no text makes markup of its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.entries import unpack
from actors.core.renderers.html import html_of, link_html, plain_html
from api.text.entities import find_entities, pack_entities

BASE = "https://rookery.example"
ALLOWED = {
    "p": set(), "br": set(), "span": {"class", "translate"}, "a": {"href", "class", "rel", "target", "translate"},
}  # fmt: skip


class Reader(HTMLParser):
    """Reads HTML as a browser would; remembers elements, attributes and text."""

    def __init__(self, shown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(shown)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)
        else:
            self.text += "\n"

    def handle_endtag(self, tag: str) -> None:
        if tag == "br":
            return
        assert self.open.pop() == tag
        if tag == "p":
            self.text += "\n\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(text: str, **ids: int) -> str:
    packed = pack_entities(find_entities(text), ids)
    return html_of(text, unpack(packed), BASE)


@pytest.mark.parametrize(("text", "expected"), [
    ("", ""),
    ("one", "<p>one</p>"),
    ("one\ntwo\n\nthree", "<p>one<br />two</p><p>three</p>"),
    ("one\r\ntwo\n\n\n\nthree\n", "<p>one<br />two</p><p>three</p>"),
    ("a < b & c > \"d\" 'e'", "<p>a &lt; b &amp; c &gt; &quot;d&quot; &#x27;e&#x27;</p>"),
])  # fmt: skip
def test_paragraphs_and_signs(text, expected):
    assert plain_html(text) == expected
    assert shown(text) == expected


def test_mentions_hashtags_and_links_are_links():
    found = Reader(shown("hi @ada, see #Straße at https://www.example.org/a?b=c&d", ada=7))
    links = [(a["href"], a.get("class"), a.get("rel")) for tag, a in found.elements if tag == "a"]
    assert links == [
        (f"{BASE}/@ada", "u-url mention", None),
        (f"{BASE}/tags/stra%C3%9Fe", "mention hashtag", "tag"),
        ("https://www.example.org/a?b=c&d", None, "nofollow noopener"),
    ]
    assert found.text == "hi @ada, see #Straße at https://www.example.org/a?b=c&d\n\n"


def test_a_long_link_is_shortened_to_the_eye_alone():
    url = "https://example.org/" + "x" * 60
    found = Reader(link_html(url))
    assert found.text == url
    assert [a.get("class") for tag, a in found.elements if tag == "span"] == ["invisible", "ellipsis", "invisible"]


@pytest.mark.parametrize("url", ["javascript://alert(1)", "data://x", 'ftp://a" onclick="x'])
def test_what_leads_elsewhere_than_to_the_web_is_no_link(url):
    found = Reader(link_html(url))
    assert (found.elements, found.text) == ([], url)


def test_a_link_without_a_scheme_gets_one():
    [(_, attributes), *_] = Reader(link_html("example.org")).elements
    assert attributes["href"] == "https://example.org"


TEXTS = st.text(st.sampled_from("<>&\"'/=:;@#.\n\r ahrefscriptonx\u2028\x00é漢"), max_size=60)
SPANS = st.lists(st.tuples(TEXTS, st.integers(-5, 70), st.integers(-5, 70)).map(list), max_size=4)


@given(TEXTS, SPANS, SPANS, SPANS)
def test_no_text_and_no_entity_makes_markup_of_its_own(text, mentions, hashtags, urls):
    entities: dict[str, Any] = {"mentions": [[1, *m] for m in mentions], "hashtags": hashtags, "urls": urls}
    found = Reader(html_of(text, entities, BASE))
    assert found.open == []
    for tag, attributes in found.elements:
        assert attributes.keys() <= ALLOWED[tag]
        href = attributes.get("href")
        assert href is None or re.match(r"https?://", href, re.IGNORECASE)


@given(TEXTS)
def test_without_entities_the_text_that_is_read_is_the_text(text):
    read = Reader(plain_html(text)).text
    assert re.sub(r"\s+", "", read) == re.sub(r"\s+", "", text)
