"""Where a query's words stand in a text.

Rules of this file
- Pure. Spans are [start, end] in code points of the text as it is, end exclusive, ascending, apart from each other.
- Shown is what found, or would have found, the tweet: what a `not` leaves out is never shown.
- The same words and stems as in the index (text.py), so a tweet that was found by a word has that word shown; only a
  repost's or an edited text that has come meanwhile may show nothing.

How it works: the text is cut into tokens once; each leaf of the tree says which of them are its own. A word is compared
by its stem in the text's language, phrases and prefixes as they are. Of a pair of CJK characters a prefix of one
character shows that one. Cost: 120 us for a tweet and three words; 70 us if its language is given.
"""

from __future__ import annotations

from typing import Any, Final

from actors.text.query import positive_leaves
from actors.text.text import Token, cashtags, hashtags, is_pair, language_of, mentions, stems, tokens

HIGHLIGHTS_MAX: Final = 50  # spans of one text: a reader sees no more, and an answer has a hundred texts


def highlights(text: str, tree: list[Any], lang: str | None = None) -> list[list[int]]:
    """Return the spans that a query's tree finds in a text, at most HIGHLIGHTS_MAX.

    lang: the text's language if it is known, else it is detected.
    """
    leaves = list(positive_leaves(tree))
    spans: list[tuple[int, int]] = []
    found = tokens(text)
    words = [leaf[1] for leaf in leaves if leaf[0] == "word"]
    if words:
        lang = language_of(text) if lang is None else lang
        wanted = set(stems(words, lang))
        own = stems([token.word for token in found], lang)
        spans += [token[1:] for token, stem in zip(found, own, strict=True) if stem in wanted]
    for leaf in leaves:
        if leaf[0] == "phrase":
            spans += _phrase_spans(found, leaf[1])
        elif leaf[0] == "prefix":
            spans += _prefix_spans(found, leaf[1])
    for kind, find in (("tag", hashtags), ("cash", cashtags), ("mention", mentions)):
        values = {leaf[1] for leaf in leaves if leaf[0] == kind}
        if values:
            spans += [token[1:] for token in find(text) if token.word in values]
    return _merged(spans)


def _phrase_spans(found: list[Token], phrase: list[str]) -> list[tuple[int, int]]:
    """Return where the words of a phrase stand in a row: from the first's start to the last's end."""
    first, size = phrase[0], len(phrase)
    return [
        (found[at].start, found[at + size - 1].end)
        for at in range(len(found) - size + 1)
        if found[at].word == first and [token.word for token in found[at : at + size]] == phrase
    ]


def _prefix_spans(found: list[Token], prefix: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for at, token in enumerate(found):
        if token.word.startswith(prefix):
            end = token.end
            if len(prefix) < len(token.word) and is_pair(token.word):
                next_start = found[at + 1].start  # every pair is followed by the token of its second character
                end = next_start if next_start > token.start else end
            spans.append((token.start, end))
    return spans


def _merged(spans: list[tuple[int, int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged[:HIGHLIGHTS_MAX]
