"""Damage to bytes as disks, networks and enemies do it, and what decoding may take of memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from hypothesis import strategies as st

LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00")
EXAMPLES_SHARE = 2  # a test with tracemalloc, or of whole files, runs half as many examples as the profile says


@st.composite
def mutated(draw: st.DrawFn, whole: bytes, times_max: int = 3) -> bytes:
    """Flip bits, cut, double, insert, or blow up four bytes that may be a length; up to so many times."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, times_max))):
        how = draw(st.sampled_from(["flip", "cut", "drop", "double", "insert", "length"]))
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(1, 64)))
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at:end]
        elif how == "double":
            data[at:at] = data[at:end]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        else:
            data[at : at + 4] = draw(st.sampled_from(LENGTHS))
    return bytes(data)


def peak_bytes(work: Callable[[], object]) -> int:
    """Return how much memory some work allocated at most, what it raised included."""
    tracemalloc.start()
    try:
        work()
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak
