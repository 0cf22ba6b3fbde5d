"""What the clients of a chaos run asked for and what they were told: the other half of the truth.

Rules of this file
- An outcome is one of three: acknowledged (2xx), refused (4xx, and no attempt of it went unanswered), unknown (no
  answer, 5xx, or a refusal after such an attempt).
- An attempt without an answer may take effect later, even after a repetition of it was acknowledged. For a post with
  a key, or a delete, that changes nothing. A register (a follow, a like, a name) must not be set to anything else
  until that is over: `Register.settled_until`.
- One account does one thing at a time, so what is noted of an account is in the order of its acknowledgements.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What a client knows of a write."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Post:
    """One text, which nobody else writes. tweet_id: 0 until acknowledged; answers: the tweet it replies to, or 0."""

    author: int
    text: str
    key: str
    answers: int
    tweet_id: int = 0
    outcome: Outcome = Outcome.UNKNOWN
    deleted: Outcome | None = None


@dataclass(slots=True)
class Register:
    """Something with one value at a time. possible: what it may be now, one value unless an outcome is unknown."""

    possible: set[bool | str]
    settled_until: float = 0.0

    @property
    def value(self) -> bool | str | None:
        """What it is; None if that isn't known."""
        return next(iter(self.possible)) if len(self.possible) == 1 else None


@dataclass(slots=True)
class Ledger:
    """All writes of a run. problems: what an answer alone has shown to be wrong."""

    posts: list[Post] = field(default_factory=list)
    by_id: dict[int, Post] = field(default_factory=dict)
    follows: dict[tuple[int, int], Register] = field(default_factory=dict)
    likes: dict[tuple[int, int], Register] = field(default_factory=dict)
    names: dict[int, Register] = field(default_factory=dict)
    acknowledged_ids: dict[int, list[int]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def note(self, what: str, outcome: Outcome) -> None:
        """Count an outcome."""
        self.outcomes[f"{what} {outcome.value}"] += 1

    def posted(self, post: Post, outcome: Outcome, tweet_id: int) -> None:
        """Note how a post went. tweet_id: 0 unless it was acknowledged."""
        post.outcome, post.tweet_id = outcome, tweet_id
        self.note("post", outcome)
        if outcome is not Outcome.ACKNOWLEDGED:
            return
        if (other := self.by_id.setdefault(tweet_id, post)) is not post:
            self.problems.append(f"{post.text!r} and {other.text!r} were given the same id {tweet_id}")
        mine = self.acknowledged_ids.setdefault(post.author, [])
        if mine and tweet_id <= mine[-1]:
            self.problems.append(f"{post.author} was given the id {tweet_id} after {mine[-1]}: they must grow")
        mine.append(tweet_id)

    def set(self, what: str, register: Register, value: bool | str, outcome: Outcome, late_until: float) -> None:
        """Note how setting a register went. late_until: 0.0 unless an attempt may take effect until then."""
        self.note(what, outcome)
        if outcome is Outcome.ACKNOWLEDGED:
            register.possible = {value}
        elif outcome is Outcome.UNKNOWN:
            register.possible.add(value)
        register.settled_until = max(register.settled_until, late_until)

    def living(self) -> list[Post]:
        """Return the acknowledged posts that nobody has tried to delete."""
        return [post for post in self.by_id.values() if post.deleted is None]

    def unknown_share(self) -> float:
        """Return the share of writes whose outcome isn't known: what the verification can't be strict about."""
        counts = [n for name, n in self.outcomes.items() if name.endswith(Outcome.UNKNOWN.value)]
        return sum(counts) / max(1, sum(self.outcomes.values()))
