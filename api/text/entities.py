"""Finds mentions, hashtags and links in a tweet, by the rules that Twitter publishes (twitter-text 3).

Rules of this file
- Offsets are code points of the NFC text, end exclusive.
- Links: `text_urls.py`, with the rules and data of `twitter-text-parser`, the one port for Python that passes the
  official conformance suite for links and knows today's top-level domains. (`twitter-text` 3.0, from 2017, is the only
  other one for Python 3; it misses hashtags in Devanagari, Tamil and other scripts with combining marks, domains such
  as `.app`, and cuts names at 20 characters.)
- Mentions and hashtags: no library serves them (see above; our names have up to 30 characters), so the two published
  patterns are here, on top of `regex` for its Unicode classes.
- What overlaps a link is not a mention or a hashtag, and of two that overlap the first stands.
- A mention counts only if an account of that name exists; others stay plain text.

Cost, linear in the text whatever it is: 10 us for a tweet without a link, 30 us with one.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import NamedTuple

import msgpack
import regex  # type: ignore[import-untyped]

from actors.core.ids import bucket_of_name
from api.limits import NAMES_PER_CALL_MAX, USERNAME_CHARS_MAX
from api.ports import Cluster
from api.text.text_urls import Span, find_urls

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


class Entities(NamedTuple):
    """What a text contains, each `(text, start, end)` in order: names without @, hashtags without #, whole links."""

    mentions: list[Span]
    hashtags: list[Span]
    urls: list[Span]


def find_entities(text: str) -> Entities:
    """Return the entities of a text in NFC."""
    urls = find_urls(text)
    hashtags = _find_hashtags(text) if _may_tag(text) else []
    return Entities(_outside(urls, find_mentions(text)), _outside(urls, hashtags), urls)


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


def _outside(urls: list[Span], spans: list[Span]) -> list[Span]:
    """Return those of some spans that overlap no link. Both are in order, and links don't overlap each other."""
    if not urls:
        return spans
    ends = [end for _, _, end in urls]
    outside = []
    for span in spans:
        at = bisect_left(ends, span[1] + 1)  # the first link that ends behind the span's first character
        if at == len(urls) or urls[at][1] >= span[2]:
            outside.append(span)
    return outside
