"""Follow edges, both ways, and whom blocks and mutes hide.

The edge u -> v is kept on u's shard as following(u), in the order of following, and as a local follower of v (a ring
row); on v's shard as followers(v) plus a count per shard, which decides where v's tweets are sent. So a tweet is at
most one message per shard, and its expansion to followers is a loop over one shard's memory.

Rules: u's shard decides about the edge and tells v's shard with a numbered message; both therefore agree once
messages have drained. An edge to oneself is kept (imported graphs hold some) but is never a local follower: an account
sees its own tweets anyway. Blocks and mutes lie on shelves (`features/blocks.py`): what is here of them are sets for
the reads that look one up, which `shelves.py` keeps as its shelves are.
Costs: 20 bytes an edge plus the slack of the arenas; adding in a batch 0.3 us an edge a side; removing O(degree).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.core import ids
from actors.core.arrays import arena_kernels
from actors.core.arrays.arena import TIDY_FROM_ELEMENTS, BlockArena
from actors.core.flags import EXCLUSIVE_LISTS, FOLLOWED_TAGS, KINDS, NO_REPOSTS, SOME_LANGUAGES

Ints = npt.NDArray[np.int64]
_NONE = np.zeros(0, dtype=np.int64)


class FollowGraph:
    """The follow edges of one shard's accounts. Rows are those of `People`, author rows are this class's own."""

    def __init__(self, shard_count: int, tidy_from: int = TIDY_FROM_ELEMENTS) -> None:
        """shard_count: shards of the cluster; tidy_from: see `BlockArena`."""
        self.following = BlockArena(np.int64, tidy_from=tidy_from)
        self.followers = BlockArena(np.int64, tidy_from=tidy_from)
        self.author_row: dict[int, int] = {}
        self.local_followers = BlockArena(np.int32, tidy_from=tidy_from)
        self.shard_followers = np.zeros((64, shard_count), dtype=np.int32)
        self.relations: tuple[dict[int, set[int]], ...] = ({}, {}, {}, {}, {}, {}, {})
        self.hiding = self.relations[: len(KINDS)]
        self.leaving_out = self.relations[: NO_REPOSTS + 1]  # what `unshown` is made of
        self.tags_of = self.relations[FOLLOWED_TAGS]  # by row, as those below
        self.exclusive_lists_of = self.relations[EXCLUSIVE_LISTS]
        self.some_languages_of = self.relations[SOME_LANGUAGES]
        self.wishes = self.relations[FOLLOWED_TAGS:]
        self.wishful: set[int] = set()  # rows that have any of these: home reads of others look no further
        self.tag_readers: dict[int, int] = {}  # by tag: how many rows follow it
        self.tags_touched: set[int] = (
            set()
        )  # that somebody began or ceased to follow, until `features/tag_readers.py` looks
        self._hidden: dict[int, Ints] = {}
        self._unshown: dict[int, Ints] = {}
        self.edge_count = 0
        self.on_related: Callable[[int], None] | None = None  # given the row that hides somebody, or no longer
        self.on_follower_removed: Callable[[int, int], None] = lambda author_row, index: None

    def ensure_rows(self, rows: int) -> None:
        """Make account rows 0..rows-1 exist, without edges."""
        self.following.ensure_rows(rows)
        self.followers.ensure_rows(rows)
        have = len(self.shard_followers)
        if rows > have:
            grown = np.zeros((max(rows, have + have // 2), self.shard_followers.shape[1]), dtype=np.int32)
            grown[:have] = self.shard_followers
            self.shard_followers = grown

    def author(self, author_id: int) -> int:
        """Return the author row of an account anywhere, making one if this shard had none."""
        row = self.author_row.get(author_id)
        if row is None:
            row = self.author_row[author_id] = len(self.author_row)
            self.local_followers.ensure_rows(row + 1)
        return row

    def add_following(self, rows: Ints, own_ids: Ints, targets: Ints) -> npt.NDArray[np.bool_]:
        """Add edges row -> target where they don't exist; return which are new. own_ids[i] is the id of rows[i]."""
        added = self.following.append_many_absent(rows, targets)
        linked = np.nonzero(added & (own_ids != targets))[0]
        author_rows = np.array([self.author(int(t)) for t in targets[linked]], dtype=np.int64)
        self.local_followers.append_many(author_rows, rows[linked].astype(np.int32))
        self.edge_count += int(added.sum())
        return added

    def remove_following(self, row: int, own_id: int, target: int) -> bool:
        """Remove the edge row -> target; return whether there was one."""
        if not self.following.pop_if_last(row, target) and self.following.remove(row, target) < 0:
            return False
        self.edge_count -= 1
        if own_id != target:
            author_row, local = self.author_row[target], self.local_followers
            is_last = local.pop_if_last(author_row, row)  # so they go, the newest first, when the author is deleted
            index = int(local.length[author_row]) if is_last else local.remove(author_row, row)
            self.on_follower_removed(author_row, index)
        return True

    def author_rows(self, author_ids: Ints) -> Ints:
        """Return the author row of each account, -1 where nobody here has ever followed it."""
        return np.array([self.author_row.get(a, -1) for a in author_ids.tolist()], dtype=np.int64)

    def read_by(self, row: int, account_id: int) -> Ints:
        """Return whose tweets an account reads, each once: its followees' and its own. Some follow themselves."""
        followees = self.following.view(row)
        return followees if self.following.contains(row, account_id) else np.append(followees, account_id)

    def local_follower_count(self, author_id: int) -> int:
        """How many of this shard's accounts follow an author (itself not counted)."""
        row = self.author_row.get(author_id)
        return 0 if row is None else int(self.local_followers.length[row])

    def add_followers(self, rows: Ints, sources: Ints, source_shard: int) -> None:
        """Record that accounts of source_shard follow rows[i]; a negative row is skipped."""
        self.followers.append_many(rows, sources)
        arena_kernels.count_rows(self.shard_followers, source_shard, rows)

    def remove_follower(self, row: int, source: int, source_shard: int) -> bool:
        """Forget one follower; return whether there was one."""
        if self.followers.remove(row, source) < 0:
            return False
        self.shard_followers[row, source_shard] -= 1
        return True

    def cut_followers(self, row: int, count: int, owner: Ints) -> Ints:
        """Forget the newest `count` followers of a row, or all; return them. owner: the shard of each bucket.

        1 us, and 20 ns a follower.
        """
        view = self.followers.view(row)
        gone = view[max(0, len(view) - count) :].copy()
        self.followers.cut(row, len(view) - len(gone))
        owners = owner[ids.buckets_of_accounts(gone)]
        self.shard_followers[row] -= np.bincount(owners, minlength=self.shard_followers.shape[1]).astype(np.int32)
        return gone

    def forget_followers(self, row: int) -> None:
        """Empty a row's followers."""
        self.followers.clear(row)
        self.shard_followers[row] = 0

    def resize(self, shard_count: int) -> None:
        """Count followers of that many shards. Those of shards that go must be none."""
        have = self.shard_followers.shape[1]
        if shard_count != have:
            resized = np.zeros((len(self.shard_followers), shard_count), dtype=np.int32)
            kept = min(have, shard_count)
            resized[:, :kept] = self.shard_followers[:, :kept]
            self.shard_followers = resized

    def destinations(self, row: int) -> list[int]:
        """Return the shards that hold a follower of an account, ascending."""
        return [int(s) for s in np.nonzero(self.shard_followers[row])[0]]

    def relate(self, row: int, kind: int, other: int, on: bool) -> bool:
        """Know that a block, blocked-by, mute or the like has come to its shelf, or gone; return if that is news."""
        have = self.relations[kind].setdefault(row, set())
        changed = (other in have) != on
        if on:
            have.add(other)
        else:
            have.discard(other)
        if not have:
            del self.relations[kind][row]
        if changed:
            self._forget(row)
            if self.on_related is not None:
                self.on_related(row)
            if kind >= FOLLOWED_TAGS:
                self._note_wish(row, kind, other, 1 if on else -1)
        return changed

    def relate_all(self, row: int, kind: int, others: Ints) -> None:
        """Know that exactly these, one at least, are on an account's shelf of blocks, blocked-by, mutes or the like."""
        self.relations[kind][row] = set(others.tolist())
        self._forget(row)
        for other in self.relations[kind][row] if kind >= FOLLOWED_TAGS else ():
            self._note_wish(row, kind, other, 1)

    def _note_wish(self, row: int, kind: int, other: int, step: int) -> None:
        """Note that a row wants more or less of its home; of a tag count one more that follows it, or one less."""
        if any(row in wish for wish in self.wishes):
            self.wishful.add(row)
        else:
            self.wishful.discard(row)
        if kind == FOLLOWED_TAGS:
            self.tag_readers[other] = count = self.tag_readers.get(other, 0) + step
            self.tags_touched.add(other)
            if not count:
                del self.tag_readers[other]

    def _forget(self, row: int) -> None:
        self._hidden.pop(row, None)
        self._unshown.pop(row, None)

    def related(self, row: int, kind: int, other: int) -> bool:
        """Whether that block, blocked-by or mute stands. O(1)."""
        return other in self.relations[kind].get(row, ())

    def hidden(self, row: int) -> Ints:
        """Return the accounts whose tweets this account doesn't see in its timeline, ascending."""
        if not any(row in kind for kind in self.hiding):
            return _NONE
        cached = self._hidden.get(row)
        if cached is None:
            everyone: set[int] = set().union(*(kind.get(row, set()) for kind in self.hiding))
            cached = self._hidden[row] = np.array(sorted(everyone), dtype=np.int64)
        return cached

    def unshown(self, row: int) -> Ints:
        """Return what an account's home timeline leaves out: whose tweets, and as -id whose reposts; ascending."""
        without_reposts = self.relations[NO_REPOSTS].get(row)
        if without_reposts is None:
            return self.hidden(row)
        cached = self._unshown.get(row)
        if cached is None:
            negated = np.array(sorted(-other for other in without_reposts), dtype=np.int64)
            cached = self._unshown[row] = np.concatenate((negated, self.hidden(row)))
        return cached

    def nbytes(self) -> dict[str, int]:
        """Bytes by structure."""
        return {
            "following": self.following.nbytes(),
            "followers": self.followers.nbytes() + int(self.shard_followers.nbytes),
            "local_followers": self.local_followers.nbytes() + 100 * len(self.author_row),
        }

    def check(self, people: Any) -> list[str]:
        """Return violations: no edge twice; local followers mirror following; counts per shard add up."""
        problems = self.following.check() + self.followers.check() + self.local_followers.check()
        mirror: dict[int, list[int]] = {}
        edges = 0
        counted = Counter(tag for tags in self.tags_of.values() for tag in tags)
        if self.wishful != set().union(*self.wishes):
            problems.append(f"{len(self.wishful)} rows are known to have wishes for their home, but others have some")
        if counted != self.tag_readers:
            problems.append(f"{len(counted)} hashtags are followed, but {len(self.tag_readers)} counted, or otherwise")
        for row, account in enumerate(people.accounts):
            targets = self.following.view(row).tolist()
            edges += len(targets)
            if len(set(targets)) != len(targets):
                problems.append(f"account {account.account_id} follows somebody twice")
            for target in targets:
                if target != account.account_id:
                    mirror.setdefault(target, []).append(row)
            sources = self.followers.view(row).tolist()
            if len(set(sources)) != len(sources):
                problems.append(f"account {account.account_id} has a follower twice")
            if int(self.shard_followers[row].sum()) != len(sources):
                problems.append(f"followers of {account.account_id}: {len(sources)}, but counts per shard differ")
        if edges != self.edge_count:
            problems.append(f"{edges} follow edges, but the count says {self.edge_count}")
        for author_id, author_row in self.author_row.items():
            if sorted(self.local_followers.view(author_row).tolist()) != sorted(mirror.get(author_id, [])):
                problems.append(f"local followers of {author_id} don't mirror the follow edges")
        missing = set(mirror) - set(self.author_row)
        if missing:
            problems.append(f"{len(missing)} followed accounts have no author row, {min(missing)} among them")
        return problems
