"""Seeded simulations of a whole cluster: whatever happens on the way, home timelines meet their definition at last."""

from __future__ import annotations

import os
import random

import pytest

from actors.core import ids, limits
from actors.core.entries import Entry, pack, unpack
from actors.core.errors import NotFoundError, RookeryError
from actors.core.facts import read_facts
from actors.core.features.likes import LIKE
from actors.core.features.polls import VOTER
from actors.core.flags import BLOCK
from actors.core.folding import fold
from actors.core.levels import LEVEL
from actors.core.shape_table import MASTODON_FROM_LEVEL
from actors.core.stores.people import NO_LONGER
from actors.core.terms import FULL_FROM_LEVEL, Owner
from cluster.placement import rebalancing
from tests.sim.cluster import SimCluster
from tests.sim.media import Uploading
from tests.sim.notices import check_notices
from tests.sim.outgoing import Outside
from tests.sim.polls import Polling

SEEDS = int(os.environ.get("ROOKERY_SIM_SEEDS", "40"))
FIRST = int(os.environ.get("ROOKERY_SIM_FIRST", "0"))
RARE_ORDERS = [668, 783, 791, 1247, 2678, 22289]  # of events, that showed bugs once; nothing new may change them
TAGS = ("Cats", "cats", "DOGS", "Caf\u00e9")  # of which two are the same
FOUND_BUGS = [] if "ROOKERY_SIM_SEEDS" in os.environ else RARE_ORDERS


def levels_of(seed: int) -> tuple[int, int]:
    """Return the level that a cluster begins with, and before which act it is upgraded to that of now; -1: never."""
    rng = random.Random(seed ^ 0x1E7E1)
    if seed in RARE_ORDERS:
        return 0, -1
    return rng.choice([(0, -1), (0, rng.randrange(200)), (LEVEL, -1)])


def deletes_accounts(seed: int) -> bool:
    """Return whether accounts are deleted in a simulation."""
    return seed not in RARE_ORDERS and random.Random(seed ^ 0xDE1E7E).random() < 0.5


def follows_tags(seed: int) -> bool:
    """Return whether accounts want more or less of home than whom they follow: hashtags, exclusive lists, languages.

    A quarter of the seeds, none of which a mutant begins with (`test_mutants.py`): those stay what they were.
    """
    return seed not in RARE_ORDERS and seed % 12 in (3, 5, 11)


class Workload:
    """Random clients, and what they have been told."""

    def __init__(self, seed: int, replica_count: int = 0) -> None:
        self.rng = random.Random(seed ^ 0x5EED)
        rng = self.rng
        tuning = limits.Tuning(
            timeline_length=rng.choice([4, 12, 50]),
            pull_threshold=rng.choice([2, 4, 1000]),
            dormant_after_days=rng.choice([1, 30]),
            arrivals_max=rng.choice([8, 64, 1024]),
            deliver_at_once_max=rng.choice([0, 1, 1000]),
            tidy_from=rng.choice([4, 1 << 18]),
            pieces_bytes_max=(0, 2_000, 1 << 20)[seed % 3],  # drawn from nothing: what a seed does stays what it did
        )
        self.tuning = tuning
        shard_count, replica_count = rng.choice([1, 2, 3, 4]), replica_count or rng.choice([1, 2, 3])
        level, self.rolled_at = levels_of(seed)
        copies = min(rng.choice([1, 2]), replica_count)
        self.sim = SimCluster(seed, shard_count, tuning, True, replica_count, copies, level)
        self.acts = 0
        self.moving = rng.random() < 0.5
        self.accounts = [rng.randrange(1, 1 << 40) for _ in range(rng.randrange(3, 14))]
        self.acked_posts: dict[int, int] = {}
        self.deleted: set[int] = set()
        self.scheduled: dict[int, tuple[int, str]] = {}  # scheduled id -> whose, what it says
        self.cancelled: set[str] = set()
        self.due_ms = 0  # of the last
        self.edited: dict[int, str] = {}  # what tweets say that were edited
        self.is_new = seed not in RARE_ORDERS  # has what came later
        self.deleting = deletes_accounts(seed)
        self.gone: list[int] = []  # accounts that were deleted
        self.busy_accounts: set[int] = set()
        self.ever_apart: set[frozenset[int]] = set()  # pairs of whom one has blocked or muted the other, once
        self.batched: set[int] = set()  # tweets of batches
        self.key = 0
        self.tagging = follows_tags(seed)
        self.lists: dict[int, int] = {}
        self.outside = Outside(self, random.Random(seed ^ 0x007))
        self.tags = random.Random(seed ^ 0x7A6)  # of its own, as simulations without hashtags stay what they were
        self.polling, self.uploading = Polling(self, seed), Uploading(self, seed)

    def register(self) -> None:
        for account_id in self.accounts:
            name = f"user{account_id}"
            row = [name, account_id, "", "", None, []]
            self.sim.write(ids.bucket_of_name(name), "register", row)
        self.sim.drain()

    def act(self) -> None:
        rng, sim = self.rng, self.sim
        if self.acts == self.rolled_at:
            sim.levels.learn()
        self.acts += 1
        idle = [a for a in self.accounts if a not in self.busy_accounts]
        if not idle:
            sim.step()
            return
        me, other = rng.choice(idle), rng.choice([*self.accounts, *self.gone])
        if self.tagging and self.tags.random() < 0.1:
            self.do_wish(me)
            return
        if self.tagging and self.tags.random() < 0.15 and self.sim.router.map.level >= MASTODON_FROM_LEVEL:
            self.outside.act(me)
            return
        if self.polling.act(me) or self.uploading.act(me):
            return
        kind = rng.choices(
            ["post", "reply", "batch", "repost", "unrepost", "delete", "follow", "unfollow", "block", "unblock", "mute",
             "unmute", "like", "unlike", "read", "crash", "stall", "depose", "router", "seal", "tick", "counts",
             "move", "schedule", "cancel", "due", "edit", "leave"],
            [26, 6, 4, 8, 2, 5, 26, 8, 4, 3, 2, 1, 4, 1, 12, 3, 1, 1, 0.5, 4, 1, 3, 20 * self.moving,
             6 * self.is_new, self.is_new, 6 * self.is_new, 6 * self.is_new, 2 * self.deleting],
        )[0]  # fmt: skip
        getattr(self, f"do_{kind}", self.do_relation)(kind, me, other)

    def call(self, me: int, op: str, args: list, then=lambda body: None) -> None:
        self.busy_accounts.add(me)

        def done(body) -> None:
            self.busy_accounts.discard(me)
            if not isinstance(body, RookeryError):
                then(body)

        self.sim.write(ids.bucket_of_account(me), op, args, done)

    def do_relation(self, kind: str, me: int, other: int) -> None:
        if me == other:
            return
        if kind in ("block", "mute"):
            self.ever_apart.add(frozenset((me, other)))
        if kind == "follow" and self.is_new and self.sim.router.map.level >= MASTODON_FROM_LEVEL:
            wants_reposts = (None, False, True, False)[self.acts % 4]  # drawn from nothing, as above
            self.call(me, "follow_as", [me, other, wants_reposts, bool(self.acts % 3), None])
        else:
            self.call(me, kind, [me, other])

    def do_wish(self, me: int) -> None:
        """Want something else of home: a hashtag, an exclusive list, some languages of a followee."""
        if self.sim.router.map.level < MASTODON_FROM_LEVEL:
            return
        tags, other = self.tags, self.tags.choice(self.accounts)
        kind = tags.choices(["tag", "list", "members", "languages"], [6, 1, 2, 2])[0]
        known = self.lists.get(me)
        if kind == "tag":
            name = tags.choice(TAGS)
            self.call(me, "follow_tag", [me, fold(name), name, tags.random() < 0.7])
        elif kind == "languages" and me != other:
            said = tags.choice([[], ["en"], ["en", "de"]])
            self.call(me, "follow_as", [me, other, None, None, said])
        elif kind == "list":
            self.call(me, "put_list", [me, known or 0, f"list {me}", 0, tags.random() < 0.7], self.learn_list(me))
        elif kind == "members" and known:
            self.call(me, "set_members", [me, known, [other], tags.random() < 0.8])

    def learn_list(self, me: int):
        return lambda body: self.lists.update({me: body[0]})

    def more(self) -> list:
        """Return what a tweet says of its language, for the end of its arguments."""
        code = self.tags.choice(["en", "de", ""]) if self.tagging else ""
        return [[[8, code]]] if code and self.sim.router.map.level >= MASTODON_FROM_LEVEL else []

    def entities(self) -> bytes:
        """Return what a text says beside itself: some hashtags."""
        if not self.tagging or self.tags.random() < 0.5:
            return b""
        return pack({"hashtags": [[name, 0, 1] for name in self.tags.choices(TAGS, k=self.tags.randrange(1, 3))]})

    def do_leave(self, kind: str, me: int, other: int) -> None:
        """Delete an account, once, however often it is asked for; some stay, so that there is something to see.

        As API workers do, only once all shards have risen.
        """
        if len(self.accounts) <= 2 or self.sim.router.map.level < FULL_FROM_LEVEL:
            return

        def left(body) -> None:
            assert body is True
            self.accounts.remove(me)
            self.gone.append(me)

        self.key += 1
        key = self.key.to_bytes(8, "big")
        self.call(me, "keyed", [me, key, b"leave", "delete_account", [me]], left)

    def do_post(self, kind: str, me: int, other: int, in_reply_to: int = 0, reply_author: int = 0) -> None:
        self.key += 1
        visibility = self.rng.choices([0, 1, 2], [8, 1, 1])[0]
        key = self.key.to_bytes(8, "big")
        said = [me, f"tweet {self.key}", visibility, in_reply_to, reply_author, self.entities(), [], [other], key]

        def posted(body: bytes) -> None:
            tweet_id = int(body.split(b'"tweet_id":"')[1].split(b'"')[0])
            assert tweet_id not in self.acked_posts, "two posts got one id"
            self.acked_posts[tweet_id] = me

        self.call(me, "post", [*said, *self.more()], posted)

    def do_schedule(self, kind: str, me: int, other: int) -> None:
        """Schedule a tweet under a key: a client that isn't answered tries again."""
        self.key += 1
        key, text = self.key.to_bytes(8, "big"), f"scheduled {self.key}"
        at_ms = self.sim.now + limits.SCHEDULED_LEAD_MS + self.rng.randrange(400, 4_000)
        args = [me, at_ms, text, self.rng.choice([0, 0, 0, 1, 2]), 0, 0, self.entities(), [], [other]]

        def answered(body: bytes) -> None:
            self.scheduled[int(body.split(b'"scheduled_id":"')[1].split(b'"')[0])] = me, text
            self.due_ms = max(self.due_ms, at_ms)

        self.call(me, "keyed", [me, key, b"print", "schedule", args], answered)

    def do_cancel(self, kind: str, me: int, other: int) -> None:
        """Cancel what may just be published: one of the two has happened then."""
        mine = [i for i, (who, text) in self.scheduled.items() if who == me and text not in self.cancelled]
        if mine:
            self.key += 1
            scheduled_id, key = self.rng.choice(mine), self.key.to_bytes(8, "big")
            args = [me, key, b"print", "unschedule", [me, scheduled_id]]
            self.call(me, "keyed", args, lambda _: self.cancelled.add(self.scheduled[scheduled_id][1]))

    def do_due(self, kind: str, me: int, other: int) -> None:
        """Look at every leader's clock, as its shell does."""
        for shard in self.sim.shards:
            if shard.leads and not shard.replica.state.frozen:
                command = shard.replica.due_command(self.sim.now)
                if command is not None:
                    shard.run(command)

    def do_batch(self, kind: str, me: int, other: int) -> None:
        """Many tweets in one request, by accounts of one shard: enough to go column by column."""
        owner = self.sim.owner
        shard = owner[ids.bucket_of_account(me)]
        here = [a for a in self.accounts if owner[ids.bucket_of_account(a)] == shard and not self.moving] or [me]
        here = [me] if self.deleting else here  # a batch is refused as a whole when one of its authors is gone
        rows = []
        for _ in range(self.rng.randrange(8, 14)):
            self.key += 1
            visibility = self.rng.choices([0, 1, 2], [16, 2, self.rng.choice([0, 0, 0, 1])])[0]
            key = self.key.to_bytes(8, "big")
            rows.append(
                [self.rng.choice(here), f"tweet {self.key}", visibility, 0, 0, self.entities(), [], [other], key]
            )

        def posted(tweet_ids: list[int]) -> None:
            assert not self.acked_posts.keys() & set(tweet_ids), "two posts got one id"
            self.batched.update(tweet_ids)
            self.acked_posts |= {t: row[0] for t, row in zip(tweet_ids, rows, strict=True)}

        self.call(me, "post_many", [rows], posted)

    def pick_tweet(self):
        state = self.rng.choice(self.sim.shards)
        if state.leads and len(state.replica.state.tweets):
            return state.replica.state.tweets.get(self.rng.choice(sorted(state.replica.state.tweets.slot_of)))
        return None

    def do_reply(self, kind: str, me: int, other: int) -> None:
        entry = self.pick_tweet()
        if entry is not None and not entry.is_repost:
            self.do_post(kind, me, other, entry.tweet_id, entry.author_id)

    def do_repost(self, kind: str, me: int, other: int) -> None:
        entry = self.pick_tweet()
        if entry is not None and not entry.is_repost and entry.flags & 12 == 0:
            self.call(me, "repost", [me, pack(list(entry))])

    def do_unrepost(self, kind: str, me: int, other: int) -> None:
        entry = self.pick_tweet()
        if entry is not None and entry.is_repost:
            self.call(entry.author_id, "unrepost", [entry.author_id, entry.orig_id])

    def do_like(self, kind: str, me: int, other: int) -> None:
        entry = self.pick_tweet()
        if entry is not None and not entry.is_repost:
            self.call(me, kind, [me, entry.tweet_id])

    do_unlike = do_like

    def do_delete(self, kind: str, me: int, other: int) -> None:
        mine = [t for t, a in self.acked_posts.items() if a == me and t not in self.deleted]
        if mine:
            tweet_id = self.rng.choice(mine)
            self.deleted.add(tweet_id)
            self.call(me, "delete", [tweet_id, me])

    def do_edit(self, kind: str, me: int, other: int) -> None:
        mine = [t for t, a in self.acked_posts.items() if a == me and t not in self.deleted]
        if mine:
            self.key += 1
            tweet_id, text = self.rng.choice(mine[-5:]), f"edit {self.key}"
            args = [tweet_id, me, text, self.entities(), [other]]
            self.call(me, "edit", args, lambda _: self.edited.update({tweet_id: text}))

    def do_read(self, kind: str, me: int, other: int) -> None:
        shard = self.sim.shards[self.sim.owner[ids.bucket_of_account(me)]]
        if (
            shard.leads
            and not shard.replica.state.frozen
            and me in shard.replica.state.people.row_of
            and me not in shard.replica.state.waking
        ):
            state = shard.replica.state
            if not state.rings.awake[state.people.row_of[me]]:
                shard.run(["wake", me])

    def do_crash(self, kind: str, me: int, other: int) -> None:
        self.sim.crash(self.rng.randrange(len(self.sim.shards)))

    def do_stall(self, kind: str, me: int, other: int) -> None:
        self.sim.stall(self.rng.randrange(len(self.sim.replicas)))

    def do_depose(self, kind: str, me: int, other: int) -> None:
        self.sim.depose(self.rng.randrange(len(self.sim.replicas)))

    def do_router(self, kind: str, me: int, other: int) -> None:
        self.sim.router.crash(self.rng.randrange(1, 500))

    def do_move(self, kind: str, me: int, other: int) -> None:
        """Move the buckets of an account and of a name, or add a shard, or empty the last one and give it up."""
        sim, rng, moves = self.sim, self.rng, self.sim.moves
        count = sim.router.map.shard_count
        if moves.steps is not None or not sim.router.there:
            return
        if rng.random() < 0.1 and count < 5:
            new = [count]
            moves.start(rebalancing.grow(count + 1), lambda _: moves.start(rebalancing.welcome(new, 0)))
            return
        if count == 1:
            return
        last = rng.random() < 0.1
        source = count - 1 if last else sim.owner[ids.bucket_of_account(me)]
        target = rng.choice([shard for shard in range(count) if shard != source])
        buckets = {b for b, shard in enumerate(sim.owner) if shard == source}
        if not last:
            buckets &= {ids.bucket_of_account(me), ids.bucket_of_name(f"user{other}"), ids.bucket_of_account(other)}

        def start() -> None:
            still = [b for b in sorted(buckets) if sim.owner[b] == source]
            if moves.steps is None and sim.router.there and still and max(source, target) < sim.router.map.shard_count:
                moves.start(rebalancing.move(source, target, still, moves.now), ended)

        def ended(done: bool) -> None:
            moves.move_count += done
            if not done:
                sim.after(50, start)
            if done and last and count == sim.router.map.shard_count and count - 1 not in sim.owner:
                moves.start(rebalancing.shrink(count - 1, moves.now))

        start()

    def do_seal(self, kind: str, me: int, other: int) -> None:
        replica = self.rng.choice(self.rng.choice(self.sim.replicas))
        if replica.alive:
            replica.seal()

    def do_tick(self, kind: str, me: int, other: int) -> None:
        shard = self.rng.choice(self.sim.shards)
        if shard.leads and not shard.replica.state.frozen:
            self.sim.days_skipped += 1 if self.rng.random() < 0.3 else 0
            shard.run(["tick", self.sim.wall_ms])

    def do_counts(self, kind: str, me: int, other: int) -> None:
        for shard in self.sim.shards:
            if shard.leads and shard.replica.state.dirty_counts and not shard.replica.state.frozen:
                shard.run(["flush_counts"])


def run(seed: int, steps: int) -> Workload:
    work = Workload(seed)
    work.register()
    for _ in range(steps * (1 + work.moving)):
        work.act()
        for _ in range(work.rng.randrange(0, 6)):
            work.sim.step()
    work.sim.faults = False
    work.sim.drain()
    if work.rolled_at >= 0:
        work.sim.run_until(lambda: work.sim.router.map.level == LEVEL)
    work.sim.run_until(lambda: work.sim.now > work.due_ms)
    for _ in range(3):
        work.do_due("", 0, 0)
        work.do_counts("", 0, 0)
        work.sim.drain()
    work.uploading.expire()
    return work


def check_scheduled(work: Workload) -> set[int]:
    """Each was published once, unless it was cancelled; returns the tweets that were."""
    published: dict[int, str] = {}
    for shard in work.sim.shards:
        state = shard.replica.state
        assert not len(state.papers.due), "something that is due still waits"
        texts = {t: read_facts(state.tweets.body[slot]).text for t, slot in state.tweets.slot_of.items()}
        published |= {tweet_id: text for tweet_id, text in texts.items() if text.startswith("scheduled")}
    wanted = {text for whose, text in work.scheduled.values() if whose not in work.gone} - work.cancelled
    assert sorted(published.values()) == sorted(wanted)
    return set(published)


def verify(work: Workload) -> None:
    sim = work.sim
    facts = sim.facts()
    existing = facts.existing()
    posted = {t for t, author in work.acked_posts.items() if author not in work.gone} | check_scheduled(work)
    posted -= work.deleted
    assert posted <= existing, f"acknowledged tweets are gone: {sorted(posted - existing)[:3]}"
    originals = {f.tweet_id for fs in facts.tweets_by.values() for f in fs if not f.flags & 2}
    assert originals == posted, f"tweets that nobody was told of: {sorted(originals - posted)[:3]}"
    reposts = [f for fs in facts.tweets_by.values() for f in fs if f.flags & 2]
    assert all(f.orig_id in existing for f in reposts), "a repost outlived its original"
    assert {replica.replica.state.level for shard in sim.replicas for replica in shard} == {sim.router.map.level}
    length = work.tuning.timeline_length
    for account_id in work.accounts:
        expected = facts.home(account_id, length)
        assert sim.home(account_id, length) == expected, f"account {account_id}"
        check_pages(work, account_id, facts.home(account_id, 500))


def check_nothing_is_left(work: Workload) -> None:
    """Of an account that was deleted nothing is anywhere, but its name, held for nobody."""
    for shard in work.sim.shards:
        state = shard.replica.state
        referred = {account_id for account_id in work.gone if state.people.find(account_id) is not None}
        referred |= set(state.people.token_owner.values()) | set(state.waking) | state.pull_shards.keys()
        referred |= {account_id for account_id, _ in state.people.names.values()}
        for arena in (state.graph.following, state.graph.followers):
            referred |= {other for row in range(state.people.row_count) for other in arena.view(row).tolist()}
        for kind in state.graph.relations:
            referred |= {other for others in kind.values() for other in others}
        for kind in state.shelves.kinds.values():
            places, keys, _ = state.shelves.marks.dump(kind.number)
            if kind.owner is Owner.ACCOUNT:
                referred |= set(state.shelves.owners_of(kind, places).tolist())
            if kind.key is Owner.ACCOUNT and kind.number != VOTER.number:  # votes stay, and that he has voted
                referred |= set(keys.tolist())
        for account_id in work.gone:
            assert account_id not in referred, f"shard {shard.number} has still something of {account_id}"
            is_its_own = state.shard_of_account(account_id) == state.shard  # others forget keys with their next sweep
            answers = [made for (a, _), made in state.idempotency.items() if a == account_id and is_its_own]
            assert [unpack(made)[1:] for made in answers] in ([], [[b"leave", True]])
            held = state.people.names.get(f"user{account_id}")
            assert held in (None, (NO_LONGER, False))


def check_pages(work: Workload, account_id: int, everything: list[int]) -> None:
    """Pages through the whole timeline, below the ring too, both ways."""
    sim, count = work.sim, work.rng.randrange(1, 9)
    pages, cursor = [], 0
    while page := sim.home(account_id, count, max_id=cursor):
        pages += page
        cursor = page[-1]
    assert pages == everything
    if everything:
        start = work.rng.choice(everything)
        newer = [t for t in everything if t > start]
        assert sim.home(account_id, count, min_id=start) == newer[-count:]
        assert sim.home(account_id, count, since_id=start) == newer[:count]


def count_answers(work: Workload) -> tuple[dict[int, int], dict[int, int]]:
    """Return how many public replies and how many reposts of each tweet there are."""
    replies: dict[int, int] = {}
    reposts: dict[int, int] = {}
    for shard in work.sim.shards:
        tweets = shard.replica.state.tweets
        for entry in map(tweets.get, tweets.slot_of):
            if entry.is_repost:
                reposts[entry.orig_id] = reposts.get(entry.orig_id, 0) + 1
            elif entry.flags & 15 == 1:  # a reply, neither for followers nor direct
                answered = read_facts(entry.body).in_reply_to
                replies[answered] = replies.get(answered, 0) + 1
    return replies, reposts


def check_counts(work: Workload) -> None:
    """What timelines show equals what the authors' shards counted, and what accounts did."""
    work.sim.drain()  # waking accounts has asked for counts
    likes: dict[int, int] = {}
    for shard in work.sim.shards:
        _, liked, _ = shard.replica.state.shelves.marks.dump(LIKE.number)
        if liked.size:
            for tweet_id in liked.tolist():
                likes[tweet_id] = likes.get(tweet_id, 0) + 1
    replies, reposts = count_answers(work)
    for shard in work.sim.shards:
        state = shard.replica.state
        for tweet_id in state.tweets.slot_of:
            entry = state.tweets.get(tweet_id)
            assert entry.likes == likes.get(tweet_id, 0)
            assert entry.replies == replies.get(tweet_id, 0), f"replies to {tweet_id}"
            assert entry.reposts == reposts.get(tweet_id, 0), f"reposts of {tweet_id}"
            for other in work.sim.shards:
                n = other.replica.state.arrivals.number_of.get(tweet_id)
                if n is not None:
                    held = other.replica.state.arrivals.entry(n)
                    assert held[6:9] == entry[6:9], f"counts of {tweet_id} on shard {other.number}"


def check_edits(work: Workload) -> None:
    """Every copy of a tweet says what the tweet says, packed into reposts or not, and that is the last edit."""
    states = [replica.replica.state for replicas in work.sim.replicas for replica in replicas]
    bodies = {t: state.tweets.body[slot] for state in states for t, slot in state.tweets.slot_of.items()}
    for tweet_id, text in work.edited.items():
        if tweet_id in bodies:
            assert read_facts(bodies[tweet_id]).text == text, f"tweet {tweet_id}"
    for state in states:
        stored = [state.tweets.get(t) for t in state.tweets.slot_of]
        arrived = [state.arrivals.entry(n) for n in state.arrivals.number_of.values()]
        for entry in [*stored, *arrived]:
            copy = entry if entry.orig is None else Entry(*unpack(entry.orig))
            if copy.tweet_id in bodies:
                assert copy.body == bodies[copy.tweet_id], f"{entry.tweet_id} of {copy.tweet_id} on {state.shard}"


def check_visible(work: Workload) -> None:
    """Who sees which tweet, by its id, in its author's timeline, and counted in the profile."""
    sim = work.sim
    states = [shard.replica.state for shard in sim.shards]
    blocks, follows = set(), set()
    tweets: dict[int, list] = {account_id: [] for account_id in work.accounts}
    for state in states:
        for account_id, row in state.people.row_of.items():
            blocks |= {frozenset((account_id, other)) for other in state.graph.relations[BLOCK].get(row, ())}
            follows |= {(account_id, other) for other in state.graph.following.view(row).tolist()}
        for entry in map(state.tweets.get, sorted(state.tweets.slot_of, reverse=True)):
            tweets[entry.author_id].append(entry)

    def may_see(reader: int, author: int, flags: int, mentions: list[int]) -> bool:
        if reader == author:
            return True
        if frozenset((reader, author)) in blocks:
            return False
        public, direct = flags & 12 == 0, flags & 8
        return public or reader in mentions or bool(not direct and (reader, author) in follows)

    for author, written in tweets.items():
        bucket = ids.bucket_of_account(author)
        for reader in [0, *work.accounts]:
            seen = [
                e for e in written
                if may_see(reader, author, e.flags, e.mention_ids) and may_see(reader, e.orig_author, 0, [])
            ]  # fmt: skip
            page = [author, reader, 0, 0, 0, 500, 0]
            body, newest, _ = sim.read_as(reader, bucket, "user_timeline", page)
            hidden = frozenset((reader, author)) in blocks
            assert (newest, body.count(b'{"created_at"')) == (
                (seen[0].tweet_id, sum(1 + e.is_repost for e in seen)) if seen else (0, 0)
            ), f"what {reader} sees of {author}"
            for entry in written[:5]:
                try:
                    sim.read_as(reader, bucket, "tweet", [entry.tweet_id, reader])
                    shown = True
                except NotFoundError:
                    shown = False
                assert shown == (entry in seen), f"{reader} and tweet {entry.tweet_id} of {author}"
            if not hidden:
                untold = 0 if reader == author else 8 if (reader, author) in follows else 12
                told = [e for e in written if not e.flags & untold]
                profile = sim.shards[sim.owner[bucket]].replica.read("profile", [author, reader])
                assert profile.endswith(b'"tweets":%d}}' % len(told))


@pytest.mark.parametrize("seed", [*range(FIRST, FIRST + SEEDS), *FOUND_BUGS])
def test_home_timelines_meet_their_definition_whatever_happens(seed: int) -> None:
    try:
        work = run(seed, 250)
        verify(work)
        check_counts(work)
        check_edits(work)
        work.polling.check()
        check_notices(work)
        work.outside.end()
        check_visible(work)
        check_nothing_is_left(work)
        work.sim.check()
        verify(work)
        check_visible(work)
    except BaseException:
        print(f"replay with: ROOKERY_SIM_FIRST={seed} ROOKERY_SIM_SEEDS=1 pytest tests/sim/test_simulation.py")
        raise
