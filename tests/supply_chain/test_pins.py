"""constraints.txt is exact, hashed, closed and without addresses, and the Makefile installs nothing else
(but for npm's packages: test_npm_pins.py)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.supply_chain import freeze
from tests.supply_chain.pins import CONSTRAINTS, ROOT, SECTIONS, Pin, environments, read_pins

PINS = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
BY_NAME = {pin.name: pin for pin in PINS}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def wanted_in(section: str) -> list[Requirement]:
    """What pyproject.toml wants for a section and those above it."""
    wanted = list(PROJECT["dependencies"])
    for name in SECTIONS[: SECTIONS.index(section) + 1]:
        wanted += [line for extra in freeze.EXTRAS[name] for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in wanted]


# ---- the file -------------------------------------------------------------------------------------------------------


def test_every_pin_has_hashes():
    """pip --require-hashes refuses the whole installation for one that has none."""
    assert [pin.name for pin in PINS if not pin.hashes] == []
    assert len(PINS) > 100
    assert all(len(set(pin.hashes)) == len(pin.hashes) for pin in PINS)


def test_no_two_pins_share_a_name_or_a_file():
    assert len(BY_NAME) == len(PINS)
    assert len({digest for pin in PINS for digest in pin.hashes}) == sum(len(pin.hashes) for pin in PINS)


def test_the_file_holds_pins_and_comments_and_no_address():
    text = CONSTRAINTS.read_text(encoding="utf-8")
    line = r"#.*|[a-z0-9-]+==[A-Za-z0-9.+!]+(?: ; [\w.\"'<>=! ]+)?(?: \\)?|    --hash=sha256:[0-9a-f]{64}(?: \\)?|"
    assert [found for found in text.splitlines() if not re.fullmatch(line, found)] == []
    assert not re.search(r"://|--[a-z-]*(?:url|links|host)\b|\b[a-z0-9-]+\.(?:org|io|com|net|dev)\b", text)
    assert read_pins("".join(pin.text() for pin in PINS)) == [
        Pin(p.name, p.version, p.marker, p.hashes, "") for p in PINS
    ]


@pytest.mark.parametrize(
    "line", ["name>=1", "name", "name==1.*", "name==1,<2", "name @ https://host/x.whl", "name[extra]==1", "name===1"]
)
def test_what_is_not_an_exact_version_is_refused(line):
    with pytest.raises(ValueError, match="not an exact version"):
        read_pins(line)


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, "0" * 64 + " --extra-option=http://host"])
def test_what_is_not_a_hash_is_refused(digest):
    with pytest.raises(ValueError, match="not a SHA-256 hash"):
        read_pins(f"name==1 --hash=sha256:{digest}")


@pytest.mark.parametrize("section", SECTIONS)
def test_what_pyproject_wants_is_pinned_where_it_is_installed(section):
    allowed = SECTIONS[: SECTIONS.index(section) + 1]
    for wanted in wanted_in(section):
        pin = BY_NAME[canonicalize_name(wanted.name)]
        assert pin.section in allowed
        assert wanted.specifier.contains(pin.version, prereleases=True), wanted


@cache
def requirements_of(name: str) -> list[Requirement] | None:
    """What an installed package requires; None if it isn't installed. They are read once: 2 s for all platforms."""
    try:
        return list(map(Requirement, importlib.metadata.requires(name) or []))
    except importlib.metadata.PackageNotFoundError:
        return None


def closure(wanted: list[Requirement], environment: dict[str, str]) -> set[str]:
    """Every package that some requirements bring on one platform, by the metadata of what is installed here."""
    todo = [(canonicalize_name(line.name), frozenset(line.extras)) for line in wanted]
    done = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        lines = requirements_of(name)
        if lines is None:
            assert BY_NAME[name].marker or BY_NAME[name].section == SECTIONS[-1], f"{name} is pinned but not installed"
            continue
        for line in lines:
            if line.marker and not any(line.marker.evaluate({**environment, "extra": e}) for e in extras or {""}):
                continue
            pinned = BY_NAME.get(canonicalize_name(line.name))
            assert pinned, f"{name} needs {line.name} with {environment}, which isn't pinned"
            assert line.specifier.contains(pinned.version, prereleases=True), f"{name} needs {line}"
            todo.append((pinned.name, frozenset(line.extras)))
    return {name for name, _ in done}


@pytest.mark.parametrize("section", SECTIONS[:2])
def test_each_section_is_closed_and_nothing_in_it_is_in_vain(section):
    """Together with those above it, on every platform: a missing pin breaks set-up there, a spare one is a way in."""
    allowed = {pin.name for pin in PINS if SECTIONS.index(pin.section) <= SECTIONS.index(section)}
    needed = set()
    for environment in environments():
        names = closure(wanted_in(section), environment)
        assert names <= allowed, names - allowed
        needed |= names
    assert allowed == needed


# ---- the installation, through the Makefile --------------------------------------------------------------------------


def write_wheel(folder: Path, name: str, content: str = "", requires: str = "") -> str:
    """Make a wheel of one module; returns its hash."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(zipfile.ZipInfo(f"{name}.py"), content)
        wheel.writestr(
            zipfile.ZipInfo(f"{info}/METADATA"),
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            + (f"Requires-Dist: {requires}\n" if requires else ""),
        )
        wheel.writestr(
            zipfile.ZipInfo(f"{info}/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            zipfile.ZipInfo(f"{info}/RECORD"), f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Checkout:
    """A folder with the Makefile, pins of its own, and a folder of files in the place of a registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mirror = folder / "mirror"
        self.mirror.mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", folder)

    def pin(self, **hashes: str) -> None:
        """Write constraints.txt: the first section as given, and a second that must not be installed."""
        pins = [Pin(name, "1.0", "", (digest,) if digest else (), "") for name, digest in hashes.items()]
        later = Pin("never", "1.0", "", ("0" * 64,), "").text()
        text = "".join(pin.text() for pin in pins)
        (self.folder / "constraints.txt").write_text(f"# == {SECTIONS[0]} ==\n{text}# == {SECTIONS[1]} ==\n{later}")

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Install what `make setup` installs, and remove it again afterwards."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.mirror), "PIP_NO_CACHE_DIR": "1"}
        environment["PIP_CONFIG_FILE"] = str(self.folder / "pip.conf")
        (self.folder / ".venv/.installed-run").unlink(missing_ok=True)
        return subprocess.run(
            ["make", ".venv/.installed-run", f"PYTHON={sys.executable}", *options],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def has(self, name: str) -> bool:
        return bool(list(self.folder.glob(f".venv/lib/python*/site-packages/{name}.py")))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    """One for all tests below: making a virtual environment takes seconds. Each test has a package of its own."""
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_a_file_with_the_pinned_hash_is_installed_and_later_sections_are_not(checkout):
    (checkout.folder / "pip.conf").write_text("[global]\nconstraint = ours.txt\n")
    (checkout.folder / "ours.txt").write_text("torch<=2.14.1\nhonest<2\n")
    checkout.pin(honest=write_wheel(checkout.mirror, "honest"))
    done = checkout.install()
    assert done.returncode == 0, "a machine's own constraints must not get in the way: " + done.stderr
    assert checkout.has("honest")


def test_other_bytes_under_the_pinned_version_are_refused(checkout):
    digest = write_wheel(checkout.mirror, "swapped")
    write_wheel(checkout.mirror, "swapped", "import os  # and something that nobody asked for\n")
    checkout.pin(swapped=digest)
    done = checkout.install()
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "make HASHES=off" in done.stderr, "somebody behind a mirror must learn what to do"
    assert not checkout.has("swapped")


def test_a_pin_without_a_hash_is_refused(checkout):
    write_wheel(checkout.mirror, "bare")
    checkout.pin(bare="")
    assert "Hashes are required" in checkout.install().stderr
    assert not checkout.has("bare")


def test_a_dependency_that_nobody_pinned_is_refused(checkout):
    write_wheel(checkout.mirror, "stowaway")
    checkout.pin(carrier=write_wheel(checkout.mirror, "carrier", requires="stowaway"))
    assert checkout.install().returncode != 0
    assert not checkout.has("stowaway")


def test_a_source_archive_is_refused_before_its_code_runs(checkout):
    """Its hash would be right; but what builds it, here a module of its own, has none."""
    source = checkout.folder / "eager-1.0"
    source.mkdir()
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: eager\nVersion: 1.0\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "builds"\nbackend-path = ["."]\n'
    )
    (source / "builds.py").write_text(f"open({str(checkout.folder / 'ran')!r}, 'w')\n")
    archive = shutil.make_archive(str(checkout.mirror / "eager-1.0"), "gztar", checkout.folder, "eager-1.0")
    checkout.pin(eager=hashlib.sha256(Path(archive).read_bytes()).hexdigest())
    assert checkout.install().returncode != 0
    assert not (checkout.folder / "ran").exists()


def test_hashes_off_takes_what_a_mirror_built_in_the_pinned_version(checkout):
    checkout.pin(homemade="0" * 64)
    write_wheel(checkout.mirror, "homemade", "built = 'here'\n")
    assert checkout.install().returncode != 0
    done = checkout.install("HASHES=off")
    assert done.returncode == 0, done.stderr
    assert checkout.has("homemade")


def test_hashes_is_on_or_off(checkout):
    done = checkout.install("HASHES=no")
    assert done.returncode != 0
    assert "HASHES is on or off, not no" in done.stderr


# ---- renewing the file -----------------------------------------------------------------------------------------------


def test_a_renewed_file_has_each_pin_in_the_first_section_that_needs_it():
    pins = read_pins(
        "both==1 --hash=sha256:" + "1" * 64 + "\n"
        "old-python==2 ; python_full_version < '3.11.3' --hash=sha256:" + "2" * 64 + "\n"
        "cpython-only==3 ; platform_python_implementation != 'PyPy' --hash=sha256:" + "3" * 64 + "\n"
        "windows==4 ; sys_platform == 'win32' --hash=sha256:" + "4" * 64 + "\n"
        "tool==5 --hash=sha256:" + "5" * 64 + "\n"
    )
    sections = ({"both", "old-python", "windows"}, {"both", "cpython-only"}, {"tool"})
    made = read_pins(freeze.sectioned(pins, dict(zip(SECTIONS, sections, strict=True))))
    assert [(pin.name, pin.marker, pin.section) for pin in made] == [
        ("both", "", SECTIONS[0]),
        ("old-python", 'python_full_version < "3.11.3"', SECTIONS[0]),
        ("cpython-only", "", SECTIONS[1]),
        ("tool", "", SECTIONS[2]),
    ]
    with pytest.raises(ValueError, match="needed by no section: tool"):
        freeze.sectioned(pins, dict(zip(SECTIONS, (*sections[:2], set()), strict=True)))
