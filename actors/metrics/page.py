"""The table of figures in docs/operations.md, made of the rows.

`python -m actors.metrics.page docs/operations.md` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from actors.metrics.figure import WHO, Figure
from actors.metrics.table import OF_SOURCE

BEGIN: Final = "<!-- generated: python -m actors.metrics.page docs/operations.md -->"
END: Final = "<!-- end of what is generated -->"


def tables() -> str:
    """Return a table for each source."""
    parts = []
    for source, figures in OF_SOURCE.items():
        lines = [f"**Of {'each ' if source in ('shard', 'api') else 'the ' if source in ('router', 'node') else ''}"
                 f"{WHO[source]}:**", "", "| figure | kind | means |", "| --- | --- | --- |"]  # fmt: skip
        parts.append("\n".join([*lines, *map(_line, figures)]))
    return "\n\n".join(parts)


def _line(figure: Figure) -> str:
    labels = f"{{{','.join(figure.all_labels)}}}" if figure.all_labels else ""
    return f"| `{figure.full_name}{labels}` | {figure.kind} | {figure.text} |"


def renewed(text: str) -> str:
    """Return the page with its tables made anew. Raises ValueError if it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
