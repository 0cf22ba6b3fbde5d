"""Real components that tests start: skipped by name where a user's machine lacks one, never in CI."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "CI" in os.environ or os.environ.get("HYPOTHESIS_PROFILE") == "ci"  # nothing is skipped there


def needs(found: object, component: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need a component. found: what there is of it, None for nothing."""
    return pytest.mark.skipif(found is None and not REQUIRED, reason=f"needs {component}")


def needs_program(name: str) -> pytest.MarkDecorator:
    """As `needs`, for a program on the path."""
    return needs(shutil.which(name), name)


needs_ffmpeg = needs(shutil.which("ffmpeg"), "ffmpeg")
