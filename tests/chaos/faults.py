"""What goes wrong in a chaos run, and when: a plan that follows from the seed.

Rules of this file
- No process, clock or file: the nemesis (nemesis.py) carries the plan out.
- A fault is drawn with everything that it needs, so that the plan is the same whatever the cluster does meanwhile.
  `draw` picks the victim among those that are there when its time comes.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

KINDS = ("kill", "stop", "net", "disk", "clock", "damage", "lanes")
OF_REPLICAS = ("damage", "lanes")  # make sense only where there are several copies
ROLES = ("shard", "api", "router")
KIND_WEIGHTS = {
    "kill": 36, "stop": 18, "net": 18, "disk": 14, "clock": 14, "damage": 8, "lanes": 18,
}  # fmt: skip
ROLE_WEIGHTS = {"shard": 60, "api": 25, "router": 15}
NET_MODES = ("delay", "cut", "cut_request", "cut_answer", "half_close", "hold")
LEADER_SHARE = 0.5  # of the faults that meet a shard with several replicas
LANE_MODES = ("delay", "cut", "hold")
SOON_SHARE, SOON_S, PAUSE_S = 0.3, (0.0, 1.0), (1.0, 6.0)  # so many faults come within a second of the one before
STOP_S, NET_S, DISK_S = (0.1, 5.0), (0.5, 4.0), (1.0, 5.0)
SKEW_S = 1_800.0  # a clock jumps by so much at most, either way


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. after_s: since the one before; draw: 0..1, picks the victim; leader: of a replicated shard; seconds:
    how long it lasts; mode: of NET_MODES or LANE_MODES; skew_s: what the victim's clock is wrong by from then on;
    place: 0..1, what is damaged.
    """

    after_s: float
    kind: str
    role: str
    draw: float
    leader: bool = False
    seconds: float = 0.0
    mode: str = ""
    skew_s: float = 0.0
    place: float = 0.0


def plan(seed: int, kinds: Collection[str], roles: Collection[str], pace: float = 1.0) -> Iterator[Fault]:
    """Yield faults without end. pace: how many times as long the pauses between them are."""
    rng = random.Random(f"chaos:{seed}")
    kind_list, role_list = [k for k in KINDS if k in kinds], [r for r in ROLES if r in roles]
    while True:
        soon = rng.random() < SOON_SHARE
        after_s = pace * rng.uniform(*(SOON_S if soon else PAUSE_S))
        kind = rng.choices(kind_list, [KIND_WEIGHTS[k] for k in kind_list])[0]
        role = rng.choices(role_list, [ROLE_WEIGHTS[r] for r in role_list])[0]
        seconds = {
            "stop": rng.uniform(*STOP_S), "net": rng.uniform(*NET_S), "disk": rng.uniform(*DISK_S),
            "lanes": rng.uniform(*NET_S),
        }  # fmt: skip
        modes, skew_s = {"net": rng.choice(NET_MODES), "lanes": rng.choice(LANE_MODES)}, rng.uniform(-SKEW_S, SKEW_S)
        leader, place = rng.random() < LEADER_SHARE, rng.random()
        yield Fault(
            after_s, kind, "shard" if kind in OF_REPLICAS else role, rng.random(), leader, seconds.get(kind, 0.0),
            modes.get(kind, ""), skew_s if kind == "clock" else 0.0, place if kind == "damage" else 0.0,
        )  # fmt: skip
