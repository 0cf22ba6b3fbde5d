"""The figures in the headers of marks, papers and due: `python -m tests.core.measure_shelves`. Not a test; 20 s."""

from __future__ import annotations

import time
import tracemalloc
from functools import partial

import numpy as np

from actors.core.stores.due import Due
from actors.core.stores.marks import Marks
from actors.core.stores.papers import Papers, pack_document

LIKES, LIKERS, RATED = 1, 2, 3
ACCOUNTS, LIKES_EACH, LIKERS_EACH = 10_000, 100, 5
NOW_MS = 1_700_000_000_000
ROUNDS = 5


def microseconds(act, times: int) -> float:
    """Return what one act takes of the processor, in the best of some rounds: other processes only make it longer."""
    act()
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(times):
            act()
        best = min(best, (time.thread_time() - begin) / times)
    return best * 1e6


def tell(what: str, value: float, unit: str) -> None:
    print(f"{what:<60} {value:10.2f} {unit}")


def likes_with_their_reverse(rng: np.random.Generator) -> None:
    """A like as both of its shelves, put one by one, in random order: what a shard pays for it, all in."""
    marks = Marks()
    marks.declare(LIKES, dense=True)
    marks.declare(LIKERS, dense=True)
    accounts = rng.permutation(np.repeat(np.arange(ACCOUNTS), LIKES_EACH))
    tweets = rng.permutation(np.repeat(np.arange(len(accounts) // LIKERS_EACH), LIKERS_EACH))
    begin = time.thread_time()
    for i, (account, tweet) in enumerate(zip(accounts.tolist(), tweets.tolist(), strict=True)):
        marks.put(LIKES, account, tweet << 16 | account, NOW_MS + i)
        marks.put(LIKERS, tweet, account, NOW_MS + i)
    tell("a like put, both sides", (time.thread_time() - begin) / len(accounts) * 1e6, "us")
    tell(
        f"a like and its reverse ({LIKES_EACH} an account, {LIKERS_EACH} a tweet)", marks.nbytes() / len(accounts), "B"
    )
    while marks.arena.tidy(64):
        pass
    tell("the same after idle tidying", marks.nbytes() / len(accounts), "B")


def long_shelves(rng: np.random.Generator) -> None:
    """Shelves of 500 to 3,000 marks that grew one by one."""
    marks = Marks()
    marks.declare(LIKES, dense=True)
    lengths = rng.integers(500, 3_000, 200)
    for place, length in enumerate(lengths.tolist()):
        for key in range(1, length + 1):
            marks.put(LIKES, place, key, NOW_MS)
    while marks.arena.tidy(64):
        pass
    tell("a mark on shelves of 500 to 3,000", marks.nbytes() / marks.total, "B")


def flags(rng: np.random.Generator) -> None:
    marks = Marks()
    marks.declare(LIKES, dense=True)
    for place, length in enumerate((20, 1_000, 10_000, 100_000)):
        keys = rng.integers(1, 1 << 62, length)
        marks.fill(LIKES, np.full(length, place), keys, np.arange(1, length + 1))
        wanted = np.concatenate([keys[:5], rng.integers(1, 1 << 62, 15)])
        flagged = partial(marks.flags, (marks.row_of(LIKES, place), 0), (1, 2), wanted)
        tell(f"flags of 20 keys against {length:,}", microseconds(flagged, 300), "us")
        tell("    whether one is there", microseconds(lambda: marks.contains(LIKES, place, 7), 300), "us")  # noqa: B023
        tell("    a page of 20", microseconds(lambda: marks.page(LIKES, place, length // 2, 20), 300), "us")  # noqa: B023


def bulk(rng: np.random.Generator) -> None:
    count = 1_000_000
    places = np.repeat(rng.permutation(count // LIKERS_EACH), LIKERS_EACH)
    keys, stamps = rng.integers(1, 1 << 62, count), NOW_MS << 16 | np.arange(count)
    mixed = rng.permutation(count)
    for name, dense in (("dense", True), ("sparse", False)):
        for order, taken in (("as dumped", np.lexsort((stamps, places))), ("in random order", mixed)):
            columns = [column[taken].copy() for column in (places if dense else places * 977 + 1, keys, stamps)]
            best = float("inf")
            for _ in range(3):
                marks = Marks()
                marks.declare(RATED, dense)
                begin = time.thread_time()
                marks.fill(RATED, *columns)
                best = min(best, time.thread_time() - begin)
            tell(f"fill of a million, {name}, {order}", best, "s")
        begin = time.thread_time()
        marks.dump(RATED)
        tell("    dump of them", time.thread_time() - begin, "s")
    columns = [np.zeros(count, dtype=np.int64), keys, rng.permutation(stamps)]
    marks = Marks()
    marks.declare(RATED, True)
    begin = time.thread_time()
    marks.fill(RATED, *columns)
    tell("fill of one shelf of a million, in random order", time.thread_time() - begin, "s")


def papers(rng: np.random.Generator) -> None:
    count, kept = 200_000, Papers()
    owners = rng.integers(1, 1 << 62, count).tolist()
    document = {"title": "friends", "policy": 1, "members": [1, 2, 3], "text": "y" * 40}
    packed = pack_document(document)
    tracemalloc.start()
    for owner in owners:
        kept.put_packed(1, owner, 0, packed)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    tell(f"a paper of {len(packed)} bytes, beside them", held / count - len(packed), "B")
    tell("    as nbytes() has it", kept.nbytes() / count - len(packed), "B")
    turn = iter(range(1 << 30))

    def next_owner() -> int:
        return owners[next(turn) * 7919 % count]

    tell("get, read before", microseconds(lambda: kept.get(1, owners[0]), 1_000), "us")
    tell("get, not read before", microseconds(lambda: kept.get(1, next_owner()), 1_000), "us")
    tell("packed", microseconds(lambda: kept.packed(1, next_owner()), 1_000), "us")
    tell("keys", microseconds(lambda: kept.keys(1, next_owner()), 1_000), "us")
    tell(
        "put, changed", microseconds(lambda: kept.put(1, next_owner(), 0, {**document, "at": next(turn)}), 1_000), "us"
    )
    tell(
        "put and drop of another",
        microseconds(lambda: (kept.put(1, next_owner(), 5, document), kept.drop(1, owners[0], 5)), 1_000),
        "us",
    )
    begin = time.thread_time()
    columns = kept.dump(1)
    tell("dump of 200,000", time.thread_time() - begin, "s")
    begin = time.thread_time()
    Papers().fill(1, *columns)
    tell("fill of 200,000", time.thread_time() - begin, "s")


def due(rng: np.random.Generator) -> None:
    count, kept = 100_000, Due()
    times = rng.integers(0, 1 << 40, count).tolist()
    owners = rng.integers(1 << 40, 1 << 62, count).tolist()
    tracemalloc.start()
    for at_ms, owner in zip(times, owners, strict=True):
        kept.put(at_ms, owner, 3, owner + 1)
    tell("a thing that falls due", tracemalloc.get_traced_memory()[0] / count, "B")
    tracemalloc.stop()
    turn = iter(range(1 << 30))

    def put_off() -> None:
        i = next(turn) * 7919 % count
        kept.put(times[i] + next(turn), owners[i], 3, owners[i] + 1)

    tell("put off", microseconds(put_off, 20_000), "us")
    begin = time.thread_time()
    assert len(kept.take(1 << 60, count)) == count
    tell("take, each", (time.thread_time() - begin) / count * 1e6, "us")


def main() -> None:
    rng = np.random.default_rng(7)
    for measure in (likes_with_their_reverse, long_shelves, flags, bulk, papers, due):
        measure(rng)


if __name__ == "__main__":
    main()
