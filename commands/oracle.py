"""The definition of a home timeline, by brute force, from plain facts.

    home(u) = the newest H tweets, by id, whose author is u or is followed by u now, or which are public with a hashtag
    that u follows now, that u may see, that are not deleted, and that no filter of u's removes (mutes,
    exclusive lists, languages, reply rule, repost rule)

u may see a tweet that is u's own, or visible to u and by nobody whom a block keeps from u, whichever of the two made
it; and a repost only if u may see the original too.

Rules: this is the oracle, so it shares nothing with the code that serves timelines: dicts, lists and loops. It is slow
on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

REPLY, REPOST, DIRECT = 1, 2, 8
NOT_PUBLIC = 4 | 8 | 64  # for followers, for those mentioned, unlisted
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
    tags: tuple[str, ...] = field(default=(), compare=False)  # hashtags, folded
    language: str = field(default="", compare=False)  # "" if it says none

    @property
    def is_found_by_tags(self) -> bool:
        """Whether whoever follows a hashtag of it wants it."""
        return not self.flags & (NOT_PUBLIC | REPOST)


@dataclass(slots=True)
class NetworkFacts:
    """Everything that the definition needs. hidden: per account, whom it blocks or mutes, or who blocks it; and as -id
    whose reposts it wants none of.

    Mutes needn't be told from blocks: at home they remove the same.
    """

    following: dict[int, set[int]] = field(default_factory=dict)
    tweets_by: dict[int, list[Fact]] = field(default_factory=dict)
    hidden: dict[int, set[int]] = field(default_factory=dict)
    followed_tags: dict[int, set[str]] = field(default_factory=dict)
    exclusively_listed: dict[int, set[int]] = field(default_factory=dict)
    languages: dict[int, dict[int, set[str]]] = field(default_factory=dict)
    tweets_with: dict[str, list[Fact]] = field(default_factory=dict)

    def add_tweets(self, facts: Iterable[Fact]) -> None:
        """Add tweets, each under its author, and its hashtags."""
        for fact in facts:
            self.tweets_by.setdefault(fact.author_id, []).append(fact)
            for tag in set(fact.tags) if fact.is_found_by_tags else ():
                self.tweets_with.setdefault(tag, []).append(fact)

    def in_reach(self, account_id: int) -> list[Fact]:
        """Return the tweets by an account and those whom it follows, and with hashtags that it follows, each once."""
        authors = self.following.get(account_id, set()) | {account_id}
        tags = self.followed_tags.get(account_id, set())
        sources = [self.tweets_by.get(author, []) for author in authors] + [self.tweets_with.get(t, []) for t in tags]
        return list({fact.tweet_id: fact for facts in sources for fact in facts}.values())

    def existing(self) -> set[int]:
        """Return the ids of all tweets."""
        return {fact.tweet_id for facts in self.tweets_by.values() for fact in facts}

    def may_see(self, account_id: int, fact: Fact) -> bool:
        """Whether an account in whose reach a tweet is may see it, and hasn't muted whom it is by."""
        hidden = self.hidden.get(account_id, set())
        if fact.flags & REPOST and fact.orig_author != account_id and fact.orig_author in hidden:
            return False
        if fact.author_id == account_id:
            return True
        if fact.flags & REPOST and -fact.author_id in hidden:
            return False
        is_let_in = not fact.flags & DIRECT or account_id in fact.mention_ids
        return is_let_in and fact.author_id not in hidden

    def wants(self, account_id: int, fact: Fact) -> bool:
        """Whether an account wants a tweet at home that it may see: by its exclusive lists, and by language."""
        author = fact.author_id
        if author == account_id:
            return True
        if author in self.following.get(account_id, set()) & self.exclusively_listed.get(account_id, set()):
            return False
        languages = self.languages.get(account_id, {}).get(author)
        return not languages or not fact.language or fact.language in languages

    def candidates(self, account_id: int) -> list[Fact]:
        """Return the tweets that pass every rule but the repost rule, newest first."""
        following = self.following.get(account_id, set())
        found = []
        for fact in self.in_reach(account_id):
            author = fact.author_id
            if not self.may_see(account_id, fact) or not self.wants(account_id, fact):
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
