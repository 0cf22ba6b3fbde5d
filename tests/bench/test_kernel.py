"""The bare kernel delivers what it says, and so does what it is compared with."""

from __future__ import annotations

import numpy as np

from bench.kernel import Kernel, kernel_processes
from bench.scenarios.kernel import RING_LENGTH, SORTED_BELOW, NumpyRings, write_at


def test_every_follower_gets_every_tweet_and_the_clock_runs():
    kernel = Kernel(100, (0, 0))
    audience = kernel.audience(np.array([7, 7]))
    done = kernel.run(audience, 2, seconds=0.0, batch=10)
    assert (done.tweets, done.deliveries) == (10, 70)
    assert done.seconds > 0
    assert kernel.rings.check() == []
    assert kernel.rings.arena.length.sum() == 70


def test_rings_are_filled_between_least_and_most_before_the_clock_starts():
    kernel = Kernel(500, (30, 40))
    lengths = kernel.rings.arena.length[:500]
    assert lengths.min() >= 30
    assert lengths.max() < 40
    assert len(set(lengths.tolist())) > 3
    assert kernel.rings.check() == []


def test_processes_wait_until_they_are_told_and_run_as_often_as_asked():
    with kernel_processes(2, 50, (0, 0), np.array([5, 10]), batch=20) as kernels:
        for _ in range(2):
            runs = kernels.run(0.0)
            assert [run.tweets for run in runs] == [20, 20]
            assert all(100 <= run.deliveries <= 200 for run in runs)
        processes = kernels.processes
    assert all(process.poll() is not None for process in processes)


def test_both_ways_of_numpy_leave_the_same_rings():
    rng = np.random.default_rng(3)
    batches = [[rng.choice(60, size, replace=False) for _ in range(30)] for size in (SORTED_BELOW - 1, 8, 3)]
    at_once, one_by_one = NumpyRings(60), NumpyRings(60)
    for number, followers in enumerate(batches):
        ns = np.arange(30, dtype=np.uint32) + 30 * number
        at_once.deliver(followers, ns)
        for rows, n in zip(followers, ns, strict=True):
            for row in rows.tolist():
                one_by_one.flat[row * RING_LENGTH + one_by_one.head[row] % RING_LENGTH] = n
                one_by_one.head[row] += 1
    assert np.array_equal(at_once.flat, one_by_one.flat)
    assert np.array_equal(at_once.head, one_by_one.head)


def test_numpy_rings_are_circular():
    rings, everybody = NumpyRings(100), np.arange(100)
    for n in range(RING_LENGTH + 5):
        rings.deliver([everybody], np.array([n], dtype=np.uint32))
    ring = rings.flat[:RING_LENGTH]
    assert ring[:5].tolist() == list(range(RING_LENGTH, RING_LENGTH + 5))
    assert ring[5] == 5


def test_random_writes_write():
    data = np.zeros(10, dtype=np.uint32)
    write_at(data, np.array([3, 7]), np.uint32(9))
    assert np.nonzero(data)[0].tolist() == [3, 7]
