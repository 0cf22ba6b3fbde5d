"""docs/security.md claims nothing that no test tries."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (?!attack|---)(.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def test_every_row_of_the_threat_table_names_tests_that_there_are():
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = ROW.findall(page.partition("## What holds")[2].partition("\n## ")[0])
    assert len(rows) >= 20
    for attack, _, _, tests in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", tests)
        assert named, f"{attack}: names no test"
        assert all((ROOT / path).is_file() for path in named), f"{attack}: {named}"
