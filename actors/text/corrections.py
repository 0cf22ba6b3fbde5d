"""Which words a mistyped one may have meant, out of the index's own.

Rules of this file
- A suggestion is made of the words that tweets have, weighed by how many have it: a rare word is seldom what was meant.
- Suggestions are counted, not chosen: each shard tells what it has, the API worker adds up and decides (`choose`), also
  whether it is a word.

How it works: the vocabulary is read from the index when it is needed, but not all the time. rapidfuzz compares the word
with all of it (optimal string alignment: two neighbours swapped count once).

Costs: 0.2 s a refresh with 100,000 words, on a thread of its own; 5 to 10 ms a word.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

REFRESH_LEAST_S = 1.0  # between two readings of the vocabulary, and
REFRESH_TIMES = 50  # so many times as long as the last one took: 2 % of a core
WORD_CHARS_MIN = 3  # shorter words have too many neighbours
DISTANCE_TWO_CHARS_MIN = 6  # from this length on two mistakes are corrected, below one
VOCABULARY_COUNT_MAX = 200_000  # words kept, the most frequent: some 20 MB
KNOWN_TWEETS = 5  # that have a word, on all shards: then it is one. Where one shard has so many it needn't compare it
SUGGESTION_COUNT_MAX = 32  # of one word and shard: what is frequent on all shards is among each one's
PENALTY = 3.0  # a mistake costs as much as being e^3 = 20 times rarer
FIRST_LETTER_PENALTY = 2.0  # seldom is the first letter wrong

Suggestion = tuple[str, int, int]  # (word, mistakes, tweets)


class Vocabulary:
    """The words of one index."""

    def __init__(self, read: Callable[[], list[tuple[str, int]]]) -> None:
        """read: all words with the number of tweets that have them, the most frequent first."""
        self._read = read
        self._words: list[str] = []
        self._counts: dict[str, int] = {}
        self._read_again_at = -math.inf

    def suggest(self, word: str, now_s: float) -> tuple[int, list[Suggestion]]:
        """Return (tweets that have the word itself, up to SUGGESTION_COUNT_MAX suggestions, the likeliest first)."""
        if now_s >= self._read_again_at:
            self._refresh(now_s)
        own = self._counts.get(word, 0)
        if len(word) < WORD_CHARS_MIN or own >= KNOWN_TWEETS:
            return own, []
        cutoff = 2 if len(word) >= DISTANCE_TWO_CHARS_MIN else 1
        found = process.extract(word, self._words, scorer=OSA.distance, score_cutoff=cutoff, limit=None)
        near = [(other, int(distance), self._counts[other]) for other, distance, _ in found if distance]
        near.sort(key=lambda each: -likelihood(word, *each))
        return own, near[:SUGGESTION_COUNT_MAX]

    def _refresh(self, now_s: float) -> None:
        begin = time.perf_counter()
        frequent = self._read()[:VOCABULARY_COUNT_MAX]
        self._counts = dict(frequent)
        self._words = [word for word, _ in frequent if len(word) >= WORD_CHARS_MIN - 1]
        took_s = time.perf_counter() - begin
        self._read_again_at = now_s + max(REFRESH_LEAST_S, REFRESH_TIMES * took_s)


def likelihood(word: str, other: str, distance: int, tweets: int) -> float:
    """Return how likely `other` was meant, as a logarithm up to a constant."""
    first = FIRST_LETTER_PENALTY if other[0] != word[0] else 0.0
    return math.log(tweets) - PENALTY * distance - first


def choose(answers: dict[str, list[list[Any]]]) -> dict[str, str]:
    """Return word -> what it is replaced by: where no tweet has it, or few, and something else was likelier meant.

    answers: per word, from each shard, [tweets that have it, [[suggestion, mistakes, tweets], ...]].
    """
    chosen = {}
    for word, of_shards in answers.items():
        own = sum(answer[0] for answer in of_shards)
        if own >= KNOWN_TWEETS:
            continue
        distance: dict[str, int] = {}
        tweets: dict[str, int] = {}
        for _, suggestions in of_shards:
            for other, mistakes, count in suggestions:
                distance[other] = mistakes
                tweets[other] = tweets.get(other, 0) + count
        ranked = [(likelihood(word, other, distance[other], count), other) for other, count in tweets.items()]
        if ranked and (not own or max(ranked)[0] > math.log(own)):
            chosen[word] = max(ranked)[1]
    return chosen
