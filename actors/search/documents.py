"""From a row that the feeder sends to what the index keeps of a tweet or an account.

Rules of this file
- A row carries packed bodies as the shard has them (`actors/core/facts.py`); they are opened here, on the engine's
  indexing thread, and nowhere before.
- What can't be opened is a defect of the shard, not of a client: it raises MalformedError, and the engine says so. What
  is returned can be indexed.

    tweet row    [tweet_id, author_id, flags, reply_author, replies, reposts, likes, body, original's body | None, news]
                 news: CHANGED its counts; NEW; FOUND missing in the index; EDITED what it says; UNTOLD as FOUND, of
                 an author who wants to be in no search: its words are in no trend
    account row  [account_id, username, display_name, bio, followers]

Costs: 40 us a tweet, of which 20 are the language and 10 the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import msgpack

from actors.core import flags as bits
from actors.core.arguments import COUNT_MAX, an_id, an_id_or_zero, whole
from actors.core.attachments import AUDIO, GIFV, IMAGE, VIDEO, Attachment
from actors.core.errors import MalformedError, RookeryError
from actors.core.facts import read_facts
from actors.text import text

CHANGED, NEW, FOUND, EDITED, UNTOLD = range(5)
SOCKET = "search.sock"  # of the engine, in its folder
ENGINE_NAME = "search-engine"  # of whoever listens there
CONTENTS_MAX = 200_000  # tweets or accounts in one part of the contents: 4.8 MB of the 8 that a lane's frame takes
FLAGS_MAX = 255  # they rest in a byte
UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, OverflowError, RookeryError)  # what a bad row raises


@dataclass(frozen=True, slots=True)
class TweetFacts:
    """What a search may ask of a tweet. words, stems: in order; plain: the words
    without those of links, @names and tags; hashtags, cashtags, mentions: folded."""

    tweet_id: int
    author_id: int
    reply_author: int
    words: list[str]
    stems: list[str]
    plain: list[str]
    hashtags: list[str]
    cashtags: list[str]
    mentions: list[str]
    links: list[str]
    lang: str
    marks: list[str]
    likes: int
    engagement: int
    news: int


def engagement_of(replies: int, reposts: int, likes: int) -> int:
    """Return what a tweet's counts weigh together: a repost twice a like or a reply."""
    return likes + 2 * reposts + replies


def read_tweet(row: Any) -> TweetFacts:
    """Return the facts of a tweet row. A repost has its original's text. Raises MalformedError."""
    try:
        return _read_tweet(row)
    except UNREADABLE as error:
        raise MalformedError(f"a tweet's row can't be read: {repr(error)[:200]}") from error


def _read_tweet(row: Any) -> TweetFacts:
    tweet_id, author_id, flags, reply_author, replies, reposts, likes, body, original, news = row
    an_id(tweet_id, "tweet_id")
    an_id(author_id, "author_id")
    an_id_or_zero(reply_author, "reply_author")
    whole(flags, 0, FLAGS_MAX, "flags")
    for count in (replies, reposts, likes):
        whole(count, 0, COUNT_MAX, "count")
    is_repost = bool(flags & bits.FLAG_REPOST)
    packed = original if is_repost and original is not None else body
    said = read_facts(packed)
    content = said.text
    facts = msgpack.unpackb(said.entities, raw=False, strict_map_key=False) if said.entities else {}
    lang = text.language_of(content)
    words = text.words(content)
    attached = said.attachments
    links = [str.strip(span[0]) for span in facts.get("urls", ())]  # of anything but a text it raises TypeError
    marks = [
        mark
        for mark, holds in (
            ("media", said.media_ids or attached), ("links", links), ("reply", flags & bits.FLAG_REPLY),
            ("repost", is_repost), *media_marks(attached),
        )
        if holds
    ]  # fmt: skip
    return TweetFacts(
        tweet_id, author_id, reply_author, words, text.stems(words, lang), text.plain_words(content, words),
        distinct([text.fold(span[0]) for span in facts.get("hashtags", ())]),
        distinct([tag.word for tag in text.cashtags(content)]),
        distinct([name.word for name in text.mentions(content)]),
        links, lang, marks, likes,
        engagement_of(replies, reposts, likes), news,
    )  # fmt: skip


def media_marks(attached: list[Attachment]) -> list[tuple[str, bool]]:
    """Return what is marked of a tweet's media, and whether it is so: a moving picture is a video, too."""
    kinds = {medium.kind for medium in attached}
    return [
        ("image", not kinds.isdisjoint((IMAGE, GIFV))), ("video", not kinds.isdisjoint((VIDEO, GIFV))),
        ("audio", AUDIO in kinds), ("alt", any(medium.description for medium in attached)),
    ]  # fmt: skip


def band_of(followers: int) -> int:
    """Return a popularity that changes only when followers double: what is indexed."""
    return (1 << followers.bit_length()) >> 1


def digest_of(username: str, display_name: str, bio: str, band: int) -> int:
    """Return what tells whether the index has an account as it is now."""
    return crc32("\0".join((username, display_name, bio, str(band))).encode())


def distinct(found: list[str]) -> list[str]:
    """Return each text once, in the order of its first place."""
    return list(dict.fromkeys(found))
