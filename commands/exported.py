"""Rows of `export` as the facts that the definition of a home timeline needs (`oracle.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from actors.core.entries import unpack
from actors.core.folding import fold
from commands.oracle import Fact, NetworkFacts


def add_rows(facts: NetworkFacts, rows: Iterable[Sequence[Any]]) -> None:
    """Add accounts with their tweets. A row has four fields, or a fifth with what its account wants of its home."""
    for account_id, following, tweets, hidden, *more in rows:
        facts.following[account_id] = set(np.frombuffer(following, dtype="<i8").tolist())
        facts.hidden[account_id] = set(np.frombuffer(hidden, dtype="<i8").tolist())
        facts.add_tweets(map(_fact, unpack(tweets)))
        for wanted in map(unpack, more):
            tags, lists, languages = wanted
            facts.followed_tags[account_id] = set(map(fold, tags))
            facts.exclusively_listed[account_id] = {member for members in lists for member in members}
            facts.languages[account_id] = {author: set(codes) for author, codes in languages}


def _fact(fields: Sequence[Any]) -> Fact:
    tweet_id, author_id, flags, reply_author, orig_id, orig_author, mention_ids, *more = fields
    tags, language = (tuple(map(fold, more[0])), more[1]) if more else ((), "")
    return Fact(tweet_id, author_id, flags, reply_author, orig_id, orig_author, tuple(mention_ids), tags, language)
