"""Lets a test make one of Ray's Python workers hang as a real one did: SIGUSR1 catches it in a regular expression.

Python imports this at its start when this folder is on PYTHONPATH. The match takes for ever and holds the interpreter's
lock, so no thread of the process goes on, whichever runs the event loop.
"""

from __future__ import annotations

import re
import signal
import sys


def hang(number: int, frame: object) -> None:
    re.match(r"(?:a|aa)+!", "a" * 200)


if any("default_worker.py" in part for part in sys.orig_argv):
    signal.signal(signal.SIGUSR1, hang)
