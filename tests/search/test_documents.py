"""From a shard's row to what is indexed: by hand, and what is no row at all."""

from __future__ import annotations

import msgpack
import pytest

from actors.core.arguments import COUNT_MAX
from actors.core.arrays import kernels
from actors.core.errors import MalformedError
from actors.core.facts import Facts, pack_facts
from actors.core.ids import ID_MAX
from actors.search.documents import CHANGED, NEW, band_of, digest_of, distinct, engagement_of, read_tweet

ENTITIES = msgpack.packb(
    {"mentions": [], "hashtags": [["Tōkyō", 0, 6], ["TOKYO", 7, 13]], "urls": [["https://a.example/x", 14, 33]]}
)
BODY = pack_facts(
    Facts("The runners of #Tōkyō #TOKYO met @Ada with $TSLA in the morning", "bob", 5, [1, 2], ENTITIES), True
)
ROW = [77, 7, kernels.FLAG_REPLY, 8, 1, 2, 3, BODY, None, NEW]


def changed(index, value):
    return [*ROW[:index], value, *ROW[index + 1 :]]


def test_a_row_is_read_by_its_fields():
    facts = read_tweet(ROW)
    assert (facts.tweet_id, facts.author_id, facts.reply_author, facts.likes, facts.news) == (77, 7, 8, 3, NEW)
    assert facts.words == [
        "the", "runners", "of", "tokyo", "tokyo", "met", "ada", "with", "tsla", "in", "the", "morning",
    ]  # fmt: skip
    assert facts.stems[1] == "runner"
    assert facts.hashtags == ["tokyo"]
    assert facts.cashtags == ["tsla"]
    assert facts.mentions == ["ada"]
    assert facts.links == ["https://a.example/x"]
    assert facts.marks == ["media", "links", "reply"]
    assert facts.lang == "en"
    assert facts.engagement == 3 + 2 * 2 + 1


def test_a_repost_has_the_text_of_its_original_and_its_own_counts():
    row = [78, 9, kernels.FLAG_REPOST, 0, 0, 0, 4, pack_facts(Facts("", "carol")), BODY, CHANGED]
    facts = read_tweet(row)
    assert facts.words == read_tweet(ROW).words
    assert facts.hashtags == ["tokyo"]
    assert facts.marks == ["media", "links", "repost"]
    assert (facts.author_id, facts.likes, facts.engagement) == (9, 4, 4)


def test_an_empty_text_has_no_words_and_no_language():
    facts = read_tweet([1, 1, 0, 0, 0, 0, 0, pack_facts(Facts("", "a")), None, NEW])
    assert (facts.words, facts.stems, facts.marks, facts.lang) == ([], [], [], "und")


@pytest.mark.parametrize(
    "row",
    [
        None, 7, "row", [], [1], [*ROW, 1],
        changed(0, 0), changed(0, -1), changed(0, ID_MAX + 1), changed(0, "77"), changed(0, True), changed(0, 7.0),
        changed(1, None), changed(1, 0), changed(2, -1), changed(2, 256), changed(2, "1"), changed(3, -1),
        changed(4, -1), changed(5, COUNT_MAX + 1), changed(6, None),
        changed(7, b""), changed(7, None), changed(7, "text"), changed(7, BODY[:-3]), changed(7, BODY + b"x"),
        changed(7, msgpack.packb(7)), changed(7, msgpack.packb([])), changed(7, msgpack.packb([7, "a", 0, [], b"", 0])),
        changed(7, pack_facts(Facts("x", "a", 0, [], b"\xc1"))),
        changed(7, pack_facts(Facts("x", "a", 0, [], msgpack.packb([1])))),
        changed(7, pack_facts(Facts("x", "a", 0, [], msgpack.packb({"hashtags": [7]})))),
        changed(7, pack_facts(Facts("x", "a", 0, [], msgpack.packb({"hashtags": [[7]]})))),
        changed(7, pack_facts(Facts("x", "a", 0, [], msgpack.packb({"urls": 7})))),
        changed(7, pack_facts(Facts("x", "a", 0, [], msgpack.packb({"urls": [[7]]})))),
    ],
)  # fmt: skip
def test_what_is_no_row_is_refused(row):
    with pytest.raises(MalformedError, match="can't be read"):
        read_tweet(row)


def test_engagement_counts_a_repost_twice():
    assert engagement_of(replies=1, reposts=10, likes=100) == 121


def test_a_popularity_changes_when_followers_double():
    assert [band_of(n) for n in (0, 1, 2, 3, 4, 7, 8, 1_000_000)] == [0, 1, 2, 2, 4, 4, 8, 524_288]


def test_a_digest_tells_every_field_from_every_other():
    digests = {
        digest_of("ada", "Ada", "bio", 4), digest_of("ada", "Ada", "bio", 8), digest_of("ada", "Adabio", "", 4),
        digest_of("adaAda", "", "bio", 4), digest_of("ada", "Ada", "", 4), digest_of("", "", "", 0),
    }  # fmt: skip
    assert len(digests) == 6


def test_distinct_keeps_the_first_of_each():
    assert distinct(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
