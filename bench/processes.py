"""Processes that a benchmark starts, and ends whatever happens.

Rules of this file
- A process is ended by its own handle: SIGTERM, then SIGKILL after a grace period. Nobody else's process is touched.
- Everything is started at the same priority as the bench itself.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
READY_POLL_S = 0.02
PORTS = (15_000, 30_000)  # Linux hands out 32,768 and up, macOS 49,152
GRACE_S = 60.0  # a cluster folds its journal into the checkpoint before it goes


class BenchError(RuntimeError):
    """A benchmark can't be carried out, or what it measured did the wrong thing."""


def free_port() -> int:
    """Return a loopback port that nobody listens on, outside the range that the system hands out.

    Ray opens dozens of ports and connections while a cluster starts: one of that range may be gone when it is used.
    """
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def accepts(address: str | tuple[str, int]) -> bool:
    """Return whether somebody accepts connections at a Unix socket path or (host, port)."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


@contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], bool], timeout_s: float, environ: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command while the block runs; enter once ready() says so.

    log: file that takes its output. Raises BenchError with the end of the log if it dies or isn't ready in time.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY, env={**os.environ, **environ}
        )
    try:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                state = "ended" if process.poll() is not None else f"is not ready after {timeout_s:.0f} s"
                raise BenchError(f"{' '.join(command)} {state}:\n{tail_of(log)}")
            time.sleep(READY_POLL_S)
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that this bench started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail_of(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def python_module(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]
