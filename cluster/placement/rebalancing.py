"""Moving buckets between shards that serve: what is done in which order, and what after each failure.

Rules of this file
- No Ray, no clock, no asyncio: generators that yield what they need (Ask, Pause, Install) and are sent the answer. The
  router drives them over its lanes (cluster/placement/rebalancer.py), the simulation over a network that loses things.
- Everything can end anywhere. What a move has done until the new map is installed, `settle` undoes; from then on
  `settle` completes it. So whoever finds a cluster in an unknown state runs `settle`, and a rebalance goes on from the
  map alone.

Theory: actors/core/moves/moving.py. The order of a move:

    Install (its epoch is the move's number) -> take, give, parts, tails         everybody serves
    freeze all -> all outboxes empty, twice, and no message made in between       writes wait
               -> last tail -> given = taken -> Install(new owners): decided
               -> remap the taker, then all -> thaw all                           writes go on

Two looks that find every outbox empty prove that nothing is under way only if no message was made between them: a shard
that had been looked at may have been given work by one that had not.

Costs: writes wait for some 30 to 100 ms a move; reads don't.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple

from actors.core.errors import OverloadedError, RookeryError
from cluster.placement.shard_map import ShardMap

PARTS_PAUSE_S = 0.005  # between two parts: 256 KiB each, so 50 MB/s at most
TAIL_PARTS_MAX, TAIL_SMALL_BYTES = 50, 4_096  # tails that are sent before the freeze
FREEZE_MAX_S = 0.12  # how long messages may take to drain before the move is given up for now
DRAIN_PAUSE_S = 0.001
RETRY_PAUSE_S = 0.05  # between attempts at what has to be done by all
BORN_TRIES = 400  # for new shards to be up, RETRY_PAUSE_S apart
BUSY_TRIES = 600  # for a taker that is still forgetting, RETRY_PAUSE_S apart
ASK_S, FREEZE_ASK_S, PART_S = 2.0, 0.5, 10.0


class AskLeaders(NamedTuple):
    """Ask some shards' leaders at once: shard -> (operation, arguments). Answered by shard -> body or exception."""

    requests: dict[int, tuple[str, list[Any]]]
    timeout_s: float


class Pause(NamedTuple):
    """Wait."""

    seconds: float


class Install(NamedTuple):
    """Put a newer map on disk, and announce it. Answered by the present map, into which the change has gone."""

    change: Callable[[ShardMap], ShardMap]


Steps = Generator[AskLeaders | Pause | Install, Any, Any]


class MoveFailedError(RookeryError):
    """A move came to nothing; everything is as before."""


def _all(shard_map: ShardMap, op: str, args: list[Any]) -> dict[int, tuple[str, list[Any]]]:
    return dict.fromkeys(range(shard_map.shard_count), (op, args))


def _one(shard: int, op: str, args: list[Any], timeout_s: float = ASK_S) -> Steps:
    """Ask one shard. Raises MoveFailedError, or OverloadedError if it is busy."""
    answer = (yield AskLeaders({shard: (op, args)}, timeout_s))[shard]
    if type(answer) is OverloadedError:
        raise answer
    if isinstance(answer, Exception):
        raise MoveFailedError(f"shard {shard} did not {op}: {answer}")
    return answer


def _by_all(shard_map: ShardMap, op: str, args: list[Any]) -> Steps:
    """Have every shard do something that can be done twice, however long it takes."""
    missing = _all(shard_map, op, args)
    while missing:
        answers = yield AskLeaders(missing, ASK_S)
        missing = {shard: request for shard, request in missing.items() if isinstance(answers[shard], Exception)}
        if missing:
            yield Pause(RETRY_PAUSE_S)


def newer(shard_map: ShardMap) -> ShardMap:
    """Return the same map with the next epoch: a number that nobody has used."""
    return shard_map.with_buckets({})


def settle() -> Steps:
    """Bring every shard to the map, and end every freeze."""
    shard_map: ShardMap = yield Install(newer)
    yield from _by_all(shard_map, "remap", [shard_map.epoch, shard_map.shard_count, shard_map.buckets])
    yield from _by_all(shard_map, "thaw", [shard_map.epoch])


def freeze(shard_map: ShardMap, now: Callable[[], float]) -> Steps:
    """Freeze all shards by the map's epoch and let messages drain; returns the positions. Raises MoveFailedError."""
    number, deadline = shard_map.epoch, now() + FREEZE_MAX_S
    answers = yield AskLeaders(_all(shard_map, "freeze", [number]), FREEZE_ASK_S)
    before = None
    while True:
        failed = {shard: answer for shard, answer in answers.items() if isinstance(answer, Exception)}
        if failed:
            raise MoveFailedError(f"shards {sorted(failed)} don't freeze: {next(iter(failed.values()))}")
        answers = yield AskLeaders(_all(shard_map, "drained", [number]), FREEZE_ASK_S)
        if any(isinstance(answer, Exception) for answer in answers.values()):
            continue
        made = {shard: made for shard, (_, made, _) in answers.items()}
        empty = all(empty for empty, _, _ in answers.values())
        if empty and made == before:
            return {shard: position for shard, (_, _, position) in answers.items()}
        if now() > deadline:
            raise MoveFailedError(f"messages between shards did not drain within {FREEZE_MAX_S * 1000:.0f} ms")
        before = made if empty else None
        yield Pause(DRAIN_PAUSE_S)


def move(source: int, target: int, buckets: list[int], now: Callable[[], float]) -> Steps:
    """Move some buckets. Raises MoveFailedError, with everything as before; now: seconds that only grow."""
    shard_map: ShardMap = yield Install(newer)
    number = shard_map.epoch
    try:
        yield from _copy(source, target, buckets, number)
        yield from freeze(shard_map, now)
        while (yield from _tail(source, target, number)):
            continue
        given, taken = (yield from _one(source, "given", [number])), (yield from _one(target, "taken", [number]))
        if given != taken:
            raise MoveFailedError(f"shard {target} has {taken} of buckets {buckets}, shard {source} gave {given}")
    except MoveFailedError:
        yield from settle()
        raise
    except OverloadedError as error:
        yield from settle()
        raise MoveFailedError(error.message) from error
    new: ShardMap = yield Install(lambda old: old.with_buckets(dict.fromkeys(buckets, target)))
    arguments = [new.epoch, new.shard_count, new.buckets]
    missing = {target: ("remap", arguments)}
    while isinstance((yield AskLeaders(missing, ASK_S))[target], Exception):
        yield Pause(RETRY_PAUSE_S)
    yield from _by_all(new, "remap", arguments)
    yield from _by_all(new, "thaw", [new.epoch])


def _copy(source: int, target: int, buckets: list[int], number: int) -> Steps:
    for left in reversed(range(BUSY_TRIES)):
        try:
            yield from _one(target, "take", [number, buckets])
            break
        except OverloadedError:
            if not left:
                raise
            yield Pause(RETRY_PAUSE_S)
    yield from _one(source, "give", [number, buckets])
    while part := (yield from _one(source, "give_part", [number], PART_S)):
        yield from _one(target, "take_part", [number, part], PART_S)
        yield Pause(PARTS_PAUSE_S)
    for _ in range(TAIL_PARTS_MAX):
        if (yield from _tail(source, target, number)) < TAIL_SMALL_BYTES:
            break


def _tail(source: int, target: int, number: int) -> Steps:
    """Carry over what has changed; returns its bytes."""
    tail = yield from _one(source, "give_tail", [number], PART_S)
    if tail:
        yield from _one(target, "take_part", [number, tail], PART_S)
    return len(tail)


def grow(shard_count: int) -> Steps:
    """Add shards, which own nothing yet. They serve once `welcome` has come to its end."""
    yield Install(lambda old: old.with_shard_count(shard_count))


def welcome(shards: Iterable[int], epoch: int) -> Steps:
    """Wait for new shards, and have everybody know them. epoch: the map's before there were any.

    Returns those whose storage holds what an earlier shard of that number has left: nothing may be moved there.
    Raises MoveFailedError if one doesn't come up.
    """
    missing = dict.fromkeys(shards, ("born", list[Any]()))
    stale = []
    for _ in range(BORN_TRIES):
        answers = yield AskLeaders(dict(missing), ASK_S)
        for shard, born in answers.items():
            if isinstance(born, Exception):
                continue
            del missing[shard]
            if born <= epoch:
                stale.append(shard)
        if not missing:
            if not stale:
                yield from settle()
            return stale
        yield Pause(RETRY_PAUSE_S)
    raise MoveFailedError(f"shards {sorted(missing)} are not up yet")


def shrink(shard_count: int, now: Callable[[], float]) -> Steps:
    """Give up the last shards, which own nothing any more. Raises MoveFailedError, with everything as before."""
    shard_map: ShardMap = yield Install(newer)
    try:
        yield from freeze(shard_map, now)
    except MoveFailedError:
        yield from settle()
        raise
    yield Install(lambda old: old.with_shard_count(shard_count))
    yield from settle()


def plan(buckets: Iterable[int], shard_count: int, at_once: int) -> list[tuple[int, int, list[int]]]:
    """Return moves (source, target, buckets) after which every shard owns the same number of buckets, within one.

    As few buckets move as can be, `at_once` in a move. A shard from shard_count on is left with none.
    """
    owned: dict[int, list[int]] = {shard: [] for shard in range(shard_count)}
    for bucket, owner in enumerate(buckets):
        owned.setdefault(owner, []).append(bucket)
    total = sum(map(len, owned.values()))
    by_size = sorted(range(shard_count), key=lambda shard: (-len(owned[shard]), shard))
    wanted = {shard: total // shard_count + (rank < total % shard_count) for rank, shard in enumerate(by_size)}
    spare = [(shard, b) for shard in sorted(owned) for b in owned[shard][wanted.get(shard, 0) :]]
    moves: dict[tuple[int, int], list[int]] = {}
    for target in range(shard_count):
        for _ in range(wanted[target] - len(owned[target])):
            source, bucket = spare.pop(0)
            moves.setdefault((source, target), []).append(bucket)
    return [
        (source, target, found[first : first + at_once])
        for (source, target), found in moves.items()
        for first in range(0, len(found), at_once)
    ]
