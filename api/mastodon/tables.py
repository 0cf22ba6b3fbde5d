"""The tables of docs/mastodon.md: what there is, what there isn't, and why. Made of the rows and `not_supported.py`.

`python -m api.mastodon.tables docs/mastodon.md` writes them anew; a test says when that is due.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from api.mastodon.description import summary_of
from api.mastodon.not_supported import NOT_SUPPORTED
from api.mastodon.operations import OPERATIONS
from api.mastodon.table import Operation

BEGIN: Final = "<!-- generated: python -m api.mastodon.tables docs/mastodon.md -->"
DESCRIBED_COUNT: Final = 210  # operations that Mastodon's own description of 4.7 has; a test counts them where it is
END: Final = "<!-- end of what is generated -->"


def tables(rows: Sequence[Operation]) -> str:
    """Return the tables of docs/mastodon.md: what there is, and what there isn't and why."""
    here = DESCRIBED_COUNT - len(NOT_SUPPORTED)
    said = f"Of the {DESCRIBED_COUNT} operations that Mastodon 4.7 describes {here} are here: those below, but for what"
    lines = [f"{said} it has no words for, and the page `GET /oauth/authorize`.", ""]
    lines += ["| operation | needs | answers | what it does |", "| --- | --- | --- | --- |"]
    for row in sorted(rows, key=lambda row: (row.path, row.method)):
        scope, answer = f"`{row.scope}`" if row.scope else "", row.answer.replace("|", "` or `") or "{}"
        lines.append(f"| `{row.method} {row.path}` | {scope} | `{answer}` | {summary_of(row)} |")
    lines += ["", "What isn't there:", "", "| operation | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {reason} |" for name, reason in sorted(NOT_SUPPORTED.items(), key=_by_path)]
    return "\n".join(lines)


def _by_path(item: tuple[str, str]) -> tuple[str, str]:
    method, _, path = item[0].partition(" ")
    return path, method


def renewed(text: str, rows: Sequence[Operation]) -> str:
    """Return the page with its tables made anew. Raises ValueError if it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables(rows)}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8"), OPERATIONS.rows), encoding="utf-8")
