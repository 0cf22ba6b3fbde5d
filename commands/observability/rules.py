"""Alerts for Prometheus, and tests of them for promtool: both of the table of signals.

Rules of this file
- An alert's words are those of its light; its section of the runbook has its name.
- What of links the installation can't answer yet isn't written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from actors.metrics.signals.expressions import duration
from actors.metrics.signals.rows import SIGNALS, Signal
from commands.observability.examples import EXAMPLES, LOOK_S, Example

GROUP: Final = "rookery"
RUNBOOK_PAGE: Final = "docs/operations.md"


def rules(prefix: str, grafana: str, for_times: float = 1.0) -> dict[str, Any]:
    """Return rules.yml. prefix: of the figures' names; grafana: its address, "" if unknown; for_times: tests have no
    time to wait."""
    alerts = [
        {
            "alert": signal.alert,
            "expr": signal.condition.promql(prefix),
            "for": duration(int(signal.for_s * for_times)),
            "labels": labels_of(signal),
            "annotations": annotations_of(signal, grafana),
        }
        for signal in SIGNALS
    ]
    return {"groups": [{"name": GROUP, "rules": alerts}]}


def labels_of(signal: Signal) -> dict[str, str]:
    """Return what an alert adds to the labels of its condition."""
    return {"severity": signal.severity, "light": signal.light}


def annotations_of(signal: Signal, grafana: str, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what an alert says. labels: of what it fires for; None: as the template for all."""
    says = re.sub(r"\{(\w+)\}", r"{{ $labels.\1 }}", signal.says) if labels is None else signal.said_of(labels)
    said = {"summary": says, "runbook": f"{RUNBOOK_PAGE}#{signal.anchor}"}
    if grafana:
        said["dashboard_url"] = f"{grafana}/d/rookery-{signal.board}"
    return said


def rules_test(prefix: str, grafana: str) -> dict[str, Any]:
    """Return rules_test.yml: `promtool test rules` on it says whether the alerts are as they should be."""
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": duration(LOOK_S),
        "tests": [_test(example, prefix, grafana) for example in EXAMPLES],
    }


def _test(example: Example, prefix: str, grafana: str) -> dict[str, Any]:
    signal = next(each for each in SIGNALS if each.name == example.signal)
    moments = {**dict.fromkeys(example.quiet, ()), **example.fires}
    return {
        "name": signal.alert,
        "interval": duration(example.every_s),
        "input_series": [{"series": prefix + name, "values": values} for name, values in example.course.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{at_s}s",
                "alertname": signal.alert,
                "exp_alerts": [
                    {
                        "exp_labels": {**labels_of(signal), **labels},
                        "exp_annotations": annotations_of(signal, grafana, labels),
                    }
                    for labels in firing
                ],
            }
            for at_s, firing in sorted(moments.items())
        ],
    }
