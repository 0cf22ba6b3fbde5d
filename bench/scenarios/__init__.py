"""The scenarios by name. To add one: a module with `run(options, progress) -> Result`, and a line in SCENARIOS."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.results import Result

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What every scenario is told. folder: scratch space; quick: tiny data and short runs, to see that it works."""

    folder: Path
    quick: bool = False
    pairs: int = 5
    seconds: float = 3.0
    generator: str = "wrk"
    auth: str = "token"
    graph: Path | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name, what it measures, and the module that does it."""

    name: str
    summary: str
    module: str

    def run(self, options: Options, progress: Progress) -> Result:
        """Carry it out. The module is imported only now: a list of scenarios shouldn't need Ray."""
        result: Result = importlib.import_module(self.module).run(options, progress)
        return result


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("read", "Home reads of 20 tweets, beside FastAPI + Redis and a static route.", "bench.scenarios.read"),
        Scenario("write", "Durable tweets, beside FastAPI + Redis with AOF.", "bench.scenarios.write"),
        Scenario(
            "mixed", "DeathStarBench's social-network mix, beside FastAPI + Redis with AOF.", "bench.scenarios.mixed"
        ),
        Scenario("load", "Bulk load of follows, beside pipelined SADDs.", "bench.scenarios.load"),
    )
}
