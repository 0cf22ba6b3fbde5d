"""What a search must find, said as plainly as it can be: every tweet is looked at, every node by its definition.

It knows no index and none of text.py's fast ways: its words come of `tokens`, one grapheme cluster at a time, its stems
of a stemmer of its own. Nodes are evaluated by comparing lists. `sweep.py` asks it many queries at once.

Costs: 0.06 ms for a text's words, which are kept for the last KEPT_TEXTS; then 0.3 to 3 us a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import Stemmer

from actors.text.text import STEMMERS, cashtags, fold, is_pair, mentions, tokens

KEPT_TEXTS = 10_000  # more than a test has tweets, which it asks one query after the other; 20 MB


@dataclass(frozen=True)
class OracleTweet:
    """A public tweet; of a repost the text, hashtags, media and links are the original's."""

    tweet_id: int
    author_id: int
    reply_author: int = 0  # the account that it answers, 0: none
    text: str = ""
    hashtags: list[str] = field(default_factory=list)
    media: str = ""  # of what kinds: image, video, audio; with "alt" beside if one is described; "old": nobody knows
    links: bool = False
    is_repost: bool = False
    likes: int = 0
    lang: str = "en"


def search(
    tweets: Iterable[OracleTweet], tree: list[Any], follows: set[int], max_id: int = 0, count: int = 20
) -> list[int]:
    """Return the ids of the newest count tweets that match, newest first; max_id: only older ones, 0: all."""
    found = [t.tweet_id for t in tweets if (max_id == 0 or t.tweet_id < max_id) and matches(t, tree, follows)]
    return sorted(found, reverse=True)[:count]


def matches(tweet: OracleTweet, tree: list[Any], follows: set[int]) -> bool:
    """Whether a search finds a tweet; a repost only if the query asks for reposts."""
    if tweet.is_repost and not asks_for_reposts(tree, negated=False):
        return False
    return holds(tweet, tree, follows)


def asks_for_reposts(node: list[Any], negated: bool) -> bool:
    if node[0] == "not":
        return asks_for_reposts(node[1], not negated)
    if node[0] in ("and", "or"):
        return any(asks_for_reposts(part, negated) for part in node[1:])
    return node == ["is", "repost"] and not negated


def holds(tweet: OracleTweet, node: list[Any], follows: set[int]) -> bool:
    kind = node[0]
    if kind == "and":
        return all(holds(tweet, part, follows) for part in node[1:])
    if kind == "or":
        return any(holds(tweet, part, follows) for part in node[1:])
    if kind == "not":
        return not holds(tweet, node[1], follows)
    if kind == "follows":
        return tweet.author_id in follows
    return LEAVES[kind](tweet, *node[1:])


@lru_cache(maxsize=KEPT_TEXTS)
def words_of(text: str) -> list[str]:
    return [token.word for token in tokens(text)]


@lru_cache(maxsize=KEPT_TEXTS)
def stems_of(text: str, lang: str) -> frozenset[str]:
    return frozenset(stem(word, lang) for word in words_of(text))


@lru_cache(maxsize=100_000)
def stem(word: str, lang: str) -> str:
    """Return the stem of a word in one language, the word itself if the language has no stemmer."""
    if lang not in STEMMERS or is_pair(word):
        return word
    return stemmer(lang).stemWord(word) or word


@lru_cache
def stemmer(lang: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(STEMMERS[lang], 0)


def has_word(tweet: OracleTweet, word: str) -> bool:
    return stem(word, tweet.lang) in stems_of(tweet.text, tweet.lang)


def has_phrase(tweet: OracleTweet, phrase: list[str]) -> bool:
    own = words_of(tweet.text)
    return phrase[0] in own and any(own[at : at + len(phrase)] == phrase for at in range(len(own)))


def has_prefix(tweet: OracleTweet, prefix: str) -> bool:
    return any(own.startswith(prefix) for own in words_of(tweet.text))


def in_range(tweet: OracleTweet, low: int, high: int) -> bool:
    return low <= tweet.tweet_id and (high == 0 or tweet.tweet_id < high)


LEAVES: dict[str, Callable[..., bool]] = {
    "word": has_word,
    "phrase": has_phrase,
    "prefix": has_prefix,
    "tag": lambda tweet, tag: tag in [fold(own) for own in tweet.hashtags],
    "cash": lambda tweet, tag: tag in [token.word for token in cashtags(tweet.text)],
    "mention": lambda tweet, name: name in [token.word for token in mentions(tweet.text)],
    "author": lambda tweet, ids: tweet.author_id in ids,
    "to": lambda tweet, ids: tweet.reply_author in ids,
    "lang": lambda tweet, code: tweet.lang == code,
    "ids": in_range,
    "has": lambda tweet, what: {"media": bool(tweet.media), "links": tweet.links}.get(what, what in tweet.media),
    "is": lambda tweet, what: tweet.is_repost if what == "repost" else tweet.reply_author != 0,
    "likes": lambda tweet, count: tweet.likes >= count,
}
