"""Compiles every kernel with the types that it is called with, by living through a small history.

`make setup` runs it once (`python -m actors.core.kernels`), which fills Numba's cache on disk; a shard runs it at its
start, which loads the cache, so that no client's first request waits for a compiler.
"""

from __future__ import annotations

import numpy as np

from actors.core import ids, limits
from actors.core.home import Query
from actors.core.replica import Replica


def main() -> None:
    """Exercise each kernel once on a replica of its own."""
    tuning = limits.Tuning(timeline_length=4, pull_threshold=2, arrivals_max=64)
    replica = Replica(0, [0] * ids.BUCKET_COUNT, tuning)
    accounts = list(range(1, 6))
    replica.write("register_many", [[[f"u{a}", a, "", "", None, []] for a in accounts]], 1)
    pairs = np.array([(u, v) for u in accounts for v in accounts[:3] if u != v], dtype="<i8")
    replica.write("follow_many", [pairs[:, 0].tobytes(), pairs[:, 1].tobytes()], 1)
    for account in accounts:
        replica.command(["wake", account])
    for step in range(40):
        author = accounts[step % 5]
        replica.write("post", [author, "warm", 2 if step % 7 == 0 else 0, 0, 0, b"", [], accounts, None], step)
    replica.write("mute", [1, 2], 1)
    replica.write("unfollow", [1, 3], 1)
    replica.write("follow", [1, 3], 1)
    for query in (Query(1, 0, 0, 0, 3), Query(1, 0, 0, 1, 3), Query(4, 0, 0, 0, 3)):
        steps = replica.home_steps(query)
        need = next(steps, None)
        while need is not None:
            answers = {s: replica.read(op, args) for s, (op, args) in need.questions.items()}  # type: ignore[union-attr]
            try:
                need = steps.send(answers)
            except StopIteration:
                need = None
    replica.seal()
    replica.command(["tick", 100 * limits.DAY_MS])


if __name__ == "__main__":
    main()
