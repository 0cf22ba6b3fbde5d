"""The token of a local Ray: one per data folder, so that whoever can read the folder can operate its cluster.

Why: Ray 2.60 asks for a token unless told otherwise, and it should: its control store runs code for whoever may talk to
it, and other users of this machine can reach its loopback too. Its own default is one token in the home directory that
every local cluster of this user shares, and a second process that wants to join must know to ask for it. Here the
folder that names the cluster also holds its token.

Rules of this file
- It must run before `import ray`: Ray reads these variables once, at its import. So nothing here imports Ray, and
  run_cluster.py imports everything that does inside its commands.
- Whoever sets RAY_AUTH_MODE or a RAY_AUTH_TOKEN variable knows better: nothing is touched.
- An external Ray cluster (`--address`) has its own token; it is found as Ray's documentation says.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

TOKEN_FILE = "ray.token"
_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def use_ray_token(data_dir: Path, create: bool) -> Path | None:
    """Make this process and its children use the data folder's token; returns its file, None if there is none.

    create: make the folder and the token if they don't exist (0600).
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if any(name in os.environ for name in _VARIABLES):
        return None
    path = data_dir.resolve() / TOKEN_FILE
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, secrets.token_hex(32))
    if not path.exists():
        return None
    assert "ray" not in sys.modules, "Ray has been imported already and would not see its token"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, atomically."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
