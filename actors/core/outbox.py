"""Numbered messages between shards: sent until acknowledged, applied exactly once and in order.

    source                                          destination
    push(message) -> seq 7, 8, 9   --- batch --->   Inbox: last applied 6 -> applies 7, 8, 9 -> 9
    trim(9)                        <--- 9 -------

A message is packed once, also when it goes to several shards. `Outbox` remembers at which journal position a message
was made: it may only leave when that position is durable. The contents are a function of the journal, so a restarted
source sends again what may have been sent before, and the destination's number decides.
"""

from __future__ import annotations

from collections import deque

from actors.core import limits


class Outbox:
    """Messages to one destination shard that it has not acknowledged yet."""

    __slots__ = ("bytes_waiting", "next_seq", "waiting")

    def __init__(self) -> None:
        self.next_seq = 1
        self.waiting: deque[tuple[int, int, bytes]] = deque()
        self.bytes_waiting = 0

    def push(self, position: int, message: bytes) -> None:
        """Append a message made by the command at that journal position. O(1)."""
        self.waiting.append((self.next_seq, position, message))
        self.next_seq += 1
        self.bytes_waiting += len(message)

    def trim(self, seq: int) -> None:
        """Forget messages up to and including seq."""
        while self.waiting and self.waiting[0][0] <= seq:
            self.bytes_waiting -= len(self.waiting.popleft()[2])

    def batch(self, durable_position: int) -> tuple[int, list[bytes]]:
        """Return (number of the first, messages) to send next: durable ones, within the batch limits; may be empty."""
        messages: list[bytes] = []
        size = 0
        for _, position, message in self.waiting:
            size += len(message)
            over = len(messages) == limits.BATCH_COUNT_MAX or (messages and size > limits.BATCH_BYTES_MAX)
            if position > durable_position or over:
                break
            messages.append(message)
        return (self.waiting[0][0] if self.waiting else self.next_seq), messages

    def check(self) -> list[str]:
        """Return violations: numbers go on without a gap up to next_seq; positions never fall."""
        numbers = [seq for seq, _, _ in self.waiting]
        problems = []
        if numbers != list(range(self.next_seq - len(numbers), self.next_seq)):
            problems.append(f"outbox numbers {numbers[:3]}...{numbers[-3:]} don't lead up to {self.next_seq}")
        positions = [position for _, position, _ in self.waiting]
        if positions != sorted(positions):
            problems.append("outbox positions fall")
        if self.bytes_waiting != sum(len(m) for _, _, m in self.waiting):
            problems.append("outbox byte count is off")
        return problems
