"""Block arenas beside dicts of lists, with buffers so small that every batch grows them half-way."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core.arrays import arena as arena_module
from actors.core.arrays.arena import BlockArena, size_classes
from actors.core.arrays.arena_kernels import META_BUMP, META_LIVE
from actors.core.arrays.memory import Reserved
from tests.core.twins import TwinArena

ROWS = 9
ROW, VALUE = st.integers(-1, ROWS - 1), st.integers(0, 12)
BATCH = st.lists(st.tuples(ROW, VALUE), max_size=20)


def are(*dtypes) -> Callable[[ArenaMachine], bool]:
    """Whether an arena's elements are of these: what no shard does with others isn't compiled here, 1 s each."""
    return lambda machine: machine.arena.data.dtype in dtypes


class ArenaMachine(RuleBasedStateMachine):
    @initialize(dtype=st.sampled_from([np.uint32, np.int32, np.int64]), tidy_from=st.sampled_from([4, 24, 1 << 20]))
    def start(self, dtype, tidy_from) -> None:
        """With little waste to tolerate, every few changes slide some blocks."""
        self.arena, self.twin = BlockArena(dtype, rows=2, tidy_from=tidy_from), TwinArena()
        self.arena.data = np.zeros(1, dtype=dtype)
        self.arena.ensure_rows(ROWS)

    @rule(batch=BATCH)
    def append_many(self, batch) -> None:
        rows, values = [r for r, _ in batch], [v for _, v in batch]
        self.arena.append_many(np.array(rows, np.int64), np.array(values, self.arena.data.dtype))
        self.twin.append_many(rows, values)

    @precondition(are(np.int64))
    @rule(batch=BATCH)
    def append_many_absent(self, batch) -> None:
        rows, values = [r for r, _ in batch], [v for _, v in batch]
        added = self.arena.append_many_absent(np.array(rows, np.int64), np.array(values, self.arena.data.dtype))
        assert added.tolist() == self.twin.append_many_absent(rows, values)

    @rule(row=st.integers(0, ROWS - 1), value=VALUE)
    def append(self, row, value) -> None:
        self.arena.append(row, value)
        self.twin.append_many([row], [value])

    @precondition(are(np.int32, np.int64))
    @rule(row=st.integers(0, ROWS - 1), value=VALUE)
    def remove(self, row, value) -> None:
        assert self.arena.contains(row, value) == (value in self.twin.view(row))
        assert self.arena.remove(row, value) == self.twin.remove(row, value)

    @rule(row=st.integers(0, ROWS - 1))
    def clear(self, row) -> None:
        self.arena.clear(row)
        self.twin.rows.pop(row, None)

    @rule(divisor=st.sampled_from([2, 8, 1000]))
    def tidy(self, divisor) -> None:
        was_tidying = self.arena.is_tidying  # what was freed behind the cursor meanwhile waits for the next round
        if not self.arena.tidy(divisor) and not was_tidying and divisor == 1000:
            assert self.arena.waste < max(self.arena.tidy_from, 4)

    @rule(rows=st.integers(1, 40))
    def ensure_rows(self, rows) -> None:
        self.arena.ensure_rows(rows)

    @invariant()
    def equal_and_sound(self) -> None:
        if hasattr(self, "arena"):
            assert self.arena.check() == []
            for row in range(ROWS):
                assert self.arena.view(row).tolist() == self.twin.view(row)


TestArena = ArenaMachine.TestCase


def test_size_classes_are_multiples_of_four_that_end_at_the_longest_row():
    for longest, thrifty in itertools.product((1, 4, 5, 13, 16, 17, 880, 1 << 20), (True, False)):
        sizes = size_classes(longest, thrifty).tolist()
        assert sizes[-1] == -(-longest // 4) * 4
        assert all(size % 4 == 0 for size in sizes)
        assert sizes == sorted(set(sizes))


def test_a_freed_block_is_used_again_before_the_arena_grows():
    arena = BlockArena(np.uint32)
    for value in range(20):
        arena.append(1, value)
    end = int(arena.meta[META_BUMP])
    arena.clear(1)
    for value in range(20):
        arena.append(2, value)
    assert int(arena.meta[META_BUMP]) == end
    assert arena.check() == []


def test_rows_that_grow_in_step_leave_no_waste_behind_once_tidied():
    """A bulk load's way: every row passes through every class, and hardly one stays in a small one."""
    arena, rows = BlockArena(np.uint32, tidy_from=64), np.arange(500, dtype=np.int64)
    arena.ensure_rows(500)
    for value in range(200):
        arena.append_many(rows[: 480 + value % 21], np.full(480 + value % 21, value, dtype=np.uint32))
    used = int(arena.meta[META_LIVE])
    assert arena.meta[META_BUMP] < 2 * used
    while arena.tidy(1 << 30):
        assert arena.check() == []
    assert arena.meta[META_BUMP] <= used + 64
    assert arena.view(0).tolist() == list(range(200))
    assert arena.check() == []


def test_a_large_arena_moves_into_a_reservation_and_gives_memory_back(monkeypatch):
    monkeypatch.setattr(arena_module, "RESERVE_FROM_ELEMENTS", 4096)
    arena = BlockArena(np.int64, tidy_from=4096)
    arena.ensure_rows(4000)
    rows = np.repeat(np.arange(4000, dtype=np.int64), 100)
    arena.append_many(rows, np.tile(np.arange(100, dtype=np.int64), 4000))
    assert arena.check() == []
    before = arena.nbytes()
    for row in range(3900):
        arena.clear(row)
    while arena.tidy(8):
        pass
    assert arena.nbytes() < before / 4
    assert arena.view(3950).tolist() == list(range(100))
    assert not arena.data[arena.meta[META_BUMP] + (1 << 20) :][:4096].any()
    assert arena.check() == []


def test_a_full_reservation_is_said_to_be_full(monkeypatch):
    monkeypatch.setattr(arena_module, "RESERVE_FROM_ELEMENTS", 4096)
    monkeypatch.setattr(arena_module, "Reserved", lambda dtype: Reserved(dtype, 1 << 20))
    arena = BlockArena(np.int64)
    with pytest.raises(MemoryError, match="1048576 elements is full"):
        arena.append_many(np.zeros(1 << 20, dtype=np.int64), np.zeros(1 << 20, dtype=np.int64))
