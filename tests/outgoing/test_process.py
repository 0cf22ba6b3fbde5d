"""The dispatcher's process has what it needs, and not all of an API worker or a shard."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = ("fastapi", "starlette", "uvicorn", "numba", "llvmlite", "duckdb", "pandas", "api.services", "httpx")


def test_it_loads_neither_a_web_server_nor_what_shards_compile():
    said = f"import sys, actors.dispatch_actor; print([each for each in {NOT_NEEDED} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
