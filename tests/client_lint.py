"""Lints the web client (`make lint`): oxlint, and types by TypeScript where Node and its package are.

    python -m tests.client_lint

Rules of this file
- Who has no Node does without the types, and is told so by name; CI has it.
- Nothing is built: browsers get the files as they are (`api/web/assets.py`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.components import REQUIRED
from tests.npm_packages import PACKAGES

WEB: Final = Path(__file__).parents[1] / "api" / "web"
TSC: Final = PACKAGES / "node_modules" / "typescript" / "bin" / "tsc"
PROJECTS: Final = ("tsconfig.json", "tsconfig.worker.json")


def main() -> int:
    """Run both; returns 0 if neither complains."""
    oxlint = Path(sys.executable).parent / "oxlint"
    rules = [option for name in ("correctness", "suspicious") for option in ("--deny", name)]
    allowed = [option for name in ALLOWED for option in ("--allow", name)]
    failed = subprocess.run([str(oxlint), *rules, *allowed, "--quiet", str(WEB / "client")], check=False).returncode
    node = shutil.which("node")
    if node is None or not TSC.is_file():
        print("types of the web client aren't checked: needs Node and npm's typescript (make setup-dev)")
        return failed or int(REQUIRED)
    for project in PROJECTS:
        command = [node, str(TSC), "--project", str(WEB / project), "--pretty", "false"]
        failed = subprocess.run(command, check=False).returncode or failed
    return failed


# Rules that the house doesn't have.
ALLOWED: Final = (
    "no-shadow", "no-underscore-dangle", "consistent-function-scoping", "no-array-sort", "no-array-reverse",
    "prefer-add-event-listener", "no-useless-spread", "require-post-message-target-origin", "no-control-regex",
    "no-thenable",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
