"""How well a chaos run was served: reads that failed or took long, and how long writes stood still after a kill.

Rules of this file
- Only requests that went straight to the API count: what the harness's own proxy does to a request is no figure of
  the cluster's.
- Reads are made at fixed times (clients.ReadProbe): a client that waits for an answer would make fewest reads just when
  they fail.
- A read whose connection breaks before its answer is repeated on another connection, as HTTP clients do with a GET. It
  counts once: served if its answer came within SLOW_S of the first attempt, and as repeated.
- A shard is *under a kill* from the kill until the first write that was sent to it afterwards is acknowledged.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from dataclasses import asdict, dataclass, field

SLOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Times: seconds, monotonic. repeats: attempts after the first; why: what a failed one ended with."""

    shard: int
    begin: float
    end: float
    served: bool
    repeats: int = 0
    why: str = ""

    @property
    def slow(self) -> bool:
        """Whether it took longer than a client should wait."""
        return self.end - self.begin > SLOW_S


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9. role: of the process; of several replicas `leader` or `follower`; `shard` for one not up yet.
    shard: None for processes that own none, and for a shard that was not up yet.
    """

    role: str
    at: float
    shard: int | None


@dataclass(frozen=True, slots=True)
class Reads:
    """A group of reads. The shares are of all of them; a read that failed and was slow counts once as unavailable."""

    count: int
    repeated: int
    failed_share: float
    slow_share: float
    unavailable_share: float


@dataclass(frozen=True, slots=True)
class Gaps:
    """Seconds from a kill to the next acknowledged write. open: kills after which there was none."""

    kills: int
    median_s: float
    p99_s: float
    worst_s: float
    open: int


@dataclass(slots=True)
class Availability:
    """Gathers requests and kills."""

    reads: list[Request] = field(default_factory=list)
    writes: list[Request] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def report(self) -> dict[str, dict[str, object]]:
        """Return the figures by group, as plain values."""
        acknowledged = {shard: self._acknowledged(shard) for shard in {w.shard for w in self.writes}}
        everywhere = self._acknowledged(None)
        windows: list[tuple[int, float, float]] = []
        gaps: dict[str, list[float | None]] = {}
        for kill in self.kills:
            gap = _gap(kill.at, everywhere if kill.shard is None else acknowledged.get(kill.shard, []))
            if kill.shard is not None or kill.role != "shard":
                gaps.setdefault(kill.role, []).append(gap)
            if kill.shard is not None:
                windows.append((kill.shard, kill.at, kill.at + gap if gap is not None else float("inf")))

        def under_kill(r: Request) -> bool:
            return any(shard == r.shard and begin < r.end and r.begin < end for shard, begin, end in windows)

        killed = [r for r in self.reads if under_kill(r)]
        others = [r for r in self.reads if not under_kill(r)]
        reads = {"all": self.reads, "of a shard under a kill": killed, "of other shards": others}
        return {
            "reads": {name: asdict(_reads(group)) for name, group in reads.items()},
            "write gaps": {role: asdict(_gaps(found)) for role, found in sorted(gaps.items())},
        }

    def unavailable_reads(self) -> list[Request]:
        """Return the reads that failed or were slow, by the time they began."""
        return sorted((r for r in self.reads if r.slow or not r.served), key=lambda r: r.begin)

    def _acknowledged(self, shard: int | None) -> list[tuple[float, float]]:
        """Return (begin, earliest end of this and later ones) of the acknowledged writes of a shard, by begin."""
        found = sorted((w.begin, w.end) for w in self.writes if w.served and shard in (None, w.shard))
        earliest = float("inf")
        for at in range(len(found) - 1, -1, -1):
            begin, end = found[at]
            earliest = min(earliest, end)
            found[at] = (begin, earliest)
        return found


def _gap(at: float, acknowledged: list[tuple[float, float]]) -> float | None:
    index = bisect_left(acknowledged, (at, 0.0))
    return acknowledged[index][1] - at if index < len(acknowledged) else None


def _reads(group: list[Request]) -> Reads:
    count = len(group)
    failed = sum(not r.served for r in group)
    slow = sum(r.slow for r in group)
    either = sum(not r.served or r.slow for r in group)
    repeated = sum(r.repeats > 0 for r in group)
    return Reads(count, repeated, *(round(n / count, 6) if count else 0.0 for n in (failed, slow, either)))


def _gaps(found: list[float | None]) -> Gaps:
    known = sorted(gap for gap in found if gap is not None)
    p99 = known[min(len(known) - 1, len(known) * 99 // 100)] if known else 0.0
    figures = (statistics.median(known), p99, known[-1]) if known else (0.0, 0.0, 0.0)
    return Gaps(len(found), *(round(s, 3) for s in figures), open=len(found) - len(known))
