"""What a query may have of each kind of term, and what it costs an engine.

Rules of this file
- Pure. `query.py` counts with `TermBudget` while it reads a query or checks a tree: API workers and shards refuse the
  same queries, with the same words.
- A cost is in units of one word. It is for admission and rates: right to a factor of two or so, whatever the words are.

Measured on an index of 45,000 tweets, the most frequent terms joined by OR, `latest` and `top`, in ms:

    words      1: 0.4, 1.0   10: 1.2, 9.2   50: 2.8, 10
    phrases    1: 0.1, 0.9    8: 1.5, 9.0   16: 2.5, 15   25: 3.3, 19
    prefixes   1: 0.8, 2.9    8: 3.2, 11    16: 6.2, 27   50: 16, 81      (of three letters)

All of it grows with the index, and that of a prefix with its words, too: each is looked up in every segment. So 50 of
them were half a second of an engine with a few hundred thousand tweets.
"""

from __future__ import annotations

from typing import Any, Final

TERMS_MAX: Final = 50  # words, pairs of characters and operators: each is a list to be read in every segment
KINDS_MAX: Final = {"prefix": 8, "phrase": 16, "follows": 4}  # of each kind in one query
_NAMES: Final = {
    "prefix": "words shortened with * (CJK: single characters)",
    "phrase": "phrases (also runs of CJK, and words such as e-mail)",
    "follows": "times filter:follows",
}
UNITS: Final = {"prefix": 5, "phrase": 2, "follows": 5}  # of a term; of any other kind 1
TOP_TIMES: Final = 3  # order=top scores all that matches
ACCOUNT_WORD_UNITS: Final = 5  # a word in a search for accounts: it finds mistyped ones, too
SUGGEST_UNITS: Final = 5
TAG_UNITS: Final = 1


class TermBudget:
    """Counts the terms of one query."""

    def __init__(self) -> None:
        self._terms = 0
        self._kinds = dict.fromkeys(KINDS_MAX, 0)

    def add(self, leaf: list[Any]) -> str:
        """Count a leaf; returns what is wrong with so many, "" if nothing is."""
        kind = leaf[0]
        self._terms += len(leaf[1]) if kind == "phrase" else 1
        if self._terms > TERMS_MAX:
            return f"a query has at most {TERMS_MAX} words (CJK: characters) and operators"
        if kind in self._kinds:
            self._kinds[kind] += 1
            if self._kinds[kind] > KINDS_MAX[kind]:
                return f"a query has at most {KINDS_MAX[kind]} {_NAMES[kind]}; ask for the rest in another one"
        return ""


def cost_of_tree(tree: list[Any], order: str) -> int:
    """Return what a search for tweets costs an engine, in units. tree: a list as `query.check_tree` lets through."""
    units, stack = 0, [tree]
    while stack:
        node = stack.pop()
        if node[0] in {"and", "or", "not"}:
            stack += node[1:]
        else:
            units += UNITS.get(node[0], 1)
    return units * TOP_TIMES if order == "top" else units
