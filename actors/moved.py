"""Old import paths of modules that have moved: one row a move, and what makes them go on working.

    process of before: "actors.old_place.Thing"  --pickle, Ray, -m-->  process of now: imports `actors.new_place`

Ray recreates an actor's class by its import path, exceptions are pickled by theirs, and a router's constructor keeps
"module:function". During a rolling upgrade all three come from processes that know only the old paths, for as long as
an actor lives: months. So a module that holds such names keeps its old path for ever.

The methods of actors' classes are kept by their names as well: none may go or be renamed (tests/test_moved_modules.py).

Rules of this file
- A move is `git mv` and a row here, old path -> new path. A row for a package holds for all that is in it, unless
  something in it has a row of its own. Rows aren't chained: when a module moves again, its rows are changed.
- A row holds for all that begins with its path. So a module `x` that becomes a package of the same name (`x/y.py`) gets
  none: what others name of it is imported in `x/__init__.py`.
- The old path gives the very module of the new one, not a copy: there is one class, and `except` and `is` hold.
- Our own code imports new paths only (tests/test_moved_modules.py).
- It works for names *read* here. A process of before that is still running can't read new paths of classes that it has
  loaded under old ones: what goes both ways, above all the errors in `actors/core/errors.py`, doesn't move.

How it works
`import actors` puts a finder in front of the others, and whatever is imported below `actors` imports that first; the
other packages with rows import `actors` in their `__init__`. The finder knows only names that rows are about.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Final

MOVED: Final[dict[str, str]] = {
    # Their errors may be pickled.
    "actors.search.query": "actors.text.query",
    "cluster.lane_protocol": "cluster.lane.protocol",
    "cluster.read_routing": "cluster.client.read_routing",
    "cluster.rebalancing": "cluster.placement.rebalancing",
    "cluster.router_files": "cluster.router.files",
    "cluster.shard_places": "cluster.client.shard_places",
}


def place_of(name: str, rows: Mapping[str, str]) -> str | None:
    """Return where the module of an old path is now, None if nothing is known of a move."""
    head, rest = name, ""
    while head:
        if head in rows:
            return rows[head] + rest
        head, _, last = head.rpartition(".")
        rest = f".{last}{rest}"
    return None


class MovedModules(MetaPathFinder):
    """A finder for `sys.meta_path`. rows: as MOVED."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = rows

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:  # fmt: skip
        """Return how to load the module of an old path, None for any other.

        Raises ModuleNotFoundError if there is nothing where a row leads: Python would look in the old package's folder
        next, and might make a copy.
        """
        place = place_of(name, self._rows)
        if place is None:
            return None
        there = importlib.util.find_spec(place)
        if there is None:
            raise ModuleNotFoundError(f"{name} has moved to {place}, and that isn't there", name=name)
        return ModuleSpec(
            name, _Alias(there), origin=there.origin, is_package=there.submodule_search_locations is not None
        )  # fmt: skip


class _Alias(Loader):
    """A loader that gives a module which is, or will be, loaded under another name."""

    def __init__(self, there: ModuleSpec) -> None:
        self._there = there

    def create_module(self, spec: ModuleSpec) -> None:
        """Have an empty module made: `exec_module` puts the right one in its place."""

    def exec_module(self, module: ModuleType) -> None:
        """Import the module under its new name, and have it found under the old one, too."""
        sys.modules[module.__name__] = importlib.import_module(self._there.name)

    def get_code(self, name: str) -> CodeType | None:
        """Return the module's code, for `python -m` with an old path."""
        loader = self._there.loader
        code: CodeType | None = loader.get_code(self._there.name)  # type: ignore[union-attr]
        return code


def install() -> None:
    """Make old paths importable in this process."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, MovedModules(MOVED))
