"""From a query's tree (DESIGN.md) to what tantivy runs.

Rules of this file
- The tree has passed `query.check_tree`.
- Words and phrases score by BM25; everything else only decides. A query without words scores 1 for each tweet.
- Reposts are left out unless the tree asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tantivy

from actors.core.ids import ID_MAX
from actors.text import text
from actors.text.query import has_follows, wants_reposts

MUST, SHOULD, MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot
LANGUAGE_MARK = "|"  # between a stem and its language: no word has it
WORDS_KEPT = 4_096  # queries of words that are made once a commit
_SCORING = frozenset(("word", "phrase"))


class Builder:
    """Makes the queries of one index."""

    def __init__(self, schema: Any, terms: Callable[[str, str], list[tuple[str, int]]]) -> None:
        """terms(field, prefix): those of this commit that begin so. Another commit needs another builder."""
        self._schema, self._terms = schema, terms
        self._words: dict[str, Any] = {}
        self._no_repost = [(MUST_NOT, self._term("marks", "repost"))] if terms("marks", "repost") else []
        without = [(MUST, self.below(0)), (MUST_NOT, self._term("marks", "repost"))]
        self.no_reposts = tantivy.Query.boolean_query(without)

    def build(
        self, tree: list[Any], before: int = 0, since: int = 0, scored: bool = False, follows: bytes = b""
    ) -> Any:
        """Return the query. before, since: bounds of the id, exclusive and inclusive, 0 for none.

        scored: the scores will be used; follows: accounts that the reader follows, as int64 bytes.
        """
        if follows or has_follows(tree):
            tree = _with_follows(tree, np.frombuffer(follows, dtype="<i8").tolist())
        clauses = [(MUST, self._node(tree, scored))]
        if scored and not _has_words(tree):
            clauses = [(MUST, tantivy.Query.const_score_query(clauses[0][1], 1.0))]
        if before or since:
            clauses.append((MUST, self._silent(self._ids(since, before))))
        if self._no_repost and not wants_reposts(tree):
            clauses += self._no_repost
        if len(clauses) == 1:
            return clauses[0][1]
        return tantivy.Query.boolean_query(clauses)

    def below(self, tweet_id: int) -> Any:
        """Return the query of all tweets, reposts too, whose id is below that one; 0: of all."""
        return self._ids(0, tweet_id) if tweet_id else tantivy.Query.all_query()

    def _node(self, node: list[Any], scored: bool) -> Any:
        kind = node[0]
        if kind == "and":
            return self._all_of(node[1:], scored)
        if kind == "or":
            return tantivy.Query.boolean_query([(SHOULD, self._node(child, scored)) for child in node[1:]])
        if kind == "word":
            return self._word(node[1])
        if kind == "phrase":
            return self._phrase(node[1])
        decides = self._filter(node)
        return self._silent(decides) if scored else decides

    def _all_of(self, children: list[list[Any]], scored: bool) -> Any:
        clauses = [
            (MUST_NOT, self._node(child[1], False)) if child[0] == "not" else (MUST, self._node(child, scored))
            for child in children
        ]
        return tantivy.Query.boolean_query(clauses)

    def _word(self, word: str) -> Any:
        """The word's stem in each language in which a tweet has it: one or two as a rule."""
        found = self._words.get(word)
        if found is None:
            if len(self._words) >= WORDS_KEPT:
                self._words.clear()
            known = [
                term
                for stem in text.query_stems(word)
                for term, _ in self._terms("stems", stem + LANGUAGE_MARK)
                if text.stems([word], term.rpartition(LANGUAGE_MARK)[2]) == [stem]
            ]
            terms = [self._term("stems", term, "freq") for term in known]
            found = terms[0] if len(terms) == 1 else tantivy.Query.boolean_query([(SHOULD, term) for term in terms])
            self._words[word] = found
        return found

    def _phrase(self, words: list[str]) -> Any:
        if len(words) == 1:
            return self._term("words", words[0], "position")
        return tantivy.Query.phrase_query(self._schema, "words", list(words))

    def _filter(self, node: list[Any]) -> Any:
        kind = node[0]
        value: Any = node[1] if len(node) > 1 else None
        if kind == "prefix":
            return tantivy.Query.regex_query(self._schema, "words", f"{re.escape(value)}.*")
        if kind == "tag":
            return self._term("tags", value)
        if kind == "cash":
            return self._term("cash", value)
        if kind == "mention":
            return self._term("mentions", value)
        if kind in ("author", "to"):
            if not value:
                return tantivy.Query.empty_query()
            return tantivy.Query.term_set_query(self._schema, kind, list(value))
        if kind == "lang":
            return self._term("lang", value)
        if kind in ("has", "is"):
            return self._term("marks", value)
        if kind == "ids":
            return self._ids(node[1], node[2])
        if kind == "likes":
            return self._range("likes", value, None)
        raise ValueError(f"a query has no {kind!r}")  # check_tree lets none through

    def _ids(self, low: int, high: int) -> Any:
        return self._range("id", low or 1, high or ID_MAX + 1)

    def _range(self, field: str, low: int | None, high: int | None) -> Any:
        """low inclusive, high exclusive; None: no bound."""
        top = None if high is None else high - 1
        return tantivy.Query.range_query(
            self._schema, field, tantivy.FieldType.Integer, lower_bound=low, upper_bound=top
        )

    def _term(self, field: str, value: str, option: str = "basic") -> Any:
        return tantivy.Query.term_query(self._schema, field, value, option)

    @staticmethod
    def _silent(query: Any) -> Any:
        """Return the query with no part in the score."""
        return tantivy.Query.const_score_query(query, 0.0)


def _with_follows(node: list[Any], accounts: list[int]) -> list[Any]:
    """Put the accounts that the reader follows in the place of `["follows"]`."""
    if node[0] == "follows":
        return ["author", accounts]
    if node[0] in ("and", "or", "not"):
        return [node[0], *(_with_follows(child, accounts) for child in node[1:])]
    return node


def _has_words(tree: list[Any]) -> bool:
    """Whether anything in the tree scores."""
    if tree[0] in _SCORING:
        return True
    return tree[0] in ("and", "or") and any(_has_words(child) for child in tree[1:] if child[0] != "not")
