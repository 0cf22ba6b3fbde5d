"""Read-your-writes over HTTP: the header `Rookery-Position`, which a client sends back to see what it has written.

Rules of this file
- To clients the value is opaque. It is `shard.position` for each shard that was written to, with commas between: the
  journal position that a replica must have reached. Whatever has this form is taken, also of shards that don't exist.
- A request's positions travel in a context variable, so that routes needn't know of them: the cluster's client reads
  them before a read and adds to them after a write.
- Who was told by a shard that something has happened knows no position: what he reads then is read of primaries, since
  a follower that is behind would say that there is no such thing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from api.limits import POSITION_COUNT_MAX

POSITION_HEADER = "Rookery-Position"
_HEADER = POSITION_HEADER.lower().encode()
_FORM = re.compile(rb"[0-9]{1,3}\.[0-9]{1,19}(?: ?, ?[0-9]{1,3}\.[0-9]{1,19}){0,%d}" % (POSITION_COUNT_MAX - 1))
POSITION_PATTERN = rf"^[0-9]{{1,3}}\.[0-9]{{1,19}}(,[0-9]{{1,3}}\.[0-9]{{1,19}}){{0,{POSITION_COUNT_MAX - 1}}}$"

# Shard -> position of the request that is being served; None outside of requests that came through edge.py.
positions_of_request: ContextVar[dict[int, int] | None] = ContextVar("positions_of_request", default=None)
_reads_fresh: ContextVar[bool] = ContextVar("reads_fresh", default=False)


def must_read_fresh() -> bool:
    """Whether what is read now is read of primaries, as long as they can be reached."""
    return _reads_fresh.get()


@contextmanager
def reading_fresh() -> Iterator[None]:
    """Read of primaries while the block runs, also in tasks that it begins."""
    token = _reads_fresh.set(True)
    try:
        yield
    finally:
        _reads_fresh.reset(token)


def positions_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[int, int]:
    """Return shard -> position as a request's headers (names in lower case) say; empty if they don't.

    Raises MalformedError or InvalidError. Cost: 0.3 us without the header.
    """
    given = [value for name, value in headers if name == _HEADER]
    if not given:
        return {}
    value = b",".join(given)
    if not _FORM.fullmatch(value):
        raise MalformedError(f"{POSITION_HEADER} must be as an earlier answer gave it, such as 0.42", POSITION_HEADER)
    positions: dict[int, int] = {}
    for part in value.split(b","):
        shard, position = (int(number) for number in part.split(b"."))
        if position > ID_MAX:
            raise InvalidError(f"{POSITION_HEADER} may have positions up to {ID_MAX}", POSITION_HEADER)
        positions[shard] = max(position, positions.get(shard, 0))
    return positions


def position_header(given: Mapping[int, int], now: Mapping[int, int]) -> tuple[bytes, bytes] | None:
    """Return the header that holds what was given and what was written since; None if nothing was written."""
    written = {shard: position for shard, position in now.items() if given.get(shard) != position}
    if not written:
        return None
    merged = {**{shard: position for shard, position in given.items() if shard not in written}, **written}
    newest = list(merged.items())[-POSITION_COUNT_MAX:]
    return _HEADER, ",".join(f"{shard}.{position}" for shard, position in newest).encode()
