"""What a result must say about where it came from: machine, versions, commit, command, and how busy the machine was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench.processes import REPOSITORY

PACKAGES = (
    "ray",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "redis",
    "hiredis",
    "numba",
    "numpy",
    "msgpack",
    "duckdb",
)


def describe_machine() -> dict[str, Any]:
    """Return processor, memory, system and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "redis_server": first_line("redis-server", "--version"),
        "wrk": first_line("wrk", "--version"),
    }


def describe_run() -> dict[str, Any]:
    """Return commit, command and time."""
    return {
        "commit": first_line("git", "rev-parse", "HEAD"),
        "uncommitted_changes": bool(first_line("git", "status", "--porcelain")),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def busy_percent(seconds: float = 0.3) -> float:
    """Return how busy the machine's cores are with nothing of ours to do: a measure of the noise."""
    return float(psutil.cpu_percent(interval=seconds))


def first_line(*command: str) -> str:
    """Return the first line that a command prints, '' if there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=20, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
