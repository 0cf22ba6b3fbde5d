"""The licences of what is installed, and of data files of this repository, compared with licences.toml; and NOTICE,
which is made from both.

    python -m tests.supply_chain.licences            says what isn't allowed, with status 1
    python -m tests.supply_chain.licences --notice   writes NOTICE

A licence is an SPDX expression. It comes from the metadata's License-Expression, else from the classifier or the
License field, where these are plain; else a person has read the text and written it down in licences.toml. Packages of
npm say theirs in package-lock.json.
A data file is whatever people don't write by hand: licences.toml says whose it is.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tests.supply_chain.npm_pins import NpmPin, read_npm_pins
from tests.supply_chain.pins import CONSTRAINTS, ROOT, SECTIONS, Pin, read_pins

POLICY = Path(__file__).parent / "licences.toml"
NOTICE = ROOT / "NOTICE"

# What people write here: source, text, settings. Everything else is data.
WRITTEN_SUFFIXES = {".dockerignore", ".env", ".lua", ".md", ".mjs", ".py", ".sh", ".toml", ".yaml", ".yml"}
WRITTEN_NAMES = {".gitignore", "Dockerfile", "LICENSE", "Makefile", "NOTICE", "run"}

# Words of metadata that mean one licence and no other.
WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """licences.toml."""

    allowed: frozenset[str]
    exceptions: tuple[dict[str, Any], ...]
    read: dict[str, str]
    elsewhere: dict[str, str]
    carried: tuple[dict[str, str], ...]
    data: tuple[dict[str, str], ...]
    own: dict[str, str]

    @classmethod
    def load(cls, path: Path = POLICY) -> Policy:
        """Read it."""
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return cls(
            frozenset(data["allowed"]),
            tuple(data["exception"]),
            data["read"],
            data["elsewhere"],
            tuple(data["carried"]),
            tuple(data["data"]),
            data["own"],
        )

    def allowed_for(self, package: str) -> frozenset[str]:
        """Return the identifiers that one package may have."""
        return self.allowed | {e["licence"] for e in self.exceptions if package in e["packages"]}


def stated_licence(metadata: importlib.metadata.PackageMetadata) -> str | None:
    """Return the SPDX expression that metadata states, None where its words don't tell."""
    if expression := metadata.get("License-Expression"):
        return canonicalize_license_expression(expression)
    lines = (metadata.get("License") or "").strip().splitlines() or [""]
    classifiers = [
        line.removeprefix("License :: OSI Approved :: ")
        for line in metadata.get_all("Classifier") or []
        if line.startswith("License :: OSI Approved :: ")
    ]
    if len(classifiers) == 1 and classifiers[0] in CLASSIFIERS:
        return CLASSIFIERS[classifiers[0]]
    try:
        return WORDS.get(lines[0]) or canonicalize_license_expression(lines[0])
    except InvalidLicenseExpression:
        return None


def satisfied(expression: str, allowed: frozenset[str]) -> bool:
    """Say whether one may use something under this expression with these licences alone; OR leaves the choice to us."""
    tokens = re.findall(r"[()]|\bAND\b|\bOR\b|[^\s()]+(?: WITH [^\s()]+)?", expression)

    def alternatives() -> bool:
        found = conjunction()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            found = conjunction() or found
        return found

    def conjunction() -> bool:
        found = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            found = one() and found
        return found

    def one() -> bool:
        token = tokens.pop(0)
        if token != "(":
            return token in allowed
        found = alternatives()
        tokens.pop(0)
        return found

    return alternatives()


def licence_of(name: str, policy: Policy) -> str:
    """Return a package's expression; raises LookupError with what to do if nobody knows it."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        if name in policy.elsewhere:
            return policy.elsewhere[name]
        raise LookupError(f"{name}: not installed here; look into its wheel, and write it under [elsewhere]") from None
    stated = stated_licence(metadata) if name not in policy.read else policy.read[name]
    if stated is None:
        raise LookupError(f"{name}: the metadata doesn't say which licence; read its text, and write it under [read]")
    return stated


def problems(pins: list[Pin], policy: Policy) -> list[str]:
    """Return what is unknown or not allowed, a line each."""
    found = []
    for pin in pins:
        try:
            licence = licence_of(pin.name, policy)
        except LookupError as error:
            found.append(str(error))
            continue
        if not satisfied(licence, policy.allowed_for(pin.name)):
            found.append(f"{pin.name}: {licence} is not allowed; replace it, or give a reason in licences.toml")
    return found


def npm_problems(pins: Iterable[NpmPin], policy: Policy) -> list[str]:
    """Return those of npm's packages whose licence is unknown or not allowed, a line each."""
    return [
        f"{pin.name}: its licence, {pin.licence or 'which it does not state'}, is not allowed; replace it"
        for pin in pins if not pin.licence or not satisfied(pin.licence, policy.allowed)
    ]  # fmt: skip


def tracked_files(root: Path = ROOT) -> list[str]:
    """Return what this repository holds, and what is about to be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()


def data_problems(files: Iterable[str], policy: Policy) -> list[str]:
    """Return the data files that nobody has said the licence of, and entries without a file, a line each.

    An entry that ends with a slash is for all files of a folder.
    """
    paths = [Path(name) for name in files]
    data = {path.as_posix() for path in paths if path.suffix not in WRITTEN_SUFFIXES and path.name not in WRITTEN_NAMES}
    named = {item["path"] for item in policy.data} | policy.own.keys()
    folders = tuple(name for name in named if name.endswith("/"))
    unsaid = {path for path in data - named if not path.startswith(folders)}
    empty = {name for name in folders if not any(path.startswith(name) for path in data)}
    found = [f"{path}: a data file; say whose it is in licences.toml, [[data]] or [own]" for path in unsaid]
    found += [f"{path}: named in licences.toml, and isn't there" for path in (named - data - set(folders)) | empty]
    return sorted(found)


def notice(pins: list[Pin], policy: Policy, npm_pins: Iterable[NpmPin] = ()) -> str:
    """Return the text of NOTICE."""
    parts = [
        "Rookery\nCopyright 2026 the authors of Rookery\n\n"
        "Licensed under the Apache License, Version 2.0 (LICENSE). What is named below is of others. Packages are\n"
        "downloaded into .venv by `make setup`, and the container image holds them; data files lie beside the code.\n"
        "Whoever passes either on passes these on, under their own licences: those of packages lie in the *.dist-info\n"
        "folders of .venv.\n"
        "Made by `make notice` from constraints.txt and tests/supply_chain/licences.toml.\n"
    ]
    parts.append("\nInside packages, with terms of their own\n----------------------------------------\n")
    for item in policy.carried:
        parts.append(
            f"\n{item['name']} (in {item['package']})\n    {item['licence']}\n    {item['holder']}\n"
            f"    {item['where']}\n    {item['note']}\n"
        )
    parts.append("\nData files of others in this repository\n--------------------------------------\n")
    for item in policy.data:
        parts.append(
            f"\n{item['name']} ({item['path']})\n    {item['licence']}\n    {item['holder']}\n"
            f"    {item['where']}\n    {item['note']}\n"
        )
    for section, title in zip(SECTIONS, ("To run", "To develop only", "To renew constraints.txt only"), strict=True):
        by_licence: dict[str, list[str]] = {}
        for pin in pins:
            if pin.section == section:
                by_licence.setdefault(licence_of(pin.name, policy), []).append(pin.name)
        parts.append(_section(title, by_licence))
    of_npm: dict[str, list[str]] = {}
    for npm_pin in npm_pins:
        of_npm.setdefault(npm_pin.licence, []).append(npm_pin.name)
    parts.append(_section("To develop only, from npm", of_npm))
    return "".join(parts)


def _section(title: str, by_licence: dict[str, list[str]]) -> str:
    lines = [f"\n{title}\n{'-' * len(title)}\n"]
    for licence, names in sorted(by_licence.items()):
        lines.append(f"\n{licence}\n" + "".join(f"    {name}\n" for name in sorted(names)))
    return "".join(lines)


def main() -> int:
    """Check, or write NOTICE; returns the exit status."""
    pins, policy = read_pins(CONSTRAINTS.read_text(encoding="utf-8")), Policy.load()
    npm_pins = read_npm_pins()
    found = problems(pins, policy) + npm_problems(npm_pins, policy) + data_problems(tracked_files(), policy)
    for line in found:
        print(line, file=sys.stderr)
    if not found and sys.argv[1:] == ["--notice"]:
        NOTICE.write_text(notice(pins, policy, npm_pins), encoding="utf-8")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
