"""The tweets that search is measured with, and the two-word queries that are asked.

Rules of this file
- Everything is a function of its arguments: the same texts, count and seed make the same tweets and the same queries.
- A query's words stand in one tweet at least, as words that every contestant takes for words: nothing but letters
  between spaces and ordinary punctuation; no word of a link, a mention or a hashtag, and no stop word of PostgreSQL's.
- No query comes twice, in whatever order its words are, so that a cache of results gains nothing within one pass.

How it works: a tweet is the first part of one text and the last part of another, each cut between words. Real words
in their real frequencies, and few duplicates; but words of the two halves know nothing of each other, so two words
meet more by chance than they do in the wild.

Costs: 4 us a tweet, 15 us a query; `count_hits` goes through all texts, 6 us each.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import Stemmer  # type: ignore[import-not-found]

from actors.core.ids import bucket_of_account, make_tweet_id
from api.fields import clean_text
from bench.processes import BenchError
from commands.input_files import read_texts
from commands.loading import draw_authors
from commands.sample import make_sample

TEXT_CHARS_MAX = 280  # as ApiSettings.tweet_max_chars
PART_CHARS_MAX = TEXT_CHARS_MAX // 2 - 1  # of each of the two parts, so that they fit with a space between
FIRST_MS = 1_700_000_000_000  # Unix ms of the first tweet: any day will do, as long as it is always the same
SPACING_MS = 50  # between two tweets: a million in 14 hours
ATTEMPTS_PER_QUERY = 50  # tweets looked at for each query wanted, before a vocabulary counts as used up
STEM_TAIL_CHARS = 5  # of the longer of two forms of a word that may differ: study, studies; happy, happiness
STEM_CHARS_MIN = 3  # that must be the same

# PostgreSQL's english.stop, those of three letters and more.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "about above after again against all and any are because been before being below between both but can did does "
        "doing don down during each few for from further had has have having her here hers herself him himself his how "
        "into its itself just more most myself nor not now off once only other our ours ourselves out over own same "
        "she should some such than that the their theirs them themselves then there these they this those through too "
        "under until very was were what when where which while who whom why will with you your yours yourself "
        "yourselves",
    )
)
_PLAIN_WORD = re.compile(r"""["'(“‘]*([A-Za-z]{3,20})[.,!?:;"')”’…]*""")
_MARKUP = re.compile(r"<[A-Za-z/!?]")  # PostgreSQL's parser takes what follows for a tag, up to the next ">"
_WORD = re.compile(r"[^\W_]+")
_stemmers = [Stemmer.Stemmer(name) for name in ("english", "porter")]


class Tweet(NamedTuple):
    """One tweet, as it is loaded into a peer."""

    tweet_id: int
    author: int
    text: str


class Query(NamedTuple):
    """Two words, and the index of a tweet that holds both."""

    text: str
    tweet: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tweets in the order of writing, by accounts of a network."""

    texts: list[str]
    authors: list[int]

    def tweets(self) -> Iterable[Tweet]:
        """Yield the tweets with ids as Rookery makes them, ascending."""
        for i, (author, text) in enumerate(zip(self.authors, self.texts, strict=True)):
            yield Tweet(make_tweet_id(FIRST_MS + i * SPACING_MS, bucket_of_account(author), 0), author, text)


# ---- tweets -----------------------------------------------------------------------------------------------------


def read_sources(paths: Sequence[Path]) -> list[str]:
    """Return the texts of files with one tweet a line, or those of the project's own sample if there is none."""

    def clean(text: str) -> str:
        return clean_text(text, "the tweet", TEXT_CHARS_MAX, chars_min=1, lines=True)

    if not paths:
        return list(dict.fromkeys(tweet.text for tweet in make_sample().tweets))
    return [line.text for path in paths for line in read_texts(path, clean)]


def make_texts(sources: Sequence[str], count: int, seed: int = 1) -> list[str]:
    """Return `count` texts of at most TEXT_CHARS_MAX characters: the first part of one and the last of another.

    Raises BenchError if no source has two words.
    """
    words = [found for source in sources if len(found := source.split()) > 1]
    if not words:
        raise BenchError("tweets are made of two parts of given ones, so some must have two words or more")
    rng = np.random.default_rng(seed)
    firsts, lasts = rng.integers(0, len(words), (2, count)).tolist()
    cuts, starts = rng.random((2, count)).tolist()
    texts = []
    for first, last, cut, start in zip(firsts, lasts, cuts, starts, strict=True):
        head, tail = words[first], words[last]
        before = " ".join(head[: 1 + int(cut * (len(head) - 1))])
        after = " ".join(tail[1 + int(start * (len(tail) - 1)) :])
        texts.append(f"{_first_chars(before)} {_last_chars(after)}")
    return texts


def _first_chars(text: str) -> str:
    return text if len(text) <= PART_CHARS_MAX else text[:PART_CHARS_MAX].rpartition(" ")[0] or text[:PART_CHARS_MAX]


def _last_chars(text: str) -> str:
    return text if len(text) <= PART_CHARS_MAX else text[-PART_CHARS_MAX:].partition(" ")[2] or text[-PART_CHARS_MAX:]


def make_corpus(
    sources: Sequence[str], count: int, accounts: npt.NDArray[np.int64], followees: npt.NDArray[np.int64], seed: int = 1
) -> Corpus:
    """Return `count` tweets by accounts of a network: who is followed by many writes much, as the loader has it."""
    return Corpus(make_texts(sources, count, seed), draw_authors(accounts, followees, count, seed).tolist())


# ---- queries ----------------------------------------------------------------------------------------------------


def plain_words(text: str) -> list[str]:
    """Return the words that a query may be made of, in lower case, each once."""
    if _MARKUP.search(text):
        return []
    found = (match.group(1).lower() for token in text.split() if (match := _PLAIN_WORD.fullmatch(token)))
    return list(dict.fromkeys(word for word in found if word not in STOP_WORDS))


def make_queries(texts: Sequence[str], count: int, seed: int = 2) -> list[Query]:
    """Return up to `count` different queries; fewer if the texts don't have as many pairs of words."""
    rng, found = random.Random(seed), dict[tuple[str, str], int]()
    for _ in range(count * ATTEMPTS_PER_QUERY):
        if len(found) == count:
            break
        index = rng.randrange(len(texts))
        words = plain_words(texts[index])
        if len(words) < 2:
            continue
        first, second = rng.sample(words, 2)
        if (second, first) not in found:
            found.setdefault((first, second), index)
    if not found:
        raise BenchError("no tweet has two words that can be searched for")
    return [Query(f"{first} {second}", index) for (first, second), index in found.items()]


def count_hits(texts: Sequence[str], queries: Sequence[Query]) -> list[int]:
    """Return how many tweets hold both words of each query just so, as plain words: a stemmer finds as many or more."""
    wanted: dict[str, list[int]] = {word: [] for query in queries for word in query.text.split()}
    for index, text in enumerate(texts):
        if not wanted.keys().isdisjoint(_WORD.findall(text.lower())):
            for word in plain_words(text):
                if word in wanted:
                    wanted[word].append(index)
    rows = {word: np.array(found, dtype=np.int64) for word, found in wanted.items()}
    pairs = (query.text.split() for query in queries)
    return [len(np.intersect1d(rows[first], rows[second], assume_unique=True)) for first, second in pairs]


def holds_words(text: str, query: str) -> bool:
    """Return whether a text has a form of each word of a query, as some stemmer may see it."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    tokens = _WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))
    return all(any(_same_word(word, token) for token in tokens) for word in query.split())


def _same_word(word: str, token: str) -> bool:
    shared = max(STEM_CHARS_MIN, max(len(word), len(token)) - STEM_TAIL_CHARS)
    return word[:shared] == token[:shared] or any(s.stemWord(word) == s.stemWord(token) for s in _stemmers)


def describe_hits(hits: Sequence[int], page_count: int) -> str:
    """Return the distribution of result counts in words."""
    quantiles = " ".join(f"p{q} {np.percentile(hits, q):,.0f}" for q in (10, 50, 90, 99))
    full = sum(count >= page_count for count in hits) / len(hits)
    return f"{quantiles}, most {max(hits):,}; {full:.0%} have {page_count} or more"
