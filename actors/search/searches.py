"""The operations of a search engine: questions to both indexes, the tag rings and the vocabulary.

Rules of this file
- One answer at a time: whoever calls (engine.py's loop, a test) calls from one thread, but for LONG, which may run on
  another.
- The shard has checked what a client said; here only shapes and bounds are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from actors.core.arguments import an_id_or_zero, whole
from actors.core.errors import InvalidError, MalformedError
from actors.core.facts import read_facts
from actors.search.accounts import AccountIndex
from actors.search.documents import CONTENTS_MAX
from actors.search.index import TweetIndex
from actors.search.tags import TagRings, Wanted
from actors.text import text
from actors.text.corrections import Vocabulary
from actors.text.highlight import highlights

COUNT_MAX = 2_000  # ids in one answer
WORDS_MAX = 50  # words in one question for corrections
BODIES_MAX = 1_000  # texts in one question for highlights
TAGS_MAX = 20  # hashtags in one question
HASHTAGS_COUNT = 200  # that are told of those that begin so: of the best of all shards each has some among its own
LONG = frozenset(("contents", "corrections"))  # what takes long and is rare


class Searches:
    """What an engine answers."""

    def __init__(self, tweets: TweetIndex, accounts: AccountIndex) -> None:
        self.tweets, self.accounts = tweets, accounts
        self.tags = TagRings(tweets.tagged, tweets.latest)
        self._vocabulary = Vocabulary(tweets.vocabulary)
        self._operations: dict[str, Callable[..., Any]] = {
            "latest": self._latest, "top": self._top, "accounts": self._accounts, "suggest": self._suggest,
            "tag": self._tag, "highlight": self._highlight, "corrections": self._corrections,
            "contents": self._contents,
        }  # fmt: skip

    def answer(self, op: str, args: list[Any]) -> Any:
        """Answer one question. Raises RookeryError."""
        operation = self._operations.get(op)
        if operation is None:
            raise InvalidError(f"the search engine has no operation {op[:40]!r}")
        try:
            return operation(*args)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise MalformedError(f"arguments of {op} don't fit: {str(error)[:200]}") from error

    def _latest(self, tree: Any, max_id: Any, count: Any, min_id: Any, follows: Any) -> list[int]:
        return self.tweets.latest(
            tree, an_id_or_zero(max_id, "max_id"), whole(count, 1, COUNT_MAX, "count"),
            an_id_or_zero(min_id, "min_id"), _packed(follows),
        )  # fmt: skip

    def _top(self, tree: Any, count: Any, follows: Any) -> list[list[Any]]:
        """Candidates: [ids, BM25]."""
        return list(self.tweets.candidates(tree, whole(count, 1, COUNT_MAX, "count"), _packed(follows)))

    def _accounts(self, words: Any, count: Any) -> list[list[Any]]:
        return [list(each) for each in self.accounts.search(_texts(words), whole(count, 1, COUNT_MAX, "count"))]

    def _suggest(self, query: Any, count: Any) -> list[list[list[Any]]]:
        """[accounts with scores, hashtags with how many tweets have them]: what begins so.

        More hashtags than are asked for, as whoever adds up those of all shards chooses.
        """
        if type(query) is not str:
            raise MalformedError("suggest takes a text")
        count = whole(count, 1, COUNT_MAX, "count")
        prefix = text.fold(query.strip().lstrip("#\uff03"))
        tags = [] if not prefix or query.startswith("@") else self.tweets.hashtags(prefix, max(count, HASHTAGS_COUNT))
        words = text.words(query)[:WORDS_MAX]
        accounts = [] if query.startswith("#") else self.accounts.suggest(words, count)
        return [[list(each) for each in accounts], [list(each) for each in tags]]

    def _tag(self, any_of: Any, all_of: Any, none_of: Any, max_id: Any, min_id: Any, count: Any) -> list[int]:
        wanted = Wanted(*(tuple(_texts(tags, TAGS_MAX)) for tags in (any_of, all_of, none_of)))
        if not wanted.any_of:
            raise InvalidError("a hashtag's timeline needs a hashtag")
        return self.tags.page(
            wanted, an_id_or_zero(max_id, "max_id"), an_id_or_zero(min_id, "min_id"),
            whole(count, 1, COUNT_MAX, "count"),
        )  # fmt: skip

    def _corrections(self, words: Any) -> dict[str, list[Any]]:
        now = time.monotonic()
        return {word: list(self._vocabulary.suggest(word, now)) for word in _texts(words)}

    def _highlight(self, tree: Any, bodies: Any) -> list[list[list[int]]]:
        """Where the tree's words stand in texts, given as packed bodies; of an empty one nowhere."""
        if not isinstance(bodies, list) or len(bodies) > BODIES_MAX or any(type(body) is not bytes for body in bodies):
            raise MalformedError(f"expected a list of at most {BODIES_MAX} bodies")
        return [highlights(read_facts(body).text, tree) if body else [] for body in bodies]

    def _contents(self, kind: Any, below: Any) -> list[bytes]:
        """What the index has below an id (0: from the top), the highest ids first, in parts: a short one is the last.

        kind: "tweets" for [ids, likes, engagement], "accounts" for [ids, digests], each as int64.
        """
        indexes: dict[str, TweetIndex | AccountIndex] = {"tweets": self.tweets, "accounts": self.accounts}
        index = indexes[kind]
        return [column.tobytes() for column in index.contents(an_id_or_zero(below, "below"), CONTENTS_MAX)]


def _packed(follows: Any) -> bytes:
    if type(follows) is not bytes:
        raise MalformedError("whom a reader follows are int64 bytes")
    return follows


def _texts(values: Any, count_max: int = WORDS_MAX) -> list[str]:
    if not isinstance(values, list) or len(values) > count_max or any(type(value) is not str for value in values):
        raise MalformedError(f"expected a list of at most {count_max} texts")
    return values
