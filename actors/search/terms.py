"""What of a tweet lies in posting lists in memory (`actors/core/postings/lists.py`), and which queries these answer.

Rules of this file
- A list's name is a stem, which has no mark of its own, or `#tag`, `$CASH`, `@name`. A tweet's stems are those of its
  language, as in the index: both answer the same queries alike.
- No lists here: the engine's process uses this too, and has no kernels.
- Reposts aren't in the lists: a query that wants them is the index's.

Answered from memory: words, hashtags, cashtags, mentions, all of them, some of them not, between two ids; of these at
most NODES_MAX. What has OR, phrases, prefixes or anything else is the index's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from actors.search.documents import TweetFacts

NODES_MAX = 8
_MARKS = {"tag": "#", "cash": "$", "mention": "@"}


def terms_of(facts: TweetFacts) -> list[Any]:
    """Return [tweet id, language, words, stems, how often each, other terms] of a tweet that is no repost."""
    counts = Counter(facts.stems)
    others = [mark + value for values, mark in (
        (facts.hashtags, "#"), (facts.cashtags, "$"), (facts.mentions, "@")
    ) for value in values]  # fmt: skip
    return [facts.tweet_id, facts.lang, len(facts.stems), list(counts), list(counts.values()), others]


class PostingsQuery(NamedTuple):
    """A query that memory answers. since_id, max_id: bounds, inclusive and exclusive, 0 for none."""

    words: tuple[str, ...]
    terms: tuple[str, ...]
    no_words: tuple[str, ...]
    no_terms: tuple[str, ...]
    since_id: int
    max_id: int


def query_of(tree: list[Any]) -> PostingsQuery | None:
    """Return what a tree asks for, None if it isn't memory's to answer."""
    nodes = tree[1:] if tree[0] == "and" else [tree]
    if len(nodes) > NODES_MAX:
        return None
    words: list[str] = []
    terms: list[str] = []
    no_words: list[str] = []
    no_terms: list[str] = []
    since_id = max_id = 0
    for node in nodes:
        kind = node[0]
        is_wanted = kind != "not"
        if not is_wanted:
            node = node[1]
            kind = node[0]
        if kind == "word":
            (words if is_wanted else no_words).append(node[1])
        elif kind in _MARKS:
            (terms if is_wanted else no_terms).append(_MARKS[kind] + node[1])
        elif kind == "ids" and is_wanted:
            since_id = max(since_id, node[1])
            max_id = min(max_id, node[2]) if max_id and node[2] else max_id or node[2]
        else:
            return None
    if not words and (no_words or not terms):
        return None
    return PostingsQuery(tuple(words), tuple(terms), tuple(no_words), tuple(no_terms), since_id, max_id)
