"""After `python -m actors.core.warm` nothing is left to compile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COMPILED = "from actors.core import warm; warm.main(); print(sorted(n for n, c in warm.compiled().items() if not c))"
SIMULATED = """
import gc, json
from numba.core.dispatcher import Dispatcher
from actors.core import warm
from tests.sim.test_simulation import test_home_timelines_meet_their_definition_whatever_happens

def kernels():
    return {f"{d.__module__}.{d.__name__}": d for d in gc.get_objects() if isinstance(d, Dispatcher) and d.signatures}

warm.main()
found = kernels()
before = {name: set(d.signatures) for name, d in found.items()}
for seed in range(6):
    test_home_timelines_meet_their_definition_whatever_happens(seed)
print(json.dumps({
    "kernels": len(found),
    "uncached": [name for name, d in found.items() if d.stats.cache_path is None],
    "compiled_by_the_warm_up": [name for name, d in found.items() if d.stats.cache_misses],
    "new_types": [name for name, d in kernels().items() if set(d.signatures) - before.get(name, set())],
}))
"""


def test_the_warm_up_drives_every_kernel():
    result = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_a_cluster_compiles_nothing_after_the_warm_up():
    """Neither does the next process, as all was cached; nor does what the simulation calls have other types."""
    for command in (["-m", "actors.core.warm"], ["-c", SIMULATED]):
        result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["kernels"] > 20
    assert found["uncached"] == found["compiled_by_the_warm_up"] == found["new_types"] == []
