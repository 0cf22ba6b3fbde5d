"""The operations of Mastodon's API that Rookery has: one row each, of which routes, scopes and documents are made.

Rules of this file
- A path's `{id}` is a decimal number, any other `{name}` a text without a slash. A trailing slash is cut.
- What a path does by PUT it does by PATCH, too, and the other way round, unless the other has a row of its own: so do
  Mastodon's routes, and masto.js changes everything by PUT.
- `scope` is what a token needs, a scope of `actors/core/scopes.py` or several; "" for what nobody needs a token for. A
  token that is given must be good in any case. `or_scope` is one that is enough, too.
- A token stands for an account. Where one of an app alone will do, `caller` is APP; CLIENT: no token is looked at.
- `answer` names the entity in docs.joinmastodon.org, `Entity[]` a list of them, `Entity{}` an object
  of them by names, "" an empty object.
- What isn't here is answered 404 by `app.py`, in Mastodon's form, where the path begins as theirs do.

Cost: finding a row 0.8 us, however many there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from actors.core.scopes import covers, parse

if TYPE_CHECKING:
    from api.mastodon.call import Answer, Call

Run = Callable[["Call"], Awaitable["Answer"]]
_CHANGES: Final = ("PATCH", "PUT")


class Caller(Enum):
    """Whose token an operation takes."""

    PERSON = "an account's"
    APP = "an account's, or an app's own"
    CLIENT = "nobody's: what is in the request says who asks"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. run: answers a call of it. needed: made of scope and or_scope; a token must cover one of them.

    takes_s: that an answer may take, if that is more than others may.
    """

    method: str
    path: str
    scope: str
    answer: str
    run: Run
    caller: Caller = Caller.PERSON
    or_scope: str = ""
    takes_s: float = 0.0
    needed: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises InvalidError that names a scope which isn't known."""
        object.__setattr__(self, "needed", tuple(parse(each) for each in (self.scope, self.or_scope) if each))

    def allows(self, mask: int) -> bool:
        """Whether a token with these scopes is good for it."""
        return not self.needed or any(covers(mask, needed) for needed in self.needed)

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


class Matched(NamedTuple):
    """Where a path leads. names: what stands in the path in place of `{...}`."""

    operation: Operation
    names: dict[str, str]


class Operations:
    """Rows by method and path."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        """Raises ValueError when two rows are one."""
        self.rows = tuple(rows)
        self._root: dict[str, Any] = {}
        self._plain: dict[str, dict[str, Any]] = {}  # the methods of paths in which nothing is named
        for row in self.rows:
            at, names = self._root, []
            for segment in row.path.strip("/").split("/"):
                if segment.startswith("{"):
                    names.append(segment.strip("{}"))
                    segment = "{}"
                at = at.setdefault(segment, {})
            methods = at.setdefault("", {})
            if row.method in methods:
                raise ValueError(f"two operations are {row.method} {row.path}")
            methods[row.method] = row, names
        for at in list(self._ends(self._root)):
            change = at.get("PUT") or at.get("PATCH")
            if change is not None:
                at.update({method: change for method in _CHANGES if method not in at})
        self._plain = {row.path: found[0] for row in self.rows if "{" not in row.path and (found := self._at(row.path))}

    def methods_of(self, path: str) -> list[str]:
        """Return the methods that a path takes, sorted; none if there is no such path."""
        found = self._at(path)
        return [] if found is None else sorted(found[0])

    def find(self, method: str, path: str) -> Matched | None:
        """Return the row of a request, None if there is none."""
        found = self._at(path)
        if found is None or method not in found[0]:
            return None
        row, names = found[0][method]
        return Matched(row, dict(zip(names, found[1], strict=True)))

    def _ends(self, at: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the methods of every path below a place."""
        for segment, below in at.items():
            yield from self._ends(below) if segment else (below,)

    def _at(self, path: str) -> tuple[dict[str, Any], list[str]] | None:
        methods = self._plain.get(path)
        if methods is not None:
            return methods, []
        at: dict[str, Any] | None = self._root
        values: list[str] = []
        for segment in path.strip("/").split("/"):
            if at is None or not segment:
                return None
            inner = at.get(segment)
            if inner is None:
                inner = at.get("{}")
                values.append(unquote(segment))
            at = inner
        return None if at is None or "" not in at else (at[""], values)
