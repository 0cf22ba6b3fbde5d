"""Figures as tests read them: a number by "name{own labels' values}", and what has moved meanwhile."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from actors.metrics.figure import Told
from actors.metrics.table import FIGURES
from actors.metrics.text import text_steps
from tests.components import REQUIRED

KINDS = {figure.name: figure.kind for figure in FIGURES}


def numbers(told: Iterable[Told]) -> dict[str, float]:
    """Return every number; of histograms count and sum. Who has told them is left out."""
    found: dict[str, float] = {}
    for teller in told:
        for name, samples in teller.snapshot.items():
            for values, number in samples:
                labels = f"{{{','.join(values)}}}" if values else ""
                if KINDS[name] == "histogram":
                    found[f"{name}_count{labels}"], found[f"{name}_sum{labels}"] = sum(number[0]), number[1]
                else:
                    found[name + labels] = number
    return found


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each number has moved, without those that haven't."""
    deltas = {name: number - before.get(name, 0) for name, number in after.items()}
    return {name: delta for name, delta in deltas.items() if delta}


def text_of(told: Iterable[Told]) -> str:
    """Return the text that Prometheus scrapes."""
    return "".join(text_steps(FIGURES, list(told)))


def complaints_of_promtool(text: str) -> str:
    """Return what `promtool check metrics` says against a text. Skips, by name, where there is none; never in CI."""
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not REQUIRED, "promtool is missing, and CI must not skip its tests"
        pytest.skip("needs promtool (Debian: prometheus)")
    ran: Any = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return f"{ran.stdout}{ran.stderr}"
