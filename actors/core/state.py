"""One shard's state, and `apply`: the only way it changes.

Rules of this file
- `apply(position, command)` is called for live traffic, for replay, on a replica and in tests alike. It reads no clock,
  draws no random number and does no I/O: times and ids are in the command.
- A command is a list `[name, ...absolute facts]`; the table `COMMANDS` maps the name to a method here. A message from
  another shard is the same thing with a source: the table `MESSAGES` of `messages.py`.
- What other shards must know leaves as numbered messages in `outboxes`; a message to this very shard is handled before
  apply returns.
- Which messages leave, and in which order, may depend only on what the journal determines, never on a cache (rings,
  floors, the arrivals window): a replay must number them as before.
- Commands have been validated (`requests.py`); a message is never trusted to still make sense when it arrives, and one
  that doesn't is answered with the message that undoes its cause.

Theory: the state is a pure function of the journal, up to what a crash may cost a cache: ring floors, arrival numbers
and the messages that wait in an outbox don't enter the digest (`verify.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import ids, kernels, levels, limits, logins, moving
from actors.core.arrivals import Arrivals
from actors.core.changes import Changes
from actors.core.deliveries import Deliveries
from actors.core.entries import Entry, TweetBatch, pack, pack_body, unpack
from actors.core.graph import BLOCK, MUTE, FollowGraph
from actors.core.messages import MESSAGES, learn_originals, split_batch
from actors.core.news import News
from actors.core.outbox import Outbox
from actors.core.people import PROFILE_FIELDS, People
from actors.core.pull_logs import PullLogs
from actors.core.rings import Rings
from actors.core.tweets import OwnTweets

Ints = npt.NDArray[np.int64]
BATCH_COUNT_MIN = 8  # tweets from which on columns are faster than one at a time
MESSAGE_COUNT_MAX = 256  # tweets in one message: 100 KB as a rule


def int64s(data: bytes) -> Ints:
    """Decode little-endian int64 bytes."""
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


class ShardState:
    """Everything one replica of a shard knows."""

    def __init__(self, shard: int, owner_of_bucket: list[int], tuning: limits.Tuning) -> None:
        """shard: this shard's number; owner_of_bucket: 1,024 shard numbers, until a `remap` says otherwise."""
        self.shard = shard
        self.owner = np.array(owner_of_bucket, dtype=np.int64)
        self.shard_count = max(int(self.owner.max()), shard) + 1
        self.map_epoch = self.born_epoch = 0  # of the map now, and of the first
        self.level = 0  # what is new up to here may be used: see `levels.py`
        self.frozen = self.thawed = 0  # number of the freeze under way, 0: none; the last one that was ended
        self.incoming: moving.Incoming | None = None
        self.outgoing: moving.Outgoing | None = None  # not part of the state: see `moving.py`
        self.tuning = tuning
        self.people = People()
        self.graph = FollowGraph(self.shard_count, tuning.tidy_from)
        self.tweets = OwnTweets(tuning.tidy_from)
        self.arrivals = Arrivals(tuning.arrivals_max)
        self.rings = Rings(self.arrivals, tuning.timeline_length, tuning.tidy_from)
        self.pull_logs = PullLogs(self.arrivals, tuning.timeline_length)
        self.deliveries = Deliveries(self.arrivals, self.rings, self.graph, tuning.deliver_at_once_max)
        self.clock = ids.TweetIdClock()
        self.pull_shards: dict[int, set[int]] = {}  # own pull authors -> shards that keep their log
        self.likes: dict[int, dict[int, None]] = {}  # row -> liked tweets, oldest like first
        self.reposts: dict[int, dict[int, int]] = {}  # row -> original -> repost
        self.reposts_of: dict[int, set[int]] = {}  # original -> reposts by this shard's accounts
        self.waking: dict[int, tuple[int, set[int]]] = {}  # account -> (wake number, shards still to answer)
        self.idempotency: OrderedDict[tuple[int, bytes], int] = OrderedDict()
        self.dirty_counts: dict[int, None] = {}
        self.outboxes = {s: Outbox() for s in range(self.shard_count) if s != shard}
        self.inbox = {s: 0 for s in range(self.shard_count) if s != shard}
        self.position = 0
        self.day = 0
        self.wake_number = 0
        self.woken: list[int] = []
        self.revoked: list[tuple[int, bytes | None]] = []  # None: perhaps any of the account's tokens
        self.unsealed = Changes()  # older than `changes`, noted by an outgoing move, not in a checkpoint either
        self.changes = Changes()
        self.news: News | None = None  # what has changed, for a copy that somebody keeps; not part of the state
        self._local: list[list[Any]] = []

    # ---- the one entrance -------------------------------------------------------------------------------------

    def apply(self, position: int, command: list[Any]) -> Any:
        """Apply one command of the journal and return its result. position: its number, one more than the last's."""
        if position != self.position + 1:
            raise ValueError(f"command {position} does not follow position {self.position}")
        self.position = position
        result = COMMANDS[command[0]](self, *command[1:])
        self._settle()
        return result

    def apply_batch(self, source: int, first_seq: int, batch: bytes) -> int:
        """Apply the messages of a batch that are new; return the last number applied from that source.

        batch: packed messages one after the other. Those already applied are passed over; a gap applies nothing.
        """
        expected = self.inbox[source] + 1
        if first_seq > expected:
            return expected - 1
        seq = first_seq
        for message in split_batch(batch):
            if seq >= expected:
                self.handle(source, message)
            seq += 1
        self._settle()
        self.inbox[source] = max(seq - 1, expected - 1)
        return self.inbox[source]

    def handle(self, source: int, message: list[Any]) -> None:
        """Apply one message. Tweets gather and reach the rings together; anything else first lets them land."""
        if message[0] not in ("tweet", "tweets"):
            self.deliveries.land()
        MESSAGES[message[0]](self, source, *message[1:])

    def _settle(self) -> None:
        """Handle messages to this shard itself, let tweets land in rings, note what left the arrivals window."""
        while self._local:
            todo, self._local = self._local, []
            for message in todo:
                self.handle(self.shard, message)
        self.deliveries.land()
        if self.arrivals.evicted:
            self.changes.arrivals.update(self.arrivals.evicted)
            self.arrivals.evicted.clear()
        if self.arrivals.next_n >= self.arrivals.next_sweep_n:
            self.deliveries.drain()
            self.rings.sweep()
            self.pull_logs.sweep()
            self.arrivals.swept()

    def ensure_rows(self, rows: int) -> None:
        """Make account rows 0..rows-1 exist everywhere."""
        self.graph.ensure_rows(rows)
        self.rings.ensure_rows(rows)
        self.tweets.log.ensure_rows(rows)

    def resize(self, shard_count: int) -> None:
        """Exchange messages with that many shards from now on. Whatever waits for one that goes is dropped."""
        shard_count = max(shard_count, self.shard + 1)
        self.shard_count = shard_count
        self.graph.resize(shard_count)
        for shard in range(shard_count):
            if shard != self.shard:
                self.outboxes.setdefault(shard, Outbox())
                self.inbox.setdefault(shard, 0)
        for shard in [s for s in self.inbox if s >= shard_count]:
            del self.outboxes[shard], self.inbox[shard]
            self.changes.dropped_shards.add(shard)

    # ---- routing and messages ---------------------------------------------------------------------------------

    def shard_of_account(self, account_id: int) -> int:
        """Return the shard that owns an account."""
        return int(self.owner[ids.bucket_of_account(account_id)])

    def shard_of_tweet(self, tweet_id: int) -> int:
        """Return the shard that owns a tweet, read from its id."""
        return int(self.owner[ids.bucket_of_tweet(tweet_id)])

    def send(self, shard: int, message: list[Any]) -> None:
        """Queue a message to one shard."""
        if shard == self.shard:
            self._local.append(message)
        else:
            self.outboxes[shard].push(self.position, pack(message))

    def send_all(self, shards: list[int], message: list[Any]) -> None:
        """Queue the same message to several shards, packed once."""
        packed = b""
        for shard in shards:
            if shard == self.shard:
                self._local.append(message)
            else:
                packed = packed or pack(message)
                self.outboxes[shard].push(self.position, packed)

    def send_by_owner(self, accounts: Ints, make: Callable[[npt.NDArray[np.bool_]], list[Any]]) -> None:
        """Queue one message per shard that owns any of `accounts`; `make` gets the mask of that shard's ones."""
        owners = self.owner[ids.buckets_of_accounts(accounts)]
        for shard in ids.distinct_shards(owners):
            self.send(shard, make(owners == shard))

    def tidy(self) -> bool:
        """Slide some blocks together where over a 64th of an arena is waste; return whether there is more to do."""
        graph = self.graph
        arenas = (self.rings.arena, graph.following, graph.followers, graph.local_followers, self.tweets.log)
        return any(arena.tidy(64) for arena in arenas)

    # ---- arrivals and delivery --------------------------------------------------------------------------------

    def arrive(self, entry: Entry) -> tuple[int, bool]:
        """Give a tweet its arrival number; returns (n, whether it is newer than all before it)."""
        n, is_new = self.arrivals.add(entry)
        in_order = is_new and entry.tweet_id > self.arrivals.newest_id
        if in_order:
            self.arrivals.newest_id = entry.tweet_id
        if is_new:
            self.changes.arrivals.add(entry.tweet_id)
        return n, in_order

    def deliver(self, entry: Entry, own_row: int) -> None:
        """Bring a tweet to this shard's timelines: to the author's pull log, or to the rings of its followers.

        own_row: the author's row when the author lives here, else -1.
        """
        n, in_order = self.arrive(entry)
        author_row = self.graph.author_row.get(entry.author_id, -1)
        if entry.author_id in self.pull_logs.logs:
            if not entry.flags & kernels.FLAG_DIRECT:
                self.pull_logs.insert(entry.author_id, n, entry.tweet_id)
            author_row = -1
        if entry.flags & kernels.FLAG_DIRECT:
            self.deliveries.add(n, entry.tweet_id, -1, own_row, in_order)
            self.deliveries.land()
            self.deliver_direct(entry, n)
            return
        self.deliveries.add(n, entry.tweet_id, author_row, own_row, in_order)

    def deliver_batch(self, batch: TweetBatch, author_rows: Ints, own_rows: Ints) -> None:
        """As `deliver` for a batch. author_rows: the authors among the followed (kept); own_rows: as there."""
        known = self.arrivals.number_of.keys()
        if len(batch) > self.arrivals.capacity // 4 or not known.isdisjoint(batch.id_list):
            for entry, own_row in zip(batch.entries(), own_rows.tolist(), strict=True):
                self.deliver(entry, own_row)
            return
        self.deliveries.land()
        newest = self.arrivals.newest_id
        before = np.maximum.accumulate(np.append(newest, batch.tweet_id))
        numbers = self.arrivals.add_many(batch)
        self.arrivals.newest_id = int(before[-1])
        self.changes.arrivals.update(batch.id_list)
        logs = self.pull_logs.logs
        if logs:
            for i, author_id in enumerate(batch.author_id.tolist()):
                if author_id in logs:
                    self.pull_logs.insert(author_id, int(numbers[i]), batch.id_list[i])
                    author_rows[i] = -1
        self.deliveries.land_batch(numbers, batch.tweet_id, author_rows, own_rows, batch.tweet_id > before[:-1])

    def deliver_direct(self, entry: Entry, n: int) -> None:
        """Insert a direct tweet into the rings of those mentioned who follow its author."""
        rows = [self.people.row_of.get(a, -1) for a in entry.mention_ids]
        rows = [r for r in rows if r >= 0 and self.graph.following.contains(r, entry.author_id)]
        count = len(rows)
        self.rings.insert(
            np.array(rows, dtype=np.int64), np.full(count, n, dtype=np.uint32), np.full(count, entry.tweet_id, np.int64)
        )

    # ---- commands ---------------------------------------------------------------------------------------------

    def register(self, rows: list[list[Any]], at_ms: int) -> list[int]:
        """Reserve names and have their accounts made. Row: [username, account_id, display_name, bio, hash, tokens].

        Returns per row the account id, or 0 where the name is held by another account.
        """
        results = []
        for row in rows:
            username, account_id = row[0], row[1]
            held = self.people.names.get(username.lower())
            if held is not None:
                results.append(account_id if held[0] == account_id else 0)
                continue
            self.people.names[username.lower()] = (account_id, False)
            self.changes.names.add(username.lower())
            self.send(self.shard_of_account(account_id), ["create_account", row, at_ms])
            results.append(account_id)
        return results

    def update_profile(self, account_id: int, values: dict[str, Any]) -> bool:
        """Replace profile fields."""
        row = self.people.row_of[account_id]
        for name in PROFILE_FIELDS:
            if name in values:
                setattr(self.people.accounts[row], name, values[name])
        self.changes.accounts.add(row)
        if self.news is not None:
            self.news.account(account_id)
        return True

    def post(self, rows: list[list[Any]]) -> list[int]:
        """Publish tweets. Row: [tweet_id, author_id, flags, reply_author, in_reply_to, body, mention_ids, key | None].

        Returns the tweet ids.
        """
        if len(rows) >= BATCH_COUNT_MIN and not any(row[2] & kernels.FLAG_DIRECT for row in rows):
            self._publish_batch(rows)
            return [row[0] for row in rows]
        for tweet_id, author_id, flags, reply_author, in_reply_to, body, mention_ids, key in rows:
            entry = Entry(
                tweet_id, author_id, flags, reply_author, tweet_id, author_id, 0, 0, 0, body, mention_ids, None
            )
            self.publish(entry)
            if in_reply_to:
                self._reply(in_reply_to, flags, 1)
            if key is not None:
                self._remember_key(author_id, key, tweet_id)
        return [row[0] for row in rows]

    def _publish_batch(self, rows: list[list[Any]]) -> None:
        """As `post` for many plain tweets at once, column by column: a third of the time."""
        tweet_ids, authors, flags, reply_authors, _, bodies, mentions, _ = zip(*rows, strict=True)
        batch = TweetBatch(
            np.array(tweet_ids, dtype=np.int64), np.array(authors, dtype=np.int64), np.array(flags, dtype=np.uint8),
            np.array(reply_authors, dtype=np.int64), list(bodies), {i: m for i, m in enumerate(mentions) if m},
        )  # fmt: skip
        row_of = self.people.row_of
        account_rows = np.array([row_of[a] for a in authors], dtype=np.int64)
        self.tweets.add_many(account_rows, batch)
        self.changes.tweets.update(batch.id_list)
        if self.news is not None:
            self.news.tweets(batch.id_list)
        self.clock.observe_many(batch.id_list)
        self.deliver_batch(batch, self.graph.author_rows(batch.author_id), account_rows)
        wanted = self.graph.shard_followers[account_rows] > 0
        for shard in np.nonzero(wanted.any(axis=0))[0].tolist():
            if shard != self.shard:
                chosen = np.nonzero(wanted[:, shard])[0]
                for part in range(0, len(chosen), MESSAGE_COUNT_MAX):
                    self.send(shard, ["tweets", *batch.take(chosen[part : part + MESSAGE_COUNT_MAX]).to_message()])
        for row in rows:
            if row[4]:
                self._reply(row[4], row[2], 1)
            if row[7] is not None:
                self._remember_key(row[1], row[7], row[0])

    def _reply(self, in_reply_to: int, flags: int, step: int) -> None:
        """Have a reply counted by the shard of what it answers, or no longer counted.

        Whether it counts stands in its own flags, since the command that made it: journals from before that flag count
        what isn't public as well, and what was counted then is taken back when it is deleted.
        """
        counted = 0 if flags & kernels.FLAG_UNCOUNTED else step
        self.send(self.shard_of_tweet(in_reply_to), ["replied", in_reply_to, counted])

    def publish(self, entry: Entry) -> None:
        """Store a tweet or repost of an own account and send it to every shard that holds a follower."""
        row = self.people.row_of[entry.author_id]
        self.tweets.add(row, entry)
        self.clock.observe(entry.tweet_id)
        self.note_tweet(entry.tweet_id, True)
        self.deliver(entry, row)
        shards = [s for s in self.graph.destinations(row) if s != self.shard]
        if entry.flags & kernels.FLAG_DIRECT:
            wanted = {self.shard_of_account(a) for a in entry.mention_ids}
            shards = [s for s in shards if s in wanted]
        if shards:
            self.send_all(shards, ["tweet", *entry])

    def note_tweet(self, tweet_id: int, is_new: bool) -> None:
        """Remember that an own tweet has come (is_new), gone or changed its counts."""
        self.changes.tweets.add(tweet_id)
        if self.news is not None:
            self.news.tweet(tweet_id, is_new)

    def _remember_key(self, author_id: int, key: bytes, tweet_id: int) -> None:
        self.idempotency[author_id, key] = tweet_id
        self.changes.idempotency.pop((author_id, key), None)
        self.changes.idempotency[author_id, key] = None
        oldest_ms = ids.ms_of_tweet(tweet_id) - limits.IDEMPOTENCY_TTL_MS
        while self.idempotency:
            known, first = next(iter(self.idempotency.items()))
            if len(self.idempotency) <= self.tuning.idempotency_keys_max and ids.ms_of_tweet(first) >= oldest_ms:
                break
            del self.idempotency[known]
            self.changes.idempotency[known] = None

    def delete(self, tweet_id: int) -> bool:
        """Remove an own account's tweet or repost everywhere, and the reposts of it."""
        entry = self.tweets.get(tweet_id)
        if entry is None:
            return False
        row = self.people.row_of[entry.author_id]
        self.tweets.remove(row, tweet_id)
        self.note_tweet(tweet_id, False)
        self.dirty_counts.pop(tweet_id, None)
        if entry.is_repost:
            self.reposts.get(row, {}).pop(entry.orig_id, None)
            self.unlist_repost(entry.orig_id, tweet_id)
            self.send(self.shard_of_tweet(entry.orig_id), ["reposted", entry.orig_id, tweet_id, -1])
        elif entry.flags & kernels.FLAG_REPLY:
            self._reply(unpack(entry.body)[2], entry.flags, -1)
        self.send_all(list(range(self.shard_count)), ["deleted", tweet_id])
        return True

    def unlist_repost(self, orig_id: int, repost_id: int) -> None:
        """Forget that an own account has reposted a tweet."""
        known = self.reposts_of.get(orig_id)
        if known is not None:
            known.discard(repost_id)
            if not known:
                del self.reposts_of[orig_id]

    def follow(self, followers: bytes, followees: bytes) -> int:
        """Add follow edges; those that exist are passed over. int64 arrays. Returns how many are new."""
        us, vs = int64s(followers), int64s(followees)
        begins = np.ones(len(us), dtype=np.bool_)  # where another follower's edges begin: many stand together as a rule
        begins[1:] = us[1:] != us[:-1]
        rows_of_runs = np.array([self.people.row_of.get(u, -1) for u in us[begins].tolist()], dtype=np.int64)
        rows = rows_of_runs[np.cumsum(begins) - 1]
        added = self.graph.add_following(rows, us, vs)
        us, vs, rows = us[added], vs[added], rows[added]
        self.changes.following.log(us, vs, True)
        # The floor tells the followee's shard how far back to send; -1: asleep, nothing to fill. A followee of this
        # very shard sends all it has: a floor is a cache, and what follows from it here must not differ in a replay.
        here = self.owner[ids.buckets_of_accounts(vs)] == self.shard
        floors = np.where(here, 0, self.rings.floor[rows])
        floors = np.where(self.rings.awake[rows] == 1, floors, -1)
        if len(us):
            self.send_by_owner(vs, lambda of: ["gained", us[of].tobytes(), vs[of].tobytes(), floors[of].tobytes()])
        return int(added.sum())

    def unfollow(self, account_id: int, target: int) -> bool:
        """Remove one follow edge and the target's tweets from the account's ring."""
        row = self.people.row_of[account_id]
        if not self.drop_following(row, account_id, target):
            return False
        if account_id != target:
            self.rings.purge(row, target)
        self.send(self.shard_of_account(target), ["lost", account_id, target])
        return True

    def drop_following(self, row: int, account_id: int, target: int) -> bool:
        """Remove one follow edge here; whether it was there. The last follower takes the author's pull log along."""
        if not self.graph.remove_following(row, account_id, target):
            return False
        self.changes.following.log_one(account_id, target, False)
        if account_id != target and not self.graph.local_follower_count(target):
            self.pull_logs.drop(target)
            self.changes.pulls.add(target)
        return True

    def relate(self, account_id: int, kind: str, target: int, on: bool) -> bool:
        """Set or clear a `block` or `mute`. A block ends the follows between the two."""
        row = self.people.row_of[account_id]
        which = BLOCK if kind == "block" else MUTE
        if not self.graph.relate(row, which, target, on):
            return False
        self.changes.relations.add((account_id, which, target))
        if which == BLOCK:
            if on:
                self.unfollow(account_id, target)
            self.send(self.shard_of_account(target), ["blocked", account_id, target, on])
        return True

    def like(self, account_id: int, tweet_id: int, on: bool) -> bool:
        """Like or unlike a tweet; its shard counts."""
        row = self.people.row_of[account_id]
        likes = self.likes.setdefault(row, {})
        if (tweet_id in likes) == on:
            return False
        if on:
            likes[tweet_id] = None
        else:
            del likes[tweet_id]
        self.changes.like(account_id, tweet_id)
        self.send(self.shard_of_tweet(tweet_id), ["liked", account_id, tweet_id, 1 if on else -1])
        return True

    def repost(self, account_id: int, repost_id: int, packed: bytes) -> int:
        """Publish a repost of a packed entry. Returns the repost's id: the old one's if there is one."""
        row = self.people.row_of[account_id]
        orig = Entry(*unpack(packed))
        mine = self.reposts.setdefault(row, {})
        if orig.tweet_id in mine:
            return mine[orig.tweet_id]
        mine[orig.tweet_id] = repost_id
        self.reposts_of.setdefault(orig.tweet_id, set()).add(repost_id)
        body = pack_body("", self.people.accounts[row].username, 0, [], b"")
        flags = kernels.FLAG_REPOST
        entry = Entry(repost_id, account_id, flags, 0, orig.tweet_id, orig.author_id, 0, 0, 0, body, [], packed)
        learn_originals(self, [entry])
        self.publish(entry)
        self.send(self.shard_of_tweet(orig.tweet_id), ["reposted", orig.tweet_id, repost_id, 1])
        return repost_id

    def wake(self, account_id: int) -> bool:
        """Give a dormant account its ring again: ask the shards of its followees for their newest tweets.

        The account is woken (see `woken`) when the last has answered.
        """
        row = self.people.row_of[account_id]
        self.rings.wake(row)
        self.people.last_read_day[row] = self.day
        self.wake_number += 1
        self.changes.accounts.add(row)
        authors = np.append(self.graph.following.view(row), account_id)
        owners = self.owner[ids.buckets_of_accounts(authors)]
        shards = ids.distinct_shards(owners)
        self.waking[account_id] = (self.wake_number, set(shards))
        for shard in shards:
            self.send(shard, ["wake_ask", account_id, self.wake_number, authors[owners == shard].tobytes()])
        return True

    def touch(self, account_ids: list[int]) -> None:
        """Remember that these accounts read their timelines today."""
        for account_id in account_ids:
            row = self.people.row_of[account_id]
            self.people.last_read_day[row] = self.day
            self.changes.accounts.add(row)

    def tick(self, now_ms: int) -> int:
        """Advance the day; free the rings of accounts that haven't read for dormant_after_days. Returns how many."""
        day = now_ms // limits.DAY_MS
        if day <= self.day:
            return 0
        self.day = day
        count = self.people.row_count
        idle = day - self.people.last_read_day[:count] >= self.tuning.dormant_after_days
        rows = np.nonzero(idle & (self.rings.awake[:count] == 1))[0]
        for row in rows.tolist():
            self.rings.sleep(row)
            self.waking.pop(self.people.accounts[row].account_id, None)
        self.changes.accounts.update(rows.tolist())
        return len(rows)

    def flush_counts(self) -> int:
        """Send the counts that changed since the last flush to every shard, in one message each."""
        rows: list[list[int]] = []
        arriving: dict[int, None] = {}
        for tweet_id in self.dirty_counts:
            entry = self.tweets.get(tweet_id)
            if self.shard_of_tweet(tweet_id) != self.shard:
                arriving[tweet_id] = None  # its present owner tells of it, and later counts than these
            elif entry is not None:
                rows.append([tweet_id, entry.replies, entry.reposts, entry.likes])
        self.dirty_counts = arriving
        if rows:
            self.send_all(list(range(self.shard_count)), ["counts", rows])
        return len(rows)

    def acked(self, shard: int, seq: int) -> None:
        """Forget messages that a shard has made durable."""
        self.outboxes[shard].trim(seq)


COMMANDS: dict[str, Callable[..., Any]] = {
    "register": ShardState.register,
    "update_profile": ShardState.update_profile,
    "post": ShardState.post,
    "delete": ShardState.delete,
    "follow": ShardState.follow,
    "unfollow": ShardState.unfollow,
    "relate": ShardState.relate,
    "like": ShardState.like,
    "repost": ShardState.repost,
    "wake": ShardState.wake,
    "touch": ShardState.touch,
    "tick": ShardState.tick,
    "flush_counts": ShardState.flush_counts,
    "receive": ShardState.apply_batch,
    "acked": ShardState.acked,
    **levels.COMMANDS,
    **logins.COMMANDS,
    **moving.COMMANDS,
}
