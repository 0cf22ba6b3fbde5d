"""What stands for `ShardActor` in a process that makes shard actors and is none: the router's.

    router: make_shard() -> ShardStandIn --pickled by Ray, as "actors.shard_actor:ShardActor"--> shard's process

Ray wants the class of an actor that it makes, for the names and arguments of its methods. The class itself brings the
kernels, Numba and DuckDB with it: a second of the processor at each start of a router, and their memory as long as it
runs.

Rules of this file
- The stand-in has each public method of the class, with the same arguments, and no other; tests hold it to that.
- What is pickled names the class at PLACE, and StandIn and the methods here, which keep their paths (actors/moved.py).
"""

from __future__ import annotations

import copyreg
import pkgutil
from typing import Any, Final

PLACE: Final = "actors.shard_actor:ShardActor"


def _real() -> Any:
    return pkgutil.resolve_name(PLACE)  # 4 us, in calls through Ray


class StandIn(type):
    """A class that is pickled as the one at PLACE."""


def _reduce(_: type) -> tuple[Any, tuple[str]]:
    return pkgutil.resolve_name, (PLACE,)


copyreg.pickle(StandIn, _reduce)  # for types, too, where their class isn't `type` itself


class ShardStandIn(metaclass=StandIn):
    """The methods of `ShardActor`, for Ray to know; it wraps each in a class of its own, so they lead to the real."""

    def __init__(self, shard: int, index: int, settings: dict[str, Any]) -> None:
        _real().__init__(self, shard, index, settings)

    def handle(self, request: Any) -> None:
        _real().handle(self, request)

    def status(self) -> dict[str, Any]:
        return _real().status(self)  # type: ignore[no-any-return]

    async def join(self) -> dict[str, Any] | None:
        return await _real().join(self)  # type: ignore[no-any-return]

    async def ping(self) -> dict[str, Any] | None:
        return await _real().ping(self)  # type: ignore[no-any-return]

    async def stop(self) -> int:
        return await _real().stop(self)  # type: ignore[no-any-return]

    async def retire(self) -> None:
        await _real().retire(self)

    async def lane_call(self, op: str, args: list[Any]) -> list[Any]:
        return await _real().lane_call(self, op, args)  # type: ignore[no-any-return]

    async def deliver(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> int:
        return await _real().deliver(self, source, term, first_seq, count, batch)  # type: ignore[no-any-return]

    async def deliver_told(self, source: int, term: int, first_seq: int, count: int, batch: bytes) -> list[int]:
        return await _real().deliver_told(self, source, term, first_seq, count, batch)  # type: ignore[no-any-return]


# Under this name Ray shows the process to whoever lists processes. The alias is how cloudpickle finds a class to be one
# of a module's; only such a class it leaves to `copyreg`.
ShardStandIn.__name__ = ShardStandIn.__qualname__ = PLACE.partition(":")[2]
ShardActor = ShardStandIn


def make_shard(shard: int, index: int, settings: dict[str, Any]) -> tuple[type, dict[str, Any]]:
    """Tell the router how to make a shard actor (`shard_factory` of cluster/router_actor.py)."""
    return ShardStandIn, {"shard": shard, "index": index, "settings": settings}
