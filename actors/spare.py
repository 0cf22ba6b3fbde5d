"""What a worker of Ray imports while it waits to become a shard: see cluster/spare_workers.py.

Ray imports this module by its name, in each worker, before the worker takes work. So it does its work when imported.
"""

from __future__ import annotations

from cluster import spare_workers


def prepare() -> None:
    """Load everything that a shard needs: modules, compiled kernels, DuckDB's library. 2 s of CPU."""
    import actors.shard_actor  # noqa: F401
    from actors.core import warm

    warm.main()


if spare_workers.are_wanted():
    prepare()
