"""The rules of the architecture that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from configs.settings import load_settings, profile_names

ROOT = Path(__file__).parent.parent
PACKAGES = ["actors", "actors/core", "api", "cluster", "commands", "configs", "persistence"]
OUR_FOLDERS = ["actors", "api", "bench", "cluster", "commands", "configs", "persistence", "tests"]
PRODUCT = [folder for folder in OUR_FOLDERS if folder not in ("bench", "tests")]
FILE_LINES_MAX = 600
CLASS_LINES_MAX = 300
STILL_TOO_LARGE: dict[str, int] = {}

# Modules that would let the core read a clock, draw lots, do I/O or know who runs it.
CORE_MAY_NOT_IMPORT = {
    "asyncio", "concurrent", "configs", "datetime", "duckdb", "fastapi", "io", "logging", "multiprocessing", "os",
    "pathlib", "persistence", "psutil", "pyarrow", "random", "ray", "redis", "secrets", "select", "shutil", "signal",
    "socket", "ssl", "structlog", "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "uvloop",
}  # fmt: skip
# Loaded by nothing that the core may use. (NumPy and Numba load parts of the standard library of their own accord, so
# for that the source is checked instead.)
CORE_MAY_NOT_LOAD = ["api", "cluster", "configs", "duckdb", "fastapi", "persistence", "pydantic", "ray", "redis"]

IMPORT_CORE = f"""
import importlib, pkgutil, sys
import actors.core
for module in pkgutil.walk_packages(actors.core.__path__, "actors.core."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*[name for name in {CORE_MAY_NOT_LOAD!r} if name in sys.modules])
"""


def our_files() -> list[Path]:
    files = [path for folder in OUR_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [*files, *sorted(ROOT.glob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    """Return what a file says, parsed once for all tests here (tests/conftest.py: one worker takes them all)."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_names(path: Path) -> set[str]:
    """Return the first parts of the modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_importing_the_core_loads_no_ray_and_no_other_part():
    result = subprocess.run([sys.executable, "-c", IMPORT_CORE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.parametrize("path", sorted((ROOT / "actors/core").rglob("*.py")), ids=lambda path: path.stem)
def test_no_file_of_the_core_imports_a_clock_chance_or_io(path):
    assert not imported_names(path) & CORE_MAY_NOT_IMPORT


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_design_note(package):
    assert (ROOT / package / "DESIGN.md").is_file()


def test_no_file_outgrows_its_readers():
    long = {
        str(p.relative_to(ROOT)): n for p in our_files() if (n := len(p.read_bytes().splitlines())) > FILE_LINES_MAX
    }
    assert not long


def nodes_of(tree: ast.AST, for_type_checkers: bool) -> Iterator[ast.AST]:
    """Yield what is in a tree; what only type checkers look at if that is asked for."""
    for node in ast.iter_child_nodes(tree):
        if for_type_checkers or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from nodes_of(node, for_type_checkers)


def imports_in(folders: list[str], for_type_checkers: bool) -> dict[str, set[str]]:
    """Return the modules of these folders that each of them imports, anywhere in it."""
    paths = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        paths[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in nodes_of(tree_of(path), for_type_checkers):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    found[name] |= {module if module in paths else node.module} & paths.keys() - {name}
    return found


@pytest.mark.parametrize(("folders", "for_type_checkers"), [(["actors/core"], True), (PRODUCT, False)], ids=str)
def test_modules_import_each_other_in_no_circle(folders, for_type_checkers):
    """What imports nothing of what is left is taken away, again and again; the rest is in a circle, or above one."""
    left = imports_in(folders, for_type_checkers)
    while leaves := {name for name, imports in left.items() if not imports & left.keys()}:
        left = {name: imports for name, imports in left.items() if name not in leaves}
    assert not left, "\n".join(f"{name} -> {', '.join(sorted(i & left.keys()))}" for name, i in sorted(left.items()))


@cache
def classes() -> list[tuple[str, str, int]]:
    """Return (name, file, lines) of each class of the product."""
    paths = [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]
    return [
        (node.name, str(path.relative_to(ROOT)), node.end_lineno - node.lineno + 1)
        for path in paths
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None
    ]


def test_no_two_classes_have_one_name():
    places: dict[str, list[str]] = {}
    for name, path, _ in classes():
        places.setdefault(name, []).append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_class_outgrows_its_readers():
    """What is too large may shrink, and the number here with it; it may not grow."""
    large = {name: lines for name, _, lines in classes() if lines > CLASS_LINES_MAX}
    assert large == STILL_TOO_LARGE


def has_docstring(text: str) -> bool:
    """Whether a module has one; only what doesn't begin with it, but with a comment, has to be parsed."""
    return text.startswith(('"""', 'r"""')) or ast.get_docstring(ast.parse(text)) is not None


def test_every_file_of_code_starts_with_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path in our_files()
        if path.stat().st_size and not has_docstring(path.read_text(encoding="utf-8"))
    ]
    assert not silent


@pytest.mark.parametrize("profile", profile_names())
def test_every_profile_loads(profile):
    assert load_settings(profile, environ={}).server.port == 8000
