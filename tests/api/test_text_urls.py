"""Links: as `twitter-text-parser` finds them, in every text that is short enough for it; and where we differ."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twitter_text import extract_urls_with_indices
from twitter_text.extract_urls import max_tco_slug_length, max_url_length
from twitter_text.regexp.valid_url_path import valid_url_path

from api.text import text_urls, url_rules
from api.text.text_urls import find_urls
from bench.processes import REPOSITORY

PIECES = st.sampled_from(
    [*"ab1AZ日本é_-.../?=()#@$!'\":&,+~^%|[]*。．＃＠ſ\u0301\u200d\u202e\n👍🇩ß", " ", "com", "co", "jp", "de", "us",
     "香港", "한국", "中国", "xn--", "http://", "https://", "HTTP://", ":80", "t.co/", "t.co", "www.", "com.", "рф",
     ".com", "vermögensberatung", "verm", "(a)", "(a(b)c)", "a.co/", "é.com/", "://", "?a=", "." * 3, "-.", "._"]
)  # fmt: skip


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both take any host, so that they can be compared on where hosts are."""
    monkeypatch.setattr(sys.modules["twitter_text.extract_urls"], "idna_to_ascii", lambda host: host)
    monkeypatch.setattr(text_urls, "_has_address", lambda host: True)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("http://foo_bar.example.com日本.jp/a see foo_bar.example.com日本.jp")
@example("日.com é.com 日é.com")
@example("a.com.中国x.com-b.co")
@example("xhttp://a.com -http://b.com 日http://c.com")
@example("http://t.co/abc(d)?e=f t.co/abc http://t.co/" + "a" * 41)
@example("a.co/(a)(b)!(c)! a.co/!(a) a.co/(a(b)c)(d")
def test_hosts_paths_and_queries_are_the_librarys(text):
    with pytest.MonkeyPatch.context() as monkeypatch:
        unchecked(monkeypatch)
        library, ours = extract_urls_with_indices(text), find_urls(text)
    assert [start for _, start, _ in ours] == [link["indices"][0] for link in library]
    for link, (_, start, end) in zip(library, ours, strict=True):
        foreign_path = link["url"] != text[start : link["indices"][1]]  # behind something else than this host
        assert foreign_path or end == link["indices"][1]


@given(st.lists(st.sampled_from([*"()a.!@/?=é:-ж", "(a)", "(a(b)c)", "(.)", "@a/"]), max_size=16).map("".join))
def test_paths_are_the_librarys(path):
    library = text_urls.re.compile(f"(?:/{valid_url_path.pattern}*)?", text_urls.re.IGNORECASE).match("/" + path)
    assert text_urls.re.compile(f"(?:/{text_urls._PATH})?", text_urls.re.IGNORECASE).match("/" + path)[0] == library[0]


@given(st.lists(PIECES, max_size=14).map("".join))
def test_a_link_is_what_stands_between_its_offsets_and_links_are_apart(text):
    done = 0
    for url, start, end in find_urls(text):
        assert (text[start:end], done <= start < end) == (url, True)
        done = end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://日本語.jp/あ HTTPS://ÄRZTE.de", ["http://日本語.jp/", "HTTPS://ÄRZTE.de"]),
        ("http://" + "日" * 60 + ".jp", []),  # 60 characters, but more than 63 octets once they are encoded
        ("http://" + "a" * 64 + ".com http://" + "a" * 63 + ".com", ["http://" + "a" * 63 + ".com"]),
        ("a" * 64 + ".com", []),
        ("https://a／b.com https://。。.com", []),  # becomes a/b.com; empty labels
        # The library asks whether all that is glued to a name can be encoded, and loses the name if not.
        ("日" * 70 + "example.com/a", ["example.com/a"]),
        ("👩\u200d💻example.com ☺️example.org", ["example.com", "example.org"]),
        # It would give this path to example.com.
        ("example.com中国.jp/a", ["example.com"]),
        # No dotless i in a top-level domain.
        ("example.bı example.bİ", []),
        ("http://a.com/" + "b" * 4_083, ["http://a.com/" + "b" * 4_083]),
        ("http://a.com/" + "b" * 4_084, []),
    ],
)
def test_only_names_that_the_dns_could_have_are_links(text, expected):
    assert [url for url, _, _ in find_urls(text)] == expected


def test_links_in_words_of_any_length_are_found():
    text = "。".join(f"文{n}文example{n}.com/path" for n in range(1_000)) + "。" + "x" * 5_000
    assert [url for url, _, _ in find_urls(text)][:2] == ["example0.com/path", "example1.com/path"]
    assert len(find_urls(text)) == 1_000


# ---- what is taken from the library --------------------------------------------------------------------------------


def test_the_rules_are_the_librarys_and_nothing_else_of_it_is_loaded():
    """A worker that starts would compile patterns of all emoji and of whole links, half a second of the processor."""
    assert (max_url_length, max_tco_slug_length) == (url_rules.URL_CHARS_MAX, url_rules.TCO_SLUG_CHARS_MAX)
    program = (
        "import sys, api.text.text_urls; print(*sorted(n for n in sys.modules if n.partition('.')[0] in"
        " ('twitter_text', 'pkg_resources') and not n.startswith('twitter_text.regexp')));"
        "from twitter_text import parse_tweet; print(parse_tweet('\U0001f44d a.co').weightedLength)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    loaded, length = done.stdout.splitlines()
    assert loaded == "twitter_text.regex_supplant"
    assert length == "26", "whoever imports the library afterwards gets all of it"
