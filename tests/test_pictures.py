"""Pictures of the documents: each that is named is there, each that is there is named, none is large or undescribed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BYTES_MAX = 150_000
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def named(document: Path) -> set[Path]:
    text = document.read_text(encoding="utf-8")
    return {(document.parent / name).resolve() for name in re.findall(r'(?:src|srcset)="([^":]+\.png)"', text)}


def test_every_picture_is_named_and_every_one_named_is_there():
    there = {path.resolve() for path in (ROOT / "docs" / "images").glob("*")}
    assert set().union(*map(named, DOCUMENTS)) == there


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").glob("*")), ids=lambda path: path.name)
def test_a_picture_is_small_and_there_for_light_and_dark(path):
    assert path.stat().st_size <= BYTES_MAX
    other = {"light": "dark", "dark": "light"}
    assert re.sub("light|dark", lambda found: other[found[0]], path.name) in {
        each.name for each in path.parent.iterdir()
    }


def test_every_picture_is_described():
    for document in DOCUMENTS:
        for tag in re.findall(r"<img [^>]*>", document.read_text(encoding="utf-8")):
            assert re.search(r'alt="[^"]{20,}"', tag), f"{document.name}: {tag}"
