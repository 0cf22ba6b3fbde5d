"""Reads that another request carries: `at` a position of the journal, or in a shape (`["shaped", [number, op, args]]`).

Rules of this file
- What is carried is answered as if it had been asked for by itself; a shape changes how tweets are shown, and nothing
  of who sees them.
- `shaped` carries no `shaped`, and no write: whoever writes is answered natively.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.core.errors import InvalidError, MalformedError
from actors.core.features import SHAPED_READS
from actors.core.replica import Replica
from actors.shard.home_requests import HomeRequests
from actors.shard.search_requests import OPERATIONS as SEARCH
from cluster.lane.server import LaneRequest

if TYPE_CHECKING:
    from actors.shard.search_requests import SearchRequests


class CarriedReads:
    """The reads of one replica that come in another request.

    home(request, args): answers a home timeline natively; require_lead(): raises where this replica doesn't lead.
    """

    def __init__(
        self, replica: Replica, homes: HomeRequests, search: SearchRequests,
        home: Callable[[LaneRequest, list[Any]], None], require_lead: Callable[[], None],
    ) -> None:  # fmt: skip
        self._replica, self._homes, self._search, self._home = replica, homes, search, home
        self._require_lead = require_lead

    def answer(self, request: LaneRequest, op: str, args: list[Any]) -> None:
        """Answer what `at` carries, at once or later. Raises RookeryError."""
        if op == "home":
            self._home(request, args)
        elif op == "shaped":
            self.shaped(request, args)
        elif op in SEARCH:
            self._search.handle(request, op, args)
        else:
            request.reply(self._replica.read(op, args))

    def shaped(self, request: LaneRequest, args: Any) -> None:
        """Answer what `shaped` carries. Raises RookeryError; InvalidError for a shape that there isn't."""
        op, carried = wrapped("shaped", args, 1, SHAPED_READS)
        shaped = self._replica.shaped(args[0])
        if shaped is None:
            self.answer(request, op, carried)
        else:
            self._homes.start_shaped(request, shaped, op, carried, self._require_lead)


def wrapped(op: str, args: Any, skip: int, allowed: frozenset[str]) -> tuple[str, list[Any]]:
    """Return operation and arguments that a request carries after `skip` values of its own, which are numbers.

    op: the request's own, which takes one of `allowed`. Raises MalformedError, InvalidError.
    """
    if not isinstance(args, list) or len(args) != skip + 2 or any(type(value) is not int for value in args[:skip]):
        raise MalformedError(f"{op} takes [operation, arguments], behind {skip} numbers of its own")
    inner, inner_args = args[skip:]
    if type(inner) is not str or not isinstance(inner_args, list):
        raise MalformedError(f"{op} takes an operation and a list of its arguments")
    if inner not in allowed:
        raise InvalidError(f"{op} takes a {'read' if skip else 'write'}, not {inner[:40]!r}")
    return inner, inner_args
