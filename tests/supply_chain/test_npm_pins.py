"""package-lock.json is exact, hashed and without addresses, and whatever it pins has a licence that is allowed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from tests.supply_chain.licences import Policy, npm_problems
from tests.supply_chain.npm_pins import NPM_FOLDER, NPM_LOCK, read_npm_pins
from tests.supply_chain.pins import ROOT

PINS = read_npm_pins()
POLICY = Policy.load()


def test_every_package_has_an_exact_version_and_a_hash():
    assert [pin.name for pin in PINS if not re.fullmatch(r"\d+\.\d+\.\d+", pin.version)] == []
    assert [pin.name for pin in PINS if not pin.integrity.startswith("sha512-")] == []
    assert "masto" in [pin.name for pin in PINS]


def test_what_is_wanted_is_what_is_locked():
    wanted = json.loads((NPM_FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert wanted == json.loads(NPM_LOCK.read_text(encoding="utf-8"))["packages"][""]["dependencies"]
    assert wanted.items() <= {pin.name: pin.version for pin in PINS}.items()


def test_the_lock_names_no_address():
    assert "resolved" not in NPM_LOCK.read_text(encoding="utf-8")
    assert "//" not in re.sub(r'"integrity": "[^"]+"', "", NPM_LOCK.read_text(encoding="utf-8"))


def test_no_package_wants_to_run_a_script_when_it_is_installed():
    """None is run (`--ignore-scripts`), so one that needs it would be half installed."""
    assert [pin.name for pin in PINS if pin.has_script] == []
    assert "npm ci --ignore-scripts" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_package_has_a_licence_that_is_known_and_allowed():
    assert npm_problems(PINS, POLICY) == []
    strange = [replace(PINS[0], name="strange", licence="GPL-3.0-only"), replace(PINS[0], name="mute", licence="")]
    assert [line.partition(":")[0] for line in npm_problems([*PINS, *strange], POLICY)] == ["strange", "mute"]
