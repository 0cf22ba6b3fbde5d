"""Who may see what, said as plainly as it can be, and the cases that the matrix goes through.

Rules of this file
- This is an oracle: sets and comparisons, nothing of the code that serves. What is expected of each surface stands in
  `test_visibility_matrix.py`, in terms of these functions.

Of each case there are three accounts and up to four tweets, all made before the relation between two of the accounts:

    X   by the author: public, for followers, or direct; it may mention the reader
    R   the reposter's repost of X, if that is public
    P   the reposter's public answer to X
    Q   the reposter's direct answer to X, which mentions the author

and perhaps the author deletes X at last. The reposter follows the author and is followed; the reader follows the
reposter, and in some cases the author.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

AUTHOR, REPOSTER, READER, NOBODY = "author", "reposter", "reader", "nobody"
ACCOUNTS = (AUTHOR, REPOSTER, READER)
RELATIONS = [
    None,
    *((kind, who, whom) for kind in ("block", "mute") for who, whom in itertools.permutations(ACCOUNTS, 2)),
]


class Tweet(NamedTuple):
    name: str
    by: str
    visibility: str
    mentions: tuple[str, ...] = ()
    answers: str = ""  # whom
    reposts: str = ""  # which tweet


@dataclass(frozen=True)
class Case:
    number: int
    relation: tuple[str, str, str] | None  # (block or mute, who, whom)
    visibility: str
    is_deleted: bool
    mentions_reader: bool
    follows_author: bool  # the reader does

    @property
    def tweets(self) -> dict[str, Tweet]:
        """The tweets that exist at last."""
        mentioned = (READER,) if self.mentions_reader else ()
        found = [
            Tweet("X", AUTHOR, self.visibility, mentioned),
            Tweet("R", REPOSTER, "public", reposts="X"),
            Tweet("P", REPOSTER, "public", answers=AUTHOR),
            Tweet("Q", REPOSTER, "direct", (AUTHOR,), AUTHOR),
        ]
        if self.visibility == "direct":  # the reposter can't see it, so there is nothing to answer
            found = [t._replace(answers="") for t in found if t.name != "R"]
        if self.visibility == "followers":
            found = [t for t in found if t.name != "R"]
        if self.is_deleted:
            found = [t for t in found if t.name not in ("X", "R")]
        return {t.name: t for t in found}

    def blocked(self, one: str, other: str) -> bool:
        return self.relation in (("block", one, other), ("block", other, one))

    def muted(self, by: str, whom: str) -> bool:
        return self.relation == ("mute", by, whom)

    def follows(self, who: str, whom: str) -> bool:
        pairs = {(REPOSTER, AUTHOR), (AUTHOR, REPOSTER), (READER, REPOSTER)}
        pairs |= {(READER, AUTHOR)} if self.follows_author else set()
        return (who, whom) in pairs and not self.blocked(who, whom)

    def may_see(self, who: str, tweet: Tweet) -> bool:
        """Whether somebody may see a tweet at all."""
        if self.blocked(who, tweet.by):
            return False
        if tweet.reposts and not self.may_see(who, self.tweets[tweet.reposts]):
            return False
        if who == tweet.by or tweet.visibility == "public" or who in tweet.mentions:
            return True
        return tweet.visibility == "followers" and self.follows(who, tweet.by)

    def by_id(self, who: str) -> set[str]:
        return {t.name for t in self.tweets.values() if self.may_see(who, t)}

    def own_timeline(self, who: str, whose: str) -> set[str]:
        return {t.name for t in self.tweets.values() if t.by == whose and self.may_see(who, t)}

    def home(self, who: str) -> set[str]:
        found = set()
        for tweet in self.tweets.values():
            original = self.tweets[tweet.reposts] if tweet.reposts else tweet
            if not (tweet.by == who or self.follows(who, tweet.by)) or not self.may_see(who, tweet):
                continue
            if self.muted(who, tweet.by) or self.muted(who, original.by):
                continue
            answers_known = tweet.answers in (who, tweet.by) or self.follows(who, tweet.answers)
            if tweet.answers and tweet.by != who and not answers_known:
                continue
            found.add(tweet.name)
        return found - {"R"} if "X" in found else found

    def found(self, who: str, reposts: bool = False) -> set[str]:
        """What a search finds for somebody, reposts or all others."""
        return {
            t.name
            for t in self.tweets.values()
            if t.visibility == "public"
            and self.may_see(who, t)
            and bool(t.reposts) == reposts
            and not self.muted(who, t.by)
            and not (t.reposts and self.muted(who, self.tweets[t.reposts].by))
        }

    def sees_account(self, who: str, whom: str) -> bool:
        return not self.blocked(who, whom)

    def finds_account(self, who: str, whom: str) -> bool:
        return not self.blocked(who, whom) and not self.muted(who, whom)

    def public_counts(self, name: str) -> tuple[int, int]:
        """How many replies and reposts are counted."""
        answers = [t for t in self.tweets.values() if t.answers == self.tweets[name].by and name == "X"]
        reposts = [t for t in self.tweets.values() if t.reposts == name]
        return sum(t.visibility == "public" for t in answers), len(reposts)

    def tweet_count(self, who: str, whose: str) -> int:
        """How many tweets a profile tells of."""
        told = {"public"}
        if self.follows(who, whose):
            told |= {"followers"}
        if who == whose:
            told |= {"followers", "direct"}
        return sum(t.by == whose and t.visibility in told for t in self.tweets.values())


def all_cases() -> list[Case]:
    """Every relation with every visibility, with and without what else may be; and some where X is deleted."""
    cases = []
    rest = itertools.cycle(itertools.product((False, True), repeat=2))
    for relation, visibility in itertools.product(RELATIONS, ("public", "followers", "direct")):
        mentions_reader, follows_author = next(rest)
        if relation in (None, ("block", AUTHOR, READER), ("block", READER, AUTHOR)) and visibility != "direct":
            cases += [(relation, visibility, False, *both) for both in itertools.product((False, True), repeat=2)]
        else:
            cases.append((relation, visibility, False, mentions_reader, follows_author))
        if relation in (None, ("block", AUTHOR, READER)):
            cases.append((relation, visibility, True, mentions_reader, follows_author))
    return [Case(number, *each) for number, each in enumerate(cases)]
