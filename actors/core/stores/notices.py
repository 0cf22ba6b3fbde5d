"""Notices: what happened that concerns an account, the newest NOTICES_COUNT_MAX of each.

    row of the account -> [word, actor, tweet | word, actor, tweet | ...]     oldest first, words rise (notice_words.py)

Rules of this file
- Ids only grow while there is a notice: one of the same millisecond takes the next of 2,048.
- Whoever isn't here has none, and gets none. The oldest falls out by itself.
- What changes is noted by (account, id): a seal reads the rows then, a move sends all of an account's.

Costs: 24 bytes a notice and an eighth of slack, 16 an account; one more 3 us, 1 us of it for the oldest of a full one.
To find those about something: 2 us in 800.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from actors.core import limits
from actors.core.arrays.arena import BlockArena
from actors.core.checkpoints.changes import Changes
from actors.core.stores.notice_words import LOW_BITS, MS_MAX, STEP, WIDTH, Notice, notice_of
from actors.core.terms import NOTIFICATION_TYPES

Ints = npt.NDArray[np.int64]


class Notices:
    """The notices of one shard's accounts."""

    def __init__(self, find: Callable[[int], int | None], changes: Callable[[], Changes], tidy_from: int) -> None:
        """find: the row of an account that is here; changes: where what changes is noted now."""
        self.arena = BlockArena(np.int64, WIDTH * limits.NOTICES_COUNT_MAX, tidy_from=tidy_from)
        self._find, self._changes = find, changes

    def ensure_rows(self, rows: int) -> None:
        """Make account rows 0..rows-1 exist."""
        self.arena.ensure_rows(rows)

    # ---- changes ------------------------------------------------------------------------------------------------

    def add(
        self, account_id: int, type_number: int, actor: int, tweet_id: int, at_ms: int, is_filtered: bool = False
    ) -> int:
        """Add a notice as an account's newest; return its id, 0 if the account isn't here."""
        row = self._find(account_id)
        if row is None:
            return 0
        view = self.arena.view(row)
        newest_id = int(view[-WIDTH]) & ~LOW_BITS if len(view) else 0
        notice_id = max(min(at_ms, MS_MAX) << 16, newest_id + STEP)
        if len(view) >= WIDTH * limits.NOTICES_COUNT_MAX:
            self._note(account_id, int(view[0]))
            view[:-WIDTH] = view[WIDTH:]
            self.arena.cut(row, len(view) - WIDTH)
        word = notice_id | type_number << 1 | is_filtered
        words = np.array([word, actor, tweet_id], dtype=np.int64)
        self.arena.append_many(np.full(WIDTH, row, dtype=np.int64), words)
        self._note(account_id, word)
        return notice_id

    def drop(self, account_id: int, type_number: int | None = None, actor: int = 0, tweet_id: int = 0) -> int:
        """Take back those of a type (None: any), by somebody (0: whoever), about a tweet (0: whatever); how many."""
        view = self._table(account_id)
        gone = np.ones(len(view), dtype=np.bool_)
        if type_number is not None:
            gone &= (view[:, 0] >> 1 & 15) == type_number
        if actor:
            gone &= view[:, 1] == actor
        if tweet_id:
            gone &= view[:, 2] == tweet_id
        return self._drop(account_id, view, gone)

    def drop_ids(self, account_id: int, notice_ids: list[int]) -> int:
        """Take back those of some ids; return how many there were."""
        view = self._table(account_id)
        return self._drop(account_id, view, np.isin(view[:, 0] & ~LOW_BITS, np.array(notice_ids, dtype=np.int64)))

    def drop_actor_everywhere(self, actor: int, account_of: Callable[[int], int]) -> None:
        """Take back whatever somebody has caused, at all accounts. account_of: by row. 1 ns a word if there is none."""
        hits = np.flatnonzero(self.arena.data[: self.arena.end] == actor)
        if not len(hits):
            return
        rows = np.flatnonzero(self.arena.klass >= 0)
        rows = rows[np.argsort(self.arena.start[rows])]
        places = np.searchsorted(self.arena.start[rows], hits, side="right") - 1
        for row in np.unique(rows[places[places >= 0]]).tolist():
            if account_id := account_of(row):
                self.drop(account_id, actor=actor)

    def set_type(self, account_id: int, notice_id: int, type_number: int) -> None:
        """Say otherwise what a notice is of."""
        self._change(account_id, notice_id, lambda word: word & ~(15 << 1) | type_number << 1)

    def let_through(self, account_id: int, actor: int) -> int:
        """Have those by somebody kept apart no more; return how many were."""
        view = self._table(account_id)
        words = view[(view[:, 1] == actor) & (view[:, 0] & 1 == 1), 0].tolist()
        for word in words:
            self._change(account_id, word & ~LOW_BITS, lambda known: known & ~1)
        return len(words)

    def replace(self, account_id: int, words: Ints) -> None:
        """Make an account's notices what another shard says: three words each, oldest first."""
        row = self._find(account_id)
        if row is None:
            return
        for word in self.arena.view(row)[::WIDTH].tolist():
            self._note(account_id, word)
        self.arena.clear(row)
        self.arena.append_many(np.full(len(words), row, dtype=np.int64), words)
        for word in words[::WIDTH].tolist():
            self._note(account_id, word)

    def clear(self, account_id: int) -> None:
        """Take all of an account's back: it goes, or wants none of them any more."""
        self.replace(account_id, np.zeros(0, dtype=np.int64))

    def fill(self, rows: Ints, words: tuple[Ints, Ints, Ints]) -> None:
        """Take the notices out of a checkpoint, in any order. rows: of their accounts; words: the three, by column."""
        order = np.lexsort((words[0], rows))
        every = np.stack([column[order] for column in words], axis=1).ravel()
        self.arena.fill(np.repeat(rows[order], WIDTH), every)

    def _change(self, account_id: int, notice_id: int, change: Callable[[int], int]) -> None:
        view = self._table(account_id)
        place = self._place(view, notice_id)
        if place is not None:
            view[place, 0] = change(int(view[place, 0]))
            self._note(account_id, notice_id)

    def _drop(self, account_id: int, view: Ints, gone: npt.NDArray[np.bool_]) -> int:
        row, count = self._find(account_id), int(gone.sum())
        if row is None or not count:
            return 0
        for word in view[gone, 0].tolist():
            self._note(account_id, word)
        kept = view[~gone]
        view[: len(kept)] = kept
        self.arena.cut(row, WIDTH * len(kept))
        return count

    def _note(self, account_id: int, word: int) -> None:
        self._changes().notices.add((account_id, word & ~LOW_BITS))

    # ---- questions ----------------------------------------------------------------------------------------------

    def _table(self, account_id: int) -> Ints:
        row = self._find(account_id)
        return self.arena.data[:0].reshape(0, WIDTH) if row is None else self.arena.view(row).reshape(-1, WIDTH)

    def view(self, account_id: int) -> Ints:
        """Return an account's notices as rows of three words, oldest first: a view until the next change."""
        return self._table(account_id)

    def count(self, account_id: int) -> int:
        """Return how many an account has. O(1)."""
        row = self._find(account_id)
        return 0 if row is None else int(self.arena.length[row]) // WIDTH

    def get(self, account_id: int, notice_id: int) -> Notice | None:
        """Return a notice by its id."""
        view = self._table(account_id)
        place = self._place(view, notice_id)
        return None if place is None else notice_of(*view[place].tolist())

    def find_about(self, account_id: int, actor: int, tweet_id: int, type_numbers: tuple[int, ...]) -> Notice | None:
        """Return the newest notice of some types that somebody has caused by a tweet."""
        view = self._table(account_id)
        of_types = np.isin(view[:, 0] >> 1 & 15, type_numbers)
        places = np.flatnonzero((view[:, 1] == actor) & (view[:, 2] == tweet_id) & of_types)
        return notice_of(*view[places[-1]].tolist()) if len(places) else None

    @staticmethod
    def _place(view: Ints, notice_id: int) -> int | None:
        place = int(np.searchsorted(view[:, 0], notice_id))
        return place if place < len(view) and int(view[place, 0]) & ~LOW_BITS == notice_id else None

    def all(self) -> Iterator[tuple[int, Ints]]:
        """Iterate over (row, its notices as rows of three words)."""
        for row in np.flatnonzero(self.arena.length > 0).tolist():
            yield row, self.arena.view(row).reshape(-1, WIDTH)

    def check(self) -> list[str]:
        """Return violations: of the arena; ids that don't rise, types that there aren't, too many of one account."""
        problems = self.arena.check()
        for row, view in self.all():
            ids = view[:, 0] & ~np.int64(LOW_BITS)
            if len(view) > limits.NOTICES_COUNT_MAX or int(self.arena.length[row]) % WIDTH:
                problems.append(f"row {row} has {int(self.arena.length[row])} words of notices")
            if (np.diff(ids) <= 0).any() or (ids <= 0).any():
                problems.append(f"the notices of row {row} have ids that don't rise")
            if (
                (view[:, 0] >> 1 & 15 >= len(NOTIFICATION_TYPES)).any()
                or (view[:, 1] <= 0).any()
                or (view[:, 2] < 0).any()
            ):
                problems.append(f"a notice of row {row} says what none can")
        return problems
