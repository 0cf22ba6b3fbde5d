"""Block arenas beside dicts of lists, with buffers so small that every batch grows them half-way."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.core.arena import BlockArena, size_classes
from tests.core.twins import TwinArena

ROWS = 9
ROW, VALUE = st.integers(-1, ROWS - 1), st.integers(0, 12)
BATCH = st.lists(st.tuples(ROW, VALUE), max_size=20)


class ArenaMachine(RuleBasedStateMachine):
    @initialize(dtype=st.sampled_from([np.uint32, np.int32, np.int64]))
    def start(self, dtype) -> None:
        self.arena, self.twin = BlockArena(dtype, rows=2), TwinArena()
        self.arena.data = np.zeros(1, dtype=dtype)
        self.arena.ensure_rows(ROWS)

    @rule(batch=BATCH)
    def append_many(self, batch) -> None:
        rows, values = [r for r, _ in batch], [v for _, v in batch]
        self.arena.append_many(np.array(rows, np.int64), np.array(values, self.arena.data.dtype))
        self.twin.append_many(rows, values)

    @rule(batch=BATCH)
    def append_many_absent(self, batch) -> None:
        rows, values = [r for r, _ in batch], [v for _, v in batch]
        added = self.arena.append_many_absent(np.array(rows, np.int64), np.array(values, self.arena.data.dtype))
        assert added.tolist() == self.twin.append_many_absent(rows, values)

    @rule(row=st.integers(0, ROWS - 1), value=VALUE)
    def append(self, row, value) -> None:
        self.arena.append(row, value)
        self.twin.append_many([row], [value])

    @rule(row=st.integers(0, ROWS - 1), value=VALUE)
    def remove(self, row, value) -> None:
        assert self.arena.contains(row, value) == (value in self.twin.view(row))
        assert self.arena.remove(row, value) == self.twin.remove(row, value)

    @rule(row=st.integers(0, ROWS - 1))
    def clear(self, row) -> None:
        self.arena.clear(row)
        self.twin.rows.pop(row, None)

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
    for longest in (1, 4, 5, 13, 16, 17, 880, 1 << 20):
        sizes = size_classes(longest).tolist()
        assert sizes[-1] == -(-longest // 4) * 4
        assert all(size % 4 == 0 for size in sizes)
        assert sizes == sorted(set(sizes))


def test_a_freed_block_is_used_again_before_the_arena_grows():
    arena = BlockArena(np.uint32)
    for value in range(20):
        arena.append(1, value)
    end = int(arena.meta[0])
    arena.clear(1)
    for value in range(20):
        arena.append(2, value)
    assert int(arena.meta[0]) == end
    assert arena.check() == []
