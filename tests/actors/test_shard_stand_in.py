"""What the router makes shard actors of is the shard actors' class, without its weight."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import unittest.mock

from ray import cloudpickle

from actors.shard_actor import ShardActor
from actors.shard_stand_in import ShardStandIn

IN_THE_ROUTER = """
import sys

import ray
from ray import cloudpickle
from cluster.ray_options import SHARD_METHODS, SHARD_OPTIONS, as_actor
from cluster.router_actor import import_factory
from commands.launch import SHARD_FACTORY

cls, arguments = import_factory(SHARD_FACTORY)(0, 1, {"some": "settings"})
made = as_actor(cls, "name", "namespace", SHARD_OPTIONS, SHARD_METHODS).__ray_metadata__.modified_class
assert made.__name__ == "ShardActor"
assert arguments == {"shard": 0, "index": 1, "settings": {"some": "settings"}}
for heavy in ("numba", "duckdb", "actors.shard_actor"):
    assert heavy not in sys.modules, heavy
sys.stdout.buffer.write(cloudpickle.dumps(made))
"""


def public_methods(cls: type) -> dict[str, tuple[bool, list[tuple[str, object]]]]:
    """Return whether each is a coroutine function, and its arguments' names and defaults."""
    return {
        name: (
            inspect.iscoroutinefunction(method),
            [(each.name, each.default) for each in inspect.signature(method).parameters.values()],
        )
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if name == "__init__" or not name.startswith("_")
    }


def test_the_stand_in_has_the_methods_of_what_it_stands_for():
    assert public_methods(ShardStandIn) == public_methods(ShardActor)


def test_a_router_loads_no_kernels_and_its_actors_are_shards():
    done = subprocess.run([sys.executable, "-c", IN_THE_ROUTER], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    loaded = cloudpickle.loads(done.stdout)
    assert issubclass(loaded, ShardActor)
    for name, method in inspect.getmembers(ShardStandIn, inspect.isfunction):
        real = unittest.mock.create_autospec(getattr(ShardActor, name))
        with unittest.mock.patch.object(ShardActor, name, real):
            given = [f"given {n}" for n in range(len(inspect.signature(method).parameters) - 1)]
            called = inspect.unwrap(getattr(loaded, name))("self", *given)
            if inspect.iscoroutinefunction(method):
                asyncio.run(called)
        real.assert_called_once_with("self", *given)
