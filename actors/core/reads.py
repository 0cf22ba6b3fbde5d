"""Questions to one shard that change nothing. Each method is one lane operation of docs/lane.md.

Rules
- Arguments come from a trusted caller but may be nonsense, so each is checked; nothing here waits for anybody (the home
  timeline, which may, is in `home.py`).
- A viewer of 0 is nobody: it sees what is public. Who may see what is decided in `visibility.py`, and nowhere here.
- Where that takes what only the viewer's shard knows, and the request brought facts along, the answer is
  `[None, accounts]`: ask `blocked_among` about these, and then again with all that has been asked. A request without
  facts isn't asked back; it is shown nothing that isn't sure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.core import arguments, ids, kernels, limits
from actors.core.entries import Entry, pack, visibility_of
from actors.core.errors import MovedError, NotFoundError, UnauthorizedError
from actors.core.home import PULL_COUNT_MAX, HomeTimelines
from actors.core.messages import newest_entries
from actors.core.people import Account
from actors.core.render import render_card, render_profile, render_tweet
from actors.core.visibility import ReaderFacts, Visibility, reader_facts

if TYPE_CHECKING:
    from actors.core.state import ShardState

ASKED_AGAIN = 8  # tweets that are looked at before the next question about blocks, for each account asked about so far


def page_count(count: Any) -> int:
    """Check a page size."""
    return arguments.whole(count, 1, limits.PAGE_COUNT_MAX, "count")


def question(account_ids: Iterable[int]) -> list[Any]:
    """Return the answer to who has to ask the viewer's shard first."""
    return [None, np.array(sorted(account_ids), dtype="<i8").tobytes()]


class Reads:
    """The read operations of one replica."""

    def __init__(self, state: ShardState, home: HomeTimelines) -> None:
        self.state = state
        self.home = home
        self.visibility = Visibility(state)

    # ---- looking things up ------------------------------------------------------------------------------------

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
        if entry is None:
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

    # ---- tweets -----------------------------------------------------------------------------------------------

    def render(self, entry: Entry) -> bytes:
        """Return the JSON of an own tweet or repost: the one kept for home timelines unless counts have moved since."""
        n = self.state.arrivals.number_of.get(entry.tweet_id)
        if n is not None and self.state.arrivals.counts(n) == entry[6:9]:
            return self.home.rendered(n)
        return render_tweet(entry, self.home.original(entry) if entry.orig is not None else None)

    def tweet(self, tweet_id: int, viewer: int, facts: Any = None) -> bytes | list[Any]:
        """One tweet."""
        entry, asked = self.entry(tweet_id, viewer, facts)
        return self.render(entry) if asked is None else asked

    def tweet_ref(self, tweet_id: int, viewer: int, facts: Any = None) -> list[Any]:
        """What a like, repost or reply needs to know of a tweet. A repost refers to its original's entry.

        With facts, the id of the original as well: its own shard knows best whether it may be reposted.
        """
        entry, asked = self.entry(tweet_id, viewer, facts)
        if asked is not None:
            return asked
        author = self.state.people.accounts[self.state.people.row_of[entry.author_id]]
        packed = entry.orig if entry.orig is not None else pack(list(entry))
        found = [entry.author_id, author.username, visibility_of(entry.flags), packed]
        return found if facts is None else [*found, entry.orig_id]

    def user_timeline(
        self, account_id: int, viewer: int, max_id: int, since_id: int, min_id: int, count: int, skip: int = 0,
        facts: Any = None,
    ) -> list[Any]:  # fmt: skip
        """A page of one account's tweets that `viewer` may see: `[json array, newest_id, oldest_id]`.

        skip: of the count tweets the newest so many are left out.
        """
        row, count = self.row(account_id), page_count(count)
        known = reader_facts(viewer, facts)
        arguments.an_id_or_zero(skip, "skip")
        for value, field in ((max_id, "max_id"), (since_id, "since_id"), (min_id, "min_id")):
            arguments.an_id_or_zero(value, field)
        if self.state.tweets.log.klass[row] < 0 or self.visibility.is_hidden(known, account_id):
            return [b"[]", 0, 0]
        log = self.state.tweets.log.view(row)
        hi = int(np.searchsorted(log, max_id or ids.ID_MAX, side="left"))
        lo = int(np.searchsorted(log, max(since_id, min_id), side="right"))
        order = range(lo, hi) if min_id else range(hi - 1, lo - 1, -1)
        unsure_max = max(count, ASKED_AGAIN * len(known.asked or ())) if facts is not None else len(log) + 1
        found, unknown = self._seen_of_log((int(log[i]) for i in order), known, count, unsure_max)
        if unknown and facts is not None:
            return question(unknown)
        if min_id:
            found.reverse()
        found = found[skip:]
        if not found:
            return [b"[]", 0, 0]
        body = b"[" + b",".join([self.render(e) for e in found]) + b"]"
        return [body, found[0].tweet_id, found[-1].tweet_id]

    def _seen_of_log(
        self, tweet_ids: Iterable[int], facts: ReaderFacts, count: int, unsure_max: int
    ) -> tuple[list[Entry], set[int]]:
        """Return the first `count` tweets that a reader may see, and of which accounts his shard has to be asked first.

        unsure_max: tweets after which that is asked; more with each question, so that there are few of them even where
        hardly anything is shown.
        """
        found: list[Entry] = []
        unknown: set[int] = set()
        unsure = 0
        for tweet_id in tweet_ids:
            entry = self.state.tweets.get(tweet_id)
            seen = entry is not None and self.may_see(facts, entry)
            if seen and entry is not None:
                found.append(entry)
            elif seen is None and entry is not None:
                unknown.add(entry.orig_author)
                unsure += 1
            if len(found) == count or unsure == unsure_max:
                break
        return found, unknown

    def pull(self, reader: int, authors: bytes, max_id: int, count: int) -> list[Any]:
        """Newest tweets of followees below max_id, for a page below a ring's floor: `[packed entries, floor]`."""
        arguments.an_id(reader, "reader")
        arguments.an_id_or_zero(max_id, "max_id")
        arguments.whole(count, 1, ids.ID_MAX, "count")
        wanted = self._own_authors(authors)
        entries, floor = newest_entries(self.state, reader, wanted, max_id, 0, min(count, PULL_COUNT_MAX))
        return [pack([list(e) for e in entries]), floor]

    def pull_after(self, reader: int, authors: bytes, min_id: int, count: int) -> list[Any]:
        """How far `count` tweets after min_id reach: `[number of them, exclusive upper id or 0 if these are all]`."""
        arguments.an_id(reader, "reader")
        arguments.an_id_or_zero(min_id, "min_id")
        count = min(arguments.whole(count, 1, ids.ID_MAX, "count"), PULL_COUNT_MAX)
        rows = [self.state.people.row_of.get(a, -1) for a in self._own_authors(authors)]
        log = self.state.tweets.log
        known = np.array([r for r in rows if r >= 0 and log.klass[r] >= 0], dtype=np.int64)
        out = np.empty(min(int(log.length[known].sum()), len(known) * (count + 1)), dtype=np.int64)
        found = kernels.oldest_of_logs(log.data, log.start, log.length, known, min_id, count + 1, out)
        oldest = np.sort(out[:found])
        return [min(found, count), int(oldest[count - 1]) + 1 if found > count else 0]

    def _own_authors(self, packed: bytes) -> list[int]:
        """Return the accounts of int64 bytes. Raises MovedError if one is another shard's, which has its tweets."""
        authors = np.frombuffer(packed, dtype="<i8").astype(np.int64)
        if (self.state.owner[ids.buckets_of_accounts(authors)] != self.state.shard).any():
            raise MovedError(f"some of these authors are not on shard {self.state.shard}")
        found: list[int] = authors.tolist()
        return found

    # ---- accounts ---------------------------------------------------------------------------------------------

    def account(self, account_id: int) -> list[Any]:
        """Who an account is: `[account_id, username, display_name]`."""
        found = self.state.people.accounts[self.row(account_id)]
        return [found.account_id, found.username, found.display_name]

    def cards(self, account_ids: list[int], viewer: int = 0) -> list[bytes | bool | None]:
        """What a list of users shows `viewer` of each, None for one that he doesn't see, False for another shard's.

        Raises MovedError if the first is another shard's.
        """
        wanted, facts = arguments.id_list(account_ids, limits.CARDS_COUNT_MAX, "account_ids"), reader_facts(viewer)
        hidden = self.visibility.is_hidden
        found: list[Account | None] = [
            account if (account := self.state.people.get(a)) is not None and not hidden(facts, a) else None
            for a in wanted
        ]
        if None not in found:
            return [render_card(a) for a in found if a is not None]
        own = [self.state.shard_of_account(a) == self.state.shard for a in wanted]
        if not own[0]:
            raise MovedError(f"account {wanted[0]} is not on shard {self.state.shard}")
        return [
            render_card(a) if a is not None else None if mine else False for a, mine in zip(found, own, strict=True)
        ]

    def names(self, names: list[str]) -> list[int]:
        """Account ids of user names (without case), 0 where there is none (yet), -1 for another shard's.

        Raises MovedError if the first is another shard's.
        """
        wanted = [name.lower() for name in arguments.listed(names, limits.NAMES_COUNT_MAX, "names")]
        owners = [self.state.owner[ids.bucket_of_name(name)] for name in wanted]
        if wanted and owners[0] != self.state.shard:
            raise MovedError(f"the name {wanted[0][:30]!r} is not on shard {self.state.shard}")
        held = [
            self.state.people.names.get(name, (0, False)) if owner == self.state.shard else (-1, True)
            for name, owner in zip(wanted, owners, strict=True)
        ]
        return [account_id if confirmed else 0 for account_id, confirmed in held]

    def profile(self, account_id: int, viewer: int) -> bytes:
        """A profile with its totals, of tweets those that `viewer` may know of; one who is blocked doesn't see it."""
        row, graph = self.seen_row(account_id, viewer), self.state.graph
        return render_profile(
            self.state.people.accounts[row],
            int(graph.followers.length[row]), int(graph.following.length[row]),
            self.visibility.tweet_count(viewer, row),
        )  # fmt: skip

    def followers(self, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
        """A page of followers, newest first: `[[account_id, ...], next_cursor or 0]`."""
        return self._edges(self.state.graph.followers, account_id, viewer, cursor, count)

    def following(self, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
        """A page of followees, newest first."""
        return self._edges(self.state.graph.following, account_id, viewer, cursor, count)

    def _edges(self, arena: Any, account_id: int, viewer: int, cursor: int, count: int) -> list[Any]:
        """cursor: how many of the oldest are still to come; 0 = start with the newest."""
        row, count = self.seen_row(account_id, viewer), page_count(count)
        arguments.an_id_or_zero(cursor, "cursor")
        everyone = arena.view(row)
        end = min(cursor, len(everyone)) if cursor else len(everyone)
        start = max(0, end - count)
        return [everyone[start:end][::-1].tolist(), start]

    def credentials(self, account_id: int) -> list[Any]:
        """The account's password hash, None if it can't log in by password."""
        return [self.state.people.accounts[self.row(account_id)].password_hash]

    def token(self, account_id: int, secret_hash: bytes) -> bool:
        """Whether a token stands for the account. Raises UnauthorizedError."""
        arguments.an_id(account_id, "user_id")
        account = self.state.people.get(account_id)
        if account is None and self.state.shard_of_account(account_id) != self.state.shard:
            raise MovedError(f"account {account_id} is not on shard {self.state.shard}")
        if account is None or secret_hash not in account.tokens:
            raise UnauthorizedError("this token is not valid (any more); log in again", "auth_token")
        return True

    def token_owner(self, secret_hash: bytes) -> int:
        """Whose token this is, 0 if no account here has it: for imported tokens, which don't say it themselves."""
        return self.state.people.token_owner.get(arguments.secret(secret_hash), 0)

    def reader(self, account_id: int) -> list[bytes]:
        """What a search has to know of its reader: `[following, hidden]`, account ids ascending as int64 bytes.

        hidden: accounts blocked, muted or blocking.
        """
        row = self.row(account_id)
        graph = self.state.graph
        return [np.sort(graph.following.view(row)).astype("<i8").tobytes(), graph.hidden(row).astype("<i8").tobytes()]

    def blocked_among(self, account_id: int, others: bytes) -> bytes:
        """Those of some accounts (int64 bytes) between which and this one a block stands, whoever of the two made it.

        What a read on another shard has to know of its viewer.
        """
        row = self.row(account_id)
        asked = arguments.packed_ids(others, limits.ASKED_COUNT_MAX, "others")
        return np.array(self.visibility.blocked_among(row, asked), dtype="<i8").tobytes()

    # ---- for operators ----------------------------------------------------------------------------------------

    def export(self, first_row: int, count: int) -> list[Any]:
        """Facts of some accounts, for the oracle: `[next row or 0, [[account_id, following, tweets, hidden], ...]]`.

        following, hidden (accounts blocked, muted or blocking): int64 bytes; tweets: a packed list of
        [tweet_id, author_id, flags, reply_author, orig_id, orig_author, mention_ids], oldest first.
        """
        arguments.whole(first_row, 0, ids.ID_MAX, "first_row")
        arguments.whole(count, 0, ids.ID_MAX, "count")
        state, rows = self.state, []
        last = min(first_row + count, state.people.row_count)
        for row in range(first_row, last):
            if state.people.row_of.get(state.people.accounts[row].account_id) != row:
                continue  # free, or another shard's
            log = state.tweets.log.view(row).tolist() if state.tweets.log.klass[row] >= 0 else []
            entries = [e for t in log if (e := state.tweets.get(t)) is not None]
            rows.append(
                [
                    state.people.accounts[row].account_id,
                    state.graph.following.view(row).tobytes(),
                    pack([[*e[:6], e.mention_ids] for e in entries]),
                    state.graph.hidden(row).tobytes(),
                ]
            )
        return [last if last < state.people.row_count else 0, rows]

    def facts(self) -> dict[str, Any]:
        """Figures of the state for `status` and the metrics."""
        s = self.state
        edge_bytes = s.graph.nbytes()
        rings = s.rings.nbytes()
        return {
            "accounts": len(s.people),
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
        }
