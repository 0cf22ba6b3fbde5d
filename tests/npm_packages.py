"""Where packages of npm are that tests use, as `make setup-dev` installs them beside Python's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.components import needs

PACKAGES: Final = Path(os.environ.get("NPM_FOLDER", Path(sys.prefix) / "npm"))  # the Makefile's, or somebody's own


def needs_npm_package(name: str) -> pytest.MarkDecorator:
    """Mark what is skipped by name where Node or that package isn't: never in CI."""
    is_there = shutil.which("node") is not None and (PACKAGES / "node_modules" / name).is_dir()
    return needs(is_there or None, f"{name} for JavaScript (Node and npm, then make setup-dev)")
