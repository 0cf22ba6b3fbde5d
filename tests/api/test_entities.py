"""Entities: cases of twitter-text's published conformance suite (extract.yml) and the costs that texts may cause."""

from __future__ import annotations

import itertools

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.text.entities import _find_hashtags, find_entities, find_mentions, pack_entities, resolve_names
from api.text.text_urls import find_urls
from tests.api.fake_cluster import FakeCluster

MENTIONS = [
    ("@username reply", ["username"]),
    ("mention @user_name and @12345", ["user_name", "12345"]),
    ("の@usernameに到着を待っている", ["username"]),
    ("Current Status: @_@ (cc: @username)", ["username"]),
    ("@aliceìnheiro something", []),
    ("@username email me @test@example.com", ["username"]),
    ("@http://twitter.com", []),
    ("@username\n@mention", ["username", "mention"]),
    ("RT@username RT:@mention rT @test", ["username", "mention", "test"]),
    ("f!@kn f@@kn f#@kn f$@kn f%@kn f&@kn f*@kn", []),
    ("@username/list-name is a list", []),
    ("@username/7list is not", ["username"]),
    ("@" + "a" * 30, ["a" * 30]),
    ("@" + "a" * 31, []),
]
HASHTAGS = [
    ("a #hashtag here #1hashtag", ["hashtag", "1hashtag"]),
    ("On the #16 bus #0", []),
    ("(#hashtag1 )#hashtag2 [#hashtag3 ]#hashtag4 ’#hashtag5’#hashtag6", [f"hashtag{n}" for n in range(1, 7)]),
    ("#ハッシュ #트위터 #русский #中文", ["ハッシュ", "트위터", "русский", "中文"]),
    ("日本語ハッシュテスト。#日本語ハッシュタグ。", ["日本語ハッシュタグ"]),
    ("全角英数字 ＃ｈａｓｈｔａｇ１２３", ["ｈａｓｈｔａｇ１２３"]),
    ("日本語ハッシュタグ#日本語ハッシュタグ", []),
    ("#http://twitter.com #https://twitter.com", []),
    ("http://twitter.com/#hashtag twitter.com/#hashtag", []),
    ("#עַל־יְדֵי #וכו׳ #מ״כ", ["עַל־יְדֵי", "וכו׳", "מ״כ"]),
    ("#महात्मा #महात्मा_१२३४ #१२३४", ["महात्मा", "महात्मा_१२३४"]),
    ("#தமிழ் #తెలుగు #ප්‍රේම", ["தமிழ்", "తెలుగు", "ප්‍රේම"]),
    ("#云々 #学問のすゝめ #メ～テレ #il·lusió", ["云々", "学問のすゝめ", "メ～テレ", "il·lusió"]),
    ("#_ #1_2 #122 #〃", []),
    ("#\U00020021", ["\U00020021"]),
    ("&#tag #️⃣ x", []),
]
URLS = [
    ("text http://google.com/#foo", ["http://google.com/#foo"]),
    ("http://en.wikipedia.org/wiki/Primer_(film)", ["http://en.wikipedia.org/wiki/Primer_(film)"]),
    ("これは日本語です。example.com/path中国語example.com/a한국", ["example.com/path", "example.com/a"]),
    ("t.co/abcde bit.ly/abcde", ["t.co/abcde", "bit.ly/abcde"]),
    ("text http://no-tld http://tld-too-short.x", []),
    ("@user Try http:// example.com/path", ["example.com/path"]),
    ("wait........ https://rookery.dev/a", ["https://rookery.dev/a"]),
    ("a@b.com", []),
]


@pytest.mark.parametrize(("text", "expected"), MENTIONS)
def test_mentions_follow_the_published_rules(text, expected):
    assert [span[0] for span in find_entities(text).mentions] == expected


@pytest.mark.parametrize(("text", "expected"), HASHTAGS)
def test_hashtags_follow_the_published_rules(text, expected):
    assert [span[0] for span in find_entities(text).hashtags] == expected


@pytest.mark.parametrize(("text", "expected"), URLS)
def test_links_follow_the_published_rules(text, expected):
    assert [span[0] for span in find_entities(text).urls] == expected


@given(st.text(alphabet=st.sampled_from("ab1 .@#＃/:日🎉\u0301_\nhtps"), max_size=80))
def test_offsets_point_at_what_was_found_and_nothing_overlaps(text):
    found = find_entities(text)
    for spans, sign in ((found.mentions, 1), (found.hashtags, 1), (found.urls, 0)):
        for piece, start, end in spans:
            assert text[start + sign : end] == piece
        assert spans == sorted(spans, key=lambda span: span[1])
    every = sorted(span[1:] for spans in found for span in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(every))


@given(st.lists(st.sampled_from(["@ada", "#tag", "a.co", "a.co/@ada", "a.co/#tag", "#a.co", "@a.co", " ", "日", "."])))
def test_what_overlaps_a_link_is_no_mention_and_no_hashtag(pieces):
    text = "".join(pieces)
    found, links = find_entities(text), find_urls(text)
    for spans, alone in ((found.mentions, find_mentions(text)), (found.hashtags, _find_hashtags(text))):
        apart = [span for span in alone if all(span[2] <= start or end <= span[1] for _, start, end in links)]
        assert spans == apart


async def test_names_are_resolved_once_each_and_unknown_ones_left_out():
    fake = FakeCluster()
    fake.add_account(5, "ada")
    fake.add_account(6, "bob")
    ids = await resolve_names(fake, ["Ada", "ADA", "bob", "nobody"] + [f"n{n}" for n in range(90)], 1.0)
    assert ids == {"ada": 5, "bob": 6}
    packed = msgpack.unpackb(pack_entities(find_entities("@Ada @nobody #x"), ids))
    assert packed == {"mentions": [[5, "Ada", 0, 4]], "hashtags": [["x", 13, 15]], "urls": []}
