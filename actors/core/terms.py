"""The terms in which a feature is written: the types of its row, and nothing that belongs to one feature.

A feature is one file in `features/` and one row of its table. Every list of operations, commands and messages is
made of those rows: who reads them needs no other place.

    Write     an operation that changes the state: prepare(shard, now_ms, *arguments) -> Prepared, or a refusal
    Read      an operation that doesn't: answer(shard, *arguments) -> body, or a refusal
    command   a name in the journal -> function(state, *facts) -> result
    Effect    a message between shards: handle(state, source, *facts); whom it notifies of what
    Kind      an ordered set that belongs to an account, a tweet or a thing
    PaperKind small documents that belong to an account, a tweet or a thing, and may fall due

Rules of this file
- Names of commands and effects are in journals, outboxes and backups: they stay for ever, and so do the widths that a
  function takes. A fact more is a parameter more, at the end, with a default that means "not told".
- A write's `prepare` refuses, or its command can't fail any more.
- API workers import this table to route; nothing it imports may load compiled kernels (`tests/core/test_features.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.core import ids
from actors.core.errors import RookeryError

FULL_FROM_LEVEL: Final = (
    1  # of the cluster, see levels.py: commands and effects say actor, object and time from there on
)
THINGS_FROM_LEVEL: Final = 2  # from which there are things, and what belongs to them
TAGS_FROM_LEVEL: Final = 3  # of the cluster, from which followed hashtags are in home timelines
NOTICES_FROM_LEVEL: Final = 3  # of the cluster, from which accounts are notified, and effects say what that needs
EXPLAIN_FROM_LEVEL: Final = 4  # of the cluster: shards know `explain`
IF_SEEN_FROM_LEVEL: Final = 2  # of the cluster: shards know the write `if_seen`


class Key(Enum):
    """What an operation's first argument is, by which it finds its shard."""

    ACCOUNT = "account"
    TWEET = "tweet"
    NAME = "name"
    THING = "thing"
    SHARD = "shard"
    """Many keys, or none: the caller names the shard."""


class Inquiry(NamedTuple):
    """A read that the owner of a bucket is to answer before a write can be prepared."""

    bucket: int
    op: str
    args: list[Any]


Inquiries = Generator[Inquiry, Any, list[Any]]
"""Yields what is to be asked, is sent each body, or thrown the refusal; returns arguments, or refuses."""


class Prepared(NamedTuple):
    """A validated request. command: None if there is nothing to do; finish: makes the reply of the command's result.

    What finish returns may be a RookeryError that only applying the command could find; it may raise it as well.
    kept: with which [account_id, key, fingerprint, at_ms] the answer is to be kept (`features/answers.py`).
    """

    command: list[Any] | None
    finish: Callable[[Any], Any]
    kept: tuple[int, bytes, bytes, int] | None = None


def same(result: Any) -> Any:
    """Make the command's result the reply."""
    return result


def nothing(body: Any) -> Prepared:
    """Prepare an answer that changes nothing. It still waits until all before it is durable."""
    return Prepared(None, lambda _: body)


def refused(error: RookeryError) -> Prepared:
    """Prepare a refusal that waits until all before it is durable."""

    def refuse(_: Any) -> Any:
        raise error

    return Prepared(None, refuse)


@dataclass(frozen=True, slots=True)
class Write:
    """A write operation. prepare: (lookups, now_ms, *arguments) -> Prepared.

    hides: less is shown afterwards, or other words, so what API workers keep of earlier answers is dropped; or what
    tells of its arguments, as somebody gave them, whether that is so. keyed: its answer may be kept for a repetition;
    False where it belongs to a secret that nobody keeps, or to nobody special.
    asks: (lookups, *arguments) -> Inquiries that end with the arguments for `prepare`; None if it never asks. of_tweet:
    (lookups, account, tweet) -> Inquiries that end with this write's arguments, if the account may see the tweet, for
    `if_seen`; None if it isn't about a tweet.
    """

    name: str
    prepare: Callable[..., Prepared]
    key: Key = Key.ACCOUNT
    hides: bool | Callable[[list[Any]], bool] = False
    keyed: bool = True
    asks: Callable[..., Inquiries] | None = None
    of_tweet: Callable[..., Inquiries] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A read operation that asks nobody else. answer: (lookups, *arguments) -> body.

    fresh: not from a follower while the primary can be reached. from_followers: False if only the primary can say it.
    shaped: it answers tweets, by `Lookups.shown` and `Shape.listed`, or accounts, by `Shape.account`, so it can be
    asked for in a shape.
    """

    name: str
    answer: Callable[..., Any]
    key: Key = Key.ACCOUNT
    fresh: bool = False
    from_followers: bool = True
    shaped: bool = False


class Owner(Enum):
    """Whose a shelf is. It lies on the owner's shard and moves with it."""

    ACCOUNT = "account"
    TWEET = "tweet"
    THING = "thing"
    """A list, a filter, an app: here as long as the document that founds it is (`PaperKind.founds`)."""

    def bucket_of(self, owner: int) -> int:
        """Return the bucket of an owner of this sort."""
        return ids.bucket_of_account(owner) if self is Owner.ACCOUNT else ids.bucket_of_tweet(owner)

    def buckets_of(self, owners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """As `bucket_of` for many."""
        return ids.buckets_of_accounts(owners) if self is Owner.ACCOUNT else ids.buckets_of_tweets(owners)

    @property
    def with_article(self) -> str:
        """How a refusal names it."""
        return f"an {self.value}" if self is Owner.ACCOUNT else f"a {self.value}"


class Full(Enum):
    """What happens when a shelf is full."""

    REFUSE = "the next one is refused"
    OLDEST = "the oldest falls out"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is kept on a shelf (`shelves.py`). number: its name in journals, tables and moves, for ever.

    key: what is put there; limit: keys of one owner; dense: most owners have such a shelf, so that 4 bytes for each of
    them are less than a place in a dict for those that do; from_level: of the cluster, from which it is kept; left:
    (state, account, key, at_ms), called for each key of an account's shelf when the account is deleted; relation: a
    number of `flags.py`, whose keys are looked up on the way of reads: the graph keeps them as sets beside the shelf;
    is_inverted: who has a key on such a shelf of his is asked for (`Shelves.holders`).
    """

    number: int
    name: str
    owner: Owner
    key: Owner
    limit: int
    full: Full = Full.REFUSE
    dense: bool = False
    from_level: int = FULL_FROM_LEVEL
    left: Callable[..., None] | None = None
    relation: int | None = None
    is_inverted: bool = False


@dataclass(frozen=True, slots=True)
class PaperKind:
    """What is kept as documents (`paper_shelves.py`). number: as a Kind's, and none of theirs.

    limit: documents of one owner; check: (document), refuses what can't be one, as functions of `arguments.py` do;
    due_ms: (document) -> Unix ms at which it falls due, 0 for never. Once that has come:
    prepare_due: (lookups, now_ms, owner, key, document) -> facts that only a leader can give, such as ids; a refusal
    puts it off; fall_due: (state, owner, key, document, *facts), with the document taken away already.
    founds: a thing is here from the moment on when it has this document, with key 0, and all that it has goes with it.
    outbound: what is due is to leave the cluster (`outbound.py`): it stays until its outcome is known, and `due` passes
    it over.
    """

    number: int
    name: str
    owner: Owner
    limit: int
    check: Callable[[Any], None]
    due_ms: Callable[[Any], int] | None = None
    prepare_due: Callable[..., list[Any]] | None = None
    fall_due: Callable[..., None] | None = None
    from_level: int = FULL_FROM_LEVEL
    founds: bool = False
    outbound: bool = False


class To(Enum):
    """Which shards an effect goes to."""

    ACCOUNT = "of the account"
    TWEET = "of the tweet"
    NAME = "of the name"
    ASKER = "that asked or caused it"
    FOLLOWERS = "with a follower"
    ALL = "all"


class Settles(Enum):
    """When the shard that an effect is told to has it, as far as its teller's next reads go (`settling.py`)."""

    NEVER = "nobody waits for it"
    ARRIVED = "once it is committed there"
    ANSWERED = "once what it made that shard tell in turn is here, too"


class Notified(Enum):
    """Who is notified, as the fact of the effect that names him."""

    AUTHOR = "tweet"
    """The author of that tweet, which is the receiving shard's."""
    ACCOUNT = "account"
    REPOSTERS = "reposters"
    """The receiving shard's accounts that repost the tweet which it is about. It goes with the repost."""


NOTIFICATION_TYPES: Final = (  # Mastodon's names, and `reply`; the places are in checkpoints, 16 at most
    "mention", "status", "reblog", "follow", "follow_request", "favourite", "poll", "update", "quote", "reply",
)  # fmt: skip
NOTIFICATION_TYPE_OF: Final = {name: number for number, name in enumerate(NOTIFICATION_TYPES)}


@dataclass(frozen=True, slots=True)
class Notifies:
    """Of what an effect notifies whom: `type`, by the fact `actor`. Taken back by what undoes the effect.

    about: the fact that is its object; step: the fact that says whether it is done (1, True) or undone (-1, False), ""
    if it always is, and `undone_by` undoes; also: effects that take it back with the tweet which it is about; unless:
    a fact that notifies nobody by being 0. A fact that an effect carries many of has its name in the plural (`actors`).
    """

    type: str
    to: Notified
    about: str
    step: str = ""
    also: tuple[str, ...] = ()
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """A message from shard to shard. handle: (state, source, *facts), right whichever of two sources comes first.

    carries: what its facts are, in order; short: how many of them a sender of level 0 gives (None: all); later: how
    many of the last ones are given from NOTICES_FROM_LEVEL on. Whoever reads takes all widths. undone_by: the effect
    that takes it back, by name. notifies: what somebody is to know of it. settles: when a write that tells it is seen
    by reads of other shards.
    """

    name: str
    handle: Callable[..., None]
    to: To
    carries: tuple[str, ...]
    short: int | None = None
    undone_by: str = ""
    notifies: Notifies | None = None
    settles: Settles = Settles.NEVER
    later: int = 0

    def told(self, level: int, facts: tuple[Any, ...]) -> list[Any]:
        """Return the message as a sender of a level gives it."""
        if level < FULL_FROM_LEVEL and self.short is not None:
            return [self.name, *facts[: self.short]]
        if self.later and level < NOTICES_FROM_LEVEL:
            return [self.name, *facts[: len(self.carries) - self.later]]
        return [self.name, *facts]


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of the table: everything that a feature adds to a shard.

    rise: (state, level before), called once when a shard's level has risen. leave: (state, account, row, count) ->
    how many, takes back up to `count` of what an account has left that is being deleted (`leaving.py`); what is on
    shelves needs none.
    """

    name: str
    kinds: tuple[Kind, ...] = ()
    papers: tuple[PaperKind, ...] = ()
    writes: tuple[Write, ...] = ()
    reads: tuple[Read, ...] = ()
    commands: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    rise: Callable[..., None] | None = None
    leave: Callable[..., int] | None = None
