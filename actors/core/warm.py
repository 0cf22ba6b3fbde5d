"""Compiles every kernel with the types that it meets in service: `make setup` runs it, so that no first request waits.

How: one shard lives through a short day with the real classes, since only they know which arrays and numbers they pass.
Costs: 10 s where nothing is cached yet, 1 s where all is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.core import ids, limits
from actors.core.arrays import arena_kernels, kernels, marks_kernels, restore_kernels
from actors.core.checkpoints.snapshot import TABLES
from actors.core.checkpoints.tables import Checkpoint
from actors.core.postings import kernels as postings_kernels
from actors.core.postings.found import HIDDEN_FLAGS, Weights
from actors.core.postings.lists import Asked, Document, Postings, whole
from actors.core.replica import Replica
from actors.core.stores.marks import Marks
from actors.core.timelines.home import Ask, Wake

ADA, BOB, EVE = 1, 2, 3
START_MS = 1_700_000_000_000


class _Day:
    """One shard that owns everything, and what its accounts do."""

    def __init__(self) -> None:
        tuning = limits.Tuning(timeline_length=4, pull_threshold=1, arrivals_max=64, tidy_from=4)
        self.replica = Replica(0, [0] * ids.BUCKET_COUNT, tuning)
        self.now_ms = START_MS

    def write(self, op: str, *args: Any) -> Any:
        self.now_ms += 1
        return self.replica.write(op, list(args), self.now_ms)[1]

    def post(self, author: int, visibility: int = 0, in_reply_to: int = 0) -> int:
        self.write("post", author, "hello", visibility, in_reply_to, BOB if in_reply_to else 0, b"", [], [BOB], None)
        return int(self.replica.state.tweets.log.view(self.replica.state.people.row_of[author])[-1])

    def home(self, account_id: int, max_id: int = 0, min_id: int = 0) -> None:
        query = self.replica.query([account_id, max_id, 0, min_id, 3])
        self.replica.try_home(query)
        steps, answer = self.replica.home_steps(query), None
        while True:
            try:
                need = steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(need, Wake):
                self.replica.command(["wake", account_id])
            elif isinstance(need, Ask):
                answer = {s: self.replica.read(op, args) for s, (op, args) in need.questions.items()}


def main() -> None:
    """Drive every kernel once."""
    day = _Day()
    for account_id in (ADA, BOB, EVE):
        day.write("register", f"user{account_id}", account_id, "", "", None, [])
        day.home(account_id)
    edges = [np.array(side, dtype="<i8").tobytes() for side in ([BOB, ADA, ADA], [ADA, BOB, EVE])]
    day.write("follow_many", *edges)
    tweets = [day.post(author, i % 3) for i in range(12) for author in (ADA, BOB, EVE)]
    day.post(BOB, 0, tweets[0])
    day.write("repost", BOB, day.replica.read("tweet_ref", [tweets[0], BOB])[3])
    for account_id in (ADA, BOB, EVE):
        day.home(account_id)
        day.home(account_id, max_id=tweets[4])
        day.home(account_id, min_id=tweets[1])
    day.write("mute", BOB, EVE)
    day.home(BOB)
    day.write("follow", EVE, BOB)
    day.write("follow", EVE, ADA)  # more than pull_threshold: ADA's tweets go to a pull log
    day.post(ADA)
    day.home(EVE)
    day.write("unfollow", ADA, EVE)
    day.write("unfollow", BOB, ADA)  # whose latest follower is EVE
    day.write("delete", tweets[0], ADA)
    _restore(day)
    _search(day)
    _mark()
    _read_list(day)
    state = day.replica.state
    state.rings.ordered[0] = 0  # as after deliveries that came out of order
    state.rings.view(0)
    day.replica.command(["tick", START_MS])
    state.rings.sweep()
    day.replica.command(["remap", 1, 2, bytes(ids.BUCKET_COUNT - 1) + b"\1"])
    for arena in (state.rings.arena, state.graph.following, state.graph.local_followers):  # one of each type
        for row in range(3):
            arena.clear(row)
            arena.tidy(1 << 30)


def _restore(day: _Day) -> None:
    """Load what a seal of the whole state holds into a fresh replica, edges in the order of their making and not."""
    tables = {table.name: table.empty() for table in TABLES}
    tables |= {change.table.name: change.upserts for change in day.replica.seal() if change.upserts}
    for step in (1, -1):
        for name in ("following", "followers"):
            tables[name]["place"] = np.sort(tables[name]["place"])[::step].copy()
        fresh = Replica(0, [0] * ids.BUCKET_COUNT, day.replica.state.tuning)
        fresh.load(Checkpoint(day.replica.state.position, 1, dict(tables)))


def _search(day: _Day) -> None:
    """Put the tweets into posting lists, and look for them there as the newest and as the best."""
    tweets = day.replica.state.tweets
    postings = Postings()
    found = sorted(tweets.slot_of.items())
    postings.append(Document(tweet_id, slot, "en", 2, ["hello", "you"], [1, 1], ["#x"]) for tweet_id, slot in found)
    hello = postings.lists_of("hello", dict, lambda word: [word])[np.newaxis]
    asked = Asked(hello, np.array([postings.row("#x")]), hello[:0], np.zeros(0, dtype=np.int64))
    weights = Weights()

    def rank(found: Any, scores: Any, count: int, ids: Any, slots: Any) -> int:
        c = tweets.columns
        left: int = postings_kernels.ranked(
            found, scores, count, ids, slots, c["tweet_id"], c["likes"], c["reposts"], c["replies"], c["author_id"],
            np.array([BOB], dtype=np.int64), day.now_ms, weights.freshness_floor, -1 / weights.half_life_ms,
            1 + weights.closeness_bonus, np.empty(count),
        )  # fmt: skip
        return left

    newest, best = whole(postings.newest(asked, 0, 0, 3)), whole(postings.best(asked, 0, 0, 3, rank))
    assert newest is not None
    assert best is not None
    postings.bitmaps.seal(postings.lists, 0)
    c, arrived = tweets.columns, day.replica.state.arrivals.tweet_id
    assert postings.arrivals(newest, c["tweet_id"], c["flags"], HIDDEN_FLAGS, arrived)


def _read_list(day: _Day) -> None:
    """Look for what members of a list have said in an account's ring."""
    state, members = day.replica.state, np.array([BOB], dtype=np.int64)
    row, a = state.people.row_of[ADA], state.arrivals
    kernels.note_followed(members, state.graph.following.view(row), ADA, np.zeros(1, dtype=np.bool_))
    ns = state.rings.view(row)
    kernels.entries_of_authors(
        ns, a.tweet_id, a.author_id, a.next_n, a.capacity, a.lost_max_id, 0, members, np.empty_like(ns)
    )


def _mark() -> None:
    """Put marks on shelves, look at them, take them away, and load them out of order."""
    marks, keys = Marks(tidy_from=4), np.array([3, 1, 2], dtype=np.int64)
    for kind, dense in ((1, True), (2, False)):
        marks.declare(kind, dense)
        for key in keys.tolist():
            marks.put(kind, 1, key, START_MS)
        marks.page(kind, 1, START_MS << 16, 2)
        marks.flags((marks.row_of(kind, 1), 0), (1, 2), keys)
        marks.drop(kind, 1, marks.stamp_of(kind, 1, 2) and 2)
        dumped = marks.dump(kind)
        marks.clear(kind, 1)
        marks.fill(kind, *(column[::-1] for column in dumped))
    assert marks.check() == []


def compiled() -> dict[str, int]:
    """Return, per kernel that Python calls, for how many sets of types it is compiled or loaded in this process."""
    modules: dict[str, Any] = {}
    for module in (arena_kernels, kernels, marks_kernels, postings_kernels, restore_kernels):
        modules |= vars(module)
    inner = {"take_block", "grow_row", "next_stamp"}  # kernels call these, Python never does
    found = {
        name: f
        for name, f in modules.items()
        if hasattr(f, "signatures") and not name.startswith("_") and name not in inner
    }
    return {name: len(f.signatures) for name, f in found.items()}


if __name__ == "__main__":  # `make setup`
    main()
