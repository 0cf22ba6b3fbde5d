"""`simulate`: the seeded whole-cluster simulation of tests/sim, one seed after the other, with progress.

Needs tests/ and pytest beside the code (`make setup-dev` installs what it imports); imported only when asked for.
"""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType

from rich.console import Console

from actors.core.errors import NotFoundError
from commands.progress import Bars

MODULE = "tests.sim.test_simulation"


def load_simulation() -> ModuleType:
    """Import the simulation. Raises NotFoundError that says what is missing."""
    try:
        return importlib.import_module(MODULE)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tests"):
            raise NotFoundError("the simulation is part of tests/, which isn't here; run it from a clone") from error
        raise NotFoundError(f"the simulation needs {error.name}; install it with: make setup-dev") from error


def run_seeds(first: int, count: int, steps: int, out: Console, err: Console) -> int:
    """Run simulations; print how to replay those that fail. Returns how many did."""
    simulation, failed = load_simulation(), 0
    with Bars(err) as bars:
        on_count = bars.start("seeds", count)
        for seed in range(first, first + count):
            try:
                work = simulation.run(seed, steps)
                simulation.verify(work)
                simulation.check_counts(work)
                simulation.check_edits(work)
                simulation.check_nothing_is_left(work)
                work.sim.check()
                simulation.verify(work)
            except Exception as error:  # noqa: BLE001  whatever broke is the finding
                failed += 1
                err.print("".join(traceback.format_exception(error)[-3:]), markup=False, highlight=False)
                out.print(f"seed {seed} failed: {type(error).__name__}: {error}", markup=False, highlight=False)
                replay = f"run_cluster.py simulate --first {seed} --seeds 1 --steps {steps}"
                out.print(f"replay with: {replay}", markup=False, highlight=False)
            on_count(1)
    out.print(f"{count - failed} of {count} simulations kept the definition", highlight=False)
    return failed
