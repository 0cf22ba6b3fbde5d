"""Old import paths go on working: what the commit before told Ray, and what it pickles, is found in this tree."""

from __future__ import annotations

import ast
import importlib
import json
import pickle
import re
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Iterator

import pytest

from actors.moved import MOVED, MovedModules, install, place_of
from tests.old_tree import ARCHIVE
from tests.test_architecture import ROOT, our_files

# Run in the old tree: prints what processes of that version name to those of another. Nothing is started.
PATHS_OF_A_TREE = r"""
import importlib, json, pickletools, pkgutil, re, sys
from pathlib import Path

sys.path.insert(0, ".")
OURS = ("actors", "api", "cluster", "configs", "persistence")
NOT_TO_IMPORT = ("actors.spare", "actors.search.__main__")  # they do things when they are imported

from cluster import ray_options, spare_workers

told = []  # what Ray is given: classes with the arguments of their constructors

class Noted:
    def __init__(self, cls):
        self.cls = cls
    def remote(self, *args, **kwargs):
        told.append((self.cls, args, kwargs))

ray_options.as_actor = lambda cls, *options: Noted(cls)

import ray
from ray import cloudpickle
from actors.api_actor import create_api_actor
from actors.launch import SHARD_FACTORY
from actors.trends_actor import create_trends_actor
from cluster.router_actor import import_factory, start_router
from configs.settings import load_settings

settings = load_settings("test", environ={})
start_router("data", "c", 2, SHARD_FACTORY, settings.to_dict())
create_api_actor(ray.NodeID.from_random().hex(), 0, settings)
create_trends_actor(settings)
cls, arguments = import_factory(SHARD_FACTORY)(0, 0, settings.to_dict())
told.append((cls, (), arguments))

def names_in(pickled):
    strings = []
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            yield argument.replace(" ", ":")
        elif opcode.name == "STACK_GLOBAL":
            yield ":".join(strings[-2:])
        elif isinstance(argument, str):
            strings.append(argument)

found = {"actors": set(), "strings": set(), "modules": {spare_workers.SPARE_MODULE}, "errors": set(), "methods": set()}
for cls, args, kwargs in told:
    as_ray_has_it = ray.remote(cls).__ray_metadata__.modified_class
    pickled = cloudpickle.dumps(as_ray_has_it) + cloudpickle.dumps((args, kwargs))
    found["actors"] |= {f"{cls.__module__}:{cls.__qualname__}"}
    found["methods"] |= {  # Ray keeps each by its name, and a class that lacks one can't be made
        f"{cls.__module__}:{cls.__qualname__}.{name}" for name, thing in vars(cls).items() if callable(thing)
    }
    for data in (cloudpickle.dumps(as_ray_has_it), cloudpickle.dumps((args, kwargs))):
        found["actors"] |= {name for name in names_in(data) if name.startswith(OURS)}
    found["strings"] |= set(re.findall(r"'((?:%s)[\w.]*:\w+)'" % "|".join(OURS), repr((args, kwargs))))
for package in OURS:
    for path in Path(package).rglob("*.py"):
        found["modules"] |= set(re.findall(r'"-m", "((?:%s)[\w.]*)"' % "|".join(OURS), path.read_text()))
    for module in pkgutil.walk_packages([package], package + "."):
        if module.name not in NOT_TO_IMPORT:
            for thing in vars(importlib.import_module(module.name)).values():
                if isinstance(thing, type) and issubclass(thing, BaseException) and thing.__module__.startswith(OURS):
                    found["errors"] |= {f"{thing.__module__}:{thing.__qualname__}"}
print(json.dumps({kind: sorted(names) for kind, names in found.items()}))
"""


@pytest.fixture(scope="module")
def old_paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return what processes of the commit before name: by kind, "module:name" or "module"."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    done = subprocess.run(
        [sys.executable, "-c", PATHS_OF_A_TREE], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_old_tree_tells_what_it_is_asked(old_paths):
    """The list is derived: if what derives it found nothing, the tests below would prove nothing."""
    assert {path.partition(":")[2] for path in old_paths["actors"]} >= {
        "RouterActor", "ShardActor", "ApiActor", "LoggingTrendsActor",
    }  # fmt: skip
    assert old_paths["strings"] == ["actors.shard_actor:make_shard"]
    assert old_paths["modules"] == ["actors.search", "actors.spare"]
    assert len(old_paths["errors"]) > 20
    assert "actors.shard_actor:ShardActor._tell_touched" in old_paths["methods"]


@pytest.mark.parametrize("kind", ["actors", "strings", "errors", "methods"])
def test_whatever_the_old_tree_names_is_found_here(old_paths, kind):
    for path in old_paths[kind]:
        module, _, name = path.partition(":")
        if kind == "methods":
            cls, _, method = name.partition(".")
            assert callable(getattr(getattr(importlib.import_module(module), cls), method, None)), path
            continue
        thing = importlib.import_module(module)
        for part in name.split("."):
            thing = getattr(thing, part)
        assert thing.__name__ == name.rpartition(".")[2], path
        home = importlib.import_module(thing.__module__)
        assert getattr(home, thing.__name__) is thing, f"{path} is a copy of what {thing.__module__} has"


def test_modules_that_the_old_tree_has_run_by_name_can_be_run_here(old_paths):
    for name in old_paths["modules"]:
        assert importlib.util.find_spec(name) is not None, name


def test_every_row_leads_somewhere_and_stands_for_something_that_is_gone():
    for old, new in MOVED.items():
        there = ROOT.joinpath(*new.split("."))
        assert there.is_dir() or there.with_suffix(".py").is_file(), f"{old} -> {new}: there is no such module"
        assert not ROOT.joinpath(*old.split(".")).with_suffix(".py").exists(), f"{old} has moved, but is there"
        assert importlib.import_module(old) is importlib.import_module(new)
        assert place_of(new, MOVED) is None, f"{new} has moved, too: {old} must lead to where it is now"


def test_our_own_code_imports_no_old_path():
    last_words = "|".join(old.rpartition(".")[2] for old in MOVED)
    for path in our_files():
        text = path.read_text(encoding="utf-8")
        if not re.search(rf"\b(?:{last_words})\b", text):
            continue  # whoever imports an old path writes its last word: most files needn't be parsed
        for node in ast.walk(ast.parse(text)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [f"{names[0]}.{alias.name}" for alias in node.names] if names else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if place_of(name, MOVED)], f"{path} imports {names}"


# ---- the mechanism ----------------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> Iterator[dict[str, str]]:
    """Yield rows that hold in this process until the test ends."""
    made = {"actors.an_old_place": "actors.core.ids", "actors.old_search": "actors.search"}
    finder = MovedModules(made)
    sys.meta_path.insert(0, finder)
    try:
        yield made
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if place_of(name, made)]:
            del sys.modules[name]


def test_an_old_path_gives_the_module_of_the_new_one_and_leaves_it_as_it_is(rows):
    there = importlib.import_module("actors.core.ids")
    assert importlib.import_module("actors.an_old_place") is there
    assert (there.__name__, there.__spec__.name) == ("actors.core.ids", "actors.core.ids")


def test_a_row_of_a_package_holds_for_what_is_in_it_and_makes_no_copies(rows):
    assert importlib.import_module("actors.old_search.tags") is importlib.import_module("actors.search.tags")
    rows["actors.old_search.terms"] = "actors.core.nowhere"
    with pytest.raises(ModuleNotFoundError, match=r"actors\.old_search\.terms has moved"):
        importlib.import_module("actors.old_search.terms")  # its own row leads nowhere


def test_a_class_pickled_by_its_old_path_is_the_class(rows):
    found = pickle.loads(b"cactors.an_old_place\nTweetIdClock\n.")
    assert found is importlib.import_module("actors.core.ids").TweetIdClock


def test_a_module_can_be_run_by_its_old_path(rows):
    ran = runpy.run_module("actors.an_old_place", run_name="as_ever")
    assert (ran["__name__"], ran["BUCKET_COUNT"]) == ("as_ever", 1024)


def test_a_name_without_a_row_is_left_to_python(rows):
    assert MovedModules(rows).find_spec("actors.core.ids") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("actors.never_there")


def test_importing_any_of_our_packages_that_has_rows_installs_them_once():
    install()
    assert len([finder for finder in sys.meta_path if isinstance(finder, MovedModules)]) == 1
    for package in {name.partition(".")[0] for name in MOVED} | {"actors", "cluster"}:
        script = f"import {package}, sys; print([type(f).__name__ for f in sys.meta_path].count('MovedModules'))"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "1", package
