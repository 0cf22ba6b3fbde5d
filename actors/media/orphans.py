"""Processes of a job don't outlive the one that has started them."""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(libc: Any = None) -> None:
    """Have the kernel end this process when the one that has started it ends."""
    if sys.platform == "linux":
        (libc or ctypes.CDLL(None)).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
