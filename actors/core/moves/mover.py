"""Requests of a move, which `cluster/placement/rebalancing.py` asks of a shard's leader: checked, as commands.

    freeze [number]              thaw [number]             remap [epoch, shard_count, owners]
    level [n]                    -> True once the shard may use what is new up to level n (`levels.py`); the router asks
    born []                      -> epoch of the first map that this shard has had
    drained [number]             -> [whether every outbox is empty, messages ever made, position]
    give [number, buckets]       -> how many accounts;   give_part, give_tail [number] -> bytes, b"" at the end
    take [number, buckets]       take_part [number, bytes]
    given, taken [number]        -> facts, equal on both sides once everything is there

`sweep_step` gives the commands that make a shard forget what has moved away; whoever drives the replica runs them
between requests while `sweeping` is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actors.core import arguments, ids, levels
from actors.core.errors import InvalidError, MalformedError, MovedError, OverloadedError
from actors.core.moves.moving import Outgoing, facts, mask_of
from actors.core.moves.parts import PartCheck
from actors.core.moves.sweeping import Sweeper
from actors.core.moves.transfers import Giving
from actors.core.state import ShardState
from actors.core.terms import Prepared, nothing, same

OPERATIONS = (
    "freeze", "thaw", "remap", "level", "born", "drained",
    "give", "give_part", "give_tail", "given", "take", "take_part", "taken",
)  # fmt: skip


class Mover:
    """The moves of one replica."""

    def __init__(self, state: ShardState) -> None:
        self.state = state
        self._sweeper: Sweeper | None = None
        self._swept_at: tuple[int, Any] | None = None
        self._operations: dict[str, Callable[..., Prepared]] = {op: getattr(self, f"_{op}") for op in OPERATIONS}

    def prepare(self, op: str, args: list[Any]) -> Prepared:
        """Check a request. Raises RookeryError."""
        try:
            return self._operations[op](*args)
        except (TypeError, ValueError, AttributeError, LookupError, OverflowError) as error:
            raise MalformedError(f"arguments of {str(op)[:40]} don't fit: {str(error)[:200]}") from error

    # ---- freezing, and the map --------------------------------------------------------------------------------

    def _freeze(self, number: int) -> Prepared:
        if arguments.whole(number, 1, ids.ID_MAX, "number") <= self.state.thawed:
            raise InvalidError(f"freeze {number} has been ended by thaw {self.state.thawed}", "number")
        return Prepared(["freeze", number], same)

    def _thaw(self, number: int) -> Prepared:
        arguments.whole(number, 1, ids.ID_MAX, "number")
        if number <= self.state.thawed and not 0 < self.state.frozen <= number:
            return nothing(True)
        return Prepared(["thaw", number], same)

    def _drained(self, number: int) -> Prepared:
        state = self.state
        if state.frozen != arguments.whole(number, 1, ids.ID_MAX, "number"):
            raise InvalidError(f"shard {state.shard} is not frozen by {number}, but by {state.frozen}", "number")
        empty = not any(outbox.waiting for outbox in state.outboxes.values())
        return nothing([empty, sum(outbox.next_seq for outbox in state.outboxes.values()), state.position])

    def _remap(self, epoch: int, shard_count: int, owners: bytes) -> Prepared:
        arguments.whole(epoch, 1, ids.ID_MAX, "epoch")
        arguments.whole(shard_count, 1, ids.SHARD_COUNT_MAX, "shard_count")
        if type(owners) is not bytes or len(owners) != ids.BUCKET_COUNT or max(owners) >= shard_count:
            raise InvalidError(f"owners must be {ids.BUCKET_COUNT} shard numbers below {shard_count}", "owners")
        if epoch <= self.state.map_epoch:
            return nothing(True)
        self.state.outgoing = None
        own, new = self.state.owner == self.state.shard, np.frombuffer(owners, dtype=np.uint8)
        loses = self.state.incoming is not None or bool((own & (new != self.state.shard)).any())
        return Prepared(["remap", epoch, shard_count, owners], lambda _: loses and self._start_sweeping())

    def _level(self, level: int) -> Prepared:
        arguments.whole(level, 0, ids.ID_MAX, "level")
        levels.require_known(level, "what is asked for")
        return nothing(True) if level <= self.state.level else Prepared(["level", level], lambda _: True)

    def _born(self) -> Prepared:
        return nothing(self.state.born_epoch)

    # ---- giving -----------------------------------------------------------------------------------------------

    def _buckets(self, buckets: list[int]) -> list[int]:
        return sorted({arguments.whole(b, 0, ids.BUCKET_COUNT - 1, "buckets") for b in buckets})

    def _give(self, number: int, buckets: list[int]) -> Prepared:
        wanted, state = self._buckets(buckets), self.state
        arguments.whole(number, 1, ids.ID_MAX, "number")
        foreign = [b for b in wanted if state.owner[b] != state.shard]
        if foreign:
            raise MovedError(f"bucket {foreign[0]} is not on shard {state.shard}")
        state.outgoing = Outgoing(state, number, wanted)
        return nothing(len(state.outgoing.accounts))

    def _outgoing(self, number: int) -> Giving:
        outgoing = self.state.outgoing
        if outgoing is None or outgoing.number != number:
            raise InvalidError(f"shard {self.state.shard} gives nothing by the number {str(number)[:20]}", "number")
        return outgoing

    def _give_part(self, number: int) -> Prepared:
        return nothing(self._outgoing(number).part())

    def _give_tail(self, number: int) -> Prepared:
        return nothing(self._outgoing(number).tail())

    def _given(self, number: int) -> Prepared:
        own, outgoing = self.state.people.own, self._outgoing(number)
        return nothing(facts(self.state, [a for a in outgoing.accounts if own(a) is not None], outgoing.buckets))

    # ---- taking -----------------------------------------------------------------------------------------------

    def _take(self, number: int, buckets: list[int]) -> Prepared:
        wanted, state = self._buckets(buckets), self.state
        arguments.whole(number, 1, ids.ID_MAX, "number")
        own = [b for b in wanted if state.owner[b] == state.shard]
        if own:
            raise InvalidError(f"bucket {own[0]} is on shard {state.shard} already", "buckets")
        if state.incoming is not None and state.incoming.buckets:  # of a move that was given up: its accounts go first
            return Prepared(["take", number, []], lambda _: self._forget_first())
        if not self._is_swept:
            self._forget_first()
        return Prepared(["take", number, wanted], same)

    def _take_part(self, number: int, part: bytes) -> Prepared:
        incoming = self.state.incoming
        if incoming is None or incoming.number != number:
            raise InvalidError(f"shard {self.state.shard} takes nothing by the number {str(number)[:20]}", "number")
        return Prepared(["take_part", number, PartCheck(self.state.people.away, incoming.buckets).check(part)], same)

    def _taken(self, number: int) -> Prepared:
        incoming, away = self.state.incoming, self.state.people.away
        if incoming is None or incoming.number != number:
            raise InvalidError(f"shard {self.state.shard} takes nothing by the number {str(number)[:20]}", "number")
        here = np.fromiter(away, dtype=np.int64, count=len(away))
        arrived = here[mask_of(incoming.buckets)[ids.buckets_of_accounts(here)]].tolist()
        return nothing(facts(self.state, arrived, incoming.buckets))

    # ---- forgetting -------------------------------------------------------------------------------------------

    @property
    def sweeping(self) -> bool:
        """Whether `sweep_step` has something to do."""
        return self._sweeper is not None

    @property
    def _is_swept(self) -> bool:
        return self._swept_at == self._version and self._sweeper is None

    @property
    def _version(self) -> tuple[int, Any]:
        return self.state.map_epoch, self.state.incoming

    def _forget_first(self) -> None:
        self._start_sweeping()
        raise OverloadedError(f"shard {self.state.shard} has still to forget earlier accounts", retry_after_s=0.1)

    def _start_sweeping(self) -> bool:
        if self._swept_at != self._version:
            self._sweeper, self._swept_at = Sweeper(self.state), self._version
        return True

    def lead(self) -> None:
        """Look for what an earlier leader hasn't forgotten any more."""
        if self.state.people.away or self.state.things.in_buckets(self.state.owner != self.state.shard):
            self._start_sweeping()

    def sweep_step(self) -> list[Any] | None:
        """Return a command to run, or None."""
        if self._sweeper is None or self.state.frozen:
            return None
        if self._swept_at != self._version:
            self._sweeper, self._swept_at = Sweeper(self.state), self._version
        command = self._sweeper.step()
        if self._sweeper.done:
            self._sweeper = None
        return command
