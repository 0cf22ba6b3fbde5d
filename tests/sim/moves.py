"""Moves of buckets in a simulated cluster: `cluster/placement/rebalancing.py`, over a network that loses things."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.core.errors import MovedError, RookeryError
from cluster.placement import rebalancing
from cluster.placement.rebalancing import Install, MoveFailedError, Pause, Steps

if TYPE_CHECKING:
    from tests.sim.cluster import SimCluster

LOSS, ANSWER_MS_MAX = 0.01, 400


class SimMoves:
    """Carries out one coordinator's steps after the other. A router that goes away forgets what it was about."""

    def __init__(self, sim: SimCluster) -> None:
        self.sim = sim
        self.steps: Steps | None = None
        self.ended: Callable[[bool], None] = lambda done: None
        self.move_count = 0

    def now(self) -> float:
        """Seconds in which messages drain: those of the simulation are slow."""
        return self.sim.now / 1000 / 40

    def start(self, steps: Steps, ended: Callable[[bool], None] = lambda done: None) -> None:
        self.steps, self.ended = steps, ended
        self._go_on(steps, None)

    def forget(self) -> None:
        self.steps = None

    def look(self) -> None:
        """Settle what a router that went away has left."""
        router, sim = self.sim.router, self.sim
        if self.steps is None and all(shard.leads for shard in sim.shards):
            states = [shard.replica.state for shard in sim.shards]
            if any(s.frozen or s.incoming or bytes(s.owner.tolist()) != router.map.buckets for s in states):
                self.start(rebalancing.settle())

    def _go_on(self, steps: Steps, answer: Any) -> None:
        if self.steps is not steps or not self.sim.router.there:
            return
        try:
            need = steps.send(answer)
        except StopIteration:
            self.steps = None
            self.ended(True)
            return
        except MoveFailedError:
            self.steps = None
            self.ended(False)
            return
        if isinstance(need, Install):
            self.sim.router.map = need.change(self.sim.router.map)
            self.sim.resize()
            self._later(1, steps, self.sim.router.map)
        elif isinstance(need, Pause):
            self._later(max(1, int(need.seconds * 1000)), steps, None)
        else:
            self._ask(steps, need.requests)

    def _later(self, ms: int, steps: Steps, answer: Any) -> None:
        self.sim.after(ms, lambda: self._go_on(steps, answer))

    def _ask(self, steps: Steps, requests: dict[int, tuple[str, list[Any]]]) -> None:
        answers: dict[int, Any] = {}

        def note(shard: int, body: Any) -> None:
            if shard not in answers:
                answers[shard] = body
                if len(answers) == len(requests):
                    self._go_on(steps, answers)

        for shard, (op, args) in requests.items():
            self.ask_one(shard, op, args, lambda body, shard=shard: note(shard, body))

    def ask_one(self, shard: int, op: str, args: list[Any], answered: Callable[[Any], None]) -> None:
        sim, replica = self.sim, self.sim.shards[shard]

        def back(body: Any) -> None:
            if not (sim.faults and sim.rng.random() < LOSS):
                sim.after(sim.rng.randrange(1, 4), lambda: answered(body))

        def arrive() -> None:
            if not replica.leads:
                back(MovedError("another replica leads"))
                return
            try:
                record, body = replica.replica.move(op, args)
            except RookeryError as error:
                record, body = None, error
            replica.commit(record, lambda: back(body))
            replica.sweep_soon()

        if not (sim.faults and sim.rng.random() < LOSS):
            sim.after(sim.rng.randrange(1, 4), replica.guarded(arrive))
        sim.after(ANSWER_MS_MAX, lambda: answered(TimeoutError("no answer")))
