"""constraints.txt: the exact version and the hashes of everything that is installed.

Rules of this file
- A pin has hashes of every wheel and source archive of its version, so one file serves every platform.
- pip compares hashes only if *everything* that it would install has some, so the file is closed: what a pin needs on
  any supported platform is pinned too, and what nothing needs isn't.
- The file has sections, each closed together with those above it. The Makefile cuts it at their headings: `make setup`
  installs the first, `make setup-dev` the first two, `make freeze` all three.

    # == to run ==
    name==1.2 ; marker \\
        --hash=sha256:0123... \\
        --hash=sha256:4567...
    # == to develop ==
    ...
    # == to renew this file ==
    ...
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

# In the order of the file.
SECTIONS = ("to run", "to develop", "to renew this file")

# 3.11.0 apart, because redis needs async-timeout below 3.11.3. For 3.14 some packages have no wheels yet, so only
# `make HASHES=off` installs there; its pins are here all the same.
PYTHONS = ("3.11.0", "3.11.14", "3.12.0", "3.13.0", "3.14.0")
SYSTEMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))

HEADER = """\
# Exact versions and hashes of everything that is installed, direct and transitive, for CPython 3.11 to 3.13 on Linux
# (x86-64 and aarch64, glibc) and macOS (Apple silicon). What is wanted directly, and why, stands in pyproject.toml;
# `make freeze` renews this file. The Makefile cuts it at the headings of its sections.
"""


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of one package; `marker` is empty where every supported platform needs it."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    section: str

    def text(self) -> str:
        """Return the lines that pip reads."""
        first = f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")
        return " \\\n    ".join([first, *(f"--hash=sha256:{digest}" for digest in self.hashes)]) + "\n"


def environments() -> list[dict[str, str]]:
    """Return what markers see on each supported platform."""
    return [
        {
            "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix",
            "python_version": python.rpartition(".")[0], "python_full_version": python,
            "implementation_version": python, "sys_platform": platform, "platform_system": system,
            "platform_machine": machine, "platform_release": "", "platform_version": "",
        }
        for python, (platform, system, machine) in itertools.product(PYTHONS, SYSTEMS)
    ]  # fmt: skip


def read_pins(text: str) -> list[Pin]:
    """Return the pins of constraints.txt, in its order. Raises ValueError for the first line that isn't one."""
    pins = []
    section = ""
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        if heading := re.fullmatch(r"# == (.+) ==", line):
            section = heading[1]
        elif line and not line.startswith("#"):
            pins.append(pin_of(line, section))
    return pins


def pin_of(line: str, section: str) -> Pin:
    """Return one pin, from its lines joined to one."""
    wanted, *hashes = line.split(" --hash=sha256:")
    requirement = Requirement(wanted)
    version = re.fullmatch(r"==([^*,=]+)", str(requirement.specifier))
    if version is None or requirement.url or requirement.extras:
        raise ValueError(f"not an exact version: {line[:80]!r}; write name==1.2.3")
    if wrong := [digest for digest in hashes if not re.fullmatch(r"[0-9a-f]{64}", digest)]:
        raise ValueError(f"{requirement.name}: not a SHA-256 hash: {wrong[0][:80]!r}")
    return Pin(canonicalize_name(requirement.name), version[1], str(requirement.marker or ""), tuple(hashes), section)


def needed_somewhere(marker: str) -> bool:
    """Say whether a marker holds on any supported platform."""
    return not marker or any(Marker(marker).evaluate(environment) for environment in environments())


def needed_everywhere(marker: str) -> bool:
    """Say whether a marker holds on all supported platforms."""
    return not marker or all(Marker(marker).evaluate(environment) for environment in environments())
