"""Who may see what: the one place that decides it. Every operation that hands out tweets or accounts asks here.

Rules of this file
- A tweet is seen by its author, and by those whom its visibility lets in, unless a block stands between reader and
  author, whichever of the two made it. A repost shows its original, so only those see it who may see that as well;
  whatever else a tweet comes to show (a quote) belongs into `may_see` in the same way.
- Whoever is being deleted is hidden from everybody, and all that is still there of him.
- A tweet's shard knows who follows its author, and whom blocks keep from its author. Of the author of a repost's
  original it may know nothing: that is what the reader's shard knows. So there are three answers, yes, no, and None:
  "ask the reader's shard about that account (`blocked_among`), and me again with what it says".
- Nobody is asked on the way of a home timeline or a search. The first is read where its reader lives, and its rule is
  `kernels.is_candidate`, the compiled form of this one; the second brings along all that the reader's shard knows
  (`reader`).
- Who asks without facts, and gets None, shows nothing.

Costs: 0.5 us a tweet with a reader, 0.2 without.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from actors.core import arguments, limits
from actors.core.flags import BLOCK, BLOCKED_BY, FLAG_DIRECT, FLAGS_PRIVATE

if TYPE_CHECKING:
    from actors.core.state import ShardState

_NONE: frozenset[int] = frozenset()


class ReaderFacts(NamedTuple):
    """Who reads, and what is known of blocks between that account and others.

    reader: 0 for nobody; hidden: accounts that are hidden from it; asked: accounts of which its shard was asked whether
    they are, None for all there are.
    """

    reader: int
    hidden: AbstractSet[int] = _NONE
    asked: AbstractSet[int] | None = _NONE


NOBODY = ReaderFacts(0)
NOTHING_ASKED: Final = [b"", b""]  # facts of who has asked nothing yet, and can


def reader_facts(reader: Any, given: Any = None) -> ReaderFacts:
    """Take who reads, and what came with the request: None, or [accounts asked about, the hidden ones] as int64 bytes.

    Raises InvalidError.
    """
    arguments.an_id_or_zero(reader, "viewer")
    if given is None or given == NOTHING_ASKED:
        return ReaderFacts(reader) if reader else NOBODY
    asked, hidden = (
        frozenset(arguments.packed_ids(packed, limits.ASKED_COUNT_MAX, "facts"))
        for packed in arguments.pair(given, "facts")
    )
    return ReaderFacts(reader, hidden, asked)


def question(account_ids: Iterable[int]) -> list[Any]:
    """Return the answer to who has to ask the viewer's shard first."""
    return [None, np.array(sorted(account_ids), dtype="<i8").tobytes()]


def is_question(body: Any) -> bool:
    """Whether a reply is no answer yet, but what `question` returned."""
    return type(body) is list and len(body) == 2 and body[0] is None


def is_for(reader: int, author_id: int, tweet_flags: int, mention_ids: list[int]) -> bool:
    """Whether a tweet may ever be in the ring of a follower: a direct one if it is the reader's own or mentions him.

    This doesn't change. Blocks come and go, so they are filters of the read.
    """
    return not tweet_flags & FLAG_DIRECT or author_id == reader or reader in mention_ids


class Visibility:
    """See the head of the file."""

    def __init__(self, state: ShardState) -> None:
        self._people, self._graph, self._tweets = state.people, state.graph, state.tweets
        self._leaving = state.people.leaving
        self._blocks, self._blocked_by = state.graph.relations[BLOCK], state.graph.relations[BLOCKED_BY]

    def is_hidden(self, facts: ReaderFacts, account_id: int) -> bool | None:
        """Whether an account, and whatever it writes, is hidden from a reader. None: the reader's shard knows.

        Of an account of this shard the answer is never None.
        """
        reader, hidden, asked = facts
        if account_id in self._leaving:
            return True
        if not reader or reader == account_id:
            return False
        if account_id in hidden:
            return True
        row_of = self._people.row_of
        row = row_of.get(account_id)
        if row is not None:
            return reader in self._blocks.get(row, ()) or reader in self._blocked_by.get(row, ())
        if asked is None or account_id in asked:
            return False
        reader_row = row_of.get(reader)
        return None if reader_row is None else self._is_blocked(reader_row, account_id)

    def may_see(
        self, facts: ReaderFacts, author_id: int, tweet_flags: int, orig_author: int, mention_ids: list[int]
    ) -> bool | None:
        """Whether a reader may see a tweet, whose author must be this shard's. None: `is_hidden` of orig_author is."""
        reader = facts.reader
        if reader != author_id:
            if self.is_hidden(facts, author_id):
                return False
            if tweet_flags & FLAGS_PRIVATE and not self._is_let_in(reader, author_id, tweet_flags, mention_ids):
                return False
        if orig_author == author_id:
            return True
        hidden = self.is_hidden(facts, orig_author)
        return None if hidden is None else not hidden

    def blocked_among(self, row: int, account_ids: list[int]) -> list[int]:
        """Return those accounts between which and one of this shard, of that row, a block stands."""
        return [account_id for account_id in account_ids if self._is_blocked(row, account_id)]

    def tweet_count(self, reader: int, row: int) -> int:
        """Return how many tweets of an account its profile tells a reader of.

        Everybody the public ones, followers those for followers as well, the account itself all.
        """
        count = int(self._tweets.log.length[row])
        if reader == self._people.accounts[row].account_id or row not in self._tweets.private:
            return count
        for_followers, direct = self._tweets.private[row]
        is_follower = reader and self._graph.followers.contains(row, reader)
        return count - direct - (0 if is_follower else for_followers)

    def _is_let_in(self, reader: int, author_id: int, tweet_flags: int, mention_ids: list[int]) -> bool:
        """Whether a tweet that isn't public is for a reader who isn't its author."""
        if reader in mention_ids:
            return True
        row = self._people.row_of[author_id]
        return bool(reader) and not tweet_flags & FLAG_DIRECT and self._graph.followers.contains(row, reader)

    def _is_blocked(self, row: int, other: int) -> bool:
        """Whether a block stands between an account of this shard and another one."""
        return other in self._blocks.get(row, ()) or other in self._blocked_by.get(row, ())
