"""The definition of a home timeline, by brute force, from plain facts.

    home(u) = the newest H tweets, by id, whose author is u or is followed by u now, that u may see, that are not
    deleted, and that no filter of u's removes (mutes, reply rule, repost rule)

u may see a tweet that is u's own, or visible to u and by nobody whom a block keeps from u, whichever of the two made
it; and a repost only if u may see the original too.

Rules: this is the oracle, so it shares nothing with the code that serves timelines: dicts, lists and loops. It is slow
on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

REPLY, REPOST, DIRECT = 1, 2, 8
REPOST_WINDOW = 40


@dataclass(frozen=True, slots=True)
class Fact:
    """One tweet or repost that exists now."""

    tweet_id: int
    author_id: int
    flags: int
    reply_author: int
    orig_id: int
    orig_author: int
    mention_ids: tuple[int, ...] = ()


def fact_of(fields: Sequence[Any]) -> Fact:
    """Return a fact of an exported row."""
    tweet_id, author_id, flags, reply_author, orig_id, orig_author, mention_ids = fields[:7]
    return Fact(tweet_id, author_id, flags, reply_author, orig_id, orig_author, tuple(mention_ids))


@dataclass(slots=True)
class NetworkFacts:
    """Everything that the definition needs. hidden: per account, whom it blocks or mutes, or who blocks it.

    Mutes needn't be told from blocks: at home they remove the same.
    """

    following: dict[int, set[int]] = field(default_factory=dict)
    tweets_by: dict[int, list[Fact]] = field(default_factory=dict)
    hidden: dict[int, set[int]] = field(default_factory=dict)

    def add_tweets(self, facts: Iterable[Fact]) -> None:
        """Add tweets, each under its author."""
        for fact in facts:
            self.tweets_by.setdefault(fact.author_id, []).append(fact)

    def existing(self) -> set[int]:
        """Return the ids of all tweets."""
        return {fact.tweet_id for facts in self.tweets_by.values() for fact in facts}

    def may_see(self, account_id: int, fact: Fact) -> bool:
        """Whether an account that follows a tweet's author may see it, and hasn't muted whom it is by."""
        hidden = self.hidden.get(account_id, set())
        if fact.flags & REPOST and fact.orig_author != account_id and fact.orig_author in hidden:
            return False
        if fact.author_id == account_id:
            return True
        is_let_in = not fact.flags & DIRECT or account_id in fact.mention_ids
        return is_let_in and fact.author_id not in hidden

    def candidates(self, account_id: int) -> list[Fact]:
        """Return the tweets that pass every rule but the repost rule, newest first."""
        following = self.following.get(account_id, set())
        found = []
        for author in following | {account_id}:
            for fact in self.tweets_by.get(author, ()):
                if not self.may_see(account_id, fact):
                    continue
                answers_known = fact.reply_author in following or fact.reply_author in (account_id, author)
                if fact.flags & REPLY and author != account_id and not answers_known:
                    continue
                found.append(fact)
        return sorted(found, key=lambda fact: fact.tweet_id, reverse=True)

    def home(self, account_id: int, length: int) -> list[int]:
        """Return the ids of home(account_id), newest first, at most `length`."""
        candidates = self.candidates(account_id)
        chosen: list[int] = []
        for i, fact in enumerate(candidates):
            if len(chosen) == length:
                break
            if fact.flags & REPOST:
                older = candidates[i + 1 : i + 1 + REPOST_WINDOW]
                if any(o.orig_id == fact.orig_id for o in older):
                    continue
            chosen.append(fact.tweet_id)
        return chosen
