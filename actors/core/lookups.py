"""What the operations of every feature look up first: rows, tweets, who may see them, and their JSON.

Rules of this file
- It changes nothing, but that it hands out tweet ids, which only grow, and notes which tokens were found to be right.
- Arguments come from a trusted caller but may be nonsense, so each is checked; nothing here waits for anybody.
- A viewer of 0 is nobody: it sees what is public. Who may see what is decided in `visibility.py`, and nowhere else.
- Where that takes what only the viewer's shard knows, and the request brought facts along, the answer is
  `[None, accounts]`: ask `blocked_among` about these, and then again with all that has been asked. A request without
  facts isn't asked back; it is shown nothing that isn't sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from actors.core import arguments, ids
from actors.core.entries import Entry
from actors.core.errors import MovedError, NotFoundError, OverloadedError
from actors.core.terms import FULL_FROM_LEVEL, Kind, PaperKind, Prepared, Read, Write, nothing, same
from actors.core.visibility import ReaderFacts, Visibility, question, reader_facts

if TYPE_CHECKING:
    from actors.core.state import ShardState
    from actors.core.timelines.home import HomeTimelines


class Lookups:
    """A shard's state as operations ask it. One per replica."""

    def __init__(
        self, state: ShardState, home: HomeTimelines, writes: Mapping[str, Write], reads: Mapping[str, Read]
    ) -> None:
        """writes, reads: every operation there is, for those that wrap another."""
        self.state = state
        self.home = home
        self.visibility = Visibility(state)
        self.writes, self.reads = writes, reads
        self.used_tokens: set[tuple[int, bytes]] = set()  # (account, token), until the shell takes them

    def in_shape(self, home: HomeTimelines) -> Lookups:
        """Return these lookups as reads answer tweets in another shape. home: in that shape."""
        shaped = copy(self)
        shaped.home = home
        return shaped

    def row(self, account_id: int) -> int:
        """Return the row of an account of this shard. Raises NotFoundError, or MovedError if it can't be here."""
        arguments.an_id(account_id, "user_id")
        row = self.state.people.row_of.get(account_id)
        if row is None:
            if self.state.shard_of_account(account_id) != self.state.shard:
                raise MovedError(f"account {account_id} is not on shard {self.state.shard}")
            raise NotFoundError(f"account {account_id} does not exist", "user_id")
        return row

    def stored(self, tweet_id: int) -> Entry:
        """Return a tweet of this shard, whoever may see it. Raises NotFoundError."""
        arguments.an_id(tweet_id, "tweet_id")
        if self.state.shard_of_tweet(tweet_id) != self.state.shard:
            raise MovedError(f"tweet {tweet_id} is not on shard {self.state.shard}")
        entry = self.state.tweets.get(tweet_id)
        if entry is None or entry.author_id in self.state.people.leaving:
            raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id")
        return entry

    def entry(self, tweet_id: int, viewer: int, facts: Any) -> tuple[Entry, list[Any] | None]:
        """Return a tweet of this shard, which the viewer may see, and None; or what has to be asked first.

        Raises NotFoundError.
        """
        known, entry = reader_facts(viewer, facts), self.stored(tweet_id)
        seen = self.may_see(known, entry)
        if seen is None and facts is not None:
            return entry, question([entry.orig_author])
        if not seen:
            raise NotFoundError(f"tweet {tweet_id} does not exist", "tweet_id")
        return entry, None

    def may_see(self, facts: ReaderFacts, entry: Entry) -> bool | None:
        """Whether a reader may see an own account's tweet; None: the reader's shard has to be asked."""
        return self.visibility.may_see(facts, entry.author_id, entry.flags, entry.orig_author, entry.mention_ids)

    def seen_row(self, account_id: int, viewer: int) -> int:
        """Return the row of an account of this shard that isn't hidden from a viewer. Raises NotFoundError."""
        row = self.row(account_id)
        if self.visibility.is_hidden(reader_facts(viewer), account_id):
            raise NotFoundError(f"account {account_id} does not exist", "user_id")
        return row

    def render(self, entry: Entry) -> bytes:
        """Return the JSON of an own tweet or repost: of what is kept for home timelines, with the counts of now.

        What a write answers: a write is asked for in no other shape than the native one.
        """
        rendered: bytes = self.home.shape.tweet(entry)
        return rendered

    def shown(self, entry: Entry) -> Any:
        """Return what a read answers of an own tweet or repost: as `render`, or its pieces (`joining.py`)."""
        return self.home.shape.tweet(entry)

    # ---- shelves ----------------------------------------------------------------------------------------------

    def page(self, kind: Kind, owner: int, before: int, count: int) -> list[Any]:
        """Return a page of a shelf, newest first: `[keys, stamp to go on before, or 0]`. before: 0 for the newest."""
        arguments.an_id_or_zero(before, "before")
        keys, stamps = self.state.shelves.page(kind, owner, before, arguments.page_count(count))
        return [keys.tolist(), int(stamps[-1]) if len(keys) == count else 0]

    def listed_of_tweet(self, kind: Kind, tweet_id: int, viewer: int, before: int, count: int, facts: Any) -> list[Any]:
        """Return a page of the accounts on a tweet's shelf that a viewer may see, if he may see the tweet.

        Of whom this shard can't say whether a block stands between, the viewer's shard is asked first, as ever.
        """
        _, asked = self.entry(tweet_id, viewer, facts)
        if asked is not None:
            return asked
        known = reader_facts(viewer, facts)
        keys, following = self.page(kind, tweet_id, before, count)
        hidden = {account_id: self.visibility.is_hidden(known, account_id) for account_id in keys}
        unknown = [account_id for account_id, is_hidden in hidden.items() if is_hidden is None]
        if unknown and facts is not None:
            return question(unknown)
        return [[account_id for account_id in keys if hidden[account_id] is False], following]

    # ---- before a write ---------------------------------------------------------------------------------------

    def check_outboxes(self) -> None:
        """Raise OverloadedError while too much waits for another shard."""
        tuning = self.state.tuning
        for shard, outbox in self.state.outboxes.items():
            waiting = len(outbox.waiting)
            if waiting >= tuning.outbox_messages_max or outbox.bytes_waiting >= tuning.outbox_bytes_max:
                raise OverloadedError(
                    f"{waiting} messages of shard {self.state.shard} wait for shard {shard}; try again",
                    retry_after_s=1.0,
                )

    def require_level(self, level: int) -> None:
        """Raise OverloadedError while older processes are about, which would not read what this writes."""
        if self.state.level < level:
            raise OverloadedError("the cluster is being upgraded; this works once all of it is", retry_after_s=5.0)

    def timed(self, command: list[Any], now_ms: int) -> list[Any]:
        """Return a command with its time at the end, where all processes of the cluster take it."""
        return [*command, now_ms] if self.state.level >= FULL_FROM_LEVEL else command

    def prepare_mark(self, kind: Kind, account_id: int, tweet_id: int, on: bool, command: list[Any]) -> Prepared:
        """Check a request to set or clear a mark of an account's; the reply is whether that changed anything."""
        self.require_level(kind.from_level)
        self.row(account_id)
        arguments.an_id(tweet_id, "tweet_id")
        if self.state.shelves.contains(kind, account_id, tweet_id) == on:
            return nothing(False)
        if on:
            self.state.shelves.require_room(kind, account_id, "tweet_id")
        return Prepared(command, same)

    def check_room(self) -> None:
        """Raise OverloadedError if the shard takes no more tweets."""
        if len(self.state.tweets) >= self.state.tuning.tweets_max:
            raise OverloadedError(f"shard {self.state.shard} holds {self.state.tuning.tweets_max} tweets, its limit")

    def thing(self, kind: PaperKind, thing_id: int) -> Any:
        """Return the document that founds a thing of this shard, which is of that kind. Raises NotFoundError."""
        arguments.an_id(thing_id, "id")
        if self.state.shard_of_thing(thing_id) != self.state.shard:
            raise MovedError(f"{kind.name} {thing_id} is not on shard {self.state.shard}")
        document = self.state.papers.get(kind, thing_id)
        if document is None:
            raise NotFoundError(f"{kind.name} {thing_id} does not exist (any more)", "id")
        return document

    def next_thing_id(self, account_id: int, now_ms: int) -> int:
        """Return an id for a thing of an account, in its bucket. No tweet and no other thing gets it."""
        return self.next_tweet_id(account_id, now_ms)

    def next_tweet_id(self, account_id: int, now_ms: int) -> int:
        """Return the id of an account's next tweet. It isn't handed out again."""
        return self.state.clock.take(ids.bucket_of_account(account_id), now_ms)

    # ---- for operators ----------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Figures of the state for `status` and the metrics."""
        s = self.state
        edge_bytes = s.graph.nbytes()
        rings = s.rings.nbytes()
        pieces_bytes, pieces_evicted = s.pieces_figures()
        return {
            "accounts": len(s.people),
            "leaving": len(s.people.leaving),
            "names": len(s.people.names),
            "tweets": len(s.tweets),
            "edges": s.graph.edge_count,
            "awake": s.rings.awake_count,
            "waking": len(s.waking),
            "arrivals": len(s.arrivals.number_of),
            "pull_logs": len(s.pull_logs.logs),
            "deliveries": s.rings.delivery_count,
            "delivery_backlog": s.deliveries.waiting_count,
            "position": s.position,
            "outbox": {str(d): len(o.waiting) for d, o in s.outboxes.items()},
            "outbox_depth": sum(len(o.waiting) for o in s.outboxes.values()),
            "outbox_bytes": sum(o.bytes_waiting for o in s.outboxes.values()),
            "inbox": {str(d): n for d, n in s.inbox.items()},
            "sent": {str(d): o.next_seq - 1 for d, o in s.outboxes.items()},
            "edge_bytes": sum(edge_bytes.values()),
            "ring_bytes": rings,
            "tweet_bytes": s.tweets.nbytes(),
            "arrival_bytes": s.arrivals.nbytes(),
            "pieces_bytes": pieces_bytes,
            "pieces_evicted": pieces_evicted,
            "cards": 0 if s.cards is None else len(s.cards),
            "cards_bytes": 0 if s.cards is None else s.cards.bytes_held,
            "cards_evicted": 0 if s.cards is None else s.cards.evicted_count,
            **s.papers.figures(),
        }
