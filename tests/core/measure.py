"""The figures of actors/core/DESIGN.md: `python -m tests.core.measure`. Not a test; takes about 20 s."""

from __future__ import annotations

import time

import numpy as np

from actors.core import ids, limits
from actors.core.checkpoints.snapshot import TABLES
from actors.core.checkpoints.tables import Checkpoint
from actors.core.entries import pack, unpack
from actors.core.replica import Replica
from actors.core.verify import check, digest

ACCOUNTS, DEGREE, TWEETS, READS = 20_000, 50, 20_000, 20_000
NOW_MS = 1_700_000_000_000


class Figures:
    def __init__(self) -> None:
        self.begin = time.perf_counter()

    def lap(self, what: str, count: int = 1) -> None:
        seconds = time.perf_counter() - self.begin
        print(f"{what:<52} {seconds / count * 1e6:12.2f} us x {count:,} = {seconds:.3f} s")
        self.begin = time.perf_counter()


def main() -> None:
    rng = np.random.default_rng(7)
    replica = Replica(0, [0] * ids.BUCKET_COUNT, limits.Tuning())
    state = replica.state
    figures = Figures()
    for first in range(1, ACCOUNTS + 1, 1_000):
        rows = [[f"user{i}", i, "", "", None, []] for i in range(first, first + 1_000)]
        replica.write("register_many", [rows], NOW_MS)
    figures.lap("register_many, an account", ACCOUNTS)
    followers = np.repeat(np.arange(1, ACCOUNTS + 1), DEGREE)
    followees = rng.integers(1, ACCOUNTS + 1, len(followers))
    for first in range(0, len(followers), 10_000):
        sides = [a[first : first + 10_000].astype("<i8").tobytes() for a in (followers, followees)]
        replica.write("follow_many", sides, NOW_MS)
    figures.lap("follow_many, an edge, both sides", len(followers))
    for account_id in range(1, ACCOUNTS + 1):
        replica.command(["wake", account_id])
    figures.lap("wake, nothing to fill", ACCOUNTS)
    authors = rng.integers(1, ACCOUNTS + 1, TWEETS).tolist()
    for i, author in enumerate(authors):
        replica.write("post", [author, "hello, timelines", 0, 0, 0, b"", [], [], None], NOW_MS + i)
    figures.lap(f"post and {state.rings.delivery_count / TWEETS:.0f} deliveries", TWEETS)
    readers = rng.integers(1, ACCOUNTS + 1, READS).tolist()
    for reader in readers:
        replica.try_home(replica.query([reader, 0, 0, 0, 20]))
    figures.lap("home, 20 entries, rendered on the way", READS)
    for reader in readers:
        replica.try_home(replica.query([reader, 0, 0, 0, 20]))
    figures.lap("home, 20 entries, rendered before", READS)
    for reader in readers[:2_000]:
        replica.command(["wake", reader])
    figures.lap(f"wake, {DEGREE} followees' tweets", 2_000)
    for account_id in range(1, 2_001):
        replica.write("unfollow", [account_id, int(followees[(account_id - 1) * DEGREE])], NOW_MS)
    figures.lap("unfollow and purge", 2_000)
    changes = replica.seal()
    rows = sum(change.upsert_count for change in changes)
    figures.lap("seal, a row", rows)
    tables = {table.name: table.empty() for table in TABLES}
    tables |= {change.table.name: change.upserts for change in changes if change.upserts}
    fresh = Replica(0, [0] * ids.BUCKET_COUNT, limits.Tuning())
    figures.begin = time.perf_counter()
    fresh.load(Checkpoint(state.position, 1, tables))
    figures.lap("restore, a row (tables to rings)", rows)
    same = digest(fresh.state) == digest(state)
    figures.lap("digest, an account (two states)", 2 * ACCOUNTS)
    problems = check(fresh.state)
    figures.lap("check, an account", ACCOUNTS)
    record = pack(["touch", [1]])
    figures.begin = time.perf_counter()
    for _ in range(100_000):
        unpack(record)
    figures.lap("unpack a small record", 100_000)
    facts = replica.lookups.facts()
    print(f"same digest: {same}; problems: {len(problems)}; rows sealed: {rows:,}")
    print(f"bytes: {facts['edge_bytes'] / len(followers):.1f} an edge, {facts['ring_bytes'] / ACCOUNTS:.0f} a ring of"
          f" {state.rings.delivery_count / ACCOUNTS:.0f}, {facts['tweet_bytes'] / TWEETS:.0f} a tweet,"
          f" {facts['arrival_bytes'] / TWEETS:.0f} an arrival")  # fmt: skip


if __name__ == "__main__":
    main()
