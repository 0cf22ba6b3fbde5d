"""What Twitter publishes about links, as patterns: those modules of `twitter-text-parser`, and nothing else of it.

To import one of its modules runs its package, which compiles one pattern of all emoji and one of whole links, and loads
`pkg_resources` for a file: half of what importing `api.worker` took of the processor, for what nobody here asks. So the
modules are loaded as those of a package that does nothing, which is taken away again: whoever imports the library
afterwards, as tests do, gets all of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

PACKAGE = "twitter_text"
URL_CHARS_MAX: Final = 4096  # `max_url_length` and `max_tco_slug_length` there, beside the pattern of whole links
TCO_SLUG_CHARS_MAX: Final = 40


@contextmanager
def _does_nothing() -> Iterator[None]:
    """Have a package without code in the library's place, unless somebody has imported it."""
    if PACKAGE in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None, "twitter-text-parser is not installed"
    bare = ModuleType(PACKAGE)
    bare.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[PACKAGE] = bare
    try:
        yield
    finally:
        del sys.modules[PACKAGE]


def patterns_of(*names: str) -> list[str]:
    """Return what the library's patterns with those names are written like."""
    with _does_nothing():
        modules = [importlib.import_module(f"{PACKAGE}.regexp.{name}") for name in names]
    return [str(getattr(module, name).pattern) for module, name in zip(modules, names, strict=True)]
