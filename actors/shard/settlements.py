"""Writes that are answered once the other shards have them: whoever asks again sees what he did, whichever answers.

    settled [op, args] --> applied --> committed here --> all messages that settle acknowledged there
                                            |                --> what was told in turn here, too --> the answer
                                            +--- patience_s later ------------------------------> the answer, late

Rules of this file
- The write is done as soon as it is committed here; that it is settled is a courtesy with an end. A shard that is away
  costs its writers SETTLE_S, or ELECTED_S while another leader is elected, and the answer says so. With replicas it is
  longer as followers answer reads meanwhile, and don't know of what hasn't been told.
- Numbers of one destination only grow, acknowledged ones too, so what waits for it stands in order.
- A tweet's way to its followers isn't waited for (`core/settling.py`).
- A write that finds itself done already waits for all that is under way: what an earlier one has told may be among it.
  So one that is repeated, because its answer was lost, isn't called settled before it is.

Cost: 5 us of the processor a write that has something to wait for; the wait is a batch to the other shard and its
commit there, and one more batch back for a follow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

from actors.core.errors import RookeryError
from actors.core.features import SETTLES
from actors.core.settling import Sent
from actors.metrics import ShardMetrics
from actors.shard.commits import Commits

SETTLE_S = 0.4  # from the commit here, at most
ELECTED_S = 2.0  # the same where shards have replicas: another one leads by then, mostly within half a second


class Settlement:
    """The answer of one write on its way, in the place of the request that waits for the commit here.

    Its reply: `[is settled, position here, [[shard, position there], ...], body]`.
    """

    __slots__ = ("_body", "_owner", "_position", "_request", "_timer", "positions", "sent", "waits")

    def __init__(self, owner: Settlements, request: Any, sent: Sent, position: int) -> None:
        self._owner, self._request, self._position, self.sent = owner, request, position, sent
        self._body: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self.waits = len(sent.numbers) + len(sent.answered)  # acknowledgements and answers that are still to come
        self.positions: list[list[int]] = []

    def reply(self, body: Any) -> None:
        """The write is committed here: its messages leave from now on. Called by Commits."""
        self._body = body
        if self.waits:
            self._timer = asyncio.get_running_loop().call_later(self._owner.patience_s, self.end, False)
        self._owner.committed(self)

    def fail(self, error: RookeryError) -> None:
        """The write is refused, or won't be committed here. Called by Commits."""
        request, self._request = self._request, None
        request.fail(error)

    def arrived(self, count: int) -> None:
        """So many of what was waited for are there."""
        self.waits -= count
        if not self.waits and self._request is not None:
            self.end(True)

    def end(self, is_settled: bool) -> None:
        """Answer: everything is where it should be, or the patience is over."""
        if self._timer is not None:
            self._timer.cancel()
        request, self._request = self._request, None
        if request is not None:
            self._owner.ended(self, is_settled)
            self._owner.tell(self, request, [is_settled, self._position, self.positions, self._body])


class Settlements:
    """The writes of one shard that wait for other shards."""

    def __init__(self, commits: Commits, metrics: ShardMetrics, has_replicas: bool = False) -> None:
        self._has_replicas = has_replicas
        self._commits, self._metrics, self._state = commits, metrics, commits.state
        self._unacknowledged: dict[int, deque[tuple[int, Settlement]]] = {}  # by shard: (number, who waits), in order
        self._unheard: dict[int, deque[tuple[int, Settlement]]] = {}
        self._waiting: set[Settlement] = set()
        commits.on_refused.append(lambda error: self.give_up())

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def patience_s(self) -> float:
        """How long a write waits at most."""
        return ELECTED_S if self._has_replicas else SETTLE_S

    def begin(self) -> Sent:
        """Note which messages settle of the write that is carried out until `noted`."""
        self._state.sent = sent = Sent(SETTLES, self._state.position)
        return sent

    def noted(self) -> None:
        """The write is applied, or refused: no more messages are its own."""
        self._state.sent = None

    def of(self, request: Any, sent: Sent) -> Settlement:
        """Return who is to be told of the commit in a request's place; the write is applied already."""
        if self._state.position == sent.begun_at:
            for shard, outbox in self._state.outboxes.items():
                if outbox.waiting:
                    sent.numbers[shard] = outbox.next_seq - 1
            sent.answered.update(sent.numbers)
        return Settlement(self, request, sent, self._state.position)

    def committed(self, settlement: Settlement) -> None:
        """Wait for what a write has told, now that it leaves."""
        self._waiting.add(settlement)
        if not settlement.waits:
            settlement.end(True)
        for shard, number in settlement.sent.numbers.items():
            self._unacknowledged.setdefault(shard, deque()).append((number, settlement))

    def acknowledged(self, shard: int, number: int, heard: int, position: int) -> None:
        """A shard has committed all messages up to that number, the last of them at that position of its journal.

        heard: the number of the last message that it was to tell this shard by then.
        """
        for settlement in _up_to(self._unacknowledged.get(shard), number):
            settlement.positions.append([shard, position])
            if shard in settlement.sent.answered:
                if self._state.inbox.get(shard, 0) < heard:
                    self._unheard.setdefault(shard, deque()).append((heard, settlement))
                    settlement.arrived(1)
                else:
                    settlement.arrived(2)
            else:
                settlement.arrived(1)

    def heard(self, shard: int, number: int) -> None:
        """Everything up to that number that a shard has told is applied here."""
        for settlement in _up_to(self._unheard.get(shard), number):
            settlement.arrived(1)

    def ended(self, settlement: Settlement, is_settled: bool) -> None:
        """Count a write that is about to be answered."""
        self._waiting.discard(settlement)
        self._metrics.settled_in_time += is_settled
        self._metrics.settled_late += not is_settled

    def tell(self, settlement: Settlement, request: Any, reply: list[Any]) -> None:
        """Answer a write. What it had others tell this shard is to be committed, and in the position, too."""
        if settlement.sent.answered:
            reply[1] = self._state.position
            self._commits.when_committed(request, reply)
        else:
            request.reply(reply)

    def give_up(self) -> None:
        """Answer everything that waits, as it is: nothing is sent any more."""
        for settlement in list(self._waiting):
            settlement.end(False)


def _up_to(waiting: deque[tuple[int, Settlement]] | None, number: int) -> Iterator[Settlement]:
    while waiting and waiting[0][0] <= number:
        yield waiting.popleft()[1]
