"""Renews constraints.txt (`make freeze`): resolves what pyproject.toml wants, for all supported platforms at once.

    python -m tests.supply_chain.freeze                   the newest versions of everything
    python -m tests.supply_chain.freeze certifi urllib3   of these alone; what they don't force stays
    python -m tests.supply_chain.freeze --keep            of nothing: only what pyproject.toml newly wants

uv does it, because pip resolves for the machine that it runs on and knows the hashes of what it downloaded only. It
asks its own default index; another one is given in UV_DEFAULT_INDEX. No address gets into the file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.supply_chain.pins import (
    CONSTRAINTS,
    HEADER,
    ROOT,
    SECTIONS,
    Pin,
    needed_everywhere,
    needed_somewhere,
    read_pins,
)

# The extras of pyproject.toml that each section adds.
EXTRAS = {"to run": (), "to develop": ("dev", "bench"), "to renew this file": ("freeze",)}


def compile_requirements(extras: Iterable[str], output: Path, *options: str) -> list[Pin]:
    """Let uv write what pyproject.toml and some of its extras need; an output that exists says what to keep."""
    asked = [option for extra in extras for option in ("--extra", extra)]
    subprocess.run(
        [
            str(Path(sys.executable).parent / "uv"), "pip", "compile", "pyproject.toml", *asked, *options,
            "--universal", "--python-version", "3.11", "--quiet", "--no-header", "--no-annotate",
            "--output-file", str(output),
        ],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return read_pins(output.read_text(encoding="utf-8"))


def sectioned(pins: Iterable[Pin], names_by_section: dict[str, set[str]]) -> str:
    """Return the file's text: each pin in the first section that needs it, without what no supported platform needs."""
    left = {
        pin.name: replace(pin, marker="" if needed_everywhere(pin.marker) else pin.marker)
        for pin in pins
        if needed_somewhere(pin.marker)
    }
    parts = [HEADER]
    for section in SECTIONS:
        here = sorted(name for name in left if name in names_by_section[section])
        parts += [f"\n# == {section} ==\n", *(left.pop(name).text() for name in here)]
    if left:
        raise ValueError(f"needed by no section: {', '.join(left)}")
    return "".join(parts)


def main() -> None:
    """Write constraints.txt anew and say what changed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="packages to take in their newest version; all by default")
    parser.add_argument("--keep", action="store_true", help="keep every version that still fits")
    given = parser.parse_args()
    upgrade = [option for name in given.names for option in ("--upgrade-package", name)]
    if not given.names and not given.keep:
        upgrade = ["--upgrade"]

    before = {pin.name: pin.version for pin in read_pins(CONSTRAINTS.read_text(encoding="utf-8"))}
    with tempfile.TemporaryDirectory() as scratch:
        everything = Path(scratch) / "everything.txt"
        everything.write_bytes(CONSTRAINTS.read_bytes())
        pins = compile_requirements(
            [extra for extras in EXTRAS.values() for extra in extras], everything, "--generate-hashes", *upgrade
        )
        extras: list[str] = []
        names_by_section = {}
        for section in SECTIONS:
            extras += EXTRAS[section]
            part = compile_requirements(
                extras, Path(scratch) / "part.txt", "--upgrade", "--constraint", str(everything)
            )
            names_by_section[section] = {pin.name for pin in part}
    text = sectioned(pins, names_by_section)
    if text != CONSTRAINTS.read_text(encoding="utf-8"):  # or make would install everything again
        CONSTRAINTS.write_text(text, encoding="utf-8")

    after = {pin.name: pin.version for pin in read_pins(text)}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name}: {before.get(name, 'new')} -> {after.get(name, 'gone')}")


if __name__ == "__main__":
    main()
