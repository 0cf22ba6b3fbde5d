"""How seldom a process of ours looks for garbage that lies in circles.

A full collection walks all objects that have come since `freeze`: some 0.5 us each, in which nobody is served. Requests
and commands leave no circles behind, and connections none once they are closed, so collecting every 700 allocations
finds nothing. With thousands of connections open a full collection took an API worker 120 ms, several times a minute.
A young one walks what has come since the last, 2 ms.

Modules that are loaded are millions of allocations of which next to nothing is garbage: a shard's process looked 0.6 s
of its 2.9 s of imports for it. So a process that is ours begins with `seldom`, and `collect_seldom` comes once all is
loaded.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (5_000, 200, 50)  # full collections are 50 million allocations apart, less what is freed


def seldom() -> None:
    """Set it so, from the beginning on."""
    gc.set_threshold(*THRESHOLDS)


def collect_seldom() -> None:
    """Set it so, and leave what there is now out of it: it lives as long as the process."""
    seldom()
    gc.freeze()
