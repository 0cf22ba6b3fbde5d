"""masto.js, as `make setup-dev` installs it, against a cluster that is served; the tests are those of the folder masto.

Node's own test runner runs them. Whoever has no Node, or no npm, has no masto.js: skipped by name, never in CI.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.npm_packages import PACKAGES, needs_npm_package

TESTS = Path(__file__).parent / "masto"
TIMEOUT_S = 240  # on a machine that does something else
needs_masto_js = needs_npm_package("masto")


def run_masto_js(url: str) -> dict[str, int]:
    """Run all tests against a cluster; returns how many passed, failed, were skipped. Prints what failed."""
    files = sorted(str(path) for path in TESTS.glob("*.test.mjs"))
    environ = {**os.environ, "ROOKERY_URL": url, "NPM_FOLDER": str(PACKAGES)}
    try:
        done = subprocess.run(
            ["node", "--test-reporter=tap", "--test", *files],
            env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        print(error.stdout, error.stderr, file=sys.stderr)
        raise
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    counted = dict(re.findall(r"^# (pass|fail|skipped|cancelled) (\d+)$", done.stdout, re.MULTILINE))
    return {name: int(count) for name, count in counted.items()}
