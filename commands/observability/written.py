"""The files for Prometheus and Grafana, written into a folder.

    prometheus.yml    rules.yml    rules_test.yml    dashboards/rookery_*.json    targets-*.json (by `serve` alone)

A file is replaced whole; what else lies in the folder stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from commands.observability.dashboards import dashboards
from commands.observability.rules import rules, rules_test
from commands.observability.scraping import PREFIXES, SCRAPE_S, TARGETS, Source, prometheus

FOLDER: Final = "observability"  # of the data folder
DASHBOARDS: Final = "dashboards"
RULES_FILE: Final = "rules.yml"
DISABLED: Final = "DISABLED"  # Ray's word for "there is no Grafana"


def grafana_address() -> str:
    """Return where people open Grafana: as Ray's dashboard is told; "" if there is none."""
    told = os.environ.get("RAY_GRAFANA_IFRAME_HOST") or os.environ.get("RAY_GRAFANA_HOST") or "http://localhost:3000"
    return "" if told == DISABLED else told.rstrip("/")


def write_files(
    folder: Path, source: Source, ray_dashboard: str = "", for_times: float = 1.0, step_s: int = SCRAPE_S
) -> list[Path]:
    """Write all but the lists of addresses; returns what was written. for_times, step_s: tests can't wait."""
    prefix, grafana = PREFIXES[source], grafana_address()
    texts = {
        "prometheus.yml": yaml_text(prometheus(RULES_FILE, step_s)),
        RULES_FILE: yaml_text(rules(prefix, grafana, for_times)),
        "rules_test.yml": yaml_text(rules_test(prefix, grafana)),
    }
    for name, board in dashboards(prefix, ray_dashboard).items():
        texts[f"{DASHBOARDS}/{name}"] = json.dumps(board, indent=1) + "\n"
    return [_replace(folder / name, text) for name, text in texts.items()]


def write_targets(folder: Path, found: Mapping[Source, list[Any]]) -> None:
    """Write the lists of addresses, those that have changed."""
    for source, groups in found.items():
        text, path = json.dumps(groups) + "\n", folder / TARGETS[source]
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            _replace(path, text)


def _replace(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path


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
