"""The files for Prometheus and Grafana, written into a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def yaml_text(value: Any) -> str:
    """Return YAML of mappings, lists, texts and numbers. A text is quoted as JSON has it, which YAML reads alike."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _placed(f"{key}:", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for inner in value:
            if isinstance(inner, Mapping) and inner:
                first, *rest = _lines(inner)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
            else:
                yield from _placed("-", inner)
    else:
        yield json.dumps(value)


def _placed(before: str, value: Any) -> Iterator[str]:
    if isinstance(value, (Mapping, list, tuple)) and value:
        yield before
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{before} {json.dumps(value)}"
