"""Finds mentions, hashtags and links in a tweet, by the rules that Twitter publishes (twitter-text 3).

Rules of this file
- Offsets are code points of the NFC text, end exclusive.
- Links: `twitter-text-parser`, the one port for Python that passes the official conformance suite for links and knows
  today's top-level domains. (`twitter-text` 3.0, from 2017, is the only other one for Python 3; it misses hashtags in
  Devanagari, Tamil and other scripts with combining marks, domains such as `.app`, and cuts names at 20 characters.)
- Mentions and hashtags: no library serves them (see above; our names have up to 30 characters), so the two published
  patterns are here, on top of `regex` for its Unicode classes.
- What overlaps a link is not a mention or a hashtag, and of two that overlap the first stands.
- A mention counts only if an account of that name exists; others stay plain text.

Cost: 30 us for a tweet without a link, 0.3 ms with one. The link library is quadratic in the labels of a host name
(120 ms for 280 characters of `a.a.a.`), so a word with more than LINK_LABEL_COUNT_MAX dots between letters is not
searched for links: no host name has that many.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import msgpack
import regex  # type: ignore[import-untyped]
from twitter_text import extract_urls_with_indices  # type: ignore[import-untyped]

from actors.core.ids import bucket_of_name
from api.limits import LINK_LABEL_COUNT_MAX, LINK_WORD_CHARS_MAX, NAMES_PER_CALL_MAX, USERNAME_CHARS_MAX
from api.ports import Cluster

_HASHTAG_CHARS = (
    r"\p{L}\p{M}\p{Nd}_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c\u309b\u309c"
    r"\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7"
)
_HASHTAG = regex.compile(
    rf"(?<![{_HASHTAG_CHARS}&])[#\uff03](?!\ufe0f|\u20e3)"
    rf"([{_HASHTAG_CHARS}]*+)(?!://|[#\uff03])",
)
_HASHTAG_LETTER = regex.compile(r"[\p{L}\p{M}]")
_MENTION = regex.compile(
    r"(?:(?<![a-zA-Z0-9_!#$%&*@\uff20])|(?<=(?<![a-zA-Z0-9_+~.-])[rR][tT]:?))[@\uff20]"
    rf"([a-zA-Z0-9_]{{1,{USERNAME_CHARS_MAX}}})(?![a-zA-Z0-9_@\uff20\u00c0-\u024f\u0253-\u0272\u0289\u028b\u02bb\u1e00-\u1eff]|://)"
    r"(?!/[a-zA-Z])",
)
_WORD = re.compile(r"\S+")
_LABEL_DOT = re.compile(r"\w\.(?=\w)")

Span = tuple[str, int, int]


class Entities(NamedTuple):
    """What a text contains, each `(text, start, end)` in order: names without @, hashtags without #, whole links."""

    mentions: list[Span]
    hashtags: list[Span]
    urls: list[Span]


def find_entities(text: str) -> Entities:
    """Return the entities of a text in NFC."""
    urls = _find_urls(text) if "." in text else []
    taken = [(start, end) for _, start, end in urls]
    hashtags = [span for span in _find_hashtags(text) if not _overlaps(span, taken)] if _may_tag(text) else []
    return Entities([span for span in find_mentions(text) if not _overlaps(span, taken)], hashtags, urls)


def find_mentions(text: str) -> list[Span]:
    """Return the mentions of a text in NFC, without a look at its links."""
    return [(m.group(1), m.start(), m.end()) for m in _MENTION.finditer(text)] if _may_mention(text) else []


async def resolve_names(cluster: Cluster, names: list[str], timeout_s: float) -> dict[str, int]:
    """Return the account ids of those names (lower case) that exist. One lane request per shard, in parallel."""
    by_shard: dict[int, list[str]] = {}
    for name in dict.fromkeys(name.lower() for name in names):
        by_shard.setdefault(cluster.shard_of(bucket_of_name(name)), []).append(name)
    chunks = [
        group[at : at + NAMES_PER_CALL_MAX]
        for group in by_shard.values()
        for at in range(0, len(group), NAMES_PER_CALL_MAX)
    ]
    replies = await asyncio.gather(
        *(cluster.call(bucket_of_name(chunk[0]), "names", [chunk], timeout_s) for chunk in chunks)
    )
    found = {
        name: account_id
        for chunk, ids in zip(chunks, replies, strict=True)
        for name, account_id in zip(chunk, ids, strict=True)
        if account_id
    }
    elsewhere = [name for name, account_id in found.items() if account_id < 0]  # their bucket has just moved
    return found | (await resolve_names(cluster, elsewhere, timeout_s) if elsewhere else {})


def pack_entities(found: Entities, ids: dict[str, int]) -> bytes:
    """Return the msgpack that the shard stores (docs/lane.md); mentions of nobody are left out."""
    packed: bytes = msgpack.packb(
        {
            "mentions": [[ids[n.lower()], n, start, end] for n, start, end in found.mentions if n.lower() in ids],
            "hashtags": [list(span) for span in found.hashtags],
            "urls": [list(span) for span in found.urls],
        }
    )
    return packed


def _may_tag(text: str) -> bool:
    return "#" in text or "\uff03" in text


def _may_mention(text: str) -> bool:
    return "@" in text or "\uff20" in text


def _find_hashtags(text: str) -> list[Span]:
    return [(m.group(1), m.start(), m.end()) for m in _HASHTAG.finditer(text) if _HASHTAG_LETTER.search(m.group(1))]


def _find_urls(text: str) -> list[Span]:
    spans: list[Span] = []
    for word in _WORD.finditer(text):
        piece = word.group()
        if "." not in piece or len(piece) > LINK_WORD_CHARS_MAX:
            continue
        if len(_LABEL_DOT.findall(piece)) <= LINK_LABEL_COUNT_MAX:
            for found in extract_urls_with_indices(piece):
                start, end = found["indices"]
                spans.append((found["url"], word.start() + start, word.start() + end))
    return spans


def _overlaps(span: Span, taken: list[tuple[int, int]]) -> bool:
    return any(span[1] < end and start < span[2] for start, end in taken)
