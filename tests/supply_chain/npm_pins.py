"""package-lock.json of tests: the exact version, hash and licence of every npm package that they drive a cluster with.

npm compares the hashes itself (`npm ci`, which installs what the lock says and nothing else), and where a package comes
from is the business of whoever installs: the lock names no registry (npm's `omit-lockfile-registry-resolved`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.supply_chain.pins import ROOT

NPM_FOLDER = ROOT / "tests" / "ray_cluster" / "masto"
NPM_LOCK = NPM_FOLDER / "package-lock.json"


@dataclass(frozen=True, slots=True)
class NpmPin:
    """A package of the lock. licence: as its own metadata states it, or empty."""

    name: str
    version: str
    integrity: str
    licence: str
    has_script: bool


def read_npm_pins(path: Path = NPM_LOCK) -> list[NpmPin]:
    """Return all packages of a lock, without the one that the lock is of."""
    packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
    return [
        NpmPin(
            place.rpartition("node_modules/")[2], entry["version"], entry.get("integrity", ""),
            entry.get("license", ""), entry.get("hasInstallScript", False),
        )
        for place, entry in packages.items() if place
    ]  # fmt: skip
